"""The search: reflective evolution of a runbook (GEPA, arXiv 2507.19457) as a generator of asks."""

from collections.abc import Generator, Iterable, Mapping
from typing import TypeVar

from msgspec import Struct

from runbookopt.search.asks import Ask, Attempt, Candidate, ReflectionFailure, Reply, Stored, Tried
from runbookopt.search.edits import Draft, Trial, crossed
from runbookopt.search.ending import Cause, Ended, stopped
from runbookopt.search.minibatches import minibatches
from runbookopt.search.pool import Member
from runbookopt.search.problem import Problem
from runbookopt.search.reflection import objection, reflections
from runbookopt.search.selection import Selection, choose
from runbookopt.search.state import SearchState

VERSION = 7  # part of a run's id: another version of the search takes another path

T = TypeVar("T")
Asking = Generator[Ask, Reply, T]


class SearchResult(Struct, frozen=True):
    """All that entered the pool (nothing, where not even the seed was scored), and all that was tried.

    `chosen` is the number of the member to return, `expected` its mean validation score less what is luck;
    `ended` says in words why it went no further, and `cause` by which of all causes;
    `attempts` are all that were made, by the digest of the candidate and the task's id.
    """

    pool: tuple[Member, ...]
    chosen: int
    expected: float
    tried: tuple[Tried, ...]
    ended: str
    attempts: Mapping[str, Mapping[str, Attempt]] = {}
    cause: Cause = "barren"


def search(problem: Problem) -> Asking[SearchResult]:
    """Ask for rollouts and reflections until nothing better is likely, and return what was found."""
    state = SearchState(problem)
    wave = barren = 0
    cause: Cause = "barren"
    try:
        yield from _validate(state, Draft(0, state.seed), wave)
        while barren < problem.options.patience and state.broken is None:
            wave += 1
            parent = state.pool.best
            stored = state.to_read() if wave == 1 else {}
            if not stored:
                yield from _roll(state, state.pool.members[parent].candidate, problem.train)
            trials = yield from _reflect(state, parent, stored)
            draft = crossed(state, parent, trials)  # untried: to validate it costs less than to try each edit
            improved = yield from _validate(state, draft, wave)
            barren = 0 if improved else barren + (not stored)  # what others did wrong, today's may do right
        ended = f"{barren} waves without a better frontier"
        if state.broken is not None:
            last = f"the last one, {state.broken.kind}: {state.broken.message}"
            ended, cause = f"{problem.options.max_failures} reflections failed in a row; {last}", "unfit"
    except Ended as end:
        ended, cause = end.words, end.cause
    members = state.pool.members
    choice = choose(members, doubt=state.options.doubt) if members else Selection(0, 0.0)
    return SearchResult(
        tuple(members), choice.number, choice.expected, state.tried, ended, state.attempts_by_digest, cause
    )


def _reflect(state: SearchState, parent: int, stored: Mapping[str, Stored]) -> Asking[list[Trial]]:
    """Reflect on a member's failures; what may not be tried is remembered as rejected, at no rollout.

    Where the member was not tried on a task, its `stored` attempt by others counts as its own here.
    """
    candidate = state.pool.members[parent].candidate
    runbook, own = state.runbook(candidate), state.attempts(candidate, state.problem.train)
    known = {**{task: each.attempt for task, each in stored.items()}, **own}
    attempts = {task: known[task] for task in state.problem.train if task in known}
    most = state.options.stored if stored else None
    batches = minibatches(state.problem, attempts, state.rng)[:most]
    if not batches:
        failing = sum(attempt.failed for attempt in state.pool.members[parent].validation.values())
        if failing:
            more = f"{failing} validation tasks fail: more train tasks are needed"
            raise Ended("learnt", f"every train task passes, and {more}")
        raise Ended("solved", "every task is solved")
    lineage = state.lately(parent)
    asks = reflections(state, runbook, attempts, batches, lineage, stored)
    reply = yield from _ask(Ask(reflections=asks, so_far=state.so_far))
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


def _validate(state: SearchState, draft: Draft, wave: int) -> Asking[bool]:
    """Score a draft on all of validation and add it to the pool; tell whether the frontier moved.

    Where an attempt has no score, nothing is known of it: the seed's tasks are those that it has a score on,
    and on each of them a draft without one is taken to do as its parent does.
    """
    pool, validation = state.pool, state.problem.validation
    known = pool.members[draft.parent].validation if pool.members else {}
    validation = tuple(known) or validation
    if draft.candidate in pool:
        _remember(state, draft, "dropped: it came out as a candidate that was tried before")
        return False
    yield from _roll(state, draft.candidate, validation)
    scores = {**known, **state.attempts(draft.candidate, validation)}
    parents = (draft.parent,) if pool.members else ()
    edits = tuple(trial.edit for trial in draft.trials)
    improved = pool.enter(Member(draft.candidate, parents, wave, scores, edits))
    _remember(state, draft, "kept: new best somewhere on validation" if improved else "kept: no better")
    return improved


def _remember(state: SearchState, draft: Draft, outcome: str) -> None:
    for trial in draft.trials:
        state.remember(draft.parent, trial.tried(outcome))


def _roll(state: SearchState, candidate: Candidate, tasks: Iterable[str]) -> Asking[None]:
    rollouts = state.missing(candidate, tasks)
    if rollouts:
        reply = yield from _ask(Ask(rollouts=rollouts, so_far=state.so_far))
        for rollout, attempt in zip(rollouts, reply.rollouts, strict=True):
            if isinstance(attempt, Attempt):
                state.learn(rollout, attempt)


def _ask(ask: Ask) -> Asking[Reply]:
    reply = yield ask
    if reply.stopped:
        raise Ended(stopped(reply.stopped), reply.stopped)
    return reply
