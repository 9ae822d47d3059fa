import json
from collections.abc import Callable, Sequence

import pytest

from runbookopt.agents.model.client import Completion
from runbookopt.documents.usage import Message, Usage
from runbookopt.errors import Invalid
from runbookopt.jobs.verifiers.audit import Shown
from runbookopt.jobs.verifiers.audit_judge import compared, stand_in
from runbookopt.verifier.rubric import JudgeSettings

PAIRS = (
    Shown("one", "ticket 1", None, "right", "wrong"),
    Shown("two", "ticket 2", "expected", "wrong", "right"),
    Shown("three", "ticket 3", None, None, "wrong"),
)


class Scripted:
    """A model that answers as a function of its last message."""

    name = key = "scripted"

    def __init__(self, answer: Callable[[str], str]) -> None:
        self.answer, self.heard = answer, list[str]()

    async def complete(self, messages: Sequence[Message], *, repeat: str = "0") -> Completion:  # noqa: ARG002
        self.heard.append("\n".join(message.content for message in messages))
        return Completion(self.answer(messages[-1].content), Usage())

    def answered_before(self) -> None:
        """Nothing hangs on it."""

    def must_have_key(self) -> None:
        """It needs none."""


def saying(better: str) -> str:
    return json.dumps({"critique": "It is.", "better": better})


def knowing(shown: str) -> str:
    first, second = shown.find("right"), shown.find("\n<second")
    return saying("equal" if first < 0 else "first" if first < second else "second")


def test_a_side_is_better_where_both_orders_say_so() -> None:
    model = Scripted(knowing)
    assert compared(model, PAIRS, str) == {"one": "left", "two": "right", "three": "equal"}
    assert len(model.heard) == 2 * len(PAIRS)


def test_a_habit_of_the_first_place_is_no_preference() -> None:
    answers = compared(Scripted(lambda _: saying("first")), PAIRS, str)
    assert set(answers.values()) == {"equal"}


def test_a_reply_that_is_none_is_asked_for_once_more_and_then_nothing_is_made_up() -> None:
    def slow(shown: str) -> str:
        return saying("equal") if "That is no answer" in shown else "The first, I think."

    assert set(compared(Scripted(slow), PAIRS, str).values()) == {"equal"}
    with pytest.raises(Invalid, match="gives no comparison of a pair: expected one JSON object"):
        compared(Scripted(lambda _: '{"better": "left"}'), PAIRS, str)


def test_secrets_do_not_reach_the_prompt_and_outputs_stand_in_fences() -> None:
    model = Scripted(knowing)
    compared(model, PAIRS, lambda text: text.replace("ticket", "[secret]"))
    assert not [heard for heard in model.heard if "ticket" in heard]
    assert all(heard.count("<first ") == 1 for heard in model.heard)


def test_a_stronger_judge_of_the_same_provider_is_asked_where_the_rubrics_is() -> None:
    judge = JudgeSettings("openai/gpt-5-mini", votes=3, api_base="http://127.0.0.1:1/v1")
    same = stand_in("openai/gpt-5", judge)
    assert (same.model, same.api_base, same.votes) == ("openai/gpt-5", judge.api_base, 1)
    assert stand_in("anthropic/claude", judge) == JudgeSettings("anthropic/claude")
    assert stand_in("openai/gpt-5", None) == JudgeSettings("openai/gpt-5")
