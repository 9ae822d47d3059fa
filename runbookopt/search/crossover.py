"""Crossover: several edits of one text combined, at no model cost.

Lines are merged as git merges them, with three differences: an edit is in the result as a whole or not at
all, blocks of Markdown that edits insert at one place stay whole, and what is said twice is said once.
"""

from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher

from msgspec import Struct

from runbookopt.documents.digest import digest
from runbookopt.search.blocks import (
    Block,
    blocks,
    in_code,
    indentation,
    is_blank,
    is_item,
    is_row,
    opens,
    tells,
    within_code,
)


class Rewrite(Struct, frozen=True):
    """A full new text made from the common base, and how many failures it was made from."""

    text: str
    failures: int


class Crossed(Struct, frozen=True):
    """Text that several edits make together; `lost` are the places of those that are not in it."""

    text: str
    lost: tuple[int, ...] = ()


class _Hunk(Struct, frozen=True):
    """Lines `start` to `stop` of the base (counted from 0, stop exclusive) become `lines`.

    `at` is where these begin in the text of the edit, whose digest is `mark`. They go on the base's line
    `owner`, where they go on one; `apart`: a blank line is before them; `within_code`: they begin within a
    block of code.
    """

    start: int
    stop: int
    lines: tuple[str, ...]
    at: int
    mark: str
    owner: int | None = None
    apart: bool = False
    within_code: bool = False

    @property
    def inserts(self) -> bool:
        """Whether it only adds."""
        return self.start == self.stop


class _Edit(Struct, frozen=True):
    """An edit as hunks; `code` says of each line of its text whether it is code."""

    rewrite: Rewrite
    mark: str
    hunks: tuple[_Hunk, ...]
    code: tuple[bool, ...]


class _Line(Struct, frozen=True):
    """A line of the result: the base's at this place, or one of an edit's text."""

    text: str
    place: int
    mark: str = ""


def crossover(base: str, edits: Sequence[Rewrite]) -> Crossed:
    """Combine `edits` of `base`; the text does not depend on their order.

    Where two edits cannot both be made, the one from more failures is taken, then the lower digest. Of what
    is inserted at the same place all stays, in order of the edits' digests, equal blocks once.
    """
    lines = _lines(base)
    made = {edit.text: edit for edit in sorted(edits, key=lambda edit: edit.failures)}.values()
    kept: list[_Edit] = []
    for edit in sorted((_edit(lines, each) for each in made), key=lambda e: (-e.rewrite.failures, e.mark)):
        pairs = ((one, other) for each in kept for one in each.hunks for other in edit.hunks)
        if not any(_conflict(lines, *pair) for pair in pairs) and _code_stays(lines, [*kept, edit]):
            kept.append(edit)
    texts = {edit.rewrite.text for edit in kept}
    lost = tuple(place for place, edit in enumerate(edits) if edit.text not in texts)
    changing = [text for text in texts if text != base]
    if len(changing) > 1:
        combined = "".join(line.text for line in _combined(lines, kept))
        return Crossed(_ended(base, combined, changing), lost)
    return Crossed(next(iter(changing), base), lost)


def _edit(base: Sequence[str], rewrite: Rewrite) -> _Edit:
    new, mark = _lines(rewrite.text), digest(rewrite.text.encode())
    within = within_code(new)
    hunks = (
        _hunk(base, new, place, mark, within_code=within[place[2]])
        if place[2] < place[3]
        else _Hunk(place[0], place[1], (), place[2], mark)
        for place in _changes(base, new)
    )
    return _Edit(rewrite, mark, tuple(hunks), tuple(in_code(new)))


