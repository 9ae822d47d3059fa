import importlib.util
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Self, TypeVar, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.agents.protocol import Agent, Awaited, Judged, OpenAsk, Produced, Reflected
from runbookopt.documents.digest import digest_of
from runbookopt.documents.usage import Usage, Used
from runbookopt.engine.driver import Driver
from runbookopt.engine.journal import Journal
from runbookopt.engine.progress import Progress
from runbookopt.errors import Awaiting, RunbookoptError
from runbookopt.search.asks import Ask, Candidate, ReflectionFailure, Reply, Rollout
from runbookopt.verifier.judge import JudgeFailure, Question
from tests.conftest import PATIENCE
from tests.virtual_time import virtual_time

PROGRAMS = Path(__file__).parents[1] / "programs"
CALLS = 60  # that the toy search makes in all: 52 rollouts and 8 reflections


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, PROGRAMS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


toy: Any = load("toy")
T = TypeVar("T")
Told = tuple[Ask, Reply]
SEED = Candidate("seed")
FIRST, SECOND, *_ = toy.TASKS


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite3") as journal:
        yield journal


def driver(
    journal: Journal,
    folder: Path,
    agent: Agent | None = None,
    run: str = "toy",
    **terms: Any,  # noqa: ANN401
) -> Driver:
    world = toy.world(folder, agent, terms.pop("reflector", None), terms.pop("judge", None))
    return Driver(world, journal.run(run, {}), **({"rollouts": 1000, "reserved": 0, "width": 4} | terms))


def once(ask: Ask) -> Generator[Ask, Reply, Reply]:
    return (yield ask)


def noting(search: Generator[Ask, Reply, T], told: list[Told]) -> Generator[Ask, Reply, T]:
    """Run a search and note what it asks and is told."""
    ask = next(search)
    while True:
        told.append((ask, (yield ask)))
        try:
            ask = search.send(told[-1][1])
        except StopIteration as end:
            return cast("T", end.value)


def asking(*tasks: str, candidate: Candidate = SEED) -> Ask:
    return Ask(tuple(Rollout(candidate, task) for task in tasks))


def calls(folder: Path) -> int:
    """How many calls were paid for."""
    file = folder / "calls"
    return file.stat().st_size if file.exists() else 0


class Uneven(toy.Agent):  # type: ignore[misc]
    """Answers the first that it is asked last."""

    async def rollout(self, runbook: str, task_input: object, repeat: str) -> Produced:
        self._seconds = 0.03 / (self.made + 1)
        return await super().rollout(runbook, task_input, repeat)


class Counting:
    """As agent and reflector, notes the most calls that were ever in flight."""

    name = key = "counting"
    deterministic = True

    def __init__(self) -> None:
        self.now = self.most = 0

    async def rollout(self, *_: object) -> Produced:
        await self.reflect()
        return Produced("")

    async def reflect(self, *_: object) -> Reflected:
        import asyncio  # noqa: PLC0415 - slow libraries are imported where they are used

        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.001)
        self.now -= 1
        return Reflected(ReflectionFailure("refused", "no"))


class CutError(Exception):
    """The end of a run that was cut."""


class CutAgent(toy.Agent):  # type: ignore[misc]
    """Ends the run at its n-th call."""

    def __init__(self, calls: Path, last: int) -> None:
        super().__init__(calls)
        self._last = last

    async def rollout(self, runbook: str, task_input: object, repeat: str) -> Produced:
        if self.made == self._last:
            raise CutError
        return await super().rollout(runbook, task_input, repeat)


def test_replies_come_in_the_order_of_the_ask(tmp_path: Path, journal: Journal) -> None:
    agent = Uneven(tmp_path / "calls")
    reply = driver(journal, tmp_path, agent, width=6).drive(once(asking(*toy.TASKS)))
    inputs = [toy.TASKS[task].input for task in toy.TASKS]
    expected = [toy.digest_of([SEED.text, task_input, "0", ""]) for task_input in inputs]
    assert [attempt.output for attempt in reply.rollouts] == expected


def test_width_does_not_change_the_path(tmp_path: Path) -> None:
    paths = set()
    for width in (1, 3, 16):
        folder = tmp_path / str(width)
        with Journal.open(folder / "journal.sqlite3") as journal:
            agent = Uneven(folder / "calls")
            paths.add(driver(journal, folder, agent, width=width).drive(toy.search(2)))
    assert len(paths) == 1


