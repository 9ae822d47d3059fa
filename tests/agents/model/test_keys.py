"""Keys of models and of gateways: where they are looked for, and what is said where they are missing."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runbookopt.agents.model.client import Model
from runbookopt.agents.model.provider_errors import kind_of
from runbookopt.agents.model.provider_keys import WANT_ONE, lacks_one, variables_of
from runbookopt.agents.model.retry import ModelBroken
from runbookopt.documents.settings import ModelSettings
from runbookopt.documents.usage import Message

KEY = "kk-0123456789-Zq7"


def model(name: str, url: str | None = None, environ: dict[str, str] | None = None, **settings: Any) -> Model:  # noqa: ANN401 - fields
    told = ModelSettings(name, api_base=url, attempts=1, **settings)
    return Model(told, width=1, environ=environ or {}, role="agent")


def broken(asking: Model) -> str:
    with pytest.raises(ModelBroken) as caught:
        asyncio.run(asking.complete([Message("user", "hi")]))
    return str(caught.value)


@pytest.mark.parametrize("provider", sorted(WANT_ONE))
def test_a_missing_key_is_said_before_a_provider_is_asked(provider: str) -> None:
    names = variables_of(provider, None)
    told = broken(model(f"{provider}/some"))
    wanted = f"its provider wants a key, and none is set: set {' or '.join(names)}"
    assert told == f"{provider}/some: {wanted}"
    assert not lacks_one(f"{provider}/some", None, None, {names[-1]: KEY})


def test_a_server_of_one_s_own_is_asked_without_a_key_and_may_want_one(openai_server: ModuleType) -> None:
    with openai_server.Server() as server:
        asyncio.run(model("openai/some", server.url).complete([Message("user", "hi")]))
    with openai_server.Server(faults=openai_server.always("unauthorized")) as server:
        told = broken(model("openai/some", server.url))
        assert told.startswith(
            f"openai/some: {server.url} wants a key, and none is set: set OPENAI_API_KEY ("
        )
        told = broken(model("openai/some", server.url, {"OPENAI_API_KEY": KEY}))
        assert told.startswith(f"openai/some: {server.url} does not accept the key: set OPENAI_API_KEY (")
        assert KEY not in told
    assert "wants a key" in broken(model("openai/some", "https://api.openai.com/v1"))


def test_a_variable_that_is_named_must_be_set() -> None:
    named = model("openai/some", "http://127.0.0.1:9", key_variable="TEAM_API_KEY")
    assert broken(named) == "openai/some: agent.key_variable names TEAM_API_KEY, which is not set: set it"
    headers = {"extra_headers": {"X-Gateway-Key": "Bearer ${GATEWAY_API_KEY}"}}
    told = broken(model("openai/some", "http://127.0.0.1:9", {"GATEWAY_API_KEY": ""}, parameters=headers))
    assert told == (
        "openai/some: agent.parameters.extra_headers names GATEWAY_API_KEY, which is not set: set it"
    )


@pytest.mark.parametrize(
    "words",
    [
        "Missing Anthropic API Key - A call is being made to anthropic but no key is set either in the",
        "Missing credentials. Please pass one of `api_key`, `azure_ad_token`",
        "Missing Gemini API key. Set the GEMINI_API_KEY or GOOGLE_API_KEY environment variable",
        "FIREWORKS_API_KEY is not set",
        "GradientAI API key not found",
        "The api_key client option must be set either by passing api_key to the client or by setting",
        "GigaChat credentials not provided. Set GIGACHAT_CREDENTIALS",
        "Unable to locate credentials",
        "No credentials found in any source",
        "API key is required",
    ],
)
def test_litellm_s_own_search_for_a_key_is_told_as_a_missing_one(words: str) -> None:
    assert kind_of(ValueError(words)) == "authentication"


ASK = """
import asyncio, os, sys
from runbookopt.agents.model.client import Model
from runbookopt.documents.settings import ModelSettings
from runbookopt.documents.usage import Message
sys.path.insert(0, sys.argv[1])
import openai_server

for provider in sys.argv[2:]:
    from runbookopt.agents.model.provider_keys import variables_of
    with openai_server.Server() as server:
        name = variables_of(provider, None)[0]
        environ = {name: "kk-0123456789-Zq7"}
        os.environ.update(environ)
        settings = ModelSettings(f"{provider}/some/other", api_base=server.url, attempts=1, timeout_seconds=9)
        try:
            asyncio.run(Model(settings, width=1, environ=environ).complete([Message("user", "hi")]))
        except Exception as error:
            pass
        del os.environ[name]
        heard = server.headers
        print(provider, len(heard), any("kk-0123456789-Zq7" in str(headers) for headers in heard))
"""
"""Asks as each provider, in a process that litellm may look around in."""


@pytest.mark.nightly
def test_the_key_of_each_provider_is_sent_from_its_variable() -> None:
    words = [sys.executable, "-c", ASK, str(Path(__file__).parents[2]), *sorted(WANT_ONE)]
    bare = {name: value for name, value in os.environ.items() if "KEY" not in name and "TOKEN" not in name}
    ran = subprocess.run(words, check=True, capture_output=True, text=True, env=bare)
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert {provider for provider, *_ in lines} == WANT_ONE
    heard = [line for line in lines if line[1] != "0"]
    assert len(heard) > 50
    assert [provider for provider, _, sent in heard if sent != "True"] == []
