import asyncio
from types import ModuleType
from typing import Any

import pytest

from runbookopt.agents.chat import ChatAgent
from runbookopt.agents.model.client import Model
from runbookopt.agents.protocol import AgentFailure, Produced
from runbookopt.documents.settings import ModelSettings, Price
from runbookopt.documents.usage import Usage

RUNBOOK = "---\nname: desk\n---\n# Desk\nAnswer in one word.\n"


def agent(url: str, **settings: Any) -> ChatAgent:  # noqa: ANN401 - the fields of the settings
    given = {"attempts": 2, "price": Price(1.0, 2.0)} | settings
    return ChatAgent(Model(ModelSettings("openai/local", api_base=url, **given), width=4, environ={}))


def attempt(of: ChatAgent, task: object = "Where is it?", repeat: str = "0") -> Produced:
    return asyncio.run(of.rollout(RUNBOOK, task, repeat))


def test_the_runbook_is_the_system_prompt_and_the_task_the_user_s_message(openai_server: ModuleType) -> None:
    with openai_server.Server(lambda _: "post") as server:
        produced = attempt(agent(server.url))
    usage = Usage(calls=1, prompt=13, completion=1, usd=pytest.approx(15e-6))
    assert produced == Produced(output="post", usage=usage)
    assert server.heard[0].said("system") == RUNBOOK
    assert server.heard[0].said("user") == "Where is it?"


def test_a_task_that_is_no_text_is_told_as_json(openai_server: ModuleType) -> None:
    with openai_server.Server() as server:
        attempt(agent(server.url), {"subject": "fee", "amount": 3})
    assert server.heard[0].said("user") == '{"amount":3,"subject":"fee"}'


def test_each_repeat_is_asked_with_a_seed_of_its_own(openai_server: ModuleType) -> None:
    with openai_server.Server() as server:
        asking = agent(server.url, seed=3)
        for repeat in ("0", "1", "0"):
            attempt(asking, repeat=repeat)
    first, second, third = (heard.body["seed"] for heard in server.heard)
    assert first == third != second


@pytest.mark.parametrize("fault", ["refused", "truncated", "empty"])
def test_a_model_that_delivers_nothing_has_answered(openai_server: ModuleType, fault: str) -> None:
    with openai_server.Server(faults=openai_server.always(fault)) as server:
        produced = attempt(agent(server.url))
    assert produced.output is None
    assert produced.usage is not None
    assert produced.usage.calls == server.billed().calls > 0


def test_a_prompt_that_is_too_long_for_the_model_is_an_answer_too(openai_server: ModuleType) -> None:
    with openai_server.Server(context=5) as server:
        produced = attempt(agent(server.url))
    assert (produced.output, produced.usage) == (None, Usage(failures={"context": 1}))


def test_a_server_that_fails_is_no_answer(openai_server: ModuleType) -> None:
    with (
        openai_server.Server(faults=openai_server.always("server")) as server,
        pytest.raises(AgentFailure) as caught,
    ):
        attempt(agent(server.url))
    assert (caught.value.kind, caught.value.message) == ("server", "The server had an error")
    assert caught.value.usage == Usage(failures={"server": 2})


def test_the_key_is_the_model_s_and_repeats_differ_unless_said_otherwise() -> None:
    one, other = agent("http://127.0.0.1:9/v1"), agent("http://127.0.0.1:9/v1", temperature=0.0)
    assert one.key != other.key
    assert not other.deterministic
    model = Model(ModelSettings("openai/local"), width=1, environ={})
    assert ChatAgent(model, deterministic=True).deterministic
    assert ChatAgent(model).key == ChatAgent(model, deterministic=True).key != model.key
