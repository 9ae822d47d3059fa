"""A scripted server on loopback that speaks OpenAI's chat completions: real HTTP, planned faults, counts.

    with Server(answer) as server:      # answer(request) -> text, a function of the request alone
        ... openai/any-model at server.url ...
    server.heard, server.billed(), server.mean_in_flight()

Run as a program it serves one fixed answer, prints its address, and tells how busy it was when stdin closes.
"""

import argparse
import hashlib
import ipaddress
import json
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, Self

from msgspec import Struct

Kind = Literal[
    "rate_limited",  # 429; `seconds` is its Retry-After
    "no_credit",  # 429, and no waiting helps
    "out_of_credit",  # the same as another provider says it, by a plain 400
    "server",  # 500
    "cut",  # the connection ends before an answer
    "cut_short",  # the connection ends within the answer
    "slow",  # the answer comes `seconds` late
    "truncated",  # finish_reason length, half the text
    "empty",  # no text
    "refused",  # finish_reason content_filter
    "garbage",  # 200, and no JSON
    "unauthorized",  # 401, echoing the key as real servers do
    "unknown_model",  # 404
    "bad_request",  # 400
]


class Fault(Struct, frozen=True):
    """What goes wrong with one request."""

    kind: Kind
    seconds: float | None = None


class Stream(Struct, frozen=True):
    """A reply that comes as events, whatever was asked for."""

    events: list[dict[str, Any]]


Plan = Callable[[str, int], Fault | None]
"""The fault of a request by its digest and how many times it was heard before."""


Outage = Callable[[Mapping[str, Any]], Kind | None]
"""What goes wrong with a request, by the request."""


class Heard(Struct):
    """One request, and what it was billed."""

    body: dict[str, Any]
    headers: dict[str, str]
    digest: str
    at: float
    status: int | None = None
    prompt: int = 0
    cached: int = 0
    completion: int = 0

    def said(self, role: str) -> str:
        """Give what this role says in the request."""
        return "\n".join(message["content"] for message in self.body["messages"] if message["role"] == role)


class Billed(Struct, frozen=True):
    """What all answers cost, in tokens."""

    calls: int
    prompt: int
    cached: int
    completion: int


def always(kind: Kind, seconds: float | None = None) -> Plan:
    return lambda digest, times: Fault(kind, seconds)  # noqa: ARG005 - a plan's arguments


def at_first(kind: Kind, seconds: float | None = None, *, times: int = 1) -> Plan:
    return lambda digest, before: Fault(kind, seconds) if before < times else None  # noqa: ARG005


def by_chance(
    shares: Mapping[Kind, float], *, first_only: Mapping[Kind, float] = {}, seconds: float = 0.05
) -> Plan:
    """Give faults in these shares, a function of the request and how often it was heard, never of the order.

    `first_only` are shares of first attempts. Half of the 429s say when to come back.
    """

    def plan(digest: str, times: int) -> Fault | None:
        drawn = hashlib.sha256(f"{digest}/{times}".encode()).digest()
        chance = int.from_bytes(drawn[:8], "big") / 2**64
        for kind, share in (*shares.items(), *(first_only.items() if times == 0 else ())):
            if chance < share:
                silent = kind == "rate_limited" and drawn[8] % 2
                return Fault(kind, None if silent else seconds)
            chance -= share
        return None

    return plan


def tokens(text: str) -> int:
    """Count as this server does: a token is a word."""
    return len(text.split())


class Server:
    """The server; a context manager. `latency` is in seconds, `context` the most tokens of a prompt."""

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], str] = lambda _: "hello",
        *,
        faults: Plan | None = None,
        latency: float = 0.0,
        context: int | None = None,
        tls: bool = False,
    ) -> None:
        self.answer = answer
        self.faults = faults
        self.outage: Outage | None = None
        self.refuse: Callable[[dict[str, Any]], str | None] = lambda _: None  # the words of a plain 400
        self.dress: Callable[[dict[str, Any]], object] = lambda reply: reply  # another dialect of a reply
        self.latency = latency
        self.context = context
        self.heard: list[Heard] = []
        self.headers: list[dict[str, str]] = []  # of requests to any path
        self.most_in_flight = 0
        self._times: Counter[str] = Counter()
        self._systems: set[str] = set()
        self._in_flight = 0
        self._busy = 0.0
        self._first = self._last = 0.0
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.ours = self
        if tls:
            context, self.certificate = _self_signed()
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.set()
        self._http.shutdown()
        self._http.server_close()

    def billed(self) -> Billed:
        """Give what was billed: every answer of status 200, useful or not."""
        paid = [each for each in self.heard if each.status == 200]
        return Billed(
            calls=len(paid),
            prompt=sum(each.prompt for each in paid),
            cached=sum(each.cached for each in paid),
            completion=sum(each.completion for each in paid),
        )

    def mean_in_flight(self) -> float:
        """Give how many requests were in flight on average, from when the first came until the last left."""
        return self._busy / (self._last - self._first) if self._last > self._first else 0.0

    def hear(self, body: dict[str, Any], headers: dict[str, str]) -> tuple[Heard, Fault | None]:
        said = Heard(body, headers, _digest(body), time.monotonic())
        with self._lock:
            self.heard.append(said)
            times = self._times[said.digest]
            self._times[said.digest] += 1
            system = said.said("system")
            said.prompt = sum(tokens(message["content"]) for message in body["messages"])
            said.cached = tokens(system) if system in self._systems else 0
            self._systems.add(system)
        if self.outage is not None and (kind := self.outage(body)) is not None:
            return said, Fault(kind)
        return said, self.faults(said.digest, times) if self.faults else None

    def wait(self, seconds: float) -> None:
        """Wait, unless the server ends."""
        self._open.wait(seconds)

    def moved(self, step: int) -> None:
        """Count a request that came or left."""
        with self._lock:
            now = time.monotonic()
            self._first = self._first or now
            self._busy += self._in_flight * (now - (self._last or now))
            self._last = now
            self._in_flight += step
            self.most_in_flight = max(self.most_in_flight, self._in_flight)


