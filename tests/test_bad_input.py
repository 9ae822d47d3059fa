import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from runbookopt.forge.git.repository import Repository
from runbookopt.proof.ledger import Ledger
from tests.conftest import PROGRESS

if TYPE_CHECKING:
    from tests.conftest import Clone, Ran

Make = Callable[..., "Clone"]

EVIDENCE = "trajectories/desk/all.jsonl"
OTHERS = "trajectories/desk/others.jsonl"
RECORD = {"id": "t-1000", "task": {"input": "dear desk, card number 1000 please"}}


def line(**more: object) -> str:
    return json.dumps(RECORD | more) + "\n"


AT_ODDS = "".join(line(id=f"odd-{n}", task={"input": "x", "reference": n}) for n in range(2))


@pytest.fixture
def desk(repo: Make, planted: ModuleType) -> Make:
    """Give a maker of the planted repository; None takes a file away."""

    def make(files: dict[str, str | None] | None = None) -> "Clone":
        wanted = planted.files() | (files or {})
        return repo({path: content for path, content in wanted.items() if content is not None})

    return make


def stops(clone: "Clone", ran: "Ran", status: int, *said: str) -> None:
    """Hold that a command ended with one line on stderr that says all this, and left nothing behind."""
    assert (ran.returncode, ran.stdout) == (status, ""), ran
    (complaint,) = PROGRESS.sub("", ran.stderr).splitlines()
    for words in said:
        assert words in complaint
    assert clone.git("status", "--porcelain") == ""
    assert not list(clone.root.glob(".runbookopt/bundles/*"))
    assert clone.at_origin("for-each-ref", "--format=%(refname)") == "refs/heads/main"


FILES: dict[str, tuple[dict[str, str | None], tuple[str, ...]]] = {
    "no trajectories": ({EVIDENCE: None}, ("trajectories/desk: no trajectories",)),
    "two references for one input": ({OTHERS: AT_ODDS}, (f"{OTHERS}:2: another reference", f"{OTHERS}:1")),
    "weight 0": (
        {
            "runbooks/desk/rubric.yaml": (
                "criteria:\n- id: a\n  check: {kind: max_chars, value: 9}\n  weight: 0\n"
            )
        },
        ("runbooks/desk/rubric.yaml:4", "weight", "> 0"),
    ),
    "an unknown key": (
        {"runbooks/desk/policy.yaml": "mrege: auto\n"},
        ("runbooks/desk/policy.yaml:1", "unknown key 'mrege' (did you mean 'merge'?)"),
    ),
    "an unknown setting": (
        {"runbookopt.yaml": "defaults:\n  widht: 3\n"},
        ("runbookopt.yaml:2", "did you mean 'width'?"),
    ),
    "a runbook that is a folder": (
        {"runbooks/desk/RUNBOOK.md": None, "runbooks/desk/RUNBOOK.md/notes.txt": "Hello\n"},
        ("runbooks/desk", "RUNBOOK.md is a folder"),
    ),
    "a runbook that is locked altogether": (
        {"runbooks/desk/RUNBOOK.md": "## Rubric\nx\n"},
        ("runbooks/desk/RUNBOOK.md: every part is locked: nothing may be rewritten",),
    ),
    "no rubric": ({"runbooks/desk/rubric.yaml": None}, ("runbooks/desk/rubric.yaml: not found",)),
}


@pytest.mark.parametrize(("files", "said"), FILES.values(), ids=FILES)
def test_a_file_that_cannot_be_used_is_one_clear_line(
    desk: Make, files: dict[str, str | None], said: tuple[str, ...]
) -> None:
    clone = desk(files)
    stops(clone, clone.ask("optimize-runbook", "desk", "--json"), 1, *said)


