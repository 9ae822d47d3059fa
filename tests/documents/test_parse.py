from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from runbookopt.documents.digest import canonical, digest, digest_of
from runbookopt.documents.parse import MAX_DEPTH, MalformedFile, read_json, read_plain_yaml, read_yaml
from runbookopt.documents.schema_errors import InconsistentValues


class Circle(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="circle"):
    radius: Annotated[float, Meta(gt=0)] = 1.0


class Box(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="box"):
    width: int
    height: int = 1
    colour: Literal["red", "green"] = "red"

    def __post_init__(self) -> None:
        if self.width == 13:
            raise InconsistentValues("width", "expected luck")


Items = Annotated[tuple[Circle | Box, ...], Meta(min_length=1, extra_json_schema={"x-unique-by": "width"})]


class Drawing(Struct, frozen=True, forbid_unknown_fields=True):
    shapes: Items
    title: str | None = None
    extra: Any = None


def complaints(text: str | bytes) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(MalformedFile) as caught:
        read_yaml(data, Drawing, "d.yaml")
    return str(caught.value).splitlines()


def test_a_file_that_fits_is_read_as_its_record() -> None:
    drawing = read_yaml(b"shapes:\n- {kind: box, width: 2}\ntitle: no\n", Drawing, "d.yaml")
    assert drawing == Drawing(shapes=(Box(width=2),), title="no")


def test_five_different_mistakes_are_all_reported_with_their_lines() -> None:
    text = """# a drawing
shapes:
  - kind: circle
    radius: 0
  - kind: bax
    width: 2
  - kind: box
    colour: gren
titel: [1]
"""
    assert complaints(text) == [
        "d.yaml:4: shapes[0].radius: expected a number > 0, got 0",
        "d.yaml:5: shapes[1].kind: expected one of circle, box, got \"bax\" (did you mean 'box'?)",
        "d.yaml:7: shapes[2]: missing key 'width'",
        "d.yaml:8: shapes[2].colour: expected one of green, red, got \"gren\" (did you mean 'green'?)",
        "d.yaml:9: unknown key 'titel' (did you mean 'title'?)",
    ]


def test_rules_between_values_are_reported_beside_other_mistakes() -> None:
    text = "shapes:\n- {kind: box, width: 13}\n- {kind: box, width: 3, hight: 2}\ntitle: 3\n"
    assert complaints(text) == [
        "d.yaml:2: shapes[0].width: expected luck",
        "d.yaml:3: shapes[1]: unknown key 'hight' (did you mean 'height'?)",
        "d.yaml:4: title: expected text or nothing, got 3",
    ]


def test_a_name_that_should_be_unique_is_reported_where_it_comes_again() -> None:
    text = "shapes:\n- {kind: box, width: a}\n- {kind: box, width: a}\n"
    assert 'd.yaml:3: shapes[1].width: expected a new width, got "a" again' in complaints(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "d.yaml:1: missing key 'shapes'"),
        ("- 1", "d.yaml:1: expected a mapping, got [1]"),
        ("shapes: []", "d.yaml:1: shapes: expected something here, got []"),
        ("shapes: [7]", "d.yaml:1: shapes[0]: expected a mapping with the key 'kind', got 7"),
        ("shapes: [{}]", "d.yaml:1: shapes[0]: missing key 'kind': one of circle, box"),
        ("shapes: [{kind: box, width: 2.0}]", "d.yaml:1: shapes[0].width: expected a whole number, got 2.0"),
        ("shapes: [\n1", "d.yaml:2: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\n---\nb: 2", "d.yaml:2: not YAML: but found another document"),
        (b"title: x\ntext: \xff", "d.yaml:2: expected UTF-8 text"),
        ("title: a\n\x07", "d.yaml:2: not YAML: unprintable character"),
        ("title: !!python/name:os.system x", 'd.yaml:1: title: expected no tag, got "python/name:os.system"'),
        ("title: !!int x", 'd.yaml:1: title: expected int, got "x"'),
        ('title: "\\Uffffffff"', "d.yaml: not YAML: "),
        ("title: .nan", 'd.yaml:1: title: expected a finite number, got ".nan"'),
        ("title: 99999999999999999999", "d.yaml:1: title: expected a number of at most 64 bits"),
        ("title: a\ntitle: b", 'd.yaml:2: key "title" is there twice, first in line 1'),
        ("? [a]\n: b", "d.yaml:1: expected text as the key in line 1"),
        ('title: "\\ud800"', "d.yaml:1: title: expected text of whole Unicode characters"),
    ],
)
def test_each_mistake_has_its_line(text: str | bytes, complaint: str) -> None:
    assert any(line.startswith(complaint) for line in complaints(text)), complaints(text)


