"""Shortening: what does no good is taken out of a text, and what is needed stays."""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runbookopt.search.asking import Asking
from runbookopt.search.asks import Attempt, Proposal, Reflection, Reply, Rollout
from runbookopt.search.drafts import Draft, Trial
from runbookopt.search.edits import TAKEN_OUT, crossed
from runbookopt.search.minibatches import Minibatch
from runbookopt.search.shortening import shortened
from runbookopt.search.state import SearchState
from runbookopt.search.validating import validated

T = TypeVar("T")


def saying(lessons: ModuleType, lines: Mapping[int, str]) -> object:
    """Give a reflector that says for each failure shown the line of its number, an edit each."""

    def reflect(asked: Reflection) -> Proposal:
        text = asked.components[-1].text.rstrip("\n")
        said = [(lines[lessons.number(one.task)], one.trajectory) for one in asked.failing]
        first, *others = [
            Proposal(line, "lessons", f"{text}\n- {line}\n\n", (cited,)) for line, cited in said
        ]
        return replace(first, also=tuple(others))

    return reflect


def answered(asking: Asking[T], judge: Callable[[Rollout], Attempt]) -> T:
    """Answer rollouts until the result is there."""
    try:
        ask = next(asking)
        while True:
            ask = asking.send(Reply(tuple(map(judge, ask.rollouts))))
    except StopIteration as end:
        result: T = end.value
        return result


EDITS = st.lists(st.sets(st.integers(0, 5), max_size=3), min_size=1, max_size=6)
"""The tasks that each edit mends; it is for the task of its place."""


@given(EDITS, st.sets(st.integers(0, 5), max_size=1), st.integers(1, 3))
def test_no_task_is_lost_that_what_is_taken_out_was_looked_at_with(
    lessons: ModuleType, mends: list[set[int]], spoilt: set[int], checked: int
) -> None:
    def judge(rollout: Rollout) -> Attempt:
        number = lessons.number(rollout.task)
        solved = [place for place, tasks in enumerate(mends) if number in tasks]
        stands = any(f"edit {place}." in rollout.candidate.text for place in solved)
        spoils = any(f"edit {place}." in rollout.candidate.text for place in spoilt - {number})
        attempt: Attempt = lessons.scored(rollout, float(stands and not spoils))
        return attempt

    state = SearchState(lessons.of_train(range(6), checked=checked))
    ask = Reflection(lessons.SEED, state.problem.seed.components, (), (), (), 0)
    edits = [
        Trial(
            Proposal("x", "lessons", lessons.OWN.rstrip("\n") + f"\n- edit {place}.\n\n"),
            ask,
            Minibatch((f"t{place}", *(f"t{number}" for number in sorted(tasks - {place}))), (), ()),
        )
        for place, tasks in enumerate(mends)
    ]
    answered(validated(state, Draft(0, state.seed)), judge)
    answered(validated(state, crossed(state, 0, edits)), judge)
    whole = state.pool.members[1].candidate
    light = answered(shortened(state, 1, edits), judge)
    before = state.scores(whole, state.problem.train)
    assert before.keys() == state.problem.train.keys()
    if light is None:
        return
    assert len(light.candidate.text) < len(whole.text)
    after = state.scores(light.candidate, state.problem.train)
    looked_at = {
        task for trial in light.out for task in [one for one in trial.tasks if before[one]][:checked]
    }
    assert looked_at <= after.keys()
    assert all(after[task] >= before[task] for task in looked_at)


@pytest.mark.parametrize("useless", ["nothing {}.", "harm {}."])
def test_what_does_no_good_is_not_in_the_text_that_is_returned(lessons: ModuleType, useless: str) -> None:
    def judge(rollout: Rollout) -> Attempt:
        harmed = any(f"harm {lessons.number(rollout.task) - by}." in rollout.candidate.text for by in (0, 1))
        attempt: Attempt = lessons.scored(rollout, 0.0) if harmed else lessons.attempt(rollout)
        return attempt

    lines = {number: (useless if number % 4 == 3 else "lesson {}.").format(number) for number in range(9)}
    heard = lessons.run(saying(lessons, lines), lessons.optioned(edits=4, minibatch=9, contrast=0), judge)
    chosen = heard.found.pool[heard.found.chosen].candidate.text
    assert useless.partition(" ")[0] not in chosen
    assert "lesson " in chosen


def test_of_two_edits_with_one_remedy_one_is_left(lessons: ModuleType) -> None:
    """What either is for is learnt, so the search ends: its text is looked at all the same."""
    lines = {number: f"same {number}." for number in range(9)}

    def judge(rollout: Rollout) -> Attempt:
        attempt: Attempt = lessons.scored(rollout, float("same" in rollout.candidate.text))
        return attempt

    heard = lessons.run(saying(lessons, lines), lessons.optioned(edits=4, minibatch=9, contrast=0), judge)
    assert heard.found.pool[1].candidate.text.count("same") == 9
    assert heard.found.pool[heard.found.chosen].candidate.text.count("same") == 1
    assert heard.found.ended == "every task is solved"


def test_what_a_task_needs_is_never_taken_out(lessons: ModuleType) -> None:
    heard = lessons.run(problem=lessons.of_train(range(9)))
    assert TAKEN_OUT not in {one.diagnosis for one in heard.found.tried}
    assert heard.found.pool[heard.found.chosen].candidate.text.count("lesson ") == 9


@pytest.mark.parametrize("options", [{"adds": 0.0, "tidied": False}, {}])
def test_what_does_no_good_stays_where_nothing_is_to_be_taken_out(
    lessons: ModuleType, options: Mapping[str, object]
) -> None:
    lines = {number: f"nothing {number}." if number % 2 else f"lesson {number}." for number in range(9)}
    problem = lessons.optioned(edits=4, minibatch=9, contrast=0, **options)
    heard = lessons.run(saying(lessons, lines), problem)
    chosen = heard.found.pool[heard.found.chosen].candidate.text
    assert chosen.count("lesson ") == 5
    assert ("nothing" in chosen) == bool(options)