@pytest.mark.parametrize("width", [1, 3, 100])
def test_no_more_calls_than_the_width_are_in_flight(tmp_path: Path, journal: Journal, width: int) -> None:
    both = Counting()
    ask = Ask(asking(*toy.TASKS).rollouts, toy.reflecting("").reflections)
    driver(journal, tmp_path, both, width=width, reflector=both).drive(once(ask))
    assert both.most == min(width, 8)


def test_a_rollout_is_charged_and_made_once_however_often_it_is_asked(
    tmp_path: Path, journal: Journal
) -> None:
    def search() -> Generator[Ask, Reply, tuple[Reply, Reply, Reply]]:
        return (
            (yield asking(FIRST, FIRST)),
            (yield asking(FIRST, SECOND)),
            (yield asking(*list(toy.TASKS)[:3])),
        )

    limited = driver(journal, tmp_path, rollouts=2)
    first, second, third = limited.drive(search())
    assert first.rollouts[0] == first.rollouts[1] == second.rollouts[0]
    assert third == Reply(stopped="budget")
    assert calls(tmp_path) == limited.spent.rollouts == 2


def test_an_ask_that_the_budget_does_not_cover_is_not_begun(tmp_path: Path, journal: Journal) -> None:
    limited = driver(journal, tmp_path, rollouts=30)
    found = limited.drive(toy.search())
    assert (found.stopped, found.asks) == ("budget", 4)
    assert limited.spent.rollouts == 26


def test_each_reflection_is_charged_once_and_the_budget_covers_no_more(
    tmp_path: Path, journal: Journal
) -> None:
    one, other = (Ask(reflections=toy.reflecting(text).reflections) for text in ("", "other"))

    def search() -> Generator[Ask, Reply, tuple[str | None, ...]]:
        replies = [(yield one), (yield one), (yield other), (yield asking(FIRST))]
        return tuple(reply.stopped for reply in replies)

    limited = driver(journal, tmp_path, rollouts=1, reflections=3)
    assert limited.drive(search()) == (None, None, "budget", "budget")
    assert (limited.short_of, limited.spent.reflections, limited.spent.rollouts) == ("reflections", 2, 0)


def test_the_budget_of_reflections_does_not_see_what_the_journal_holds(
    tmp_path: Path, journal: Journal
) -> None:
    driver(journal, tmp_path, run="richer").drive(toy.search())
    limited = driver(journal, tmp_path, reflections=5)
    assert limited.drive(toy.search()).stopped == "budget"
    assert (limited.short_of, limited.spent.reflections, limited.spent.cached > 0) == ("reflections", 0, True)


def test_after_the_budget_has_ended_nothing_is_answered(tmp_path: Path, journal: Journal) -> None:
    def search() -> Generator[Ask, Reply, tuple[Reply, Reply]]:
        return (yield asking(FIRST, SECOND)), (yield asking(FIRST))

    assert driver(journal, tmp_path, rollouts=1).drive(search()) == (Reply(stopped="budget"),) * 2


def test_the_budget_does_not_see_what_the_journal_holds(tmp_path: Path, journal: Journal) -> None:
    driver(journal, tmp_path, run="richer").drive(toy.search())
    limited = driver(journal, tmp_path, rollouts=30)
    assert limited.drive(toy.search()).asks == 4
    assert (limited.spent.rollouts, limited.spent.cached, limited.spent.reflections) == (0, 26, 0)
    assert calls(tmp_path) == CALLS


def test_the_proof_uses_what_was_kept_for_it(tmp_path: Path, journal: Journal) -> None:
    limited = driver(journal, tmp_path, rollouts=32, reserved=4)
    assert limited.drive(toy.search()).asks == 4
    wanted = [Rollout(SEED, task, f"sha256:look/{n}") for n in range(2) for task in (FIRST, SECOND)]
    proved = limited.rollouts(wanted)
    assert [attempt.output for attempt in proved] == [
        journal.output(attempt.trajectory) for attempt in proved
    ]
    assert len({attempt.trajectory for attempt in proved}) == 4
    assert limited.spent.rollouts == 30
    with pytest.raises(RunbookoptError, match=r"1 rollouts, more than the 0 kept .* raise budget\.rollouts"):
        limited.rollouts([Rollout(SEED, FIRST, "another look/0")])


