"""Entry of both programs, and the one border where errors turn into a sentence and an exit status."""

import errno
import os
import sys
from pathlib import Path
from typing import NoReturn

import typer

from runbookopt import __version__
from runbookopt.cli import (
    check,
    custody,
    evaluate,
    init,
    ledger,
    optimize,
    policy,
    propose,
    pulls,
    schema,
    show,
    verify,
)
from runbookopt.cli.error_log import leave_log
from runbookopt.cli.flags import CONTEXT, Version, group
from runbookopt.cli.terminal import complain
from runbookopt.errors import RunbookoptError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def optimize_runbook() -> None:
    """Run `optimize-runbook`."""
    app = group("optimize-runbook")
    app.command(context_settings=CONTEXT)(optimize.optimize)
    run(app)


def runbookopt() -> None:
    """Run `runbookopt`."""
    app = group("runbookopt", _about.__doc__)
    app.callback()(_about)
    first = (init.init, check.check, show.show, optimize.optimize)
    for command in (*first, propose.propose, verify.verify, evaluate.evaluate, schema.schema):
        app.command()(command)
    app.add_typer(ledger.app)
    app.add_typer(pulls.app)
    app.add_typer(policy.app)
    run(app)


def _about(*, version: Version = False) -> None:
    """Optimize the runbooks of your agents from stored trajectories, prove the winner, propose the diff.

    Exit status: 0 done, 1 something to act on, 2 wrong usage, 3 the answer is no, 130 interrupted.
    """


def run(app: typer.Typer) -> None:
    """Run the command that the command line names, and end with its status."""
    if sys.stdout is None:  # a shell's `>&-` leaves none
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as we live
    custody.take()
    try:
        try:
            app()
        finally:
            _flush()  # here, where what goes wrong can still be said
    except RunbookoptError as error:
        complain(error)
        sys.exit(error.status)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            _cannot_print(f"{error.strerror}: make room, then run the same command again")
        if isinstance(error, BrokenPipeError):  # whoever read has read enough
            _cannot_print(None)
        if os.environ.get("RUNBOOKOPT_TRACEBACK"):
            raise
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


def _cannot_print(why: str | None) -> NoReturn:
    if why is not None:
        complain(why)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python tries to write the rest once more
    sys.exit(1)
