"""What a run may still use: rollouts, reflections, dollars and time (pure but for the clock)."""

import time
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from runbookopt.errors import RunbookoptError
from runbookopt.journal import Answer
from runbookopt.world import Call

Short = Literal["rollouts", "reflections", "usd"]


class Dollars(Struct):
    """What a run has charged in dollars, and the mean of it by which the next calls are estimated.

    A rollout's judgements belong to it. `limit` None is no limit.
    """

    limit: float | None = None
    rollouts: int = 0
    reflections: int = 0
    on_rollouts: float = 0.0
    on_reflections: float = 0.0

    def cover(self, rollouts: int, reflections: int) -> bool:
        """Tell whether so many more calls are likely to stay within the limit."""
        if self.limit is None:
            return True
        expected = rollouts * self.on_rollouts / max(1, self.rollouts)
        expected += reflections * self.on_reflections / max(1, self.reflections)
        return self.on_rollouts + self.on_reflections + expected <= self.limit

    def charge(self, answer: Answer) -> None:
        """Charge an answer at what it cost whoever paid it; raises RunbookoptError where nobody knows."""
        usd = 0.0 if answer.usage is None or not answer.usage.calls else answer.usage.usd
        if usd is None and self.limit is not None:
            raise RunbookoptError(
                f"budget.usd is {self.limit:g}, and what a {answer.kind} cost is not known:"
                " give the model's price in its settings, or take budget.usd away"
            )
        self.rollouts += answer.kind == "rollout"
        self.reflections += answer.kind == "reflection"
        if answer.kind == "reflection":
            self.on_reflections += usd or 0.0
        else:
            self.on_rollouts += usd or 0.0


class Purse(Struct):
    """What one part of the run may still use, when its time is up (monotonic clock), and why it ended.

    `left` counts rollouts; no `reflections` are no limit. `later` rollouts are still to be paid from the same
    `dollars` when this part has ended.
    """

    left: int
    dollars: Dollars
    reflections: int | None = None
    deadline: float | None = None
    later: int = 0
    stopped: str | None = None
    short_of: Short | None = None

    def cover(self, calls: Iterable[Call]) -> None:
        """Stop where these calls, none of them charged yet, are more than what is left."""
        costs = [call.cost for call in calls]
        rollouts, reflections = sum(costs), costs.count(0)
        if rollouts > self.left:
            self.short_of = "rollouts"
        elif self.reflections is not None and reflections > self.reflections:
            self.short_of = "reflections"
        elif costs and not self.dollars.cover(rollouts + self.later, reflections):
            self.short_of = "usd"
        self.stopped = "budget" if self.short_of else self.stopped

    def charge(self, answer: Answer) -> None:
        """Take off what one new answer costs."""
        self.left -= answer.cost
        if answer.kind == "reflection" and self.reflections is not None:
            self.reflections -= 1
        self.dollars.charge(answer)

    def is_late(self) -> bool:
        """Tell whether time is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline
