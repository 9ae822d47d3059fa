"""Many runs, side by side in processes, and what they come to: means, standard errors, tables."""

import math
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing import Pool
from typing import TypeVar

from msgspec import Struct

from benchmarks.course import Course, mean_curve, reached, value_at
from benchmarks.work import Truth

T = TypeVar("T")
Job = TypeVar("Job")

OURS = ("free", "paid")
"""Our engine: with the seed's verdicts stored, as a user's trajectories are, and with none."""

EARLIER = ("earlier, free", "earlier, paid")
"""The search of an earlier commit, where one is measured beside today's."""

BUDGETS = (100, 200, 300, 500, 1000, 2000)
"""Rollouts at which scores are told, as far as a run goes."""

CLEAR = 2
"""So many standard errors from none a difference counts as one."""

ROUNDING = 1e-9
"""Means that differ by less are equal."""


class Run(Struct, frozen=True):
    """A run of one engine, measured.

    `curve` holds the true held-out score of what the engine would return from so many rollouts on; `reported`
    is the validation score that it reports at the end, and `characters` the length of what it returns then.
    `made` is how many reflections were made after how many rollouts, `reflections` all of them; `measured`
    holds what else is known of the text returned, where the work tells.
    """

    random_seed: int
    curve: tuple[tuple[int, float], ...]
    reported: float
    characters: int
    reflections: int
    made: tuple[tuple[int, int], ...] = ()
    measured: dict[str, float] = {}

    def at(self, rollouts: int) -> float:
        """Give the held-out score of what would be returned after so many rollouts."""
        return value_at(self.curve, rollouts)

    def reflections_by(self, rollouts: int) -> int:
        """Give how many reflections were made before so many rollouts were full."""
        return max((made for when, made in self.made if when < rollouts), default=0)

    @property
    def optimism(self) -> float:
        """What is reported at the end beyond what is true."""
        return self.reported - self.curve[-1][1]


class Mean(Struct, frozen=True):
    """A mean of `count` values; `error` is its standard error, None for a single value."""

    value: float
    error: float | None
    count: int

    @property
    def clear(self) -> int:
        """1 or -1 where it is more than `CLEAR` standard errors above or below none, else 0."""
        if self.error is None or abs(self.value) <= max(CLEAR * self.error, ROUNDING):
            return 0
        return 1 if self.value > 0 else -1

    def __str__(self) -> str:
        """Give the mean with its sign and its standard error."""
        return f"{self.value:+.3f}" if self.error is None else f"{self.value:+.3f} ±{self.error:.3f}"


class Outcome(Struct, frozen=True):
    """All runs of one work at one noise, by engine: ours by "free" and "paid", gepa's by arm.

    An earlier search of ours, where there is one, stands under `EARLIER`.
    """

    name: str
    beside: bool
    budget: int
    runs: Mapping[str, Sequence[Run]]

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets at which scores are told: those below the run's own, and that."""
        return (*(budget for budget in BUDGETS if budget < self.budget), self.budget)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms of gepa."""
        return tuple(engine for engine in self.runs if engine not in (*OURS, *EARLIER))

    @property
    def best(self) -> str:
        """The arm of gepa that returns the best at the end."""
        return self.best_at(self.budget)

    def best_at(self, budget: int) -> str:
        """The arm of gepa that returns the best at a budget; ties go to the first."""
        return max(self.arms, key=lambda arm: self.score(arm, budget).value)

    def score(self, engine: str, budget: int) -> Mean:
        """Give the mean held-out score of what an engine would return at a budget."""
        return mean_of(run.at(budget) for run in self.runs[engine])

    def lead(self, engine: str, budget: int, other: str) -> Mean:
        """Give what an engine scores more than another at a budget, paired over the seeds that both ran."""
        return mean_of(differences(self.runs[engine], self.runs[other], budget))

    def behind(self, engine: str) -> dict[str, Mean]:
        """Give the leads, by budget, where gepa's best arm of that budget is clearly ahead of ours."""
        leads = {at: self.lead(engine, at, self.best_at(at)) for at in self.budgets}
        return {str(at): lead for at, lead in leads.items() if lead.clear < 0}

    def to_target(self, engine: str) -> int | None:
        """Give the first number of rollouts at which ours is at the target, on the seeds that gepa ran."""
        shared = {run.random_seed for run in self.runs[self.best]}
        runs = [run for run in self.runs[engine] if run.random_seed in shared]
        return rollouts_to(runs, self.score(self.best, self.budget).value, self.budget)

    def reflections(self, engine: str) -> float:
        """Give the mean number of reflections of ours until the target, of all where it is not reached."""
        when = self.to_target(engine)
        runs = self.runs[engine]
        return mean_of(run.reflections if when is None else run.reflections_by(when) for run in runs).value


