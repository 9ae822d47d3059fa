"""Safeguards that a change loosens: sentences that forbid, limit or bring in a person (pure)."""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise, zip_longest

from runbookopt.guard.patterns import flat, pattern, words
from runbookopt.guard.text import Reading, Sentence, words_of

_RELATED = 0.5
"""Share of a sentence's words that another must have, in order, to be taken for its new form."""
_MOST_SHOWN = 90
_ENDS = " .;,:"
_FEW = 2  # words of a cell that is one value


def loosened(old: Reading, new: Reading) -> dict[str, int]:
    """The safeguards that a change removes, weakens or gets round, each with a line of the new text."""
    kept, stood_there = ({_read(sentence) for sentence in reading.sentences} for reading in (new, old))
    fresh = [sentence for sentence in new.sentences if _read(sentence) not in stood_there]
    parted = {_joined(pair) for pair in pairwise(new.sentences)}  # by a blank that had been forgotten
    losses: dict[str, int] = {}
    for sentence in old.sentences:
        if (
            sentence.words
            and not {_read(sentence), _joined((sentence,))} & (kept | parted)
            and _guards(sentence)
        ):
            why, line = _loss(sentence, fresh)
            if why:
                losses.setdefault(f"{why}: {_short(sentence.text)}", line or sentence.line)
    for what, line in _cells(old, new):
        losses.setdefault(what, line)
    loosens = pattern("safeguards.loosens")
    stood = {flat(hit[0]) for sentence in old.sentences for hit in loosens.finditer(sentence.unquoted)}
    for sentence in fresh:
        for hit in loosens.finditer(sentence.unquoted):
            if flat(hit[0]) not in stood:
                losses.setdefault(f"loosened: {_short(hit[0])}", sentence.line)
    return losses


def _read(sentence: Sentence) -> tuple[str, str]:
    """What a reader sees of a sentence and where, but for capitals and the mark that ends it."""
    return sentence.lead, sentence.text.casefold().rstrip(_ENDS)


def _joined(sentences: Sequence[Sentence]) -> tuple[str, str]:
    text = "".join("".join(sentence.text.split()) for sentence in sentences)
    return sentences[-1].lead, f"{text.casefold().rstrip(_ENDS)} "


def _cells(old: Reading, new: Reading) -> Iterator[tuple[str, int]]:
    """The values of tables that are no longer said of the same thing: a row is known by its first cell."""
    now = {(row.lead, row.heads, row.cells[0]): row for row in new.rows}
    for row in old.rows:
        other = now.get((row.lead, row.heads, row.cells[0]))
        if other is None:
            if not any(row.cells[1:] == each.cells[1:] and row.heads == each.heads for each in new.rows):
                yield f"row removed: {_short(' | '.join(row.cells))}", row.line
            continue
        for head, was, is_ in zip_longest(row.heads, row.cells, other.cells, fillvalue=""):
            if was != is_ and _binds(was, is_):
                yield f"cell changed: {head}: {_short(was)} -> {_short(is_)}", other.line


def _binds(was: str, is_: str) -> bool:
    """Whether a cell may not change unseen: a few words, a number, a safeguard, or a word that goes."""
    missing = set(words_of(was)) - set(words_of(is_))
    number = any(map(_is_number, words_of(was)))
    return (
        len(words_of(was)) <= _FEW or number or bool(missing) or _has(was, "forbids", "requires", "escalates")
    )


def _guards(sentence: Sentence) -> bool:
    """Whether a sentence forbids, limits or brings in a person, or stands where such sentences do."""
    if _has(sentence.text, "forbids", "requires", "escalates"):
        return True
    return _has(sentence.lead, "section", "escalates") and not sentence.text.endswith("?")


def _has(text: str, *names: str) -> bool:
    return any(pattern(f"safeguards.{name}").search(text) for name in names)


