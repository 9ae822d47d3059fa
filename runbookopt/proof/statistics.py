"""Statistics of small paired samples, exact: one test, its bounds, and how much a proof needs (pure)."""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

from msgspec import Struct

from runbookopt.proof.bounded_mean import at_most, gain_low, gain_p, last_within
from runbookopt.proof.sample_size import groups_to_prove, shrunk

Exact = int | Fraction  # a score, a mean of scores or a difference of such means, without rounding

_LARGEST_DENOMINATOR = 1_000_000
_FINEST_GRID = 360  # divisible by 1-6, 8-10, 12, 15, 18 and 20, so that most averages lie on it
_BOUND_STEPS = 200  # a bound is given to half a point at least


class Interval(Struct, frozen=True):
    """Limits of a mean difference, in -1..1; each is one-sided at the level it was asked for."""

    low: float
    high: float


@lru_cache(maxsize=4096)  # of few scores there are many
def exact(score: float | Fraction) -> Exact:
    """A float as the rational that was meant: the nearest one with a denominator up to a million.

    So 2/3 is two thirds, and two ways of adding the same weights differ by nothing. Keeps order. Raises
    ValueError or OverflowError where `score` is not finite.
    """
    if not isinstance(score, float):
        return score
    return int(score) if score.is_integer() else Fraction(score).limit_denominator(_LARGEST_DENOMINATOR)


def mean(values: Sequence[Exact]) -> Exact:
    """The mean without rounding; `values` must not be empty."""
    return values[0] if len(values) == 1 else Fraction(sum(values)) / len(values)


def paired_p(differences: Sequence[float | Fraction]) -> float:
    """The one-sided p of "after is no better than before" from paired differences in -1..1.

    It is `gain_p`, which rare disasters behind many small gains do not fool, and on differences of -1, 0 and
    1 `binary_p`, McNemar's mid-p. Raises ValueError for a difference outside -1..1.
    """
    values = _differences(differences)
    if _binary(values):
        return binary_p(values.count(1), values.count(-1), len(values))
    return gain_p([float(value) for value in values])


def paired_low(differences: Sequence[float | Fraction], level: float) -> float:
    """The lower bound of the mean difference that belongs to `paired_p`, at `level` (under .5).

    It is 0 or more wherever `paired_p(differences) <= level`.
    """
    values = _differences(differences)
    if _binary(values):
        return binary_low(values.count(1), values.count(-1), len(values), level)
    return gain_low([float(value) for value in values], level)


def harm_p(differences: Sequence[float | Fraction]) -> float:
    """The one-sided p of "after is no worse than before", for measures that must not lose.

    The plain sign-flip mid-p of the differences' negatives: an imagined loss, or a floor, would speak for
    the winner here. Values that share no grid are rounded toward harm (`sign_flip_mid_p` says which).
    """
    values = _differences(differences)
    if _binary(values):
        return mcnemar_mid_p(values.count(-1), values.count(1))
    return _flips_mid_p([-step for step in _on_grid(values).steps])


def paired_high(differences: Sequence[float | Fraction], level: float) -> float:
    """The upper bound of the mean difference, at `level` (under .5), that belongs to `harm_p`.

    It is 0 or less wherever `harm_p(differences) <= level`, and never below the mean.
    """
    values = _differences(differences)
    if _binary(values):
        return 0.0 - _binary_reach(values.count(-1), values.count(1), len(values), level)
    return max(0.0 - _inverted_low(_on_grid(values).refined().negated(), level), float(mean(values)))


def paired_interval(differences: Sequence[float | Fraction], level: float) -> Interval:
    """The reach of the mean difference to either side, each at `level` (under .5), by sign-flips alone.

    `high` is `paired_high`, and `low` is the same with before and after swapped: of a measure that must not
    lose, not of one that has to gain (`paired_low`). A side beyond 0 reaches further where all differences
    are -1, 0 or 1: see `_binary_reach`.
    """
    values = _differences(differences)
    if _binary(values):
        low = _binary_reach(values.count(1), values.count(-1), len(values), level)
    else:
        low = _inverted_low(_on_grid(values).refined(), level)
    return Interval(low, paired_high(values, level))


@lru_cache(maxsize=65536)
def binary_p(wins: int, losses: int, groups: int) -> float:
    """The one-sided p where every difference is -1, 0 or 1: McNemar's mid-p, but where nearly all differ.

    `gain_p` of the same is no smaller, so that a score of .999 in place of 1 proves no more.

    The mid-p is right on average over how many groups differ. Where that is no chance, since all do, up to
    1.4 times as many samples pass as the level says. There the floor of `disaster_floors` is the larger one:
    P(Bin(n, w/(w + n - l)) <= l), the exact p if all n differ; if a fourth are alike it is below the mid-p.
    """
    p = mcnemar_mid_p(wins, losses)
    if wins <= losses:
        return p
    return max(p, at_most(losses, groups, wins / (wins + groups - losses)))


