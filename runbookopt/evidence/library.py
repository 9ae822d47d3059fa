"""Evidence that a repository holds for one runbook: its tasks, trajectories and labels."""

import os
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.digest import canonical, digest_of
from runbookopt.documents.parse import MalformedFile, Problem, encodable, whole
from runbookopt.documents.schema_errors import plain, shown
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.formats import reader
from runbookopt.evidence.formats.native import Line
from runbookopt.evidence.privacy import Redaction
from runbookopt.evidence.reading import FORMATS, LEFT_OUT, Lost, gather
from runbookopt.evidence.trajectory import Label, Task, Trajectory, Trust, time_of
from runbookopt.evidence.trust import LEAST, Given, least, lowered, rank

T = TypeVar("T")

EXPECTED = (
    "one trajectory a line in *.jsonl, or files of another known format"
    f" ({', '.join(format_.name for format_ in FORMATS[1:])})"
)


class Source(Protocol):
    """Where files come from: a folder, or a revision of a git repository."""

    def files(self, under: str) -> list[str]:
        """The files under a folder: POSIX paths relative to the root, sorted; none if it is absent."""
        ...

    def names(self, folder: str) -> list[str]:
        """The names of the files and folders in a folder ("" for the root), sorted; none if it is absent."""
        ...

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder ("" for the root), sorted; none if it is absent."""
        ...

    def links(self, under: str, /) -> list[str]:
        """What stands under a folder and is not read, as links are not: paths from the root, sorted."""
        ...

    def linked(self, folder: str, /) -> list[str]:
        """The names of the symbolic links in a folder ("" for the root), sorted; none if it is absent."""
        ...

    def link(self, path: str, /) -> str | None:
        """Where the symbolic link at a path leads, as it says; None where there is none."""
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

    def names(self, folder: str) -> list[str]:
        """The names of the regular files and folders in a folder ("" for the root), sorted."""
        return self._within(folder, stat.S_IFREG, stat.S_IFDIR)

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder ("" for the root), sorted."""
        return self._within(folder, stat.S_IFDIR)

    def links(self, under: str) -> list[str]:
        """All that stands under a folder and is not read: symbolic links, sockets, names not in UTF-8."""
        return sorted(path for path, regular in self._entries(under) if not regular)

    def linked(self, folder: str) -> list[str]:
        """The names of the symbolic links in a folder ("" for the root), sorted."""
        return self._within(folder, stat.S_IFLNK)

    def link(self, path: str) -> str | None:
        """Where the symbolic link at a path leads, as it says; None where there is none."""
        try:
            return None if self._leads_out(PurePosixPath(path)) else str((self.root / path).readlink())
        except (OSError, ValueError):
            return None

    def read(self, path: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError, and RunbookoptError where it cannot be read."""
        if self.files(path) != [path]:
            raise FileNotFoundError(f"{path} is not a file of {self.root}")
        try:
            data = (self.root / path).read_bytes()
        except OSError as error:
            raise RunbookoptError(f"{path}: cannot be read: {error.strerror}") from error
        return whole(data, path)

    def _within(self, folder: str, *kinds: int) -> list[str]:
        start = PurePosixPath(folder)
        place = self.root / start
        if self._leads_out(start) or (start.parts and place.is_symlink()):
            return []
        try:
            with os.scandir(place) as entries:  # it knows the kinds, which saves a call for each
                return sorted(
                    entry.name for entry in entries if _kind(entry) in kinds and entry.name != ".git"
                )
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return []
        except OSError as error:
            raise RunbookoptError(f"{folder}: cannot be read: {error.strerror}") from error

    def _entries(self, under: str) -> Iterator[tuple[str, bool]]:
        """All but folders at or under a path, each with whether it is a file that can be read."""
        start = PurePosixPath(under)
        if self._leads_out(start):
            return
        pending = [start]
        while pending:
            path = pending.pop()
            kind, inside = self._look_at(path)
            pending += [path / name for name in inside]
            if kind not in {None, stat.S_IFDIR}:
                yield str(path), kind == stat.S_IFREG and encodable(str(path))

    def _leads_out(self, path: PurePosixPath) -> bool:
        linked = any((self.root / parent).is_symlink() for parent in list(path.parents)[:-1])
        return linked or path.is_absolute() or ".." in path.parts

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


def _kind(entry: "os.DirEntry[str]") -> int | None:
    if entry.is_symlink():
        return stat.S_IFLNK
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFREG if entry.is_file(follow_symlinks=False) else None


class Place(Struct, frozen=True):
    """Where a record stands: its file, and its line there from 1, or words where the file has no lines.

    `parts` are the files and folders that all of it stands in; none where its line alone says it.
    """

    path: str
    line: int | None = None
    within: str = ""
    parts: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As in `path:line`, or `path (record 3)`."""
        return reader.Place(self.line, self.within).of(self.path)


class Evidence(Struct, frozen=True, dict=True):
    """Tasks by id; trajectories and labels in the order of files and lines.

    `places` are those of the trajectories, by their ids; `label_places` are those of the labels. Labels of
    trajectories that are not here are left out, with a warning. `losses` are what files of other formats
    hold and trajectories cannot. `removed` counts by kind what was taken out so that nobody is shown it, and
    `live` says where keys that look alive stand.
    """

    tasks: tuple[Task, ...]
    trajectories: tuple[Trajectory, ...]
    labels: tuple[Label, ...] = ()
    warnings: tuple[Problem, ...] = ()
    places: dict[str, Place] = {}
    label_places: tuple[Place, ...] = ()
    losses: tuple[Lost, ...] = ()
    removed: Mapping[str, int] = {}
    live: tuple[Problem, ...] = ()

    def task(self, id: str) -> Task:  # noqa: A002 - the word of the file
        """The task with this id; raises KeyError."""
        return self._tasks[id]

    def task_of(self, trajectory: Trajectory) -> Task:
        """The task that a trajectory attempted; raises KeyError for one from elsewhere."""
        return self._task_of[trajectory.id]

    def trajectory(self, id: str) -> Trajectory:  # noqa: A002 - the word of the file
        """The trajectory with this id; raises KeyError."""
        return self._trajectories[id]

    def where(self, id: str) -> str:  # noqa: A002 - the word of the file
        """The place of a trajectory in words; raises KeyError."""
        return str(self.places[id])

    @cached_property
    def _tasks(self) -> dict[str, Task]:
        return {task.id: task for task in self.tasks}

    @cached_property
    def _task_of(self) -> dict[str, Task]:
        return {id_: task for task in self.tasks for id_ in task.trajectories}

    @cached_property
    def _trajectories(self) -> dict[str, Trajectory]:
        return {trajectory.id: trajectory for trajectory in self.trajectories}


def read_evidence(
    source: Source,
    name: str,
    given: Given | None = None,
    more: Sequence[str] = (),
    folder: str | None = None,
) -> Evidence:
    """Read what lies in trajectories/<name>/ and below, in any known format, from a folder or a revision.

    `folder` is another one to read in its place. `more` are patterns of paths from the root at which other
    files lie. `given` says how far it is trusted, by path: not at all where nothing is given. Raises
    MalformedFile with all that is wrong: no trajectories at all, two references or two explicit splits for
    one input in records of our own that are trusted alike. The rest is warnings, and costs its record.
    """
    folder = folder or f"trajectories/{name}"
    given = given or Given()
    gathered = gather(source, folder, *more)
    odd = [link for link in source.links(folder) if link != folder] if isinstance(source, Folder) else ()
    unread = "not read: expected a file, and this is a link or no file"
    problems = [Problem(plain(path), None, unread, "warning") for path in odd] + [*gathered.problems]
    of_file, is_red_team = cache(given.to), cache(given.is_red_team)

    def trust_in(entry: Line[Trajectory]) -> Trust:  # less where the record says so itself
        return lowered(of_file(entry.path), entry.record.trust)

    once = _once(gathered.trajectories, trust_in, problems)
    trajectories = _agreeing(once, trust_in, problems)
    if not trajectories:
        problems.append(Problem(folder, None, f"no trajectories: expected {EXPECTED}"))
    ids = {entry.record.id for entry in trajectories}
    for label in gathered.labels:
        if label.record.trajectory not in ids:
            message = f"{LEFT_OUT}there is no trajectory {shown(label.record.trajectory)}"
            problems.append(label.problem(message, "warning"))
    if any(problem.severity == "error" for problem in problems):
        raise MalformedFile(problems)
    trusted = [replace(each, record=replace(each.record, trust=trust_in(each))) for each in trajectories]
    tasks = _by_task(trusted)
    # also where another file has the same record once more
    red_team = {task_id(each.record.task.input) for each in gathered.trajectories if is_red_team(each.path)}
    removed = Counter(gathered.removed)
    if given.personal:
        tasks = {id_: _impersonal(entries, removed) for id_, entries in tasks.items()}
        shown_as = {entry.record.id: entry for entries in tasks.values() for entry in entries}
        trusted = [shown_as[entry.record.id] for entry in trusted]
    labels = [label for label in gathered.labels if label.record.trajectory in ids]
    if given.personal:
        labels = [replace(label, record=Redaction(personal=True).label(label.record)[0]) for label in labels]
    return Evidence(
        tasks=tuple(_task(id_, entries, red_team) for id_, entries in sorted(tasks.items())),
        trajectories=tuple(entry.record for entry in trusted),
        labels=tuple(label.record for label in labels),
        warnings=tuple(sorted(problems, key=lambda problem: (problem.path, problem.line or 0))),
        places={each.record.id: Place(each.path, each.number, each.within, each.parts) for each in trusted},
        label_places=tuple(Place(each.path, each.number, each.within, each.parts) for each in labels),
        losses=gathered.losses,
        removed=dict(sorted(removed.items())),
        live=gathered.live,
    )


def _impersonal(entries: Iterable[Line[Trajectory]], removed: Counter[str]) -> list[Line[Trajectory]]:
    """The records without personal data, which is counted in `removed`."""
    redaction, kept = Redaction(personal=True), []
    for entry in entries:
        record, taken = redaction.trajectory(entry.record)
        removed.update(taken.counts if taken else {})
        kept.append(replace(entry, record=record))
    return kept


def task_id(value: Any) -> str:  # noqa: ANN401 - an input may be any JSON
    """The identity of a task: the digest of the canonical JSON of its input."""
    return digest_of(value)


def _once(
    entries: Sequence[Line[Trajectory]],
    trust_in: Callable[[Line[Trajectory]], Trust],
    problems: list[Problem],
) -> list[Line[Trajectory]]:
    """One record of each id: of those trusted most, the first, so that no stranger takes another's place.

    One that was delivered twice is no matter; another one is.
    """
    holders: dict[str, Line[Trajectory]] = {}
    for entry in entries:
        holder = holders.setdefault(entry.record.id, entry)
        if holder is not entry and rank(trust_in(entry)) > rank(trust_in(holder)):
            holders[entry.record.id] = entry
    for entry in entries:
        holder = holders[entry.record.id]
        if holder.record != entry.record:
            taken = f"{LEFT_OUT}id {shown(entry.record.id)} is taken by another record, in {holder.place}"
            problems.append(entry.problem(taken, "warning"))
    return [entry for entry in entries if entry is holders[entry.record.id]]


def _by_task(entries: Iterable[Line[Trajectory]]) -> dict[str, list[Line[Trajectory]]]:
    tasks: dict[str, list[Line[Trajectory]]] = {}
    for entry in entries:
        tasks.setdefault(task_id(entry.record.task.input), []).append(entry)
    return tasks


def _agreeing(
    entries: Sequence[Line[Trajectory]],
    trust_in: Callable[[Line[Trajectory]], Trust],
    problems: list[Problem],
) -> list[Line[Trajectory]]:
    """The records without those that contradict one of the same input which is trusted more, or is our own.

    Of records of our own that are trusted alike, somebody has to say which one is right.
    """
    left_out: set[str] = set()
    for alike in _by_task(entries).values():
        same = sorted(alike, key=lambda entry: (-rank(trust_in(entry)), not _is_ours(entry)))
        for key in ("reference", "split"):
            for early, late in _changes([(entry, getattr(entry.record.task, key)) for entry in same]):
                message = f"another {key} for the same input than in {early.place}"
                if _is_ours(late) and trust_in(late) == trust_in(early):
                    problems.append(late.problem(message))
                elif late.record.id not in left_out:
                    left_out.add(late.record.id)
                    problems.append(late.problem(f"{LEFT_OUT}{message}", "warning"))
        for one, other in _changes([(entry, entry.record.task.group or None) for entry in alike]):
            message = f"another group for the same input than in {one.place}: the first by name counts"
            problems.append(other.problem(message, "warning"))
    return [entry for entry in entries if entry.record.id not in left_out]


def _is_ours(entry: Line[Trajectory]) -> bool:
    return entry.record.format is None


def _changes(values: Sequence[tuple[Line[T], object]]) -> Iterator[tuple[Line[T], Line[T]]]:
    """The first entry that has a value, with each whose value is another."""
    stated = [(entry, canonical(value)) for entry, value in values if value is not None]
    for entry, value in stated[1:]:
        if value != stated[0][1]:
            yield stated[0][0], entry


def _task(id_: str, entries: Sequence[Line[Trajectory]], red_team: Collection[str]) -> Task:
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
        red_team=id_ in red_team,
        began=min((time for time in began if time is not None), default=None),
    )
