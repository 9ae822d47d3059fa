"""Schema errors in words: all that keeps a value from being a record (the one file that knows jsonschema).

msgspec decides whether a value fits and stops at the first reason; people want all of them, at their places.
"""

import difflib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    import jsonschema

Place = tuple[str | int, ...]  # where in a file a value stands: ("criteria", 0, "weight")
SHOWN = 60  # characters of a bad value that a message quotes


class SchemaProblem(Struct, frozen=True):
    """One thing wrong at one place; `line_of` is the place whose line is named, where that is another one."""

    place: Place
    message: str
    line_of: Place | None = None

    @property
    def words(self) -> str:
        """As in `criteria[0].weight: message`."""
        label = "".join(f"[{key}]" if isinstance(key, int) else f".{plain(key)}" for key in self.place)
        return f"{label.removeprefix('.')}: {self.message}" if label else self.message


class InconsistentValues(ValueError):
    """Raised by a record's `__post_init__` where its values do not fit together; `key` is to be named."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


def explain(value: object, type_: type, hints: Mapping[str, str]) -> list[SchemaProblem]:
    """All that speaks against `value` as a `type_`, in order of places; `hints` explain unknown keys."""
    validator = _explainer(type_)
    errors = cast("Iterable[Complaint]", validator.iter_errors(value))
    faults = [fault for error in errors for leaf in _leaves(error) for fault in _faults(leaf, hints)]
    return sorted(dict.fromkeys(faults), key=lambda fault: [str(key) for key in fault.place])


def against_schema(value: object, schema: bytes) -> list[str]:
    """All that a JSON Schema (2020-12, as JSON) that need not be ours has against `value`.

    Nothing is fetched: a reference to a schema elsewhere raises what jsonschema raises.
    """
    from jsonschema import Draft202012Validator
    from referencing import Registry  # noqa: PLC0415 - comes with jsonschema

    validator: Any = Draft202012Validator(msgspec.json.decode(schema), registry=Registry())
    errors = sorted(validator.iter_errors(value), key=lambda error: str(list(error.absolute_path)))
    words = (fault.words for error in errors for leaf in _leaves(error) for fault in _faults(leaf, {}))
    return list(dict.fromkeys(words))


def schema_fault(schema: object) -> str | None:
    """Say why `schema` is no JSON Schema (2020-12); None where it is one."""
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)  # type: ignore[arg-type] # anything may come
    except SchemaError as error:
        return plain(".".join(["schema", *map(str, error.absolute_path)]) + f": {error.message}")
    return None


def json_schema(type_: type) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what is read as `type_`."""
    schema = msgspec.json.schema(type_)
    root = schema.pop("$ref", "").removeprefix("#/$defs/")
    definitions = schema.pop("$defs", {})
    top = definitions.pop(root, schema)
    if f'"#/$defs/{root}"'.encode() in msgspec.json.encode([top, definitions]):
        definitions[root] = top
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema", **top, "$defs": definitions}
    whole: dict[str, Any] = _in_integers(described)
    return whole


def _in_integers(value: Any) -> Any:  # noqa: ANN401 - JSON has any shape
    """JSON with 0 for 0.0: of two types that are equal, typing keeps whichever was imported first."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: _in_integers(inner) for key, inner in value.items()}
        case list():
            return [_in_integers(inner) for inner in value]
        case _:
            return value


def nearest(word: str, known: Collection[str]) -> str:
    """` (did you mean 'x'?)`, or nothing where no known word is near."""
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def shown(value: object, length: int = SHOWN) -> str:
    """`value` as a message quotes it: JSON on one line, shortened, nothing unprintable in it."""
    try:
        text = plain(json.dumps(value, ensure_ascii=False, default=str))
    except RecursionError:
        text = "..."
    return text if len(text) <= length else f"{text[: length - 3]}..."


def plain(text: str) -> str:
    """`text` with all that a terminal would not print escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Complaint(Protocol):
    """The part of a `jsonschema.ValidationError` that this file reads."""

    message: str
    validator: str
    validator_value: Any
    instance: Any
    schema: dict[str, Any]
    context: Sequence["Complaint"]
    absolute_path: Sequence[str | int]
    relative_path: Sequence[str | int]
    relative_schema_path: Sequence[str | int]


@cache
def _explainer(type_: type) -> Any:  # noqa: ANN401 - jsonschema makes the class of a validator at run time
    from jsonschema import Draft202012Validator as Draft
    from jsonschema import validators

    schema = json_schema(type_)
    parts = {schema.get("title"): schema, **schema["$defs"]}
    for name, record in _records(msgspec.inspect.type_info(type_), {}).items():
        if name in parts:
            parts[name]["x-record"] = record
    whole = Draft.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    rules = {
        "x-record": _record_rule,
        "x-unique-by": _unique_rule,
        **dict.fromkeys(_FOR_EDITORS, lambda *_: iter(())),
    }
    extend: Any = validators.extend
    return extend(Draft, rules, type_checker=whole)(schema)


def _records(node: object, records: dict[str, type]) -> dict[str, type]:
    """Add the record types within what msgspec knows of a type, by the names that its schema gives them."""
    if isinstance(node, msgspec.inspect.StructType):
        if node.cls.__name__ in records:
            return records
        records[node.cls.__name__] = node.cls
    if isinstance(node, msgspec.inspect.Type | msgspec.inspect.Field):
        node = tuple(getattr(node, name) for name in node.__struct_fields__)
    for child in node if isinstance(node, tuple) else ():
        _records(child, records)
    return records


