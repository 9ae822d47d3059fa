import math
from collections.abc import Sequence
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.proof.comparison import Comparison, Outcome, Pair, Terms, can_pass, compare, worth_a_look
from runbookopt.proof.statistics import mcnemar_mid_p

FIRST, SECOND = 0.025, 0.05 / 6


def outcome(score: float, *, gates: Sequence[str] = (), errors: int = 0, tone: float = 1.0) -> Outcome:
    return Outcome(score, {"accuracy": score, "tone": tone}, tuple(gates), errors)


def pair(number: int, before: Outcome, after: Outcome) -> Pair:
    return Pair(f"task-{number}", f"group-{number}", (before,), (after,))


def pairs(*, wins: int, losses: int, failing: int = 0, passing: int = 0) -> list[Pair]:
    both = [(0, 1)] * wins + [(1, 0)] * losses + [(0, 0)] * failing + [(1, 1)] * passing
    return [pair(number, outcome(b), outcome(a)) for number, (b, a) in enumerate(both)]


def judged(compared: list[Pair], **terms: float) -> Comparison:
    return compare(compared, msgspec.convert(terms, Terms), spend=FIRST, next_spend=SECOND)


def test_a_clear_winner_is_accepted_with_its_figures() -> None:
    comparison = judged(pairs(wins=20, losses=1, failing=15, passing=24))
    assert comparison.answer == "accepted"
    assert (comparison.tasks, comparison.groups, comparison.passing_today) == (60, 60, 25)
    assert comparison.before == pytest.approx(25 / 60)
    assert comparison.after == pytest.approx(44 / 60)
    assert comparison.gain == pytest.approx(19 / 60)
    assert comparison.p == mcnemar_mid_p(20, 1)
    assert 0 < comparison.low < comparison.gain < comparison.high
    assert comparison.tasks_needed is None


def test_reasons_say_what_is_invisible_and_that_few_tasks_pass_today() -> None:
    reasons = judged(pairs(wins=20, losses=0, failing=30, passing=10)).reasons
    assert "harm that strikes less than 3 in 60 tasks is invisible here" in reasons
    assert "only 10 held-out tasks pass today, so that a loss can hardly be seen" in reasons


def test_what_could_be_luck_is_inconclusive_and_says_how_many_more_groups_it_takes() -> None:
    comparison = judged(pairs(wins=6, losses=2, failing=20, passing=20))
    assert (comparison.answer, comparison.p > FIRST) == ("inconclusive", True)
    assert comparison.tasks_needed == 250
    assert "about 250 more held-out groups would settle it" in comparison.reasons


def test_no_gain_is_rejected() -> None:
    comparison = judged(pairs(wins=5, losses=5, failing=20))
    assert (comparison.answer, comparison.tasks_needed) == ("rejected", None)
    assert "the gain is not above the margin of +0.0 points" in comparison.reasons


def test_the_lower_bound_has_to_reach_the_margin() -> None:
    compared = pairs(wins=14, losses=0, failing=30, passing=16)
    assert judged(compared, margin=0.05).answer == "accepted"
    assert judged(compared, margin=0.2).answer == "inconclusive"
    assert judged(compared, margin=0.3).answer == "rejected"


def test_at_margin_zero_the_mid_p_alone_decides() -> None:
    for wins in range(5, 40):
        for losses in range(wins):
            comparison = judged(pairs(wins=wins, losses=losses, failing=20))
            assert (comparison.answer == "accepted") == (mcnemar_mid_p(wins, losses) <= FIRST)


def test_fewer_than_twenty_groups_prove_nothing() -> None:
    comparison = judged(pairs(wins=19, losses=0))
    assert (comparison.answer, comparison.tasks_needed) == ("inconclusive", 1)
    assert "19 held-out groups are too few to prove anything: it takes 20" in comparison.reasons
    assert judged(pairs(wins=20, losses=0)).answer == "accepted"


def test_more_than_five_percent_errors_leave_it_open() -> None:
    broken = [pair(100 + number, outcome(1), outcome(0, errors=1)) for number in range(3)]
    few = judged(pairs(wins=25, losses=0) + broken[:2])
    many = judged(pairs(wins=25, losses=0) + broken)
    assert (few.answer, few.errors) == ("accepted", pytest.approx(2 / 54))
    assert (many.answer, many.errors, many.tasks_needed) == ("inconclusive", pytest.approx(3 / 56), None)


def test_a_gate_that_fails_more_often_holds_an_acceptance_back() -> None:
    swapped = [
        pair(100, outcome(0, gates=["json"]), outcome(1)),
        pair(101, outcome(1), outcome(0, gates=["json"])),
    ]
    once_more = [pair(102, outcome(1), outcome(0, gates=["json"]))]
    assert judged(pairs(wins=25, losses=0) + swapped).answer == "accepted"
    comparison = judged(pairs(wins=25, losses=0) + swapped + once_more)
    assert comparison.answer == "inconclusive"
    assert "gate json fails more often: 1 to 2 tasks" in comparison.reasons


