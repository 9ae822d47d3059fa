"""Replies of servers that speak chat completions in a dialect of their own."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.agents.model.reply import (
    CUT,
    FAILED,
    REFUSED,
    Reply,
    Tokens,
    read,
    shortcoming,
    without_thoughts,
)

TEXT = {"type": "text", "text": "hello"}


def body(content: object, finish: object = "stop", usage: object = None, **message: object) -> str:
    said = {"role": "assistant", "content": content, **message}
    return json.dumps({"choices": [{"index": 0, "message": said, "finish_reason": finish}], "usage": usage})


@pytest.mark.parametrize(
    ("content", "text", "thought"),
    [
        ("hello", "hello", False),
        ([TEXT, {"type": "text", "text": " you"}], "hello you", False),
        (["hello"], "hello", False),
        ([{"text": "hello"}], "hello", False),
        ([{"type": "output_text", "text": "hello"}], "hello", False),
        ([{"type": "thinking", "thinking": [TEXT]}, TEXT], "hello", True),
        ([{"type": "reasoning", "text": "hm"}, TEXT, {"type": "image_url"}, 5], "hello", True),
        ("hm</think>\n\nhello", "hello", True),
        ("<think>hm</think>\nhello", "hello", True),
        ("<think>\n\n</think>hello", "hello", True),
        ("[THINK]hm[/THINK]hello", "hello", True),
        ("◁think▷hm◁/think▷hello", "hello", True),
        ("<seed:think>hm</seed:think>hello", "hello", True),
        (
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>hello<|return|>",
            "hello",
            True,
        ),
        ("<think>hm", "", True),
        ("<|channel|>analysis<|message|>hm", "", True),
        ("I say <think> of it", "I say <think> of it", False),
        ("I say <think>x</think> of it", "I say <think>x</think> of it", False),
        ("Say <|channel|>final<|message|>x", "Say <|channel|>final<|message|>x", False),
        ("<reasoning>asked for</reasoning> hello", "<reasoning>asked for</reasoning> hello", False),
        (None, "", False),
        ([], "", False),
    ],
)
def test_a_text_is_read_without_its_thoughts(content: object, text: str, thought: bool) -> None:
    assert read(body(content)) == Reply(text, thought=thought)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking", "reasoning_details"])
def test_reasoning_beside_the_text_is_no_text(name: str) -> None:
    assert read(body("", **{name: "It would be hello"})) == Reply("", thought=True)


@pytest.mark.parametrize(
    ("finish", "ended"),
    [
        (None, "stop"),
        ("end_turn", "stop"),
        ("eos", "stop"),
        ("length", CUT),
        ("MAX_TOKENS", CUT),
        ("max_tokens", CUT),
        ("model_length", CUT),  # Mistral, at the end of its context
        ("content_filter", REFUSED),
        ("SAFETY", REFUSED),
        ("sensitive", REFUSED),  # Zhipu
        ("refusal", REFUSED),
        ("error", FAILED),  # OpenRouter
        ("network_error", FAILED),  # Zhipu
        ("insufficient_system_resource", FAILED),  # DeepSeek
        ("abort", FAILED),  # SGLang, vLLM
        (5, "stop"),
    ],
)
def test_how_a_reply_ended_is_told_by_each_server_in_its_words(finish: object, ended: str) -> None:
    assert read(body("hello", finish)) == Reply("hello", ended)


@pytest.mark.parametrize(
    "refusing",
    [
        body(None, refusal="I cannot help with that"),
        body([{"type": "refusal", "refusal": "I cannot"}]),
        body(None, provider_specific_fields={"refusal": "I cannot"}),
        body("", "content_filter"),
    ],
)
def test_a_refusal_is_one_wherever_it_stands(refusing: str) -> None:
    reply = read(refusing)
    assert reply is not None
    assert (shortcoming(reply, None, "max_tokens") or ("",))[0] == "refused"


def test_calls_of_tools_without_a_text_are_told() -> None:
    for message in ({"tool_calls": [{"id": "1"}]}, {"function_call": {"name": "f"}}):
        reply = read(body(None, "tool_calls", **message))
        assert reply == Reply("", called=True)
        assert shortcoming(reply, None, "max_tokens") == ("empty", "the reply calls a tool and has no text")
    assert shortcoming(Reply("hello", called=True), None, "max_tokens") is None


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, None),
        ({}, None),
        ("none", None),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, Tokens(10, 0, 5)),
        ({"prompt_tokens": 10, "completion_tokens": 5}, Tokens(10, 0, 5)),
        ({"prompt_tokens": "10", "completion_tokens": "5"}, Tokens(10, 0, 5)),
        ({"input_tokens": 10, "output_tokens": 5}, Tokens(10, 0, 5)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 4}, Tokens(10, 4, 5)),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 99}},
            Tokens(10, 10, 5),
        ),
        ({"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": "x"}}, Tokens(1, 0, 0)),
        # xAI and Gemini leave reasoning out of completion_tokens, and bill it as completion
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 115,
                "completion_tokens_details": {"reasoning_tokens": 100},
            },
            Tokens(10, 0, 105, 100),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115}, Tokens(10, 0, 105)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "reasoning_tokens": 100}, Tokens(10, 0, 105, 100)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 105,
                "total_tokens": 115,
                "completion_tokens_details": {"reasoning_tokens": 100},
            },
            Tokens(10, 0, 105, 100),
        ),
        ({"prompt_tokens": -5, "completion_tokens": 3, "total_tokens": -2}, Tokens(0, 0, 3)),
    ],
)
def test_tokens_are_counted_by_whichever_names(usage: object, tokens: Tokens | None) -> None:
    reply = read(body("hello", usage=usage))
    assert reply is not None
    assert reply.tokens == tokens


EATEN = "reasoning took all tokens of the reply, and no text came: raise agent.max_tokens"


@pytest.mark.parametrize(
    ("reply", "limit", "words"),
    [
        (Reply("hel", CUT), 200, "the reply was cut: raise agent.max_tokens from 200 to 400"),
        (Reply("", CUT, thought=True), 200, f"{EATEN} from 200 to 800"),
        (Reply("", CUT, tokens=Tokens(9, 0, 200, 200)), 200, f"{EATEN} from 200 to 800"),
        (Reply("", "stop", thought=True, tokens=Tokens(9, 0, 200)), 200, f"{EATEN} from 200 to 800"),
        (
            Reply("", CUT, thought=True, tokens=Tokens(9, 0, 512)),
            None,
            f"{EATEN} to 2048, which is not set: the provider's own was met",
        ),
        (
            Reply("hel", CUT),
            None,
            "the reply was cut: raise agent.max_tokens higher, which is not set: the provider's own was met",
        ),
    ],
)
def test_a_reply_that_is_cut_tells_the_setting_and_the_number(
    reply: Reply, limit: int | None, words: str
) -> None:
    assert shortcoming(reply, limit, "agent.max_tokens") == ("truncated", words)


def test_reasoning_alone_below_the_limit_is_an_empty_reply() -> None:
    reply = Reply("", thought=True, tokens=Tokens(9, 0, 50))
    told = ("empty", "the reply is reasoning and has no text")
    assert shortcoming(reply, 200, "max_tokens") == told == shortcoming(reply, None, "max_tokens")


def events(
    *deltas: dict[str, Any], finish: str | None = "stop", usage: object = None, done: bool = True
) -> str:
    chunks: list[object] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": usage})
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return ": a comment\n\n" + "".join(lines) + ("data: [DONE]\n\n" if done else "")


def test_a_stream_is_read_where_none_was_asked_for() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    said = (
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm"},
        {"content": "hel"},
        {"content": "lo"},
    )
    assert read(events(*said, usage=usage)) == Reply("hello", thought=True, tokens=Tokens(10, 0, 5))
    assert read(events({"content": "hel"}, finish="length", done=False)) == Reply("hel", CUT)
    assert read(events({"content": [TEXT]})) == Reply("hello")


def test_half_a_stream_is_no_reply() -> None:
    assert read(events({"content": "hel"}, finish=None, done=False)) is None
    whole = events({"content": "hello"})
    assert read(whole[: whole.index("finish_reason", whole.index("hello") + 60)]) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["choices", "message", "content", "delta", "usage", "type", "text", "error", "index"]
                ),
                inner,
            )
        ),
        max_leaves=12,
    )
)
def test_nothing_breaks_the_reader(value: object) -> None:
    for text in (
        json.dumps(value),
        f"data: {json.dumps(value)}",
        json.dumps({"choices": [value]}),
        json.dumps({"choices": [{"message": value}]}),
    ):
        reply = read(text)
        assert reply is None or isinstance(reply.text, str)


@given(st.text())
def test_a_text_without_marks_of_thoughts_is_left_as_it_is(text: str) -> None:
    assert without_thoughts(text) == text
