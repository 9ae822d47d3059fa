"""Which member of a pool is returned, and what score to expect of it: both at no rollout."""

import math
import random
import statistics as sample
from collections.abc import Sequence

from msgspec import Struct

from runbookopt.search.pool import Member
from runbookopt.statistics import paired_standard_error

FLIPS = 400
"""Sign flips by which chance is judged: p is known within .015 at .1."""

ROUNDING = 1e-9
"""Sums that differ by less are equal."""

FEW = 5
"""From so many candidates on the bar against luck stands at its full height."""

RESAMPLES = 200
"""Bootstrap resamples by which optimism is judged."""

LEFT_OUT = 0.632
"""The weight of the tasks that a resample left out: a resample holds 1 - 1/e of the tasks."""

CONTENDERS = 50
"""So many of the best members are chosen from in a resample; others are never chosen."""


class Choice(Struct, frozen=True):
    """The number of the member to return, and the mean validation score to expect of it, 0..1."""

    number: int
    expected: float


def choose(pool: Sequence[Member], *, closeness: float, doubt: float) -> Choice:
    """Choose the member to return.

    Among those within `closeness` paired standard errors of the best validation score the shortest wins,
    ties go to the newest: length is a cost to every later reader, and the best score of a pool is partly
    luck. Where chance alone makes the best of so many members that much better than the seed, with a
    probability above `doubt`, the seed is returned. While fewer than `FEW` were tried luck had few chances,
    and the bar is lower in proportion: held-out tasks decide, and a seed returned in doubt never meets them.
    """
    best = max(range(len(pool)), key=lambda number: (pool[number].score, -number))
    close = [number for number in range(len(pool)) if _close(pool[number], pool[best], closeness)]
    chosen = min(close, key=lambda number: (len(pool[number].candidate.text), -number))
    if chosen and by_chance(pool, chosen) > doubt * max(1, FEW / (len(pool) - 1)):
        chosen = 0
    return Choice(chosen, max(0.0, pool[chosen].score - (optimism(pool) if chosen else 0.0)))


def _close(member: Member, best: Member, closeness: float) -> bool:
    gaps = [best.validation[task].score - attempt.score for task, attempt in member.validation.items()]
    return sample.fmean(gaps) <= (paired_standard_error(gaps) * closeness if closeness else 0.0)


def by_chance(pool: Sequence[Member], chosen: int) -> float:
    """Give how likely the best of so many members would be as clear a gain if all were the seed's equals.

    The statistic is a member's sum of gains over the seed by the root of their sum of squares. Under the null
    either of the two might have had either score, so the signs of all members' gains are flipped together,
    task by task, and the largest statistic counts (maxT: Westfall and Young, Resampling-Based Multiple
    Testing, 1993): members that are much alike cost no more than one.
    """
    gains = {_gains(pool[0], member) for member in pool[1:]}
    seen = _gains(pool[0], pool[chosen]).statistic(0) - ROUNDING
    rng, tasks = random.Random(0), len(pool[0].validation)
    flips = [rng.getrandbits(tasks) for _ in range(FLIPS)]
    as_clear = sum(max(each.statistic(flip) for each in gains) >= seen for flip in flips)
    return (1 + as_clear) / (1 + FLIPS)


class _Gains(Struct, frozen=True):
    """A member's gains over the seed: of each size, the tasks won and the tasks lost, as sets of bits."""

    sizes: tuple[tuple[float, int, int], ...]
    norm: float

    def statistic(self, flip: int) -> float:
        """Give the sum of the gains by their norm, with the signs of the tasks in `flip` turned."""
        total = 0.0
        for size, won, lost in self.sizes:
            turned = flip & (won | lost)
            total += size * ((won ^ turned).bit_count() - (lost ^ turned).bit_count())
        return total / self.norm if self.norm else 0.0


def _gains(seed: Member, member: Member) -> _Gains:
    found: dict[float, list[int]] = {}
    for bit, (task, before) in enumerate(seed.validation.items()):
        gain = member.validation[task].score - before.score
        if gain:
            found.setdefault(abs(gain), [0, 0])[gain < 0] |= 1 << bit
    sizes = tuple((size, won, lost) for size, (won, lost) in sorted(found.items()))
    return _Gains(sizes, math.sqrt(sum(size**2 * (won | lost).bit_count() for size, won, lost in sizes)))


def optimism(pool: Sequence[Member]) -> float:
    """Give how much better the best of a pool looks than it is, in mean score.

    By the .632 bootstrap (Efron, Journal of the American Statistical Association 78, 1983): the best on a
    resample of the tasks, its score there less its score on all of them and on those left out, which weigh
    .368 and .632. (Against all of them alone two fifths of the luck would stay, against those left out alone
    a quarter too much would go: `tests/search/test_choice.py`.)
    """
    contenders = sorted(pool, key=lambda member: -member.score)[:CONTENDERS]
    tasks = list(pool[0].validation)
    scores = [[member.validation[task].score for task in tasks] for member in contenders]
    rng, gaps = random.Random(0), []
    for _ in range(RESAMPLES):
        drawn = rng.choices(range(len(tasks)), k=len(tasks))
        left = sorted(set(range(len(tasks))) - set(drawn)) or range(len(tasks))
        resampled = [sum(row[task] for task in drawn) for row in scores]
        best = max(range(len(scores)), key=resampled.__getitem__)
        inside, whole = resampled[best] / len(tasks), sample.fmean(scores[best])
        outside = sample.fmean(scores[best][task] for task in left)
        gaps.append(inside - (1 - LEFT_OUT) * whole - LEFT_OUT * outside)
    return max(0.0, sample.fmean(gaps))
