"""Crossover: several edits of one text combined line by line, at no model cost."""

from collections.abc import Sequence
from difflib import SequenceMatcher

from msgspec import Struct

from runbookopt.documents.digest import digest


class Rewrite(Struct, frozen=True):
    """A full new text made from the common base, and how many failures it was made from."""

    text: str
    failures: int


class Crossed(Struct, frozen=True):
    """Text that several edits make together; `lost` are the places of those that it does not hold whole."""

    text: str
    lost: tuple[int, ...] = ()


class _Hunk(Struct, frozen=True):
    """Lines `start` to `stop` of the base (counted from 0, stop exclusive) become `lines`."""

    start: int
    stop: int
    lines: tuple[str, ...]
    failures: int
    digest: str


def crossover(base: str, edits: Sequence[Rewrite]) -> Crossed:
    """Combine `edits` of `base`; the text does not depend on their order.

    Insertions at the same place all stay, in order of their edits' digests, equal lines once. Where two
    edits change the same line of the base, the one from more failures is taken, then the lower digest.
    """
    lines = _lines(base)
    hunks = [hunk for edit in edits for hunk in _hunks(lines, edit)]
    changes = _without_conflicts([hunk for hunk in hunks if hunk.start < hunk.stop])
    insertions = [hunk for hunk in hunks if hunk.start == hunk.stop]
    insertions.sort(key=lambda hunk: (hunk.start, hunk.digest))
    combined: list[str] = []
    position = 0
    for change in [*changes, _Hunk(len(lines), len(lines), (), 0, "")]:
        early = (hunk.start for hunk in insertions if position <= hunk.start <= change.start)
        for place in dict.fromkeys(early):
            combined += lines[position:place]
            combined += _inserted([hunk for hunk in insertions if hunk.start == place])
            position = place
        late = [hunk for hunk in insertions if change.start < hunk.start < change.stop]
        combined += [*lines[position : change.start], *change.lines, *_inserted(late)]
        position = change.stop
    kept = {*changes, *insertions}
    lost = (place for place, edit in enumerate(edits) if not kept.issuperset(_hunks(lines, edit)))
    return Crossed("".join(combined), tuple(lost))


def _hunks(base: Sequence[str], edit: Rewrite) -> list[_Hunk]:
    """The changes of an edit; where it begins and ends as the base does, nothing is looked for."""
    new = _lines(edit.text)
    head = shared_start(base, new)
    tail = shared_start(base[head:][::-1], new[head:][::-1])
    cores = base[head : len(base) - tail], new[head : len(new) - tail]
    matcher = SequenceMatcher(None, *cores, autojunk=False)
    mark = digest(edit.text.encode())
    return [
        _Hunk(head + start, head + stop, tuple(new[head + first : head + last]), edit.failures, mark)
        for kind, start, stop, first, last in matcher.get_opcodes()
        if kind != "equal"
    ]


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


def _without_conflicts(changes: Sequence[_Hunk]) -> list[_Hunk]:
    kept: list[_Hunk] = []
    for hunk in sorted(changes, key=lambda hunk: (-hunk.failures, hunk.digest, hunk.start)):
        if all(hunk.stop <= other.start or other.stop <= hunk.start for other in kept):
            kept.append(hunk)
    return sorted(kept, key=lambda hunk: hunk.start)


def _inserted(hunks: Sequence[_Hunk]) -> list[str]:
    lines: list[str] = []
    for hunk in dict.fromkeys(hunk.lines for hunk in hunks):
        earlier = set(lines)
        lines += [line for line in hunk if not line.strip() or line not in earlier]
    return lines


def _lines(text: str) -> list[str]:
    # At \n alone: str.splitlines would also split at form feeds and U+2028, which end no Markdown line.
    pieces = text.split("\n")
    return [piece + "\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
