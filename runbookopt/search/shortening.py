"""Shortening: which edits of a text can be left out at no loss.

Each is left out alone and tried on a few of the train tasks that it is for. What can go alone may be needed
where another goes too (two edits of one remedy), so all of them are left out together, and are put back, one,
then two more, then four, until no task is lost that those which stay out were looked at with. (What else the
text without them loses is for validation to say: to look at all of the tasks again made texts longer, and
no better.)
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from runbookopt.search.asking import Asking, roll, roll_each
from runbookopt.search.asks import Candidate
from runbookopt.search.drafts import Draft, Trial
from runbookopt.search.edits import taken_out, without
from runbookopt.search.reflecting.reflection import forbids
from runbookopt.search.state import SearchState

Scores = Mapping[str, float]  # of one candidate, by task


def shortened(state: SearchState, number: int, edits: Sequence[Trial]) -> Asking[Draft | None]:
    """Give a member without those of these edits in it that can go, or None where none can."""
    member = state.pool.members[number].candidate
    state.step = "leaving edits out"
    yield from roll(state, member, state.problem.train)
    score = state.scores(member, state.problem.train)
    needs = [_checked(state, trial, score) for trial in edits]
    found = enumerate(_without(state, number, [trial]) for trial in edits)
    alone = {at: one for at, one in found if one is not None and one != member}
    yield from roll_each(state, [(one, needs[at]) for at, one in alone.items()])
    out = [at for at, one in alone.items() if not _lost(state, one, needs[at], score)]
    back = 1  # put back at once: what one edit does for the tasks of others shows when they are tried again
    while out:
        bare = _without(state, number, [edits[at] for at in out])
        if bare is None:
            return None
        tasks = tuple(dict.fromkeys(task for at in out for task in needs[at]))
        yield from roll(state, bare, tasks)
        lost = _lost(state, bare, tasks, score)
        if not lost:
            return taken_out(state, number, [edits[at] for at in out])
        for _ in range(back):
            if lost and out:
                most = max(out, key=lambda at: (len(lost.intersection(edits[at].tasks)), -at))
                out.remove(most)
                lost -= {*edits[most].tasks}
        back *= 2
    return None


def came_right(state: SearchState, number: int) -> float:
    """The share, 0..1, of what the edits of a member are for that came right on train; 1 where unknown."""
    draft = state.drafts[number]
    before = state.scores(state.pool.members[draft.parent].candidate, state.problem.train)
    after = state.scores(draft.candidate, state.problem.train)
    meant = {task for trial in draft.trials for task in trial.tasks if task in before and task in after}
    wanted = math.fsum(1 - before[task] for task in meant)
    return math.fsum(max(0.0, after[task] - before[task]) for task in meant) / wanted if wanted else 1.0


def _checked(state: SearchState, trial: Trial, score: Scores) -> tuple[str, ...]:
    """A few of the tasks that an edit is for and that are not all wrong."""
    return tuple(task for task in trial.tasks if score.get(task, 0.0) > 0)[: state.options.checked]


def _without(state: SearchState, number: int, out: Sequence[Trial]) -> Candidate | None:
    text = without(state, number, out)
    return None if forbids(state.problem.seed, text) else state.candidate(text)


def _lost(state: SearchState, candidate: Candidate, tasks: Iterable[str], score: Scores) -> set[str]:
    now = state.scores(candidate, tasks)
    return {task for task in tasks if now.get(task, 0.0) < score[task]}
