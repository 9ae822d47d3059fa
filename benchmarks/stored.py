"""What stored outputs of another agent are worth: rollouts to the same score with them and without."""

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks import catalogue, ours
from benchmarks.catalogue import Entry, Unusable
from benchmarks.figures import Run, aligned, geometric, mean_of, rollouts_to, run_of, side_by_side
from benchmarks.frozen import pair_digest
from benchmarks.work import Counted, Work
from runbookopt.search.asks import Stored
from runbookopt.search.problem import Options

STRAY = 0.1
"""Share of the other agent's outputs that belong to another task."""

WAYS = (0.5, 0.75, 0.9)
"""The targets: so much of the way from the seed's score to what a search without stored outputs returns."""

BUDGETS = (100, 150, 200, 300, 500)
"""Rollouts after which scores are told."""

ENGINES = ("without", "with")

NOISES = (0.0, 0.1)
"""Shares of today's agent's attempts that err by chance."""


class Job(Struct, frozen=True):
    """One random seed of one work at one noise."""

    entry: Entry
    noise: float
    random_seed: int
    budget: int

    @property
    def name(self) -> str:
        """The name of the work at its noise."""
        return self.entry.at(self.noise)


class Row(Struct, frozen=True):
    """Rollouts to each target (the budget if it was not reached), and mean scores by rollouts."""

    rollouts: dict[str, dict[float, int]]
    scores: dict[str, dict[int, float]]


def main() -> int:
    """Measure and print; give the exit status."""
    words = _words()
    told = words.parse_args()
    try:
        file = told.data or (catalogue.BANKING if catalogue.BANKING.exists() else None)
        entries = catalogue.picked(catalogue.works(file), told.works)
    except Unusable as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    seeds = range(told.seeds, 2 * told.seeds) if told.report else range(told.seeds)
    rows = measured([Job(e, noise, s, told.budget) for e in entries for noise in NOISES for s in seeds], told)
    if told.json:
        print(msgspec.json.encode({"works": rows, "pair": pair_digest()}).decode())
    else:
        print("\n".join(_table(rows, told.budget)))
    return 0


def measured(jobs: Sequence[Job], told: argparse.Namespace) -> dict[str, Row]:
    """Run all jobs, and compare by work."""
    runs: dict[str, list[Mapping[str, Run]]] = {}
    results = side_by_side(_runs_of, jobs, told.workers, lambda job: f"{job.name}, seed {job.random_seed}")
    for job, made in zip(jobs, results, strict=True):
        runs.setdefault(job.name, []).append(made)
    return {name: _row(made, told.budget) for name, made in runs.items()}


def of_another(work: Work, random_seed: int) -> dict[str, Stored]:
    """Outputs of an agent that followed an older text, without its last list item, and sometimes strayed."""
    chance = random.Random(random_seed)
    lines = work.seed.text.splitlines(keepends=True)
    items = [number for number, line in enumerate(lines) if line.startswith("- ")]
    older = "".join(line for number, line in enumerate(lines) if not items or number != items[-1])
    counted = Counted(work)
    stored = {}
    for case in work.train:
        answering = chance.choice(work.train) if chance.random() < STRAY else case
        output = counted.attempt(older, answering, "stored").output
        judged = work.judge(output, case.reference)
        attempt = counted.attempt(older, case, "stored")
        stored[case.id] = Stored(
            msgspec.structs.replace(
                attempt,
                trajectory=f"stored/{case.id}",
                output=output,
                score=judged.score,
                objectives=judged.objectives,
                feedback=judged.feedback,
            ),
            "agent another, runbook of an older version",
        )
    return stored


def _runs_of(job: Job) -> dict[str, Run]:
    work = job.entry.make(job.random_seed, job.noise)
    doubt = 1.0 if work.agent.deterministic else Options().doubt
    options = Options(random_seed=job.random_seed, doubt=doubt)
    truth = Counted(work).true_score
    evidence = {"without": {}, "with": of_another(work, job.random_seed)}
    return {
        name: run_of(
            job.random_seed, ours.run(work, options, job.budget, free=False, evidence=evidence[name]), truth
        )
        for name in ENGINES
    }


def _row(made: Sequence[Mapping[str, Run]], budget: int) -> Row:
    by = {name: [each[name] for each in made] for name in ENGINES}
    seed = mean_of(run.curve[0][1] for run in by["without"]).value
    end = mean_of(run.at(budget) for run in by["without"]).value
    targets = {way: seed + way * (end - seed) for way in WAYS}
    return Row(
        {
            name: {way: rollouts_to(runs, target, budget) or budget for way, target in targets.items()}
            for name, runs in by.items()
        },
        {
            name: {at: mean_of(run.at(at) for run in runs).value for at in (*BUDGETS, budget)}
            for name, runs in by.items()
        },
    )


def _table(rows: Mapping[str, Row], budget: int) -> list[str]:
    heads = [f"{name} {way:.0%}" for way in WAYS for name in ENGINES]
    ats = [f"{name} {at}" for at in (*BUDGETS, budget) for name in ENGINES]
    cells = [["work", *heads, *ats]]
    for name, row in rows.items():
        needed = [str(row.rollouts[each][way]) for way in WAYS for each in ENGINES]
        scores = [f"{row.scores[each][at]:.3f}" for at in (*BUDGETS, budget) for each in ENGINES]
        cells.append([name, *needed, *scores])
    means = [
        f"{geometric(row.rollouts[each][way] for row in rows.values()):.0f}"
        for way in WAYS
        for each in ENGINES
    ]
    scores = [
        f"{mean_of(row.scores[each][at] for row in rows.values()).value:.3f}"
        for at in (*BUDGETS, budget)
        for each in ENGINES
    ]
    return aligned([*cells, ["together", *means, *scores]])


def _words() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--data", type=Path, help="a CSV with the columns text and label")
    words.add_argument("--works", metavar="NAME,...", help="only these of the works")
    words.add_argument("--seeds", type=int, default=6, help="random seeds")
    words.add_argument(
        "--report", action="store_true", help="as many other seeds, that nothing was chosen by"
    )
    words.add_argument("--budget", type=int, default=1000, help="rollouts of a run")
    words.add_argument("--workers", type=int, default=2, help="processes")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    return words


if __name__ == "__main__":
    sys.exit(main())
