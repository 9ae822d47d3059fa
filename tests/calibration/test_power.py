"""How often a judge of a true MCC gates: added up over all tables that it can give, not drawn."""

import math
from functools import cache

import pytest

from runbookopt.calibration.agreement import Table, mcc
from runbookopt.calibration.label_ledger import LEVELS
from runbookopt.calibration.status import ADVISES, GATES, status_of

SMALL = 1e-6
"""Tables that are rarer are left out: all of them together are below .01."""


def rates(true_mcc: float, tpr: float) -> tuple[float, float]:
    """Give TPR and TNR of a judge with this MCC where both classes are as large."""
    low, high = 0.0, 1.0
    for _ in range(60):
        tnr = (low + high) / 2
        passed = (tpr + 1 - tnr) / 2
        below = (tpr + tnr - 1) / (2 * math.sqrt(passed * (1 - passed))) < true_mcc
        low, high = (tnr, high) if below else (low, tnr)
    return tpr, tnr


def binomial(size: int, rate: float) -> list[float]:
    return [math.comb(size, k) * rate**k * (1 - rate) ** (size - k) for k in range(size + 1)]


@cache
def gates(passes: int, fails: int, tp: int, tn: int, level: float) -> bool:
    table = Table(tp=tp, fn=passes - tp, tn=tn, fp=fails - tn)
    value = mcc(table)
    return value is not None and value >= GATES and status_of(table, seed=18, level=level) == "gates"


def gating(passes: int, fails: int, tpr: float, tnr: float, level: float = LEVELS[0]) -> float:
    """Give how often a judge with these rates gates."""
    hits, misses = binomial(passes, tpr), binomial(fails, tnr)
    return sum(
        hits[tp] * misses[tn]
        for tp in range(passes + 1)
        for tn in range(fails + 1)
        if hits[tp] * misses[tn] > SMALL and gates(passes, fails, tp, tn, level)
    )


def symmetric(true_mcc: float) -> tuple[float, float]:
    return rates(true_mcc, (1 + true_mcc) / 2)


def test_judges_of_a_known_mcc_have_it() -> None:
    for true_mcc, hits in [(0.4, 0.7), (0.8, 0.9), (ADVISES, 0.97), (0.6, 0.65)]:
        tpr, tnr = rates(true_mcc, hits)
        of_many = Table(
            tp=round(tpr * 10**6),
            fn=round((1 - tpr) * 10**6),
            tn=round(tnr * 10**6),
            fp=round((1 - tnr) * 10**6),
        )
        assert mcc(of_many) == pytest.approx(true_mcc, abs=1e-4)


def test_at_few_labels_a_poor_judge_seldom_gates_and_a_good_one_does() -> None:
    assert gating(15, 15, *symmetric(0.4)) <= 0.05
    assert gating(20, 20, *symmetric(0.8)) >= 0.8


@pytest.mark.nightly
@pytest.mark.parametrize("size", [15, 20, 30, 50, 100])
def test_a_judge_of_4_gates_in_at_most_5_of_100_and_one_of_8_in_at_least_80(size: int) -> None:
    told = {true_mcc: gating(size, size, *symmetric(true_mcc)) for true_mcc in (0.2, 0.4, 0.6, 0.8)}
    print(size, {name: round(value, 3) for name, value in told.items()})  # noqa: T201 - asked for with -s
    assert told[0.2] <= told[0.4] <= 0.05
    assert told[0.8] >= (0.8 if size >= 20 else 0.75)


@pytest.mark.nightly
@pytest.mark.parametrize("tpr", [0.5, 0.6, 0.8, 0.9, 0.97, 0.995])
@pytest.mark.parametrize("sizes", [(15, 15), (20, 20), (50, 50)])
def test_nor_does_a_judge_of_4_that_errs_in_one_class_alone(sizes: tuple[int, int], tpr: float) -> None:
    told = gating(*sizes, *rates(0.4, tpr))
    print(sizes, tpr, round(told, 3))  # noqa: T201 - asked for with -s
    assert told <= 0.05


@pytest.mark.nightly
@pytest.mark.parametrize("size", [15, 30])
def test_three_looks_together_let_no_more_through(size: int) -> None:
    """As if each look were at labels of its own, which is the worst of it."""
    each = [gating(size, size, *symmetric(0.4), level) for level in LEVELS]
    print(size, [round(value, 3) for value in each])  # noqa: T201 - asked for with -s
    assert sum(each) <= 0.1
