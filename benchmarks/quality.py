"""How many rollouts our search needs to reach gepa's best arm, and how good both are at each budget."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from benchmarks import catalogue, earlier, kinds, ours
from benchmarks.catalogue import Entry, Unusable
from benchmarks.course import Course
from benchmarks.earlier import NoSuchSearch
from benchmarks.figures import (
    EARLIER,
    OURS,
    Means,
    Outcome,
    Run,
    Summary,
    aligned,
    means,
    run_of,
    side_by_side,
    summary,
)
from benchmarks.frozen import kinds_digest, pair_digest
from benchmarks.tasks.messages import Sizes
from benchmarks.work import Counted, Work
from runbookopt.agents.protocol import edits_of
from runbookopt.search.problem import Options, limits, of_replies

ALL_NOISE = (0.0, 0.1)
"""Of the whole catalogue."""

CANDIDATES, PURE_NOISE = 20, 0.3
"""Of pure noise: validated candidates beside the seed, and the agent's noise where none is given."""


class Job(Struct, frozen=True):
    """One random seed of one work: our two runs, and with `peer` those of all of gepa's arms.

    `against` is the exported package of an earlier search that runs as well. What others than today's search
    came to is kept in the file `kept`, where there is one, for later runs with the same `pair`.
    """

    entry: Entry
    noise: float
    random_seed: int
    budget: int
    peer: bool
    against: Path | None = None
    kept: Path | None = None
    pair: str = ""


class Kept(Struct, frozen=True):
    """Runs of one job by others than today's search, with the digest of the pair that they were made with."""

    pair: str
    runs: dict[str, Run]


class PureNoise(Struct, frozen=True):
    """In how many of `runs` pools without a better candidate something else than the seed was returned."""

    noise: float
    candidates: int
    doubt: float
    runs: int
    changed: int
    share: float
    pair: str


def main() -> int:
    """Measure what is asked for and print it; give the exit status."""
    words = _words()
    told = words.parse_args()
    if told.pure_noise is not None:
        found = pure_noise(told.pure_noise, told.noise or PURE_NOISE, told.workers, told.doubt)
        _tell_noise(found, as_json=told.json)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            entries = _entries(told)
            against = None if told.against is None else earlier.exported(told.against, Path(folder))
        except (Unusable, NoSuchSearch) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except ValueError as error:
            words.error(str(error))
        outcomes = measured(entries, told, against)
    if told.json:
        print(msgspec.json.encode(_report_of_kinds(outcomes) if told.kinds else _report(outcomes)).decode())
    else:
        print("\n".join(kinds.tables(kinds.report(outcomes)) if told.kinds else _tables(outcomes)))
    return 0


def measured(
    entries: Sequence[Entry], told: argparse.Namespace, against: Path | None = None
) -> list[Outcome]:
    """Run both engines on all works, and give an outcome for each work and noise."""
    several = (told.all or told.kinds) and told.noise is None
    noises = ALL_NOISE if several else (told.noise or 0.0,)
    pair = kinds_digest() if told.kinds else pair_digest()
    jobs = [
        Job(entry, noise, seed, told.budget, seed < told.peer_seeds, against, told.keep, pair)
        for entry in entries
        for noise in noises
        for seed in range(told.seeds)
    ]
    runs: dict[str, dict[str, list[Run]]] = {}
    results = side_by_side(_runs_of, jobs, told.workers, _told)
    for job, made in zip(jobs, results, strict=True):
        by = runs.setdefault(job.entry.at(job.noise), {})
        for engine, run in made.items():
            by.setdefault(engine, []).append(run)
    beside = {job.entry.at(job.noise): job.entry.beside for job in jobs}
    return [Outcome(name, beside[name], told.budget, by) for name, by in runs.items()]


def pure_noise(pools: int, noise: float, workers: int, doubt: float) -> PureNoise:
    """Build pools in which all candidates are equals, and count where the seed is not returned."""
    results = side_by_side(
        partial(_changed, noise=noise, doubt=doubt),
        range(pools),
        workers,
        lambda seed: f"pure noise, seed {seed}",
    )
    changed = sum(results)
    return PureNoise(noise, CANDIDATES, doubt, pools, changed, changed / pools, pair_digest())


def options_of(work: Work, random_seed: int) -> Options:
    """Give the frozen settings; where an agent never errs by chance there is less to doubt."""
    doubt = 1.0 if work.agent.deterministic else Options().doubt
    return of_replies(Options(random_seed=random_seed, doubt=doubt), edits_of(work.reflector))


def _runs_of(job: Job) -> dict[str, Run]:
    work = job.entry.make(job.random_seed, job.noise)
    options = options_of(work, job.random_seed)
    truth = Counted(work).true_score
    courses = {engine: ours.run(work, options, job.budget, free=engine == "free") for engine in OURS}
    runs = {name: run_of(job.random_seed, course, truth, work.truth) for name, course in courses.items()}
    return runs | _others_of(job, work, truth)


