"""What an error of the libraries below a model says: why it came about, in whose words, when to come back."""

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
    """Give the error, what it came from, and so on."""
    found = [error]
    while (below := found[-1].__cause__ or found[-1].__context__) is not None and below not in found:
        found.append(below)
    return found


def words(error: BaseException) -> str:
    """Give what the server said, without the names of errors around it."""
    said = _NAMES.sub("", str(getattr(error, "message", error)))
    inner = _MESSAGE.search(said)
    if inner is None:
        return said
    try:
        return str(json.loads(inner[1], strict=False))
    except ValueError:
        return said


def is_no_json(error: BaseException) -> bool:
    """Say whether a server's answer of success could not be read."""
    failed = _headers(error) is not None and getattr(error, "status_code", None) != _SUCCESS
    return not failed and any(isinstance(each, json.JSONDecodeError) for each in chain(error))


def has_no_credit(error: BaseException) -> bool:
    """Say whether a refusal is one that no waiting helps: the account is used up."""
    bodies = [getattr(each, "body", None) for each in chain(error)]
    codes = {str(body.get(name)) for body in bodies if isinstance(body, dict) for name in ("code", "type")}
    return "insufficient_quota" in codes or '"insufficient_quota"' in str(error)


def wait(error: BaseException) -> float | None:
    """Give the seconds that a server asks to wait, where it does: a number, or a date."""
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
