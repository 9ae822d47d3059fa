"""Contract of a reader: what it is given of a file, and what it gives back. Pure.

A format is one file of this folder with one `FORMAT`. docs/formats.md says how to write one.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct

from runbookopt.documents.schema_errors import plain
from runbookopt.evidence.trajectory import Author, Label, StoredVerdict, Trajectory

Shape = Literal["lines", "list", "document", "archive"]
"""One JSON value a line; one JSON list of values; one other JSON value; a ZIP file of other files."""


class Place(Struct, frozen=True):
    """Where in its file a record stands: its line from 1, or words such as "record 3"; neither: all of it."""

    line: int | None = None
    within: str = ""

    def of(self, path: str) -> str:
        """As in `path:line`, or `path (record 3)`."""
        if self.line is not None:
            return f"{plain(path)}:{self.line}"
        return f"{plain(path)} ({plain(self.within)})" if self.within else plain(path)


class Record(Struct, frozen=True):
    """One JSON value of a file: an item of a list, a line of lines, or the whole document."""

    value: Any
    place: Place


class Sample(Struct, frozen=True):
    """What a format is recognized by: the first values of a file, or the names of what an archive holds.

    The file's own name is no sign of anything, and is not given.
    """

    shape: Shape
    values: tuple[Any, ...] = ()
    names: frozenset[str] = frozenset()

    def mappings(self) -> Iterator[dict[str, Any]]:
        """Those of the values that are JSON objects."""
        return (value for value in self.values if isinstance(value, dict))


class Contents(Struct, frozen=True):
    """A file as a reader gets it.

    `records` come once, in the order of the file; what is no JSON, or too deep, is complained of by others.
    `raw` has the same values as bytes, the malformed among them too: read one of the two. `names` are POSIX
    paths: in an archive of what it holds, else of what is beside and below the file, relative to its folder.
    `read` gives the bytes of one of them, or None where there is none that may be read.
    """

    path: str
    shape: Shape
    records: Iterator[Record]
    raw: Iterator[tuple[bytes, Place]]
    names: Callable[[], frozenset[str]]
    read: Callable[[str], bytes | None]


class Found(Struct, frozen=True):
    """An attempt with what people said of it; `trajectory` is None where labels stand alone."""

    trajectory: Trajectory | None
    labels: tuple[Label, ...] = ()
    place: Place = Place()


class Loss(Struct, frozen=True):
    """A kind of thing that the format holds and a trajectory cannot, in plural words: "token counts"."""

    what: str
    count: int = 1


class Fault(Struct, frozen=True):
    """What is wrong with one record. It is left out, unless it is `kept`."""

    message: str
    place: Place = Place()
    kept: bool = False


Item = Found | Loss | Fault


class Format(Struct, frozen=True):
    """A format of stored trajectories.

    `name` is what `--from` takes, and how ids of its trajectories begin; `title` is how people call one file
    of it. `recognizes` counts the values of a sample that are surely of this format: 0 is "not mine".
    `belongs` are files beside a recognized one, and folders ("agent/"), that are part of it, and are not read
    for themselves.
    """

    name: str
    title: str
    recognizes: Callable[[Sample], int]
    read: Callable[[Contents], Iterator[Item]]
    belongs: tuple[str, ...] = ()


def identity(format_: str, *parts: object) -> str:
    """The id of a trajectory from what identifies it at its source: the same in each delivery."""
    return ":".join([format_, *(str(part) for part in parts)])


def at(value: object, *keys: str | int) -> Any:  # noqa: ANN401 - JSON has any shape
    """What stands in JSON below these keys and indexes; None where there is no such place."""
    for key in keys:
        if isinstance(value, Mapping) and isinstance(key, str):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value):
            value = value[key]
        else:
            return None
    return value


def text_at(value: object, *keys: str | int) -> str | None:
    """The text that stands there; None where none does, or an empty one."""
    inner = at(value, *keys)
    return inner if isinstance(inner, str) and inner else None


def list_at(value: object, *keys: str | int) -> list[Any]:
    """The list that stands there; an empty one where none does."""
    inner = at(value, *keys)
    return inner if isinstance(inner, list) else []


def share(value: object) -> float | None:
    """A score from 0 to 1 as a number; None for anything else. True is 1."""
    if isinstance(value, int | float) and 0 <= value <= 1:
        return float(value)
    return None


def scored(
    criterion: str, score: float, explanation: str | None = None, by: Author | None = None
) -> StoredVerdict:
    """A verdict from a score from 0 to 1: full marks alone are a pass. `by` is None where nobody says who."""
    return StoredVerdict(criterion, "pass" if score == 1 else "fail", score, explanation, by)
