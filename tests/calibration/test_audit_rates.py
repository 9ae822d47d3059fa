"""What an audit is worth, by simulation through the functions that a merge uses: `benchmarks/audit.py`."""

import pytest

from benchmarks.audit import HALVES, RULE, SIZES, Rates, flattered, searched, simulated, worlds

PHANTOM, REAL = worlds()[:2]
SIMULATED = {160: 0.44, 400: 0.85}
"""How often the invented gain is accepted without an audit, as the audit was designed for."""
REPORTING = HALVES["reporting"]


def rates(gains: bool, tasks: int, draws: int) -> Rates:
    return simulated(REAL if gains else PHANTOM, tasks, draws, REPORTING)


def test_the_worlds_are_what_they_are_called() -> None:
    assert PHANTOM.gain == pytest.approx(0)
    assert REAL.gain == pytest.approx(0.15)
    assert PHANTOM.missed_after - PHANTOM.missed == pytest.approx(0.2)
    assert REAL.missed_after == REAL.missed


def test_an_invented_gain_seldom_passes_an_audit_and_a_real_one_nearly_always() -> None:
    phantom, real = rates(False, 160, 100), rates(True, 160, 100)
    assert phantom.accepted / phantom.draws == pytest.approx(SIMULATED[160], abs=0.12)
    assert phantom.passing < 0.15
    assert real.passing > 0.88


def test_the_search_finds_what_a_judge_likes_the_proof_accepts_it_and_no_audit_does() -> None:
    winner = searched()
    assert RULE in winner
    found = flattered(winner, 60, 10, REPORTING)
    assert (found.accepted, found.confirmed) == (10, 0)


@pytest.mark.nightly
@pytest.mark.parametrize("tasks", SIZES)
def test_of_two_thousand_invented_gains_at_most_nine_percent_pass_and_of_real_ones_at_most_twelve_do_not(
    tasks: int,
) -> None:
    phantom, real = rates(False, tasks, 2000), rates(True, tasks, 2000)
    assert phantom.accepted / phantom.draws == pytest.approx(SIMULATED[tasks], abs=0.05)
    assert phantom.passing <= 0.09
    assert 1 - real.passing <= 0.12


@pytest.mark.nightly
@pytest.mark.parametrize("tasks", SIZES)
def test_what_the_charmed_judge_lets_through_is_accepted_and_never_confirmed(tasks: int) -> None:
    found = flattered(searched(), tasks, 2000, REPORTING)
    assert (found.accepted, found.confirmed) == (2000, 0)
