"""Whole runs with proposing, killed at any moment, also with a faulty provider: the uncut result."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.proof.ledger import Ledger
from tests.cli.conftest import HELD_OUT, KEY, SETTINGS
from tests.conftest import Clone, Files

PROGRAM = Path(__file__).parents[1] / "programs/commands_to_kill.py"
POLICY = "merge: review\nreviewers: [bo]\n"
DETERMINISTIC = "    deterministic: true\n"
PATIENT = f"{DETERMINISTIC}    attempts: 12\n    patience_seconds: 600\n"
FAULTS = {"rate_limited": 0.1, "server": 0.1, "cut": 0.05}
NEVER = frozenset({48})  # a held-out task on which nobody is ever answered: 2 attempts of 64 lack
CUTS = 10  # kills of one run, at most


class Runs:
    """A program that runs the main job in a folder, to be killed or to its end."""

    def __init__(self, *words: str, **environ: str) -> None:
        self._program = subprocess.Popen(
            [sys.executable, str(PROGRAM), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENAI_API_KEY": KEY, **environ},
        )
        assert self._program.stdout is not None
        assert self._program.stdout.readline() == "ready\n"

    def end(self) -> None:
        self._program.communicate(timeout=60)

    def run(self, clone: Clone, width: int, *, kill_after: float | None = None) -> int:
        """Run it, and give its status: minus the signal's number where it was killed."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        printed = clone.root.parent / f"{clone.root.name}-printed"
        self._program.stdin.write(f"{clone.root} {printed} desk --json --width {width}\n")
        self._program.stdin.flush()
        pid = int(self._program.stdout.readline())
        if kill_after is not None:
            killing = threading.Timer(kill_after, self._kill, [pid])
            killing.start()
        status = int(self._program.stdout.readline())
        if kill_after is not None:
            killing.cancel()
            killing.join()
        return status

    @staticmethod
    def _kill(pid: int) -> None:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def ended(clone: Clone) -> dict[str, Any]:
    """Give all at origin that must be the same, however often the run was killed."""
    with Repository.open(clone.root) as repository:
        looks = Ledger.open(repository, push=False, fetch=True).looks("desk")
        pull = LocalForge(repository).get(1)
        title = pull.title
    refs = clone.at_origin("for-each-ref", "--format=%(refname)").splitlines()
    return {
        "refs": refs,
        "looks": [(look.key, look.answer, look.candidate, look.bundle is not None) for look in looks],
        "title": title,
        "text": clone.at_origin("show", "runbookopt/desk:runbooks/desk/RUNBOOK.md"),
        "commits": clone.at_origin("rev-list", "--count", "main..runbookopt/desk"),
    }


def outputs(clone: Clone) -> list[Any]:
    """Give what the proof saw, from the newest bundle."""
    bundles = sorted((clone.root / ".runbookopt/bundles").iterdir(), key=lambda path: path.stat().st_mtime)
    told = json.loads(bundles[-1].read_text())
    return [told[key] for key in ("outputs", "comparison", "members", "changes", "validation", "outcome")]


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    running = Runs()
    yield running
    running.end()


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("faulty", "kills", "width"),
    [
        (False, 3, 16),
        *(
            pytest.param(faulty, 50, width, marks=pytest.mark.nightly)
            for faulty in (False, True)
            for width in (1, 16)
        ),
    ],
)
def test_runs_killed_at_any_moment_end_as_the_uncut_one(  # noqa: PLR0913 - what is tried
    runs: Runs,
    tmp_path: Path,
    planted: ModuleType,
    openai_server: ModuleType,
    model_pair: ModuleType,
    new_repository: Callable[[Path, Files, str], Clone],
    *,
    width: int,
    faulty: bool,
    kills: int,
) -> None:
    chance, done, killed = random.Random(f"{width} {faulty}"), 0, Counter[int]()
    plan = openai_server.by_chance(FAULTS, seconds=0.01)
    with openai_server.Server(model_pair.Pair().answer, faults=plan) as server:
        server.outage = lambda body: "bad_request" if never_answered(body) else None
        tasks = planted.lines(planted.trajectories(HELD_OUT))
        files = planted.files(policy=POLICY, trajectories=tasks)
        if faulty:
            files["runbookopt.yaml"] = SETTINGS.replace("URL", server.url).replace(DETERMINISTIC, PATIENT)
        uncut = new_repository(tmp_path, files, "uncut")
        began = time.monotonic()
        assert runs.run(uncut, width) == 0, (tmp_path / "uncut-printed").read_text()
        seconds, wanted, seen = time.monotonic() - began, ended(uncut), outputs(uncut)
        paid = len(server.heard)
        while killed.total() < kills:
            done += 1
            cut, before = new_repository(tmp_path, files, f"cut-{done}"), len(server.heard)
            while killed[done] < min(CUTS, kills - killed.total() + killed[done]):
                status = runs.run(cut, width, kill_after=0.02 + chance.expovariate(6 / seconds))
                if status != -signal.SIGKILL:
                    break
                killed[done] += 1
            status = runs.run(cut, width)
            printed = (tmp_path / f"cut-{done}-printed").read_text()
            assert status == 0 or "desk: 1 open pull request" in printed, printed
            assert (ended(cut), outputs(cut)) == (wanted, seen)
            assert len(server.heard) - before <= paid + killed[done] * (width + 1) * 13
            print(f"{killed.total()} kills in {done} runs")  # noqa: T201 - for -s


def never_answered(body: dict[str, Any]) -> bool:
    text = body["messages"][-1]["content"]
    return body["model"] == "agent" and any(f"number {task} please" in text for task in NEVER)
