"""Workers that take turns at the calls of one ask; each answer is kept before it is used."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from runbookopt.agents.protocol import Awaited, OpenAsk
from runbookopt.engine.calls import Call
from runbookopt.engine.event_loop import GRACE_SECONDS
from runbookopt.engine.journal import Answer

_LAST_SECONDS = 60.0  # for the calls in flight when one of them ended the run


class WorkerPool:
    """The calls of one ask; no more than `width` answers are ever in flight or not yet on disk.

    What follows from an answer comes before the other calls. Answers that come in together are
    kept together: those of one turn of the event loop, and up to `width` of an agent that answers at once,
    which costs neither a task nor a transaction of its own. A call whose answer is awaited by hand-off is
    among the `awaited` afterwards, and holds up no other.
    """

    def __init__(
        self,
        answer: Callable[[Call], Awaitable[Answer]],
        keep: Callable[[Sequence[Answer]], None],
        *,
        follow: Callable[[Call], Sequence[Call]] | None,
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
        self._in_flight = 0
        self._over = False
        self.awaited: list[OpenAsk] = []

    async def make(self, calls: Sequence[Call]) -> None:
        """Make all calls, or as many as there is time for; raises the first error of a call."""
        import asyncio

        self._queue.extend(calls)
        workers: list[asyncio.Task[None]] = []
        try:
            while self._queue and len(workers) < self._width:
                workers.append(asyncio.create_task(self._work()))
                await asyncio.sleep(0)
                while self._pending:  # it has answers already: perhaps it needs nobody else
                    self.keep_pending()
                    await asyncio.sleep(0)
            ended, others = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            if others:  # one call ended all: what is in flight is paid for, perhaps
                await asyncio.wait(others, timeout=_LAST_SECONDS)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers, timeout=GRACE_SECONDS)
        errors = {
            worker: worker.exception() for worker in workers if worker.done() and not worker.cancelled()
        }
        for worker in workers:
            if worker in ended and (error := errors[worker]) is not None:
                raise error
        self.keep_pending()

    def keep_pending(self) -> None:
        """Keep what was answered and is not kept yet."""
        answers = self._pending.copy()
        if answers:
            self._keep(answers)
        del self._pending[: len(answers)]  # only now: Ctrl-C in between must lose nothing

    async def _work(self) -> None:
        while self._queue and not self._over:
            if self._in_flight + len(self._pending) >= self._width:
                await self._keep_together()
            elif self._is_late():
                self._queue.clear()
            else:
                await self._make(self._queue.popleft())

    async def _make(self, call: Call) -> None:
        self._in_flight += 1
        try:
            answer = await self._answer(call)
        except Awaited as awaited:
            self._in_flight -= 1
            self.awaited.append(awaited.ask)
            return
        except BaseException:  # the end of all calls: begin no more, and count this one among those at risk
            self._over = True
            raise
        self._in_flight -= 1
        self._pending.append(answer)
        if self._follow:
            await self._keep_together()
            self._queue.extendleft(reversed(self._follow(call)))
        elif not self._queue:
            await self._keep_together()

    async def _keep_together(self) -> None:
        """Keep what is answered within this turn of the event loop: the first to wake keeps it for all."""
        import asyncio

        await asyncio.sleep(0)
        self.keep_pending()
