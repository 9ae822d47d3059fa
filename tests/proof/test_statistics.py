import itertools
import math
import time
from fractions import Fraction
from random import Random

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.proof.statistics import (
    binary_low,
    clopper_pearson_lower,
    exact,
    groups_needed,
    mcnemar_mid_p,
    paired_interval,
    paired_low,
    paired_p,
    sign_flip_mid_p,
    tasks_needed,
)

LEVELS = (0.05, 0.025, 0.05 / 6, 5e-5)
levels = st.sampled_from(LEVELS)
counts = st.integers(0, 40)
thirds = st.builds(Fraction, st.integers(-3, 3), st.just(3))
gains = st.floats(-1, 1).map(lambda gain: round(gain, 2))


def mid_p_by_hand(differences: list[Fraction]) -> Fraction:
    seen = sum(differences)
    flips = [
        sum(sign * difference for sign, difference in zip(signs, differences, strict=True))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return Fraction(sum(2 * (flip > seen) + (flip == seen) for flip in flips), 2 * len(flips))


@given(st.lists(thirds | gains.map(exact).filter(lambda gain: 360 % gain.denominator == 0), max_size=9))
def test_sign_flips_are_all_counted(differences: list[Fraction]) -> None:
    assert sign_flip_mid_p(differences) == float(mid_p_by_hand(differences))


@given(st.lists(st.floats(-1, 1), max_size=8))
def test_values_off_the_grid_never_look_more_significant_than_they_are(differences: list[float]) -> None:
    true_p = mid_p_by_hand([Fraction(exact(difference)) for difference in differences])
    assert sign_flip_mid_p(differences) >= float(true_p)


def test_sign_flips_agree_with_scipy() -> None:
    differences = [0.5, 0.25, -0.25, 0.75, 0.5, -0.5, 1.0, 0.25, 0.75]
    more, less = (
        scipy.stats.permutation_test(
            (differences,), sum, permutation_type="samples", n_resamples=math.inf, alternative=side
        ).pvalue
        for side in ("greater", "less")
    )
    assert sign_flip_mid_p(differences) == pytest.approx((more + 1 - less) / 2)


@given(counts, counts, counts)
def test_on_wins_and_losses_sign_flips_are_mcnemar(wins: int, losses: int, ties: int) -> None:
    differences = [1] * wins + [-1] * losses + [0] * ties
    assert sign_flip_mid_p(differences) == mcnemar_mid_p(wins, losses) == paired_p(differences)


@given(counts, counts)
def test_mcnemar_agrees_with_the_binomial_distribution_of_scipy(wins: int, losses: int) -> None:
    changed = scipy.stats.binom(wins + losses, 0.5)
    assert mcnemar_mid_p(wins, losses) == pytest.approx(
        changed.cdf(losses) - changed.pmf(losses) / 2, rel=1e-9
    )


@given(st.lists(thirds, min_size=1, max_size=20), st.data())
def test_p_falls_as_a_difference_rises(differences: list[Fraction], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(differences) - 1))
    better = [*differences[:at], Fraction(1), *differences[at + 1 :]]
    assert sign_flip_mid_p(better) <= sign_flip_mid_p(differences)


def test_a_small_p_is_exact() -> None:
    assert mcnemar_mid_p(200, 0) == sign_flip_mid_p([1] * 200) == 0.5**201


def test_many_small_gains_prove_nothing_while_a_disaster_may_hide_behind_them() -> None:
    small_gains = [0.03] * 30
    assert sign_flip_mid_p(small_gains) < 1e-9
    assert paired_p(small_gains) > 0.4


def test_two_hundred_groups_take_a_tenth_of_a_second() -> None:
    rng = Random(0)
    differences = [rng.uniform(-1, 1) for _ in range(200)]
    started = time.process_time()
    paired_p(differences)
    assert time.process_time() - started < 0.1


def test_a_float_is_read_as_the_fraction_that_was_meant() -> None:
    assert exact(0.1 + 0.2) == exact(0.3) == Fraction(3, 10)
    assert exact(2 / 3) == Fraction(2, 3)


@given(st.integers(1, 200), st.data(), levels)
def test_the_lower_limit_is_that_of_clopper_and_pearson(
    trials: int, data: st.DataObject, level: float
) -> None:
    successes = data.draw(st.integers(1, trials))
    oracle = scipy.stats.beta.ppf(level, successes, trials - successes + 1)
    assert clopper_pearson_lower(successes, trials, level) == pytest.approx(oracle, rel=1e-9)