class Summary(Struct, frozen=True):
    """What is told of one work at one noise: scores by engine and budget, errors are standard errors.

    `earlier` is the search of an earlier commit, where one ran. `difference` is ours less gepa's best arm,
    paired over the seeds that both ran; `rollouts_to_target` is over those seeds as well. `behind` are
    differences from the best arm of each budget, where these are clearly ahead of ours.
    """

    target: float
    target_error: float | None
    best_arm: str
    gepa: dict[str, dict[str, float]]
    gepa_errors: dict[str, dict[str, float | None]]
    ours: dict[str, dict[str, float]]
    ours_errors: dict[str, dict[str, float | None]]
    earlier: dict[str, dict[str, Mean]]
    difference: dict[str, dict[str, Mean]]
    behind: dict[str, dict[str, Mean]]
    rollouts_to_target: dict[str, int | None]
    reflections: dict[str, float]
    reflections_in_all: dict[str, float]
    optimism: dict[str, Mean]
    characters: dict[str, float]
    seeds: int
    peer_seeds: int
    budget: int
    beside: bool


class Means(Struct, frozen=True):
    """What is told of several works together; gepa is the best arm of each work at the end.

    Of `scores`, "gepa, any arm" is the best arm of each work at each budget.

    `rollouts_to_target` are geometric means, where a work in `never` counts as the budget, and so are
    `reflections_ratio`: ours until the target to gepa's at the budget. `optimism` is pooled over all runs.
    """

    works: list[str]
    rollouts_to_target: dict[str, float]
    never: dict[str, list[str]]
    worst: dict[str, str]
    scores: dict[str, dict[str, float]]
    scores_errors: dict[str, dict[str, float | None]]
    reflections_ratio: dict[str, float]
    optimism: dict[str, Mean]


def summary(outcome: Outcome) -> Summary:
    """Say what one work came to."""
    runs, best = outcome.runs, outcome.best
    scores = {arm: {str(at): outcome.score(arm, at) for at in outcome.budgets} for arm in runs}
    values = {arm: {at: score.value for at, score in told.items()} for arm, told in scores.items()}
    errors = {arm: {at: score.error for at, score in told.items()} for arm, told in scores.items()}
    return Summary(
        target=values[best][str(outcome.budget)],
        target_error=errors[best][str(outcome.budget)],
        best_arm=best,
        gepa={arm: values[arm] for arm in outcome.arms},
        gepa_errors={arm: errors[arm] for arm in outcome.arms},
        ours={engine: values[engine] for engine in OURS},
        ours_errors={engine: errors[engine] for engine in OURS},
        earlier={engine: scores[engine] for engine in EARLIER if engine in runs},
        difference={
            engine: {str(at): outcome.lead(engine, at, best) for at in outcome.budgets} for engine in OURS
        },
        behind={engine: outcome.behind(engine) for engine in OURS},
        rollouts_to_target={engine: outcome.to_target(engine) for engine in OURS},
        reflections={engine: outcome.reflections(engine) for engine in OURS}
        | {"gepa": mean_of(run.reflections for run in runs[best]).value},
        reflections_in_all={
            arm: mean_of(run.reflections for run in made).value for arm, made in runs.items()
        },
        optimism={arm: mean_of(run.optimism for run in made) for arm, made in runs.items()},
        characters={arm: mean_of(run.characters for run in made).value for arm, made in runs.items()},
        seeds=len(runs[OURS[0]]),
        peer_seeds=len(runs[best]),
        budget=outcome.budget,
        beside=outcome.beside,
    )


