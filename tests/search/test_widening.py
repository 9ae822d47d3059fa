"""Other texts than the best one are brought on where waves on that bring nothing more."""

from types import ModuleType

import pytest

from runbookopt.search.asks import Proposal, Reflection
from runbookopt.search.pool import places
from runbookopt.search.problem import Options, Problem, of_replies
from runbookopt.search.validating import BEST
from runbookopt.search.widening import NOT_THERE

# "left" alone is worse than today's runbook, and is good at something; "right" on top of it solves everything
JUDGED = {"kind": set(range(1, 5)), "left": {0, 8}, "right": set(range(9))}


def through_a_valley(asked: Reflection) -> Proposal:
    """Say "left" first, and "right" only where that stands."""
    text = asked.components[-1].text.rstrip("\n")
    line = "right" if "left" in text else "left"
    return Proposal(line, "lessons", f"{text}\n- {line}\n\n")


def standing_still(lessons: ModuleType, **options: object) -> Problem:
    """Give a problem whose waves are at their end after one."""
    found: Problem = lessons.of_train(range(9), patience=1, wave=1, tidied=False, **options)
    return found


def test_what_lies_behind_a_worse_text_is_found_from_the_frontier(lessons: ModuleType) -> None:
    heard = lessons.run(through_a_valley, standing_still(lessons, widened=8), lessons.judging(JUDGED))
    _, left, right = heard.found.pool
    assert places(heard.found.pool[:2])[1] > 0
    assert left.score < heard.found.pool[0].score
    assert (right.parents, right.score, heard.found.chosen) == ((1,), 1.0, 2)
    assert [one.outcome for one in heard.found.tried if one.diagnosis == "right"] == [BEST]


def test_without_it_the_search_ends_with_its_waves(lessons: ModuleType) -> None:
    heard = lessons.run(through_a_valley, standing_still(lessons), lessons.judging(JUDGED))
    assert (len(heard.found.pool), heard.found.chosen) == (2, 0)
    assert heard.found.ended == "1 waves without a better text"


def test_a_draft_that_is_no_better_on_its_train_tasks_is_not_validated(lessons: ModuleType) -> None:
    worse = {"kind": set(range(0, 9, 2)), "hello": set[int]()}
    said = iter(range(100))
    heard = lessons.run(
        lambda asked: lessons.teach(asked, 50, more=f" hello {next(said)}"),
        standing_still(lessons, widened=5, looked=4),
        lessons.judging(worse),
    )
    assert len(heard.found.pool) == 2, "the seed, and the draft of the only wave"
    assert heard.found.ended == "1 waves without a better text, and 5 reflections on others than the best"
    told = [one for one in heard.found.tried if one.outcome == NOT_THERE]
    assert len(told) == 5
    assert all((one.tasks, one.after) == (4, 0.0) for one in told)
    tried = {one.candidate for one in heard.rollouts} - {member.candidate for member in heard.found.pool}
    assert len(tried) == 5
    assert all((len(heard.on("t", each)), heard.on("v", each)) == (4, []) for each in tried)


@pytest.mark.parametrize("edits", [1, 4])
def test_it_is_for_reflectors_of_several_edits(edits: int) -> None:
    assert (of_replies(Options(), edits).widened > 0) == (edits > 1)
