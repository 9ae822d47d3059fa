"""Our search on the clock: the real driver with a journal on disk, and the pair behind HTTP."""

import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from benchmarks import loopback
from benchmarks.loopback import Client, Counts, RemoteAgent, RemoteReflector
from benchmarks.ours import problem_of
from benchmarks.work import Case, Counted, Work
from runbookopt.agents.protocol import Produced
from runbookopt.engine.calls import Caller, Verdicts
from runbookopt.engine.driver import Driver
from runbookopt.engine.journal import Journal
from runbookopt.evidence.trajectory import Task
from runbookopt.search.asks import Ask, Reply
from runbookopt.search.loop import SearchResult, search
from runbookopt.search.problem import Options, Problem
from runbookopt.verifier.rubric import Assessment, Verdict

WIDTH = 32
"""Calls in flight at most."""

Asking = Generator[Ask, Reply, SearchResult]


class Calls(Struct, frozen=True):
    """So many rollouts and reflections, of a run or on the mean of several."""

    rollouts: float
    reflections: float


class Timed(Struct, frozen=True):
    """A run on the clock: from which second on which text would be returned, and what it used.

    `began` is the moment, as `used` tells moments, from which its seconds count.
    """

    steps: tuple[tuple[float, str], ...]
    began: float
    seconds: float
    used: Counts

    def heard_by(self, seconds: float) -> Calls:
        """Give how many calls the server had heard by a second."""
        return Calls(self.rollouts_by(seconds), bisect_right(self.used.reflections, self.began + seconds))

    def rollouts_by(self, seconds: float) -> int:
        """Give how many rollouts the server had heard by a second."""
        return bisect_right(self.used.rollouts, self.began + seconds)

    def reflections_by(self, rollouts: int) -> int:
        """Give how many reflections the server heard before it had heard so many rollouts."""
        full = self.used.rollouts[rollouts - 1 : rollouts] if rollouts else [self.began]
        return bisect_left(self.used.reflections, full[0]) if full else len(self.used.reflections)


def run(work: Work, port: int, options: Options, budget: int, *, free: bool) -> Timed:
    """Search within a budget of rollouts; with `free` the seed's verdicts on all cases are stored."""
    counted, cases = Counted(work), work.cases
    stored = {id_: counted.attempt(work.seed.text, cases[id_]) for id_ in cases} if free else {}
    problem = problem_of(work, options, stored)
    heard: list[tuple[float, Reply]] = []
    before = loopback.counts(port)
    with tempfile.TemporaryDirectory() as folder, closing(Client(port, blocking=False)) as client:
        world = Caller(
            RemoteAgent(client, work.agent),
            RemoteReflector(client, work.reflector),
            {case.id: Task(case.id, case.input, case.reference) for case in cases.values()},
            partial(_assessed, work, cases),
        )
        began = time.monotonic()
        with Journal.open(Path(folder) / "journal.sqlite3") as journal:
            kept = journal.run("wallclock", {})
            driver = Driver(world, kept, rollouts=budget, reserved=0, width=WIDTH)
            driver.drive(_noted(search(problem), began, heard))
            kept.finish()
        seconds = time.monotonic() - began
    return Timed(_steps(problem, heard), began, seconds, loopback.counts(port).since(before))


def _assessed(
    work: Work, cases: Mapping[str, Case], task: str, produced: Produced, _: Verdicts
) -> Assessment:
    """Judge as the work does, in the driver's words."""
    judged = work.judge(produced.output, cases[task].reference)
    told = [line.partition(": ") for line in judged.feedback]
    verdicts = tuple(Verdict(criterion, "fail", 0.0, why) for criterion, _, why in told)
    return Assessment(judged.score, judged.objectives, (), 0, verdicts)


def _noted(asking: Asking, began: float, heard: list[tuple[float, Reply]]) -> Asking:
    """Pass a search through, and note when each reply came."""
    ask = next(asking)
    while True:
        reply = _named(ask, (yield ask))
        heard.append((time.monotonic() - began, reply))
        try:
            ask = asking.send(reply)
        except StopIteration as end:
            found: SearchResult = end.value
            return found


def _named(ask: Ask, reply: Reply) -> Reply:
    """Name attempts as in process: the reflector draws by all that it is shown, their names included.

    So a search on the clock goes the way of the one in process, and what it pays more is not luck; gepa's
    doors name them so as well.
    """
    named = zip(ask.rollouts, reply.rollouts, strict=not reply.stopped)
    attempts = tuple(replace(attempt, trajectory=f"{one.task}/{one.repeat}") for one, attempt in named)
    return replace(reply, rollouts=attempts)


def _steps(problem: Problem, heard: Sequence[tuple[float, Reply]]) -> tuple[tuple[float, str], ...]:
    """Give what the search would have returned after each reply, by searching again with those so far."""
    steps = [(0.0, problem.seed.text)]
    for known, (seconds, reply) in enumerate(heard, 1):
        if reply.rollouts:
            told = iter([*(one for _, one in heard[:known]), Reply(stopped="here")])
            found = _driven(search(problem), told)
            if found.pool and found.pool[found.chosen].candidate.text != steps[-1][1]:
                steps.append((seconds, found.pool[found.chosen].candidate.text))
    return tuple(steps)


def _driven(asking: Asking, replies: Iterator[Reply]) -> SearchResult:
    try:
        next(asking)
        while True:
            asking.send(next(replies))
    except StopIteration as end:
        found: SearchResult = end.value
        return found