@lru_cache(maxsize=4096)
def mcnemar_mid_p(wins: int, losses: int) -> float:
    """The one-sided mid-p of McNemar's test: P(L < losses) + P(L = losses)/2, L ~ Bin(wins+losses, 1/2).

    Integers until the last division. Fagerland, Lydersen and Laake (2013), "The McNemar test for binary
    matched-pairs data: mid-p and asymptotic are better than exact conditional".
    """
    changed = wins + losses
    fewer = sum(math.comb(changed, k) for k in range(losses))
    return float(Fraction(2 * fewer + math.comb(changed, losses), 1 << changed + 1))


def sign_flip_mid_p(differences: Sequence[float | Fraction]) -> float:
    """The mid-p of the exact one-sided sign-flip distribution of the sum of `differences`.

    Under "no better", each difference is as likely to have had the other sign (Fisher 1935, section 21), so
    p = P(S > s) + P(S = s)/2 over all 2^n flips; every flip is counted, in integers. Values that are not all
    whole multiples of a step, the largest at most 360 of them, are rounded down to 360ths of the largest;
    p rises as any difference falls, so that this can only raise it.
    """
    return _flips_mid_p(_on_grid([exact(difference) for difference in differences]).steps)


def clopper_pearson_lower(successes: int, trials: int, level: float) -> float:
    """The lower limit of a share at confidence `1 - level`: where P(X >= successes) is `level`.

    Clopper and Pearson (1934), "The use of confidence or fiducial limits illustrated in the case of the
    binomial"; 0 where there are no successes.
    """
    if successes == 0:
        return 0.0
    if successes == trials:
        return float(level ** (1 / trials))
    # Newton's steps on log P over log share. The beta distribution's logarithm has a log-concave distribution
    # function, so the steps cannot overshoot from the left and always converge.
    log_share = math.log(successes / trials)
    for _ in range(50):
        log_first, ratio = _upper_tail(successes, trials, math.exp(log_share))
        step = (log_first + math.log(ratio) - math.log(level)) * ratio / successes
        log_share -= step
        if abs(step) < 1e-13:  # noqa: PLR2004  (as near as floats get)
            break
    return math.exp(log_share)


@lru_cache(maxsize=65536)
def binary_low(wins: int, losses: int, groups: int, level: float) -> float:
    """The lower bound of (wins - losses)/groups where every difference is -1, 0 or 1.

    m/n * (2*CP(b; m) - 1) for b wins among m changed of n groups; if positive, at most CP(b; n). Where p
    passes though Clopper and Pearson's limit, which is a little wider, falls short, the bound is 0: it never
    contradicts p.
    """
    low = _changed_low(wins, losses, groups, level)
    return max(low, 0.0) if binary_p(wins, losses, groups) <= level else low


def _changed_low(wins: int, losses: int, groups: int, level: float) -> float:
    changed = wins + losses
    if changed == 0:
        return 0.0
    low = changed / groups * (2 * clopper_pearson_lower(wins, changed, level) - 1)
    return min(low, clopper_pearson_lower(wins, groups, level)) if low > 0 else low


def _binary_reach(wins: int, losses: int, groups: int, level: float) -> float:
    """`binary_low` by the mid-p alone; below 0 with an upper limit in place of m/n.

    There, taking the share of changed groups as known would promise too much: 3 losses and no win would
    have the lower bound -3/n.
    """
    low = _changed_low(wins, losses, groups, level)
    changed = wins + losses
    if low > 0 or (changed and mcnemar_mid_p(wins, losses) <= level):
        return max(low, 0.0)
    share = 1 - clopper_pearson_lower(groups - changed, groups, level)
    return share * (2 * clopper_pearson_lower(wins, changed, level) - 1)


def groups_needed(
    wins: float, losses: float, *, level: float, margin: float = 0.0, power: float = 0.8
) -> int:
    """The number of groups that show a gain above `margin` at `level` with `power`.

    `wins` and `losses` are shares of all groups; the gain `wins - losses` must exceed `margin`. Connor
    (1987), "Sample size for testing differences in proportions for the paired-sample design", with 1/gain
    more for continuity; the power's z to two places, .84 for .8.
    """
    gain, changed = wins - losses, wins + losses
    z_level = -NormalDist().inv_cdf(level)
    z_power = round(NormalDist().inv_cdf(power), 2)
    spread = z_level * math.sqrt(changed) + z_power * math.sqrt(changed - gain * gain)
    return math.ceil((spread / (gain - margin)) ** 2 + 1 / gain)


