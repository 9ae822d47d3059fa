"""Calibration of a runbook's criteria: each held against labels that nothing was tuned on, and recorded."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

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
from runbookopt.calibration.deciding import Standing, aged, standings_of
from runbookopt.calibration.failure_modes import speaking
from runbookopt.calibration.health import Health, failed_calls, spread
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
    looked,
    read_record,
    record_text,
    seed_of,
    with_battery,
    with_more,
)
from runbookopt.calibration.status import Status
from runbookopt.documents.parse import Problem
from runbookopt.documents.schema_errors import nearest, plain
from runbookopt.documents.usage import Spent
from runbookopt.engine.progress import Progress
from runbookopt.errors import RunbookoptError, WrongUsage
from runbookopt.evidence.library import Folder, Source
from runbookopt.evidence.trajectory import time_of
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.preflight import must_be_set_up
from runbookopt.jobs.prepare import Job
from runbookopt.jobs.verifiers.verdicts import NOTHING_SPENT, Item, Verdicts, known_verdicts, verdicts_on
from runbookopt.landing.bundle import write_whole
from runbookopt.project.layout import Places
from runbookopt.project.project import Project, read_project, record_at
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
    """One criterion as it stands now, and why.

    `record` is what calibration.json has of it; `look` what this command looked at, or would look at, and
    `lacks` what it would need to. `free` are figures that spend no label: of the examples, or of all labels
    where nothing has to be earned; `disagree` the trajectories of these where people say otherwise, which are
    examples of a wrong criterion, or of a wrong reference.
    """

    criterion: str
    status: Status
    why: str
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

    `written` says that it is new. `health` is that of all verdicts which were held against labels, `coverage`
    that of the failure modes, by the statuses as they are now.
    """

    runbook: str
    path: str
    written: bool
    health: Health
    criteria: tuple[Calibrated, ...]
    coverage: Coverage
    spent: Spent
    notes: tuple[str, ...]
    warnings: tuple[Problem, ...]


