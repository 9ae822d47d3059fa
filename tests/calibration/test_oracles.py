"""Each formula against scikit-learn, statsmodels and scipy (oracles.py), and against its definition."""

import json
import random
import statistics
from fractions import Fraction
from itertools import product
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runbookopt.calibration.agreement import Table, ac1, figures_of, kappa, lower_bound, mcc, youden
from runbookopt.calibration.corrected import corrected_rate

VALUES = json.loads(Path(__file__).with_name("oracle_values.json").read_text())
Pairs = list[tuple[int, int]]
COUNTS = st.tuples(*[st.integers(0, 60)] * 4)


def items(table: Table) -> Pairs:
    """Give the items, as people and the criterion have them."""
    cells = [((1, 1), table.tp), ((0, 1), table.fp), ((1, 0), table.fn), ((0, 0), table.tn)]
    return [cell for cell, count in cells for _ in range(count)]


def told(counts: list[int] | tuple[int, ...], seed: int = 18) -> dict[str, float | None]:
    found = figures_of(Table(*counts), seed)
    values = {name: getattr(found, name).value for name in ("tpr", "tnr", "j", "mcc", "kappa")}
    return values | {"tpr_low": found.tpr.low, "tpr_high": found.tpr.high}


@pytest.mark.parametrize(("counts", "said"), VALUES["shares"], ids=range(len(VALUES["shares"])))
def test_all_figures_are_those_of_scikit_learn_and_statsmodels(
    counts: list[int], said: dict[str, float]
) -> None:
    assert told(counts) == pytest.approx(said, abs=1e-9)


@pytest.mark.parametrize(("counts", "said"), VALUES["bootstrapped"], ids=range(len(VALUES["bootstrapped"])))
def test_the_bootstrap_is_that_of_scipy_drawn_as_binomials(counts: list[int], said: dict[str, float]) -> None:
    table = Table(*counts)
    found = figures_of(table, seed=18).mcc
    bound = lower_bound(table, mcc, 0.01, seed=18)
    assert (bound, found.low, found.high) == pytest.approx(
        (said["bound"], said["low"], said["high"]), abs=0.03
    )


@given(COUNTS)
@example((0, 0, 0, 0))
@example((7, 0, 3, 0))
@example((20, 0, 0, 20))
@example((0, 20, 20, 0))
def test_each_measure_is_what_its_definition_says_of_the_single_items(counts: tuple[int, ...]) -> None:
    table = Table(*counts)
    pairs = items(table)
    people, says = [one for one, _ in pairs], [other for _, other in pairs]
    if len(set(people)) == 2 and len(set(says)) == 2:
        assert mcc(table) == pytest.approx(statistics.correlation(people, says), abs=1e-9)
        means = [statistics.fmean(says[k] for k in range(len(pairs)) if people[k] == of) for of in (1, 0)]
        assert youden(table) == pytest.approx(means[0] - means[1])
    by_chance = sum(one != other for one, other in product(people, says)) if len(pairs) < 80 else None
    if by_chance:  # Cohen's kappa is one less how much rarer people and criterion differ than any two do
        differing = sum(one != other for one, other in pairs) * len(pairs)
        assert kappa(table) == pytest.approx(1 - differing / by_chance)
    elif by_chance == 0:
        assert kappa(table) is None
    assert ac1(table) == (None if not pairs else pytest.approx(float(gwet(pairs))))


def gwet(pairs: Pairs) -> Fraction:
    """AC1 by Gwet's general formula, for any number of categories."""
    count = len(pairs)
    shares = [Fraction(sum(pair.count(k) for pair in pairs), 2 * count) for k in (0, 1)]
    by_chance = sum(share * (1 - share) for share in shares) / (len(shares) - 1)
    agree = Fraction(sum(one == other for one, other in pairs), count)
    return (agree - by_chance) / (1 - by_chance)


@given(COUNTS)
def test_intervals_hold_what_they_are_of(counts: tuple[int, ...]) -> None:
    found = figures_of(Table(*counts), seed=1)
    for estimate in (found.tpr, found.tnr, found.prevalence, found.j, found.mcc, found.kappa, found.ac1):
        if estimate.value is None:
            assert (estimate.low, estimate.high) == (None, None)
        else:
            assert estimate.low is not None
            assert estimate.high is not None
            assert estimate.low - 1e-9 <= estimate.value <= estimate.high + 1e-9


@given(st.integers(1, 200), st.data())
def test_a_criterion_that_never_errs_needs_no_correction(outputs: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, outputs))
    rate = corrected_rate(passed, outputs, Table(tp=50, tn=50), seed=1)
    assert rate.corrected.value == pytest.approx(rate.raw.value)


def test_a_rate_is_corrected_by_rogan_and_gladen_and_is_open_where_nothing_is_known() -> None:
    table = Table(tp=80, fn=20, tn=90, fp=10)
    rate = corrected_rate(310, 500, table, seed=1)
    assert rate.raw.value == 0.62
    assert rate.corrected.value == pytest.approx((0.62 + 0.9 - 1) / (0.8 + 0.9 - 1))
    assert rate.corrected.low is not None
    assert rate.corrected.high is not None
    assert rate.corrected.low < rate.corrected.value < rate.corrected.high
    assert corrected_rate(310, 500, Table(tp=5, fn=5, tn=5, fp=5), seed=1).corrected.value is None
    unsure = corrected_rate(310, 500, Table(tp=8, fn=2, tn=4, fp=6), seed=1).corrected
    assert (unsure.low, unsure.high) == (0, 1)  # some draws know nothing, and are not left out


# Exhaustively ---------------------------------------------------------------------------------------------


@pytest.mark.nightly
def test_what_is_written_down_is_what_the_libraries_say(oracles: ModuleType) -> None:
    assert [table for table, _ in VALUES["shares"]] == [list(table) for table in oracles.tables()]
    for table in oracles.tables(300, seed=19):
        assert told(table) == pytest.approx(oracles.shares(table), abs=1e-9)
    for table, said in VALUES["bootstrapped"]:
        assert oracles.bootstrapped(tuple(table)) == pytest.approx(said, abs=0.01)


@pytest.mark.nightly
def test_the_corrected_rate_lies_in_its_interval_as_often_as_it_says() -> None:
    """500 draws of a judge with TPR .85 and TNR .8, 60 labels a class, 300 outputs of which .7 pass."""
    rng, inside = random.Random(18), 0

    def binomial(size: int, rate: float) -> int:
        return sum(rng.random() < rate for _ in range(size))

    for number in range(500):
        tp, tn, passed = binomial(60, 0.85), binomial(60, 0.8), binomial(300, 0.7 * 0.85 + 0.3 * 0.2)
        found = corrected_rate(passed, 300, Table(tp=tp, fn=60 - tp, tn=tn, fp=60 - tn), number).corrected
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 0.7 <= found.high
    assert 460 <= inside <= 495
