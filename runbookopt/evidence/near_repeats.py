"""Near repeats: inputs that are alike once what many inputs share is taken away (pure).

Words are compared, so that a text whose every fourth word was changed is found, and one with slips of the
keyboard, in another order, or with a sentence more. No header, signature, template or fixed field counts: a
run of words that inputs share whose rest differs says nothing of any one of them. Candidates come from an
index of rare words and pairs of words, so that nothing is compared with everything.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from difflib import SequenceMatcher
from functools import cached_property, lru_cache
from heapq import nsmallest
from itertools import islice, pairwise
from math import ceil, log

from msgspec import Struct

from runbookopt.evidence.boilerplate import Boilerplate, common_words, covered
from runbookopt.evidence.spelling import spelling
from runbookopt.evidence.words import keyed_words, runs

ALIKE, SAME_WORDS = 0.75, 0.85
"""Shares of the longer text's own words that a near repeat has in the same order, or in any order."""

LONG, ALIKE_LONG = 40, 0.66
"""From so many words on less in the same order is no chance; below, single words may differ throughout."""

MOST_WORDS = 1000
"""So many words of a text are compared: the first ones."""

WEIGHT = 0.6
"""The share that these have of the rarity of either text's own words: common ones are everybody's."""

CONTAINED, LEAST_CONTAINED = 0.85, 7
"""The share of a text's own words, of at least so many, that are one piece of a longer near repeat."""

REPEATED_RUN, REPEATED_SHARE = 8, 0.5
"""A run of so many words in both is a near repeat where they share so much of the shorter one."""

SHORT, SHORTEST = 5, 3
"""With fewer than SHORT words of its own only the same words make a near repeat, of at least SHORTEST."""

KEYS, FEW_KEYS, MOST_POSTINGS, MOST_CANDIDATES = 16, 3, 200, 20
"""A text is compared with those that share most of its rarest pairs and words; common ones are no reason."""


class Text(Struct, frozen=True, eq=False):
    """An input, which its id stands for, the key of its group, and what it says."""

    id: str
    group: str
    value: object

    def __eq__(self, other: object) -> bool:
        """Whether both are the same input of the same group: any JSON may be slow to compare."""
        return isinstance(other, Text) and (self.id, self.group) == (other.id, other.group)

    def __hash__(self) -> int:
        """The hash that goes with it."""
        return hash((self.id, self.group))


class NearRepeat(Struct, frozen=True):
    """An input and one that it nearly repeats, by id; `shared` are the words of its own that both have."""

    task: str
    of: str
    shared: tuple[str, ...] = ()


class Found(Struct, frozen=True):
    """Near repeats in the order of their ids, and what was taken for boilerplate."""

    repeats: tuple[NearRepeat, ...] = ()
    boilerplate: tuple[Boilerplate, ...] = ()


class _Words(Struct, frozen=True, dict=True):
    """The words of one text; `common` says of each whether it is a key of JSON or boilerplate."""

    id: str
    group: str
    all: tuple[str, ...]
    common: tuple[bool, ...]

    @cached_property
    def set(self) -> frozenset[str]:
        """Each word once."""
        return frozenset(self.all)

    @cached_property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """Neighbouring words, but for those that both are common."""
        neighbours = zip(pairwise(self.all), pairwise(self.common), strict=True)
        return frozenset(pair for pair, common in neighbours if not all(common))

    @cached_property
    def own(self) -> tuple[str, ...]:
        """The words that are not common."""
        return tuple(word for word, common in zip(self.all, self.common, strict=True) if not common)

    @cached_property
    def own_alone(self) -> frozenset[str]:
        """The words that are never common."""
        return frozenset(self.own).difference(
            word for word, common in zip(self.all, self.common, strict=True) if common
        )

    def beside(self, other: "_Words", *, anywhere: bool = False) -> tuple[str, ...]:
        """What is to be compared with another text: own words, and common ones that are its own there.

        Of its own is what stands beside the same word there, or with `anywhere` what stands in no common run.
        """
        if not any(self.common):
            return self.all[:MOST_WORDS]
        known, own, last = other.pairs, other.own_alone if anywhere else (), len(self.all) - 1
        words = (
            word
            for place, word in enumerate(self.all)
            if not self.common[place]
            or (place and (self.all[place - 1], word) in known)
            or (place < last and (word, self.all[place + 1]) in known)
            or word in own
        )
        return tuple(islice(words, MOST_WORDS))


@lru_cache(maxsize=4)  # one run reads the same project several times
def near_repeats(asked: tuple[Text, ...], known: tuple[Text, ...], enough: int) -> Found:
    """Each of the texts `asked` that nearly repeats one of `known` of another group, with the first found.

    They are asked in the order of their ids, until `enough` of them repeat nothing: no more will be used.
    What many share is counted over all of them. The order in which they are given does not matter.
    """
    every = sorted(
        {text.id: text for text in (*known, *asked)}.values(), key=lambda text: (text.group, text.id)
    )
    read = {text.id: [*keyed_words(text.value)] for text in every}
    groups = {text.id: text.group for text in every}
    spelt = spelling({id_: [word for word, _ in words] for id_, words in read.items()}, groups)
    said = {id_: tuple(spelt.get(word, word) for word, _ in words) for id_, words in read.items()}
    common = common_words(said, groups)
    texts = {
        id_: _Words(
            id_,
            groups[id_],
            words,
            tuple(
                key or place for (_, key), place in zip(read[id_], covered(words, common.runs), strict=True)
            ),
        )
        for id_, words in said.items()
    }
    index = _Index([texts[text.id] for text in known], texts.values())
    repeats: list[NearRepeat] = []
    for number, id_ in enumerate(sorted({text.id for text in asked})):
        if number - len(repeats) == enough:
            break
        found = index.nearest(texts[id_])
        repeats += [found] if found else []
    return Found(tuple(repeats), common.phrases)


