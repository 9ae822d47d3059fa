"""Our own format: one trajectory or one label a line, or a JSON list of them. Pure."""

from collections.abc import Iterator
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct
from msgspec.inspect import StructType, Type, UnionType, VarTupleType, type_info

from runbookopt.documents.digest import as_text
from runbookopt.documents.parse import MalformedFile, Problem, read_json, repeated_key
from runbookopt.evidence.formats.reader import Contents, Fault, Format, Found, Item, Place, Sample
from runbookopt.evidence.trajectory import Label, Trajectory

T = TypeVar("T")

LONGEST_LINE = 8_000_000  # bytes of a record; a longer one is none

_UNKNOWN = "unknown key"


class Line(Struct, Generic[T], frozen=True):
    """A record, its file, and its line from 1, or words for where it stands in a file without lines.

    `parts` are the files and folders that all of it stands in; none where its line alone says it.
    """

    path: str
    number: int | None
    within: str
    record: T
    parts: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """As in `path:line`, or `path (record 3)`."""
        return Place(self.number, self.within).of(self.path)

    def problem(self, message: str, severity: Literal["error", "warning"] = "error") -> Problem:
        """A complaint about it."""
        return Problem(self.path, self.number, message, severity)


def read(contents: Contents) -> Iterator[Item]:
    """Trajectories and labels in the order of the file; unknown keys are told once each, with the first."""
    strange: dict[str, list[Place]] = {}
    for data, place in contents.raw:
        try:
            record, unknown = _record(data)
        except MalformedFile as error:
            yield from (Fault(problem.message, place) for problem in error.problems)
            continue
        for message in unknown:
            strange.setdefault(message, []).append(place)
        if isinstance(record, Label):
            yield Found(None, (record,), place)
        else:
            yield Found(record, (), place)
    for message, places in strange.items():
        many = f" in {len(places)} records" if len(places) > 1 else ""
        yield Fault(f"{message}, ignored{many}", places[0], kept=True)


def _recognizes(sample: Sample) -> int:
    return sum(_is_label(value) or isinstance(value.get("task"), dict) for value in sample.mappings())


FORMAT = Format(name="runbookopt", title="our own trajectories", recognizes=_recognizes, read=read)


def _is_label(value: object) -> bool:
    return isinstance(value, dict) and "task" not in value and {"trajectory", "criterion"} <= value.keys()


def _record(data: bytes) -> tuple[Trajectory | Label, list[str]]:
    """A record, read again without the keys that nobody knows, and the complaints of those."""
    if len(data) > LONGEST_LINE:
        raise MalformedFile([Problem("", None, f"expected at most {LONGEST_LINE:,} bytes in a record")])
    value = _plain(data)
    given = value.keys() if isinstance(value, dict) else set[str]()
    # most of what a label needs, and nothing that a trajectory needs: a key is misspelt
    is_meant = not {"task", "id"} & given and len({"trajectory", "criterion", "result"} & given) > 1
    type_: type[Trajectory | Label] = Label if _is_label(value) or is_meant else Trajectory
    if isinstance(value, dict) and _normalize(value) and repeated_key(data) is None:
        data = msgspec.json.encode(value)
    try:
        return read_json(data, type_, path="", line=0), []
    except MalformedFile as error:
        if not all(_UNKNOWN in problem.message for problem in error.problems):
            raise
        try:
            known = msgspec.convert(_known(value, type_info(type_)), type_)
        except msgspec.ValidationError:
            raise error from None
        return known, [problem.message for problem in error.problems]


def _plain(data: bytes) -> Any:  # noqa: ANN401 - JSON has any shape
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None  # what is wrong with it is said where it is read as a record


def _normalize(value: dict[str, Any]) -> bool:
    """Turn numbers as ids, and outputs that are JSON, into text; whether there was any."""
    changed = False
    for key in ("id", "trajectory"):
        if isinstance(value.get(key), int) and not isinstance(value[key], bool):
            value[key], changed = str(value[key]), True
    if not isinstance(value.get("output"), str | None):
        value["output"], changed = as_text(value["output"]), True
    return changed


def _known(value: Any, kind: Type) -> Any:  # noqa: ANN401 - JSON has any shape
    """The value without the keys that its type does not have."""
    match kind:
        case StructType() if isinstance(value, dict):
            fields = {field.encode_name: field.type for field in kind.fields}
            return {key: _known(inner, fields[key]) for key, inner in value.items() if key in fields}
        case UnionType():
            records = [branch for branch in kind.types if isinstance(branch, StructType)]
            return _known(value, records[0]) if records else value
        case VarTupleType() if isinstance(value, list):
            return [_known(item, kind.item_type) for item in value]
        case _:
            return value
