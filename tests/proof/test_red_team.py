"""Red-team slice: apart from all other tasks, and what it lets merge by itself."""

import pytest

from runbookopt.project.policy import Facts, Policy, decide
from runbookopt.proof.comparison import Outcome, Pair
from runbookopt.proof.red_team import RedTeam, red_team


def pair(name: str, before: list[float], after: list[float]) -> Pair:
    sides = [tuple(Outcome(score, {}) for score in side) for side in (before, after)]
    return Pair(name, name, *sides)


def of(*tasks: tuple[list[float], list[float]]) -> RedTeam:
    found = red_team([pair(f"t-{number}", *sides) for number, sides in enumerate(tasks)])
    assert found is not None
    return found


def test_where_each_is_tried_once_no_task_may_be_lost_whatever_is_won() -> None:
    won, lost, same = ([0.0], [1.0]), ([1.0], [0.0]), ([1.0], [1.0])
    assert of(won, same).holds
    assert not of(won, won, won, lost).holds
    assert not of(same, ([1.0], [0.9])).holds


def test_where_chance_has_a_hand_in_each_a_loss_may_be_luck_but_not_all_of_them() -> None:
    up, down = ([0.0, 1.0], [1.0, 1.0]), ([1.0, 1.0], [1.0, 0.0])
    assert of(up, up, down).holds
    assert not of(down, ([1.0, 1.0], [1.0, 1.0])).holds
    assert not of(*[down] * 9, *[([0.0, 0.0], [1.0, 1.0])] * 2).holds  # the mean fell


def test_its_figures_are_means_over_tasks() -> None:
    found = of(([0.0, 1.0], [1.0, 1.0]), ([1.0, 1.0], [1.0, 1.0]))
    assert (found.tasks, found.before, found.after, found.won, found.lost) == (2, 0.75, 1.0, 1, 0)
    assert red_team([]) is None


@pytest.mark.parametrize(
    ("paths", "found", "expected"),
    [
        ((), of(([1.0], [0.0])), None),
        (("red/",), None, "unknown"),
        (("red/",), of(([1.0], [0.0])), "no"),
        (("red/",), of(([1.0], [1.0])), "yes"),
    ],
)
def test_it_is_a_condition_where_the_policy_names_one_and_unknown_is_no_yes(
    paths: tuple[str, ...], found: RedTeam | None, expected: str | None
) -> None:
    reasons = decide(Policy(merge="auto", red_team=paths), Facts(None, red_team=found)).reasons
    words = [reason for reason in reasons if reason.condition == "red_team"]
    assert len(words) == (expected is not None)
    if expected == "unknown" or expected is None:
        assert all(reason.holds is None for reason in words)
