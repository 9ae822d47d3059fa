"""Ledger of looks at labels: what a calibration spends, and at which bound the next one may look (pure).

Who changes a judge until its figures on the same labels please has fitted it to them. So each look at a label
makes the bound of the next one stricter, and after three there is none: new labels are the only way on.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from runbookopt.calibration.labels import Gold
from runbookopt.calibration.status import LEAST, Status

LEVELS = (0.01, 0.005, 0.0025)
"""What the lower bound leaves out at the first, second and third look at the same label."""


class LabelLook(Struct, frozen=True):
    """A calibration of one criterion that looked at labels: when, under which key, and what came of it.

    `trajectories` are those whose labels it looked at: to label one anew makes no new label of it.
    """

    at: str
    key: str
    level: float
    status: Status
    trajectories: tuple[str, ...]


class LookableLabels(Struct, frozen=True):
    """Labels that the next look may look at, and the level of its bound.

    `look` counts from 1: how often, with this one, the label that was looked at most often will have been.
    """

    items: tuple[Gold, ...]
    level: float
    look: int


class LabelsLack(Struct, frozen=True):
    """How many held-out labels of each class lack for a look; `spent` may be looked at no more."""

    passes: int
    fails: int
    spent: int


def next_look(
    items: Sequence[Gold], looks: Iterable[LabelLook], *, again: bool = False
) -> LookableLabels | LabelsLack:
    """The labels of one criterion that a look would look at: those that none has looked at yet.

    `again`: all that may be looked at once more, at the bound of those that were most often. It is settled
    before any verdict on them is known. A look at fewer than 15 of a class could not let anything gate, so
    that none is taken.
    """
    counts = Counter(trajectory for look in looks for trajectory in set(look.trajectories))
    most = len(LEVELS) if again else 1
    left = tuple(item for item in items if counts[item.trajectory] < most)
    passes, fails = lacking(left)
    if passes or fails:
        return LabelsLack(passes, fails, spent=len(items) - len(left))
    before = max(counts[item.trajectory] for item in left)
    return LookableLabels(left, LEVELS[before], before + 1)


def next_level(looks: Sequence[LabelLook]) -> float | None:
    """The level of a next look at the same labels as the last one; None where there is none."""
    counts = Counter(trajectory for look in looks for trajectory in set(look.trajectories))
    most = max((counts[trajectory] for trajectory in looks[-1].trajectories), default=0) if looks else 0
    return LEVELS[most] if most < len(LEVELS) else None


def together(*histories: Sequence[LabelLook]) -> tuple[LabelLook, ...]:
    """All looks that any of these histories holds, each once, the earliest first."""
    return tuple(
        sorted(dict.fromkeys(look for history in histories for look in history), key=lambda look: look.at)
    )


def lacking(items: Iterable[Gold]) -> tuple[int, int]:
    """How many passes and fails lack for a look."""
    counts = Counter(item.result for item in items)
    return max(0, LEAST - counts["pass"]), max(0, LEAST - counts["fail"])
