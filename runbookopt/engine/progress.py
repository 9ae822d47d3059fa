"""Progress of a run: what it has done and spent so far, and what the rest comes to at most (pure)."""

from typing import Literal

from msgspec import Struct

from runbookopt.documents.usage import Spent
from runbookopt.search.asks import SoFar

Phase = Literal["searching", "proving", "trying"]
"""`trying` are rollouts that no search asks for, those of an evaluation say."""


FEW = 10
"""Rollouts; by fewer than that nothing is estimated: the first of them begin with imports and connections."""


class Progress(Struct, frozen=True):
    """Progress of a run: rollouts paid now, those the journal had, reflections paid now.

    `budget` is how many rollouts the run may use in all, the proof's included. `scores` are those on
    validation; `tokens` and `usd` were paid so far. `tokens_at_most` and `usd_at_most` are what they come to,
    and `seconds_left` is how long it takes, if all the budget is used as it was so far. None is unknown.
    """

    phase: Phase
    rollouts: int
    cached: int
    reflections: int
    budget: int
    scores: SoFar | None = None
    tokens: int | None = None
    usd: float | None = None
    tokens_at_most: int | None = None
    usd_at_most: float | None = None
    seconds_left: float | None = None


class Left(Struct, frozen=True):
    """What is left: rollouts to search and to prove, seconds in which a search may begin calls, dollars."""

    search: int
    proof: int
    seconds: float | None = None
    usd: float | None = None


def progress_of(phase: Phase, spent: Spent, left: Left, budget: int, scores: SoFar | None) -> Progress:
    """The progress of a run in this phase that has `spent` so much of a budget in rollouts."""
    share = seconds = usd = None
    if spent.rollouts >= FEW:
        share, each = (left.search + left.proof) / spent.rollouts, spent.seconds / spent.rollouts
        most = each * left.search
        seconds = (most if left.seconds is None else min(most, max(0.0, left.seconds))) + each * left.proof
    if share is not None and spent.usd is not None:
        usd = spent.usd * (1 + share)
        usd = usd if left.usd is None else min(usd, spent.usd + max(0.0, left.usd))
    tokens = None if share is None or spent.tokens is None else round(spent.tokens * (1 + share))
    return Progress(
        phase=phase,
        rollouts=spent.rollouts,
        cached=spent.cached,
        reflections=spent.reflections,
        budget=budget,
        scores=scores,
        tokens=spent.tokens,
        usd=spent.usd,
        tokens_at_most=tokens,
        usd_at_most=usd,
        seconds_left=seconds,
    )
