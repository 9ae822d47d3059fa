"""Stored files: which format each has, by its content alone, and what it holds."""

import io
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import BinaryIO

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.parse import MAX_DEPTH, TOO_DEEP, Problem
from runbookopt.documents.schema_errors import nearest, plain
from runbookopt.errors import WrongUsage
from runbookopt.evidence.covered import Covered, Files, covered
from runbookopt.evidence.formats import (
    atif,
    chat,
    claude_code,
    codex,
    harbor,
    inspect_log,
    jetty,
    native,
    promptfoo,
    skill_evals,
    swe_agent,
    tau_bench,
)
from runbookopt.evidence.formats.native import LONGEST_LINE, Line
from runbookopt.evidence.formats.reader import (
    Contents,
    Fault,
    Format,
    Found,
    Item,
    Loss,
    Place,
    Record,
    Sample,
)
from runbookopt.evidence.formats.traces import langfuse, langsmith, mlflow, otel
from runbookopt.evidence.formats.transcript import within_limits
from runbookopt.evidence.json_values import (
    LOOKED_AT,
    NoValue,
    decoded,
    has_own_lines,
    is_deeper,
    split_values,
)
from runbookopt.evidence.privacy import SECRETS_ALONE, Redaction, Removed
from runbookopt.evidence.trajectory import Label, Trajectory
from runbookopt.evidence.unknown_files import look_of, look_of_json
from runbookopt.evidence.unpack import Archive, Unreadable, is_archive, unpacked

FORMATS: tuple[Format, ...] = (
    native.FORMAT,
    harbor.FORMAT,
    atif.FORMAT,
    inspect_log.FORMAT,
    promptfoo.FORMAT,
    tau_bench.FORMAT,
    swe_agent.FORMAT,
    swe_agent.FORMAT_MINI,
    claude_code.FORMAT,
    codex.FORMAT,
    langfuse.FORMAT,
    langsmith.FORMAT,
    mlflow.FORMAT,
    otel.FORMAT,
    jetty.FORMAT,
    skill_evals.FORMAT,
    chat.FORMAT,
)
"""All formats that are read; of two that recognize as many values of a file, the first here reads it."""

LEFT_OUT = "left out: "
"""How a problem begins that costs the record which it is about."""

CUT = "long or deep texts of steps, which were cut"


class StoredFile(Struct, frozen=True):
    """A file that may hold trajectories: how it is called, opened, and what lies beside and below it.

    `names` are relative to its folder, and `read` gives the bytes of one of them.
    """

    path: str
    open: Callable[[], BinaryIO]
    names: Callable[[], frozenset[str]]
    read: Callable[[str], bytes | None]


class Recognized(Struct, frozen=True):
    """A file with its format; where it has none that is known, `look` says what it looks like."""

    file: StoredFile
    format: Format | None
    look: str = ""


class Lost(Struct, frozen=True):
    """A kind of thing that files of a format hold and trajectories cannot, and how often it was there."""

    format: str
    what: str
    count: int


class Taken(Struct, frozen=True):
    """What was taken out of the record at a place, so that nobody is shown it."""

    removed: Removed
    place: Place


class Gathered(Struct, frozen=True):
    """All that a folder holds: records with their places, problems, and what was lost.

    `removed` counts what was taken out of the records, by kind; `live` are complaints of keys that look
    alive, which never quote one.
    """

    trajectories: tuple[Line[Trajectory], ...]
    labels: tuple[Line[Label], ...]
    problems: tuple[Problem, ...]
    losses: tuple[Lost, ...]
    removed: Mapping[str, int] = {}
    live: tuple[Problem, ...] = ()


def format_named(name: str) -> Format:
    """The format of this name; raises WrongUsage with the nearest."""
    names = {format_.name: format_ for format_ in FORMATS}
    if name in names:
        return names[name]
    raise WrongUsage(f"no format '{plain(name)}'{nearest(name, names)}: expected one of {', '.join(names)}")


