"""Changes of a text as diffs, and whether a text has them (pure)."""

import re
from collections.abc import Collection
from difflib import unified_diff

from runbookopt.search.crossover import shared_start


def difference(before: str, after: str) -> str:
    """An edit as a diff, each change with a line around it; empty where there is none."""
    old, new = _lines(before), _lines(after)
    head = max(0, shared_start(old, new) - 1)
    tail = max(0, shared_start(old[head:][::-1], new[head:][::-1]) - 1)
    diff = unified_diff(old[head : len(old) - tail], new[head : len(new) - tail], lineterm="", n=1)
    return "\n".join("@@" if line.startswith("@@") else line for line in list(diff)[2:])


def stands(change: str, text: str) -> bool:
    """Whether a text has what a diff adds, or lacks what it takes out where it adds nothing."""
    lines, added, removed = {*_lines(text)}, _marked(change, "+"), _marked(change, "-")
    if added - removed:
        return added <= lines
    return bool(removed - added) and lines.isdisjoint(removed - added)


def applies(change: str, text: str | None) -> bool:
    """Whether a text has the lines that a diff was made in, so that it may have been made of this text."""
    return text is not None and _marked(change, " -") <= {*_lines(text)}


def contributes(change: str, whole: str) -> bool:
    """Whether something of a diff stands in a later one: what it adds, or what it takes out."""
    added, removed = _marked(change, "+"), _marked(change, "-")
    mark, own = ("+", added - removed) if added - removed else ("-", removed - added)
    return not own.isdisjoint(_marked(whole, mark))


def _marked(change: str, marks: Collection[str]) -> set[str]:
    """The lines of a diff with these marks; blank ones tell nothing."""
    return {line[1:] for line in change.split("\n") if line[:1] in marks and line[1:].strip()}


def _lines(text: str) -> list[str]:
    return re.sub(r"\r\n?", "\n", text).split("\n")