class _Http(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True
    block_on_close = False
    ours: Server

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up or distrust the certificate."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for an answer, not one for its head and one for its body
    disable_nagle_algorithm = True
    server: _Http

    def do_POST(self) -> None:
        ours = self.server.ours
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ours.headers.append({name.lower(): value for name, value in self.headers.items()})
        if not self.path.endswith("/chat/completions"):
            self._send(404, {"error": {"message": f"no such path: {self.path}"}})
            return
        ours.moved(1)
        try:
            said, fault = ours.hear(body, {name.lower(): value for name, value in self.headers.items()})
            ours.wait(ours.latency + ((fault.seconds or 0) if fault and fault.kind == "slow" else 0))
            self._reply(ours, said, fault)
        finally:
            ours.moved(-1)

    def _reply(self, ours: Server, said: Heard, fault: Fault | None) -> None:
        kind = fault.kind if fault else None
        if kind == "cut":
            self._hang_up()
        elif kind in _ERRORS:
            status, error = _ERRORS[kind]
            said.status = status
            after = fault.seconds if fault and kind == "rate_limited" else None
            told = {
                name: text.format(key=_key(said), model=said.body["model"]) for name, text in error.items()
            }
            self._send(status, {"error": told}, {} if after is None else {"Retry-After": f"{after:g}"})
        elif (words := ours.refuse(said.body)) is not None:
            said.status = 400
            self._send(400, {"error": {"message": words, "type": "invalid_request_error"}})
        elif ours.context is not None and said.prompt > ours.context:
            said.status = 400
            words = f"This model's maximum context length is {ours.context} tokens. Your messages have more."
            told = {"message": words, "type": "invalid_request_error", "code": "context_length_exceeded"}
            self._send(400, {"error": told})
        else:
            self._answer(ours, said, kind)

    def _answer(self, ours: Server, said: Heard, kind: str | None) -> None:
        text = ours.answer(said.body)
        finish = {"truncated": "length", "refused": "content_filter"}.get(kind or "", "stop")
        if kind in {"empty", "refused"}:
            text = ""
        elif kind == "truncated":
            text = text[: len(text) // 2]
        said.status = 200 if kind not in {"garbage", "cut_short"} else None
        said.completion = tokens(text)
        reply = {
            "id": f"chatcmpl-{said.digest[:12]}",
            "object": "chat.completion",
            "created": 1,
            "model": said.body["model"].split("/")[-1],
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
            ],
            "usage": {
                "prompt_tokens": said.prompt,
                "completion_tokens": said.completion,
                "total_tokens": said.prompt + said.completion,
                "prompt_tokens_details": {"cached_tokens": said.cached},
            },
        }
        if kind == "garbage":
            self._send(200, None)
        else:
            self._send(200, ours.dress(reply), cut=kind == "cut_short")

    def _send(
        self, status: int, reply: object, headers: Mapping[str, str] = {}, *, cut: bool = False
    ) -> None:
        if isinstance(reply, Stream):
            events = [*map(json.dumps, reply.events), "[DONE]"]
            data = "".join(f"data: {event}\n\n" for event in events).encode()
        else:
            data = json.dumps(reply).encode() if reply is not None else b"<html>busy, come back</html>"
        with suppress(OSError):
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.wfile.flush()
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


_ERRORS: dict[str | None, tuple[int, dict[str, str]]] = {
    "rate_limited": (
        429,
        {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"},
    ),
    "no_credit": (
        429,
        {
            "message": "You exceeded your current quota",
            "type": "insufficient_quota",
            "code": "insufficient_quota",
        },
    ),
    "out_of_credit": (
        400,
        {"message": "Your credit balance is too low to access the API.", "type": "invalid_request_error"},
    ),
    "server": (500, {"message": "The server had an error", "type": "server_error"}),
    "unauthorized": (
        401,
        {
            "message": "Incorrect API key provided: {key}.",
            "type": "invalid_request_error",
            "code": "invalid_api_key",
        },
    ),
    "unknown_model": (
        404,
        {
            "message": "The model `{model}` does not exist or you do not have access to it.",
            "type": "invalid_request_error",
            "code": "model_not_found",
        },
    ),
    "bad_request": (400, {"message": "Unsupported parameter: 'x'", "type": "invalid_request_error"}),
}


def _key(said: Heard) -> str:
    return said.headers.get("authorization", "").removeprefix("Bearer ")


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _self_signed() -> tuple[ssl.SSLContext, str]:
    """Give a context with a certificate that nobody has reason to trust, and that certificate (PEM)."""
    from cryptography import x509  # noqa: PLC0415 - few tests need it
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        chain = Path(folder) / "chain.pem"
        chain.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(chain)
    return context, certificate.public_bytes(serialization.Encoding.PEM).decode()


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--latency", type=float, default=0.0, help="seconds of each answer")
    told = words.parse_args()
    with Server(latency=told.latency) as server:
        print(server.url, flush=True)  # noqa: T201 - how its parent finds it
        sys.stdin.read()
    print(json.dumps({"mean": server.mean_in_flight(), "most": server.most_in_flight}))  # noqa: T201


if __name__ == "__main__":
    main()
