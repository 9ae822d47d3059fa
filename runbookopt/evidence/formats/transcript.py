"""Transcript of an agent program in any known format, as ATIF step objects."""

from collections.abc import Sequence
from typing import Any

import msgspec

from runbookopt.evidence.formats import atif, claude_code, codex

Steps = tuple[dict[str, Any], ...]

LONGEST_TEXTS = (4_000, 1_000, 200, 40)
"""Characters of one text in a step: the first of these at which a transcript is not too large."""

LARGEST = 500_000  # bytes of a transcript's steps as JSON: they are kept for each attempt

MOST_STEPS = 5_000
DEEPEST = 20  # levels of a step's JSON that are kept


def read_steps(data: bytes) -> Steps | None:
    """The steps of a transcript; None where no format is recognised, or they are too many to keep.

    Long texts in them are cut, and that is said in their place. Lines that are no JSON are passed over: a
    program that was stopped leaves half a line.
    """
    document = _json(data)
    documents = [document] if isinstance(document, dict) else map(_json, data.split(b"\n"))
    records = [record for record in documents if isinstance(record, dict)]
    for format_ in (atif, claude_code, codex):
        steps = format_.steps(records)
        if steps is not None:
            return within_limits(steps)
    return None


def within_limits(steps: Sequence[dict[str, Any]]) -> Steps | None:
    """The steps with long texts and deep values in them cut; None where they are too many to keep."""
    if len(steps) > MOST_STEPS:
        return None
    for longest in LONGEST_TEXTS:
        kept: Steps = tuple(_shortened(step, longest) for step in steps)
        if len(msgspec.json.encode(kept)) <= LARGEST:
            return kept
    return None


def _json(data: bytes) -> Any:  # noqa: ANN401 - JSON has any shape
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _shortened(value: Any, longest: int, level: int = 0) -> Any:  # noqa: ANN401 - JSON has any shape
    match value:
        case str() if len(value) > longest:
            return f"{value[:longest]} [and {len(value) - longest:,} characters more]"
        case dict() | list() if level > DEEPEST:
            return "[left out: too deep]"
        case dict():
            return {key[:longest]: _shortened(inner, longest, level + 1) for key, inner in value.items()}
        case list():
            return [_shortened(inner, longest, level + 1) for inner in value]
        case _:
            return value
