"""A run waits while a pull request of its runbook is open."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.proof.ledger import Ledger
from runbookopt.proof.records import note_pulls
from tests.conftest import PATIENCE, Clone, copied, new_clone, script

Make = Callable[..., Clone]


@pytest.fixture(scope="module")
def proposed(planted: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a clone whose runbook has an open pull request, only to be copied."""
    folder = tmp_path_factory.mktemp("proposed")
    files = planted.files(trajectories=planted.lines(planted.trajectories(100)))
    new_clone(folder, files).ask("optimize-runbook", "desk")
    return folder


@pytest.fixture
def waiting(proposed: Path, tmp_path: Path) -> Clone:
    """Give a clone whose runbook has an open pull request."""
    place = copied(proposed, tmp_path / "waiting")
    return Clone(place / "clone", place / "clone-origin.git")


def found(clone: Clone, *flags: str) -> dict[str, Any]:
    ran = clone.ask("optimize-runbook", "desk", "--json", *flags)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def refs(clone: Clone) -> str:
    return clone.at_origin("for-each-ref", "--format=%(refname) %(objectname)")


def record(clone: Clone) -> dict[str, Any]:
    """Give what the ledger at origin says of the last pull request."""
    (name,) = clone.at_origin("ls-tree", "-r", "--name-only", "refs/runbookopt/ledger", "pulls/").splitlines()
    told: dict[str, Any] = json.loads(clone.at_origin("show", f"refs/runbookopt/ledger:{name}"))
    return told


def noted(clone: Clone) -> None:
    """Write into the ledger what `propose` writes at a forge that keeps its pull requests elsewhere."""
    with Repository.open(clone.root) as repository:
        pulls = LocalForge(repository).pull_requests("runbookopt/desk")
        note_pulls(Ledger.open(repository, push=True), "desk", pulls)


def at_no_forge(clone: Clone) -> None:
    """Take away what the local forge keeps: the pull request lives elsewhere, and the ledger alone knows."""
    noted(clone)
    clone.at_origin("update-ref", "-d", "refs/runbookopt/pulls/1")


def test_a_run_waits_for_an_open_pull_request_and_changes_nothing(waiting: Clone) -> None:
    before = refs(waiting)
    told = found(waiting, "--random-seed", "7")
    why = (
        f"pull request 1 ({waiting.origin.as_uri()}#refs/runbookopt/pulls/1) is open, so nothing was searched"
        " and no look was taken; merge or close it, or add --again"
    )
    assert told["outcome"] == "waiting"
    assert told["decision"] == {"merge": "none", "reasons": [f"note: {why}"]}
    assert (told["branch"], told["pull_request"]["number"]) == ("runbookopt/desk", 1)
    assert (told["run"], told["spent"], told["bundle"], told["candidates"]) == (None, None, None, None)
    assert waiting.ask("optimize-runbook", "desk").stdout == f"desk: waiting: {why}\n"
    assert refs(waiting) == before


def test_a_waiting_run_has_the_keys_of_any_other(waiting: Clone) -> None:
    other, waits = found(waiting, "--again"), found(waiting)
    assert list(waits) == list(other)
    for key in ("held_out", "validation", "decision", "pull_request"):
        assert list(waits[key]) == list(other[key])


def test_nights_take_one_look_while_the_pull_request_is_open(waiting: Clone) -> None:
    for night in range(3):
        assert found(waiting, "--random-seed", str(night + 2))["outcome"] == "waiting"
    looks = waiting.at_origin("ls-tree", "-r", "--name-only", "refs/runbookopt/ledger", "looks/")
    assert len(looks.splitlines()) == 1


def test_again_searches_all_the_same(waiting: Clone) -> None:
    told = found(waiting, "--again")
    assert (told["outcome"], told["pull_request"]["number"]) == ("accepted", 1)
    assert "note: pull request 1 proposes this already" in told["decision"]["reasons"]


def test_a_dry_run_neither_looks_nor_waits(waiting: Clone) -> None:
    assert found(waiting, "--dry-run")["outcome"] == "inconclusive"


