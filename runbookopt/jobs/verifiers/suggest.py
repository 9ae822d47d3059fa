"""Suggestion of criteria: for each failure mode that nothing notices, checks held against labels not seen.

A candidate is made of the labels that may be shown, and of no other; then it is held against those kept to
test on. Of each kind there is one candidate, and each is a look at these labels: each further one makes the
bound of all of them stricter. What does not reach it is refused with its figures.

The looks are written into calibration.json, where `calibrate` finds them. So a label that a candidate was
held against is spent, for it and for any other; only the same candidate is shown once more as it was.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from shlex import quote
from typing import Literal

from msgspec import UNSET, Struct
from msgspec.structs import replace

from runbookopt.agents.protocol import Judge, Writes
from runbookopt.calibration.agreement import Figures, Given
from runbookopt.calibration.coverage import Coverage, coverage
from runbookopt.calibration.failure_modes import Item, Mode, items, modes
from runbookopt.calibration.label_ledger import LEVELS, LabelLook, together
from runbookopt.calibration.labels import Rating, standing
from runbookopt.calibration.mining import FEWEST, Example, Mined, against_references, enough, rules
from runbookopt.calibration.record import (
    Calibration,
    CriterionRecord,
    JudgedItem,
    criterion_key,
    looked,
    record_text,
    seed_of,
)
from runbookopt.calibration.status import LEAST, Status, labels_needed
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
from runbookopt.evidence.library import Folder
from runbookopt.evidence.trajectory import Left, Trajectory, time_of
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.prepare import Job
from runbookopt.jobs.verifiers.asking import Request, verdicts, written
from runbookopt.jobs.verifiers.calibrate import record_in
from runbookopt.landing.bundle import write_whole
from runbookopt.project.project import Project, record_at
from runbookopt.search.asks import ReflectionFailure
from runbookopt.verifier.isolated_checks import examine
from runbookopt.verifier.judge import findings, questions
from runbookopt.verifier.rubric import Criterion, Rubric

Kind = Literal["rule", "reference", "judge"]
_NOT_MET: Literal["not_met"] = "not_met"


class Candidate(Struct, frozen=True):
    """A criterion for a mode, and how it agrees with labels that it was not made of.

    `needed` are the held-out labels of each class with which it would gate, if it went on so; None where no
    number would do.
    """

    kind: Kind
    criterion: Criterion
    record: CriterionRecord
    needed: int | None

    @property
    def figures(self) -> Figures:
        """How it agrees with the labels."""
        return self.record.figures

    @property
    def status(self) -> Status:
        """What these figures come to at the bound that leaves `level` out."""
        return self.record.status

    @property
    def level(self) -> float:
        """What the lower bound leaves out."""
        return self.record.level


class Suggested(Struct, frozen=True):
    """What became of one mode: a criterion to add, or why there is none.

    `best` is None unless a candidate gates. `refused` says why nothing is offered, "" where something is.
    `looked` is the record of the looks that were taken now, None where none was.
    """

    mode: Mode
    candidates: tuple[Candidate, ...]
    best: Candidate | None
    refused: str
    notes: tuple[str, ...] = ()
    looked: CriterionRecord | None = None


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


def suggest(repository: Repository, project: Project, job: Job) -> Suggestions:
    """Suggest a criterion for each mode that none covers which decides by now, and that has labels enough.

    A reflector that can write is asked for a question for the rubric's judge, and that for its verdicts; both
    stay in the journal. The looks that candidates are go into calibration.json of the working tree, before
    anything is said of them. Raises Awaiting, ModelBroken, RunbookoptError.
    """
    ratings = standing(project.evidence.labels)
    statuses = {each.criterion: each.status for each in project.standings_at(time_of(job.at))}
    before = coverage(ratings, statuses)
    covered = {mode.key for mode in before.covered}
    open_modes = [mode for mode in modes(ratings) if mode.key not in covered]
    ready = [mode for mode in open_modes if mode.enough and _room_for(project.rubric, mode) is None]
    labelled = {mode.key: _labelled(project, mode, ratings) for mode in open_modes}
    asked, used, notes = _asked(repository, project, job, {mode: labelled[mode.key] for mode in ready})
    found, records = [], _records(repository, project)
    for mode in open_modes:
        if mode in ready:
            looks = together(*(each.looks(mode.key) for each in records))
            made, untold = _made(project, labelled[mode.key], asked[mode.key])
            folder = Folder(repository.root)
            found.append(_suggested(labelled[mode.key], made, untold, (job.at, looks, folder)))
        else:
            found.append(Suggested(mode, (), None, _room_for(project.rubric, mode) or _lacks(project, mode)))
    offered: dict[str, Status] = {each.best.criterion.id: "gates" for each in found if each.best is not None}
    after = coverage(ratings, {**statuses, **offered})
    notes = (*notes, *_written(repository, project, {each.mode.key: each.looked for each in found}))
    return Suggestions(project.name, tuple(found), tuple(covered), before, after, used, notes)


def _lacks(project: Project, mode: Mode) -> str:
    return (
        f"too few labels: about {mode.failures_needed} more that show it and {mode.passes_needed} that do not"
        f" (runbookopt label {project.name} --failure-mode {quote(mode.name)})"
    )


def _room_for(rubric: Rubric, mode: Mode) -> str | None:
    """Why there can be no criterion of the mode's name; None where there can."""
    if any(criterion.id == mode.key for criterion in rubric.criteria):
        return f"there is a criterion {mode.key}, and it does not gate: see `runbookopt calibrate`"
    return None


