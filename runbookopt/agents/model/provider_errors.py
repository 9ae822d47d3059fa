"""Errors of the libraries below a model, told by kind: what each follows from, and what follows from it.

The one place that says whose a failure is. Where a provider's status says too little, its own words decide.
"""

import json
import re
import ssl
import traceback
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from msgspec import Struct


class Kind(Struct, frozen=True, kw_only=True):
    """Kind of failure of a call, and what follows from it.

    `own`: the model answered so, or would answer everybody so: the fail is the agent's. All other kinds are
    trouble: no score follows from them. `ends`: every other call would meet it too, so the run ends.
    `by_prompt`: it hangs on the prompt, and others may fare better. `tries` is the most attempts that may end
    so, None as many as the settings say. `billed`: it costs money. `may_be_dialect`: the server may want to
    be asked in another way. `advice` says what is wrong at {place},
    and what to do.
    """

    own: bool = False
    ends: bool = False
    by_prompt: bool = False
    tries: int | None = 1
    billed: bool = False
    may_be_dialect: bool = False
    advice: str = "{place} answers nothing but errors: run again later"


KINDS = {
    # the agent's own
    "refused": Kind(own=True, billed=True),
    "truncated": Kind(
        own=True,
        billed=True,
        tries=2,  # the same limit cuts again, but for luck
        advice="all of its first {first} replies were cut at their most tokens",
    ),
    "empty": Kind(own=True, billed=True, tries=3),
    "context": Kind(
        own=True,
        by_prompt=True,
        advice="every prompt is too long for it: choose a model with a larger context",
    ),
    # trouble that ends the run
    "authentication": Kind(ends=True, advice="{place} does not accept the key: set {variables}"),
    "no_key": Kind(ends=True, advice="{place} wants a key, and none is set: set {variables}"),
    "unknown_model": Kind(ends=True, advice="{place} knows no such model: correct its name, or api_base"),
    "no_credit": Kind(
        ends=True, advice="{place} gives no credit any more: add some, or set another {variables}"
    ),
    "certificate": Kind(
        ends=True,
        advice="the certificate of {place} is not trusted: correct api_base, or set SSL_CERT_FILE to who"
        " signed it",
    ),
    "package": Kind(ends=True, advice="{place} needs another package: install it"),
    # trouble of one call, or of a time
    "too_large": Kind(
        by_prompt=True,
        advice="the account's limit of tokens a minute at {place} is smaller than every prompt: have it"
        " raised, or choose another model",
    ),
    "bad_request": Kind(
        by_prompt=True,
        may_be_dialect=True,
        advice="{place} refuses the request: correct the model's settings",
    ),
    "connection": Kind(tries=None, advice="no connection to {place}: start the server, or correct api_base"),
    "internal": Kind(
        tries=3,
        advice="litellm, which asks {place}, failed by itself: correct api_base or the model's settings, or"
        " install another version of litellm",
    ),
    "timeout": Kind(tries=None),
    "rate_limited": Kind(tries=None),
    "server": Kind(tries=None, may_be_dialect=True),  # llama.cpp says so that a template takes no system role
    "unparsable": Kind(tries=None),
}
"""All kinds of failures of calls to models."""


def is_own(kind: str) -> bool:
    """Whether a failure of this kind is the model's own answer, and no trouble on the way to it."""
    return kind in KINDS and KINDS[kind].own


# Wordings -----------------------------------------------------------------------------------------------

