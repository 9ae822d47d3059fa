from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.documents.schema_errors import InconsistentValues
from runbookopt.verifier.checks import Check, Equals, Finding, JsonSchema, Regex, examine, may_run_away

QUEUE = {"kind": "equals", "path": "$.queue", "reference": "$.queue"}
OBJECT = {"type": "object", "required": ["queue", "reason"], "properties": {"queue": {"enum": ["a", "b"]}}}
SCHEMA = {"kind": "json_schema", "schema": OBJECT}


def judge(check: dict[str, Any], output: str | None, reference: object = None) -> Finding:
    return examine(msgspec.convert(check, Check), output=output, reference=reference)


@pytest.mark.parametrize(
    ("check", "output", "reference"),
    [
        (QUEUE, '{"queue": "card-arrival", "reason": "x"}', {"queue": "card-arrival"}),
        ({"kind": "equals", "reference": "$"}, "yes", "yes"),
        ({"kind": "equals", "path": "$[1].n", "value": 1}, '[0, {"n": 1.0}]', None),
        ({"kind": "equals", "path": "$", "value": None}, "null", None),
        ({"kind": "equals", "path": "$", "value": {"a": [1, True]}}, '{"a": [1.0, true]}', None),
        ({"kind": "one_of", "path": "$.a", "values": ["x", 2]}, '{"a": 2}', None),
        ({"kind": "one_of", "reference": "$.any"}, "b", {"any": ["a", "b"]}),
        ({"kind": "contains", "values": ["one", "two"]}, "two and one", None),
        ({"kind": "contains", "path": "$.tags", "value": "late"}, '{"tags": ["late"]}', None),
        ({"kind": "contains", "reference": "$"}, "two and one", "one"),
        ({"kind": "not_contains", "value": "refund"}, "sorry", None),
        ({"kind": "starts_with", "values": ["Dear", "Hello"]}, "Hello you", None),
        ({"kind": "regex", "value": r"\bA-\d+"}, "order A-17", None),
        ({"kind": "max_chars", "path": "$.r", "value": 3}, '{"r": "äöü"}', None),
        (SCHEMA, '{"queue": "a", "reason": ""}', None),
        ({"kind": "json_schema", "path": "$.n", "schema": {"type": "number"}}, '{"n": 1}', None),
    ],
)
def test_what_was_wanted_passes(check: dict[str, Any], output: str, reference: object) -> None:
    assert judge(check, output, reference) == Finding("pass")


@pytest.mark.parametrize(
    ("check", "output", "explanation"),
    [
        (QUEUE, '{"queue": "other"}', "expected card-arrival, got other"),
        (QUEUE, '{"queue": "card-arrival "}', 'expected card-arrival, got "card-arrival "'),
        (QUEUE, '{"reason": "x"}', "expected card-arrival, got nothing at $.queue"),
        (QUEUE, '["queue"]', "expected card-arrival, got nothing at $.queue"),
        (QUEUE, "card-arrival", "expected card-arrival, got text that is not JSON: card-arrival"),
        (QUEUE, None, "expected card-arrival, got no output"),
        (QUEUE, "[" * 200 + "]" * 200, "expected card-arrival, got JSON of more than 100 levels"),
        (
            QUEUE,
            '{"queue": "a", "queue": "card-arrival"}',
            'expected card-arrival, got JSON where the key "queue" is there twice',
        ),
        (QUEUE, "[" * 100_000, 'expected card-arrival, got text that is not JSON: "' + "[" * 96 + "..."),
        ({"kind": "equals", "path": "$", "value": 1}, "true", "expected 1, got true"),
        ({"kind": "equals", "path": "$", "value": "1"}, "1", 'expected "1", got 1'),
        ({"kind": "equals", "path": "$", "value": [1]}, "[1, 2]", "expected [1], got [1, 2]"),
        ({"kind": "equals", "path": "$", "value": {"a": 1}}, '{"b": 1}', 'expected {"a": 1}, got {"b": 1}'),
        ({"kind": "one_of", "values": ["a", "b"]}, "c", "expected one of a, b, got c"),
        (
            {"kind": "contains", "values": ["one", "two"]},
            "only one",
            "expected text with one, two, got only one without two",
        ),
        (
            {"kind": "not_contains", "value": "refund"},
            "a refund",
            "expected text without refund, got a refund with refund",
        ),
        ({"kind": "not_contains", "value": "refund"}, None, "expected text without refund, got no output"),
        ({"kind": "starts_with", "value": "Dear"}, "Hi", "expected text that starts with Dear, got Hi"),
        (
            {"kind": "starts_with", "path": "$", "value": "D"},
            "7",
            "expected text that starts with D, got 7, which is not text",
        ),
        ({"kind": "regex", "value": r"^\d+$"}, "x1", "expected text that matches ^\\d+$, got x1"),
        ({"kind": "max_chars", "value": 3}, "four", "expected at most 3 characters, got 4"),
        (
            SCHEMA,
            '{"queue": "b"}',
            "expected JSON as the schema says, got JSON where this is wrong: missing key 'reason'",
        ),
        (SCHEMA, "hm", "expected JSON as the schema says, got text that is not JSON: hm"),
    ],
)
def test_what_was_not_wanted_fails_with_a_reason(
    check: dict[str, Any], output: str | None, explanation: str
) -> None:
    assert judge(check, output, {"queue": "card-arrival"}) == Finding("fail", explanation)


