"""Problems of a repository's files, and advice on what is well-formed and still bodes ill."""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from msgspec import UNSET, Struct

from runbookopt.agents.offline_agent import unfollowed
from runbookopt.documents.parse import MalformedFile, Problem, in_order
from runbookopt.documents.schema_errors import nearest, plain
from runbookopt.documents.settings import FILE, SettingsFile, read_settings
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.library import Folder, Source
from runbookopt.evidence.live_keys import live_keys
from runbookopt.evidence.trajectory import Left
from runbookopt.jobs.feasibility import is_graded, next_look, obstacles
from runbookopt.jobs.first_outputs import FEWEST, Output, stuck
from runbookopt.jobs.independence import on_near_repeats, on_time
from runbookopt.landing.ledger.identity import at_the_same_tasks, shared_tasks
from runbookopt.landing.sources.trust import idle, untrusted
from runbookopt.project.project import ROOT, Project, read_project, runbook_names
from runbookopt.project.versions import Version
from runbookopt.proof.allowance import Look, burnt
from runbookopt.proof.power import provable_gain
from runbookopt.verifier import checks
from runbookopt.verifier.program_checks import ProgramCheck
from runbookopt.verifier.rubric import Rubric
from runbookopt.verifier.trace_checks import TraceCheck

FEW_TASKS = 10
"""Fewer tasks than this to learn from, or to select by, are hardly worth a search."""

MANY_OUTPUTS = 200
"""As many stored outputs as are looked at for what they have in common."""

MANY_OBJECTIVES = 5
"""With more objectives nearly every candidate is best at something, and the frontier chooses nothing."""


class Lint(Struct, frozen=True):
    """What is to be said of a repository: `problems` have to be solved, `advice` may be followed.

    `projects` are those of the runbooks that can be used; `looks` are, by the names of these, the looks that
    were taken at their held-out tasks.
    """

    names: tuple[str, ...]
    projects: tuple[Project, ...]
    problems: tuple[Problem, ...]
    advice: tuple[Problem, ...]
    looks: dict[str, tuple[Look, ...]] = {}


class Known(NamedTuple):
    """What is known of a runbook by its name: looks at held-out tasks, and ids of tasks that were read.

    `versions` are those of the file at a path.
    """

    looked: Callable[[str], tuple[Look, ...]] = lambda _: ()
    read: Callable[[str], frozenset[str]] = lambda _: frozenset()
    versions: Callable[[str], tuple[Version, ...]] = lambda _: ()


def lint(source: Source, known: Known | None = None, unreadable: Sequence[str] = ()) -> Lint:
    """Read every runbook, rubric, policy, settings and trajectory file, and name all problems at once.

    `unreadable` says why the source may not be the whole of what is declared.
    """
    known = known or Known()
    names = runbook_names(source)
    projects: list[Project] = []
    looks: dict[str, tuple[Look, ...]] = {}
    unread = "not read: expected a file, and this is a link or no file"
    links = source.links(ROOT) if isinstance(source, Folder) else ()
    problems = [Problem(plain(path), None, unread, "warning") for path in links]
    problems += [Problem(ROOT, None, reason) for reason in unreadable]
    settings = _settings(source, problems)
    if not names:
        problems.append(Problem(ROOT, None, f"no runbook: expected {ROOT}/<name>/RUNBOOK.md"))
    for name in names:
        try:
            earlier = known.looked(name)
            projects.append(read_project(source, name, burnt=burnt(earlier) | known.read(name)))
            looks[name] = earlier
        except MalformedFile as error:
            problems += error.problems
        except RunbookoptError as error:
            problems.append(Problem(f"{ROOT}/{name}", None, str(error)))
    problems += [problem for project in projects for problem in (*project.warnings, *project.evidence.live)]
    alive = {project.name: project.evidence.live for project in projects}
    for name in names:
        problems += live_keys(source, f"trajectories/{name}", alive.get(name, ()))
    pieces = [*_unknown_names(source, settings, names)]
    pieces += [piece for project in projects for piece in advice(project, looks[project.name])]
    pieces += _unfollowed(settings, projects)
    for name, others in shared_tasks(projects).items():
        shared = at_the_same_tasks(others)
        pieces += [Problem(f"trajectories/{name}", None, sentence, "warning") for sentence in shared]
    return Lint(tuple(names), tuple(projects), in_order(problems), in_order(pieces), looks)


def _settings(source: Source, problems: list[Problem]) -> SettingsFile | None:
    """The settings file; None where it is not there, or has problems, which are added to the others."""
    try:
        return read_settings(source.read(FILE))
    except FileNotFoundError:
        return None
    except MalformedFile as error:
        problems += error.problems
        return None


def _unknown_names(
    source: Source, settings: SettingsFile | None, names: Collection[str]
) -> Iterator[Problem]:
    """Settings and trajectories for runbooks that do not exist."""
    for name in sorted(settings.runbooks.keys() - set(names)) if settings else ():
        sentence = f"runbooks: no runbook '{plain(name)}'{nearest(name, names)}"
        yield Problem(FILE, None, sentence, "warning")
    folders = {path.rpartition("/")[0] for path in source.files("trajectories") if path.endswith(".jsonl")}
    for folder in sorted(folders):
        name = folder.partition("/")[2]
        if not any(f"{name}/".startswith(f"{runbook}/") for runbook in names):
            yield Problem(plain(folder), None, f"no runbook of this name{nearest(name, names)}", "warning")


