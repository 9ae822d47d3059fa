import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
import typer
from msgspec.structs import replace
from typer.testing import CliRunner

from runbookopt.cli.check import check
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.repository import Repository
from runbookopt.proof.ledger import Ledger

if TYPE_CHECKING:
    from tests.conftest import Clone

FILES = {
    "runbooks/triage/RUNBOOK.md": "---\nversion: 1.2.0\n---\n# Triage\n\n## Rules\n\nNone.\n\n## Rubric\n",
    "runbooks/triage/rubric.yaml": "criteria:\n- {id: right, check: {kind: equals, reference: $}}\n",
    "runbooks/triage/policy.yaml": "merge: auto\nreviewers: [bo]\n",
    "trajectories/triage/a.jsonl": "".join(
        json.dumps({"id": f"t{n}", "task": {"input": f"task {n}", "reference": "x"}}) + "\n"
        for n in range(120)
    ),
}


def write(root: Path, more: dict[str, str]) -> None:
    for path, text in (FILES | more).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(check)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout


def check_files(root: Path, more: dict[str, str], *arguments: str) -> tuple[int, str]:
    write(root, more)
    return run("--root", str(root), *arguments)


def test_a_repository_in_order_gets_a_line_for_each_runbook(tmp_path: Path) -> None:
    status, stdout = check_files(tmp_path, {})
    assert status == 0
    assert stdout.startswith("triage: ")
    assert "120 trajectories; 1 criterion, merge: auto; can prove a gain of" in stdout
    assert " points, as look 1\n" in stdout
    assert stdout.endswith("nothing wrong\n")


def test_an_error_exits_1_with_the_place_first(tmp_path: Path) -> None:
    status, stdout = check_files(
        tmp_path, {"runbooks/triage/policy.yaml": "merge: auto\nproof: {repeats: 0.5}\n"}
    )
    assert status == 1
    assert stdout == (
        "runbooks/triage/policy.yaml:2: proof.repeats: expected a whole number, got 0.5\n"
        "cannot be used as they are: triage\n"
        "1 error\n"
    )


def test_what_no_run_could_use_is_an_error(tmp_path: Path) -> None:
    more = {"runbooks/-\x1b[2J/RUNBOOK.md": "x", "runbooks/triage/RUNBOOK.md": "## Rubric\nx\n"}
    status, stdout = check_files(tmp_path, more)
    assert (status, "\x1b" in stdout) == (1, False)
    name, locked, *_, unusable, _ = stdout.splitlines()
    assert name.startswith(r"runbooks/-\x1b[2J: '-\x1b[2J' holds control characters")
    assert locked.startswith("runbooks/triage/RUNBOOK.md: every part is locked: nothing may be rewritten")
    assert unusable == r"cannot be used as they are: -\x1b[2J, triage"


def test_a_bad_record_exits_1_and_the_runbook_can_still_be_used(tmp_path: Path) -> None:
    status, stdout = check_files(
        tmp_path, {"trajectories/triage/b.jsonl": '{"id": "b", "task": {"input": "b"}}\n{"id": "half'}
    )
    assert status == 1
    assert stdout.startswith("trajectories/triage/b.jsonl:2: warning: ")
    assert "\ntriage: " in stdout


def test_advice_alone_leaves_the_exit_status_at_0(tmp_path: Path) -> None:
    status, stdout = check_files(tmp_path, {"runbookopt.yaml": "runbooks: {other: {width: 3}}"})
    assert (status, stdout.splitlines()[0]) == (
        0,
        "runbookopt.yaml: advice: runbooks: no runbook 'other'",
    )


def test_json_holds_the_same_in_one_object(tmp_path: Path) -> None:
    more = {"runbooks/other/RUNBOOK.md": "x", "runbookopt.yaml": "runbooks: {othr: {width: 3}}"}
    status, stdout = check_files(tmp_path, more, "--json")
    found = json.loads(stdout)
    assert (status, found["ok"], found["unusable"]) == (1, False, ["other"])
    assert [problem["severity"] for problem in found["problems"]] == ["error", "error", "advice"]
    (triage,) = found["runbooks"]
    assert (triage["runbook"], triage["version"], triage["locked"]) == (
        "triage",
        "1.2.0",
        ["front-matter", "rubric"],
    )
    assert sum(triage["tasks"].values()) == 120


def test_outside_a_git_repository_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunbookoptError, match="not in a git repository"):
        check()


def test_the_repository_around_the_current_folder_is_linted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {".git/HEAD": ""})
    monkeypatch.chdir(tmp_path / "runbooks/triage")
    assert run()[1].endswith("nothing wrong\n")


def test_the_looks_that_were_taken_have_their_say(
    repo: Callable[..., "Clone"], first_half: ModuleType
) -> None:
    clone = repo(first_half.files())
    assert "50 held-out tasks" in (before := clone.ask("runbookopt", "check").stdout)
    assert "points, as look 1\n" in before
    with Repository.open(clone.root) as repository:
        look = first_half.FirstHalf(repository)().look
        searched = (*look.searched, *list(look.tasks)[:35])
        Ledger.open(repository, push=False).register(replace(look, searched=searched))
    after = clone.ask("runbookopt", "check").stdout
    assert (
        "15 held-out groups, without 35 that were used by a search, or belong to what was: a proof" in after
    )
    assert after.splitlines()[-2].endswith(
        "15 held-out tasks (35 left out), 60 trajectories; 1 criterion, "
        "merge: auto; can prove no gain, as look 2"
    )


def test_our_own_samples_are_in_order() -> None:
    _, stdout = run("--root", str(Path(__file__).parents[2]), "--json")
    assert json.loads(stdout)["problems"] == []
