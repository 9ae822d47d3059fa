"""Problems of a repository's files, and advice on what is well-formed and still bodes ill."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from msgspec import UNSET, Struct

from runbookopt.agents.offline_agent import unfollowed
from runbookopt.documents.parse import MalformedFile, Problem, in_order
from runbookopt.documents.schema_errors import nearest, plain
from runbookopt.documents.settings import FILE, SettingsFile, read_settings
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.covered import covered
from runbookopt.evidence.library import Folder, Source
from runbookopt.evidence.live_keys import live_keys
from runbookopt.evidence.trajectory import Left
from runbookopt.jobs.feasibility import is_graded, next_look, obstacles
from runbookopt.jobs.first_outputs import FEWEST, Output, stuck
from runbookopt.jobs.readiness.independence import on_near_repeats, on_time
from runbookopt.jobs.readiness.rubric_lint import on_references, on_rubric
from runbookopt.jobs.readiness.standings import on_calibration, on_standings
from runbookopt.landing.ledger.identity import at_the_same_tasks, shared_tasks
from runbookopt.landing.sources.trust import idle, untrusted
from runbookopt.project.layout import EVIDENCE, ROOT, Layout, Unfinished
from runbookopt.project.links import leads_anywhere
from runbookopt.project.places import layout_of
from runbookopt.project.project import Project, read_project
from runbookopt.project.roots import roots_of
from runbookopt.project.versions import Version
from runbookopt.proof.allowance import Look, burnt
from runbookopt.proof.comparison import HARM
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
    were taken at their held-out tasks. `others` are pages that lie where tools look, and are no runbooks yet.
    """

    names: tuple[str, ...]
    projects: tuple[Project, ...]
    problems: tuple[Problem, ...]
    advice: tuple[Problem, ...]
    looks: dict[str, tuple[Look, ...]] = {}
    others: tuple[Unfinished, ...] = ()


class Known(NamedTuple):
    """What is known of a runbook by its name: looks at held-out tasks, and ids of tasks that were read.

    `versions` are those of the file at a path, and `now` is when labels may be too old. `head` is what was
    committed last.
    """

    looked: Callable[[str], tuple[Look, ...]] = lambda _: ()
    read: Callable[[str], frozenset[str]] = lambda _: frozenset()
    versions: Callable[[str], tuple[Version, ...]] = lambda _: ()
    now: datetime | None = None
    head: Source | None = None


def lint(
    source: Source, known: Known | None = None, unreadable: Sequence[str] = (), within: str = ""
) -> Lint:
    """Read every runbook, rubric, policy, settings and trajectory file, and name all problems at once.

    `unreadable` says why the source may not be the whole of what is declared. `within` is the one root to
    which all is confined; without it all roots are read.
    """
    known = known or Known()
    layout = _confined(layout_of(source), within)
    names = list(layout.runbooks)
    projects: list[Project] = []
    looks: dict[str, tuple[Look, ...]] = {}
    unread = "not read: it is no file, or a link that leads out of the repository or to nothing"
    roots = [within] if within else ["", *roots_of(source)]
    homes = [f"{root}/{ROOT}".lstrip("/") for root in roots]
    there = [link for home in homes for link in (source.links(home) if isinstance(source, Folder) else ())]
    links = [link for link in there if not leads_anywhere(source, link)]
    problems = [Problem(plain(path), None, unread, "warning") for path in links]
    problems += [Problem(ROOT, None, reason) for reason in unreadable]
    problems += layout.problems
    settings = {root: _settings(source, f"{root}/{FILE}".lstrip("/"), problems) for root in roots}
    if not names and not layout.others:
        problems.append(Problem(ROOT, None, f"no runbook: expected {ROOT}/<name>/RUNBOOK.md"))
    for name, places in layout.runbooks.items():
        try:
            earlier = known.looked(name)
            used = burnt(earlier) | known.read(name)
            now, head = known.now, known.head
            projects.append(read_project(source, name, burnt=used, places=places, at=now, before=head))
            looks[name] = earlier
        except MalformedFile as error:
            problems += error.problems
        except RunbookoptError as error:
            problems.append(Problem(places.page or places.home, None, str(error)))
    problems += [problem for project in projects for problem in (*project.warnings, *project.evidence.live)]
    problems += [Problem(each.files[3], None, why) for each in projects if (why := each.undecided)]
    alive = {project.name: project.evidence.live for project in projects}
    for name, places in layout.runbooks.items():
        stored = covered(source, places.stored, *places.evidence[1:])
        problems += live_keys(source, stored, alive.get(name, ()))
    pieces = [piece for root in roots for piece in _unknown_names(source, root, settings[root], layout)]
    pieces += [piece for project in projects for piece in advice(project, looks[project.name])]
    pieces += _unfollowed(settings, projects)
    pieces += (
        Problem(
            places.settings, None, f"{plain(name)}: no file fits the evidence {plain(pattern[1:])}", "warning"
        )
        for name, places in layout.runbooks.items()
        for pattern in places.evidence[1:]
        if not covered(source, pattern)
    )
    for name, others in shared_tasks(projects).items():
        shared = at_the_same_tasks(others)
        pieces += [Problem(layout.of(name).stored, None, sentence, "warning") for sentence in shared]
    ordered = (in_order(problems), in_order(pieces))
    return Lint(tuple(names), tuple(projects), *ordered, looks, layout.others)


