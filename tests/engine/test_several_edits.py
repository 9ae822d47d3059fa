"""A search with several edits a reply, driven as it is: any width, any cut, judged, handed off, billed."""

import random
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from runbookopt.agents.protocol import Awaited, Judged, OpenAsk, Produced, Reflected
from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import canonical, digest_of
from runbookopt.documents.usage import Usage
from runbookopt.engine.calls import Caller, Verdicts
from runbookopt.engine.driver import Driver
from runbookopt.engine.journal import Journal
from runbookopt.errors import Awaiting
from runbookopt.evidence.trajectory import Task
from runbookopt.search.asks import (
    Ask,
    Attempt,
    NoAnswer,
    Proposal,
    Reflection,
    ReflectionFailure,
    Reply,
    Rollout,
)
from runbookopt.search.edits import TAKEN_OUT
from runbookopt.search.loop import SearchResult, search
from runbookopt.search.problem import Options, Problem, of_replies
from runbookopt.verifier.judge import Judgement, Question
from runbookopt.verifier.rubric import Assessment, Verdict

TEXT = "# Parcels\n\n## Lessons\n\n- Be kind.\n\n## Close\n\nSay goodbye.\n"
TRAIN, VALIDATION = ([f"{part}{n}" for n in range(size)] for part, size in (("t", 24), ("v", 16)))
TASKS = {name: Task(name, name) for name in (*TRAIN, *VALIDATION)}
LESSONS = 12  # two train tasks of each kind
OPTIONS = of_replies(Options(random_seed=3, wave=3, patience=3, first=6), 4)
PROBLEM = Problem(
    runbooks.parse(TEXT),
    {task: task for task in TRAIN},
    tuple(VALIDATION),
    options=replace(OPTIONS, minibatch=5),
)
ROLLOUTS, RESERVED = 340, 8


class CutError(Exception):
    """The end of a process."""


class World:
    """Agent, reflector and judge: of the edits a third does nothing, and a fifth spoils another lesson.

    What they say depends on what they are asked alone. Each call costs a dollar. `end` is called with the
    number of each call and its kind, and may raise.
    """

    name = key = "world"
    deterministic = True
    edits = 4

    def __init__(self, end: Callable[[int, str], None] = lambda *_: None) -> None:
        self.heard: list[str] = []
        self._end = end

    async def rollout(self, runbook: str, task_input: str, repeat: str) -> Produced:
        await self._hear("rollout", runbook, task_input, repeat)
        lesson = int(task_input[1:]) % LESSONS
        right = f"lesson {lesson}." in runbook and f"never {lesson}." not in runbook
        return Produced("right" if right else "wrong", usage=Usage(calls=1, usd=1.0))

    async def reflect(self, ask: Reflection) -> Reflected:
        drawn = int(await self._hear("reflection", ask), 16)
        usage = Usage(calls=1, usd=1.0)
        if drawn % 6 == 0:
            return Reflected(ReflectionFailure("unparsable", "no section"), usage)
        part = ask.components[0]
        wanted = dict.fromkeys(int(one.input[1:]) % LESSONS for one in ask.failing)
        edits = []
        for lesson in [*wanted][:4]:
            spoilt = f" And never {(lesson + 5) % LESSONS}." if (drawn + lesson) % 5 == 0 else ""
            what = "This is lesson" if (drawn + lesson) % 3 else "Think of number"
            line = f"- {what} {lesson}.{spoilt}\n"
            cites = tuple(one.trajectory for one in ask.failing if int(one.input[1:]) % LESSONS == lesson)
            edits.append(Proposal(f"{lesson}", part.id, f"{part.text.rstrip()}\n{line}\n", cites))
        return Reflected(replace(edits[0], also=tuple(edits[1:])), usage)

    async def judge(self, question: Question) -> Judged:
        await self._hear("judgement", question.output)
        return Judged(Judgement("seen", met=question.output == "right"), Usage(calls=1, usd=1.0))

    async def _hear(self, kind: str, *what: object) -> str:
        """Note a call, and come to an answer sooner or later."""
        import asyncio  # noqa: PLC0415 - slow libraries are imported where they are used

        self._end(len(self.heard), kind)
        digest = digest_of([kind, *what])[-8:]
        self.heard.append(f"{kind} {digest}")
        for _ in range(int(digest, 16) % 4):
            await asyncio.sleep(0)
        return digest


