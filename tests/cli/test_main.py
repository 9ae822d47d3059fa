import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
import typer

from runbookopt import __version__
from runbookopt.cli import main

if TYPE_CHECKING:
    from tests.conftest import Clone

    Bug = Callable[[], str]

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


def test_a_reader_that_has_read_enough_is_told_of_in_one_line() -> None:
    ran = shell("( sleep 0.5; exec runbookopt schema trajectory ) | true")
    assert ran.returncode == 1
    assert ran.stderr == "standard output was closed before all was printed; what was done stays done\n"


def test_a_full_standard_output_is_one_clear_line() -> None:
    ran = shell("runbookopt schema trajectory > /dev/full")
    assert ran.returncode == 1
    assert ran.stderr == "No space left on device: make room, then run the same command again\n"


def test_a_closed_standard_output_is_no_bug() -> None:
    ran = shell("runbookopt schema rubric >&-")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_closed_standard_streams_put_nothing_into_files(tmp_path: Path) -> None:
    assert shell(f"cd {tmp_path} && git init -q . && runbookopt check 2>&-").returncode == 1
    assert shell(f"cd {tmp_path} && runbookopt check <&- >&- 2>&-").returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == [".git"]


def test_an_error_that_nobody_can_read_has_its_status_still() -> None:
    assert shell("runbookopt schema nope 2>/dev/full").returncode == 2
    assert shell("cd / && exec runbookopt check 2>/dev/full").returncode == 1


INTERRUPTING = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == os.environ["INTERRUPTED_AT"]:
            os.kill(os.getpid(), getattr(signal, os.environ["BY"]))

sys.meta_path.insert(0, Interrupting())
"""


@pytest.mark.parametrize(
    ("module", "signal_"),
    [("typer", "SIGINT"), ("runbookopt.cli.optimize", "SIGTERM"), ("git", "SIGINT"), ("sqlite3", "SIGINT")],
)
def test_ctrl_c_while_something_is_imported_is_a_line_and_no_traceback(
    repo: Callable[..., "Clone"], planted: ModuleType, tmp_path: Path, module: str, signal_: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTING)
    clone = repo(planted.files())
    environ = {"PYTHONPATH": str(tmp_path), "INTERRUPTED_AT": module, "BY": signal_}
    ran = clone.run("optimize-runbook", "desk", "--dry-run", environ=environ)
    assert ran.returncode == 130, ran
    assert "interrupted; " in ran.stderr
    assert "the same command goes on from there" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_local_state_that_is_a_file_is_named(repo: Callable[..., "Clone"], planted: ModuleType) -> None:
    clone = repo(planted.files())
    clone.write({".runbookopt": "a file\n"})
    ran = clone.ask("optimize-runbook", "desk", "--dry-run")
    assert ran.returncode == 1
    assert ran.stderr == (
        f"{clone.root}/.runbookopt is a file, and local state needs a folder of that name: move it away\n"
    )


# A bug -----------------------------------------------------------------------------------------------------

KEY = "Made-Up.4f1c9e07d2b85a63"


@pytest.fixture
def bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Bug":
    """Run a command that fails as nobody foresaw, with a key in its words and in a variable of its own."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("MADE_UP_API_KEY", KEY)
    monkeypatch.delenv("RUNBOOKOPT_TRACEBACK", raising=False)
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        unseen = "a value that stands in a variable alone"
        raise ZeroDivisionError(f"{len(unseen)} of sk-{'0a' * 12} for {KEY}")

    def run() -> str:
        monkeypatch.setattr(sys, "argv", ["runbookopt"])
        with pytest.raises(SystemExit) as end:
            main.run(app)
        assert end.value.code == 1
        return capsys.readouterr().err

    return run


def logs(folder: Path) -> list[Path]:
    return list(folder.glob("runbookopt-error-*.txt"))


def test_a_bug_names_a_file_to_attach_to_a_report(bug: "Bug", tmp_path: Path) -> None:
    (tmp_path / ".runbookopt").mkdir()
    said = bug()
    (log,) = logs(tmp_path / ".runbookopt")
    assert said.startswith(f"a bug in runbookopt {__version__}: ZeroDivisionError: ")
    assert said.endswith(f"\nplease report it, and attach {log}\n")
    assert log.stat().st_mode & 0o777 == 0o600
    text = log.read_text()
    assert f"runbookopt {__version__}\n" in text
    assert f"Python {sys.version.split()[0]}" in text
    assert "litellm " in text
    assert "in fail\n" in text
    assert "raise ZeroDivisionError(" in text


def test_what_a_bug_leaves_holds_no_secret_and_no_variable(bug: "Bug", tmp_path: Path) -> None:
    bug()
    (log,) = logs(tmp_path / "temporary")
    text = log.read_text()
    assert "removed: credential" in text
    assert "removed: model provider's key" in text
    for unwanted in (KEY, "0a0a0a", "MADE_UP_API_KEY", "a value that stands"):
        assert unwanted not in text


def test_local_state_that_is_no_folder_is_passed_over(bug: "Bug", tmp_path: Path) -> None:
    (tmp_path / ".runbookopt").touch()
    bug()
    assert len(logs(tmp_path / "temporary")) == 1


def test_where_no_file_can_be_written_the_traceback_is_asked_for(bug: "Bug", tmp_path: Path) -> None:
    (tmp_path / "temporary").rmdir()
    assert bug().endswith("\nplease report it, with what RUNBOOKOPT_TRACEBACK=1 prints\n")
