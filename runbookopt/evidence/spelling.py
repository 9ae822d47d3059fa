"""Spelling: words that are a slip of the keyboard away from a far more frequent one (pure)."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

FAR_MORE = 4
"""A word is a slip of another where that one is in so many times as many groups, or it is in one alone."""

LONG = 4
"""From so many letters on a word may lack one; a shorter one may have them in another order."""


def spelling(texts: Mapping[str, Sequence[str]], groups: Mapping[str, str]) -> dict[str, str]:
    """The word for which each slip stands: one letter left out, put in, changed, or two swapped.

    `texts` are words by id, `groups` the key of each one's group. What has a digit is no word, and stays.
    """
    counts = Counter(
        word for word, _ in {(word, groups[id_]) for id_, words in texts.items() for word in words}
    )
    by_form: defaultdict[str, list[str]] = defaultdict(list)
    for word in sorted(counts, key=lambda word: (-counts[word], word)):
        if word.isalpha():
            for form in _forms(word):
                by_form[form].append(word)
    meant = {}
    for word, count in counts.items():
        if word.isalpha():  # the most frequent one that shares a form with it, of equals the first
            alike = (by_form[form][0] for form in _forms(word))
            best = min(alike, key=lambda other: (-counts[other], other))
            if best != word and (counts[best] >= FAR_MORE * count or count == 1):
                meant[word] = best
    return meant


def _forms(word: str) -> Iterator[str]:
    """A word, and what is left of it without any one letter; of a short word its letters in order."""
    yield word
    if len(word) >= LONG:
        yield from {word[:place] + word[place + 1 :] for place in range(len(word))}
    else:
        yield "".join(sorted(word)) + "*"