def test_a_budget_below_the_reservation_is_an_error_at_once(tmp_path: Path, journal: Journal) -> None:
    with pytest.raises(RunbookoptError, match=r"proof needs 60 rollouts, and the whole budget is 50"):
        driver(journal, tmp_path, rollouts=50, reserved=60)


def test_what_was_spent_is_known_or_none(tmp_path: Path, journal: Journal) -> None:
    paying = driver(journal, tmp_path)
    paying.drive(toy.search())
    spent = paying.spent
    assert (spent.rollouts, spent.cached, spent.reflections) == (52, 0, 8)
    assert (spent.tokens, spent.usd) == (None, None)
    assert spent.seconds > 0


def test_a_second_run_with_nothing_new_pays_nothing(tmp_path: Path, journal: Journal) -> None:
    first = driver(journal, tmp_path).drive(toy.search())
    journal.run("toy", {}).finish()
    again = driver(journal, tmp_path)
    assert again.drive(toy.search()) == first
    assert (again.spent.rollouts, again.spent.cached, again.spent.reflections) == (0, 52, 0)
    assert calls(tmp_path) == CALLS


class UpAfter(float):
    """A deadline that has passed when so many calls were made, however fast the machine is."""

    def __new__(cls, folder: Path, last: int) -> Self:
        self = super().__new__(cls)
        self._folder, self._last = folder, last
        return self

    def __le__(self, now: float) -> bool:
        return calls(self._folder) >= self._last


def test_a_clock_lets_calls_in_flight_finish_and_ends_the_resumed_run_at_the_same_ask(
    tmp_path: Path, journal: Journal
) -> None:
    found = driver(journal, tmp_path, deadline=UpAfter(tmp_path, 20)).drive(toy.search())
    assert found.stopped == "minutes"
    assert 0 < calls(tmp_path) < CALLS
    assert journal.read("SELECT count(*) FROM answers") == [(calls(tmp_path),)]
    assert driver(journal, tmp_path).drive(toy.search()) == found
    journal.run("toy", {}).finish()
    later = driver(journal, tmp_path)
    assert later.drive(toy.search()).stopped is None
    assert calls(tmp_path) == CALLS


def test_what_the_journal_holds_whole_is_answered_after_the_deadline(
    tmp_path: Path, journal: Journal
) -> None:
    driver(journal, tmp_path, run="earlier").drive(toy.search(1))
    late = driver(journal, tmp_path, deadline=0.0)
    found = late.drive(toy.search(2))
    assert (found.asks, found.stopped, late.spent.rollouts) == (2, "minutes", 0)


@given(cuts=st.lists(st.integers(0, 20), max_size=5), width=st.integers(1, 5))
def test_a_run_cut_anywhere_and_resumed_ends_as_the_uncut_one_and_pays_nothing_twice(
    cuts: list[int], width: int
) -> None:
    with tempfile.TemporaryDirectory() as name, Journal.open(Path(name) / "journal.sqlite3") as journal:
        folder = Path(name)
        for last in cuts:
            try:
                driver(journal, folder, CutAgent(folder / "calls", last), width=width).drive(toy.search(2))
            except CutError:
                continue
        resumed = driver(journal, folder, width=width).drive(toy.search(2))
        assert calls(folder) == CALLS // 2
        with Journal.open(folder / "uncut" / "journal.sqlite3") as fresh:
            assert driver(fresh, folder / "uncut").drive(toy.search(2)) == resumed


def test_a_reflection_that_fails_is_told_again_until_the_run_is_finished(
    tmp_path: Path, journal: Journal
) -> None:
    ask = Ask(reflections=toy.reflecting("").reflections)
    failing = driver(journal, tmp_path, reflector=Counting())
    told = failing.drive(once(ask))
    assert told.reflections == (ReflectionFailure("refused", "no"),) * 2
    assert driver(journal, tmp_path, reflector=Counting()).drive(once(ask)) == told
    journal.run("toy", {}).finish()
    again = driver(journal, tmp_path, reflector=Counting())
    assert again.drive(once(ask)) == told
    assert (failing.spent.reflections, again.spent.reflections) == (2, 2)


