"""A reply of several edits as one text: what a single candidate of it is."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher

from msgspec import Struct

from runbookopt.search.asks import Proposal


class Change(Struct, frozen=True):
    """Lines `start` to `stop` of a part, counted from 0, stop exclusive, become `lines`."""

    start: int
    stop: int
    lines: tuple[str, ...]


def combined(parts: Mapping[str, str], edits: Sequence[Proposal]) -> dict[str, str]:
    """Give the parts that edits change, each with all of its edits; `parts` are the texts by id.

    What several insert at one place stands there in their order; of two that change the same line the first
    counts.
    """
    named = dict.fromkeys(edit.component for edit in edits)
    return {
        id_: _with(parts.get(id_, ""), [edit.text for edit in edits if edit.component == id_])
        for id_ in named
    }


def _with(before: str, texts: Iterable[str]) -> str:
    lines = before.splitlines(keepends=True)
    kept: list[Change] = []
    for text in dict.fromkeys(texts):
        changes = _changes(lines, text.splitlines(keepends=True))
        kept += [one for one in changes if not any(_collide(one, other) for other in kept)]
    kept.sort(key=lambda one: (one.start, one.stop))
    for change in reversed(kept):
        lines[change.start : change.stop] = change.lines
    return "".join(lines)


def _changes(before: Sequence[str], after: Sequence[str]) -> list[Change]:
    codes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [
        Change(start, stop, tuple(after[first:last]))
        for kind, start, stop, first, last in codes
        if kind != "equal"
    ]


def _collide(one: Change, other: Change) -> bool:
    return one.start < other.stop and other.start < one.stop
