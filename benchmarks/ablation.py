"""What each idea of the search is worth: one setting switched at a time, on the same random seeds."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from benchmarks import catalogue, ours
from benchmarks.catalogue import Entry, Unusable
from benchmarks.figures import Mean, Run, geometric, mean_of, rollouts_to, run_of, side_by_side
from benchmarks.frozen import pair_digest
from benchmarks.quality import count, options_of, share
from benchmarks.work import Counted

BUDGETS = (150, 300, 600)
"""Rollouts at which a variation is compared with the base, as far as a run goes."""

UNBOUNDED = 10**9


class Variation(Struct, frozen=True):
    """The frozen settings with `changes`; `free` where the seed's verdicts are stored."""

    name: str
    changes: Mapping[str, Any] = {}
    free: bool = True


BASE = Variation("base")
VARIATIONS = (
    Variation("wave of 1", {"wave": 1}),
    Variation("wave of 8", {"wave": 8}),
    Variation("wave of 16", {"wave": 16}),
    Variation("minibatch of 1", {"minibatch": 1}),
    Variation("minibatch of 3", {"minibatch": 3}),
    Variation("minibatch of 6", {"minibatch": 6}),
    Variation("no contrast", {"contrast": 0}),
    Variation("no passing shown", {"passing": 0}),
    Variation("12 passing shown", {"passing": 12}),
    Variation("not grouped", {"grouped": False}),
    Variation("kinds by first criterion", {"every": False}),
    Variation("small kinds do not wait", {"waits": 0.0}),
    Variation("lone kinds kept", {"apart": 1}),
    Variation("kinds by expectation", {"apart": UNBOUNDED}),
    Variation("not crossed", {"crossed": False}),
    Variation("no doubt", {"doubt": 1.0}),
    Variation("nothing remembered", {"remembered": 0}),
    Variation("patience of 1", {"patience": 1}),
    Variation("not widened", {"widened": 0}),
    Variation("no growth cap", {"characters": UNBOUNDED}),
    Variation("verdicts paid", free=False),
    Variation("not halved after a fall", {"halved": False}),
    Variation("no first look", {"first": 0}),
    Variation("nothing taken out on the way", {"adds": 0.0}),
    Variation("not tidied at the end", {"tidied": False}),
    Variation("minibatch of 12", {"minibatch": 12}),
    Variation("minibatch of 30", {"minibatch": 30}),
    Variation("useless replies not asked for again", {"again": 0}),
)
"""Each switches one idea."""


class Job(Struct, frozen=True):
    """One random seed of one work, with all variations."""

    entry: Entry
    noise: float
    random_seed: int
    budget: int
    variations: tuple[Variation, ...]

    @property
    def name(self) -> str:
        """The name of the work at its noise."""
        return self.entry.at(self.noise)


class Row(Struct, frozen=True):
    """What a variation is worth: `differences` from the base by budget, `works` at the end by work.

    `rollouts_to_target` is the geometric mean over the works with a known target, where a work that never
    gets there counts as the budget. `length` is how much longer the texts returned are (+.1: a tenth),
    `reflections` how many more were made in a whole run.
    """

    rollouts_to_target: float | None
    never: int
    differences: dict[str, Mean]
    length: Mean
    reflections: Mean
    works: dict[str, Mean]
    better: list[str]
    worse: list[str]


Runs = Mapping[str, Sequence[Run]]
"""The runs of one variation by work, in the order of random seeds."""


def main() -> int:
    """Measure all variations and print a Markdown table; give the exit status."""
    words = _words()
    told = words.parse_args()
    try:
        targets = _targets(told.targets)
        file = told.data or (catalogue.BANKING if catalogue.BANKING.exists() else None)
        every = (*catalogue.works(file), *catalogue.of_kinds())
        entries = catalogue.picked(catalogue.of_kinds() if told.kinds else every, told.works)
        variations = _picked(told.variations)
    except Unusable as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        words.error(str(error))
    runs = measured(_jobs(entries, variations, told), told.workers)
    rows = {name: row(made, runs[BASE.name], targets, told.budget) for name, made in runs.items()}
    if told.json:
        print(msgspec.json.encode({"variations": rows, "seeds": told.seeds, "pair": pair_digest()}).decode())
    else:
        print("\n".join(_table(rows, told.budget)))
    return 0


def measured(jobs: Sequence[Job], workers: int) -> dict[str, dict[str, list[Run]]]:
    """Run all jobs, and give the runs by variation and work."""
    found: dict[str, dict[str, list[Run]]] = {}
    results = side_by_side(_runs_of, jobs, workers, lambda job: f"{job.name}, seed {job.random_seed}")
    for job, made in zip(jobs, results, strict=True):
        for variation, run in zip(job.variations, made, strict=True):
            found.setdefault(variation.name, {}).setdefault(job.name, []).append(run)
    return found