def test_the_journal_keeps_what_reflectors_were_shown_in_the_order_of_asking(
    tmp_path: Path, journal: Journal
) -> None:
    told: list[Told] = []
    driver(journal, tmp_path).drive(noting(toy.search(2), told))
    assert list(journal.reflection_asks("toy")) == [shown for ask, _ in told for shown in ask.reflections]


def test_another_version_of_the_search_makes_a_new_run_that_reuses_what_was_paid(
    tmp_path: Path, journal: Journal
) -> None:
    driver(journal, tmp_path).drive(once(asking(FIRST, SECOND)))
    world, run = toy.world(tmp_path), journal.run("toy", {})
    changed = Driver(world, run, rollouts=10, reserved=0, width=1)
    changed.drive(once(asking(SECOND, FIRST)))
    assert (run.id, changed.spent.rollouts, changed.spent.cached) == ("toy.2", 0, 2)
    assert [(known.id, known.state, known.continues) for known in journal.runs()] == [
        ("toy", "left", None),
        ("toy.2", "open", "toy"),
    ]


def test_answers_that_come_in_together_are_kept_in_one_transaction(tmp_path: Path, journal: Journal) -> None:
    ask = Ask(tuple(Rollout(Candidate(f"candidate {n}"), FIRST) for n in range(160)))
    driver(journal, tmp_path, width=16).drive(once(ask))
    log = (tmp_path / "journal.sqlite3-wal").read_bytes()[32:]
    frames = [log[at + 4 : at + 8] for at in range(0, len(log), 24 + 4096)]
    assert (
        sum(size != bytes(4) for size in frames) < 20
    )  # a frame that ends a transaction names the file's size


def test_a_rollout_that_is_answered_at_once_costs_less_than_a_millisecond(
    tmp_path: Path, journal: Journal
) -> None:
    class Instant(Counting):
        async def rollout(self, *_: object) -> Produced:
            return Produced('{"queue": "card-arrival"}')

    ask = Ask(tuple(Rollout(Candidate(f"candidate {n}"), task) for n in range(500) for task in toy.TASKS))
    began = time.process_time()
    driver(journal, tmp_path, Instant(), rollouts=3000).drive(once(ask))
    assert time.process_time() - began < 3000 * 0.001


def test_each_judgement_is_asked_once_by_whatever_run_and_costs_no_rollout(
    tmp_path: Path, journal: Journal
) -> None:
    judge = toy.Judge(tmp_path / "calls")
    ask = asking(*toy.TASKS, *toy.TASKS)
    first = driver(journal, tmp_path, judge=judge, rollouts=6).drive(once(ask))
    assert calls(tmp_path) == 6 + 12
    assert {attempt.score for attempt in first.rollouts} <= {0.0, 0.5, 1.0}
    assert driver(journal, tmp_path, judge=judge, run="other").drive(once(ask)) == first
    assert calls(tmp_path) == 6 + 12


class Alike(Counting):
    """As agent says always the same, after a moment."""

    async def rollout(self, *_: object) -> Produced:
        await self.reflect()
        return Produced("the same", usage=toy.USED)


def test_an_output_that_two_repeats_give_is_judged_once(tmp_path: Path, journal: Journal) -> None:
    judge = toy.Judge(tmp_path / "calls", 0.01)
    ask = Ask(tuple(Rollout(SEED, FIRST, str(repeat)) for repeat in range(20)))
    judging = driver(journal, tmp_path, Alike(), judge=judge, width=20)
    judging.drive(once(ask))
    assert calls(tmp_path) == 2
    assert judging.spent.usage == Used(
        agent=Usage(calls=20, prompt=200, completion=40, usd=10.0),
        judge=Usage(calls=2, prompt=20, completion=4, usd=1.0),
    )


def test_outputs_of_the_journal_are_judged_where_judgements_are_missing(
    tmp_path: Path, journal: Journal
) -> None:
    driver(journal, tmp_path).drive(once(asking(*toy.TASKS)))
    judged = driver(journal, tmp_path, judge=toy.Judge(tmp_path / "calls"), run="judged")
    reply = judged.drive(once(asking(*toy.TASKS)))
    assert (calls(tmp_path), judged.spent.rollouts, judged.spent.cached) == (6 + 12, 0, 6)
    fresh = driver(journal, tmp_path, judge=toy.Judge(tmp_path / "calls"), run="fresh")
    assert fresh.drive(once(asking(*toy.TASKS))) == reply


