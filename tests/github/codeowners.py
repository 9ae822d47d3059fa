"""CODEOWNERS as GitHub reads it: on the base branch, the last match wins."""

import re
from collections.abc import Iterable
from typing import NamedTuple

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")


class Line(NamedTuple):
    """One rule."""

    number: int
    text: str
    pattern: str
    owners: tuple[str, ...]


def read(text: str) -> list[Line]:
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if words:
            lines.append(Line(number, line, words[0], tuple(words[1:])))
    return lines


def owners(lines: Iterable[Line], path: str) -> tuple[str, ...]:
    """Give who owns `path`: ("@login", "@org/team", ...), empty where nobody does."""
    found: tuple[str, ...] = ()
    for line in lines:
        if _expression(line.pattern).fullmatch(path):
            found = line.owners
    return found


def _expression(pattern: str) -> re.Pattern[str]:
    anchored = pattern.startswith("/") or "/" in pattern.rstrip("/")
    body = "".join(_part(each) for each in re.findall(r"\*\*/?|\*|\?|[^*?]+", pattern.strip("/")))
    below = "/.+" if pattern.endswith("/") else "" if pattern.endswith("/*") else "(?:/.+)?"
    return re.compile(f"{'' if anchored else '(?:.*/)?'}{body}{below}")


def _part(word: str) -> str:
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return known.get(word) or re.escape(word)