def _changes(base: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """The changes of an edit: from where to where in the base, and in its own text.

    Where it begins and ends as the base does, nothing is looked for.
    """
    head = shared_start(base, new)
    tail = shared_start(base[head:][::-1], new[head:][::-1])
    cores = base[head : len(base) - tail], new[head : len(new) - tail]
    changes = [
        (head + start, head + stop, head + first, head + last)
        for kind, start, stop, first, last in SequenceMatcher(None, *cores, autojunk=False).get_opcodes()
        if kind != "equal"
    ]
    bounds = [(0, 0), *((stop, last) for _, stop, _, last in changes)]
    nexts = [*((start, first) for start, _, first, _ in changes[1:]), (len(base), len(new))]
    for (start, stop, first, last), low, high in zip(changes, bounds, nexts, strict=False):
        by = 0
        if start == stop:
            by = _slide(new, first, last, low[1], high[1])
        elif first == last:
            by = _slide(base, start, stop, low[0], high[0])
        yield start + by, stop + by, first + by, last + by


def _hunk(
    base: Sequence[str], new: Sequence[str], place: tuple[int, int, int, int], mark: str, *, within_code: bool
) -> _Hunk:
    start, stop, first, last = place
    lines = tuple(new[first:last])
    if start < stop:
        return _Hunk(start, stop, lines, first, mark, within_code=within_code)
    apart = first == 0 or is_blank(new[first - 1]) or is_blank(lines[0])
    owner = None if apart or opens(lines[0]) else start - 1
    if indentation(lines[0]) and not is_blank(lines[0]):
        above = (at for at in range(start - 1, -1, -1) if not is_blank(base[at]))
        owner = next((at for at in above if indentation(base[at]) < indentation(lines[0])), owner)
    return _Hunk(start, stop, lines, first, mark, owner, apart, within_code)


def _slide(text: Sequence[str], first: int, stop: int, low: int, high: int) -> int:
    """By how many lines to move what was added, or taken out, so that it is whole blocks.

    Where a block begins or ends as its neighbour does, a diff may as well begin one in its middle.
    """
    up = down = 0
    while first - up > low and text[first - up - 1] == text[stop - up - 1]:
        up += 1
    while stop + down < high and text[first + down] == text[stop + down]:
        down += 1
    if up + down == 0:
        return 0
    within = within_code(text)

    def quality(by: int) -> tuple[int, int]:
        if within[first + by]:
            return -1, by
        before = text[first + by - 1] if first + by else "\n"
        behind = text[stop + by] if stop + by < len(text) else "\n"
        begins, ends = text[first + by], text[stop + by - 1]
        if is_blank(begins):
            return int(not is_blank(ends)), by
        if is_blank(before):
            return 4 if is_blank(ends) or is_blank(behind) else 3, by
        return 3 if opens(begins) else 0, by

    return max(range(-up, down + 1), key=quality)


def shared_start(one: Sequence[str], other: Sequence[str]) -> int:
    """Count the lines, or words, that both begin with."""
    alike, most = 0, min(len(one), len(other))
    while alike < most:  # by halves: slices are compared faster than lines
        middle = (alike + most + 1) // 2
        if one[alike:middle] == other[alike:middle]:
            alike = middle
        else:
            most = middle - 1
    return alike


# Conflicts ----------------------------------------------------------------------------------------------


def _conflict(base: Sequence[str], one: _Hunk, other: _Hunk) -> bool:
    """Whether two hunks cannot both be made."""
    if one.inserts and other.inserts:
        return False
    if one.inserts or other.inserts:
        inserting, changing = (one, other) if one.inserts else (other, one)
        return _lost(base, inserting, changing)
    same = (one.start, one.stop, one.lines) == (other.start, other.stop, other.lines)
    return not same and one.start < other.stop and other.start < one.stop


def _lost(base: Sequence[str], inserting: _Hunk, changing: _Hunk) -> bool:
    """Whether what one hunk inserts has no place where another has changed the lines."""
    place, start, stop = inserting.start, changing.start, changing.stop
    owned = inserting.owner is not None and start <= inserting.owner < stop
    if changing.lines:
        if place == stop and not inserting.apart:
            return _is_foreign(base, inserting.lines[0], changing)
        return start < place < stop and (owned or _beside(base, inserting, changing) is None)
    if owned or start < place < stop:
        return True
    glued = place == stop and not inserting.apart
    listed = is_item(inserting.lines[0]) and is_item("".join(base[place : place + 1]))
    return glued and not listed and (start == 0 or is_blank(base[start - 1]))


def _is_foreign(base: Sequence[str], line: str, changing: _Hunk) -> bool:
    """Whether a line that goes on a list or a table does not fit what that has become."""
    if is_item(line):
        was = any(map(is_item, base[changing.start : changing.stop]))
        return was and not any(map(is_item, changing.lines))
    return is_row(line) and line.count("|") != changing.lines[-1].count("|")


def _beside(base: Sequence[str], inserting: _Hunk, changing: _Hunk) -> int | None:
    """Where to insert what stood within lines that are rewritten: behind them, or before; None is nowhere."""

    def parts(place: int) -> bool:
        around = base[max(0, place - 1) : place + 1]
        return place in {0, len(base)} or any(map(is_blank, around))

    last, first = changing.lines[-1], inserting.lines[0]
    if parts(changing.stop) or (is_item(last) and is_item(first)):
        return changing.stop
    return changing.start if parts(changing.start) else None


def _code_stays(base: Sequence[str], edits: Sequence[_Edit]) -> bool:
    """Whether what is code in a text is code in the result, and nothing else is."""
    code = in_code(base)
    if not any(code) and not any(any(edit.code) for edit in edits):
        return True
    wrapped = set[int]()  # lines that an edit leaves as they are and makes code, or no longer code
    for edit in edits:
        place = behind = 0
        for hunk in (*edit.hunks, _Hunk(len(base), len(base), (), 0, "")):
            wrapped.update(at for at in range(place, hunk.start) if edit.code[at + behind] != code[at])
            place, behind = hunk.stop, behind + len(hunk.lines) - (hunk.stop - hunk.start)
    own, together = {edit.mark: edit.code for edit in edits}, _combined(base, edits)
    for line, state in zip(together, in_code([line.text for line in together]), strict=True):
        if is_blank(line.text):
            continue
        before = own[line.mark][line.place] if line.mark else code[line.place] != (line.place in wrapped)
        if state != before:
            return False
    return True


# Putting together ---------------------------------------------------------------------------------------


def _combined(base: Sequence[str], edits: Sequence[_Edit]) -> list[_Line]:
    hunks = sorted((hunk for edit in edits for hunk in edit.hunks), key=lambda hunk: (hunk.start, hunk.mark))
    changes = {hunk.start: hunk for hunk in hunks if not hunk.inserts}
    inserted: dict[int, list[_Hunk]] = {}
    for hunk in hunks:
        if hunk.inserts:
            within = (each for each in changes.values() if each.start < hunk.start < each.stop)
            places = [_beside(base, hunk, each) for each in within]
            place = places[0] if places and places[0] is not None else hunk.start
            inserted.setdefault(place, []).append(hunk)
    rewritten = ((each.meaning, hunk.mark) for hunk in changes.values() for each in _blocks(hunk))
    said = {meaning: mark for meaning, mark in rewritten if tells(meaning)}
    combined: list[_Line] = []
    place = 0
    while True:
        _insert(combined, base, place, inserted.get(place, ()), said)
        if place in changes:
            combined += _lines_of(changes[place])
            place = changes[place].stop
        elif place < len(base):
            combined.append(_Line(base[place], place))
            place += 1
        else:
            return combined


def _insert(
    combined: list[_Line], base: Sequence[str], place: int, hunks: Sequence[_Hunk], said: dict[str, str]
) -> None:
    """Append what is inserted at a place, block by block; `said` holds the blocks so far, and whose they are.

    What goes on the line before comes first, and what the next line goes on last.
    """
    behind = base[place] if place < len(base) else "\n"
    here: dict[str, str] = {}

    def rank(hunk: _Hunk) -> int:
        return 0 if not hunk.apart else 1 if is_blank(hunk.lines[-1]) or is_blank(behind) else 2

    def repeats(meaning: str, mark: str) -> bool:
        return (said if tells(meaning) else here).setdefault(meaning, mark) != mark

    for number, hunk in enumerate(sorted(hunks, key=rank)):
        lines, at = _lines_of(hunk), _leading(hunk.lines)
        lead, found = lines[:at], _blocks(hunk)
        kept: list[_Line] = []
        for block in () if repeats(_meaning(found), hunk.mark) else found:
            if not (block.alone and repeats(block.meaning, hunk.mark)):
                kept += lines[at : at + len(block.lines)]
            at += len(block.lines)
        combined += lead if number == 0 and (kept or not found) else ()
        if kept and hunk.apart and combined and not is_blank(combined[-1].text):
            combined.append(_Line(_ending("".join(base)), -1))
        combined += kept


def _meaning(found: Iterable[Block]) -> str:
    return "\n".join(block.meaning for block in found)


def _blocks(hunk: _Hunk) -> list[Block]:
    """The blocks that a hunk brings in; lines within code are one."""
    lines = hunk.lines[_leading(hunk.lines) :]
    return [Block(lines, code=True)] if lines and hunk.within_code else list(blocks(lines))


def _leading(lines: Sequence[str]) -> int:
    """How many blank lines come first."""
    return next((at for at, line in enumerate(lines) if not is_blank(line)), len(lines))


def _lines_of(hunk: _Hunk) -> list[_Line]:
    return [_Line(line, hunk.at + number, hunk.mark) for number, line in enumerate(hunk.lines)]


# Lines --------------------------------------------------------------------------------------------------


def _lines(text: str) -> list[str]:
    """Lines with their endings; the last one has one too, so that what is added behind it leaves it alone."""
    # At \n alone: str.splitlines would also split at form feeds and U+2028, which end no Markdown line.
    pieces = text.split("\n")
    return [f"{piece}\n" for piece in pieces[:-1]] + ([pieces[-1] + _ending(text)] if pieces[-1] else [])


def _ending(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _ended(base: str, text: str, edits: Sequence[str]) -> str:
    """A text that ends in a line ending where the base does, but for an edit that chose otherwise."""

    def bare(each: str) -> bool:
        return bool(each) and not each.endswith("\n")

    ends_bare = any(bare(each) != bare(base) for each in edits) != bare(base)
    return text.removesuffix("\n").removesuffix("\r") if ends_bare else text
