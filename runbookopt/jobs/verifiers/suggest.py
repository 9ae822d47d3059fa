"""Suggestion of criteria: for each failure mode that nothing notices, checks held against labels not seen.

A candidate is made of the labels that may be shown, and of no other; then it is held against those kept to
test on. Of each kind there is one candidate, and each further one makes the bound of all of them stricter,
as a further look at the labels would. What does not reach it is refused with its figures.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

from msgspec import UNSET, Struct

from runbookopt.agents.protocol import Judge, Writes
from runbookopt.calibration.agreement import Figures, Given, figures_of, table_of
from runbookopt.calibration.coverage import Coverage, coverage
from runbookopt.calibration.failure_modes import Item, Mode, items, modes
from runbookopt.calibration.label_ledger import LEVELS
from runbookopt.calibration.labels import Rating, standing
from runbookopt.calibration.mining import FEWEST, Example, Mined, against_references, enough, rules
from runbookopt.calibration.record import Calibration, criterion_key, derived, seed_of
from runbookopt.calibration.status import Status, labels_needed, status_of
from runbookopt.calibration.writing import (
    Case,
    DraftedQuestion,
    again,
    code_in,
    question_prompt,
    read_question,
)
from runbookopt.documents.schema_errors import plain
from runbookopt.documents.usage import Usage
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.library import Folder, Source
from runbookopt.evidence.trajectory import Left, Trajectory
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.prepare import Job
from runbookopt.jobs.verifiers.asking import Request, verdicts, written
from runbookopt.project.project import Project
from runbookopt.search.asks import ReflectionFailure
from runbookopt.verifier.isolated_checks import examine
from runbookopt.verifier.judge import findings, questions
from runbookopt.verifier.rubric import Criterion, Rubric

Kind = Literal["rule", "reference", "judge"]
_NOT_MET: Literal["not_met"] = "not_met"


class Candidate(Struct, frozen=True):
    """A criterion for a mode, and how it agrees with labels that it was not made of.

    `status` is what these figures come to at a bound that leaves `level` out. `needed` are the held-out
    labels of each class with which it would gate, if it went on so; None where no number would do.
    """

    kind: Kind
    criterion: Criterion
    figures: Figures
    status: Status
    level: float
    needed: int | None


class Suggested(Struct, frozen=True):
    """What became of one mode: a criterion to add, or why there is none.

    `best` is None unless a candidate gates. `refused` says why nothing is offered, "" where something is.
    """

    mode: Mode
    candidates: tuple[Candidate, ...]
    best: Candidate | None
    refused: str
    notes: tuple[str, ...] = ()


class Suggestions(Struct, frozen=True):
    """Criteria for the modes of a runbook; `coverage` is today's, and `after` with all that is offered."""

    runbook: str
    suggested: tuple[Suggested, ...]
    covered: tuple[str, ...]
    coverage: Coverage
    after: Coverage
    used: Usage
    notes: tuple[str, ...]

    @property
    def offered(self) -> tuple[Criterion, ...]:
        """The criteria that are offered."""
        return tuple(each.best.criterion for each in self.suggested if each.best is not None)


def suggest(
    repository: Repository, project: Project, job: Job, statuses: Mapping[str, Status]
) -> Suggestions:
    """Suggest a criterion for each mode that none of these statuses covers and that has labels enough.

    A reflector that can write is asked for a question for the rubric's judge, and that for its verdicts; both
    stay in the journal. Raises Awaiting, ModelBroken, RunbookoptError.
    """
    ratings = standing(project.evidence.labels)
    before = coverage(ratings, statuses)
    covered = {mode.key for mode in before.covered}
    open_modes = [mode for mode in modes(ratings) if mode.key not in covered]
    ready = [mode for mode in open_modes if mode.enough and _room_for(project.rubric, mode) is None]
    labelled = {mode.key: _labelled(project, mode, ratings) for mode in open_modes}
    asked, used, notes = _asked(repository, project, job, {mode: labelled[mode.key] for mode in ready})
    found = []
    for mode in open_modes:
        if mode in ready:
            found.append(_suggested(repository, project, labelled[mode.key], asked[mode.key]))
        else:
            found.append(Suggested(mode, (), None, _room_for(project.rubric, mode) or _lacks(mode)))
    offered: dict[str, Status] = {each.best.criterion.id: "gates" for each in found if each.best is not None}
    after = coverage(ratings, {**statuses, **offered})
    return Suggestions(project.name, tuple(found), tuple(covered), before, after, used, notes)