def _confined(layout: Layout, root: str) -> Layout:
    """What of a layout is of one root; all of it without one."""
    if not root:
        return layout
    runbooks = {name: places for name, places in layout.runbooks.items() if places.root == root}
    others = tuple(each for each in layout.others if each.path.startswith(f"{root}/"))
    problems = tuple(each for each in layout.problems if each.path.startswith(f"{root}/"))
    return Layout(runbooks, others, problems)


def _settings(source: Source, path: str, problems: list[Problem]) -> SettingsFile | None:
    """The settings file; None where it is not there, or has problems, which are added to the others."""
    try:
        return read_settings(source.read(path), path)
    except FileNotFoundError:
        return None
    except MalformedFile as error:
        problems += error.problems
        return None


def _unknown_names(
    source: Source, root: str, settings: SettingsFile | None, layout: Layout
) -> Iterator[Problem]:
    """Settings and trajectories of a root for runbooks that it has not."""
    names = {places.short for places in layout.runbooks.values() if places.root == root}
    before = f"{root}/" if root else ""
    said = settings.runbooks if settings else {}
    for name in sorted(name for name, entry in said.items() if name not in names and entry.path is None):
        sentence = f"runbooks: no runbook '{plain(name)}'{nearest(name, names)}"
        yield Problem(f"{before}{FILE}", None, sentence, "warning")
    stored = source.files(f"{before}{EVIDENCE}")
    folders = {path.rpartition("/")[0] for path in stored if path.endswith(".jsonl")}
    known = {*names, *(other.name.removeprefix(before) for other in layout.others)}
    for folder in sorted(folders):
        name = folder.removeprefix(f"{before}{EVIDENCE}").lstrip("/")
        if not any(f"{name}/".startswith(f"{runbook}/") for runbook in known):
            whose = f"or say whose it is: runbooks.NAME.evidence in {FILE}"
            sentence = f"there is no such runbook{nearest(name, known)}: rename the folder, {whose}"
            yield Problem(plain(folder), None, sentence, "warning")


def _unfollowed(
    settings: Mapping[str, SettingsFile | None], projects: Sequence[Project]
) -> Iterator[Problem]:
    """Runbooks in which the offline agent, by runbookopt.yaml or for want of another, finds no rule."""
    for project in projects:
        said, places = settings[project.places.root], project.places
        layers = (said.runbooks.get(places.short), said.defaults) if said else ()
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
    _, rubric, policy, calibration = project.files
    stuck_on = tuple(_on_stored(project))
    sentences = {
        project.places.stored: (
            *few,
            *obstacles(project, earlier),
            *on_near_repeats(project),
            *on_time(project),
            *_on_references(project),
            *on_references(project),
        ),
        rubric: (*_on_rubric(project), *stuck_on, *on_rubric(project, failing=not stuck_on)),
        calibration: on_standings(project),
        policy: (*_on_merging(project), *_on_gain(project, earlier)),
    }
    return tuple(Problem(path, None, each, "warning") for path, all_ in sentences.items() for each in all_)


def _on_references(project: Project) -> Iterator[str]:
    for criterion in project.rubric.deciding:
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
    if not project.is_calibrated and not any(each.looks_at_reference for each in rubric.criteria):
        yield from _without_reference(rubric)
    if rubric.judge is not None and not rubric.declared.judged:
        yield f"no criterion asks the judge {plain(rubric.judge.model)}: one that does has `judge: question`"
    if len(rubric.objectives) > MANY_OBJECTIVES:
        yield (
            f"{len(rubric.objectives)} objectives: with more than {MANY_OBJECTIVES} nearly every candidate "
            "is best at something; each objective may reject a winner by luck alone, at 5 % each "
            f"({1 - (1 - HARM) ** len(rubric.objectives):.0%} for all of them, where none is worse); give "
            "criteria that belong together one `objective`"
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
    if policy.merge == "auto" and policy.auto_merge_if.calibrated:
        yield from (f"nothing will merge automatically: {each}" for each in on_calibration(project))
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
