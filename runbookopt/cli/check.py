"""`runbookopt check`: lint every file that a repository declares, and say all that is wrong at once."""

from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runbookopt.cli.flags import Json
from runbookopt.cli.root import root_in
from runbookopt.cli.terminal import print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbookopt.documents.parse import Problem
    from runbookopt.jobs.readiness.lint import Known, Lint
    from runbookopt.jobs.stored_outputs import Counts
    from runbookopt.project.project import Project
    from runbookopt.proof.allowance import Look


_MOST_NAMES = 5


def check(
    *,
    json: Json = False,
    root: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="The folder to lint.", show_default="the git repository around"),
    ] = None,
) -> None:
    """Lint every runbook, rubric, policy, settings and trajectory file, and name all problems at once.

    An error keeps a runbook from being used; a warning is a bad record among good ones, which runs leave out;
    advice says what makes a good result unlikely: too few tasks, a rubric that checks only form, more than
    five objectives, evidence that policy.yaml trusts too little for a merge without a person (with the line
    that gives it), a held-out set that cannot prove the gain that the policy asks for (at the next look, by
    what this clone knows of the ledger).

    Pages that lie where tools look (skills/, .claude/skills/, agents/, plugins/*/skills/, .github/) are
    runbooks where a rubric is there for them; the others are listed with what they lack.

    Exit status: 0 where there is nothing but advice, 1 on any error or warning.
    """
    from runbookopt.evidence.library import Folder
    from runbookopt.jobs.readiness.lint import lint

    folder, within = _chosen(root)
    with _known(folder) as (known, unread):
        checked = lint(Folder(folder), known, unread, within)
        stored = {project.name: _stored(project, folder, known) for project in checked.projects}
    if json:
        print_json(_as_json(checked, stored))
    else:
        for line in _report(checked, stored):
            say(line)
    raise typer.Exit(1 if checked.problems else 0)


def _stored(project: "Project", folder: Path, known: "Known") -> "Counts":
    """How many stored outputs of a runbook are of which kind, for the agent that is configured."""
    from runbookopt.cli.job import agent_key
    from runbookopt.jobs.stored_outputs import counts, stored_outputs

    key = agent_key(project.name, folder)
    any_output = any(each.output is not None for each in project.evidence.trajectories)
    versions = known.versions(project.path) if any_output else ()
    outputs = stored_outputs(project, key, versions, _as_today(folder, project.name))
    return counts(project, outputs, agent_known=key is not None)


def _as_today(folder: Path, name: str) -> tuple[str, ...]:
    """The agents that the settings say to be the configured one; none where they cannot be read."""
    from runbookopt.documents.parse import MalformedFile
    from runbookopt.evidence.library import Folder
    from runbookopt.project.root_of_name import agents_as_today

    try:
        return agents_as_today(Folder(folder), name)
    except MalformedFile:  # which is told elsewhere
        return ()


def _chosen(root: str | None) -> tuple[Path, str]:
    """The folder to lint, and the root of it to which all that is said is confined."""
    from runbookopt.errors import RunbookoptError

    here = Path(root) if root else Path.cwd()
    absolute = here.absolute()
    top = next((each for each in (absolute, *absolute.parents) if (each / ".git").exists()), None)
    if top is None and not root:
        raise RunbookoptError(f"{here} is not in a git repository: go to one, or name a folder with --root")
    within = root_in(top, here) if top else ""
    return (here, "") if top is None or (root and not (top / within).samefile(here)) else (top, within)


@contextmanager
def _known(folder: Path) -> "Iterator[tuple[Known, tuple[str, ...]]]":
    """Lend what this clone knows of looks and readings, and what of it cannot be read.

    Nobody is asked; a mere folder knows none.
    """
    from runbookopt.evidence.library import Folder
    from runbookopt.forge.git.output import GitFailed
    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.preflight import unreadable
    from runbookopt.jobs.readiness.lint import Known
    from runbookopt.landing.ledger.identity import identity_of
    from runbookopt.project.versions import versions
    from runbookopt.proof.ledger import Ledger

    try:
        repository = Repository.open(folder)
    except GitFailed:
        yield Known(now=datetime.now(UTC)), ()
        return
    with repository:
        if repository.root.resolve() != folder.resolve():
            yield Known(now=datetime.now(UTC)), ()
            return
        ledger, head = Ledger.open(repository, push=False), repository.resolve("HEAD")

        def names(name: str) -> tuple[str, ...]:
            return identity_of(repository, ledger, name, Folder(folder), head).names

        known = Known(
            now=datetime.now(UTC),
            looked=lambda name: ledger.looks(*names(name)),
            read=lambda name: ledger.burnt(*names(name)),
            versions=lambda path: versions(repository, head, path),
            head=repository.revision(head),
        )
        yield known, tuple(unreadable(repository))