def test_a_gate_that_fails_significantly_more_often_rejects() -> None:
    worse = [pair(100 + number, outcome(0), outcome(0, gates=["json"])) for number in range(5)]
    comparison = judged(pairs(wins=25, losses=0) + worse)
    assert comparison.answer == "rejected"
    assert any(
        reason.startswith("gate json fails significantly more often: 0 to 5") for reason in comparison.reasons
    )


@pytest.mark.parametrize(
    ("wins", "losses", "answer"),
    [(0, 0, "accepted"), (0, 3, "accepted"), (1, 5, "inconclusive"), (0, 4, "rejected")],
)
def test_an_objective_may_lose_what_is_tolerated_but_not_significantly(
    wins: int, losses: int, answer: str
) -> None:
    better = [pair(100 + k, outcome(1, tone=0), outcome(1, tone=1)) for k in range(wins)]
    worse = [pair(200 + k, outcome(1, tone=1), outcome(1, tone=0)) for k in range(losses)]
    comparison = judged(pairs(wins=25, losses=0, passing=35 - wins - losses) + better + worse)
    assert comparison.answer == answer
    tone = comparison.objectives["tone"]
    assert (tone.before, tone.after) == ((60 - wins) / 60, (60 - losses) / 60)
    assert (tone.high <= 0) == (answer == "rejected")


@pytest.mark.parametrize("worse", [0.02, 0.001, 0.0003])
def test_an_objective_that_is_a_little_worse_everywhere_is_told_and_rejects(worse: float) -> None:
    compared = [pair(number, outcome(0, tone=1), outcome(number % 2, tone=1 - worse)) for number in range(60)]
    comparison = judged(compared)
    assert (comparison.p < 1e-6, comparison.answer) == (True, "rejected")
    assert any(reason.startswith("objective tone is significantly worse") for reason in comparison.reasons)
    assert comparison.objectives["tone"].high <= 0


def test_the_upper_bound_of_the_score_imagines_nothing_for_the_winner() -> None:
    compared = [pair(number, outcome(0.5), outcome(0.48)) for number in range(60)]
    assert judged(compared).high <= 0


@pytest.mark.parametrize("score", [1.2, -0.01, math.nan])
def test_a_score_outside_its_range_is_an_error_where_it_is_made(score: float) -> None:
    with pytest.raises(ValueError, match=r"score is .*: expected 0 to 1"):
        Outcome(score, {})
    with pytest.raises(ValueError, match=r"tone is .*: expected 0 to 1"):
        Outcome(1.0, {"tone": score})


def test_repeats_are_averaged_first_and_then_the_tasks_of_a_group() -> None:
    half = Pair("a", "one", (outcome(0), outcome(0)), (outcome(1), outcome(0)))
    whole = Pair("b", "one", (outcome(0),), (outcome(1),))
    other = Pair("c", "two", (outcome(1), outcome(0), outcome(1)), (outcome(1),))
    comparison = judged([half, whole, other])
    assert (comparison.tasks, comparison.groups, comparison.passing_today) == (3, 2, 1)
    assert (comparison.before, comparison.after) == (pytest.approx(1 / 3), pytest.approx(7 / 8))


@given(st.permutations(pairs(wins=6, losses=2, failing=8, passing=8)))
def test_the_order_of_tasks_does_not_matter(compared: list[Pair]) -> None:
    assert judged(compared) == judged(sorted(compared, key=lambda pair: pair.task))


def test_a_harm_in_one_of_ten_tasks_does_not_pass_behind_small_gains() -> None:
    rng, accepted = Random(3), 0
    for _ in range(200):
        after = [0.5 if rng.random() < 0.9 else 0.0 for _ in range(40)]
        small = [pair(k, outcome(0.45), outcome(score)) for k, score in enumerate(after)]
        accepted += judged(small).answer == "accepted"
    assert accepted <= 5


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="attempts of both"):
        judged([])
    with pytest.raises(ValueError, match="attempts of both"):
        judged([Pair("a", "a", (outcome(1),), ())])


def test_terms_are_checked_where_they_are_read() -> None:
    for key, value in {"margin": -0.1, "allowance": 0, "tolerance": 2, "repeats": 0, "margni": 0}.items():
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({key: value}, Terms)


def test_what_cannot_pass_is_known_beforehand() -> None:
    assert [can_pass(groups, FIRST) for groups in (0, 5, 6, 20)] == [False, False, True, True]
    assert not can_pass(10, 5e-5 / 6)
    assert not can_pass(20, FIRST, margin=0.9)


def test_a_validation_result_is_tested_without_the_imagined_loss() -> None:
    assert worth_a_look([1.0] * 3 + [0.0] * 10) == mcnemar_mid_p(3, 0)
    assert worth_a_look([0.5] * 3 + [0.0] * 10) == mcnemar_mid_p(3, 0)