class _Case(Struct, frozen=True):
    """One criterion, before anything is asked about it.

    `suggested` is the record of it that was made when it was suggested, where it is the same criterion still.
    """

    criterion: Criterion
    key: str
    is_exempt: bool
    ratings: tuple[Rating, ...]
    earlier: CriterionRecord | None
    looks: tuple[LabelLook, ...]
    choice: LookableLabels | LabelsLack | None
    suggested: CriterionRecord | None

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

    A look that the working tree has lost and HEAD still has is spent all the same. Labels are chosen before
    any verdict on them is known. Verdicts of a judge that nobody has are asked for. Raises WrongUsage for a
    criterion that is not there, RunbookoptError for all that a user can mend, Invalid where too many verdicts
    could not be had, and KeyboardInterrupt; the journal keeps what was answered.
    """
    must_be_set_up(repository, job.name, propose=False)
    source = Folder(repository.root)
    head = repository.find("HEAD")
    committed = repository.revision(head) if head else None
    project = read_project(source, job.name, before=committed, parts=False)
    rubric = Rubric(project.rubric.criteria, project.rubric.judge)
    _must_be_there(rubric, terms.only)
    path = record_path(project.places)
    earlier = record_in(source, path)
    spent = record_at(committed, path) if committed else None
    cases = _cases(project, rubric, source, (earlier, spent), (terms, job.at))
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
        elif case.suggested is not None:
            model = _model(rubric, case.criterion)
            records[case.criterion.id] = replace(case.suggested, model=model)
    suggested = earlier.suggested if earlier else {}
    left = {name: each for name, each in suggested.items() if name not in records}
    calibration = Calibration(project.name, records, suggested=left)
    written = bool(records) and calibration != earlier and terms.look
    if written:
        write_whole(repository.root / path, record_text(calibration), "the record of the calibration")
    standings = project.standings_at(time_of(job.at))
    if written:
        found = standings_of(rubric, calibration, project.evidence.labels, source, spent)
        standings = aged(found, time_of(job.at), project.policy.longest_uncalibrated)
    calibrated = tuple(
        _calibrated(rubric, case, stands, records.get(case.criterion.id), others)
        for case, stands in zip(cases, standings, strict=True)
    )
    statuses = {each.criterion: each.status for each in calibrated}
    return CalibrationResult(
        runbook=project.name,
        path=path,
        written=written,
        health=_health(calibrated, standings, judged),
        criteria=calibrated,
        coverage=coverage(standing(project.evidence.labels), statuses),
        spent=judged.spent,
        notes=tuple(_notes(calibrated, standings, path, written=written)),
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


def _cases(
    project: Project,
    rubric: Rubric,
    source: Source,
    records: Sequence[Calibration | None],
    asked: tuple[Terms, str],
) -> tuple[_Case, ...]:
    terms, at = asked
    ratings: dict[str, list[Rating]] = {}
    names = [criterion.id for criterion in rubric.criteria]
    for rating in speaking(names, standing(project.evidence.labels)):
        ratings.setdefault(rating.criterion, []).append(rating)
    cases = []
    for criterion, stands in zip(rubric.criteria, project.standings_at(time_of(at)), strict=True):
        own = tuple(ratings.get(criterion.id, ()))
        here = records[0].criteria.get(criterion.id) if records[0] else None
        looks = together(*(each.looks(criterion.id) for each in records if each))
        key, is_exempt = criterion_key(rubric, criterion, source), stands.status == "exempt"
        was = records[0].suggested.get(criterion.id) if records[0] and here is None else None
        was = was if was is not None and was.key == key else None
        settled = stands.status == "gates" or (was is not None and was.status == "gates")
        wanted = criterion.id in terms.only if terms.only else not settled
        choice = next_look(for_testing(own), looks, again=terms.again) if wanted and not is_exempt else None
        cases.append(_Case(criterion, key, is_exempt, own, here, looks, choice, was))
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
    record = with_battery(record, case.earlier.bias if case.earlier else None)
    repeats = [set(results) for (_, criterion), results in judged.repeats.items() if criterion == name]
    # MCC of people with each other, where two of them rated the same outputs
    people = table_of(between_raters(case.ratings))
    seed = seed_of(case.key, (each.trajectory for each in record.tested))
    return with_more(
        record,
        model=_model(rubric, case.criterion),
        people=figures_of(people, seed).mcc if people.judged else None,
        consistency=share(sum(len(each) == 1 for each in repeats), len(repeats)) if repeats else None,
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


def _calibrated(
    rubric: Rubric, case: _Case, stands: Standing, record: CriterionRecord | None, others: Verdicts
) -> Calibrated:
    pairs = _pairs(case, others.given)
    return Calibrated(
        criterion=case.criterion.id,
        status=stands.status,
        why=stands.why,
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
        planned=planned_of(stands, case.ratings, record),
    )


def _pairs(case: _Case, given: Mapping[Item, Given]) -> list[tuple[str, Pair]]:
    """What people and criterion say of the free items that it has a verdict on."""
    name = case.criterion.id
    return [
        (each.trajectory, (each.result, given[each.trajectory, name]))
        for each in case.free
        if each.result is not None and (each.trajectory, name) in given
    ]


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


def _health(calibrated: Sequence[Calibrated], standings: tuple[Standing, ...], judged: Verdicts) -> Health:
    """The health of all verdicts that were held against labels."""
    tables = [each.free.table for each in calibrated if each.free is not None]
    tables += [
        each.record.figures.table
        for each in calibrated
        if each.record is not None and each.status not in {"stale", "exempt"}
    ]
    asked, errors = sum(each.asked for each in tables), sum(each.errors for each in tables)
    said = [[float(result == "pass") for result in results] for results in judged.repeats.values()]
    return Health(
        errors=errors / asked if asked else None,
        missing=errors,
        failed_calls=failed_calls(judged.spent.usage) or 0,
        noise=spread(said),
        suspects=sum(len(each.disagree) for each in calibrated if each.status == "exempt"),
        standings=standings,
        nothing="no verdict was held against a label",
    )


def _notes(
    calibrated: Sequence[Calibrated], standings: Sequence[Standing], path: str, *, written: bool
) -> Iterator[str]:
    if written:
        yield f"commit {path}: it is part of the verifier, and no run writes it"
    stale = [each for each in standings if each.status == "stale"]
    yield from (each.told for each in stale)
    names = {each.criterion for each in stale}
    spent = [
        each.criterion
        for each in calibrated
        if each.criterion in names and each.lacks is not None and each.lacks.spent
    ]
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
