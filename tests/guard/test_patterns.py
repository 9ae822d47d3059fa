"""The pattern files of the guard: each entry is used and compiles, and none matches the empty text."""

import re
import tomllib
from pathlib import Path

import runbookopt.guard
from runbookopt.guard.patterns import pattern, word_lists, words

GUARD = Path(runbookopt.guard.__file__).parent
ENTRIES = {
    f"{file.stem}.{entry}": text
    for file in sorted((GUARD / "patterns").glob("*.toml"))
    for entry, text in tomllib.loads(file.read_text(encoding="utf-8")).items()
}
CODE = {file.stem: file.read_text(encoding="utf-8") for file in GUARD.glob("*.py")}
FRAGMENTS = {
    f"{name.partition('.')[0]}.{other}"
    for name in ENTRIES
    for other in re.findall(r"\(\?&(\w+)\)", str(ENTRIES[name]))
}


def test_every_entry_is_used_and_every_use_has_an_entry() -> None:
    whole = {name for text in CODE.values() for name in re.findall(r'"((?:[a-z_]+)\.[a-z_]+)"', text)}
    short = {
        f"{file}.{name}"
        for file, text in CODE.items()
        for call in re.findall(r"_has\(([^()]*(?:\([^()]*\)[^()]*)*)\)", text)
        for name in re.findall(r'"([a-z_]+)"', call)
    }
    assert (whole | short | FRAGMENTS) == ENTRIES.keys()


def test_no_expression_matches_the_empty_text() -> None:
    lists = {"commands.file_endings", "safeguards.numbers", "safeguards.small", "text.data_languages"}
    lists |= {"deceptive_text.small_words", "deceptive_text.common_words", "forms.say_nothing"}
    lists.add("safeguards.fillers")
    assert [name for name in ENTRIES.keys() - lists if pattern(name).search("")] == []


def test_words_keep_their_places() -> None:
    assert words("safeguards.numbers")["three"] == 3


def test_no_small_word_of_another_language_is_one_of_english_too() -> None:
    english = {
        "a",
        "an",
        "as",
        "at",
        "be",
        "do",
        "i",
        "in",
        "is",
        "me",
        "no",
        "of",
        "on",
        "or",
        "so",
        "to",
        "was",
        "we",
    }
    lists = word_lists("deceptive_text.small_words")
    assert {name for name in lists if name != "English" and lists[name] & english} == set()
