"""Failure modes that people named: how often each was seen, what was never seen, labels still needed (pure).

A mode's name is a name of the codebook: what people wrote as `failure_mode`, in whatever capitals. Its key
(`mode_key`) is also the id of the criterion that is written for it, and of labels that speak of it alone.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import ceil, sqrt
from typing import Literal
from unicodedata import normalize

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.calibration.agreement import Estimate, share
from runbookopt.calibration.labels import EXAMPLES, Gold, LabelPart, Rating, for_testing, gold
from runbookopt.calibration.status import LEAST
from runbookopt.documents.digest import digest_of

_LEVEL = 0.05  # what the upper limit leaves out where nothing was seen once
_Z = 1.959963984540054  # of a two-sided interval of 95 %
_LONGEST = 80  # characters of an id


class Mode(Struct, frozen=True):
    """A kind of failure that people named, as far as their labels tell.

    `failures` are trajectories that show it, `passes` those that were looked at and do not, `disputed` those
    on which raters disagree, which count as neither. `volume` is the share of all failures that people
    named, and `rate` that of all trajectories, by those that were drawn as all are (None where none were).
    `failures_needed` and `passes_needed` are labels that it still needs before a criterion for it can gate:
    at least, since which of them are kept for the test is up to a digest.
    """

    key: str
    name: str
    failures: int
    passes: int
    disputed: int
    volume: float
    rate: Estimate | None
    failures_needed: int
    passes_needed: int

    @property
    def enough(self) -> bool:
        """Whether there are labels enough for a criterion of it to gate."""
        return not self.failures_needed and not self.passes_needed


class Unseen(Struct, frozen=True):
    """Estimate of the share of failures that are of kinds nobody has named; `share` lies in `low..high`.

    `once` of the `failures` that have a name are the only one of their kind. `representative`: they were
    drawn as all are; others were looked at since much is learnt of them, and tell less.
    """

    share: float
    low: float
    high: float
    once: int
    failures: int
    representative: bool

    def __str__(self) -> str:
        """The sentence that tells it."""
        drawn = "" if self.representative else "; they were not drawn at random, so take it as a hint"
        are, their = ("is", "its") if self.once == 1 else ("are", "their")
        return (
            f"about {100 * self.share:.0f} % of failures are of kinds nobody has named"
            f" (between {100 * self.low:.0f} and {100 * self.high:.0f} %: of {self.failures} named failures"
            f" {self.once} {are} the only one of {their} kind{drawn})"
        )


@lru_cache(maxsize=4096)
def mode_key(name: str) -> str:
    """The key of a mode: its name in small letters, digits and hyphens, an id that a criterion may have."""
    words = re.findall(r"[a-z0-9]+", normalize("NFKD", name).encode("ascii", "ignore").decode().casefold())
    key = "-".join(words)[:_LONGEST].rstrip("-")
    return key or f"mode-{digest_of(name.strip().casefold()).removeprefix('sha256:')[:12]}"


def names_of(ratings: Iterable[Rating]) -> dict[str, str]:
    """The modes by key, each as it was written most often, in the order in which they were first named."""
    written: dict[str, Counter[str]] = {}
    for rating in ratings:
        if rating.failure_mode:
            name = " ".join(rating.failure_mode.split())
            written.setdefault(mode_key(name), Counter())[name] += 1
    return {key: counts.most_common(1)[0][0] for key, counts in written.items()}


def about(key: str, ratings: Iterable[Rating]) -> tuple[Rating, ...]:
    """What each rater said of one mode on each trajectory, as ratings of a criterion with the mode's key.

    A rating of just that criterion says it. Else a fail with that mode is a fail; who passed all criteria,
    or named other modes for all that failed, has seen none of it, which is a pass. A failure without a name
    and an "unsure" may be of any kind: they say nothing.
    """
    return tuple(rating for case in _cases(ratings) for rating in case.about(key))


class _Case(Struct, frozen=True):
    """One trajectory: all ratings of each rater, and the modes and criteria that any of them names."""

    groups: tuple[tuple[Rating, ...], ...]
    named: frozenset[str]

    def about(self, key: str) -> list[Rating]:
        """The ratings as ratings of one mode."""
        return [rating for given in self.groups for rating in _about_one(key, given)]

    def gold(self, key: str) -> Gold | None:
        """What people say of one mode, taken together; None where nobody says anything."""
        return next(iter(gold(self.about(key))), None)


def _cases(ratings: Iterable[Rating]) -> tuple[_Case, ...]:
    """The trajectories, in the order in which they were labelled first."""
    by_rater: dict[str, dict[str, list[Rating]]] = {}
    for rating in ratings:
        by_rater.setdefault(rating.trajectory, {}).setdefault(rating.by, []).append(rating)
    return tuple(
        _Case(
            tuple(map(tuple, given.values())),
            frozenset(
                name
                for each in given.values()
                for rating in each
                for name in (rating.criterion, rating.failure_mode and mode_key(rating.failure_mode))
                if name
            ),
        )
        for given in by_rater.values()
    )


def _about_one(key: str, given: Sequence[Rating]) -> Sequence[Rating]:
    direct = [each for each in given if each.criterion == key]
    if direct:
        return direct
    named = [each for each in given if each.failure_mode and mode_key(each.failure_mode) == key]
    failed = [each for each in named if each.result == "fail"]
    if failed:
        return [_as_of(key, failed[-1], "fail", given)]
    silent = any(
        each.result == "unsure" or (each.result == "fail" and not each.failure_mode) for each in given
    )
    if named or silent:
        return []
    first = next((each for each in given if each.result == "pass"), given[0])
    return [_as_of(key, replace(first, failure_mode=None), "pass", given)]


def _as_of(key: str, rating: Rating, result: Literal["pass", "fail"], given: Sequence[Rating]) -> Rating:
    """A rating as one of the mode: what any of the rater's ratings may not be used for, it may not be."""
    shown = any(each.split == "examples" for each in given)
    return replace(
        rating,
        criterion=key,
        result=result,
        split="examples" if shown else rating.split,
        saw_verdict=any(each.saw_verdict for each in given),
    )


