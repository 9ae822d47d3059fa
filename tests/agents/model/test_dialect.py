"""How servers want to be asked, by what they say where they are asked in another way."""

import asyncio
import json
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.agents.model.client import Completion, Model
from runbookopt.agents.model.dialect import Dialect, joined, learned, spoken, told, without_system
from runbookopt.agents.model.retry import ModelBroken
from runbookopt.documents.settings import ModelSettings, Price
from runbookopt.documents.usage import Message


class Refused(NamedTuple):
    """A line of refused_by_servers.jsonl: what a server says, and what is learned from it."""

    learned: str | None
    server: str
    status: int
    words: str


HERE = Path(__file__).parent
ALL = [Refused(**json.loads(line)) for line in (HERE / "refused_by_servers.jsonl").read_text().splitlines()]
REQUEST = {
    "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is it?"}],
    "temperature": 0.5,
    "seed": 1,
    "max_tokens": 9,
}
AFTER = {
    None: None,
    "system": Dialect(system=False),
    "streams": Dialect(streams=True),
    "max_completion_tokens": Dialect(limit="max_completion_tokens"),
    "max_tokens": Dialect(limit="max_tokens"),
    "temperature": Dialect(without=frozenset({"temperature"})),
    "seed": Dialect(without=frozenset({"seed"})),
}


@pytest.mark.parametrize("refused", ALL)
def test_a_refusal_teaches_what_it_says(refused: Refused) -> None:
    assert learned(Dialect(), refused.words, REQUEST) == AFTER[refused.learned]


def test_what_was_learned_is_not_learned_again_and_a_task_in_a_refusal_is_not_heard() -> None:
    for refused in ALL:
        if (after := AFTER[refused.learned]) is not None:
            assert learned(after, refused.words, REQUEST) is None, refused
    assert learned(Dialect(), "x" * 1000 + "System role not supported", REQUEST) is None
    plain = {"messages": REQUEST["messages"][1:]}
    assert [
        each for each in ALL if learned(Dialect(), each.words, plain) not in {None, Dialect(streams=True)}
    ] == []


def test_no_trouble_that_providers_tell_teaches_anything() -> None:
    lines = (HERE / "said_by_providers.jsonl").read_text().splitlines()
    assert [line for line in lines if learned(Dialect(), line, REQUEST) is not None] == []


@given(st.lists(st.sampled_from([each.words for each in ALL]), max_size=30))
def test_a_server_that_refuses_everything_is_asked_a_few_times_only(refusals: list[str]) -> None:
    dialect, taught = Dialect(), 0
    for words in refusals:
        if (better := learned(dialect, words, REQUEST)) is not None:
            assert joined(dialect, better) == better != dialect
            assert list(told(dialect, better)) != []
            dialect, taught = better, taught + 1
    assert taught <= 6


