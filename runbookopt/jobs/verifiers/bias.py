"""Bias battery of a runbook's judge: stored outputs, changed in what must not count, and judged again."""

from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.calibration.agreement import Given
from runbookopt.calibration.bias import (
    CHANGES,
    Battery,
    Probe,
    ProbeResult,
    Verdict,
    changed,
    own_family,
    placebo,
    shifted,
)
from runbookopt.calibration.labels import gold, standing
from runbookopt.calibration.record import Calibration, criterion_key, record_text, with_battery
from runbookopt.documents.digest import digest_of
from runbookopt.documents.usage import Spent
from runbookopt.engine.progress import Progress
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.library import Folder
from runbookopt.evidence.trajectory import Trajectory
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.preflight import must_be_set_up
from runbookopt.jobs.prepare import Job
from runbookopt.jobs.verifiers.calibrate import record_in, record_path
from runbookopt.jobs.verifiers.verdicts import asked_about, known_verdicts, said_by
from runbookopt.landing.bundle import write_whole
from runbookopt.project.project import Project, read_project
from runbookopt.verifier.families import family_of
from runbookopt.verifier.rubric import Criterion, Rubric

OUTPUTS = 60
"""Stored outputs that a judge is asked about, each once as it is and once for each change."""


class Batteries(Struct, frozen=True):
    """The battery of each criterion that a judge decides; `recorded` are those that calibration.json now has.

    `spent` counts nothing twice: the journal has what was asked before.
    """

    runbook: str
    path: str
    judge: str
    batteries: dict[str, Battery]
    recorded: tuple[str, ...]
    spent: Spent


def try_for_bias(
    repository: Repository, job: Job, progress: Callable[[Progress], None] | None = None
) -> Batteries:
    """Ask the judge about changed outputs, and write into calibration.json what it made of them.

    Recorded is what was calibrated before: a judge without labels has nothing to lose. Raises RunbookoptError
    where no judge is asked or there is no output to ask about, Invalid where too many verdicts could not be
    had, and KeyboardInterrupt; the journal keeps what was answered.
    """
    must_be_set_up(repository, job.name, propose=False)
    source = Folder(repository.root)
    project = read_project(source, job.name, parts=False)
    rubric = Rubric(project.rubric.criteria, project.rubric.judge)
    if rubric.judge is None or not rubric.judged:
        raise RunbookoptError(f"{project.files[1]}: no criterion asks a judge, so there is no bias to try")
    outputs = _outputs(project)
    if not outputs:
        raise RunbookoptError(f"{project.places.stored}: no stored output that a judge could look at")
    asking = replace(project, rubric=Rubric(rubric.judged, rubric.judge))
    versions = [each for stored in outputs for each in _versions(stored, rubric)]
    attempts, spent = asked_about(repository, job, asking, versions, progress)
    path = record_path(project.places)
    earlier = record_in(source, path)
    batteries = {}
    for criterion in rubric.judged:
        of_each = [_as_verdict(said_by(attempt, criterion.id)) for attempt in attempts]
        key = criterion_key(rubric, criterion, source)
        probes = _probes(of_each) | _own_family(project, rubric, criterion)
        batteries[criterion.id] = Battery(key, job.at, len(outputs), probes)
    records = dict(earlier.criteria) if earlier else {}
    fitting = [name for name, each in batteries.items() if name in records and records[name].key == each.key]
    for name in fitting:
        records[name] = with_battery(records[name], batteries[name])
    if fitting:
        kept = earlier or Calibration(project.name, {})
        text = record_text(replace(kept, criteria=records))
        write_whole(repository.root / path, text, "the record of the calibration")
    return Batteries(project.name, path, rubric.judge.model, batteries, tuple(fitting), spent)


def _outputs(project: Project) -> list[Trajectory]:
    """Stored outputs in the order of a digest that nobody chose, one of each task."""
    stored = [each for each in project.evidence.trajectories if each.output and each.error is None]
    by_task = {project.evidence.task_of(each).id: each for each in sorted(stored, key=_place)}
    return sorted(by_task.values(), key=_place)[:OUTPUTS]


def _place(stored: Trajectory) -> str:
    return digest_of(["bias", stored.id])


def _versions(stored: Trajectory, rubric: Rubric) -> list[Trajectory]:
    """An output as it is, then with each change; what lets most criteria pass is what an order asks for."""
    met = sum(criterion.passes_if_met for criterion in rubric.judged) * 2 >= len(rubric.judged)
    output = stored.output or ""
    texts = (changed(output, probe, passes="met" if met else "not_met") for probe in CHANGES)
    return [stored, *(replace(stored, output=text) for text in texts)]


def _as_verdict(given: Given) -> Verdict:
    return given if given in ("pass", "fail") else None


def _probes(verdicts: Sequence[Verdict]) -> dict[Probe, ProbeResult]:
    """What each change came to, from verdicts in the order of `_versions`."""
    step = 1 + len(CHANGES)
    as_they_are, beside = verdicts[::step], verdicts[1::step]
    found: dict[Probe, ProbeResult] = {"placebo": placebo(as_they_are, beside)}
    for at, probe in enumerate(CHANGES[1:], 2):
        found[probe] = shifted(beside, verdicts[at::step])
    return found


def _own_family(project: Project, rubric: Rubric, criterion: Criterion) -> dict[Probe, ProbeResult]:
    """Whether a judge is kinder to outputs of its own family, where people labelled some of either."""
    family = family_of(rubric.judge.model if rubric.judge else None)
    items = [each for each in gold(standing(project.evidence.labels)) if each.criterion == criterion.id]
    known = known_verdicts(project, rubric, [each.item for each in items]).given
    sides: dict[bool, list[tuple[Literal["pass", "fail"], Verdict]]] = {True: [], False: []}
    for each in items:
        agent = project.evidence.trajectory(each.trajectory).agent
        theirs = family_of(agent.model if agent else None)
        if each.result is not None and theirs is not None and family is not None:
            verdict = _as_verdict(known[each.item]) if each.item in known else None
            sides[theirs == family].append((each.result, verdict))
    return {"own family": own_family(sides[True], sides[False])} if any(sides.values()) else {}
