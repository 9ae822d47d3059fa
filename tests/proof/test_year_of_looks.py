"""How often luck gets through a year of nightly looks, whatever a set does or a person follows.

Scores are 0 or 1, and the true gain is 0. Answers, allowances and what is told are those of the real
functions. `pytest -s -m "nightly or not nightly"` on this file prints the rates.
"""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import NamedTuple

import pytest

from runbookopt.proof.allowance import Look, allowances, group_digests
from runbookopt.proof.comparison import Comparison, Outcome, Pair, Terms, compare
from runbookopt.proof.disclosure import more_tasks, told
from runbookopt.proof.statistics import mcnemar_mid_p

TERMS = Terms()
GROUPS, NEW = 72, 10  # held-out groups, and how many of them are new each night where the set rolls
NIGHTS = 365
AFTER = (30, 60, 90, 365)
SIZES = ("1,000 or more", "fewer than 1,000", "fewer than 300", "fewer than 100")
OUTCOMES = (Outcome(score=0.0, objectives={}), Outcome(score=1.0, objectives={}))


class Levels(NamedTuple):
    """What the look of a night may spend, and by which the next is told."""

    spend: float
    renewed: float


def look(kind: str, night: int) -> Look:
    first, groups = {"static": (0, GROUPS), "growing": (0, GROUPS + night), "rolling": (NEW * night, GROUPS)}[
        kind
    ]
    digests = group_digests(map(str, range(first, first + groups)))
    at = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=night)).isoformat()
    tasks = dict.fromkeys(digests, "reference")
    return Look(f"{night}", "triage", "s", f"{night}", "r", "a", digests, tasks, (), at=at)


@cache
def bounded(kind: str) -> list[Levels]:
    looks = [look(kind, night) for night in range(NIGHTS)]
    return [Levels(may.spend, may.renewed_spend) for may in allowances(looks, TERMS.allowance)]


@cache
def unbounded(kind: str) -> list[Levels]:
    """What looks spent before there was a stock of time: new groups refilled at once."""
    total, left, seen, levels = TERMS.allowance, 0.0, set[str](), []
    for night in range(NIGHTS):
        groups = set(look(kind, night).groups)
        left = min(total, left + total * len(groups - seen) / len(groups))
        spend = left * left / (total + left)
        left -= spend
        seen |= groups
        levels.append(Levels(spend, left * left / (total + left)))
    return levels


@cache
def asked(wins: int, losses: int, groups: int, levels: Levels) -> Comparison:
    answers = [(0, 1)] * wins + [(1, 0)] * losses + [(0, 0)] * (groups - wins - losses)
    pairs = [Pair(f"{n}", f"{n}", (OUTCOMES[b],), (OUTCOMES[a],)) for n, (b, a) in enumerate(answers)]
    return compare(pairs, TERMS, spend=levels.spend, next_spend=levels.renewed)


def accepted(wins: int, losses: int, groups: int, levels: Levels) -> bool:
    """Whether the proof accepts; what is far from it need not be asked."""
    near = wins > losses and mcnemar_mid_p(wins, losses) <= levels.spend
    return near and asked(wins, losses, groups, levels).answer == "accepted"


def some(rng: Random, groups: int, eighths: int) -> int:
    """Give a set of groups, as bits, each in it with a chance of so many eighths."""
    one, two, three = (rng.getrandbits(groups) for _ in range(3))
    return {1: one & two & three, 2: one & two, 3: one & (two | three)}[eighths]


def night_of_luck(rng: Random, kind: str, levels: Sequence[Levels], eighths: int) -> int | None:
    """The night on which a candidate that is no better is accepted; half of each next one is new."""
    groups = GROUPS
    passing, changed = rng.getrandbits(groups), some(rng, groups, eighths)
    for night, level in enumerate(levels):
        wins, losses = (changed & ~passing).bit_count(), (changed & passing).bit_count()
        if accepted(wins, losses, groups, level):
            return night
        if kind == "rolling":
            shift = groups - NEW
            passing = passing >> NEW | rng.getrandbits(NEW) << shift
            changed = changed >> NEW | some(rng, NEW, eighths) << shift
        elif kind == "growing":
            passing |= rng.getrandbits(1) << groups
            groups += 1
        kept = rng.getrandbits(groups)
        changed = changed & kept | some(rng, groups, eighths) & ~kept
    return None


def rates(nights: Sequence[int | None]) -> list[float]:
    """The shares of sequences in which luck got through within 30, 60, 90 and 365 nights."""
    return [sum(night is not None and night < most for night in nights) / len(nights) for most in AFTER]


