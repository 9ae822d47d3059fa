"""Selection of the member to return, and the score to expect of it: both at no rollout."""

import math
import random
import statistics as sample
from collections.abc import Sequence
from operator import getitem

from msgspec import Struct

from runbookopt.search.pool import Member, places

RULE = (
    "The winner has the best score on validation, and of equals it is the shortest. Where chance explains the"
    " best of so many, today's runbook stands."
)
"""How `choose` chooses, in words for whoever reads a pull request."""

FLIPS = 400  # sign flips by which chance is judged: p is known within .015 at .1
ROUNDING = 1e-9  # sums that differ by less are equal
FEW = 5  # from so many candidates on the bar against luck stands at its full height
RESAMPLES = 200  # bootstrap resamples by which optimism is judged
LEFT_OUT = 0.632  # the weight of the tasks that a resample left out: a resample holds 1 - 1/e of the tasks
CONTENDERS = 50  # so many of the best members are chosen from in a resample; others are never chosen


class Selection(Struct, frozen=True):
    """The number of the member to return, and the mean validation score to expect of it, 0..1."""

    number: int
    expected: float


def choose(pool: Sequence[Member], *, doubt: float, prefer: str | None = None) -> Selection:
    """Choose the member to return.

    That is the one with the best validation score; of equals the shortest, for length is a cost to every
    later reader, then the newest. Where chance alone makes the best of so many members that much better than
    the seed, with a probability above `doubt`, the seed is returned. While fewer than `FEW` were tried, the
    bar is lower in proportion: held-out tasks decide, and a seed returned in doubt never meets them.

    With `prefer`, an objective, it is the member of the frontier with the best mean of that, among those that
    clear the bar and score better than the seed: what is to be proved is the score all the same. Its
    expected score is cut by the luck of the best.
    """
    chosen = max(
        range(len(pool)), key=lambda number: (pool[number].score, -len(pool[number].candidate.text), number)
    )
    # The clarity beyond which chance explains a gain with a probability of `doubt` at most.
    doubt *= max(1, FEW / max(1, len(pool) - 1))
    allowed = math.floor(doubt * (1 + FLIPS)) - 1
    bar = math.inf if allowed < 0 else -math.inf
    if allowed >= 0 and doubt < 1:
        bar = sorted(clearest_by_chance(pool), reverse=True)[allowed] + ROUNDING
    if chosen and clarity(gains(pool[0], pool[chosen])) <= bar:
        chosen = 0
    if chosen and prefer is not None:
        chosen = _preferred(pool, chosen, bar, prefer)
    luck = optimism(pool, bar=bar, of_seed=chosen == 0) if len(pool) > 1 else 0.0
    return Selection(chosen, max(0.0, pool[chosen].score - luck))


def _preferred(pool: Sequence[Member], best: int, bar: float, objective: str) -> int:
    """The member of the frontier that is best on an objective, of those that are no chance."""
    held = places(pool)
    fitting = [
        number
        for number in range(1, len(pool))
        if held[number] and pool[number].score > pool[0].score
        if clarity(gains(pool[0], pool[number])) > bar
    ]
    return max(
        [best, *fitting],
        key=lambda n: (mean_of(pool[n], objective), pool[n].score, -len(pool[n].candidate.text), n),
    )


def mean_of(member: Member, objective: str) -> float:
    """A member's mean on an objective, over validation."""
    return sample.fmean(attempt.objectives[objective] for attempt in member.validation.values())


def clearest_by_chance(pool: Sequence[Member]) -> list[float]:
    """The clearest gain of a pool, as it would be if all were the seed's equals, `FLIPS` times.

    Under the null either of the two might have had either score, so the signs of all members' gains over
    the seed are flipped together, task by task, and the clearest counts (maxT: Westfall and Young,
    Resampling-Based Multiple Testing, 1993): members that are much alike cost no more than one.
    """
    seed = pool[0]
    rng, tasks = random.Random(0), len(seed.validation)
    flips = [rng.getrandbits(tasks).to_bytes(-(-tasks // 8), "little") for _ in range(FLIPS)]
    clearest = [-math.inf] * FLIPS
    for each in {gains(seed, member) for member in pool[1:]}:
        tables = _flipped_sums(each)
        clearest = [
            max(best, sum(map(getitem, tables, flip))) for best, flip in zip(clearest, flips, strict=True)
        ]
    return clearest


def clarity(gained: Sequence[float]) -> float:
    """The sum of gains by the root of their sum of squares: how clear it is that they are no chance."""
    return math.fsum(gained) / (math.hypot(*gained) or 1.0)


def gains(seed: Member, member: Member) -> tuple[float, ...]:
    """A member's gains over the seed, task by task."""
    return tuple(member.validation[task].score - before.score for task, before in seed.validation.items())


def _flipped_sums(gained: tuple[float, ...]) -> list[list[float]]:
    """For each eight gains their sum by the norm of all, under each of the 256 ways to flip signs."""
    norm = math.sqrt(math.fsum(gain**2 for gain in gained)) or 1.0
    tables = []
    for start in range(0, len(gained), 8):
        sums = [0.0]
        for gain in gained[start : start + 8]:
            sums = [each + gain / norm for each in sums] + [each - gain / norm for each in sums]
        tables.append(sums)
    return tables


def optimism(pool: Sequence[Member], *, bar: float = -math.inf, of_seed: bool = False) -> float:
    """The luck in the mean score of the selected member of a pool: it looks that much better than it is.

    By the .632 bootstrap (Efron, Journal of the American Statistical Association 78, 1983): the best on a
    resample of the tasks, its score there less its score on all of them and on those left out, which weigh
    .368 and .632 (measured: `tests/search/test_selection.py`). Only resamples count in which the same would
    be returned: the best where its gain over the seed is clearer than `bar`, else the seed. For what barely
    passes did so with luck, and where nothing does the seed was lucky (the winner's curse).
    """
    contenders = sorted(pool, key=lambda member: -member.score)[:CONTENDERS]
    tasks = list(pool[0].validation)
    scores = [[member.validation[task].score for task in tasks] for member in (pool[0], *contenders)]
    rng, gaps = random.Random(0), []
    for _ in range(RESAMPLES):
        drawn = rng.choices(range(len(tasks)), k=len(tasks))
        left = sorted(set(range(len(tasks))) - set(drawn)) or range(len(tasks))
        resampled = [sum(row[task] for task in drawn) for row in scores]
        best = max(range(len(scores)), key=resampled.__getitem__)
        if best and clarity([scores[best][task] - scores[0][task] for task in drawn]) <= bar:
            best = 0
        if of_seed == (best == 0):
            inside, whole = resampled[best] / len(tasks), sample.fmean(scores[best])
            outside = sample.fmean(scores[best][task] for task in left)
            gaps.append(inside - (1 - LEFT_OUT) * whole - LEFT_OUT * outside)
    return max(0.0, sample.fmean(gaps)) if gaps else 0.0
