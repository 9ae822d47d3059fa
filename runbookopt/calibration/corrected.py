"""Rate of passes by a criterion that errs: as it says, and corrected by how it errs (pure).

Rogan and Gladen (1978), "Estimating prevalence from the results of a screening test".
"""

import random

from msgspec import Struct

from runbookopt.calibration.agreement import DRAWS, INTERVAL, Estimate, Table, drawn, share, youden


class Rate(Struct, frozen=True):
    """Share of outputs that pass: `raw` as the criterion says, `corrected` by how it agrees with people."""

    outputs: int
    raw: Estimate
    corrected: Estimate


def corrected_rate(passed: int, outputs: int, table: Table, seed: int) -> Rate:
    """The rate of `passed` of `outputs` by a criterion that agrees with people as `table` says.

    The interval draws the labelled outputs (within their classes) and the others anew, each time. Where a
    draw leaves a criterion that knows nothing (J of 0 or less), the rate may be anything: it widens the
    interval to either side, and is not left out.
    """
    raw = share(passed, outputs)
    if raw.value is None or (youden(table) or 0) <= 0:
        return Rate(outputs, raw, Estimate(None, None, None))
    value = _corrected(raw.value, table.tp / table.passes, table.tn / table.fails)
    rng = random.Random(seed)
    draws = zip(
        drawn(table.tp, table.passes, rng),
        drawn(table.tn, table.fails, rng),
        drawn(passed, outputs, rng),
        strict=True,
    )
    values = [_corrected(p / outputs, tp / table.passes, tn / table.fails) for tp, tn, p in draws]
    lows = sorted(0.0 if each is None else each for each in values)
    highs = sorted(1.0 if each is None else each for each in values)
    aside = int(INTERVAL * DRAWS)
    return Rate(outputs, raw, Estimate(value, lows[aside], highs[-1 - aside]))


def _corrected(raw: float, tpr: float, tnr: float) -> float | None:
    j = tpr + tnr - 1
    return min(1.0, max(0.0, (raw + tnr - 1) / j)) if j > 0 else None
