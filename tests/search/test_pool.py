import random

from hypothesis import given
from hypothesis import strategies as st

from runbookopt.search.asks import Attempt, Candidate
from runbookopt.search.pool import Member, choose, draw_parent, improves, lineage, places

SCORES = st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=3, max_size=3), min_size=1, max_size=6)


def member(scores: list[float], text: str = "", parents: tuple[int, ...] = ()) -> Member:
    attempts = {
        f"task-{place}": Attempt("t", "", score, {"accuracy": score, "brevity": 1 - score})
        for place, score in enumerate(scores)
    }
    return Member(Candidate(text), parents, 0, attempts)


@given(SCORES)
def test_nobody_on_the_frontier_is_beaten_where_it_holds_a_place(rows: list[list[float]]) -> None:
    pool = [member(row) for row in rows]
    for place, held in enumerate(places(pool)):
        best = [
            (task, objective)
            for task, attempt in pool[place].validation.items()
            for objective, score in attempt.objectives.items()
            if all(other.validation[task].objectives[objective] <= score for other in pool)
            and any(other.validation[task].objectives[objective] < score for other in pool)
        ]
        assert held == len(best)


@given(SCORES)
def test_a_copy_of_a_member_improves_nothing(rows: list[list[float]]) -> None:
    pool = [member(row) for row in rows]
    assert not improves(pool, pool[-1])


def test_a_member_that_alone_solves_a_task_improves_the_frontier() -> None:
    assert improves([member([1, 0, 0])], member([0, 1, 0]))


def test_parents_are_drawn_by_the_places_they_hold() -> None:
    pool = [member([1, 0, 0.5]), member([0.5, 0.5, 0.5]), member([0, 1, 0.5])]
    rng = random.Random(1)
    drawn = [draw_parent(pool, rng) for _ in range(300)]
    assert set(drawn) == {place for place, held in enumerate(places(pool)) if held}


def test_the_shortest_of_those_close_to_the_best_is_chosen_and_ties_go_to_the_newest() -> None:
    best = member([1, 1, 0.5], "a long text")
    close = member([1, 0.5, 1], "short")
    assert choose([member([0, 0, 0], ""), best, close]) == 2
    assert choose([member([1, 1, 1], "same"), member([1, 1, 1], "size")]) == 1


def test_the_lineage_of_a_member_is_nearest_first() -> None:
    pool = [member([1]), member([1], parents=(0,)), member([1], parents=(0,)), member([1], parents=(2,))]
    assert lineage(pool, 3) == (3, 2, 0)
