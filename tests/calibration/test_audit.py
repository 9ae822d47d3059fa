import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from runbookopt.calibration.audit import (
    FEWEST,
    LEVEL,
    Changed,
    Found,
    changed_pairs,
    chosen,
    found,
    shuffled,
    sign_test,
    winner_is_left,
)
from runbookopt.proof.audits import Answer
from runbookopt.proof.comparison import Outcome, Pair


def pair(task: int, before: list[float], after: list[float], group: int | None = None) -> Pair:
    sides = [tuple(Outcome(score, {}) for score in side) for side in (before, after)]
    return Pair(f"task-{task}", f"group-{task if group is None else group}", *sides)


def all_answered(pairs: tuple[Changed, ...], seed: str, winner: str) -> dict[str, Answer]:
    sides: dict[bool, Answer] = {True: "left", False: "right"}
    return {each.task: sides[winner_is_left(seed, each.task) == (winner == "winner")] for each in pairs}


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_sign_test_is_scipys(wins: int, losses: int) -> None:
    count = wins + losses
    expected = binomtest(wins, count, 0.5, alternative="greater").pvalue if count else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected, rel=1e-12)


def test_five_wins_are_enough_and_four_are_not_nor_five_of_which_one_is_a_tie() -> None:
    assert Found(5, 5, 0, sign_test(5, 0)).confirms
    assert not Found(4, 4, 0, sign_test(4, 0)).confirms
    assert not Found(5, 4, 0, sign_test(4, 0)).confirms
    assert not Found(FEWEST - 1, FEWEST - 1, 0, 0.0).confirms
    assert not Found(30, 0, 0, sign_test(0, 0)).confirms
    assert sign_test(5, 0) < LEVEL < sign_test(4, 0)


def test_only_pairs_whose_verdict_changed_are_chosen_and_of_several_attempts_one_that_did() -> None:
    pairs = [
        pair(0, [1.0], [1.0]),
        pair(1, [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]),
        pair(2, [0.0, 1.0], [1.0, 0.0]),  # on the whole as it was
        pair(3, [1.0, 0.0, 0.0], [0.0, 1.0, 1.0]),
    ]
    assert changed_pairs(pairs) == (Changed("task-1", 1), Changed("task-3", 1))
    assert set(chosen(pairs, "look")) == set(changed_pairs(pairs))


@given(st.integers(0, 80), st.integers(1, 60), st.text())
def test_which_pairs_follows_from_the_look_alone_and_fewer_are_the_first_of_more(
    count: int, most: int, look: str
) -> None:
    pairs = [pair(task, [0.0], [1.0]) for task in range(count)]
    picked = chosen(pairs, look, most)
    assert len(picked) == min(count, most)
    assert picked == chosen(pairs[::-1], look, most) == chosen(pairs, look, count + 1)[:most]


def test_other_looks_choose_others_and_of_a_group_one_is_chosen() -> None:
    pairs = [pair(task, [0.0], [1.0]) for task in range(100)]
    assert chosen(pairs, "a") != chosen(pairs, "b")
    grouped = [pair(task, [0.0], [1.0], group=task // 10) for task in range(100)]
    assert len(chosen(grouped, "a")) == 10


@given(st.integers(1, 40), st.text())
def test_answers_mean_the_same_wherever_the_winner_stands(count: int, seed: str) -> None:
    pairs = tuple(Changed(f"task-{task}", 0) for task in range(count))
    assert sorted(shuffled(pairs, seed), key=pairs.index) == list(pairs)
    won = found(pairs, seed, all_answered(pairs, seed, "winner"))
    lost = found(pairs, seed, all_answered(pairs, seed, "today"))
    assert won is not None
    assert lost is not None
    assert (won.wins, won.losses, lost.wins, lost.losses) == (count, 0, 0, count)
    tied = found(pairs, seed, dict.fromkeys((each.task for each in pairs), "equal"))
    assert tied == found(pairs, seed, dict.fromkeys((each.task for each in pairs), "skip"))
    assert tied == Found(count, 0, 0, 1.0)
    assert tied.ties == count


def test_sides_are_as_often_left_as_right_and_a_missing_answer_is_no_audit() -> None:
    left = sum(winner_is_left("seed", f"task-{task}") for task in range(1000))
    assert 400 < left < 600
    pairs = (Changed("task-0", 0), Changed("task-1", 0))
    assert found(pairs, "seed", {"task-0": "left"}) is None
