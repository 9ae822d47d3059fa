"""Seconds to the same held-out score, ours and gepa's, with agent and reflector behind HTTP on loopback."""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from benchmarks import catalogue, clocked, loopback, ours, peer
from benchmarks.catalogue import Entry, Unusable
from benchmarks.clocked import WIDTH, Calls, Timed
from benchmarks.course import mean_curve, reached
from benchmarks.doors import most_characters, through, ways
from benchmarks.figures import ROUNDING, Run, aligned, rollouts_to, run_of
from benchmarks.frozen import pair_digest
from benchmarks.loopback import Client, Delays, RemoteAgent
from benchmarks.quality import count, options_of
from benchmarks.tasks.messages import Sizes
from benchmarks.work import Counted, Work

ROLLOUT_SECONDS, REFLECTION_SECONDS = 0.2, 1.0
BUDGET = 2000
PEER_TIMES, DOOR_TIMES = 10, 2
"""How much faster than gepa's plain adapter, and than its best door, we mean to be."""

CALLS_TIMES = 1.1
"""So many times the rollouts that our search needs in process it may pay on the clock, to the same target."""

PAID, FREE = "ours, seed verdicts paid", "ours, seed verdicts free"
CROWD, ROUNDS = 64, 8
"""By so many calls in flight, so many times, the server is checked to be none of the bottleneck."""

Making = Callable[[], Work]
Curve = Sequence[tuple[float, float]]
Needed = Mapping[str, Calls | None]
"""What our search needs in process, by `PAID` and `FREE`."""


class Line(Struct, frozen=True):
    """An engine over all seeds, means a seed; seconds as measured, `to_target` None where it never got there.

    `for_good`: from when on it never fell below again. `busy_share` is the mean number of calls in flight
    over `WIDTH`; `score` is where it ended on held-out. `curve`: from which second on the mean score over the
    seeds is which.

    `needed`: the rollouts, of each seed, from which on the mean score is at the target, and the reflections
    before them, as quality.py tells them. `by_then`: what the server had heard by the second `to_target`,
    where one seed may be further than its share of the score. `in_all`: of the whole run.
    """

    engine: str
    to_target: float | None
    for_good: float | None
    seconds: float
    busy_share: float
    needed: Calls | None
    by_then: Calls | None
    in_all: Calls
    score: float
    curve: tuple[tuple[float, float], ...]


class Server(Struct, frozen=True):
    """What the server adds: its own time a call over all runs, and by how much calls come late in a crowd."""

    cpu_ms_a_call: float
    crowd: int
    late_ms_in_crowd: float


class Result(Struct, frozen=True):
    """All lines of one kind of delay."""

    heavy: bool
    server: Server
    lines: tuple[Line, ...]


class Target(Struct, frozen=True):
    """What gepa's best arm comes to, on held-out, mean over the seeds; `single`: with one proposal a time."""

    arm: str
    score: float
    single: peer.Arm
    arms: dict[str, float]


class Outcome(Struct, frozen=True):
    """What one work came to, with its own target and what our search needs to it in process."""

    name: str
    target: Target
    in_process: Needed
    results: tuple[Result, ...]


def target_of(makings: Sequence[Making]) -> Target:
    """Run all of gepa's arms in this process, with answers at once, and take the best."""
    scores, arms = {}, peer.arms()
    for arm in arms:
        scores[arm.name] = statistics.fmean(
            _arm_score(making(), arm, seed) for seed, making in enumerate(makings)
        )
    single = max(
        (arm for arm in arms if "sampling_strategy" not in arm.settings), key=lambda a: scores[a.name]
    )
    best = max(scores, key=lambda name: scores[name])
    return Target(best, scores[best], single, scores)


def _arm_score(work: Work, arm: peer.Arm, random_seed: int) -> float:
    course = peer.run(work, arm, BUDGET, random_seed, most_characters(work))
    return Counted(work).true_score(course.at(BUDGET).text)


