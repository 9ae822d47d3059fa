"""Paths that a repository's own settings name: always of files in it, whoever wrote them (pure)."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

from msgspec import Meta

_INSIDE = (
    r"^(?!/)(?!.*//)"
    r"(?!(?:.*/)?(?:\.\.?|\.[Gg][Ii][Tt]|\.[Rr][Uu][Nn][Bb][Oo][Oo][Kk][Oo][Pp][Tt])(?:/|$))"
)
_FEW_STARS = r"(?!(?:.*\*\*){4})(?!.*[^/*]\*\*)(?!.*\*\*[^/])(?!.*(?:\*[^/]*){3})"
_PATH = r"[^\\\u0000-\u001f\u007f]{1,500}$(?!\n)"

PagePaths = Annotated[
    str,
    Meta(
        pattern=f"{_INSIDE}(?!.*/$){_FEW_STARS}{_PATH}",
        description="a path inside the repository, from its root, or a glob of some (`*` within a name, `**/`"
        " for any folders); no .., .git or .runbookopt",
    ),
]
EvidencePaths = Annotated[
    str,
    Meta(
        pattern=f"{_INSIDE}(?![^/]*[*?]){_FEW_STARS}{_PATH}",
        description="a path inside the repository, from its root, or a glob of some below a folder of it, in"
        " which {name} is the runbook's; no .., .git or .runbookopt",
    ),
]

_PIECE = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_GLOBS = {"**/": "((?:.*/)?)", "**": "(.*)", "*": "([^/]*)", "?": "[^/]"}


def is_glob(pattern: str) -> bool:
    """Whether more than one path may be meant."""
    return "*" in pattern or "?" in pattern


def captures(pattern: str, path: str) -> tuple[str, ...] | None:
    """What each `*` and `**` of a glob stands for in a path; None where the glob does not fit it."""
    found = _expression(pattern).fullmatch(path)
    return None if found is None else tuple(part.strip("/") for part in found.groups())


def fixed_folder(pattern: str) -> str:
    """The folder in which all that a glob can mean lies; "" for the root."""
    parts = pattern.strip("/").split("/")
    fixed = next((number for number, part in enumerate(parts) if is_glob(part)), len(parts) - 1)
    return "/".join(parts[:fixed])


def name_of(key: str, stood_for: Sequence[str]) -> str:
    """The name of a runbook that a glob found: each star of `key` is what one of the glob stood for.

    A key without stars is followed by them. What lay in deeper folders is one word, with dots.
    """
    words = [part.replace("/", ".") for part in stood_for]
    if "*" not in key:
        return "/".join([key, ".".join(filter(None, words))]) if words else key
    pieces = re.split(r"\*+", key)
    pairs = zip(pieces, [*words, ""], strict=True)
    return re.sub(r"//+", "/", "".join(piece + word for piece, word in pairs)).strip("/.")


def fits(key: str, pattern: str | None, name: str) -> bool:
    """Whether an entry of the settings is of the runbook `name`: by its name, or by a glob's."""
    if "*" in key:
        whole = "".join("[^/]+" if set(part) == {"*"} else re.escape(part) for part in _STARS.split(key))
        return re.fullmatch(whole, name) is not None
    if pattern is not None and is_glob(pattern):
        return name.startswith(f"{key}/") and "/" not in name.removeprefix(f"{key}/")
    return key == name


def stars(pattern: str) -> int:
    """How many wildcards a glob, or a key that takes what they stand for, has."""
    return len(re.findall(r"\*+", pattern))


_STARS = re.compile(r"(\*+)")


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(_GLOBS.get(piece) or re.escape(piece) for piece in _PIECE.findall(pattern)))
