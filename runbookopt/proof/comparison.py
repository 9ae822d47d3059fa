"""Seed against winner on the held-out tasks: one exact paired test, and an answer with all its reasons (pure)."""

from typing import Literal

from msgspec import Struct

from runbookopt.evidence.split import Shares

Answer = Literal["accepted", "rejected", "inconclusive"]


class Terms(Struct, frozen=True, forbid_unknown_fields=True):
    """The terms of a proof, as policy.yaml declares them under `proof`.

    `margin` is the gain in score that a winner must exceed, `allowance` the chance of a false acceptance
    that all looks together may spend, `tolerance` how much an objective may lose, and `repeats` how often
    a random agent tries each held-out task.
    """

    margin: float = 0.0
    allowance: float = 0.05
    tolerance: float = 0.05
    repeats: int = 3
    split: Shares = Shares()


class Outcome(Struct, frozen=True):
    """What the verifier said of one attempt; `score` and `objectives` lie in 0..1.

    `errors` counts the verdicts that the verifier failed to give, also when asked once more. The caller
    has already counted them: as 1 where the seed made the attempt, as 0 where the winner did.
    """

    score: float
    objectives: dict[str, float]
    gates_failed: tuple[str, ...] = ()
    errors: int = 0


class Pair(Struct, frozen=True):
    """The attempts of the seed (`before`) and of the winner (`after`) at one held-out task, by repeat."""

    task: str
    group: str
    before: tuple[Outcome, ...]
    after: tuple[Outcome, ...]


class ObjectiveChange(Struct, frozen=True):
    """One objective before and after; `low` and `high` bound its gain, each side at .05."""

    before: float
    after: float
    low: float
    high: float


class Comparison(Struct, frozen=True):
    """What the held-out tasks say of a winner.

    `before`, `after` and `gain` are means over groups in 0..1; `low` and `high` bound the gain, each side
    at the allowance that the look spends; `p` is one-sided. `reasons` are sentences, for and against.
    `tasks_needed` is how many more held-out groups would settle an inconclusive answer, None where that
    is not the question. `passing_today` counts the tasks that the seed passes; `errors` is the share of
    attempts with a verdict that could not be had.
    """

    tasks: int
    groups: int
    before: float
    after: float
    gain: float
    low: float
    high: float
    p: float
    answer: Answer
    reasons: tuple[str, ...]
    objectives: dict[str, ObjectiveChange]
    tasks_needed: int | None
    passing_today: int
    errors: float