def _others_of(job: Job, work: Work, truth: Callable[[str], float]) -> dict[str, Run]:
    """Give the runs of gepa's arms and of an earlier search, those that were kept where they were."""
    runs, file = {}, None
    if job.kept is not None:
        before = "" if job.against is None else f", {job.against.name}"
        file = job.kept / f"{_told(job)}, {job.budget}{before}{', gepa' * job.peer}.json"
        if file.exists():
            kept = msgspec.json.decode(file.read_bytes(), type=Kept)
            if kept.pair == job.pair:
                return kept.runs
    for name, course in _courses_of_others(job, work):
        runs[name] = run_of(job.random_seed, course, truth, work.truth)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(msgspec.json.encode(Kept(job.pair, runs)))
    return runs


def _courses_of_others(job: Job, work: Work) -> Iterator[tuple[str, Course]]:
    if job.peer:
        from benchmarks import peer  # noqa: PLC0415 - gepa, an extra that all else does without

        problem = ours.problem_of(work, options_of(work, job.random_seed), {})
        for arm in peer.arms():
            yield arm.name, peer.run(work, arm, job.budget, job.random_seed, limits(problem).characters)
    if job.against is not None:
        before = earlier.loaded(job.against)
        for engine, name in zip(OURS, EARLIER, strict=True):
            yield name, earlier.run(before, work, job.random_seed, job.budget, free=engine == "free")


def _changed(random_seed: int, noise: float, doubt: float) -> bool:
    work = catalogue.pure_noise(random_seed, noise, CANDIDATES)
    options = of_replies(
        Options(random_seed=random_seed, wave=1, patience=1000, max_failures=1, doubt=doubt),
        edits_of(work.reflector),
    )
    course = ours.run(work, options, sys.maxsize, free=True)
    if course.details["pool"] != CANDIDATES + 1:
        raise RuntimeError(f"a pool of {course.details['pool']}: {course.details['ended']}")
    return course.steps[-1].text != work.seed.text


def _entries(told: argparse.Namespace) -> tuple[Entry, ...]:
    if told.kinds:
        found = catalogue.of_kinds()
    elif told.all:
        found = catalogue.works(told.data or catalogue.BANKING)
    elif told.data is not None:
        found = catalogue.of_file(told.data, Sizes(told.labels, told.train, told.validation))
    else:
        found = catalogue.of_repository()
    return catalogue.picked(found, told.works)


def _told(job: Job) -> str:
    return f"{job.entry.at(job.noise)}, seed {job.random_seed}"


def _report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Give the object that is printed: a single work stands at the top."""
    if len(outcomes) == 1:
        return {
            "work": outcomes[0].name,
            **msgspec.structs.asdict(summary(outcomes[0])),
            "pair": pair_digest(),
        }
    return {
        "works": {outcome.name: summary(outcome) for outcome in outcomes},
        "means": _means(outcomes),
        "pair": pair_digest(),
    }


def _report_of_kinds(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(kinds.report(outcomes)),
        "works": {outcome.name: summary(outcome) for outcome in outcomes},
        "pair": kinds_digest(),
    }


def _means(outcomes: Sequence[Outcome]) -> Means:
    """Give the means over what does not stand beside, or over all where nothing else was measured."""
    return means([outcome for outcome in outcomes if not outcome.beside] or outcomes)


def _tables(outcomes: Sequence[Outcome]) -> list[str]:
    told = {outcome.name: summary(outcome) for outcome in outcomes}
    first = next(iter(told.values()))
    lines = [
        f"Seeds: ours {first.seeds}, gepa {first.peer_seeds}; target: gepa's best arm at {first.budget}.",
        "free: the seed's verdicts are stored. A score is held out, of what would be returned.",
        "",
        *aligned([_TARGET_HEADS, *(_target_row(name, work) for name, work in told.items())]),
        "",
        "Score after so many rollouts, ± standard error over seeds",
        "",
        *aligned(_score_rows(told, all_arms=len(told) == 1)),
        "",
        *(_behind_lines(told) or ["Nowhere clearly behind gepa's best arm of a budget"]),
    ]
    return lines if len(outcomes) == 1 else [*lines, "", *_mean_lines(_means(outcomes))]


_TARGET_HEADS = (
    *("work", "target", "arm", "free: rollouts", "reflections", "paid: rollouts", "reflections", "gepa's"),
    *("optimism: free", "paid", "arm", "characters: free", "arm"),
)


def _target_row(name: str, work: Summary) -> list[str]:
    needed = {engine: work.rollouts_to_target[engine] for engine in OURS}
    ours_ = [
        word
        for engine in OURS
        for word in (
            "never" if needed[engine] is None else str(needed[engine]),
            f"{work.reflections[engine]:.0f}",
        )
    ]
    return [
        f"{name} (beside)" if work.beside else name,
        _scored(work.target, work.target_error),
        work.best_arm,
        *ours_,
        f"{work.reflections['gepa']:.0f}",
        *(str(work.optimism[engine]) for engine in (*OURS, work.best_arm)),
        *(f"{work.characters[engine]:.0f}" for engine in ("free", work.best_arm)),
    ]


def _score_rows(told: Mapping[str, Summary], *, all_arms: bool) -> list[list[str]]:
    some = next(iter(told.values()))
    rows = [["work", *some.ours["free"]]]
    for name, work in told.items():
        scores, errors = work.ours | work.gepa, work.ours_errors | work.gepa_errors
        for engine in scores if all_arms else (*OURS, work.best_arm):
            cells = [_scored(scores[engine][at], errors[engine][at]) for at in scores[engine]]
            rows.append([f"{name}: {engine}" if engine in OURS else f"{name}: gepa, {engine}", *cells])
        for engine, at_budgets in work.earlier.items():
            rows.append(
                [f"{name}: {engine}", *(_scored(one.value, one.error) for one in at_budgets.values())]
            )
    return rows


def _behind_lines(told: Mapping[str, Summary]) -> list[str]:
    """Say where gepa's best arm of a budget is ahead by more than two standard errors."""
    return [
        f"behind gepa's best arm: {name}, {engine}, at {at}: {lead}"
        for name, work in told.items()
        for engine, leads in work.behind.items()
        for at, lead in leads.items()
    ]


