"""Calls in flight: a few workers take turns at them, and each answer is kept before it is used."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from runbookopt.engine.calls import Call
from runbookopt.engine.event_loop import GRACE_SECONDS
from runbookopt.engine.journal import Answer

if TYPE_CHECKING:
    import asyncio

Answering = Callable[[Call], Awaitable[Answer]]


class WorkerPool:
    """The calls of one ask; no more than `width` answers are ever in flight or not yet on disk.

    A worker that has made a call goes on to what follows from its answer. Answers that come in together are
    kept together: those of one turn of the event loop, and all those of an agent that answers at once, which
    costs neither a task nor a transaction of its own.
    """

    def __init__(
        self,
        answer: Answering,
        keep: Callable[[Sequence[Answer]], None],
        *,
        follow: Callable[[Call], Iterable[Call]] | None,
        is_late: Callable[[], bool],
        width: int,
    ) -> None:
        self._answer = answer
        self._keep = keep
        self._follow = follow
        self._is_late = is_late
        self._width = width
        self._queue: deque[Call] = deque()
        self._pending: list[Answer] = []
        self._kept: asyncio.Future[None] | None = None
        self._in_flight = 0
        self._turns = 0  # of the event loop, as far as calls have seen
        self._awaits_turn = False

    async def make(self, calls: Sequence[Call]) -> None:
        """Make all calls, or as many as there is time for; raises the first error of a call."""
        import asyncio

        self._queue.extend(calls)
        workers: list[asyncio.Task[None]] = []
        try:
            while self._queue and len(workers) < self._width:
                workers.append(asyncio.create_task(self._work()))
                await asyncio.sleep(0)
                while self._kept is not None:  # it has answers already: perhaps it needs nobody else
                    await self._kept
            ended, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers, timeout=GRACE_SECONDS)
        for worker in workers:
            if worker in ended:
                worker.result()
        self.keep_pending()

    def keep_pending(self) -> None:
        """Keep what was answered and is not kept yet."""
        answers = self._pending.copy()
        if answers:
            self._keep(answers)
        del self._pending[: len(answers)]  # only now: Ctrl-C in between must lose nothing

    async def _work(self) -> None:
        while self._queue:
            await self._make(self._queue.popleft())

    async def _make(self, call: Call) -> None:
        while self._in_flight + len(self._pending) >= self._width:
            await self._until_kept()
        if self._is_late():
            self._queue.clear()
            return
        self._in_flight += 1
        before = self._turn()
        try:
            answer = await self._answer(call)
        except BaseException:  # the end of all calls: begin no more, and count this one among those at risk
            self._queue.clear()
            raise
        self._in_flight -= 1
        self._pending.append(answer)
        if self._turns > before or self._follow:
            await self._until_kept()
        for following in self._follow(call) if self._follow else ():
            await self._make(following)

    def _turn(self) -> int:
        """Give how many turns the event loop has made; an answer within the same turn has come at once."""
        import asyncio

        if not self._awaits_turn:
            self._awaits_turn = True
            asyncio.get_running_loop().call_soon(self._turned)
        return self._turns

    def _turned(self) -> None:
        self._turns += 1
        self._awaits_turn = False

    async def _until_kept(self) -> None:
        import asyncio

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
