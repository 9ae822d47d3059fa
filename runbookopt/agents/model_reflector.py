"""The reflector that is a language model: one ask, one prompt, and one more where the reply is malformed."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from runbookopt.agents.model.retry import ModelBroken, ModelFailure
from runbookopt.agents.protocol import Reflected
from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import canonical, digest_of
from runbookopt.documents.parse import MalformedFile
from runbookopt.documents.usage import Message, Usage
from runbookopt.search import prompt
from runbookopt.search.asks import Candidate, Proposal, Reflection, ReflectionFailure, Shown, Tried

if TYPE_CHECKING:
    from runbookopt.agents.model.client import Completion

Clean = Callable[[str], str]


END = 10 * prompt.FAILING
"""So many characters at each end of a text are looked through for secrets, half a second a million."""

_LOOKS = "something looks like a secret"


class LanguageModel(Protocol):
    """What a reflector needs of a model; `key` is the digest of all that changes its answers."""

    name: str
    key: str

    async def complete(self, messages: Sequence[Message]) -> "Completion":
        """Answer a chat; raises ModelFailure for this call, ModelBroken where none will be answered."""
        ...


class ModelReflector:
    """Asks a model for one edit, told nothing that `clean` takes for a secret."""

    def __init__(self, model: LanguageModel, clean: Clean) -> None:
        self._model = model
        self._clean = clean
        self.name = model.name
        self.key = digest_of({"kind": "model", "model": model.key, "prompt": prompt.VERSION})

    async def reflect(self, ask: Reflection) -> Reflected:
        """Answer one reflection; a reply that cannot be read is shown to the model once, with its fault.

        Raises ModelBroken where the model answers nobody.
        """
        told = without_secrets(ask, self._clean)
        if not told.components:
            return Reflected(ReflectionFailure("secret", f"{_LOOKS} in every part that may be edited"))
        usage = Usage()
        try:
            text = (first := await self._model.complete(prompt.prompt(told))).text
            usage += first.usage
            said = prompt.read(told, text)
            if isinstance(said, ReflectionFailure):
                usage += Usage(failures={said.kind: 1})
                second = await self._model.complete(prompt.repair(told, text, said))
                usage += second.usage
                said = prompt.read(told, second.text)
                usage += Usage(failures={said.kind: 1} if isinstance(said, ReflectionFailure) else {})
        except ModelFailure as failure:
            return Reflected(ReflectionFailure(failure.kind, failure.message), usage + failure.usage)
        except ModelBroken as broken:
            broken.usage = usage + broken.usage
            raise
        return Reflected(_allowed(ask, told, said), usage)


def without_secrets(ask: Reflection, clean: Clean) -> Reflection:
    """Give the ask as a model may see it: cleaned, and without the components that cleaning changed.

    What stands in place of a secret must not get into the runbook, so such a part is shown as locked.
    """

    def show(shown: Shown) -> Shown:
        told = shown.input if isinstance(shown.input, str) else canonical(shown.input).decode()
        output = None if shown.output is None else _ends(shown.output, clean)
        feedback = tuple(_ends(reason, clean) for reason in shown.feedback)
        return replace(shown, input=_ends(told, clean), output=output, feedback=feedback)

    def tell(tried: Tried) -> Tried:
        said = (_ends(text, clean) for text in (tried.diagnosis, tried.change, tried.outcome))
        return Tried(tried.component, *said)

    text = clean(ask.candidate.text)
    parts = _parts(text)
    return replace(
        ask,
        candidate=Candidate(text),
        components=tuple(part for part in ask.components if parts.get(part.id) == part.text),
        failing=tuple(map(show, ask.failing)),
        passing=tuple(map(show, ask.passing)),
        lineage=tuple(map(tell, ask.lineage)),
    )


def _ends(text: str, clean: Clean) -> str:
    """Clean the ends of a text, of which alone a prompt shows something; what is between is blanked out."""
    if len(text) <= 2 * END:
        return clean(text)
    return clean(text[:END]) + " " * (len(text) - 2 * END) + clean(text[-END:])


def _parts(text: str) -> dict[str, str]:
    try:
        return {part.id: part.text for part in runbooks.parse(text).parts}
    except MalformedFile:  # a lock marker went with the secret
        return {}


def _allowed(
    ask: Reflection, told: Reflection, said: Proposal | ReflectionFailure
) -> Proposal | ReflectionFailure:
    """Refuse an edit of a part that was withheld: what stands for the secret would replace it."""
    withheld = {part.id for part in ask.components} - {part.id for part in told.components}
    if isinstance(said, Proposal) and said.component in withheld:
        return ReflectionFailure("secret", f"{_LOOKS} in {said.component}: only a person may edit that part")
    return said