def tell(what: str, shares: Sequence[float]) -> None:
    within = ", ".join(f"{share:.3f} in {most}" for share, most in zip(shares, AFTER, strict=True))
    sys.stdout.write(f"{what}: {within} nights\n")


def rates_of(kind: str, levels: Sequence[Levels], sequences: int) -> list[float]:
    return rates([night_of_luck(Random(number), kind, levels, 1 + number % 3) for number in range(sequences)])


# A person who follows what is printed ----------------------------------------------------------------------


def by_gain(wins: int, losses: int, _: Levels) -> int:
    """What was printed once: the gain."""
    return wins - losses


def by_size(wins: int, losses: int, level: Levels) -> int:
    """What is told now: the answer, and one of four sizes."""
    if wins <= losses:
        return 0
    size = more_tasks(asked(wins, losses, GROUPS, level))
    return 0 if size is None else 1 + SIZES.index(size)


class Person(NamedTuple):
    """Somebody who keeps an edit where what is printed got better, or no worse (`patient`).

    An edit redraws what happens on each held-out task with a chance of 1/2**halvings.
    """

    follows: Callable[[int, int, Levels], int]
    patient: bool
    halvings: int

    def night_of_luck(self, rng: Random, nights: int) -> int | None:
        everything = (1 << GROUPS) - 1
        passing, kept, best = rng.getrandbits(GROUPS), 0, 0
        for night, level in enumerate(bounded("static")[:nights]):
            edited = everything
            for _ in range(self.halvings):
                edited &= rng.getrandbits(GROUPS)
            changed = kept & ~edited | rng.getrandbits(GROUPS) & edited
            wins, losses = (changed & ~passing).bit_count(), (changed & passing).bit_count()
            if accepted(wins, losses, GROUPS, level):
                return night
            printed = self.follows(wins, losses, level)
            if printed > best or (self.patient and printed == best):
                kept, best = changed, printed
        return None

    def rates(self, sequences: int, nights: int = NIGHTS) -> list[float]:
        return rates([self.night_of_luck(Random(number), nights) for number in range(sequences)])


# The figures -----------------------------------------------------------------------------------------------

FEW_OR_ALL = pytest.mark.parametrize("sequences", [150, pytest.param(2000, marks=pytest.mark.nightly)])


@FEW_OR_ALL
@pytest.mark.parametrize("kind", ["static", "growing", "rolling"])
def test_at_most_a_tenth_of_years_of_nightly_looks_accept_luck_whatever_the_set_does(
    kind: str, sequences: int
) -> None:
    month, *_, year = told_rates = rates_of(kind, bounded(kind), sequences)
    tell(kind, told_rates)
    assert month <= 0.06
    assert year <= 0.10


@FEW_OR_ALL
def test_without_a_bound_over_time_most_years_of_a_rolling_set_would_accept_luck(sequences: int) -> None:
    month, *_, year = told_rates = rates_of("rolling", unbounded("rolling"), sequences)
    tell("unbounded", told_rates)
    assert month >= 0.08
    assert year >= 0.60


SOME_PEOPLE = pytest.mark.parametrize(
    ("halvings", "sequences", "nights"),
    [(3, 60, 60), *(pytest.param(each, 400, NIGHTS, marks=pytest.mark.nightly) for each in range(1, 6))],
)


@SOME_PEOPLE
@pytest.mark.parametrize("patient", [False, True])
def test_at_most_a_tenth_of_years_of_a_person_who_follows_what_is_told_accept_luck(
    halvings: int, sequences: int, nights: int, patient: bool
) -> None:
    *_, year = told_rates = Person(by_size, patient, halvings).rates(sequences, nights)
    tell(f"edits of 1 in {2**halvings}, patient {patient}", told_rates)
    assert year <= 0.10


@FEW_OR_ALL
def test_whoever_followed_printed_gains_would_have_luck_accepted_in_most_years(sequences: int) -> None:
    *_, quarter, year = told_rates = Person(by_gain, False, 4).rates(sequences)
    tell("by gain", told_rates)
    assert quarter >= 0.3
    assert year >= 0.85


def test_what_is_told_of_near_counts_is_one_of_four_sizes() -> None:
    levels = bounded("static")[0]
    sizes = [more_tasks(asked(wins, 6, GROUPS, levels)) for wins in range(7, 15)]
    assert set(sizes) <= set(SIZES)
    assert [SIZES.index(size or "") for size in sizes] == sorted(SIZES.index(size or "") for size in sizes)
    said = {told(asked(wins, 6, GROUPS, levels)) for wins in range(7, 15)}
    assert said == {(f"{size} more held-out tasks would settle it",) for size in sizes}
