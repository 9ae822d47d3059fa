import pytest

from runbookopt.calibration.agreement import Table, ac1, figures, figures_of, kappa, lower_bound, mcc, youden

PERFECT = Table(tp=20, tn=20)
INVERTED = Table(fp=20, fn=20)


def test_a_perfect_criterion_and_an_inverted_one_lie_at_the_ends() -> None:
    for measure in (youden, mcc, kappa):
        assert (measure(PERFECT), measure(INVERTED)) == (1, -1)
    assert (ac1(PERFECT), ac1(INVERTED)) == (1, -1)


def test_twenty_of_twenty_are_not_taken_for_certainty() -> None:
    found = figures_of(PERFECT, seed=1)
    assert found.mcc.low is not None
    assert found.mcc.low < 0.95
    assert found.tpr.low == pytest.approx(0.8316, abs=1e-4)  # scipy.stats.beta.ppf(.025, 20, 1)


def test_without_a_class_nothing_is_said_of_it() -> None:
    found = figures_of(Table(tp=7, fn=3), seed=1)
    assert found.tpr.value == 0.7
    assert (found.tnr.value, found.j.value, found.mcc.value, found.mcc.low) == (None, None, None, None)
    assert lower_bound(Table(tp=7, fn=3), mcc, 0.01, seed=1) is None


def test_without_any_verdict_all_is_unknown_but_the_abstentions() -> None:
    found = figures([("pass", "abstained"), ("fail", "abstained"), ("fail", "error")], seed=1)
    shares = (found.tpr, found.tnr, found.j, found.mcc, found.kappa, found.ac1, found.prevalence)
    assert {each.value for each in shares} == {None}
    assert (found.abstained.value, found.errors.value) == (2 / 3, 1 / 3)
    assert figures([], seed=1).abstained.value is None


def test_always_the_same_verdict_knows_nothing() -> None:
    yes = Table(tp=30, fp=20)
    assert (mcc(yes), kappa(yes), youden(yes)) == (0, 0, 0)


def test_one_rare_class_is_called_a_paradox() -> None:
    found = figures_of(Table(tp=118, fp=5, fn=2, tn=0), seed=1)  # the example of Gwet (2008)
    assert found.kappa.value == pytest.approx(-0.0234, abs=1e-4)
    assert found.ac1.value == pytest.approx(0.9408, abs=1e-4)
    assert found.paradox
    assert not figures_of(Table(tp=50, fp=5, fn=2, tn=40), seed=1).paradox


def test_the_same_seed_gives_the_same_intervals() -> None:
    table = Table(tp=41, fp=7, fn=9, tn=28)
    assert figures_of(table, seed=3) == figures_of(table, seed=3)
    assert figures_of(table, seed=3).mcc != figures_of(table, seed=4).mcc
