"""Blocks of Markdown lines: what has to stay together where lines of several edits are put together (pure).

A scanner of its own, not the parser of `documents.markdown`: what an edit inserts is a piece of a text, whose
lines may begin within a list or a block of code.
"""

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

_FENCE = re.compile(r"[ \t>]*(`{3,}(?=[^`]*$)|~{3,})[ \t]*([^\r\n]*)")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]|\r?\n|$)")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])(?:[ \t]+|\r?\n|$)")
_OPENS = re.compile(r"[ \t]*(?:>|<[!/a-zA-Z]|(?:[-*_][ \t]*){3,}\r?$)")
_DELIMITERS = re.compile(r"[ \t]*\|?(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*:?-*:?[ \t]*\r?\n?$")
_CODE_SPAN = re.compile(r"(`+)[^`]+\1")
_EDGES = ".,;:!?\"'()*_\u2018\u2019\u201c\u201d\u2026"


TELLING = 5  # words of a block that is the same thing wherever it stands


class Block(Struct, frozen=True):
    """Lines that belong together, with the blank ones behind them; `code`: they are compared as they are."""

    lines: tuple[str, ...]
    code: bool = False

    @property
    def meaning(self) -> str:
        """What two blocks have in common that say the same but for case, punctuation, spacing and markers."""
        text = "".join(self.lines).rstrip()
        if self.code:
            return text
        words = _ITEM.sub("", text, count=1).split()
        return " ".join(
            word if _CODE_SPAN.search(word) else word.strip(_EDGES).casefold() or word for word in words
        )

    @property
    def tells(self) -> bool:
        """Whether it is long enough to be the same thing wherever it stands."""
        return len(self.meaning.split()) >= TELLING


def is_blank(line: str) -> bool:
    """Whether a line holds white space alone."""
    return not line.strip()


def opens(line: str) -> bool:
    """Whether a line begins a block whatever stands before it, outside code."""
    return bool(_ITEM.match(line) or _HEADING.match(line) or _FENCE.match(line) or _OPENS.match(line))


def is_item(line: str) -> bool:
    """Whether a line begins an item of a list."""
    return bool(_ITEM.match(line))


def indentation(line: str) -> int:
    """How far in a line stands; a tab counts as four."""
    return len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())


def in_code(lines: Sequence[str]) -> list[bool]:
    """For each line whether it is of a fenced block of code, its fences included."""
    states: list[bool] = []
    while len(states) < len(lines):
        at = len(states)
        stop = _end_of_code(lines, at)
        states += [True] * (stop - at) or [False]
    return states


def blocks(lines: Sequence[str]) -> Iterator[Block]:
    """Divide lines, the first of them not blank, into blocks; one that ends in a colon has the next too."""
    at = 0
    while at < len(lines):
        stop = _past_blanks(lines, _end(lines, at))
        while stop < len(lines) and "".join(lines[at:stop]).rstrip().endswith(":"):
            stop = _past_blanks(lines, _end(lines, stop))
        yield Block(tuple(lines[at:stop]), code=any(map(_FENCE.match, lines[at:stop])))
        at = stop


def _end(lines: Sequence[str], at: int) -> int:
    """Where the block ends that begins at a line which is not blank."""
    line, code = lines[at], _end_of_code(lines, at)
    if code > at:
        return code
    if heading := _HEADING.match(line):
        return _end_of_section(lines, at, len(heading[1]))
    if is_item(line):
        return _end_of_item(lines, at)
    if line.lstrip().startswith("|") and not _DELIMITERS.match("".join(lines[at + 1 : at + 2])):
        return at + 1  # a row for a table that is there
    stop = at + 1
    while stop < len(lines) and not is_blank(lines[stop]) and not opens(lines[stop]):
        stop += 1
    return stop


def _end_of_code(lines: Sequence[str], at: int) -> int:
    """Where the fenced block ends that a line begins; the line itself, where it begins none."""
    fence = _FENCE.match(lines[at])
    if not fence:
        return at
    for place in range(at + 1, len(lines)):
        match = _FENCE.match(lines[place])
        if match and match[1].startswith(fence[1]) and not match[2].strip():
            return place + 1
    return len(lines)


def _end_of_section(lines: Sequence[str], at: int, level: int) -> int:
    stop = at + 1
    while stop < len(lines):
        heading = _HEADING.match(lines[stop])
        if heading and len(heading[1]) <= level:
            break
        stop = max(stop + 1, _end_of_code(lines, stop))
    return stop


def _end_of_item(lines: Sequence[str], at: int) -> int:
    """Where an item ends: what stands further in than its marker is its own, and what goes on its text."""
    stop = at + 1
    while stop < len(lines):
        line = lines[_past_blanks(lines, stop)] if _past_blanks(lines, stop) < len(lines) else ""
        goes_on = not is_blank(lines[stop]) and not opens(line)
        if indentation(line) <= indentation(lines[at]) and not goes_on:
            break
        stop = max(stop + 1, _end_of_code(lines, stop))
    return stop


def _past_blanks(lines: Sequence[str], at: int) -> int:
    while at < len(lines) and is_blank(lines[at]):
        at += 1
    return at
