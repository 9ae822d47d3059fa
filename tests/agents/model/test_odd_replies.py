"""What a server may answer with status 200 that is no chat completion, or an odd one."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from runbookopt.agents.model.client import Completion, Model
from runbookopt.agents.model.retry import ModelBroken, ModelFailure
from runbookopt.documents.settings import ModelSettings, Price
from runbookopt.documents.usage import Message, Usage

Ask = Callable[..., Completion]
PRICE = Price(1.0, 2.0)
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Give what asks a model whose server gives this reply."""
    replies: list[object] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            said = replies[-1] if isinstance(replies[-1], str) else json.dumps(replies[-1])
            self.wfile.write(said.encode())

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    def asked(reply: object, name: str = "openai/local", price: Price | None = PRICE) -> Completion:
        replies.append(reply)
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        settings = ModelSettings(name, api_base=url, attempts=1, price=price, patience_seconds=0.0)
        return asyncio.run(Model(settings, width=1, environ={}).complete([Message("user", "Where is it?")]))

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield asked
        server.shutdown()


def reply(content: object, **more: object) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **more}


@pytest.mark.parametrize(
    "odd",
    [
        [],
        '"hello"',
        "<html>busy</html>",
        5,
        {"choices": [{}]},
        {"choices": [{"index": 0, "message": None, "finish_reason": "stop"}]},
        reply(5),
    ],
)
def test_what_is_no_chat_completion_is_no_lost_connection(ask: Ask, odd: object) -> None:
    with pytest.raises(ModelFailure) as caught:
        ask(odd)
    assert (caught.value.kind, caught.value.message) == (
        "unparsable",
        "the server's reply is no chat completion",
    )


def test_half_a_character_is_no_text_that_can_be_kept(ask: Ask) -> None:
    assert ask(reply("a\ud800b")).text == "a?b"


def test_a_server_cannot_give_tokens_back(ask: Ask) -> None:
    usage = {"prompt_tokens": -5, "completion_tokens": 3, "total_tokens": -2}
    assert ask(reply("hello", usage=usage)).usage.usd == pytest.approx(6e-6)


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        (
            "openai/local",
            reply([{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}], usage=USAGE),
        ),
        (
            "openai/local",
            reply([{"type": "thinking", "thinking": []}, {"type": "text", "text": "hello"}], usage=USAGE),
        ),
        ("openai/local", reply("hm</think>hello", usage=USAGE)),
        ("openai/local", {"choices": [{"message": {"content": "hello"}}], "usage": USAGE}),  # nothing else
        ("openai/local", {"choices": [{"text": "hello"}], "usage": USAGE}),
        ("openai/local", f"data: {json.dumps(reply('hello', usage=USAGE))}\n\ndata: [DONE]\n\n"),
        ("groq/local", reply("hello", usage=USAGE)),  # litellm stumbles there over what Groq alone sends
        ("mistral/local", reply([{"type": "text", "text": "hello"}], usage=USAGE)),
        ("hosted_vllm/local", reply([{"type": "text", "text": "hello"}], usage=USAGE)),
        ("openrouter/local", reply("hello", usage=USAGE, error={"message": "", "code": None})),
    ],
)
def test_a_reply_in_another_dialect_is_one_and_is_billed(ask: Ask, name: str, odd: object) -> None:
    completion = ask(odd, name)
    assert completion.text == "hello"
    assert completion.usage == Usage(calls=1, prompt=10, completion=5, usd=pytest.approx(20e-6))


def failed(ask: Ask, odd: object) -> ModelFailure | ModelBroken:
    with pytest.raises((ModelFailure, ModelBroken)) as caught:
        ask(odd)
    return caught.value


def test_what_cannot_be_read_is_billed_where_it_says_its_tokens(ask: Ask) -> None:
    error = failed(ask, reply(5, usage=USAGE))
    assert error.usage == Usage(
        calls=1, prompt=10, completion=5, usd=pytest.approx(20e-6), failures={"unparsable": 1}
    )
    assert failed(ask, reply(5)).usage == Usage(failures={"unparsable": 1})


def test_a_reply_without_usage_is_known_to_be_that(ask: Ask) -> None:
    usage = ask(reply("hello")).usage
    assert usage == Usage(calls=1, usd=None, uncounted=1)
    assert (usage.tokens, (usage + usage).uncounted) == (None, 2)


def test_reasoning_that_is_counted_apart_is_billed_as_completion_by_the_list_too(ask: Ask) -> None:
    apart = {**USAGE, "total_tokens": 115, "completion_tokens_details": {"reasoning_tokens": 100}}
    usage = ask(reply("hello", usage=apart), "openai/gpt-4o-mini", None).usage
    assert (usage.completion, usage.usd) == (105, pytest.approx(10 * 0.15e-6 + 105 * 0.6e-6))


@pytest.mark.parametrize(
    ("odd", "kind"),
    [
        ({"error": {"message": "Provider returned error", "code": 502}}, "server"),
        ({"error": {"message": "Slow down", "code": 429}}, "rate_limited"),
        ({"error": {"message": "Slow down", "code": "429"}}, "rate_limited"),
        ({"error": {"message": "No more", "code": "insufficient_quota"}}, "no_credit"),
        ({"error": {"message": "No more", "code": 402}}, "no_credit"),
        ({"error": {"message": "No auth", "code": 401}}, "no_key"),
        (reply("", error={"code": 502, "message": "Upstream"}), "server"),
        ({"choices": [{"message": {"content": "hel"}, "finish_reason": "error"}]}, "server"),
        ({"choices": [{"message": {"content": ""}, "error": {"code": 502}}]}, "server"),
        ({"choices": [{"message": {"content": None, "refusal": "No"}}]}, "refused"),
        ({"choices": [{"message": {"content": "x"}, "finish_reason": "model_length"}]}, "truncated"),
    ],
)
def test_an_error_within_a_success_has_its_kind(ask: Ask, odd: object, kind: str) -> None:
    assert kind in failed(ask, odd).usage.failures
