from random import Random

import pytest

from benchmarks.skew import groups_needed, settings
from runbookopt.proof.sample_size import groups_to_prove, proves, repeated, shrunk
from runbookopt.proof.statistics import paired_p, tasks_needed

FIRST = 0.025
SETTINGS = settings() | {"2 % lose all": lambda rng: -1.0 if rng.random() < 0.02 else 0.06}


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_groups_said_to_be_needed_prove_such_a_gain_four_times_in_five(setting: str) -> None:
    draw, rng = SETTINGS[setting], Random(6)
    groups = groups_needed(draw)
    proven = sum(paired_p([draw(rng) for _ in range(groups)]) <= FIRST for _ in range(400))
    assert 0.7 <= proven / 400 <= 0.96  # disasters come in whole numbers, so that a few more may do


def test_disasters_among_small_gains_need_far_more_groups() -> None:
    gains = [0.1] * 40
    without = tasks_needed(gains, level=FIRST)
    one, two = (tasks_needed([*gains, *[-0.9] * lost], level=FIRST) for lost in (1, 2))
    assert None not in (without, one, two)
    assert without < one < two
    assert tasks_needed([*gains, *[-0.9] * 5], level=FIRST) is None


def test_a_margin_and_a_stricter_level_need_more_groups() -> None:
    seen = [0.4] * 20 + [-0.2] * 8 + [0.0] * 12
    least = tasks_needed(seen, level=FIRST)
    assert least is not None
    for more in (tasks_needed(seen, level=FIRST / 10), tasks_needed(seen, level=FIRST, margin=0.05)):
        assert more is not None
        assert more > least
    assert tasks_needed(seen, level=FIRST, margin=0.3) is None


def test_once_a_number_of_groups_proves_a_gain_more_of_them_do() -> None:
    atoms = shrunk([0.3, 0.3, 0.2, -0.1, 0.0, 0.5, -0.4, 0.25])
    needed = groups_to_prove(atoms, level=FIRST)
    assert needed is not None
    assert not proves(atoms, needed // 2, level=FIRST)
    assert all(proves(atoms, more * needed, level=FIRST) for more in (1, 2, 10))


def test_a_gain_too_small_for_a_million_groups_needs_more_than_can_be_said() -> None:
    assert groups_to_prove([(1.0, 0.50001), (-1.0, 0.49999)], level=FIRST) is None


def test_repeats_are_drawn_as_chance_has_it() -> None:
    atoms = dict(repeated(3, 0.5, 0.8))
    assert len(atoms) == 7
    assert sum(atoms.values()) == pytest.approx(1)
    assert sum(value * chance for value, chance in atoms.items()) == pytest.approx(0.3)
    assert atoms[1.0] == pytest.approx(0.5**3 * 0.8**3)


def test_values_of_every_size_are_drawn_together_without_moving_their_mean() -> None:
    rng = Random(2)
    many = [rng.uniform(-0.5, 0.8) for _ in range(200)]
    atoms = shrunk(many)
    assert len(atoms) <= 50
    mean = sum(value * weight for value, weight in atoms) / sum(weight for _, weight in atoms)
    assert mean == pytest.approx(sum(many) / 201)
