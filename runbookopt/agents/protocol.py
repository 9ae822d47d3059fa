"""Agent, reflector and judge as the driver needs them: three small protocols, and what they leave."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from msgspec import Struct

from runbookopt.documents.usage import Message, Usage
from runbookopt.evidence.trajectory import Left
from runbookopt.search.asks import Proposal, Reflection, ReflectionFailure
from runbookopt.verifier.judge import JudgeFailure, Judgement, Question

T = TypeVar("T")


class Produced(Struct, frozen=True, omit_defaults=True):
    """Product of one attempt: the raw output, what else there is to look at, and what calls to models used.

    `output` is None where the agent ran and delivered nothing: an answer like any other, and a bad one.
    `usage` is None where nothing is known of it: here, and in all that an agent, a reflector or a judge says.
    `replier` is who answered by hand-off, by their own word; None where nobody did.
    """

    output: str | None
    left: Left | None = None
    usage: Usage | None = None
    replier: str | None = None


class AgentFailure(Exception):
    """The agent could not be run at all (`kind`: "timeout", "server", ...), which is no fault of its own.

    Such an attempt has no score. It is asked again by every other run, and by this one where it ends for want
    of answers. `usage` is what was billed all the same.
    """

    def __init__(self, kind: str, message: str, usage: Usage | None = None) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.usage = usage


class OpenAsk(Struct, frozen=True):
    """An ask whose reply is awaited by hand-off: its file, and the reply's, from the root of the repository.

    `problem` says why a file that is there is not taken for the reply; None where there is none.
    """

    ask: str
    reply: str
    problem: str | None = None


class Awaited(Exception):
    """There is no answer yet: somebody was asked by hand-off, and has not replied."""

    def __init__(self, ask: OpenAsk) -> None:
        super().__init__(f"{ask.reply}: {ask.problem or 'not there yet'}")
        self.ask = ask


class OpenAsks(Protocol):
    """The asks of one runbook that are handed off, as a job that waits for replies needs them."""

    read: int
    """Replies that were read since asks were closed last."""

    def awaited(self) -> tuple[OpenAsk, ...]:
        """The open asks that have no reply that can be taken, as the files are now."""

    def close(self, but: Collection[OpenAsk] = ()) -> tuple[str, ...]:
        """Close all asks but those; gives a sentence for each reply that answers none of them."""


class Reflected(Struct, frozen=True):
    """Answer of a reflector, what its calls used, failed ones included, and who answered by hand-off."""

    said: Proposal | ReflectionFailure
    usage: Usage | None = None
    replier: str | None = None


class Judged(Struct, frozen=True):
    """Answer of a judge, and what its calls used, failed ones included."""

    said: Judgement | JudgeFailure
    usage: Usage | None = None


class Agent(Protocol):
    """A candidate and a task's input in, an output out.

    `key` is the digest of all settings that change an answer ("sha256:..."); `deterministic` says that
    repeats are alike. `rollout` is cancelled on Ctrl-C, and must not block the event loop.
    """

    name: str
    key: str
    deterministic: bool

    async def rollout(self, runbook: str, task_input: Any, repeat: str) -> Produced:  # noqa: ANN401 - any JSON
        """Attempt the task once; raises AgentFailure where no attempt came about, and Awaited."""


@runtime_checkable
class ReadsRules(Protocol):
    """An agent that follows rules of a form of its own, and none where it finds none."""

    def unfollowed(self, runbook: str) -> str | None:
        """Say why this agent cannot follow a runbook; None where it can."""


class Reflector(Protocol):
    """Failing trajectories in, edits of components out; `key` is the digest of all its settings."""

    name: str
    key: str

    async def reflect(self, ask: Reflection) -> Reflected:
        """Propose edits, each with what went wrong; raises Awaited."""


@runtime_checkable
class GivesSeveral(Protocol):
    """A reflector whose replies may hold several edits, `edits` at most; others give one."""

    edits: int


def edits_of(reflector: Reflector) -> int:
    """How many edits a reply of a reflector may hold."""
    return reflector.edits if isinstance(reflector, GivesSeveral) else 1


class Written(Struct, frozen=True):
    """What somebody wrote on request, or why there is nothing; the rest is as in `Reflected`."""

    said: object
    usage: Usage | None = None
    replier: str | None = None


@runtime_checkable
class Writes(Protocol):
    """A reflector that can be asked in words for other texts than edits: a model, or somebody at hand."""

    async def write(
        self,
        messages: Sequence[Message],
        read: Callable[[str], T | ReflectionFailure],
        repair: Callable[[str, ReflectionFailure], Sequence[Message]],
    ) -> Written:
        """What `read` finds in the reply, or in a second one to the messages of `repair`; raises Awaited."""


class Judge(Protocol):
    """A question about one output in, a verdict out; `key` is the digest of all that changes a verdict."""

    name: str
    key: str

    async def judge(self, question: Question) -> Judged:
        """Answer the question."""


@runtime_checkable
class AsksModel(Protocol):
    """An agent, a reflector or a judge that asks a language model."""

    def answered_before(self) -> None:
        """Hear that the model has answered in an earlier process: what it refuses is the prompt's fault."""

    def must_have_key(self) -> None:
        """Raise ModelBroken where a key is missing without which nothing would be answered."""
