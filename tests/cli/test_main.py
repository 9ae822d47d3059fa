import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from runbookopt import __version__

if TYPE_CHECKING:
    from tests.conftest import Clone

PROGRAMS = Path(sys.executable).parent


def shell(line: str) -> "subprocess.CompletedProcess[str]":
    """Run a line of bash that finds our commands first; its status is that of its first command."""
    environ = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
    script = f"{line}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(
        ["bash", "-c", script], env=environ, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("command", ["runbookopt", "optimize-runbook", "runbookopt optimize"])
def test_every_command_says_its_version(command: str) -> None:
    ran = shell(f"{command} --version")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{__version__}\n", "")


def test_the_bare_command_prints_help() -> None:
    ran = shell("runbookopt")
    assert "Usage: runbookopt [OPTIONS] COMMAND" in ran.stdout + ran.stderr


def test_a_reader_that_has_read_enough_is_no_error() -> None:
    ran = shell("{ sleep 0.5; runbookopt schema trajectory; } | true")
    assert ran.stderr == ""


def test_a_full_standard_output_is_one_clear_line() -> None:
    ran = shell("runbookopt schema trajectory > /dev/full")
    assert ran.returncode == 1
    assert ran.stderr == "No space left on device: make room, then run the same command again\n"


def test_a_closed_standard_output_is_no_bug() -> None:
    ran = shell("runbookopt schema rubric >&-")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_local_state_that_is_a_file_is_named(repo: Callable[..., "Clone"], planted: ModuleType) -> None:
    clone = repo({**planted.files(), ".runbookopt": "a file\n"})
    ran = clone.run("optimize-runbook", "desk", "--dry-run")
    assert ran.returncode == 1
    assert ran.stderr == (
        f"{clone.root}/.runbookopt is a file, and local state needs a folder of that name: move it away\n"
    )
