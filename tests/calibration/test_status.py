import pytest

from runbookopt.calibration.agreement import Table
from runbookopt.calibration.status import LEAST, labels_needed, status_of


def of(passes: int, fails: int, tpr: float, tnr: float) -> Table:
    tp, tn = round(passes * tpr), round(fails * tnr)
    return Table(tp=tp, fn=passes - tp, tn=tn, fp=fails - tn)


@pytest.mark.parametrize(
    ("table", "status"),
    [
        (Table(), "uncalibrated"),
        (Table(abstained=40), "uncalibrated"),
        (of(50, 0, 1, 1), "advisory"),  # nothing says what it does with failures
        (of(50, 14, 1, 1), "advisory"),
        (of(15, 15, 1, 1), "gates"),
        (of(15, 15, 0.8, 0.8), "advisory"),  # .6, and nothing says that it is not .3
        (of(100, 100, 0.85, 0.85), "gates"),
        (of(100, 100, 0.75, 0.75), "advisory"),
        (of(100, 100, 0.65, 0.65), "rejected"),
        (of(100, 100, 0, 0), "rejected"),
        (of(10, 10, 0.5, 0.5), "advisory"),  # too few to reject it either
    ],
)
def test_a_look_at_labels_gives_the_status_that_the_rule_says(table: Table, status: str) -> None:
    assert status_of(table, seed=1) == status


def test_a_strict_rule_asks_for_both_rates() -> None:
    assert status_of(of(50, 50, 0.9, 0.9), seed=1, strict=True) == "gates"
    assert status_of(of(50, 50, 0.88, 1), seed=1, strict=True) == "advisory"
    assert status_of(of(50, 50, 0.88, 1), seed=1) == "gates"


def test_the_labels_that_it_says_are_needed_suffice_and_not_one_less() -> None:
    table = of(15, 40, 0.8, 0.85)
    needed = labels_needed(table, table, seed=1)
    assert needed is not None
    assert needed.fails == 40
    assert needed.passes > LEAST
    rates = table.tp / table.passes, table.tn / table.fails
    assert status_of(of(needed.passes, 40, *rates), seed=1) == "gates"
    assert status_of(of(needed.passes - 1, 40, *rates), seed=1) == "advisory"


def test_no_number_of_labels_helps_a_criterion_that_is_not_good_enough() -> None:
    for table in (of(100, 100, 0.75, 0.75), of(100, 0, 0.75, 0.75)):
        assert labels_needed(table, table, seed=1) is None
