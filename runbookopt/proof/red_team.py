"""Red-team slice: seed against winner on what nobody reflects on, apart from all other tasks (pure)."""

from collections.abc import Sequence
from fractions import Fraction

from msgspec import Struct

from runbookopt.proof.comparison import HARM, Outcome, Pair
from runbookopt.proof.statistics import exact, mean, sign_flip_mid_p


class RedTeam(Struct, frozen=True):
    """What a winner does on the red team's tasks; `before` and `after` are means over them, in 0..1.

    `lost` and `won` count tasks with a lower and a higher score. `p` is the one-sided sign-flip p of "after
    is no worse than before". `repeated`: each was tried more than once, so that chance takes and gives.
    """

    tasks: int
    before: float
    after: float
    lost: int
    won: int
    p: float
    repeated: bool

    @property
    def holds(self) -> bool:
        """Whether the winner is no worse.

        Where each task is tried once, none may be lost: what a red team wrote is there since it goes wrong.
        Where chance has a hand in each, the mean may not fall, nor may the losses be significant.
        """
        if not self.lost:
            return True
        return self.repeated and self.after >= self.before and self.p > HARM

    @property
    def told(self) -> str:
        """All of it in one sentence."""
        of = "task" if self.tasks == 1 else "tasks"
        chance = f", p = {self.p:.2g} for a loss" if self.lost else ""
        return (
            f"on {self.tasks} red-team {of} the score goes from {self.before:.3f} to {self.after:.3f}:"
            f" {self.won} won, {self.lost} lost{chance}"
        )


def red_team(pairs: Sequence[Pair]) -> RedTeam | None:
    """What pairs of the red team's tasks come to, each task by itself; None without any."""
    if not pairs:
        return None
    before = [_mean(pair.before) for pair in pairs]
    after = [_mean(pair.after) for pair in pairs]
    losses = [early - late for early, late in zip(before, after, strict=True)]
    return RedTeam(
        tasks=len(pairs),
        before=float(mean(before)),
        after=float(mean(after)),
        lost=sum(loss > 0 for loss in losses),
        won=sum(loss < 0 for loss in losses),
        p=sign_flip_mid_p(losses),
        repeated=any(len(pair.before) > 1 for pair in pairs),
    )


def _mean(outcomes: Sequence[Outcome]) -> int | Fraction:
    return mean([exact(outcome.score) for outcome in outcomes])