class Came(Struct, frozen=True):
    """What a run came to: all asks by digest, the result, and the proof's attempts."""

    asks: tuple[str, ...]
    found: SearchResult
    proof: list[Attempt | NoAnswer]

    @property
    def bytes(self) -> bytes:
        return canonical([self.asks, self.found, self.proof])


def assessed(task: str, made: Produced, verdicts: Verdicts) -> Assessment:
    """By the output, or by the judge where one was asked."""
    right = all(said.met for _, said in verdicts if isinstance(said, Judgement))
    right = right if verdicts else made.output == "right"
    why = "" if right else f"right: expected {int(task[1:]) % LESSONS}"
    score = float(right)
    return Assessment(
        score, {"right": score}, (), 0, (Verdict("right", "fail" if why else "pass", score, why),)
    )


def asking(task: str, output: str | None) -> tuple[Question, ...]:
    return (Question("right", "Is it right?", task, output or ""),)


def run(
    folder: Path, world: World, width: int = 4, *, judged: bool = False, usd: float | None = None
) -> tuple[Came, Driver]:
    """Search and prove, as a new process does."""
    caller = (
        Caller(world, world, TASKS, assessed, world, asking)
        if judged
        else Caller(world, world, TASKS, assessed)
    )
    asks: list[str] = []

    def noted() -> Generator[Ask, Reply, SearchResult]:
        going = search(PROBLEM)
        ask = next(going)
        while True:
            asks.append(ask.digest)
            try:
                ask = going.send((yield ask))
            except StopIteration as end:
                return end.value

    folder.mkdir(exist_ok=True)
    with Journal.open(folder / "journal.sqlite3") as journal:
        driver = Driver(
            caller, journal.run("run", {}), rollouts=ROLLOUTS, reserved=RESERVED, usd=usd, width=width
        )
        found = driver.drive(noted())
        winner = found.pool[found.chosen].candidate
        proof = [Rollout(winner, task, "look/0") for task in VALIDATION[:RESERVED]]
        told = driver.rollouts(proof) if driver.affords(proof) else []
        return Came(tuple(asks), found, told), driver


def cut_at(number: int, kind: str = "") -> Callable[[int, str], None]:
    """End the process at the call of this number, or at the first one of a kind behind it."""

    def end(now: int, what: str) -> None:
        if now >= number and what.startswith(kind):
            raise CutError

    return end


@pytest.fixture(
    scope="module", params=[pytest.param(False, marks=pytest.mark.nightly), True], ids=["checked", "judged"]
)
def uncut(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bool, Came, World]:
    """A run that nothing ends, with and without a judge."""
    world = World()
    came, driver = run(tmp_path_factory.mktemp("uncut"), world, judged=request.param)
    assert came.found.cause == "budget"
    assert driver.spent.rollouts <= ROLLOUTS
    return request.param, came, world


def test_a_search_of_several_edits_halves_takes_out_and_looks_first(uncut: tuple[bool, Came, World]) -> None:
    """The others would tell little of a search that does not do all that it can do."""
    _, came, _ = uncut
    outcomes = {one.outcome.partition(":")[0] for one in came.found.tried}
    assert outcomes >= {"kept", "set aside", "left for later"}
    assert any(edit.diagnosis == TAKEN_OUT for member in came.found.pool for edit in member.edits)
    assert max(len(member.edits) for member in came.found.pool) > 4
    assert came.found.pool[came.found.chosen].score > 0.5


