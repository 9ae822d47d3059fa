"""JSON values of a stored file, whatever way they stand in it: lines, a list, pretty-printed. Pure."""

import codecs
import io
import json
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from runbookopt.documents.parse import MAX_DEPTH
from runbookopt.evidence.formats.reader import Place, Shape
from runbookopt.evidence.unpack import LARGEST_DOCUMENT, Unreadable, at_most, is_packed

LONGEST_LINE = 64_000_000
"""Bytes of a line; a longer one is no record."""

DEEPEST = 2 * MAX_DEPTH
"""Levels of a JSON value of any format; what readers take out of it is less deep."""

LOOKED_AT = 20
"""Lines, or values, by which it is told what a file is."""

_OPENS = (b"{", b"[")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class NoValue(ValueError):
    """Bytes that are no JSON value that we read; its words say why."""


class Values(Struct):
    """How JSON values stand in a file, and their bytes with their places; malformed ones among them."""

    shape: Shape
    raw: Iterator[tuple[bytes, Place]]


def split_values(stream: io.BufferedReader) -> Values | None:
    """The values of a file in one pass, lines without holding them all; None where it holds no JSON.

    Raises Unreadable, now or while they are taken.
    """
    lines = _lines(_utf8(stream))
    head = list(islice(lines, LOOKED_AT))
    if not any(line.lstrip().startswith(_OPENS) for line, _ in head):
        return None
    if not _is_json(head[0][0]):
        if (documents := _documents(head, lines)) is not None:
            return documents
    elif len(head) == 1:
        return _one(*head[0])
    return Values("lines", chain(head, lines))


def has_own_lines(stream: BinaryIO) -> bool:
    """Whether the lines that are read of a file are those that stand in it, as git counts them."""
    head = stream.read(4)
    stream.seek(0)
    return not is_packed(head) and not head.startswith(_UTF16)


def decoded(data: bytes) -> Any:  # noqa: ANN401 - JSON has any shape
    """The value of JSON bytes; NaN and Infinity, which some programs write, are null. Raises NoValue."""
    if len(data) > LONGEST_LINE and b"\n" not in data:
        raise NoValue(f"expected at most {LONGEST_LINE:,} bytes in a line")
    try:
        value = msgspec.json.decode(data)
    except RecursionError:
        raise NoValue(f"expected at most {DEEPEST} levels") from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        value = _lenient(data, str(error).removeprefix("JSON is malformed: "))
    if data.count(b"[") + data.count(b"{") > DEEPEST and is_deeper(value, DEEPEST):
        raise NoValue(f"expected at most {DEEPEST} levels")
    return value


def is_deeper(value: Any, levels: int) -> bool:  # noqa: ANN401 - JSON has any shape
    """Whether a JSON value has more levels of lists and mappings than that."""
    level = [value]
    for _ in range(levels + 1):
        lists = (x.values() if isinstance(x, dict) else x for x in level if isinstance(x, dict | list))
        level = [child for children in lists for child in children]
    return bool(level)


def _lenient(data: bytes, reason: str) -> Any:  # noqa: ANN401 - JSON has any shape
    if b"NaN" not in data and b"Infinity" not in data:
        raise NoValue(f"expected JSON: {reason}")
    try:
        value = json.loads(data, parse_constant=lambda _: None)
        msgspec.json.encode(value)  # not so where half a surrogate pair stands in it
    except (ValueError, RecursionError, msgspec.MsgspecError):
        raise NoValue(f"expected JSON: {reason}") from None
    return value


def _is_json(line: bytes) -> bool:
    try:
        decoded(line)
    except NoValue:
        return False
    return True


def _utf8(stream: io.BufferedReader) -> io.BufferedReader:
    """The stream without a byte order mark, and as UTF-8: PowerShell writes UTF-16."""
    head = stream.peek(4)[:4]
    if head.startswith(codecs.BOM_UTF8):
        stream.read(len(codecs.BOM_UTF8))
    elif head.startswith(_UTF16):
        try:
            text = at_most(stream, LARGEST_DOCUMENT).decode("utf-16")
        except UnicodeDecodeError as error:
            raise Unreadable(f"expected UTF-8, or whole UTF-16: {error.reason}") from error
        return io.BufferedReader(io.BytesIO(text.encode(errors="replace")))
    return stream


def _lines(stream: io.BufferedReader) -> Iterator[tuple[bytes, Place]]:
    """The lines that are not blank with their numbers; of one that is too long, enough to tell."""
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if line.strip():
            yield line.rstrip(b"\r\n"), Place(line=number)
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)


def _one(data: bytes, place: Place) -> Values:
    """A file with one JSON value: a list of values, or the only one."""
    if not data.lstrip().startswith(b"["):
        return Values("document", iter([(data, place)]))
    try:
        items = [bytes(item) for item in msgspec.json.decode(data, type=list[msgspec.Raw])]
    except (msgspec.MsgspecError, RecursionError):  # NaN in it
        items = [json.dumps(item).encode() for item in decoded(data)]
    return Values("list", ((item, Place(within=f"record {n}")) for n, item in enumerate(items, 1)))


def _documents(head: list[tuple[bytes, Place]], lines: Iterator[tuple[bytes, Place]]) -> Values | None:
    """JSON values over several lines each; None where the first line is no part of one.

    What was read of the lines is put back into the head.
    """
    size = sum(len(line) for line, _ in head)
    for line, place in lines:
        head.append((line, place))
        size += len(line) + 1
        if size > LARGEST_DOCUMENT:
            raise Unreadable(f"expected at most {LARGEST_DOCUMENT:,} bytes in one document: use JSON Lines")
    data = b"\n".join(line for line, _ in head)
    if _is_json(data):
        return _one(data, Place())
    documents = list(_sequence(data.decode(errors="replace")))
    if len(documents) < 2 or b"\n" not in documents[0]:  # noqa: PLR2004 - one would have been read above
        return None
    return Values("list", ((text, Place(within=f"record {n}")) for n, text in enumerate(documents, 1)))


def _sequence(text: str) -> Iterator[bytes]:
    """JSON values one after the other, as `jq` prints them; in the end what is none."""
    decoder, start = json.JSONDecoder(), 0
    while start < len(text):
        try:
            _, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = len(text)
        if piece := text[start:end].strip():
            yield piece.encode()
        start = end
        while start < len(text) and text[start].isspace():
            start += 1
