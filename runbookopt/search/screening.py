"""Screening: which edits of a draft earn their place, from train tasks alone.

Edits that help alone can harm together, and one in many may spoil what its reflection did not see. A draft of
several edits is tried on train; where it loses what its parent had, or does not win what its edits are for, random
halves of them are tried on those tasks, and what harms more than it helps is left out.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from runbookopt.search.asking import Asking, roll, roll_each
from runbookopt.search.edits import Draft, Trial, drafted, taken_out
from runbookopt.search.effects import effects, halves
from runbookopt.search.state import SearchState

SHRINK = 0.5  # of the effects of edits toward their mean


class Screened(Struct, frozen=True):
    """A draft as it came out of screening; `gained` is its score on train less its parent's, summed."""

    draft: Draft
    gained: float


def screened(state: SearchState, draft: Draft) -> Asking[Screened]:
    """Try a draft on train, and give it without the edits that harm there."""
    train = tuple(state.problem.train)
    parent = state.pool.members[draft.parent].candidate
    yield from roll(state, draft.candidate, train)
    before, after = state.scores(parent, train), state.scores(draft.candidate, train)
    change = {task: after[task] - before[task] for task in train if task in before and task in after}
    whole = Screened(draft, sum(change.values()))
    doubtful = _doubtful(state, draft.trials, change, after)
    if not doubtful:
        return whole
    parts = [
        (half, each)
        for half in halves(len(draft.trials), state.options.halves, state.rng)
        if (each := drafted(state, draft.parent, [draft.trials[at] for at in sorted(half)]))
    ]
    yield from roll_each(state, [(each.candidate, doubtful) for _, each in parts])
    every = frozenset(range(len(draft.trials)))
    rows = [(frozenset[int](), before), (every, after)]
    rows += [(half, state.scores(each.candidate, doubtful)) for half, each in parts]
    best = _best(draft.trials, change, rows, doubtful)
    if len(best) in (0, len(every)):
        return whole
    kept = drafted(state, draft.parent, [draft.trials[at] for at in sorted(best)])
    return Screened(kept, max(whole.gained, 1.0)) if kept else whole


def tested(state: SearchState, parent: int, trials: Sequence[Trial]) -> Asking[list[tuple[float, list[Trial]]]]:
    """Try each reply alone on what it is for and on what its parent does right; those that gain, best first."""
    replies: dict[int, list[Trial]] = {}
    for trial in trials:
        replies.setdefault(id(trial.ask), []).append(trial)
    train = tuple(state.problem.train)
    before = state.scores(state.pool.members[parent].candidate, train)
    right = [task for task in train if before.get(task, 0.0) >= 1]
    guard = state.rng.sample(right, min(len(right), state.options.tested))
    made = []
    for each in replies.values():
        meant = list(dict.fromkeys(task for trial in each for task in trial.tasks))
        meant = state.rng.sample(meant, min(len(meant), state.options.tested))
        draft = drafted(state, parent, each)
        if draft:
            made.append((each, draft, meant))
    yield from roll_each(state, [(draft.candidate, [*meant, *guard]) for _, draft, meant in made])
    found = []
    for each, draft, meant in made:
        now = state.scores(draft.candidate, [*meant, *guard])
        all_meant = len({task for trial in each for task in trial.tasks})
        won = sum(now.get(t, 0.0) - before[t] for t in meant) / max(1, len(meant)) * all_meant
        lost = sum(before[t] - now.get(t, 1.0) for t in guard) / max(1, len(guard)) * len(right)
        if won > lost:
            found.append((won - lost, each))
    return sorted(found, key=lambda one: -one[0])


def weeded(state: SearchState, number: int) -> Asking[None]:
    """See which of its own edits a member is better without, once: the next draft is made without them."""
    draft = state.drafts[number]
    if number in state.weeds:
        return
    train = tuple(state.problem.train)
    before = state.scores(state.pool.members[draft.parent].candidate, train)
    after = state.scores(draft.candidate, train)
    idle = [
        trial
        for trial in draft.trials
        if trial.tasks and all(after.get(task, 1.0) <= before.get(task, 0.0) for task in trial.tasks)
    ]
    found = yield from screened(state, draft)
    kept = {id(trial) for trial in found.draft.trials}
    out = [trial for trial in draft.trials if id(trial) not in kept or trial in idle]
    state.weeds[number] = list(taken_out(state, number, out).trials) if len(out) < len(draft.trials) else []


def _doubtful(
    state: SearchState, trials: Sequence[Trial], change: Mapping[str, float], after: Mapping[str, float]
) -> tuple[str, ...]:
    """The train tasks that tell what is wrong with a draft; none where too little is."""
    options = state.options
    lost = [task for task, by in change.items() if by < 0]
    meant = dict.fromkeys(task for trial in trials for task in trial.tasks)
    missed = [
        task
        for task in meant
        if task in change and change[task] <= 0 and after[task] < 1 and task not in lost
    ]
    won = sum(by for by in change.values() if by > 0)
    harm = -sum(change[task] for task in lost)
    if not options.halves or len(trials) < 2 or harm < options.harm * max(1.0, won):
        return ()
    few = state.rng.sample(lost, min(len(lost), 12))
    return (*few, *state.rng.sample(missed, min(len(missed), max(4, 16 - len(few)))))


def _best(
    trials: Sequence[Trial],
    change: Mapping[str, float],
    rows: Sequence[tuple[frozenset[int], Mapping[str, float]]],
    doubtful: Sequence[str],
) -> frozenset[int]:
    """The edits to keep: those of the best text, by what is seen on doubtful tasks and claimed on others."""
    known = [task for task in doubtful if all(task in scores for _, scores in rows)]
    sums = [(held, sum(scores[task] for task in known)) for held, scores in rows]
    worth = effects(len(trials), sums, SHRINK)
    fixed = {task: by for task, by in change.items() if by > 0}

    def claimed(held: frozenset[int]) -> float:
        told = 0.0
        for task, by in fixed.items():
            claim = {at for at, trial in enumerate(trials) if task in trial.tasks}
            told += by * (len(held & claim) > 0 if claim else len(held) / len(trials))
        return told

    def expected(held: frozenset[int]) -> float:
        return sums[0][1] + sum(worth[at] for at in held) + claimed(held)

    found = sums[1][0]
    while len(found) > 1:
        better = max((found - {at} for at in sorted(found)), key=expected)
        if expected(better) <= expected(found):
            break
        found = better
    tried = max(sums[1:], key=lambda row: row[1] + claimed(row[0]))
    return max((found, expected(found)), (tried[0], tried[1] + claimed(tried[0])), key=lambda one: one[1])[0]
