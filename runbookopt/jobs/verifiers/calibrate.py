"""Calibration of a runbook's criteria: each held against labels that nothing was tuned on, and recorded."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from runbookopt.calibration.agreement import (
    Figures,
    Given,
    figures,
    figures_of,
    share,
    table_of,
)
from runbookopt.calibration.corrected import Rate, corrected_rate
from runbookopt.calibration.coverage import Coverage, coverage
from runbookopt.calibration.failure_modes import speaking
from runbookopt.calibration.label_ledger import (
    LabelLook,
    LabelsLack,
    LookableLabels,
    next_look,
    together,
)
from runbookopt.calibration.labels import Gold, Rating, between_raters, for_testing, gold, standing
from runbookopt.calibration.planner import Planned, planned_of
from runbookopt.calibration.record import (
    Calibration,
    CriterionRecord,
    JudgedItem,
    criterion_key,
    derived,
    looked,
    read_record,
    record_text,
    seed_of,
    with_battery,
    with_more,
)
from runbookopt.calibration.status import Status
from runbookopt.documents.parse import MalformedFile, Problem
from runbookopt.documents.schema_errors import nearest, plain
from runbookopt.documents.usage import Spent
from runbookopt.engine.progress import Progress
from runbookopt.errors import RunbookoptError, WrongUsage
from runbookopt.evidence.library import Folder, Source
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.preflight import must_be_set_up
from runbookopt.jobs.prepare import Job
from runbookopt.jobs.verifiers.verdicts import NOTHING_SPENT, Item, Verdicts, known_verdicts, verdicts_on
from runbookopt.landing.bundle import write_whole
from runbookopt.project.layout import Places
from runbookopt.project.project import Project, read_project
from runbookopt.verifier.program_checks import ProgramCheck
from runbookopt.verifier.rubric import Criterion, Rubric

Pair = tuple[Literal["pass", "fail"], Given]
"""What people say, and what a criterion says."""


class Terms(Struct, frozen=True):
    """How a calibration is asked for.

    `only` these criteria are looked at, also where they gate already; none are all that do not. `again`:
    labels that were looked at count once more, at a stricter bound. `look`: whether any label may be looked
    at. `strict`: both rates need a 95 % lower bound of .8.
    """

    only: tuple[str, ...] = ()
    again: bool = False
    look: bool = True
    strict: bool = False


class Labelled(Struct, frozen=True):
    """What people say of one criterion: items, and those of them that count for nothing, by why."""

    items: int
    passes: int
    fails: int
    examples: int
    disputed: int
    unsure: int
    after_verdict: int


class Calibrated(Struct, frozen=True):
    """One criterion as it stands now.

    `record` is what calibration.json has of it; `look` what this command looked at, or would look at, and
    `lacks` what it would need to. `free` are figures that spend no label: of the examples, or of all labels
    where nothing has to be earned; `disagree` the trajectories of these where people say otherwise, which are
    examples of a wrong criterion, or of a wrong reference.
    """

    criterion: str
    status: Status
    model: str | None
    labels: Labelled
    record: CriterionRecord | None
    look: LookableLabels | None
    lacks: LabelsLack | None
    free: Figures | None
    disagree: tuple[str, ...]
    planned: Planned


class CalibrationResult(Struct, frozen=True):
    """All criteria of a runbook, in the order of its rubric; `path` is that of the record.

    `written` says that it is new. `coverage` is that of the failure modes, by the statuses as they are now.
    """

    runbook: str
    path: str
    written: bool
    criteria: tuple[Calibrated, ...]
    coverage: Coverage
    spent: Spent
    notes: tuple[str, ...]
    warnings: tuple[Problem, ...]


class _Case(Struct, frozen=True):
    """One criterion, before anything is asked about it."""

    criterion: Criterion
    key: str
    is_exempt: bool
    ratings: tuple[Rating, ...]
    earlier: CriterionRecord | None
    looks: tuple[LabelLook, ...]
    choice: LookableLabels | LabelsLack | None
    mismatches: tuple[str, ...] = ()

    @property
    def chosen(self) -> tuple[Gold, ...]:
        return self.choice.items if isinstance(self.choice, LookableLabels) else ()

    @property
    def free(self) -> tuple[Gold, ...]:
        """The items at which anybody may look as often as they please."""
        items = [each for each in gold(self.ratings) if each.result is not None]
        return tuple(each for each in items if self.is_exempt or each.part == "examples")


def calibrate(
    repository: Repository,
    job: Job,
    terms: Terms = Terms(),  # noqa: B008 - frozen
    *,
    progress: Callable[[Progress], None] | None = None,
) -> CalibrationResult:
    """Hold criteria against the labels of the working tree, and write calibration.json there.

    Labels are chosen before any verdict on them is known. Verdicts of a judge that nobody has are asked for.
    Raises WrongUsage for a criterion that is not there, RunbookoptError for all that a user can mend, Invalid
    where too many verdicts could not be had, and KeyboardInterrupt; the journal keeps what was answered.
    """
    must_be_set_up(repository, job.name, propose=False)
    source = Folder(repository.root)
    project = read_project(source, job.name, parts=False)
    rubric = Rubric(project.rubric.criteria, project.rubric.judge)
    _must_be_there(rubric, terms.only)
    path = record_path(project.places)
    earlier = record_in(source, path)
    cases = _cases(project, rubric, source, (earlier, _committed(repository, path)), terms)
    if terms.look:
        wanted = [(item.trajectory, each.criterion.id) for each in cases for item in each.chosen]
        judged = verdicts_on(repository, job, project, rubric, wanted, progress)
    else:
        judged = Verdicts({}, {}, NOTHING_SPENT)
    others = known_verdicts(project, rubric, [*_free(cases), *_rest(project, cases)])
    records = dict(earlier.criteria) if earlier else {}
    for case in cases if terms.look else ():
        if case.chosen:
            records[case.criterion.id] = _record(job, rubric, case, judged, others, terms)
    calibration = Calibration(project.name, records)
    written = bool(records) and calibration != earlier and terms.look
    if written:
        write_whole(repository.root / path, record_text(calibration), "the record of the calibration")
    calibrated = tuple(_calibrated(rubric, each, records.get(each.criterion.id), others) for each in cases)
    statuses = {each.criterion: each.status for each in calibrated}
    return CalibrationResult(
        runbook=project.name,
        path=path,
        written=written,
        criteria=calibrated,
        coverage=coverage(standing(project.evidence.labels), statuses),
        spent=judged.spent,
        notes=tuple(_notes(cases, path, written=written)),
        warnings=project.warnings,
    )


def record_path(places: Places) -> str:
    """Where the record of a runbook's calibrations lies."""
    return places.calibration


