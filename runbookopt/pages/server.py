"""Local page: one HTML file, shown to the one person who has its address, and answers to what it asks.

A browser runs pages of strangers beside this one, and other users of the computer reach the same port. So
the address holds a token; nothing is answered under another host's name (DNS rebinding), to another page,
or to a form; and the page may load nothing and run nothing but what stands in its file.
"""

import hashlib
import hmac
import re
import secrets
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Final, cast

import msgspec

from runbookopt.errors import RunbookoptError

HOST = "127.0.0.1"
MOST_ASKED = 1_000_000  # bytes of what a page may send
PATIENCE = 30.0  # seconds in which a request has to be there: a browser opens connections that it may not use

Answer = Callable[[Any], object]
"""What is answered to what a page sends, both as JSON values. RunbookoptError is told to the page."""

_OWN = re.compile(rb"<(script|style)>(.*?)</\1>", re.DOTALL)

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def page_named(name: str) -> bytes:
    """One of the pages beside this file, as "label.html"."""
    return Path(__file__).with_name(name).read_bytes()


class Served:
    """A page that is being served at `address`, which nobody but the person at the page may get to know."""

    def __init__(self, page: bytes, answers: Mapping[str, Answer]) -> None:
        self.page, self.answers, self.token = page, answers, secrets.token_urlsafe(32)
        self.policy = content_policy(page)
        self.lock = Lock()
        self.bug: BaseException | None = None
        self._ended = Event()
        self._server = _Server(self)
        self.host = f"{HOST}:{self._server.server_port}"
        self.address = f"http://{self.host}/{self.token}/"

    def end(self) -> None:
        """Let `wait` come back: what is asked just now is still answered."""
        self._ended.set()

    def wait(self) -> None:
        """Wait for `end`, from within an answer or from elsewhere; what went wrong in an answer is raised."""
        while not self._ended.wait(3600):
            pass
        if self.bug is not None:
            raise self.bug

    def run(self) -> None:
        """Answer requests until `close`, each in a thread of its own."""
        self._server.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """Answer no more; what is being answered is answered."""
        self._server.shutdown()
        self._server.server_close()
        with self.lock:
            self.answers = {}


@contextmanager
def serving(page: bytes, answers: Mapping[str, Answer]) -> Iterator[Served]:
    """Serve a page while the body runs. What it asks by `POST NAME` is answered by `answers[NAME]`.

    Answers are given one at a time, so they need no locks among themselves. The page's scripts and styles
    stand in `<script>` and `<style>` without attributes: by their digests they alone are run.
    """
    served = Served(page, answers)
    thread = Thread(target=served.run, name="page", daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.close()
        thread.join()


def content_policy(page: bytes) -> str:
    """The policy by which a browser loads nothing for the page, and runs its own scripts and styles alone."""
    own: dict[bytes, list[str]] = {b"script": [], b"style": []}
    for match in _OWN.finditer(page):
        own[match[1]].append(f"'sha256-{b64encode(hashlib.sha256(match[2]).digest()).decode()}'")
    return "; ".join(
        (
            "default-src 'none'",
            " ".join(("script-src", *(own[b"script"] or ["'none'"]))),
            " ".join(("style-src", *(own[b"style"] or ["'none'"]))),
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",  # text can be made an element in no way
            "trusted-types 'none'",
        )
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a connection that a browser opened in advance is nothing to wait for

    def __init__(self, served: Served) -> None:
        self.served = served
        super().__init__((HOST, 0), _Requests)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the library's
        """Who went away, or was too slow, is no matter; anything else is a bug, told where `wait` is."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.served.bug = error
            self.served.end()


class _Requests(BaseHTTPRequestHandler):
    timeout = PATIENCE
    server_version, sys_version = "runbookopt", ""

    def do_GET(self) -> None:
        """The page itself, and nothing else."""
        served = self._served
        if not self._allowed():
            return
        if self._name() == "":
            self._send(HTTPStatus.OK, served.page, "text/html; charset=utf-8", served.policy)
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """An answer to what the page asks."""
        asked = self._body()
        if asked is None or not self._allowed():
            return
        answer = self._served.answers.get(self._name() or "")
        if answer is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        elif self.headers.get_content_type() != "application/json":  # what a form of another page cannot send
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        else:
            self._answer(answer, asked)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Print nothing: an address holds the token."""

    @property
    def _served(self) -> Served:
        return cast("_Server", self.server).served

    def _allowed(self) -> bool:
        """Whether the page's own person asks; else it is refused, and nothing is told."""
        served = self._served
        if self.headers.get_all("Host") != [served.host]:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
        elif self.headers.get("Origin", f"http://{served.host}") != f"http://{served.host}":
            self._refuse(HTTPStatus.FORBIDDEN)
        elif self._name() is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            return True
        return False

    def _name(self) -> str | None:
        """What stands behind the token in the path; None where that is not the token."""
        _, token, name = (*self.path.split("/", 2), "", "")[:3]
        given = token.encode("utf-8", "surrogateescape")
        return name if hmac.compare_digest(given, self._served.token.encode()) else None

    def _body(self) -> bytes | None:
        """What was sent, read also where it is refused: a reply is lost where something is left unread."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif int(length[:20]) > MOST_ASKED:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            return self.rfile.read(int(length))
        return None

    def _answer(self, answer: Answer, asked: bytes) -> None:
        with self._served.lock:  # also while it is sent: who closes waits for it
            try:
                status, value = HTTPStatus.OK, answer(msgspec.json.decode(asked))
            except (RunbookoptError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                status, value = HTTPStatus.BAD_REQUEST, {"error": str(error)}
            except OSError as error:  # a full disk, say
                why = f"{error.filename or 'the computer'}: {error.strerror}"
                status, value = HTTPStatus.INSUFFICIENT_STORAGE, {"error": why}
            self._send(status, msgspec.json.encode(value), "application/json")

    def _refuse(self, status: HTTPStatus) -> None:
        self._send(status, f"{status.value} {status.phrase}\n".encode(), "text/plain; charset=utf-8")

    def _send(self, status: HTTPStatus, body: bytes, kind: str, policy: str = "default-src 'none'") -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", policy)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
