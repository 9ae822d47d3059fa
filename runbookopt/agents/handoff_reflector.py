"""The reflector that is whoever answers by hand-off: a coding agent or a person, asked as a model is."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from runbookopt.agents.handoff import KIND, Handoff, Kind
from runbookopt.agents.model.client import Completion
from runbookopt.agents.model_reflector import ModelReflector
from runbookopt.agents.protocol import Reflected, Written
from runbookopt.agents.repair import Clean
from runbookopt.documents.digest import digest_of
from runbookopt.documents.usage import Message, Usage
from runbookopt.search.asks import Reflection, ReflectionFailure
from runbookopt.search.reflecting import prompt

T = TypeVar("T")

VERSION = 1
"""Of what an ask says around a prompt: raised where answers to it may be others."""


class HandoffReflector:
    """Asks by hand-off for what a model would be asked, told nothing that `clean` takes for a secret.

    A reply is read as a model's is: one that does not have the form is asked for once more, by another ask
    that says what is wrong.
    """

    name = KIND

    def __init__(self, handoff: Handoff, clean: Clean) -> None:
        self._handoff, self._clean = handoff, clean
        self.key = ModelReflector(_Replies(handoff), clean).key
        self.edits = prompt.EDITS

    async def reflect(self, ask: Reflection) -> Reflected:
        """Answer one reflection; nobody knows what it used. Raises Awaited."""
        replies = _Replies(self._handoff)
        reflected = await ModelReflector(replies, self._clean).reflect(ask)
        return replace(reflected, usage=None, replier=replies.by)

    async def write(
        self,
        messages: Sequence[Message],
        read: Callable[[str], T | ReflectionFailure],
        repair: Callable[[str, ReflectionFailure], Sequence[Message]],
    ) -> Written:
        """Ask for another text than an edit; nobody knows what it used. Raises Awaited."""
        replies = _Replies(self._handoff, "writing")
        written = await ModelReflector(replies, self._clean).write(messages, read, repair)
        return replace(written, usage=None, replier=replies.by)


class _Replies:
    """Whoever replies, as a language model; `by` is who gave the last reply."""

    name = KIND
    key = digest_of({"kind": KIND, "version": VERSION})

    def __init__(self, handoff: Handoff, kind: Kind = "reflection") -> None:
        self._handoff, self._kind = handoff, kind
        self.by: str | None = None

    async def complete(self, messages: Sequence[Message], *, repeat: str = "0") -> Completion:
        """The reply to a chat; raises Awaited."""
        reply = self._handoff.ask(self._kind, messages, repeat=repeat)
        self.by = reply.by
        return Completion(reply.text, Usage())

    def answered_before(self) -> None:
        """Learn nothing: nobody who replies is ever taken for broken."""

    def must_have_key(self) -> None:
        """Ask for nothing: who replies has no key of ours."""
