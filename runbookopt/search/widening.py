"""Widening: where waves on the best text bring nothing more, other texts are brought on.

As GEPA does it (arXiv 2507.19457, Algorithm 1): a parent is drawn from the Pareto frontier over validation
tasks, and a draft of it enters the pool where it does better on a few train tasks. What it is worth need not
show at once: small gains add up from member to member, and a text that two edits in conflict have spoilt is
where a reflector sees that they are.
"""

from runbookopt.search.asking import Asking, roll
from runbookopt.search.edits import crossed, needed_first
from runbookopt.search.minibatches import Minibatch
from runbookopt.search.pool import places
from runbookopt.search.proposing import reflected
from runbookopt.search.state import SearchState
from runbookopt.search.validating import remembered, validated

NOT_THERE = "set aside: no better on the train tasks that it was made from"


def widened(state: SearchState) -> Asking[bool]:
    """Reflect on a few tasks that a member of the frontier fails; tell whether that made a new best text."""
    state.wave += 1
    best, parent = state.pool.best, _drawn(state)
    candidate, train = state.pool.members[parent].candidate, list(state.problem.train)
    tasks = state.rng.sample(train, min(len(train), state.options.looked))
    state.step = "another text on a few train tasks"
    yield from roll(state, candidate, tasks)
    before = state.attempts(candidate, tasks)
    failing = tuple(task for task, attempt in before.items() if attempt.failed)
    if not failing:
        return False
    passing = tuple(task for task, attempt in before.items() if attempt.passed)[: state.options.passing]
    trials = yield from reflected(state, parent, before, [Minibatch(failing, (), passing)], {})
    draft = crossed(state, parent, needed_first(trials, {}))
    if draft.candidate not in state.pool:
        state.step = "a draft on a few train tasks"
        yield from roll(state, draft.candidate, before)
        after = state.scores(draft.candidate, before)
        if sum(score - before[task].score for task, score in after.items()) <= 0:
            remembered(state, draft, NOT_THERE, before)
            return False
    yield from validated(state, draft)
    return state.pool.best != best


def _drawn(state: SearchState) -> int:
    """The number of a member, drawn by how many places it holds on the frontier; the best where none does."""
    held = places(state.pool.members)
    return state.rng.choices(range(len(held)), held)[0] if any(held) else state.pool.best