@pytest.mark.parametrize("command", ["merge", "close"])
def test_a_run_goes_on_when_the_pull_request_has_ended(waiting: Clone, command: str) -> None:
    assert waiting.ask("runbookopt", "pulls", command, "1").returncode == 0
    waiting.git("pull", "-q")
    assert found(waiting, "--no-propose")["outcome"] != "waiting"


def test_the_half_without_a_token_waits_on_the_ledgers_word(waiting: Clone) -> None:
    at_no_forge(waiting)
    told = found(waiting, "--no-propose", "--random-seed", "2")
    assert (told["outcome"], told["pull_request"]["number"]) == ("waiting", 1)
    assert record(waiting) | {"bundle": None} == {
        "runbook": "desk",
        "number": 1,
        "url": f"{waiting.origin.as_uri()}#refs/runbookopt/pulls/1",
        "branch": "runbookopt/desk",
        "head": waiting.at_origin("rev-parse", "runbookopt/desk"),
        "bundle": None,
        "state": "open",
    }


def test_a_branch_that_is_gone_keeps_nobody_waiting(waiting: Clone) -> None:
    at_no_forge(waiting)
    waiting.at_origin("branch", "-D", "runbookopt/desk")
    assert found(waiting, "--no-propose")["outcome"] == "accepted"


def test_a_change_that_the_default_branch_has_keeps_nobody_waiting(waiting: Clone) -> None:
    at_no_forge(waiting)
    waiting.git("fetch", "-q")
    waiting.git("merge", "-q", "--squash", "origin/runbookopt/desk")
    waiting.git("commit", "-q", "-m", "By hand, in other words")
    assert found(waiting, "--no-propose")["outcome"] != "waiting"
    text = (waiting.root / "runbooks/desk/RUNBOOK.md").read_text()
    waiting.commit({"runbooks/desk/RUNBOOK.md": f"{text}\nMore, since.\n"})
    assert found(waiting, "--no-propose")["outcome"] == "waiting"  # git cannot tell any more, and people can


def test_a_commit_that_cites_the_bundle_keeps_nobody_waiting_whatever_was_edited_since(
    waiting: Clone,
) -> None:
    at_no_forge(waiting)
    waiting.git("pull", "-q", "origin", "runbookopt/desk")
    text = (waiting.root / "runbooks/desk/RUNBOOK.md").read_text()
    waiting.commit({"runbooks/desk/RUNBOOK.md": f"{text}\nMore, since.\n"})
    assert found(waiting, "--no-propose")["outcome"] != "waiting"


def test_propose_writes_down_what_became_of_a_pull_request_without_any_bundle(
    waiting: Clone,
) -> None:
    noted(waiting)
    assert record(waiting)["state"] == "open"
    waiting.ask("runbookopt", "pulls", "close", "1")
    assert waiting.ask("runbookopt", "propose", ".runbookopt/none").returncode == 0
    assert record(waiting)["state"] == "closed"


def test_one_that_waits_does_not_stop_the_others(repo: Make, planted: ModuleType) -> None:
    files = planted.files()
    more = {path.replace("/desk/", "/till/"): text for path, text in files.items()}
    more["runbooks/till/RUNBOOK.md"] = planted.RUNBOOK.replace("desk", "till")
    clone = repo({**files, **more})
    clone.ask("optimize-runbook", "desk")
    ran = clone.ask("optimize-runbook", "--all", "--json")
    outcomes = {told["runbook"]: told["outcome"] for told in map(json.loads, ran.stdout.splitlines())}
    assert (ran.returncode, outcomes) == (0, {"desk": "waiting", "till": "accepted"})


def test_a_run_that_was_killed_while_it_proposed_goes_on_and_does_not_wait(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(planted.files())
    flag = clone.origin / "proposed"
    clone.hook("post-receive", f"grep -q runbookopt/pulls/ && {{ touch {flag}; sleep 3; }}; exit 0")
    process = subprocess.Popen([script("optimize-runbook"), "desk"], cwd=clone.root, stdout=subprocess.PIPE)
    waited = 0.0
    while not flag.exists() and waited < PATIENCE:
        time.sleep(0.05)
        waited += 0.05
    process.kill()
    process.communicate()
    told = found(clone)
    assert (told["outcome"], told["pull_request"]["number"]) == ("accepted", 1)
    assert found(clone)["outcome"] == "waiting"
