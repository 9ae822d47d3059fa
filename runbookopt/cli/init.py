"""`runbookopt init`: the files that a repository needs to begin, without touching what is there."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

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
        typer.Option(help="What pip installs in CI.", show_default="what runs here"),
    ] = None,
    skill: Annotated[
        bool,
        typer.Option(
            "--skill",
            help="Write nothing but the Agent Skill by which Claude Code, Codex or Cursor answers what a run"
            " hands off.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written; write nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Write what a repository needs: two workflows, owners of what judges, settings, and a first runbook.

    A file that is there stays as it is, and you are told; .gitignore and CODEOWNERS get the lines that they
    lack. Doing it again changes nothing. Nothing is committed.

    Workflows install the release or the commit that runs here. Where no other machine could have that, you
    are asked at a terminal. Else they wait for the repository's variable RUNBOOKOPT_SPEC, as a next step.

    Exit status: 0 where all is there, also if a next step is left to you; 1 where nothing could be written.
    """
    from runbookopt.errors import WrongUsage
    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.scaffold import put
    from runbookopt.jobs.scaffold import skill as skill_pieces

    if skill and (reviewer or spec):
        raise WrongUsage("--skill writes the skill alone: leave --reviewer and --spec out")
    with Repository.open(Path.cwd(), empty=True) as repository:
        root, oneself = repository.root, None if reviewer else repository.identity()
    todo, found = (
        (skill_pieces(root), _OF_A_SKILL)
        if skill
        else _set_up(root, reviewer or [], oneself, spec, asks=not dry_run)
    )
    for piece in () if dry_run else todo:
        put(root, piece)
    if json:
        print_json({**_as_json(todo, found.who, found.steps, dry_run=dry_run), "installs": found.installs})
    else:
        _print(todo, found.steps, dry_run=dry_run)


class _Found(NamedTuple):
    """Who reviews, what is left to do for a person, and what pip installs in CI."""

    who: "Sequence[str]"
    steps: "Sequence[str]"
    installs: str | None


def _set_up(
    root: Path, reviewer: "Sequence[str]", oneself: str | None, spec: str | None, *, asks: bool
) -> "tuple[tuple[Piece, ...], _Found]":
    """All that a repository needs. Raises RunbookoptError where nobody is known who reviews."""
    from runbookopt.errors import RunbookoptError
    from runbookopt.jobs.scaffold import Choices, leaves_open, pieces
    from runbookopt.jobs.scaffold.source import installable, installed_from

    logins = reviewer or ([oneself] if oneself else [])
    if not logins:
        raise RunbookoptError(
            "git does not know who you are, and somebody has to review: name them with --reviewer LOGIN"
        )
    who = tuple(login.removeprefix("@") for login in logins)
    known = spec or installable(installed_from())
    todo = pieces(root, Choices(who, known))
    if asks and leaves_open(root, todo) and (known := _asked()):
        todo = pieces(root, Choices(who, known))
    return todo, _Found(who, [*([_ASK] if leaves_open(root, todo) else []), *_next(todo, who)], known)


_WHY = "this runbookopt is of no release or commit that other machines can install"
_ANSWER = (
    "commit the files, then tell your coding agent: optimize the runbook NAME by hand-off"
    " (docs/handoff.md of runbookopt)"
)
_OF_A_SKILL = _Found((), (_ANSWER,), None)
_ASK = (
    "say what workflows are to install, or they do not run: the repository's variable RUNBOOKOPT_SPEC"
    f" (a wheel, git+https://HOST/OWNER/NAME@COMMIT); {_WHY}"
)


def _asked() -> str | None:
    """What somebody at the terminal says is to be installed; None where nobody is there, or says nothing."""
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    print(f"What is pip to install in workflows? {_WHY.capitalize()}.", file=sys.stderr)
    print(
        "A wheel, or git+https://HOST/OWNER/NAME@COMMIT; nothing: later. ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip() or None


def _as_json(
    pieces: "Sequence[Piece]", who: "Sequence[str]", steps: "Sequence[str]", *, dry_run: bool
) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "reviewers": who,
        "written": [piece.path for piece in pieces if piece.action == "write"],
        "added_to": [piece.path for piece in pieces if piece.action == "add"],
        "left_alone": {piece.path: piece.why for piece in pieces if piece.action == "leave"},
        "next": steps,
    }


def _print(pieces: "Sequence[Piece]", steps: "Sequence[str]", *, dry_run: bool) -> None:
    words = {"write": "would write" if dry_run else "wrote", "add": "would add to" if dry_run else "added to"}
    for piece in (piece for piece in pieces if piece.action != "leave"):
        print(f"{words[piece.action]} {piece.path}")
        for line in filter(None, piece.text.splitlines() if piece.action == "add" else ()):
            say(f"  + {line}")
    for piece in (piece for piece in pieces if piece.action == "leave"):
        print(f"left alone {piece.path}: {piece.why}")
    for step in steps:
        say(f"next: {step}")


def _next(pieces: "Sequence[Piece]", who: "Sequence[str]") -> list[str]:
    """What is left to do for a person."""
    steps = []
    if any("@" in login for login in who):
        steps.append("at GitHub approvals count by login: write yours into policy.yaml and CODEOWNERS")
    if any(piece.path.endswith("RUNBOOK.md") and piece.action == "write" for piece in pieces):
        steps.append("put your own runbook, rubric and trajectories where the example's are")
    if any(piece.action != "leave" for piece in pieces):
        steps.append("read the files, then git add, commit and push them to the default branch")
    return [*steps, "runbookopt check; the settings at GitHub are in docs/team-setup.md of runbookopt"]