@pytest.mark.parametrize("width", [1, 16])
def test_several_edits_come_out_the_same_at_any_width(
    uncut: tuple[bool, Came, World], width: int, tmp_path: Path
) -> None:
    judged, came, world = uncut
    other = World()
    assert run(tmp_path, other, width, judged=judged)[0].bytes == came.bytes
    assert sorted(other.heard) == sorted(world.heard)


@pytest.mark.parametrize("share", [1 / 6, pytest.param(1, marks=pytest.mark.nightly)])
def test_a_run_of_several_edits_cut_between_any_two_asks_ends_as_the_uncut_one(
    uncut: tuple[bool, Came, World], share: float, tmp_path: Path
) -> None:
    judged, came, world = uncut
    places = [*starts(world)]
    places = sorted(random.Random(int(judged)).sample(places, max(1, round(share * len(places)))))
    paid: list[str] = []
    for place in places:  # one run, which ends there each time
        cut = World(cut_at(place - len(paid)))
        with pytest.raises(CutError):
            run(tmp_path, cut, 1, judged=judged)
        paid += cut.heard
    last = World()
    resumed, _ = run(tmp_path, last, 16, judged=judged)
    assert resumed.bytes == came.bytes
    assert sorted([*paid, *last.heard]) == sorted(world.heard), "nothing is paid twice"


def starts(world: World) -> Iterator[int]:
    """The places in what was heard where reflections begin or end: another ask does."""
    kinds = [each.split()[0] for each in world.heard]
    return (place for place in range(1, len(kinds)) if kinds[place] != kinds[place - 1])


def test_several_edits_by_hand_off_end_as_those_of_a_program(
    uncut: tuple[bool, Came, World], tmp_path: Path
) -> None:
    class HandedOff(World):
        """Somebody answers each reflection after the process that asked has ended."""

        asked: set[str] = set()  # noqa: RUF012 - as long as the test

        async def reflect(self, ask: Reflection) -> Reflected:
            if (name := digest_of(ask)) not in self.asked:
                self.asked.add(name)
                raise Awaited(OpenAsk(f"asks/{name}", f"replies/{name}"))
            return await super().reflect(ask)

    judged, came, world = uncut
    heard: list[str] = []
    waits = 0
    while True:
        handed = HandedOff()
        try:
            waited, _ = run(tmp_path, handed, 1 + waits % 5, judged=judged)
            break
        except Awaiting:
            waits += 1
        finally:
            heard += handed.heard
    assert waits > 3
    assert waited.bytes == came.bytes
    assert sorted(heard) == sorted(world.heard)


def test_a_reflector_of_several_edits_that_crashes_loses_nothing_that_was_paid(
    uncut: tuple[bool, Came, World], tmp_path: Path
) -> None:
    judged, came, world = uncut
    heard: list[str] = []
    for number in (0, 70, 30):  # calls after which the next reflection is its last
        crashed = World(cut_at(number, "reflection"))
        with pytest.raises(CutError):
            run(tmp_path, crashed, 4, judged=judged)
        heard += crashed.heard
    last = World()
    assert run(tmp_path, last, 4, judged=judged)[0].bytes == came.bytes
    assert sorted([*heard, *last.heard]) == sorted(world.heard)


@pytest.mark.parametrize("usd", [150.0, 260.0, 333.0])
def test_dollars_that_each_call_costs_are_never_overspent_with_the_proof_that_they_are_kept_for(
    uncut: tuple[bool, Came, World], usd: float, tmp_path: Path
) -> None:
    judged, _, _ = uncut
    ways = [run(tmp_path / str(width), World(), width, judged=judged, usd=usd) for width in (1, 16)]
    (came, driver), (other, _) = ways
    assert came.bytes == other.bytes
    assert (len(came.proof), driver.short_of) == (RESERVED, "usd")
    assert driver.spent.usd is not None
    assert usd - 60 < driver.spent.usd <= usd
