"""`runbookopt drift`: whether a runbook in use has drifted, and what to do about it."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runbookopt.cli.flags import Json, runbooks_here
from runbookopt.cli.root import named, whole_here
from runbookopt.cli.terminal import print_json, say, warn
from runbookopt.errors import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbookopt.calibration.drift import Look, Shift, Window
    from runbookopt.jobs.verifiers.drift import Drifting

Name = Annotated[str, typer.Argument(metavar="NAME", help="A runbook's name.", autocompletion=runbooks_here)]
Since = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="From this day on, against as many days before.", show_default=False),
]
Days = Annotated[str, typer.Option("--window", metavar="DAYS", help="Length of a window, as in 30d.")]

_DRIFTED = 3
_MOST_DAYS = 3660


def drift(name: Name, *, since: Since = None, window: Days = "30d", json: Json = False) -> None:
    """Look for drift in stored trajectories: a window against the window before. Asks no model.

    Compared are the pass rate of each criterion, the kinds of failure, and how far judges agree with people's
    labels. All looks of a year together call drift what is none in at most 5 % of years, also run each night.

    Exit status: 0 no drift, 1 something to act on, 2 wrong usage, 3 drift, 130 interrupted.
    """
    days, start = _days(window), _start(since)
    from runbookopt.evidence.library import Folder
    from runbookopt.jobs.verifiers.drift import drift_of
    from runbookopt.project.project import read_project

    root = whole_here()
    project = read_project(Folder(root), named(root, name))
    drifting = drift_of(project, now=datetime.now(UTC), days=days, since=start)
    warn(project.warnings)
    if json:
        print_json(_as_json(drifting))
    else:
        for line in _page(drifting):
            say(line)
    raise typer.Exit(_DRIFTED if drifting.found.moved else 0)


def _days(window: str) -> int:
    number = window.removesuffix("d")
    if not (number.isascii() and number.isdecimal() and 1 <= int(number) <= _MOST_DAYS):
        raise WrongUsage(f"--window: expected days, 1d to {_MOST_DAYS}d, as in 30d; got {window!r}")
    return int(number)


def _start(since: str | None) -> datetime | None:
    from runbookopt.evidence.trajectory import time_of

    start = time_of(since)
    if since is not None and start is None:
        raise WrongUsage(f"--since: expected a date, as in 2026-11-01; got {since!r}")
    if start is not None and start > datetime.now(UTC):
        raise WrongUsage(f"--since: expected a day that has begun, in UTC; got {since!r}")
    return start and start.replace(hour=0, minute=0, second=0, microsecond=0)


def _as_json(drifting: "Drifting") -> dict[str, Any]:
    from msgspec import to_builtins

    return {
        "runbook": drifting.runbook,
        "drift": drifting.found.moved,
        "advice": drifting.found.advice,
        "looks": [
            {
                "name": look.name,
                "before": look.before,
                "after": look.after,
                "unseen": look.unseen,
                "shifts": [{**to_builtins(shift), "moved": shift.moved} for shift in look.shifts],
            }
            for look in drifting.found.looks
        ],
        "attempts": drifting.attempts,
        "undated": drifting.undated,
        "broken": drifting.broken,
        "notes": drifting.notes,
    }


def _page(drifting: "Drifting") -> "Iterator[str]":
    found = drifting.found
    if not found.looks:
        yield f"{drifting.runbook}: nothing to compare: no stored output tells a time before today"
    else:
        word = "drift" if found.moved else "no drift"
        yield f"{drifting.runbook}: {word}, by {drifting.attempts:,} stored outputs"
    for advice in found.advice:
        yield f"  {advice.todo}: {advice.why}"
    for look in found.looks:
        yield from _look(look)
    if drifting.undated:
        yield f"  {drifting.undated:,} outputs tell no time, and count in no window (started_at)"
    if drifting.broken:
        yield f"  {drifting.broken:,} attempts broke down, and are no answers"
    for note in drifting.notes:
        yield f"  {note}"


def _look(look: "Look") -> "Iterator[str]":
    yield f"  {look.name}: {_window(look.after)} against {_window(look.before)}"
    for shift in look.shifts:
        counts = [f"{_percent(each.share)} of {each.of}" for each in (shift.before, shift.after)]
        yield f"    {shift.question:<21} {shift.subject}: {' -> '.join(counts)}, {_verdict(shift)}"
        for words, before, after in shift.classes:
            shares = " -> ".join(f"{_percent(each.share)} of {each.of}" for each in (before, after))
            yield f"      {words}: {shares}"
    if look.unseen:
        yield f"    new, and too few to tell from chance unless said above: {', '.join(look.unseen)}"


def _verdict(shift: "Shift") -> str:
    if shift.moved:
        return f"{shift.moved} (p {shift.p:.1g}, at most {shift.level:.1g} is called drift)"
    if shift.before.share is None or shift.after.share is None:
        return "unknown: nothing in one of the windows"
    below, above = shift.seen_below, shift.seen_above
    seen = [
        *([f"down to {below:.0%}"] if below is not None else []),
        *([f"up to {above:.0%}"] if above is not None else []),
    ]
    if not seen:
        return "too few to see any move"
    return f"not told from chance (a move {' or '.join(seen)} would be seen)"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _window(window: "Window") -> str:
    from datetime import timedelta

    return f"{window.start:%Y-%m-%d} to {window.end - timedelta(days=1):%Y-%m-%d}"
