from random import Random

import pytest
from scipy.stats import binomtest

from runbookopt.proof.comparison import Outcome, Pair, Terms, compare, passes
from runbookopt.proof.power import BROKEN, POWER, power, provable_gain
from runbookopt.proof.statistics import paired_p

FIRST = 0.025
WINNER = (0.16, 0.03)  # fixes 40 % of failures, breaks 5 % of passes, where 60 % pass: 13 points


def exact_passes(wins: int, losses: int, level: float = FIRST) -> bool:
    """Decide by McNemar's exact test, an oracle's."""
    return wins + losses > 0 and binomtest(wins, wins + losses, alternative="greater").pvalue <= level


def compared(rng: Random, groups: int, wins: float, losses: float) -> bool:
    """Draw one proof and let the repository's own comparison answer."""
    sides = [
        (0, 1) if chance < wins else (1, 0) if chance < wins + losses else (1, 1)
        for chance in (rng.random() for _ in range(groups))
    ]
    pairs = [
        Pair(f"t-{n}", f"g-{n}", (Outcome(before, {}),), (Outcome(after, {}),))
        for n, (before, after) in enumerate(sides)
    ]
    return compare(pairs, Terms(), spend=FIRST, next_spend=FIRST / 3).answer == "accepted"


@pytest.mark.parametrize(("groups", "known"), [(40, 0.33), (72, 0.67), (100, 0.84)])
def test_the_power_of_the_exact_test_is_as_published_and_ours_has_more(groups: int, known: float) -> None:
    theirs = power(groups, *WINNER, exact_passes)
    ours = power(groups, *WINNER, lambda wins, losses: passes(wins, losses, groups, FIRST))
    assert theirs == pytest.approx(known, abs=0.006)
    assert 0.04 < ours - theirs < 0.125


@pytest.mark.parametrize(("groups", "known"), [(20, 0.13), (30, 0.30), (40, 0.45), (60, 0.69), (100, 0.91)])
def test_the_power_at_the_usual_level_is_as_published(groups: int, known: float) -> None:
    def accepts(wins: int, losses: int) -> bool:
        return exact_passes(wins, losses, 0.05)

    assert power(groups, *WINNER, accepts) == pytest.approx(known, abs=0.006)


@pytest.mark.parametrize(("groups", "wins", "losses"), [(40, *WINNER), (25, 0.35, 0.02), (60, 0.1, 0.05)])
def test_the_power_is_the_share_of_drawn_proofs_that_are_accepted(
    groups: int, wins: float, losses: float
) -> None:
    rng, draws = Random(7), 1500
    accepted = sum(compared(rng, groups, wins, losses) for _ in range(draws)) / draws
    expected = power(groups, wins, losses, lambda b, c: passes(b, c, groups, FIRST))
    assert accepted == pytest.approx(expected, abs=3.5 * (0.25 / draws) ** 0.5)


@pytest.mark.parametrize("groups", [20, 41, 94])
@pytest.mark.parametrize("base", [0.1, 0.5])
def test_the_provable_gain_is_the_smallest_that_has_the_power(groups: int, base: float) -> None:
    gain, losses = provable_gain(groups, FIRST, base=base), BROKEN * base
    assert gain is not None
    enough = [
        power(groups, found + losses, losses, lambda wins, lost: passes(wins, lost, groups, FIRST)) >= POWER
        for found in (gain - 0.001, gain)
    ]
    assert enough == [False, True]


def test_more_groups_prove_smaller_gains() -> None:
    assert [provable_gain(groups, FIRST) for groups in (19, 20, 41, 94, 200)] == [
        None,
        0.362,
        0.205,
        0.11,
        0.066,
    ]


def test_a_later_look_and_a_margin_take_a_larger_gain() -> None:
    least = provable_gain(60, FIRST)
    assert least is not None
    for stricter in (provable_gain(60, FIRST / 3), provable_gain(60, FIRST, margin=0.1)):
        assert stricter is not None
        assert stricter > least


def test_where_no_gain_is_left_none_can_be_proved() -> None:
    assert provable_gain(20, 1e-9) is None
    assert provable_gain(200, FIRST, base=1.0) is None
    assert provable_gain(20, FIRST, base=0.7) is None
    assert provable_gain(20, FIRST, margin=0.97, base=0) is None


def test_scores_between_0_and_1_are_planned_by_the_test_that_decides_of_them() -> None:
    for groups in (41, 94):
        whole, graded, thrice = (
            provable_gain(groups, FIRST, **how) for how in ({}, {"graded": True}, {"repeats": 3})
        )
        assert whole is not None
        assert graded is not None
        assert thrice is not None
        assert whole - 0.002 <= graded <= min(thrice, whole + 0.02)
    assert provable_gain(20, FIRST, base=0.7, repeats=3) is None


def test_the_gain_planned_for_three_repeats_is_proved_four_times_in_five() -> None:
    gain = provable_gain(72, FIRST, base=0.5, repeats=3)
    assert gain is not None
    rng, draws = Random(8), 400

    def passing(rate: float) -> float:
        return sum(rng.random() < rate for _ in range(3)) / 3

    proven = sum(
        paired_p([passing(0.5 + gain) - passing(0.5) for _ in range(72)]) <= FIRST for _ in range(draws)
    )
    assert 0.72 <= proven / draws <= 0.9