def test_yaml_means_what_people_write() -> None:
    text = b"a: no\nb: 12:30\nc: 2026-11-01\nd: 012\ne: 1_0\non: true\nf: ~\ng: 0x1F\nh: 1e3\n1: x\n"
    expected = {"a": "no", "b": "12:30", "c": "2026-11-01", "d": 12, "e": "1_0", "on": True, "f": None}
    assert read_plain_yaml(text, "f.yaml") == expected | {"g": 31, "h": 1000.0, "1": "x"}


def test_yaml_that_is_not_ours_is_still_refused_where_it_says_a_thing_twice() -> None:
    with pytest.raises(MalformedFile, match=r'f.yaml:3: key "a" is there twice, first in line 1'):
        read_plain_yaml(b"a: 1\nb: 2\na: 3\n", "f.yaml")


@pytest.mark.parametrize(
    "text",
    [
        '{"shapes": [{"kind": "box", "width": 1}], "title": "a", "title": "b"}',
        '{"shapes": [{"kind": "box", "width": 1}], "title": "a", "titl\\u0065": "b"}',
        '{"shapes": [{"kind": "box", "width": 1}], "extra": [{"title": {}, "a": 1, "title": 2}]}',
    ],
)
def test_json_is_refused_where_it_says_a_thing_twice(text: str) -> None:
    with pytest.raises(MalformedFile, match=r'^d.jsonl:7: key "title" is there twice$'):
        read_json(text.encode(), Drawing, path="d.jsonl", line=7)


def test_json_that_says_a_thing_in_two_places_is_fine() -> None:
    boxes = '[{"kind": "box", "width": 1}, {"kind": "box", "width": 2}]'
    text = f'{{"shapes": {boxes}, "extra": "\\"a\\":1,\\"a\\":2"}}'
    assert len(read_json(text.encode(), Drawing, path="d.jsonl", line=1).shapes) == 2


def test_aliases_within_aliases_end_early() -> None:
    text = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    text += "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert any("100,000 values" in line for line in complaints(text))  # else there are a thousand times more


@pytest.mark.parametrize(
    "text", ["&a [*a]", "[" * 5000, "a: " + "[" * 60 + "]" * 60, "a: 1\n" * 200_000 + "a: 1"]
)
def test_a_file_without_end_is_refused(text: str) -> None:
    assert complaints(text)


@given(st.text() | st.text(alphabet="ab:-[]{}&*!\"'|>%@`#?, \n\\u0", max_size=60))
def test_arbitrary_text_is_a_record_or_a_malformed_file(text: str) -> None:
    for type_ in (Drawing, dict[str, Any]):
        try:
            canonical(read_yaml(text.encode("utf-8", "surrogatepass"), type_, "d.yaml"))
        except MalformedFile:
            continue


@given(st.binary() | st.text(alphabet='[]{}:,"truefals0123.eE-\\ud8', max_size=40).map(str.encode))
def test_an_arbitrary_line_is_a_record_or_a_malformed_file(line: bytes) -> None:
    try:
        canonical(read_json(line, dict[str, Any], path="d.jsonl", line=3))
    except MalformedFile:
        return


def test_a_json_line_is_told_all_that_is_wrong_with_it() -> None:
    with pytest.raises(MalformedFile) as caught:
        read_json(
            b'{"shapes": [{"kind": "circle", "radius": "x"}], "tilte": 1}', Drawing, path="d.jsonl", line=7
        )
    assert str(caught.value).splitlines() == [
        'd.jsonl:7: shapes[0].radius: expected a number, got "x"',
        "d.jsonl:7: unknown key 'tilte' (did you mean 'title'?)",
    ]


@pytest.mark.parametrize("levels", [MAX_DEPTH + 2, 100_000])
def test_json_that_nests_without_end_is_refused(levels: int) -> None:
    line = b'{"shapes": [{"kind": "circle"}], "extra": ' + b"[" * levels + b"]" * levels + b"}"
    with pytest.raises(MalformedFile, match="40 levels"):
        read_json(line, Drawing, path="d.jsonl", line=1)


def test_a_hostile_value_is_quoted_without_its_control_characters() -> None:
    (complaint,) = complaints('shapes: [{kind: circle}]\ntitle: ["\\e[31mred\\u202e"]')
    assert complaint == 'd.yaml:2: title: expected text or nothing, got ["\\u001b[31mred\\u202e"]'


def test_canonical_json_has_one_form() -> None:
    assert canonical({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()
    assert digest_of({"b": 1, "a": 2}) == digest(b'{"a":2,"b":1}')
