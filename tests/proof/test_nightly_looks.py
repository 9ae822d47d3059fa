"""How often luck gets through thirty nightly looks, by the real comparison and the real allowance."""

from random import Random

import pytest

from runbookopt.proof.allowance import Look, allowance, group_digests, look_key
from runbookopt.proof.comparison import Comparison, Outcome, Pair, Terms, compare

TASKS, NIGHTS = 72, 30
TERMS = Terms()
GROUPS = group_digests(f"customer-{task}" for task in range(TASKS))
REFERENCES = {f"task-{task}": "reference" for task in range(TASKS)}
OUTCOMES = (Outcome(score=0.0, objectives={}), Outcome(score=1.0, objectives={}))  # objectives only hold back
PAIRS = [
    [[Pair(f"task-{task}", f"customer-{task}", (b,), (a,)) for a in OUTCOMES] for b in OUTCOMES]
    for task in range(TASKS)
]
Answers = list[bool]


def judge(before: Answers, after: Answers, earlier: list[Look], *, ledger: bool = True) -> Comparison:
    may = allowance(earlier, GROUPS, REFERENCES, TERMS.allowance)
    spend = may.spend if ledger else TERMS.allowance
    pairs = [PAIRS[task][b][a] for task, (b, a) in enumerate(zip(before, after, strict=True))]
    return compare(pairs, TERMS, spend=spend, next_spend=may.next_spend)


def looked(night: int) -> Look:
    candidate = f"candidate-{night}"
    key = look_key("triage", seed="s", candidate=candidate, rubric="r", agent="a", groups=GROUPS)
    return Look(key, "triage", "s", candidate, "r", "a", GROUPS, REFERENCES, ())


LOOKS = [looked(night) for night in range(NIGHTS)]


def null_candidate(rng: Random, seed: Answers, rate: float) -> Answers:
    """One that does otherwise than the seed on `rate` of the tasks, for better or worse as chance has it."""
    return [passed != (rng.random() < rate) for passed in seed]


def told_not_accepted(rng: Random, seed: Answers, rate: float, refused: Answers) -> Answers:
    """The next one, by who knows all that a later search may: that this one was not. Half of it is new."""
    fresh = null_candidate(rng, seed, rate)
    return [new if rng.random() < 0.5 else old for old, new in zip(refused, fresh, strict=True)]


def gets_through(rng: Random, rate: float, *, ledger: bool) -> bool:
    seed = [rng.random() < 0.5 for _ in range(TASKS)]
    candidate = null_candidate(rng, seed, rate)
    for night in range(NIGHTS):
        if judge(seed, candidate, LOOKS[:night], ledger=ledger).answer == "accepted":
            return True
        candidate = told_not_accepted(rng, seed, rate, candidate)
    return False


def share_that_gets_through(sequences: int, *, ledger: bool) -> float:
    rates = [(0.10, 0.25, 0.40)[number % 3] for number in range(sequences)]
    through = [gets_through(Random(number), rate, ledger=ledger) for number, rate in enumerate(rates)]
    return sum(through) / sequences


FEW_OR_ALL = pytest.mark.parametrize("sequences", [120, pytest.param(2000, marks=pytest.mark.nightly)])


@pytest.mark.slow
@FEW_OR_ALL
def test_a_month_of_looks_with_no_better_candidate_accepts_one_in_at_most_five_percent_of_sequences(
    sequences: int,
) -> None:
    assert 0.005 <= share_that_gets_through(sequences, ledger=True) <= 0.05


@pytest.mark.slow
@FEW_OR_ALL
def test_without_the_ledger_four_in_ten_sequences_would_accept_luck(sequences: int) -> None:
    assert share_that_gets_through(sequences, ledger=False) >= 0.40


def test_a_winner_that_is_25_points_better_is_accepted_at_the_first_look() -> None:
    rng = Random(1)
    before_and_after = [(False, True), (True, False), (False, False), (True, True)]
    accepted, sequences = 0, 500
    for _ in range(sequences):
        drawn = rng.choices(before_and_after, weights=(0.28, 0.03, 0.345, 0.345), k=TASKS)
        accepted += judge([b for b, _ in drawn], [a for _, a in drawn], []).answer == "accepted"
    assert accepted >= 0.97 * sequences