def test_a_request_is_spoken_in_a_dialect() -> None:
    dialect = Dialect(
        system=False, streams=True, limit="max_completion_tokens", without=frozenset({"seed", "temperature"})
    )
    assert spoken(REQUEST, Dialect()) == REQUEST
    assert spoken(REQUEST | {"extra_body": {"x": 1}}, dialect) == {
        "messages": [{"role": "user", "content": "Be kind.\n\nWhere is it?"}],
        "extra_body": {
            "x": 1,
            "max_completion_tokens": 9,
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    }


def test_a_judge_that_is_asked_again_keeps_its_first_reply_between() -> None:
    roles = ["system", "user", "assistant", "user"]
    messages = [{"role": role, "content": str(number)} for number, role in enumerate(roles)]
    assert [each["content"] for each in without_system(messages)] == ["0\n\n1", "2", "3"]
    assert without_system(messages[:1]) == [{"role": "user", "content": "0"}]
    assert messages[0] == {"role": "system", "content": "0"}


# At a server -----------------------------------------------------------------------------------------------


def asking(url: str, said: list[str] | None = None, **settings: Any) -> Model:  # noqa: ANN401 - fields
    given = {"attempts": 1, "price": Price(1.0, 2.0), "api_base": url} | settings
    tell = (said if said is not None else []).append
    return Model(ModelSettings("openai/alias", **given), width=4, environ={}, role="agent", tell=tell)


def answered(model: Model, *texts: str) -> list[Completion]:
    async def at_once() -> list[Completion]:
        system = Message("system", "Be kind.")
        return await asyncio.gather(*(model.complete([system, Message("user", text)]) for text in texts))

    return asyncio.run(at_once())


def no_system(body: dict[str, Any]) -> str | None:
    return "System role not supported" if body["messages"][0]["role"] == "system" else None


def test_where_the_system_role_is_refused_it_is_said_once_and_asked_for_once_by_each_call_in_flight(
    openai_server: ModuleType,
) -> None:
    said: list[str] = []
    with openai_server.Server(lambda body: body["messages"][0]["content"]) as server:
        server.refuse = no_system
        model = asking(server.url, said)
        texts = [f"letter {number}" for number in range(6)]
        first = answered(model, *texts)
        assert [each.text for each in first] == [f"Be kind.\n\n{text}" for text in texts]
        before = len(server.heard)
        assert 7 <= before <= 6 + 4
        answered(model, "another")
        assert len(server.heard) == before + 1
    assert model.usage.failures == {}
    assert model.usage.calls == server.billed().calls == 7
    (line,) = said
    assert line.startswith("openai/alias (agent): the server refuses the system role")


def test_system_role_user_says_so_from_the_start(openai_server: ModuleType) -> None:
    with openai_server.Server() as server:
        server.refuse = no_system
        asked = asking(server.url, system_role="user")
        answered(asked, "hello")
        assert len(server.heard) == 1
    assert asked.key != asking(server.url).key


@pytest.mark.parametrize("usage", [True, False])
def test_a_server_that_only_streams_is_asked_for_streams(openai_server: ModuleType, usage: bool) -> None:
    def streamed(reply: dict[str, Any]) -> Any:  # noqa: ANN401 - of tests/openai_server.py
        text = reply["choices"][0]["message"]["content"]
        deltas = [{"content": text[:3]}, {"content": text[3:]}, {}]
        ends = [None, None, "stop"]
        events: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
            for delta, end in zip(deltas, ends, strict=True)
        ]
        counted = [{"choices": [], "usage": reply["usage"]}] if usage else []
        return openai_server.Stream(events + counted)

    def refuse(body: dict[str, Any]) -> str | None:
        if not body.get("stream"):
            return "This model only support stream mode, please enable the stream parameter."
        return (
            None if usage or "stream_options" not in body else "Unrecognized request argument: stream_options"
        )

    said: list[str] = []
    with openai_server.Server(lambda _: "hello you") as server:
        server.refuse, server.dress = refuse, streamed
        (completion,) = answered(asking(server.url, said), "hi")
    assert completion.text == "hello you"
    billed = server.billed()
    assert completion.usage.calls == billed.calls == 1
    assert (completion.usage.uncounted, completion.usage.prompt) == ((0, billed.prompt) if usage else (1, 0))
    assert len(said) == 1


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_most_tokens_go_by_the_name_that_the_server_takes(openai_server: ModuleType, name: str) -> None:
    words = {
        "max_completion_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model."
        " Use 'max_completion_tokens' instead.",
        "max_tokens": "Unrecognized request argument supplied: max_completion_tokens",
    }
    other = ({*words} - {name}).pop()
    with openai_server.Server() as server:
        server.refuse = lambda body: words[name] if other in body else None
        model = asking(server.url, max_tokens=9)
        if name == "max_tokens":  # which litellm sends by the new name, by the name of the model
            model = Model(
                ModelSettings("openai/gpt-5-mini", api_base=server.url, max_tokens=9), width=1, environ={}
            )
        answered(model, "hi")
    assert server.heard[-1].body[name] == 9
    assert other not in server.heard[-1].body


@pytest.mark.parametrize("name", ["temperature", "seed"])
def test_what_a_model_behind_an_alias_does_not_take_is_left_out_and_said(
    openai_server: ModuleType, name: str
) -> None:
    said: list[str] = []
    with openai_server.Server() as server:
        server.refuse = lambda body: f"Unsupported parameter: '{name}'" if name in body else None
        answered(asking(server.url, said, **{name: 1}), "hi")
    assert said == [f"openai/alias (agent): the server does not take {name}: it is left out"]


def test_a_parameter_of_the_user_s_is_never_left_out(openai_server: ModuleType) -> None:
    with openai_server.Server() as server:
        server.refuse = lambda body: "'top_p' is not supported" if "top_p" in body else None
        with pytest.raises(ModelBroken, match="'top_p' is not supported"):
            answered(asking(server.url, parameters={"top_p": 0.5}), "hi")
    assert len(server.heard) == 1


def test_a_server_that_refuses_both_ways_ends_the_run(openai_server: ModuleType) -> None:
    with openai_server.Server() as server:
        server.refuse = lambda _: "System role not supported"
        with pytest.raises(ModelBroken, match="refuses the request"):
            answered(asking(server.url), "hi")
    assert len(server.heard) == 2