def gather(source: Files, folder: str, *more: str, redaction: Redaction = SECRETS_ALONE) -> Gathered:
    """Read all files under a folder but notes (`*.md`) and dot files. Nothing is an error: all is told.

    `more` are patterns of paths from the root, and what they cover is read as well, and nothing beside it: by
    these patterns it is known whose word a change of evidence needs. Secrets are taken out in any case, and
    what else `redaction` says.
    """
    own, beside = frozenset(covered(source, folder)), Covered(source, more)
    paths = covered(source, folder, *more)
    files = [recognize(stored(source if path in own else beside, path)) for path in paths]
    taken = belonging(files)
    gathering = _Gathering(redaction)
    for each in files:
        if each.file.path in taken:
            continue
        if each.format is None:
            look = gathering.redaction.text(each.look)
            message = f"not read: expected trajectories in a known format, and this is {look}"
            gathering.problems.append(Problem(each.file.path, None, message, "warning"))
        else:
            gathering.take(each.file, each.format)
    return Gathered(
        tuple(gathering.trajectories),
        tuple(gathering.labels),
        tuple(gathering.problems),
        tuple(Lost(*key, count) for key, count in sorted(gathering.losses.items())),
        dict(sorted(gathering.removed.items())),
        tuple(gathering.live),
    )


def is_note(path: str) -> bool:
    """Whether a file tells people of evidence, and is none: `*.md`, but for what a format has as its part."""
    parts = (name for format_ in FORMATS for name in format_.belongs)
    return path.endswith(".md") and not any(
        f"/{name}" in f"/{path}" if name.endswith("/") else f"/{path}".endswith(f"/{name}") for name in parts
    )


def stored(source: Files, path: str) -> StoredFile:
    """A file of a folder or of a revision."""
    folder, slash, _ = path.rpartition("/")
    folder += slash

    def read(name: str) -> bytes | None:
        try:
            return source.read(folder + name)
        except FileNotFoundError:
            return None

    return StoredFile(
        path=path,
        open=lambda: io.BytesIO(source.read(path)),
        names=lambda: frozenset(each.removeprefix(folder) for each in source.files(folder.rstrip("/"))),
        read=read,
    )


def belonging(files: Iterable[Recognized]) -> frozenset[str]:
    """The paths of those files that are part of another one."""
    paths = sorted(each.file.path for each in files)
    taken: set[str] = set()
    for each in files:
        for whole in _beside(each.file.path, each.format) if each.format else ():
            start = bisect_left(paths, whole)
            if whole.endswith("/"):
                end = bisect_left(paths, f"{whole[:-1]}0")  # "0" comes after "/"
                taken.update(paths[start:end])
            elif whole in paths[start : start + 1]:
                taken.add(whole)
    return frozenset(taken)


def _beside(path: str, format_: Format) -> tuple[str, ...]:
    """The files and folders ("agent/") that are part of a file of this format."""
    folder, slash, _ = path.rpartition("/")
    return tuple(f"{folder}{slash}{name}" for name in format_.belongs)


def recognize(file: StoredFile) -> Recognized:
    """The format of a file by what is in it."""
    try:
        sample = sample_of(file)
        if sample is None:
            with file.open() as stream:
                return Recognized(file, None, look_of(unpacked(stream).read(4096)))
    except Unreadable as error:
        return Recognized(file, None, f"a packed file that cannot be read: {error}")
    votes = {format_.name: format_.recognizes(sample) for format_ in FORMATS}
    best = max(FORMATS, key=lambda format_: votes[format_.name])
    return Recognized(file, best) if votes[best.name] else Recognized(file, None, look_of_json(sample))


def items_of(
    file: StoredFile, format_: Format, redaction: Redaction = SECRETS_ALONE
) -> Iterator[Item | Taken]:
    """What a reader finds in a file, as it is found: attempts that fit our own lines, losses and faults.

    All of it as it may be shown; what was taken out of a record comes right before the record.
    """
    for item in _items(file, format_):
        match item:
            case Found():
                yield from _shown(item, redaction)
            case Loss():
                yield replace(item, what=redaction.text(item.what))
            case Fault():
                yield replace(item, message=redaction.text(item.message))


def _items(file: StoredFile, format_: Format) -> Iterator[Item]:
    faults: list[Fault] = []
    with file.open() as stream:
        try:
            contents = _contents(file, stream, faults)
            for item in format_.read(contents) if contents else [Fault("expected JSON")]:
                yield from _fitting(item, format_) if isinstance(item, Found) else [item]
        except Unreadable as error:
            faults.append(Fault(f"the rest of the file: {error}"))
    yield from faults


def _shown(found: Found, redaction: Redaction) -> Iterator[Found | Taken]:
    trajectory, removed = redaction.trajectory(found.trajectory) if found.trajectory else (None, None)
    labels = [redaction.label(label) for label in found.labels]
    taken = [each for each in (removed, *(of for _, of in labels)) if each is not None]
    yield from (Taken(each, found.place) for each in taken)
    yield replace(found, trajectory=trajectory, labels=tuple(label for label, _ in labels))


