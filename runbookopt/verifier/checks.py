"""Criteria that are deterministic: their checks of an output, and their words where it fails (pure).

What the agent failed to deliver is a fail; what the verifier failed to do is an error.
"""

# ruff: noqa: ANN401 - a JSON value has any type

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct

from runbookopt.documents.digest import canonical
from runbookopt.documents.finding import TOLD, Finding, Undelivered, Unjudgeable, enumerated, told
from runbookopt.documents.parse import repeated_key
from runbookopt.documents.schema_errors import InconsistentValues, against_schema, schema_fault, shown
from runbookopt.evidence.trajectory import Left
from runbookopt.verifier import trace_checks
from runbookopt.verifier.program_checks import Command, ProgramCheck, Python
from runbookopt.verifier.trace_checks import TraceCheck

__all__ = [
    "Check",
    "Delivery",
    "Finding",
    "answer_to",
    "delivery",
    "examine",
    "keys_of",
    "looks_at_reference",
    "may_run_away",
    "runs_programs",
]

Path = Annotated[
    str,
    Meta(pattern=r"^\$(\.[^.\[\]]+|\[[0-9]{1,9}\])*$", description="a path such as $.queue or $.items[0]"),
]
Text = Annotated[str, Meta(min_length=1)]
Texts = Annotated[tuple[Text, ...], Meta(min_length=1)]

MAX_NESTING = 100  # levels of an output's JSON; an output that goes deeper counts as no JSON


