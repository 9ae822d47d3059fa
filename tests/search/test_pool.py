import random

from hypothesis import given
from hypothesis import strategies as st

from runbookopt.search.asks import Attempt, Candidate
from runbookopt.search.pool import Member, Pool, lineage, places

SCORE = st.sampled_from([0.0, 0.5, 1.0])
ROW = st.lists(st.tuples(SCORE, SCORE), min_size=3, max_size=3)  # two objectives of each of three tasks
ROWS = st.lists(ROW, min_size=1, max_size=7)
Row = list[tuple[float, float]]


def member(row: Row, parents: tuple[int, ...] = ()) -> Member:
    attempts = {
        f"task-{place}": Attempt("t", "", right, {"right": right, "brief": brief})
        for place, (right, brief) in enumerate(row)
    }
    return Member(Candidate(""), parents, 0, attempts)


def single(*scores: float) -> Member:
    """Give a member with one objective."""
    attempts = {f"task-{n}": Attempt("t", "", score, {"right": score}) for n, score in enumerate(scores)}
    return Member(Candidate(""), (), 0, attempts)


def columns(rows: list[Row]) -> list[tuple[float, ...]]:
    """Give for each (task, objective) pair the scores of all members."""
    return list(zip(*([score for pair in row for score in pair] for row in rows), strict=True))


@given(ROWS)
def test_a_place_is_a_pair_on_which_nobody_beats_a_member_and_somebody_has_less(rows: list[Row]) -> None:
    held = [
        sum(column[number] == max(column) > min(column) for column in columns(rows))
        for number in range(len(rows))
    ]
    pool = Pool()
    for row in rows:
        pool.enter(member(row))
    assert pool.places == held
    assert places(pool.members) == tuple(held)


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_entry_changes_nobodys_places(rows: list[Row], rng: random.Random) -> None:
    order = list(range(len(rows)))
    rng.shuffle(order)
    held = places([member(row) for row in rows])
    assert places([member(rows[number]) for number in order]) == tuple(held[number] for number in order)


@given(ROWS, ROW)
def test_who_enters_is_told_whether_it_beats_all_before_it_somewhere(rows: list[Row], last: Row) -> None:
    pool = Pool()
    for row in rows:
        pool.enter(member(row))
    beats = [new > max(olds) for (new,), olds in zip(columns([last]), columns(rows), strict=True)]
    assert pool.enter(member(last)) == any(beats)
    assert not pool.enter(member(last))


@given(ROWS, st.integers(0, 99))
def test_only_members_with_places_are_drawn_where_some_have_any(rows: list[Row], seed: int) -> None:
    rng = random.Random(seed)
    pool = Pool()
    for row in rows:
        pool.enter(member(row))
    drawn = {pool.draw(rng) for _ in range(20)}
    assert drawn <= {number for number, held in enumerate(pool.places) if held or not any(pool.places)}


def test_a_member_is_drawn_in_proportion_to_its_places() -> None:
    pool = Pool()
    for each in (single(1, 1, 1, 0), single(0, 0, 0, 0), single(0, 0, 0, 1)):
        pool.enter(each)
    drawn = [pool.draw(random.Random(seed)) for seed in range(2000)]
    assert set(drawn) == {0, 2}
    assert 0.71 < drawn.count(0) / 2000 < 0.79


def test_where_nobody_is_told_apart_anybody_may_be_drawn() -> None:
    pool = Pool()
    for _ in range(3):
        pool.enter(single(1, 0))
    assert pool.places == [0, 0, 0]
    assert {pool.draw(random.Random(seed)) for seed in range(50)} == {0, 1, 2}


def test_the_lineage_of_a_member_is_nearest_first_and_names_nobody_twice() -> None:
    pool = [member([], parents) for parents in ((), (0,), (0,), (2,), (3, 1))]
    assert lineage(pool, 3) == (3, 2, 0)
    assert lineage(pool, 4) == (4, 3, 1, 2, 0)


def test_the_score_of_a_member_is_the_mean_over_validation() -> None:
    assert single(1, 0, 0.5, 0.5).score == 0.5
