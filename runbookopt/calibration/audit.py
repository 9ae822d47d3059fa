"""Audit of the pairs whose verdict changed between today's runbook and the winner (pure).

A judge that misses more of the winner's failures than of today's runbook's invents a gain, and more tasks
make it surer. Whoever looks, blind, at the pairs on which it changed its mind finds that out. No more than
those pairs are looked at: where the verdict is the same, a person could not change what the proof counts.
"""

from collections.abc import Mapping, Sequence
from math import comb

from msgspec import Struct

from runbookopt.documents.digest import digest_of
from runbookopt.proof.audits import Answer
from runbookopt.proof.comparison import Pair

PAIRS = 30
"""So many pairs are shown where nobody says how many: the size that was simulated (benchmarks/audit.py)."""

FEWEST = 5
"""With fewer pairs nothing is confirmed: five wins of five have the chance 1/32, but four of four 1/16."""

LEVEL = 0.05
"""The person's own wins must be as unlikely as this by chance."""


class Changed(Struct, frozen=True):
    """A held-out task whose verdict changed, and the attempt, from 0, whose two outputs show it."""

    task: str
    attempt: int


class Found(Struct, frozen=True):
    """What somebody found who compared the outputs of pairs blind.

    `wins` are pairs on which the winner's output was the better one, `losses` those on which today's was, and
    `ties` all others: alike, or passed over. `p` is that of the one-sided sign test.
    """

    pairs: int
    wins: int
    losses: int
    p: float

    @property
    def ties(self) -> int:
        """Pairs that speak for neither."""
        return self.pairs - self.wins - self.losses

    @property
    def confirms(self) -> bool:
        """Whether the gain is one in this person's eyes, too."""
        return self.pairs >= FEWEST and self.p <= LEVEL


def changed_pairs(pairs: Sequence[Pair]) -> tuple[Changed, ...]:
    """The tasks whose score changed, in their order; of several attempts the first that changed as the mean.

    Each outcome's attempt is held against the other side's of the same number, as they were made.
    """
    found = []
    for pair in pairs:
        gains = [after.score - before.score for before, after in zip(pair.before, pair.after, strict=True)]
        whole = sum(gains)
        if abs(whole) > _ROUNDING:
            found.append(Changed(pair.task, next(at for at, gain in enumerate(gains) if gain * whole > 0)))
    return tuple(found)


def chosen(pairs: Sequence[Pair], look: str, most: int = PAIRS) -> tuple[Changed, ...]:
    """The changed pairs that are looked at: all, or `most` of them, at most one of each group.

    Which ones follows from the key of the look, which was written down before there was an output: who makes
    the outputs cannot choose. One of a group, since a sign test counts what is independent. Of a larger
    number the first are those of a smaller one.
    """
    groups = {pair.task: pair.group for pair in pairs}
    ordered = sorted(changed_pairs(pairs), key=lambda each: digest_of(["audit", look, each.task]))
    of_groups: dict[str, Changed] = {}
    for each in ordered:
        of_groups.setdefault(groups[each.task], each)
    return tuple(of_groups.values())[:most]


def shuffled(pairs: Sequence[Changed], seed: str) -> tuple[Changed, ...]:
    """The pairs in the order in which they are shown; `seed` is the audit's own."""
    return tuple(sorted(pairs, key=lambda each: digest_of(["order", seed, each.task])))


def winner_is_left(seed: str, task: str) -> bool:
    """Whether the winner's output stands on the left."""
    return int(digest_of(["side", seed, task])[-1], 16) % 2 == 0


def found(pairs: Sequence[Changed], seed: str, answers: Mapping[str, Answer]) -> Found | None:
    """What the answers to these pairs come to, by task; None where one is not answered."""
    wins = losses = 0
    for each in pairs:
        answer = answers.get(each.task)
        if answer is None:
            return None
        if answer in ("left", "right"):
            won = (answer == "left") == winner_is_left(seed, each.task)
            wins, losses = wins + won, losses + (not won)
    return Found(len(pairs), wins, losses, sign_test(wins, losses))


def sign_test(wins: int, losses: int) -> float:
    """The chance of so many wins or more where either is as likely: the exact one-sided sign test.

    Ties are left out (Dixon and Mood (1946), "The statistical sign test"); without any win or loss it is 1.
    """
    count = wins + losses
    ways = sum(comb(count, each) for each in range(wins, count + 1))
    return ways / (1 << count)


_ROUNDING = 1e-9
"""Scores that differ by less are the same but for a float's last bits."""
