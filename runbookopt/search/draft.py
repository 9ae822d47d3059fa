"""A candidate on its way into the pool, and how a round's edits become one."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from runbookopt import runbook as runbooks
from runbookopt.runbook import Runbook
from runbookopt.search.asks import Candidate, Proposal, Reflection, Tried
from runbookopt.search.crossover import Rewrite, crossover
from runbookopt.search.known import Known
from runbookopt.search.pool import Edit
from runbookopt.search.reflection import forbids


class Trial(Struct, frozen=True):
    """A proposal that may be tried, and what its reflector was shown."""

    proposal: Proposal
    ask: Reflection

    @property
    def edit(self) -> Edit:
        """What the pool keeps of it; a citation counts only where the trajectory was shown."""
        shown = tuple(one.trajectory for one in (*self.ask.failing, *self.ask.passing))
        cites = tuple(one for one in shown if one in self.proposal.cites)
        return Edit(self.proposal.component, self.proposal.diagnosis, cites, shown)


class Draft(Struct, frozen=True):
    """A candidate, made from the member `parent` of the pool by these trials."""

    parent: int
    candidate: Candidate
    trials: tuple[Trial, ...] = ()

    @property
    def tried(self) -> tuple[Tried, ...]:
        """Its edits, as the next round's reflections are shown them."""
        made = (trial.proposal for trial in self.trials)
        said = "part of the text as it stands"
        return tuple(Tried(each.component, each.diagnosis, each.text, said) for each in made)


def crossed(known: Known, draft: Draft, trials: Sequence[Trial]) -> Draft:
    """Combine edits of a draft into one; those from the fewest failures go where all are too much.

    The same draft is given back where nothing is left.
    """
    runbook = known.runbook(draft.candidate)
    kept = sorted(trials, key=lambda trial: (-len(trial.ask.failing), trial.proposal.text))
    while kept:
        text = _combined(runbook, kept)
        too_much = len(text) > known.limits.characters or (len(kept) > 1 and not known.options.crossed)
        if not too_much and not forbids(runbook, text):
            return Draft(draft.parent, Candidate(text), (*draft.trials, *kept))
        known.remember(draft.parent, kept.pop().proposal, "dropped: with the others it was too much")
    return draft


def _combined(runbook: Runbook, trials: Iterable[Trial]) -> str:
    rewrites: dict[str, list[Rewrite]] = {}
    for trial in trials:
        rewrite = Rewrite(trial.proposal.text, len(trial.ask.failing))
        rewrites.setdefault(trial.proposal.component, []).append(rewrite)
    texts = {part: crossover(runbook.part(part).text, made) for part, made in rewrites.items()}
    return runbooks.replace(runbook, texts)
