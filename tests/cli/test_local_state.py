"""Local state is nobody's word: what a commit, a link or another user puts there is refused, end to end."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import Clone

Make = Callable[..., Clone]
COMMANDS = {
    "optimize": ("optimize-runbook", "desk"),
    "bundle": ("optimize-runbook", "desk", "--no-propose"),
    "dry run": ("optimize-runbook", "desk", "--dry-run"),
    "plan": ("optimize-runbook", "desk", "--plan"),
    "evaluate": ("runbookopt", "evaluate", "desk"),
    "propose": ("runbookopt", "propose", ".runbookopt/bundles"),
}


@pytest.fixture(scope="module")
def made(planted: ModuleType, new_repository: Make, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """Give a clone with a bundle and a journal, as an honest run leaves them; only to be copied."""
    clone = new_repository(tmp_path_factory.mktemp("made"), planted.files())
    ran = clone.ask("optimize-runbook", "desk", "--no-propose")
    assert ran.returncode == 0, ran
    return clone


@pytest.fixture
def victim(repo: Make, planted: ModuleType) -> Clone:
    return repo(planted.files())


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_commit_brought_is_refused_by_every_command_that_reads_it(
    victim: Clone, made: Clone, command: str
) -> None:
    """A bundle that anybody could have forged, and a journal whose answers anybody could have written."""
    shutil.copytree(made.root / ".runbookopt", victim.root / ".runbookopt")
    victim.commit({}, "Add what we know")
    before = victim.at_origin("for-each-ref")
    ran = victim.ask(*COMMANDS[command])
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ".runbookopt/" in ran.stderr
    assert "is tracked by git (in " in ran.stderr
    assert "local state is nobody's word: git rm -r --cached .runbookopt" in ran.stderr
    assert victim.at_origin("for-each-ref") == before


EXHAUSTIVE = pytest.mark.nightly
OTHERS = sorted(COMMANDS.keys() - {"propose"})


@pytest.mark.parametrize(
    "command", [*(pytest.param(each, marks=() if each == "propose" else EXHAUSTIVE) for each in COMMANDS)]
)
@pytest.mark.parametrize("part", [".runbookopt", ".runbookopt/bundles", ".runbookopt/journal.sqlite3"])
def test_a_link_is_followed_by_no_command(
    victim: Clone, made: Clone, tmp_path: Path, command: str, part: str
) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(made.root / ".runbookopt", outside)
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    place = victim.root / part
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(outside / place.relative_to(victim.root / ".runbookopt"))
    ran = victim.ask(*COMMANDS[command])
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.startswith(f"{part} is a link, and local state is nobody's word")
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before


def test_what_origin_has_by_now_is_refused_before_it_is_here(victim: Clone) -> None:
    other = victim.again("other", "eve")
    other.commit({".runbookopt/bundles/forged.json": "{}\n"})
    ran = victim.ask("optimize-runbook", "desk")
    assert ran.returncode == 3
    assert ".runbookopt/bundles/forged.json is tracked by git (in commit " in ran.stderr


@pytest.mark.parametrize("path", [".runbookopt/bundles/x.json", ".RunbookOpt/journal.sqlite3", ".runbookopt"])
def test_a_pull_request_that_adds_local_state_is_a_violation(victim: Clone, path: str) -> None:
    base = victim.git("rev-parse", "HEAD")
    victim.git("checkout", "-qb", "helpful")
    head = victim.commit({path: "{}\n"}, push=False)
    ran = victim.ask("runbookopt", "verify", "--base", base, "--head", head)
    assert ran.returncode == 3
    assert f"'{path}' is local state, which is nobody's word: no commit may bring it" in ran.stdout


def test_a_bundle_that_git_tracks_elsewhere_is_no_bundle_either(victim: Clone, made: Clone) -> None:
    (bundle,) = (made.root / ".runbookopt/bundles").iterdir()
    victim.commit({"handed/over.json": bundle.read_bytes()})
    ran = victim.ask("runbookopt", "propose", "handed/over.json")
    assert ran.returncode == 3
    assert ran.stderr.startswith("handed/over.json is tracked by git, so whoever may push wrote it")
    (victim.root / "linked").symlink_to(bundle.parent)
    ran = victim.ask("runbookopt", "propose", "linked")
    assert ran.returncode == 3
    assert ran.stderr.startswith("linked is a link, and local state is nobody's word")


def test_nobody_else_may_read_or_write_it_whatever_the_umask(victim: Clone) -> None:
    before = os.umask(0)
    try:
        ran = victim.ask("optimize-runbook", "desk", "--no-propose")
    finally:
        os.umask(before)
    assert ran.returncode == 0, ran
    folder = victim.root / ".runbookopt"
    places = [folder, *folder.rglob("*")]
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in places if path.is_dir()} == {
        ".runbookopt": "0o700",
        "bundles": "0o700",
        "readings": "0o700",
    }
    assert {oct(path.stat().st_mode & 0o777) for path in places if path.is_file()} == {"0o600"}
    for path in places:
        path.chmod(0o777 if path.is_dir() else 0o666)
    assert victim.ask("runbookopt", "evaluate", "desk").returncode == 0
    assert not [path for path in places if path.exists() and path.stat().st_mode & 0o077]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_what_belongs_to_another_user_is_refused(victim: Clone) -> None:
    assert victim.ask("runbookopt", "evaluate", "desk").returncode == 0
    os.chown(victim.root / ".runbookopt/journal.sqlite3", 65534, 65534)
    ran = victim.ask("runbookopt", "evaluate", "desk")
    assert ran.returncode == 1
    assert ".runbookopt/journal.sqlite3 belongs to another user (number 65534)" in ran.stderr


IN_CI = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "octo/runbooks", "GITHUB_REF": "refs/heads/main"}


@pytest.mark.parametrize(
    ("made_in", "found_in"),
    [
        (IN_CI, {**IN_CI, "GITHUB_REF": "refs/pull/7/merge"}),
        (IN_CI, {**IN_CI, "GITHUB_REPOSITORY": "eve/runbooks"}),
        ({"GITHUB_ACTIONS": ""}, IN_CI),
    ],
)
def test_a_cached_journal_of_another_repository_or_branch_is_refused(
    victim: Clone, made_in: dict[str, str], found_in: dict[str, str]
) -> None:
    assert victim.ask("runbookopt", "evaluate", "desk", environ=made_in).returncode == 0
    assert victim.ask("runbookopt", "evaluate", "desk", environ=made_in).returncode == 0
    ran = victim.ask("runbookopt", "evaluate", "desk", environ=found_in)
    assert (ran.returncode, ran.stdout) == (3, "")
    assert "journal.sqlite3 was made for " in ran.stderr
    assert "delete the cache that it came from, then run this again" in ran.stderr


def test_a_cached_journal_that_does_not_say_whose_it_is_is_refused(victim: Clone) -> None:
    assert victim.ask("runbookopt", "evaluate", "desk", environ=IN_CI).returncode == 0
    with closing(sqlite3.connect(victim.root / ".runbookopt/journal.sqlite3")) as journal:
        journal.execute("DROP TABLE made_for")
    ran = victim.ask("runbookopt", "evaluate", "desk", environ=IN_CI)
    assert ran.returncode == 3
    assert "does not say for which repository and branch it was made" in ran.stderr
    journal_here = victim.ask("runbookopt", "evaluate", "desk", environ={"GITHUB_ACTIONS": ""})
    assert journal_here.returncode == 0, "one of before, in a clone of one's own, is taken"


def test_a_journal_goes_along_where_origin_moves_and_not_to_another_repository(
    victim: Clone, repo: Make
) -> None:
    assert victim.ask("runbookopt", "evaluate", "desk").returncode == 0
    moved = victim.origin.with_name("moved.git")
    victim.origin.rename(moved)
    victim.git("remote", "set-url", "origin", str(moved))
    assert victim.ask("runbookopt", "evaluate", "desk").returncode == 0
    other = repo({"OTHER.md": "other\n", **_files(victim)}, name="other")
    shutil.copytree(victim.root / ".runbookopt", other.root / ".runbookopt")
    ran = other.ask("runbookopt", "evaluate", "desk")
    assert ran.returncode == 3
    assert "was made for another repository: move it away, then run this again" in ran.stderr


def _files(clone: Clone) -> dict[str, bytes]:
    paths = clone.git("ls-files").splitlines()
    return {path: (clone.root / path).read_bytes() for path in paths}


LOUD = "#!/bin/sh\nhead -c 70000 /dev/zero | tr '\\0' x\n"


def test_an_output_that_no_bundle_could_hold_is_a_failure_of_the_agent_and_told_so(
    repo: Make, planted: ModuleType
) -> None:
    settings = "defaults:\n  agent: {kind: command, argv: [agent.sh/../agent.sh], deterministic: true}\n"
    settings = settings.replace("agent.sh/../agent.sh", "./agent.sh")
    clone = repo({**planted.files(), "runbookopt.yaml": settings, "agent.sh": LOUD})
    (clone.root / "agent.sh").chmod(0o755)
    ran = clone.ask("runbookopt", "evaluate", "desk", "--json", "--budget-rollouts", "30")
    assert ran.returncode == 0, ran
    found = json.loads(ran.stdout)
    assert found["score"] == 0
    assert "no output: the output has 70,000 bytes, and at most 65,536 are taken" in str(found["failing"][0])
