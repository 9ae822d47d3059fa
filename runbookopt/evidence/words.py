"""Words of a text or of any other input, without differences of form, by which they are compared (pure)."""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from runbookopt.documents.digest import as_text


def normalised(value: Any) -> str:  # noqa: ANN401 - an input may be any JSON
    """A text, or canonical JSON, without differences of form (NFKC), case, white space and punctuation."""
    text = as_text(value)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.translate(_SPACED).split()) or text


def words_of(value: Any) -> list[str]:  # noqa: ANN401 - see above
    """The words of a normalised input or text."""
    return normalised(value).split()


def keyed_words(value: Any) -> Iterator[tuple[str, bool]]:  # noqa: ANN401 - see above
    """The words of an input in the order of its canonical JSON, each with whether it is of a key."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield from ((word, True) for word in words_of(key))
            yield from keyed_words(value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from keyed_words(item)
    else:
        yield from ((word, False) for word in words_of(value))


def runs_of_words(value: Any, length: int) -> frozenset[tuple[str, ...]]:  # noqa: ANN401 - see above
    """Every run of `length` words of a normalised input or text; none where it is shorter."""
    return runs(words_of(value), length)


def runs(words: Sequence[str], length: int) -> frozenset[tuple[str, ...]]:
    """Every run of `length` of these words; none where there are fewer."""
    return frozenset(zip(*(words[start:] for start in range(length)), strict=False))


class _Spaced(dict[int, int]):
    """A table for `str.translate`: a space for each character that is no letter, mark, number or symbol."""

    def __missing__(self, code: int) -> int:
        self[code] = ord(" ") if unicodedata.category(chr(code))[0] in "PZC" else code
        return self[code]


_SPACED = _Spaced()