COMMANDS: dict[str, tuple[tuple[str, ...], dict[str, str], int, str]] = {
    "an unknown runbook": (("dsek",), {}, 1, "no runbook 'dsek' in runbooks/ (did you mean 'desk'?)"),
    "a name and --all": (("desk", "--all"), {}, 2, "expected the names of runbooks, or --all"),
    "neither": (("--json",), {}, 2, "expected the names of runbooks, or --all"),
    "a bad flag": (("desk", "--width", "0"), {}, 2, "--width: expected a number >= 1, got 0"),
    "a bad variable": (("desk",), {"RUNBOOKOPT_WIDTH": "x"}, 1, "RUNBOOKOPT_WIDTH: expected a whole number"),
    "an unknown variable": (("desk",), {"RUNBOOKOPT_WIDHT": "3"}, 1, "did you mean 'RUNBOOKOPT_WIDTH'?"),
    "too few rollouts for the proof": (
        ("desk", "--budget-rollouts", "119"),
        {},
        1,
        "desk: 119 rollouts do not cover one draft: 120 are kept for the proof, 48 try today's runbook",
    ),
    "too few rollouts for a draft": (
        ("desk", "--budget-rollouts", "191"),
        {},
        1,
        "raise budget.rollouts to 192 at least, or take it away for 673, which cover 10 drafts",
    ),
}


@pytest.mark.parametrize(("arguments", "environ", "status", "said"), COMMANDS.values(), ids=COMMANDS)
def test_a_command_that_cannot_be_run_is_one_clear_line(
    desk: Make, arguments: tuple[str, ...], environ: dict[str, str], status: int, said: str
) -> None:
    clone = desk()
    stops(clone, clone.ask("optimize-runbook", *arguments, environ=environ), status, said)


def test_a_name_that_can_be_no_branch_costs_no_look(desk: Make, planted: ModuleType) -> None:
    clone = desk({path.replace("desk", "-d"): text for path, text in planted.files().items()})
    ran = clone.ask("optimize-runbook", "--all", "--json")
    assert (ran.returncode, ran.stdout.count("\n")) == (1, 1)
    assert ran.stderr.startswith("runbooks/-d: '-d' begins with '-', and a runbook's name becomes a branch's")
    with Repository.open(clone.root) as repository:
        assert Ledger.open(repository, push=True).looks("-d") == ()


def test_a_word_for_a_number_is_wrong_usage(desk: Make) -> None:
    ran = desk().ask("optimize-runbook", "desk", "--width", "x")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "Invalid value for '--width'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_too_few_tasks_to_prove_anything_stop_before_the_first_rollout(
    desk: Make, planted: ModuleType
) -> None:
    few = [task for task in planted.trajectories() if int(str(task["id"])[2:]) < 48 + 19]
    clone = desk({EVIDENCE: planted.lines(few)})
    said = "desk: 19 held-out groups: a proof needs at least 20; about 3 more tasks would bring them"
    stops(clone, clone.ask("optimize-runbook", "desk"), 1, said, "--dry-run")
    assert not (clone.root / ".runbookopt").exists()


def without_references(planted: ModuleType, *parts: str) -> str:
    """Give the tasks, every sixteenth of these parts without what the rubric looks for."""
    records = planted.trajectories()
    for number, record in enumerate(records):
        if record["task"]["split"] in parts and number % 16 == 0:
            record["task"]["reference"] = {}
    return str(planted.lines(records))


def test_a_proof_that_cannot_judge_its_tasks_stops_before_the_first_rollout(
    desk: Make, planted: ModuleType
) -> None:
    clone = desk({EVIDENCE: without_references(planted, "held-out")})
    said = "desk: held-out tasks that the rubric cannot judge are 4 of 60: right-desk: nothing at $.answer"
    stops(clone, clone.ask("optimize-runbook", "desk"), 1, said, f"first in {EVIDENCE}:", "mend")
    assert not (clone.root / ".runbookopt").exists()
    assert clone.ask("optimize-runbook", "desk", "--dry-run").returncode == 0


def test_tasks_of_the_search_that_cannot_be_judged_are_noted(desk: Make, planted: ModuleType) -> None:
    clone = desk({EVIDENCE: without_references(planted, "train", "validation")})
    ran = clone.ask("optimize-runbook", "desk", "--dry-run")
    for part, count in (("train", "2 of 24"), ("validation", "1 of 24")):
        assert (
            f"  {part} tasks that the rubric cannot judge are {count}: right-desk: nothing at" in ran.stdout
        )


def test_tasks_that_are_all_of_one_group_are_said_to_count_once(desk: Make, planted: ModuleType) -> None:
    records = planted.trajectories()
    for record in records:
        del record["task"]["split"]
        record["task"]["group"] = "customer-1"
    clone = desk({EVIDENCE: planted.lines(records)})
    said = "tasks of one group count once, and all 108 are of one group: add tasks of other groups"
    stops(clone, clone.ask("optimize-runbook", "desk"), 1, said)


