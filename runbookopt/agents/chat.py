"""The chat agent: a model that is given the runbook, then the task, and whose reply is the output."""

from runbookopt.agents.model.client import Model
from runbookopt.agents.model.provider_errors import is_own
from runbookopt.agents.model.retry import ModelFailure
from runbookopt.agents.protocol import AgentFailure, Produced
from runbookopt.documents.digest import as_text, digest_of
from runbookopt.documents.usage import Message
from runbookopt.evidence.trajectory import Left


class ChatAgent:
    """The runbook as the system prompt, the task's input as the user's message, as text or as JSON.

    Repeats of one task are asked afresh. They are alike only where the provider keeps its word that
    temperature and seed make them so: `deterministic` is what the settings say of that.
    """

    name = "chat"

    def __init__(self, model: Model, *, deterministic: bool = False) -> None:
        self.deterministic = deterministic
        self.key = digest_of({"kind": "chat", "version": 1, "model": model.key})
        self._model = model

    def answered_before(self) -> None:
        """Tell the model that it has answered in an earlier process."""
        self._model.answered_before()

    def must_have_key(self) -> None:
        """Raise ModelBroken where the model's key is missing."""
        self._model.must_have_key()

    async def rollout(self, runbook: str, task_input: object, repeat: str) -> Produced:
        """Have the model do the task.

        A model that refuses, stops short, says nothing or cannot take so much text has delivered nothing,
        and would again; where no reply came for other reasons, AgentFailure is raised.
        """
        messages = [Message("system", runbook), Message("user", as_text(task_input))]
        try:
            completion = await self._model.complete(messages, repeat=repeat)
        except ModelFailure as failure:
            if is_own(failure.kind):
                left = Left(reason=f"{failure.kind}: {failure.message}")
                return Produced(output=None, left=left, usage=failure.usage)
            raise AgentFailure(failure.kind, failure.message, failure.usage) from None
        return Produced(output=completion.text, usage=completion.usage)
