"""Output of git, as records and as errors of one line (pure)."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import Literal, cast

from msgspec import Struct

from runbookopt.errors import RunbookoptError


class FileChange(Struct, frozen=True):
    """What became of one file between two trees.

    `status` is git's letter; modes are git's octal ones ("100644" file, "100755" executable, "120000"
    symbolic link, "160000" submodule), None where there is no file.
    """

    status: Literal["A", "M", "D", "R", "C", "T"]
    old_path: str | None
    new_path: str | None
    old_mode: str | None
    new_mode: str | None


class Person(Struct, frozen=True):
    """Who made a commit, as git writes it down: a convention, not authentication."""

    name: str
    email: str


class Commit(Struct, frozen=True):
    """A commit; `at` is its committer's time in ISO 8601."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    at: str
    message: str


class RefUpdate(Struct, frozen=True):
    """A ref at origin goes from `old` to `new`, or nothing happens; None means that there is no such ref."""

    ref: str
    old: str | None
    new: str | None


class TreeEntry(Struct, frozen=True):
    """One file of a tree."""

    path: str
    mode: str
    blob: str


class GitFailed(RunbookoptError):
    """Git could not do what it was asked, in git's own words."""


class OriginUnreachable(GitFailed):
    """The remote `origin` gives no answer."""


class PushRejected(GitFailed):
    """Somebody else was first: a ref at origin is no longer what was expected. Read again, try again."""


class PushRefused(GitFailed):
    """The server said no: a hook or a protection; trying again would not help."""


class MergeConflict(GitFailed):
    """Two sides changed the same lines; `paths` are the files."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)
        super().__init__(f"the merge conflicts in {', '.join(self.paths)}")


def parse_tree(data: bytes) -> dict[str, tuple[str, str]]:
    """Read a tree object: the mode and the id of each name in it, in git's order; a folder's mode is "40000".

    Modes are those that git shows today: old repositories hold others for files, such as "100664".
    """
    entries: dict[str, tuple[str, str]] = {}
    at = 0
    while at < len(data):
        end = data.index(b"\0", at)
        mode, _, name = data[at:end].partition(b" ")
        at = end + 21
        shown = ("100755" if int(mode, 8) & 0o100 else "100644") if mode.startswith(b"100") else mode.decode()
        entries[os.fsdecode(name)] = (shown, data[end + 1 : at].hex())
    return entries


def parse_changes(raw: str) -> list[FileChange]:
    """Read what `git diff-tree -z --raw` lists."""
    fields = iter(raw.split("\0"))
    return [_change(meta, fields) for meta in fields if meta.startswith(":")]


def in_one_line(message: str) -> str:
    """The complaint of git or of the server, without advice, progress, or the credentials of a URL."""
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.startswith("hint:")]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ssh:"))] or lines[-1:]
    complaint = "; ".join(line.split(": ", 1)[-1].strip() for line in fatal)
    return without_credentials(complaint) or "git said nothing"


def without_credentials(text: str) -> str:
    """A text whose URLs name neither user nor password (which may hold an @ itself), and ask for nothing."""
    return re.sub(r"(://[^\s?'\"]*)\?[^\s'\"]+", r"\1", re.sub(r"://[^/\s]+@", "://", text))


def push_error(report: str, message: str) -> GitFailed:
    """Error by who said no to a push: the state of the refs (somebody was first), the server, or the network.

    `report` is what `git push --porcelain` prints; the reasons are those of git's transport.c and
    receive-pack.c.
    """
    refusals = [line.split("\t")[2] for line in report.splitlines() if line.startswith("!\t")]
    if not refusals:
        return OriginUnreachable(f"cannot push to origin: {in_one_line(message)}")
    reasons = without_credentials("; ".join(sorted(set(refusals))))
    heard = (line.removeprefix("remote:").strip() for line in message.splitlines() if line[:7] == "remote:")
    words = without_credentials(" ".join(line for line in heard if line))
    answer = f"{reasons}{f': {words}' if words else ''}"
    moved = re.search(_MOVED, reasons) or "error: cannot lock ref" in words
    # A branch `a` leaves no room for `a/b`, however often one tries.
    if moved and "cannot create" not in words:
        return PushRejected(f"origin has moved: {answer}")
    return PushRefused(f"origin refuses the push: {answer}")


_MOVED = r"stale info|fetch first|non-fast-forward|already exists|cannot lock|failed to update|incorrect old"


def _change(meta: str, fields: Iterator[str]) -> FileChange:
    old_mode, new_mode, _, _, status = meta.removeprefix(":").split(" ")
    path = next(fields)
    letter = cast('Literal["A", "M", "D", "R", "C", "T"]', status[0])
    return FileChange(
        status=letter,
        old_path=None if letter == "A" else path,
        new_path=None if letter == "D" else next(fields) if letter in "RC" else path,
        old_mode=None if letter == "A" else old_mode,
        new_mode=None if letter == "D" else new_mode,
    )
