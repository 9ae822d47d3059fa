"""What an engine itself costs for each candidate that it adds: the agent and the reflector answer at once."""

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, cast

import msgspec
from gepa.api import optimize
from gepa.core.adapter import EvaluationBatch
from msgspec import Struct

from runbookopt.agents.protocol import Produced, Reflected
from runbookopt.documents import runbook as runbooks
from runbookopt.engine.calls import Caller, Verdicts
from runbookopt.engine.driver import Driver
from runbookopt.engine.journal import Journal
from runbookopt.evidence.trajectory import Task
from runbookopt.search.asks import Ask, Proposal, Reflection, Reply
from runbookopt.search.loop import SearchResult, search
from runbookopt.search.problem import Options, Problem
from runbookopt.verifier.rubric import Assessment, Verdict

TRAIN, VALIDATION = 3, 100
"""How many tasks: few of train, so that the figures speak of candidates scored on validation."""

WINDOW, EARLY = 50, 100
"""Means are over so many candidates, up to the candidate `EARLY` and up to the last one."""

MOST_SECONDS, MOST_MEMORY = 0.01, 150e6
"""What an added candidate may take, and a run of a thousand, in seconds and bytes: our targets."""

SCALE = 1_000_000
SEED = "## Notes\n\n- Begin.\n"
COMPONENT = "notes"
OURS, DISK, MEMORY = "ours, journal on disk", "gepa, run_dir on disk", "gepa, without run_dir"

Asking = Generator[Ask, Reply, SearchResult]
Texts = Mapping[str, str]
Batch: TypeAlias = EvaluationBatch[str, str]


class Added(Struct, frozen=True):
    """When a candidate was added: the wall clock and this process's own time, in seconds, and its length."""

    wall: float
    cpu: float
    characters: int


class Cost(Struct, frozen=True):
    """What a run of one engine cost; a pace is seconds for each added candidate, memory and disk in bytes.

    `idle_memory` is what the process held when all was imported and nothing had been run.
    """

    engine: str
    candidates: int
    rollouts: int
    reflections: int
    early: float
    late: float
    early_cpu: float
    late_cpu: float
    seconds: float
    memory: int
    idle_memory: int
    disk: int
    longest: int


class Notes:
    """The pair: every proposal adds one more line, and every line makes its candidate the best somewhere.

    A line's number is larger than all before it; an input asks for the largest number that is known, of all
    lines (`-1`, train) or of those that leave that remainder when divided by `VALIDATION`.
    """

    name = "notes"
    key = "sha256:notes"
    deterministic = True

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self.rollouts = 0
        self.lines = 0
        self.began = _now(0)
        self.added: list[Added] = []

    def attempt(self, text: str, remainder: int) -> str:
        """Give the largest number known."""
        self.rollouts += 1
        return str(_known(text).get(remainder, 0))

    def extend(self, text: str) -> str:
        """Give the text with the next line, and without the oldest where there are more than are kept."""
        self.lines += 1
        head, *lines = text.rstrip().split("\n- ")
        return "\n- ".join([head, *[*lines, str(self.lines)][-self._kept :]]) + "\n"

    async def rollout(self, runbook: str, task_input: int, repeat: str) -> Produced:
        """Attempt as an agent of ours."""
        del repeat
        return Produced(self.attempt(runbook, task_input))

    async def reflect(self, ask: Reflection) -> Reflected:
        """Propose as a reflector of ours."""
        part = ask.components[0]
        return Reflected(Proposal("one more line is wanted", part.id, self.extend(part.text)))


def ours(candidates: int, folder: Path, notes: Notes) -> None:
    """Let our driver and search run with a journal in `folder`, one candidate a wave."""
    tasks = {f"{part}-{number}": value for part, number, value in _tasks()}
    train = {id_: value for id_, value in tasks.items() if value < 0}
    options = Options(
        random_seed=0, wave=1, minibatch=1, patience=sys.maxsize, share=0.0, characters=sys.maxsize
    )
    validation = tuple(id_ for id_ in tasks if id_ not in train)
    problem = Problem(runbooks.parse(SEED), train, validation, options=options)
    world = Caller(notes, notes, {id_: Task(id_, value) for id_, value in tasks.items()}, _assess)
    with Journal.open(folder / "journal.sqlite3") as journal:
        run = journal.run("overhead", {})
        Driver(world, run, rollouts=sys.maxsize, reserved=0, width=32).drive(
            _noted(search(problem), candidates, notes)
        )
        run.finish()