def _loss(sentence: Sentence, fresh: Sequence[Sentence]) -> tuple[str, int]:
    """How a sentence was lost, and where: "" where one that is new says the same and at most adds to it."""
    nearest = max(fresh, key=lambda other: _alike(sentence.words, other.words), default=None)
    if nearest is None or _alike(sentence.words, nearest.words) < _RELATED:
        return "removed", 0
    if _wider(sentence, nearest):
        return "raised", nearest.line
    added, missing = _difference(sentence.words, nearest.words)
    now = iter(_counted(nearest))  # further numbers may stand between those that were there
    recounted = not all(word in now for word in _counted(sentence))
    if missing or _count(sentence.words) > _count(nearest.words) or recounted:
        return "changed", nearest.line
    unquoted = _difference(words_of(sentence.unquoted), words_of(nearest.unquoted))[0] if added else []
    if _count(sentence.words) == _count(nearest.words):
        unquoted = [word for word in unquoted if not _is_number(word)]
    return _addition(sentence, nearest, unquoted, bool(added))


def _addition(old: Sentence, new: Sentence, added: Sequence[str], reworded: bool) -> tuple[str, int]:
    """What words do that were put into a sentence, or its marks and place where there are none.

    Who is brought in more often is no loss; into a prohibition or a limit no word goes unseen.
    """
    if old.lead != new.lead:
        return "moved", new.line
    if not added:
        return ("", 0) if reworded else ("marks changed", new.line)
    more = " ".join(added)
    forbids = _has(old.text, "forbids") or not _has(f"{old.lead} {old.text}", "escalates")
    own = _has(old.text, "forbids", "requires", "escalates")
    if _has(more, "exception" if forbids else "bare_exception") and not _has(more, "forbids"):
        return "excepted from", new.line
    if (
        own
        and forbids
        and set(added) - words("safeguards.fillers").keys()
        and not _read(new)[1].startswith(_read(old)[1])
    ):
        return "changed", new.line
    return "", 0


def _counted(sentence: Sentence) -> list[str]:
    """The units of a sentence's numbers: what is written to them, and the word behind them."""
    words = pairwise((*sentence.words, ""))
    return [f"{re.sub('^[0-9.,]+|^[a-z]+$', '', one)} {other}" for one, other in words if _is_number(one)]


def _alike(one: Sequence[str], other: Sequence[str]) -> float:
    """The share of the words of `one` that stand in `other` in the same order."""
    if len(set(one) & set(other)) < _RELATED * len(set(one)):
        return 0.0  # in order they are fewer still, and to find the order takes long
    blocks = SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / max(len(one), 1)


def _count(words: Sequence[str]) -> int:
    return sum(_is_number(word) for word in words)


def _is_number(word: str) -> bool:
    return word[0].isdigit() or word in words("safeguards.numbers")


def _difference(one: Sequence[str], other: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that the second has more than the first, and less; small words do not count as missing.

    Nor do numbers, which are compared by their size.
    """
    small = words("safeguards.small")
    added: list[str] = []
    missing: list[str] = []
    for kind, start, end, into, until in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind != "equal":
            missing += [
                word
                for word in one[start:end]
                if word not in small and not _is_number(word) and word not in other
            ]
            added += other[into:until]
    return added, missing


def _wider(old: Sentence, new: Sentence) -> bool:
    """Whether a number changed to where more is let pass."""
    matcher = SequenceMatcher(None, old.words, new.words, autojunk=False)
    changed = [
        (_value(one), _value(other))
        for kind, start, end, into, until in matcher.get_opcodes()
        for one, other in zip(old.words[start:end], new.words[into:until], strict=False)
        if kind == "replace" and _is_number(one) and _is_number(other)
    ]
    risen, fallen = any(b > a for a, b in changed), any(b < a for a, b in changed)
    return (
        (risen and not _has(old.text, "lower_bound"))
        or (fallen and not _has(old.text, "upper_bound"))
        or (risen and fallen)
    )


def _value(text: str) -> float:
    counted = words("safeguards.numbers").get(text.casefold())
    if counted is not None:
        return counted
    digits = re.sub(r"[^\d.]", "", text.replace(",", "")).strip(".")
    try:
        return float(digits)
    except ValueError:
        return 0.0


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
