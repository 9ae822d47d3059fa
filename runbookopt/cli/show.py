"""`runbookopt show`: digest, version and parts of a runbook in order, with what is locked and why."""

from pathlib import Path
from typing import Annotated

import typer

from runbookopt.cli.flags import Json, runbooks_here
from runbookopt.cli.root import named, whole
from runbookopt.cli.terminal import print_json, say


def show(
    target: Annotated[
        str,
        typer.Argument(
            metavar="NAME|PATH", help="A runbook's name, or any Markdown file.", autocompletion=runbooks_here
        ),
    ],
    *,
    json: Json = False,
) -> None:
    """Show the parts of a runbook: which of them a search may rewrite, and why the others are locked.

    Its policy.yaml has its say. Of a runbook, the key of its agent is shown too: stored outputs with that key
    (and the digest) count as scores. In JSON, the texts of the parts joined are the file.
    """
    from runbookopt.documents.runbook import decode
    from runbookopt.project.policy import read_policy

    path, policy = _files(target)
    terms = read_policy(_bytes(policy) if policy.is_file() else None, str(policy))
    agent = _agent(path)
    runbook = decode(_bytes(path), locks=terms.locks, path=str(path))
    if json:
        parts = [
            {"id": part.id, "heading": part.heading, "locked": part.locked, "text": part.text}
            for part in runbook.parts
        ]
        print_json({"digest": runbook.digest, "version": runbook.version, "agent": agent, "parts": parts})
        return
    say(f"digest   {runbook.digest}")
    say(f"version  {runbook.version or 'none'}")
    if agent is not None:
        say(f"agent    {agent['kind']}, key {agent['key'] or 'unknown: its settings or program are wrong'}")
    wide = max((len(part.id) for part in runbook.parts), default=0)
    for part in runbook.parts:
        locked = "" if part.locked is None else f"[locked: {part.locked}]"
        about = f"{part.heading or ''}  {locked}".strip()
        say(f"{f'{part.first_line}-{part.last_line}':>11}  {part.id:<{wide}}  {about}".rstrip())


def _agent(path: Path) -> dict[str, str | None] | None:
    """Kind and key of the agent that is configured for the runbook in a file; None for any other file."""
    from runbookopt.cli.flags import settings_of
    from runbookopt.cli.job import agent_key
    from runbookopt.documents.parse import MalformedFile
    from runbookopt.evidence.library import Folder
    from runbookopt.project.places import layout_of

    root = whole(Path.cwd())
    if root is None:
        return None
    pages = {root / each.page: name for name, each in layout_of(Folder(root)).runbooks.items() if each.page}
    name = pages.get(Path.cwd() / path)
    if name is None:
        return None
    try:
        kind = settings_of(root, name, {}).agent.kind
    except MalformedFile:
        return {"kind": "unknown", "key": None}
    return {"kind": kind, "key": agent_key(name, root)}


def _files(target: str) -> tuple[Path, Path]:
    """The page that a name or a path means, and its policy; raises RunbookoptError."""
    from runbookopt.documents.schema_errors import plain
    from runbookopt.errors import RunbookoptError
    from runbookopt.evidence.library import Folder
    from runbookopt.project.layout import Layout
    from runbookopt.project.places import layout_of

    root = whole(Path.cwd())
    layout = layout_of(Folder(root)) if root else Layout({})
    if Path(target).is_file() and target not in layout.runbooks:
        path = Path.cwd() / target
        pages = {
            root / each.page: root / each.policy for each in layout.runbooks.values() if root and each.page
        }
        return Path(target), pages.get(path, Path(target).with_name("policy.yaml"))
    what = f"'{plain(target)}' is {'a folder' if Path(target).is_dir() else 'no file'}"
    if root is None:
        raise RunbookoptError(f"{what}, and there is no runbooks/ here or above: name a Markdown file")
    try:
        places = layout.of(named(root, target))
        return _from_here(root / places.file), _from_here(root / places.policy)
    except RunbookoptError as error:
        raise RunbookoptError(f"{what}; {error}") from error


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _bytes(path: Path) -> bytes:
    from runbookopt.errors import RunbookoptError

    try:
        return path.read_bytes()
    except OSError as error:
        raise RunbookoptError(f"{path}: cannot be read: {error.strerror}") from error
