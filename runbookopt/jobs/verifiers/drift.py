"""Drift of a runbook by its evidence: what each stored attempt is known to have come to, and what moved."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import UNSET, Struct
from msgspec.structs import replace

from runbookopt.calibration.drift import NOT_NAMED, Drift, Seen, drift
from runbookopt.calibration.labels import Gold, Rating, for_testing, gold, standing
from runbookopt.documents.schema_errors import plain
from runbookopt.evidence.split import group_of
from runbookopt.evidence.trajectory import Author, Left, Trajectory, time_of
from runbookopt.project.project import Project
from runbookopt.verifier import isolated_checks
from runbookopt.verifier.judge import author_of
from runbookopt.verifier.program_checks import ProgramCheck
from runbookopt.verifier.rubric import Criterion


class Drifting(Struct, frozen=True):
    """What moved, and on what it rests.

    `attempts` have an output and a time; `undated` have none, and `broken` are no answers: neither counts.
    `notes` say whose verdicts count, and what was left out.
    """

    runbook: str
    found: Drift
    attempts: int
    undated: int
    broken: int
    notes: tuple[str, ...]


def drift_of(project: Project, *, now: datetime, days: int = 30, since: datetime | None = None) -> Drifting:
    """Look for drift in the stored attempts of a runbook, whoever made them: nobody is asked anything.

    Checks are run again, which makes of an old verdict what today's rubric says. Where a judge or a program
    decides, one author's verdicts count: today's, else those of whom most are.
    """
    outputs = [each for each in project.evidence.trajectories if each.output is not None and not each.error]
    authors = {each.id: _author(project, each, outputs) for each in project.rubric.stated}
    ratings = [each for each in standing(project.evidence.labels) if each.frame != "discovery"]
    said, blind = _by_trajectory(gold(ratings)), _by_trajectory(for_testing(ratings))
    labelled = _labelled(ratings)
    seen = []
    for stored in outputs:
        at = time_of(stored.started_at)
        if at is not None:
            passed = _passed(project, stored, authors)
            people = said[stored.id], blind[stored.id]
            seen.append(replace(_seen(project, stored, at, passed, people), labelled=labelled.get(stored.id)))
    found = drift(
        seen,
        criteria=[each.id for each in project.rubric.criteria],
        judged=[each.id for each in project.rubric.judged],
        now=now,
        days=days,
        since=since,
    )
    notes = [*_on_authors(project, authors)]
    if count := sum(label.frame == "discovery" for label in project.evidence.labels):
        chosen = f"{count} labels are of outputs that were chosen since they teach most"
        notes.append(f"{chosen}: no rate rests on them")
    return Drifting(
        runbook=project.name,
        found=found,
        attempts=len(seen),
        undated=len(outputs) - len(seen),
        broken=sum(each.error is not None for each in project.evidence.trajectories),
        notes=tuple(notes),
    )


def _by_trajectory(items: Iterable[Gold]) -> defaultdict[str, dict[str, Gold]]:
    """What people agree on, by trajectory and criterion."""
    said: defaultdict[str, dict[str, Gold]] = defaultdict(dict)
    for each in items:
        if each.result is not None:
            said[each.trajectory][each.criterion] = each
    return said


def _labelled(ratings: Iterable[Rating]) -> dict[str, datetime]:
    """When people last said something of each trajectory, as far as they said when."""
    times: dict[str, datetime] = {}
    for each in ratings:
        at = time_of(each.at)
        if at is not None:
            times[each.trajectory] = max(at, times.get(each.trajectory, at))
    return times


def _passed(project: Project, stored: Trajectory, authors: Mapping[str, Author | None]) -> dict[str, bool]:
    results = {
        criterion.id: _result(project, stored, criterion, authors.get(criterion.id))
        for criterion in project.rubric.criteria
    }
    return {name: result == "pass" for name, result in results.items() if result != "error"}


def _seen(
    project: Project,
    stored: Trajectory,
    at: datetime,
    passed: Mapping[str, bool],
    people: tuple[Mapping[str, Gold], Mapping[str, Gold]],
) -> Seen:
    """An attempt, with what people say of it, and what they said before they saw a verdict."""
    said, blind = people
    failed = [name for name, good in passed.items() if not good]
    named = [each.failure_mode for each in said.values() if each.result == "fail"]
    modes = tuple(sorted({mode for mode in named if mode})) or (NOT_NAMED,)
    judged = [each.id for each in project.rubric.judged if each.id in blind and each.id in passed]
    return Seen(
        at=at,
        group=group_of(project.evidence.task_of(stored)),
        passed=passed,
        kind=f"fails {' and '.join(failed)}" if failed else None,
        modes=modes if named else None,
        agreed={name: (blind[name].result == "pass", passed[name]) for name in judged},
    )


def _result(project: Project, stored: Trajectory, criterion: Criterion, author: Author | None) -> str:
    """The verdict on a stored output, "error" where there is none."""
    if criterion.check is UNSET or isinstance(criterion.check, ProgramCheck):
        same = [each for each in stored.verdicts if each.criterion == criterion.id and each.by is not None]
        given = {each.result for each in same if each.by == author}
        return given.pop() if len(given) == 1 else "error"
    reference, left = project.evidence.task_of(stored).reference, Left(steps=stored.steps or None)
    return isolated_checks.examine(
        criterion.check, output=stored.output, reference=reference, left=left
    ).result


def _author(project: Project, criterion: Criterion, outputs: Sequence[Trajectory]) -> Author | None:
    """Whose verdicts count: today's judge's, else those of whoever gave most; None where nobody gave any."""
    kind = "llm" if criterion.check is UNSET else "code"
    given = Counter(
        verdict.by
        for stored in outputs
        for verdict in stored.verdicts
        if verdict.criterion == criterion.id and verdict.by and verdict.by.kind == kind
    )
    today = author_of(project.rubric, criterion) if kind == "llm" else None
    if today in given:
        return today
    return max(given, key=lambda author: (given[author], author.id or ""), default=None)


def _on_authors(project: Project, authors: Mapping[str, Author | None]) -> Iterator[str]:
    for criterion in project.rubric.stated:
        author, judged = authors[criterion.id], criterion.check is UNSET
        who = "judge" if judged else "program"
        if author is None:
            yield f"{criterion.id}: no stored output has a verdict of a {who}, so nothing is known of it"
        elif judged and author != author_of(project.rubric, criterion):
            yield (
                f"{criterion.id}: today's judge has judged no stored output; the verdicts are those of"
                f" {plain(author.id or 'another one')[:40]}"
            )
