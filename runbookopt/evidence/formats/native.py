"""Our own format: JSON Lines, one trajectory or one label a line."""

from collections.abc import Iterator
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct
from msgspec.inspect import StructType, Type, UnionType, VarTupleType, type_info

from runbookopt.documents.parse import MalformedFile, Problem, read_json
from runbookopt.documents.schema_errors import plain

T = TypeVar("T")

LONGEST_LINE = 8_000_000  # bytes of a line; a longer one is no record

_UNKNOWN = "unknown key"


class Line(Struct, Generic[T], frozen=True):
    """A record, its file, and its line from 1."""

    path: str
    number: int
    record: T

    @property
    def place(self) -> str:
        """As in `path:line`."""
        return f"{plain(self.path)}:{self.number}"

    def problem(self, message: str, severity: Literal["error", "warning"] = "error") -> Problem:
        """A complaint about it."""
        return Problem(self.path, self.number, message, severity)


class Reading(Struct, Generic[T], frozen=True):
    """The good records of a file in their order, and what was wrong or not understood, as warnings."""

    lines: tuple[Line[T], ...]
    warnings: tuple[Problem, ...]


def read_records(type_: type[T], data: bytes, path: str) -> Reading[T]:
    """Read a file of trajectories or labels, bad ones as warnings; raises MalformedFile if none is good."""
    lines: list[Line[T]] = []
    faults: list[Problem] = []
    strange: dict[str, list[int]] = {}
    for number, line in _lines(data):
        try:
            record, unknown = _record(line, type_, path, number)
        except MalformedFile as error:
            faults += error.problems
        else:
            lines.append(Line(path, number, record))
            for message in unknown:
                strange.setdefault(message, []).append(number)
    if not lines:
        raise MalformedFile([_nothing(type_, path, faults)])
    left_out = [Problem(path, fault.line, f"left out: {fault.message}", "warning") for fault in faults]
    for message, at in strange.items():
        ignored = f"{message}, ignored" + (f" in {len(at)} lines" if len(at) > 1 else "")
        left_out.append(Problem(path, at[0], ignored, "warning"))
    return Reading(tuple(lines), tuple(sorted(left_out, key=lambda problem: problem.line or 0)))


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank with their numbers, without copying the whole file."""
    start = len(b"\xef\xbb\xbf") if data.startswith(b"\xef\xbb\xbf") else 0
    number = 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        number += 1
        if end - start > LONGEST_LINE or data[start:end].strip():
            yield number, data[start : min(end, start + LONGEST_LINE + 1)]
        start = end + 1


def _record(line: bytes, type_: type[T], path: str, number: int) -> tuple[T, list[str]]:
    """A line's record, read again without the keys that nobody knows, and the complaints of those."""
    if len(line) > LONGEST_LINE:
        raise MalformedFile([Problem(path, number, f"expected at most {LONGEST_LINE:,} bytes in a line")])
    try:
        return read_json(line, type_, path=path, line=number), []
    except MalformedFile as error:
        if not all(_UNKNOWN in problem.message for problem in error.problems):
            raise
        value = _known(msgspec.json.decode(line), type_info(type_))
        try:
            return msgspec.convert(value, type_), [problem.message for problem in error.problems]
        except msgspec.ValidationError:
            raise error from None


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


def _nothing(type_: type, path: str, faults: list[Problem]) -> Problem:
    what = f"expected one {type_.__name__.lower()} a line as JSON"
    if not faults:
        return Problem(path, None, f"the file is empty: {what}")
    more = f" (and {len(faults) - 1} more like it)" if len(faults) > 1 else ""
    return Problem(path, faults[0].line, f"{what}, and there is none in this file: {faults[0].message}{more}")