def _mean_lines(mean: Means) -> list[str]:
    """Say what the works came to together."""
    lines = [f"Together, {len(mean.works)} works", ""]
    for engine in OURS:
        never = ", ".join(mean.never[engine]) or "none"
        lines.append(
            f"{engine}: geometric mean of rollouts to target {mean.rollouts_to_target[engine]:.0f},"
            f" of reflections against gepa's {mean.reflections_ratio[engine]:.2f};"
            f" worst: {mean.worst[engine]}; never reached: {never}"
        )
    rows = [["mean score", *mean.scores["gepa"]]]
    for engine, scores in mean.scores.items():
        said = {"gepa": "gepa's best arms", "gepa, any arm": "gepa's best of each budget"}.get(engine, engine)
        rows.append([said, *(_scored(scores[at], mean.scores_errors[engine][at]) for at in scores)])
    optimism = [["optimism, pooled", "mean", "runs"]]
    optimism += [[engine, str(told), str(told.count)] for engine, told in mean.optimism.items()]
    return [*lines, "", *aligned(rows), "", *aligned(optimism)]


def _scored(value: float, error: float | None) -> str:
    return f"{value:.3f}" if error is None else f"{value:.3f} ±{error:.3f}"


def _tell_noise(found: PureNoise, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    print(
        f"Pure noise ({found.noise:g}), {found.candidates} candidates that are the seed's equals: something"
        f" else than the seed was returned in {found.changed} of {found.runs} runs ({found.share:.1%});"
        f" settled at {found.doubt:.0%}"
    )


def _words() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--data", type=Path, help="a CSV with the columns text and label")
    words.add_argument("--all", action="store_true", help="the whole catalogue, without noise and at .1")
    words.add_argument("--kinds", action="store_true", help="the works whose edits do not add up, likewise")
    words.add_argument("--against", metavar="COMMIT", help="run the search of an earlier commit as well")
    words.add_argument("--keep", type=Path, metavar="FOLDER", help="keep gepa's runs and earlier ones there")
    words.add_argument("--works", metavar="NAME,...", help="only these of the works")
    words.add_argument("--labels", type=count, default=Sizes().labels, help="with --data: labels drawn")
    words.add_argument("--train", type=count, default=Sizes().train, help="with --data: messages of train")
    words.add_argument("--validation", type=count, default=Sizes().validation, help="and of validation")
    words.add_argument("--seeds", type=count, default=16, help="random seeds of ours")
    words.add_argument("--peer-seeds", type=count, default=8, help="the first of them that gepa runs too")
    words.add_argument("--noise", type=share, help="share of attempts that err by chance (0)")
    words.add_argument("--budget", type=count, default=2000, help="rollouts of a run")
    words.add_argument(
        "--pure-noise",
        type=count,
        nargs="?",
        const=200,
        metavar="POOLS",
        help="see whether noise is returned",
    )
    words.add_argument("--doubt", type=share, default=Options().doubt, help="of pure noise: the bar's level")
    words.add_argument("--workers", type=count, default=2, help="processes")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    return words


def count(word: str) -> int:
    """Read a number of at least one; raises ValueError."""
    number = int(word)
    if number < 1:
        raise ValueError(word)
    return number


def share(word: str) -> float:
    """Read a number from 0 to below 1; raises ValueError."""
    number = float(word)
    if not 0 <= number < 1:
        raise ValueError(word)
    return number


if __name__ == "__main__":
    sys.exit(main())
