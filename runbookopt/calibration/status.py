"""Status of a criterion: whether it has earned its say, and how many labels it lacks for that (pure)."""

from typing import Literal

from msgspec import Struct

from runbookopt.calibration.agreement import Table, lower_bound, mcc
from runbookopt.proof.statistics import clopper_pearson_lower

Status = Literal["gates", "advisory", "rejected", "stale", "exempt", "uncalibrated"]
"""`gates` decides; `advisory` informs; `rejected` agrees with people too little; `stale` once gated, and then
it, its judge or the time changed; `exempt` holds outputs against a reference or a schema; `uncalibrated` was
never held against labels."""

GATES = 0.6
"""The MCC from which a criterion may decide."""
ADVISES = 0.4
"""The MCC below which it is rejected, and which the lower bound has to reach for it to decide."""
LEAST = 15
"""Held-out labels of each class, at any bound."""
LEVEL = 0.01
"""What the one-sided lower bound leaves out at a first look."""
STRICT_RATE = 0.8
STRICT_LEVEL = 0.05
MOST_LABELS = 20_000
"""Of a class: beyond them nobody labels."""


class Needed(Struct, frozen=True):
    """Held-out labels of each class with which a criterion would gate if it went on as it does."""

    passes: int
    fails: int


def status_of(table: Table, *, seed: int, level: float = LEVEL, strict: bool = False) -> Status:
    """The status that a look at held-out labels gives.

    It gates where MCC is .6 and more, its one-sided lower bound at `level` .4 and more, and there are 15
    labels of each class; `strict` adds that both rates have a 95 % lower bound of .8. A .4 judge then gates
    in about 3 of 100 calibrations at 15 labels a class, a .8 judge in more than 80.
    """
    if not table.judged:
        return "uncalibrated"
    value = mcc(table)
    if value is None or min(table.passes, table.fails) < LEAST:
        return "advisory"
    if value < ADVISES:
        return "rejected"
    rates = [(table.tp, table.passes), (table.tn, table.fails)] if strict else []
    lows = [clopper_pearson_lower(hits, size, STRICT_LEVEL) for hits, size in rates]
    if value < GATES or any(low < STRICT_RATE for low in lows):
        return "advisory"
    bound = lower_bound(table, mcc, level, seed)
    return "gates" if bound is not None and bound >= ADVISES else "advisory"


def labels_needed(
    table: Table, there: Table, *, seed: int, level: float = LEVEL, strict: bool = False
) -> Needed | None:
    """The held-out labels of each class with which a criterion of the rates of `table` would gate.

    Those of `there` are among them. None where no number would do, or none that anybody labels; also where a
    class is missing, so that nothing says what its rate is.
    """
    if mcc(table) is None:
        return None

    def grown(size: int) -> Table:
        passes, fails = max(size, there.passes), max(size, there.fails)
        tp, tn = round(passes * table.tp / table.passes), round(fails * table.tn / table.fails)
        return Table(tp=tp, fn=passes - tp, tn=tn, fp=fails - tn)

    def gates(size: int) -> bool:
        return status_of(grown(size), seed=seed, level=level, strict=strict) == "gates"

    small, large = LEAST - 1, LEAST
    while not gates(large):
        small, large = large, large * 2
        if large > MOST_LABELS:
            return None
    while large - small > 1:
        middle = (small + large) // 2
        small, large = (small, middle) if gates(middle) else (middle, large)
    return Needed(max(large, there.passes), max(large, there.fails))