def means(outcomes: Sequence[Outcome]) -> Means:
    """Say what several works of one budget came to together."""
    told = {outcome.name: summary(outcome) for outcome in outcomes}
    needed = {
        engine: {name: work.rollouts_to_target[engine] for name, work in told.items()} for engine in OURS
    }
    most = outcomes[0].budget
    counted = {
        engine: {name: most if n is None else n for name, n in by.items()} for engine, by in needed.items()
    }
    scores = {
        engine: {
            str(at): together([one.score(one.best if engine == "gepa" else engine, at) for one in outcomes])
            for at in outcomes[0].budgets
        }
        for engine in (*OURS, *(name for name in EARLIER if name in outcomes[0].runs), "gepa")
    }
    scores["gepa, any arm"] = {
        str(at): together([one.score(one.best_at(at), at) for one in outcomes]) for at in outcomes[0].budgets
    }
    return Means(
        works=list(told),
        rollouts_to_target={engine: geometric(by.values()) for engine, by in counted.items()},
        never={engine: [name for name, n in by.items() if n is None] for engine, by in needed.items()},
        worst={engine: max(by, key=lambda name: by[name]) for engine, by in counted.items()},
        scores={engine: {at: mean.value for at, mean in by.items()} for engine, by in scores.items()},
        scores_errors={engine: {at: mean.error for at, mean in by.items()} for engine, by in scores.items()},
        reflections_ratio={
            engine: geometric_ratio(
                (work.reflections[engine], work.reflections["gepa"]) for work in told.values()
            )
            for engine in OURS
        },
        optimism={
            engine: mean_of(run.optimism for outcome in outcomes for run in outcome.runs[engine])
            for engine in outcomes[0].runs
            if engine not in EARLIER
        },
    )


def run_of(
    random_seed: int, course: Course, truth: Callable[[str], float], known: Truth | None = None
) -> Run:
    """Measure a course; `truth` gives the true held-out score of a text, `known` what else there is."""
    last = course.steps[-1]
    return Run(
        random_seed=random_seed,
        curve=tuple((step.rollouts, truth(step.text)) for step in course.steps),
        reported=last.score,
        characters=len(last.text),
        reflections=course.reflections,
        made=course.details.get("made", ()),
        measured=known.measures(last.text, course.details.get("proposed", ())) if known else {},
    )


def mean_of(values: Iterable[float]) -> Mean:
    """Give the mean of one value or more."""
    known = list(values)
    error = statistics.stdev(known) / math.sqrt(len(known)) if len(known) > 1 else None
    return Mean(statistics.fmean(known), error, len(known))


def together(known: Sequence[Mean]) -> Mean:
    """Give the mean over works of their means; the works are fixed, so their own errors make its error."""
    errors = [mean.error for mean in known if mean.error is not None]
    error = math.hypot(*errors) / len(known) if len(errors) == len(known) else None
    return Mean(statistics.fmean(mean.value for mean in known), error, len(known))


def geometric_ratio(pairs: Iterable[tuple[float, float]]) -> float:
    """Give the geometric mean of ratios; what is below 1 counts as 1."""
    return statistics.geometric_mean([max(1.0, above) / max(1.0, below) for above, below in pairs])


def geometric(values: Iterable[float]) -> float:
    """Give the geometric mean of one value or more; what is below 1 counts as 1."""
    return statistics.geometric_mean([max(1.0, value) for value in values])


def rollouts_to(runs: Sequence[Run], score: float, budget: int) -> int | None:
    """Give the first number of rollouts, up to the budget, at which the mean curve is at a score, or None."""
    curves = [[step for step in run.curve if step[0] <= budget] for run in runs]
    return reached(mean_curve(curves), score - ROUNDING)


def differences(runs: Sequence[Run], others: Sequence[Run], rollouts: int) -> list[float]:
    """Give how much better runs are than others of the same random seed, as far as both have it."""
    known = {other.random_seed: other.at(rollouts) for other in others}
    return [run.at(rollouts) - known[run.random_seed] for run in runs if run.random_seed in known]


def side_by_side(
    measure: Callable[[Job], T], jobs: Sequence[Job], workers: int, told: Callable[[Job], str]
) -> Iterator[T]:
    """Measure all jobs in processes, and give the results in their order; progress goes to stderr."""
    with Pool(workers) as pool:
        for number, (job, result) in enumerate(zip(jobs, pool.imap(measure, jobs), strict=True), 1):
            print(f"{number}/{len(jobs)}  {told(job)}", file=sys.stderr)
            yield result


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Give the lines of a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            word.rjust(width) if place else word.ljust(width)
            for place, (word, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
