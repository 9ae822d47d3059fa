"""Test of the mean of bounded differences that rare disasters do not fool, and its lower bound (pure)."""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

_BOUND_GRID = 1000  # a bound is given in whole thousandths, rounded down
_NORMAL = NormalDist()
_LEAST_P = 1e-300  # smaller ones are as far out, for a guess
_GUESSES = 6  # of a bound; a search that they have not ended goes on in halves


def gain_p(differences: Sequence[float]) -> float:
    """The one-sided p of "the mean is not above 0", for values in -1..1.

    The largest of `race_p` and all that `disaster_floors` gives. On two values, a gain for many and a loss
    for few, it is at most the level as often as the level says, whatever the sizes and the rate: the floor
    with all losses as disasters is no smaller than the exact binomial p (`disaster_floors`). On -1, 0 and 1
    `race_p` is hardly more than McNemar's mid-p. Between these it rests on simulation: benchmarks/skew.py.
    """
    values = sorted(differences)
    return max(race_p(values), disaster_floors(values))


def race_p(differences: Sequence[float]) -> float:
    """The chance that gains run out before losses do, where each lasts an exponential time of its size.

    Half of it with one loss more, the worst there is, and half without, as a mid-p counts half of a tie: on
    b wins and c losses it is the mid-p and c/(b + c) of that half. With the loss more, this is the test of
    Gaffke (2005), "Three test statistics for a nonparametric one-sided hypothesis on the mean of a
    nonnegative variable", and of Learned-Miller and Thomas (2019), "A new confidence interval for the mean of
    a bounded random variable": P(sum of E_i d_i <= E_0), E exponential.
    """
    without, with_loss = _race(sorted(differences), 1.0)
    return (without + with_loss) / 2


def disaster_floors(differences: Sequence[float]) -> float:
    """The largest p of n independent groups of which the d worst are disasters and all others gain alike.

    For every d from 0: g is the mean of the n - d others, and L = (sum of the d losses + 1)/(d + 1), as if
    one more, the worst there is, had been about to come. No mean above 0 needs disasters at a rate of at
    least g/(g + L); as few of them as seen have the chance P(Bin(n, g/(g + L)) <= d), or 1 where g <= 0.

    If there are only two values, g and a loss l <= 1, the mean is at most 0 only if the rate is at least
    g/(g + l). L is at least l, so this p is at least that of the exact binomial test of that rate.
    """
    values = sorted(differences)
    groups, total, lost, floor = len(values), math.fsum(differences), 0.0, 0.0
    for disasters, value in enumerate(values):
        gain = (total + lost) / (groups - disasters)
        if gain <= 0:
            return 1.0
        loss = (lost + 1) / (disasters + 1)
        floor = max(floor, at_most(disasters, groups, gain / (gain + loss)))
        if value >= 0:
            break
        lost -= value
    return floor


def gain_low(differences: Sequence[float], level: float) -> float:
    """The lower bound of the mean, at `level` (under .5), that belongs to `gain_p`, in thousandths.

    It is 0 or more just where `gain_p` is at most `level`. It inverts the race with the loss more counted
    whole, not half: the same bound that Clopper and Pearson give on wins and losses alone, nearly, so that a
    score of .999 in place of 1 promises no more. Where `gain_p` passes though that falls short, it is 0.
    """
    values, groups = sorted(differences), len(differences)
    centre = math.fsum(values) / groups
    spread = math.sqrt(math.fsum((value - centre) ** 2 for value in values)) / groups

    def p(step: int) -> float:
        gain = step / _BOUND_GRID
        return _race([value - gain for value in values], 1 + gain)[1]

    guess = centre - 1 / groups + _NORMAL.inv_cdf(level) * spread
    step = last_within(
        p,
        level,
        reach=(-_BOUND_GRID, math.ceil(centre * _BOUND_GRID)),
        guess=math.floor(guess * _BOUND_GRID),
        slope=1 / max(spread * _BOUND_GRID, 1e-9),
    )
    if gain_p(values) <= level:
        return max(0.0, step / _BOUND_GRID)
    return min(step, -1) / _BOUND_GRID


def last_within(
    p: Callable[[int], float], level: float, *, reach: tuple[int, int], guess: int, slope: float
) -> int:
    """The last step of `reach` (first, end) at which a rising `p` is at most `level`.

    The first where there is none. `guess` says where, and `slope` by how many standard deviations p
    rises a step, about: good ones save evaluations, bad ones change no answer.
    """
    passing, failing = reach[0], max(reach[1], reach[0] + 1)
    aim, step, tried = _NORMAL.inv_cdf(level), guess, 0
    while failing - passing > 1:
        step = min(max(step, passing + 1), failing - 1)
        found = p(step)
        passing, failing = (step, failing) if found <= level else (passing, step)
        tried += 1
        if tried < _GUESSES:
            step += math.floor((aim - _NORMAL.inv_cdf(min(max(found, _LEAST_P), 1 - 1e-16))) / slope)
        else:
            step = (passing + failing) // 2
    return passing


def _race(values: Sequence[float], worst: float) -> tuple[float, float]:
    """The chance that all gains end before all losses do, and the same with one loss more, of size `worst`.

    Gains run one after the other, and so do losses, beside them. An exponential time has no memory: of a gain
    `a` and a loss `b` that run, the gain ends first with a chance of b/(a + b), whatever came before. So the
    chance for i gains and k losses follows from those for (i - 1, k) and (i, k - 1): sums of products of
    what is positive, which lose no digits however small they become.
    """
    gains = [value for value in values if value > 0]
    losses = [-value for value in values if value < 0] + [worst]
    row = [1.0] * len(losses)
    for gain in gains:
        chance = 0.0
        for at, loss in enumerate(losses):
            row[at] = chance = (loss * row[at] + gain * chance) / (gain + loss)
    if len(losses) == 1:
        return (0.0 if gains else 1.0), row[0]
    return row[-2], row[-1]


def at_most(successes: int, trials: int, share: float) -> float:
    """P(X <= successes), X ~ Bin(trials, share), for a `share` above 0 and below 1; terms from the last."""
    if successes >= trials:
        return 1.0
    above = successes + 1 > trials * share  # the longer tail is what the other leaves
    first = successes + above
    log_first = math.log(math.comb(trials, first)) + first * math.log(share)
    term = tail = math.exp(log_first + (trials - first) * math.log1p(-share))
    odds = share / (1 - share)
    for k in range(first, trials) if above else range(first, 0, -1):
        term *= (trials - k) / (k + 1) * odds if above else k / ((trials - k + 1) * odds)
        tail += term
        if term < tail * 1e-17:
            break
    return 1 - tail if above else tail