@given(counts, counts, counts, levels)
def test_the_binary_bound_is_the_formula_and_never_contradicts_p(
    b: int, c: int, ties: int, level: float
) -> None:
    n = b + c + ties
    low = binary_low(b, c, n, level) if n else 0.0
    assert (low >= 0) == (mcnemar_mid_p(b, c) <= level) or b + c == 0
    if b and low != 0:
        changed, all_groups = (scipy.stats.beta.ppf(level, b, of - b + 1) for of in (b + c, n))
        formula = (b + c) / n * (2 * changed - 1)
        assert low == pytest.approx(min(formula, all_groups) if formula > 0 else formula)


@given(st.lists(thirds | gains, min_size=1, max_size=12), st.sampled_from((0.05, 0.025)))
def test_bounds_hold_the_gain_and_agree_with_p(differences: list[float], level: float) -> None:
    low, interval = paired_low(differences, level), paired_interval(differences, level)
    gain = float(sum(exact(difference) for difference in differences) / Fraction(len(differences)))
    assert -1 <= interval.low <= low <= gain <= interval.high <= 1
    assert (interval.low >= 0) == (paired_p(differences) <= level)
    assert (interval.high <= 0) == (paired_p([-difference for difference in differences]) <= level)


@pytest.mark.parametrize(("win", "lose"), [(0.3, 0.01), (0.01, 0.3), (0.15, 0.15), (0.02, 0.1), (0.02, 0.02)])
def test_each_side_of_a_binary_interval_misses_the_true_gain_no_more_than_it_may(
    win: float, lose: float
) -> None:
    n, level, too_high, too_low = 24, 0.05, 0.0, 0.0
    for wins, losses in itertools.product(range(n + 1), repeat=2):
        ties = n - wins - losses
        if ties >= 0:
            interval = paired_interval([1] * wins + [-1] * losses + [0] * ties, level)
            chance = math.comb(n, wins) * math.comb(n - wins, losses) * win**wins * lose**losses
            chance *= (1 - win - lose) ** ties
            too_high += chance * (interval.low > win - lose + 1e-12)
            too_low += chance * (interval.high < win - lose - 1e-12)
    assert max(too_high, too_low) <= level


@given(st.lists(thirds, min_size=10, max_size=30), levels)
def test_swapping_before_and_after_mirrors_the_bounds(differences: list[Fraction], level: float) -> None:
    interval = paired_interval(differences, level)
    mirrored = paired_interval([-difference for difference in differences], level)
    assert (interval.low, interval.high) == (-mirrored.high, -mirrored.low)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=7), st.sampled_from([0.3, 0.05, 0.01]))
def test_the_inverted_bound_is_the_last_gain_that_is_significant(fifths: list[int], level: float) -> None:
    differences = [Fraction(fifth, 5) for fifth in (*fifths, 1, 2)]  # neither sign nor size is binary
    low = exact(paired_low(differences, level))
    at, after = (
        mid_p_by_hand([*(difference - gain for difference in differences), -1 - gain])
        for gain in (low, low + Fraction(1, 200))
    )
    assert after > level
    assert at <= level or low == -1


@pytest.mark.parametrize(("wins", "losses"), [(0.28, 0.03), (0.35, 0.10), (0.16, 0.03), (0.9, 0.0)])
def test_groups_needed_is_the_written_formula(wins: float, losses: float) -> None:
    q, g, z = wins + losses, wins - losses, scipy.stats.norm.isf(0.025)
    formula = ((z * math.sqrt(q) + 0.84 * math.sqrt(q - g * g)) / (g - 0.02)) ** 2 + 1 / g
    assert groups_needed(wins, losses, level=0.025, margin=0.02) == math.ceil(formula)


def test_eighty_percent_power_is_reached_with_the_groups_said_to_be_needed() -> None:
    groups = groups_needed(0.28, 0.03, level=0.025)
    rng, proven = Random(2), 0
    for _ in range(1000):
        drawn = rng.choices((1, -1, 0), weights=(0.28, 0.03, 0.69), k=groups)
        proven += paired_p(drawn) <= 0.025
    assert 0.78 <= proven / 1000 <= 0.92


def test_more_groups_settle_a_gain_and_none_settle_a_loss() -> None:
    assert tasks_needed([1] * 5 + [-1] * 2 + [0] * 23, level=0.05 / 6) == 266
    assert tasks_needed([1] * 25 + [0] * 5, level=0.05 / 6) == 1
    assert tasks_needed([-1] * 5 + [0] * 25, level=0.05 / 6) is None
    assert tasks_needed([0.2] * 25, level=0.05 / 6) is not None
