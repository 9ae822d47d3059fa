"""What every step of the search asks for: rollouts and reflections, as far as they are not known."""

from collections.abc import Generator, Iterable
from typing import TypeVar

from runbookopt.search.asks import (
    Ask,
    Attempt,
    Candidate,
    Proposal,
    Reflection,
    ReflectionFailure,
    Reply,
)
from runbookopt.search.state import SearchState

T = TypeVar("T")
Asking = Generator[Ask, Reply, T]


class Ended(Exception):
    """The search goes no further; its argument says why."""


def roll(state: SearchState, candidate: Candidate, tasks: Iterable[str]) -> Asking[None]:
    """Have a candidate tried on tasks, as far as it was not yet."""
    yield from roll_each(state, [(candidate, tasks)])


def roll_each(state: SearchState, wanted: Iterable[tuple[Candidate, Iterable[str]]]) -> Asking[None]:
    """Have several candidates tried, each on tasks of its own, in one ask."""
    rollouts = [rollout for each, tasks in wanted for rollout in state.missing(each, tasks)]
    once = tuple({(one.candidate.digest, one.task): one for one in rollouts}.values())
    if once:
        reply = yield from ask(Ask(rollouts=once, so_far=state.so_far))
        for rollout, attempt in zip(once, reply.rollouts, strict=True):
            if isinstance(attempt, Attempt):
                state.learn(rollout, attempt)


def reflect(
    state: SearchState, asks: tuple[Reflection, ...]
) -> Asking[tuple[Proposal | ReflectionFailure, ...]]:
    """Have reflections made, all in one ask."""
    reply = yield from ask(Ask(reflections=asks, so_far=state.so_far))
    return reply.reflections


def ask(asked: Ask) -> Asking[Reply]:
    """Ask; raises Ended where the driver answers nothing more."""
    reply = yield asked
    if reply.stopped:
        raise Ended(reply.stopped)
    return reply
