"""Blocks of Markdown lines: what has to stay together where lines of several edits are put together (pure).

A scanner of its own, not the parser of `documents.markdown`: what an edit inserts is a piece of a text, whose
lines may begin within a list or a block of code.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache

from msgspec import Struct

_FENCE = re.compile(r"[ \t>]*(`{3,}(?=[^`]*$)|~{3,})[ \t]*([^\r\n]*)")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]|\r?\n|$)")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])(?:[ \t]+|\r?\n|$)")
_RULE = re.compile(r"[ \t]*(?:[-*_][ \t]*){3,}\r?$")
_STEP = re.compile(r"[ \t]*\d{1,9}[.)][ \t]")
_LABEL = re.compile(r"[ \t>]*[*_`]*(\w[\w '/-]{0,30})[*_`]*:[*_`]*(?:\s|$)")
_DELIMITERS = re.compile(r"[ \t]*\|?(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*:?-*:?[ \t]*\r?\n?$")
_CODE_SPAN = re.compile(r"(`+)[^`]+\1")
_EDGES = ".,;:!?\"'()*_\u2018\u2019\u201c\u201d\u2026"


TELLING = 5  # words of what is the same thing wherever it stands


class Block(Struct, frozen=True):
    """Lines that belong together, with the blank ones behind them; `code`: they are compared as they are.

    `alone`: it means the same whatever is beside it, as an item of a list does, and a paragraph need not.
    """

    lines: tuple[str, ...]
    code: bool = False
    alone: bool = False

    @property
    def meaning(self) -> str:
        """What it says; see `meaning`. Code says what it is, character by character."""
        text = "".join(self.lines)
        return text.rstrip() if self.code else meaning(text)


@lru_cache(maxsize=16384)  # each earlier edit that a prompt tells of is looked for in all lines of the text
def meaning(text: str) -> str:
    """What two texts have in common that say the same but for case, punctuation, spacing and a marker."""
    words = _ITEM.sub("", text, count=1).split()
    return " ".join(
        word if _CODE_SPAN.search(word) else word.strip(_EDGES).casefold() or word for word in words
    )


def tells(meaning: str) -> bool:
    """Whether something is long enough to be the same thing wherever it stands."""
    return len(meaning.split()) >= TELLING


def is_blank(line: str) -> bool:
    """Whether a line holds white space alone."""
    return not line.strip()


def opens(line: str) -> bool:
    """Whether a line begins a block whatever stands before it, outside code."""
    return bool(_ITEM.match(line) or _HEADING.match(line) or _FENCE.match(line) or _RULE.match(line))


def is_item(line: str) -> bool:
    """Whether a line begins an item of a list."""
    return bool(_ITEM.match(line))


def is_row(line: str) -> bool:
    """Whether a line begins a row of a table."""
    return line.lstrip().startswith("|")


def indentation(line: str) -> int:
    """How far in a line stands; a tab counts as four."""
    return len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())


def in_code(lines: Sequence[str]) -> list[bool]:
    """For each line whether it is of a fenced block of code, its fences included."""
    states: list[bool] = []
    while len(states) < len(lines):
        at = len(states)
        states += [True] * (_end_of_code(lines, at) - at) or [False]
    return states


def within_code(lines: Sequence[str]) -> list[bool]:
    """For each line whether a block of code has begun before it, and goes on or ends with it."""
    states: list[bool] = []
    while len(states) < len(lines):
        at = len(states)
        states += [False, *[True] * (_end_of_code(lines, at) - at - 1)]
    return states


def blocks(lines: Sequence[str]) -> Iterator[Block]:
    """Divide lines, the first of them not blank, into blocks."""
    at = 0
    while at < len(lines):
        stop = _past_blanks(lines, _end(lines, at))
        labels = {_label(lines[at])}
        while stop < len(lines) and _goes_on(lines, at, stop, labels):
            labels.add(_label(lines[stop]))
            stop = _past_blanks(lines, _end(lines, stop))
        alone = is_item(lines[at]) or _label(lines[at]) or _HEADING.match(lines[at]) or is_row(lines[at])
        yield Block(tuple(lines[at:stop]), any(map(_FENCE.match, lines[at:stop])), bool(alone))
        at = stop


def _goes_on(lines: Sequence[str], at: int, stop: int, labels: Collection[str]) -> bool:
    """Whether what begins at `stop` is of the block before: behind a colon, a next step, a next field."""
    if "".join(lines[at:stop]).rstrip().endswith(":"):
        return True
    if _STEP.match(lines[at]) and _STEP.match(lines[stop]):
        return indentation(lines[at]) == indentation(lines[stop])
    return _label(lines[at]) != "" and _label(lines[stop]) not in {*labels, ""}


def _label(line: str) -> str:
    """The name in front of a line that is a field of a record; empty where there is none."""
    match = _LABEL.match(_ITEM.sub("", line, count=1))
    return match[1].casefold() if match else ""


def _end(lines: Sequence[str], at: int) -> int:
    """Where the block ends that begins at a line which is not blank."""
    line, code = lines[at], _end_of_code(lines, at)
    if code > at:
        return code
    if heading := _HEADING.match(line):
        return _end_of_section(lines, at, len(heading[1]))
    if is_item(line):
        return _end_of_item(lines, at)
    if is_row(line) and not _DELIMITERS.match("".join(lines[at + 1 : at + 2])):
        return at + 1  # for a table that is there
    stop = at + 1
    while stop < len(lines) and not is_blank(lines[stop]):
        stop = max(stop + 1, _end_of_code(lines, stop))
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
