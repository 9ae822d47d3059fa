import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

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
    assert re.search(r"\d+ of at most 673 rollouts, \d+ reflections", told)
    assert "None" not in told
