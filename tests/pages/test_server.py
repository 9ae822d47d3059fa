"""The server of a local page: who is answered, and what a browser is allowed."""

import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from runbookopt.errors import RunbookoptError
from runbookopt.pages.server import MOST_ASKED, Served, content_policy, serving

PAGE = b"<!doctype html><title>a page</title><style>p { color: red }</style><script>let a = 1;</script>"
JSON = {"Content-Type": "application/json"}


def echo(asked: object) -> object:
    return {"asked": asked}


def refusing(asked: object) -> object:
    raise RunbookoptError(f"no {asked}")


def full(asked: object) -> object:
    raise OSError(28, "No space left on device", f"{asked}.jsonl")


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(PAGE, {"echo": echo, "refusing": refusing, "full": full}) as each:
        yield each


def ask(
    served: Served, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection(served.host, timeout=10)
    sent = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, sent, {**({} if body is None else JSON), **named})
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, text, dict(reply.headers)


def own(served: Served) -> str:
    return urlsplit(served.address).path


def test_the_page_is_shown_to_who_has_its_address_and_answers_what_it_asks(served: Served) -> None:
    assert served.address.startswith("http://127.0.0.1:")
    assert ask(served, "GET", own(served))[:2] == (200, PAGE.decode())
    assert ask(served, "POST", f"{own(served)}echo", [1, "é"])[:2] == (200, '{"asked":[1,"é"]}')


@pytest.mark.parametrize("path", ["/", "/favicon.ico", "//", "/wrong/", "/wrong/echo"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_the_token_nothing_is_told(served: Served, method: str, path: str) -> None:
    status, text, _ = ask(served, method, path, {})
    assert (status, text) == (404, "404 Not Found\n")


def test_a_name_that_leads_to_this_computer_is_another_host(served: Served) -> None:
    for host in ("evil.example", f"localhost:{served.host.rpartition(':')[2]}", "127.0.0.1", ""):
        assert ask(served, "GET", own(served), Host=host)[0] == 421
        assert ask(served, "POST", f"{own(served)}echo", 1, Host=host)[0] == 421


def test_other_pages_and_forms_are_not_answered(served: Served) -> None:
    path = f"{own(served)}echo"
    assert ask(served, "POST", path, 1, Origin="http://evil.example")[0] == 403
    assert ask(served, "POST", path, 1, Origin="null")[0] == 403
    assert ask(served, "POST", path, 1, Content_Type="text/plain")[0] == 415
    assert ask(served, "GET", path)[0] == 404
    assert ask(served, "PUT", path)[0] == 501


def test_what_is_wrong_is_told_to_the_page_and_it_goes_on(served: Served) -> None:
    path = own(served)
    assert ask(served, "POST", f"{path}refusing", "way")[:2] == (400, '{"error":"no way"}')
    assert ask(served, "POST", f"{path}echo", b"{broken")[0] == 400
    assert ask(served, "POST", f"{path}echo", b"[" * 10_000)[0] == 400
    assert ask(served, "POST", f"{path}nothing", 1)[0] == 404
    assert ask(served, "POST", f"{path}echo", 1, Content_Length=str(MOST_ASKED + 1))[0] == 413
    status, text, _ = ask(served, "POST", f"{path}full", "a")
    assert (status, text) == (507, '{"error":"a.jsonl: No space left on device"}')
    assert ask(served, "POST", f"{path}echo", 1)[0] == 200


def test_a_bug_in_an_answer_ends_the_page_and_is_raised_where_it_is_waited_for() -> None:
    def wrong(asked: object) -> object:
        raise KeyError(asked)

    with serving(PAGE, {"wrong": wrong}) as served:
        with pytest.raises(http.client.RemoteDisconnected):
            ask(served, "POST", f"{own(served)}wrong", "key")
        with pytest.raises(KeyError, match="key"):
            served.wait()


def test_an_answer_can_end_the_page_and_is_told_first() -> None:
    def end(asked: object) -> object:
        served.end()
        return asked

    with serving(PAGE, {"end": end}) as served:
        assert ask(served, "POST", f"{own(served)}end", "bye")[:2] == (200, '"bye"')
        served.wait()
    with pytest.raises(ConnectionRefusedError):
        ask(served, "GET", own(served))


def test_a_browser_may_load_nothing_and_run_nothing_but_the_page_itself(served: Served) -> None:
    headers = ask(served, "GET", own(served))[2]
    rules = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert rules["default-src"] == rules["form-action"] == rules["frame-ancestors"] == "'none'"
    assert rules["script-src"] == "'sha256-xY6QKfH9PRsQnLz56nj6MBwiK5oHg+im1Jkpdp1x/Ck='"
    assert rules["connect-src"] == "'self'"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Python" not in headers["Server"]
    assert "script-src 'none'" in content_policy(b"<script src='http://evil.example'></script>")
