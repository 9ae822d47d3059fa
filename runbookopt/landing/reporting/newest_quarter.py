"""Newest quarter of a proof: the gain where the work is as it is now, beside the whole (pure)."""

from collections.abc import Sequence
from math import ceil
from statistics import fmean

from msgspec import Struct

from runbookopt.evidence.library import Evidence
from runbookopt.proof.comparison import Outcome, Pair

QUARTER = 4


class Newest(Struct, frozen=True):
    """The newest quarter of the held-out tasks, by when their first trajectory began.

    `since` is the date of the oldest of these, in UTC; `before`, `after` and `gain` are means over groups
    in 0..1, as the proof's are.
    """

    tasks: int
    since: str
    before: float
    after: float
    gain: float


def newest_quarter(pairs: Sequence[Pair], evidence: Evidence) -> Newest | None:
    """The gain on the newest quarter of the tasks; None where not all of them say when they began."""
    began = {pair.task: evidence.task(pair.task).began for pair in pairs}
    times = {task: time for task, time in began.items() if time is not None}
    if not times or len(times) < len(began):
        return None
    order = sorted(pairs, key=lambda pair: (times[pair.task], pair.task))
    newest = order[-ceil(len(order) / QUARTER) :]
    groups: dict[str, list[Pair]] = {}
    for pair in newest:
        groups.setdefault(pair.group, []).append(pair)
    before = fmean(fmean(_mean(pair.before) for pair in group) for group in groups.values())
    after = fmean(fmean(_mean(pair.after) for pair in group) for group in groups.values())
    return Newest(len(newest), times[newest[0].task].date().isoformat(), before, after, after - before)


def _mean(outcomes: Sequence[Outcome]) -> float:
    return fmean(outcome.score for outcome in outcomes) if outcomes else 0.0
