"""Checks that a hostile output could keep busy for ever, run in a child process where they can be stopped.

One child serves all checks of this process. It stops itself on the processor's clock, so that a verdict does
not depend on how busy the machine is; the parent's wall clock is only the last resort.
"""

import atexit
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from runbookopt.explanation import plain
from runbookopt.verifier import checks
from runbookopt.verifier.checks import Check, Finding

CPU_SECONDS = 1.0
"""What one check of one output may take."""

WALL_SECONDS = 60.0
"""When the parent gives the child up."""


class _Question(Struct, frozen=True):
    check: Check
    output: str | None
    reference: Any


def examine(check: Check, *, output: str | None, reference: Any) -> Finding:  # noqa: ANN401 - any JSON value
    """Judge one output as `checks.examine` does; a check that crashes or takes too long is an error."""
    question = _Question(check, output, reference)
    return _child().ask(question) if checks.may_run_away(check) else _answer(question)


def serve() -> None:
    """Answer questions from stdin on stdout, one JSON line each, until stdin ends: the child's whole life."""
    import signal  # noqa: PLC0415 - only the child stops itself

    def too_long(_: int, __: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGVTALRM, too_long)
    for line in sys.stdin.buffer:
        question = msgspec.json.decode(line, type=_Question)
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
        finding = _answer(question)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        sys.stdout.buffer.write(msgspec.json.encode(finding) + b"\n")
        sys.stdout.buffer.flush()


def _answer(question: _Question) -> Finding:
    try:
        return checks.examine(question.check, output=question.output, reference=question.reference)
    except TimeoutError:
        return Finding("error", f"the check took more than {CPU_SECONDS:g} s")
    except Exception as crash:  # noqa: BLE001 - whatever a check dies of, the verifier fails closed
        return Finding("error", plain(f"the check crashed: {type(crash).__name__}: {crash}")[:200])


_SERVE = "import sys; sys.path.append(sys.argv[1]); from runbookopt.verifier import bounded; bounded.serve()"


class _Child:
    """The process that answers, started anew when it has died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self._end)

    def ask(self, question: _Question) -> Finding:
        with self._lock:
            process = self._alive()
            last_resort = threading.Timer(WALL_SECONDS, process.kill)
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
                start_new_session=True,  # Ctrl-C is the parent's
            )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
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
def _child() -> _Child:
    return _Child()
