"""The pair behind HTTP on loopback: a server in its own process that answers after a while, and clients."""

import hashlib
import math
import multiprocessing
import socket
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from benchmarks.work import Work, answer_of
from runbookopt.agents.protocol import Agent, Produced, Reflected, Reflector
from runbookopt.documents.digest import canonical, digest_of
from runbookopt.search.asks import Proposal, Reflection, ReflectionFailure

if TYPE_CHECKING:
    import asyncio

ROLLOUT, REFLECT, COUNTS = "/rollout", "/reflect", "/counts"

SPREAD = 0.5
"""Of the logarithm of a heavy-tailed delay, about its median."""

SLOW_ONE_IN, SLOW_TIMES = 20, 10
"""So many calls with heavy tails take so much longer still."""

_NORMAL = statistics.NormalDist()
_END = b"\r\n\r\n"


class Delays(Struct, frozen=True):
    """How long the server takes: medians in seconds, `heavy` or always the same.

    A delay is a function of the random seed and of what is asked: every engine meets the same.
    """

    rollout: float
    reflection: float
    heavy: bool = False
    random_seed: int = 0

    def seconds(self, path: str, body: bytes) -> float:
        """Give how long this call takes."""
        median = self.rollout if path == ROLLOUT else self.reflection
        if not self.heavy:
            return median
        drawn = hashlib.sha256(f"{self.random_seed} {path} ".encode() + body).digest()
        likely = (int.from_bytes(drawn[:8], "big") + 0.5) / 2**64
        slow = int.from_bytes(drawn[8:16], "big") % SLOW_ONE_IN == 0
        return median * math.exp(SPREAD * _NORMAL.inv_cdf(likely)) * (SLOW_TIMES if slow else 1)


class Counts(Struct):
    """When each call came, and seconds: of all calls together on their way, and of the server's own work.

    Moments are those of `time.monotonic`, which asyncio's loops go by and all processes of a machine share.
    """

    rollouts: list[float] = []
    reflections: list[float] = []
    in_flight: float = 0.0
    cpu: float = 0.0

    def since(self, before: "Counts") -> "Counts":
        """Give what came after `before`."""
        return Counts(
            self.rollouts[len(before.rollouts) :],
            self.reflections[len(before.reflections) :],
            self.in_flight - before.in_flight,
            self.cpu - before.cpu,
        )


class _Wanted(Struct, frozen=True):
    text: str
    input: Any
    repeat: str


class _Reflected(Struct, frozen=True):
    proposal: Proposal | None = None
    failure: ReflectionFailure | None = None


@contextmanager
def serving(make: Callable[[], Work], delays: Delays) -> Iterator[int]:
    """Serve the pair of the work that `make` makes, and give the port; `make` is called in the child."""
    mine, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_serve, args=(make, delays, theirs), daemon=True)
    child.start()
    theirs.close()
    with mine:
        yield mine.recv()
    child.join()  # it ends where its end of the pipe does


def _serve(make: Callable[[], Work], delays: Delays, pipe: Connection) -> None:
    import asyncio

    loop = asyncio.new_event_loop()
    server = _Server(make(), delays, loop)
    listening = loop.run_until_complete(
        loop.create_server(partial(_Link, server), "127.0.0.1", 0, backlog=256)  # type: ignore[arg-type]
    )
    pipe.send(listening.sockets[0].getsockname()[1])
    loop.add_reader(pipe.fileno(), loop.stop)
    loop.run_forever()
    loop.remove_reader(pipe.fileno())
    listening.close()
    for _ in range(2):  # connections that the clients have closed go now
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()


class _Server:
    def __init__(self, work: Work, delays: Delays, loop: "asyncio.AbstractEventLoop") -> None:
        self._work = work
        self._delays = delays
        self._loop = loop
        self._counts = Counts()
        self._waiting: deque[tuple[str, bytes, asyncio.Transport, float]] = deque()

    def heed(self, path: str, body: bytes, transport: "asyncio.Transport") -> None:
        """Note when a call came; its answer is worked out while it would be on its way, one at a time."""
        if path == COUNTS:
            self._counts.cpu = time.process_time()
            transport.write(_message("HTTP/1.1 200 OK", canonical(self._counts)))
            return
        came = self._loop.time()
        (self._counts.rollouts if path == ROLLOUT else self._counts.reflections).append(came)
        self._waiting.append((path, body, transport, came))
        if len(self._waiting) == 1:
            self._loop.call_soon(self._work_out)

    def _work_out(self) -> None:
        path, body, transport, came = self._waiting[0]
        said = self._rolled(body) if path == ROLLOUT else self._reflected(body)
        due = came + self._delays.seconds(path, body)
        self._loop.call_at(due, self._send, transport, _message("HTTP/1.1 200 OK", said), came)
        self._waiting.popleft()
        if self._waiting:
            self._loop.call_soon(self._work_out)

    def _send(self, transport: "asyncio.Transport", reply: bytes, came: float) -> None:
        self._counts.in_flight += self._loop.time() - came
        transport.write(reply)

    def _rolled(self, body: bytes) -> bytes:
        wanted = msgspec.json.decode(body, type=_Wanted)
        return canonical(answer_of(self._work.agent.rollout(wanted.text, wanted.input, wanted.repeat)))

    def _reflected(self, body: bytes) -> bytes:
        said = answer_of(self._work.reflector.reflect(msgspec.json.decode(body, type=Reflection))).said
        if isinstance(said, ReflectionFailure):
            return canonical(_Reflected(failure=said))
        return canonical(_Reflected(proposal=said))


