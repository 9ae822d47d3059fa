"""`runbookopt show`: a runbook's digest, version and parts in order, with what is locked and why."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbookopt.cli.flags import Json

if TYPE_CHECKING:
    from runbookopt.documents.runbook import Part, Runbook


def show(
    target: Annotated[
        str, typer.Argument(metavar="NAME|PATH", help="A runbook's name, or any Markdown file.")
    ],
    *,
    json: Json = False,
) -> None:
    """Show the parts of a runbook: which of them a search may rewrite, and why the others are locked.

    A policy.yaml beside the file has its say. In JSON, the texts of the parts joined are the file.
    """
    runbook = _read(target)
    if json:
        from msgspec.json import encode

        parts = [
            {"id": part.id, "heading": part.heading, "locked": part.locked, "text": part.text}
            for part in runbook.parts
        ]
        typer.echo(encode({"digest": runbook.digest, "version": runbook.version, "parts": parts}))
    else:
        _print(runbook)


def _read(target: str) -> "Runbook":
    from runbookopt.documents.runbook import decode
    from runbookopt.project.policy import read_policy

    path = _file(target)
    policy = path.with_name("policy.yaml")
    terms = read_policy(_bytes(policy) if policy.is_file() else None, str(policy))
    return decode(_bytes(path), locked=terms.locked, path=str(path))


def _file(target: str) -> Path:
    """Give the file that a name or a path means; raises RunbookoptError."""
    from runbookopt.documents.schema_errors import plain
    from runbookopt.errors import RunbookoptError
    from runbookopt.evidence.library import Folder
    from runbookopt.project.project import runbook_file, runbook_names

    root = _root(Path.cwd())
    if Path(target).is_file() and (root is None or target not in runbook_names(Folder(root))):
        return Path(target)
    what = f"'{plain(target)}' is {'a folder' if Path(target).is_dir() else 'no file'}"
    if root is None:
        raise RunbookoptError(f"{what}, and there is no runbooks/ here or above: name a Markdown file")
    try:
        file = root / runbook_file(Folder(root), target)
    except RunbookoptError as error:
        raise RunbookoptError(f"{what}; {error}") from error
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def _root(folder: Path) -> Path | None:
    """Give the nearest folder, here or above, that has runbooks."""
    return next((root for root in (folder, *folder.parents) if (root / "runbooks").is_dir()), None)


def _bytes(path: Path) -> bytes:
    from runbookopt.errors import RunbookoptError

    try:
        return path.read_bytes()
    except OSError as error:
        raise RunbookoptError(f"{path}: cannot be read: {error.strerror}") from error


def _print(runbook: "Runbook") -> None:
    from runbookopt.documents.schema_errors import plain

    typer.echo(f"digest   {runbook.digest}")
    typer.echo(f"version  {plain(runbook.version or 'none')}")
    wide = max((len(part.id) for part in runbook.parts), default=0)
    for part in runbook.parts:
        typer.echo(f"{_lines(part):>11}  {part.id:<{wide}}  {plain(_about(part))}".rstrip())


def _lines(part: "Part") -> str:
    return f"{part.first_line}-{part.last_line}"


def _about(part: "Part") -> str:
    locked = "" if part.locked is None else f"[locked: {part.locked}]"
    return f"{part.heading or ''}  {locked}".strip()
