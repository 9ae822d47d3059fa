"""Event loop that Ctrl-C ends within a moment, whatever runs on it."""

import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self, TypeVar

T = TypeVar("T")

GRACE_SECONDS = 0.5  # for calls to clean up when they are cancelled
_BLOCKED_SECONDS = 0.6  # after Ctrl-C: whoever blocks the event loop for so long is interrupted


class EventLoop:
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
        self._ending = False
        thread = threading.get_ident()
        self._insist = threading.Timer(_BLOCKED_SECONDS, lambda: signal.pthread_kill(thread, signal.SIGINT))
        self._insist.daemon = True
        main = threading.current_thread() is threading.main_thread()
        self._heeds = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def __enter__(self) -> Self:
        def cancel() -> None:
            if self._task is not None:
                self._task.cancel()

        def heed(*_: object) -> None:
            self.check()  # the second time
            self._ending = True
            self._loop.call_soon_threadsafe(cancel)
            self._insist.start()

        if self._heeds:
            signal.signal(signal.SIGINT, heed)
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
                self._loop.run_until_complete(asyncio.wait(left, timeout=GRACE_SECONDS))
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
        if self._ending:
            raise KeyboardInterrupt


class _DaemonThreads(ThreadPoolExecutor):
    """A thread for each `asyncio.to_thread`, and none that keeps the process alive after Ctrl-C."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:  # noqa: ANN401
        future: Future[T] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:  # noqa: BLE001 - raised where the call is awaited
                    future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future