class _Check(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    path: Path | None = None

    def expected(self, reference: Any) -> Any:
        """Expectation that the output is held against; raises Unjudgeable."""
        raise Unjudgeable(f"no expectation in {shown(reference)}")

    def words(self, expected: Any) -> str:
        """Words for what is expected, behind "expected"."""
        return told(expected)

    def instead(self, got: Any, expected: Any) -> str | None:
        """Words for what was got where that is not as expected; None is a pass."""
        return None if _same(got, expected) else told(got)


class Equals(_Check, frozen=True, tag="equals"):
    """The output is `value`, or what `reference` (a path) leads to in the task's reference.

    `path` says which part of the output is looked at, read as JSON; without it, the raw text is.
    """

    reference: Path | None = None
    value: Any = UNSET

    def __post_init__(self) -> None:
        _exactly_one(value=self.value is not UNSET, reference=self.reference is not None)
        if self.path is None and not isinstance(self.value, str | msgspec.UnsetType):
            raise InconsistentValues(
                "value", f"expected text where no path leads into the output, got {shown(self.value)}"
            )

    def expected(self, reference: Any) -> Any:
        if self.reference is None:
            return self.value
        expected = _referred(reference, self.reference)
        if self.path is None and not isinstance(expected, str):
            raise Unjudgeable(f"expected text at {self.reference} of the reference, got {told(expected)}")
        return expected


class OneOf(_Check, frozen=True, tag="one_of"):
    """The output is one of `values`, or of the list to which `reference` leads."""

    reference: Path | None = None
    values: Annotated[tuple[Any, ...], Meta(min_length=1)] | None = None

    def __post_init__(self) -> None:
        _exactly_one(values=self.values is not None, reference=self.reference is not None)

    def expected(self, reference: Any) -> Any:
        return self.values if self.reference is None else _listed(reference, self.reference)

    def words(self, expected: Sequence[Any]) -> str:
        return f"one of {enumerated(expected)}"

    def instead(self, got: Any, expected: Sequence[Any]) -> str | None:
        return None if any(_same(got, value) for value in expected) else told(got)


class _Texts(_Check, frozen=True):
    reference: Path | None = None
    value: Text | None = None
    values: Texts | None = None

    def __post_init__(self) -> None:
        _exactly_one(
            value=self.value is not None,
            values=self.values is not None,
            reference=self.reference is not None,
        )

    def expected(self, reference: Any) -> Sequence[str]:
        if self.reference is None:
            return self.values or (self.value or "",)
        texts = _listed(reference, self.reference)
        if not all(isinstance(text, str) and text for text in texts):
            raise Unjudgeable(f"expected text at {self.reference} of the reference, got {told(texts)}")
        return texts


class Contains(_Texts, frozen=True, tag="contains"):
    """The text holds `value`, or each of `values`; a list has them among its items."""

    def words(self, expected: Sequence[str]) -> str:
        return f"text with {enumerated(expected)}"

    def instead(self, got: Any, expected: Sequence[str]) -> str | None:
        missing = [text for text in expected if text not in _searchable(got)]
        return f"{told(got)} without {enumerated(missing)}" if missing else None


class NotContains(_Texts, frozen=True, tag="not_contains"):
    """The text holds neither `value` nor any of `values`; a list has none of them among its items."""

    def words(self, expected: Sequence[str]) -> str:
        return f"text without {enumerated(expected)}"

    def instead(self, got: Any, expected: Sequence[str]) -> str | None:
        present = [text for text in expected if text in _searchable(got)]
        return f"{told(got)} with {enumerated(present)}" if present else None


class StartsWith(_Texts, frozen=True, tag="starts_with"):
    """The text begins with `value`, or with one of `values`."""

    def words(self, expected: Sequence[str]) -> str:
        return f"text that starts with {enumerated(expected, ' or ')}"

    def instead(self, got: Any, expected: Sequence[str]) -> str | None:
        return None if _text(got).startswith(tuple(expected)) else told(got)


class Regex(_Check, frozen=True, tag="regex", kw_only=True):
    """The regular expression `value` (Python's) matches somewhere in the text."""

    value: Text

    def __post_init__(self) -> None:
        try:
            re.compile(self.value)
        except (re.error, RecursionError, OverflowError) as error:
            raise InconsistentValues(
                "value", f"expected a regular expression, got {shown(self.value)}: {error}"
            ) from None

    def expected(self, _: Any) -> str:
        return self.value

    def words(self, expected: str) -> str:
        return f"text that matches {told(expected)}"

    def instead(self, got: Any, expected: str) -> str | None:
        return None if re.search(expected, _text(got)) else told(got)


class MaxChars(_Check, frozen=True, tag="max_chars", kw_only=True):
    """The text has at most `value` characters."""

    value: Annotated[int, Meta(ge=1)]

    def expected(self, _: Any) -> int:
        return self.value

    def words(self, expected: int) -> str:
        return f"at most {expected} characters"

    def instead(self, got: Any, expected: int) -> str | None:
        return None if len(_text(got)) <= expected else f"{len(got)}"


class JsonSchema(_Check, frozen=True, tag="json_schema", kw_only=True):
    """The output, or the part of it that `path` names, is JSON valid against `schema` (2020-12)."""

    schema: dict[str, Any]

    def __post_init__(self) -> None:
        fault = schema_fault(self.schema)
        if fault is not None:
            raise InconsistentValues("schema", f"expected a JSON Schema: {fault[:TOLD]}")

    def expected(self, _: Any) -> bytes:
        return msgspec.json.encode(self.schema)

    def words(self, _: bytes) -> str:
        return "JSON as the schema says"

    def instead(self, got: Any, expected: bytes) -> str | None:
        try:
            faults = against_schema(got, expected)
        except RecursionError:
            raise Unjudgeable("the schema refers to itself without end, or leads too deep") from None
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""  # noqa: PLR2004
        return f"JSON where this is wrong: {'; '.join(faults[:3])}{more}" if faults else None


OutputCheck = Equals | OneOf | Contains | NotContains | StartsWith | Regex | MaxChars | JsonSchema
Check = OutputCheck | TraceCheck | ProgramCheck


def examine(check: Check, *, output: str | None, reference: Any, left: Left | None = None) -> Finding:
    """Judge one output; `reference` is the task's, and `left` what the attempt left beside the output.

    A regular expression runs for as long as a hostile output makes it: see `may_run_away`. A check that is a
    program is run by `isolated_checks` alone.
    """
    if isinstance(check, Command | Python):
        return Finding("error", "a check that is a program was not run")
    if not isinstance(check, _Check):
        return trace_checks.examine(check, output, left)
    on_output: _Check = check
    expected = None
    try:
        expected = on_output.expected(reference)
        instead = on_output.instead(_looked_at(check, output, left), expected)
    except Unjudgeable as reason:
        return Finding("error", str(reason))
    except Undelivered as undelivered:
        instead = str(undelivered)
    if instead is None:
        return Finding("pass")
    return Finding("fail", f"expected {on_output.words(expected)}, got {instead}")


def may_run_away(check: Check) -> bool:
    """Whether an output can keep this check busy for ever: by a regular expression, or by references.

    Schemas that refer to each other twice take twice as long with each step.
    """
    if isinstance(check, JsonSchema):
        schema = msgspec.json.encode(check.schema)
        return any(word in schema for word in (b'"pattern', b'"$ref', b'"$dynamicRef'))  # patternProperties
    return isinstance(check, Regex)


def runs_programs(check: Check) -> bool:
    """Whether the check runs code that is not ours: `isolated_checks` starts a process for it."""
    return isinstance(check, Command | Python)


def looks_at_reference(check: Check) -> bool:
    """Whether the check holds the output against the task's reference."""
    return isinstance(check, Equals | OneOf | _Texts) and check.reference is not None


def answer_to(check: Check, output: str | None, reference: Any) -> tuple[bytes | None, bytes | None]:
    """Canonical JSON of what an output answers, and of the one answer that the task's reference expects.

    Each is None where there is none, and both are of a check that does not compare the two (`equals`).
    """
    answer = expected = None
    if not isinstance(check, Equals) or check.reference is None:
        return answer, expected
    with suppress(Undelivered):
        answer = canonical(_looked_at(check, output, None))
    with suppress(Unjudgeable):
        expected = canonical(check.expected(reference))
    return answer, expected


class Delivery(Struct, frozen=True):
    """What there is to look at for a check of an output, and what it is held against.

    `kind`: the verifier cannot say what it expects ("unjudgeable"), the output is no JSON ("no_json") or has
    nothing at the path ("elsewhere"), its answer is compared ("compared"), or looked at in another way
    ("other"). `words` say what is there instead.
    """

    kind: Literal["unjudgeable", "no_json", "elsewhere", "compared", "other"]
    words: str = ""
    got: Any = None
    expected: Any = None


def delivery(check: OutputCheck, output: str | None, reference: Any) -> Delivery:
    """What an output delivers for a check; nothing of it is judged."""
    try:
        expected = check.expected(reference)
    except Unjudgeable as reason:
        return Delivery("unjudgeable", str(reason))
    try:
        got = _looked_at(check, output, None)
    except Undelivered as instead:
        return Delivery("elsewhere" if keys_of(output) is not None else "no_json", str(instead))
    return Delivery("compared" if isinstance(check, Equals | OneOf) else "other", "", got, expected)


def keys_of(output: str | None) -> set[str] | None:
    """The keys of an output that is a JSON object; None where it is none."""
    try:
        value = _json(output or "")
    except Undelivered:
        return None
    return set(value) if isinstance(value, dict) else None


def _exactly_one(**given: bool) -> None:
    if sum(given.values()) != 1:
        there = " and ".join(name for name in given if given[name]) or "none"
        raise ValueError(f"expected exactly one of {', '.join(given)}, got {there}")


def _referred(reference: object, path: str) -> Any:
    try:
        return _follow(reference, path)
    except LookupError:
        raise Unjudgeable(f"nothing at {path} of the task's reference") from None


def _listed(reference: object, path: str) -> Sequence[Any]:
    value = _referred(reference, path)
    values = value if isinstance(value, list | tuple) else [value]
    if not values:
        raise Unjudgeable(f"an empty list at {path} of the task's reference")
    return values


def _looked_at(check: _Check, output: str | None, left: Left | None) -> Any:
    if output is None:
        raise Undelivered(trace_checks.no_output(left))
    if check.path is None and not isinstance(check, JsonSchema):
        return output
    value = _json(output)
    try:
        return _follow(value, check.path or "$")
    except LookupError:
        raise Undelivered(f"nothing at {check.path}") from None


def _json(output: str) -> Any:
    try:
        value = msgspec.json.decode(output)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Undelivered(f"text that is not JSON: {told(output)}") from None
    if (key := repeated_key(output)) is not None:
        raise Undelivered(f"JSON where the key {shown(key)} is there twice")
    level = [value]
    for _ in range(MAX_NESTING):
        lists = (list(each.values()) if isinstance(each, dict) else each for each in level)
        level = [child for each in lists if isinstance(each, list) for child in each]
        if not level:
            return value
    raise Undelivered(f"JSON of more than {MAX_NESTING} levels")


def _follow(value: Any, path: str) -> Any:
    """What `path` leads to; raises LookupError."""
    for name, index in re.findall(r"\.([^.\[\]]+)|\[([0-9]+)\]", path):
        holder: Any = value if isinstance(value, dict if name else list) else {}
        value = holder[name or int(index)]
    return value


def _same(one: object, other: object) -> bool:
    """Whether two JSON values are equal; true is not 1, but 1.0 is."""
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
        case list() | tuple(), list() | tuple():
            return len(one) == len(other) and all(map(_same, one, other))
        case _:
            return isinstance(one, bool) == isinstance(other, bool) and one == other


def _text(got: object) -> str:
    if not isinstance(got, str):
        raise Undelivered(f"{told(got)}, which is not text")
    return got


def _searchable(got: object) -> str | Sequence[Any]:
    return got if isinstance(got, list) else _text(got)