def _noted(asking: Asking, candidates: int, notes: Notes) -> Asking:
    """Pass a search through; note when a candidate is scored on validation, stop when there are enough."""
    ask = next(asking)
    while True:
        reply = yield ask
        scored = {one.candidate for one in ask.rollouts if one.task.startswith("validation")}
        notes.added += [_now(len(candidate.text)) for candidate in scored]
        if len(notes.added) > candidates:
            reply = Reply(stopped="enough")
        try:
            ask = asking.send(reply)
        except StopIteration as end:
            found: SearchResult = end.value
            return found


def gepa(candidates: int, run_dir: Path | None, notes: Notes) -> None:
    """Let gepa run with its default settings, with its files in `run_dir` or with none."""
    train = [value for part, _, value in _tasks() if part == "train"]
    validation = [value for part, _, value in _tasks() if part == "validation"]
    optimize(
        seed_candidate={COMPONENT: SEED},
        trainset=train,
        valset=validation,
        adapter=cast("Any", _Adapter(notes)),
        stop_callbacks=lambda _: len(notes.added) > candidates,
        callbacks=[cast("Any", _Watch(notes))],
        logger=_Silence(),
        run_dir=None if run_dir is None else str(run_dir),
        seed=0,
    )


class _Adapter:
    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def evaluate(self, batch: Sequence[int], candidate: Texts, capture_traces: bool = False) -> Batch:
        outputs = [self._notes.attempt(candidate[COMPONENT], value) for value in batch]
        scores = [int(output) / SCALE for output in outputs]
        return EvaluationBatch(outputs, scores, outputs if capture_traces else None)

    def make_reflective_dataset(
        self, candidate: Texts, eval_batch: Batch, components_to_update: Sequence[str]
    ) -> dict[str, list[dict[str, Any]]]:
        del candidate
        records = [{"Generated Outputs": output, "Feedback": "more"} for output in eval_batch.outputs]
        return dict.fromkeys(components_to_update, records)

    def propose_new_texts(
        self,
        candidate: Texts,
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: Sequence[str],
    ) -> dict[str, str]:
        del reflective_dataset, components_to_update
        return {COMPONENT: self._notes.extend(candidate[COMPONENT])}


class _Watch:
    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def on_valset_evaluated(self, event: Mapping[str, Any]) -> None:
        self._notes.added.append(_now(len(event["candidate"][COMPONENT])))


class _Silence:
    def log(self, message: str) -> None:
        """Say nothing."""


def measured(engine: str, candidates: int, kept: int = sys.maxsize) -> Cost:
    """Run an engine in this process, and give what it cost."""
    idle, notes = _peak_memory(), Notes(kept)
    with tempfile.TemporaryDirectory(prefix="overhead-") as name:
        folder = Path(name)
        if engine == OURS:
            ours(candidates, folder, notes)
        else:
            gepa(candidates, folder if engine == DISK else None, notes)
        disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    added = notes.added  # the seed first
    early, late = _pace(added[: EARLY + 1]), _pace(added)
    return Cost(
        engine=engine,
        candidates=len(added) - 1,
        rollouts=notes.rollouts,
        reflections=notes.lines,
        early=early.wall,
        late=late.wall,
        early_cpu=early.cpu,
        late_cpu=late.cpu,
        seconds=added[-1].wall - notes.began.wall,
        memory=_peak_memory(),
        idle_memory=idle,
        disk=disk,
        longest=max(each.characters for each in added),
    )