_WORDINGS = (
    # OpenAI, Azure and Groq: one request above what a whole minute allows; no waiting mends it
    ("too_large", "request too large for .*tokens per min|input or output tokens must be reduced"),
    # OpenAI, Anthropic, Gemini, Bedrock and vLLM, where litellm does not see it
    ("context", "prompt is too long|input is too long for requested model"),
    ("context", r"input token count \(?\d+\)? exceeds the maximum|maximum context length"),
    ("refused", "requires moderation .*flagged"),  # OpenRouter, by 403
    ("no_credit", "credit balance is too low"),  # Anthropic, by a plain 400
    ("no_credit", "reached your specified api usage limits"),  # Anthropic
    ("no_credit", "insufficient[_ ](quota|balance|credits?|funds)"),  # OpenAI, DeepSeek, OpenRouter, Zhipu
    ("no_credit", "balance (is )?(insufficient|not enough)|not enough (balance|credit)"),  # SiliconFlow
    ("no_credit", "requires more credits|(add|purchase|buy) more credits"),  # OpenRouter
    ("no_credit", "(run|ran|are|is) out of credits?|used all available credits"),  # xAI, by 429 and 403
    ("no_credit", "credits? (are|is|were|have been|has been) (depleted|exhausted|used up)"),  # Gemini
    ("no_credit", "(monthly|account'?s?) spend(ing)? (limit|cap)"),  # xAI, Fireworks, Gemini
    (
        "no_credit",
        "exceeded your monthly (included )?credits|credit limit exceeded",
    ),  # Hugging Face, Together
    ("no_credit", "account .{0,80}suspended|account is not active"),  # Fireworks by 412, Moonshot, OpenAI
    ("no_credit", "exceeded_current_quota|billing[_ ]hard[_ ]limit|billing_not_active"),  # Moonshot, OpenAI
    (
        "no_credit",
        "billing_disabled|requires billing to be enabled|invalid_payment_instrument",
    ),  # Google, AWS
    ("no_credit", "arrearage|account is in good standing|overdue[- ]payment"),  # DashScope
    ("no_credit", "inactive subscription|trial key, which is limited"),  # Mistral, Cohere
    ("no_credit", "budget has been exceeded|exceededbudget"),  # a proxy of litellm's own
    ("authentication", "api[_ ]key (is )?(not valid|invalid|expired|revoked|disabled)"),  # Gemini, by 400
    ("authentication", "(invalid|incorrect|revoked|expired|disabled) (x-)?api[-_ ]key|api_key_invalid"),
    (
        "authentication",
        "security token included in the request is|expiredtoken|organization has been disabled",
    ),
    (
        "authentication",
        "(no|missing|didn't provide an|must provide an) (api[-_ ]?key|credentials|bearer token)",
    ),
    ("unknown_model", "model identifier is invalid|is not a valid model id"),  # Bedrock, OpenRouter
)
"""Kinds by what servers say, first come first; in lower case, `.` is any character.

Words about billing alone mean nothing: Groq names its billing page in each refusal for being too many.
"""

_PATTERNS = tuple((kind, re.compile(pattern, re.IGNORECASE | re.DOTALL)) for kind, pattern in _WORDINGS)
_MISSING = re.compile(
    r"missing [\w ]*(api[-_ ]?|jwt )key|(api[-_ ]?key|credentials) (is |are )?(not (found|provided|set))"
    "|api[-_ ]?key is required|missing credentials|no key is set|unable to locate credentials"
    "|no credentials found|must be set either by passing",
    re.IGNORECASE,
)
"""Litellm's own words, of each provider in turn, where it has no key."""
_QUOTA = re.compile("exceeded your current quota", re.IGNORECASE)  # OpenAI's, and Gemini's for each minute
_A_DAY = re.compile("per ?day", re.IGNORECASE)
_AGAIN = re.compile(
    r"(?:try again|retry) (?:in|after) (?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+) ?(ms|s\b|sec)?)?", re.IGNORECASE
)
_HEARD = 500  # characters of a server's message that are looked at: behind them it may quote a task
_LIMITED = 429
_UNPROCESSABLE = 422  # such a message quotes the request, and so a task
_STATUSES = {
    401: "authentication",
    402: "no_credit",
    403: "authentication",
    404: "unknown_model",
    408: "timeout",
    409: "server",
    413: "context",
    425: "server",
    _LIMITED: "rate_limited",
}
_FAILED = 500