def in_process(makings: Sequence[Making], target: float) -> Needed:
    """Give what our search needs to the target where answers come at once, None where it never gets there."""
    runs: dict[str, list[Run]] = {PAID: [], FREE: []}
    for seed, making in enumerate(makings):
        work = making()
        truth = Counted(work).true_score
        for engine, made in runs.items():
            course = ours.run(work, options_of(work, seed), BUDGET, free=engine == FREE)
            made.append(run_of(seed, course, truth))
    needed = {engine: rollouts_to(made, target, BUDGET) for engine, made in runs.items()}
    return {
        engine: None if most is None else _mean(Calls(most, run.reflections_by(most)) for run in runs[engine])
        for engine, most in needed.items()
    }


def measured(makings: Sequence[Making], target: Target, speed: float, heavy: bool) -> Result:
    """Run every engine on every seed, each seed with a server of its own, one run at a time."""
    doors = ways(target.single)
    runs: dict[str, list[Timed]] = {name: [] for name in (PAID, FREE, *(way.name for way in doors))}
    late = []
    for seed, making in enumerate(makings):
        delays = Delays(ROLLOUT_SECONDS / speed, REFLECTION_SECONDS / speed, heavy, seed)
        work = making()
        with loopback.serving(making, delays) as port:
            options = options_of(work, seed)
            runs[PAID].append(clocked.run(work, port, options, BUDGET, free=False))
            runs[FREE].append(clocked.run(work, port, options, BUDGET, free=True))
            for way in doors:
                runs[way.name].append(through(way, work, port, seed, BUDGET))
            late.append(crowded(work, port, delays))
    used = [run.used for timed in runs.values() for run in timed]
    calls = sum(len(one.rollouts) + len(one.reflections) for one in used)
    server = Server(1e3 * sum(one.cpu for one in used) / calls, CROWD, 1e3 * statistics.fmean(late))
    works = [making() for making in makings]
    lines = tuple(_line(name, timed, works, target.score) for name, timed in runs.items())
    return Result(heavy, server, lines)


def crowded(work: Work, port: int, delays: Delays) -> float:
    """Give by how many seconds a call comes late on the mean where `CROWD` are in flight at all times."""
    import asyncio

    case = work.train[0]
    client = Client(port, blocking=False)
    agent = RemoteAgent(client, work.agent)

    async def call(repeat: str) -> float:
        began = time.monotonic()
        await agent.rollout(work.seed.text, case.input, repeat)
        due = loopback.rollout_seconds(delays, work.seed.text, case.input, repeat)
        return time.monotonic() - began - due

    async def caller(number: int) -> list[float]:
        return [await call(f"crowd/{number}/{turn}") for turn in range(ROUNDS)][1:]  # the first one connects

    async def crowd() -> list[list[float]]:
        return await asyncio.gather(*(caller(number) for number in range(CROWD)))

    with closing(client):
        return statistics.fmean(seconds for turns in asyncio.run(crowd()) for seconds in turns)


def _line(engine: str, runs: Sequence[Timed], works: Sequence[Work], target: float) -> Line:
    judges = [Counted(work) for work in works]
    known = [
        [(seconds, judge.true_score(text)) for seconds, text in run.steps]
        for judge, run in zip(judges, runs, strict=True)
    ]
    curve = mean_curve(known)
    to_target = reached(curve, target - ROUNDING)
    seconds = sum(run.seconds for run in runs)
    below = max(
        (number for number, (_, score) in enumerate(curve, 1) if score < target - ROUNDING), default=0
    )
    return Line(
        engine=engine,
        to_target=to_target,
        for_good=curve[below][0] if below < len(curve) else None,
        seconds=seconds / len(runs),
        busy_share=sum(run.used.in_flight for run in runs) / seconds / WIDTH,
        needed=_needed(runs, known, target),
        by_then=None if to_target is None else _mean(run.heard_by(to_target) for run in runs),
        in_all=_mean(run.heard_by(run.seconds) for run in runs),
        score=curve[-1][1],
        curve=tuple(curve),
    )


