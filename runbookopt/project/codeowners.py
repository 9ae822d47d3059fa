"""CODEOWNERS: the owners of a path, as GitHub reads the file (pure).

https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
"""

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where the file may stand; the first that is there counts, the others do not."""

MOST_BYTES = 3_000_000
"""A larger file is not loaded by GitHub: nobody owns anything then."""

_WORD = re.compile(r"(?:\\.|[^\s\\])+")
_PART = re.compile(r"\*\*/|\*\*|\*|\?|\\.|[^*?\\]+|\\$")
_OWNER = re.compile(r"@[\w.-]+(?:/[\w.-]+)?|[^@\s]+@[^@\s]+")
_GLOBS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


class OwnersLine(Struct, frozen=True):
    """One rule: the owners of all that matches `pattern`; nobody where there are none."""

    pattern: str
    owners: tuple[str, ...]


def read_owners(text: str) -> tuple[OwnersLine, ...]:
    """Read the rules in order. Lines that GitHub does not take (`!`, `[`, no owner's name) are left out."""
    return tuple(_lines(text)) if len(text.encode()) <= MOST_BYTES else ()


def owners_of(lines: Sequence[OwnersLine], path: str) -> tuple[str, ...]:
    """The owners of a path: the last line that matches counts alone. Apps ("[bot]") own nothing."""
    for line in reversed(lines):
        if _expression(line.pattern).fullmatch(path):
            return line.owners
    return ()


def _lines(text: str) -> Iterator[OwnersLine]:
    for line in text.splitlines():
        words = _WORD.findall(re.split(r"(?:^|\s)#", line, maxsplit=1)[0])
        if not words or words[0].startswith("!") or "[" in words[0]:
            continue
        if all(_OWNER.fullmatch(owner) for owner in words[1:]):
            yield OwnersLine(words[0], tuple(words[1:]))


def _expression(pattern: str) -> re.Pattern[str]:
    """The expression for a path: a slash at the beginning or inside anchors it, one at its end: folder.

    Unlike in a .gitignore, `docs/*` owns the files of a folder and not what lies deeper.
    """
    anchored = "/" in pattern.rstrip("/")
    body = "".join(
        _GLOBS.get(part) or re.escape(part.removeprefix("\\")) for part in _PART.findall(pattern.strip("/"))
    )
    below = "/.+" if pattern.endswith("/") else "" if pattern.endswith("/*") else "(?:/.+)?"
    return re.compile(f"{'' if anchored else '(?:.*/)?'}{body}{below}")