def record_in(source: Source, path: str) -> Calibration | None:
    """The record of a source, None where there is none; raises MalformedFile."""
    try:
        return read_record(source.read(path), path)
    except FileNotFoundError:
        return None


def _must_be_there(rubric: Rubric, names: Iterable[str]) -> None:
    known = [each.id for each in rubric.criteria]
    for name in names:
        if name not in known:
            raise WrongUsage(
                f"--criterion: expected one of {', '.join(known)}, got '{plain(name)}'{nearest(name, known)}"
            )


def _committed(repository: Repository, path: str) -> Calibration | None:
    """The record as it was committed last: a look that the working tree has lost is spent all the same."""
    head = repository.find("HEAD")
    try:
        return record_in(repository.revision(head), path) if head else None
    except MalformedFile:
        return None


def _cases(
    project: Project,
    rubric: Rubric,
    source: Source,
    records: Sequence[Calibration | None],
    terms: Terms,
) -> tuple[_Case, ...]:
    ratings: dict[str, list[Rating]] = {}
    names = [criterion.id for criterion in rubric.criteria]
    for rating in speaking(names, standing(project.evidence.labels)):
        ratings.setdefault(rating.criterion, []).append(rating)
    cases, mismatches = [], derived(records[0], project.evidence.labels) if records[0] else {}
    for criterion in rubric.criteria:
        own = tuple(ratings.get(criterion.id, ()))
        known = [each.criteria[criterion.id] for each in records if each and criterion.id in each.criteria]
        here = records[0].criteria.get(criterion.id) if records[0] else None
        looks = together(*(each.looks for each in known))
        key, is_exempt = criterion_key(rubric, criterion, source), rubric.calibrated(criterion)
        wrong = mismatches.get(criterion.id, ())
        settled = here is not None and here.key == key and here.status == "gates" and not wrong
        wanted = criterion.id in terms.only if terms.only else not settled
        choice = next_look(for_testing(own), looks, again=terms.again) if wanted and not is_exempt else None
        cases.append(_Case(criterion, key, is_exempt, own, here, looks, choice, wrong))
    return tuple(cases)


def _free(cases: Iterable[_Case]) -> Iterator[Item]:
    for case in cases:
        yield from ((item.trajectory, case.criterion.id) for item in case.free)


def _rest(project: Project, cases: Sequence[_Case]) -> Iterator[Item]:
    """All outputs without a label on a criterion that is looked at: of them its rate is known."""
    for case in cases:
        if case.chosen and not isinstance(case.criterion.check, ProgramCheck):
            labelled = {rating.trajectory for rating in case.ratings}
            for stored in project.evidence.trajectories:
                if stored.id not in labelled and stored.output is not None and stored.error is None:
                    yield stored.id, case.criterion.id


