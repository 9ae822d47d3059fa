"""Answers with all that GitHub's description requires: what is not said is the least that is valid."""

from collections.abc import Mapping
from typing import Any

from tests.github.contracts import Contracts

LEAST = {"string": "", "integer": 0, "number": 0, "boolean": False}
FORMATS = {
    "uri": "https://github.invalid/",
    "date-time": "2026-01-01T00:00:00Z",
    "email": "nobody@example.com",
}


def filled(schema: Mapping[str, Any], said: object, book: Contracts) -> object:
    """Give `said` with the required properties that it lacks."""
    schema = _fitting(book.resolved(schema), said, book)
    if isinstance(said, list):
        return [filled(schema.get("items", {}), each, book) for each in said]
    if not isinstance(said, dict):
        return said
    properties = schema.get("properties", {})
    full = {key: filled(properties.get(key, {}), each, book) for key, each in said.items()}
    for key in schema.get("required", ()):
        if key not in full:
            full[key] = _least(properties.get(key, {}), book)
    return full


def _fitting(schema: Mapping[str, Any], said: object, book: Contracts) -> Mapping[str, Any]:
    """Choose the alternative that knows most of what was said; put parts of a whole together."""
    if "allOf" in schema:
        parts = [_fitting(book.resolved(each), said, book) for each in schema["allOf"]]
        return {
            "type": "object",
            "properties": {key: each for part in parts for key, each in part.get("properties", {}).items()},
            "required": [key for part in parts for key in part.get("required", ())],
        }
    several = [book.resolved(each) for word in ("oneOf", "anyOf") for each in schema.get(word, ())]
    if not several:
        return schema
    several = [_fitting(each, said, book) for each in several]
    if isinstance(said, list):
        return next((each for each in several if each.get("type") == "array"), several[0])
    if not isinstance(said, dict):
        return several[0]
    return max(several, key=lambda each: _fit(each, said))


def _fit(schema: Mapping[str, Any], said: Mapping[str, Any]) -> tuple[int, int]:
    """Rank an alternative: what it knows of `said`, with a fixed type that agrees counting most."""
    properties = schema.get("properties", {})
    fixed = properties.get("type", {}).get("enum", ())
    agrees = 100 if said.get("type") in fixed else 0
    return agrees + len(properties.keys() & said.keys()), -len(set(schema.get("required", ())) - said.keys())


def _least(schema: Mapping[str, Any], book: Contracts) -> object:
    schema = book.resolved(schema)
    if schema.get("nullable"):
        return None
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "array":
        return []
    if schema.get("type") in LEAST:
        return FORMATS.get(schema.get("format", ""), LEAST[schema["type"]])
    schema = _fitting(schema, {}, book)
    if schema.get("type") in LEAST or "enum" in schema:
        return _least(schema, book)
    return filled(schema, {}, book)
