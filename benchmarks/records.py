"""Real records replayed: what our selection says of what it chooses, how good that is, and CAPO's racing."""

import argparse
import csv
import gzip
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random

import msgspec
from msgspec import Struct

from benchmarks.figures import Mean, aligned, mean_of, side_by_side
from runbookopt.search.asks import Attempt, Candidate
from runbookopt.search.pool import Member
from runbookopt.search.problem import Options
from runbookopt.search.selection import choose

RECORDS = Path(__file__).parents[2] / "shared" / "data" / "records"
"""Where the records stand beside the repository."""

BLOCK = 30
"""Examples in one of CAPO's blocks, of which a score is known as a whole."""

BLOCKS = 10
SIZES = (1, 2, 5)
"""Blocks that choose: 30, 60 and 150 examples; those that are left say what is true."""

FEWEST = 8
"""A run of CAPO's with fewer prompts that have all blocks is left out."""

RULES = {"ours, no bar": 1.0, "ours": Options().doubt}
"""Our selection by its `doubt`: for an agent that never errs by chance, and for all others."""

BY_BLOCK = {"ours, no bar, by block": 1.0}
"""Where nothing is supposed of single examples: few tasks, each scored by a block."""

POPULATION, ALPHA = 10, 0.2
"""CAPO's own settings: as many survive a race, and what is worse at this level does not."""

Rows = Sequence[Sequence[int]]
"""For each prompt, right (1) or wrong (0) on each example that chooses."""


class Prompts(Struct, frozen=True):
    """The prompts of one run of CAPO's that have all blocks, in the order of their making.

    `right` is how many of a block's examples each had right, block by block; `lengths` are characters.
    """

    name: str
    right: tuple[tuple[int, ...], ...]
    lengths: tuple[int, ...]

    @property
    def data_set(self) -> str:
        """The data set of the run."""
        return self.name.split("/")[1]

    def likeness(self) -> float:
        """How alike two prompts do on one example, as a correlation, from the blocks alone.

        What all prompts of a run have in common makes their scores of a block rise and fall together: the
        mean covariance of two prompts over blocks is that of one example by 30.
        """
        means = [statistics.fmean(row) / BLOCK for row in self.right]
        apart = [[block / BLOCK - mean for block in row] for row, mean in zip(self.right, means, strict=True)]
        together = math.fsum(math.fsum(column) ** 2 for column in zip(*apart, strict=True))
        alone = math.fsum(each**2 for row in apart for each in row)
        covariance = (together - alone) / (BLOCKS - 1) / (len(apart) * (len(apart) - 1))
        return min(0.95, max(0.0, covariance * BLOCK / statistics.fmean(mean * (1 - mean) for mean in means)))


class Replayed(Struct, frozen=True):
    """What came of one choice: what was told of it, what it and the best of all are worth, and its price.

    `scored` is its score on what chose. `drift` is how much easier that was for all in the mean: it is 0 over
    many draws, and without it a mean of few is much clearer. `seed` says whether the seed was chosen, `worse`
    whether the seed is better, `spent` the share of examples paid for of those that all could have had.
    """

    source: str
    size: int
    rule: str
    told: float
    scored: float
    true: float
    best: float
    drift: float
    seed: bool
    worse: bool
    spent: float = 1.0


class Summary(Struct, frozen=True):
    """Means over runs, each of which is the mean of its draws; so draws of one run count once."""

    source: str
    size: int
    rule: str
    optimism: Mean
    luck: Mean
    regret: Mean
    seed: float
    worse: float
    spent: float


