"""Agreement of a criterion with people: counts, measures, and intervals of each (pure).

A positive is "pass": TPR is how often the criterion passes what people pass, TNR how often it fails what they
fail.
"""

import math
import random
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import accumulate
from typing import Literal

from msgspec import Struct

from runbookopt.proof.statistics import clopper_pearson_lower

Given = Literal["pass", "fail", "abstained", "error"]
"""A criterion's verdict; it abstains where it answered and said neither; an error is no answer."""

DRAWS = 10_000
INTERVAL = 0.025
"""What either side of an interval leaves out: 95 % of it."""
_PARADOX = 0.2
_REACH = 9.0  # standard deviations beyond which a binomial is not drawn


class Table(Struct, frozen=True):
    """Counts of verdicts against what people say; `abstained` and `errors` are in none of the four."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    abstained: int = 0
    errors: int = 0

    @property
    def passes(self) -> int:
        """The items with a verdict that people pass."""
        return self.tp + self.fn

    @property
    def fails(self) -> int:
        """The items with a verdict that people fail."""
        return self.fp + self.tn

    @property
    def judged(self) -> int:
        """The items with a verdict."""
        return self.passes + self.fails

    @property
    def asked(self) -> int:
        """All items."""
        return self.judged + self.abstained + self.errors


class Estimate(Struct, frozen=True):
    """A measure and its 95 % interval; None where nothing says what it is."""

    value: float | None
    low: float | None
    high: float | None


class Figures(Struct, frozen=True):
    """How a criterion agrees with people; `passes` and `fails` are the items of each class with a verdict.

    `paradox`: nearly all items are of one class, so that kappa says much less than AC1 of the same verdicts.
    """

    table: Table
    passes: int
    fails: int
    tpr: Estimate
    tnr: Estimate
    j: Estimate
    mcc: Estimate
    kappa: Estimate
    ac1: Estimate
    paradox: bool
    prevalence: Estimate
    abstained: Estimate
    errors: Estimate


Measure = Callable[[Table], float | None]


def table_of(pairs: Iterable[tuple[Literal["pass", "fail"], Given]]) -> Table:
    """Count pairs of what people say and what the criterion says."""
    counts = Counter(pairs)
    return Table(
        tp=counts["pass", "pass"],
        fp=counts["fail", "pass"],
        fn=counts["pass", "fail"],
        tn=counts["fail", "fail"],
        abstained=counts["pass", "abstained"] + counts["fail", "abstained"],
        errors=counts["pass", "error"] + counts["fail", "error"],
    )


def figures(pairs: Iterable[tuple[Literal["pass", "fail"], Given]], seed: int) -> Figures:
    """All figures of pairs: what people say, and what the criterion says. `seed` is that of the intervals."""
    return figures_of(table_of(pairs), seed)


def figures_of(table: Table, seed: int) -> Figures:
    """All figures of a table.

    Shares have Clopper and Pearson's interval, the rest the percentiles of `resampled`.
    """
    low, high = kappa(table), ac1(table)
    return Figures(
        table=table,
        passes=table.passes,
        fails=table.fails,
        tpr=share(table.tp, table.passes),
        tnr=share(table.tn, table.fails),
        j=_estimate(table, youden, seed),
        mcc=_estimate(table, mcc, seed),
        kappa=_estimate(table, kappa, seed),
        ac1=_estimate(table, ac1, seed),
        # kappa is low for one rare class alone: Feinstein and Cicchetti's first paradox (1990)
        paradox=low is not None and high is not None and high - low > _PARADOX,
        prevalence=share(table.passes, table.judged),
        abstained=share(table.abstained, table.asked),
        errors=share(table.errors, table.asked),
    )


def youden(table: Table) -> float | None:
    """Youden's J, TPR + TNR - 1: by it a judge shrinks each gain. None where a class is missing."""
    if not table.passes or not table.fails:
        return None
    return table.tp / table.passes + table.tn / table.fails - 1


def mcc(table: Table) -> float | None:
    """Matthews' correlation; 0 where all verdicts are the same, and None where a class is missing.

    Matthews (1975), "Comparison of the predicted and observed secondary structure of T4 phage lysozyme".
    """
    if not table.passes or not table.fails:
        return None
    passed, failed = table.tp + table.fp, table.fn + table.tn
    if not passed or not failed:
        return 0.0
    product = table.tp * table.tn - table.fp * table.fn
    return product / math.sqrt(passed * failed * table.passes * table.fails)


