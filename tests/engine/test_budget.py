"""What a run may pay, over random searches in random worlds: real search, real driver, journal on disk."""

import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from msgspec import Struct

from runbookopt.agents.protocol import Judged, Produced, Reflected
from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import digest_of
from runbookopt.documents.usage import Spent, Usage
from runbookopt.engine.calls import Caller as Answering
from runbookopt.engine.calls import Verdicts
from runbookopt.engine.driver import Driver
from runbookopt.engine.journal import Journal
from runbookopt.evidence.trajectory import Task
from runbookopt.search.asks import (
    Ask,
    Attempt,
    Candidate,
    Proposal,
    Reflection,
    ReflectionFailure,
    Reply,
    Rollout,
)
from runbookopt.search.loop import SearchResult, search
from runbookopt.search.problem import Options, Problem
from runbookopt.verifier.judge import Judgement, Question
from runbookopt.verifier.rubric import Assessment, Verdict

TEXT = """# Parcels

## Lessons

- Be kind.

## Close

Say goodbye.
"""
SEED = Candidate(TEXT)
MOST_WIDTH = 16
WIDTHS = st.integers(1, MOST_WIDTH)


class CutError(Exception):
    """The end of a run that was cut."""


class Temper(Struct, frozen=True):
    """What a world is like: how often the agent fails for once and solves by luck, and the reflector's ways.

    `ways` are drawn from at each reflection.
    """

    seed: int
    failing: float
    lucky: float
    ways: tuple[str, ...]

    def chance(self, *what: object) -> float:
        """Give a number in 0..1 that is random, and always the same for the same words."""
        return int(digest_of([self.seed, *what])[-6:], 16) / 0x1000000


class Terms(Struct, frozen=True):
    """What a run may pay: rollouts, those of them that are kept for the proof, and reflections."""

    rollouts: int
    reserved: int
    reflections: int | None


class Case(Struct, frozen=True):
    """A search, what it may pay, and the world that answers it."""

    problem: Problem
    terms: Terms
    temper: Temper


class Cut(NamedTuple):
    """The end of a process at its n-th call, counted from 0."""

    call: int
    how: type[BaseException]
    width: int


class Told(NamedTuple):
    """All that a run was told, what its search found, and the proof's attempts."""

    asked: tuple[tuple[Ask, Reply], ...]
    found: SearchResult
    proved: tuple[Attempt, ...]


class Caller:
    """Agent and reflector: what they say hangs on what they are asked, but an agent's failure passes.

    They answer out of order, note every call and every answer, and end the process where it is to be cut.
    """

    name = key = "world"
    deterministic = True

    def __init__(self, temper: Temper) -> None:
        self.rollouts: list[tuple[str, str, str]] = []
        self.reflections: list[str] = []
        self.answered: list[object] = []
        self.most_at_risk = 0
        self._temper = temper
        self._failed: set[tuple[str, str, str]] = set()

    @property
    def calls(self) -> int:
        return len(self.rollouts) + len(self.reflections)

    @property
    def different(self) -> int:
        return len(set(self.rollouts)) + len(set(self.reflections))

    def begin(self, journal: Journal, cut: Cut | None = None) -> None:
        """Begin a process that writes this journal."""
        self._journal, self._cut, self._before = journal, cut, self.calls - kept(journal)
        self.most_at_risk = 0

    async def rollout(self, runbook: str, task_input: str, repeat: str) -> Produced:
        call = (runbook, task_input, repeat)
        self.rollouts.append(call)
        await self._answer(call)
        if call not in self._failed and self._temper.chance("fails", call) < self._temper.failing:
            self._failed.add(call)
            return Produced(None)
        return Produced(output(self._temper, *call))

    async def reflect(self, ask: Reflection) -> Reflected:
        return Reflected(await self._reflect(ask))

    async def _reflect(self, ask: Reflection) -> Proposal | ReflectionFailure:
        self.reflections.append(digest_of(ask))
        await self._answer(self.reflections[-1])
        way = self._temper.ways[int(self._temper.chance("way", ask) * len(self._temper.ways))]
        if way == "refuses":
            return ReflectionFailure("refused", "no")
        part = ask.components[int(self._temper.chance("part", ask) * len(ask.components))]
        if way == "repeats":
            return Proposal("as it is", part.id, part.text)
        taught = ask.failing if way == "teaches all" else ask.failing[:1]
        lines = "".join(f"- This is lesson {shown.input[1:]}.\n" for shown in taught)
        return Proposal(way, part.id, f"{part.text.rstrip()}\n{lines}\n", (ask.failing[0].trajectory,))

    async def _answer(self, call: object) -> None:
        """Come to an answer, sooner or later; a kill now would lose all calls that are not on disk."""
        import asyncio  # noqa: PLC0415 - slow libraries are imported where they are used

        number = self.calls - 1
        self.most_at_risk = max(self.most_at_risk, self.calls - self._before - kept(self._journal))
        for _ in range(int(4 * self._temper.chance("waits", call))):
            await asyncio.sleep(0)
        if self._cut and number == self._cut.call:
            raise self._cut.how
        self.answered.append(call)


