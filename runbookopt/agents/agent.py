"""What the driver needs of an agent and of a reflector: two small protocols, and what an attempt leaves."""

from typing import Any, Protocol

from msgspec import Struct

from runbookopt.search.asks import Proposal, Reflection, ReflectionFailure


class Produced(Struct, frozen=True):
    """What one attempt left: the raw output, and its steps as ATIF writes them.

    `output` is None where the agent ran and delivered nothing: an answer like any other, and a bad one.
    """

    output: str | None
    steps: tuple[dict[str, Any], ...] = ()


class AgentFailure(Exception):
    """The agent could not be run at all (`kind`: "timeout", "refused", ...): the world failed, not the agent.

    Counted as an attempt without output in the run that met it, and asked again in every other.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


class Agent(Protocol):
    """A candidate and a task's input in, an output out.

    `key` is the digest of all settings that change an answer ("sha256:..."); `deterministic` says that
    repeats are alike. `rollout` is cancelled on Ctrl-C, and must not block the event loop.
    """

    name: str
    key: str
    deterministic: bool

    async def rollout(self, runbook: str, task_input: Any, repeat: str) -> Produced:  # noqa: ANN401 - any JSON
        """Attempt the task once; raises AgentFailure where no attempt came about."""
        ...


class Reflector(Protocol):
    """Failing trajectories in, one component's new text out; `key` is the digest of all its settings."""

    name: str
    key: str

    async def reflect(self, ask: Reflection) -> Proposal | ReflectionFailure:
        """Say what went wrong and propose one edit."""
        ...
