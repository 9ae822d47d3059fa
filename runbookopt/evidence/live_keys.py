"""Keys that look alive in stored files as they lie there: also in what of them no reader keeps, or reads."""

import io
from collections.abc import Collection, Iterable, Iterator
from typing import BinaryIO

from runbookopt.documents.parse import Problem
from runbookopt.documents.redaction import secrets_in
from runbookopt.evidence.covered import Files
from runbookopt.evidence.formats.reader import Place
from runbookopt.evidence.privacy import SECRETS_ALONE, is_live
from runbookopt.evidence.reading import live_key, stored
from runbookopt.evidence.unpack import Archive, Unreadable, is_archive, unpacked

_LONGEST = 1 << 24
"""Bytes of a line that are looked at together."""


def live_keys(source: Files, paths: Iterable[str], known: Collection[Problem]) -> Iterator[Problem]:
    """A complaint for each kind in each of these files, but for those that are `known` already.

    Files are looked at as bytes, a line at a time; what cannot be unpacked is for their readers to tell.
    """
    for path in paths:
        told = {each.message for each in known if each.path == path}
        for kind, place in _places(source, path):
            if not any(f"{kind} that looks alive" in each for each in told):
                problem = live_key(kind, path, place)
                told.add(problem.message)
                yield problem


def _places(source: Files, path: str) -> Iterator[tuple[str, Place]]:
    try:
        with stored(source, path).open() as stream:
            if not is_archive(stream):
                yield from _in_lines(unpacked(stream), "")
                return
            archive = Archive(stream)
            for name in sorted(archive.names):
                yield from _in_lines(io.BytesIO(archive.read(name) or b""), SECRETS_ALONE.text(name))
    except Unreadable:
        return


def _in_lines(stream: BinaryIO | io.BufferedReader, within: str) -> Iterator[tuple[str, Place]]:
    number = 1
    for line in iter(lambda: stream.readline(_LONGEST), b""):
        for kind, secret, _ in secrets_in(line.decode(errors="replace")):
            if is_live(secret):
                yield kind, Place(number, within)
        number += line.endswith(b"\n")
