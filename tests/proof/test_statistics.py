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
    binary_p,
    clopper_pearson_lower,
    exact,
    groups_needed,
    harm_p,
    mcnemar_mid_p,
    paired_high,
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
    assert sign_flip_mid_p(differences) == mcnemar_mid_p(wins, losses) == harm_p([-d for d in differences])


@given(counts, counts, st.integers(1, 40))
def test_where_a_group_is_won_or_lost_p_is_the_mid_p_unless_few_are_alike(
    wins: int, losses: int, ties: int
) -> None:
    p, mid_p = paired_p([1] * wins + [-1] * losses + [0] * ties), mcnemar_mid_p(wins, losses)
    assert p == mid_p or (p > mid_p and (ties < wins + losses or p > 0.05))
    exact_p = float(scipy.stats.binom.cdf(losses, wins + losses, 0.5))
    assert p <= exact_p * (1 + 1e-9)
    if wins > losses:
        assert paired_p([1] * wins + [-1] * losses) == pytest.approx(exact_p)


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


@pytest.mark.parametrize("harm", [0.02, 0.001, 0.0004, 1e-5])
def test_a_small_harm_on_every_group_is_as_plain_as_a_large_one(harm: float) -> None:
    assert harm_p([-harm] * 60) == harm_p([-0.5] * 60) < 1e-9
    assert paired_interval([-harm] * 60, 0.05).high <= 0
    assert harm_p([-harm, harm] * 30) == 0.5


@given(st.lists(st.floats(-1, 1), max_size=8))
def test_harm_off_the_grid_looks_no_less_significant_than_it_is(differences: list[float]) -> None:
    true_p = mid_p_by_hand([-Fraction(exact(difference)) for difference in differences])
    assert harm_p(differences) <= float(true_p)


@pytest.mark.parametrize("outside", [1.5, -1.001, math.nan, math.inf])
def test_a_difference_that_no_two_scores_have_is_an_error(outside: float) -> None:
    for ask in (paired_p, harm_p, lambda values: paired_low(values, 0.05), lambda v: paired_high(v, 0.05)):
        with pytest.raises((ValueError, OverflowError)):
            ask([0.5, outside])


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
    assert b + c == 0 or (low >= 0) == (binary_p(b, c, n) <= level)
    if b and low != 0:
        changed, all_groups = (scipy.stats.beta.ppf(level, b, of - b + 1) for of in (b + c, n))
        formula = (b + c) / n * (2 * changed - 1)
        assert low == pytest.approx(min(formula, all_groups) if formula > 0 else formula)


@given(st.lists(thirds | gains, min_size=1, max_size=12), st.sampled_from((0.05, 0.025)))
def test_bounds_hold_the_gain_and_agree_with_p(differences: list[float], level: float) -> None:
    low, interval = paired_low(differences, level), paired_interval(differences, level)
    gain = float(sum(exact(difference) for difference in differences) / Fraction(len(differences)))
    assert max(low, interval.low) <= gain <= interval.high == paired_high(differences, level)
    assert min(low, interval.low) >= -1
    assert interval.high <= 1
    assert (low >= 0) == (paired_p(differences) <= level) or not any(differences)
    assert (interval.low >= 0) == (harm_p([-difference for difference in differences]) <= level)
    assert (interval.high <= 0) == (harm_p(differences) <= level)


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


def test_the_inverted_bound_is_the_last_gain_that_is_significant() -> None:
    differences = [Fraction(k, 5) for k in (5, 4, 3, 3, 2, 1, 1, 0, 4, 5, 2)]
    low = paired_interval(differences, 0.05).low
    above = [mid_p_by_hand([d - gain for d in differences]) for gain in (exact(low), exact(low + 0.005))]
    assert above[0] <= 0.05 < above[1]


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