def _record_rule(
    _: object, record: type, value: object, __: object
) -> Iterator["jsonschema.ValidationError"]:
    import jsonschema

    try:
        msgspec.convert(value, record)
    except msgspec.ValidationError as error:
        cause = error.__cause__
        if " - at `$" not in str(error) and isinstance(cause, ValueError):
            path = [cause.key] if isinstance(cause, InconsistentValues) else ()
            yield jsonschema.ValidationError(str(cause), validator="x-record", path=path)


def _unique_rule(_: object, key: str, value: object, __: object) -> Iterator["jsonschema.ValidationError"]:
    import jsonschema

    first: dict[str, int] = {}
    for index, item in enumerate(value if isinstance(value, list) else []):
        name = item.get(key) if isinstance(item, dict) else None
        if isinstance(name, str) and first.setdefault(name, index) != index:
            message = f"expected a new {key}, got {shown(name)} again"
            yield jsonschema.ValidationError(message, validator="x-unique-by", path=[index, key])


_FOR_EDITORS = ("oneOf", "dependentRequired")
"""Rules for editors: a record of ours says the same of itself in better words."""


def _leaves(error: Complaint) -> Iterator[Complaint]:
    """Go down into the branch that was meant: the one that the tag names, or the only one of that type."""
    if error.validator != "anyOf":
        yield error
        return
    branches: dict[object, list[Complaint]] = {}
    for cause in error.context or ():
        branches.setdefault(cause.relative_schema_path[0], []).append(cause)
    tag = error.schema.get("discriminator", {}).get("propertyName")
    meant = [causes for causes in branches.values() if not any(_elsewhere(cause, tag) for cause in causes)]
    if len(meant) != 1:
        yield error
        return
    for cause in meant[0]:
        yield from _leaves(cause)


def _elsewhere(cause: Complaint, tag: str | None) -> bool:
    """Tell whether this complaint says that another branch was meant."""
    if not cause.relative_path:
        missing = cause.validator == "required" and isinstance(cause.instance, dict) and tag is not None
        return cause.validator in {"type", "enum"} or (missing and tag not in cause.instance)
    return tag is not None and list(cause.relative_path) == [tag]


def _faults(error: Complaint, hints: Mapping[str, str]) -> Iterator[SchemaProblem]:
    place, value = tuple(error.absolute_path), error.instance
    match error.validator:
        case "required":
            missing = [key for key in error.validator_value if key not in value]
            yield from (SchemaProblem(place, f"missing key {key!r}") for key in missing)
        case "additionalProperties" if not error.schema.get("patternProperties"):
            keys = error.schema.get("properties", {})
            for key in [key for key in value if key not in keys]:
                why = f": {hints[key]}" if key in hints else nearest(key, keys)
                yield SchemaProblem(place, f"unknown key '{plain(key)[:SHOWN]}'{why}", line_of=(*place, key))
        case "anyOf":
            yield _unmatched(error, place)
        case "x-record" | "x-unique-by":
            yield SchemaProblem(place, error.message)
        case bound if (
            bound in _SIGNS and error.schema.get("type") == "integer" and not isinstance(value, int)
        ):
            return  # its type is already complained of
        case _:
            words = error.validator_value if error.validator == "enum" and isinstance(value, str) else ()
            near = nearest(value, [word for word in words if isinstance(word, str)]) if words else ""
            yield SchemaProblem(place, f"expected {_expected(error)}, got {shown(value)}{near}")


def _unmatched(error: Complaint, place: Place) -> SchemaProblem:
    value, discriminator = error.instance, error.schema.get("discriminator")
    if discriminator is None:
        return SchemaProblem(place, f"expected {_alternatives(error)}, got {shown(value)}")
    tag, names = discriminator["propertyName"], discriminator["mapping"]
    if not isinstance(value, dict):
        return SchemaProblem(place, f"expected a mapping with the key {tag!r}, got {shown(value)}")
    if tag not in value:
        return SchemaProblem(place, f"missing key {tag!r}: one of {', '.join(names)}")
    near = nearest(str(value[tag]), names)
    return SchemaProblem((*place, tag), f"expected one of {', '.join(names)}, got {shown(value[tag])}{near}")


def _alternatives(error: Complaint) -> str:
    types = [branch.get("type") if isinstance(branch, dict) else None for branch in error.validator_value]
    words: dict[int, str] = {}
    for cause in error.context or ():  # also of a branch that only refers to its type
        if cause.validator == "type" and not cause.relative_path:
            types[int(cause.relative_schema_path[0])] = cause.validator_value
        elif cause.validator == "enum" and not cause.relative_path:
            words[int(cause.relative_schema_path[0])] = f"one of {', '.join(map(str, cause.validator_value))}"
    return " or ".join(words.get(at, _KINDS.get(str(name), "another form")) for at, name in enumerate(types))


def _expected(error: Complaint) -> str:
    bound = error.validator_value
    match error.validator:
        case "type":
            names = bound if isinstance(bound, list) else [bound]
            return " or ".join(_KINDS[name] for name in names)
        case "enum":
            values = ", ".join(value if isinstance(value, str) else shown(value) for value in bound)
            return values if len(bound) == 1 else f"one of {values}"
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            return f"a number {_SIGNS[error.validator]} {bound}"
        case "minLength" | "minItems" if bound == 1:
            return "something here"
        case "pattern":
            return str(error.schema.get("description", f"text like {plain(bound)}"))
        case _:
            return f"{error.validator} {shown(bound)}"


_SIGNS = {"minimum": ">=", "maximum": "<=", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
_KINDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
