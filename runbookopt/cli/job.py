"""The job of a command: who plays its parts, and what is said where it is interrupted."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runbookopt.cli.terminal import progress
from runbookopt.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runbookopt.documents.settings import Settings
    from runbookopt.engine.driver import Progress
    from runbookopt.jobs.prepare import Job


def job_of(name: str, settings: "Settings", root: "Path", *, propose: bool, look: bool) -> "Job":
    """Make agent, reflector and judge as the settings say, with the keys of the environment."""
    from runbookopt.agents.roles import roles_of
    from runbookopt.jobs.prepare import Job

    hands = roles_of(settings, root, os.environ)
    return Job(
        name=name,
        settings=settings,
        agent=hands.agent,
        reflector=hands.reflector,
        hire=hands.judge,
        models=hands.models,
        notes=hands.notes,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        propose=propose,
        look=look,
    )


def left_behind() -> str:
    """Say what an interrupted run leaves behind."""
    from runbookopt.jobs.prepare import LOCAL

    return f"all answers so far are in {LOCAL}/journal.sqlite3, and the same command goes on from there"


@contextmanager
def under_way(name: str) -> Iterator["Callable[[Progress], None] | None"]:
    """Lend what shows how far a run is. Raises Interrupted for Ctrl-C."""
    try:
        with progress(name) as tell:
            yield tell
    except KeyboardInterrupt:
        raise Interrupted(f"{name}: interrupted; {left_behind()}") from None
