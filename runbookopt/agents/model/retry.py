"""How often and when a call to a model is made again, by the kind of its failure."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from runbookopt.documents.usage import Usage
from runbookopt.errors import RunbookoptError

if TYPE_CHECKING:
    from tenacity import RetryCallState


class ModelFailure(Exception):
    """One call that came to nothing, after all attempts that make sense.

    `kind`: "refused" (a content filter), "truncated", "empty", "unparsable", "context" (the prompt is too
    long), "bad_request", "timeout", "rate_limited", "server", "connection". `message` is one line.
    """

    def __init__(self, kind: str, message: str, usage: Usage, *, wait: float | None = None) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.usage = usage
        self.wait = wait  # seconds that the server asked for


class ModelBroken(RunbookoptError):
    """No call to this model can succeed until a person does something: the run ends, its journal stays."""

    def __init__(self, message: str, usage: Usage) -> None:
        super().__init__(message)
        self.usage = usage


BROKEN = frozenset({"authentication", "unknown_model", "no_credit", "certificate", "package"})
"""Kinds of failures that every other call would meet too."""

RETRIED = frozenset({"truncated", "empty", "unparsable", "timeout", "rate_limited", "server", "connection"})
DELIVERED = frozenset({"truncated", "empty", "refused"})
"""Kinds of failures that the model answered with, and that were billed."""

_MOST_DELIVERED = 3  # attempts that end so: they cost money
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
        self._attempts = attempts
        self._patience = patience
        self._met = met

    def count(self, kind: str) -> None:
        """Count a failed attempt."""
        self.usage += Usage(failures={kind: 1})

    def retrying(self) -> Any:  # noqa: ANN401 - what tenacity wraps calls in
        """Give what makes a call as often as needed, and raises its last ModelFailure."""
        import asyncio

        from tenacity import AsyncRetrying, retry_if_exception_type  # noqa: PLC0415

        return AsyncRetrying(
            sleep=asyncio.sleep,
            wait=self._wait,
            stop=self._is_over,
            retry=retry_if_exception_type(ModelFailure),
            reraise=True,
        )

    def _wait(self, state: "RetryCallState") -> float:
        failure = _failure(state)
        if failure.kind in DELIVERED:
            return 0.0
        seconds = self._backoff(state, failure.kind) if failure.wait is None else failure.wait
        seconds = min(max(seconds, _SHORTEST_WAIT), _LONGEST_WAIT)
        if failure.kind == "rate_limited":
            self._patience -= seconds
        return seconds

    def _backoff(self, state: "RetryCallState", kind: str) -> float:
        """Give a random wait that doubles with each failure of this kind: one kind says little of another."""
        from tenacity import RetryCallState, wait_random_exponential  # noqa: PLC0415

        alike = RetryCallState(state.retry_object, None, (), {})
        alike.attempt_number = self.usage.failures[kind]
        return float(wait_random_exponential(multiplier=_FIRST_BACKOFF, max=_LONGEST_BACKOFF)(alike))

    def _is_over(self, state: "RetryCallState") -> bool:
        failure = _failure(state)
        failed = self.usage.failures
        times = failed[failure.kind]
        if failure.kind not in RETRIED:
            return True
        if failure.kind == "rate_limited":
            return self._patience < 0  # the next wait is taken off already
        if failure.kind in DELIVERED and times >= _MOST_DELIVERED:
            return True
        if failure.kind == "connection" and times >= _MOST_REFUSED and not self._met():
            return True
        return sum(failed.values()) - failed.get("rate_limited", 0) >= self._attempts


def _failure(state: "RetryCallState") -> ModelFailure:
    """Give the failure after which tenacity asks what to do."""
    failure = state.outcome.exception() if state.outcome else None
    if not isinstance(failure, ModelFailure):
        raise TypeError(failure)
    return failure


def advice(failure: ModelFailure, place: str, variables: str) -> str:
    """Say in one line what is wrong at `place`, what was said there, and what to do."""
    said = failure.message
    known = {
        "authentication": f"{place} does not accept the key: set {variables} ({said})",
        "unknown_model": f"{place} knows no such model: correct its name, or api_base ({said})",
        "no_credit": f"{place} gives no credit any more: add some, or set another {variables} ({said})",
        "certificate": f"the certificate of {place} is not trusted: correct api_base, or set SSL_CERT_FILE"
        f" to who signed it ({said})",
        "package": f"{place} needs another package: install it ({said})",
        "connection": f"no connection to {place}: start the server, or correct api_base ({said})",
        "context": f"every prompt is too long for it: choose a model with a larger context ({said})",
        "bad_request": f"{place} refuses the request: correct the model's settings ({said})",
    }
    otherwise = f"{place} answers nothing but errors: run again later ({failure.kind}: {said})"
    return known.get(failure.kind, otherwise)
