"""The search: reflective evolution of a runbook (GEPA, arXiv 2507.19457) as a generator of asks."""

from collections.abc import Mapping

from msgspec import Struct

from runbookopt.search.asking import Asking, roll
from runbookopt.search.asks import Attempt, Stored, Tried
from runbookopt.search.drafts import Draft
from runbookopt.search.edits import WAITS, crossed, needed_first
from runbookopt.search.ending import Cause, Ended, Learnt
from runbookopt.search.pool import Member, lineage
from runbookopt.search.problem import Problem
from runbookopt.search.proposing import proposed
from runbookopt.search.selection import Selection, choose
from runbookopt.search.shortening import came_right, shortened
from runbookopt.search.state import SearchState
from runbookopt.search.validating import promising, validated
from runbookopt.search.widening import widened

VERSION = 9  # part of a run's id: another version of the search takes another path

ANOTHER_DRAFT = "this runbook, with a few lines more than it has now"


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
    cause: Cause = "barren"


def search(problem: Problem) -> Asking[SearchResult]:
    """Ask for rollouts and reflections until nothing better is likely, and return what was found."""
    state = SearchState(problem)
    try:
        yield from validated(state, Draft(0, state.seed))
        ended = yield from _waves(state)
        yield from _tidied(state)
    except Ended as end:
        ended = end
    members, attempts = tuple(state.pool.members), state.attempts_by_digest
    choice = (
        choose(members, doubt=state.options.doubt, prefer=problem.prefer) if members else Selection(0, 0.0)
    )
    return SearchResult(
        members, choice.number, choice.expected, state.tried, ended.words, attempts, ended.cause
    )


def _waves(state: SearchState) -> Asking[Ended]:
    """Bring the best text on, wave by wave, and tell why that went no further.

    Where that has brought nothing for long, other texts of the frontier are brought on, until one is better.
    """
    barren, patience, widest = 0, state.options.patience, state.options.patience * state.options.widened
    while barren < patience + widest and state.broken is None:
        try:
            if barren == patience:
                yield from _tidied(state)
            better = yield from (_wave(state) if barren < patience else widened(state))
        except Learnt as end:
            return end
        barren = 0 if better else barren + 1
    if state.broken is not None:
        last = f"the last one, {state.broken.kind}: {state.broken.message}"
        return Ended("unfit", f"{state.most_failures} reflections failed in a row; {last}")
    more = f", and {widest} reflections on others than the best" if widest else ""
    return Ended("barren", f"{patience} waves without a better text{more}")


def _wave(state: SearchState) -> Asking[bool]:
    """Reflect on the best text's failures and try the edits together; tell whether that brought it on.

    As many edits as there are make a draft, while drafts bring it on. Where one fell, its edits do not add
    up, and half as many are taken until a draft brings it on again.
    """
    state.wave += 1
    borrowed = state.to_read() if state.wave == 1 else {}
    stored: Mapping[str, Stored] = borrowed
    if not borrowed:
        state.step = "the best text on train"
        yield from roll(state, state.best, state.problem.train)
        stored = yield from _lightened(state)
    parent, improved = state.pool.best, state.pool.members[state.pool.best].wave == state.wave
    found = yield from proposed(state, parent, stored)
    blame = state.blame[parent]
    trials = needed_first(found, blame)
    taken = trials[: state.reach]
    for trial in trials[len(taken) :]:
        state.remember(parent, trial.tried(WAITS))
    draft = crossed(state, parent, taken)
    if not blame or (yield from promising(state, draft)):
        yield from validated(state, draft)
    if state.pool.best != parent:
        state.reach = None if len(taken) == len(trials) else 2 * len(taken)
    elif taken and not borrowed:
        blame.update(task for trial in taken for task in {*trial.tasks})
        # after the least one alone: two may be good alone and bad together; where it falls, so many again
        least, half = state.options.least, max(state.options.least, len(taken) // 2)
        state.reach = (1 if len(taken) == least else half) if state.options.halved else None
    # what others did wrong, today's may do right
    return improved or state.pool.best != parent or bool(borrowed)


def _lightened(state: SearchState) -> Asking[Mapping[str, Stored]]:
    """Take out of the best text what its latest edits brought at no use, where they do not add up.

    Gives attempts that stand for its own at train tasks on which it was not tried.
    """
    number, options = state.pool.best, state.options
    if number in state.lightened or number not in state.drafts or came_right(state, number) >= options.adds:
        return {}
    state.lightened.add(number)
    whole = state.best
    light = yield from shortened(state, number, state.drafts[number].trials)
    if light is not None:
        yield from validated(state, light)
    if state.pool.best == number:
        return {}
    state.lightened.add(state.pool.best)
    own = state.attempts(state.best, state.problem.train)
    before = state.attempts(whole, state.problem.train)
    return {task: Stored(each, ANOTHER_DRAFT) for task, each in before.items() if task not in own}


def _tidied(state: SearchState) -> Asking[None]:
    """Take out of the best text what it does not need."""
    best = state.pool.best
    line = [each for each in lineage(state.pool.members, best) if each in state.drafts]
    edits = [trial for each in line for trial in state.drafts[each].trials if trial.tasks]
    if state.options.tidied and edits:
        light = yield from shortened(state, best, edits)
        if light is not None and light.candidate not in state.pool:
            yield from validated(state, light)
