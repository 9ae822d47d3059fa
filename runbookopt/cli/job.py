"""Job of a command: who plays its parts, and what an interrupted run leaves behind."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runbookopt.cli.terminal import complain, progress
from runbookopt.errors import Awaiting, Interrupted, Invalid, RunbookoptError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runbookopt.cli.flags import Flags
    from runbookopt.documents.settings import Settings
    from runbookopt.engine.progress import Progress
    from runbookopt.jobs.prepare import Job


_KEPT = "all answers so far are in .runbookopt/journal.sqlite3, and the same command goes on from there"


def job_of(
    name: str, settings: "Settings", root: "Path", *, propose: bool, look: bool, flags: "Flags"
) -> "Job":
    """The job, with agent, reflector and judge of the settings, and the keys of the environment."""
    from runbookopt.agents.handoff import Handoff
    from runbookopt.agents.roles import roles_of
    from runbookopt.documents.redaction import Redactor
    from runbookopt.documents.settings import said_addresses
    from runbookopt.jobs.prepare import Job
    from runbookopt.project.local_state import LOCAL

    handoff = Handoff(root, root / LOCAL / "handoff", name, Redactor(os.environ).clean)
    said = said_addresses(os.environ, flags)
    roles = roles_of(settings, root, os.environ, said=said, tell=complain, handoff=handoff)
    return Job(
        name=name,
        settings=settings,
        agent=roles.agent,
        reflector=roles.reflector,
        hire=roles.judge,
        models=roles.models,
        notes=roles.notes,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        propose=propose,
        look=look,
        handoff=roles.handoff,
    )


def agent_key(name: str, root: "Path") -> str | None:
    """The key of a runbook's configured agent; None where its settings or its program are not as expected."""
    from runbookopt.agents.handoff import Handoff
    from runbookopt.agents.roles import agent_key as key_of
    from runbookopt.cli.flags import settings_of
    from runbookopt.project.local_state import LOCAL

    try:
        settings = settings_of(root, name, {})
        return key_of(settings, root, os.environ, Handoff(root, root / LOCAL / "handoff", name, str))
    except RunbookoptError:
        return None


def told(name: str, error: RunbookoptError) -> str:
    """An error as it is said: one that leaves no result with what is left behind, and what to do next."""
    if isinstance(error, Awaiting):
        from runbookopt.cli.handoff import told_of

        return told_of(name, error)
    if not isinstance(error, Invalid):
        return str(error)
    look = f"; look {error.look} stays registered and is not settled" if error.look else ""
    return f"{name}: invalid, so nothing is decided: {error}{look}; {_KEPT}"


@contextmanager
def interruptible(name: str, left: str | None = None) -> Iterator[None]:
    """Turn Ctrl-C into Interrupted, which says what is `left` behind; None means all answers so far."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"{name}: interrupted; {left or _KEPT}") from None


@contextmanager
def under_way(name: str) -> Iterator["Callable[[Progress], None] | None"]:
    """Lend what shows how far a run is. Raises Interrupted for Ctrl-C."""
    with interruptible(name), progress(name) as tell:
        yield tell