# Labelled outputs ---------------------------------------------------------------------------------------


class _Labelled(Struct, frozen=True):
    """A mode with the labelled trajectories in two parts; what has no output is no example."""

    mode: Mode
    examples: tuple[tuple[Item, Trajectory], ...]
    test: tuple[tuple[Item, Trajectory], ...]


def _labelled(project: Project, mode: Mode, ratings: Sequence[Rating]) -> _Labelled:
    pairs = [(item, project.evidence.trajectory(item.trajectory)) for item in items(mode.key, ratings)]
    given = [(item, stored) for item, stored in pairs if stored.output is not None]
    return _Labelled(
        mode,
        tuple(pair for pair in given if pair[0].part == "examples"),
        tuple(pair for pair in pairs if pair[0].part == "test"),
    )


def _example(project: Project, item: Item, stored: Trajectory) -> Example:
    return Example(stored.output or "", item.failed, project.evidence.task_of(stored).reference)


# Candidates ---------------------------------------------------------------------------------------------

_Verdicts = dict[str, Given]  # by trajectory
_Asked = tuple[Criterion, Rubric, _Verdicts] | str | None
"""A question with the judge's verdicts on the test part; why there is none; None where nobody was asked."""


_Made = tuple[Kind, Criterion, Rubric, _Verdicts]
_Looking = tuple[str, Sequence[LabelLook], Folder]
"""When it is looked, all looks so far, and where programs lie."""


def _made(project: Project, labelled: _Labelled, asked: _Asked) -> tuple[list[_Made], str]:
    """The candidates of a mode with what each says of its test part, and why there is no question."""
    examples = [_example(project, item, stored) for item, stored in labelled.examples]
    mode, note = labelled.mode, next((note for item, _ in labelled.examples for note in item.notes), "")
    told = f": {plain(' '.join(note.split())[:200])}" if note else ""
    statement = f"Free of what people call '{plain(mode.name)}'{told}"
    made: list[_Made] = []
    known = [criterion.check for criterion in project.rubric.criteria]
    mined_as: tuple[tuple[Kind, Sequence[Mined]], ...] = (
        ("rule", rules(examples)),
        ("reference", against_references(examples)),
    )
    for kind, mined in mined_as:
        check = next((each.check for each in mined if each.check not in known), None)
        if check is not None:
            criterion = Criterion(mode.key, check, statement)
            made.append((kind, criterion, project.rubric, _checked(project, criterion, labelled)))
    if asked is None or isinstance(asked, str):
        return made, asked or ""
    return [*made, ("judge", *asked)], ""


def _suggested(labelled: _Labelled, made: Sequence[_Made], untold: str, looking: _Looking) -> Suggested:
    """What becomes of a mode: its candidates are held against labels that no look has been at.

    Where these are too few, only what was held against some before is shown again as it was.
    """
    mode, notes = labelled.mode, [untold] if untold else []
    at, looks, folder = looking
    seen = {trajectory for look in looks for trajectory in look.trajectories}
    fresh = [item for item, _ in labelled.test if item.trajectory not in seen]
    more = _lacking(fresh)
    if not made or more == (0, 0):
        level = LEVELS[max(0, len(made) - 1)]
        candidates = [_candidate(each, fresh, (at, level, folder)) for each in made]
        best = _best(candidates)
        refused = "" if best is not None and best.status == "gates" else _refusal(candidates, labelled)
        return _outcome(mode, candidates, refused, notes, _looked(candidates, looks))
    earlier = {look.key: look for look in looks}
    candidates = []
    for each in made:
        look = earlier.get(criterion_key(each[2], each[1], folder))
        items = [item for item, _ in labelled.test if look and item.trajectory in look.trajectories]
        if look is None or len(items) < len(look.trajectories):
            notes.append(f"the {each[0]} is held against nothing: {_spent(more)}")
        else:
            candidates.append(_candidate(each, items, (look.at, look.level, folder)))
    best = _best(candidates)
    gates = best is not None and best.status == "gates"
    refused = "" if gates else _refusal(candidates, labelled) if candidates else _spent(more)
    return _outcome(mode, candidates, refused, notes, None)


