"""How many calls to one model may be in flight: one more for each round that goes well, half at a refusal."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class Concurrency:
    """Adapts as TCP does: additive increase, multiplicative decrease, between one call and `most`.

    It begins at `most`. It may be used from several event loops in turn, never from two at once: what an
    earlier loop left in flight when it was closed counts no more.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = float(most)
        self._halvings = 0
        self._lane: _Lane | None = None

    @asynccontextmanager
    async def slot(self) -> AsyncIterator["Slot"]:
        """Wait for a place among the calls in flight, and keep it for as long as the block runs."""
        import asyncio

        lane = self._lane_of(asyncio.get_running_loop())
        await self._enter(lane)
        try:
            yield Slot(self, self._halvings)
        finally:
            self._leave(lane)

    def grow(self) -> None:
        """Count a call that went well: as many as are in flight make it one wider."""
        self.now = min(self.most, self.now + 1 / self.now)

    def halve(self, halvings: int) -> None:
        """Halve, unless that was done since the call began: calls refused together are one refusal."""
        if halvings == self._halvings:
            self._halvings += 1
            self.now = max(1.0, self.now / 2)

    def _lane_of(self, loop: "asyncio.AbstractEventLoop") -> "_Lane":
        if self._lane is None or self._lane.loop is not loop:
            self._lane = _Lane(loop)
        return self._lane

    async def _enter(self, lane: "_Lane") -> None:
        if not lane.waiting and lane.in_flight < int(self.now):
            lane.in_flight += 1
            return
        turn: asyncio.Future[None] = lane.loop.create_future()
        lane.waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # its place was given to it, and it does not come
                self._leave(lane)
            raise

    def _leave(self, lane: "_Lane") -> None:
        lane.in_flight -= 1
        while lane.waiting and lane.in_flight < int(self.now):
            turn = lane.waiting.popleft()
            if not turn.done():
                lane.in_flight += 1
                turn.set_result(None)


class Slot:
    """A place among the calls in flight: how its call went moves the width."""

    def __init__(self, width: Concurrency, halvings: int) -> None:
        self._width = width
        self._halvings = halvings

    def went_well(self) -> None:
        """Say that the call was answered."""
        self._width.grow()

    def was_refused(self) -> None:
        """Say that the server wants fewer calls."""
        self._width.halve(self._halvings)


class _Lane:
    """What is in flight and what waits, in one event loop."""

    def __init__(self, loop: "asyncio.AbstractEventLoop") -> None:
        self.loop = loop
        self.in_flight = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
