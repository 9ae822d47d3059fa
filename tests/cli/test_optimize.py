import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from runbookopt.agents.offline_agent import OfflineAgent
from runbookopt.engine.journal import Journal
from runbookopt.evidence.library import Folder
from runbookopt.landing.bundle import Bundle, read_bundle
from runbookopt.project.project import Project, read_project
from runbookopt.search.asks import Reflection
from tests.conftest import PATIENCE, PROGRESS, script

if TYPE_CHECKING:
    from tests.conftest import Clone, Ran

Make = Callable[..., "Clone"]

NAME = "support-triage"
FILE = f"runbooks/{NAME}/RUNBOOK.md"
KEYS = {
    "": "runbook run outcome held_out validation objectives stored_verdicts suspect_references candidates"
    " health spent bundle decision branch pull_request awaiting",
    "held_out": "tasks before after gain low high p look allowance tasks_needed more_tasks spent left"
    " newest_quarter",
    "validation": "tasks before after",
    "stored_verdicts": "used oldest_days undated old checked alike as_today",
    "spent": "rollouts cached reflections tokens usd seconds usage",
    "decision": "merge reasons",
    "pull_request": "number url",
}


class Done(NamedTuple):
    """The sample after one run in a checkout where somebody is at work; only to be looked at."""

    clone: "Clone"
    before: str
    ran: "Ran"
    found: dict[str, Any]
    after: str


def state(clone: "Clone") -> str:
    """Give all of a checkout that no run may touch: branch, index, what is staged and what is not."""
    asked = (("status", "--porcelain=v2", "--branch"), ("diff",), ("diff", "--cached"), ("stash", "list"))
    return "\n".join([clone.git(*question) for question in asked] + [clone.git("symbolic-ref", "HEAD")])


def refs(clone: "Clone") -> str:
    return clone.at_origin("for-each-ref", "--format=%(refname) %(objectname)")


def at_work(clone: "Clone") -> None:
    """Leave a checkout on a branch with a file staged, changed again, and one that git does not know."""
    clone.git("checkout", "-q", "-b", "mine")
    clone.write({"notes.txt": "staged\n"})
    clone.git("add", "notes.txt")
    clone.write({"notes.txt": "changed again\n", "unknown.txt": "new\n"})


@pytest.fixture(scope="session")
def done(samples: Callable[[str], "Clone"]) -> Done:
    clone = samples("optimized")
    at_work(clone)
    before = state(clone)
    ran = clone.ask("optimize-runbook", NAME, "--json")
    return Done(clone, before, ran, json.loads(ran.stdout or "{}"), state(clone))


def winner(clone: "Clone", found: dict[str, Any]) -> Bundle:
    path = clone.root / found["bundle"]
    return read_bundle(path.read_bytes(), str(path))


def test_the_main_job_prints_one_object_with_exactly_the_keys_of_the_design(done: Done) -> None:
    assert (done.ran.returncode, done.ran.stderr, done.ran.stdout.count("\n")) == (0, "", 1)
    for place, keys in KEYS.items():
        assert list(done.found[place] if place else done.found) == keys.split()
    assert set(done.found["objectives"]) == {"accuracy"}
    assert set(done.found["objectives"]["accuracy"]) == {"before", "after", "low", "high"}


def test_every_reason_says_whether_it_holds_and_notes_come_last(done: Done) -> None:
    marks = [reason.split(": ")[0] for reason in done.found["decision"]["reasons"]]
    assert (set(marks), marks) == ({"yes", "note"}, sorted(marks, reverse=True))


def test_the_sample_gets_a_better_runbook(done: Done) -> None:
    held_out = done.found["held_out"]
    assert (done.found["runbook"], done.found["outcome"]) == (NAME, "accepted")
    assert held_out["gain"] == pytest.approx(held_out["after"] - held_out["before"])
    assert held_out["low"] > 0
    assert (held_out["look"], held_out["tasks_needed"]) == (1, None)
    newest = held_out["newest_quarter"]
    assert (newest["tasks"], newest["since"][:7]) == (36, "2026-10")
    assert newest["gain"] == pytest.approx(newest["after"] - newest["before"])
    assert (done.found["spent"]["cached"], done.found["spent"]["usd"]) == (0, None)


def test_the_branch_at_origin_holds_one_commit_that_changes_one_file(done: Done) -> None:
    branch = done.found["branch"]
    assert branch == f"runbookopt/{NAME}"
    assert done.clone.at_origin("rev-list", "--count", f"main..{branch}") == "1"
    assert done.clone.at_origin("rev-list", "--count", f"{branch}..main") == "0"
    assert done.clone.at_origin("diff", "--raw", "--abbrev=1", "main", branch).startswith(":100644 100644 ")
    assert done.clone.at_origin("diff", "--name-status", "main", branch) == f"M\t{FILE}"