def kept(journal: Journal) -> int:
    """Count the answers on disk."""
    found: int = journal.read("SELECT (SELECT count(*) FROM answers) + (SELECT count(*) FROM failures)")[0][0]
    return found


def output(temper: Temper, runbook: str, task_input: str, repeat: str) -> str:
    lucky = temper.chance("lucky", runbook, task_input, repeat) < temper.lucky
    """Solve a task by luck, or where the lesson of its number stands in the runbook."""
    return "right" if lucky or f"lesson {task_input[1:]}." in runbook else "wrong"


def assess(task: str, said: str | None) -> Assessment:
    """Judge an output; what is wrong with it is of one of two kinds."""
    score = float(said == "right")
    why = "" if score else f"kind {int(task[1:]) % 2}"
    verdict = Verdict("right", "fail" if why else "pass", score, why)
    return Assessment(score, {"accuracy": score}, (), 0, (verdict,))


def verdict_on_today(temper: Temper, task: str) -> Attempt:
    judged = assess(task, said := output(temper, TEXT, task, "0"))
    return Attempt(f"stored-{task}", said, judged.score, judged.objectives, judged.feedback)


def assessed(task: str, produced: Produced, _: Verdicts) -> Assessment:
    return assess(task, produced.output)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    counts = st.integers(3, 8)
    train, validation = (tuple(f"{part}{n}" for n in range(draw(counts))) for part in "tv")
    temper = Temper(
        seed=draw(st.integers(0, 1000)),
        failing=draw(st.sampled_from([0.0, 0.1, 0.4])),
        lucky=draw(st.sampled_from([0.0, 0.2])),
        ways=tuple(draw(st.lists(st.sampled_from(WAYS), min_size=1, max_size=6))),
    )
    rollouts = draw(st.integers(0, 200))
    options = draw(OPTIONS)
    free = draw(st.sets(st.sampled_from([*train, *validation])))
    return Case(
        Problem(
            runbooks.parse(TEXT),
            {task: task for task in train},
            validation,
            free={task: verdict_on_today(temper, task) for task in sorted(free)},
            options=options,
        ),
        Terms(rollouts, draw(st.integers(0, min(rollouts, 10))), draw(st.none() | st.integers(0, 30))),
        temper,
    )


WAYS = ("teaches", "teaches", "teaches all", "repeats", "refuses")
OPTIONS = st.builds(
    Options,
    random_seed=st.integers(0, 1000),
    wave=st.integers(1, 6),
    minibatch=st.integers(1, 3),
    passing=st.integers(0, 3),
    contrast=st.integers(0, 3),
    remembered=st.integers(0, 6),
    patience=st.integers(1, 4),
    max_failures=st.integers(1, 6),
    characters=st.sampled_from([40, 200, 3000]),
    grouped=st.booleans(),
    crossed=st.booleans(),
    apart=st.integers(1, 4),
    every=st.booleans(),
    waits=st.floats(0, 1),
)
CUTS = st.lists(
    st.builds(Cut, st.integers(0, 500), st.sampled_from([KeyboardInterrupt, CutError]), WIDTHS),
    min_size=1,
    max_size=3,
)


def told(problem: Problem) -> Generator[Ask, Reply, tuple[tuple[tuple[Ask, Reply], ...], SearchResult]]:
    """Run the search and note what it asks and is told."""
    going, asked = search(problem), []
    ask = next(going)
    while True:
        asked.append((ask, (yield ask)))
        try:
            ask = going.send(asked[-1][1])
        except StopIteration as end:
            return tuple(asked), end.value


def run(case: Case, world: Caller, folder: Path, width: int, cut: Cut | None = None) -> tuple[Told, Spent]:
    """Search, then prove with all that was kept for it, as a new process does."""
    terms = case.terms
    tasks = {task: Task(task, task) for task in (*case.problem.train, *case.problem.validation)}
    with Journal.open(folder / "journal.sqlite3") as journal:
        world.begin(journal, cut)
        driver = Driver(
            Answering(world, world, tasks, assessed),
            journal.run("run", {}),
            rollouts=terms.rollouts,
            reserved=terms.reserved,
            reflections=terms.reflections,
            width=width,
        )
        asked, found = driver.drive(told(case.problem))
        winner = found.pool[found.chosen].candidate if found.pool else SEED
        proved = driver.rollouts([Rollout(winner, "v0", f"look/{n}") for n in range(terms.reserved)])
        return Told(asked, found, tuple(proved)), driver.spent


