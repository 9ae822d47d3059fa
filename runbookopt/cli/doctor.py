"""`runbookopt doctor`: whether all that runs need is there, before one is paid for."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from runbookopt.cli import custody
from runbookopt.cli.flags import Json, forge_of, settings_of
from runbookopt.cli.terminal import mark_of, print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.readiness.doctor import Seen


def doctor(*, json: Json = False) -> None:
    """Look at all that runs need: git, origin, forge, token, files, models, isolation and disk.

    Each model that settings and rubrics name is asked once, with a few words, by a process that has no token
    of the forge; that may cost a fraction of a cent. Origin is asked for a push that moves nothing. Nothing
    is changed. Of what fails it is said what mends it; what cannot be found out is unknown, and no failure.

    Exit status: 0 where nothing fails, 1 where something does.
    """
    from runbookopt.documents.redaction import Redactor

    clean, seen = Redactor(custody.environ()).clean, []
    for each in _all():
        shown = type(each)(clean(each.what), each.holds, clean(each.found), clean(each.fix))
        seen.append(shown)
        for line in () if json else _lines(shown):
            say(line)
    failing = sum(each.holds is False for each in seen)
    if json:
        from msgspec import to_builtins

        print_json({"ok": not failing, "seen": to_builtins(seen)})
    else:
        unknown = sum(each.holds is None for each in seen)
        say(f"{failing} fail, {unknown} unknown, {len(seen) - failing - unknown} hold")
    raise typer.Exit(1 if failing else 0)


def _lines(seen: "Seen") -> "Iterator[str]":
    first, *more = seen.found.split("\n")
    yield f"{mark_of(seen.holds):<8} {seen.what}: {first}"
    yield from (f"         {line}" for line in more)
    if seen.fix:
        yield f"         to mend it: {seen.fix}"


def _all() -> "Iterator[Seen]":
    """All that is seen, as it is found."""
    from runbookopt.errors import RunbookoptError
    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.readiness import doctor as of

    try:
        repository = Repository.open(Path.cwd())
    except RunbookoptError as error:
        yield of.Seen("git", False, str(error), "go to a clone of a repository with at least one commit")
        return
    with repository:
        yield of.git_seen(repository)
        yield from _forge(repository)
        origin = [*of.origin_seen(repository)]
        yield from origin
        yield of.clone_seen(repository, reached=all(each.holds for each in origin))
        yield from of.disk_seen(repository)
        yield from _apart(repository)


_UNKNOWN_FORGE = (
    "say in runbookopt.yaml where pull requests live (forge), and give a token in GITHUB_TOKEN, such as"
    " `gh auth token` prints"
)


def _forge(repository: "Repository") -> "Iterator[Seen]":
    """What the forge says; first, since git shows its token to origin from then on."""
    from runbookopt.documents.parse import MalformedFile
    from runbookopt.errors import RunbookoptError
    from runbookopt.jobs.readiness.doctor import Seen, forge_seen

    if not repository.has_origin():
        return
    try:
        forge = forge_of(repository, settings_of(repository.root, "", {}))
    except MalformedFile as error:
        yield Seen("settings", False, str(error), "correct them: `runbookopt check` names all problems")
        return
    except RunbookoptError as error:
        yield Seen("forge", False, str(error), _UNKNOWN_FORGE)
        return
    yield from forge_seen(forge, repository.identity() or "nobody")


def _apart(repository: "Repository") -> "Iterator[Seen]":
    """What is seen where agents run: by a process that never had the token."""
    from runbookopt.cli.apart import looked_around
    from runbookopt.errors import RunbookoptError
    from runbookopt.jobs.readiness.doctor import Seen

    try:
        yield from looked_around(repository).seen
    except RunbookoptError as error:
        yield Seen("models", False, str(error), "mend what it names, then ask again")
