"""Edits of a wave on their way into the pool: how they become one candidate, and what it is without some."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property

from msgspec import Struct

from runbookopt.documents import runbook as runbooks
from runbookopt.documents.runbook import Runbook
from runbookopt.search.asks import Candidate, Component, Proposal, Reflection, Tried
from runbookopt.search.crossover import Rewrite, crossover
from runbookopt.search.minibatches import Minibatch
from runbookopt.search.pool import Edit
from runbookopt.search.reflection import difference, forbids
from runbookopt.search.state import SearchState

TAKEN_OUT = "taken out again, for it does no good"  # the diagnosis of an edit that takes others out


class Trial(Struct, frozen=True, dict=True):
    """A proposal, what its reflector was shown, and which failures it is for."""

    proposal: Proposal
    ask: Reflection
    batch: Minibatch

    @cached_property
    def change(self) -> str:
        """Its change of the component, as a diff."""
        shown = {part.id: part.text for part in self.ask.components}
        return difference(shown.get(self.proposal.component, ""), self.proposal.text)

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """The train tasks that it is for: the failing ones that it cites, or all that its reflector saw."""
        cited = set(self.proposal.cites)
        failing = set(self.batch.failing)
        named = tuple(one.task for one in self.ask.failing if one.trajectory in cited and one.task in failing)
        return named or self.batch.failing

    def tried(self, outcome: str) -> Tried:
        """It, as later reflections are shown it."""
        return Tried(self.proposal.component, self.proposal.diagnosis, self.change, outcome)

    @property
    def edit(self) -> Edit:
        """The part that the pool keeps; a citation counts only where the trajectory was shown."""
        shown = tuple(one.trajectory for one in (*self.ask.failing, *self.ask.passing))
        cites = tuple(one for one in shown if one in self.proposal.cites)
        return Edit(self.proposal.component, self.proposal.diagnosis, cites, shown)


class Draft(Struct, frozen=True):
    """A candidate, made from the member `parent` of the pool by these trials."""

    parent: int
    candidate: Candidate
    trials: tuple[Trial, ...] = ()


def crossed(state: SearchState, parent: int, trials: Sequence[Trial], weeds: Sequence[Trial] = ()) -> Draft:
    """Combine edits of a member; those needed least go where all are too much, down to the member itself."""
    kept = list(trials)
    while kept or weeds:
        draft = drafted(state, parent, [*kept, *weeds])
        if draft and (len(kept) <= 1 or state.options.crossed):
            return draft
        if not kept:
            break
        state.remember(parent, kept.pop().tried("dropped: with the others it was too much"))
    return Draft(parent, state.pool.members[parent].candidate)


def drafted(state: SearchState, parent: int, trials: Sequence[Trial]) -> Draft | None:
    """Combine edits of a member as they are; None where that may not be tried."""
    runbook = state.runbook(state.pool.members[parent].candidate)
    text = _combined(runbook, trials)
    if len(text) > state.limits.characters or forbids(runbook, text):
        return None
    return Draft(parent, state.candidate(text), tuple(trials))


def without(state: SearchState, number: int, left_out: Collection[Trial]) -> str:
    """The text of a member, made once more without some of the edits of it and of what it was made from."""
    draft = state.drafts.get(number)
    if draft is None:
        return state.seed.text
    text = state.pool.members[number].candidate.text
    names = {id(trial) for trial in left_out}
    before = state.pool.members[draft.parent].candidate.text
    base = without(state, draft.parent, left_out)
    kept = [trial for trial in draft.trials if id(trial) not in names]
    if base == before and len(kept) == len(draft.trials):
        return text
    return _combined(state.runbook(Candidate(before)), kept, state.runbook(Candidate(base)))


def taken_out(state: SearchState, number: int, out: Sequence[Trial]) -> Draft:
    """A member without some of the edits in it, as a draft whose trials take them out again."""
    runbook = state.runbook(state.pool.members[number].candidate)
    bare = state.runbook(Candidate(without(state, number, out)))
    components = tuple(Component(part.id, part.heading, part.text) for part in runbook.components)
    ask = Reflection(Candidate(runbook.text), components, (), (), (), state.limits.characters)
    trials = tuple(
        Trial(Proposal(TAKEN_OUT, part.id, bare.part(part.id).text), ask, Minibatch((), (), ()))
        for part in runbook.components
        if bare.part(part.id).text != part.text
    )
    return Draft(number, state.candidate(bare.text), trials)


def needed_first(trials: Iterable[Trial], blame: Mapping[str, int] = {}) -> list[Trial]:
    """Order edits by how many failures each was made from that none before it was.

    Failures whose edits were in drafts that fell count less.
    """
    left = sorted(trials, key=lambda trial: (-len(trial.tasks), trial.proposal.text))
    ordered: list[Trial] = []
    covered: set[str] = set()
    while left:
        fresh = [sum(1 / (1 + blame.get(task, 0)) for task in trial.tasks if task not in covered) for trial in left]
        ordered.append(left.pop(fresh.index(max(fresh))))
        covered.update(ordered[-1].tasks)
    return ordered


def _combined(runbook: Runbook, trials: Iterable[Trial], other: Runbook | None = None) -> str:
    """Combine edits of a runbook; where it has become an `other` one meanwhile, with those changes too."""
    rewrites: dict[str, list[Rewrite]] = {}
    for trial in trials:
        rewrite = Rewrite(trial.proposal.text, len(trial.tasks))
        rewrites.setdefault(trial.proposal.component, []).append(rewrite)
    for part in runbook.components if other else ():
        if other and other.part(part.id).text != part.text:
            rewrites.setdefault(part.id, []).append(Rewrite(other.part(part.id).text, 0))
    texts = {part: crossover(runbook.part(part).text, made).text for part, made in rewrites.items()}
    return runbooks.replace(runbook, texts)
