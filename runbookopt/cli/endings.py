"""Ends that come from outside: signals, and standard streams that are closed or gone."""

import os
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP do what Ctrl-C does; who ignores one (`nohup`) goes on ignoring it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    for number, handler in before.items():
        if handler == signal.SIG_DFL:
            signal.signal(number, _as_ctrl_c)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGHUP:  # what is written to a terminal that has gone would be one more error
        for descriptor in (1, 2):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor):
                to_nowhere(descriptor)
    heard = signal.getsignal(signal.SIGINT)  # what a run has put there asks its calls to end
    if not callable(heard):  # a shell that starts us in the background has us ignore Ctrl-C
        raise KeyboardInterrupt
    heard(signal.SIGINT, frame)


def open_what_is_closed() -> None:
    """See to it that there are three standard streams: a shell's `>&-` and `2>&-` leave none.

    Else the next file that is opened takes their number, and what is said goes into that file.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for as long as we live


def to_nowhere(descriptor: int) -> None:
    """Have what is still written to a stream go nowhere: Python itself writes the rest as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
