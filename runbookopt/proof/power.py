"""Power of the proof: how likely it accepts a better winner, the smallest gain it can show (pure)."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import lru_cache

from runbookopt.proof.comparison import MINIMUM_GROUPS, passes
from runbookopt.proof.sample_size import proves, repeated

UNKNOWN_SCORE = 0.5  # of the seed, assumed where nothing is known of it
BROKEN = 0.05  # the share of today's passes that a good edit is assumed to break
POWER = 0.8  # how likely a gain is proved that counts as one that can be proved


def provable_gain(
    groups: int,
    spend: float,
    *,
    base: float = UNKNOWN_SCORE,
    margin: float = 0.0,
    repeats: int | None = None,
    graded: bool = False,
) -> float | None:
    """The smallest true gain in mean score that a look proves with `POWER`; None if there is none.

    In whole thousandths. Assumed are attempts that score 0 or 1, one task a group, `base` for the seed's mean
    score in 0..1, and a winner that fixes some share of the failures and breaks `BROKEN` of the passes; harm
    to single objectives or gates is left out. `spend` and `margin` are the terms of the look. Meant for the
    200 tasks that are drawn at most.

    `repeats` are the attempts at a task of an agent that errs by chance: the gain then has to be provable
    also where each of them passes by chance alone. None is an agent that never does. `graded` tells that a
    group's scores may lie between 0 and 1. Either way it is the test of such scores that decides, evaluated
    as `sample_size.proves` does; else all is exact.
    """
    if groups < MINIMUM_GROUPS:
        return None
    losses = BROKEN * base
    gains = [k / 1000 for k in range(1, math.floor(1000 * (1 - base - losses) + 1e-9) + 1)]
    if not graded and repeats is None:
        needed = _wins_needed(groups, spend, margin)
        at = bisect_left(gains, POWER, key=lambda gain: _power(groups, gain + losses, losses, needed))
        return gains[at] if at < len(gains) else None

    def is_proved(gain: float) -> bool:
        changed = ((1.0, gain + losses), (0.0, 1 - gain - 2 * losses), (-1.0, losses))
        by_chance = () if repeats is None else (repeated(repeats, base, base + gain),)
        return all(proves(atoms, groups, level=spend, margin=margin) for atoms in (changed, *by_chance))

    at = bisect_left(gains, True, key=is_proved)
    return gains[at] if at < len(gains) else None


def power(groups: int, wins: float, losses: float, accepts: Callable[[int, int], bool]) -> float:
    """The chance that `accepts(wins, losses)` holds of `groups` groups.

    `wins` and `losses` are the shares of all groups that a winner is expected to win and to lose. Exact: of
    the groups, binomially many differ; of those, binomially many are won (the unconditional power of
    McNemar's test: Duffy (1984), "Asymptotic and exact power for the McNemar test and its analogue with R
    controls per case", Biometrics 40). One more win in place of a loss must never turn `accepts` to no.
    """
    needed = tuple(_fewest(changed, accepts) for changed in range(groups + 1))
    return _power(groups, wins, losses, needed)


@lru_cache(maxsize=256)
def _wins_needed(groups: int, spend: float, margin: float) -> tuple[int, ...]:
    """The fewest wins that the proof accepts, for each number of groups that differ."""
    return tuple(
        _fewest(changed, lambda wins, losses: passes(wins, losses, groups, spend, margin))
        for changed in range(groups + 1)
    )


def _fewest(changed: int, accepts: Callable[[int, int], bool]) -> int:
    """The fewest wins that are accepted; one more than `changed` where none is."""
    return bisect_left(range(changed + 1), True, key=lambda wins: accepts(wins, changed - wins))


def _power(groups: int, wins: float, losses: float, needed: tuple[int, ...]) -> float:
    differ = wins + losses
    return math.fsum(
        share * math.fsum(list(_binomial(changed, wins / differ))[needed[changed] :])
        for changed, share in enumerate(_binomial(groups, differ))
        if needed[changed] <= changed
    )


def _binomial(trials: int, share: float) -> Iterator[float]:
    return (math.comb(trials, k) * share**k * max(0.0, 1 - share) ** (trials - k) for k in range(trials + 1))
