"""What decides: the standing of each criterion, by people's labels, not by anybody's word (pure)."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import UNSET, Struct
from msgspec.structs import replace

from runbookopt.calibration.record import (
    Calibration,
    CriterionRecord,
    criterion_key,
    derived,
    forgotten,
    newest_label,
)
from runbookopt.calibration.status import Status
from runbookopt.documents.schema_errors import plain
from runbookopt.evidence.library import Source
from runbookopt.evidence.trajectory import Label
from runbookopt.verifier.checks import JsonSchema
from runbookopt.verifier.rubric import CalibratedRubric, Criterion, Rubric

DECIDE: frozenset[Status] = frozenset({"gates", "exempt"})
"""Of which status a criterion has to be to be in score, gates and objectives, once anything is calibrated."""

AGAIN = "calibrate again"


class Standing(Struct, frozen=True, omit_defaults=True):
    """Standing of one criterion: what its labels make of it, and why that is not more.

    `j` is how much of a true difference it shows (TPR + TNR - 1, on held-out labels), `labelled` when the
    newest of these was given; None where neither is known. `why` is empty where there is nothing to say.
    """

    criterion: str
    status: Status
    why: str = ""
    j: float | None = None
    labelled: datetime | None = None

    @property
    def told(self) -> str:
        """The status of the criterion in a few words, and why."""
        return f"{self.criterion} is {self.status}{f' ({self.why})' if self.why else ''}"


def standings_of(
    rubric: Rubric,
    calibration: Calibration | None,
    labels: Sequence[Label],
    source: Source,
    before: Calibration | None = None,
) -> tuple[Standing, ...]:
    """What labels make of each criterion of a rubric, whatever the time; `source` holds its programs.

    Of a calibration nothing is believed but the verdicts that it holds: what does not follow from these and
    the labels makes a criterion stale, and so does a look that the record had `before` and has no more.
    """
    mismatches = {} if calibration is None else derived(calibration, labels)
    for name, why in forgotten(before, calibration).items() if before else ():
        mismatches[name] = (*mismatches.get(name, ()), why)
    return tuple(
        _standing(rubric, criterion, calibration, mismatches.get(criterion.id, ()), (labels, source))
        for criterion in rubric.criteria
    )


def _standing(
    rubric: Rubric,
    criterion: Criterion,
    calibration: Calibration | None,
    mismatches: Sequence[str],
    held: tuple[Sequence[Label], Source],
) -> Standing:
    name, (labels, source) = criterion.id, held
    if rubric.calibrated(criterion):
        what = "a schema" if isinstance(criterion.check, JsonSchema) else "a reference"
        return Standing(name, "exempt", f"it holds outputs against {what}")
    record = None if calibration is None else calibration.criteria.get(name)
    if record is None:
        lacks = "" if calibration is None else f"calibration.json lacks it: {AGAIN}"
        return Standing(name, "uncalibrated", "; ".join(filter(None, (*mismatches, lacks))))
    if criterion_key(rubric.declared, criterion, source) != record.key:
        return Standing(name, "stale", _changed(rubric, criterion, record))
    if mismatches:
        why = f"calibration.json is not believed: {'; '.join(mismatches)}: {AGAIN}"
        return Standing(name, "stale", why)
    mcc, table = record.figures.mcc.value, record.figures.table
    value = "no MCC" if mcc is None else f"MCC {mcc:.2f}"
    why = f"{value} on {table.passes} passes and {table.fails} fails of people's"
    if record.bias is not None and record.bias.failed:
        why += f"; its judge failed the bias battery ({', '.join(record.bias.failed)}), so it may not gate"
    return Standing(name, record.status, why, record.figures.j.value, newest_label(record, labels))


def _changed(rubric: Rubric, criterion: Criterion, record: CriterionRecord) -> str:
    """What is another than when a criterion was calibrated, as far as its record tells."""
    now = None if criterion.judge is UNSET or rubric.judge is None else rubric.judge.model
    if now != record.model:
        who = "no judge" if now is None else plain(now)
        before = plain(record.model or "no judge")
        return f"{who} decides it now, and {before} did when it was calibrated: {AGAIN}"
    what = "its words, its judge's settings or prompt" if now else "its words or its check"
    return f"{what} changed since it was calibrated: {AGAIN}"


def aged(standings: Iterable[Standing], at: datetime | None, after: timedelta | None) -> tuple[Standing, ...]:
    """The same at a time: labels older than `after` calibrate nothing any more.

    Without a time, or an age, no label is too old. A naive time is taken for UTC.
    """
    if at is None or after is None:
        return tuple(standings)
    now = at if at.tzinfo else at.replace(tzinfo=UTC)
    return tuple(_aged(each, now, after) for each in standings)


def _aged(standing: Standing, now: datetime, after: timedelta) -> Standing:
    if standing.status not in {"gates", "advisory", "rejected"}:
        return standing
    if standing.labelled is None:
        why = f"no label says when it was given, and {after.days} days is what the policy allows: {AGAIN}"
        return replace(standing, status="stale", why=why)
    if now - standing.labelled <= after:
        return standing
    days = (now - standing.labelled).days
    why = f"its newest label is {days} days old, where {after.days} are allowed: label anew and {AGAIN}"
    return replace(standing, status="stale", why=why)


def decided(rubric: Rubric, standings: Sequence[Standing]) -> Rubric:
    """The rubric by which only those criteria decide that have earned it; nobody asks the rejected ones."""
    return CalibratedRubric(
        rubric.criteria,
        rubric.judge,
        decides=tuple(each.criterion for each in standings if each.status in DECIDE),
        unheard=tuple(each.criterion for each in standings if each.status == "rejected"),
    )


def undecided(rubric: Rubric, standings: Sequence[Standing], name: str) -> str | None:
    """Why nothing is left that decides, and what would change that; None where something decides."""
    if rubric.deciding:
        return None
    listed = "; ".join(each.told for each in standings)
    return (
        f"no criterion of {name} may decide, so nothing can be scored: {listed}. Label more outputs"
        f" (runbookopt label {name}), calibrate (runbookopt calibrate {name}) and commit calibration.json; or"
        " add a criterion that holds outputs against a reference; without calibration.json every criterion"
        " decides as before, and each change goes to review"
    )


def outdated(standings: Iterable[Standing]) -> Iterator[Standing]:
    """Criteria whose standing calibration.json does not tell: it is of another rubric, of other labels."""
    return (each for each in standings if each.status in {"stale", "uncalibrated"})