def prompts_of(file: Path) -> list[Prompts]:
    """Read the runs of CAPO's records that have prompts enough."""
    right: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    lengths: dict[str, list[int]] = defaultdict(list)
    with gzip.open(file, "rt", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            scores = [row[f"block{number}"] for number in range(BLOCKS)]
            if all(scores):
                right[row["run"]].append(tuple(round(float(score) * BLOCK) for score in scores))
                lengths[row["run"]].append(int(row["characters"]))
    runs = (Prompts(name, tuple(rows), tuple(lengths[name])) for name, rows in right.items())
    return [run for run in runs if len(run.right) >= FEWEST]


def examples_of(right: Sequence[int], likeness: float, rng: Random) -> list[list[int]]:
    """Thirty examples of which each prompt has as many right as it had of the block.

    Which, is not recorded. An example is hard for all, to a part, and for each prompt by itself: each has
    those right that are easiest for it. The part is set so that prompts are about as alike on one example
    as they are (for scores of .8: a correlation of .3, .45, .68 from .5, .7, .9).
    """
    part = 1 - (1 - likeness) ** 2
    easy = [rng.gauss(0, 1) for _ in range(BLOCK)]
    rows = []
    for many in right:
        own = [math.sqrt(part) * each + math.sqrt(1 - part) * rng.gauss(0, 1) for each in easy]
        passed = set(sorted(range(BLOCK), key=own.__getitem__, reverse=True)[:many])
        rows.append([int(example in passed) for example in range(BLOCK)])
    return rows


def replayed(
    run: Prompts, *, draws: int, likeness: float | None = None, rules: Mapping[str, float] = RULES
) -> list[Replayed]:
    """Every rule on blocks drawn from a run; the others say what is true."""
    alike = run.likeness() if likeness is None else likeness
    made: list[Replayed] = []
    for size in SIZES:
        for draw in range(draws):
            rng = Random(f"{run.name} {draw} {size}")
            order = rng.sample(range(BLOCKS), BLOCKS)
            rows: list[list[int]] = [[] for _ in run.right]
            for block in order[:size]:
                drawn = examples_of([row[block] for row in run.right], alike, rng)
                rows = [[*row, *more] for row, more in zip(rows, drawn, strict=True)]
            true = [statistics.fmean(row[block] for block in order[size:]) / BLOCK for row in run.right]
            made += chosen(run.data_set, size * BLOCK, rows, true, run.lengths, rules)
            if size == SIZES[-1]:
                blocks = [[row[block] / BLOCK for block in order[:size]] for row in run.right]
                made += chosen(run.data_set, size * BLOCK, blocks, true, run.lengths, BY_BLOCK)
            made += (raced(run.data_set, rows, true, keep=keep, rng=rng) for keep in (POPULATION, 1))
    return made


def chosen(
    source: str,
    size: int,
    rows: Sequence[Sequence[float]],
    true: Sequence[float],
    lengths: Sequence[int],
    rules: Mapping[str, float] = RULES,
) -> Iterator[Replayed]:
    """What our selection makes of it, with the bar against luck and without; the first is the seed."""
    pool = [member(row, length) for row, length in zip(rows, lengths, strict=True)]
    drift = statistics.fmean(each.score for each in pool) - statistics.fmean(true)
    for rule, doubt in rules.items():
        found = choose(pool, doubt=doubt)
        yield Replayed(
            source,
            size,
            rule,
            found.expected,
            pool[found.number].score,
            true[found.number],
            max(true),
            drift,
            found.number == 0,
            true[found.number] < true[0],
        )


def member(scores: Sequence[float], length: int) -> Member:
    """A member of a pool with these scores, and a text of that length."""
    attempts = {
        str(at): Attempt("", "", float(score), {"right": float(score)}) for at, score in enumerate(scores)
    }
    return Member(Candidate(" " * length), (), 0, attempts)


def raced(source: str, rows: Rows, true: Sequence[float], *, keep: int, rng: Random) -> Replayed:
    """CAPO's racing (arXiv 2504.16005, Algorithm 3) by these blocks, in their order, without its penalty.

    After each block those go of whom `keep` others or more are better by a paired t-test at `ALPHA`, until
    no more than `keep` are left, or no block. The best mean of those left is returned; equals draw lots.
    """
    alive, blocks, paid = list(range(len(rows))), 0, 0
    while blocks * BLOCK < len(rows[0]) and (blocks == 0 or len(alive) > keep):
        blocks, paid = blocks + 1, paid + len(alive)
        seen = {each: int("".join(map(str, rows[each][: blocks * BLOCK])), 2) for each in alive}
        size = blocks * BLOCK
        better = {each: sum(is_better(seen[other], seen[each], size) for other in alive) for each in alive}
        alive = [each for each in alive if better[each] < keep]
    scores = {each: statistics.fmean(rows[each][: blocks * BLOCK]) for each in alive}
    best = rng.choice([each for each in alive if scores[each] == max(scores.values())])
    return Replayed(
        source,
        len(rows[0]),
        "CAPO's racing" if keep > 1 else "CAPO's racing to one",
        scores[best],
        scores[best],
        true[best],
        max(true),
        statistics.fmean(map(statistics.fmean, rows)) - statistics.fmean(true),
        best == 0,
        true[best] < true[0],
        paid / len(rows) / (len(rows[0]) / BLOCK),
    )


def is_better(one: int, other: int, size: int) -> bool:
    """Whether one row of right and wrong, as bits, beats another by a paired t-test at `ALPHA`, one-sided."""
    won, lost = (one & ~other).bit_count(), (other & ~one).bit_count()
    gain = won - lost
    if gain <= 0:
        return False
    variance = (won + lost - gain**2 / size) / (size - 1)
    return gain / size > quantile(size - 1) * math.sqrt(variance / size)


def quantile(freedom: int) -> float:
    """The quantile of Student's t above which `ALPHA` lies, by Cornish and Fisher's first term."""
    normal = statistics.NormalDist().inv_cdf(1 - ALPHA)
    return normal + (normal**3 + normal) / (4 * freedom)


def items_of(file: Path) -> dict[str, list[tuple[int, int, int]]]:
    """For each data set of gepa's confidence runs: seed, default and confidence prompt, right or wrong."""
    found: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            right = (row["seed"], row["gepa_default"], row["gepa_confidence"])
            found[row["dataset"]].append((int(right[0]), int(right[1]), int(right[2])))
    return dict(found)


def itemwise(
    source: str, items: Sequence[tuple[int, ...]], *, draws: int, sizes: Sequence[int] = SIZES
) -> list[Replayed]:
    """Selection by items drawn, item by item as they are; all others say what is true."""
    made: list[Replayed] = []
    for size in (blocks * BLOCK for blocks in sizes):
        for draw in range(draws):
            order = Random(f"{source} {draw} {size}").sample(items, len(items))
            rows = list(zip(*order[:size], strict=True))
            true = [statistics.fmean(column) for column in zip(*order[size:], strict=True)]
            made += chosen(source, size, rows, true, [0] * len(rows))
    return made


def trials(file: Path, *, draws: int) -> list[Replayed]:
    """Selection among tau2's candidates by one trial a task, drawn at the task's rate over ten trials.

    By 30 of the 50 tasks, and the other 20 say what is true; by all 50, and their ten trials do.
    """
    told = json.loads(file.read_bytes())
    means: list[list[float]] = [each["means"] for each in told["candidates"]]
    tasks = range(len(told["tasks"]))
    made: list[Replayed] = []
    for size in (BLOCK, len(tasks)):
        for draw in range(draws):
            rng = Random(f"tau2 {draw} {size}")
            order = rng.sample(tasks, len(tasks))
            rows = [[int(rng.random() < row[task]) for task in order[:size]] for row in means]
            true = [statistics.fmean(row[task] for task in order[size:] or order) for row in means]
            made += chosen("tau2 airline", size, rows, true, [0] * len(rows))
    return made


def summaries(by_run: Sequence[Sequence[Replayed]]) -> list[Summary]:
    """What each rule came to for each size, over runs."""
    found: dict[tuple[str, int, str], list[list[Replayed]]] = defaultdict(list)
    for run in by_run:
        own: dict[tuple[str, int, str], list[Replayed]] = defaultdict(list)
        for each in run:
            own[each.source, each.size, each.rule].append(each)
        for key, made in own.items():
            found[key].append(made)
    return [
        Summary(
            *key,
            optimism=_over(runs, lambda each: each.told - each.true - each.drift),
            luck=_over(runs, lambda each: each.scored - each.true - each.drift),
            regret=_over(runs, lambda each: each.best - each.true),
            seed=_over(runs, lambda each: each.seed).value,
            worse=_over(runs, lambda each: each.worse).value,
            spent=_over(runs, lambda each: each.spent).value,
        )
        for key, runs in found.items()
    ]


def _over(runs: Sequence[Sequence[Replayed]], of: Callable[[Replayed], float]) -> Mean:
    if len(runs) == 1:  # draws from one record, and no runs: their error is that of the drawing alone
        return mean_of(map(of, runs[0]))
    return mean_of(statistics.fmean(map(of, made)) for made in runs)


def together(by_run: Sequence[Sequence[Replayed]], name: str) -> list[list[Replayed]]:
    """The same, of one source."""
    return [[msgspec.structs.replace(each, source=name) for each in run] for run in by_run]


def half_of(runs: Sequence[Prompts], half: int | None) -> list[Prompts]:
    """Every second run, by name, or all: what is chosen on one half is told on the other."""
    return [run for at, run in enumerate(sorted(runs, key=lambda run: run.name)) if half in (None, at % 2)]


def main() -> int:
    """Replay the records and print what each rule came to; give the exit status."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--records", type=Path, default=RECORDS, help="the folder of the records")
    words.add_argument("--draws", type=int, default=4, help="draws of blocks from each run of CAPO's")
    words.add_argument("--half", type=int, choices=(0, 1), help="only every second run of CAPO's")
    words.add_argument("--likeness", type=float, help="of prompts on one example, instead of each run's own")
    words.add_argument("--doubt", type=float, action="append", default=[], help="a bar at this level, too")
    words.add_argument("--workers", type=int, default=2, help="processes")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    told = words.parse_args()
    rules = RULES | {f"ours, bar at {level:g}": level for level in told.doubt}
    if not told.records.is_dir():
        print(f"error: no records at {told.records}: name their folder with --records", file=sys.stderr)
        return 1
    runs = half_of(prompts_of(told.records / "capo_block_scores.csv.gz"), told.half)
    made = list(
        side_by_side(
            partial(replayed, draws=told.draws, likeness=told.likeness, rules=rules),
            runs,
            told.workers,
            lambda run: run.name,
        )
    )
    beside = [
        *(
            itemwise(name, items, draws=300)
            for name, items in items_of(told.records / "gepa_confidence_pairs.csv").items()
        ),
        trials(told.records / "tau2_airline_means.json", draws=300),
    ]
    capo = summaries(together(made, "CAPO")) + sorted(summaries(made), key=lambda each: each.source)
    _tell(capo, summaries([[each for run in beside for each in run]]), as_json=told.json)
    return 0


def _tell(capo: Sequence[Summary], beside: Sequence[Summary], *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode({"capo": capo, "beside": beside}).decode())
        return
    heads = [
        "records",
        "examples",
        "rule",
        "reported - true",
        "its score - true",
        "regret",
        "seed",
        "worse",
        "spent",
    ]
    for each in (capo, beside):
        print(*aligned([heads, *map(_row, each)]), sep="\n", end="\n\n")


def _row(each: Summary) -> list[str]:
    means = map(str, (each.optimism, each.luck, each.regret))
    return [
        each.source,
        str(each.size),
        each.rule,
        *means,
        *(f"{x:.0%}" for x in (each.seed, each.worse, each.spent)),
    ]


if __name__ == "__main__":
    sys.exit(main())