class Undecided(toy.Judge):  # type: ignore[misc]
    """Gives no verdict so many times for each question, and then does."""

    def __init__(self, calls: Path, times: int) -> None:
        super().__init__(calls)
        self._times = times
        self._asked: dict[str, int] = {}

    async def judge(self, question: Question) -> Judged:
        judged: Judged = await super().judge(question)
        asked = self._asked[digest_of(question)] = self._asked.get(digest_of(question), 0) + 1
        return judged if asked > self._times else Judged(JudgeFailure("unparsable", "no"), judged.usage)


def test_a_judgement_that_fails_is_asked_once_more_and_then_an_error_until_the_run_is_finished(
    tmp_path: Path, journal: Journal
) -> None:
    once_more, never = Undecided(tmp_path / "calls", 1), Undecided(tmp_path / "calls", 2)
    ask = asking(FIRST)
    first = driver(journal, tmp_path, judge=never)
    told = first.drive(once(ask))
    assert (told.rollouts[0].errors, first.spent.usage.judge) == (2, sum(4 * [toy.USED], Usage()))
    assert driver(journal, tmp_path, judge=never).drive(once(ask)) == told
    assert calls(tmp_path) == 1 + 4
    other = driver(journal, tmp_path, judge=once_more, run="other")
    assert other.drive(once(ask)).rollouts[0].errors == 0
    assert other.spent.usage.judge == sum(4 * [toy.USED], Usage())


class Billed(Counting):
    """As agent and reflector fails, and is billed all the same; as agent only for one in two."""

    async def rollout(self, _: object, task_input: str, repeat: str) -> Produced:
        if int(task_input[-1]) % 2:
            return Produced(None, usage=toy.USED)
        return Produced(repeat, usage=toy.USED)

    async def reflect(self, *_: object) -> Reflected:
        return Reflected(ReflectionFailure("refused", "no"), toy.USED)


def test_what_was_used_is_told_by_role_failed_calls_included(tmp_path: Path, journal: Journal) -> None:
    ask = Ask(asking(*toy.TASKS).rollouts, toy.reflecting("").reflections)
    paying = driver(journal, tmp_path, Billed(), reflector=Billed())
    paying.drive(once(ask))
    six, two = sum(6 * [toy.USED], Usage()), sum(2 * [toy.USED], Usage())
    assert paying.spent.usage == Used(agent=six, reflector=two)
    assert (paying.spent.tokens, paying.spent.usd) == (8 * 12, 4.0)
    again = driver(journal, tmp_path, Billed(), reflector=Billed())
    again.drive(once(ask))
    assert (again.spent.tokens, again.spent.usd) == (0, 0.0)


def test_what_one_role_used_is_unknown_for_all_but_known_for_the_others(
    tmp_path: Path, journal: Journal
) -> None:
    ask = Ask(asking(*toy.TASKS).rollouts, toy.reflecting("").reflections)
    paying = driver(journal, tmp_path, reflector=Billed())
    paying.drive(once(ask))
    assert paying.spent.usage == Used(reflector=sum(2 * [toy.USED], Usage()))
    assert (paying.spent.tokens, paying.spent.usd) == (None, None)


def test_the_journal_knows_of_each_role_how_long_its_calls_took_and_what_they_used(
    tmp_path: Path, journal: Journal
) -> None:
    ask = Ask(asking(*toy.TASKS).rollouts, toy.reflecting("").reflections)
    roles = [role(tmp_path / "calls", 0.02 * n) for n, role in enumerate((toy.Agent, toy.Reflector), 1)]
    judge = toy.Judge(tmp_path / "calls", 0.01)
    for run in ("paying", "cached"):
        driver(journal, tmp_path, roles[0], reflector=roles[1], judge=judge, run=run).drive(once(ask))
    for kind, count, seconds in (("rollout", 6, 0.02), ("reflection", 2, 0.04), ("judgement", 12, 0.01)):
        known = journal.calls(kind, "sha256:toy")
        assert known.timed == count
        assert known.seconds / count >= 0.9 * seconds
        assert known.tokens == (12 * toy.USED.prompt + 12 * toy.USED.completion if kind == "judgement" else 0)


