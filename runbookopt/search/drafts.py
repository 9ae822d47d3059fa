"""Drafts: candidates on their way into the pool, and the edits that they are made of."""

from functools import cached_property

from msgspec import Struct

from runbookopt.search.asks import Candidate, Proposal, Reflection, Tried
from runbookopt.search.changes import difference
from runbookopt.search.minibatches import Minibatch
from runbookopt.search.pool import Edit

MUCH, LINES = 0.25, 3  # of a part's lines, and so many of them, are much to lose by one edit


class Trial(Struct, frozen=True, dict=True):
    """A proposal, what its reflector was shown, and which failures that were."""

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
        """The train tasks that it is for: the failing ones that it cites, or all that were shown."""
        cited, failing = {*self.proposal.cites}, {*self.batch.failing}
        named = (one.task for one in self.ask.failing if one.trajectory in cited and one.task in failing)
        return tuple(named) or self.batch.failing

    @property
    def guts(self) -> bool:
        """Whether it leaves its part much shorter: weak reflectors lose lines where they say it all anew."""
        before = next((part.text for part in self.ask.components if part.id == self.proposal.component), "")
        lines, left = (
            sum(map(bool, map(str.strip, text.split("\n")))) for text in (before, self.proposal.text)
        )
        return lines - left >= max(LINES, MUCH * lines)

    def tried(
        self, outcome: str, beside: int = 0, tasks: int = 0, before: float = 0, after: float = 0
    ) -> Tried:
        """It, as later reflections are shown it."""
        proposal = self.proposal
        return Tried(
            proposal.component, proposal.diagnosis, self.change, outcome, beside, tasks, before, after
        )

    @property
    def edit(self) -> Edit:
        """The part that the pool keeps; a citation counts only where the trajectory was shown."""
        shown = tuple(one.trajectory for one in (*self.ask.failing, *self.ask.passing))
        cites = tuple(one for one in shown if one in self.proposal.cites)
        return Edit(self.proposal.component, self.proposal.diagnosis, cites, shown, self.change)


class Draft(Struct, frozen=True):
    """A candidate, made from the member `parent` of the pool by these trials.

    `out` are edits of that member, and of what it was made from, that the trials take out again.
    """

    parent: int
    candidate: Candidate
    trials: tuple[Trial, ...] = ()
    out: tuple[Trial, ...] = ()