def sample_of(file: StoredFile) -> Sample | None:
    """What a file is recognized by; None where it holds no JSON. Raises Unreadable."""
    with file.open() as stream:
        if is_archive(stream):
            return Sample("archive", names=Archive(stream).names)
        values = split_values(unpacked(stream))
        if values is None:
            return None
        first = _records(islice(values.raw, LOOKED_AT), [])
        return Sample(values.shape, tuple(record.value for record in first))


def _contents(file: StoredFile, stream: BinaryIO, faults: list[Fault]) -> Contents | None:
    if is_archive(stream):
        archive = Archive(stream)
        return Contents(file.path, "archive", iter(()), iter(()), lambda: archive.names, archive.read)
    values = split_values(unpacked(stream))
    if values is None:
        return None
    return Contents(file.path, values.shape, _records(values.raw, faults), values.raw, file.names, file.read)


def _records(raw: Iterable[tuple[bytes, Place]], faults: list[Fault]) -> Iterator[Record]:
    for data, place in raw:
        try:
            yield Record(decoded(data), place)
        except NoValue as error:
            faults.append(Fault(str(error), place))


def _fitting(found: Found, format_: Format) -> Iterator[Item]:
    """An attempt as it can be written as a line of ours: its steps cut if need be, else left out."""
    trajectory = found.trajectory
    if trajectory is None or format_ is native.FORMAT:
        yield found
        return
    trajectory = replace(trajectory, format=trajectory.format or format_.name)
    if (why := _misfit(trajectory)) is not None:
        yield Loss(CUT)
        trajectory = replace(trajectory, steps=within_limits(trajectory.steps) or ())
        why = _misfit(trajectory)
    yield Fault(why, found.place) if why else replace(found, trajectory=trajectory)


def _misfit(trajectory: Trajectory) -> str | None:
    """Why this cannot be a line of our own format; None where it can."""
    try:
        line = msgspec.json.encode(trajectory)
        msgspec.json.decode(line, type=Trajectory)
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError) as error:
        return str(error)
    if len(line) > LONGEST_LINE:
        return f"expected at most {LONGEST_LINE:,} bytes in a trajectory"
    many = line.count(b"[") + line.count(b"{") > MAX_DEPTH
    return TOO_DEEP if many and is_deeper(msgspec.json.decode(line), MAX_DEPTH) else None


class _Gathering:
    """What was found so far."""

    def __init__(self, redaction: Redaction) -> None:
        self.redaction = redaction
        self.removed: Counter[str] = Counter()
        self.live: list[Problem] = []
        self.trajectories: list[Line[Trajectory]] = []
        self.labels: list[Line[Label]] = []
        self.problems: list[Problem] = []
        self.losses: Counter[tuple[str, str]] = Counter()

    def take(self, file: StoredFile, format_: Format) -> None:
        parts = (file.path, *_beside(file.path, format_))
        with file.open() as stream:
            by_line = format_ is native.FORMAT and has_own_lines(stream)
        for item in items_of(file, format_, self.redaction):
            match item:
                case Taken(removed, place):
                    self.removed.update(removed.counts)
                    self.live += [live_key(kind, file.path, place) for kind in removed.live]
                case Loss(what, count):
                    self.losses[format_.name, what] += count
                case Fault():
                    self.problems.append(problem_of(item, file.path))
                case Found(trajectory, labels, place):
                    where = (file.path, place.line, place.within)
                    if trajectory is not None:
                        alone = by_line and place.line is not None
                        self.trajectories.append(Line(*where, trajectory, () if alone else parts))
                    self.labels += [Line(*where, label) for label in labels]


def live_key(kind: str, path: str, place: Place) -> Problem:
    """The complaint of a key that looks alive; it says where, and of which kind, and never which."""
    within = f"{place.within}: " if place.within else ""
    advice = "revoke it where it was issued, and take it out: whoever reads the repository has it"
    return Problem(path, place.line, f"{within}{kind} that looks alive; {advice}")


def problem_of(fault: Fault, path: str) -> Problem:
    """A fault as a warning with its place."""
    within = f"{fault.place.within}: " if fault.place.within else ""
    left_out = "" if fault.kept else LEFT_OUT
    return Problem(path, fault.place.line, f"{left_out}{within}{fault.message}", "warning")
