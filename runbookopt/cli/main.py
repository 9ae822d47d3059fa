"""Entry of both programs, and the one border where errors turn into a sentence and an exit status.

What takes time to import is imported within the border: Ctrl-C may come meanwhile.
"""

import errno
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from runbookopt import __version__
from runbookopt.cli import custody
from runbookopt.cli.certificates import trusted_by_all
from runbookopt.cli.endings import ended_as_by_ctrl_c, open_what_is_closed, to_nowhere
from runbookopt.cli.terminal import complain
from runbookopt.errors import Interrupted, RunbookoptError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = "standard output was closed before all was printed; what was done stays done"


def optimize_runbook() -> None:
    """Run `optimize-runbook`."""

    def program() -> None:
        from runbookopt.cli.programs import optimize_runbook as made

        made()()

    run(program)


def runbookopt() -> None:
    """Run `runbookopt`."""

    def program() -> None:
        from runbookopt.cli.programs import runbookopt as made

        made()()

    run(program)


def run(program: Callable[[], object]) -> None:
    """Run what reads the command line, and end with its status."""
    open_what_is_closed()
    trusted_by_all(os.environ)
    custody.take()
    try:
        with ended_as_by_ctrl_c():
            try:
                program()
            finally:
                _flush()  # here, where what goes wrong can still be said
    except RunbookoptError as error:
        complain(error)
        sys.exit(error.status)
    except SystemExit as end:
        _ended(end)
        raise
    except KeyboardInterrupt:  # before there was anything to go on with
        _interrupted()
    except Exception as error:  # noqa: BLE001 - the border
        _unforeseen(error)


def _ended(end: SystemExit) -> None:
    """Say what typer leaves unsaid: it ends by itself where Ctrl-C or a closed pipe comes to it."""
    because = end.__context__
    if isinstance(because, BrokenPipeError):
        _cannot_print(_CLOSED)
    if because is not None and isinstance(because.__cause__, KeyboardInterrupt):
        _interrupted()


def _interrupted() -> NoReturn:
    complain("interrupted; the same command goes on from there")
    sys.exit(Interrupted.status)


def _unforeseen(error: Exception) -> NoReturn:
    if isinstance(error, OSError) and error.errno in _FULL:
        _cannot_print(f"{error.strerror}: make room, then run the same command again")
    if isinstance(error, BrokenPipeError):
        _cannot_print(_CLOSED)
    if os.environ.get("RUNBOOKOPT_TRACEBACK"):
        raise error
    from runbookopt.cli.error_log import leave_log

    log = leave_log(error)
    more = f"and attach {log}" if log else "with what RUNBOOKOPT_TRACEBACK=1 prints"
    complain(f"a bug in runbookopt {__version__}: {type(error).__name__}: {error}")
    complain(f"please report it, {more}")
    sys.exit(1)


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError as error:
        if error.errno in _FULL or isinstance(error, BrokenPipeError):
            raise
        _cannot_print(f"standard output cannot be written: {error.strerror}")


def _cannot_print(why: str) -> NoReturn:
    complain(why)
    to_nowhere(1)
    sys.exit(1)
