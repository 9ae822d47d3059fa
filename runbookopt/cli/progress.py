"""A progress bar on a terminal, and nothing anywhere else."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runbookopt.driver import Progress


@contextmanager
def progress(name: str) -> Iterator["Callable[[Progress], None] | None"]:
    """Lend what shows how far a run is; None where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress as rich_progress
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    from runbookopt.explanation import plain

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
