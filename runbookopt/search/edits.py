"""Edits of a wave on their way into the pool, and how they become one candidate."""

from collections.abc import Iterable, Sequence
from functools import cached_property

from msgspec import Struct

from runbookopt.documents import runbook as runbooks
from runbookopt.documents.runbook import Runbook
from runbookopt.search.asks import Candidate, Proposal, Reflection, Tried
from runbookopt.search.changes import difference
from runbookopt.search.crossover import Rewrite, crossover
from runbookopt.search.minibatches import Minibatch
from runbookopt.search.pool import Edit
from runbookopt.search.reflection import forbids
from runbookopt.search.state import SearchState

LOST = "lost: another edit of its wave changes the same lines"


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

    def tried(self, outcome: str) -> Tried:
        """It, as later reflections are shown it."""
        return Tried(self.proposal.component, self.proposal.diagnosis, self.change, outcome)

    @property
    def edit(self) -> Edit:
        """The part that the pool keeps; a citation counts only where the trajectory was shown."""
        shown = tuple(one.trajectory for one in (*self.ask.failing, *self.ask.passing))
        cites = tuple(one for one in shown if one in self.proposal.cites)
        return Edit(self.proposal.component, self.proposal.diagnosis, cites, shown, self.change)


class Draft(Struct, frozen=True):
    """A candidate, made from the member `parent` of the pool by these trials."""

    parent: int
    candidate: Candidate
    trials: tuple[Trial, ...] = ()


def crossed(state: SearchState, parent: int, trials: Sequence[Trial]) -> Draft:
    """Combine edits of a member; those needed least go where all are too much, down to the member itself."""
    candidate = state.pool.members[parent].candidate
    runbook = state.runbook(candidate)
    kept = _needed_first(trials)
    while kept:
        text, lost = _combined(runbook, kept)
        too_much = len(text) > state.limits.characters or (len(kept) > 1 and not state.options.crossed)
        if not too_much and not forbids(runbook, text):
            for trial in lost:
                state.remember(parent, trial.tried(LOST))
            return Draft(parent, state.candidate(text), tuple(one for one in kept if one not in lost))
        state.remember(parent, kept.pop().tried("dropped: with the others it was too much"))
    return Draft(parent, candidate)


def _needed_first(trials: Iterable[Trial]) -> list[Trial]:
    """Order edits by how many failures each was made from that none before it was."""
    left = sorted(trials, key=lambda trial: (-len(trial.batch.failing), trial.proposal.text))
    ordered: list[Trial] = []
    covered: set[str] = set()
    while left:
        fresh = [sum(task not in covered for task in trial.batch.failing) for trial in left]
        ordered.append(left.pop(fresh.index(max(fresh))))
        covered.update(ordered[-1].batch.failing)
    return ordered


def _combined(runbook: Runbook, trials: Iterable[Trial]) -> tuple[str, list[Trial]]:
    """The text of these edits, and those that it does not hold, for others change the same lines."""
    by_part: dict[str, list[Trial]] = {}
    for trial in trials:
        by_part.setdefault(trial.proposal.component, []).append(trial)
    texts: dict[str, str] = {}
    lost: list[Trial] = []
    for part, made in by_part.items():
        rewrites = [Rewrite(trial.proposal.text, len(trial.batch.failing)) for trial in made]
        together = crossover(runbook.part(part).text, rewrites)
        texts[part] = together.text
        lost += [made[place] for place in together.lost]
    return runbooks.replace(runbook, texts), lost
