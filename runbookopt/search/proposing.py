"""Proposals of a wave: a member's failures are reflected on, and what may not be tried is remembered."""

from collections.abc import Iterator, Mapping, Sequence

from runbookopt.search.asking import Asking, asked
from runbookopt.search.asks import Ask, Attempt, Proposal, Reflection, ReflectionFailure, Stored
from runbookopt.search.drafts import Trial
from runbookopt.search.ending import Learnt
from runbookopt.search.minibatches import Minibatch, minibatches
from runbookopt.search.reflecting.reflection import objection, reflections
from runbookopt.search.state import SearchState


def proposed(state: SearchState, parent: int, stored: Mapping[str, Stored]) -> Asking[list[Trial]]:
    """Reflect on a member's failures; what may not be tried is remembered as rejected, at no rollout.

    Where the member was not tried on a task, its `stored` attempt by others counts as its own here. Raises
    Learnt where nothing fails.
    """
    candidate = state.pool.members[parent].candidate
    own = state.attempts(candidate, state.problem.train)
    known = {**{task: each.attempt for task, each in stored.items()}, **own}
    attempts = {task: known[task] for task in state.problem.train if task in known}
    batches = minibatches(state.problem, attempts, state.blame[parent], state.rng)
    if stored and not own:
        batches = batches[: state.options.stored]
    if not batches:
        raise _nothing_fails(state, parent)
    return (yield from reflected(state, parent, attempts, batches, stored))


def reflected(
    state: SearchState,
    parent: int,
    attempts: Mapping[str, Attempt],
    batches: Sequence[Minibatch],
    stored: Mapping[str, Stored],
) -> Asking[list[Trial]]:
    """Reflect on minibatches of a member's attempts."""
    runbook = state.runbook(state.pool.members[parent].candidate)
    asks = reflections(state, runbook, attempts, batches, state.lately(parent), stored)
    # a reflector that has given no proposal yet may never give one: what that costs is bounded
    first = len(asks) if state.answered else min(len(asks), state.most_failures)
    trials: list[Trial] = []
    said: set[tuple[str, str]] = set()
    for start, stop in ((0, first), (first, len(asks))):
        if start < stop and state.broken is None:
            state.step = "reflection"
            reply = yield from asked(Ask(reflections=asks[start:stop], so_far=state.so_far))
            for batch, ask, answer in zip(batches[start:], asks[start:], reply.reflections, strict=False):
                trials += _trials(state, parent, ask, batch, answer, said)
    return trials


def _trials(
    state: SearchState,
    parent: int,
    ask: Reflection,
    batch: Minibatch,
    answer: Proposal | ReflectionFailure,
    said: set[tuple[str, str]],
) -> Iterator[Trial]:
    """The edits of an answer that may be tried, unless another of the wave has said the same."""
    if isinstance(answer, ReflectionFailure):
        state.fail(answer)
        return
    state.failures_in_a_row, state.answered = 0, True
    runbook = state.runbook(ask.candidate)
    for edit in answer.edits:
        trial, why = Trial(edit, ask, batch), objection(state, runbook, edit, said)
        if why is None:
            yield trial
        else:
            state.remember(parent, trial.tried(f"rejected without a rollout: {why}"))
        said.add((edit.component, edit.text))


def _nothing_fails(state: SearchState, parent: int) -> Learnt:
    failing = sum(attempt.failed for attempt in state.pool.members[parent].validation.values())
    if failing:
        more = f"{failing} validation tasks fail: more train tasks are needed"
        return Learnt("learnt", f"every train task passes, and {more}")
    return Learnt("solved", "every task is solved")
