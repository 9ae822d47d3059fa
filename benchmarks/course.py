"""What a run of either engine came to: which text it would have returned after how many rollouts."""

import statistics
from collections.abc import Sequence
from typing import Any, TypeVar

from msgspec import Struct

Place = TypeVar("Place", int, float)
"""Where a curve steps: at a number of rollouts, or at a second."""


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


def value_at(curve: Sequence[tuple[Place, float]], place: Place) -> float:
    """Give the score of a curve's last step until a place."""
    return [score for when, score in curve if when <= place][-1]


def mean_curve(curves: Sequence[Sequence[tuple[Place, float]]]) -> list[tuple[Place, float]]:
    """Give the mean of curves wherever one of them steps; all begin at the same place."""
    places = sorted({place for curve in curves for place, _ in curve})
    return [(place, statistics.fmean(value_at(curve, place) for curve in curves)) for place in places]


def reached(curve: Sequence[tuple[Place, float]], score: float) -> Place | None:
    """Give the first place at which a curve is at `score` or above, or None."""
    return next((place for place, value in curve if value >= score), None)
