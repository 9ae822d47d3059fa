"""The search: reflective evolution of a runbook (GEPA, arXiv 2507.19457) as a generator of asks."""

from collections.abc import Generator, Iterable
from typing import TypeVar

from msgspec import Struct

from runbookopt.search.asks import Ask, Candidate, ReflectionFailure, Reply, Tried
from runbookopt.search.edits import Draft, Trial, crossed
from runbookopt.search.minibatches import minibatches
from runbookopt.search.pool import Member
from runbookopt.search.problem import Problem
from runbookopt.search.reflection import objection, reflection
from runbookopt.search.selection import Selection, choose
from runbookopt.search.state import SearchState

VERSION = 6
"""Part of a run's id: another version of the search takes another path."""

T = TypeVar("T")
Asking = Generator[Ask, Reply, T]


class SearchResult(Struct, frozen=True):
    """All that entered the pool, the number of the one to return, all that was tried, and why it ended.

    `expected` is the mean validation score of the one to return, less what of it is luck. The pool is empty
    where the budget did not cover the seed.
    """

    pool: tuple[Member, ...]
    chosen: int
    expected: float
    tried: tuple[Tried, ...]
    ended: str


class _Ended(Exception):
    """The search goes no further; its argument says why."""


def search(problem: Problem) -> Asking[SearchResult]:
    """Ask for rollouts and reflections until nothing better is likely, and return what was found."""
    known = SearchState(problem)
    wave = barren = 0
    try:
        yield from _validate(known, Draft(0, known.seed), wave)
        while barren < problem.options.patience:
            wave += 1
            draft = yield from _evolve(known, known.pool.best)
            improved = yield from _validate(known, draft, wave)
            barren = 0 if improved else barren + 1
            _end_if_broken(known)
        ended = f"{barren} waves without a better frontier"
    except _Ended as end:
        ended = str(end)
    choice = _choice(known)
    return SearchResult(tuple(known.pool.members), choice.number, choice.expected, known.tried, ended)


def _evolve(known: SearchState, parent: int) -> Asking[Draft]:
    """Make a candidate from a member of the pool: reflect on what it fails on train, and cross the edits.

    They go into one text untried: to validate that costs less than to try each of them.
    """
    yield from _roll(known, known.pool.members[parent].candidate, known.problem.train)
    trials = yield from _reflect(known, parent)
    return crossed(known, parent, trials)


def _reflect(known: SearchState, parent: int) -> Asking[list[Trial]]:
    """Reflect on a member's failures; what may not be tried is remembered as rejected, at no rollout."""
    candidate = known.pool.members[parent].candidate
    runbook, attempts = known.runbook(candidate), known.attempts(candidate, known.problem.train)
    batches = minibatches(known.problem, attempts, known.rng)
    if not batches:
        _end_if_solved(known, parent)
        return []
    lineage = known.lately(parent)
    asks = tuple(reflection(known, runbook, attempts, batch, lineage) for batch in batches)
    reply = yield from _ask(Ask(reflections=asks))
    trials: list[Trial] = []
    for batch, ask, answer in zip(batches, asks, reply.reflections, strict=True):
        if isinstance(answer, ReflectionFailure):
            known.fail(answer)
            continue
        known.failures_in_a_row = 0
        trial, why = Trial(answer, ask, batch), objection(known, runbook, answer)
        if why is None:
            trials.append(trial)
        else:
            known.remember(parent, trial.tried(f"rejected without a rollout: {why}"))
        known.proposed.add((answer.component, answer.text))
    return trials


def _validate(known: SearchState, draft: Draft, wave: int) -> Asking[bool]:
    """Score a draft on all of validation and add it to the pool; tell whether the frontier moved."""
    pool, validation = known.pool, known.problem.validation
    if draft.candidate in pool:
        _remember(
            known, draft.parent, draft.trials, "dropped: it came out as a candidate that was tried before"
        )
        return False
    yield from _roll(known, draft.candidate, validation)
    scores = known.attempts(draft.candidate, validation)
    parents = (draft.parent,) if pool.members else ()
    edits = tuple(trial.edit for trial in draft.trials)
    improved = pool.enter(Member(draft.candidate, parents, wave, scores, edits))
    outcome = "kept: new best somewhere on validation" if improved else "kept: no better"
    _remember(known, draft.parent, draft.trials, outcome)
    return improved


def _remember(known: SearchState, parent: int, trials: Iterable[Trial], outcome: str) -> None:
    for trial in trials:
        known.remember(parent, trial.tried(outcome))


def _choice(known: SearchState) -> Selection:
    members = known.pool.members
    return choose(members, doubt=known.options.doubt) if members else Selection(0, 0.0)


def _roll(known: SearchState, candidate: Candidate, tasks: Iterable[str]) -> Asking[None]:
    rollouts = known.missing(candidate, tasks)
    if rollouts:
        reply = yield from _ask(Ask(rollouts=rollouts))
        for rollout, attempt in zip(rollouts, reply.rollouts, strict=True):
            known.learn(rollout, attempt)


def _ask(ask: Ask) -> Asking[Reply]:
    reply = yield ask
    if reply.stopped:
        raise _Ended(reply.stopped)
    return reply


def _end_if_solved(known: SearchState, parent: int) -> None:
    """End where neither train nor validation has a failure left."""
    if not any(attempt.failed for attempt in known.pool.members[parent].validation.values()):
        raise _Ended("every task is solved")


def _end_if_broken(known: SearchState) -> None:
    """End once too many reflections failed in a row; what others of the wave proposed was tried first."""
    if known.broken is not None:
        raise _Ended(
            f"{known.options.max_failures} reflections failed in a row;"
            f" the last one, {known.broken.kind}: {known.broken.message}"
        )
