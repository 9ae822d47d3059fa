"""What a reader of a Markdown file, or of its rendering, cannot see (pure)."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

from runbookopt.documents.markdown import BOM, outline
from runbookopt.documents.schema_errors import shown

LOCK_MARKER = re.compile(r"<!--[ \t]*runbookopt:[ \t]*(lock|unlock)[ \t]*-->", re.IGNORECASE)
"""The one comment that may stand in a runbook."""

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
"""Control characters but for tab and line endings, bidirectional ones, and what Unicode lets be ignored."""

_HALF = re.compile("[\ud800-\udfff]")

_CONCEALED = re.compile(
    r"<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<![a-z][^>]*"
    r"|^[ \t>]*\[[^\]\r\n]+\]:[ \t]*(?:#|<>|/)(?:[ \t][^\r\n]*)?$"
    r"|<[a-z][^<>]{0,300}?[\s;\"'](?:hidden\b|display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0)",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
"""Comments, link definitions that lead nowhere, and elements that are not shown."""


class Hidden(Struct, frozen=True):
    """One run of characters or piece of markup, as it stands in the text, and where: described for people."""

    text: str
    description: str


@lru_cache(maxsize=16)  # a search looks at the same few texts again and again
def hidden(text: str) -> tuple[Hidden, ...]:
    """Find all that is hidden, in order; markup within code blocks is not, for there it is shown."""
    found = {run.start(): (run.group(), _characters(run.group())) for run in _invisible(text)}
    markup = [match for match in _CONCEALED.finditer(text) if not LOCK_MARKER.fullmatch(match.group())]
    if not found and not markup:
        return ()
    read = outline(text)
    for match in markup:
        if read.line_at(match.start()) not in read.code:
            found[match.start()] = match.group(), f"hidden markup {shown(match.group())}"
    return tuple(
        Hidden(what, f"{description} at line {read.line_at(start) + 1}")
        for start, (what, description) in sorted(found.items())
    )


def visible(text: str) -> str:
    """Write out what a reader would not see: `<U+202E>` for the character, and half characters too.

    Line endings become those of Unix; a carriage return elsewhere is written out.
    """
    text = _HALF.sub(_written_out, text.replace("\r\n", "\n"))
    pieces, done = [], 0
    for run in _invisible(text):
        pieces += [text[done : run.start()], _written_out(run)]
        done = run.end()
    return "".join([*pieces, text[done:]]).replace("\r", "<U+000D>")


def _written_out(run: re.Match[str]) -> str:
    return "".join(f"<U+{ord(character):04X}>" for character in run.group())


def _invisible(text: str) -> Iterator[re.Match[str]]:
    for run in _INVISIBLE.finditer(text):
        start, end = run.span()
        marks_bytes = start == 0 and run.group() == BOM
        if not (marks_bytes or _joins(run.group(), text[start - 1 : start], text[end : end + 1])):
            yield run


def _joins(run: str, before: str, after: str) -> bool:
    """Tell whether a run is what emoji (variation selector, joiner) or a script (joiner) is written with."""
    if not before:
        return False
    kind, next_kind = unicodedata.category(before), unicodedata.category(after or " ")
    if run == "\ufe0f":
        return kind in {"So", "Sm", "Sk"} or before in "0123456789#*\u203c\u2049"
    if run in {"\u200d", "\ufe0f\u200d"} and kind in {"So", "Sk"}:
        return next_kind in {"So", "Sm", "Sk"}
    letters = {"Lo", "Mn", "Mc"}
    return run in {"\u200c", "\u200d"} and kind in letters and next_kind in letters


def _characters(run: str) -> str:
    named = f"U+{ord(run[0]):04X} {unicodedata.name(run[0], 'CONTROL CHARACTER')}"
    return named if len(run) == 1 else f"{named} and {len(run) - 1} more"
