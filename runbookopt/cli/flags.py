"""The flags that say how to run things, and the settings that they are laid over."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbookopt.errors import WrongUsage

if TYPE_CHECKING:
    from runbookopt.documents.settings import Settings
    from runbookopt.evidence.library import Source

Flags = Mapping[str, str | int | float | None]
"""What was given, by dotted key of runbookopt.yaml; None is not given."""

Agent = Annotated[str | None, typer.Option(help="Who works on the tasks: offline, chat or command.")]
Model = Annotated[str | None, typer.Option(help="The agent's model, such as openai/gpt-5-mini.")]
Usd = Annotated[float | None, typer.Option(help="Dollars that a run may use.")]
Width = Annotated[int | None, typer.Option(help="Calls in flight at once.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other key of runbookopt.yaml.")
]


def written_out(others: Sequence[str]) -> Flags:
    """Read `--set KEY=VALUE`; raises WrongUsage."""
    from runbookopt.documents.schema_errors import nearest, plain
    from runbookopt.documents.settings import setting_types

    found = {}
    for each in others:
        key, equals, value = each.partition("=")
        if not equals or key not in setting_types():
            what = f"{plain(key)!r} is no key" + nearest(key, setting_types()) if equals else "no '=' in it"
            raise WrongUsage(f"--set: expected KEY=VALUE with a key of runbookopt.yaml, got {each!r}: {what}")
        found[key] = value
    return found


def settings_of(root: Path, name: str, flags: Flags) -> "Settings":
    """Give the settings of a runbook, by the file of the working tree. Raises MalformedFile."""
    from runbookopt.evidence.library import Folder

    return settings_in(Folder(root), name, flags)


def settings_in(source: "Source", name: str, flags: Flags) -> "Settings":
    """Give the settings of a runbook: flag before variable before file. Raises MalformedFile."""
    from runbookopt.documents.settings import FILE, load_settings

    try:
        data = source.read(FILE)
    except FileNotFoundError:
        data = None
    return load_settings(data, FILE, name, environ=os.environ, flags=flags)
