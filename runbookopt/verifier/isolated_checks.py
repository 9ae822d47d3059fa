"""Checks that a hostile output could keep busy for ever, and programs, run where they can be stopped.

One child serves the regular expressions of this process, another the Python functions of the repository,
which may do to it what they like. The first stops itself on the processor's clock, so that a verdict does not
depend on how busy the machine is; the parent's wall clock is only the last resort.
"""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from runbookopt.documents.schema_errors import plain
from runbookopt.evidence.trajectory import Left
from runbookopt.verifier import checks, program_checks
from runbookopt.verifier.checks import Check, Finding
from runbookopt.verifier.program_checks import Command, Python

CPU_SECONDS = 1.0  # that one check of one output may take
WALL_SECONDS = 60.0  # after which the parent gives the child up


class _Question(Struct, frozen=True):
    check: Check
    output: str | None
    reference: Any
    left: Left | None = None


def examine(check: Check, *, output: str | None, reference: Any, left: Left | None = None) -> Finding:  # noqa: ANN401 - any JSON value
    """Judge one output as `checks.examine` does; a check that crashes or takes too long is an error."""
    match check:
        case Command():
            return program_checks.run(check, output=output, reference=reference, left=left)
        case Python():
            question = _Question(check, output, reference, left)
            return _child(program_checks.repository_root()).ask(question, check.seconds + WALL_SECONDS)
        case _ if output is not None and checks.may_run_away(check):
            return _child(None).ask(_Question(check, output, reference), WALL_SECONDS)
        case _:
            return _answer(_Question(check, output, reference, left))


def serve() -> None:
    """Answer questions from stdin, one JSON line each, on stdout until stdin ends: the child's whole life."""

    def too_long(_: int, __: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGVTALRM, too_long)
    signal.signal(signal.SIGALRM, too_long)
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for ours in (0, 1):  # what a function prints is no answer
        os.dup2(nowhere, ours)
    for line in asked:
        question = msgspec.json.decode(line, type=_Question)
        answers.write(msgspec.json.encode(_answer(question)) + b"\n")
        answers.flush()


def _answer(question: _Question) -> Finding:
    given = msgspec.structs.asdict(question)
    check, seconds = given.pop("check"), CPU_SECONDS
    try:
        match check:
            case Python():
                seconds = check.seconds
                with _stopped(signal.ITIMER_REAL, seconds):
                    return program_checks.call(check, **given)
            case _ if checks.may_run_away(check) and question.output is not None:
                with _stopped(signal.ITIMER_VIRTUAL, seconds):
                    return checks.examine(check, **given)
            case _:
                return checks.examine(check, **given)
    except TimeoutError:
        return Finding("error", f"the check took more than {seconds:g} s")
    except (Exception, SystemExit) as crash:  # noqa: BLE001 - whatever a check dies of, the verifier fails closed
        return Finding("error", plain(f"the check crashed: {type(crash).__name__}: {crash}")[:200])


@contextlib.contextmanager
def _stopped(timer: int, seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what runs here when the time is up."""
    signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        signal.setitimer(timer, 0)


_SERVE = f"import sys; sys.path.append(sys.argv[1]); from {__name__} import serve; serve()"


class _Child:
    """Process that answers, started anew when it has died."""

    def __init__(self, environ: dict[str, str] | None, root: Path | None) -> None:
        self._environ, self._root = environ, root
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self._end)

    def ask(self, question: _Question, seconds: float) -> Finding:
        with self._lock:
            process = self._alive()
            last_resort = threading.Timer(seconds, process.kill)
            last_resort.start()
            try:
                answer = _exchange(process, msgspec.json.encode(question) + b"\n")
            except BaseException:  # Ctrl-C in between: its answer must not become that of the next question
                self._end()
                raise
            finally:
                last_resort.cancel()
            if not answer:
                self._end()
                return Finding("error", "the check's process ended without an answer")
            return msgspec.json.decode(answer, type=Finding)

    def _alive(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self._end()
            # -P: nothing in the current folder, which may be anybody's repository, is ever imported.
            command = [sys.executable, "-P", "-c", _SERVE, str(Path(__file__).parents[2])]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environ,
                cwd=self._root,
                start_new_session=True,  # Ctrl-C is the parent's
            )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # and what a function started
            process.kill()
            process.communicate()


def _exchange(process: "subprocess.Popen[bytes]", line: bytes) -> bytes:
    if process.stdin is None or process.stdout is None:
        return b""
    try:
        process.stdin.write(line)
        process.stdin.flush()
        return process.stdout.readline()
    except OSError:
        return b""


@cache
def _child(root: Path | None) -> _Child:
    """Child for the Python functions of the repository at `root`, or the one for patterns."""
    seen = {name: os.environ[name] for name in program_checks.SEEN if name in os.environ}
    return _Child(seen if root else None, root)