def bill(asked: Sequence[tuple[Ask, Reply]], terms: Terms) -> tuple[int, int]:
    """Count what was charged, each once: an ask is answered if all so far is within the terms, else not."""
    rollouts: set[Rollout] = set()
    reflections: set[str] = set()
    for ask, reply in asked:
        wanted = rollouts | set(ask.rollouts)
        taught = reflections | {digest_of(each) for each in ask.reflections}
        enough = len(wanted) <= terms.rollouts - terms.reserved
        fits = enough and (terms.reflections is None or len(taught) <= terms.reflections)
        assert reply.stopped == (None if fits else "budget")
        if fits:
            rollouts, reflections = wanted, taught
    return len(rollouts), len(reflections)


def is_cut(case: Case, world: Caller, folder: Path, cut: Cut) -> bool:
    """Drive the run on to where it is cut, and tell whether it came there."""
    try:
        run(case, world, folder, cut.width, cut._replace(call=world.calls + cut.call))
    except (CutError, KeyboardInterrupt):
        return True
    return False


@pytest.mark.slow
@given(case=cases(), width=WIDTHS, cuts=CUTS, last_width=WIDTHS)
def test_no_run_pays_more_than_it_may_nor_anything_twice_and_one_cut_anywhere_ends_as_the_uncut_one(
    case: Case, width: int, cuts: list[Cut], last_width: int
) -> None:
    uncut, world = Caller(case.temper), Caller(case.temper)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wanted, spent = run(case, uncut, folder / "uncut", width)
        charged = bill(wanted.asked, case.terms)
        event(f"ended: {wanted.found.ended.split(';')[0]}")
        assert len(wanted.proved) == case.terms.reserved
        assert (spent.rollouts, spent.reflections) == (charged[0] + case.terms.reserved, charged[1])
        assert (spent.rollouts, spent.reflections) == (len(uncut.rollouts), len(uncut.reflections))
        assert uncut.calls == uncut.different
        assert uncut.most_at_risk <= width
        in_flight = 0
        for cut in cuts if uncut.calls else ():
            within = cut._replace(call=cut.call % uncut.calls)
            in_flight += cut.width * is_cut(case, world, folder / "cut", within)
            assert world.most_at_risk <= cut.width
        before = world.calls
        resumed, rest = run(case, world, folder / "cut", last_width)
    assert resumed == wanted
    assert rest.rollouts + rest.reflections == world.calls - before
    assert rest.rollouts + rest.cached == spent.rollouts
    assert sorted(world.answered, key=repr) == sorted(uncut.answered, key=repr)
    assert world.calls <= uncut.calls + in_flight


class Priced:
    """As agent, reflector and judge answers at once, at a price in eighths of a dollar by what is asked."""

    name = key = "priced"
    deterministic = True

    def __init__(self, temper: Temper) -> None:
        self._temper = temper
        self.paid = 0.0

    async def rollout(self, runbook: str, task_input: str, _: str) -> Produced:
        used = self._used("rollout", runbook)
        if self.fails(runbook):
            return Produced(None, usage=used)
        return Produced(self.output(runbook, task_input), usage=used)

    async def reflect(self, ask: Reflection) -> Reflected:
        return Reflected(ReflectionFailure("refused", "no"), self._used("reflection", ask.length_budget))

    async def judge(self, question: Question) -> Judged:
        return Judged(Judgement("well", met=True), self._used("judgement", question.output))

    def output(self, runbook: str, task_input: str) -> str:
        """One of two candidates says what the one before it says: it is judged once."""
        return f"{int(runbook[1:]) // 2} {task_input}"

    def price(self, *what: object) -> float:
        return int(self._temper.chance(*what) * 16) / 8

    def fails(self, runbook: str) -> bool:
        return self._temper.chance("fails", runbook) < self._temper.failing

    def _used(self, *what: object) -> Usage:
        self.paid += self.price(*what)
        return Usage(calls=1, prompt=1, usd=self.price(*what))


class Wanted(NamedTuple):
    """An ask: of rollouts on one task, by the number of the candidate, and of reflections, by theirs."""

    rollouts: list[int]
    reflections: list[int]

    @property
    def ask(self) -> Ask:
        rollouts = tuple(Rollout(Candidate(f"c{n}"), "v0") for n in self.rollouts)
        return Ask(rollouts, tuple(Reflection(SEED, (), (), (), (), n) for n in self.reflections))


