"""Answers what a search asks, from the journal first and the world second, within the budget."""

import signal
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast

import msgspec
from msgspec import Struct

from runbookopt.agents.agent import Agent, AgentFailure, Produced, Reflector
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.trajectory import Task
from runbookopt.journal import Answer, JournalError, Run, Spent, trajectory_id
from runbookopt.records import canonical, digest, digest_of
from runbookopt.search.asks import Ask, Attempt, Proposal, Reflection, ReflectionFailure, Reply, Rollout
from runbookopt.verifier.rubric import Assessment

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
Short = Literal["rollouts", "reflections"]

_GRACE_SECONDS = 0.5  # for calls to clean up when they are cancelled
_BLOCKED_SECONDS = 0.6  # after Ctrl-C: whoever blocks the event loop for so long is interrupted
_PROGRESS_SECONDS = 0.1


class World(Struct, frozen=True):
    """Who answers: an agent on `tasks` (by id), judged by `assess(task id, output)`, and a reflector."""

    agent: Agent
    reflector: Reflector
    tasks: Mapping[str, Task]
    assess: Callable[[str, str | None], Assessment]


class Progress(Struct, frozen=True):
    """How far a run is: rollouts paid now, those the journal had, reflections paid now, asks answered.

    `budget` is how many rollouts the run may use in all, the proof's included.
    """

    rollouts: int
    cached: int
    reflections: int
    asks: int
    budget: int


class _Purse(Struct):
    """What one part of the run may still use, when its time is up (monotonic clock), and why it ended.

    `left` counts rollouts; no `reflections` are no limit.
    """

    left: int
    reflections: int | None = None
    deadline: float | None = None
    stopped: str | None = None
    short_of: Short | None = None

    def cover(self, calls: Iterable["_Call"]) -> None:
        """Stop where these calls, none of them charged yet, are more than what is left."""
        costs = [call.cost for call in calls]
        if sum(costs) > self.left:
            self.short_of = "rollouts"
        elif self.reflections is not None and costs.count(0) > self.reflections:
            self.short_of = "reflections"
        self.stopped = "budget" if self.short_of else self.stopped

    def charge(self, cost: int) -> None:
        """Take off what one new answer costs, in rollouts; one that costs none is a reflection."""
        self.left -= cost
        if not cost and self.reflections is not None:
            self.reflections -= 1

    def is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline


class _Call(Struct, frozen=True):
    """One call to the world; `shown` is the JSON of what a reflector gets to see."""

    key: str
    ask: Rollout | Reflection
    cost: int = 0  # reflections cost the budget of rollouts nothing
    shown: bytes = b""


