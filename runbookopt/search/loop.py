"""The search: reflective evolution of a runbook (GEPA, arXiv 2507.19457) as a generator of asks."""

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from runbookopt.search.asking import Asking, Ended, reflect, roll
from runbookopt.search.asks import Attempt, ReflectionFailure, Stored, Tried
from runbookopt.search.edits import Draft, Trial, crossed, needed_first
from runbookopt.search.minibatches import minibatches
from runbookopt.search.pool import Member
from runbookopt.search.problem import Problem
from runbookopt.search.reflection import objection, reflection
from runbookopt.search.selection import Selection, choose
from runbookopt.search.shortening import shortened
from runbookopt.search.state import SearchState

VERSION = 8  # part of a run's id: another version of the search takes another path


class SearchResult(Struct, frozen=True):
    """All that entered the pool (nothing, where not even the seed was scored), and all that was tried.

    `chosen` is the number of the member to return, `expected` its mean validation score less what is luck;
    `attempts` are all that were made, by the digest of the candidate and the task's id.
    """

    pool: tuple[Member, ...]
    chosen: int
    expected: float
    tried: tuple[Tried, ...]
    ended: str
    attempts: Mapping[str, Mapping[str, Attempt]] = {}


def search(problem: Problem) -> Asking[SearchResult]:
    """Ask for rollouts and reflections until nothing better is likely, and return what was found."""
    state = SearchState(problem)
    wave = barren = 0
    try:
        yield from _validate(state, Draft(0, state.seed), wave)
        while barren < problem.options.patience and state.broken is None:
            wave += 1
            stored = state.to_read() if wave == 1 else {}
            improved = yield from _wave(state, wave, stored)
            barren = 0 if improved else barren + (not stored)  # what others did wrong, today's may do right
        ended = f"{barren} waves without a better frontier"
        if state.broken is not None:
            last = f"the last one, {state.broken.kind}: {state.broken.message}"
            ended = f"{problem.options.max_failures} reflections failed in a row; {last}"
    except Ended as end:
        ended = str(end)
    members = state.pool.members
    choice = choose(members, doubt=state.options.doubt) if members else Selection(0, 0.0)
    return SearchResult(
        tuple(members), choice.number, choice.expected, state.tried, ended, state.attempts_by_digest
    )


