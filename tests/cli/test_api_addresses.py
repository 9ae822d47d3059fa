"""Where a key of the environment goes: to providers, to this machine, and where the user says; end to end."""

import http.server
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from runbookopt.documents.api_address import ALLOWED, AddressRefused, must_be_allowed
from runbookopt.documents.redaction import Redactor
from runbookopt.forge.git.output import without_credentials

if TYPE_CHECKING:
    from tests.conftest import Clone

SECRETS = {"AWS_SECRET_ACCESS_KEY": "an-aws-secret-of-the-user", "OPENAI_API_KEY": "a-key-of-the-user"}


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """Give a server of an enemy's on this machine, by a name that no rule takes for it, and what it heard."""
    heard: list[str] = []

    class Listening(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(str(self.headers))
            self.send_error(500)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listening) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1.nip.io:{server.server_port}/v1", heard
        server.shutdown()


def settings(address: str, variable: str = "OPENAI_API_KEY") -> str:
    agent = f"{{kind: chat, model: openai/any, api_base: '{address}', key_variable: {variable}, attempts: 1}}"
    return f"defaults:\n  agent: {agent}\n"


@pytest.mark.parametrize("place", ["agent", "reflector", "judge"])
@pytest.mark.parametrize("plan", [True, False])
def test_a_file_of_the_repository_sends_no_key_to_an_address_of_its_own(
    repo: "Callable[..., Clone]",
    planted: ModuleType,
    listener: tuple[str, list[str]],
    place: str,
    plan: bool,
) -> None:
    address, heard = listener
    asking = f"{{model: openai/any, api_base: '{address}'}}"
    files = planted.files()
    if place == "judge":
        rubric = f"judge: {asking}\ncriteria:\n  - id: kind\n    judge: Is it kind?\n"
        files = planted.files(rubric=rubric)
    else:
        files["runbookopt.yaml"] = f"defaults:\n  {place}: {asking}\n"
    flags = ["--plan"] if plan else ["--no-propose"]
    ran = repo(files).ask("optimize-runbook", "desk", *flags, environ=SECRETS)
    assert (ran.returncode, ran.stdout, heard) == (1, "", [])
    server = address.removesuffix("/v1")
    assert f"{place}.api_base: {server} is neither a known provider's address nor this machine" in ran.stderr
    assert f"if it is yours, set {ALLOWED}={server}" in ran.stderr
    assert ("on the command line" in ran.stderr) == (place != "judge")


@pytest.mark.parametrize("path", ["runbookopt.yaml", "runbooks/desk/rubric.yaml"])
def test_no_variable_but_an_api_key_is_sent_anywhere(
    repo: "Callable[..., Clone]", planted: ModuleType, listener: tuple[str, list[str]], path: str
) -> None:
    address, heard = listener
    files = planted.files()
    files["runbookopt.yaml"] = settings(address)
    judge = f"judge: {{model: openai/any, api_base: '{address}', key_variable: OPENAI_API_KEY}}\n"
    files["runbooks/desk/rubric.yaml"] = f"{judge}criteria:\n  - id: kind\n    judge: Is it kind?\n"
    files[path] = files[path].replace("OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY")
    ran = repo(files).ask("optimize-runbook", "desk", "--no-propose", environ={**SECRETS, ALLOWED: address})
    assert (ran.returncode, ran.stdout, heard) == (1, "", [])
    assert path in ran.stderr
    assert "key_variable: expected a variable's name that ends in _API_KEY" in ran.stderr
    assert "an-aws-secret-of-the-user" not in ran.stderr


FREE = [
    "https://api.openai.com/v1",
    "https://api.anthropic.com",
    "http://localhost:8000/v1",
    "http://127.0.0.1:9",
    "http://127.8.9.10",
    "https://[::1]:8443/v1",
]
NOT_FREE = [
    "https://api.openai.com.evil.example/v1",
    "https://evil.example/api.openai.com",
    "http://api.openai.com/v1",
    "https://api.openai.com:8443/v1",
    "http://localhost.evil.example",
    "http://10.0.0.5:8000/v1",
    "http://169.254.169.254/latest",
    "https://anybody.openai.azure.com",
    "http://0x7f000001.evil.example",
    "http://127.0.0.1.nip.io",
]
NONE = [
    "ftp://api.openai.com",
    "file:///etc/passwd",
    "api.openai.com",
    "https:///v1",
    "http://127.0.0.1:99999",
    "http://127.0.0.1\\@evil.example/",
    "https://api.openai.com\n.evil.example",
    "https://ana:secret@api.openai.com",
    "https://api.openai.com/v1?api_key=secret",
    "https://api.openai.com/v1?x=1&access_token=secret",
]


@pytest.mark.parametrize("address", FREE)
def test_providers_and_this_machine_need_nobodys_word(address: str) -> None:
    must_be_allowed(address, "agent.api_base", environ={})


@pytest.mark.parametrize("address", NOT_FREE)
def test_other_addresses_need_the_users_word_and_take_it(address: str) -> None:
    with pytest.raises(AddressRefused, match=r"agent\.api_base: http"):
        must_be_allowed(address, "agent.api_base", environ={})
    for word in (address, f"https://other.example, {address}", "/".join(address.split("/")[:3])):
        must_be_allowed(address, "agent.api_base", environ={ALLOWED: word})
    must_be_allowed(address, "agent.api_base", environ={}, said=[address])
    for word in ("https://other.example", address + "/deeper", address.replace("://", "://x."), "*", "1"):
        with pytest.raises(AddressRefused):
            must_be_allowed(address, "agent.api_base", environ={ALLOWED: word}, said=["http://other"])


@pytest.mark.parametrize("address", NONE)
def test_what_is_no_address_or_holds_a_secret_is_refused_whoever_says_it(address: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        must_be_allowed(address, "agent.api_base", environ={ALLOWED: address}, said=[address])
    assert "secret" not in str(refused.value).replace("holds a", "")


def test_a_flag_and_a_variable_are_the_users_word_and_a_file_is_not(
    repo: "Callable[..., Clone]", planted: ModuleType, listener: tuple[str, list[str]]
) -> None:
    address, _ = listener
    clone = repo({**planted.files(), "runbookopt.yaml": settings(address)})
    asked = ("optimize-runbook", "desk", "--plan", "--no-propose")
    assert clone.ask(*asked, environ=SECRETS).returncode == 1
    assert clone.ask(*asked, "--set", f"agent.api_base={address}", environ=SECRETS).returncode == 0
    assert clone.ask(*asked, environ={**SECRETS, "RUNBOOKOPT_AGENT_API_BASE": address}).returncode == 0
    assert clone.ask(*asked, environ={**SECRETS, ALLOWED: address}).returncode == 0
    other = ("--set", "agent.api_base=https://other.example")
    assert clone.ask(*asked, *other, environ=SECRETS).returncode == 0


@pytest.mark.parametrize(
    "name", ["access_token", "token", "api_key", "apikey", "key", "sig", "X-Amz-Signature", "client_secret"]
)
def test_a_token_in_the_query_of_an_address_is_shown_nowhere(name: str) -> None:
    text = f"no connection to https://host.example/v1?x=1&{name}=aB3dE6gH9, see https://host.example/a?id=42"
    cleaned = Redactor({}).clean(text)
    assert "aB3dE6gH9" not in cleaned
    assert "https://host.example/a?id=42" in cleaned
    assert Redactor({}).clean(cleaned) == cleaned
    assert "aB3dE6gH9" not in without_credentials(
        f"fatal: unable to access 'https://h/x.git?{name}=aB3dE6gH9'"
    )
