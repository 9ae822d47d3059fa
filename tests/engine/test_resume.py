import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from runbookopt.engine.journal import Journal

if TYPE_CHECKING:
    from tests.conftest import Clone

PROGRAM = Path(__file__).parents[1] / "programs/optimize_slowly.py"
WIDTH = 4


class Job:
    """The main job in a repository of its own, with a file that holds a byte for each paid call."""

    def __init__(self, clone: "Clone") -> None:
        self._bill = clone.root / "calls"
        self._journal = clone.root / ".runbookopt/journal.sqlite3"
        self._command = [sys.executable, str(PROGRAM), str(clone.root), str(self._bill), "0.05", str(WIDTH)]

    @property
    def paid(self) -> int:
        return self._bill.stat().st_size if self._bill.exists() else 0

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self) -> str:
        process = self.start()
        printed, complaint = process.communicate(timeout=120)
        assert (process.returncode, complaint) == (0, "")
        return printed

    def kill_at(self, call: int) -> None:
        """Kill it when so many different calls were paid for, or at its next call if that is behind it."""
        known = self.answers()
        wanted, process = max(known + 1, call) + self.paid - known, self.start()
        while self.paid < wanted:
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        process.kill()
        assert process.communicate(timeout=60)[0] == ""

    def answers(self) -> int:
        """Count the answers that outlived all kills."""
        if not self._journal.exists():
            return 0
        with Journal.open(self._journal) as journal:
            found: int = journal.read("SELECT count(*) FROM answers")[0][0]
        return found


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.nightly)])
def test_a_job_killed_at_random_calls_ends_as_the_uncut_one_and_pays_nothing_twice(
    repo: Callable[..., "Clone"], planted: ModuleType, kills: int
) -> None:
    uncut, cut = (Job(repo(planted.files(), name)) for name in ("uncut", "cut"))
    wanted = uncut.run()
    for call in sorted(random.Random(7).sample(range(1, uncut.paid - kills), kills)):
        cut.kill_at(call)
    assert cut.run() == wanted
    assert uncut.paid <= cut.paid <= uncut.paid + kills * WIDTH
    paid = cut.paid
    assert cut.run() == wanted
    assert cut.paid == paid
