"""What a run of either engine came to: which text it would have returned after how many rollouts."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct


class Step(Struct, frozen=True):
    """From `rollouts` on the engine would return `text`, and report `score` for it on validation.

    `reflections` were made until then.
    """

    rollouts: int
    reflections: int
    text: str
    score: float


class Course(Struct, frozen=True):
    """A run: its steps in order, the seed first, and what it used in all."""

    steps: tuple[Step, ...]
    rollouts: int
    reflections: int
    details: dict[str, Any] = {}

    def at(self, rollouts: int) -> Step:
        """Give what the engine would return after so many rollouts."""
        return [step for step in self.steps if step.rollouts <= rollouts][-1]


def reached(curve: Sequence[tuple[int, float]], score: float) -> int | None:
    """Give the first number of rollouts at which a curve is at `score` or above, or None."""
    return next((rollouts for rollouts, value in curve if value >= score), None)
