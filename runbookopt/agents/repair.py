"""Reply of a model to a prompt, and to one more that shows it what is wrong with the first."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from runbookopt.agents.model.provider_errors import is_own
from runbookopt.agents.model.retry import ModelBroken, ModelFailure
from runbookopt.documents.usage import Message, Usage
from runbookopt.search.asks import ReflectionFailure
from runbookopt.verifier.judge import JudgeFailure

if TYPE_CHECKING:
    from runbookopt.agents.model.client import Completion

T = TypeVar("T")
Failure = TypeVar("Failure", JudgeFailure, ReflectionFailure)
Clean = Callable[[str], str]


class LanguageModel(Protocol):
    """A model that judges or reflects; `key` is the digest of all that changes its answers."""

    name: str
    key: str

    async def complete(self, messages: Sequence[Message], *, repeat: str = "0") -> "Completion":
        """Answer a chat; raises ModelFailure for this call, ModelBroken where none will be answered."""

    def answered_before(self) -> None:
        """Hear that it has answered in an earlier process."""

    def must_have_key(self) -> None:
        """Raise ModelBroken where a key is missing without which nothing would be answered."""


async def read_reply(
    complete: Callable[[Sequence[Message]], Awaitable["Completion"]],
    prompt: Sequence[Message],
    read: Callable[[str], T | Failure],
    repair: Callable[[str, Failure], Sequence[Message]],
    failing: type[Failure],
    reread: Callable[[str], T | Failure] | None = None,
) -> tuple[T | Failure, Usage]:
    """Ask for what `read` finds in a reply, once more with the messages of `repair` where that is a failure.

    The second reply is read by `reread`, where it is given. Gives what was found with the usage of both
    calls. A call that came to nothing is a failure too; raises ModelBroken where the model answers nobody.
    """
    usage = Usage()
    try:
        reply = await complete(prompt)
        usage += reply.usage
        answer = read(reply.text)
        if isinstance(answer, failing):
            usage += Usage(failures={answer.kind: 1})
            again = await complete(repair(reply.text, answer))
            usage += again.usage
            answer = (reread or read)(again.text)
            usage += Usage(failures={answer.kind: 1} if isinstance(answer, failing) else {})
    except ModelFailure as failure:
        lost = not is_own(failure.kind)
        return failing(failure.kind, failure.message, unanswered=lost), usage + failure.usage
    except ModelBroken as broken:
        broken.usage = usage + broken.usage
        raise
    return answer, usage
