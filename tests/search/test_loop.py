from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from runbookopt import runbook as runbooks
from runbookopt.search.asks import (
    Ask,
    Attempt,
    Candidate,
    Proposal,
    Reflection,
    ReflectionFailure,
    Reply,
    Rollout,
)
from runbookopt.search.loop import Found, search
from runbookopt.search.pool import places
from runbookopt.search.problem import Options, Problem

TEXT = """---
name: parcels
---
# Parcels

## Lessons

- Be kind to {{customer}}.

## Evaluation

Once a month.
"""
LONG = "my neighbour took the parcel in and has now gone on holiday"
TRAIN = {**{f"t{n}": f"where is parcel {n}" for n in range(8)}, "t8": LONG}
VALIDATION = tuple(f"v{n}" for n in range(9))
SEED = Candidate(TEXT)
PROBLEM = Problem(runbooks.parse(TEXT), TRAIN, VALIDATION, options=Options(minibatch=2, passing=2, wave=3))

Answer = Proposal | ReflectionFailure
Reflecting = Callable[[Reflection], Answer]


class Heard(Struct, frozen=True):
    """All asks of a search with their replies, and what it returned."""

    asks: tuple[Ask, ...]
    replies: tuple[Reply, ...]
    found: Found

    @property
    def reflections(self) -> list[Reflection]:
        return [asked for ask in self.asks for asked in ask.reflections]

    @property
    def rollouts(self) -> list[Rollout]:
        return [asked for ask in self.asks for asked in ask.rollouts]


def attempt(rollout: Rollout) -> Attempt:
    """A task is solved where the lesson of its number stands in the runbook; odd ones fail differently."""
    number = int(rollout.task[1:])
    solved = f"lesson {number}." in rollout.candidate.text
    feedback = () if solved else (f"right: expected {number % 2}, got nothing",)
    name = f"{rollout.task}@{rollout.candidate.digest[-6:]}"
    return Attempt(name, "", float(solved), {"accuracy": float(solved)}, feedback)


def teach(asked: Reflection, *numbers: int, more: str = "") -> Proposal:
    text = asked.components[-1].text.rstrip("\n")
    new = "".join(f"\n- This is lesson {number}.{more}" for number in numbers)
    cites = (asked.failing[0].trajectory, "never-shown")
    return Proposal(f"lesson {numbers[0]}.", "lessons", text + new + "\n\n", cites)


def teaching(asked: Reflection) -> Answer:
    """A reflector that learns the first failure that it is shown."""
    return teach(asked, int(asked.failing[0].task[1:]))


def run(
    reflect: Reflecting = teaching, problem: Problem = PROBLEM, *, cut: int = 200, why: str = "budget"
) -> Heard:
    """Answer a search; from ask number `cut` on it is told that it is stopped."""
    going, asks, replies = search(problem), [], []
    try:
        ask = next(going)
        while True:
            assert len(asks) <= 200
            asks.append(ask)
            answers = tuple(map(attempt, ask.rollouts)), tuple(map(reflect, ask.reflections))
            replies.append(Reply(*answers) if len(asks) <= cut else Reply(stopped=why))
            ask = going.send(replies[-1])
    except StopIteration as end:
        return Heard(tuple(asks), tuple(replies), end.value)


def optioned(**options: object) -> Problem:
    return replace(PROBLEM, options=replace(PROBLEM.options, **options))


def saying(component: str, text: str) -> Reflecting:
    return lambda _: Proposal("because", component, text)


# The path ---------------------------------------------------------------------------------------------------


def test_every_lesson_is_learnt_and_then_every_task_is_solved() -> None:
    found = run().found
    assert found.ended == "every task is solved"
    assert found.pool[found.chosen].score == 1
    assert all(f"lesson {number}." in found.pool[found.chosen].candidate.text for number in range(9))


def test_the_same_seed_asks_the_same_and_another_seed_goes_another_way() -> None:
    assert run().asks == run().asks
    assert run().asks != run(problem=optioned(random_seed=1)).asks


