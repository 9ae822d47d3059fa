"""Hidden text: all that a reader of a Markdown file, or of its rendering, cannot see (pure)."""

import re
import unicodedata
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
    runs = {}
    for run in filter(_conceals, _INVISIBLE.finditer(text)):
        characters = run.group()
        name = f"U+{ord(characters[0]):04X} {unicodedata.name(characters[0], 'CONTROL CHARACTER')}"
        more = f" and {len(characters) - 1} more" if len(characters) > 1 else ""
        runs[run.start()] = characters, name + more
    markup = [match for match in _CONCEALED.finditer(text) if not LOCK_MARKER.fullmatch(match.group())]
    if not runs and not markup:
        return ()
    blocks = outline(text)
    for match in markup:
        if blocks.line_at(match.start()) not in blocks.code:
            runs[match.start()] = match.group(), f"hidden markup {shown(match.group())}"
    return tuple(
        Hidden(characters, f"{description} at line {blocks.line_at(start) + 1}")
        for start, (characters, description) in sorted(runs.items())
    )


def visible(text: str) -> str:
    """Write out what a reader would not see: `<U+202E>` for the character, and half characters too.

    Line endings become those of Unix; a carriage return elsewhere is written out.
    """

    def written_out(run: re.Match[str]) -> str:
        shows = run.re is _INVISIBLE and not _conceals(run)
        return run.group() if shows else "".join(f"<U+{ord(character):04X}>" for character in run.group())

    text = _HALF.sub(written_out, text.replace("\r\n", "\n"))
    return _INVISIBLE.sub(written_out, text).replace("\r", "<U+000D>")


def _conceals(run: re.Match[str]) -> bool:
    """All but the byte order mark, and what emoji and scripts are written with."""
    start, end = run.span()
    marks_bytes = start == 0 and run.group() == BOM
    return not (marks_bytes or _joins(run.group(), run.string[start - 1 : start], run.string[end : end + 1]))


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
