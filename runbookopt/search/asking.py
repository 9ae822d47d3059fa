"""What the steps of a search ask for, and how a driver that answers nothing more ends them."""

from collections.abc import Generator, Iterable
from typing import TypeVar

from runbookopt.search.asks import Ask, Attempt, Candidate, Reply
from runbookopt.search.ending import Ended, stopped
from runbookopt.search.state import SearchState

T = TypeVar("T")
Asking = Generator[Ask, Reply, T]


def roll(state: SearchState, candidate: Candidate, tasks: Iterable[str]) -> Asking[None]:
    """Have a candidate tried on tasks, as far as it was not yet."""
    yield from roll_each(state, [(candidate, tasks)])


def roll_each(state: SearchState, wanted: Iterable[tuple[Candidate, Iterable[str]]]) -> Asking[None]:
    """Have several candidates tried, each on tasks of its own, all in one ask."""
    missing = [rollout for candidate, tasks in wanted for rollout in state.missing(candidate, tasks)]
    rollouts = tuple({(one.candidate.digest, one.task): one for one in missing}.values())
    if rollouts:
        reply = yield from asked(Ask(rollouts=rollouts, so_far=state.so_far))
        for rollout, attempt in zip(rollouts, reply.rollouts, strict=True):
            if isinstance(attempt, Attempt):
                state.learn(rollout, attempt)


def asked(ask: Ask) -> Asking[Reply]:
    """Ask; raises Ended where the driver answers nothing more."""
    reply = yield ask
    if reply.stopped:
        raise Ended(stopped(reply.stopped), reply.stopped)
    return reply
