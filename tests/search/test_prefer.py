"""Selection by an objective that today's priority prefers: among what is better, and on the frontier."""

import pytest

from runbookopt.search.asks import Attempt, Candidate
from runbookopt.search.pool import Member
from runbookopt.search.selection import choose

TASKS = 24


def member(name: str, accuracy: int, safety: int, parents: tuple[int, ...] = (0,)) -> Member:
    """Give a member that passes so many tasks in either respect; the score is their mean."""
    validation = {}
    for number in range(TASKS):
        objectives = {"accuracy": float(number < accuracy), "safety": float(number < safety)}
        score = sum(objectives.values()) / 2
        validation[f"t-{number:02}"] = Attempt("", None, score, objectives)
    return Member(Candidate(name), parents, 1, validation)


SEED = member("seed", 6, 6, ())
ACCURATE, SAFE, WORSE = member("accurate", 24, 12), member("safer", 12, 22), member("worse", 0, 10)


@pytest.mark.parametrize(("prefer", "number"), [(None, 1), ("accuracy", 1), ("safety", 2)])
def test_the_member_of_the_frontier_that_fits_is_chosen(prefer: str | None, number: int) -> None:
    assert choose([SEED, ACCURATE, SAFE, WORSE], doubt=0.09, prefer=prefer).number == number


def test_what_is_no_better_than_today_is_not_chosen_for_any_objective() -> None:
    safe_alone = member("safe alone", 0, 12)
    for doubt in (0.09, 1.0):
        assert choose([SEED, ACCURATE, safe_alone], doubt=doubt, prefer="safety").number == 1
        assert choose([SEED, safe_alone], doubt=0.09, prefer="safety").number == 0


def test_its_expected_score_is_less_what_is_the_luck_of_the_best() -> None:
    found = choose([SEED, ACCURATE, SAFE], doubt=0.09, prefer="safety")
    assert found.expected <= SAFE.score
