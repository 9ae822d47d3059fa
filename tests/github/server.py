"""The double's HTTP server: hears, records, validates, answers, and fails when it is told to."""

import json
import socket
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.github import actions, checks, protection, pulls, repository
from tests.github.contracts import Answered, Asked, ContractBroken, Operation, asked, contracts
from tests.github.graphql_api import answer as answer_graphql
from tests.github.merging import sync
from tests.github.routing import ROUTES, Call
from tests.github.shapes import filled
from tests.github.smart_http import Backend, GitAsked
from tests.github.state import Token
from tests.github.world import Refused, World

ANSWERED_BY = (actions, checks, protection, pulls, repository)  # imported so that their routes are known
API, GRAPHQL = "/api/v3", "/api/graphql"
PAGE = 30
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
BROKEN = 599
SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
PRIMARY = "API rate limit exceeded for installation ID 77."


class Fault(Enum):
    """What can go wrong with one request; AFTER: what was asked for has happened all the same."""

    ERROR = "500, nothing happened"
    ERROR_AFTER = "500 after it happened"
    BAD_GATEWAY = "502, nothing happened"
    BAD_GATEWAY_AFTER = "502 after it happened"
    SECONDARY_LIMIT = "403, secondary rate limit"
    TOO_MANY = "429, secondary rate limit"
    PRIMARY_LIMIT = "403, primary rate limit"
    GRAPHQL_LIMIT = "200 with the code of the primary limit: GraphQL"
    GRAPHQL_TYPE = "200 with the older type of the primary limit: GraphQL"
    GRAPHQL_WORDS = "200 with nothing but the words of a limit: GraphQL"
    OTHER_JSON = "200 with JSON that is not what was asked for"
    CUT = "connection cut, nothing happened"
    CUT_AFTER = "connection cut after it happened"

    @property
    def happens(self) -> bool:
        return self in {Fault.ERROR_AFTER, Fault.BAD_GATEWAY_AFTER, Fault.CUT_AFTER}


LIMITS_OF_GRAPHQL = {
    Fault.GRAPHQL_TYPE: {"type": "RATE_LIMITED", "message": PRIMARY},
    Fault.GRAPHQL_LIMIT: {
        "type": "RATE_LIMIT",
        "code": "graphql_rate_limit",
        "message": "API quota already used up for user ID 77.",
    },
    Fault.GRAPHQL_WORDS: {"message": SECONDARY},
}
Faults = Callable[[str, str, int], Fault | None]


