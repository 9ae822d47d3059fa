"""The reflector that is a language model: one ask, one prompt, and one more where the reply is malformed."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from runbookopt.agents.protocol import Reflected, Written
from runbookopt.agents.repair import Clean, LanguageModel, read_reply
from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import as_text, digest_of
from runbookopt.documents.parse import MalformedFile
from runbookopt.documents.usage import Message
from runbookopt.search.asks import Candidate, Kind, Reflection, ReflectionFailure, Shown, Tried
from runbookopt.search.reflecting import prompt, reply

T = TypeVar("T")

END = 10 * prompt.FAILING
"""So many characters at each end of a text are looked through for secrets, half a second a million."""

_LOOKS = "something looks like a secret"


class ModelReflector:
    """Asks a model for edits, told nothing that `clean` takes for a secret."""

    def __init__(self, model: LanguageModel, clean: Clean) -> None:
        self._model = model
        self._clean = clean
        self.name = model.name
        self.edits = prompt.EDITS
        self.key = digest_of({"kind": "model", "model": model.key, "prompt": prompt.VERSION})

    def answered_before(self) -> None:
        """Tell the model that it has answered in an earlier process."""
        self._model.answered_before()

    def must_have_key(self) -> None:
        """Raise ModelBroken where the model's key is missing."""
        self._model.must_have_key()

    async def reflect(self, ask: Reflection) -> Reflected:
        """Answer one reflection; raises ModelBroken."""
        shown = without_secrets(ask, self._clean)
        if not shown.components:
            return Reflected(ReflectionFailure("secret", f"{_LOOKS} in every part that may be edited"))
        answer, usage = await read_reply(
            self._model.complete,
            prompt.prompt(shown),
            partial(reply.read, shown),
            partial(prompt.repair, shown),
            ReflectionFailure,
            partial(reply.read, shown, partly=True),
        )
        withheld = [part.id for part in ask.components if part not in shown.components]
        if withheld and isinstance(answer, ReflectionFailure):
            why = f"{_LOOKS} in {', '.join(withheld)}, so that only a person may edit that"
            answer = replace(answer, message=f"{answer.message}; {why}")
        return Reflected(answer, usage)

    async def write(
        self,
        messages: Sequence[Message],
        read: Callable[[str], T | ReflectionFailure],
        repair: Callable[[str, ReflectionFailure], Sequence[Message]],
    ) -> Written:
        """Ask for another text than an edit; raises ModelBroken."""

        def cleaned(each: Sequence[Message]) -> list[Message]:
            return [replace(message, content=self._clean(message.content)) for message in each]

        answer, usage = await read_reply(
            self._model.complete,
            cleaned(messages),
            read,
            lambda reply, failure: cleaned(repair(reply, failure)),
            ReflectionFailure,
        )
        return Written(answer, usage)


def without_secrets(ask: Reflection, clean: Clean) -> Reflection:
    """The ask as a model may see it: cleaned, and without the components that cleaning changed.

    What stands in place of a secret must not get into the runbook, so such a part is shown as locked, and no
    reply that edits it is taken.
    """

    def show(shown: Shown) -> Shown:
        output = None if shown.output is None else _ends(shown.output, clean)
        feedback, advice = (
            tuple(_ends(reason, clean) for reason in each) for each in (shown.feedback, shown.advice)
        )
        origin = None if shown.origin is None else clean(shown.origin)
        text = _ends(as_text(shown.input), clean)
        return replace(shown, input=text, output=output, feedback=feedback, origin=origin, advice=advice)

    def tell(tried: Tried) -> Tried:
        diagnosis, change, outcome = (
            _ends(text, clean) for text in (tried.diagnosis, tried.change, tried.outcome)
        )
        return replace(tried, diagnosis=diagnosis, change=change, outcome=outcome)

    def count(kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        return tuple(Kind(_ends(kind.feedback, clean), kind.tasks) for kind in kinds)

    text, parts = clean(ask.candidate.text), {}
    with suppress(MalformedFile):  # a lock marker went with the secret
        parts = {part.id: part.text for part in runbooks.parse(text).parts}
    return replace(
        ask,
        candidate=Candidate(text),
        components=tuple(part for part in ask.components if parts.get(part.id) == part.text),
        failing=tuple(map(show, ask.failing)),
        passing=tuple(map(show, ask.passing)),
        lineage=tuple(map(tell, ask.lineage)),
        agent=clean(ask.agent),
        kinds=count(ask.kinds),
        wave=tuple(map(count, ask.wave)),
    )


def _ends(text: str, clean: Clean) -> str:
    """Clean the ends of a text, of which alone a prompt shows something; what is between is blanked out."""
    if len(text) <= 2 * END:
        return clean(text)
    return clean(text[:END]) + " " * (len(text) - 2 * END) + clean(text[-END:])
