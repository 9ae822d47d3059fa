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


@given(ROWS)
def test_the_best_member_has_the_best_score_and_is_the_newest_of_several(rows: list[Row]) -> None:
    pool = Pool()
    for row in rows:
        pool.enter(member(row))
        scores = [one.score for one in pool.members]
        assert scores[pool.best] == max(scores)
        assert max(scores) not in scores[pool.best + 1 :]


def test_the_lineage_of_a_member_is_nearest_first_and_names_nobody_twice() -> None:
    pool = [member([], parents) for parents in ((), (0,), (0,), (2,), (3, 1))]
    assert lineage(pool, 3) == (3, 2, 0)
    assert lineage(pool, 4) == (4, 3, 1, 2, 0)


def test_the_score_of_a_member_is_the_mean_over_validation() -> None:
    assert single(1, 0, 0.5, 0.5).score == 0.5
