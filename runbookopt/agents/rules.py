"""Decision rules written as Markdown list items: what the offline pair can read in a runbook."""

import re
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from runbookopt.documents.markdown import tokens_of

_WORD = re.compile(r"\w+(?:'\w+)*")
_QUOTED = re.compile(r'"([^"]+)"')


class Rule(Struct, frozen=True):
    """One list item that decides: `phrases` vote for `answer`.

    `first` and `stop` are its lines, counted from 0, `stop` exclusive; `said` is the line behind its own
    sentence, for items may hold further paragraphs and items. The item that answers when nothing matches
    has no phrases and `otherwise` set.
    """

    phrases: tuple[str, ...]
    answer: str
    first: int
    said: int
    stop: int
    otherwise: bool = False


class Votes(Struct, frozen=True):
    """Answer of the rules to a text, and the phrases behind it; `by` is empty when nothing matched."""

    answer: str
    by: tuple[str, ...]


@lru_cache(maxsize=4096)
def rules(markdown: str) -> tuple[Rule, ...]:
    """The rules of a Markdown text in their order.

    A rule is a list item with at least one double-quoted phrase and exactly one code span, or one that
    begins with "Otherwise" and has exactly one code span. Code blocks are no list items.
    """
    decisions = []
    tokens = tokens_of(markdown)
    for position, token in enumerate(tokens):
        item = tokens[position + 2 : position + 3] if token.type == "list_item_open" else []
        if not item or item[0].type != "inline" or token.map is None or item[0].map is None:
            continue
        children = item[0].children or []
        answers = [child.content for child in children if child.type == "code_inline"]
        prose = " ".join(child.content for child in children if child.type == "text")
        phrases = tuple(phrase for phrase in _QUOTED.findall(prose) if words(phrase))
        otherwise = prose.lstrip().casefold().startswith("otherwise")
        if len(answers) == 1 and (phrases or otherwise):
            (first, stop), (_, said) = token.map, item[0].map
            decisions.append(Rule(() if otherwise else phrases, answers[0], first, said, stop, otherwise))
    return tuple(decisions)


def decide(decisions: Sequence[Rule], text: str) -> Votes:
    """Follow the rules literally on `text`.

    Each phrase that occurs as whole words, ignoring case, votes for its rule's answer with as many votes as
    it has words; most votes win, ties go to the earlier rule; with no match the first "Otherwise" answers,
    and without one the answer is empty.
    """
    padded = _padded(text)
    votes: dict[str, int] = {}
    by: dict[str, list[str]] = {}
    for rule in decisions:
        for phrase in rule.phrases:
            if _padded(phrase) in padded:
                votes[rule.answer] = votes.get(rule.answer, 0) + len(words(phrase))
                by.setdefault(rule.answer, []).append(phrase)
    if votes:
        answer = max(votes, key=votes.__getitem__)  # the first of equals: dictionaries keep the rules' order
        return Votes(answer, tuple(by[answer]))
    return Votes(next((rule.answer for rule in decisions if rule.otherwise), ""), ())


def occurs(phrase: str, text: str) -> bool:
    """Whether `phrase` occurs in `text` as whole words, ignoring case and punctuation."""
    return _padded(phrase) in _padded(text)


@lru_cache(maxsize=65536)
def _padded(text: str) -> str:
    return f" {' '.join(words(text))} "


def words(text: str) -> list[str]:
    """The words of a text, ignoring case and punctuation."""
    return _WORD.findall(text.casefold().replace("\u2019", "'"))
