"""Boilerplate: runs of words that inputs share whose rest differs (pure)."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise

from msgspec import Struct

RUN = 4
"""Words of the shortest run that is looked at."""

MANY, CROWD = 3, 5
"""So many groups must share a run; below CROWD most of each of their texts must be something else."""

BODY = 3
"""Words in one piece that a text must have beside what it shares."""

WITNESSES = 8
"""So many of those that share a run are asked whether it is boilerplate."""

Run = tuple[str, ...]

_NUMBER = re.compile(r".*\d.*")


class Boilerplate(Struct, frozen=True):
    """Words in one piece that texts of so many groups have."""

    words: str
    groups: int


class Common(Struct, frozen=True):
    """The runs that are boilerplate, and as what they are found in texts, the most frequent first."""

    runs: Collection[Run]
    phrases: tuple[Boilerplate, ...]


class _Rest(Struct, frozen=True):
    """What is left of a text without what many share: words, the longest piece, how many, how many not."""

    words: frozenset[str]
    piece: int
    own: int
    shared: int


def common_words(texts: Mapping[str, Sequence[str]], groups: Mapping[str, str]) -> Common:
    """The boilerplate of texts, given as words by id; `groups` has the key of each one's group.

    A run that texts of many groups share is boilerplate where most of them say something else beside it.
    Where they do not, it is what they say, and they repeat each other.
    """
    holders = _holders(texts, groups)
    rests = {id_: _rest(words, holders) for id_, words in texts.items()}
    known: dict[Run, bool] = {}
    runs = set()
    for run, ids in holders.items():
        witnesses = tuple(ids[:: max(1, len(ids) // WITNESSES)][:WITNESSES])
        if witnesses not in known:
            known[witnesses] = _differ([rests[id_] for id_ in witnesses], few=len(ids) < CROWD)
        if known[witnesses]:
            runs.add(run)
    return Common(runs, _phrases(texts, groups, runs))


def covered(words: Sequence[str], runs: Collection[Run]) -> list[bool]:
    """Whether each word of a text stands in one of these runs, or in a gap that is too short for a body.

    Such a gap is a slot of a template: a name, a number, a date.
    """
    marks = _covered(words, runs)
    ends = 0
    for mark, piece in groupby(tuple(marks)):
        start, ends = ends, ends + len([*piece])
        if not mark and ends - start < min(BODY, len(words)):
            marks[start:ends] = [True] * (ends - start)
    return marks


def _covered(words: Sequence[str], runs: Collection[Run]) -> list[bool]:
    marks = [False] * len(words)
    for place, run in enumerate(_runs(words) if runs else ()):
        if run in runs:
            marks[place : place + RUN] = [True] * RUN
    return marks


def _holders(texts: Mapping[str, Sequence[str]], groups: Mapping[str, str]) -> dict[Run, list[str]]:
    """The texts that have a run which many groups share, one of each group."""
    holders: defaultdict[Run, list[str]] = defaultdict(list)
    for id_ in sorted(texts, key=lambda id_: (groups[id_], id_)):
        for run in set(_runs(texts[id_])):
            ids = holders[run]
            if not ids or groups[ids[-1]] != groups[id_]:
                ids.append(id_)
    return {run: ids for run, ids in holders.items() if len(ids) >= MANY}


def _runs(words: Sequence[str]) -> Iterable[Run]:
    """The runs of a text, in which one number is like another."""
    shapes = [word if word.isalpha() else _NUMBER.sub("0", word) for word in words]
    return zip(*(shapes[start:] for start in range(RUN)), strict=False)


def _rest(words: Sequence[str], runs: Collection[Run]) -> _Rest:
    marks = _covered(words, runs)
    pieces = [len([*piece]) for mark, piece in groupby(marks) if not mark]
    own = frozenset(word for word, mark in zip(words, marks, strict=True) if not mark)
    return _Rest(own, max(pieces, default=0), sum(pieces), sum(marks))


def _differ(rests: Sequence[_Rest], *, few: bool) -> bool:
    """Whether most texts have a body of their own, and most of these are unlike the next one."""
    bodies = [r for r in rests if r.piece >= BODY and not (few and r.own < r.shared)]
    if 2 * len(bodies) < len(rests) or len(bodies) < MANY:
        return False
    neighbours = [*pairwise(bodies), (bodies[-1], bodies[0])]
    alike = sum(_alike(one.words, other.words) for one, other in neighbours)
    return 2 * alike <= len(neighbours)


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return 2 * len(one & other) > min(len(one), len(other))


def _phrases(
    texts: Mapping[str, Sequence[str]], groups: Mapping[str, str], runs: Collection[Run]
) -> tuple[Boilerplate, ...]:
    """The longest pieces of boilerplate in texts, each with the number of groups that have it whole."""
    pieces = {(piece, groups[id_]) for id_, words in texts.items() for piece in _pieces(words, runs)}
    counts = Counter(piece for piece, _ in pieces)
    many = [(piece, count) for piece, count in counts.items() if count >= MANY]
    order = sorted(many, key=lambda count: (-count[1], -len(count[0]), count[0]))
    return tuple(Boilerplate(" ".join(words), count) for words, count in order)


def _pieces(words: Sequence[str], runs: Collection[Run]) -> Iterator[Run]:
    marked = zip(_covered(words, runs), words, strict=True)
    for mark, piece in groupby(marked, key=lambda each: each[0]):
        if mark:
            yield tuple(word for _, word in piece)
