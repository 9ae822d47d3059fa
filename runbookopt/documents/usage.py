"""Usage of models: their messages, and what calls used in tokens, dollars and failures by kind."""

from typing import Literal

from msgspec import Struct


class Message(Struct, frozen=True):
    """One message of a chat; what stays the same from call to call stands first, so that caches hit."""

    role: Literal["system", "user", "assistant"]
    content: str


class Usage(Struct, frozen=True, omit_defaults=True):
    """Usage by calls to models; tokens are counts, `usd` is None where a price is unknown.

    `calls` are those that a provider billed, failed ones included; `cached` is the part of `prompt` that
    came from the provider's cache; `failures` counts failed attempts by kind, retried or not. `uncounted` are
    calls whose server did not say their tokens: they are in no count but `calls`, and their price is unknown.
    """

    calls: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    usd: float | None = 0.0
    failures: dict[str, int] = {}
    uncounted: int = 0

    @property
    def tokens(self) -> int | None:
        """Prompt and completion together; None where a server did not count them."""
        return None if self.uncounted else self.prompt + self.completion

    def __add__(self, other: "Usage") -> "Usage":
        # Where nothing was billed, an unknown price makes nothing unknown.
        one, two = (used.usd if used.calls else used.usd or 0.0 for used in (self, other))
        return Usage(
            calls=self.calls + other.calls,
            prompt=self.prompt + other.prompt,
            cached=self.cached + other.cached,
            completion=self.completion + other.completion,
            usd=None if one is None or two is None else one + two,
            failures={
                kind: self.failures.get(kind, 0) + other.failures.get(kind, 0)
                for kind in sorted(self.failures | other.failures)
            },
            uncounted=self.uncounted + other.uncounted,
        )


class Used(Struct, frozen=True, omit_defaults=True):
    """Usage by calls to models, by role; None where nothing, or not all, is known."""

    agent: Usage | None = None
    reflector: Usage | None = None
    judge: Usage | None = None

    @property
    def uncounted(self) -> int:
        """Calls whose server did not say their tokens."""
        return sum(each.uncounted for each in (self.agent, self.reflector, self.judge) if each)


class Spent(Struct, frozen=True):
    """Usage by a run: `rollouts` and `reflections` were paid now, `cached` rollouts were paid earlier.

    So were `tokens`, `usd` and `usage`, failed calls included. Unknown is None, never 0; `seconds` passed.
    """

    rollouts: int
    cached: int
    reflections: int
    tokens: int | None = None
    usd: float | None = None
    seconds: float = 0.0
    usage: Used = Used()
