"""Import of stored files into lines of our own: streamed, and the same when it is done again."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from runbookopt.documents.digest import canonical, digest
from runbookopt.documents.parse import Problem
from runbookopt.documents.placeholders import without_marks
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.covered import with_records
from runbookopt.evidence.formats.reader import Fault, Format, Found, Loss
from runbookopt.evidence.library import Folder
from runbookopt.evidence.privacy import SECRETS_ALONE, Redaction
from runbookopt.evidence.reading import (
    Lost,
    Recognized,
    StoredFile,
    Taken,
    belonging,
    items_of,
    live_key,
    problem_of,
    recognize,
    stored,
)
from runbookopt.evidence.trajectory import Label, Trajectory

MOST_PROBLEMS = 1_000
"""Problems that are kept in words; more are counted."""


class Imported(Struct, frozen=True):
    """What an import did: records by what became of them, and what was lost.

    `changed` are ids that are there already with other content: what is there stays. `files` are paths that
    were written. `left_out` counts problems of single records, of which `problems` has the first.
    `removed` counts what was taken out of new records, by kind; `live` names where a key that looks alive
    stands in the files that were read.
    """

    new: int
    unchanged: int
    changed: tuple[str, ...]
    errored: int
    labels: int
    formats: dict[str, int]
    files: tuple[str, ...]
    losses: tuple[Lost, ...]
    problems: tuple[Problem, ...]
    left_out: int
    removed: Mapping[str, int] = {}
    live: tuple[Problem, ...] = ()


def files_at(paths: Iterable[Path]) -> Iterator[StoredFile]:
    """The files at these paths, and below those that are folders; raises RunbookoptError."""
    for path in paths:
        if path.is_dir():
            inside = Folder(path)
            yield from (_on_disk(inside, name, f"{path}/{name}") for name in with_records(inside.files("")))
        elif path.is_file():
            yield _on_disk(Folder(path.resolve().parent), path.resolve().name, str(path))
        else:
            raise RunbookoptError(f"{path}: {'is no file' if path.exists() else 'not found'}")


def sorted_out(files: Iterable[StoredFile], format_: Format | None) -> list[Recognized]:
    """The files with their formats, without those that are part of another one. All of `format_` if given."""
    seen = [recognize(file) for file in files]
    if format_ is not None:
        seen = [Recognized(each.file, format_) for each in seen if len(seen) == 1 or each.format is format_]
    taken = belonging(seen)
    return [each for each in seen if each.file.path not in taken]


def import_files(files: Sequence[Recognized], folder: Path, redaction: Redaction = SECRETS_ALONE) -> Imported:
    """Append what files of known formats hold to `imported-FORMAT.jsonl` in a folder of trajectories.

    What `redaction` takes out of the records is written nowhere.
    All files are written at the end, and each is replaced as a whole: who interrupts it changes nothing.
    """
    with ExitStack() as stack:
        importing = _Importing(folder, stack, redaction)
        for each in files:
            if each.format is not None:
                importing.take(each.file, each.format)
        return importing.done()


def _on_disk(folder: Folder, name: str, shown: str) -> StoredFile:
    return replace(stored(folder, name), path=shown, open=lambda: (folder.root / name).open("rb"))


class _Importing:
    """What is there already, by id and digest, and what was taken so far, in files that are not yet named."""

    def __init__(self, folder: Path, stack: ExitStack, redaction: Redaction) -> None:
        self._folder, self._stack, self._redaction = folder, stack, redaction
        self._removed: Counter[str] = Counter()
        self._live: list[Problem] = []
        self._known: dict[str, str] = {}
        self._labels: set[bytes] = set()
        self._drafts: dict[str, IO[bytes]] = {}
        self._paths: dict[str, Path] = {}
        self._counts: Counter[str] = Counter()
        self._formats: Counter[str] = Counter()
        self._losses: Counter[tuple[str, str]] = Counter()
        self._changed: dict[str, None] = {}
        self._problems: list[Problem] = []
        for each in sorted_out(files_at([folder] if folder.is_dir() else []), None):
            if each.format is not None:
                self._remember(each.file, each.format)

    def _remember(self, file: StoredFile, format_: Format) -> None:
        for item in items_of(file, format_, self._redaction):
            if isinstance(item, Found):
                if item.trajectory is not None:
                    self._known.setdefault(item.trajectory.id, _content(item.trajectory))
                self._labels.update(map(canonical, item.labels))

    def take(self, file: StoredFile, format_: Format) -> None:
        taken: list[Taken] = []
        for item in items_of(file, format_, self._redaction):
            match item:
                case Taken(removed, place):
                    taken.append(item)
                    self._live += [live_key(kind, file.path, place) for kind in removed.live]
                case Loss(what, count):
                    self._losses[format_.name, what] += count
                case Fault():
                    self._counts["left_out"] += 1
                    if len(self._problems) < MOST_PROBLEMS:
                        self._problems.append(problem_of(item, file.path))
                case Found(trajectory, labels):
                    new = trajectory is not None and self._trajectory(trajectory, format_)
                    labelled = [self._label(label, format_) for label in labels]
                    for each in taken if new or any(labelled) else ():
                        self._removed.update(each.removed.counts)
                    taken.clear()

    def _trajectory(self, trajectory: Trajectory, format_: Format) -> bool:
        digest = _content(trajectory)
        there = self._known.get(trajectory.id)
        if there is not None:
            self._counts["unchanged"] += there == digest
            self._changed.update({trajectory.id: None} if there != digest else {})
            return False
        self._known[trajectory.id] = digest
        self._counts["new"] += 1
        self._counts["errored"] += trajectory.error is not None
        self._formats[format_.name] += 1
        self._draft(f"imported-{format_.name}.jsonl").write(_line(trajectory))
        return True

    def _label(self, label: Label, format_: Format) -> bool:
        line = canonical(label)
        if line in self._labels:
            return False
        self._labels.add(line)
        self._counts["labels"] += 1
        self._draft(f"imported-{format_.name}.labels.jsonl").write(line + b"\n")
        return True

    def _draft(self, name: str) -> IO[bytes]:
        """The file that will stand for this one: it begins with what that has. Readers pass over its name."""
        if name not in self._drafts:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, draft_name = tempfile.mkstemp(dir=self._folder, prefix=f".{name}.")
            self._stack.callback(Path(draft_name).unlink, missing_ok=True)
            draft = self._stack.enter_context(os.fdopen(handle, "wb"))
            self._paths[name] = Path(draft_name)
            place = self._folder / name
            if place.is_file() and place.stat().st_size:
                with place.open("rb") as there:
                    shutil.copyfileobj(there, draft)
                    there.seek(-1, os.SEEK_END)
                    draft.write(b"" if there.read() == b"\n" else b"\n")
            self._drafts[name] = draft
        return self._drafts[name]

    def done(self) -> Imported:
        """Put the written files in their places, and tell what was done."""
        for name, draft in sorted(self._drafts.items()):
            draft.flush()
            os.fsync(draft.fileno())
            self._paths[name].chmod(0o644)
            self._paths[name].replace(self._folder / name)
        return Imported(
            new=self._counts["new"],
            unchanged=self._counts["unchanged"],
            changed=tuple(self._changed),
            errored=self._counts["errored"],
            labels=self._counts["labels"],
            formats=dict(sorted(self._formats.items())),
            files=tuple(str(self._folder / name) for name in sorted(self._drafts)),
            losses=tuple(Lost(*key, count) for key, count in sorted(self._losses.items())),
            problems=tuple(self._problems),
            left_out=self._counts["left_out"],
            removed=dict(sorted(self._removed.items())),
            live=tuple(self._live),
        )


def _content(trajectory: Trajectory) -> str:
    """A digest of what a record says; what was taken out of it with another key is no other content."""
    return digest(without_marks(canonical(trajectory).decode()).encode())


def _line(trajectory: Trajectory) -> bytes:
    """A trajectory as a line of ours, without what it does not say."""
    record = to_builtins(trajectory)
    for part in (record["task"], record["agent"] or {}, *record["verdicts"], record):
        for key in [key for key, value in part.items() if value in (None, [], ()) and key != "input"]:
            del part[key]
    return msgspec.json.encode(record) + b"\n"
