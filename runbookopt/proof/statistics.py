"""Statistics of small paired samples, exact: one test, its bounds, and how much a proof needs (pure)."""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist

from msgspec import Struct

Exact = int | Fraction  # a score, a mean of scores or a difference of such means, without rounding

_LARGEST_DENOMINATOR = 1_000_000
_FINEST_GRID = 360  # divisible by 1-6, 8-10, 12, 15, 18 and 20, so that most averages lie on it
_BOUND_STEPS = 200  # a bound is given to half a point at least


class Interval(Struct, frozen=True):
    """Limits of a mean difference, in -1..1; each is one-sided at the level it was asked for."""

    low: float
    high: float


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

    On differences of -1, 0 and 1 this is McNemar's mid-p; otherwise the sign-flip mid-p with one imagined
    loss of -1, without which a rare disaster behind many small gains passes far too often. For "no worse",
    negate the differences.
    """
    values = [exact(difference) for difference in differences]
    if _binary(values):
        return mcnemar_mid_p(values.count(1), values.count(-1))
    return sign_flip_mid_p([*values, -1])


def paired_low(differences: Sequence[float | Fraction], level: float) -> float:
    """The lower bound of the mean difference that belongs to `paired_p`, at `level` (under .5).

    It is 0 or more wherever `paired_p(differences) <= level`.
    """
    values = [exact(difference) for difference in differences]
    if _binary(values):
        return binary_low(values.count(1), values.count(-1), len(values), level)
    return _inverted_low([*values, -1], level)


def paired_interval(differences: Sequence[float | Fraction], level: float) -> Interval:
    """The reach of the mean difference to either side, each at `level` (under .5).

    `low` is `paired_low` where that is not negative, and `high` is the same with before and after swapped,
    so neither contradicts `paired_p`. A side beyond 0 reaches further where all differences are -1, 0 or 1:
    see `_binary_reach`.
    """
    values = [exact(difference) for difference in differences]
    if _binary(values):
        wins, losses, groups = values.count(1), values.count(-1), len(values)
        low, mirrored = (_binary_reach(*sides, groups, level) for sides in ((wins, losses), (losses, wins)))
    else:
        low = _inverted_low([*values, -1], level)
        mirrored = _inverted_low([*(-value for value in values), -1], level)
    return Interval(low, 0.0 - mirrored)


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
    p = P(S > s) + P(S = s)/2 over all 2^n flips; every flip is counted, in integers. Values that share no
    denominator up to 360 are rounded down to 360ths first; p rises as any difference falls, so that this
    can only raise it.
    """
    values, _ = _on_grid([exact(difference) for difference in differences])
    return _flips_mid_p(values)


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

    m/n * (2*CP(b; m) - 1) for b wins among m changed of n groups; if positive, at most CP(b; n). Where
    the mid-p passes though Clopper and Pearson's limit, which is a little wider, falls short, the bound is
    0: it never contradicts p.
    """
    changed = wins + losses
    if changed == 0:
        return 0.0
    low = changed / groups * (2 * clopper_pearson_lower(wins, changed, level) - 1)
    if low > 0:
        return min(low, clopper_pearson_lower(wins, groups, level))
    return 0.0 if mcnemar_mid_p(wins, losses) <= level else low


def _binary_reach(wins: int, losses: int, groups: int, level: float) -> float:
    """`binary_low`; below 0 with an upper limit in place of m/n.

    There, taking the share of changed groups as known would promise too much: 3 losses and no win would
    have the lower bound -3/n.
    """
    low = binary_low(wins, losses, groups, level)
    changed = wins + losses
    if low > 0 or (changed and mcnemar_mid_p(wins, losses) <= level):
        return low
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
    one each; a fractional difference counts for what it is worth, beside the imagined loss of `paired_p`.
    """
    values = [exact(difference) for difference in differences]
    imagined = 0 if _binary(values) else 1
    won = float(sum(value for value in values if value > 0))
    lost = float(imagined - sum(value for value in values if value < 0))
    wins, losses = (won + 0.5) / (len(values) + 1), (lost + 0.5) / (len(values) + 1)
    if wins - losses <= margin:
        return None
    return max(1, groups_needed(wins, losses, level=level, margin=margin) - len(values))


def _binary(values: Sequence[Exact]) -> bool:
    return {-1, 0, 1}.issuperset(values)


def _on_grid(values: Sequence[Exact]) -> tuple[list[int], int]:
    """The values as whole steps, rounded down, and how many steps make 1."""
    steps = min(math.lcm(*{value.denominator for value in values}), _FINEST_GRID)
    return [math.floor(value * steps) for value in values], steps


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


def _inverted_low(values: Sequence[Exact], level: float) -> float:
    """The largest gain on the grid that `values` are significantly above; -1 where there is none.

    Taking a gain off every difference tests that gain; p rises with it (Lehmann and Romano, "Testing
    Statistical Hypotheses", 3.5, on test inversion).
    """
    whole, steps = _on_grid(values)
    finer = math.ceil(_BOUND_STEPS / steps)
    whole, steps = [value * finer for value in whole], steps * finer
    tested = range(-steps, math.ceil(sum(whole) / len(whole)))
    passing = _last_passing(
        tested,
        level,
        exactly=lambda gain: _flips_mid_p([value - gain for value in whole]),
        nearly=_normal_flips(whole),
    )
    return tested[passing - 1] / steps if passing else -1.0


def _normal_flips(values: Sequence[int]) -> Callable[[int], float]:
    """About `_flips_mid_p` of `values` less a gain: the sum of flips as a normal variable."""
    total, squares = sum(values), sum(value * value for value in values)

    def nearly(gain: int) -> float:
        spread = math.sqrt(squares - 2 * gain * total + len(values) * gain * gain)
        return 0.5 * math.erfc((total - len(values) * gain) / spread / math.sqrt(2)) if spread else 1.0

    return nearly


def _last_passing(
    tested: range, level: float, *, exactly: Callable[[int], float], nearly: Callable[[int], float]
) -> int:
    """How many of the gains `tested`, from the least, have `exactly(gain) <= level`; it rises with the gain.

    An exact p costs milliseconds: the search widens from where `nearly` says, and mostly needs three.
    """
    low = high = bisect_right(tested, level, key=nearly)
    reach = 1
    while low > 0 and exactly(tested[low - 1]) > level:
        low, high, reach = max(0, low - reach), low - 1, 2 * reach
    while high < len(tested) and exactly(tested[high]) <= level:
        low, high, reach = high + 1, min(len(tested), high + reach), 2 * reach
    return bisect_right(tested, level, low, high, key=exactly)


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
