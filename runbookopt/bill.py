"""What a process has paid, by role, and what is known of its tokens and dollars (pure)."""

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add

from runbookopt.journal import Answer, Kind, Spent, Used
from runbookopt.usage import Usage

_ROLES: dict[Kind, str] = {"rollout": "agent", "reflection": "reflector", "judgement": "judge"}


class Bill:
    """The answers that were paid now, each once, and those that were paid earlier and are used now.

    Tokens and dollars of a role are known where each of its paid answers says what it used, and where
    none was paid, if the answers that were used say so.
    """

    def __init__(self) -> None:
        self.rollouts = self.reflections = self.cached = 0
        self._paid: set[str] = set()
        self._used: dict[Kind, Usage] = {}
        self._unknown: set[Kind] = set()

    def pay(self, answers: Iterable[Answer]) -> None:
        """Note answers that were paid now; one that is noted already is not paid twice."""
        for answer in answers:
            if answer.key not in self._paid:
                self._paid.add(answer.key)
                self.rollouts += answer.kind == "rollout"
                self.reflections += answer.kind == "reflection"
                self._note(answer, paid=True)

    def charge(self, answer: Answer) -> None:
        """Note an answer that is used for the first time; from now on it is not paid any more."""
        if answer.key in self._paid:
            self._paid.remove(answer.key)
        else:
            self.cached += answer.kind == "rollout"
            self._note(answer, paid=False)

    def spent(self, seconds: float) -> Spent:
        """Give it all."""
        known = {_ROLES[kind]: usage for kind, usage in self._used.items() if kind not in self._unknown}
        total = None if self._unknown else _total(list(known.values()))
        return Spent(
            rollouts=self.rollouts,
            cached=self.cached,
            reflections=self.reflections,
            tokens=None if total is None else total.prompt + total.completion,
            usd=None if total is None else total.usd,
            seconds=seconds,
            usage=Used(**known),
        )

    def _note(self, answer: Answer, *, paid: bool) -> None:
        if answer.usage is None:
            self._unknown |= {answer.kind} if paid else set()
        else:
            paid_now = answer.usage if paid else Usage()
            self._used[answer.kind] = self._used.get(answer.kind, Usage()) + paid_now


def _total(used: Sequence[Usage]) -> Usage | None:
    return reduce(add, used) if used else None