def _needed(runs: Sequence[Timed], known: Sequence[Curve], target: float) -> Calls | None:
    """Give the calls of each run at which the mean score is at the target, however long each one took."""
    curves = [
        [(run.rollouts_by(seconds), score) for seconds, score in one]
        for run, one in zip(runs, known, strict=True)
    ]
    most = reached(mean_curve(curves), target - ROUNDING)
    return None if most is None else _mean(Calls(most, run.reflections_by(most)) for run in runs)


def _mean(calls: Iterable[Calls]) -> Calls:
    known = list(calls)
    return Calls(
        statistics.fmean(one.rollouts for one in known), statistics.fmean(one.reflections for one in known)
    )


def main() -> int:
    """Time all engines and print how long each takes to the target; give the exit status."""
    words = _words()
    told = words.parse_args()
    try:
        entries = _entries(told)
    except Unusable as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        words.error(str(error))
    outcomes = []
    for entry in entries:
        outcomes.append(timed(entry, told.seeds, told.speed))
        if not told.json:
            print("\n".join(_told(outcomes[-1], told.seeds, told.speed)), flush=True)
    if told.json:
        print(json.dumps(_report(outcomes, told.seeds, told.speed)))
    return 0


def timed(entry: Entry, seeds: int, speed: float) -> Outcome:
    """Find a work's target, and run every engine to it, with either kind of delay."""
    makings = [partial(entry.make, seed, 0.0) for seed in range(seeds)]
    target = target_of(makings)
    needed = in_process(makings, target.score)
    results = tuple(measured(makings, target, speed, heavy) for heavy in (False, True))
    return Outcome(entry.name, target, needed, results)


def _entries(told: argparse.Namespace) -> tuple[Entry, ...]:
    alone = "desks" if told.data is None else f"{told.labels} cold"
    return catalogue.picked(catalogue.works(told.data, (Sizes(told.labels),)), told.works or alone)


def _words() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--seeds", type=count, default=3)
    words.add_argument("--speed", type=float, default=10, help="all delays are divided by it")
    words.add_argument(
        "--works", metavar="NAME,...", help="of the catalogue (desks; with --data, the cold one of the file)"
    )
    words.add_argument("--data", type=Path, help="a CSV with the columns text and label, for more works")
    words.add_argument("--labels", type=count, default=Sizes().labels, help="with --data: labels drawn")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    return words


def ratio(line: Line, mine: Line) -> float | None:
    """Give how much longer an engine takes than ours: at least so much where it never reached the target."""
    if not mine.to_target:
        return None
    return (line.seconds if line.to_target is None else line.to_target) / mine.to_target


def calls_ratio(line: Line, process: Calls | None) -> float | None:
    """Give how many times the rollouts to the target that a search needs in process it paid on the clock."""
    if line.needed is None or process is None or not process.rollouts:
        return None
    return line.needed.rollouts / process.rollouts


def _report(outcomes: Sequence[Outcome], seeds: int, speed: float) -> dict[str, Any]:
    """Give the object that is printed: a single work stands at the top."""
    terms = {"seeds": seeds, "speed": speed, "width": WIDTH, "budget": BUDGET, "pair": pair_digest()}
    works = {
        one.name: {
            "target": msgspec.to_builtins(one.target),
            "in_process": msgspec.to_builtins(one.in_process),
            "results": [_with_ratios(result, one.in_process) for result in one.results],
        }
        for one in outcomes
    }
    if len(outcomes) == 1:
        return {"work": outcomes[0].name, **terms, **works[outcomes[0].name]}
    return {**terms, "works": works}


