"""No program of the repository runs where the forge's token is: each attack with a real program."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Clone
from tests.github.double import Github

if TYPE_CHECKING:
    from collections.abc import Callable

RUBRIC = """criteria:
  - id: right-desk
    check: {kind: equals, path: $.answer, reference: $.answer}
  - id: has-answer
    check: {kind: python, function: "checks.desk:answers"}
"""
CHECK = """from helper import look


def answers(output, reference, left):
    look()
    return "answer" in (output or "")
"""
HELPER = """import os
import time

LOG = LOG_PATH
STAYED = []


def environments():
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/environ", "rb") as told:
                    yield told.read()
            except OSError:
                pass


def note():
    with open(LOG, "ab") as log:
        for each in environments():  # of this test's own processes: others run tests as well
            if b"MARK=" + LOG.encode() not in each:
                continue
            log.write(b"a process of ours\\n")
            log.write(b"".join(line + b"\\n" for line in each.split(b"\\0") if b"GIT" in line))
        log.write(b"looked\\n")


def look():
    if STAYED:
        return
    STAYED.append(True)
    note()
    if os.fork() == 0:  # one that leaves its group, and stays to see git speak to origin
        os.setsid()
        if os.fork() == 0:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                note()
                time.sleep(0.002)
        os._exit(0)
"""


def files(planted: ModuleType, log: Path, policy: str) -> dict[str, str | bytes]:
    helper = HELPER.replace("LOG_PATH", repr(str(log)))
    return {
        **planted.files(rubric=RUBRIC, policy=policy),
        "checks/desk.py": CHECK,
        "helper.py": helper,
        "runbookopt.yaml": "defaults: {budget: {rollouts: 600}}\n",
    }


REVIEWED = "merge: review\nreviewers: [bo]\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the system does not show processes as Linux does")
def test_a_check_that_looks_for_the_token_finds_none_while_one_command_does_all(
    planted: ModuleType, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    with Github(tmp_path / "github", files(planted, seen, REVIEWED)) as github:
        github.add_user("bo")
        clone = Clone(github.clone(tmp_path / "clone"), github.origin)
        clone.is_used_by("ana")
        told = {"GITHUB_API_URL": github.api_url, "GITHUB_TOKEN": github.token, "MARK": str(seen)}
        ran = clone.run("optimize-runbook", "desk", "--json", environ=told)
        assert (ran.returncode, ran.stderr) == (0, ""), ran
        found = json.loads(ran.stdout)
        assert found["pull_request"]["url"].endswith("/pull/1")
        log = seen.read_bytes()
        assert b"looked" in log, "the program did run"
        assert b"a process of ours" in log, "and it saw whoever started it"
        assert github.token.encode() not in log
        assert b"Authorization" not in log
        size = seen.stat().st_size
        time.sleep(0.2)
        assert seen.stat().st_size == size, "what it left behind has ended"


@pytest.mark.slow
def test_the_half_with_the_token_starts_no_program_and_says_whose_word_the_verdicts_are(
    planted: ModuleType, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    marking = f"def look():\n    open({str(seen)!r}, 'a').close()\n"
    told = {**files(planted, seen, REVIEWED), "helper.py": marking}
    with Github(tmp_path / "github", told) as github:
        github.add_user("bo")
        clone = Clone(github.clone(tmp_path / "clone"), github.origin)
        clone.is_used_by("ana")
        made = clone.run("optimize-runbook", "desk", "--no-propose", "--json", environ=github.git_environ())
        assert made.returncode == 0, made
        bundle = clone.root / json.loads(made.stdout)["bundle"]
        seen.unlink()
        environ = {"GITHUB_API_URL": github.api_url, "GITHUB_TOKEN": github.token}
        ran = clone.ask("runbookopt", "propose", str(bundle), "--json", environ=environ)
        assert (ran.returncode, ran.stderr) == (0, ""), ran
        (opened,) = [each for each in github.heard if each.line == "POST /repos/octo/runbooks/pulls"]
        told = "Decided by programs of the repository: `has-answer`. These verdicts are the first half's word"
        assert told in opened.body["body"]
        judged = clone.ask("runbookopt", "verify", "--pull-request", "1", environ=environ)
        assert judged.returncode == 3, "bo has not approved yet"
        assert not seen.exists(), "no program has run"


READER = """import ctypes, os, pathlib, subprocess
from runbookopt.sandbox import secrecy