def _record(
    job: Job, rubric: Rubric, case: _Case, judged: Verdicts, others: Verdicts, terms: Terms
) -> CriterionRecord:
    name = case.criterion.id
    assert isinstance(case.choice, LookableLabels)  # noqa: S101 - as `chosen` says
    tested = [
        JudgedItem(each.trajectory, each.result, judged.given[each.trajectory, name], each.labels)
        for each in case.choice.items
        if each.result is not None
    ]
    record = looked(
        case.key, job.at, tested=tested, level=case.choice.level, strict=terms.strict, looks=case.looks
    )
    pairs, ids = list(between_raters(case.ratings)), [each.trajectory for each in record.tested]
    record = with_battery(record, case.earlier.bias if case.earlier else None)
    repeats = [set(results) for (_, criterion), results in judged.repeats.items() if criterion == name]
    same = sum(len(results) == 1 for results in repeats)
    return with_more(
        record,
        model=_model(rubric, case.criterion),
        people=figures_of(table_of(pairs), seed_of(case.key, ids)).mcc if pairs else None,
        consistency=share(same, len(repeats)) if repeats else None,
        rate=_rate(case, tested, others),
    )


def _rate(case: _Case, tested: Sequence[JudgedItem], others: Verdicts) -> Rate | None:
    """How many of the outputs without a label pass, corrected by labels that were drawn as outputs are."""
    name = case.criterion.id
    labelled = {rating.trajectory for rating in case.ratings}
    said = Counter(
        given
        for (trajectory, criterion), given in others.given.items()
        if criterion == name and trajectory not in labelled
    )
    outputs = said["pass"] + said["fail"]
    if not outputs:
        return None
    drawn = {each.trajectory for each in case.chosen if each.frame == "representative"}
    table = table_of((each.result, each.verdict) for each in tested if each.trajectory in drawn)
    return corrected_rate(said["pass"], outputs, table, seed_of(case.key, drawn))


def _model(rubric: Rubric, criterion: Criterion) -> str | None:
    return rubric.judge.model if rubric.judge and criterion in rubric.judged else None


def _calibrated(rubric: Rubric, case: _Case, record: CriterionRecord | None, others: Verdicts) -> Calibrated:
    pairs, status = _pairs(case, others.given), _status(case, record)
    return Calibrated(
        criterion=case.criterion.id,
        status=status,
        model=_model(rubric, case.criterion),
        labels=_labelled(case),
        record=record,
        look=case.choice if isinstance(case.choice, LookableLabels) else None,
        lacks=case.choice if isinstance(case.choice, LabelsLack) else None,
        free=figures((pair for _, pair in pairs), seed_of(case.key, ())) if pairs else None,
        disagree=tuple(
            trajectory
            for trajectory, (result, given) in pairs
            if given in {"pass", "fail"} and given != result
        ),
        planned=planned_of(case.criterion.id, case.ratings, record, "" if status == "stale" else case.key),
    )


def _pairs(case: _Case, given: Mapping[Item, Given]) -> list[tuple[str, Pair]]:
    """What people and criterion say of the free items that it has a verdict on."""
    name = case.criterion.id
    return [
        (each.trajectory, (each.result, given[each.trajectory, name]))
        for each in case.free
        if each.result is not None and (each.trajectory, name) in given
    ]


def _status(case: _Case, record: CriterionRecord | None) -> Status:
    if case.is_exempt:
        return "exempt"
    if record is None:
        return "uncalibrated"
    is_new = bool(case.chosen) and record is not case.earlier
    return record.status if record.key == case.key and (is_new or not case.mismatches) else "stale"


def _labelled(case: _Case) -> Labelled:
    items = gold(case.ratings)
    results = Counter(each.result for each in items)
    return Labelled(
        items=len(items),
        passes=results["pass"],
        fails=results["fail"],
        examples=sum(each.part == "examples" and each.result is not None for each in items),
        disputed=sum(each.disputed for each in items),
        unsure=sum(each.result is None and not each.disputed for each in items),
        after_verdict=len({each.trajectory for each in case.ratings if each.saw_verdict}),
    )


def _notes(cases: Collection[_Case], path: str, *, written: bool) -> Iterator[str]:
    if written:
        yield f"commit {path}: it is part of the verifier, and nothing but this command writes it"
    spent = [
        each.criterion.id
        for each in cases
        if isinstance(each.choice, LabelsLack)
        and each.choice.spent
        and (each.mismatches or each.earlier is None or each.key != each.earlier.key)
    ]
    for each in cases:
        if each.mismatches and not each.chosen:
            yield f"{each.criterion.id}: its record does not follow: {'; '.join(each.mismatches)}"
    if spent:
        yield (
            f"labels of {', '.join(spent)} were looked at before, and one look is what they are good for:"
            " label new outputs, or add --spend-labels, which looks at them at a stricter bound"
        )


def must_have_labels(result: CalibrationResult) -> None:
    """Refuse a runbook without a single label. Raises RunbookoptError."""
    if not any(each.labels.items for each in result.criteria):
        raise RunbookoptError(
            f"{result.runbook}: nobody has labelled an output of it, so there is nothing to hold its criteria"
            f" against: runbookopt label {result.runbook}"
        )
