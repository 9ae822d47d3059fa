"""Patterns of the guard: the only reader of the *.toml files here; each is compiled on first use (pure)."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any


@cache
def pattern(name: str) -> re.Pattern[str]:
    """The expression of an entry, "file.entry"; `(?&other)` in it stands for an entry of the same file."""
    file, _, entry = name.partition(".")
    whole = re.sub(r"\(\?&(\w+)\)", lambda other: f"(?:{_entries(file)[other[1]]})", _entries(file)[entry])
    return re.compile(whole, re.IGNORECASE | re.VERBOSE)


@cache
def words(name: str) -> Mapping[str, int]:
    """The words of an entry, "file.entry", each with its place in the list from 0."""
    file, _, entry = name.partition(".")
    return {word: place for place, word in enumerate(_entries(file)[entry].split())}


@cache
def word_lists(name: str) -> Mapping[str, frozenset[str]]:
    """The word lists of a table, "file.table", in its order."""
    file, _, table = name.partition(".")
    return {title: frozenset(listed.split()) for title, listed in _entries(file)[table].items()}


def phrases(name: str, text: str) -> Iterator[str]:
    """What a pattern matches in a text, each as `flat` writes it."""
    return (flat(hit[0]) for hit in pattern(name).finditer(text))


def flat(text: str) -> str:
    """A text in lower case with single blanks, by which two places that say the same are known."""
    return " ".join(text.split()).casefold()


@cache
def _entries(file: str) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - read on first use, so that importing the guard costs nothing

    return tomllib.loads(Path(__file__).with_name(f"{file}.toml").read_text(encoding="utf-8"))
