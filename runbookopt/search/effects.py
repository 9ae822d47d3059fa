"""What each of several edits is worth, from a few random halves of them tried together (pure).

A factorial screen (Box, Hunter and Hunter, Statistics for Experimenters, 2nd ed., 2005, ch. 5 and 6): each edit
stands in half of the texts that are tried, so that every rollout tells of every edit, also of those that
help alone and harm together. There are fewer texts than edits, so effects are shrunk to their mean.
"""

import random
from collections.abc import Sequence

Row = tuple[frozenset[int], float]
"""Which edits a text holds, by their numbers, and what it came to."""


def halves(edits: int, count: int, rng: random.Random) -> list[frozenset[int]]:
    """Draw `count` different halves of so many edits, every second one the other half of that before it."""
    drawn: dict[frozenset[int], None] = {}
    every = frozenset(range(edits))
    for _ in range(4 * count):  # of few edits there are no more halves than that
        half = frozenset(rng.sample(range(edits), (edits + rng.randrange(2)) // 2))
        for each in (half, every - half):
            if each and each != every and len(drawn) < count:
                drawn[each] = None
    return list(drawn)


def effects(edits: int, rows: Sequence[Row], shrink: float) -> list[float]:
    """Estimate what each edit adds, by ridge regression toward the mean effect of all; no interactions.

    The first row is the text without any edit, and the second the one with all of them: the mean effect is
    what lies between, by the number of edits. The larger `shrink` the nearer the estimates stay to it.
    """
    none, every = rows[0][1], rows[1][1]
    mean = (every - none) / edits
    held = [[float(edit in row) for edit in range(edits)] for row, _ in rows[1:]]
    left = [value - none - mean * len(row) for row, value in rows[1:]]
    gram = [
        [
            sum(a * b for a, b in zip(one, other, strict=True)) + shrink * (number == at)
            for at, other in enumerate(held)
        ]
        for number, one in enumerate(held)
    ]
    weights = _solved(gram, left)
    return [
        mean + sum(weight * row[edit] for weight, row in zip(weights, held, strict=True))
        for edit in range(edits)
    ]


def _solved(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Solve a positive definite system (Gauss)."""
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for at in range(size):
        for below in range(at + 1, size):
            share = rows[below][at] / rows[at][at]
            rows[below] = [low - share * high for low, high in zip(rows[below], rows[at], strict=True)]
    found = [0.0] * size
    for at in reversed(range(size)):
        known = sum(rows[at][more] * found[more] for more in range(at + 1, size))
        found[at] = (rows[at][size] - known) / rows[at][at]
    return found