def _report(checked: "Lint", stored: "dict[str, Counts]") -> "Iterator[str]":
    from runbookopt.documents.parse import Problem
    from runbookopt.evidence.privacy import told
    from runbookopt.jobs.stored_outputs import on_stored

    for problem in checked.problems:
        yield _line(problem, problem.severity)
    for piece in checked.advice:
        yield _line(piece, "advice")
    for project in checked.projects:
        yield _summary(project, checked.looks[project.name])
        yield from (f"{project.name}: {each}" for each in on_stored(stored[project.name]))
        if lost := sum(loss.count for loss in project.evidence.losses):
            where = "of other tools' files are not kept: see `runbookopt trajectories stats`"
            yield f"{project.name}: {_count(lost, 'thing')} {where}"
        if project.evidence.removed:
            removed = f"removed before anybody is shown them: {told(project.evidence.removed)}"
            yield f"{project.name}: {removed}"
        yield from _foreign(project)
    for other in checked.others:
        problem = Problem(other.path, None, f"'{other.name}' lacks {' and '.join(other.lacks)}")
        yield _line(problem, "not a runbook yet")
    unusable = sorted(set(checked.names) - {project.name for project in checked.projects})
    if unusable:
        yield f"cannot be used as they are: {', '.join(unusable)}"
    errors = sum(problem.severity == "error" for problem in checked.problems)
    warnings = len(checked.problems) - errors
    counts = {"error": errors, "warning": warnings, "piece of advice": len(checked.advice)}
    yield ", ".join(_count(number, word) for word, number in counts.items() if number) or "nothing wrong"


def _line(problem: "Problem", severity: str) -> str:
    """A problem as `path:line: message`, as editors read it; what is no error says so after the place."""
    if severity == "error":
        return str(problem)
    where = str(problem).removesuffix(problem.message)
    return f"{where}{severity}: {problem.message}"


def _summary(project: "Project", looks: "tuple[Look, ...]") -> str:
    from runbookopt.jobs.feasibility import provable

    split, policy, gain = project.split, project.policy, provable(project, looks)
    tasks = (
        f"{len(split.train)} train, {len(split.validation)} validation, {len(split.held_out)} held-out tasks"
    )
    left_out = f" ({len(split.left_out)} left out)" if split.left_out else ""
    merging = f"merge: {policy.merge}" if project.digests.policy else "no policy"
    proving = f"can prove a gain of {100 * gain:.1f} points" if gain is not None else "can prove no gain"
    return (
        f"{project.name}: {tasks}{left_out}, {_count(len(project.evidence.trajectories), 'trajectory')}; "
        f"{_criteria(project)}, {merging}; {proving}, as look {len(looks) + 1}"
    )


def _criteria(project: "Project") -> str:
    """How many criteria there are, and where labels say what decides, how many of them do."""
    count, deciding = _count(len(project.rubric.criteria), "criterion"), len(project.rubric.deciding)
    return f"{count}, of which {deciding} decide" if project.is_calibrated else count


def _foreign(project: "Project") -> "Iterator[str]":
    """What other tools judged that is no criterion of the rubric: it is no fault, and judges nothing here."""
    from runbookopt.documents.schema_errors import plain
    from runbookopt.project.project import foreign_criteria

    if given := foreign_criteria(project):
        more = ", ..." if len(given) > _MOST_NAMES else ""
        names = ", ".join(plain(name) for name in list(given)[:_MOST_NAMES])
        verdicts = _count(sum(given.values()), "verdict")
        yield f"{project.name}: {verdicts} of other tools on names that are no criteria here: {names}{more}"


def _count(number: int, word: str) -> str:
    many = {"trajectory": "trajectories", "criterion": "criteria", "piece of advice": "pieces of advice"}
    return f"{number} {word if number == 1 else many.get(word, f'{word}s')}"


def _as_json(checked: "Lint", stored: "dict[str, Counts]") -> dict[str, Any]:
    from msgspec.structs import asdict

    advice = [asdict(piece) | {"severity": "advice"} for piece in checked.advice]
    return {
        "ok": not checked.problems,
        "problems": [asdict(problem) for problem in checked.problems] + advice,
        "runbooks": [
            _facts(project, checked.looks[project.name]) | {"stored_outputs": asdict(stored[project.name])}
            for project in checked.projects
        ],
        "not_runbooks_yet": [
            {"path": each.path, "runbook": each.name, "lacks": each.lacks} for each in checked.others
        ],
        "unusable": sorted(set(checked.names) - {project.name for project in checked.projects}),
    }


def _facts(project: "Project", looks: "tuple[Look, ...]") -> dict[str, Any]:
    from msgspec.structs import asdict

    from runbookopt.jobs.feasibility import provable
    from runbookopt.jobs.readiness.independence import MOST, pairs_of, undated
    from runbookopt.project.project import foreign_criteria

    policy, split = project.policy, project.split
    return {
        "runbook": project.name,
        "path": project.path,
        "digest": project.digests.runbook,
        "version": project.runbook.version,
        "components": [part.id for part in project.runbook.components],
        "locked": [part.id for part in project.runbook.parts if part.locked],
        "tasks": {
            "train": len(split.train),
            "validation": len(split.validation),
            "held_out": len(split.held_out),
            "left_out": len(split.left_out),
        },
        "near_repeats": [asdict(pair) for pair in pairs_of(project)],
        "boilerplate": [asdict(piece) for piece in split.boilerplate[:MOST]],
        "without_time": len(undated(project)),
        "held_out_groups": len(project.held_out_groups),
        "trajectories": len(project.evidence.trajectories),
        "labels": len(project.evidence.labels),
        "removed": project.evidence.removed,
        "foreign_criteria": foreign_criteria(project),
        "criteria": [criterion.id for criterion in project.rubric.criteria],
        "deciding": [criterion.id for criterion in project.rubric.deciding],
        "standings": [asdict(each) for each in project.standings_at()],
        "objectives": project.rubric.objectives,
        "policy": {
            "declared": project.digests.policy is not None,
            "merge": policy.merge,
            "reviewers": policy.reviewers,
            "teams": policy.teams,
        },
        "look": len(looks) + 1,
        "provable_gain": provable(project, looks),
    }
