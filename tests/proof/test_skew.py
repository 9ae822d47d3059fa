"""Level and power of the proof on scores that rare disasters skew: `benchmarks/skew.py` prints figures."""

from functools import lru_cache
from math import comb, fsum
from random import Random

import pytest

from benchmarks.skew import (
    ALLOWANCE,
    LEVELS,
    Null,
    Tail,
    before_p,
    compared,
    nightly_spends,
    nulls,
    power,
    settings,
    tail,
    worst,
)
from runbookopt.proof.comparison import Outcome, Pair, Terms, compare
from runbookopt.proof.statistics import binary_p, paired_p

NULLS = {null.name: null for null in nulls()}
WORSE = {null.name: null for null in (each.below(0.9) for each in NULLS.values())}
QUICK = [name for name, null in NULLS.items() if null.is_exact and null.groups <= 72]
DRAWS = 20_000
rare = pytest.mark.nightly


@lru_cache
def found(name: str) -> Tail:
    return tail((NULLS | WORSE)[name], paired_p, DRAWS)


def one_of(names: list[str]) -> pytest.MarkDecorator:
    """Some of them each day, all of them each night."""
    return pytest.mark.parametrize(
        "name", [*QUICK, *(pytest.param(name, marks=rare) for name in names if name not in QUICK)]
    )


@one_of([*NULLS, *WORSE])
def test_what_is_no_better_is_accepted_at_a_first_look_no_more_often_than_the_level(name: str) -> None:
    for level in LEVELS:
        assert found(name).least_rate(level) <= level


@one_of([*NULLS, *WORSE])
def test_thirty_nights_accept_what_is_no_better_in_at_most_five_percent_of_sequences(name: str) -> None:
    assert len(nightly_spends()) == 30
    assert found(name).month() <= ALLOWANCE


def test_the_generators_are_no_better_and_fooled_the_rule_before() -> None:
    assert len(NULLS) >= 20
    for null in NULLS.values():
        assert null.gain == pytest.approx(0, abs=1e-12)
        assert fsum(chance for _, chance in null.atoms) == pytest.approx(1)
        assert null.below(0.9).gain < 0
    before = tail(NULLS["5.0% lose 1, n = 72"], before_p, 0)
    assert before.rate(LEVELS[1]) > 2.9 * LEVELS[1]
    assert before.month() > 0.5
    gated = tail(NULLS["weights 39:1 and a gate, noise 0, n = 120"], before_p, 0)
    assert (gated.rate(LEVELS[0]) > 0.045, gated.month() > 0.6) == (True, True)


@pytest.mark.parametrize("count", [4, pytest.param(600, marks=rare)])
def test_no_three_values_drawn_at_random_break_the_level(count: int) -> None:
    shares = {name: share for name, (share, _) in worst(count).items()}
    assert shares.pop("month") <= ALLOWANCE
    assert max(shares.values()) <= 1.01  # some of these are of -1, 0 and 1 alone


def accepted_of(null: Null, draws: int) -> int:
    """Let the whole comparison answer, and hold it against p alone."""
    rng, accepted = Random(null.name), 0
    for _ in range(draws):
        differences = [round(value, 6) for value in null.draw(rng)]
        comparison = compared(differences)
        assert comparison.p == pytest.approx(paired_p(differences), rel=1e-6)
        passes = comparison.p <= LEVELS[0] and comparison.gain > 0
        assert (comparison.answer == "accepted") == passes == (comparison.gain > 0 and comparison.low >= 0)
        accepted += passes
    return accepted


@pytest.mark.parametrize("draws", [10, pytest.param(400, marks=rare)])
def test_the_whole_comparison_answers_as_its_p_says(draws: int) -> None:
    for name in (
        "5.0% lose 1, n = 72",
        "thirds of 0.5, 0% disasters, n = 30",
        "many sizes, 5% lose 1, n = 72",
    ):
        rates = Tail([(0.0, accepted_of(NULLS[name], draws) / draws)], draws)
        assert rates.least_rate(LEVELS[0]) <= LEVELS[0]


def judged(rng: Random, groups: int) -> list[Pair]:
    """Give a proof by a rubric of accuracy 39, style 1 and a gate: in style now, but the gate breaks."""
    pairs, breaks = [], 0.025 / (0.7 * 0.975 + 0.025)
    for n in range(groups):
        accurate = (rng.random() < 0.7, rng.random() < 0.7)
        before = Outcome(0.975 * accurate[0], {"accuracy": float(accurate[0]), "style": 0.0})
        after = Outcome(0.975 * accurate[1] + 0.025, {"accuracy": float(accurate[1]), "style": 1.0})
        broken = Outcome(0.0, {"accuracy": 0.0, "style": 0.0}, ("safe",))
        pairs.append(Pair(f"t-{n}", f"g-{n}", (before,), (broken if rng.random() < breaks else after,)))
    return pairs


@pytest.mark.parametrize("draws", [8, pytest.param(600, marks=rare)])
def test_a_rubric_with_a_gate_accepts_what_is_no_better_no_more_often_than_the_level(draws: int) -> None:
    rng = Random(9)
    answers = [
        compare(judged(rng, 40), Terms(), spend=LEVELS[0], next_spend=LEVELS[1]).answer for _ in range(draws)
    ]
    assert Tail([(0.0, answers.count("accepted") / draws)], draws).least_rate(LEVELS[0]) <= LEVELS[0]
    assert set(answers) > {"rejected"}


@pytest.mark.parametrize("groups", [40, 72])
@pytest.mark.parametrize("setting", settings())
@pytest.mark.parametrize("draws", [150, pytest.param(2000, marks=rare)])
def test_a_better_winner_is_accepted_no_less_often_than_before(setting: str, groups: int, draws: int) -> None:
    draw = settings()[setting]
    assert power(paired_p, draw, groups, draws) >= power(before_p, draw, groups, draws) - 0.02


@pytest.mark.parametrize("groups", [20, 40, pytest.param(100, marks=rare), pytest.param(200, marks=rare)])
def test_whole_scores_pass_at_most_a_hundredth_more_often_than_the_level(groups: int) -> None:
    for level in LEVELS:
        most = [most_losses(changed, groups, level) for changed in range(groups + 1)]
        passing = [sum(comb(m, k) for k in range(c + 1)) / 2**m for m, c in enumerate(most)]
        for share in (0.1, 0.25, 0.4, 0.6, 0.8, 0.9, 0.95, 1.0):
            rate = fsum(
                comb(groups, m) * share**m * (1 - share) ** (groups - m) * passing[m]
                for m in range(groups + 1)
            )
            assert rate <= 1.01 * level


def most_losses(changed: int, groups: int, level: float) -> int:
    """Give the most losses among so many changed groups that pass, -1 where none do."""
    passing = (k for k in range(changed + 1) if binary_p(changed - k, k, groups) > level)
    return next(passing, changed + 1) - 1