def statuses_of(project: Project, source: Source, calibration: Calibration | None) -> dict[str, Status]:
    """What each criterion may decide: by the record, if that follows from the labels and is of today."""
    rubric, statuses = project.rubric, dict[str, Status]()
    broken = {} if calibration is None else derived(calibration, project.evidence.labels)
    for criterion in rubric.criteria:
        record = None if calibration is None else calibration.criteria.get(criterion.id)
        if rubric.calibrated(criterion):
            statuses[criterion.id] = "exempt"
        elif record is None or criterion.id in broken:
            statuses[criterion.id] = "uncalibrated"
        else:
            same = record.key == criterion_key(rubric, criterion, source)
            statuses[criterion.id] = record.status if same else "stale"
    return statuses


def _lacks(mode: Mode) -> str:
    return (
        f"too few labels: about {mode.failures_needed} more that show it and {mode.passes_needed} that do not"
        f" (runbookopt label --failure-mode)"
    )


def _room_for(rubric: Rubric, mode: Mode) -> str | None:
    """Why there can be no criterion of the mode's name; None where there can."""
    if any(criterion.id == mode.key for criterion in rubric.criteria):
        return f"there is a criterion {mode.key}, and it does not gate: see `runbookopt calibrate`"
    return None


# Labelled outputs ---------------------------------------------------------------------------------------


class _Labelled(Struct, frozen=True):
    """A mode with the labelled trajectories that have an output, in two parts."""

    mode: Mode
    examples: tuple[tuple[Item, Trajectory], ...]
    test: tuple[tuple[Item, Trajectory], ...]


def _labelled(project: Project, mode: Mode, ratings: Sequence[Rating]) -> _Labelled:
    pairs = [(item, project.evidence.trajectory(item.trajectory)) for item in items(mode.key, ratings)]
    given = [(item, stored) for item, stored in pairs if stored.output is not None]
    return _Labelled(
        mode,
        tuple(pair for pair in given if pair[0].part == "examples"),
        tuple(pair for pair in given if pair[0].part == "test"),
    )


def _example(project: Project, item: Item, stored: Trajectory) -> Example:
    return Example(stored.output or "", item.failed, project.evidence.task_of(stored).reference)


# Candidates ---------------------------------------------------------------------------------------------

_Verdicts = dict[str, Given]  # by trajectory
_Asked = tuple[Criterion, Rubric, _Verdicts] | str | None
"""A question with the judge's verdicts on the test part; why there is none; None where nobody was asked."""


def _suggested(repository: Repository, project: Project, labelled: _Labelled, asked: _Asked) -> Suggested:
    mode, notes = labelled.mode, []
    examples = [_example(project, item, stored) for item, stored in labelled.examples]
    made: list[tuple[Kind, Criterion, Rubric, _Verdicts]] = []
    known = [criterion.check for criterion in project.rubric.criteria]
    mined_as: tuple[tuple[Kind, Sequence[Mined]], ...] = (
        ("rule", rules(examples)),
        ("reference", against_references(examples)),
    )
    note = next((note for item, _ in labelled.examples for note in item.notes), None)
    statement = f"Free of what people call '{plain(mode.name)}'"
    statement += f": {plain(' '.join(note.split())[:200])}" if note else ""
    for kind, mined in mined_as:
        check = next((each.check for each in mined if each.check not in known), None)
        if check is not None:
            criterion = Criterion(mode.key, check, statement)
            made.append((kind, criterion, project.rubric, _checked(project, criterion, labelled)))
    if isinstance(asked, str):
        notes.append(asked)
    elif asked is not None:
        made.append(("judge", *asked))
    level = LEVELS[max(0, len(made) - 1)]
    folder = Folder(repository.root)
    candidates = tuple(
        _candidate(kind, criterion, criterion_key(rubric, criterion, folder), labelled, given, level)
        for kind, criterion, rubric, given in made
    )
    gating = [each for each in candidates if each.status == "gates"]
    best = max(gating, key=lambda each: each.figures.mcc.value or 0.0, default=None)
    refused = "" if best else _refusal(candidates, examples)
    return Suggested(mode, candidates, best, refused, tuple(notes))


def _checked(project: Project, criterion: Criterion, labelled: _Labelled) -> _Verdicts:
    given: _Verdicts = {}
    for item, stored in labelled.test:
        if criterion.check is not UNSET:
            reference = project.evidence.task_of(stored).reference
            left = Left(steps=stored.steps or None)
            finding = examine(criterion.check, output=stored.output, reference=reference, left=left)
            given[item.trajectory] = finding.result
    return given


