"""What went wrong, on standard error: nothing in it can move a terminal's cursor."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from runbookopt import __version__

if TYPE_CHECKING:
    from runbookopt.engine.driver import Progress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbookopt.documents.parse import Problem


def complain(about: object) -> None:
    """Print an error or a warning in its own lines; what others may have written into it is escaped."""
    from runbookopt.documents.schema_errors import plain

    for line in str(about).split("\n"):
        print(plain(line), file=sys.stderr)


def warn(warnings: "Sequence[Problem]") -> None:
    """Say in one line what of the evidence was not read as it stands."""
    if warnings:
        more = f"; {len(warnings) - 1} more warnings: see `runbookopt check`"
        complain(f"warning: {warnings[0]}{more if len(warnings) > 1 else ''}")


@contextmanager
def progress(name: str) -> Iterator["Callable[[Progress], None] | None"]:
    """Lend what shows how far a run is; None where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress as rich_progress
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    from runbookopt.documents.schema_errors import plain

    bar = rich_progress.Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[told]}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        shown = bar.add_task(plain(name), total=None, told="reading the evidence")

        def tell(done: "Progress") -> None:
            used = done.rollouts + done.cached
            told = f"{used} of at most {done.budget} rollouts, {done.reflections} reflections"
            bar.update(shown, total=done.budget, completed=used, told=told)

        yield tell


def _print(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print),
]
