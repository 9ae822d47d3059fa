"""Plan of labels: how many more each criterion needs before it can gate, at today's prevalence (pure)."""

import math
from collections.abc import Iterable, Sequence

from msgspec import Struct

from runbookopt.calibration.agreement import Table, mcc
from runbookopt.calibration.deciding import Standing
from runbookopt.calibration.failure_modes import speaking
from runbookopt.calibration.label_ledger import LookableLabels, lacking, next_level, next_look
from runbookopt.calibration.labels import EXAMPLES, Gold, Rating, for_testing, gold
from runbookopt.calibration.record import Calibration, CriterionRecord, seed_of
from runbookopt.calibration.status import LEVEL, Status, labels_needed
from runbookopt.documents.schema_errors import plain


class Planned(Struct, frozen=True):
    """What one criterion needs before it can gate.

    `passes` and `fails` are its held-out labels that no look has spent; `more_passes` and `more_fails` lack.
    `labels` are all that somebody has to label for these, with the examples among them, where `prevalence` of
    the outputs pass; None where that is not known. `again`: they are enough together with labels that were
    looked at, at a stricter bound. `never`: at the rates that it has shown, no number of labels is enough.
    `biased` names what its judge was swayed by, which no label mends.
    """

    criterion: str
    status: Status
    passes: int
    fails: int
    more_passes: int
    more_fails: int
    prevalence: float | None
    labels: int | None
    again: bool = False
    never: bool = False
    mcc: float | None = None
    biased: tuple[str, ...] = ()


def plan_of(
    standings: Sequence[Standing], ratings: Sequence[Rating], calibration: Calibration | None
) -> tuple[Planned, ...]:
    """The plan of all criteria, in the order of these standings."""
    records = calibration.criteria if calibration else {}
    planned, ratings = [], speaking([each.criterion for each in standings], ratings)
    for standing in standings:
        own = [each for each in ratings if each.criterion == standing.criterion]
        planned.append(planned_of(standing, own, records.get(standing.criterion)))
    return tuple(planned)


def planned_of(standing: Standing, ratings: Sequence[Rating], record: CriterionRecord | None) -> Planned:
    """What a criterion needs, by its labels, and by its record unless it is stale by its standing.

    Nobody knows the rates of one that was never looked at: then it needs what a look needs.
    """
    criterion, status = standing.criterion, standing.status
    items, looks = for_testing(ratings), record.looks if record else ()
    if status == "exempt":
        return Planned(criterion, status, *_counts(items), 0, 0, None, None)
    seen = {trajectory for look in looks for trajectory in look.trajectories}
    new = [item for item in items if item.trajectory not in seen]
    passes, fails = _counts(new)
    share = prevalence(gold(ratings))
    if record is None or status in {"stale", "uncalibrated"}:
        more = lacking(new)
        return Planned(criterion, status, passes, fails, *more, share, _labels(more, share))
    if status == "gates":
        return Planned(criterion, status, passes, fails, 0, 0, share, 0)
    if record.held_back:
        biased = record.bias.failed if record.bias else ()
        return Planned(criterion, status, passes, fails, 0, 0, share, None, biased=biased)
    table, seed = record.figures.table, seed_of(record.key, (each.trajectory for each in record.tested))
    options = []
    choice = next_look(items, looks, again=True)
    usable = choice.items if isinstance(choice, LookableLabels) else ()
    for level, again, there, beside in (
        (LEVEL, False, new, Table()),
        (next_level(looks), True, usable, table),
    ):
        needed = level and labels_needed(table, beside, seed=seed, level=level, strict=record.strict)
        if needed:
            held = _counts(there)
            lack = max(0, needed.passes - held[0]), max(0, needed.fails - held[1])
            options.append((sum(lack), again, lack))
    if not options:
        known = mcc(table)
        return Planned(
            criterion, status, passes, fails, 0, 0, share, None, never=known is not None, mcc=known
        )
    _, again, more = min(options)
    return Planned(
        criterion, status, passes, fails, *more, share, _labels(more, share), again, mcc=mcc(table)
    )


def prevalence(items: Iterable[Gold]) -> float | None:
    """The share of outputs that people pass: of a representative sample where there is one, else of all."""
    decided = [each for each in items if each.result is not None]
    sample = [each for each in decided if each.frame == "representative"] or decided
    return sum(each.result == "pass" for each in sample) / len(sample) if sample else None


def tasks_factor(j: float) -> float | None:
    """How many times the tasks a proof needs by a judge with this J; None where no number is enough.

    It shows J times each gain, so that tasks grow by 1/J^2.
    """
    return 1 / (j * j) if j > 0 else None


def plan_in_words(planned: Planned) -> str:
    """What a criterion needs, in a sentence."""
    name = plain(planned.criterion)
    there = f"{planned.passes} passes and {planned.fails} fails held out and not looked at yet"
    if planned.status == "exempt":
        return f"{name}: exempt, for it holds outputs against a reference or a schema"
    if planned.status == "gates":
        return f"{name}: gates, and needs no label before its key changes or its labels are too old"
    if planned.biased or planned.never:
        return f"{name}: {_cannot(planned)}"
    if not planned.more_passes and not planned.more_fails:
        how = " --spend-labels" if planned.again else ""
        return f"{name}: {there}, enough for a look: runbookopt calibrate{how}"
    lack = f"{planned.more_passes} passes and {planned.more_fails} fails more before it can gate"
    bound = ", together with those that were looked at (--spend-labels)" if planned.again else ""
    if planned.labels is None:
        return f"{name}: {there}; it needs {lack}{bound}; how many labels that takes, nobody knows yet"
    rate = f"where {planned.prevalence:.0%} of the outputs pass and {EXAMPLES:.0%} of the labels are examples"
    return f"{name}: {there}; it needs {lack}{bound}: about {planned.labels} labels {rate}"


def _cannot(planned: Planned) -> str:
    """Why no label would let a criterion gate, and what would."""
    if planned.biased:
        swayed = f"its judge is swayed ({', '.join(planned.biased)})"
        return f"cannot gate, however people label: {swayed}; change its question or its judge"
    return (
        f"can never gate at this size: with the MCC of {planned.mcc:.2f} that it has shown no number of"
        " labels is enough; change its question, its check or its judge"
    )


def _counts(items: Iterable[Gold]) -> tuple[int, int]:
    results = [each.result for each in items]
    return results.count("pass"), results.count("fail")


def _labels(more: tuple[int, int], share: float | None) -> int | None:
    """Labels until so many of each class are held out, where this share of the outputs pass."""
    if more == (0, 0):
        return 0
    if share is None or (share == 0 and more[0]) or (share == 1 and more[1]):
        return None
    each = [count / rate for count, rate in zip(more, (share, 1 - share), strict=True) if count]
    return math.ceil(max(each) / (1 - EXAMPLES))