class _Link:
    """One connection, as asyncio's protocols are: one call at a time."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._heard = b""

    def connection_made(self, transport: "asyncio.Transport") -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if (whole := _whole(self._heard)) is not None:
            self._heard = b""
            head, body = whole
            self._server.heed(head.split(maxsplit=2)[1], body, self._transport)

    def eof_received(self) -> None:
        pass

    def connection_lost(self, error: Exception | None) -> None:
        pass

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass


class Client:
    """Calls the server over connections that are kept open, from many threads or from one event loop."""

    def __init__(self, port: int, *, blocking: bool) -> None:
        self._port = port
        self._blocking = blocking
        self._open: list[socket.socket] = []
        self._idle: list[socket.socket] = []

    def post(self, path: str, body: bytes) -> bytes:
        """Call and wait, deaf to all else in this thread."""
        link = self._taken()
        link.sendall(_message(f"POST {path} HTTP/1.1", body))
        heard = link.recv(1 << 16)
        while (whole := _whole(heard)) is None:
            heard += link.recv(1 << 16)
        self._idle.append(link)
        return whole[1]

    async def ask(self, path: str, body: bytes) -> bytes:
        """Call and let others go on meanwhile."""
        import asyncio

        loop, link = asyncio.get_running_loop(), self._taken()
        await loop.sock_sendall(link, _message(f"POST {path} HTTP/1.1", body))
        heard = await loop.sock_recv(link, 1 << 16)
        while (whole := _whole(heard)) is None:
            heard += await loop.sock_recv(link, 1 << 16)
        self._idle.append(link)
        return whole[1]

    def close(self) -> None:
        """Close all connections."""
        for link in self._open:
            link.close()

    def _taken(self) -> socket.socket:
        try:
            return self._idle.pop()
        except IndexError:
            link = socket.create_connection(("127.0.0.1", self._port))
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.setblocking(self._blocking)
            self._open.append(link)
            return link


def counts(port: int) -> Counts:
    """Ask the server what it has done so far."""
    client = Client(port, blocking=True)
    told = msgspec.json.decode(client.post(COUNTS, b"{}"), type=Counts)
    client.close()
    return told


def rollout(client: Client, text: str, task_input: object, repeat: str) -> Produced:
    """Attempt a task, blocking."""
    body = canonical(_Wanted(text, task_input, repeat))
    return msgspec.json.decode(client.post(ROLLOUT, body), type=Produced)


def rollout_seconds(delays: Delays, text: str, task_input: object, repeat: str) -> float:
    """Give how long the server takes for an attempt."""
    return delays.seconds(ROLLOUT, canonical(_Wanted(text, task_input, repeat)))


def reflect(client: Client, ask: Reflection) -> Proposal | ReflectionFailure:
    """Reflect, blocking."""
    return _proposed(client.post(REFLECT, canonical(ask)))


class RemoteAgent:
    """The agent behind the server, as our driver calls it."""

    name = "loopback"

    def __init__(self, client: Client, inner: Agent) -> None:
        self._client = client
        self.deterministic = inner.deterministic
        self.key = digest_of(["loopback", inner.key])

    async def rollout(self, runbook: str, task_input: Any, repeat: str) -> Produced:  # noqa: ANN401 - any JSON
        """Attempt the task once."""
        body = canonical(_Wanted(runbook, task_input, repeat))
        return msgspec.json.decode(await self._client.ask(ROLLOUT, body), type=Produced)


class RemoteReflector:
    """The reflector behind the server, as our driver calls it."""

    name = "loopback"

    def __init__(self, client: Client, inner: Reflector) -> None:
        self._client = client
        self.key = digest_of(["loopback", inner.key])

    async def reflect(self, ask: Reflection) -> Reflected:
        """Reflect once."""
        return Reflected(_proposed(await self._client.ask(REFLECT, canonical(ask))))


def _proposed(reply: bytes) -> Proposal | ReflectionFailure:
    told = msgspec.json.decode(reply, type=_Reflected)
    return told.proposal or told.failure or ReflectionFailure("empty", "no answer")


def _message(first: str, body: bytes) -> bytes:
    return f"{first}\r\nHost: loopback\r\nContent-Length: {len(body)}".encode() + _END + body


def _whole(heard: bytes) -> tuple[str, bytes] | None:
    """Give the head and the body of a message, or None while some of it has not come yet."""
    head, end, body = heard.partition(_END)
    if not end or len(body) < int(head.rpartition(b"Content-Length: ")[2]):
        return None
    return head.decode(), body
