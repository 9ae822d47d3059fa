"""Shortening: what may be left out of the winner at no loss, before it is proved.

Each edit that stands in it is left out alone and tried on a few of the train tasks that it is for; what can go alone
may still be needed where another goes too (two edits of one remedy), so all of them are left out together, and
those are put back whose tasks are lost then.
"""

from collections.abc import Iterable, Mapping, Sequence

from runbookopt.search.asking import Asking, roll_each
from runbookopt.search.asks import Candidate
from runbookopt.search.edits import Draft, Trial, taken_out, without
from runbookopt.search.pool import lineage
from runbookopt.search.reflection import forbids
from runbookopt.search.state import SearchState


def shortened(state: SearchState, number: int, latest: bool = False) -> Asking[Draft | None]:
    """Give a member without the edits that it does not need, or None where it needs all of them."""
    candidate = state.pool.members[number].candidate
    units = [
        trial
        for each in lineage(state.pool.members, number)
        if each in state.drafts
        for trial in state.drafts[each].trials
    ]
    if latest:
        units = list(state.drafts[number].trials)
    units = [trial for trial in units if trial.batch.failing]
    yield from roll_each(state, [(candidate, state.problem.train)])
    score = state.scores(candidate, state.problem.train)
    needs = {at: _checked(state, unit, score) for at, unit in enumerate(units)}
    alone = {at: _without(state, number, [unit]) for at, unit in enumerate(units)}
    alone = {at: each for at, each in alone.items() if each is not None and each != candidate}
    yield from roll_each(state, [(each, needs[at]) for at, each in alone.items()])
    out = [at for at, each in alone.items() if not _lost(state, each, needs[at], score)]
    while out:
        bare = _without(state, number, [units[at] for at in out])
        if bare is None:
            return None
        tasks = tuple(dict.fromkeys(task for at in out for task in needs[at]))
        yield from roll_each(state, [(bare, tasks)])
        lost = _lost(state, bare, tasks, score)
        if not lost:
            return taken_out(state, number, [units[at] for at in out])
        while lost:  # as few as it takes to have one of each lost task's edits again
            needed = max(out, key=lambda at: (len(lost & set(units[at].tasks)), -at))
            out.remove(needed)
            lost -= set(units[needed].tasks)
    return None


def _checked(state: SearchState, unit: Trial, score: Mapping[str, float]) -> tuple[str, ...]:
    """A few of the tasks that an edit is for and that are right now."""
    return tuple(task for task in unit.tasks if score.get(task, 0.0) > 0)[: state.options.checked]


def _without(state: SearchState, number: int, out: Sequence[Trial]) -> Candidate | None:
    text = without(state, number, out)
    return None if forbids(state.runbook(state.seed), text) else state.candidate(text)


def _lost(
    state: SearchState, candidate: Candidate, tasks: Iterable[str], score: Mapping[str, float]
) -> set[str]:
    now = state.scores(candidate, tasks)
    return {task for task in tasks if now.get(task, 0.0) < score[task]}
