"""The terminal: results, errors and progress, in lines in which nothing can move its cursor."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runbookopt.documents.parse import Problem
    from runbookopt.engine.driver import Progress
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


def warn(warnings: "Sequence[Problem]") -> None:
    """Say in one line, on standard error, what of the evidence was not read as it stands."""
    if warnings:
        more = f"; {len(warnings) - 1} more warnings: see `runbookopt check`"
        complain(f"warning: {warnings[0]}{more if len(warnings) > 1 else ''}")


@contextmanager
def progress(name: str) -> Iterator["Callable[[Progress], None] | None"]:
    """Lend what shows how far a run is; None where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    from runbookopt.documents.schema_errors import plain

    bar = Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[told]}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(plain(name), total=None, told="reading the evidence")

        def tell(done: "Progress") -> None:
            used = done.rollouts + done.cached
            told = f"{used} of at most {done.budget} rollouts, {done.reflections} reflections"
            bar.update(task, total=done.budget, completed=used, told=told)

        yield tell
