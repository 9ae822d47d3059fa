"""`--version` of both commands."""

from typing import Annotated

import typer

from runbookopt import __version__


def _print(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print),
]
