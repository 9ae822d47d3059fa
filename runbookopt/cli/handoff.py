"""Hand-off: what is said while replies are awaited, and waiting for them."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from runbookopt.cli.terminal import complain
from runbookopt.errors import Awaiting

if TYPE_CHECKING:
    from runbookopt.agents.protocol import OpenAsk, OpenAsks

T = TypeVar("T")

_LOOKED_AT_EVERY = 0.2  # seconds

_IN_CI = (
    "; this is a CI, where nobody answers unless a step of the same job does: for runs by night set"
    " reflector.kind to model, with a key"
)


def waited(name: str, work: Callable[[], T], handoff: "OpenAsks | None", minutes: float) -> T:
    """What `work` comes to, begun again each time that all replies it awaits are there.

    Raises Awaiting where those of one wave are not there after so many minutes.
    """
    while True:
        try:
            return work()
        except Awaiting as awaiting:
            if handoff is None or not minutes:
                raise
            complain(f"{told_of(name, awaiting)}; or wait: it goes on by itself")
            _await(name, handoff, time.monotonic() + 60 * minutes)
            awaiting.asks = handoff.awaited()
            if awaiting.asks:
                raise


def told_of(name: str, awaiting: Awaiting) -> str:
    """What is the matter with files that are there, a line each, then the one line of what to do."""
    return "\n".join([*_problems(name, awaiting), f"{name}: {what_to_do(awaiting)}"])


def what_to_do(awaiting: Awaiting) -> str:
    """The one line of what to do, which is told in JSON too."""
    asks = awaiting.asks
    folder, count = PurePosixPath(asks[0].ask).parent, len(asks)
    more = " more" if awaiting.read else ""
    counted = f"one{more} reply is" if count == 1 else f"{count}{more} replies are"
    if awaiting.read:
        counted = (
            f"{awaiting.read} {'reply was' if awaiting.read == 1 else 'replies were'} read, and {counted}"
        )
    which = f"the ask {asks[0].ask}" if count == 1 else f"the {count} asks in {folder}"
    says = "it says" if count == 1 else "each says"
    in_ci = _IN_CI if os.environ.get("CI") or os.environ.get("GITHUB_ACTIONS") else ""
    return f"{counted} awaited: answer {which} ({says} how and where), then run the same command again{in_ci}"


def as_json(awaiting: Awaiting) -> dict[str, Any]:
    """What `--json` tells of it beside the keys of any other run."""
    return {"asks": awaiting.asks, "problems": list(awaiting.notes), "next": what_to_do(awaiting)}


def _await(name: str, handoff: "OpenAsks", until: float) -> None:
    """Wait until all replies are there or time is up; what is wrong with one is told once."""
    said = {*_of_asks(name, handoff.awaited())}
    while (left := handoff.awaited()) and time.monotonic() < until:
        for line in _of_asks(name, left):
            if line not in said and "is not finished" not in line:  # somebody may just write it
                said.add(line)
                complain(line)
        time.sleep(_LOOKED_AT_EVERY)


def _problems(name: str, awaiting: Awaiting) -> Iterator[str]:
    yield from (f"{name}: {note}" for note in awaiting.notes)
    yield from _of_asks(name, awaiting.asks)


def _of_asks(name: str, asks: "tuple[OpenAsk, ...]") -> Iterator[str]:
    yield from (f"{name}: {each.reply} {each.problem}" for each in asks if each.problem)
