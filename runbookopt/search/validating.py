"""Validation of drafts: how they enter the pool, and what is told of their edits."""

from collections.abc import Mapping

from runbookopt.search.asking import Asking, roll
from runbookopt.search.asks import Attempt
from runbookopt.search.drafts import Draft
from runbookopt.search.pool import Member
from runbookopt.search.state import SearchState

REPEATED = "dropped: it came out as a text that was tried before"
BEST = "kept: best on validation so far"
SOMEWHERE = "set aside: better on some validation tasks, and not in all"
NO_BETTER = "set aside: no better on validation"
WORSE = "set aside: worse on the first validation tasks"


def validated(state: SearchState, draft: Draft) -> Asking[None]:
    """Score a draft on all of validation and add it to the pool, unless it is in it.

    Where an attempt has no score, nothing is known of it: the seed's tasks are those that it has a score on,
    and on each of them a draft without one is taken to do as its parent does.
    """
    pool = state.pool
    known = pool.members[draft.parent].validation if pool.members else {}
    validation = tuple(known) or state.problem.validation
    if draft.candidate in pool:
        remembered(state, draft, REPEATED, {})
        return
    state.step = "a draft on validation"
    yield from roll(state, draft.candidate, validation)
    scores = {**known, **state.attempts(draft.candidate, validation)}
    parents = (draft.parent,) if pool.members else ()
    if parents:
        state.drafts[len(pool.members)] = draft
    edits = tuple(trial.edit for trial in draft.trials)
    somewhere = pool.enter(Member(draft.candidate, parents, state.wave, scores, edits))
    best = pool.members[pool.best].candidate == draft.candidate
    remembered(state, draft, BEST if best else SOMEWHERE if somewhere else NO_BETTER, known)


def promising(state: SearchState, draft: Draft) -> Asking[bool]:
    """Try a draft on a part of validation: whether it may do as well as its parent."""
    known, options = state.pool.members[draft.parent].validation, state.options
    if draft.candidate in state.pool:
        return True
    part = state.rng.sample(list(known), min(len(known), options.first))
    state.step = "a draft on some validation tasks"
    yield from roll(state, draft.candidate, part)
    now = state.scores(draft.candidate, part)
    if sum(score - known[task].score for task, score in now.items()) >= -options.slack:
        return True
    remembered(state, draft, WORSE, {task: known[task] for task in part})
    return False


def remembered(state: SearchState, draft: Draft, outcome: str, before: Mapping[str, Attempt]) -> None:
    """Remember what became of a draft's edits, with its scores where its parent's attempts are these."""
    now = state.scores(draft.candidate, before)
    was = sum(before[task].score for task in now)
    for trial in draft.trials:
        told = trial.tried(outcome, len(draft.trials) - 1, len(now), was, sum(now.values()))
        state.remember(draft.parent, told)