def test_the_seed_is_scored_first_and_what_is_free_is_never_asked() -> None:
    first, *_ = run().asks
    assert first.rollouts == tuple(Rollout(SEED, task) for task in VALIDATION)
    free = {task: attempt(Rollout(SEED, task)) for task in (*TRAIN, *VALIDATION)}
    heard = run(problem=replace(PROBLEM, free=free))
    assert all(rollout.candidate != SEED for rollout in heard.rollouts)
    assert [member.candidate for member in heard.found.pool] == [one.candidate for one in run().found.pool]


def test_nothing_is_ever_asked_twice() -> None:
    rollouts = [(rollout.candidate.digest, rollout.task) for rollout in run().rollouts]
    assert len(rollouts) == len(set(rollouts))


def test_reflections_are_asked_about_train_tasks_alone() -> None:
    shown = [one for asked in run().reflections for one in (*asked.failing, *asked.passing)]
    assert {one.task for one in shown} <= set(TRAIN)
    assert all(one.input == TRAIN[one.task] for one in shown)


def test_a_reflection_shows_failures_of_one_kind_and_some_that_pass() -> None:
    for asked in run().reflections:
        assert len({one.feedback for one in asked.failing}) == 1
        assert not any(one.feedback for one in asked.passing)
        assert (0 < len(asked.failing) <= 2, len(asked.passing) <= 2) == (True, True)


def test_a_failure_mode_that_a_person_named_sets_the_kinds() -> None:
    modes = {task: "late" if int(task[1:]) < 4 else "lost" for task in TRAIN}
    first = run(problem=replace(PROBLEM, modes=modes)).asks[2].reflections
    assert [len({modes[one.task] for one in asked.failing}) for asked in first] == [1, 1, 1]


def test_who_enters_the_pool_has_all_validation_scores_and_is_no_copy() -> None:
    for member in run().found.pool:
        assert tuple(member.validation) == VALIDATION
    digests = [member.candidate.digest for member in run().found.pool]
    assert len(digests) == len(set(digests))


def test_the_frontier_moves_with_each_wave_that_solves_something_new() -> None:
    pool = run().found.pool
    assert all(places(pool[: size + 1])[size] > 0 for size in range(1, len(pool)))
    assert [member.wave for member in pool] == sorted({member.wave for member in pool})


def test_a_citation_counts_only_where_the_trajectory_was_shown() -> None:
    edits = [edit for member in run().found.pool for edit in member.edits]
    assert edits
    for edit in edits:
        assert len(edit.cites) == 1
        assert set(edit.cites) <= set(edit.shown)


# What is rejected without a rollout -------------------------------------------------------------------------

