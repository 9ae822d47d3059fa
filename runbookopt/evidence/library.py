"""Evidence that a repository holds for one runbook: its tasks, trajectories and labels."""

import stat
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.digest import canonical, digest_of
from runbookopt.documents.parse import MalformedFile, Problem, encodable
from runbookopt.documents.schema_errors import plain, shown
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.formats.native import Line, read_records
from runbookopt.evidence.trajectory import Label, Task, Trajectory, Trust, time_of
from runbookopt.evidence.trust import LEAST, Given, least

T = TypeVar("T")

LABELS = ".labels.jsonl"
FORMATS = "one trajectory a line in *.jsonl, one label a line in *.labels.jsonl"


class Source(Protocol):
    """Where files come from: a folder, or a revision of a git repository."""

    def files(self, under: str) -> list[str]:
        """The files under a folder: POSIX paths relative to the root, sorted; none if it is absent."""
        ...

    def read(self, path: str) -> bytes:
        """The bytes of a file; raises FileNotFoundError."""
        ...


class Folder(Struct, frozen=True):
    """A source over a folder on disk. As in a revision, links are no files: nothing leads out of it."""

    root: Path

    def files(self, under: str) -> list[str]:
        """The regular files under a folder: POSIX paths relative to the root, sorted."""
        return sorted(path for path, regular in self._entries(under) if regular)

    def links(self, under: str) -> list[str]:
        """All that stands under a folder and is not read: symbolic links, sockets, names not in UTF-8."""
        return sorted(path for path, regular in self._entries(under) if not regular)

    def read(self, path: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError, and RunbookoptError where it cannot be read."""
        if self.files(path) != [path]:
            raise FileNotFoundError(f"{path} is not a file of {self.root}")
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            raise RunbookoptError(f"{path}: cannot be read: {error.strerror}") from error

    def _entries(self, under: str) -> Iterator[tuple[str, bool]]:
        """All but folders at or under a path, each with whether it is a file that can be read."""
        start = PurePosixPath(under)
        linked = any((self.root / parent).is_symlink() for parent in list(start.parents)[:-1])
        if linked or start.is_absolute() or ".." in start.parts:
            return
        pending = [start]
        while pending:
            path = pending.pop()
            kind, inside = self._look_at(path)
            pending += [path / name for name in inside]
            if kind not in {None, stat.S_IFDIR}:
                yield str(path), kind == stat.S_IFREG and encodable(str(path))

    def _look_at(self, path: PurePosixPath) -> tuple[int | None, list[str]]:
        """The kind of what stands at a path, None where nothing does, and the names in it."""
        place = self.root / path
        try:
            kind = stat.S_IFMT(place.lstat().st_mode if path.parts else stat.S_IFDIR)
            inside = list(place.iterdir()) if kind == stat.S_IFDIR else []
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None, []
        except OSError as error:
            raise RunbookoptError(f"{path}: cannot be read: {error.strerror}") from error
        return kind, [inner.name for inner in inside if inner.name != ".git"]


class Place(Struct, frozen=True):
    """Where a record stands: its file, and its line from 1."""

    path: str
    line: int

    def __str__(self) -> str:
        """As in `path:line`."""
        return f"{plain(self.path)}:{self.line}"


class Evidence(Struct, frozen=True, dict=True):
    """Tasks by id; trajectories and labels in the order of files and lines.

    `places` are those of the trajectories, by their ids. Labels of trajectories that are not here are
    left out, with a warning.
    """

    tasks: tuple[Task, ...]
    trajectories: tuple[Trajectory, ...]
    labels: tuple[Label, ...] = ()
    warnings: tuple[Problem, ...] = ()
    places: dict[str, Place] = {}

    def task(self, id: str) -> Task:  # noqa: A002 - the word of the file
        """The task with this id; raises KeyError."""
        return self._tasks[id]

    def task_of(self, trajectory: Trajectory) -> Task:
        """The task that a trajectory attempted; raises KeyError for one from elsewhere."""
        return self._tasks[task_id(trajectory.task.input)]

    def trajectory(self, id: str) -> Trajectory:  # noqa: A002 - the word of the file
        """The trajectory with this id; raises KeyError."""
        return self._trajectories[id]

    def where(self, id: str) -> str:  # noqa: A002 - the word of the file
        """The "file:line" of a trajectory; raises KeyError."""
        return str(self.places[id])

    @cached_property
    def _tasks(self) -> dict[str, Task]:
        return {task.id: task for task in self.tasks}

    @cached_property
    def _trajectories(self) -> dict[str, Trajectory]:
        return {trajectory.id: trajectory for trajectory in self.trajectories}


def read_evidence(source: Source, name: str, given: Given | None = None) -> Evidence:
    """Read what lies in trajectories/<name>/ or deeper, from a folder or a revision.

    `given` says how far it is trusted, by path: not at all where nothing is given. Raises MalformedFile with
    all errors: no trajectories at all, a file without one good record, two records with one id, two
    references or two explicit splits for one input. The rest is warnings.
    """
    folder = f"trajectories/{name}"
    problems = list(_unread(source, folder))
    paths = [path for path in source.files(folder) if _native(path, folder)]
    ours = [path for path in paths if not path.endswith(LABELS)]
    given = given or Given()
    stated = _gather(Trajectory, source, ours, problems)
    trajectories = [replace(each, record=_trusted(each.record, given.to(each.path))) for each in stated]
    labels = _gather(Label, source, [path for path in paths if path.endswith(LABELS)], problems)
    if not trajectories and not any(problem.severity == "error" for problem in problems):
        problems.append(Problem(folder, None, f"no trajectories: expected {FORMATS}"))
    ids = {entry.record.id for entry in trajectories}
    tasks: dict[str, list[Line[Trajectory]]] = {}
    for entry in trajectories:
        tasks.setdefault(task_id(entry.record.task.input), []).append(entry)
    problems += [*_same_ids(trajectories), *_at_odds(tasks)]
    for label in labels:
        if label.record.trajectory not in ids:
            message = f"left out: there is no trajectory {shown(label.record.trajectory)}"
            problems.append(label.problem(message, "warning"))
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise MalformedFile(errors)
    return Evidence(
        tasks=tuple(_task(id_, entries, given) for id_, entries in sorted(tasks.items())),
        trajectories=tuple(entry.record for entry in trajectories),
        labels=tuple(label.record for label in labels if label.record.trajectory in ids),
        warnings=tuple(sorted(problems, key=lambda problem: (problem.path, problem.line or 0))),
        places={entry.record.id: Place(entry.path, entry.number) for entry in trajectories},
    )


def task_id(value: Any) -> str:  # noqa: ANN401 - an input may be any JSON
    """The identity of a task: the digest of the canonical JSON of its input."""
    return digest_of(value)


def _native(path: str, folder: str) -> bool:
    folders = PurePosixPath(path.removeprefix(f"{folder}/")).parts[:-1]
    return path.endswith(".jsonl") and not any(part[0] == "." for part in folders)


def _unread(source: Source, folder: str) -> Iterator[Problem]:
    """Warn of what lies in the folder and is not read; notes (*.md) and dot files are left in peace."""
    for path in source.files(folder):
        parts = PurePosixPath(path).parts
        if not (_native(path, folder) or path.endswith(".md") or any(part[0] == "." for part in parts)):
            yield Problem(path, None, f"not read: expected {FORMATS}", "warning")
    for path in source.links(folder) if isinstance(source, Folder) else ():
        message = "not read: expected a file, and this is a link or no file"
        yield Problem(plain(path), None, message, "warning")


def _gather(type_: type[T], source: Source, paths: Sequence[str], problems: list[Problem]) -> list[Line[T]]:
    entries: list[Line[T]] = []
    for path in paths:
        try:
            reading = read_records(type_, source.read(path), path)
        except MalformedFile as error:
            problems += error.problems
            continue
        entries += reading.lines
        problems += reading.warnings
    return entries


def _same_ids(entries: Sequence[Line[Trajectory]]) -> Iterator[Problem]:
    first: dict[str, Line[Trajectory]] = {}
    for entry in entries:
        holder = first.setdefault(entry.record.id, entry)
        if holder is not entry:
            yield entry.problem(f"id {shown(entry.record.id)} is taken by {holder.place}")


def _at_odds(tasks: Mapping[str, Sequence[Line[Trajectory]]]) -> Iterator[Problem]:
    for entries in tasks.values():
        for key in ("reference", "split"):
            for one, other in _changes([(entry, getattr(entry.record.task, key)) for entry in entries]):
                yield other.problem(f"another {key} for the same input than in {one.place}")
        for one, other in _changes([(entry, entry.record.task.group or None) for entry in entries]):
            message = f"another group for the same input than in {one.place}: the first by name counts"
            yield other.problem(message, "warning")


def _changes(values: Sequence[tuple[Line[T], object]]) -> Iterator[tuple[Line[T], Line[T]]]:
    """The first entry that has a value, with each whose value is another."""
    stated = [(entry, canonical(value)) for entry, value in values if value is not None]
    for entry, value in stated[1:]:
        if value != stated[0][1]:
            yield stated[0][0], entry


def _trusted(record: Trajectory, of_file: Trust) -> Trajectory:
    """A record with the trust that its file is given, less where it says so itself."""
    return replace(record, trust=least((of_file, record.trust or of_file)))


def _task(id_: str, entries: Sequence[Line[Trajectory]], given: Given) -> Task:
    """The task of all records of one input. The least trusted of them decides how far it is trusted."""
    stated = [entry.record.task for entry in entries]
    began = (time_of(entry.record.started_at) for entry in entries)
    return Task(
        id=id_,
        input=stated[0].input,
        reference=next((task.reference for task in stated if task.reference is not None), None),
        group=min((task.group for task in stated if task.group), default=None),
        split=next((task.split for task in stated if task.split), None),
        trajectories=tuple(entry.record.id for entry in entries),
        trust=least(entry.record.trust or LEAST for entry in entries),
        red_team=any(given.is_red_team(path) for path in {entry.path for entry in entries}),
        began=min((time for time in began if time is not None), default=None),
    )
