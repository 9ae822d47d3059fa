import math
from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.proof.bounded_mean import at_most, disaster_floors, gain_low, gain_p, last_within, race_p
from runbookopt.proof.comparison import MINIMUM_GROUPS
from runbookopt.proof.statistics import binary_low, binary_p, mcnemar_mid_p

LEVELS = (0.05, 0.025, 0.0025)
differences = st.lists(st.floats(-1, 1).map(lambda value: round(value, 3)), min_size=1, max_size=30)
counts = st.integers(0, 30)


def outlived(gains: list[Fraction], losses: list[Fraction]) -> Fraction:
    """Give the chance that exponential times of these sizes, all different, sum to less than those.

    The survival function of a sum of such times is a sum of exponentials (Feller, volume 2, I.13).
    """
    chance = Fraction(0)
    for k, loss in enumerate(losses):
        others = losses[:k] + losses[k + 1 :]
        share = math.prod((loss / (loss - other) for other in others), start=Fraction(1))
        chance += share * math.prod((loss / (loss + gain) for gain in gains), start=Fraction(1))
    return chance


@given(st.lists(st.integers(-99, 99).filter(bool), min_size=1, max_size=12, unique_by=abs))
def test_the_race_is_that_of_sums_of_exponential_times(hundredths: list[int]) -> None:
    values = [Fraction(value, 100) for value in hundredths]
    gains, losses = [v for v in values if v > 0], [-v for v in values if v < 0]
    without = outlived(gains, losses) if losses else Fraction(not gains)
    by_hand = (without + outlived(gains, [*losses, Fraction(1)])) / 2
    assert race_p([float(value) for value in values]) == pytest.approx(float(by_hand), rel=1e-9)


@given(counts, counts, counts)
def test_on_wins_and_losses_the_race_is_hardly_more_than_the_mid_p(wins: int, losses: int, ties: int) -> None:
    values = [1.0] * wins + [-1.0] * losses + [0.0] * ties
    tie = float(scipy.stats.binom.pmf(losses, wins + losses, 0.5))
    more = tie / 2 * losses / max(1, wins + losses)
    if wins:
        assert race_p(values) == pytest.approx(mcnemar_mid_p(wins, losses) + more, rel=1e-9)
    if wins + losses + ties >= MINIMUM_GROUPS:
        assert gain_p(values) >= binary_p(wins, losses, len(values)) * (1 - 1e-9)


@given(st.integers(1, 60), st.data())
def test_of_two_values_it_is_never_below_the_exact_p_of_the_rate(groups: int, data: st.DataObject) -> None:
    lost = data.draw(st.integers(0, groups - 1))
    gain, loss = (data.draw(st.floats(0.01, 1)) for _ in range(2))
    rate = gain / (gain + loss)  # at which such disasters eat up such gains
    p = gain_p([gain] * (groups - lost) + [-loss] * lost)
    assert p >= min(0.3, float(scipy.stats.binom.cdf(lost, groups, rate))) * (1 - 1e-9)


@given(st.integers(1, 200), st.data(), st.floats(0.001, 0.999))
def test_the_tail_is_the_binomial_one(trials: int, data: st.DataObject, share: float) -> None:
    most = data.draw(st.integers(0, trials))
    assert at_most(most, trials, share) == pytest.approx(scipy.stats.binom.cdf(most, trials, share), rel=1e-7)


def test_small_gains_prove_no_more_than_the_disasters_that_were_not_seen_allow() -> None:
    assert disaster_floors([0.03] * 30) == pytest.approx(1.03**-30)
    assert disaster_floors([0.5] * 10 + [-0.6] * 10) == 1.0
    assert gain_p([0.03] * 30) > 0.4
    assert gain_p([]) == 1.0


@given(differences, st.data())
def test_p_falls_as_a_difference_rises(values: list[float], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(values) - 1))
    better = [*values[:at], data.draw(st.floats(values[at], 1)), *values[at + 1 :]]
    for p in (race_p, disaster_floors, gain_p):
        assert p(better) <= p(values) * (1 + 1e-9)


@given(differences, st.sampled_from(LEVELS))
def test_the_bound_agrees_with_p_and_is_no_higher_than_the_mean(values: list[float], level: float) -> None:
    low = gain_low(values, level)
    assert (low >= 0) == (gain_p(values) <= level)
    assert -1 <= low <= max(math.fsum(values) / len(values), -1)
    assert low == round(low, 3)


@given(st.integers(5, 30), st.integers(0, 5), st.integers(5, 40), st.sampled_from(LEVELS))
def test_a_score_that_is_nearly_whole_proves_no_more_than_a_whole_one(
    wins: int, losses: int, ties: int, level: float
) -> None:
    nearly = [1.0] * (wins - 1) + [0.999] + [-1.0] * losses + [0.0] * ties
    groups = len(nearly)
    assert gain_p(nearly) >= binary_p(wins, losses, groups) * (1 - 1e-9)
    assert gain_low(nearly, level) <= binary_low(wins, losses, groups, level) + 0.002


def test_the_bound_is_missed_no_more_often_than_it_may_be() -> None:
    rng, level, draws = Random(4), 0.05, 600
    values, weights = (0.3, 0.1, -0.05, -0.9), (0.2, 0.45, 0.3, 0.05)
    truth = math.fsum(value * weight for value, weight in zip(values, weights, strict=True))
    missed = sum(gain_low(rng.choices(values, weights, k=40), level) > truth for _ in range(draws))
    assert missed <= level * draws


@pytest.mark.parametrize("slope", [1e-6, 0.05, 50.0])
@pytest.mark.parametrize("guess", [-90, 0, 37, 99])
def test_the_last_step_within_a_level_is_found_from_any_guess(guess: int, slope: float) -> None:
    def p(step: int) -> float:
        return 1 / (1 + math.exp(-(step - 40) / 6))

    found = last_within(p, 0.05, reach=(-100, 100), guess=guess, slope=slope)
    assert p(found) <= 0.05 < p(found + 1)
    assert last_within(p, 1e-12, reach=(-100, 100), guess=guess, slope=slope) == -100


def test_a_bound_takes_few_races() -> None:
    rng, asked = Random(1), []

    def p(step: int) -> float:
        asked.append(step)
        return scipy.stats.norm.cdf((step - 140) / 30)

    for level in LEVELS:
        last_within(p, level, reach=(-1000, 300), guess=rng.randrange(40, 120), slope=1 / 30)
    assert len(asked) <= 6 * len(LEVELS)
    assert all(earlier != later for earlier, later in pairwise(asked))
