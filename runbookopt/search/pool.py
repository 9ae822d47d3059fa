"""The pool of candidates and its Pareto frontier, which is a fold over the members' scores."""

import statistics as sample
from collections.abc import Mapping, Sequence
from functools import cached_property

from msgspec import Struct

from runbookopt.search.asks import Attempt, Candidate


class Edit(Struct, frozen=True):
    """What a reflection changed in a member of the pool, and why.

    `cites` are the trajectories that motivate it, `shown` all that were reflected on.
    """

    component: str
    diagnosis: str
    cites: tuple[str, ...]
    shown: tuple[str, ...]


class Member(Struct, frozen=True, dict=True):
    """A candidate with all its validation scores; `parents` are places in the pool, the seed has none."""

    candidate: Candidate
    parents: tuple[int, ...]
    wave: int
    validation: Mapping[str, Attempt]
    edits: tuple[Edit, ...] = ()

    @cached_property
    def score(self) -> float:
        """Mean validation score, 0..1."""
        return sample.fmean(attempt.score for attempt in self.validation.values())


class _Top(Struct):
    """The best score on a (task, objective) pair so far, and who has it; `told` once somebody has less."""

    best: float
    holders: list[int]
    told: bool = False


class Pool:
    """All members in the order of entry, the seed first, and how many places each holds on the frontier.

    A place is a (task, objective) pair on which nobody in the pool beats a member; equals share it (arXiv
    2507.19457, Algorithm 2). A pair on which all are equal tells nobody apart and is no place. The counts
    follow each entry, so that a pool grows at the same cost a member however large it is.
    """

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.places: list[int] = []
        self.best = 0  # the number of the member with the best validation score, the newest of several
        self._digests: set[str] = set()
        self._tops: dict[tuple[str, str], _Top] = {}

    def __contains__(self, candidate: Candidate) -> bool:
        return candidate.digest in self._digests

    def enter(self, member: Member) -> bool:
        """Add a member; tell whether it beats everybody before it on some (task, objective) pair."""
        number, better = len(self.members), False
        self.members.append(member)
        self._digests.add(member.candidate.digest)
        self.places.append(0)
        self.best = max(self.best, number, key=lambda one: (self.members[one].score, one))
        for task, attempt in member.validation.items():
            for objective, score in attempt.objectives.items():
                top = self._tops.setdefault((task, objective), _Top(score, []))
                better |= score > top.best
                self._count(top, number, score)
        return better

    def _count(self, top: _Top, number: int, score: float) -> None:
        if score == top.best:
            top.holders.append(number)
            self.places[number] += top.told
            return
        if score > top.best:
            for holder in top.holders if top.told else ():
                self.places[holder] -= 1
            top.best, top.holders = score, [number]
            self.places[number] += 1
        elif not top.told:
            for holder in top.holders:
                self.places[holder] += 1
        top.told = True


def places(members: Sequence[Member]) -> tuple[int, ...]:
    """Count for each member of a pool the places that it holds on the frontier."""
    pool = Pool()
    for member in members:
        pool.enter(member)
    return tuple(pool.places)


def lineage(members: Sequence[Member], number: int) -> tuple[int, ...]:
    """Give the numbers of a member and of all it was made from, nearest first."""
    found, seen = [number], {number}
    for each in found:
        new = [parent for parent in members[each].parents if parent not in seen]
        found += new
        seen.update(new)
    return tuple(found)