class Unpriced(Counting):
    async def rollout(self, *_: object) -> Produced:
        return Produced("", usage=Usage(calls=1, usd=None))


def test_a_budget_in_dollars_needs_a_price(tmp_path: Path, journal: Journal) -> None:
    driver(journal, tmp_path, Unpriced(), run="free").drive(once(asking(FIRST)))
    with pytest.raises(RunbookoptError, match=r"budget.usd is 3, and what a rollout cost is not known"):
        driver(journal, tmp_path, Unpriced(), usd=3).drive(once(asking(FIRST)))


def test_most_of_the_width_is_in_flight_until_an_ask_is_answered(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Counting):
        busy = 0.0

        async def rollout(self, *_: object) -> Produced:
            took = self.busy % 0.3 + 0.1
            await asyncio.sleep(took)
            self.busy += took
            return Produced("")

    import asyncio  # noqa: PLC0415 - slow libraries are imported where they are used

    slow, passed = Slow(), virtual_time(monkeypatch)
    ask = Ask(tuple(Rollout(Candidate(f"candidate {n}"), FIRST) for n in range(640)))
    driver(journal, tmp_path, slow, width=64).drive(once(ask))
    assert slow.busy / passed.seconds >= 0.8 * 64


def test_progress_is_told_at_most_ten_times_a_second_and_at_the_end(tmp_path: Path, journal: Journal) -> None:
    told: list[Progress] = []
    agent = toy.Agent(tmp_path / "calls", 0.005)
    watched = driver(journal, tmp_path, agent, width=1, progress=told.append)
    watched.drive(toy.search())
    assert 1 < len(told) <= watched.spent.seconds * 10 + 1
    last = told[-1]
    assert (last.phase, last.rollouts, last.cached, last.reflections, last.budget) == (
        "searching",
        52,
        0,
        8,
        1000,
    )


def test_an_error_of_whoever_watches_ends_the_run(tmp_path: Path, journal: Journal) -> None:
    def fail(_: Progress) -> None:
        raise CutError

    agent = toy.Agent(tmp_path / "calls", 0.06)
    with pytest.raises(CutError):
        driver(journal, tmp_path, agent, progress=fail).drive(toy.search())


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAMS / "optimize_toy.py"), str(folder), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_calls(folder: Path, wanted: int, child: subprocess.Popen[str]) -> None:
    while calls(folder) < wanted and child.poll() is None:
        time.sleep(0.002)


def uncut(folder: Path, *, judged: bool = False) -> object:
    folder = folder / "uncut"
    with Journal.open(folder / "journal.sqlite3") as journal:
        judge = toy.Judge(folder / "calls") if judged else None
        return driver(journal, folder, judge=judge).drive(toy.search(8))


@pytest.mark.slow
@pytest.mark.parametrize("how", [("async",), ("async", 0, "judged")])
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.nightly)])
def test_a_run_killed_many_times_ends_as_the_uncut_one(
    tmp_path: Path, how: tuple[object, ...], kills: int
) -> None:
    rng, width = random.Random(7), 3
    for _ in range(kills):
        child = start(tmp_path, 0.05, width, *how)
        wait_for_calls(tmp_path, calls(tmp_path) + rng.randint(1, 3), child)
        time.sleep(rng.random() * 0.05)
        child.kill()
        assert child.communicate()[0] == ""
    printed, _ = start(tmp_path, 0.05, width, *how).communicate(timeout=PATIENCE)
    assert msgspec.json.decode(printed, type=toy.Found) == uncut(tmp_path, judged="judged" in how)
    paid = calls(tmp_path)
    assert paid <= calls(tmp_path / "uncut") + kills * width
    start(tmp_path, 0.05, width, *how).communicate(timeout=PATIENCE)
    assert calls(tmp_path) == paid


def test_two_runs_at_once_on_one_journal_use_the_same_answers(tmp_path: Path) -> None:
    children = [start(tmp_path, 0.002, 4, "random") for _ in range(2)]
    first, second = (child.communicate(timeout=PATIENCE)[0] for child in children)
    assert first == second != ""
    with Journal.open(tmp_path / "journal.sqlite3") as journal:
        assert [run.state for run in journal.runs()] == ["finished", "finished"]
        assert journal.read("SELECT count(*) FROM answers") == [(2 * CALLS,)]


