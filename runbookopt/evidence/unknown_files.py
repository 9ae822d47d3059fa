"""What a file looks like that no reader knows, in words that say what to do with it. Pure."""

from collections.abc import Sequence

from runbookopt.documents.schema_errors import plain
from runbookopt.evidence.formats.reader import Sample

_MOST_KEYS = 8

_BEGINS = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer: `git lfs pull` brings the file itself"),
    (b"PAR1", "Parquet: export it as JSON Lines"),
    (b"ARROW1", "Arrow: export it as JSON Lines"),
    (b"SQLite format 3\0", "an SQLite database: export its rows as JSON Lines"),
    (b"Obj\x01", "Avro: export it as JSON Lines"),
    (b"%PDF-", "a PDF"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BZh", "bzip2: unpack it, or use gzip"),
    (b"\xfd7zXZ\0", "xz: unpack it, or use gzip"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"<?xml", "XML"),
    (b"<!DOCTYPE html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"\x80", "a Python pickle, which is never opened"),
)


def look_of(head: bytes) -> str:
    """What a file without JSON looks like by its first bytes."""
    for beginning, words in _BEGINS:
        if head.startswith(beginning):
            return words
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it"
    text = head.decode("utf-8-sig", errors="replace")
    if not text.strip():
        return "an empty file"
    strange = text.count("\ufffd") + text.count("\0")
    return "no text" if 20 * strange > len(text) else _look_of_lines(text.splitlines())


def look_of_json(sample: Sample) -> str:
    """What JSON looks like that no format is recognized in: its keys, and how to import it all the same."""
    if sample.shape == "archive":
        return "a ZIP archive: unpack it"
    keys = dict.fromkeys(key for value in sample.mappings() for key in value)
    if not keys:
        return "JSON without one object"
    named = ", ".join(plain(key)[:40] for key in list(keys)[:_MOST_KEYS])
    more = ", ..." if len(keys) > _MOST_KEYS else ""
    return f"JSON of no known format, with the keys {named}{more} (see `trajectories import --map`)"


def _look_of_lines(lines: Sequence[str]) -> str:
    for mark, name in ((",", "CSV"), ("\t", "a table with tabs"), (";", "CSV with semicolons")):
        counts = {line.count(mark) for line in lines[:-1] or lines}
        if len(lines) > 1 and len(counts) == 1 and counts != {0}:
            return f"{name}: export it as JSON Lines"
    if lines and lines[0].startswith("---"):
        return "YAML, or text with YAML in front"
    return "plain text"