class Driver:
    """Answers asks so that neither width, nor completion order, nor a kill changes the path of the run.

    - Budget: each distinct rollout is charged once, at its first use in the run, whether the journal had it
      or not, and so is each distinct reflection. Of all `rollouts`, `reserved` are kept for the proof
      (`Driver.rollouts`). An ask that the rest does not cover is not begun: it and all later ones are
      answered `stopped="budget"`. No `reflections` are no limit.
    - Time: once the clock has passed `deadline`, no call begins; calls in flight finish and are kept. An ask
      that the journal then holds whole is answered, the first that it does not is answered
      `stopped="minutes"`, and the journal remembers that: a resumed run ends at the same ask. The proof is
      not cut short, since its look is spent when it begins.
    - At most `width` calls, rollouts and reflections together, are in flight.
    """

    def __init__(  # noqa: PLR0913 - each is one term of the run
        self,
        world: World,
        run: Run,
        *,
        rollouts: int,
        reserved: int,
        reflections: int | None = None,
        width: int,
        deadline: float | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        if reserved > rollouts:
            raise RunbookoptError(
                f"the proof needs {reserved} rollouts, and the whole budget is {rollouts}:"
                " raise budget.rollouts"
            )
        self._world = world
        self._run = run
        self._budget = rollouts
        self._search = _Purse(rollouts - reserved, reflections, deadline)
        self._proof = _Purse(reserved)
        self._width = width
        self._progress = progress
        self._told = self._began = time.monotonic()
        self._asks = 0
        self._charged: set[str] = set()
        self._paid: set[str] = set()
        self._cached = 0
        self._reflected: set[str] = set()

    @property
    def spent(self) -> Spent:
        """What this process has paid so far, and what the journal gave."""
        seconds = time.monotonic() - self._began
        return Spent(len(self._paid), self._cached, len(self._reflected), seconds=seconds)

    @property
    def short_of(self) -> Short | None:
        """What the budget did not cover, where it ended the search."""
        return self._search.short_of

    def drive(self, search: Generator[Ask, Reply, T]) -> T:
        """Answer the search until it returns, and give what it returns.

        Raises JournalError, KeyboardInterrupt, and what search or agent raise: all that was answered is then
        in the journal, and driving the same search again goes on from there.
        """
        reply: Reply | None = None
        with closing(search), _Loop() as loop:
            while True:
                try:
                    ask = next(search) if reply is None else search.send(reply)
                except StopIteration as end:
                    self._tell(at_once=True)
                    return cast("T", end.value)
                reply = self._answer(loop, ask, self._search)

    def rollouts(self, wanted: Sequence[Rollout]) -> list[Attempt]:
        """Give the proof's attempts, in the order wanted, out of the reservation.

        Raises RunbookoptError, before the first call, where the reservation does not cover them.
        """
        with _Loop() as loop:
            reply = self._answer(loop, Ask(rollouts=tuple(wanted)), self._proof)
            self._tell(at_once=True)
        if reply.stopped:
            raise RunbookoptError(
                f"the proof wants {len(wanted)} rollouts, more than the {self._proof.left} kept for it:"
                " raise budget.rollouts"
            )
        return list(reply.rollouts)

    def _answer(self, loop: "_Loop", ask: Ask, purse: _Purse) -> Reply:
        loop.check()
        rollouts = [self._rollout_call(rollout) for rollout in ask.rollouts]
        reflections = [self._reflection_call(reflection) for reflection in ask.reflections]
        # reflections begin first: they take longer
        calls = {call.key: call for call in (*reflections, *rollouts)}
        answers = self._answers(loop, ask, calls, purse)
        self._tell()
        if purse.stopped is not None:
            return Reply(stopped=purse.stopped)
        attempts = (
            self._attempt(answers[call.key], rollout)
            for rollout, call in zip(ask.rollouts, rollouts, strict=True)
        )
        return Reply(tuple(attempts), tuple(_reflected(answers[call.key]) for call in reflections))

    def _answers(
        self, loop: "_Loop", ask: Ask, calls: Mapping[str, _Call], purse: _Purse
    ) -> dict[str, Answer]:
        """Give an answer to every call, or none and say in the purse why it ended."""
        new = [key for key in calls if key not in self._charged]
        if purse.stopped is None:
            purse.cover(calls[key] for key in new)
        if purse.stopped is not None:
            return {}
        place, self._asks = self._asks, self._asks + 1
        shown = {key: call.shown for key, call in calls.items() if call.shown}
        purse.stopped = self._run.begin(place, ask.digest, shown)
        if purse.stopped is not None:
            return {}
        answers = self._run.answers(list(calls))
        missing = [call for key, call in calls.items() if key not in answers]
        if missing:
            answers |= self._ask_world(loop, missing, place, purse)
        if len(answers) < len(calls):
            purse.stopped = "minutes"
            self._run.stop(place, "minutes")
            return {}
        self._charge(new, answers, purse)
        return answers

    def _ask_world(
        self, loop: "_Loop", calls: Sequence[_Call], place: int, purse: _Purse
    ) -> dict[str, Answer]:
        """Make the calls while there is time, and give the answers that the journal then has."""
        kept: dict[str, Answer] = {}

        def keep(answers: Sequence[Answer]) -> None:
            kept.update(self._run.keep(place, answers))
            self._paid.update(answer.key for answer in answers if answer.cost)
            self._reflected.update(answer.key for answer in answers if not answer.cost)
            self._tell()

        flight = _Flight(self._world, keep, purse.is_late)
        try:
            loop.run(flight.make(calls, self._width))
        except BaseException:  # also Ctrl-C: what was answered is kept all the same
            self._run.hurry()
            with suppress(JournalError):
                flight.keep_pending()
            raise
        return kept

    def _charge(self, new: Iterable[str], answers: Mapping[str, Answer], purse: _Purse) -> None:
        for key in new:
            purse.charge(answers[key].cost)
            self._charged.add(key)
            self._cached += answers[key].cost > 0 and key not in self._paid

    def _rollout_call(self, rollout: Rollout) -> _Call:
        key = ["rollout", rollout.candidate.digest, rollout.task, self._world.agent.key, rollout.repeat]
        return _Call(digest_of(key), rollout, cost=1)

    def _reflection_call(self, reflection: Reflection) -> _Call:
        shown = canonical(reflection)
        key = ["reflection", digest(shown), self._world.reflector.key]
        return _Call(digest_of(key), reflection, shown=shown)

    def _attempt(self, answer: Answer, rollout: Rollout) -> Attempt:
        """Judge an output: checks are recomputed, since the journal holds outputs and no scores."""
        output = None if answer.failed else msgspec.json.decode(answer.body, type=Produced).output
        assessed = self._world.assess(rollout.task, output)
        return Attempt(
            trajectory=trajectory_id(answer.key),
            output=output,
            score=assessed.score,
            objectives=assessed.objectives,
            feedback=assessed.feedback,
            gates_failed=assessed.gates_failed,
            errors=assessed.errors,
        )

    def _tell(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if self._progress is not None and (at_once or now - self._told >= _PROGRESS_SECONDS):
            self._told = now
            paid, reflected = len(self._paid), len(self._reflected)
            self._progress(Progress(paid, self._cached, reflected, self._asks, self._budget))


def _reflected(answer: Answer) -> Proposal | ReflectionFailure:
    if answer.failed:
        return msgspec.json.decode(answer.body, type=ReflectionFailure)
    return msgspec.json.decode(answer.body, type=Proposal)


class _Flight:
    """The calls of one ask: a few workers take turns at them, and each waits until its answer is kept.

    So no more than `width` answers are ever in flight or not yet on disk. Answers that come in together are
    kept together; an agent that answers at once costs neither a task nor a transaction of its own.
    """

    def __init__(
        self, world: World, keep: Callable[[Sequence[Answer]], None], is_late: Callable[[], bool]
    ) -> None:
        self._world = world
        self._keep = keep
        self._is_late = is_late
        self._pending: list[Answer] = []
        self._kept: asyncio.Future[None] | None = None

    async def make(self, calls: Sequence[_Call], width: int) -> None:
        """Make all calls, or as many as there is time for; raises the first error of a call."""
        import asyncio

        queue = iter(calls)
        workers = [asyncio.create_task(self._work(queue)) for _ in range(min(width, len(calls)))]
        try:
            ended, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers, timeout=_GRACE_SECONDS)
        for worker in workers:
            if worker in ended:
                worker.result()

    def keep_pending(self) -> None:
        """Keep what was answered and is not kept yet."""
        answers = self._pending.copy()
        self._keep(answers)
        del self._pending[: len(answers)]  # only now: Ctrl-C in between must lose nothing

    async def _work(self, queue: Iterator[_Call]) -> None:
        import asyncio

        for call in queue:
            if self._is_late():
                return
            self._pending.append(await self._answer(call))
            if self._kept is None:
                loop = asyncio.get_running_loop()
                self._kept = loop.create_future()
                loop.call_soon(self._keep_together)
            await self._kept

    def _keep_together(self) -> None:
        kept, self._kept = cast("asyncio.Future[None]", self._kept), None
        try:
            self.keep_pending()
        except Exception as error:  # noqa: BLE001 - raised by the workers that wait
            outcome = partial(kept.set_exception, error)
        else:
            outcome = partial(kept.set_result, None)
        if not kept.done():  # cancelled with its worker
            outcome()

    async def _answer(self, call: _Call) -> Answer:
        if isinstance(call.ask, Reflection):
            said = await self._world.reflector.reflect(call.ask)
            failed = isinstance(said, ReflectionFailure)
            return Answer(call.key, "reflection", canonical(said), call.cost, failed)
        task_input = self._world.tasks[call.ask.task].input
        try:
            produced = await self._world.agent.rollout(call.ask.candidate.text, task_input, call.ask.repeat)
        except AgentFailure as failure:
            why = {"kind": failure.kind, "message": failure.message}
            return Answer(call.key, "rollout", canonical(why), call.cost, failed=True)
        return Answer(call.key, "rollout", canonical(produced), call.cost)


class _Loop:
    """An event loop, and Ctrl-C as long as it is open.

    Ctrl-C asks for an end: what runs is cancelled, what was answered is kept, and KeyboardInterrupt is raised
    between two steps. Only where something goes on regardless, it is raised wherever that is. (`asyncio.run`
    waits without end for threads and for calls that do not heed cancellation.)
    """

    def __init__(self) -> None:
        import asyncio

        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_DaemonThreads())
        self._task: asyncio.Task[None] | None = None
        self._wanted = False  # an end
        thread = threading.get_ident()
        self._insist = threading.Timer(_BLOCKED_SECONDS, lambda: signal.pthread_kill(thread, signal.SIGINT))
        self._insist.daemon = True
        main = threading.current_thread() is threading.main_thread()
        self._heeds = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def __enter__(self) -> Self:
        if self._heeds:
            signal.signal(signal.SIGINT, self._heed)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        import asyncio

        self._insist.cancel()
        self._loop.set_exception_handler(lambda *_: None)  # what cancelled calls still say helps nobody
        try:
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(asyncio.wait(left, timeout=_GRACE_SECONDS))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            if self._heeds:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            self._loop.close()
        if kind is None:
            self.check()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` to its end."""
        import asyncio

        self._task = self._loop.create_task(work)
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            self.check()
            raise
        self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt where Ctrl-C has asked for an end."""
        if self._wanted:
            raise KeyboardInterrupt

    def _heed(self, *_: object) -> None:
        self.check()  # the second time
        self._wanted = True
        self._loop.call_soon_threadsafe(self._cancel)
        self._insist.start()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


class _DaemonThreads(ThreadPoolExecutor):
    """A thread for each `asyncio.to_thread`, and none that keeps the process alive after Ctrl-C."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:  # noqa: ANN401
        future: Future[T] = Future()
        call = partial(fn, *args, **kwargs)
        threading.Thread(target=_run_into, args=(future, call), daemon=True).start()
        return future


def _run_into(future: Future[T], call: Callable[[], T]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - raised where the call is awaited
            future.set_exception(error)
        else:
            future.set_result(result)
