"""Safeguards that a change loosens: sentences that forbid, limit or bring in a person (pure)."""

import itertools
import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from runbookopt.guard.patterns import flat, pattern, words
from runbookopt.guard.text import Reading, Sentence

_RELATED = 0.5
"""Share of a sentence's words that another must have, in order, to be taken for its new form."""
_MOST_SHOWN = 90


def loosened(old: Reading, new: Reading) -> dict[str, int]:
    """The safeguards that a change removes, weakens or gets round, each with a line of the new text."""
    listed = [sentence.words for sentence in new.sentences]
    # two sentences in a row count as one too: a full stop more takes nothing away
    kept = {*listed, *(one + other for one, other in itertools.pairwise(listed))}
    known = {sentence.words for sentence in old.sentences}
    fresh = [sentence for sentence in new.sentences if sentence.words not in known]
    losses: dict[str, int] = {}
    for sentence in old.sentences:
        if sentence.words and sentence.words not in kept and _guards(sentence):
            why, line = _loss(sentence, fresh)
            if why:
                losses.setdefault(f"{why}: {_short(sentence.text)}", line or sentence.line)
    loosens = pattern("safeguards.loosens")
    stood = {flat(hit[0]) for sentence in old.sentences for hit in loosens.finditer(sentence.unquoted)}
    for sentence in fresh:
        for hit in loosens.finditer(sentence.unquoted):
            if flat(hit[0]) not in stood:
                losses.setdefault(f"loosened: {_short(hit[0])}", sentence.line)
    return losses


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
    if missing or _count(sentence.words) > _count(nearest.words):
        return "changed", nearest.line
    more = " ".join(added)
    forbids = _has(sentence.text, "forbids") or not _has(f"{sentence.lead} {sentence.text}", "escalates")
    excepted = _has(more, "exception" if forbids else "bare_exception") and not _has(more, "forbids")
    return ("excepted from", nearest.line) if excepted else ("", 0)


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
