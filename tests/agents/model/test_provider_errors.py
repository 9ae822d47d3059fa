"""What providers say where nothing comes of a call, in their own words, through HTTP and litellm."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from runbookopt.agents.model.client import Model
from runbookopt.agents.model.provider_errors import KINDS, wait
from runbookopt.agents.model.retry import ModelBroken, ModelFailure
from runbookopt.documents.settings import ModelSettings
from runbookopt.documents.usage import Message


class Said(NamedTuple):
    """A line of said_by_providers.jsonl: what a provider answers, and the kind of failure that it is."""

    kind: str
    provider: str
    status: int
    body: object


LINES = Path(__file__).with_name("said_by_providers.jsonl").read_text().splitlines()
ALL = [Said(**json.loads(line)) for line in LINES]
NO_CREDIT = [said for said in ALL if said.kind == "no_credit"]
OTHERS = [said for said in ALL if said.kind != "no_credit"]
Ask = Callable[..., BaseException]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Give what asks a model of a provider once, whose server answers so, and gives the error."""
    said: list[Said] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = said[-1].status, said[-1].body
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    def asked(reply: Said, attempts: int = 1, patience: float = 0.0) -> BaseException:
        said.append(reply)
        url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        settings = ModelSettings(
            f"{reply.provider}/some-model",
            api_base=url,
            attempts=attempts,
            patience_seconds=patience,
            key_variable="KEY",
        )
        with pytest.raises((ModelBroken, ModelFailure)) as caught:
            asyncio.run(Model(settings, width=1, environ={"KEY": "k"}).complete([Message("user", "Where?")]))
        return caught.value

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield asked
        server.shutdown()


@pytest.mark.parametrize("said", NO_CREDIT)
def test_an_account_that_is_used_up_ends_the_run_in_each_provider_s_words(ask: Ask, said: Said) -> None:
    error = ask(said)
    assert isinstance(error, ModelBroken), error
    assert "gives no credit any more: add some, or set another KEY" in str(error)
    assert error.usage.failures == {"no_credit": 1}


@pytest.mark.parametrize("said", OTHERS)
def test_no_other_trouble_is_taken_for_an_empty_account(ask: Ask, said: Said) -> None:
    error = ask(said)
    assert isinstance(error, ModelBroken | ModelFailure)
    assert error.usage.failures == {said.kind: 1}, error
    assert isinstance(error, ModelBroken) == (KINDS[said.kind].ends or said.kind == "bad_request")


@pytest.mark.parametrize("said", [said for said in ALL if said.kind == "too_large"])
def test_a_request_that_is_too_large_for_the_limit_is_not_waited_for(ask: Ask, said: Said) -> None:
    error = ask(said, attempts=5, patience=3600.0)
    assert isinstance(error, ModelFailure), error
    assert error.usage.failures == {"too_large": 1}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 7m12.5s.", 432.5),
        ("Please try again in 300ms.", 0.3),
        ("Please retry after 86400 seconds.", 86400.0),
        ("Please retry in 18.5s.", 18.5),
        ("Try again in 1h2m3s", 3723.0),
        ("Please try again in a while", None),
    ],
)
def test_when_to_come_back_is_read_where_it_is_said_in_words_alone(text: str, seconds: float | None) -> None:
    error = ValueError(text)
    error.status_code = 429  # type: ignore[attr-defined] - as litellm's errors have it
    assert wait(error) == seconds