def tasks_needed(differences: Sequence[float | Fraction], *, level: float, margin: float = 0.0) -> int | None:
    """The number of groups more that would show, at `level` with power .8, a gain like the one seen.

    None where that is not above `margin`, so that no number would. Wins and losses are shrunk by half of
    one each. Differences of -1, 0 and 1 go by `groups_needed`, others by the test itself
    (`sample_size.groups_to_prove`).
    """
    values = _differences(differences)
    if not _binary(values):
        atoms = shrunk([float(value) for value in values])
        groups = groups_to_prove(atoms, level=level, margin=margin)
        return None if groups is None else max(1, groups - len(values))
    wins, losses = ((values.count(side) + 0.5) / (len(values) + 1) for side in (1, -1))
    if wins - losses <= margin:
        return None
    return max(1, groups_needed(wins, losses, level=level, margin=margin) - len(values))


def _binary(values: Sequence[Exact]) -> bool:
    return {-1, 0, 1}.issuperset(values)


def _differences(differences: Sequence[float | Fraction]) -> list[Exact]:
    values = [exact(difference) for difference in differences]
    outside = next((value for value in values if not -1 <= value <= 1), None)
    if outside is not None:
        raise ValueError(f"a difference of scores is {float(outside):g}: expected -1 to 1")
    return values


class _Grid(NamedTuple):
    """Values as whole `steps` of `size` each."""

    steps: list[int]
    size: Fraction

    def refined(self) -> "_Grid":
        """The same values in steps small enough for a bound."""
        finer = math.ceil(self.size * _BOUND_STEPS)
        return _Grid([step * finer for step in self.steps], self.size / finer)

    def negated(self) -> "_Grid":
        return _Grid([-step for step in self.steps], self.size)


def _on_grid(values: Sequence[Exact]) -> _Grid:
    """The values on the coarsest grid that holds them all; on 360ths of the largest where that is finer.

    There they are rounded down, but never to nothing because all of them are small: a harm of a thousandth
    on every group is as plain as one of a half.
    """
    shared = math.lcm(*(value.denominator for value in values))
    whole = [int(value * shared) for value in values]
    divisor = math.gcd(*whole)
    largest = max(map(abs, whole), default=0)
    if largest <= _FINEST_GRID * divisor:
        return _Grid([step // (divisor or 1) for step in whole], Fraction(divisor or 1, shared))
    return _Grid([_FINEST_GRID * step // largest for step in whole], Fraction(largest, shared * _FINEST_GRID))


def _flips_mid_p(values: Sequence[int]) -> float:
    """Count the flips of whole numbers: S >= s where what is flipped sums to 0 or less."""
    gains, losses = sum(v for v in values if v > 0), -sum(v for v in values if v < 0)
    changed = tuple(sorted(abs(value) for value in values if value))
    below, at = _subsets(changed, min(gains, losses))
    flips = 2 ** len(changed)
    tail = 2 * below + at
    return float(Fraction(tail if losses <= gains else 2 * flips - tail, 2 * flips))


@lru_cache(maxsize=1024)  # a score and its only objective, and both sides of an interval, ask the same
def _subsets(values: tuple[int, ...], limit: int) -> tuple[int, int]:
    """Count the subsets of positive sorted `values` that sum to less than `limit`, and those that sum to it.

    The product of (1 + x^v) up to x^limit, each coefficient in its own bits of one integer: a factor is a
    shift and a sum.
    """
    divisor = math.gcd(*values, limit) or 1
    limit //= divisor
    bits = len(values) + 1
    mask = (1 << (limit + 1) * bits) - 1
    counts = 1
    for value in values:
        counts = (counts + (counts << value // divisor * bits)) & mask
    at = counts >> limit * bits
    return (counts - (at << limit * bits)) % ((1 << bits) - 1), at  # the sum of digits


def _inverted_low(grid: _Grid, level: float) -> float:
    """The largest gain on the grid that its values are significantly above; -1 where there is none.

    Taking a gain off every difference tests that gain; p rises with it (Lehmann and Romano, "Testing
    Statistical Hypotheses", 3.5, on test inversion).
    """
    steps, groups = grid.steps, len(grid.steps)
    centre = sum(steps) / groups
    spread = math.sqrt(sum((step - centre) ** 2 for step in steps)) / groups
    below_all = min(steps) - 1
    passing = last_within(
        lambda gain: _flips_mid_p([step - gain for step in steps]),
        level,
        reach=(below_all, math.ceil(centre)),
        guess=math.floor(centre + NormalDist().inv_cdf(level) * spread),
        slope=1 / max(spread, 1e-9),
    )
    if passing == below_all and 0.5 ** (groups + 1) > level:
        return -1.0
    return max(-1.0, float(passing * grid.size))


def _upper_tail(successes: int, trials: int, share: float) -> tuple[float, float]:
    """Log P(X = successes), and how many times that P(X >= successes) is."""
    log_first = math.log(math.comb(trials, successes)) + successes * math.log(share)
    log_first += (trials - successes) * math.log1p(-share)
    odds = share / (1 - share)
    ratio = term = 1.0
    for k in range(successes, trials):
        term *= (trials - k) / (k + 1) * odds
        ratio += term
        if term < ratio * 1e-17:
            break
    return log_first, ratio
