"""The pool of candidates and its Pareto frontier, derived from scores and never stored."""

import random
import statistics as sample
from collections.abc import Mapping, Sequence

from msgspec import Struct

from runbookopt.search.asks import Attempt, Candidate
from runbookopt.statistics import paired_standard_error


class Edit(Struct, frozen=True):
    """What a reflection changed in a member of the pool, and why.

    `cites` are the trajectories that motivate it, `shown` all that were reflected on.
    """

    component: str
    diagnosis: str
    cites: tuple[str, ...]
    shown: tuple[str, ...]


class Member(Struct, frozen=True):
    """A candidate with all its validation scores; `parents` are places in the pool, the seed has none."""

    candidate: Candidate
    parents: tuple[int, ...]
    wave: int
    validation: Mapping[str, Attempt]
    edits: tuple[Edit, ...] = ()

    @property
    def score(self) -> float:
        """Mean validation score, 0..1."""
        return sample.fmean(attempt.score for attempt in self.validation.values())


def places(pool: Sequence[Member]) -> tuple[int, ...]:
    """Count for each member on how many (task, objective) pairs nobody in the pool beats it.

    Equal candidates share a place (arXiv 2507.19457, Algorithm 2); a pair on which all are equal tells
    nobody apart and is no place.
    """
    held = [0] * len(pool)
    for task, attempt in pool[0].validation.items():
        for objective in attempt.objectives:
            scores = [member.validation[task].objectives[objective] for member in pool]
            best = max(scores)
            if min(scores) < best:
                held = [count + (score == best) for count, score in zip(held, scores, strict=True)]
    return tuple(held)


def improves(pool: Sequence[Member], child: Member) -> bool:
    """Tell whether `child` beats everybody in the pool on some (task, objective) pair."""
    return any(
        score > max(member.validation[task].objectives[objective] for member in pool)
        for task, attempt in child.validation.items()
        for objective, score in attempt.objectives.items()
    )


def draw_parent(pool: Sequence[Member], rng: random.Random) -> int:
    """Draw a place in the pool, with probability in proportion to the places it holds on the frontier."""
    held = places(pool)
    return rng.choices(range(len(pool)), weights=held if any(held) else None)[0]


def lineage(pool: Sequence[Member], place: int) -> tuple[int, ...]:
    """Give the places of a member and all it was made from, nearest first."""
    found = [place]
    for member in found:
        found += [parent for parent in pool[member].parents if parent not in found]
    return tuple(found)


def choose(pool: Sequence[Member]) -> int:
    """Give the place of the member to return.

    Among those within half a paired standard error of the best validation score the shortest wins, ties go
    to the newest: length is a cost to every later reader, and the best score of a pool is partly luck.
    """
    best = max(range(len(pool)), key=lambda place: (pool[place].score, -place))
    close = [place for place in range(len(pool)) if _close(pool[place], pool[best])]
    return min(close, key=lambda place: (len(pool[place].candidate.text), -place))


def _close(member: Member, best: Member) -> bool:
    gaps = [best.validation[task].score - attempt.score for task, attempt in member.validation.items()]
    return sample.fmean(gaps) <= paired_standard_error(gaps) / 2
