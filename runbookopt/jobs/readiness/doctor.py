"""Doctor of a clone: whether git, origin, forge, token and disk are as runs need them; it changes nothing."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from msgspec import Struct

from runbookopt.documents.schema_errors import plain
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.library import Folder
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.protection import RepositorySwitches
from runbookopt.forge.protocol import Forge
from runbookopt.jobs.preflight import must_be_set_up
from runbookopt.landing.propose import branch_of
from runbookopt.project.local_state import local_folder
from runbookopt.project.places import runbook_names

OLDEST_GIT = (2, 38)
"""The first that merges without a working tree."""

LEAST_FREE = 500_000_000
"""Bytes: worktrees, the folders of an agent's rollouts, and a journal that a long run fills."""


class Seen(Struct, frozen=True):
    """One thing that runs need: whether it holds (None: not known), what was found, and what mends it.

    `fix` is empty where it holds.
    """

    what: str
    holds: bool | None
    found: str
    fix: str = ""

    @classmethod
    def of(cls, what: str, holds: bool | None, found: str, fix: str) -> Self:
        """What was found of a thing, with `fix` where it may not hold."""
        return cls(what, holds, found, "" if holds else fix)


def tried(what: str, fix: str, look: Callable[[], str]) -> Seen:
    """What a look at something finds, or the error in which it ends."""
    try:
        return Seen(what, True, look())
    except RunbookoptError as error:
        return Seen(what, False, str(error), fix)


def git_seen(repository: Repository) -> Seen:
    """Whether git is new enough, and in whose name commits are made."""
    version, person = repository.git_version(), repository.person()
    name = plain(f"{person.name} <{person.email}>")
    told = f"{'.'.join(map(str, version)) or 'of no known release'}; commits are made as {name}"
    fix = f"install git {'.'.join(map(str, OLDEST_GIT))} or newer"
    return Seen.of("git", version >= OLDEST_GIT, told, fix)


def clone_seen(repository: Repository, *, reached: bool) -> Seen:
    """Whether each runbook can be read whole here, and, where origin was reached, its branch be pushed."""

    def look() -> str:
        names = runbook_names(Folder(repository.root))
        for name in names:
            must_be_set_up(repository, name, propose=reached)
        return f"all files that runs read are in it; runbooks: {len(names)}"

    return tried("clone", "do what it says, then ask again", look)


def forge_seen(forge: Forge, who: str) -> Iterator[Seen]:
    """Whether the forge answers, and what the token may do there; `who` is known by git alone."""
    if forge.in_git:
        yield Seen("forge", True, f"pull requests are refs of origin; you are {plain(who)} there")
        return
    fix = "give the token contents, pull requests and issues: write on this repository alone"
    listed = tried("forge", fix, lambda: f"GitHub lists {len(forge.pull_requests())} pull request(s)")
    yield listed
    if listed.holds:
        try:
            yield _rights(forge.switches(), fix)
        except RunbookoptError as error:
            yield Seen("token", False, str(error), fix)


def _rights(switches: RepositorySwitches, fix: str) -> Seen:
    who = plain(switches.who or "somebody whom GitHub does not name")
    match switches.may_push:
        case True:
            more = ", and administrate, which no run needs" if switches.may_administrate else ""
            return Seen("token", True, f"it speaks for {who}, who may push{more}")
        case False:
            return Seen("token", False, f"it speaks for {who}, who may not push", fix)
        case None:
            unknown = "GitHub does not say what it may do; whether it may push is tried with origin"
            return Seen("token", None, f"it speaks for {who}: {unknown}", fix)


def origin_seen(repository: Repository) -> Iterator[Seen]:
    """Whether origin answers, and would take a branch of ours: asked in a dry run, which moves nothing."""
    origin = repository.origin
    if not repository.has_origin():
        fix = "git remote add origin URL; without one, take --dry-run"
        yield Seen("origin", False, "this clone has no remote named origin", fix)
        return
    url = plain(origin.url or "an address that git does not tell")
    fix = "`git ls-remote origin` must work here: see the address, the network, and your key or token"
    found = tried("origin", fix, lambda: f"{url}, whose default branch is {plain(origin.default_branch())}")
    yield found
    if found.holds:
        ref, head = f"refs/heads/{branch_of('doctor')}", repository.resolve("HEAD")
        fix = "let whoever runs this push branches named runbookopt/NAME (contents: write)"

        def look() -> str:
            origin.try_push(head, ref)
            return "a dry run of a push is taken; rules that the server applies later are not tried"

        yield tried("push", fix, look)


def disk_seen(repository: Repository) -> Iterator[Seen]:
    """Whether local state and temporary files can be written, and have room."""
    yield tried("local state", "let this user write there", lambda: _written(local_folder(repository)))
    yield tried("temporary files", "set TMPDIR to a folder that is writable", lambda: _written(None))
    fix = f"make room: at least {LEAST_FREE // 10**6} MB"
    places = {"the clone": repository.root, "temporary files": Path(tempfile.gettempdir())}
    free = {where: shutil.disk_usage(place).free for where, place in places.items()}
    found = ", ".join(f"{size / 1e9:.1f} GB are free for {where}" for where, size in free.items())
    yield Seen.of("disk", min(free.values()) >= LEAST_FREE, found, fix)


def _written(folder: Path | None) -> str:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError as error:
        place = folder or "the folder of temporary files"
        raise RunbookoptError(f"{place} cannot be written: {error.strerror}") from error
    return f"{folder or tempfile.gettempdir()} can be written"