def _candidate(
    kind: Kind, criterion: Criterion, key: str, labelled: _Labelled, given: _Verdicts, level: float
) -> Candidate:
    table = table_of(
        ("fail" if item.failed else "pass", given.get(item.trajectory, "error")) for item, _ in labelled.test
    )
    seed = seed_of(key, (item.trajectory for item, _ in labelled.test))
    needed = labels_needed(table, table, seed=seed, level=level)
    return Candidate(
        kind,
        criterion,
        figures_of(table, seed),
        status_of(table, seed=seed, level=level),
        level,
        max(needed.passes, needed.fails) if needed else None,
    )


def _refusal(candidates: Sequence[Candidate], examples: Sequence[Example]) -> str:
    if not candidates and not enough(examples):
        failed = sum(each.failed for each in examples)
        return (
            f"too few labels that may be shown: {failed} show it and {len(examples) - failed} do not, and"
            f" {FEWEST} of each are needed to make a rule of; more labels bring more of these"
        )
    if not candidates:
        return "nothing in the labelled outputs tells those that show it from the others"
    best = max(candidates, key=lambda each: each.figures.mcc.value or -1.0)
    if best.needed is None:
        return "not learnable so: no number of labels would let any of these decide"
    return f"not yet: the {best.kind} would decide with {best.needed} held-out labels of each class"


# Questions for a judge ----------------------------------------------------------------------------------


def _asked(
    repository: Repository, project: Project, job: Job, ready: dict[Mode, _Labelled]
) -> tuple[dict[str, _Asked], Usage, tuple[str, ...]]:
    """A question for each mode, and the judge's verdicts; a note says why, where there are none."""
    nobody: dict[str, _Asked] = dict.fromkeys((mode.key for mode in ready), None)
    if not ready:
        return nobody, Usage(), ()
    if not isinstance(job.reflector, Writes):
        return (
            nobody,
            Usage(),
            ("the reflector is offline, and writes no question: rules and references only",),
        )
    if project.rubric.judge is None:
        return nobody, Usage(), ("rubric.yaml names no judge to ask: rules and references only",)
    shown = {mode: _cases(project, labelled) for mode, labelled in ready.items()}
    writable = [mode for mode in ready if all(shown[mode])]
    drafts, used = written(repository, job, [_request(mode, *shown[mode]) for mode in writable])
    asked = dict(nobody)
    for mode, draft in zip(writable, drafts, strict=True):
        if isinstance(draft, ReflectionFailure):
            asked[mode.key] = f"no question came of it: {draft.kind}: {draft.message}"
            continue
        judged, spent = _judged(repository, project, job, ready[mode], draft)
        used += spent
        asked[mode.key] = judged
    return asked, used, ()


def _cases(project: Project, labelled: _Labelled) -> tuple[list[Case], list[Case]]:
    """What may be shown to whoever writes a question: no held-out task, and none of a red team."""
    withheld = frozenset(project.split.held_out)
    sides: tuple[list[Case], list[Case]] = ([], [])
    for item, stored in labelled.examples:
        task = project.evidence.task_of(stored)
        if task.id not in withheld and not task.red_team:
            sides[not item.failed].append(Case(task.input, stored.output or "", item.notes))
    return sides


def _request(mode: Mode, failing: list[Case], passing: list[Case]) -> Request[DraftedQuestion]:
    messages = question_prompt(mode.name, failing, passing)
    return Request(
        messages, partial(read_question, code_in(messages)), partial(again, messages), DraftedQuestion
    )


def _judged(
    repository: Repository, project: Project, job: Job, labelled: _Labelled, draft: DraftedQuestion
) -> tuple[_Asked, Usage]:
    criterion = Criterion(
        labelled.mode.key, statement=draft.statement, judge=draft.question, pass_if=_NOT_MET
    )
    rubric = Rubric((criterion,), project.rubric.judge)
    try:
        judge: Judge | None = job.hire(rubric)
    except RunbookoptError as error:
        return f"no judge could be asked: {error}", Usage()
    if judge is None:
        return None, Usage()
    stored = {item.trajectory: each for item, each in labelled.test}
    by_trajectory = {
        id_: questions(rubric, project.evidence.task_of(each), each.output) for id_, each in stored.items()
    }
    flat = [question for each in by_trajectory.values() for question in each]
    answers, used = verdicts(repository, job, judge, flat)
    given: _Verdicts = {}
    start = 0
    for id_, asked in by_trajectory.items():
        own = answers[start : start + len(asked)]
        start += len(asked)
        given[id_] = findings(rubric, own)[criterion.id].result
    return (criterion, rubric, given), used
