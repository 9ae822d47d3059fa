"""Sample size for differences of any size: how many groups show a gain like the one seen (pure).

The p of a sample that is not there has no whole counts, so it is that of `gain_p` by saddlepoint: Lugannani
and Rice (1980), "Saddle point approximation for the distribution of the sum of independent random variables".
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import NormalDist

Atoms = Sequence[tuple[float, float]]
"""Values of a difference, and how much each weighs."""

_POWER_Z = 0.84  # of a power of .8
_FEW_ATOMS = 24  # values that are drawn together beyond it, by the 25th
_MOST_GROUPS = 1_000_000
_NORMAL = NormalDist()
_HALVES = 40


def shrunk(differences: Sequence[float]) -> Atoms:
    """What was seen, with half a win and half a loss more: few groups say little of what is rare."""
    return _merged([(value, 1.0) for value in (*differences, *differences, 1.0, -1.0)])


def groups_to_prove(atoms: Atoms, *, level: float, margin: float = 0.0) -> int | None:
    """The number of groups that show a gain above `margin` at `level` with a power of .8, to a hundredth.

    None where the mean of `atoms` is not above `margin`, or a million groups would not do.
    """
    if _mean(atoms) <= margin:
        return None
    failing, passing = 1, 1
    while not proves(atoms, passing, level=level, margin=margin):
        failing, passing = passing, 2 * passing
        if passing > _MOST_GROUPS:
            return None
    while passing - failing > max(1, passing // 100):
        between = (passing + failing) // 2
        if proves(atoms, between, level=level, margin=margin):
            passing = between
        else:
            failing = between
    return passing


def proves(atoms: Atoms, groups: int, *, level: float, margin: float = 0.0) -> bool:
    """Tell whether `groups` drawn from `atoms` show a gain above `margin` at `level` with a power of .8.

    That is, whether a sample does whose mean is that far below the true one as 1 in 5 are: one with as many
    more of its small values, and less of its large ones.
    """
    total, centre = math.fsum(weight for _, weight in atoms), _mean(atoms)
    variance = math.fsum(weight * (value - centre) ** 2 for value, weight in atoms) / total
    short = _POWER_Z * math.sqrt(variance / groups)
    if centre - short <= margin:
        return False
    slope = short / variance if variance else 0.0
    drawn = [
        (value - margin, groups * weight / total * max(0.0, 1 - slope * (value - centre)))
        for value, weight in atoms
    ]
    return _gain_p(drawn, 1 + margin) <= level


def repeated(repeats: int, before: float, after: float) -> Atoms:
    """The difference of a group whose one task is tried so often, each attempt passing by chance alone."""
    early, late = (
        [math.comb(repeats, k) * passing**k * (1 - passing) ** (repeats - k) for k in range(repeats + 1)]
        for passing in (before, after)
    )
    return _merged(
        ((b - a) / repeats, early[a] * late[b]) for a in range(repeats + 1) for b in range(repeats + 1)
    )


def _merged(atoms: Iterable[tuple[float, float]]) -> Atoms:
    """Each value once; of many values, those near each other as one, at their mean."""
    weights: dict[float, float] = defaultdict(float)
    for value, weight in atoms:
        weights[value] += weight
    if len(weights) <= _FEW_ATOMS:
        return sorted(weights.items())
    bins: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for value, weight in sorted(weights.items()):
        bins[round(value * _FEW_ATOMS)].append((value, weight))
    return [(_mean(near), math.fsum(weight for _, weight in near)) for near in bins.values()]


def _mean(atoms: Atoms) -> float:
    return math.fsum(value * weight for value, weight in atoms) / math.fsum(weight for _, weight in atoms)


def _gain_p(atoms: Atoms, worst: float) -> float:
    """`gain_p` of as many groups as the atoms weigh; `worst` is the imagined loss, counted whole above 1.

    So does `gain_low`, which decides of a margin.
    """
    with_loss = _below([*atoms, (-worst, 1.0)])
    race = with_loss if worst > 1 else (_below(atoms) + with_loss) / 2
    weight, total = math.fsum(weight for _, weight in atoms), math.fsum(v * w for v, w in atoms)
    lost = losing = floor = 0.0
    for value, often in sorted(atoms):
        gain, loss = (total + lost) / (weight - losing), (lost + worst) / (losing + 1)
        if gain <= 0:
            return 1.0
        floor = max(floor, _below([(gain, weight - losing), (-loss, losing + 1)]))
        if value >= 0:
            break
        lost, losing = lost - value * often, losing + often
    return max(race, floor)


def _below(atoms: Atoms) -> float:
    """P(sum of value * G <= 0), G gamma of shape `weight`, where the mean of that sum is above 0; else 1."""
    losses = [-value for value, weight in atoms if value < 0 and weight]
    if math.fsum(value * weight for value, weight in atoms) <= 0:
        return 1.0
    if not losses:
        return 0.0
    low, high = -1 / max(losses), 0.0  # the saddlepoint lies between: the slope of the cumulants rises there
    for _ in range(_HALVES):
        at = (low + high) / 2
        if math.fsum(weight * value / (1 - at * value) for value, weight in atoms) < 0:
            low = at
        else:
            high = at
    cumulant = -math.fsum(weight * math.log1p(-at * value) for value, weight in atoms)
    curve = math.fsum(weight * (value / (1 - at * value)) ** 2 for value, weight in atoms)
    root, scaled = -math.sqrt(max(0.0, -2 * cumulant)), at * math.sqrt(curve)
    if root > -1e-3:  # noqa: PLR2004  (near the mean the formula is 0/0)
        return 0.5
    return _NORMAL.cdf(root) + _NORMAL.pdf(root) * (1 / root - 1 / scaled)
