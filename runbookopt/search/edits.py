"""Edits of a wave on their way into the pool: how they become one candidate, and what it is without some."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from runbookopt.documents import runbook as runbooks
from runbookopt.documents.runbook import Runbook
from runbookopt.search.asks import Candidate, Component, Proposal, Reflection
from runbookopt.search.crossover import Rewrite, crossover
from runbookopt.search.drafts import Draft, Trial
from runbookopt.search.minibatches import Minibatch
from runbookopt.search.reflecting.reflection import forbids
from runbookopt.search.state import SearchState

LOST = "lost: another edit of its wave changes the same lines"
TOO_MUCH = "dropped: with the others it was too much"
WAITS = "left for later: fewer edits at once do better on this text"
TAKEN_OUT = "takes out again what did no good"  # the diagnosis of an edit that takes out others


def needed_first(trials: Iterable[Trial], blame: Mapping[str, int]) -> list[Trial]:
    """Order edits by how many failures each is for that none before it is.

    A failure counts the less, the more edits for it were in drafts that fell (`blame`, by task).
    """
    left = sorted(trials, key=lambda trial: (-len(trial.tasks), trial.proposal.text))
    ordered: list[Trial] = []
    covered: set[str] = set()
    while left:
        fresh = [sum(1 / (1 + blame.get(task, 0)) for task in {*one.tasks} - covered) for one in left]
        ordered.append(left.pop(fresh.index(max(fresh))))
        covered.update(ordered[-1].tasks)
    return ordered


def crossed(state: SearchState, parent: int, trials: Sequence[Trial]) -> Draft:
    """Combine edits of a member; the last ones go where all are too much, down to the member itself.

    What becomes of edits that are not in the draft is remembered.
    """
    runbook = state.runbook(state.pool.members[parent].candidate)
    kept = list(trials)
    while kept:
        text, lost = _combined(runbook, kept)
        too_much = len(text) > state.limits.characters or (len(kept) > 1 and not state.options.crossed)
        if not too_much and not forbids(runbook, text):
            for trial in lost:
                state.remember(parent, trial.tried(LOST))
            return Draft(parent, state.candidate(text), tuple(one for one in kept if one not in lost))
        state.remember(parent, kept.pop().tried(TOO_MUCH))
    return Draft(parent, state.pool.members[parent].candidate)


def without(state: SearchState, number: int, left_out: Collection[Trial]) -> str:
    """The text of a member made once more, without some edits of it and of what it was made from."""
    draft, text = state.drafts.get(number), state.pool.members[number].candidate.text
    if draft is None:
        return text
    if draft.out:
        return without(state, draft.parent, (*left_out, *draft.out))
    before = state.pool.members[draft.parent].candidate
    base = without(state, draft.parent, left_out)
    kept = [trial for trial in draft.trials if not any(trial is one for one in left_out)]
    if base == before.text and len(kept) == len(draft.trials):
        return text
    return _combined(state.runbook(before), kept, state.runbook(Candidate(base)))[0]


def taken_out(state: SearchState, number: int, out: Sequence[Trial]) -> Draft:
    """A member without some of its edits, as a draft whose trials take them out again."""
    runbook = state.runbook(state.pool.members[number].candidate)
    bare = state.runbook(Candidate(without(state, number, out)))
    parts = tuple(Component(part.id, part.heading, part.text) for part in runbook.components)
    ask = Reflection(Candidate(runbook.text), parts, (), (), (), state.limits.characters)
    trials = tuple(
        Trial(Proposal(TAKEN_OUT, part.id, bare.part(part.id).text), ask, Minibatch((), (), ()))
        for part in parts
        if bare.part(part.id).text != part.text
    )
    return Draft(number, state.candidate(bare.text), trials, tuple(out))


def _combined(
    runbook: Runbook, trials: Iterable[Trial], other: Runbook | None = None
) -> tuple[str, list[Trial]]:
    """The text of these edits, and those that it does not hold, for others change the same lines.

    Where the runbook has become an `other` one meanwhile, those changes are in it too.
    """
    made: dict[str, list[Trial]] = {}
    for trial in trials:
        made.setdefault(trial.proposal.component, []).append(trial)
    texts: dict[str, str] = {}
    lost: list[Trial] = []
    for part in runbook.components:
        rewrites = [Rewrite(trial.proposal.text, len(trial.tasks)) for trial in made.get(part.id, ())]
        changed = [] if other is None or other.part(part.id).text == part.text else [other.part(part.id).text]
        if rewrites or changed:
            together = crossover(part.text, [*rewrites, *(Rewrite(text, 0) for text in changed)])
            texts[part.id] = together.text
            lost += [made[part.id][place] for place in together.lost if place < len(rewrites)]
    return runbooks.replace(runbook, texts), lost
