"""What is said to a model, and what calls to models used: tokens, dollars, failures by kind."""

from typing import Literal

from msgspec import Struct


class Message(Struct, frozen=True):
    """One message of a chat; what stays the same from call to call stands first, so that caches hit."""

    role: Literal["system", "user", "assistant"]
    content: str


class Usage(Struct, frozen=True, omit_defaults=True):
    """What calls to models used; tokens are counts, `usd` is None where a price is unknown.

    `calls` are those that a provider billed, failed ones included; `cached` is the part of `prompt` that
    came from the provider's cache; `failures` counts failed attempts by kind, retried or not.
    """

    calls: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    usd: float | None = 0.0
    failures: dict[str, int] = {}

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            calls=self.calls + other.calls,
            prompt=self.prompt + other.prompt,
            cached=self.cached + other.cached,
            completion=self.completion + other.completion,
            usd=_both(self._dollars(), other._dollars()),
            failures={
                kind: self.failures.get(kind, 0) + other.failures.get(kind, 0)
                for kind in sorted(self.failures | other.failures)
            },
        )

    def _dollars(self) -> float | None:
        """Where nothing was billed, an unknown price makes nothing unknown."""
        return self.usd if self.calls else self.usd or 0.0


def _both(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


class Used(Struct, frozen=True, omit_defaults=True):
    """What calls to models used, by role; None where nothing, or not all, is known."""

    agent: Usage | None = None
    reflector: Usage | None = None
    judge: Usage | None = None


class Spent(Struct, frozen=True):
    """What a run used: `rollouts` and `reflections` were paid now, `cached` rollouts were paid earlier.

    `tokens`, `usd` and `usage` were paid now, failed calls included. Unknown is None, never 0. `seconds` is
    the wall clock of this process.
    """

    rollouts: int
    cached: int
    reflections: int
    tokens: int | None = None
    usd: float | None = None
    seconds: float = 0.0
    usage: Used = Used()