def in_child(engine: str, candidates: int, kept: int) -> Cost:
    """Run an engine in a process of its own: peak memory is a process's."""
    command = [sys.executable, __file__, "--engine", engine, "--candidates", str(candidates)]
    done = subprocess.run([*command, "--lines", str(kept)], check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(done.stdout, type=Cost)


def main() -> None:
    """Measure our engine and gepa, with and without its files, and print what each added candidate costs."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--candidates", type=int, default=1000, help="that our engine adds")
    words.add_argument("--peer-candidates", type=int, default=300, help="that gepa adds")
    words.add_argument("--lines", type=int, default=sys.maxsize, help="the texts grow to so many lines")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    words.add_argument("--engine", help="run this one alone, in this process")
    told = words.parse_args()
    if told.engine:
        print(msgspec.json.encode(measured(told.engine, told.candidates, told.lines)).decode())
        return
    costs = [in_child(OURS, told.candidates, told.lines)]
    costs += [in_child(engine, told.peer_candidates, told.lines) for engine in (MEMORY, DISK)]
    if told.json:
        print(json.dumps(_summary(costs), indent=2))
    else:
        print("\n".join(_table(costs)))


def _summary(costs: Sequence[Cost]) -> dict[str, Any]:
    return {
        "validation_tasks": VALIDATION,
        "train_tasks": TRAIN,
        "window": WINDOW,
        "early": EARLY,
        "engines": [msgspec.to_builtins(cost) for cost in costs],
    }


def _table(costs: Sequence[Cost]) -> list[str]:
    """Give the lines of a readable table, and what of it we hold ourselves to."""
    widths = (24, 7, 11, 11, 7, 12, 12, 9, 9, 9, 9, 10, 12)
    heads = (
        *("engine", "added", f"ms at {EARLY}", "ms at end", "ratio", "CPU, early", "CPU, end"),
        *("total s", "peak MB", "idle MB", "disk MB", "rollouts", "longest"),
    )
    rows = [heads, *(_row(cost) for cost in costs)]
    lines = ["".join(word.rjust(width) for word, width in zip(row, widths, strict=True)) for row in rows]
    mine = costs[0]
    said = (
        f"ours, at the end at most twice the time at {EARLY}: {_yes(mine.late <= 2 * mine.early)};"
        f" under 10 ms: {_yes(mine.late < MOST_SECONDS)}; under 150 MB: {_yes(mine.memory < MOST_MEMORY)}"
    )
    title = (
        f"{VALIDATION} validation tasks, {TRAIN} train tasks; ms for each added candidate, mean of {WINDOW}"
    )
    return [f"{title}: wall clock, and this process's own time (CPU)", "", *lines, "", said]


def _row(cost: Cost) -> tuple[str, ...]:
    return (
        cost.engine,
        str(cost.candidates),
        f"{1e3 * cost.early:.2f}",
        f"{1e3 * cost.late:.2f}",
        f"{cost.late / cost.early:.2f}",
        f"{1e3 * cost.early_cpu:.2f}",
        f"{1e3 * cost.late_cpu:.2f}",
        f"{cost.seconds:.1f}",
        f"{cost.memory / 1e6:.0f}",
        f"{cost.idle_memory / 1e6:.0f}",
        f"{cost.disk / 1e6:.1f}",
        str(cost.rollouts),
        str(cost.longest),
    )


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"


def _pace(added: Sequence[Added]) -> Added:
    first, last = added[max(0, len(added) - 1 - WINDOW)], added[-1]
    count = min(WINDOW, len(added) - 1)
    return Added((last.wall - first.wall) / count, (last.cpu - first.cpu) / count, 0)


def _now(characters: int) -> Added:
    return Added(time.monotonic(), time.process_time(), characters)


def _tasks() -> list[tuple[str, int, int]]:
    train = [("train", number, -1 - number) for number in range(TRAIN)]
    return [*train, *(("validation", number, number) for number in range(VALIDATION))]


def _assess(task: str, produced: Produced, verdicts: Verdicts) -> Assessment:
    del task, verdicts
    score = int(produced.output or 0) / SCALE
    return Assessment(score, {"lines": score}, (), 0, (Verdict("lines", "fail", score, "more"),))


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@lru_cache(maxsize=8)
def _known(text: str) -> dict[int, int]:
    """Give the largest number of each remainder, and of all lines for each task of train."""
    numbers = sorted(map(int, re.findall(r"^- (\d+)$", text, re.MULTILINE)))
    train = {-1 - number: max(numbers, default=0) for number in range(TRAIN)}
    return {number % VALIDATION: number for number in numbers} | train


if __name__ == "__main__":
    main()