class _Index:
    """An index of texts by what is rare in them."""

    def __init__(self, known: Sequence[_Words], every: Collection[_Words]) -> None:
        self._known = sorted(known, key=lambda text: text.id)
        counts = Counter(word for text in every for word in text.set)
        self._rarity = {word: log((1 + len(every)) / count) for word, count in counts.items()}
        self._weights: dict[str, float] = {}
        self._postings: defaultdict[object, list[int]] = defaultdict(list)
        for number, text in enumerate(self._known):
            for key in (*text.pairs, *set(text.own), text.all):
                self._postings[key].append(number)

    def nearest(self, text: _Words) -> NearRepeat | None:
        """The known text that this one repeats, of several the one that shares most of what is rare in it."""
        for other in self._candidates(text):
            weight = sum(map(self._rarity.__getitem__, text.set & other.set))
            if weight >= WEIGHT * min(self._own(text), self._own(other)) and _are_alike(text, other):
                shared = set(other.beside(text))
                words = tuple(word for word in dict.fromkeys(text.beside(other)) if word in shared)
                return NearRepeat(text.id, other.id, words or text.all)
        return None

    def _candidates(self, text: _Words) -> Iterator[_Words]:
        keys = [key for key in {*text.pairs, *text.set, text.all} if key in self._postings]
        rarest = nsmallest(KEYS, keys, key=lambda key: (len(self._postings[key]), str(key)))
        rare = [key for key in rarest if len(self._postings[key]) <= MOST_POSTINGS]
        counts: Counter[int] = Counter()
        for key in rare or rarest[:FEW_KEYS]:  # of many copies of one text the first are enough
            counts.update(self._postings[key][:MOST_POSTINGS])
        every = [(-count, number) for number, count in counts.items()]
        several = [each for each in every if each[0] < -1]  # else a text of common words asks for thousands
        most = nsmallest(MOST_CANDIDATES, several if len(several) >= MOST_CANDIDATES else every)
        others = (self._known[number] for _, number in most)
        return (other for other in others if other.id != text.id and other.group != text.group)

    def _own(self, text: _Words) -> float:
        if text.id not in self._weights:
            self._weights[text.id] = sum(map(self._rarity.__getitem__, frozenset(text.own)))
        return self._weights[text.id]


def _are_alike(one: _Words, other: _Words) -> bool:
    """Whether one of two texts nearly repeats the other."""
    if one.all == other.all:
        return True
    mine, theirs = sorted((one.beside(other), other.beside(one)), key=len)
    if len(mine) < SHORT:
        return mine == theirs and len(mine) >= SHORTEST
    ordered = common_subsequence(mine, theirs)
    least = ALIKE if len(theirs) < LONG else ALIKE_LONG
    if ordered >= least * len(theirs) or _contained(mine, theirs, ordered):
        return True
    if len(theirs) < LONG and 2 * ordered >= len(theirs) and _dotted(mine, theirs):
        return True
    mine, theirs = sorted((one.beside(other, anywhere=True), other.beside(one, anywhere=True)), key=len)
    return len(mine) >= SHORT and (Counter(mine) & Counter(theirs)).total() >= SAME_WORDS * len(theirs)


def _dotted(mine: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether single words alone differ, and at most every fourth; one may stand for two, as in "isn't"."""
    gaps, a, b = 0, 0, 0
    for block in SequenceMatcher(None, mine, theirs, autojunk=False).get_matching_blocks():
        less, more = sorted((block.a - a, block.b - b))
        if less > 1 or more > 2:  # noqa: PLR2004 - one word for another, or for two
            return False
        gaps += more > 0
        a, b = block.a + block.size, block.b + block.size
    return gaps <= ceil(len(theirs) / 4)


def _contained(mine: Sequence[str], theirs: Sequence[str], ordered: int) -> bool:
    """Whether a text, or much of it in one piece, stands in a longer one."""
    if ordered < REPEATED_SHARE * len(mine):
        return False
    if not runs(mine, REPEATED_RUN).isdisjoint(runs(theirs, REPEATED_RUN)):
        return True
    if len(mine) < LEAST_CONTAINED or ordered < CONTAINED * len(mine):
        return False
    pairs = runs(mine, 2)
    return 2 * len(pairs & runs(theirs, 2)) >= len(pairs)


def common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence, bit-parallel (Hyyro, 2004)."""
    places: defaultdict[str, int] = defaultdict(int)
    for place, word in enumerate(one):
        places[word] |= 1 << place
    full = (1 << len(one)) - 1
    row = full
    for word in other:
        matched = row & places.get(word, 0)
        row = ((row + matched) | (row - matched)) & full
    return len(one) - row.bit_count()
