"""Proposals of a wave: a member's failures are reflected on, and what may not be tried is remembered."""

from collections.abc import Mapping

from runbookopt.search.asking import Asking, asked
from runbookopt.search.asks import Ask, ReflectionFailure, Stored
from runbookopt.search.drafts import Trial
from runbookopt.search.ending import Ended
from runbookopt.search.minibatches import minibatches
from runbookopt.search.reflecting.reflection import objection, reflections
from runbookopt.search.state import SearchState


def proposed(state: SearchState, parent: int, stored: Mapping[str, Stored]) -> Asking[list[Trial]]:
    """Reflect on a member's failures; what may not be tried is remembered as rejected, at no rollout.

    Where the member was not tried on a task, its `stored` attempt by others counts as its own here. Raises
    Ended where nothing fails.
    """
    candidate = state.pool.members[parent].candidate
    runbook, own = state.runbook(candidate), state.attempts(candidate, state.problem.train)
    known = {**{task: each.attempt for task, each in stored.items()}, **own}
    attempts = {task: known[task] for task in state.problem.train if task in known}
    batches = minibatches(state.problem, attempts, state.blame[parent], state.rng)
    if stored and not own:
        batches = batches[: state.options.stored]
    if not batches:
        raise _nothing_fails(state, parent)
    asks = reflections(state, runbook, attempts, batches, state.lately(parent), stored)
    reply = yield from asked(Ask(reflections=asks, so_far=state.so_far))
    trials: list[Trial] = []
    for batch, ask, answer in zip(batches, asks, reply.reflections, strict=True):
        if isinstance(answer, ReflectionFailure):
            state.fail(answer)
            continue
        state.failures_in_a_row = 0
        for edit in answer.edits:
            trial, why = Trial(edit, ask, batch), objection(state, runbook, edit)
            if why is None:
                trials.append(trial)
            else:
                state.remember(parent, trial.tried(f"rejected without a rollout: {why}"))
            state.proposed.add((edit.component, edit.text))
    return trials


def _nothing_fails(state: SearchState, parent: int) -> Ended:
    failing = sum(attempt.failed for attempt in state.pool.members[parent].validation.values())
    if failing:
        more = f"{failing} validation tasks fail: more train tasks are needed"
        return Ended("learnt", f"every train task passes, and {more}")
    return Ended("solved", "every task is solved")
