"""What a server may answer with status 200 that is no chat completion, or an odd one."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from runbookopt.agents.model.client import Completion, Model
from runbookopt.agents.model.retry import ModelFailure
from runbookopt.documents.settings import ModelSettings, Price
from runbookopt.documents.usage import Message

Ask = Callable[[object], Completion]


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
            self.wfile.write(json.dumps(replies[-1]).encode())

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    def asked(reply: object) -> Completion:
        replies.append(reply)
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        settings = ModelSettings("openai/local", api_base=url, attempts=1, price=Price(1.0, 2.0))
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
        "hello",
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
