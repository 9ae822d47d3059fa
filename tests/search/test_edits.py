"""Edits that do not add up: in which order they are taken, how many at once, and what becomes of each."""

from collections import Counter
from collections.abc import Mapping
from itertools import count
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runbookopt.documents import runbook as runbooks
from runbookopt.search.asks import Attempt, Candidate, Proposal, Reflection, Rollout
from runbookopt.search.drafts import Trial
from runbookopt.search.edits import GUTS, LOST, TAKEN_OUT, TOO_MUCH, WAITS, needed_first
from runbookopt.search.minibatches import Minibatch
from runbookopt.search.problem import Problem
from runbookopt.search.validating import BEST, NO_BETTER, REPEATED, SOMEWHERE, WORSE
from runbookopt.search.widening import NOT_THERE

NUMBERS = st.integers(0, 5)
EDITS = st.lists(st.tuples(st.text("ab", max_size=2), st.lists(NUMBERS, min_size=1, unique=True)), max_size=6)

# Their order ------------------------------------------------------------------------------------------------


def trial(name: str, *numbers: int) -> Trial:
    """Give an edit that is for these tasks."""
    ask = Reflection(Candidate(""), (), (), (), (), 0)
    return Trial(Proposal(name, "lessons", name), ask, Minibatch(tuple(f"t{n}" for n in numbers), (), ()))


def ordered(blame: Mapping[str, int], *trials: Trial) -> list[str]:
    return [one.proposal.text for one in needed_first(trials, blame)]


def test_edits_that_are_for_most_failures_that_none_before_is_for_come_first() -> None:
    few, many, alike, other = trial("few", 8), trial("many", 1, 2, 3), trial("alike", 1, 2), trial("o", 4, 5)
    assert ordered({}, few, alike, other, many) == ["many", "o", "few", "alike"]


def test_edits_that_are_needed_alike_come_in_one_order_in_every_process() -> None:
    """A sum of fractions depends on its order, and that of a set on the process's hashes."""
    for turn in range(100):
        first, other = (trial(name, *range(at, at + 5)) for name, at in (("a", turn), ("b", turn + 1000)))
        blame = {f"t{base + n}": n + 1 for base in (turn, turn + 1000) for n in range(5)}
        assert ordered(blame, other, first) == ["a", "b"]


def test_edits_for_failures_whose_edits_were_in_fallen_drafts_come_last() -> None:
    many, few = trial("many", 1, 2, 3), trial("few", 8, 9)
    assert ordered({"t1": 1, "t2": 1, "t3": 1}, many, few) == ["few", "many"]
    assert ordered({"t1": 1}, many, few) == ["many", "few"]


@given(EDITS, st.dictionaries(NUMBERS.map("t{}".format), st.integers(0, 3)))
def test_the_order_of_edits_is_one_of_all_and_no_accident(
    edits: list[tuple[str, list[int]]], blame: Mapping[str, int]
) -> None:
    trials = [trial(f"{name}{place}", *numbers) for place, (name, numbers) in enumerate(edits)]
    found = ordered(blame, *trials)
    assert sorted(found) == sorted(one.proposal.text for one in trials)
    assert found == ordered(blame, *reversed(trials))


# How many at once -------------------------------------------------------------------------------------------


def sizes(lessons: ModuleType, poisoned: int, **options: object) -> list[int]:
    """How many edits each draft has of a search whose first `poisoned` proposals do harm."""
    said = count()

    def reflect(asked: Reflection) -> Proposal:
        place = next(said)
        harm = " poison" if place < poisoned else ""
        answer: Proposal = lessons.teach(asked, lessons.number(asked.failing[0].task), more=f" {place}{harm}")
        return answer

    def judge(rollout: Rollout) -> Attempt:
        spoilt = "poison" in rollout.candidate.text
        attempt: Attempt = lessons.scored(rollout, 0.0) if spoilt else lessons.attempt(rollout)
        return attempt

    problem = lessons.of_train(range(16), wave=8, tidied=False, **options)
    return [len(member.edits) for member in lessons.run(reflect, problem, judge).found.pool[1:]]


def test_where_a_draft_fell_the_next_has_half_as_many_edits_until_one_is_better(lessons: ModuleType) -> None:
    assert sizes(lessons, 0)[:2] == [8, 4]  # of 16 failures two are in each minibatch
    assert sizes(lessons, 8)[:3] == [8, 4, 6]
    assert sizes(lessons, 16)[:4] == [8, 4, 2, 4]
    assert sizes(lessons, 24)[:6] == [8, 4, 2, 1, 2, 4]
    assert sizes(lessons, 8, halved=False)[:2] == [8, 8]


