"""Concurrency of calls to one model: one more for each round that goes well, half at a refusal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from anyio import CapacityLimiter


class Concurrency:
    """Adapts as TCP does: additive increase, multiplicative decrease, between one call and `most`.

    It begins at `most`. It may be used from several event loops in turn, never from two at once: what an
    earlier loop left in flight when it was closed counts no more.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = float(most)
        self._halvings = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._limiter: CapacityLimiter

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[int]:
        """Wait for a place among the calls in flight, and keep it; gives how often it halved so far."""
        import asyncio

        from anyio import CapacityLimiter  # noqa: PLC0415 - no other command needs it

        if self._loop is not (loop := asyncio.get_running_loop()):
            self._loop, self._limiter = loop, CapacityLimiter(int(self.now))
        async with self._limiter:  # first come, first served
            yield self._halvings

    def grow(self) -> None:
        """Count a call that went well: as many as are in flight make it one wider."""
        self._resize(min(self.most, self.now + 1 / self.now))

    def halve(self, halvings: int) -> None:
        """Halve, unless that was done since the call began: calls refused together are one refusal."""
        if halvings == self._halvings:
            self._halvings += 1
            self._resize(max(1.0, self.now / 2))

    def _resize(self, now: float) -> None:
        self.now = now
        self._limiter.total_tokens = int(now)
