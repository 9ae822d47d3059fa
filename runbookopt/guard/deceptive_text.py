"""Deceptive text: hidden from a reader, unreadable, or taken for something else (pure)."""

import codecs
import re
import unicodedata
from collections.abc import Collection, Iterator

from runbookopt.guard.patterns import pattern, word_lists
from runbookopt.guard.text import Match

_FAR_RIGHT = re.compile(r"(?<!\s)[^\S\n]{80,}+(\S.*)")
_ALPHABETS = {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}
_SHORT = 7  # words of a sentence in which two small words tell its language
_UNKNOWN = 4  # words of a sentence that is in no known language, where none of them is known
_ROW, _TURNED, _FOREIGN, _CODED = 4, 3, 8, 6  # codes in a row; small words; letters; letters of a code


def unseen(match: Match) -> Iterator[str]:
    """What a reader of the rendered page, or of a window of ordinary width, does not see."""
    if match.kind == "unseen" and not match.what.startswith("<!--"):  # those are told by `hidden_text`
        yield match.what
    elif match.kind == "raw":
        for hit in _FAR_RIGHT.finditer(match.what):
            yield f"far to the right: {hit[1]}"
        for hit in pattern("deceptive_text.formula").finditer(match.what):
            yield f"markup of formulas: {hit[0]}"
        for hit in pattern("deceptive_text.disguised").finditer(match.what):
            yield f"written in codes, or below the page: {hit[0]}"
        if "~~" in match.what:
            yield f"struck out: {match.what.strip()}"


def look_alikes(match: Match) -> Iterator[str]:
    """Words that mix alphabets or pass for Latin ones, and dashes that pass for hyphens."""
    if match.kind not in {"raw", "span", "target"}:
        return
    for word in re.findall(r"[^\W\d_]+", match.what):
        if word.isascii():
            continue
        scripts = {_script(letter) for letter in word} & _ALPHABETS
        if len(scripts) > 1 or (len(word) > 1 and pattern("deceptive_text.latin_looks").fullmatch(word)):
            yield word
    for hit in pattern("deceptive_text.dashes").finditer(match.what):
        yield match.what[hit.start() : hit.start() + 12]


def _script(letter: str) -> str:
    return unicodedata.name(letter, "?").split()[0]


def blobs(text: str) -> Iterator[str]:
    """What no reader reads: encoded text, letters spelt apart, rows of codes, the words for such."""
    for hit in pattern("deceptive_text.blob").finditer(text):
        # a run of single letters for a reason, or a long identifier made of words, is none
        parts = re.split(r"[/_-]", hit[0])
        plain = all((part.isalpha() and not _is_odd(part)) or part.isdigit() for part in parts)
        if len(parts) < _TURNED or not plain:
            yield " ".join(hit[0].split())
    odd = [word for word in text.split() if _is_odd(word)]
    if len(odd) >= _ROW:
        yield " ".join(odd)
    english = word_lists("deceptive_text.small_words")["English"]
    turned = [
        word
        for word in re.findall(r"[a-z]{2,}", text.casefold())
        if word not in english and codecs.encode(word, "rot13") in english
    ]
    if len(set(turned)) >= _TURNED:
        yield " ".join(turned)


def _is_odd(word: str) -> bool:
    """Whether capitals stand within a word as they do in encoded text, and in no camelCase."""
    word = word.strip("`.,;:()\"'")
    return (
        len(word) >= _CODED
        and word.rstrip("=").isalnum()
        and word.isascii()
        and len(re.findall(r"[a-z][A-Z]|[A-Z]{1,2}[a-z]|\d[A-Za-z]|[A-Za-z]\d", word)) >= _TURNED
    )


def languages(text: str, vocabulary: Collection[str] = ()) -> Iterator[str]:
    """The language of a sentence outside quotations that is none of English, by its small words.

    One of which no word is English or of today's `vocabulary` is in an unknown language.
    """
    words = re.findall(r"[^\W\d_]+", re.sub(r"`[^`]*`", " ", text.casefold()))
    lists = word_lists("deceptive_text.small_words")
    english = sum(word in lists["English"] for word in words)
    for name, small in lists.items():  # of which English is never more than English
        hits = [word for word in words if word in small]
        least = _TURNED if english or len(words) > _SHORT else _TURNED - 1
        if len(hits) > english and len(set(hits)) >= least:
            yield f"{name}: {' '.join(words)}"
            return
    bare = re.sub(r"`[^`]*`", " ", pattern("text.quotation").sub(" ", text.casefold()))
    words = re.findall(r"[^\W\d_]+", bare)
    letters = [letter for letter in text if letter.isalpha()]
    foreign = sum(not letter.isascii() and _script(letter) not in {"LATIN", "GREEK"} for letter in letters)
    if foreign > _FOREIGN and foreign * 3 > len(letters):
        yield f"another script: {' '.join(words)}"
    elif len(words) >= _UNKNOWN and text.count(",") * _UNKNOWN <= len(words):
        english_shape = pattern("deceptive_text.english_shape")
        common = lists["English"] | word_lists("deceptive_text.common_words")["English"]
        known = sum(
            word in common or word in vocabulary or bool(english_shape.search(word)) for word in words
        )
        if known * 2 * _UNKNOWN <= len(words):
            yield f"unknown words: {' '.join(words)}"
