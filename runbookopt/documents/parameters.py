"""Parameters of requests to a model that are handed on as they are: which may be said, and their secrets.

A file of the repository says them, and no user need have read it: so none of them may send texts or keys
elsewhere, change what is asked, or hold a secret. A header that carries one names its variable: `${NAME}`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from runbookopt.documents.redaction import secrets_in
from runbookopt.documents.schema_errors import nearest, plain

HANDED_ON = frozenset(
    {
        "api_version",
        "extra_body",
        "extra_headers",
        "frequency_penalty",
        "keep_alive",
        "logit_bias",
        "logprobs",
        "min_p",
        "modalities",
        "num_ctx",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "safety_identifier",
        "safety_settings",
        "service_tier",
        "stop",
        "store",
        "thinking",
        "top_k",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
    }
)
"""Parameters of chat completions, by the names that litellm takes; every other one goes into `extra_body`."""

_OURS = "runbookopt says it itself"
_BESIDE = "it is a setting of its own, beside parameters"
_ADDRESS = "addresses and keys are settings of their own, beside parameters: api_base and key_variable"
_TOOLS = "a chat agent calls no tools: take a program, with kind command"
_REFUSED = {
    **dict.fromkeys(("messages", "n", "stream", "stream_options"), _OURS),
    **dict.fromkeys(("model", "temperature", "seed", "max_tokens"), _BESIDE),
    "max_completion_tokens": "say max_tokens, beside parameters: it is sent by the name that is taken",
    "timeout": "say timeout_seconds, beside parameters",
    **dict.fromkeys(("api_base", "base_url", "api_key", "headers"), _ADDRESS),
    **dict.fromkeys(("tools", "tool_choice", "functions", "function_call", "parallel_tool_calls"), _TOOLS),
}

_TEXT_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_NOT_OURS_TO_SAY = re.compile(
    r"(?:host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|proxy-.*)",
    re.IGNORECASE,
)
_CARRIES = re.compile("auth|token|secret|key|cookie|credential|passw|signature", re.IGNORECASE)
_NAMED = re.compile(r"\$\{([^{}]*)\}")
_MAY_BE_NAMED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*_API_KEY")


def faults_of(parameters: Mapping[str, Any], model: str | None = None) -> Iterator[str]:
    """All that keeps parameters from being handed on to a model; no value is quoted."""
    for name in sorted(parameters.keys() - HANDED_ON):
        why = _REFUSED.get(name)
        known = f"{nearest(name, HANDED_ON)}: what only your server knows goes into extra_body"
        yield f"{plain(name)} is {'not taken: ' + why if why else 'no parameter known here' + known}"
    body, headers = (parameters.get(name) or {} for name in ("extra_body", "extra_headers"))
    if not isinstance(body, Mapping) or not isinstance(headers, Mapping):
        yield "extra_body and extra_headers: expected a mapping"
        return
    for name in sorted(body.keys() & _REFUSED.keys()):
        yield f"extra_body.{name} is not taken: {_REFUSED[name]}"
    if body and model is not None and model.startswith(("anthropic/", "claude")):
        yield "extra_body: litellm does not hand it on to anthropic: say its parameters by name"
    yield from (fault for name, value in headers.items() for fault in _faults_of_header(name, value))
    for kind in sorted({kind for text in _texts(parameters) for kind, _, _ in secrets_in(text)}):
        yield f"what looks like {kind} stands there: take it back, and name a variable: ${{NAME_API_KEY}}"


def variables_of(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The environment variables that the headers name."""
    values = (parameters.get("extra_headers") or {}).values()
    return tuple(dict.fromkeys(name for value in values for name in _NAMED.findall(value or "")))


def headers_of(parameters: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """The headers with the values of the variables that they name; raises KeyError where one is not set."""
    headers = parameters.get("extra_headers") or {}
    return {
        name: _NAMED.sub(lambda named: environ[named[1]], value)
        for name, value in headers.items()
        if value is not None
    }


def _faults_of_header(name: str, value: object) -> Iterator[str]:
    at = f"extra_headers.{plain(name)}"
    if name.lower() == "authorization":
        yield f"{at} is not taken: it carries the model's key, whose variable key_variable names"
    elif not _TEXT_NAME.fullmatch(name) or _NOT_OURS_TO_SAY.fullmatch(name):
        yield f"{at} is no header that can be said here"
    elif value is None:
        return  # taken away from what a layer below says
    elif not isinstance(value, str) or not re.fullmatch(r"[ -~]*", value):
        yield f"{at}: expected text in ASCII, without line ends"
    else:
        named = _NAMED.findall(value)
        if [each for each in named if not _MAY_BE_NAMED.fullmatch(each)]:
            yield f"{at}: expected ${{NAME}}, a name that ends in _API_KEY: no other secret goes to a model"
        if not named and _CARRIES.search(name):
            yield f"{at} carries a credential by its name: expected ${{NAME}}, its name ending in _API_KEY"


def _texts(value: object) -> Iterator[str]:
    """All texts in a value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield str(name)
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
