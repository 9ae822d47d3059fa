import contextlib
import io
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from runbookopt.cli.terminal import progress
from runbookopt.engine.progress import Progress
from runbookopt.search.asks import SoFar

if TYPE_CHECKING:
    from tests.conftest import Clone


def heard(terminal: int) -> Iterator[bytes]:
    """Give what is written to a terminal until the last that writes there has ended."""
    while True:
        try:
            yield os.read(terminal, 4096)
        except OSError:  # how Linux tells it
            return


def test_a_terminal_is_told_how_far_the_run_is_and_never_of_none(
    repo: Callable[..., "Clone"], planted: ModuleType
) -> None:
    ours, theirs = pty.openpty()
    command = [Path(sys.executable).with_name("optimize-runbook"), "desk", "--dry-run"]
    environ = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    clone = repo(planted.files())
    with subprocess.Popen(
        command, cwd=clone.root, env=environ, stdout=subprocess.DEVNULL, stderr=theirs
    ) as process:
        os.close(theirs)
        told = b"".join(heard(ours)).decode()
    os.close(ours)
    assert process.returncode == 0
    assert "reading the evidence" in told
    assert re.search(r"searching( \([a-z ]+\))?: validation [01]\.\d{3}, today's 0\.250", told)
    assert re.search(r"\d+ of at most 673 rollouts, \d+ reflections", told)
    assert "None" not in told


def test_without_a_terminal_there_is_a_line_a_phase(
    repo: Callable[..., "Clone"], planted: ModuleType
) -> None:
    command = [Path(sys.executable).with_name("optimize-runbook"), "desk", "--no-propose", "--json"]
    clone = repo(planted.files())
    ran = subprocess.run(command, cwd=clone.root, capture_output=True, encoding="utf-8", check=True)
    reading, searching, proving, done = ran.stderr.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d desk: reading the evidence", reading)
    assert re.fullmatch(
        r"[\d:]{8} desk: searching.*, \d+ of at most 673 rollouts, \d+ reflections.*", searching
    )
    assert "desk: proving: validation 1.000, today's 0.250, " in proving
    assert done.endswith(" desk: a better runbook, proved on held-out tasks")
    assert ran.stdout.count("\n") == 1


def test_without_a_terminal_there_is_a_line_each_while_too() -> None:
    enough = threading.Event()

    class Heard(io.StringIO):
        def write(self, text: str) -> int:
            if self.getvalue().count("proving") == 3:
                enough.set()
            return super().write(text)

    with contextlib.redirect_stderr(Heard()) as heard, progress("desk\x1b[2J", every=0.01) as tell:
        tell(PROVING)
        assert enough.wait(60)
    lines = heard.getvalue().splitlines()
    line = (
        "desk\\x1b[2J: proving: validation 0.800, today's 0.500, 40 of at most 100 rollouts, 3 reflections,"
        " at most 2 min left, 1,000 tokens (at most about 3,000), 0.50 dollars (at most about 1.50)"
    )
    assert {said[9:] for said in lines[-2:]} == {line}


PROVING = Progress(
    phase="proving",
    rollouts=30,
    cached=10,
    reflections=3,
    budget=100,
    scores=SoFar(0.5, 0.8),
    tokens=1000,
    usd=0.5,
    tokens_at_most=3000,
    usd_at_most=1.5,
    seconds_left=120,
)
