"""The judge that is a language model: one question, one prompt, and one more where no verdict comes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from runbookopt.agents.model.retry import ModelBroken, ModelFailure
from runbookopt.agents.protocol import Judged
from runbookopt.documents.digest import canonical
from runbookopt.documents.settings import ModelSettings
from runbookopt.documents.usage import Message, Usage
from runbookopt.verifier import judge as judging
from runbookopt.verifier.judge import JudgeFailure, Question, judge_key
from runbookopt.verifier.rubric import JudgeSettings

if TYPE_CHECKING:
    from runbookopt.agents.model.client import Completion

Clean = Callable[[str], str]


class LanguageModel(Protocol):
    """What a judge needs of a model; another `repeat` is another vote."""

    name: str

    async def complete(self, messages: Sequence[Message], *, repeat: str = "0") -> "Completion":
        """Answer a chat; raises ModelFailure for this call, ModelBroken where none will be answered."""
        ...


class ModelJudge:
    """Asks the model of a rubric's `judge`, told nothing that `clean` takes for a secret."""

    def __init__(self, model: LanguageModel, settings: JudgeSettings, clean: Clean) -> None:
        self._model = model
        self._clean = clean
        self.name = model.name
        self.key = judge_key(settings)

    async def judge(self, question: Question) -> Judged:
        """Answer one question; a reply that is no verdict is shown to the model once, with its fault.

        Raises ModelBroken where the model answers nobody.
        """
        told, vote = without_secrets(question, self._clean), str(question.vote)
        usage = Usage()
        try:
            first = await self._model.complete(judging.prompt(told), repeat=vote)
            usage += first.usage
            said = judging.read(first.text)
            if isinstance(said, JudgeFailure):
                usage += Usage(failures={said.kind: 1})
                second = await self._model.complete(judging.repair(told, first.text, said), repeat=vote)
                usage += second.usage
                said = judging.read(second.text)
                usage += Usage(failures={said.kind: 1} if isinstance(said, JudgeFailure) else {})
        except ModelFailure as failure:
            return Judged(JudgeFailure(failure.kind, failure.message), usage + failure.usage)
        except ModelBroken as broken:
            broken.usage = usage + broken.usage
            raise
        return Judged(said, usage)


def model_settings(judge: JudgeSettings) -> ModelSettings:
    """Give how a rubric's judge is asked: by the rubric alone, so that no setting turns a verdict."""
    return ModelSettings(
        judge.model,
        api_base=judge.api_base,
        key_variable=judge.key_variable,
        temperature=judge.temperature,
        price=judge.price,
    )


def without_secrets(question: Question, clean: Clean) -> Question:
    """Give the question as a model may see it."""
    task = question.input if isinstance(question.input, str) else canonical(question.input).decode()
    return replace(question, judge=clean(question.judge), input=clean(task), output=clean(question.output))
