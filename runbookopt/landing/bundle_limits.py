"""Limits of a bundle: what it holds goes through a ledger in git, and is read where a token is (pure)."""

from collections.abc import Iterator
from typing import Any

import msgspec

from runbookopt.documents.digest import canonical

MOST_OUTPUT = 64 * 1024
"""Bytes (UTF-8) of one output."""

MOST_TEXT = 256 * 1024
"""Bytes of any other text, and of all that one attempt leaves beside its output."""

MOST_BYTES = 64 * 1024 * 1024
"""Bytes of a whole bundle, as it is stored."""

MOST_BESIDE_OUTPUTS = 8 * 1024 * 1024
"""Bytes of a bundle but for its outputs, for which the rest is kept."""

LEAST_SHARE = 1024
"""Bytes that each attempt must have room for."""


def share(attempts: int) -> int:
    """Bytes, as JSON, that each of a proof's attempts has in a bundle, so that all of them fit."""
    return min(MOST_OUTPUT + MOST_TEXT, (MOST_BYTES - MOST_BESIDE_OUTPUTS) // max(1, attempts))


def too_long(value: object, most: int = MOST_TEXT, place: str = "") -> Iterator[str]:
    """Each text in a value that is longer than it may be, by where it stands; outputs may be shorter."""
    match value:
        case str():
            size = len(value.encode(errors="replace"))
            if size > most:
                yield f"{place or 'a text'}: {size:,} bytes, and at most {most:,} are taken"
        case dict():
            for key, each in value.items():
                yield from too_long(str(key), most, f"a key of {place}")
                is_output = key in {"before", "after"} and place.startswith(("outputs[", "red_team["))
                yield from too_long(each, MOST_OUTPUT if is_output else most, f"{place}.{key}".lstrip("."))
        case list() | tuple():
            for number, each in enumerate(value):
                yield from too_long(each, most, f"{place}[{number}]")
        case _:
            return


def no_room(*parts: object) -> str | None:
    """Why a bundle could not hold these parts of it, which are known before a look; None where it can."""
    built: list[Any] = [msgspec.to_builtins(part) for part in parts]
    long = next((text for part in built for text in too_long(part)), None)
    size = sum(len(canonical(part)) for part in built)
    if long is None and size > MOST_BESIDE_OUTPUTS:
        long = f"{size:,} bytes, and at most {MOST_BESIDE_OUTPUTS:,} beside its outputs are taken"
    return long
