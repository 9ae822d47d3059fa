"""Time that passes only while everybody waits: tests of how long things take read no clock and wait for none.

passed = virtual_time(monkeypatch)
...                                  # whatever runs event loops
passed.seconds                       # that they have waited, one after the other
"""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any

import pytest


class Passed:
    """How much time has passed."""

    seconds = 0.0


class _Selector(selectors.SelectSelector):
    """Lets the time pass, at once, that an event loop would sleep."""

    def __init__(self, passed: Passed) -> None:
        super().__init__()
        self._passed = passed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout if timeout is None else 0)
        if not ready and timeout is not None:
            self._passed.seconds += max(timeout, 0.0)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, passed: Passed) -> None:
        self._passed = passed
        super().__init__(_Selector(passed))

    def time(self) -> float:
        return self._passed.seconds

    def default_exception_handler(self, context: Mapping[str, Any]) -> None:
        raise AssertionError(context)


def virtual_time(monkeypatch: pytest.MonkeyPatch) -> Passed:
    """Give all event loops of the test one clock, which begins at zero."""
    passed = Passed()
    monkeypatch.setattr(asyncio, "new_event_loop", lambda: _Loop(passed))
    return passed