def _outcome(
    mode: Mode,
    candidates: Sequence[Candidate],
    refused: str,
    notes: Sequence[str],
    looked: CriterionRecord | None,
) -> Suggested:
    best = None if refused else _best(candidates)
    return Suggested(mode, tuple(candidates), best, refused, tuple(notes), looked)


def _best(candidates: Sequence[Candidate]) -> Candidate | None:
    """The one that gates, and agrees best."""
    return max(
        candidates, key=lambda each: (each.status == "gates", each.figures.mcc.value or -1.0), default=None
    )


def _looked(candidates: Sequence[Candidate], looks: Sequence[LabelLook]) -> CriterionRecord | None:
    """The record of the best, whose looks are all that were ever taken, those at the others among them."""
    best = _best(candidates)
    if best is None:
        return None
    others = [each.record.looks[-1] for each in candidates if each is not best]
    return replace(best.record, looks=(*looks, *others, best.record.looks[-1]))


def _lacking(items: Sequence[Item]) -> tuple[int, int]:
    """How many passes and fails lack for a look."""
    failed = sum(item.failed for item in items)
    return max(0, LEAST - (len(items) - failed)), max(0, LEAST - failed)


def _spent(more: tuple[int, int]) -> str:
    return (
        "too few held-out labels that no look was at yet, and each counts for one look: it lacks"
        f" {more[0]} that do not show it and {more[1]} that do"
    )


def _records(repository: Repository, project: Project) -> list[Calibration]:
    """calibration.json of the working tree and of the last commit, as far as there are any."""
    path, head = project.places.calibration, repository.find("HEAD")
    here = record_in(Folder(repository.root), path)
    committed = record_at(repository.revision(head), path) if head else None
    return [each for each in (here, committed) if each is not None]


def _written(
    repository: Repository, project: Project, looked: Mapping[str, CriterionRecord | None]
) -> Iterator[str]:
    """Write the looks that were taken into calibration.json, and say so."""
    new = {name: record for name, record in looked.items() if record is not None}
    if not new:
        return
    path = project.places.calibration
    earlier = record_in(Folder(repository.root), path) or Calibration(project.name, {})
    written = replace(earlier, suggested={**earlier.suggested, **new})
    write_whole(repository.root / path, record_text(written), "the looks at labels")
    yield f"labels of {', '.join(new)} were looked at, as {path} says: commit it with the criteria"


def _checked(project: Project, criterion: Criterion, labelled: _Labelled) -> _Verdicts:
    given: _Verdicts = {}
    for item, stored in labelled.test:
        if criterion.check is not UNSET and _judgeable(stored):
            reference = project.evidence.task_of(stored).reference
            left = Left(steps=stored.steps or None)
            finding = examine(criterion.check, output=stored.output, reference=reference, left=left)
            given[item.trajectory] = finding.result
    return given


def _candidate(made: _Made, items: Sequence[Item], look: tuple[str, float, Folder]) -> Candidate:
    """A candidate held against these labels, at a time and a level."""
    kind, criterion, rubric, given = made
    at, level, folder = look
    key = criterion_key(rubric, criterion, folder)
    tested = [
        JudgedItem(
            item.trajectory,
            "fail" if item.failed else "pass",
            given.get(item.trajectory, "error"),
            item.labels,
        )
        for item in items
    ]
    record = looked(key, at, tested=tested, level=level, strict=False, looks=())
    table = record.figures.table
    seed = seed_of(key, (item.trajectory for item in items))
    needed = labels_needed(table, table, seed=seed, level=level)
    return Candidate(kind, criterion, record, max(needed.passes, needed.fails) if needed else None)


def _judgeable(stored: Trajectory) -> bool:
    return stored.output is not None and stored.error is None


def _refusal(candidates: Sequence[Candidate], labelled: _Labelled) -> str:
    examples = [Example(stored.output or "", item.failed, None) for item, stored in labelled.examples]
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
    stored = {item.trajectory: each for item, each in labelled.test if _judgeable(each)}
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
