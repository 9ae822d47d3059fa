import math
import random
from functools import lru_cache
from itertools import product
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.search.asks import Attempt, Candidate
from runbookopt.search.pool import Member
from runbookopt.search.selection import FLIPS, ROUNDING, choose, clarity, clearest_by_chance, gains, optimism

SCORE = st.sampled_from([0.0, 1 / 3, 0.5, 1.0])
POOLS = st.integers(2, 8).flatmap(
    lambda tasks: st.lists(
        st.tuples(st.lists(SCORE, min_size=tasks, max_size=tasks), st.text("ab", max_size=4)),
        min_size=1,
        max_size=6,
    )
)
Rows = list[tuple[list[float], str]]
TASKS, MEMBERS = 40, 21
FEW_OR_ALL = pytest.mark.parametrize(
    ("pools", "noise"), [(60, 0.03), pytest.param(200, 0.0, marks=pytest.mark.nightly)]
)
"""So many pools, and how much farther a mean of so few may be from what is promised."""
DOUBTS = st.floats(0, 1)


def member(scores: list[float], text: str = "") -> Member:
    attempts = {f"task-{n}": Attempt("t", "", score, {"right": score}) for n, score in enumerate(scores)}
    return Member(Candidate(text), (), 0, attempts)


def pool_of(rows: Rows) -> list[Member]:
    return [member(scores, text) for scores, text in rows]


def drawn(rng: random.Random, chances: list[float]) -> Member:
    return member([float(rng.random() < chance) for chance in chances])


@lru_cache
def equals(number: int) -> tuple[float, tuple[Member, ...]]:
    """Give a pool of the seed and its equals, scored by chance alone, and the true score of each."""
    rng = random.Random(number)
    chances = [rng.random() for _ in range(TASKS)]
    return fmean(chances), tuple(drawn(rng, chances) for _ in range(MEMBERS))


def wins(*tasks: int, of: int = 12) -> Member:
    return member([float(task in tasks) for task in range(of)])


# Who is returned --------------------------------------------------------------------------------------------


def test_the_shortest_of_the_best_is_chosen() -> None:
    best, equal = member([1] * 9 + [0.5], "a long text"), member([1] * 8 + [0.5, 1], "short")
    pool = [member([0] * 10, "the seed"), best, equal, member([0] * 9 + [1], "")]
    assert choose(pool, doubt=0.1).number == 2
    assert choose([pool[0], equal, best], doubt=0.1).number == 1


def test_of_equals_of_one_length_the_newest_is_chosen() -> None:
    pool = [member([0] * 9, "seed"), member([1] * 9, "same"), member([1] * 9, "size")]
    assert choose(pool, doubt=0.1).number == 2


def test_a_shorter_text_with_a_lower_score_is_not_chosen() -> None:
    pool = [member([0] * 20, "seed"), member([1] * 20, "a long text"), member([1] * 19 + [0], "")]
    assert choose(pool, doubt=0.1).number == 1


@given(POOLS, DOUBTS, DOUBTS)
def test_more_doubt_allowed_never_turns_another_choice_into_the_seed(
    rows: Rows, one: float, other: float
) -> None:
    pool = pool_of(rows)
    less, more = (choose(pool, doubt=each).number for each in sorted((one, other)))
    assert less in (0, more)


def test_a_seed_alone_is_returned_with_its_score() -> None:
    choice = choose([member([1, 0, 0.5, 0.5])], doubt=0.1)
    assert (choice.number, choice.expected) == (0, 0.5)


def test_a_clearly_better_member_is_returned_and_expected_to_score_as_it_does() -> None:
    better, rng = member([1.0] * 37 + [0.0] * 3), random.Random(5)
    pool = [drawn(rng, [0.4] * 40) for _ in range(20)]
    choice = choose([*pool[:9], better, *pool[9:]], doubt=0.1)
    assert choice.number == 9
    assert better.score - 0.01 <= choice.expected <= better.score


def test_few_candidates_meet_a_lower_bar_in_proportion() -> None:
    seed, winner, useless = wins(), wins(0, 1, 2), wins()  # chance wins three of three once in eight
    assert choose([seed, winner], doubt=0.1).number == 1
    assert choose([seed, *[useless] * 2, winner], doubt=0.1).number == 3
    assert choose([seed, *[useless] * 4, winner], doubt=0.1).number == 0
    assert choose([seed, *[useless] * 40, winner], doubt=0.2).number == 41


# Luck -------------------------------------------------------------------------------------------------------


def by_chance(pool: list[Member], chosen: int) -> float:
    """Give how likely chance makes the best of a pool as clear a gain as that of this member."""
    seen = clarity(gains(pool[0], pool[chosen])) - ROUNDING
    return (1 + sum(clear >= seen for clear in clearest_by_chance(pool))) / (1 + FLIPS)