def test_half_a_line_among_good_ones_is_a_warning(desk: Make, planted: ModuleType) -> None:
    whole = planted.lines(planted.trajectories())
    clone = desk({EVIDENCE: whole + '{"id": "t-1000", "task": {"inp\n'})
    ran = clone.ask("optimize-runbook", "desk", "--json")
    assert (ran.returncode, json.loads(ran.stdout)["outcome"]) == (0, "accepted")
    (warning,) = ran.stderr.splitlines()
    assert warning.startswith(f"warning: {EVIDENCE}:109: left out: ")
    assert clone.ask("runbookopt", "check").returncode == 1


def test_many_warnings_are_one_line_that_says_where_to_read_them(desk: Make) -> None:
    strange = {"criterion": "right-dekc", "result": "pass", "score": 1.0}
    clone = desk({OTHERS: line(verdicts=[strange]) + "{\n[]\n"})
    ran = clone.ask("optimize-runbook", "desk", "--dry-run")
    assert ran.returncode == 0
    (warning,) = ran.stderr.splitlines()
    assert warning.endswith("2 more warnings: see `runbookopt check`")


def test_no_file_name_moves_the_cursor(desk: Make) -> None:
    clone = desk({"trajectories/desk/\x1b[2J.jsonl": AT_ODDS})
    ran = clone.ask("optimize-runbook", "desk")
    place = "trajectories/desk/\\x1b[2J.jsonl"
    assert ran.stderr == f"{place}:2: another reference for the same input than in {place}:1\n"


def test_a_full_disk_behind_standard_output_is_one_clear_line(desk: Make) -> None:
    program = Path(sys.executable).with_name("optimize-runbook")
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [program, "desk", "--dry-run"],
            cwd=desk().root,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ran.returncode == 1
    said = PROGRESS.sub("", ran.stderr)
    assert said == "No space left on device: make room, then run the same command again\n"


def test_a_verdict_on_an_unknown_criterion_is_a_warning(desk: Make) -> None:
    strange = {"criterion": "right-dekc", "result": "pass", "score": 1.0}
    clone = desk({OTHERS: line(verdicts=[strange])})
    ran = clone.ask("optimize-runbook", "desk", "--dry-run")
    assert ran.returncode == 0
    said = f"{OTHERS}:1: verdict on an unknown criterion 'right-dekc' (did you mean 'right-desk'?); ignored"
    assert ran.stderr == f"warning: {said}\n"


def test_what_is_not_a_git_repository_is_one_clear_line(repo: Make, tmp_path: Path) -> None:
    clone = repo()
    clone.root = tmp_path / "plain"
    clone.root.mkdir()
    ran = clone.ask("optimize-runbook", "desk")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"{clone.root} is not in a git repository: change into yours, or run git init\n"


def test_a_repository_without_commits_is_one_clear_line(repo: Make, tmp_path: Path) -> None:
    clone = repo()
    clone.root = tmp_path / "new"
    clone.git("init", "-q", str(clone.root), at=tmp_path)
    ran = clone.ask("optimize-runbook", "desk")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"{clone.root} has no commits yet: commit your runbooks, then run this again\n"


def test_without_origin_that_is_said_first(desk: Make) -> None:
    clone = desk()
    clone.git("remote", "remove", "origin")
    stops(clone, clone.ask("optimize-runbook", "nosuch"), 1, "there is no origin", "use --no-propose")


def test_an_origin_that_refuses_the_push_is_quoted_and_costs_no_look(desk: Make) -> None:
    clone = desk()
    hook = clone.hook("pre-receive", "echo only on weekdays >&2; exit 1")
    stops(clone, clone.ask("optimize-runbook", "desk", "--json"), 1, "only on weekdays")
    hook.unlink()
    found = json.loads(clone.ask("optimize-runbook", "desk", "--json").stdout)
    assert (found["outcome"], found["held_out"]["look"]) == ("accepted", 1)