@pytest.mark.parametrize(
    ("check", "reference"),
    [
        (QUEUE, None),
        (QUEUE, {"other": 1}),
        ({"kind": "equals", "reference": "$.n"}, {"n": 1}),
        ({"kind": "one_of", "reference": "$"}, []),
        ({"kind": "contains", "reference": "$"}, [1]),
        ({"kind": "not_contains", "reference": "$.words"}, {"words": []}),
        ({"kind": "starts_with", "reference": "$[3]"}, ["a"]),
    ],
)
def test_an_expectation_that_is_not_there_is_the_verifiers_error(
    check: dict[str, Any], reference: object
) -> None:
    for output in ('{"queue": "a"}', "", None):
        assert judge(check, output, reference).result == "error"


def test_a_long_output_is_quoted_in_short_and_without_control_characters() -> None:
    explanation = judge({"kind": "equals", "value": "a"}, "\x1b[2J" + "x" * 500).explanation
    assert len(explanation) < 130
    assert explanation.isprintable()


@pytest.mark.parametrize(
    "check",
    [
        {"kind": "equals"},
        {"kind": "equals", "value": "a", "reference": "$"},
        {"kind": "equals", "value": 3},
        {"kind": "one_of", "values": []},
        {"kind": "contains", "value": "a", "values": ["b"]},
        {"kind": "contains", "value": ""},
        {"kind": "regex", "value": "("},
        {"kind": "max_chars", "value": 0},
        {"kind": "json_schema", "schema": {"type": "objct"}},
        {"kind": "regex", "path": "queue", "value": "a"},
    ],
)
def test_a_check_that_means_nothing_is_refused(check: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(check, Check)


def test_a_check_made_in_code_is_held_to_the_same_rules() -> None:
    with pytest.raises(InconsistentValues, match="regular expression"):
        Regex(value="[")


def test_only_checks_with_a_pattern_may_run_away() -> None:
    assert may_run_away(Regex(value="a"))
    assert may_run_away(JsonSchema(schema={"properties": {"a": {"pattern": "a"}}}))
    assert not may_run_away(JsonSchema(schema=OBJECT))
    assert not may_run_away(Equals(value="a"))


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda j: st.lists(j, max_size=3))
KINDS = [
    QUEUE,
    SCHEMA,
    {"kind": "contains", "path": "$[0]", "reference": "$"},
    {"kind": "one_of", "values": [True]},
]


@given(
    st.sampled_from(KINDS), st.none() | st.text() | JSON.map(lambda j: msgspec.json.encode(j).decode()), JSON
)
def test_no_output_makes_a_check_raise(check: dict[str, Any], output: str | None, reference: object) -> None:
    finding = judge(check, output, reference)
    assert (finding.result == "pass") == (finding.explanation == "")
    assert output is not None or finding.result != "pass"