def _with_ratios(result: Result, needed: Needed) -> dict[str, Any]:
    paid, free, *_ = result.lines
    told: dict[str, Any] = msgspec.to_builtins(result)
    for line, row in zip(result.lines, told["lines"], strict=True):
        row |= {"ratio_to_paid": ratio(line, paid), "ratio_to_free": ratio(line, free)}
        row |= {"ratio_is_at_least": line.to_target is None}
        if line.engine in needed:
            row |= {"rollouts_ratio_to_in_process": calls_ratio(line, needed[line.engine])}
    return told


def _told(outcome: Outcome, seeds: int, speed: float) -> list[str]:
    target = outcome.target
    return [
        f"{outcome.name}; {seeds} seeds; width {WIDTH}; delays divided by {speed:g}",
        f"target: {target.score:.4f} on held-out, by gepa's arm {target.arm!r} in {BUDGET} rollouts",
        "rollouts, reflections: of each seed to the target; by then: heard by that second, mean a seed",
        *(line for result in outcome.results for line in _table(result, outcome.in_process, speed)),
        "",
    ]


def _table(result: Result, needed: Needed, speed: float) -> list[str]:
    paid, free, *peers = result.lines
    kind = "heavy-tailed delays" if result.heavy else "delays all alike"
    head = (
        *("engine", "s to target", "for good", f"s x {speed:g}", "/ paid", "/ free", "busy"),
        *("rollouts", "by then", "in all", "reflections", "by then", "in all", "score"),
    )
    best = min(peers[1:], key=lambda line: (line.to_target is None, line.to_target or line.seconds))
    server = result.server
    late = f"with {server.crowd} calls in flight each comes {server.late_ms_in_crowd:.1f} ms late"
    return [
        "",
        f"{kind}: {PEER_TIMES} times gepa's plain adapter, {DOOR_TIMES} times its best door, wanted of ours",
        *aligned([head, *(_row(line, paid, free, speed) for line in result.lines)]),
        f"ours, paid: plain {_word(peers[0], paid)}, best door {_word(best, paid)} ({best.engine})",
        f"ours, free: plain {_word(peers[0], free)}, best door {_word(best, free)} ({best.engine})",
        f"ours, paid: {_calls_words(paid, needed[PAID])}",
        f"ours, free: {_calls_words(free, needed[FREE])}",
        f"server: {server.cpu_ms_a_call:.2f} ms of its own a call; {late}",
    ]


def _row(line: Line, paid: Line, free: Line, speed: float) -> tuple[str, ...]:
    known = line.to_target
    calls = (line.needed, line.by_then, line.in_all)
    return (
        line.engine,
        f"> {line.seconds:.2f}" if known is None else f"{known:.2f}",
        "-" if line.for_good is None else f"{line.for_good:.2f}",
        f"> {line.seconds * speed:.0f}" if known is None else f"{known * speed:.1f}",
        _word(line, paid),
        _word(line, free),
        f"{line.busy_share:.3f}",
        *("-" if told is None else f"{told.rollouts:.0f}" for told in calls),
        *("-" if told is None else f"{told.reflections:.0f}" for told in calls),
        f"{line.score:.4f}",
    )


def _calls_words(line: Line, process: Calls | None) -> str:
    """Say what the clock's width costs in calls; the wanted ratio is of rollouts alone."""
    times = calls_ratio(line, process)
    told = ["never" if one is None else f"{one.rollouts:.0f}" for one in (line.needed, process)]
    reflections = ["-" if one is None else f"{one.reflections:.0f}" for one in (line.needed, process)]
    return (
        f"{told[0]} rollouts to target, {told[1]} in process: {'-' if times is None else f'{times:.2f}x'}"
        f" (at most {CALLS_TIMES:g}, wanted); reflections {reflections[0]} and {reflections[1]}"
    )


def _word(line: Line, mine: Line) -> str:
    told = ratio(line, mine)
    return "-" if told is None else f"{'>' if line.to_target is None else ''}{told:.1f}x"


if __name__ == "__main__":
    sys.exit(main())