def _unfollowed(settings: SettingsFile | None, projects: Sequence[Project]) -> Iterator[Problem]:
    """Runbooks in which the offline agent, by runbookopt.yaml or for want of another, finds no rule."""
    for project in projects:
        layers = (settings.runbooks.get(project.name), settings.defaults) if settings else ()
        kinds = {layer.agent.kind for layer in layers if layer is not None}
        reason = None if kinds - {"offline"} else unfollowed(project.runbook.text)
        if reason is not None:
            yield Problem(project.path, None, reason, "warning")


def advice(project: Project, earlier: Sequence[Look] = ()) -> tuple[Problem, ...]:
    """All that is well-formed and still makes a good result unlikely, or no evidence of much.

    `earlier` are the looks that were taken at the held-out tasks.
    """
    parts = {"train": project.split.train, "validation": project.split.validation}
    few = [
        f"{len(tasks)} {part} tasks: too few for a search; expected at least {FEW_TASKS}"
        for part, tasks in parts.items()
        if len(tasks) < FEW_TASKS
    ]
    _, rubric, policy = project.files
    sentences = {
        f"trajectories/{project.name}": (
            *few,
            *obstacles(project, earlier),
            *on_near_repeats(project),
            *on_time(project),
            *_on_references(project),
        ),
        rubric: (*_on_rubric(project), *_on_stored(project)),
        policy: (*_on_merging(project), *_on_gain(project, earlier)),
    }
    return tuple(Problem(path, None, each, "warning") for path, all_ in sentences.items() for each in all_)


def _on_references(project: Project) -> Iterator[str]:
    for criterion in project.rubric.criteria:
        lacking = [
            task
            for task in project.evidence.tasks
            if criterion.check is not UNSET
            and criterion.looks_at_reference
            and checks.examine(criterion.check, output=None, reference=task.reference).result == "error"
        ]
        if lacking:
            places = [project.evidence.where(trajectory) for trajectory in lacking[0].trajectories]
            yield (
                f"{len(lacking)} of {len(project.evidence.tasks)} tasks lack the reference that criterion "
                f"'{criterion.id}' looks for, first in {places[0]}: each counts as an error of the verifier"
            )


def _on_rubric(project: Project) -> Iterator[str]:
    rubric = project.rubric
    if not any(criterion.looks_at_reference for criterion in rubric.criteria):
        yield from _without_reference(rubric)
    if rubric.judge is not None and not rubric.judged:
        yield f"no criterion asks the judge {plain(rubric.judge.model)}: one that does has `judge: question`"
    if len(rubric.objectives) > MANY_OBJECTIVES:
        yield (
            f"{len(rubric.objectives)} objectives: with more than {MANY_OBJECTIVES} nearly every candidate "
            "is best at something; give criteria that belong together one `objective`"
        )


def _on_stored(project: Project) -> Iterator[str]:
    """Criteria that no stored output passes, for one reason, whoever gave it; no program runs, no judge."""
    cheap = {
        criterion.id: criterion.check
        for criterion in project.rubric.criteria
        if criterion.check is not UNSET and not checks.may_run_away(criterion.check)
        if not isinstance(criterion.check, ProgramCheck | TraceCheck)
    }
    outputs: list[Output] = []
    stored = (each for each in project.evidence.trajectories if each.output is not None and not each.error)
    for each in islice(stored, MANY_OUTPUTS):
        reference, left = project.evidence.task_of(each).reference, Left(steps=each.steps or None)
        found = {
            name: checks.examine(check, output=each.output, reference=reference, left=left)
            for name, check in cheap.items()
        }
        failed = {name: finding.explanation for name, finding in found.items() if finding.result != "pass"}
        outputs.append(Output(each.output, reference, failed))
    for reason in stuck(project, outputs) if len(outputs) >= FEWEST else ():
        yield f"of {len(outputs)} stored outputs, {reason.removeprefix(f'{project.files[1]}: ')}"


def _without_reference(rubric: Rubric) -> Iterator[str]:
    if rubric.judged:
        criteria = ", ".join(criterion.id for criterion in rubric.judged)
        yield f"no criterion looks at a reference: a judge decides, held against nobody's labels ({criteria})"
    elif not any(isinstance(criterion.check, ProgramCheck) for criterion in rubric.criteria):
        yield "no criterion looks at a reference: the rubric checks only form, and form is easily won"


def _on_merging(project: Project) -> Iterator[str]:
    policy = project.policy
    if project.digests.policy is None:
        yield "not found: every change goes to review, and can be approved by nobody: declare reviewers there"
    elif not policy.who:
        yield "a change that goes to review can be approved by nobody: name reviewers or teams"
    if policy.merge == "auto" and policy.auto_merge_if.calibrated and project.rubric.uncalibrated:
        criteria = ", ".join(project.rubric.uncalibrated)
        yield f"nothing will merge automatically: criteria that are not calibrated decide ({criteria})"
    lacking = untrusted(project)
    if lacking is not None:
        yield f"nothing will merge automatically: {lacking.text}; {lacking.advice}"
    for key, pattern in idle(project):
        yield f"{key}: {plain(pattern)} covers no file of this runbook's evidence"


def _on_gain(project: Project, earlier: Sequence[Look]) -> Iterator[str]:
    policy, groups = project.policy, len(project.held_out_groups)
    gain = policy.proof.margin
    if policy.merge == "auto":
        gain = max(gain, policy.auto_merge_if.gain_at_least)
    may, graded = next_look(project, earlier), is_graded(project)
    # of a runbook that fails everywhere: where it cannot be proved there, it can nowhere
    best = provable_gain(groups, may.spend, base=0, margin=gain, graded=graded)
    if not obstacles(project, earlier) and best is None:
        yield (
            f"{groups} held-out groups cannot prove a gain of {gain:g} (as look {may.look}), which is what"
            " the policy asks for: hold out more tasks, or ask for less"
        )
