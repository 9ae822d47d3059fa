"""The judge that is a language model: one question, one prompt, and one more where no verdict comes."""

from functools import partial

from msgspec.structs import replace

from runbookopt.agents.protocol import Judged
from runbookopt.agents.repair import Clean, LanguageModel, read_reply
from runbookopt.documents.digest import as_text
from runbookopt.documents.settings import ModelSettings
from runbookopt.verifier import judge as judging
from runbookopt.verifier.judge import JudgeFailure, Question, judge_key
from runbookopt.verifier.rubric import JudgeSettings


class ModelJudge:
    """Asks the model of a rubric's `judge`, told nothing that `clean` takes for a secret."""

    def __init__(self, model: LanguageModel, settings: JudgeSettings, clean: Clean) -> None:
        self._model = model
        self._clean = clean
        self.name = model.name
        self.key = judge_key(settings)

    def answered_before(self) -> None:
        """Tell the model that it has answered in an earlier process."""
        self._model.answered_before()

    def must_have_key(self) -> None:
        """Raise ModelBroken where the model's key is missing."""
        self._model.must_have_key()

    async def judge(self, question: Question) -> Judged:
        """Answer one question; another vote is another sample. Raises ModelBroken."""
        shown = without_secrets(question, self._clean)
        complete = partial(self._model.complete, repeat=str(question.vote))
        repair = partial(judging.repair, shown)
        read = partial(judging.read, judged=f"{as_text(shown.input)}\n{shown.output}")
        return Judged(*await read_reply(complete, judging.prompt(shown), read, repair, JudgeFailure))


def model_settings(judge: JudgeSettings) -> ModelSettings:
    """Settings of a rubric's judge: by the rubric alone, so that no setting turns a verdict."""
    return ModelSettings(
        judge.model,
        api_base=judge.api_base,
        key_variable=judge.key_variable,
        temperature=judge.temperature,
        max_tokens=judge.max_tokens,
        price=judge.price,
        parameters=judge.parameters,
        system_role=judge.system_role,
    )


def without_secrets(question: Question, clean: Clean) -> Question:
    """The question as a model may see it."""
    task, output = clean(as_text(question.input)), clean(question.output)
    return replace(question, judge=clean(question.judge), input=task, output=output)
