"""The terminal: results, errors and progress, in lines in which nothing can move its cursor."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runbookopt.documents.parse import Problem
    from runbookopt.engine.progress import Progress
    from runbookopt.project.policy import Reason

_MARKS = {True: "yes", False: "no", None: "unknown"}


def mark_of(holds: bool | None) -> str:
    """Whether something holds, in a word."""
    return _MARKS[holds]


def say(line: str) -> None:
    """Print a line; what others may have written into it is escaped."""
    from runbookopt.documents.schema_errors import plain

    print(plain(line))


Line = str | tuple[tuple[str, str], ...]
"""A line, or its pieces, each with a style of rich."""


def say_lines(lines: Iterable[Line]) -> None:
    """Print lines in colour, if the terminal has any; what others may have written is escaped."""
    from rich.console import Console
    from rich.text import Text

    from runbookopt.documents.schema_errors import plain

    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        pieces = ((line, ""),) if isinstance(line, str) else line
        console.print(Text.assemble(*((plain(text), style) for text, style in pieces)), markup=False)


def say_reasons(reasons: "Iterable[Reason]") -> None:
    """Print whether each reason holds, and its lines."""
    for reason in reasons:
        first, *more = reason.text.split("\n")
        say(f"  {_MARKS[reason.holds]:<8} {first}")
        for line in more:
            say(f"           {line}")


def print_json(value: object, **fields: object) -> None:
    """Print one line of JSON; `fields` are added to a record's own, or stand for them."""
    from msgspec import to_builtins
    from msgspec.json import encode

    print(encode({**to_builtins(value), **fields} if fields else value).decode())


def complain(about: object) -> None:
    """Print an error or a warning, on standard error, in its own lines; else as `say` does.

    Where nobody reads it any more, it is no error that nobody does.
    """
    from runbookopt.documents.schema_errors import plain

    with suppress(OSError):
        for line in str(about).split("\n"):
            print(plain(line), file=sys.stderr)


def note(text: str) -> None:
    """Say on standard error what happens, and when; nothing where that is a terminal, which shows it."""
    from datetime import datetime

    if not sys.stderr.isatty():
        complain(f"{datetime.now().astimezone():%H:%M:%S} {text}")


def warn(warnings: "Sequence[Problem]") -> None:
    """Say in one line, on standard error, what of the evidence was not read as it stands."""
    if warnings:
        more = f"; {len(warnings) - 1} more warnings: see `runbookopt check`"
        complain(f"warning: {warnings[0]}{more if len(warnings) > 1 else ''}")


@contextmanager
def progress(name: str, *, every: float = 60.0) -> Iterator["Callable[[Progress], None]"]:
    """Lend what shows how far a run is: a bar where standard error is a terminal, else lines.

    There is a line when a phase begins, and one each `every` seconds.
    """
    with _bar(name) if sys.stderr.isatty() else _lines(name, every) as tell:
        yield tell


@contextmanager
def _bar(name: str) -> Iterator["Callable[[Progress], None]"]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    from runbookopt.documents.schema_errors import plain

    bar = Bar(
        BarColumn(bar_width=8),
        TimeElapsedColumn(),
        TextColumn("{task.fields[told]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(name, total=None, told=f"{plain(name)}, {_READING}")

        def tell(done: "Progress") -> None:
            told = "\n".join(_figures(done))
            bar.update(
                task, total=done.budget, completed=done.rollouts + done.cached, told=f"{plain(name)}, {told}"
            )

        yield tell


@contextmanager
def _lines(name: str, every: float) -> Iterator["Callable[[Progress], None]"]:
    from threading import Event, Thread

    last, ended = [(_READING, _READING)], Event()  # phase, and what is said of it

    def say_last() -> None:
        note(f"{name}: {last[0][1]}")

    def remind() -> None:
        while not ended.wait(every):
            say_last()

    def tell(done: "Progress") -> None:
        before = last[0][0]
        last[0] = (done.phase, ", ".join(_figures(done)))
        if before != done.phase:
            say_last()

    say_last()
    reminding = Thread(target=remind, daemon=True)
    reminding.start()
    try:
        yield tell
    finally:
        ended.set()
        reminding.join()


_HOURS = 180  # minutes from which on they are told as hours
_READING = "reading the evidence"


def _figures(done: "Progress") -> Iterator[str]:
    """Phase and scores; what was used, and for how long it goes on; what it costs, if that is known."""
    scores, minutes = done.scores, None if done.seconds_left is None else done.seconds_left / 60
    best = "" if scores is None else f": validation {scores.best:.3f}, today's {scores.today:.3f}"
    step = f" ({scores.step})" if scores and scores.step and done.phase == "searching" else ""
    yield f"{done.phase}{step}{best}"
    used = done.rollouts + done.cached
    left = "" if minutes is None else ", less than a minute left"
    if minutes is not None and minutes >= 1:
        left = (
            f", at most {minutes:.0f} min left"
            if minutes < _HOURS
            else f", at most {minutes / 60:.0f} h left"
        )
    yield f"{used} of at most {done.budget} rollouts, {done.reflections} reflections{left}"
    if done.tokens:
        dollars = (
            "dollars unknown" if done.usd is None else _so_far(f"{done.usd:.2f} dollars", done.usd_at_most)
        )
        yield f"{_so_far(f'{done.tokens:,} tokens', done.tokens_at_most)}, {dollars}"
    elif done.usd:
        yield _so_far(f"{done.usd:.2f} dollars", done.usd_at_most)


def _so_far(what: str, at_most: float | None) -> str:
    if at_most is None:
        return what
    most = f"{at_most:,}" if isinstance(at_most, int) else f"{at_most:.2f}"
    return f"{what} (at most about {most})"