def test_the_commit_says_which_run_and_which_bundle_made_it(done: Done) -> None:
    message = done.clone.at_origin("log", "-1", "--format=%(trailers:only,unfold)", done.found["branch"])
    trailers = dict(line.split(": ", 1) for line in message.splitlines())
    names = "Run", "Version", "Gain", "Bundle", "Ledger"
    assert set(trailers) == {f"Runbookopt-{name}" for name in names}
    ledger = done.clone.at_origin("rev-list", "refs/runbookopt/ledger").split()
    assert trailers["Runbookopt-Ledger"] in ledger
    assert trailers["Runbookopt-Run"] == done.found["run"]
    assert trailers["Runbookopt-Bundle"] == f"sha256:{Path(done.found['bundle']).stem}"


def test_what_is_proposed_is_the_winner_with_a_new_patch_number(done: Done) -> None:
    proposed = done.clone.at_origin("show", f"{done.found['branch']}:{FILE}") + "\n"
    assert proposed == winner(done.clone, done.found).candidate
    assert "version: 1.0.1" in proposed


def test_a_checkout_where_somebody_is_at_work_stays_as_it_was(done: Done) -> None:
    assert done.after == done.before
    assert (done.clone.root / "notes.txt").read_text() == "changed again\n"


def test_what_origin_gets_is_a_branch_a_pull_request_and_the_ledger(done: Done) -> None:
    names = [line.split()[0] for line in refs(done.clone).splitlines()]
    assert names == [
        "refs/heads/main",
        f"refs/heads/runbookopt/{NAME}",
        "refs/runbookopt/ledger",
        "refs/runbookopt/pulls/1",
    ]
    assert done.found["pull_request"] == {
        "number": 1,
        "url": f"{done.clone.origin.as_uri()}#refs/runbookopt/pulls/1",
    }


# What a reflector is told ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def asked(done: Done) -> tuple[Reflection, ...]:
    with Journal.open(done.clone.root / ".runbookopt/journal.sqlite3") as journal:
        return journal.reflection_asks(done.found["run"])


@pytest.fixture(scope="session")
def project(done: Done) -> Project:
    return read_project(Folder(done.clone.root), NAME)


def test_no_reflection_cites_a_task_outside_train(asked: tuple[Reflection, ...], project: Project) -> None:
    shown = {shown.task for ask in asked for shown in (*ask.failing, *ask.passing)}
    assert len(asked) > 10
    assert len(shown) > len(project.split.train) / 2
    assert shown <= set(project.split.train)


def test_no_reflection_holds_an_input_of_five_words_that_is_not_from_train(
    asked: tuple[Reflection, ...], project: Project
) -> None:
    told = normal(str(list(asked)))
    secret = {*(task.id for task in project.evidence.tasks)} - set(project.split.train)
    inputs = [normal(str(project.evidence.task(task).input)) for task in secret]
    long = [text for text in inputs if len(text.split()) >= 5]
    assert len(long) > 200
    assert [text for text in long if text in told] == []
    assert all(normal(str(project.evidence.task(task).input)) in told for task in seen(asked))


def seen(asked: Iterable[Reflection]) -> Iterator[str]:
    return (shown.task for ask in asked for shown in ask.failing)


def normal(text: str) -> str:
    """Give the words alone, so that no escape or case hides an input."""
    return " ".join(re.findall(r"\w+", text.replace("\\'", "'").casefold()))


# Again and otherwise ---------------------------------------------------------------------------------------


def test_again_with_nothing_new_pays_nothing_and_writes_nothing_to_origin(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(planted.files())
    first = json.loads(clone.ask("optimize-runbook", "desk", "--json").stdout)
    before = refs(clone)
    again = json.loads(clone.ask("optimize-runbook", "desk", "--again", "--json").stdout)
    assert refs(clone) == before
    assert (again["spent"]["rollouts"], again["spent"]["reflections"]) == (0, 0)
    for key in ("run", "outcome", "held_out", "validation", "objectives", "branch", "pull_request"):
        assert again[key] == first[key]


def test_nothing_is_spent_on_what_the_limits_leave_no_room_for(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files(policy=planted.POLICY + "limits: {open_pull_requests: 0}\n"))
    why = "no room for a pull request, so nothing was searched and no look was taken: 0 of at most 0 pull"
    ran = clone.ask("optimize-runbook", "desk", "--json")
    found = json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr, list(found)) == (0, "", KEYS[""].split())
    assert (found["outcome"], found["spent"], found["pull_request"]) == ("waiting", None, None)
    assert found["decision"]["reasons"][0].startswith(f"note: {why}")
    assert clone.ask("optimize-runbook", "desk").stdout.startswith(f"desk: waiting: {why}")
    assert not (clone.root / ".runbookopt/journal.sqlite3").exists()
    planned = clone.ask("optimize-runbook", "desk", "--plan")
    assert (planned.returncode, planned.stderr[:36]) == (0, "desk: a run would wait today: no roo")


