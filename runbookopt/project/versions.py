"""Versions of a runbook in git's history, and which of them a stored trajectory ran."""

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Literal

from msgspec import Struct

from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import digest
from runbookopt.documents.parse import MalformedFile
from runbookopt.evidence.trajectory import Trajectory, time_of
from runbookopt.forge.git.repository import Repository

MOST = 500
"""So many changes of a runbook are looked at, the newest."""


class Version(Struct, frozen=True):
    """A text of a runbook, and the commit that brought it.

    `at` is when the branch got it, None for a commit that came by a merge: that is not when it was in use.
    """

    digest: str
    version: str | None
    commit: str
    at: datetime | None


class Tie(Struct, frozen=True):
    """Which version a trajectory ran, and by what that is told: the surest first."""

    version: Version
    by: Literal["digest", "version", "time"]

    def __str__(self) -> str:
        """As in `version 1.2.0 (by time)`."""
        return f"version {self.version.version or self.version.digest[7:19]} (by {self.by})"


def versions(repository: Repository, tip: str, path: str) -> tuple[Version, ...]:
    """The versions of the runbook at `path` up to `tip`, oldest first, with those of merged branches."""
    chain = repository.changes(tip, path, chain=True)[-MOST:]
    beside = [each for each in repository.changes(tip, path)[-MOST:] if each not in chain]
    found = []
    for commit in (*beside, *chain):
        entry = next((each for each in repository.tree(commit, path) if each.path == path), None)
        if entry is None:
            continue
        data = repository.blob(entry.blob)
        at = time_of(repository.commit(commit).at) if commit in chain else None
        found.append(Version(digest(data), _version(data, path), commit, at))
    return tuple(found)


def tie(trajectory: Trajectory, known: Sequence[Version]) -> Tie | None:
    """The version that a trajectory ran, as far as it can be told; None is unknown.

    What it says counts, the digest before the version: where git has no such text, or several of one version
    and no time tells which, nothing is known. Only what says neither is tied by when it began.
    """
    began = time_of(trajectory.started_at)
    if trajectory.runbook_digest is not None:
        same = [each for each in known if each.digest == trajectory.runbook_digest]
        return Tie(same[-1], "digest") if same else None
    if trajectory.runbook_version is not None:
        said = _bare(trajectory.runbook_version)
        same = [each for each in known if each.version is not None and _bare(each.version) == said]
        if len({each.digest for each in same}) > 1:
            same = [each for each in same if each == _in_use(same, began)]
        return Tie(same[-1], "version") if same else None
    used = _in_use(known, began)
    return None if used is None else Tie(used, "time")


def _in_use(known: Sequence[Version], at: datetime | None) -> Version | None:
    """The last version that the branch had by then."""
    by_then = [(each.at, each) for each in known if at and each.at is not None and each.at <= at]
    return max(by_then, key=itemgetter(0), default=(None, None))[1]


def _version(data: bytes, path: str) -> str | None:
    try:
        return runbooks.decode(data, path=path).version
    except MalformedFile:
        return None


def _bare(version: str) -> str:
    return version.strip().removeprefix("v")
