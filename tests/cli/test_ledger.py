"""A ledger that was taken back, came along with no fork, was renamed away or read around, by command line."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import Clone, copied, new_clone

REF = "refs/runbookopt/ledger"
BACK = "runbookopt ledger restore --from REMOTE|FILE"
POLICY = """merge: auto
auto_merge_if: {growth_at_most: 9}
limits: {cooldown_hours: 0, per_day: 9}
"""
RUN = ("optimize-runbook", "desk")


@pytest.fixture(scope="module")
def merged_once(planted: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with an origin whose default branch has one merged proposal, only to be copied."""
    folder = tmp_path_factory.mktemp("merged")
    tasks = planted.lines(planted.trajectories(80))
    clone = new_clone(folder, planted.files(policy=POLICY, trajectories=tasks))
    assert clone.ask(*RUN).returncode == 0
    assert clone.ask("runbookopt", "pulls", "merge", "1").returncode == 0
    clone.git("pull", "-q")
    return folder


@pytest.fixture
def merged(merged_once: Path, tmp_path: Path) -> Clone:
    """Give a clone of a repository with one merged proposal."""
    place = copied(merged_once, tmp_path / "merged")
    return Clone(place / "clone", place / "clone-origin.git")


def fresh(clone: Clone, name: str = "fresh") -> Clone:
    """Give another clone, which has never seen the ledger."""
    return clone.again(name, "bo")


def trailer(clone: Clone) -> str:
    return clone.at_origin("log", "-1", "--format=%(trailers:key=Runbookopt-Ledger,valueonly)", "main")


def account(clone: Clone, status: int = 0, name: str = "desk") -> dict[str, Any]:
    ran = clone.ask("runbookopt", "ledger", name, "--json")
    assert (ran.returncode, ran.stderr) == (status, "")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def refuses(clone: Clone, *command: str) -> str:
    """Ask for what must be refused with one line; give it."""
    ran = clone.ask(*(command or RUN))
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1), ran
    return ran.stderr


def test_a_merge_names_the_ledger_and_a_fresh_clone_goes_on(merged: Clone) -> None:
    assert trailer(merged).strip() in merged.at_origin("rev-list", REF).split()
    ran = fresh(merged).ask(*RUN)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("how", ["deleted", "forked"])
def test_a_ledger_that_is_gone_is_seen_by_a_fresh_clone_and_put_back(
    merged: Clone, tmp_path: Path, how: str
) -> None:
    kept = tmp_path / "kept.bundle"
    merged.git("bundle", "create", "-q", str(kept), REF)
    if how == "deleted":
        merged.at_origin("update-ref", "-d", REF)
        there = fresh(merged)
    else:
        fork = tmp_path / "fork.git"
        merged.git("clone", "-q", "--bare", merged.origin.as_uri(), str(fork))
        merged.git("clone", "-q", fork.as_uri(), str(tmp_path / "forked"))
        there = Clone(tmp_path / "forked", fork)
    for flags in ((), ("--no-propose",)):
        told = refuses(there, *RUN, *flags)
        assert BACK in told
        assert "optimize-runbook desk --begin-again" in told
        assert trailer(there)[:12] in told
    assert account(there, 1)["lost"] in told
    source = str(kept) if how == "deleted" else merged.origin.as_uri()
    ran = there.ask("runbookopt", "ledger", "restore", "--from", source)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("the ledger is back at origin: 1 looks, ")
    assert there.at_origin("rev-parse", REF) == merged.git("rev-parse", REF)
    assert there.ask(*RUN).returncode == 0
    assert account(there)["lost"] is None


def test_propose_and_verify_refuse_a_ledger_that_is_gone(merged: Clone, planted: ModuleType) -> None:
    merged.commit({"runbooks/desk/RUNBOOK.md": planted.RUNBOOK})
    flags = ("--no-propose", "--json", "--random-seed", "3")
    bundle = json.loads(fresh(merged, "half").ask(*RUN, *flags).stdout)["bundle"]
    path = merged.root.parent / "half" / bundle
    assert merged.ask("runbookopt", "propose", str(path)).returncode == 0
    head = merged.at_origin("rev-parse", "runbookopt/desk")
    merged.at_origin("update-ref", "-d", REF)
    there = fresh(merged)
    assert BACK in refuses(there, "runbookopt", "propose", str(path))
    ran = there.ask("runbookopt", "verify", "--base", "origin/main", "--head", head)
    assert ran.returncode == 3
