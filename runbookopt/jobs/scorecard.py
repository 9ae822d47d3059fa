"""Scorecard of attempts at the tasks of one part: scores, pass rates, and the tasks that fail (pure)."""

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean

from msgspec import Struct

from runbookopt.calibration.status import Status
from runbookopt.engine.calls import attempt_of
from runbookopt.evidence.split import group_of
from runbookopt.evidence.trajectory import Part, Task
from runbookopt.landing.bundle import Beside
from runbookopt.project.project import Project
from runbookopt.search.asks import Attempt
from runbookopt.verifier.rubric import Rubric, assess


class Tried(Struct, frozen=True):
    """A task and its attempts that have a score, by repeat; each of them with all its verdicts."""

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
    """How many attempts passed a criterion, failed it, or could not be judged; `share` passed, in 0..1.

    What does not decide (`decides`) is in no score; `status` is what labels make of the criterion.
    """

    passed: int
    failed: int
    errors: int
    share: float
    decides: bool = True
    status: Status = "uncalibrated"


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
    `without_output` attempts ended without an output, by what the agent did: `why_without` counts them by the
    reason, where it is known. `unanswered` attempts have no score, by nobody's fail: they count nowhere.
    `failing` is None for held-out tasks.
    """

    tasks: int
    repeats: int
    passed: int
    score: float
    objectives: dict[str, float]
    criteria: dict[str, Rate]
    errors: int
    without_output: int
    why_without: dict[str, int]
    unanswered: int
    failing: tuple[Failing, ...] | None


def scorecard(project: Project, part: Part, tried: Sequence[Tried]) -> Scorecard:
    """Add up attempts at tasks of a part, at least one attempt.

    Held-out tasks that fail are not named: what is written after reading them could not be proved on them.
    """
    repeats = max(len(each.attempts) for each in tried)
    unanswered = sum(repeats - len(each.attempts) for each in tried)
    tried = [each for each in tried if each.attempts]
    attempts = [attempt for each in tried for attempt in each.attempts]
    units: dict[str, list[Tried]] = {}
    for each in tried:
        units.setdefault(group_of(each.task) if part == "held-out" else each.task.id, []).append(each)

    def mean(measure: Callable[[Attempt], float]) -> float:
        return fmean(fmean(fmean(map(measure, each.attempts)) for each in unit) for unit in units.values())

    def objective(name: str) -> float:
        return mean(lambda attempt: attempt.objectives[name])

    criteria, deciding = {}, project.rubric.deciding
    statuses = {each.criterion: each.status for each in project.standings_at()}
    for criterion in project.rubric.heard:
        results = [attempt.verdicts[criterion.id].result for attempt in attempts]
        passed, failed, errors = (results.count(result) for result in ("pass", "fail", "error"))
        criteria[criterion.id] = Rate(
            passed,
            failed,
            errors,
            passed / len(results),
            decides=criterion in deciding,
            status=statuses[criterion.id],
        )
    without = [attempt.left.reason for attempt in attempts if attempt.output is None and attempt.left]
    return Scorecard(
        tasks=len(tried),
        repeats=repeats,
        passed=sum(each.passed for each in tried),
        score=mean(lambda attempt: attempt.score),
        objectives={name: objective(name) for name in project.rubric.objectives},
        criteria=criteria,
        errors=sum(attempt.errors > 0 for attempt in attempts),
        without_output=sum(attempt.output is None for attempt in attempts),
        why_without=dict(Counter(why.partition(":")[0] for why in without if why).most_common()),
        unanswered=unanswered,
        failing=None if part == "held-out" else _failing(project, tried),
    )


def judged_again(
    rubric: Rubric, task: Task, outputs: Sequence[str | None], beside: Sequence[Beside]
) -> Tried:
    """Judge outputs that a bundle holds of a task, with what stands beside each (or nothing at all).

    An attempt that had no score then has none now.
    """
    attempts = []
    for output, more in zip(outputs, beside or [Beside()] * len(outputs), strict=True):
        if more.no_answer is not None:
            continue
        judged = assess(rubric, output=output, reference=task.reference, left=more.left, verdicts=more.judged)
        attempts.append(attempt_of("", output, judged, judged.findings))
    return Tried(task, tuple(attempts))


def _failing(project: Project, tried: Sequence[Tried]) -> tuple[Failing, ...]:
    """The tasks that do not pass, worst first; of equal ones those in the order of the files."""
    evidence = project.evidence
    order = {name: place for place, name in enumerate(evidence.places)}
    failing = [
        Failing(
            task=each.task.id,
            trajectory=each.task.trajectories[0],
            where=evidence.where(each.task.trajectories[0]),
            score=each.score,
            feedback=tuple(dict.fromkeys(text for attempt in each.attempts for text in attempt.feedback)),
        )
        for each in tried
        if not each.passed
    ]
    return tuple(sorted(failing, key=lambda each: (each.score, order[each.trajectory])))