class Dollars:
    """What a run should charge, by the words of `Driver`: kept beside it, and simpler.

    `misjudged` is what the last ask that was begun cost more than was expected.
    """

    def __init__(self, priced: Priced, usd: float, reserved: int) -> None:
        self.misjudged = 0.0
        self._priced, self._usd, self._reserved = priced, usd, reserved
        self._costs: tuple[dict[int, float], dict[int, float], dict[str, float]] = {}, {}, {}

    @property
    def charged(self) -> float:
        return sum(sum(costs.values()) for costs in self._costs)

    def allows(self, wanted: Wanted) -> bool:
        """Charge an ask, or tell that it is likely to cost too much; the proof is expected to be paid too."""
        rolled, reflected, judged = self._costs
        new, taught = set(wanted.rollouts) - rolled.keys(), set(wanted.reflections) - reflected.keys()
        if not new and not taught:
            return True
        judgements = sum(not self._priced.fails(f"c{number}") for number in rolled)
        a_rollout = (sum(rolled.values()) + judgements * mean(judged)) / max(1, len(rolled))
        guess = (len(new) + self._reserved) * a_rollout + len(taught) * mean(reflected)
        if self.charged + guess > self._usd:
            return False
        before = self.charged
        rolled.update({number: self._priced.price("rollout", f"c{number}") for number in new})
        reflected.update({number: self._priced.price("reflection", number) for number in taught})
        outputs = {self._priced.output(f"c{n}", "v0") for n in new if not self._priced.fails(f"c{n}")}
        judged.update({said: self._priced.price("judgement", said) for said in outputs})
        self.misjudged = max(0.0, self.charged - before - guess)
        return True


def mean(costs: Mapping[Any, float]) -> float:
    return sum(costs.values()) / max(1, len(costs))


def asked_in_turn(asks: Sequence[Wanted]) -> Generator[Ask, Reply, tuple[bool, ...]]:
    """Ask all that is wanted, and tell which of it was answered."""
    answered = []
    for wanted in asks:
        reply = yield wanted.ask
        answered.append(reply.stopped is None)
    return tuple(answered)


def asking_of_all(_: str, said: str | None) -> tuple[Question, ...]:
    return () if said is None else (Question("good", "Is it good?", "", said),)


NUMBERS = st.lists(st.integers(0, 9), max_size=6)


@given(
    asks=st.lists(st.builds(Wanted, NUMBERS, NUMBERS), max_size=8),
    temper=st.builds(Temper, st.integers(0, 1000), st.sampled_from([0.0, 0.4]), st.just(0.0), st.just(())),
    usd=st.integers(0, 200).map(lambda eighths: eighths / 8),
    reserved=st.integers(0, 5),
    widths=st.tuples(WIDTHS, WIDTHS),
)
def test_a_run_charges_no_more_dollars_than_it_may_but_for_what_its_last_ask_was_misjudged_by(
    asks: list[Wanted], temper: Temper, usd: float, reserved: int, widths: tuple[int, int]
) -> None:
    priced = Priced(temper)
    should = Dollars(priced, usd, reserved)
    expected: list[bool] = []
    for wanted in asks:
        expected.append(all(expected) and should.allows(wanted))
    world = Answering(priced, priced, {"v0": Task("v0", "v0")}, assessed, priced, asking_of_all)
    with tempfile.TemporaryDirectory() as name, Journal.open(Path(name) / "journal.sqlite3") as journal:
        for run, width in zip(("paying", "cached"), widths, strict=True):
            before = priced.paid
            driver = Driver(
                world, journal.run(run, {}), rollouts=100, reserved=reserved, usd=usd, width=width
            )
            assert driver.drive(asked_in_turn(asks)) == tuple(expected)
            assert (driver.spent.usd or 0.0) == priced.paid - before
    assert should.charged <= usd + should.misjudged


def test_a_proof_is_afforded_only_where_all_its_outputs_may_be_judged_anew(tmp_path: Path) -> None:
    class Even(Priced):
        def price(self, *what: object) -> float:
            return {"rollout": 1.0, "judgement": 1.0}[str(what[0])]

        def output(self, runbook: str, task_input: str) -> str:  # noqa: ARG002
            return task_input

    priced = Even(Temper(0, 0.0, 0.0, ()))
    tasks = {name: Task(name, name) for name in ("v0", "v1", "v2")}
    world = Answering(priced, priced, tasks, assessed, priced, asking_of_all)
    with Journal.open(tmp_path / "journal.sqlite3") as journal:
        driver = Driver(world, journal.run("run", {}), rollouts=100, reserved=2, usd=14.9, width=1)
        asks = [Wanted([n], []) for n in range(100)]
        assert driver.drive(asked_in_turn(asks)).count(True) == 8  # of 1 each; 4 are kept
        assert driver.affords([Rollout(Candidate("c1"), task) for task in ("v1", "v2")])
        driver.rollouts([Rollout(Candidate("c1"), task) for task in ("v1", "v2")])
    assert priced.paid == 13.0
