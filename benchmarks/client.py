"""What our client adds to a call through litellm, and how much of its width it keeps in flight.

Both are asked of a server on loopback, a process of its own (tests/openai_server.py). The cost is this
process's own time, ours and bare litellm's in turn within one run, so that a busy machine is busy for both.
"""

import argparse
import asyncio  # noqa: TID253 - a benchmark is in no hurry to start
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from runbookopt.agents.model.client import Model, begin_import
from runbookopt.documents.settings import ModelSettings
from runbookopt.documents.usage import Message

SERVER = Path(__file__).parents[1] / "tests" / "openai_server.py"
MODEL = "openai/gpt-5-mini"
RUNBOOK = "Answer kindly, name the queue, and promise nothing. " * 60
TASK = "My parcel of {number} has not come, and the card was charged twice. " * 6
TOGETHER = 8  # calls in flight while the cost is measured
BLOCK = 40  # calls between changing over
MOST_COST = 1.2  # of bare litellm's
LEAST_SHARE = 0.8  # of the width

Call = Callable[[int], Awaitable[object]]


class Cost(Struct, frozen=True):
    """Milliseconds of this process for one call."""

    bare: float
    ours: float
    ratio: float


class InFlight(Struct, frozen=True):
    """What a server saw of `calls` calls, on average over the whole run; `share` is of the width."""

    calls: int
    width: int
    latency: float
    mean: float
    most: int
    share: float
    seconds: float


class Measured(Struct, frozen=True):
    """Both measures, and how busy the machine was: the mean length of its queue in the last minute."""

    cost: Cost
    ours: InFlight
    bare: InFlight
    load: float
    cores: int | None


class Busy:
    """What the server says when it ends."""

    mean = 0.0
    most = 0


@contextmanager
def serving(latency: float) -> Iterator[tuple[str, Busy]]:
    """Run the server, and give its address; how busy it was is known when the block ends."""
    busy = Busy()
    command = [sys.executable, str(SERVER), "--latency", str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        if server.stdin is None or server.stdout is None:
            raise RuntimeError("no pipes")
        yield server.stdout.readline().strip(), busy
        server.stdin.close()
        told = json.loads(server.stdout.read())
        busy.mean, busy.most = told["mean"], told["most"]


def ours(url: str, width: int) -> Call:
    """Give a call as our agents make it."""
    model = Model(ModelSettings(MODEL, api_base=url), width=width, environ={"OPENAI_API_KEY": "none needed"})
    return lambda number: model.complete(
        [Message("system", RUNBOOK), Message("user", TASK.format(number=number))]
    )


def bare(url: str) -> Call:
    """Give the same call as litellm's documentation makes it."""
    import litellm

    def call(number: int) -> Awaitable[Any]:
        messages = [
            {"role": "system", "content": RUNBOOK},
            {"role": "user", "content": TASK.format(number=number)},
        ]
        answer: Awaitable[Any] = litellm.acompletion(
            model=MODEL, messages=messages, api_base=url, api_key="none needed", num_retries=0, max_retries=0
        )
        return answer

    return call


async def at_once(call: Call, calls: int, width: int) -> None:
    """Make calls, at most `width` in flight."""
    numbers = iter(range(calls))

    async def work() -> None:
        for number in numbers:
            await call(number)

    await asyncio.gather(*(work() for _ in range(width)))


def cost(blocks: int) -> Cost:
    """Measure what a call costs this process, in blocks of each client in turn."""
    with serving(0.0) as (url, _):
        clients = {"ours": ours(url, TOGETHER), "bare": bare(url)}
        spent: dict[str, list[float]] = {name: [] for name in clients}

        async def measure() -> None:
            for call in clients.values():
                await at_once(call, TOGETHER, TOGETHER)  # imports, connections
            for _ in range(blocks):
                for name, call in clients.items():
                    began = time.process_time()
                    await at_once(call, BLOCK, TOGETHER)
                    spent[name].append((time.process_time() - began) / BLOCK * 1e3)

        asyncio.run(measure())
    ratio = statistics.median(one / other for one, other in zip(spent["ours"], spent["bare"], strict=True))
    return Cost(statistics.median(spent["bare"]), statistics.median(spent["ours"]), ratio)


def in_flight(client: Callable[[str], Call], calls: int, width: int, latency: float) -> InFlight:
    """Measure how many calls the server sees at once."""
    with serving(latency) as (url, busy):
        call = client(url)
        began = time.monotonic()
        asyncio.run(at_once(call, calls, width))
        seconds = time.monotonic() - began
    return InFlight(calls, width, latency, busy.mean, busy.most, busy.mean / width, seconds)


def measured(blocks: int, calls: int, width: int, latency: float) -> Measured:
    """Take both measures."""
    begin_import().join()  # as quietly as in our commands, for both
    return Measured(
        cost(blocks),
        in_flight(lambda url: ours(url, width), calls, width, latency),
        in_flight(bare, calls, width, latency),
        os.getloadavg()[0],
        os.cpu_count(),
    )


def main() -> None:
    """Measure, and print it with what we hold ourselves to."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--blocks", type=int, default=10, help=f"of {BLOCK} calls by each client")
    words.add_argument("--calls", type=int, default=640, help="of one ask")
    words.add_argument("--width", type=int, default=64)
    words.add_argument("--latency", type=float, default=0.2, help="seconds of each answer")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    told = words.parse_args()
    found = measured(told.blocks, told.calls, told.width, told.latency)
    if told.json:
        print(json.dumps(msgspec.to_builtins(found), indent=2))
        return
    each = found.cost
    print(f"this process's time for a call: bare litellm {each.bare:.2f} ms, ours {each.ours:.2f} ms")
    print(f"  at most {MOST_COST} of bare litellm's: {_yes(each.ratio <= MOST_COST)} ({each.ratio:.2f})")
    for name, seen in (("ours", found.ours), ("bare litellm", found.bare)):
        print(f"in flight, {name}: {seen.mean:.1f} of {seen.width} ({seen.share:.0%}), {seen.seconds:.1f} s")
    print(f"  at least {LEAST_SHARE:.0%} of the width: {_yes(found.ours.share >= LEAST_SHARE)}")
    print(f"load of the machine {found.load:.1f}, with {found.cores} cores")


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"


if __name__ == "__main__":
    main()
