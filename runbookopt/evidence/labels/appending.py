"""File of labels that is only ever added to: by one write a time, in turn with everybody who writes to it.

So two pages at once lose nothing, a process that is killed leaves whole lines, and git merges by union.
"""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from runbookopt.documents.digest import canonical
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.formats import native
from runbookopt.evidence.formats.reader import Found
from runbookopt.evidence.privacy import Redaction
from runbookopt.evidence.reading import StoredFile, items_of
from runbookopt.evidence.trajectory import Label


class LabelFile(Struct, frozen=True):
    """A file of labels while nobody else writes to it; `path` is told to people."""

    path: Path
    descriptor: int
    redaction: Redaction

    def labels_of(self, trajectory: str) -> tuple[Label, ...]:
        """The labels of one trajectory as they stand in the file now, without what nobody is shown."""
        size = os.fstat(self.descriptor).st_size
        return _labels_of(trajectory, _whole(self.descriptor, size), self.path, self.redaction)

    def append(self, labels: Sequence[Label]) -> None:
        """Add lines: all of them, or none where there is no room. Raises RunbookoptError."""
        before = os.fstat(self.descriptor).st_size
        cut_off = before and os.pread(self.descriptor, 1, before - 1) != b"\n"
        lines = (b"\n" if cut_off else b"") + b"".join(canonical(label) + b"\n" for label in labels)
        try:
            written, why = os.write(self.descriptor, lines), "there is no room for all of it"
            os.fsync(self.descriptor)
        except OSError as error:
            written, why = 0, f"{error.strerror}"
        if written < len(lines):
            os.ftruncate(self.descriptor, before)  # our own bytes alone: nobody else writes meanwhile
            raise RunbookoptError(f"{self.path}: nothing was written: {why}")


def labels_at(path: Path, trajectory: str, redaction: Redaction) -> tuple[Label, ...]:
    """The labels of one trajectory in a file, none where there is no file. Raises RunbookoptError."""
    if not os.path.lexists(path):
        return ()
    with opened(path, redaction) as file:
        return file.labels_of(trajectory)


@contextmanager
def opened(path: Path, redaction: Redaction) -> Iterator[LabelFile]:
    """The file at a path, made where it is new, once nobody else writes to it. Raises RunbookoptError.

    A link is none: it may lead anywhere. Where the file system knows no locks, nobody waits.
    """
    import fcntl  # noqa: PLC0415 - Unix alone has it

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        raise RunbookoptError(f"{path}: labels cannot be written there: {error.strerror}") from error
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield LabelFile(path, descriptor, redaction)
    finally:
        os.close(descriptor)


def _labels_of(trajectory: str, data: bytes, path: Path, redaction: Redaction) -> tuple[Label, ...]:
    sought = msgspec.json.encode(trajectory)
    lines = b"\n".join(line for line in data.split(b"\n") if sought in line)
    file = StoredFile(str(path), lambda: io.BytesIO(lines), frozenset, lambda _: None)
    found = (item for item in items_of(file, native.FORMAT, redaction) if isinstance(item, Found))
    return tuple(label for each in found for label in each.labels if label.trajectory == trajectory)


def _whole(descriptor: int, size: int) -> bytes:
    parts, at = [], 0
    while at < size and (part := os.pread(descriptor, size - at, at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts)