@pytest.mark.slow
def test_a_corrected_reference_of_a_looked_at_task_is_named_and_goes_to_review(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(planted.files())
    first = json.loads(clone.ask("optimize-runbook", "desk", "--json").stdout)
    tasks = planted.trajectories()
    tasks[60]["task"]["reference"] = {"answer": "post"}
    clone.commit({"trajectories/desk/all.jsonl": planted.lines(tasks)})
    ran = clone.ask("optimize-runbook", "desk", "--again", "--json")
    found = json.loads(ran.stdout)
    reasons = "; ".join(found["decision"]["reasons"])
    assert (ran.returncode, found["decision"]["merge"]) == (0, "review")
    assert "had another reference when they were looked at: " in reasons
    assert "pull request 1 was brought up to date" in reasons
    assert found["held_out"] == first["held_out"]
    again = json.loads(clone.ask("optimize-runbook", "desk", "--again", "--json").stdout)
    assert "note: pull request 1 proposes this already" in again["decision"]["reasons"]


@pytest.mark.nightly
def test_width_changes_neither_text_nor_scores(samples: Callable[[str], "Clone"]) -> None:
    def found(width: int) -> tuple[object, ...]:
        clone = samples(f"width-{width}")
        ran = clone.ask("optimize-runbook", NAME, "--json", "--no-propose", "--width", str(width))
        told = json.loads(ran.stdout)
        bundle = winner(clone, told)
        return bundle.candidate, bundle.members, told["held_out"], told["validation"], told["candidates"]

    assert found(1) == found(16)


def test_a_dry_run_writes_nothing_but_the_journal_and_what_it_read(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    before = refs(clone), clone.git("for-each-ref")
    found = json.loads(clone.ask("optimize-runbook", "desk", "--dry-run", "--json").stdout)
    ledger = clone.git("for-each-ref", "refs/runbookopt/ledger")
    assert (refs(clone), clone.git("for-each-ref").removesuffix(f"\n{ledger}")) == before
    told = {path.name for path in (clone.root / ".runbookopt").iterdir()}
    assert told == {".gitignore", "journal.sqlite3", "readings"}
    assert (found["outcome"], found["decision"]["merge"]) == ("inconclusive", "none")
    assert [found[key] for key in ("bundle", "branch", "pull_request")] == [None] * 3
    assert set(found["held_out"].values()) == {None}


def test_a_dry_run_shows_diff_and_reasons_on_validation_alone(repo: Make, planted: ModuleType) -> None:
    shown = repo(planted.files()).ask("optimize-runbook", "desk", "--dry-run").stdout
    assert "validation  0.250 -> 1.000 on 24 tasks" in shown
    assert re.search(r"^\+- If the message mentions .*, answer `post`", shown, re.MULTILINE)
    assert "dry run: the held-out tasks were not opened" in shown
    assert "next: the same command without --dry-run" in shown


def test_without_origin_a_run_ends_in_a_bundle(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    clone.git("remote", "remove", "origin")
    ran = clone.ask("optimize-runbook", "desk", "--no-propose", "--json")
    found = json.loads(ran.stdout)
    assert (ran.returncode, found["outcome"], found["branch"]) == (0, "accepted", None)
    assert winner(clone, found).outcome == "accepted"
    assert f"note: next: runbookopt propose {found['bundle']}" in found["decision"]["reasons"]


def test_what_to_type_next_can_be_typed_where_one_is(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    shown = clone.ask("optimize-runbook", "desk", "--no-propose", below="runbooks/desk").stdout
    (command,) = (line for line in shown.splitlines() if line.startswith("  next: runbookopt propose "))
    proposed = clone.ask(*command.removeprefix("  next: ").split(), below="runbooks/desk")
    assert (proposed.returncode, "pull request 1: desk" in proposed.stdout) == (0, True), proposed


def test_people_read_scores_diff_reasons_and_what_waits_for_whom(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files(policy="reviewers: [bo]\n"))
    shown = clone.ask("optimize-runbook", "--all").stdout
    for part in (
        "desk: a better runbook, proved on held-out tasks",
        "held-out (60 tasks, look 1)",
        "0.250   1.000  +0.750",
        "+version: 1.0.1",
        "decision: goes to review",
        "waits for bo",
        "branch runbookopt/desk",
        "next: runbookopt pulls show 1",
    ):
        assert part in shown
    assert "\x1b" not in shown


# Ctrl-C ----------------------------------------------------------------------------------------------------


def answered(journal: Path) -> int:
    """Count the answers in a journal that another process writes, and perhaps makes just now."""
    try:
        with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as opened:
            (count,) = opened.execute("SELECT count(*) FROM answers").fetchone()
    except sqlite3.OperationalError:
        return 0
    return int(count)


@pytest.fixture
def heard() -> Iterator[None]:
    """Have programs that are started hear SIGHUP also where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(
    ("answers", "number"),
    [
        pytest.param(1, signal.SIGINT, marks=pytest.mark.nightly),
        (500, signal.SIGINT),
        (20, signal.SIGTERM),
        pytest.param(20, signal.SIGHUP, marks=pytest.mark.nightly),
    ],
)
def test_ctrl_c_ends_a_run_without_end_and_says_how_to_go_on(
    samples: Callable[[str], "Clone"], answers: int, number: int
) -> None:
    clone = samples("interrupted")
    endless = ["--patience", "1000000", "--max-failures", "1000000", "--budget-rollouts", "100000000"]
    process = subprocess.Popen(
        [script("optimize-runbook"), NAME, "--json", *endless],
        cwd=clone.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = clone.root / ".runbookopt/journal.sqlite3"
    while answered(journal) < answers:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    printed, complaint = process.communicate(timeout=PATIENCE)
    assert (process.returncode, printed) == (130, "")
    assert PROGRESS.sub("", complaint) == (
        f"{NAME}: interrupted; all answers so far are in .runbookopt/journal.sqlite3, and the same"
        " command goes on from there\n"
    )
    assert refs(clone).split()[0::2] == ["refs/heads/main"]


@pytest.mark.usefixtures("heard")
def test_a_terminal_that_is_closed_ends_a_run_and_what_was_answered_is_kept(
    samples: Callable[[str], "Clone"],
) -> None:
    clone = samples("hung-up")
    endless = ["--patience", "1000000", "--max-failures", "1000000", "--budget-rollouts", "100000000"]
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", script("optimize-runbook"), NAME, *endless]
    process = subprocess.Popen(command, cwd=clone.root, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    while answered(clone.root / ".runbookopt/journal.sqlite3") < 20:
        assert process.poll() is None
        select.select([ours], [], [], 0.05)
        os.set_blocking(ours, False)
        with suppress(BlockingIOError):
            os.read(ours, 65_536)  # else the terminal is full, and the run waits for us
    os.close(ours)
    assert process.wait(PATIENCE) == 130


def test_stored_outputs_are_no_measure_of_a_winner(repo: Make, planted: ModuleType) -> None:
    """Anybody who may add trajectories could else make today's runbook look bad on held-out tasks."""
    digest = sha256(planted.RUNBOOK.encode()).hexdigest()
    bad = {
        "output": '{"answer": "nowhere"}',
        "runbook_digest": f"sha256:{digest}",
        "agent": {"key": OfflineAgent().key},
        "trust": "public",
    }
    records = [
        record | bad if record["task"]["split"] == "held-out" else record for record in planted.trajectories()
    ]
    found = []
    for lines in (planted.lines(planted.trajectories()), planted.lines(records)):
        clone = repo(planted.files(trajectories=lines), name=f"clone-{len(found)}")
        ran = clone.ask("optimize-runbook", "desk", "--no-propose", "--json")
        assert ran.returncode == 0, ran.stderr
        found.append(json.loads(ran.stdout)["held_out"]["before"])
    assert found[0] == found[1] > 0


def test_a_dry_run_walks_the_path_of_the_real_one(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    runs = [clone.ask("optimize-runbook", "desk", *flags, "--json") for flags in (["--dry-run"], [])]
    dry, real = (json.loads(ran.stdout) for ran in runs)
    assert (dry["run"], dry["validation"]) == (real["run"], real["validation"])
    assert real["spent"]["rollouts"] == 2 * real["held_out"]["tasks"]


def test_the_half_without_a_right_to_push_knows_the_looks_at_origin(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    other = clone.again("other", "other")
    first = json.loads(clone.ask("optimize-runbook", "desk", "--json").stdout)
    again = json.loads(other.ask("optimize-runbook", "desk", "--no-propose", "--again", "--json").stdout)
    assert first["spent"]["rollouts"] > again["spent"]["rollouts"] > 0
    assert again["held_out"] == first["held_out"]
