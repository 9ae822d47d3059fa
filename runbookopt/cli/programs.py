"""The two programs: which commands each of them has."""

import typer

from runbookopt.cli import (
    audit,
    calibrate,
    check,
    criteria,
    doctor,
    drift,
    evaluate,
    init,
    journal,
    label,
    ledger,
    modes,
    optimize,
    policy,
    propose,
    pulls,
    schema,
    show,
    trajectories,
    verify,
    which,
)
from runbookopt.cli.flags import CONTEXT, Version, group
from runbookopt.cli.root import Root


def optimize_runbook() -> typer.Typer:
    """The program that does the main job and nothing else."""
    app = group("optimize-runbook", completes=True)
    app.command(context_settings=CONTEXT)(optimize.optimize)
    return app


def runbookopt() -> typer.Typer:
    """The program with all commands."""
    app = group("runbookopt", _about.__doc__, completes=True)
    app.callback()(_about)
    first = (init.init, check.check, doctor.doctor, show.show, which.which, optimize.optimize)
    for command in (
        *first,
        propose.propose,
        verify.verify,
        evaluate.evaluate,
        calibrate.calibrate,
        audit.audit,
        drift.drift,
        schema.schema,
    ):
        app.command()(command)
    app.command()(label.label)
    app.command()(modes.modes)
    app.add_typer(trajectories.app)
    app.add_typer(criteria.app)
    app.add_typer(ledger.app)
    app.add_typer(journal.app)
    app.add_typer(pulls.app)
    app.add_typer(policy.app)
    return app


def _about(*, root: Root = None, version: Version = False) -> None:
    """Optimize the runbooks of your agents from stored trajectories, prove the winner, propose the diff.

    Exit status: 0 done, 1 something to act on, 2 wrong usage, 3 the answer is no, 4 replies are awaited,
    130 interrupted.
    """
