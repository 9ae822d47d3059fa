"""Retries of calls to a model: how often and when one is made again, by the kind of its failure."""

import random
from collections.abc import Callable

from runbookopt.agents.model.provider_errors import KINDS
from runbookopt.documents.usage import Usage
from runbookopt.errors import Invalid


class ModelFailure(Exception):
    """One call that came to nothing, after all attempts that make sense.

    `kind` is one of `KINDS`, which say whose it is; `message` is one line.
    """

    def __init__(self, kind: str, message: str, usage: Usage, *, wait: float | None = None) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.usage = usage
        self.wait = wait  # seconds that the server asked for


class ModelBroken(Invalid):
    """No call to this model can succeed until a person does something: the run ends, its journal stays."""

    def __init__(self, message: str, usage: Usage) -> None:
        super().__init__(message)
        self.usage = usage


_MOST_REFUSED = 3  # connections that nobody takes, where nobody ever took one
_SHORTEST_WAIT = 0.05  # seconds, whatever a server asks for
_LONGEST_WAIT = 120.0
_LONGEST_BACKOFF = 30.0
_FIRST_BACKOFF = 0.25  # half of it on average


class Attempts:
    """One call's attempts: what they used, and whether and when the next one is made.

    `attempts` are for failures on the way. A server that wants fewer requests (429) is no failure: it is
    waited for as it asks, at most `patience` seconds in all. Where no server was `met` yet, a connection that
    nobody takes is tried a few times only.
    """

    def __init__(self, attempts: int, patience: float, *, met: Callable[[], bool]) -> None:
        self.usage = Usage()
        self._attempts, self._patience, self._met = attempts, patience, met

    def pause(self, failure: ModelFailure) -> float | None:
        """Count a failed attempt, and give the seconds until the next one; None where there is none."""
        kind = failure.kind
        self.usage += Usage(failures={kind: 1})
        failed = self.usage.failures
        if kind == "rate_limited":
            if failure.wait is not None and failure.wait > self._patience:
                return None  # no waiting of ours would mend it
            seconds = _seconds(failure, failed[kind])
            self._patience -= seconds
            return None if self._patience < 0 else seconds
        tried = sum(failed.values()) - failed.get("rate_limited", 0)
        if failed[kind] >= (KINDS[kind].tries or tried + 1) or tried >= self._attempts:
            return None
        if KINDS[kind].billed:
            return 0.0
        if kind == "connection" and failed[kind] >= _MOST_REFUSED and not self._met():
            return None
        return _seconds(failure, failed[kind])


def _seconds(failure: ModelFailure, times: int) -> float:
    # At random, and up to twice as long with each failure of this kind: one kind says little of another.
    # "Full jitter" of https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    backoff = random.uniform(0, min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** min(times - 1, 10)))
    seconds = backoff if failure.wait is None else failure.wait
    return min(max(seconds, _SHORTEST_WAIT), _LONGEST_WAIT)