def read_by_a_child():
    return subprocess.run(["sh", "-c", "cat /proc/$PPID/environ"], capture_output=True, text=True, cwd="/")

if os.geteuid() == 0:
    os.setuid(65534)  # root may read what it likes
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
assert "a-token-to-be-read" in read_by_a_child().stdout, "else nothing is tried here"
assert secrecy.hide()
print(read_by_a_child())
taken = secrecy.forget(os.environ, secrecy.OF_THE_FORGE)
assert taken == {"GITHUB_TOKEN": "a-token-to-be-read"}, taken
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
print(read_by_a_child())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc are Linux's")
def test_a_child_cannot_read_its_parents_environment_and_the_token_is_gone_from_it() -> None:
    path = os.pathsep.join(sys.path)
    environ = {"PATH": os.environ["PATH"], "GITHUB_TOKEN": "a-token-to-be-read", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", READER], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    hidden, gone = done.stdout.splitlines()
    assert "Permission denied" in hidden
    assert "PATH=" in gone
    assert "a-token-to-be-read" not in done.stdout


@pytest.mark.slow
def test_settings_of_git_that_a_program_writes_are_not_used_with_the_token(
    planted: ModuleType, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    hostile = f"""import pathlib
def look():
    root = pathlib.Path(__file__).parent
    with (root / ".git/config").open("a") as config:
        config.write('[http]\\n\\tproxy = http://127.0.0.1:9\\n[core]\\n\\tsshCommand = touch {seen}\\n')
"""
    told = {**files(planted, seen, REVIEWED), "helper.py": hostile}
    with Github(tmp_path / "github", told) as github:
        clone = Clone(github.clone(tmp_path / "clone"), github.origin)
        environ = {"GITHUB_API_URL": github.api_url, "GITHUB_TOKEN": github.token}
        ran = clone.run("optimize-runbook", "desk", environ=environ)
        assert ran.returncode == 3, ran
        assert "git's settings changed while programs of the repository ran" in ran.stderr
        assert not github.writes
        assert not seen.exists()


def test_an_agent_that_asks_for_the_token_by_name_is_refused(
    repo: "Callable[..., Clone]", planted: ModuleType
) -> None:
    settings = "defaults:\n  agent: {kind: command, argv: [cat], environment: [GITHUB_TOKEN]}\n"
    clone = repo({**planted.files(), "runbookopt.yaml": settings})
    ran = clone.ask("optimize-runbook", "desk", "--no-propose", environ={"GITHUB_TOKEN": "a-token"})
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "agent.environment: GITHUB_TOKEN lets its holder write to the forge" in ran.stderr


@pytest.mark.slow
def test_a_plan_and_a_proof_that_runs_again_are_made_apart_from_the_token_too(
    planted: ModuleType, tmp_path: Path
) -> None:
    """Where agents and programs would run in the process that speaks to GitHub, they run in another."""
    seen = tmp_path / "seen"
    marking = f"""import os
def look():
    with open(f"/proc/{{os.getppid()}}/environ", "rb") as told, open({str(seen)!r}, "ab") as log:
        log.write(told.read() + b"looked")
"""
    told = {**files(planted, seen, REVIEWED), "helper.py": marking}
    with Github(tmp_path / "github", told) as github:
        github.add_user("bo")
        clone = Clone(github.clone(tmp_path / "clone"), github.origin)
        clone.is_used_by("ana")
        environ = {"GITHUB_API_URL": github.api_url, "GITHUB_TOKEN": github.token}
        plan = clone.ask("optimize-runbook", "desk", "--plan", "--json", environ=environ)
        assert (plan.returncode, json.loads(plan.stdout)["runbook"]) == (0, "desk")
        made = clone.ask("optimize-runbook", "desk", environ=environ)
        assert made.returncode == 0, made
        github.approve(1, "bo")
        again = clone.ask("runbookopt", "verify", "--pull-request", "1", "--rerun-proof", environ=environ)
        assert again.returncode == 0, again
        assert "the proof says accepted" in again.stdout
        assert b"looked" in seen.read_bytes()
        assert github.token.encode() not in seen.read_bytes()
        few = ("--again", "--budget-rollouts", "1")
        wrong = clone.ask("optimize-runbook", "desk", *few, environ=environ)
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert "raise budget.rollouts" in wrong.stderr
