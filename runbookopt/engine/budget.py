"""Budget of a run: rollouts, reflections, dollars and time; what of it was used (pure but for the clock)."""

import time
from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import Literal

from msgspec import Struct, field

from runbookopt.documents.usage import Spent, Usage, Used
from runbookopt.engine.calls import Call
from runbookopt.engine.journal import Answer, Kind
from runbookopt.engine.unanswered import Attempts
from runbookopt.errors import RunbookoptError

ShortOf = Literal["rollouts", "reflections", "usd"]


class Dollars(Struct):
    """Dollars that a run has charged, and the means of it by which the next calls are estimated.

    A rollout's judgements belong to it, and are estimated apart: an output that was judged already costs
    nothing, which tells nothing of outputs to come. `judged` of the `judgements` that rollouts needed were
    charged. `limit` None is no limit.
    """

    limit: float | None = None
    rollouts: int = 0
    reflections: int = 0
    judgements: int = 0
    judged: int = 0
    on_rollouts: float = 0.0
    on_reflections: float = 0.0
    on_judgements: float = 0.0

    @property
    def charged(self) -> float:
        """All dollars that were charged."""
        return self.on_rollouts + self.on_reflections + self.on_judgements

    @property
    def a_rollout(self) -> float:
        """Dollars that a rollout whose judgements are new comes to in the mean; 0 before the first."""
        a_judgement = self.on_judgements / max(1, self.judged)
        return (self.on_rollouts + self.judgements * a_judgement) / max(1, self.rollouts)

    def cover(self, rollouts: int, reflections: int) -> bool:
        """Whether so many more calls are likely to stay within the limit."""
        if self.limit is None:
            return True
        expected = rollouts * self.a_rollout
        expected += reflections * self.on_reflections / max(1, self.reflections)
        return self.charged + expected <= self.limit

    def charge(self, answer: Answer, judgements: int = 0) -> None:
        """Charge an answer at what it cost whoever paid it; a rollout needed so many judgements.

        Raises RunbookoptError where nobody knows the cost.
        """
        usd = 0.0 if answer.usage is None or not answer.usage.calls else answer.usage.usd
        if usd is None and self.limit is not None:
            silent = answer.usage is not None and answer.usage.uncounted
            why = "give the model's price in its settings"
            if silent:
                why = (
                    "its server's reply has no `usage`, so nobody counted its tokens: have the server send it"
                )
            raise RunbookoptError(
                f"budget.usd is {self.limit:g}, and what a {answer.kind} cost is not known:"
                f" {why}, or take budget.usd away"
            )
        match answer.kind:
            case "rollout":
                self.rollouts += 1
                self.judgements += judgements
                self.on_rollouts += usd or 0.0
            case "reflection":
                self.reflections += 1
                self.on_reflections += usd or 0.0
            case "judgement":
                self.judged += 1
                self.on_judgements += usd or 0.0


class Budget(Struct):
    """Budget of one part of the run: what is left, when its time is up (monotonic clock), and why it ended.

    `left` counts rollouts; no `reflections` are no limit. `later` rollouts are still to be paid from the same
    `dollars` when this part has ended. `attempts` are those of this part, with those that have no score.
    """

    left: int
    dollars: Dollars
    reflections: int | None = None
    deadline: float | None = None
    later: int = 0
    stopped: str | None = None
    short_of: ShortOf | None = None
    attempts: Attempts = field(default_factory=Attempts)

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

    def charge(self, answer: Answer, judgements: int) -> None:
        """Take off what one new answer costs, which needed so many judgements."""
        self.left -= answer.cost
        if answer.kind == "reflection" and self.reflections is not None:
            self.reflections -= 1
        self.dollars.charge(answer, judgements)

    def is_late(self) -> bool:
        """Whether time is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline


_ROLES: dict[Kind, str] = {"rollout": "agent", "reflection": "reflector", "judgement": "judge"}


class Spending:
    """The answers that were paid now, each once, and those that were paid earlier and are used now.

    Tokens and dollars of a role are known where each of its paid answers says what it used, and where
    none was paid, if the answers that were used say so. `repliers` answered by hand-off: by role and by what
    they call themselves, with how many answers that were used.
    """

    def __init__(self) -> None:
        self.rollouts = self.reflections = self.cached = 0
        self._paid: set[str] = set()
        self._used: dict[Kind, Usage] = {}
        self._unknown: set[Kind] = set()
        self.repliers: dict[str, dict[str, int]] = {}

    @property
    def used(self) -> int:
        """Rollouts that were used, paid now or earlier."""
        return self.rollouts + self.cached

    def pay(self, answers: Iterable[Answer]) -> None:
        """Note answers that were paid now; one that is noted already is not paid twice."""
        for answer in answers:
            if answer.key in self._paid:
                continue
            self._paid.add(answer.key)
            self.rollouts += answer.kind == "rollout"
            self.reflections += answer.kind == "reflection"
            if answer.usage is None:
                self._unknown.add(answer.kind)
            else:
                self._used[answer.kind] = self._used.get(answer.kind, Usage()) + answer.usage

    def charge(self, answer: Answer) -> None:
        """Note an answer that is used for the first time; from now on it is not paid any more."""
        if answer.replier is not None:
            by_name = self.repliers.setdefault(_ROLES[answer.kind], {})
            by_name[answer.replier] = by_name.get(answer.replier, 0) + 1
        if answer.key in self._paid:
            self._paid.remove(answer.key)
        else:
            self.cached += answer.kind == "rollout"
            if answer.usage is not None:
                self._used.setdefault(answer.kind, Usage())

    def spent(self, seconds: float) -> Spent:
        """All of it; `seconds` is how long the run has taken."""
        by_role = {_ROLES[kind]: usage for kind, usage in self._used.items() if kind not in self._unknown}
        total = None if self._unknown or not by_role else reduce(add, by_role.values())
        return Spent(
            rollouts=self.rollouts,
            cached=self.cached,
            reflections=self.reflections,
            tokens=None if total is None else total.tokens,
            usd=None if total is None else total.usd,
            seconds=seconds,
            usage=Used(**by_role),
        )