@dataclass
class Heard:
    """A request as it came in; `path` is without the API's prefix and query; `status` 0: connection cut."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    authorization: str = field(repr=False)
    agent: str
    status: int = 0
    answer: Any = None

    @property
    def writes(self) -> bool:
        """Say whether it asked for a change: of GraphQL only a mutation, of git only the push itself."""
        if self.path == GRAPHQL:
            return str((self.body or {}).get("query", "")).lstrip().startswith("mutation")
        if ".git/" in self.path:
            return self.path.endswith("/git-receive-pack")
        return self.method != "GET"

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Reply:
    """What goes back over the wire."""

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)


class Exchange:
    """Everything between hearing and answering, away from the wire."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.backend = Backend(world.bare.path)
        self.heard: list[Heard] = []
        self.violations: list[str] = []
        self.faults: Faults = lambda _method, _path, _nth: None

    def reply(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply | None:
        """Give the answer, or None where the connection is to be cut."""
        told = urlsplit(target)
        path = told.path.removeprefix(API) or "/"
        query = dict(parse_qsl(told.query, keep_blank_values=True))
        is_git = ".git/" in path
        heard = Heard(method, path, query, None if is_git else _json(body), *_who(headers))
        with self.world.lock:
            self.heard.append(heard)
            fault = self.faults(method, path, len(self.heard))
        if fault is not None and not fault.happens:
            reply = self._failing(fault, path)
        else:
            reply = (
                self._git(told.path, told.query, heard, (headers, body)) if is_git else self._api(heard, body)
            )
            reply = self._failing(fault, path) if fault else reply
        heard.status = reply.status if reply else 0
        heard.answer = _json(reply.body) if reply and not is_git else None
        return reply

    def _failing(self, fault: Fault, path: str) -> Reply | None:
        limited = {Fault.SECONDARY_LIMIT: 403, Fault.TOO_MANY: 429}
        if fault in {Fault.CUT, Fault.CUT_AFTER}:
            return None
        if fault in limited:
            wait = [("Retry-After", str(self.world.settings.retry_after))]
            return self._refusal(Refused(limited[fault], SECONDARY), wait)
        if fault is Fault.PRIMARY_LIMIT and path == GRAPHQL:  # said with 200 there
            fault = Fault.GRAPHQL_TYPE
        if fault in LIMITS_OF_GRAPHQL:
            return Reply(200, _bytes({"errors": [LIMITS_OF_GRAPHQL[fault]]}), self._limits(0))
        if fault is Fault.OTHER_JSON:
            return Reply(200, _bytes({"status": "the proxy is well"}), self._limits())
        if fault is Fault.PRIMARY_LIMIT:
            return self._refusal(Refused(403, PRIMARY), left=0)
        status = 502 if fault in {Fault.BAD_GATEWAY, Fault.BAD_GATEWAY_AFTER} else 500
        return self._refusal(Refused(status, "Server Error"))

    def _refusal(
        self, no: Refused, more: list[tuple[str, str]] | None = None, left: int | None = None
    ) -> Reply:
        return Reply(no.status, _bytes(no.body), [*self._limits(left), *(more or [])])

    def _limits(self, left: int | None = None) -> list[tuple[str, str]]:
        remaining = self.world.settings.requests_left if left is None else left
        reset = int(self.world.clock().timestamp()) + 60
        told = {"Limit": 5000, "Remaining": max(0, remaining), "Reset": reset, "Used": 0, "Resource": "core"}
        return [
            ("Content-Type", "application/json"),
            *((f"X-RateLimit-{k}", str(v)) for k, v in told.items()),
        ]

    # ---- REST and GraphQL

    def _api(self, heard: Heard, body: bytes) -> Reply:
        with self.world.lock:
            self.world.settings.requests_left -= 1
            if self.world.settings.requests_left < 0:
                return self._refusal(Refused(403, PRIMARY), left=0)
            try:
                sync(self.world)
                reply = self._graphql(heard) if heard.path == GRAPHQL else self._rest(heard, body)
                sync(self.world)
            except ContractBroken as error:
                self.violations.append(f"{heard.line}: {error}")
                return Reply(BROKEN, _bytes({"message": str(error)}), self._limits())
            except Refused as no:
                return self._refusal(no)
            except Exception:  # noqa: BLE001 - a slip of the double's own must fail the test as well
                self.violations.append(f"{heard.line}: {traceback.format_exc()}")
                return Reply(BROKEN, _bytes({"message": "the double failed"}), self._limits())
        return reply

    def _graphql(self, heard: Heard) -> Reply:
        token = self.world.token(heard.authorization)
        if token is None:
            raise Refused(401, "This endpoint requires you to be authenticated.")
        return Reply(200, _bytes(answer_graphql(self.world, token, heard.body or {})), self._limits())

    def _moved(self, heard: Heard) -> Reply | None:
        """Lead on from a name that the repository had; a change is sent on with another status."""
        for name in self.world.settings.former_names:
            old = f"/repos/{name}"
            if heard.path == old or heard.path.startswith(f"{old}/"):
                place = f"{self.world.repository_url}{heard.path.removeprefix(old)}"
                place += f"?{urlencode(heard.query)}" if heard.query else ""
                status = 301 if heard.method == "GET" else 307
                told = {"message": "Moved Permanently", "url": place}
                return Reply(status, _bytes(told), [*self._limits(), ("Location", place)])
        return None

    def _rest(self, heard: Heard, body: bytes) -> Reply:
        moved = self._moved(heard)
        if moved is not None:
            return moved
        book = contracts()
        operation, parameters = book.find(heard.method, heard.path)
        if isinstance(heard.body, list) and heard.path.endswith("/labels"):
            # GitHub's text, though not its schema, takes a bare list of labels too; PyGithub sends one.
            heard.body, body = {"labels": heard.body}, _bytes({"labels": heard.body})
        told = asked(operation, parameters, heard.query, body)
        book.check_request(operation, told)
        handler = ROUTES.get(operation.name)
        if handler is None:
            raise ContractBroken(f"{operation.name}: nothing answers it in the double")
        more: list[tuple[str, str]] = []
        try:
            token = self.world.token(heard.authorization)
            self._same_repository(parameters, token)
            status, said = handler(Call(self.world, token, parameters, heard.query, heard.body or {}))
            said, more = self._page(heard, operation, said)
            more += [("X-OAuth-Scopes", "repo, read:org")] if token and token.kind == "user" else []
        except Refused as no:
            status, said = no.status, no.body
        return self._checked(operation, told, status, said, more)

    def _checked(
        self, operation: Operation, told: Asked, status: int, said: object, more: list[tuple[str, str]]
    ) -> Reply:
        book = contracts()
        whole = said if said is None else filled(book.response_schema(operation, status), said, book)
        data = b"" if whole is None else _bytes(whole)
        book.check_response(operation, told, Answered(status, data or None))
        return Reply(status, data, [*self._limits(), *more])

    def _same_repository(self, parameters: dict[str, str], token: Token | None) -> None:
        if "repo" not in parameters:
            return
        named = f"{parameters['owner']}/{parameters['repo']}"
        known = token is None or token.kind == "jwt" or self.world.allowed(token, "metadata")
        if named.lower() != self.world.full_name.lower() or not known:
            raise Refused(404, "Not Found")
        if token is None and self.world.settings.private:
            raise Refused(404, "Not Found")

    def _page(self, heard: Heard, operation: Operation, said: object) -> tuple[object, list[tuple[str, str]]]:
        """Cut a list as GitHub does: 30 at a time, the way on in a header."""
        names = {contracts().resolved(each)["name"] for each in operation.facts.get("parameters", ())}
        key = "check_runs" if isinstance(said, dict) and "check_runs" in said else None
        whole = said[key] if key and isinstance(said, dict) else said
        if "per_page" not in names or not isinstance(whole, list):
            return said, []
        longest = min(100, self.world.settings.longest_page)
        size, page = min(longest, int(heard.query.get("per_page", PAGE))), int(heard.query.get("page", "1"))
        shown = whole[(page - 1) * size : page * size]
        links = [("next", page + 1)] if page * size < len(whole) else []
        links += [("last", -(-len(whole) // size))] if links else []
        at = f"{self.world.api_url}{heard.path}"
        told = [f'<{at}?{urlencode({**heard.query, "page": n})}>; rel="{rel}"' for rel, n in links]
        cut = {**said, key: shown} if key and isinstance(said, dict) else shown
        return cut, [("Link", ", ".join(told))] if told else []

    # ---- git

    def _git(self, path: str, query: str, heard: Heard, told: tuple[dict[str, str], bytes]) -> Reply:
        git = GitAsked(heard.method, path, query, *told)
        names = (self.world.full_name, *self.world.settings.former_names)
        if path.partition(".git/")[0].lower() not in {f"/{name}".lower() for name in names}:
            return Reply(404, b"Repository not found.")
        try:
            login = self._let_in(git, heard.authorization)
        except Refused as no:
            challenge = [("WWW-Authenticate", 'Basic realm="GitHub"')] if no.status == 401 else []
            return Reply(no.status, no.message.encode(), [("Content-Type", "text/plain"), *challenge])
        answered = self.backend.ask(git, login)
        if git.writes and heard.method == "POST":
            with self.world.lock:
                sync(self.world, login)
        return Reply(answered.status, answered.body, answered.headers)

    def _let_in(self, git: GitAsked, authorization: str) -> str:
        """Give who it is; git's side takes a token as a password only, not as a bearer."""
        if authorization and not authorization.lower().startswith("basic "):
            raise Refused(401, "Invalid username or token.")
        token = self.world.token(authorization)
        if token is None and (git.writes or self.world.settings.private):
            raise Refused(401, "No anonymous access.")
        if token is not None and not self.world.allowed(token, "contents", "write" if git.writes else "read"):
            raise Refused(403, f"Permission to {self.world.full_name}.git denied to {token.login}.")
        return token.login if token else ""


def _who(headers: dict[str, str]) -> tuple[str, str]:
    return headers.get("authorization", ""), headers.get("user-agent", "")


def _json(body: bytes) -> Any:  # noqa: ANN401 - whatever was sent
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None


def _bytes(told: object) -> bytes:
    return json.dumps(told).encode()


class _Wire(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for the client to acknowledge its head
    exchange: Exchange

    def answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.exchange.reply(self.command, self.path, headers, self._body(headers))
        if reply is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(reply.status)
        for name, value in reply.headers:
            if name.lower() not in {"content-length", "connection"}:
                self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(headers.get("content-length", "0")))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the parent's name
        """Say nothing: what was heard is recorded."""


class Server:
    """The server in its own threads, for as long as `with` holds it."""

    def __init__(self, exchange: Exchange) -> None:
        verbs = {f"do_{method}": _Wire.answer for method in METHODS}
        wire = type("Wire", (_Wire,), {"exchange": exchange, **verbs})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), wire)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
