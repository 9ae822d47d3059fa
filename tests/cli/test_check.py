import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
import typer
from msgspec.structs import replace
from typer.testing import CliRunner

from runbookopt.cli.check import check
from runbookopt.documents.parse import read_plain_yaml
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.repository import Repository
from runbookopt.proof.ledger import Ledger

if TYPE_CHECKING:
    from tests.conftest import Clone

PROJECT = Path(__file__).parents[2]
TRUST = "trust: {trajectories/triage/*.jsonl: internal}\n"
FILES = {
    "runbooks/triage/RUNBOOK.md": "---\nversion: 1.2.0\n---\n# Triage\n\n## Rules\n"
    "\n- Otherwise `x`\n\n## Rubric\n",
    "runbooks/triage/rubric.yaml": "criteria:\n- {id: right, check: {kind: equals, reference: $}}\n",
    "runbooks/triage/policy.yaml": f"merge: auto\nreviewers: [bo]\n{TRUST}",
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


def test_names_that_other_tools_judge_by_are_told_and_are_no_fault(tmp_path: Path) -> None:
    score = {"name": "helpfulness", "value": 1, "source": "API"}
    trace = {
        "id": "t1",
        "timestamp": "2026-11-01T09:00:00Z",
        "htmlPath": "/t1",
        "sessionId": "s1",
        "input": "Where is order 7?",
        "output": "In Hull.",
        "scores": [score],
    }
    more = {"trajectories/triage/export.json": json.dumps([trace])}
    status, stdout = check_files(tmp_path, more)
    assert status == 0
    assert "triage: 1 verdict of other tools on names that are no criteria here: helpfulness\n" in stdout
    (runbook,) = json.loads(check_files(tmp_path, more, "--json")[1])["runbooks"]
    assert runbook["foreign_criteria"] == {"helpfulness": 1}


TABLE = """
| # | Criterion | 5 (Excellent) | 3 | 1 (Poor) | Pass threshold |
|---|---|---|---|---|---|
| 1 | **Right queue** | the queue a lead would choose | a neighbour | wrong | >= 3 |
| 2 | Reason | names `what was said` | vague | none | |
"""


def test_a_table_of_criteria_is_the_rubric_where_there_is_no_other(tmp_path: Path) -> None:
    page = FILES["runbooks/triage/RUNBOOK.md"]
    write(tmp_path, {"runbooks/triage/RUNBOOK.md": page + TABLE})
    (tmp_path / "runbooks/triage/rubric.yaml").unlink()
    status, stdout = run("--root", str(tmp_path))
    assert status == 1
    assert stdout.startswith("runbooks/triage/RUNBOOK.md:12: 2 criteria are read from this table")
    assert "add `judge: PROVIDER/MODEL` to the front matter" in stdout
    judged = page.replace("version:", "judge: openai/gpt-5\nversion:") + TABLE
    (tmp_path / "runbooks/triage/RUNBOOK.md").write_text(judged)
    status, stdout = run("--root", str(tmp_path))
    assert status == 0
    assert "120 trajectories; 2 criteria, merge: auto" in stdout
    assert "not calibrated decide (right-queue" in stdout


def test_files_of_other_tools_are_read_or_named_and_stop_nothing(tmp_path: Path) -> None:
    run_ = {
        "schema_version": "ATIF-v1.4",
        "session_id": "s1",
        "agent": {"name": "a", "version": "1"},
        "steps": [
            {"step_id": 1, "source": "user", "message": "The machine ate my card"},
            {"step_id": 2, "source": "agent", "message": "card-lost"},
        ],
    }
    said = {"type": "user", "uuid": "u1", "sessionId": "s", "message": {"role": "user", "content": "hi"}}
    folder = "trajectories/triage"
    more = {f"{folder}/run1.json": json.dumps(run_), f"{folder}/s.jsonl": json.dumps(said)}
    assert "122 trajectories" in check_files(tmp_path, more)[1]
    status, stdout = check_files(tmp_path, {f"{folder}/rows.jsonl": '{"question": "x"}\n'})
    assert status == 1
    assert "rows.jsonl: warning: not read: expected trajectories in a known format" in stdout
    assert "122 trajectories" in stdout
    for name in ("a.jsonl", "run1.json", "s.jsonl"):
        (tmp_path / folder / name).unlink()
    status, stdout = run("--root", str(tmp_path))
    assert status == 1
    assert "rows.jsonl" in stdout
    assert f"{folder}: no trajectories" in stdout


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
    status, stdout = check_files(tmp_path, {"runbookopt.yaml": "runbooks: {triage: {evidence: [lgos/**]}}"})
    assert (status, stdout.splitlines()[0]) == (
        0,
        "runbookopt.yaml: advice: triage: no file fits the evidence lgos/**",
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


TWIN = "My card was swallowed by the machine at the station, and nobody answers there"
NOTICE = "This message was sent by a machine of the city council, do not answer it."


def told(*lines: tuple[str, str, dict[str, object]]) -> str:
    """Give trajectories after the 120 of FILES, each of an id, an input and what else its task says."""
    return FILES["trajectories/triage/a.jsonl"] + "".join(
        json.dumps({"id": id_, "task": {"input": text, "reference": "x", **more}}) + "\n"
        for id_, text, more in lines
    )


def test_near_repeats_are_named_by_place_and_words_with_a_group_to_write(tmp_path: Path) -> None:
    changed = TWIN.replace("swallowed", "eaten").replace("station", "airport")
    lines = told(("a", TWIN, {"split": "train"}), ("b", changed, {"split": "held-out"}))
    status, stdout = check_files(tmp_path, {"trajectories/triage/a.jsonl": lines})
    assert status == 0
    advice = next(line for line in stdout.splitlines() if "nearly repeats" in line)
    assert "1 held-out task is left out of the proof: each nearly repeats one that a search uses" in advice
    assert "trajectories/triage/a.jsonl:122 and trajectories/triage/a.jsonl:121 share" in advice
    assert '"my card was by the machine at and nobody answers there"' in advice
    assert '"group": "alike-1"' in advice
    assert "(1 left out)" in stdout


def test_near_repeats_and_boilerplate_are_in_the_json(tmp_path: Path) -> None:
    twins: list[tuple[str, str, dict[str, object]]] = [
        ("a", f"{NOTICE} {TWIN}", {"split": "train"}),
        ("b", f"{NOTICE} {TWIN} again", {"split": "held-out"}),
    ]
    others: list[tuple[str, str, dict[str, object]]] = [
        (f"o{n}", f"{NOTICE} {text}", {})
        for n, text in enumerate(
            (
                "how long does a transfer to another country take now",
                "please close the savings account of my late mother",
                "i was charged twice for a hotel in Lisbon last week",
                "the code that you send never arrives on my phone",
            )
        )
    ]
    more = {"trajectories/triage/a.jsonl": told(*twins, *others)}
    _, stdout = check_files(tmp_path, more, "--json")
    (runbook,) = json.loads(stdout)["runbooks"]
    (pair,) = runbook["near_repeats"]
    places = [f"trajectories/triage/a.jsonl:{line}" for line in (122, 121)]
    assert [pair["place"], pair["of_place"], pair["group"]] == [*places, "alike-1"]
    assert runbook["boilerplate"][0]["words"].startswith("this message was sent by a machine")
    assert runbook["tasks"]["left_out"] == 1
    advice = " ".join(piece["message"] for piece in json.loads(stdout)["problems"])
    assert "words that inputs share whose rest differs are not compared" in advice


def test_a_group_that_one_of_the_twins_has_is_the_one_to_write(tmp_path: Path) -> None:
    lines = told(
        ("a", TWIN, {"split": "train", "group": "customer-17"}), ("b", f"{TWIN} again", {"split": "held-out"})
    )
    _, stdout = check_files(tmp_path, {"trajectories/triage/a.jsonl": lines})
    assert '(`"group": "customer-17"`)' in stdout


def test_allowed_near_repeats_stay_and_the_advice_says_what_follows(tmp_path: Path) -> None:
    lines = told(("a", TWIN, {"split": "train"}), ("b", f"{TWIN} again", {"split": "held-out"}))
    policy = FILES["runbooks/triage/policy.yaml"] + "proof: {near_repeats: allow}\n"
    more = {"trajectories/triage/a.jsonl": lines, "runbooks/triage/policy.yaml": policy}
    _, stdout = check_files(tmp_path, more)
    assert "stays in the proof, as the policy allows, so that every change goes to review" in stdout
    assert "left out)" not in stdout


def test_by_time_tasks_without_one_are_counted(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in FILES["trajectories/triage/a.jsonl"].splitlines()]
    dated = [{**line, "started_at": f"2026-{9 + n // 40:02d}-05T10:00:00Z"} for n, line in enumerate(lines)]
    dated[3] |= {"started_at": "a while ago"}
    dated[7].pop("started_at")
    policy = f"merge: auto\nreviewers: [bo]\nproof: {{split: {{by: time, from: 2026-11-01}}}}\n{TRUST}"
    text = "".join(json.dumps(line) + "\n" for line in dated)
    more = {"trajectories/triage/a.jsonl": text, "runbooks/triage/policy.yaml": policy}
    status, stdout = check_files(tmp_path, more)
    assert (status, "40 held-out tasks" in stdout) == (0, True)
    assert "2 of 120 tasks do not say when they began, first in trajectories/triage/a.jsonl:" in stdout
    assert '"a while ago" in trajectories/triage/a.jsonl:4 is none' in stdout


def test_by_time_the_advice_asks_for_newer_tasks(tmp_path: Path) -> None:
    policy = f"merge: auto\nreviewers: [bo]\nproof: {{split: {{by: time, from: 2026-11-01}}}}\n{TRUST}"
    _, stdout = check_files(tmp_path, {"runbooks/triage/policy.yaml": policy})
    assert (
        "0 held-out groups: a proof needs at least 20; 20 more tasks of other groups would bring them"
        in stdout
    )
    assert "that begin on 2026-11-01 or later" in stdout


def test_the_hook_for_pre_commit_stops_a_commit_that_holds_a_key(repo: "Callable[..., Clone]") -> None:
    (hook,) = read_plain_yaml((PROJECT / ".pre-commit-hooks.yaml").read_bytes(), "hooks")
    assert (hook["id"], hook["pass_filenames"], hook["always_run"]) == ("runbookopt-check", False, True)
    clone = repo(FILES)
    place = clone.root / ".git/hooks/pre-commit"
    place.parent.mkdir(exist_ok=True)
    place.write_text(f"#!/bin/sh\nPATH='{Path(sys.executable).parent}':$PATH\nexec {hook['entry']}\n")
    place.chmod(0o755)
    key = "ghp_" + "4fGh7Kp2" * 5
    clone.write({"trajectories/triage/b.jsonl": json.dumps({"id": "b", "task": {"input": f"use {key}"}})})
    clone.git("add", ".")
    commit = ["git", "-C", str(clone.root), "commit", "--quiet", "--message", "more"]
    stopped = subprocess.run(commit, capture_output=True, text=True, check=False)
    assert stopped.returncode == 1
    assert "trajectories/triage/b.jsonl:1: a GitHub token that looks alive" in stopped.stdout + stopped.stderr
    assert key not in stopped.stdout + stopped.stderr
    clone.write({"trajectories/triage/b.jsonl": json.dumps({"id": "b", "task": {"input": "use mine"}})})
    clone.git("add", ".")
    clone.git(*commit[3:])
