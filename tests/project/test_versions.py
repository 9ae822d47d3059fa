"""Which version of a runbook a trajectory ran: by digest, by version, by time, or not known."""

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from runbookopt.documents.digest import digest
from runbookopt.evidence.trajectory import TaskRecord, Trajectory
from runbookopt.forge.git.repository import Repository
from runbookopt.project.versions import Tie, Version, tie, versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Clone, Files

PATH = "runbooks/desk/RUNBOOK.md"


def text(version: str, more: str = "") -> str:
    return f"---\nversion: {version}\n---\n# Desk\n\n## Rules\nBe kind.{more}\n"


def committed(clone: "Clone", content: str, at: str) -> str:
    (clone.root / PATH).write_text(content)
    dated = {**os.environ, "GIT_COMMITTER_DATE": at, "GIT_AUTHOR_DATE": at}
    command = ["git", "-C", str(clone.root), "commit", "-q", "-a", "-m", "Change"]
    subprocess.run(command, check=True, env=dated)
    return clone.git("rev-parse", "HEAD")


@pytest.fixture
def known(repo: "Callable[[Files], Clone]") -> tuple[Version, ...]:
    """Give three versions: the first of 2031, the next two, of one number, of 2032 and 2033."""
    clone = repo({PATH: "# Desk\n"})
    committed(clone, text("1.0.0"), "2031-01-01T00:00:00Z")
    committed(clone, text("1.1.0"), "2032-01-01T00:00:00Z")
    committed(clone, text("1.1.0", " Always."), "2033-01-01T00:00:00Z")
    with Repository.open(clone.root) as repository:
        return versions(repository, repository.resolve("HEAD"), PATH)[1:]


def ran(**said: str) -> Trajectory:
    return Trajectory("t-1", TaskRecord("hello"), **said)


def test_versions_are_those_of_the_branch_oldest_first(known: tuple[Version, ...]) -> None:
    assert [each.version for each in known] == ["1.0.0", "1.1.0", "1.1.0"]
    assert known[0].digest == digest(text("1.0.0").encode())
    assert [each.at.year for each in known if each.at] == [2031, 2032, 2033]


def test_a_digest_says_it_and_one_that_git_does_not_have_says_nothing(known: tuple[Version, ...]) -> None:
    said = known[0].digest
    assert tie(ran(runbook_digest=said, started_at="2033-02-01"), known) == Tie(known[0], "digest")
    other = digest(b"other")
    assert tie(ran(runbook_digest=other, runbook_version="1.0.0", started_at="2033-02-01"), known) is None


def test_a_version_says_it_where_it_is_of_one_text_or_the_time_tells(known: tuple[Version, ...]) -> None:
    assert tie(ran(runbook_version="v1.0.0"), known) == Tie(known[0], "version")
    assert tie(ran(runbook_version="1.1.0"), known) is None
    assert tie(ran(runbook_version="1.1.0", started_at="2032-06-01"), known) == Tie(known[1], "version")
    assert tie(ran(runbook_version="7"), known) is None


def test_a_time_says_it_where_nothing_else_is_said(known: tuple[Version, ...]) -> None:
    assert tie(ran(started_at="2032-12-31T23:59:59+00:00"), known) == Tie(known[1], "time")
    assert tie(ran(started_at="2030-01-01"), known) is None
    assert tie(ran(started_at="yesterday"), known) is None
    assert tie(ran(), known) is None


def test_a_text_of_a_branch_counts_by_its_digest_and_by_time_only_once_it_was_merged(
    repo: "Callable[[Files], Clone]",
) -> None:
    clone = repo({PATH: text("1.0.0")})
    clone.git("checkout", "-q", "-b", "side")
    side = committed(clone, text("1.0.1"), "2031-01-01T00:00:00Z")
    committed(clone, text("1.0.2"), "2032-01-01T00:00:00Z")
    clone.git("checkout", "-q", "main")
    clone.git("merge", "-q", "--no-ff", "-m", "Merge side", "side")
    with Repository.open(clone.root) as repository:
        known = versions(repository, repository.resolve("HEAD"), PATH)
    found = tie(ran(runbook_digest=digest(text("1.0.1").encode())), known)
    assert found is not None
    assert (found.version.commit, found.version.at) == (side, None)
    last = tie(ran(runbook_version="1.0.2"), known)
    assert last is not None
    assert last.version.commit == clone.git("rev-parse", "main")