_CLASSES = {
    "ContextWindowExceededError": "context",
    "ContentPolicyViolationError": "refused",
    "Timeout": "timeout",
    "AuthenticationError": "authentication",
    "PermissionDeniedError": "authentication",
    "PaymentRequiredError": "no_credit",
    "BudgetExceededError": "no_credit",
    "RateLimitError": "rate_limited",
    "NotFoundError": "unknown_model",
    "UnprocessableEntityError": "bad_request",
    "BadRequestError": "bad_request",
}
"""Kinds by litellm's errors, the narrower first."""

_LOST = frozenset(
    {
        "ClientConnectionError",
        "ClientPayloadError",
        "CloseError",
        "ConnectError",
        "ConnectTimeout",
        "IncompleteRead",
        "LocalProtocolError",
        "ReadError",
        "RemoteProtocolError",
        "ServerDisconnectedError",
        "WriteError",
    }
)
"""Errors of the libraries below litellm where a connection is not made or is cut."""

_REPLIES = frozenset({"HTTPStatusError", "APIStatusError", "ClientResponseError"})
_OF_FILES = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)
_MISREAD = (AttributeError, LookupError, TypeError)
"""Litellm stumbles so over a reply of another shape than was agreed, and calls it a lost connection."""


def kind_of(error: BaseException) -> str:
    """Kind of a foreign error: what happened on the wire first, then a server's words, then its status."""
    causes = chain(error)
    if (kind := _on_the_wire(error, causes)) is not None:
        return kind
    names = [each.__name__ for each in type(error).__mro__ if each.__module__.startswith("litellm")]
    named = next((kind for name, kind in _CLASSES.items() if name in names), None)
    if named in {"refused", "timeout"}:
        return named
    if named is None and (kind := _below(causes)) is not None:
        return kind
    if named is None and not any(map(_is_reply, causes)):
        return "internal"  # litellm calls what it does not foresee a lost connection, or a server's error
    status = _status(causes)
    # a server may call anything a bad request, and litellm with it
    by_status = _STATUSES.get(status, "bad_request")
    told = "server" if status >= _FAILED else by_status if named in {None, "bad_request"} else str(named)
    return _by_words(error, status) or told


def _on_the_wire(error: BaseException, causes: Sequence[BaseException]) -> str | None:
    if any(isinstance(each, ImportError) for each in causes):
        return "package"
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in causes):
        return "certificate"
    if isinstance(error, TimeoutError):
        return "timeout"
    if not any(map(_is_reply, causes)) and _MISSING.search(words(error)[:_HEARD]):
        return "authentication"  # litellm itself looked for a key in vain
    return "unparsable" if is_no_json(error) else None


def _below(causes: Sequence[BaseException]) -> str | None:
    """Kind by what happened below litellm: no connection, or a reply that it stumbled over."""
    if any(map(_is_lost, causes)):
        return "connection"
    first = causes[-1]
    through = (frame.f_code.co_name for frame, _ in traceback.walk_tb(first.__traceback__))
    if isinstance(first, _MISREAD) and any("response" in name for name in through):
        return "unparsable"
    return "unparsable" if type(first).__name__ == "ValidationError" else None


def _is_lost(cause: BaseException) -> bool:
    if isinstance(cause, OSError):
        return not isinstance(cause, _OF_FILES)
    return not _LOST.isdisjoint(each.__name__ for each in type(cause).__mro__)


def _is_reply(cause: BaseException) -> bool:
    """Whether an error of the libraries below litellm is a server's answer."""
    if type(cause) is Exception:
        return hasattr(cause, "status_code")  # litellm's for an error within a success, as OpenRouter has it
    ours = type(cause).__module__.startswith("litellm") and "Masked" not in type(cause).__name__
    return not ours and any(each.__name__ in _REPLIES for each in type(cause).__mro__)