def every_flip(pool: list[Member], chosen: int) -> float:
    """Give by enumeration of all sign flips what `clearest_by_chance` draws a sample of."""
    scores = [[attempt.score for attempt in each.validation.values()] for each in pool]
    gained = [[new - old for new, old in zip(row, scores[0], strict=True)] for row in scores[1:]]

    def statistic(row: list[float], signs: tuple[int, ...]) -> float:
        norm = math.hypot(*row)
        return sum(sign * gain for sign, gain in zip(signs, row, strict=True)) / norm if norm else 0.0

    flips = list(product((1, -1), repeat=len(scores[0])))
    seen = statistic(gained[chosen - 1], flips[0]) - 1e-9
    return sum(max(statistic(row, flip) for row in gained) >= seen for flip in flips) / len(flips)


@pytest.mark.parametrize("levels", [(0.0, 1.0), (0.0, 1 / 3, 0.5, 0.9, 1.0)])
def test_what_chance_does_is_what_all_sign_flips_do(levels: tuple[float, ...]) -> None:
    for seed in range(30):
        rng = random.Random(seed)
        pool = [member(rng.choices(levels, k=8)) for _ in range(rng.randint(2, 5))]
        chosen = rng.randrange(1, len(pool))
        exact = every_flip(pool, chosen)
        error = math.sqrt(exact * (1 - exact) / FLIPS)
        assert by_chance(pool, chosen) == pytest.approx(exact, abs=3.5 * error + 1 / FLIPS)


def test_copies_of_a_member_cost_no_more_than_one_and_others_do() -> None:
    seed, winner = wins(), wins(0, 1, 2, 3)
    once = by_chance([seed, winner], 1)
    assert by_chance([seed, *[winner] * 30], 1) == once
    others = [wins(*(random.Random(n).sample(range(12), 4))) for n in range(30)]
    assert by_chance([seed, winner, *others], 1) > 3 * once


def test_a_member_that_gains_nothing_is_surely_by_chance() -> None:
    assert by_chance([wins(0), wins(0), wins()], 1) == 1


@pytest.mark.slow
@FEW_OR_ALL
def test_among_equals_the_seed_is_returned_but_for_the_doubt_allowed(pools: int, noise: float) -> None:
    returned = sum(choose(equals(n)[1], doubt=0.1).number != 0 for n in range(pools))
    assert returned / pools <= 0.1 + noise + 2 * math.sqrt(0.1 * 0.9 / 200)
    without = sum(choose(equals(n)[1], doubt=1).number != 0 for n in range(20))
    assert without >= 15


@lru_cache
def hopes(pools: int) -> tuple[float, float]:
    """Give how far the best of equals is expected above its true score, and how far it is scored above it."""
    hoped, lucky = [], []
    for number in range(pools // 2):
        true, pool = equals(number)
        choice = choose(pool, doubt=1)
        hoped.append(choice.expected - true)
        lucky.append(pool[choice.number].score - true)
    return fmean(hoped), fmean(lucky)


@pytest.mark.slow
@FEW_OR_ALL
def test_a_good_part_of_the_luck_of_the_best_of_equals_is_taken_off(pools: int, noise: float) -> None:
    hoped, lucky = hopes(pools)
    assert lucky > 0.08
    assert -0.05 <= hoped <= 0.6 * lucky + noise


@pytest.mark.slow
@FEW_OR_ALL
def test_what_is_expected_of_the_best_of_equals_is_not_its_luck(pools: int, noise: float) -> None:
    hoped, _ = hopes(pools)
    assert hoped <= 0.01 + noise


def test_where_nobody_is_apart_no_luck_is_taken_off() -> None:
    assert optimism([member([0.5] * 9)] * 3) == 0


@pytest.mark.slow
@FEW_OR_ALL
def test_neither_what_barely_passes_nor_the_seed_that_nothing_passed_is_expected_to_be_as_lucky_again(
    pools: int, noise: float
) -> None:
    hoped: dict[bool, list[float]] = {False: [], True: []}
    lucky: dict[bool, list[float]] = {False: [], True: []}
    for number in range(pools * 3 // 2):
        rng = random.Random(number)
        chances = [rng.random() * 0.8 for _ in range(TASKS)]
        better = [chance + 0.12 for chance in chances]
        pool = [drawn(rng, chances), *(drawn(rng, better) for _ in range(5))]
        choice = choose(pool, doubt=0.1)
        true = fmean(better if choice.number else chances)
        hoped[choice.number > 0].append(choice.expected - true)
        lucky[choice.number > 0].append(pool[choice.number].score - true)
    for returned in (False, True):
        assert len(hoped[returned]) > pools // 5
        assert fmean(lucky[returned]) > 0.04 - noise
        assert -0.03 < fmean(hoped[returned]) < 0.02 + noise


@given(POOLS, DOUBTS)
def test_no_more_is_expected_than_the_score(rows: Rows, doubt: float) -> None:
    pool = pool_of(rows)
    choice = choose(pool, doubt=doubt)
    assert choice.expected <= pool[choice.number].score
    assert choice == choose(pool, doubt=doubt)