def test_a_resumed_run_is_told_what_it_was_told_whatever_another_run_has_written(
    tmp_path: Path, journal: Journal
) -> None:
    before: list[Told] = []
    after: list[Told] = []
    for run, told, waves in (("cut", before, 2), ("other", [], 4), ("cut", after, 3)):
        agent = toy.Agent(tmp_path / "calls", how="random")
        driver(journal, tmp_path, agent, run=run).drive(noting(toy.search(waves), told))
    assert after[:4] == before
    assert len(after) == 6


@pytest.mark.parametrize("how", ["async", "thread", "blocking"])
def test_ctrl_c_waits_for_no_call_and_keeps_what_was_answered(tmp_path: Path, how: str) -> None:
    child = start(tmp_path, 60, 4, how, 7)
    wait_for_calls(tmp_path, 8, child)
    child.send_signal(signal.SIGINT)
    _, complaint = child.communicate(timeout=50)  # a call takes 60 seconds
    assert (child.returncode, complaint) == (130, "")
    with Journal.open(tmp_path / "journal.sqlite3") as journal:
        assert journal.read("SELECT count(*) FROM answers") == [(7,)]


def test_ctrl_c_ends_a_run_also_while_another_process_holds_the_journal(tmp_path: Path) -> None:
    child = start(tmp_path, 0.02, 4, "async")
    wait_for_calls(tmp_path, 8, child)
    with Journal.open(tmp_path / "journal.sqlite3") as journal, journal.writing():
        time.sleep(0.2)  # likely it waits for the journal by then; what is asserted holds in any case
        child.send_signal(signal.SIGINT)
        _, complaint = child.communicate(timeout=50)  # it waits 60 seconds for the journal
    assert (child.returncode, complaint) == (130, "")


def test_a_full_disk_is_one_clear_error_and_the_run_goes_on_when_there_is_room(tmp_path: Path) -> None:
    full = start(tmp_path, 0, 2, "full")
    _, complaint = full.communicate(timeout=PATIENCE)
    assert full.returncode == 1
    assert "journal cannot be written" in complaint
    assert len(complaint.splitlines()) == 1
    paid = calls(tmp_path)
    printed, _ = start(tmp_path, 0, 2, "async").communicate(timeout=PATIENCE)
    assert msgspec.json.decode(printed, type=toy.Found) == uncut(tmp_path)
    assert 0 < paid < calls(tmp_path) <= calls(tmp_path / "uncut") + 2
    with Journal.open(tmp_path / "journal.sqlite3") as journal:
        assert journal.read("PRAGMA integrity_check") == [("ok",)]


class AtHand(toy.Agent):  # type: ignore[misc]
    """Answers what is in `replied`, by hand, and has asked for the rest."""

    replied: tuple[str, ...] = ()

    async def rollout(self, runbook: str, task_input: Any, repeat: str) -> Produced:  # noqa: ANN401
        if task_input not in self.replied:
            raise Awaited(OpenAsk(str(task_input), "reply"))
        made = await super().rollout(runbook, task_input, repeat)
        return msgspec.structs.replace(made, usage=None, replier="Ana")


@pytest.mark.parametrize("width", [1, 3, 100])
def test_what_is_awaited_holds_up_nothing_else_and_what_has_come_is_not_asked_for_again(
    journal: Journal, tmp_path: Path, width: int
) -> None:
    agent, tasks = AtHand(tmp_path / "calls"), list(toy.TASKS)
    names = [toy.TASKS[task].input for task in tasks]
    agent.replied = tuple(names[1:])
    with pytest.raises(Awaiting) as raised:
        driver(journal, tmp_path, agent, width=width).drive(once(asking(*tasks)))
    assert [each.ask for each in raised.value.asks] == [str(names[0])]
    assert agent.made == len(tasks) - 1
    agent.replied = tuple(names)
    driving = driver(journal, tmp_path, agent, width=width)
    assert len(driving.drive(once(asking(*tasks))).rollouts) == len(tasks)
    assert agent.made == len(tasks)
    assert driving.repliers == {"agent": {"Ana": len(tasks)}}
    assert (driving.spent.tokens, driving.spent.usd) == (None, None)
    assert journal.calls("rollout", agent.key).timed == 0, "how long a person took is not known"
