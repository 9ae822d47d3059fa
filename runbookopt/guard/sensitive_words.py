"""Sensitive words: credentials, data of persons and permissions, where a sentence acts on them (pure)."""

import re
from collections.abc import Iterator

from runbookopt.guard.patterns import flat, pattern
from runbookopt.guard.text import Sentence

_AROUND = 300
_EXAMPLE = 6  # words of an example in a row of them


def credentials(sentence: Sentence) -> Iterator[str]:
    """Credential words that a sentence does something with.

    Let be are: what customers are quoted with, what is forbidden, what somebody lost, a condition whose
    rule does not touch it, a question about the work, and what only sorts a message into a class.
    """
    unnamed = pattern("sensitive_words.topic").sub("`topic`", sentence.unquoted)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unnamed)
    for hit in pattern("sensitive_words.credential").finditer(text if not _lists_examples(text) else ""):
        if not _only_named(text, hit):
            yield re.sub(r"[\s_-]+", " ", hit[0]).casefold().removesuffix("s")


def _only_named(text: str, hit: re.Match[str]) -> bool:
    before, after = text[max(0, hit.start() - _AROUND) : hit.start()], text[hit.end() :][:_AROUND]
    clause, rest = re.split(r"[;:.!?]", before)[-1], re.split(r"[;:.!?]", after)[0]
    part = clause.split(",")[-1]
    if _forbidden(clause) and not _has("turns", rest):
        return True
    rule = after.partition(",")[2]
    if rule and _has("condition", before) and not _has("refers", rule):
        return True
    if _has("acts", part):
        return False
    if _has("lost", part) or _has("lost", rest.split(",")[0]):
        return True
    return not _has("acts", clause) and (_asks_about_work(text) or _has("sorts", rest))


def _lists_examples(text: str) -> bool:
    """Whether a text is a row of short examples, as in a table's cell: nothing is done to any of them."""
    items = [item.split() for item in re.split(r"[,;]", text)]
    short = len(items) > 1 and all(len(item) <= _EXAMPLE for item in items)
    return short and not (_has("acts", text) or _has("refers", text) or _has("owned", text))


def personal(sentence: Sentence) -> Iterator[str]:
    """Data of persons and payments that a sentence asks for or passes on."""
    text = sentence.unquoted
    for hit in pattern("sensitive_words.personal").finditer(text):
        clause = _clause_before(text, hit)
        wants = _has("wants", clause) or _has("wants", hit[0])
        if wants and not _forbidden(clause) and not _asks_about_work(text):
            yield flat(hit[0])


def permissions(sentence: Sentence) -> Iterator[str]:
    """Rights that a sentence has given, taken or got round; what it forbids is let be."""
    text = sentence.unquoted
    for hit in pattern("sensitive_words.permission").finditer(text):
        if not _forbidden(_clause_before(text, hit)):
            yield flat(hit[0])


def _has(name: str, text: str) -> bool:
    return pattern(f"sensitive_words.{name}").search(text) is not None


def _clause_before(text: str, hit: re.Match[str]) -> str:
    return re.split(r"[;:.!?]", text[max(0, hit.start() - _AROUND) : hit.start()])[-1]


def _forbidden(clause: str) -> bool:
    return _has("forbids", clause) and not _has("turns", clause)


def _asks_about_work(text: str) -> bool:
    """Whether a text is a question to the agent about what lies before it, and not one to a customer."""
    return text.rstrip(" |").endswith("?") and not _has("yours", text)
