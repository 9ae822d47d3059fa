"""`runbookopt init`: the files that a repository needs to begin, without touching what is there."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbookopt.cli.flags import Json
from runbookopt.cli.terminal import print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbookopt.jobs.scaffold import Piece


def init(
    *,
    reviewer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LOGIN", help="Who says yes to changes, again for more than one; by default you."
        ),
    ] = None,
    spec: Annotated[
        str | None,
        typer.Option(help="What pip installs in CI.", show_default="this version"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written; write nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Write what a repository needs: two workflows, owners of what judges, settings, and a first runbook.

    A file that is there stays as it is, and you are told; .gitignore and CODEOWNERS get the lines that they
    lack. Doing it again changes nothing. Nothing is committed.
    """
    from runbookopt import __version__
    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.scaffold import Choices, pieces, put

    with Repository.open(Path.cwd(), empty=True) as repository:
        root = repository.root
        who = tuple(login.removeprefix("@") for login in reviewer or _oneself(repository.identity()))
    found = pieces(root, Choices(who, spec or f"runbookopt=={__version__}"))
    for piece in () if dry_run else found:
        put(root, piece)
    if json:
        print_json(_as_json(found, who, dry_run=dry_run))
    else:
        _print(found, who, dry_run=dry_run)


def _oneself(login: str | None) -> tuple[str, ...]:
    from runbookopt.errors import RunbookoptError

    if login is None:
        raise RunbookoptError(
            "git does not know who you are, and somebody has to review: name them with --reviewer LOGIN"
        )
    return (login,)


def _as_json(found: "Sequence[Piece]", who: "Sequence[str]", *, dry_run: bool) -> dict[str, object]:
    def those(action: str) -> list[str]:
        return [piece.path for piece in found if piece.action == action]

    left = {piece.path: piece.why for piece in found if piece.action == "leave"}
    return {
        "dry_run": dry_run,
        "reviewers": who,
        "written": those("write"),
        "added_to": those("add"),
        "left_alone": left,
        "next": _next(found, who),
    }


def _print(found: "Sequence[Piece]", who: "Sequence[str]", *, dry_run: bool) -> None:
    words = {"write": "would write" if dry_run else "wrote", "add": "would add to" if dry_run else "added to"}
    for piece in found:
        if piece.action != "leave":
            print(f"{words[piece.action]} {piece.path}")
            added = piece.text.splitlines() if piece.action == "add" else ()
            for line in filter(None, added):
                say(f"  + {line}")
    for piece in found:
        if piece.action == "leave":
            print(f"left alone {piece.path}: {piece.why}")
    for step in _next(found, who):
        say(f"next: {step}")


def _next(found: "Sequence[Piece]", who: "Sequence[str]") -> list[str]:
    """What is left to do for a person."""
    steps = []
    if any("@" in login for login in who):
        steps.append("at GitHub approvals count by login: write yours into policy.yaml and CODEOWNERS")
    if any(piece.path.endswith("RUNBOOK.md") and piece.action == "write" for piece in found):
        steps.append("put your own runbook, rubric and trajectories where the example's are")
    if any(piece.action != "leave" for piece in found):
        steps.append("read the files, then git add, commit and push them to the default branch")
    return [*steps, "runbookopt check; the settings at GitHub are in docs/team-setup.md of runbookopt"]
