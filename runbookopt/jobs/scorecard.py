"""What attempts at the tasks of one part come to: scores, pass rates, and what failed (pure)."""

from collections.abc import Callable, Sequence
from statistics import fmean

from msgspec import Struct

from runbookopt.evidence.split import group_of
from runbookopt.evidence.trajectory import Part, Task
from runbookopt.landing.bundle import Beside
from runbookopt.project.project import Project
from runbookopt.search.asks import Attempt
from runbookopt.verifier.rubric import Rubric, assess


class Tried(Struct, frozen=True):
    """A task and its attempts, by repeat; each of them with all its verdicts."""

    task: Task
    attempts: tuple[Attempt, ...]

    @property
    def score(self) -> float:
        """The mean over repeats."""
        return fmean(attempt.score for attempt in self.attempts)

    @property
    def passed(self) -> bool:
        """Whether all criteria passed each time."""
        return all(attempt.passed for attempt in self.attempts)


class Rate(Struct, frozen=True):
    """How many attempts passed a criterion, failed it, or could not be judged; `share` passed, in 0..1."""

    passed: int
    failed: int
    errors: int
    share: float


class Failing(Struct, frozen=True):
    """A task with an attempt that did not pass: its mean score, and each feedback once.

    `trajectory` is a stored trajectory of the task, which `where` ("file:line") holds.
    """

    task: str
    trajectory: str
    where: str
    score: float
    feedback: tuple[str, ...]


class Scorecard(Struct, frozen=True):
    """What attempts at `tasks` tasks, `repeats` each, came to; `passed` tasks passed each time.

    `score`, and each objective, is a mean in 0..1: over repeats, then over tasks, and of held-out tasks
    over groups, as a proof counts. A verdict that could not be had scores 0; `errors` attempts have one.
    `without_output` attempts ended without an output. `failing` is None for held-out tasks.
    """

    tasks: int
    repeats: int
    passed: int
    score: float
    objectives: dict[str, float]
    criteria: dict[str, Rate]
    errors: int
    without_output: int
    failing: tuple[Failing, ...] | None


def scorecard(project: Project, part: Part, tried: Sequence[Tried]) -> Scorecard:
    """Add up attempts at tasks of a part, at least one task.

    Held-out tasks that fail are not named: what is written after reading them could not be proved on them.
    """
    attempts = [attempt for each in tried for attempt in each.attempts]
    units: dict[str, list[Tried]] = {}
    for each in tried:
        units.setdefault(group_of(each.task) if part == "held-out" else each.task.id, []).append(each)
    grouped = list(units.values())
    return Scorecard(
        tasks=len(tried),
        repeats=max(len(each.attempts) for each in tried),
        passed=sum(each.passed for each in tried),
        score=_mean(grouped, lambda attempt: attempt.score),
        objectives={name: _mean(grouped, _objective(name)) for name in project.rubric.objectives},
        criteria={criterion.id: _rate(criterion.id, attempts) for criterion in project.rubric.criteria},
        errors=sum(attempt.errors > 0 for attempt in attempts),
        without_output=sum(attempt.output is None for attempt in attempts),
        failing=None if part == "held-out" else _failing(project, tried),
    )


def judged_again(
    rubric: Rubric, task: Task, outputs: Sequence[str | None], beside: Sequence[Beside]
) -> Tried:
    """Judge outputs that a bundle holds of a task, with what stands beside each (or nothing at all)."""
    attempts = []
    for output, more in zip(outputs, beside or [Beside()] * len(outputs), strict=True):
        said = assess(rubric, output=output, reference=task.reference, left=more.left, verdicts=more.judged)
        attempts.append(
            Attempt(
                trajectory="",
                output=output,
                score=said.score,
                objectives=said.objectives,
                feedback=said.feedback,
                gates_failed=said.gates_failed,
                errors=said.errors,
                verdicts=said.findings,
            )
        )
    return Tried(task, tuple(attempts))


def _mean(units: Sequence[Sequence[Tried]], measure: Callable[[Attempt], float]) -> float:
    return fmean(fmean(fmean(map(measure, each.attempts)) for each in unit) for unit in units)


def _objective(name: str) -> Callable[[Attempt], float]:
    return lambda attempt: attempt.objectives[name]


def _rate(criterion: str, attempts: Sequence[Attempt]) -> Rate:
    results = [attempt.verdicts[criterion].result for attempt in attempts]
    passed, failed, errors = (results.count(result) for result in ("pass", "fail", "error"))
    return Rate(passed, failed, errors, passed / len(results))


def _failing(project: Project, tried: Sequence[Tried]) -> tuple[Failing, ...]:
    """Give the tasks that do not pass, worst first; of equal ones those in the order of the files."""
    evidence = project.evidence
    found = [
        Failing(
            task=each.task.id,
            trajectory=each.task.trajectories[0],
            where=evidence.where(each.task.trajectories[0]),
            score=each.score,
            feedback=tuple(dict.fromkeys(said for one in each.attempts for said in one.feedback)),
        )
        for each in tried
        if not each.passed
    ]
    order = {name: place for place, name in enumerate(evidence.places)}
    return tuple(sorted(found, key=lambda one: (one.score, order[one.trajectory])))