def row(runs: Runs, base: Runs, targets: Mapping[str, float], budget: int) -> Row:
    """Compare a variation with the base, run by run."""
    at = {most: {name: _gains(runs[name], base[name], most) for name in runs} for most in budgets(budget)}
    works = {name: mean_of(gains) for name, gains in at[budget].items()}
    needed = [rollouts_to(made, targets[name], budget) for name, made in runs.items() if name in targets]
    return Row(
        rollouts_to_target=geometric(budget if n is None else n for n in needed) if needed else None,
        never=needed.count(None),
        differences={
            str(most): mean_of(gain for gains in by.values() for gain in gains) for most, by in at.items()
        },
        length=_more(runs, base, lambda run: run.characters),
        reflections=_more(runs, base, lambda run: max(1, run.reflections)),
        works=works,
        better=[name for name, gain in works.items() if gain.clear > 0],
        worse=[name for name, gain in works.items() if gain.clear < 0],
    )


def _more(runs: Runs, base: Runs, amount: Callable[[Run], int]) -> Mean:
    """Give by what share an amount is more than the base's."""
    return mean_of(
        amount(run) / amount(other) - 1
        for name, made in runs.items()
        for run, other in zip(made, base[name], strict=True)
    )


def budgets(most: int) -> tuple[int, ...]:
    """Give the budgets of the comparison: those below the runs' own, and that."""
    return (*(budget for budget in BUDGETS if budget < most), most)


def _runs_of(job: Job) -> tuple[Run, ...]:
    work = job.entry.make(job.random_seed, job.noise)
    base = options_of(work, job.random_seed)
    truth = Counted(work).true_score
    made: dict[tuple[bytes, bool], Run] = {}
    for variation in job.variations:
        options = replace(base, **variation.changes)
        key = msgspec.json.encode(options), variation.free
        if key not in made:  # what changes nothing here, as no doubt where there is none, is the base's run
            course = ours.run(work, options, job.budget, free=variation.free)
            made[key] = run_of(job.random_seed, course, truth, work.truth)
    return tuple(
        made[msgspec.json.encode(replace(base, **variation.changes)), variation.free]
        for variation in job.variations
    )


def _gains(runs: Sequence[Run], base: Sequence[Run], rollouts: int) -> list[float]:
    return [run.at(rollouts) - other.at(rollouts) for run, other in zip(runs, base, strict=True)]


def _jobs(entries: Sequence[Entry], variations: tuple[Variation, ...], told: argparse.Namespace) -> list[Job]:
    return [
        Job(entry, noise, seed, told.budget, variations)
        for entry in entries
        for noise in told.noise
        for seed in range(told.seeds)
    ]


def _picked(names: str | None) -> tuple[Variation, ...]:
    """Give the base and the variations with these names, or all; raises ValueError."""
    known = {variation.name: variation for variation in VARIATIONS}
    wanted = list(known) if names is None else [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"no variation {unknown[0]!r}: choose from {', '.join(known)}")
    return (BASE, *(known[name] for name in dict.fromkeys(wanted)))


def _targets(file: Path | None) -> dict[str, float]:
    """Read the targets of works from what `quality.py --json` wrote."""
    if file is None:
        return {}
    try:
        told = msgspec.json.decode(file.read_bytes())
        works = told["works"] if "works" in told else {told["work"]: told}
        return {name: float(work["target"]) for name, work in works.items()}
    except OSError as error:
        raise Unusable(f"{file}: {error.strerror}") from None
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        raise Unusable(f"{file}: not what quality.py --json prints") from None


def _table(rows: Mapping[str, Row], budget: int) -> list[str]:
    """Give the lines of a Markdown table."""
    heads = (
        "variation",
        "rollouts to target",
        *(f"score at {most}" for most in budgets(budget)),
        "length",
        "reflections",
        "works better",
        "works worse",
    )
    lines = [heads, ("---", *("---:" for _ in budgets(budget)), "---:", "---:", "---:", "---", "---")]
    for name, told in rows.items():
        needed = "" if told.rollouts_to_target is None else f"{told.rollouts_to_target:.0f}"
        never = f" ({told.never} never)" if told.never else ""
        differences = ["" if name == BASE.name else str(gain) for gain in told.differences.values()]
        more = ("", "") if name == BASE.name else (str(told.length), str(told.reflections))
        lines.append((name, needed + never, *differences, *more, _named(told.better), _named(told.worse)))
    return [f"| {' | '.join(line)} |" for line in lines]


def _named(works: Sequence[str]) -> str:
    return f"{len(works)}: {'; '.join(works)}" if works else "0"


def _words() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--data", type=Path, help="a CSV with the columns text and label")
    words.add_argument("--works", metavar="NAME,...", help="only these of the works")
    words.add_argument("--kinds", action="store_true", help="only the works whose edits do not add up")
    words.add_argument("--variations", metavar="NAME,...", help="only these beside the base")
    words.add_argument("--seeds", type=count, default=6, help="random seeds, the same for each variation")
    words.add_argument("--budget", type=count, default=BUDGETS[-1], help="rollouts of a run")
    words.add_argument("--noise", type=shares, default=(0.0, 0.1), help="shares of attempts that err (0,.1)")
    words.add_argument("--targets", type=Path, help="what quality.py --json printed for these works")
    words.add_argument("--workers", type=count, default=2, help="processes")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    return words


def shares(word: str) -> tuple[float, ...]:
    """Read numbers from 0 to below 1; raises ValueError."""
    return tuple(share(part) for part in word.split(","))


if __name__ == "__main__":
    sys.exit(main())
