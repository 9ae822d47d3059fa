"""All that is wrong with a repository's files, and what is well-formed and still bodes ill."""

from collections.abc import Callable, Collection, Iterator, Sequence

from msgspec import UNSET, Struct

from runbookopt.documents.parse import MalformedFile, Problem
from runbookopt.documents.schema_errors import nearest, plain
from runbookopt.documents.settings import FILE, read_settings
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.library import Folder, Source
from runbookopt.jobs.feasibility import next_look, obstacles
from runbookopt.project.project import ROOT, Project, read_project, runbook_names
from runbookopt.proof.allowance import Look, burnt
from runbookopt.proof.power import provable_gain
from runbookopt.verifier import checks
from runbookopt.verifier.program_checks import ProgramCheck
from runbookopt.verifier.rubric import Rubric

FEW_TASKS = 10
"""Fewer tasks than this to learn from, or to select by, are hardly worth a search."""

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


def lint(source: Source, looked: Callable[[str], tuple[Look, ...]] = lambda _: ()) -> Lint:
    """Read every runbook, rubric, policy, settings and trajectory file, and name all problems at once.

    `looked` gives the looks that were taken at a runbook's held-out tasks.
    """
    names = runbook_names(source)
    projects: list[Project] = []
    looks: dict[str, tuple[Look, ...]] = {}
    problems = [*_links(source), *_settings_problems(source)]
    if not names:
        problems.append(Problem(ROOT, None, f"no runbook: expected {ROOT}/<name>/RUNBOOK.md"))
    for name in names:
        try:
            earlier = looked(name)
            projects.append(read_project(source, name, burnt=burnt(earlier)))
            looks[name] = earlier
        except MalformedFile as error:
            problems += error.problems
        except RunbookoptError as error:
            problems.append(Problem(f"{ROOT}/{name}", None, str(error)))
    problems += [problem for project in projects for problem in project.warnings]
    found = [*_unknown_names(source, names)]
    found += [piece for project in projects for piece in advice(project, looks[project.name])]
    return Lint(tuple(names), tuple(projects), _sorted(problems), _sorted(found), looks)


def advice(project: Project, earlier: Sequence[Look] = ()) -> tuple[Problem, ...]:
    """Say what is well-formed and still makes a good result unlikely, or no evidence of much.

    `earlier` are the looks that were taken at the held-out tasks.
    """
    trajectories = f"trajectories/{project.name}"
    _, rubric, policy = project.files
    return tuple(
        Problem(path, None, sentence, "warning")
        for path, sentences in (
            (trajectories, (*_on_tasks(project), *obstacles(project, earlier), *_on_references(project))),
            (rubric, _on_rubric(project)),
            (policy, (*_on_merging(project), *_on_gain(project, earlier))),
        )
        for sentence in sentences
    )


def _sorted(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: (problem.path, problem.line or 0, problem.message)))


def _links(source: Source) -> Iterator[Problem]:
    for path in source.links(ROOT) if isinstance(source, Folder) else ():
        yield Problem(
            plain(path), None, "not read: expected a file, and this is a link or no file", "warning"
        )


def _settings_problems(source: Source) -> Sequence[Problem]:
    try:
        read_settings(source.read(FILE))
    except FileNotFoundError:
        return ()
    except MalformedFile as error:
        return error.problems
    return ()


def _unknown_names(source: Source, names: Collection[str]) -> Iterator[Problem]:
    """Warn of settings and trajectories for runbooks that do not exist."""
    if not _settings_problems(source) and FILE in source.files(FILE):
        for name in sorted(read_settings(source.read(FILE)).runbooks.keys() - set(names)):
            yield Problem(
                FILE, None, f"runbooks: no runbook '{plain(name)}'{nearest(name, names)}", "warning"
            )
    folders = {path.rpartition("/")[0] for path in source.files("trajectories") if path.endswith(".jsonl")}
    for folder in sorted(folders):
        name = folder.partition("/")[2]
        if not any(name == known or name.startswith(f"{known}/") for known in names):
            yield Problem(plain(folder), None, f"no runbook of this name{nearest(name, names)}", "warning")


def _on_tasks(project: Project) -> Iterator[str]:
    parts = project.split
    for what, tasks in (("train", parts.train), ("validation", parts.validation)):
        if len(tasks) < FEW_TASKS:
            yield f"{len(tasks)} {what} tasks: too few for a search; expected at least {FEW_TASKS}"


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


def _without_reference(rubric: Rubric) -> Iterator[str]:
    if rubric.judged:
        which = ", ".join(criterion.id for criterion in rubric.judged)
        yield f"no criterion looks at a reference: a judge decides, held against nobody's labels ({which})"
    elif not any(isinstance(criterion.check, ProgramCheck) for criterion in rubric.criteria):
        yield "no criterion looks at a reference: the rubric checks only form, and form is easily won"


def _on_merging(project: Project) -> Iterator[str]:
    policy = project.policy
    if project.digests.policy is None:
        yield "not found: every change goes to review, and can be approved by nobody: declare reviewers there"
    elif not policy.who:
        yield "a change that goes to review can be approved by nobody: name reviewers or teams"
    if policy.merge == "auto" and policy.auto_merge_if.calibrated and project.rubric.uncalibrated:
        which = ", ".join(project.rubric.uncalibrated)
        yield f"nothing will merge automatically: criteria that are not calibrated decide ({which})"


def _on_gain(project: Project, earlier: Sequence[Look]) -> Iterator[str]:
    policy, groups = project.policy, len(project.held_out_groups)
    asked = policy.proof.margin
    if policy.merge == "auto":
        asked = max(asked, policy.auto_merge_if.gain_at_least)
    may = next_look(project, earlier)
    # of a runbook that fails everywhere: where it cannot be proved there, it can nowhere
    if not obstacles(project, earlier) and provable_gain(groups, may.spend, base=0, margin=asked) is None:
        yield (
            f"{groups} held-out groups cannot prove a gain of {asked:g} (as look {may.look}), which is what"
            " the policy asks for: hold out more tasks, or ask for less"
        )
