"""Pool of candidates and its Pareto frontier, which follows from the members' scores."""

import statistics as sample
from collections.abc import Mapping, Sequence
from functools import cached_property

from msgspec import Struct

from runbookopt.search.asks import Attempt, Candidate


class Edit(Struct, frozen=True):
    """A change in a member of the pool, and why: it `cites` some of the trajectories that were `shown`.

    `change` is a diff of the component as it was in the member that it was made from.
    """

    component: str
    diagnosis: str
    cites: tuple[str, ...]
    shown: tuple[str, ...]
    change: str = ""


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


class Pool:
    """All members in the order of entry, the seed first."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.best = 0  # the number of the member with the best validation score, of equals the shortest
        self._digests: set[str] = set()
        self._tops: dict[tuple[str, str], float] = {}

    def __contains__(self, candidate: Candidate) -> bool:
        return candidate.digest in self._digests

    def enter(self, member: Member) -> bool:
        """Add a member; tell whether it beats everybody before it on some (task, objective) pair."""
        self.members.append(member)
        self._digests.add(member.candidate.digest)
        newest = len(self.members) - 1
        best = self.members[self.best]
        if (member.score, -len(member.candidate.text)) >= (best.score, -len(best.candidate.text)):
            self.best = newest
        scores = _scores(member)
        better = any(score > self._tops.get(pair, score) for pair, score in scores.items())
        self._tops |= {pair: max(score, self._tops.get(pair, score)) for pair, score in scores.items()}
        return better


def places(members: Sequence[Member]) -> tuple[int, ...]:
    """Count for each member of a pool the places that it holds on the frontier.

    A place is a (task, objective) pair on which nobody in the pool beats a member; equals share it (arXiv
    2507.19457, Algorithm 2). A pair on which all are equal tells nobody apart and is no place.
    """
    rows = [_scores(member) for member in members]
    scores: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        for pair, score in row.items():
            scores.setdefault(pair, []).append(score)
    tops = {pair: max(column) for pair, column in scores.items() if min(column) < max(column)}
    return tuple(sum(tops.get(pair) == score for pair, score in row.items()) for row in rows)


def _scores(member: Member) -> dict[tuple[str, str], float]:
    attempts = member.validation.items()
    return {(task, name): score for task, attempt in attempts for name, score in attempt.objectives.items()}


def lineage(members: Sequence[Member], number: int) -> tuple[int, ...]:
    """The numbers of a member and of all it was made from, nearest first."""
    line = [number]
    for each in line:
        line += [parent for parent in members[each].parents if parent not in line]
    return tuple(line)