OWN = runbooks.parse(TEXT).part("lessons").text
REJECTED = {
    "no such part": (saying("nonsense", "x"), "'nonsense' is not a component that may be rewritten"),
    "locked": (saying("evaluation", "## Evaluation\n\nAlways.\n"), "'evaluation' is not a component"),
    "front matter": (saying("front-matter", "---\nname: x\n---\n"), "'front-matter' is not a component"),
    "echo": (saying("lessons", OWN), "it repeats the component as it is"),
    "echo but for blank lines": (saying("lessons", f"\n{OWN}\n\n"), "it repeats the component as it is"),
    "echo but for line endings": (
        saying("lessons", OWN.replace("\n", "\r\n")),
        "it repeats the component as it is",
    ),
    "copy": (saying("lessons", f"{OWN}- {LONG.upper()}!\n"), "it copies 8 or more words of a single task"),
    "growth": (saying("lessons", OWN + "- More.\n" * 400), "characters, 31"),
    "token": (saying("lessons", "## Lessons\n\n- Be kind.\n"), "template token"),
    "renamed": (saying("lessons", OWN.replace("Lessons", "Rules")), "is renamed"),
    "emptied": (saying("lessons", ""), "part 'lessons' is gone"),
    "lock": (saying("lessons", OWN + "<!-- runbookopt: lock -->\n"), "part 'lessons-2' is new"),
    "unlock": (saying("lessons", OWN + "<!-- runbookopt: unlock -->\n"), "cannot be read"),
    "hidden": (saying("lessons", OWN + "- \u202etxet\n"), "hidden text is brought in"),
    "half a character": (saying("lessons", OWN + "- \ud800\n"), "half a character"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_what_may_not_be_tried_costs_no_rollout_and_is_remembered_with_the_reason(name: str) -> None:
    reflect, reason = REJECTED[name]
    heard = run(reflect, optioned(max_failures=2))
    assert all(rollout.candidate == SEED for rollout in heard.rollouts)
    assert all(one.outcome.startswith("rejected without a rollout: ") for one in heard.found.tried)
    assert reason in heard.found.tried[0].outcome
    assert heard.reflections[-1].lineage == heard.found.tried[: len(heard.reflections[-1].lineage)] != ()
    assert heard.found.chosen == 0


def test_a_repeat_of_an_earlier_attempt_or_of_a_sibling_is_rejected_unpaid() -> None:
    heard = run(saying("lessons", OWN.rstrip() + "\n- Be quick.\n"))
    outcomes = [one.outcome for one in heard.found.tried]
    assert outcomes.count("rejected: no gain on its failures") == 1
    assert set(outcomes) == {
        "rejected without a rollout: it repeats an earlier attempt",
        "rejected: no gain on its failures",
    }
    assert len({rollout.candidate for rollout in heard.rollouts}) == 2


def test_words_that_three_tasks_share_are_no_copy() -> None:
    said = "thank you very much for all of your kind help"
    train = {**TRAIN, **{f"t{n}": f"{said} with parcel {n}" for n in range(3)}}
    problem = replace(PROBLEM, train=train)
    found = run(lambda asked: teach(asked, int(asked.failing[0].task[1:]), more=f" {said}"), problem).found
    assert found.tried[0].outcome == "accepted"


def test_of_a_lineage_no_more_is_shown_than_is_asked_for() -> None:
    heard = run(saying("lessons", OWN), optioned(remembered=4, patience=5))
    assert max(len(asked.lineage) for asked in heard.reflections) == 4


# How it ends ------------------------------------------------------------------------------------------------


def test_failures_in_a_row_end_the_search_and_the_last_one_is_named() -> None:
    numbers = count()
    heard = run(lambda _: ReflectionFailure("refused", f"number {next(numbers)}"), optioned(max_failures=4))
    assert heard.found.ended == "4 reflections failed in a row; the last one, refused: number 3"
    assert heard.found.tried == ()


def test_what_others_of_the_wave_proposed_is_tried_before_failures_end_the_search() -> None:
    numbers = count()
    refused = ReflectionFailure("refused", "no")
    heard = run(lambda asked: refused if next(numbers) else teaching(asked), optioned(max_failures=2))
    assert [one.outcome for one in heard.found.tried] == ["accepted"]
    assert (len(heard.found.pool), len(heard.reflections)) == (2, 3)
    assert heard.found.ended.startswith("2 reflections failed in a row")


def test_a_proposal_between_failures_lets_the_search_go_on() -> None:
    numbers = count()
    refused = ReflectionFailure("refused", "no")
    heard = run(
        lambda asked: refused if next(numbers) % 3 else teaching(asked), optioned(max_failures=3, patience=50)
    )
    assert heard.found.ended == "every task is solved"


def test_waves_that_do_not_move_the_frontier_end_the_search() -> None:
    train = {f"t{n}": f"parcel {n}" for n in range(20, 40)}  # what is learnt there solves nothing else
    heard = run(problem=replace(PROBLEM, train=train, options=replace(PROBLEM.options, patience=2)))
    assert heard.found.ended == "2 waves without a better frontier"
    assert heard.found.pool[heard.found.chosen].score == 0


def test_of_candidates_that_are_no_better_the_shortest_is_chosen() -> None:
    train = {f"t{n}": f"parcel {n}" for n in range(20, 40)}
    found = run(problem=replace(PROBLEM, train=train)).found
    assert (len(found.pool) > 1, found.chosen) == (True, 0)


def test_without_train_failures_there_is_nothing_to_reflect_on() -> None:
    problem = replace(PROBLEM, train={})
    assert run(problem=problem).reflections == []


@given(st.integers(0, 40), st.sampled_from(["budget", "minutes"]))
@settings(deadline=None, max_examples=30)
def test_a_search_that_is_stopped_at_any_ask_returns_what_it_has(cut: int, why: str) -> None:
    whole, heard = run(), run(cut=cut, why=why)
    assert heard.asks == whole.asks[: cut + 1]
    assert heard.found.pool == whole.found.pool[: len(heard.found.pool)]
    assert heard.found.tried == whole.found.tried[: len(heard.found.tried)]
    assert heard.found.ended == (why if cut < len(whole.asks) else whole.found.ended)
    assert bool(heard.found.pool) == (cut > 0)


# Crossover within a wave ------------------------------------------------------------------------------------


def test_the_accepted_edits_of_a_wave_become_one_child() -> None:
    _, first, *_ = run().found.pool
    assert len(first.edits) == 3
    assert all(edit.diagnosis in first.candidate.text for edit in first.edits)


def test_of_a_wave_that_would_outgrow_the_cap_the_edits_with_fewest_wins_are_dropped() -> None:
    train = {f"t{n}": f"parcel {n}" for n in (0, 2, 4, 1, 3)}  # three fail in one way and two in another

    def all_shown(asked: Reflection) -> Answer:
        return teach(asked, *(int(one.task[1:]) for one in asked.failing))

    options = Options(minibatch=3, wave=2, share=0, characters=3 * len("\n- This is lesson 0.") + 5)
    heard = run(all_shown, replace(PROBLEM, train=train, options=options))
    assert [one.outcome for one in heard.found.tried[:2]] == ["accepted", "accepted"]
    learnt = [f"lesson {number}." in heard.found.pool[1].candidate.text for number in (0, 2, 4, 1, 3)]
    assert learnt == [True, True, True, False, False]
    assert len(heard.found.pool[1].edits) == 1


# Whatever a reflector says ----------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        OWN,
        "## Lessons\n",
        "- This is lesson 1.\n",
        "{{customer}}",
        "```\n",
        "<!-- x -->",
        "\r",
        "---\n",
        "\ufeff",
    ]
)
SAID = st.lists(PIECES | st.text(max_size=6), max_size=6).map("".join) | st.text(max_size=20).map(OWN.__add__)
PARTS = st.sampled_from(["lessons", "preamble", "evaluation", "front-matter"])
ANSWERS = st.builds(Proposal, st.text(max_size=5), PARTS, SAID) | st.just(ReflectionFailure("refused", "no"))


