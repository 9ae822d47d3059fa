"""History of evidence: the file and the commit of the default branch that brought each task."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from contextlib import suppress

from msgspec import Struct

from runbookopt.evidence.library import Evidence, Place
from runbookopt.evidence.trajectory import Task
from runbookopt.forge.git.output import GitFailed
from runbookopt.forge.git.repository import Repository


class Brought(Struct, frozen=True):
    """How a task came into the default branch: the file of its line, and the commit that brought that.

    `at` counts the commits of the default branch before it, along first parents: a merged branch is the one
    commit that merged it, whoever its authors and committers say that they are.
    """

    path: str
    commit: str
    at: int


def brought(
    repository: Repository, evidence: Evidence, base: str, tasks: Iterable[str]
) -> dict[str, Brought]:
    """Which commit brought each of these tasks, as the evidence is at `base`, by their ids.

    A task of several lines came with the first of them that has its reference: who says it once more adds
    nothing. What has no line of its own came with the last commit that changed its file, or what is read with
    that: which part of it that commit changed is not known. In a clone that is shallow for good, what was
    there at its beginning came with its first commit. Raises GitFailed.
    """
    if repository.is_shallow() and repository.has_origin():
        with suppress(GitFailed):
            repository.origin.unshallow()
    line = _DefaultBranch(repository, base)
    found: dict[str, Brought] = {}
    for name in tasks:
        ways = (line.brought(place) for place in _places(evidence, evidence.task(name)))
        found[name] = min(ways, key=lambda way: (way.at, way.path))
    return found


def _places(evidence: Evidence, task: Task) -> Sequence[Place]:
    """The lines that a task stands on: those with its reference, else all."""
    judging = [
        name
        for name in task.trajectories
        if task.reference is not None and evidence.trajectory(name).task.reference is not None
    ]
    return [evidence.places[name] for name in judging or task.trajectories]


class _DefaultBranch:
    """The commits of the default branch along first parents, up to where it got what a base holds.

    A base that it got by a merge is taken as that merge: what is new in it came with that.
    """

    def __init__(self, repository: Repository, base: str) -> None:
        self._repository, tip = repository, repository.base()
        self._blamed: dict[str, tuple[str, ...]] = {}
        self._changed: dict[tuple[str, ...], str] = {}
        tip = tip if repository.is_ancestor(base, tip) else base
        commits = repository.history(tip, chain=True)
        self._places = {commit: place for place, commit in enumerate(commits)}
        self._at, self._ends = base, {}
        if base not in self._places:
            place = bisect_left(commits, True, key=lambda commit: repository.is_ancestor(base, commit))
            parents = commits[max(0, place - 1) : place]
            self._at = repository.write_commit(repository.commit(base).tree, parents, "As it was merged\n")
            self._ends = {self._at: commits[place]}

    def brought(self, place: Place) -> Brought:
        """How one record came."""
        if place.line and not place.parts:
            if place.path not in self._blamed:
                self._blamed[place.path] = self._repository.blame(self._at, place.path)
            commit = self._blamed[place.path][place.line - 1]
        else:
            commit = self._of(place)
        commit = self._ends.get(commit, commit)
        return Brought(place.path, commit, self._places.get(commit, len(self._places)))

    def _of(self, place: Place) -> str:
        parts = place.parts or (place.path,)
        if parts not in self._changed:
            self._changed[parts] = self._repository.last_change(self._at, parts)
        return self._changed[parts]
