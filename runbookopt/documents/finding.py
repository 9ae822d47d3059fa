"""Finding of a check, and how it quotes what it saw (pure)."""

import re
from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from runbookopt.documents.schema_errors import plain, shown

TOLD = 100  # characters of a value that an explanation quotes


class Finding(Struct, frozen=True):
    """The verdict of a check on one output, and why."""

    result: Literal["pass", "fail", "error"]
    explanation: str = ""


class Undelivered(Exception):
    """The agent delivered something else, which is named, than what is looked at."""


class Unjudgeable(Exception):
    """The verifier cannot say, for the reason given."""


def told(value: object) -> str:
    """Quote a value within a sentence: text as it is, where that can be read, else as JSON."""
    readable = isinstance(value, str) and value.strip() == value and re.search(r"[^\W\d]", value)
    text = plain(value) if isinstance(value, str) and readable else shown(value, TOLD)
    return text if len(text) <= TOLD else f"{text[: TOLD - 3]}..."


def enumerated(values: Sequence[Any], joint: str = ", ") -> str:
    """Quote several values."""
    text = joint.join(told(value) for value in values)
    return text if len(text) <= 2 * TOLD else f"{text[: 2 * TOLD - 3]}..."