@settings(max_examples=100, deadline=None)
@given(st.lists(ANSWERS, min_size=1, max_size=12))
def test_whatever_is_proposed_only_what_an_edit_may_do_is_ever_tried(answers: list[Answer]) -> None:
    told = iter(answers * 20)
    heard = run(lambda _: next(told), optioned(max_failures=99))
    for candidate in {rollout.candidate for rollout in heard.rollouts}:
        assert runbooks.violations(PROBLEM.seed, candidate.text) == ()
        assert len(candidate.text) <= len(TEXT) + 3000
    assert len(heard.found.tried) == len(heard.reflections) - sum(
        isinstance(one, ReflectionFailure) for reply in heard.replies for one in reply.reflections
    )


def test_what_the_verifier_could_not_judge_is_not_reflected_on() -> None:
    unjudged = Attempt("t-7", "", 0.0, {"accuracy": 0.0}, ("right: no reference",), errors=1)
    assert (unjudged.passed, unjudged.failed) == (False, False)
    for free, reflected in (({}, True), ({"t7": unjudged}, False)):
        heard = run(problem=replace(PROBLEM, free=free, options=replace(PROBLEM.options, wave=9)))
        asked = [ask for ask in heard.reflections if ask.candidate == SEED]
        failing = {shown.task for ask in asked for shown in ask.failing}
        passing = {shown.task for ask in asked for shown in ask.passing}
        assert ("t7" in failing, "t7" in passing, "t6" in failing) == (reflected, False, True)
