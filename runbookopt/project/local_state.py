"""Local state of a clone: the folder `.runbookopt/`, nobody's word but that of the tool that ran here.

What a commit brings there (a bundle, a journal, a link that leads elsewhere) was written by whoever could
push, so it is never read: it is refused.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from runbookopt.errors import Refused, RunbookoptError
from runbookopt.forge.git.repository import Repository

LOCAL = ".runbookopt"
"""The folder of local state, at the root of a repository; safe to delete: only what was paid for is lost."""

JOURNAL = "journal.sqlite3"

_NOBODYS = "local state is nobody's word"
_CLEAR = f"git rm -r --cached {LOCAL}, commit that, remove the folder {LOCAL}, then run this again"


def must_be_own(repository: Repository, *commits: str) -> None:
    """Refuse local state that was not made here: a link, or what git tracks. Raises Refused.

    Looked at are the index, HEAD, and those `commits` besides.
    """
    root = repository.root
    for place in _all(root / LOCAL):
        if place.is_symlink():
            shown = place.relative_to(root)
            raise Refused(
                f"{shown} is a link, and {_NOBODYS}: what it leads to would be believed and written over;"
                f" remove it (rm {shown}), then run this again"
            )
    tracked, where = next(_tracked(repository, commits), (None, ""))
    if tracked is not None:
        raise Refused(f"{tracked} is tracked by git ({where}), and {_NOBODYS}: {_CLEAR}")


def local_folder(repository: Repository) -> Path:
    """The folder of local state, made where it is new, ignored by git, and closed to other users.

    Raises Refused as `must_be_own` does, RunbookoptError where it cannot be had or is another user's.
    """
    must_be_own(repository)
    folder = repository.root / LOCAL
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        for place in _all(folder):
            with suppress(FileNotFoundError):  # who writes a reply renames a file just now
                _close_to_others(place)
    except OSError as error:
        why = f"{folder}: cannot be written ({error.strerror}); let this user write there"
        if not folder.is_dir() and folder.exists():
            why = f"{folder} is a file, and local state needs a folder of that name: move it away"
        raise RunbookoptError(why) from error
    return folder


def journal_file(repository: Repository) -> Path:
    """The path of the journal, whose file is there, and this user's alone. Raises as `local_folder` does."""
    path = local_folder(repository) / JOURNAL
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)  # what SQLite puts beside it has the same mode
        os.fchmod(descriptor, 0o600)  # whatever the umask says
        os.close(descriptor)
    except OSError as error:
        raise RunbookoptError(
            f"{path}: the journal cannot be made ({error.strerror}); let this user write there"
        ) from error
    return path


def is_local(path: str) -> bool:
    """Whether a path of a commit is local state: also on a disk to which all cases of letters are one."""
    return path.partition("/")[0].casefold() == LOCAL


def must_be_no_commits(repository: Repository, path: Path) -> None:
    """Refuse a file that a commit brought, or that a link of this clone leads to. Raises Refused."""
    place, root = Path(os.path.abspath(path)), repository.root.resolve()  # noqa: PTH100 - links stay links
    inside = next((above for above in (place, *place.parents) if above.resolve() == root), None)
    if inside is None:
        return
    name = place.relative_to(inside).as_posix()
    for each in (place, *place.parents[: len(place.parts) - len(inside.parts) - 1]):
        if each.is_symlink():
            raise Refused(
                f"{each.relative_to(inside)} is a link, and {_NOBODYS}: name the file that it leads to"
            )
    if name in repository.tracked():
        raise Refused(
            f"{name} is tracked by git, so whoever may push wrote it, and {_NOBODYS}:"
            " a bundle is what `optimize-runbook` leaves, and is never committed"
        )


def _all(folder: Path) -> Iterator[Path]:
    """The folder and what is in it, links themselves and not what they lead to."""
    if not os.path.lexists(folder):
        return
    yield folder
    if folder.is_symlink() or not folder.is_dir():
        return
    for above, folders, files in os.walk(folder):
        yield from (Path(above, name) for name in (*folders, *files))


def _tracked(repository: Repository, commits: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What git tracks of local state, and where."""
    if os.path.lexists(repository.root / LOCAL):
        yield from ((path, "in its index") for path in repository.tracked() if is_local(path))
    for commit in filter(None, dict.fromkeys((repository.find("HEAD"), *commits))):
        for name in filter(is_local, repository.names(commit)):
            yield from ((file.path, f"in commit {commit[:12]}") for file in repository.tree(commit, name))


def _close_to_others(place: Path) -> None:
    """Take rights away from everybody else. Raises RunbookoptError where it is not ours to do so."""
    found = place.lstat()
    if found.st_uid != os.geteuid():
        raise RunbookoptError(
            f"{place} belongs to another user (number {found.st_uid}), who could write what is believed here:"
            " remove it, then run this again"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        place.chmod(0o700 if stat.S_ISDIR(found.st_mode) else 0o600)
