"""Who answers prompts: whoever reads files, or a model by litellm; and our reflector on top of them."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks.earlier import Earlier, as_kind
from benchmarks.language.agent import Missing
from benchmarks.language.record import Record, name_of
from runbookopt.agents.model.client import Completion
from runbookopt.agents.model_reflector import ModelReflector
from runbookopt.agents.protocol import Reflected
from runbookopt.documents.digest import digest_of
from runbookopt.documents.usage import Message, Usage
from runbookopt.search.asks import Proposal, Reflection, ReflectionFailure
from runbookopt.search.reflecting import prompt as prompts
from runbookopt.search.reflecting.reply import read

SECONDS = 0.5
"""Between two looks at a folder of replies."""


class Answerer(Protocol):
    """Answers prompts; `by` says who that is."""

    by: str

    def ask(self, prompts: Sequence[str]) -> list[str]:
        """Give the replies, in the order of the prompts."""


class Handoff:
    """Writes `asks/NAME.md` for all prompts at once, and waits for `replies/NAME.md`, NAME a digest."""

    by = "a strong language model, by hand-off, one prompt at a time"

    def __init__(self, folder: Path) -> None:
        self._asks, self._replies = folder / "asks", folder / "replies"
        for each in (self._asks, self._replies):
            each.mkdir(parents=True, exist_ok=True)

    def ask(self, prompts: Sequence[str]) -> list[str]:
        """Give the replies as they come; an ask whose reply is read is taken away."""
        names = [name_of(prompt) for prompt in prompts]
        for name, prompt in zip(names, prompts, strict=True):
            unfinished = self._asks / f".{name}"
            unfinished.write_text(prompt, "utf-8")
            unfinished.replace(self._asks / f"{name}.md")
        replies = [self._awaited(name) for name in names]
        for name in names:
            (self._asks / f"{name}.md").unlink(missing_ok=True)
        return replies

    def _awaited(self, name: str) -> str:
        """Wait for a reply that has stopped growing."""
        file, size = self._replies / f"{name}.md", -1
        while True:
            now = os.stat(file).st_size if file.exists() else -1  # noqa: PTH116 - two looks at one file
            if now > 0 and now == size:
                return file.read_text("utf-8")
            size = now
            time.sleep(SECONDS)


class Litellm:
    """A model by its name with litellm, such as one behind an OpenAI-compatible address."""

    def __init__(self, model: str, base: str | None = None, most: int = 4096) -> None:
        self.by, self._base, self._most = model, base, most

    def ask(self, prompts: Sequence[str]) -> list[str]:
        """Ask one after the other; a call that fails is an empty reply."""
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        import litellm

        replies = []
        for prompt in prompts:
            told = [{"role": "user", "content": prompt}]
            made = litellm.completion(
                self.by,
                told,
                api_base=self._base,
                api_key="none" if self._base else None,
                max_tokens=self._most,
                temperature=0,
            )
            replies.append(made.choices[0].message.content or "")
        return replies


class Replies:
    """Replies of one run, from the record or from whoever answers; `characters` went to and fro."""

    def __init__(self, record: Record, answerer: Answerer | None) -> None:
        self._record, self._answerer = record, answerer
        self.characters = 0
        self.count = 0

    def prepare(self, prompts: Sequence[str]) -> None:
        """Have all prompts answered that were not answered before; raises Missing where nobody is there."""
        wanted = [each for each in dict.fromkeys(prompts) if name_of(each) not in self._record.replies]
        if not wanted:
            return
        if self._answerer is None:
            raise Missing(f"{len(wanted)} replies of the reflector")
        for prompt, reply in zip(wanted, self._answerer.ask(wanted), strict=True):
            self._record.reply(prompt, reply, self._answerer.by)

    def known(self, prompt: str) -> str:
        """Give the reply, which counts elsewhere."""
        self.prepare([prompt])
        return self._record.replies[name_of(prompt)]

    def said(self, prompt: str) -> str:
        """Give the reply, and count it."""
        reply = self.known(prompt)
        self.characters += len(prompt) + len(reply)
        self.count += 1
        return reply


class RecordedModel:
    """The replies as a model of ours, which answers at once."""

    name = "recorded"
    key = "recorded"

    def __init__(self, replies: Replies) -> None:
        self._replies = replies

    async def complete(self, messages: Sequence[Message], *, repeat: str = "0") -> Completion:
        """Give the reply to a chat."""
        del repeat
        return Completion(self._replies.said(written(messages)), Usage())

    def answered_before(self) -> None:
        """Hear nothing."""

    def must_have_key(self) -> None:
        """Have none."""


class Prompted(Protocol):
    """A reflector that has all asks of a wave answered at once."""

    replies: Replies

    def prepare(self, asks: Sequence[Any]) -> None:
        """Have them answered."""


class PromptedReflector(ModelReflector):
    """Our own reflector, as it asks any model."""

    def __init__(self, replies: Replies) -> None:
        super().__init__(RecordedModel(replies), str)
        self.replies = replies

    def prepare(self, asks: Sequence[Reflection]) -> None:
        """Have all asks of a wave answered at once, and then what has to be asked once more."""
        self.replies.prepare([written(prompts.prompt(ask)) for ask in asks])
        again = []
        for ask in asks:
            reply = self.replies.known(written(prompts.prompt(ask)))
            found = read(ask, reply)
            if isinstance(found, ReflectionFailure):
                again.append(written(prompts.repair(ask, reply, found)))
        self.replies.prepare(again)


class EarlierReflector:
    """Asks with the prompt of an earlier search, and reads replies as that did."""

    name = "earlier"

    def __init__(self, replies: Replies, earlier: Earlier) -> None:
        self.replies, self._earlier = replies, earlier
        self.edits = getattr(earlier.prompt, "EDITS", 1)
        self.key = digest_of(["earlier", earlier.commit])

    def prepare(self, asks: Sequence[Any]) -> None:
        """Have all asks of a wave answered at once."""
        self.replies.prepare([written(self._earlier.prompt.prompt(ask)) for ask in asks])
        self.replies.prepare([repair for ask in asks if (repair := self._repair(ask)) is not None])

    async def reflect(self, ask: Reflection) -> Reflected:
        """Answer one reflection."""
        as_was = as_kind(self._earlier.asks.Reflection, ask)
        text = self.replies.said(written(self._earlier.prompt.prompt(as_was)))
        found, repair = self._earlier.reply.read(as_was, text), self._repair(as_was)
        if repair is not None:
            partly = {"partly": True} if self.edits > 1 else {}
            found = self._earlier.reply.read(as_was, self.replies.said(repair), **partly)
        failed = isinstance(found, self._earlier.asks.ReflectionFailure)
        return Reflected(as_kind(ReflectionFailure, found) if failed else as_kind(Proposal, found))

    def _repair(self, ask: Any) -> str | None:  # noqa: ANN401 - an earlier ask
        """Give what is asked once more where the reply cannot be read."""
        text = self.replies.known(written(self._earlier.prompt.prompt(ask)))
        found = self._earlier.reply.read(ask, text)
        failed = isinstance(found, self._earlier.asks.ReflectionFailure)
        return written(self._earlier.prompt.repair(ask, text, found)) if failed else None


def written(messages: Sequence[Message]) -> str:
    """Write the messages of a chat as one text."""
    return "\n\n".join(f"<<<{each.role}>>>\n{each.content}" for each in messages)
