"""CODEOWNERS: the owners of a path, as GitHub reads the file (pure).

https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
"""

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from runbookopt.documents.path_patterns import covers

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where the file may stand; the first that is there counts, the others do not."""

MOST_BYTES = 3_000_000
"""A larger file is not loaded by GitHub: nobody owns anything then."""

_WORD = re.compile(r"(?:\\.|[^\s\\])+")
_OWNER = re.compile(r"@[\w.-]+(?:/[\w.-]+)?|[^@\s]+@[^@\s]+")


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
        if covers(line.pattern, path):
            return line.owners
    return ()


def _lines(text: str) -> Iterator[OwnersLine]:
    for line in text.splitlines():
        words = _WORD.findall(re.split(r"(?:^|\s)#", line, maxsplit=1)[0])
        if not words or words[0].startswith("!") or "[" in words[0]:
            continue
        if all(_OWNER.fullmatch(owner) for owner in words[1:]):
            yield OwnersLine(words[0], tuple(words[1:]))