def speaking(criteria: Iterable[str], ratings: Sequence[Rating]) -> tuple[Rating, ...]:
    """All ratings, and beside them what they say of those of the criteria that are named as a mode is.

    So a criterion that was written for a mode is held against the labels that named the mode.
    """
    given = {(each.trajectory, each.criterion, each.by) for each in ratings}
    known = names_of(ratings)
    derived = (rating for key in criteria if key in known for rating in about(key, ratings))
    more = (each for each in derived if (each.trajectory, each.criterion, each.by) not in given)
    return (*ratings, *more)


class Item(Struct, frozen=True):
    """A trajectory on which people agree about a mode: whether it fails by it, and what the label may serve.

    `notes` are what they wrote who saw it, `labels` the digests of what they rest on.
    """

    trajectory: str
    failed: bool
    part: LabelPart
    notes: tuple[str, ...]
    labels: tuple[str, ...]


def items(key: str, ratings: Iterable[Rating]) -> tuple[Item, ...]:
    """The trajectories on which the raters agree about a mode, in the order in which they were labelled.

    To test on are those that `labels.for_testing` gives; all others may be shown.
    """
    said = about(key, ratings)
    notes: dict[str, tuple[str, ...]] = {}
    for rating in said:
        if rating.result == "fail" and rating.explanation:
            notes[rating.trajectory] = (*notes.get(rating.trajectory, ()), rating.explanation)
    test = {each.trajectory: each for each in for_testing(said)}
    agreed = (test.get(each.trajectory, each) for each in gold(said))
    return tuple(
        Item(
            each.trajectory,
            failed=each.result == "fail",
            part="test" if each.trajectory in test else "examples",
            notes=notes.get(each.trajectory, ()),
            labels=each.labels,
        )
        for each in agreed
        if each.result is not None
    )


