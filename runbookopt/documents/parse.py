"""Parsing: bytes at the border become typed records, or complaints (the only file that knows PyYAML)."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from runbookopt.documents.schema_errors import Place, SchemaProblem, explain, plain, shown
from runbookopt.errors import RunbookoptError

if TYPE_CHECKING:
    import yaml

T = TypeVar("T")

MAX_BYTES, MAX_DEPTH, MAX_NODES = 1_000_000, 40, 100_000  # else aliases inside aliases grow without end
LONGEST_INT = 24  # characters
TOO_DEEP = f"expected at most {MAX_DEPTH} levels and {MAX_NODES:,} values"


class Problem(Struct, frozen=True, order=True):
    """One complaint about one file; an error keeps the file from being used, a warning does not."""

    path: str
    line: int | None
    message: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        """`path:line: message`, as compilers have it."""
        where = plain(self.path) if self.line is None else f"{plain(self.path)}:{self.line}"
        return f"{where}: {self.message}"


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Problems by file, line and message."""
    return tuple(sorted(problems, key=lambda problem: (problem.path, problem.line or 0, problem.message)))


class MalformedFile(RunbookoptError):
    """A file that cannot be read as what it should be; `problems` holds all that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = in_order(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def whole(data: bytes, path: str) -> bytes:
    """The bytes of a file. Raises MalformedFile where they are a pointer of Git LFS, and not the file."""
    if not data.startswith(b"version https://git-lfs.github.com/spec/v1\n"):
        return data
    why = "git holds only a pointer to it, the file itself is in Git LFS; keep it in git:"
    raise MalformedFile([Problem(path, None, f"{why} git lfs migrate export --include={plain(path)}")])


def read_yaml(data: bytes, type_: type[T], path: str, *, hints: Mapping[str, str] | None = None) -> T:
    """Read one of our YAML files as a record; an empty file is an empty mapping.

    `hints` explain keys that are unknown here. Raises MalformedFile with all problems, each with its line.
    """
    file = _Yaml(data, path)
    value = {} if file.value is None else file.value
    faults = list(file.faults)
    try:
        record = msgspec.convert(value, type_)
    except msgspec.ValidationError as refusal:
        places = {fault.place for fault in faults}
        faults += [f for f in _against(value, type_, hints or {}, refusal) if f.place not in places]
    if faults:
        raise _malformed(faults, path, file.lines)
    return record


def read_plain_yaml(data: bytes, path: str) -> Any:  # noqa: ANN401 - YAML that is not ours has any shape
    """YAML without a schema of ours as JSON values, plain scalars as in YAML 1.2; raises MalformedFile."""
    file = _Yaml(data, path)
    if file.faults:
        raise _malformed(file.faults, path, file.lines)
    return file.value


def read_json(data: bytes, type_: type[T], *, path: str, line: int) -> T:
    """Read one line of a JSONL file as a record; raises MalformedFile with every problem of the line."""
    if (key := repeated_key(data)) is not None:
        raise MalformedFile([Problem(path, line, f"key {shown(key)} is there twice")])
    try:
        record = msgspec.json.decode(data, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as refusal:
        faults = _against(_plain_json(data, path, line), type_, {}, refusal)
        raise _malformed(faults, path, {(): line}) from None
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _plain_json(data, path, line)
    return record


def repeated_key(text: str | bytes) -> str | None:
    """A key that one mapping of a JSON text has twice, if any: readers differ in which of them counts.

    None too for what is no JSON.
    """
    colons = text.count(":") if isinstance(text, str) else text.count(b":")
    if colons < 2:  # noqa: PLR2004 - it takes two keys to have one twice
        return None
    found: list[str] = []

    def counted(pairs: list[tuple[str, object]]) -> None:
        keys = [key for key, _ in pairs]
        if len(keys) != len(set(keys)):
            found.append(next(key for key in keys if keys.count(key) > 1))

    try:
        json.loads(text, object_pairs_hook=counted, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None
    return found[0] if found else None


def _against(value: object, type_: type, hints: Mapping[str, str], refusal: Exception) -> list[SchemaProblem]:
    """All faults; where the schema has nothing to say, what msgspec said."""
    return explain(value, type_, hints) or [SchemaProblem((), str(refusal))]


def _malformed(faults: Sequence[SchemaProblem], path: str, lines: Mapping[Place, int]) -> MalformedFile:
    """Name for each fault the line of its place, or of the nearest place around it."""
    problems: dict[Problem, None] = {}
    for fault in faults:
        at = fault.place if fault.line_of is None else fault.line_of
        while at not in lines:
            at = at[:-1]
        problems[Problem(path, lines[at], fault.words)] = None
    return MalformedFile(list(problems))


def _plain_json(data: bytes, path: str, line: int) -> Any:  # noqa: ANN401 - JSON has any shape
    try:
        value = msgspec.json.decode(data)
    except RecursionError:
        raise MalformedFile([Problem(path, line, TOO_DEEP)]) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        raise MalformedFile([Problem(path, line, f"expected one JSON object: {reason}")]) from None
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        lists = (x.values() if isinstance(x, dict) else x for x in level if isinstance(x, dict | list))
        level = [child for children in lists for child in children]
    if level:
        raise MalformedFile([Problem(path, line, TOO_DEEP)])
    return value


class _Yaml:
    """One YAML file on its way to JSON values: the line of each place, and what is wrong so far."""

    def __init__(self, data: bytes, path: str) -> None:
        self.lines: dict[Place, int] = {(): 1}
        self.faults: list[SchemaProblem] = []
        node = compose(_decoded(data, path), path)
        self.value: Any = None if node is None else self._value(node, ())

    def _value(self, node: "yaml.Node", place: Place) -> Any:  # noqa: ANN401 - YAML has any shape
        import yaml

        self.lines.setdefault(place, node.start_mark.line + 1)
        if len(place) > MAX_DEPTH or len(self.lines) > MAX_NODES:
            if not any(fault.message == TOO_DEEP for fault in self.faults):
                self.faults.append(SchemaProblem(place[:1], TOO_DEEP))
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*place, index)) for index, item in enumerate(node.value)]
        try:
            return _scalar(node.tag.removeprefix(_TAG), node.value)
        except ValueError as error:
            self.faults.append(SchemaProblem(place, str(error)))
            return None

    def _mapping(self, node: "yaml.Node", place: Place) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key, value in node.value:
            if len(self.lines) > MAX_NODES:
                break
            name = key.value if key.id == "scalar" else None
            line = key.start_mark.line + 1
            if not isinstance(name, str) or not encodable(name):
                self.faults.append(SchemaProblem(place, f"expected text as the key in line {line}"))
            elif name in mapping:
                message = f"key {shown(name)} is there twice, first in line {self.lines[*place, name]}"
                self.lines[*place, name, ""] = line
                self.faults.append(SchemaProblem(place, message, line_of=(*place, name, "")))
            else:
                self.lines[*place, name] = line
                mapping[name] = self._value(value, (*place, name))
        return mapping


def _scalar(tag: str, text: str) -> str | float | bool | None:
    if tag in _CORE and not _CORE[tag].match(text):
        raise ValueError(f"expected {tag}, got {shown(text)}")
    match tag:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int" | "float":
            return _number(tag, text)
        case "str" if encodable(text):
            return text
        case "str":
            raise ValueError("expected text of whole Unicode characters")
        case _:
            raise ValueError(f"expected no tag, got {shown(tag)}")


def _number(tag: str, text: str) -> float:
    if tag == "float":
        number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if not math.isfinite(number):
            raise ValueError(f"expected a finite number, got {shown(text)}")
        return number
    whole = int(text, 0 if text[:2] in {"0o", "0x"} else 10) if len(text) <= LONGEST_INT else 2**64
    if not -(2**63) <= whole < 2**63:
        raise ValueError(f"expected a number of at most 64 bits, got {shown(text)}")
    return whole


def encodable(text: str) -> bool:
    """Tell whether a text is Unicode; Python has half characters for bytes that are not."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _decoded(data: bytes, path: str) -> str:
    if len(data) > MAX_BYTES:
        raise MalformedFile([Problem(path, None, f"expected at most {MAX_BYTES:,} bytes, got {len(data):,}")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise MalformedFile([Problem(path, line, "expected UTF-8 text")]) from None


def compose(text: str, path: str) -> "yaml.Node | None":
    """The nodes of a YAML text with their places; None where it is empty. Raises MalformedFile."""
    import yaml

    try:
        return yaml.compose(text, _core_loader())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, reason = mark.line + 1 if mark else None, error.problem or str(error)
        if reason.endswith("got '?'"):  # as in {judge: Is it so?}, which PyYAML takes for a key
            reason += "; put text with a question mark in quotes"
    except yaml.reader.ReaderError as error:
        line, reason = text[: error.position].count("\n") + 1, "unprintable character"
    except RecursionError:
        line, reason = None, TOO_DEEP
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # an escape beyond Unicode
        line, reason = None, str(error)
    raise MalformedFile([Problem(path, line, f"not YAML: {plain(reason)}")])


_TAG = "tag:yaml.org,2002:"
_CORE = {
    "null": re.compile(r"(?:null|Null|NULL|~|)\Z"),
    "bool": re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"),
    "int": re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"),
    "float": re.compile(
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
    ),
}


@cache
def _core_loader() -> "type[yaml.SafeLoader]":
    """A loader for plain scalars as YAML 1.2 has them: `no`, `12:30` and dates are text."""
    import yaml

    loader: type[yaml.SafeLoader] = type("CoreLoader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": {}})
    for tag, pattern in _CORE.items():
        loader.add_implicit_resolver(_TAG + tag, pattern, None)
    return loader
