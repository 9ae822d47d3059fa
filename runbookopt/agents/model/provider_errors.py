"""Errors of the libraries below a model: causes, the server's words, and when it wants to be asked again."""

import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_NAMES = re.compile(r"^(?:(?:litellm\.)?\w*(?:Error|Exception|Timeout)(?::| -)\s*)+")
_MESSAGE = re.compile(r'"message"\s*:\s*("(?:[^"\\]|\\.)*")')
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


def has_no_credit(error: BaseException) -> bool:
    """Whether a refusal is one that no waiting helps: the account is used up."""
    bodies = [getattr(each, "body", None) for each in chain(error)]
    codes = {str(body.get(name)) for body in bodies if isinstance(body, dict) for name in ("code", "type")}
    return "insufficient_quota" in codes or '"insufficient_quota"' in str(error)


def wait(error: BaseException) -> float | None:
    """Seconds that a server asks to wait, where it does: a number, or a date."""
    headers = _headers(error) or {}
    with suppress(ValueError):
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1e3)
        if "retry-after" in headers:
            return max(0.0, _seconds(headers["retry-after"]))
    return None


def _headers(error: BaseException) -> Any:  # noqa: ANN401 - a mapping of whichever library
    return getattr(error, "litellm_response_headers", None)


def _seconds(after: str) -> float:
    try:
        return float(after)
    except ValueError:
        when = parsedate_to_datetime(after)
        return (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