def _status(causes: Sequence[BaseException]) -> int:
    """The status that a server answered with: litellm's own errors have others."""
    for each in reversed(causes):
        status = getattr(each, "status_code", None) or getattr(
            getattr(each, "response", None), "status_code", None
        )
        if isinstance(status, int):
            return status
        if isinstance(status, str) and status.isdecimal():
            return int(status)
    return _FAILED


def _by_words(error: BaseException, status: int) -> str | None:
    text = words(error)
    if status == _UNPROCESSABLE:
        return None
    if "LLM Provider NOT provided" in text:
        return "unknown_model"
    bodies = [getattr(each, "body", None) for each in chain(error)]  # servers name it there for programs
    codes = {str(body.get(name)) for body in bodies if isinstance(body, dict) for name in ("code", "type")}
    codes |= {str(getattr(each, "status_code", "")) for each in chain(error) if type(each) is Exception}
    heard = " ".join([text[:_HEARD], *codes, *_CODE.findall(str(error)[: 4 * _HEARD])])
    found = next((kind for kind, pattern in _PATTERNS if pattern.search(heard)), None)
    if found is None and _QUOTA.search(heard):
        # Gemini says the same of a minute, with when to come back, and of a day
        passes = _AGAIN.search(str(error)) or "PerMinute" in str(error)
        return "rate_limited" if passes and not _A_DAY.search(str(error)) else "no_credit"
    return found


# What was said ------------------------------------------------------------------------------------------

_NAMES = re.compile(r"^(?:(?:litellm\.)?\w*(?:Error|Exception|Timeout)(?::| -)\s*)+")
_MESSAGE = re.compile(r'"message"\s*:\s*("(?:[^"\\]|\\.)*")')
_CODE = re.compile(r'"(?:code|type)"\s*:\s*"([\w.-]{1,60})"')
_SUCCESS = 200


def chain(error: BaseException) -> list[BaseException]:
    """The error, what it came from, and so on."""
    causes = [error]
    while (below := causes[-1].__cause__ or causes[-1].__context__) is not None and below not in causes:
        causes.append(below)
    return causes


def words(error: BaseException) -> str:
    """The server's own words, without the names of errors around them."""
    text = _NAMES.sub("", str(getattr(error, "message", error)))
    with suppress(ValueError):
        if inner := _MESSAGE.search(text):
            return str(json.loads(inner[1], strict=False))
    return text


def is_no_json(error: BaseException) -> bool:
    """Whether a server's answer of success could not be read."""
    failed = _headers(error) is not None and getattr(error, "status_code", None) != _SUCCESS
    return not failed and any(isinstance(each, json.JSONDecodeError) for each in chain(error))


def wait(error: BaseException) -> float | None:
    """Seconds that a server asks to wait, where it does: a number, a date, or in words."""
    headers = _headers(error) or {}
    with suppress(ValueError):
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1e3)
        if "retry-after" in headers:
            return max(0.0, _seconds(headers["retry-after"]))
    return _said(words(error)[:_HEARD]) if getattr(error, "status_code", None) == _LIMITED else None


def _said(text: str) -> float | None:
    """Seconds of "try again in 7m12.5s" or "retry after 60 seconds"."""
    found = _AGAIN.search(text)
    if found is None or not any(found.groups()[:3]):
        return None
    hours, minutes, seconds, unit = found.groups()
    with suppress(ValueError):
        rest = float(seconds or 0) / (1e3 if (unit or "").lower() == "ms" else 1)
        return 3600.0 * int(hours or 0) + 60.0 * int(minutes or 0) + rest
    return None


def _headers(error: BaseException) -> Any:  # noqa: ANN401 - a mapping of whichever library
    return getattr(error, "litellm_response_headers", None)


def _seconds(after: str) -> float:
    try:
        return float(after)
    except ValueError:
        when = parsedate_to_datetime(after)
        return (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