@pytest.mark.parametrize("path", ["RUNBOOK.md", "rubric.yaml", "policy.yaml"])
def test_a_working_tree_that_is_not_the_base_is_one_clear_line(desk: Make, path: str) -> None:
    clone = desk()
    with (clone.root / "runbooks/desk" / path).open("a") as file:
        file.write("\n")
    ran = clone.ask("optimize-runbook", "desk")
    assert (ran.returncode, ran.stdout) == (1, "")
    (complaint,) = ran.stderr.splitlines()
    assert complaint.startswith(f"runbooks/desk/{path}: other than on origin's default branch")
    assert clone.git("status", "--porcelain") == f" M runbooks/desk/{path}"


def test_evidence_that_is_here_alone_is_to_be_pushed(desk: Make, planted: ModuleType) -> None:
    clone = desk({EVIDENCE: None})
    (clone.root / EVIDENCE).parent.mkdir(parents=True)
    (clone.root / EVIDENCE).write_text(str(planted.files()[EVIDENCE]))
    ran = clone.ask("optimize-runbook", "desk")
    missing, where = ran.stderr.splitlines()
    assert (ran.returncode, missing.split(":")[1]) == (1, " no trajectories")
    assert where.startswith(f"{EVIDENCE}: other than on origin's default branch")
    assert "commit and push what you changed" in where


def test_a_branch_that_a_person_edited_is_left_alone_and_costs_no_look(desk: Make) -> None:
    clone = desk()
    clone.ask("optimize-runbook", "desk")
    bo = clone.again("bo", "bo")
    bo.git("checkout", "-q", "runbookopt/desk")
    head = bo.commit({"runbooks/desk/RUNBOOK.md": "by hand\n"})
    before = clone.at_origin("for-each-ref")
    flags = ("--json", "--random-seed", "1")
    assert json.loads(clone.ask("optimize-runbook", "desk", *flags).stdout)["outcome"] == "waiting"
    ran = clone.ask("optimize-runbook", "desk", *flags, "--again")
    assert (ran.returncode, ran.stdout) == (1, "")
    (complaint,) = ran.stderr.splitlines()
    assert complaint.startswith(f"desk: branch runbookopt/desk was edited by a person ({head[:12]}): ")
    assert clone.at_origin("for-each-ref") == before


def test_a_full_disk_is_one_clear_line_and_the_same_command_goes_on(desk: Make) -> None:
    clone = desk()
    limited = ["sh", "-c", f"ulimit -f 500; exec {Path(sys.executable).with_name('optimize-runbook')} desk"]
    ran = subprocess.run(limited, cwd=clone.root, capture_output=True, text=True, check=False)
    stops(clone, ran, 1, "journal.sqlite3: the journal cannot be written", "run the same command again")
    spent = json.loads(clone.ask("optimize-runbook", "desk", "--json").stdout)["spent"]
    assert spent["cached"] > 0


def test_a_journal_of_another_version_is_one_clear_line_and_left_as_it_is(desk: Make) -> None:
    clone = desk()
    clone.ask("optimize-runbook", "desk", "--dry-run")
    journal = clone.root / ".runbookopt/journal.sqlite3"
    with sqlite3.connect(journal) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = journal.read_bytes()
    stops(clone, clone.ask("optimize-runbook", "desk"), 1, "a journal of version 99")
    assert journal.read_bytes() == before


def test_too_little_time_for_the_seed_is_one_clear_line_and_more_time_helps(desk: Make) -> None:
    clone = desk()
    said = "desk: the search's time was up before today's runbook was tried on 24 validation tasks"
    stops(clone, clone.ask("optimize-runbook", "desk", "--budget-minutes", "0.0000001"), 1, said)
    assert json.loads(clone.ask("optimize-runbook", "desk", "--json").stdout)["outcome"] == "accepted"


def test_one_runbook_that_fails_does_not_stop_the_others(desk: Make) -> None:
    clone = desk({"runbooks/aaa/RUNBOOK.md": "# A\n", "runbooks/aaa/rubric.yaml": "criteria: []\n"})
    ran = clone.ask("optimize-runbook", "--all", "--json")
    assert ran.returncode == 1
    assert [json.loads(line)["runbook"] for line in ran.stdout.splitlines()] == ["desk"]
    assert "runbooks/aaa/rubric.yaml" in ran.stderr