def _wave(state: SearchState, wave: int, stored: Mapping[str, Stored]) -> Asking[bool]:
    parent = state.pool.best
    if not stored:
        yield from roll(state, state.pool.members[parent].candidate, state.problem.train)
    weeds: tuple[Trial, ...] = ()
    if state.options.weeds and parent and not stored:
        if parent not in state.weeds:
            short = None
            if _fixed(state, parent) < state.options.adds:
                short = yield from shortened(state, parent, latest=True)
            state.weeds[parent] = list(short.trials) if short else []
        weeds = tuple(state.weeds[parent])
        if weeds and state.options.bare and (state.options.bare == 1 or not parent_is_bare(state, parent)):
            draft = crossed(state, parent, [], weeds)
            yield from _validate(state, draft, wave)
            if state.pool.best != parent:
                old, parent, weeds = parent, state.pool.best, ()
                state.weeds[parent] = []
                own = state.attempts(state.pool.members[parent].candidate, state.problem.train)
                stored = {t: Stored(a, "this runbook, with a few further lines") for t, a in state.attempts(state.pool.members[old].candidate, state.problem.train).items() if t not in own}
                if state.options.bare == 3:
                    yield from roll(state, state.pool.members[parent].candidate, state.problem.train)
                    stored = {}
    blame = state.blame.setdefault(parent, Counter())
    trials = needed_first((yield from _reflect(state, parent, stored)), blame)
    size = min(len(trials), state.reach)
    improved = False
    for attempt in range(state.options.tries):
        if size == 0:
            break
        trials = needed_first(trials, blame)
        draft = crossed(state, parent, trials[:size], weeds)
        if state.options.wary and blame and not (yield from _promises(state, draft)):
            pass
        else:
            improved |= yield from _validate(state, draft, wave)
        if state.pool.best != parent:
            state.reach = 10**9 if size == len(trials) and not attempt else 2 * size
            return improved
        blame.update(task for trial in trials[:size] for task in set(trial.tasks))
        state.reach = max(state.options.least, size // 2)
        size //= 2
    if weeds and state.pool.best == parent:
        draft = crossed(state, parent, [], weeds)
        if draft.candidate not in state.pool:
            improved |= yield from _validate(state, draft, wave)
    return improved


def _promises(state: SearchState, draft: Draft) -> Asking[bool]:
    """Try a draft on a part of validation: whether it is worth the rest."""
    known = state.pool.members[draft.parent].validation
    part = state.rng.sample(list(known), min(len(known), state.options.wary))
    if draft.candidate in state.pool:
        return False
    yield from roll(state, draft.candidate, part)
    now = state.scores(draft.candidate, part)
    lead = sum(now[task] - known[task].score for task in part if task in now)
    if lead >= -state.options.slack:
        return True
    _remember(state, draft, "set aside: it did worse than before")
    return False


def _fixed(state: SearchState, number: int) -> float:
    """The share of what the edits of a member are for that came right on train."""
    draft = state.drafts[number]
    before = state.scores(state.pool.members[draft.parent].candidate, state.problem.train)
    after = state.scores(draft.candidate, state.problem.train)
    meant = {task for trial in draft.trials for task in trial.tasks if task in before and task in after}
    wanted = sum(1 - before[task] for task in meant)
    return sum(max(0.0, after[task] - before[task]) for task in meant) / wanted if wanted else 1.0


def parent_is_bare(state, parent):
    return False


def _reflect(state: SearchState, parent: int, stored: Mapping[str, Stored]) -> Asking[list[Trial]]:
    """Reflect on a member's failures; what may not be tried is remembered as rejected, at no rollout.

    Where the member was not tried on a task, its `stored` attempt by others counts as its own here.
    """
    candidate = state.pool.members[parent].candidate
    runbook, own = state.runbook(candidate), state.attempts(candidate, state.problem.train)
    known = {**{task: each.attempt for task, each in stored.items()}, **own}
    attempts = {task: known[task] for task in state.problem.train if task in known}
    most = state.options.stored if stored and not own else None
    batches = minibatches(state.problem, attempts, state.rng)[:most]
    blame = state.blame.get(parent, Counter())
    if blame:
        batches.sort(key=lambda batch: sum(blame[task] for task in batch.failing) / len(batch.failing))
    if state.options.fewer and state.options.edits > 1 and state.reach < 10**9:
        batches = batches[: -(-state.reach // state.options.edits) + state.options.fewer - 1]
    if not batches:
        if not any(attempt.failed for attempt in state.pool.members[parent].validation.values()):
            raise Ended("every task is solved")
        return []
    lineage = state.lately(parent)
    asks = tuple(reflection(state, runbook, attempts, batch, lineage, stored) for batch in batches)
    replies = yield from reflect(state, asks)
    trials: list[Trial] = []
    for batch, ask, answer in zip(batches, asks, replies, strict=True):
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
    yield from roll(state, draft.candidate, validation)
    scores = {**known, **state.attempts(draft.candidate, validation)}
    parents = (draft.parent,) if pool.members else ()
    edits = tuple(trial.edit for trial in draft.trials)
    if pool.members:
        state.drafts[len(pool.members)] = draft
    improved = pool.enter(Member(draft.candidate, parents, wave, scores, edits))
    _remember(state, draft, "kept: new best somewhere on validation" if improved else "kept: no better")
    return improved


def _remember(state: SearchState, draft: Draft, outcome: str) -> None:
    for trial in draft.trials:
        state.remember(draft.parent, trial.tried(outcome))