def modes(ratings: Sequence[Rating]) -> tuple[Mode, ...]:
    """The modes that people named, the most frequent first."""
    known, cases = names_of(ratings), _cases(ratings)
    failing = {id_ for each in _failing(known, cases).values() for id_ in each} | {*unnamed(ratings)}
    silent = {place: case.gold("") for place, case in enumerate(cases)}  # of a mode that nobody names there
    found = (_mode(key, name, cases, silent, len(failing)) for key, name in known.items())
    return tuple(sorted(found, key=lambda mode: (-mode.failures, mode.key)))


def _mode(
    key: str, name: str, cases: Sequence[_Case], silent: Mapping[int, Gold | None], failing: int
) -> Mode:
    said = [case.gold(key) if key in case.named else silent[place] for place, case in enumerate(cases)]
    agreed = [each for each in said if each is not None]
    counts = Counter(each.result for each in agreed)
    drawn = [each.result for each in agreed if each.frame == "representative" and each.result is not None]
    return Mode(
        key=key,
        name=name,
        failures=counts["fail"],
        passes=counts["pass"],
        disputed=sum(each.disputed for each in agreed),
        volume=counts["fail"] / failing if failing else 0.0,
        rate=share(drawn.count("fail"), len(drawn)) if drawn else None,
        failures_needed=_still(_held_out(key, "fail", cases, said)),
        passes_needed=_still(_held_out(key, "pass", cases, said)),
    )


def _held_out(key: str, result: str, cases: Sequence[_Case], said: Sequence[Gold | None]) -> int:
    """How many labels with a result are kept to test on; no more are counted than are needed."""
    found = 0
    for case, each in zip(cases, said, strict=True):
        if found == LEAST:
            break
        if each is not None and each.result == result:
            found += bool(for_testing(case.about(key)))
    return found


def failing(ratings: Sequence[Rating]) -> dict[str, tuple[str, ...]]:
    """The trajectories on which people agree that they show a mode, by its key."""
    return _failing(names_of(ratings), _cases(ratings))


def _failing(known: Iterable[str], cases: Iterable[_Case]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {key: [] for key in known}
    for case in cases:
        for key in sorted(case.named & found.keys()):
            agreed = case.gold(key)
            if agreed is not None and agreed.result == "fail":
                found[key].append(agreed.trajectory)
    return {key: tuple(ids) for key, ids in found.items()}


def _still(held_out: int) -> int:
    """Labels of a class that are to be made so that enough of them are likely to be held out."""
    return max(0, ceil((LEAST - held_out) / (1 - EXAMPLES)))


def unnamed(ratings: Iterable[Rating]) -> tuple[str, ...]:
    """The trajectories that somebody failed and nobody named a mode of, in the order of the labels."""
    failed: dict[str, bool] = {}
    for rating in ratings:
        if rating.result == "fail":
            failed[rating.trajectory] = failed.get(rating.trajectory, False) or bool(rating.failure_mode)
    return tuple(trajectory for trajectory, named in failed.items() if not named)


def unseen(ratings: Sequence[Rating]) -> Unseen | None:
    """The share of failures that are of kinds nobody has named: Good-Turing; None without a named failure.

    Good (1953), "The population frequencies of species and the estimation of population parameters": n1 / n,
    with n1 kinds that were seen once among n failures. The interval is Esty's (1983, "A normal limit law for
    a nonparametric estimator of the coverage of a random sample"), of variance (n1 (1 - n1/n) + 2 n2) / n^2;
    its upper limit is at least 1 - .05^(1/n), under which no n failures can show that there is nothing else.
    A failure that shows several modes counts once for each. Only those drawn as all are, where there are any.
    """
    drawn = [each for each in ratings if each.frame == "representative"]
    for among in (drawn, ratings):
        counts = [len(each) for each in failing(among).values()]
        if sum(counts):
            return _unseen(counts, representative=among is drawn)
    return None


def _unseen(counts: Sequence[int], *, representative: bool) -> Unseen:
    n, once, twice = sum(counts), counts.count(1), counts.count(2)
    unseen_share = once / n
    spread = _Z * sqrt(once * (1 - unseen_share) + 2 * twice) / n
    least = 1 - _LEVEL ** (1 / n)
    high = min(1.0, max(unseen_share + spread, least))
    return Unseen(unseen_share, max(0.0, unseen_share - spread), high, once, n, representative)
