import subprocess
import sys
from itertools import count, cycle
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runbookopt.documents import runbook as runbooks
from runbookopt.search.asks import Attempt, Proposal, Reflection, ReflectionFailure, Rollout
from runbookopt.search.pool import places
from runbookopt.search.selection import choose
from runbookopt.search.validating import BEST, NO_BETTER, SOMEWHERE

# The path ---------------------------------------------------------------------------------------------------


def test_every_lesson_is_learnt_and_then_every_task_is_solved(lessons: ModuleType) -> None:
    found = lessons.run().found
    assert found.ended == "every task is solved"
    assert found.pool[found.chosen].score == 1
    assert all(f"lesson {number}." in found.pool[found.chosen].candidate.text for number in range(9))


def test_the_same_seed_asks_the_same_and_another_seed_goes_another_way(lessons: ModuleType) -> None:
    assert lessons.run().asks == lessons.run().asks
    assert lessons.run().asks != lessons.run(problem=lessons.optioned(random_seed=2)).asks


def test_another_process_with_other_hashes_asks_the_same(lessons: ModuleType) -> None:
    program = "import lessons, sys; sys.stdout.write(''.join(ask.digest for ask in lessons.run().asks))"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {lessons.__file__[:-11]!r}); {program}"]
    heard = {
        subprocess.run(
            command, check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in "12"
    }
    assert heard == {"".join(ask.digest for ask in lessons.run().asks)}


def test_the_seed_is_scored_first_and_what_is_free_is_never_asked(lessons: ModuleType) -> None:
    first, *_ = lessons.run().asks
    assert first.rollouts == tuple(Rollout(lessons.SEED, task) for task in lessons.VALIDATION)
    known = [Rollout(lessons.SEED, task) for task in (*lessons.TRAIN, *lessons.VALIDATION)]
    heard = lessons.run(
        problem=replace(lessons.PROBLEM, free={one.task: lessons.attempt(one) for one in known})
    )
    assert all(rollout.candidate != lessons.SEED for rollout in heard.rollouts)
    assert heard.found.pool[0].candidate == lessons.SEED
    assert heard.found.ended == "every task is solved"


def test_nothing_is_asked_twice_and_no_ask_is_larger_than_a_split(lessons: ModuleType) -> None:
    problem = lessons.of_train(range(20), wave=24)
    for seed in range(5):
        heard = lessons.run(lessons.teaching, lessons.optioned(problem, random_seed=seed))
        rollouts = [(rollout.candidate.digest, rollout.task) for rollout in heard.rollouts]
        assert len(rollouts) == len(set(rollouts))
        assert max(len(ask.rollouts) for ask in heard.asks) <= 20
        assert all(bool(ask.rollouts) != bool(ask.reflections) for ask in heard.asks)


def test_no_candidate_is_rolled_out_on_all_of_validation_but_members_of_the_pool(lessons: ModuleType) -> None:
    heard = lessons.run()
    validated = [one.candidate for one in heard.rollouts if one.task == "v0"]
    assert validated == [member.candidate for member in heard.found.pool]


def test_who_enters_the_pool_has_all_validation_scores_and_is_no_copy(lessons: ModuleType) -> None:
    pool = lessons.run().found.pool
    assert all(tuple(member.validation) == lessons.VALIDATION for member in pool)
    digests = [member.candidate.digest for member in pool]
    assert len(digests) == len(set(digests))


def test_the_frontier_moves_with_each_wave_that_solves_something_new(lessons: ModuleType) -> None:
    pool = lessons.run().found.pool
    assert all(places(pool[: size + 1])[size] > 0 for size in range(1, len(pool)))
    assert [member.wave for member in pool] == sorted({member.wave for member in pool})


def test_a_citation_counts_only_where_the_trajectory_was_shown(lessons: ModuleType) -> None:
    heard = lessons.run()
    edits = [edit for member in heard.found.pool for edit in member.edits]
    assert edits
    for edit in edits:
        assert len(edit.cites) == 1
        assert set(edit.cites) <= set(edit.shown)
    shown = [tuple(one.trajectory for one in (*ask.failing, *ask.passing)) for ask in heard.reflections]
    assert {edit.shown for edit in edits} <= set(shown)


def test_an_edit_is_remembered_as_its_draft_was_better_or_not(lessons: ModuleType) -> None:
    better = lessons.run(problem=lessons.optioned())
    assert set(better.outcomes) == {BEST}
    elsewhere = lessons.run(problem=lessons.of_train(range(20, 40), patience=1))
    assert set(elsewhere.outcomes) == {NO_BETTER}
    judge = lessons.judging({"Be kind": {0, 1, 2}, "hello": {3, 4}})
    other = lessons.run(lessons.adding("hello"), lessons.optioned(patience=1), judge)
    assert set(other.outcomes) >= {SOMEWHERE}
    assert {NO_BETTER, BEST}.isdisjoint(other.outcomes)


def test_what_is_remembered_has_the_scores_that_the_pool_has(lessons: ModuleType) -> None:
    heard = lessons.run(problem=lessons.of_train(range(30)))
    pool, kept = heard.found.pool, [one for one in heard.found.tried if one.outcome == BEST]
    told = {(one.beside + 1, one.tasks, one.before, one.after) for one in kept}
    scores = [(pool[one.parents[0]], one) for one in pool[1:] if one.score > pool[one.parents[0]].score]
    assert told == {
        (len(one.edits), 9, round(9 * parent.score), round(9 * one.score)) for parent, one in scores
    }


# How it ends ------------------------------------------------------------------------------------------------


def test_failures_in_a_row_end_the_search_and_the_last_one_is_named(lessons: ModuleType) -> None:
    numbers = count()
    heard = lessons.run(
        lambda _: ReflectionFailure("refused", f"number {next(numbers)}"), lessons.optioned(max_failures=4)
    )
    assert heard.found.ended == "4 reflections failed in a row; the last one, refused: number 3"
    assert heard.found.cause == "unfit"
    assert heard.found.tried == ()


def test_of_failures_that_are_too_many_the_first_is_named(lessons: ModuleType) -> None:
    numbers = count()

    def reflect(asked: Reflection) -> Proposal | ReflectionFailure:
        turn = next(numbers)
        return lessons.teaching(asked) if turn == 1 else ReflectionFailure("refused", f"number {turn}")

    heard = lessons.run(reflect, lessons.optioned(max_failures=1))
    assert heard.found.ended == "1 reflections failed in a row; the last one, refused: number 0"


def test_what_others_of_the_wave_proposed_is_tried_before_failures_end_the_search(
    lessons: ModuleType,
) -> None:
    numbers = count()
    heard = lessons.run(
        lambda asked: lessons.REFUSED if next(numbers) else lessons.teaching(asked),
        lessons.optioned(max_failures=2),
    )
    assert heard.outcomes == [BEST]
    assert len(heard.found.pool) == 2
    assert heard.found.ended.startswith("6 reflections failed in a row")


def test_a_proposal_between_failures_lets_the_search_go_on(lessons: ModuleType) -> None:
    numbers = count()
    heard = lessons.run(
        lambda asked: lessons.REFUSED if next(numbers) % 3 else lessons.teaching(asked),
        lessons.optioned(max_failures=3, patience=50),
    )
    assert heard.found.ended == "every task is solved"


@pytest.mark.parametrize("patience", [1, 3])
def test_waves_without_a_better_text_end_the_search(lessons: ModuleType, patience: int) -> None:
    heard = lessons.run(problem=lessons.of_train(range(20, 60), patience=patience))
    assert heard.found.ended == f"{patience} waves without a better text"
    assert max(member.wave for member in heard.found.pool) == patience


def test_a_wave_that_brings_a_better_text_gives_new_patience(lessons: ModuleType) -> None:
    numbers = count()
    heard = lessons.run(  # every second wave teaches
        lambda asked: lessons.teaching(asked) if next(numbers) % 2 else lessons.REFUSED,
        lessons.optioned(wave=1, patience=2, doubt=1.0),
    )
    assert heard.found.ended == "every task is solved"


def test_without_train_failures_there_is_nothing_to_reflect_on(lessons: ModuleType) -> None:
    assert lessons.run(problem=lessons.of_train(())).reflections == []
    solved = lessons.run(judge=lambda rollout: lessons.scored(rollout, 1.0))
    assert (solved.found.ended, solved.reflections) == ("every task is solved", [])
    assert solved.found.cause == "solved"


def test_where_validation_passes_and_train_does_not_nothing_is_tried_that_could_not_be_seen(
    lessons: ModuleType,
) -> None:
    def judge(rollout: Rollout) -> Attempt:
        return lessons.scored(rollout, float(rollout.task[0] == "v" or lessons.number(rollout.task) % 2))

    heard = lessons.run(judge=judge)
    assert (heard.found.cause, heard.reflections) == ("unseen", [])
    assert heard.found.ended == (
        "every validation task passes, and 5 train tasks fail: more validation tasks are needed, on which"
        " that shows"
    )
    assert len(heard.rollouts) == 18


@pytest.mark.parametrize(("kind", "asked"), [("unparsable", 2), ("no_lesson", 1)])
def test_a_reply_that_cannot_be_used_is_asked_for_once_more_in_another_order(
    lessons: ModuleType, kind: str, asked: int
) -> None:
    failed: list[Reflection] = []

    def reflect(ask: Reflection) -> Proposal | ReflectionFailure:
        if ask.candidate == lessons.SEED and ask.reviewer == 1 and not failed:
            failed.append(ask)
            return ReflectionFailure(kind, "no section")
        return lessons.teaching(ask)

    heard = lessons.run(reflect, lessons.of_train(range(30)))
    same = [
        one
        for one in heard.reflections
        if {*one.failing} == {*failed[0].failing} and one.candidate == lessons.SEED
    ]
    assert len(same) == asked
    assert len({one.failing for one in same}) == asked
    assert len(heard.found.pool[1].edits) == 1 + asked


def test_where_train_passes_and_validation_does_not_more_train_tasks_are_asked_for(
    lessons: ModuleType,
) -> None:
    heard = lessons.run(judge=lambda rollout: lessons.scored(rollout, float(rollout.task[0] == "t")))
    assert heard.found.cause == "learnt"
    assert heard.found.ended == (
        "every train task passes, and 9 validation tasks fail: more train tasks are needed"
    )
    assert heard.reflections == []


def test_what_is_returned_is_what_the_pool_gives_at_that_doubt(lessons: ModuleType) -> None:
    for doubt in (0.0, 1.0):
        problem = lessons.optioned(doubt=doubt, patience=1)
        found = lessons.run(problem=replace(problem, train={"t3": "where"})).found
        choice = choose(found.pool, doubt=doubt)
        assert (found.chosen, found.expected) == (choice.number, choice.expected)
        assert bool(found.chosen) == (doubt > 0)


@given(st.integers(0, 40), st.sampled_from(["budget", "minutes"]), st.booleans())
def test_a_search_that_is_stopped_at_any_ask_returns_what_it_has(
    lessons: ModuleType, cut: int, why: str, small: bool
) -> None:
    problem = lessons.optioned(wave=1, doubt=1.0) if small else lessons.PROBLEM
    whole, heard = lessons.run(problem=problem), lessons.run(problem=problem, cut=cut, why=why)
    assert heard.asks == whole.asks[: cut + 1]
    assert heard.found.pool == whole.found.pool[: len(heard.found.pool)]
    assert heard.found.tried == whole.found.tried[: len(heard.found.tried)]
    assert heard.found.ended == (why if cut < len(whole.asks) else whole.found.ended)
    assert bool(heard.found.pool) == (cut > 0)
    if heard.found.pool:
        choice = choose(heard.found.pool, doubt=problem.options.doubt)
        assert (heard.found.chosen, heard.found.expected) == (choice.number, choice.expected)


# Whatever a reflector says ----------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        "## Lessons\n\n- Be kind to {{customer}}.\n\n",
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
SAID = st.lists(PIECES | st.text(max_size=6), max_size=6).map("".join) | st.text(max_size=20).map(
    "## Lessons\n\n- Be kind to {{customer}}.\n\n".__add__
)
PARTS = st.sampled_from(["lessons", "preamble", "evaluation", "front-matter"])
ANSWERS = st.builds(Proposal, st.text(max_size=5), PARTS, SAID) | st.just(ReflectionFailure("refused", "no"))


@given(st.lists(ANSWERS, min_size=1, max_size=12))
def test_whatever_is_proposed_only_what_an_edit_may_do_is_ever_tried(
    lessons: ModuleType, answers: list[Proposal | ReflectionFailure]
) -> None:
    told = cycle(answers)
    problem = replace(lessons.optioned(max_failures=99), seed=lessons.VERSIONED)
    heard = lessons.run(lambda _: next(told), problem)
    for candidate in {rollout.candidate for rollout in heard.rollouts}:
        assert runbooks.violations(problem.seed, candidate.text, bumped=True) == ()
        assert len(candidate.text) <= len(problem.seed.text) + 3000 + len("1.0.10") - len("1.0.9")


@pytest.mark.parametrize("options", [{}, {"characters": 60, "share": 0.0}])
def test_all_that_is_proposed_is_remembered_once(lessons: ModuleType, options: dict[str, object]) -> None:
    for seed in range(4):
        heard = lessons.run(problem=lessons.of_train(range(30), random_seed=seed, **options))
        remembered = sorted((one.component, one.diagnosis) for one in heard.found.tried)
        assert remembered == sorted((one.component, one.diagnosis) for _, one in heard.proposed)