def kappa(table: Table) -> float | None:
    """Cohen's kappa; None where people and criterion say one and the same of all items.

    Cohen (1960), "A coefficient of agreement for nominal scales".
    """
    count = table.judged
    by_chance = (table.tp + table.fp) * table.passes + (table.fn + table.tn) * table.fails
    if by_chance == count * count:  # also of none
        return None
    return (count * (table.tp + table.tn) - by_chance) / (count * count - by_chance)


def ac1(table: Table) -> float | None:
    """Gwet's AC1, which one rare class does not pull down; None where there is no item.

    Gwet (2008), "Computing inter-rater reliability and its variance in the presence of high agreement".
    """
    if not table.judged:
        return None
    mean = (2 * table.tp + table.fp + table.fn) / (2 * table.judged)
    by_chance = 2 * mean * (1 - mean)
    return ((table.tp + table.tn) / table.judged - by_chance) / (1 - by_chance)


def share(part: int, whole: int) -> Estimate:
    """A share with Clopper and Pearson's interval."""
    if not whole:
        return Estimate(None, None, None)
    low = clopper_pearson_lower(part, whole, INTERVAL)
    return Estimate(part / whole, low, 1 - clopper_pearson_lower(whole - part, whole, INTERVAL))


def lower_bound(table: Table, measure: Measure, level: float, seed: int) -> float | None:
    """The one-sided lower bound of a measure at confidence `1 - level`, by `resampled`."""
    if measure(table) is None:
        return None
    return _quantile(_values(table, measure, seed), level)


@lru_cache(maxsize=4096)
def resampled(table: Table, seed: int) -> Mapping[tuple[int, int], int]:
    """Tables drawn from this one within its classes, as (tp, tn) with how often each came in `DRAWS`.

    To draw the items of a class with replacement and to count its hits is to draw one binomial. Where a class
    is without a miss, or without a hit, half a one is put in its place: an ordinary bootstrap would take a
    share of 1 among 15 for certain. Efron and Tibshirani (1993), "An introduction to the bootstrap", 8.2 on
    more than one sample, 13.3 on percentiles.
    """
    rng = random.Random(seed)
    hits = drawn(table.tp, table.passes, rng)
    return Counter(zip(hits, drawn(table.tn, table.fails, rng), strict=True))


def drawn(hits: int, size: int, rng: random.Random) -> list[int]:
    """`DRAWS` counts of hits among `size` items of which `hits` are hits, each drawn with replacement."""
    if not size:
        return [0] * DRAWS
    rate = hits / size if 0 < hits < size else (hits + 0.5) / (size + 1)
    spread = _REACH * math.sqrt(size * rate * (1 - rate)) + _REACH
    first, last = max(0, math.floor(size * rate - spread)), min(size, math.ceil(size * rate + spread))
    logs = math.log(rate), math.log1p(-rate)
    cumulative = list(
        accumulate(
            math.exp(
                math.lgamma(size + 1)
                - math.lgamma(k + 1)
                - math.lgamma(size - k + 1)
                + k * logs[0]
                + (size - k) * logs[1]
            )
            for k in range(first, last + 1)
        )
    )
    return [min(last, first + bisect(cumulative, rng.random())) for _ in range(DRAWS)]


def _values(table: Table, measure: Measure, seed: int) -> list[tuple[float, int]]:
    """The measure of each table that was drawn, from the least, with how often it was."""
    values = (
        (measure(Table(tp=tp, fp=table.fails - tn, fn=table.passes - tp, tn=tn)), count)
        for (tp, tn), count in resampled(table, seed).items()
    )
    return sorted((value, count) for value, count in values if value is not None)


def _quantile(values: list[tuple[float, int]], level: float) -> float:
    sums = list(accumulate(count for _, count in values))
    return values[min(bisect(sums, level * sums[-1]), len(values) - 1)][0]


def _estimate(table: Table, measure: Measure, seed: int) -> Estimate:
    value = measure(table)
    if value is None:
        return Estimate(None, None, None)
    values = _values(table, measure, seed)
    return Estimate(value, _quantile(values, INTERVAL), _quantile(values, 1 - INTERVAL))