def test_an_edit_that_waits_is_told_so_and_is_in_no_draft(lessons: ModuleType) -> None:
    heard = lessons.run(problem=lessons.of_train(range(20, 60), wave=8, patience=2))
    waiting = [one for one in heard.found.tried if one.outcome == WAITS]
    assert len(waiting) == 4
    assert {(one.tasks, one.beside) for one in waiting} == {(0, 0)}
    made = Counter(edit.diagnosis for member in heard.found.pool for edit in member.edits)
    assert sum(made.values()) + len(waiting) == len(heard.proposed)


def test_an_edit_that_fell_beside_others_is_no_repeat_until_it_was_tried_alone(lessons: ModuleType) -> None:
    def reflect(asked: Reflection) -> Proposal:
        number = lessons.number(asked.failing[0].task)
        answer: Proposal = lessons.teach(asked, number, more=" poison" if number % 4 == 3 else "")
        return answer

    def judge(rollout: Rollout) -> Attempt:
        spoilt = "poison" in rollout.candidate.text
        attempt: Attempt = lessons.scored(rollout, 0.0) if spoilt else lessons.attempt(rollout)
        return attempt

    heard = lessons.run(reflect, lessons.optioned(minibatch=1, wave=9), judge)
    assert NO_BETTER in heard.outcomes[:9], "the first draft fell"
    chosen = heard.found.pool[heard.found.chosen].candidate.text
    assert sum(f"lesson {number}." in chosen for number in (0, 1, 2, 4, 5, 6, 8)) >= 6
    assert "poison" not in chosen


# A draft that is tried first --------------------------------------------------------------------------------


def with_more_validation(problem: Problem) -> Problem:
    return replace(problem, validation=tuple(f"v{n}" for n in range(40)))


def test_after_a_fall_a_draft_that_is_worse_on_some_validation_tasks_is_tried_on_no_more(
    lessons: ModuleType,
) -> None:
    said = count()
    judge = lessons.judging({"Be kind": set(range(0, 40, 2)), "hello": set()})
    problem = with_more_validation(lessons.of_train(range(8), patience=2, wave=1))
    heard = lessons.run(lambda asked: lessons.teach(asked, 50, more=f" hello {next(said)}"), problem, judge)
    first, second = dict.fromkeys(one.candidate for one in heard.rollouts if one.candidate != lessons.SEED)
    assert (len(heard.on("v", first)), len(heard.on("v", second))) == (40, 20)
    assert [member.candidate for member in heard.found.pool] == [lessons.SEED, first]
    assert heard.outcomes == [NO_BETTER, WORSE]
    told = heard.found.tried[1]
    seed = {task: each.score for task, each in heard.found.pool[0].validation.items()}
    assert (told.tasks, told.after) == (20, 0.0)
    assert told.before == sum(seed[task] for task in heard.on("v", second))


def test_after_a_fall_a_draft_that_is_no_worse_is_tried_on_all_validation_tasks(lessons: ModuleType) -> None:
    heard = lessons.run(problem=with_more_validation(lessons.of_train(range(50, 58), patience=2)))
    assert [len(heard.on("v", member.candidate)) for member in heard.found.pool] == [40, 40, 40]


# Edits that do harm -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_an_edit_that_does_harm_is_not_in_the_text_that_is_returned(lessons: ModuleType, seed: int) -> None:
    """One edit in four is poison: half of the tasks fail with it, and it mends none."""
    said = count(seed)

    def reflect(asked: Reflection) -> Proposal:
        place, answer = next(said), lessons.teaching(asked)
        poison = lessons.teach(asked, 99, more=f" poison {place}")
        return poison if place % 4 == 0 else answer

    def judge(rollout: Rollout) -> Attempt:
        spoilt = "poison" in rollout.candidate.text and lessons.number(rollout.task) % 2
        attempt: Attempt = lessons.scored(rollout, 0.0) if spoilt else lessons.attempt(rollout)
        return attempt

    heard = lessons.run(reflect, lessons.of_train(range(16), wave=8, random_seed=seed), judge)
    chosen = heard.found.pool[heard.found.chosen]
    assert any("poison" in member.candidate.text for member in heard.found.pool), "it was tried"
    assert "poison" not in chosen.candidate.text


