"""Exact tests of whether a share is another than before, alone or within classes (pure)."""

import math
from collections.abc import Sequence

from msgspec import Struct

_NEGLIGIBLE = 1e-17


class Share(Struct, frozen=True):
    """`count` of `of`; the share is None where there is nothing."""

    count: int
    of: int

    @property
    def share(self) -> float | None:
        """In 0..1."""
        return self.count / self.of if self.of else None

    @property
    def rest(self) -> "Share":
        """The share of all others."""
        return Share(self.of - self.count, self.of)


def move_p(before: Share, after: Share) -> float:
    """Fisher's exact test of two shares, two-sided: twice the tail on the side of the move, at most 1.

    Source: Agresti (2002), "Categorical Data Analysis", 3.5. Twice a tail holds its level, and says which
    way the share moved.
    """
    if before.count * after.of == after.count * before.of:  # also where there is nothing
        return 1.0
    if before.count * after.of < after.count * before.of:
        before, after = before.rest, after.rest
    return min(1.0, 2 * _at_most(before, after))


def fall_p(classes: Sequence[tuple[Share, Share]]) -> float:
    """The one-sided p of "no share fell", by all classes of two shares each, before and after, together.

    It is the chance of so few in all, given what each class has in both windows together: Birch (1964), "The
    detection of partial association, I", exactly and not by a normal curve. How common a class is in either
    window decides nothing.
    """
    spread, fewest, seen = [1.0], 0, 0
    for before, after in classes:
        successes, total = before.count + after.count, before.of + after.of
        low, high = max(0, successes - before.of), min(successes, after.of)
        ways = (
            _choices(successes, count) + _choices(total - successes, after.of - count)
            for count in range(low, high + 1)
        )
        spread = _sums(spread, [math.exp(log - _choices(total, after.of)) for log in ways])
        fewest, seen = fewest + low, seen + after.count
    return min(1.0, math.fsum(spread[: seen - fewest + 1]))


def _sums(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """The chances of sums of two counts; what is negligible is left out of the work."""
    sums = [0.0] * (len(one) + len(other) - 1)
    ones = [(at, chance) for at, chance in enumerate(one) if chance > _NEGLIGIBLE]
    others = [(at, chance) for at, chance in enumerate(other) if chance > _NEGLIGIBLE]
    for place, chance in ones:
        for at, other_chance in others:
            sums[place + at] += chance * other_chance
    return sums


def _at_most(before: Share, after: Share) -> float:
    """The chance of so few in the window after, or fewer, where both are of one kind; the fewer of both."""
    others, drawn, successes = before.of, after.of, before.count + after.count
    log = _choices(successes, after.count) + _choices(others + drawn - successes, drawn - after.count)
    term = math.exp(log - _choices(others + drawn, drawn))
    total = 0.0
    for count in range(after.count, max(0, successes - others) - 1, -1):
        total += term
        if term <= total * _NEGLIGIBLE:
            break  # below the mean each is smaller than the one before
        term *= count * (others - successes + count) / ((successes - count + 1) * (drawn - count + 1))
    return min(1.0, total)


def _choices(among: int, chosen: int) -> float:
    """The logarithm of the number of ways to choose."""
    return math.lgamma(among + 1) - math.lgamma(chosen + 1) - math.lgamma(among - chosen + 1)
