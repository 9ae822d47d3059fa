"""What an agent program writes down of its own steps, in any known format, as ATIF step objects."""

from collections.abc import Sequence
from typing import Any

import msgspec

from runbookopt.evidence.formats import atif, claude_code, codex

Steps = tuple[dict[str, Any], ...]

LONGEST_TEXT = 4_000
"""Characters of one text in a step; what is left out is said in its place."""

MOST_STEPS = 5_000
DEEPEST = 20
"""Levels of a step's JSON that are kept."""


def read_steps(data: bytes) -> Steps | None:
    """Give the steps of a transcript; None where no format is recognised, or there are too many to keep.

    Lines that are no JSON are passed over: a program that was stopped leaves half a line.
    """
    document = _json(data)
    records = [document] if isinstance(document, dict) else _lines(data)
    for format_ in (atif, claude_code, codex):
        steps = format_.steps(records)
        if steps is not None:
            return tuple(_shortened(step) for step in steps) if len(steps) <= MOST_STEPS else None
    return None


def _lines(data: bytes) -> Sequence[dict[str, Any]]:
    records = (_json(line) for line in data.split(b"\n") if line.strip())
    return [record for record in records if isinstance(record, dict)]


def _json(data: bytes) -> Any:  # noqa: ANN401 - JSON has any shape
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _shortened(value: Any, level: int = 0) -> Any:  # noqa: ANN401 - JSON has any shape
    match value:
        case str() if len(value) > LONGEST_TEXT:
            return f"{value[:LONGEST_TEXT]} [and {len(value) - LONGEST_TEXT:,} characters more]"
        case dict() | list() if level > DEEPEST:
            return "[left out: too deep]"
        case dict():
            return {key[:LONGEST_TEXT]: _shortened(inner, level + 1) for key, inner in value.items()}
        case list():
            return [_shortened(inner, level + 1) for inner in value]
        case _:
            return value
