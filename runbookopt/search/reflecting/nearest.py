"""Nearest of the attempts that pass: what an edit for some failures is most likely to break (pure)."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain, zip_longest
from typing import Any

from runbookopt.documents.digest import as_text
from runbookopt.evidence.words import words_of
from runbookopt.search.asks import Attempt
from runbookopt.search.minibatches import GOT

READ = 2_000  # characters of an input whose words are compared


def nearest(
    inputs: Mapping[str, Any], attempts: Mapping[str, Attempt], failing: Sequence[str], most: int
) -> tuple[str, ...]:
    """The passing tasks nearest to the failing ones, `most` at most, by the words of their inputs.

    By turns one of those whose right answer is the one that the failing tasks got, one of those that have the
    answer which these want, and one of all others: where answers are never alike, the nearest of all.
    """
    words = {task: _words(as_text(inputs[task])[:READ]) for task in attempts}
    weights = _weights(words, failing)
    passing = sorted(
        (task for task, attempt in attempts.items() if attempt.passed),
        key=lambda task: (
            -math.fsum(weights.get(word, 0.0) for word in words[task]) / math.sqrt(len(words[task]) or 1)
        ),
    )
    got = {attempts[task].output for task in failing} - {None, ""}
    told = [line.partition(GOT) for task in failing for line in attempts[task].feedback]
    wanted = {expected.rpartition("expected ")[2] for expected, got, _ in told if got} - {""}
    given = [task for task in passing if attempts[task].output in got]
    alike = [task for task in passing if any(answer in (attempts[task].output or "") for answer in wanted)]
    taken = {*given, *alike}
    others = [task for task in passing if task not in taken]
    turns = chain.from_iterable(zip_longest(given, alike, others))
    return tuple(dict.fromkeys(task for task in turns if task is not None))[:most]


def _weights(words: Mapping[str, frozenset[str]], failing: Sequence[str]) -> dict[str, float]:
    """How much each word of the failing tasks says: the more of them have it, and the fewer of all."""
    common = Counter(chain.from_iterable(words.values()))
    shared = Counter(word for task in failing for word in words[task])
    return {word: count * math.log(1 + len(words) / common[word]) for word, count in shared.items()}


@lru_cache(maxsize=8192)  # a search compares the same inputs again and again
def _words(text: str) -> frozenset[str]:
    return frozenset(words_of(text))
