import pytest
from msgspec import Struct

from runbookopt.documents.digest import canonical
from runbookopt.documents.schema_errors import against_schema, json_schema, nearest, schema_fault, shown


class Leaf(Struct, frozen=True, forbid_unknown_fields=True):
    name: str


class Tree(Struct, frozen=True, forbid_unknown_fields=True):
    """A tree of leaves."""

    leaf: Leaf
    branches: "tuple[Tree, ...]" = ()


def test_a_schema_stands_for_itself_and_refuses_what_the_record_refuses() -> None:
    schema = json_schema(Tree)
    assert (schema["title"], schema["description"]) == ("Tree", "A tree of leaves.")
    assert schema_fault(schema) is None
    fits = {"leaf": {"name": "a"}, "branches": [{"leaf": {"name": "b"}}]}
    assert against_schema(fits, canonical(schema)) == []
    fits["branches"] = [{"leaf": {"nam": "b"}}]
    assert "branches[0].leaf: missing key 'name'" in against_schema(fits, canonical(schema))


@pytest.mark.parametrize(
    ("schema", "value", "complaint"),
    [
        ({"type": ["string", "null"]}, 3, "expected text or nothing, got 3"),
        ({"enum": [1, "b"]}, "c", 'expected one of 1, b, got "c"'),
        (
            {"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]},
            "c",
            'expected one of a, b or nothing, got "c"',
        ),
        ({"additionalProperties": False}, {"x": 1}, "unknown key 'x'"),
        ({"anyOf": [True, {"type": "null"}], "not": {}}, 1, "expected not {}, got 1"),
        ({"anyOf": [{"minimum": 3}, {"minimum": 5}]}, 1, "expected another form or another form, got 1"),
        ({"properties": {"a": {"maxLength": 2}}}, {"a": "abc"}, 'a: expected maxLength 2, got "abc"'),
        ({"items": {"required": ["a"]}}, [{"b": 1}], "[0]: missing key 'a'"),
    ],
)
def test_a_schema_that_is_not_ours_complains_in_the_same_words(
    schema: object, value: object, complaint: str
) -> None:
    assert against_schema(value, canonical(schema)) == [complaint]


def test_what_is_no_schema_is_told_where() -> None:
    assert schema_fault({"properties": {"a": {"type": "txt"}}}) == (
        "schema.properties.a.type: 'txt' is not valid under any of the given schemas"
    )


def test_only_a_near_word_is_suggested() -> None:
    assert nearest("wieght", ["weight", "gate"]) == " (did you mean 'weight'?)"
    assert nearest("zzz", ["weight", "gate"]) == ""


def test_a_shown_value_is_short_and_on_one_line() -> None:
    assert shown({"a": "x\ny"}) == '{"a": "x\\ny"}'
    assert len(shown("x" * 1000)) == 60
