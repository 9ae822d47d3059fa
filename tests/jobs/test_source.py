"""What workflows are told to install: never a release that nobody has published."""

import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from runbookopt.jobs.scaffold import Choices, pieces, put
from runbookopt.jobs.scaffold.source import RELEASE, installable, installed_from
from tests.conftest import script

if TYPE_CHECKING:
    from tests.conftest import Clone

Make = Callable[..., "Clone"]


def checkout(clone: "Clone") -> str:
    return json.dumps({"url": clone.root.as_uri(), "dir_info": {"editable": True}})


def test_a_release_is_named_only_where_an_index_has_it() -> None:
    assert installable(None, ["true"]) == RELEASE
    assert installable(None, ["false"]) is None
    assert installable(None, ["no-such-program"]) is None


def test_a_commit_that_was_installed_is_named() -> None:
    direct = {"url": "https://git.example/o/r", "vcs_info": {"vcs": "git", "commit_id": "1" * 40}}
    assert installable(json.dumps(direct)) == f"git+https://git.example/o/r@{'1' * 40}"


@pytest.mark.parametrize("url", ["git@github.com:o/runbookopt.git", "https://github.com/o/runbookopt"])
def test_a_checkout_is_named_by_its_commit_where_others_have_it(repo: Make, url: str) -> None:
    clone = repo()
    clone.git("remote", "set-url", "origin", url)
    head = clone.git("rev-parse", "HEAD")
    assert installable(checkout(clone)) == f"git+https://github.com/o/runbookopt@{head}"
    clone.commit({"a": "1"}, push=False)
    assert installable(checkout(clone)) is None


SPEC = "git+https://git.example/o/runbookopt@v1"


def nowhere() -> bool:
    """Say whether what runs here is of no release or commit that others can install."""
    return installable(installed_from()) is None


def test_init_says_what_is_left_where_no_other_machine_could_install_what_runs(repo: Make) -> None:
    clone = repo()
    ran = clone.ask("runbookopt", "init", "--reviewer", "ana", "--json")
    said = json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr, said["installs"]) == (0, "", installable(installed_from()))
    workflow = (clone.root / ".github/workflows/verify-runbooks.yml").read_text()
    assert ("vars.RUNBOOKOPT_SPEC || ''" in workflow) == nowhere()
    again = json.loads(clone.ask("runbookopt", "init", "--reviewer", "ana", "--json").stdout)
    for each in (said, again):
        assert each["next"][0].startswith("say what workflows are to install") == nowhere()
    named = ("--reviewer", "ana", "--json", "--spec", "tool.whl")
    told = json.loads(repo(name="other").ask("runbookopt", "init", *named).stdout)
    assert (told["installs"], "say what" in told["next"][0]) == ("tool.whl", False)


@pytest.mark.parametrize(("typed", "written"), [(SPEC, f"|| '{SPEC}'"), ("", "|| ''")])
def test_at_a_terminal_somebody_is_asked(repo: Make, typed: str, written: str) -> None:
    if not nowhere():
        pytest.skip("what runs here can be installed elsewhere")
    clone, (ours, theirs) = repo(), pty.openpty()
    os.write(ours, f"{typed}\n".encode())
    command = [script("runbookopt"), "init", "--reviewer", "ana"]
    ran = subprocess.run(
        command, cwd=clone.root, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, check=False, timeout=120
    )
    shown = os.read(ours, 4096).decode()
    os.close(ours)
    os.close(theirs)
    assert ran.returncode == 0
    assert "What is pip to install in workflows?" in shown
    assert ("next: say what workflows are to install" in ran.stdout.decode()) == (not typed)
    assert written in (clone.root / ".github/workflows/verify-runbooks.yml").read_text()


def test_a_workflow_that_was_told_nothing_to_install_ends_with_a_sentence(
    github_runner: ModuleType, tmp_path: Path
) -> None:
    for piece in pieces(tmp_path, Choices(("ana",), None)):
        put(tmp_path, piece)
    runner = github_runner.Runner(tmp_path, tmp_path / "job", {"vars.RUNBOOKOPT_SPEC": ""})
    (install,) = [
        step
        for path, step in github_runner.steps(tmp_path)
        if step.get("name") == "Install" and path.endswith("verify-runbooks.yml")
    ]
    with pytest.raises(AssertionError, match="say what pip is to install: the variable RUNBOOKOPT_SPEC"):
        runner.step(install)
    assert list(runner.temp.iterdir()) == []


def test_what_only_this_machine_has_is_asked_about(repo: Make) -> None:
    clone = repo()
    assert installable(checkout(clone)) is None  # its origin is a folder
    assert installable(json.dumps({"url": "file:///dist/x.whl", "archive_info": {}})) is None