def test_of_two_edits_that_are_good_alone_and_bad_together_one_is_taken(lessons: ModuleType) -> None:
    said = count()

    def reflect(asked: Reflection) -> Proposal:
        side = ("left", "right")[lessons.number(asked.failing[0].task) % 2]
        return Proposal(
            side, "lessons", asked.components[-1].text.rstrip("\n") + f"\n- {side} {next(said)}.\n\n"
        )

    def judge(rollout: Rollout) -> Attempt:
        text, number = rollout.candidate.text, lessons.number(rollout.task)
        sides = [side in text for side in ("left", "right")]
        attempt: Attempt = lessons.scored(rollout, float(sum(sides) == 1 and sides[number % 2]))
        return attempt

    heard = lessons.run(reflect, lessons.of_train(range(8), minibatch=8), judge)
    assert [len(member.edits) for member in heard.found.pool[1:3]] == [2, 1]
    chosen = heard.found.pool[heard.found.chosen]
    assert ("left" in chosen.candidate.text) + ("right" in chosen.candidate.text) == 1


def several(asked: Reflection, lessons: ModuleType, most: int = 4) -> Proposal:
    """Answer with a lesson for each failure shown, an edit each."""
    first, *others = [
        replace(lessons.teach(asked, lessons.number(one.task)), cites=(one.trajectory,))
        for one in asked.failing[:most]
    ]
    return replace(first, also=tuple(others))


OUTCOMES = {BEST, SOMEWHERE, NO_BETTER, WORSE, NOT_THERE, REPEATED, LOST, TOO_MUCH, WAITS, GUTS}
TRIED = {BEST, SOMEWHERE, NO_BETTER, WORSE, NOT_THERE}


@pytest.mark.parametrize("numbers", [range(12), range(20, 40)])
@pytest.mark.parametrize("options", [{}, {"characters": 60, "share": 0.0}, {"widened": 1}])
def test_every_edit_of_a_reply_is_remembered_once_with_what_became_of_it(
    lessons: ModuleType, numbers: range, options: Mapping[str, object]
) -> None:
    problem = lessons.of_train(numbers, edits=4, minibatch=6, contrast=0, **options)
    heard = lessons.run(lambda asked: several(asked, lessons), problem)
    tried = [one for one in heard.found.tried if one.diagnosis != TAKEN_OUT]
    remembered = Counter((one.diagnosis, one.change) for one in tried)
    assert remembered.total() == len(heard.proposed)
    assert {one.diagnosis for one in tried} == {edit.diagnosis for _, edit in heard.proposed}
    for one in tried:
        assert one.outcome in OUTCOMES or one.outcome.startswith("rejected without a rollout: ")
        assert (one.tasks > 0) == (one.outcome in TRIED)
        if one.outcome == BEST:
            assert (one.tasks, one.after > one.before) == (9, True)
        if one.outcome == NO_BETTER:
            assert (one.tasks, one.after <= one.before) == (9, True)


@given(st.integers(0, 60), st.integers(1, 4))
def test_a_search_with_several_edits_a_reply_that_is_stopped_at_any_ask_returns_what_it_has(
    lessons: ModuleType, cut: int, most: int
) -> None:
    problem = lessons.of_train(range(12), edits=4, minibatch=6, contrast=0)
    heard = lessons.run(lambda asked: several(asked, lessons, most), problem, cut=cut)
    whole = lessons.run(lambda asked: several(asked, lessons, most), problem)
    assert heard.asks == whole.asks[: len(heard.asks)]
    assert heard.found.pool == whole.found.pool[: len(heard.found.pool)]
    if heard.found.pool:
        best = max(member.score for member in heard.found.pool)
        assert heard.found.pool[heard.found.chosen].score in {best, heard.found.pool[0].score}


def test_an_edit_that_takes_out_much_of_its_part_is_tried_where_there_is_no_other(
    lessons: ModuleType,
) -> None:
    """Weak reflectors say a whole part anew, and lose lines of it."""
    own = "".join(f"- Rule {number} holds.\n" for number in range(8))
    text = lessons.TEXT.replace("- Be kind", own + "- Be kind")
    problem = replace(lessons.optioned(patience=1, max_failures=9), seed=runbooks.parse(text))

    def anew(_: Reflection) -> Proposal:
        return Proposal("anew", "lessons", "## Lessons\n\n- Be kind to {{customer}}.\n\n")

    def reflect(asked: Reflection) -> Proposal:
        return anew(asked) if asked.reviewer == 0 else lessons.teaching(asked)

    heard = lessons.run(reflect, problem)
    first = heard.found.pool[1]
    assert own in first.candidate.text
    assert "anew" not in {edit.diagnosis for edit in first.edits}
    assert ("anew", GUTS) in {(one.diagnosis, one.outcome) for one in heard.found.tried}
    assert sum(asked.reviewer == 0 for asked in heard.reflections) > 1, "somebody may say it better"
    alone = lessons.run(anew, problem).found.pool[1]
    assert own not in alone.candidate.text
