import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.documents.parse import MalformedFile
from runbookopt.evidence.formats.native import LONGEST_LINE, read_records
from runbookopt.evidence.trajectory import Label, Trajectory

GOOD = b'{"id": "good", "task": {"input": "hello"}}'

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def read(*lines: bytes, ending: bytes = b"\n") -> tuple[list[tuple[int, str]], list[str]]:
    reading = read_records(Trajectory, ending.join(lines), "a.jsonl")
    return [(line.number, line.record.id) for line in reading.lines], [str(w) for w in reading.warnings]


def test_a_whole_trajectory_is_read() -> None:
    line = {
        "id": "t-1",
        "runbook_digest": "sha256:0",
        "runbook_version": "1.2.0",
        "task": {"input": {"a": [1]}, "reference": {"queue": "x"}, "group": "c", "split": "held-out"},
        "output": "{}",
        "steps": [{"step_id": 1, "source": "user", "message": "hi", "anything": {}}],
        "agent": {"name": "bot", "model": "m", "key": "sha256:1"},
        "trust": "internal",
        "started_at": "2026-11-01T09:00:00Z",
        "verdicts": [
            {"criterion": "q", "result": "fail", "score": 0, "by": {"kind": "code", "id": "sha256:2"}}
        ],
    }
    (found,) = read_records(Trajectory, json.dumps(line).encode(), "a.jsonl").lines
    assert found.record.task.split == "held-out"
    assert found.record.verdicts[0].score == 0.0
    assert found.record.steps[0]["anything"] == {}


@given(JSON)
def test_an_input_may_be_any_json(value: object) -> None:
    line = json.dumps({"id": "t", "task": {"input": value}}).encode()
    (found,) = read_records(Trajectory, line, "a.jsonl").lines
    assert found.record.task.input == value


@given(st.lists(st.binary(max_size=40) | st.sampled_from([GOOD[:20], b"[", b"{}", b"null", b"\xef\xbb\xbf"])))
def test_no_bytes_among_good_records_stop_the_reading(lines: list[bytes]) -> None:
    found, _ = read(GOOD, *lines, GOOD)
    assert found[0] == (1, "good")
    assert found[-1][1] == "good"


def test_half_a_line_among_good_ones_is_a_warning_with_its_place() -> None:
    found, warnings = read(GOOD, b"", b'{"id": "half", "ta', GOOD.replace(b"good", b"next"), ending=b"\r\n")
    assert found == [(1, "good"), (4, "next")]
    assert len(warnings) == 1
    assert warnings[0].startswith("a.jsonl:3: left out: expected one JSON object")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"id": "x", "task": {}}', "task: missing key 'input'"),
        (b'{"id": "", "task": {"input": 1}}', "id: expected"),
        (b'{"id": 7, "task": {"input": 1}}', "id: expected text, got 7"),
        (b'{"id": "x", "task": {"input": 1}, "trust": "intern"}', "trust: expected"),
        (b'{"id": "x", "task": {"input": 1, "split": "test"}}', "task.split: expected"),
        (b'{"id": "x", "task": {"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", "levels"),
        (b'{"id": "x", "task": {"input": "\xff"}}', "utf-8"),
        (b'{"id": "x", "task": {"input": 1e999}}', "out of range"),
        (b'{"id": "x", "task": {"input": "' + b"a" * LONGEST_LINE + b'"}}', "at most 8,000,000 bytes"),
    ],
    ids=["no-input", "empty-id", "number-id", "trust", "split", "deep", "utf-8", "infinite", "long"],
)
def test_a_bad_record_says_what_was_expected(line: bytes, words: str) -> None:
    found, warnings = read(line, GOOD)
    assert found == [(2, "good")]
    assert warnings[0].startswith("a.jsonl:1: left out: ")
    assert words in warnings[0]


def test_an_unknown_key_is_ignored_with_the_nearest_known_one() -> None:
    line = b'{"id": "%d", "task": {"input": 1, "refrence": 2}, "verdicts": [], "agent": null}'
    found, warnings = read(line % 1, line % 2)
    assert [id_ for _, id_ in found] == ["1", "2"]
    assert warnings == [
        "a.jsonl:1: task: unknown key 'refrence' (did you mean 'reference'?), ignored in 2 lines"
    ]


def test_a_record_that_is_wrong_beside_an_unknown_key_is_left_out() -> None:
    found, warnings = read(b'{"id": "x", "tsk": 1, "task": {"input": 1}, "trust": "all"}', GOOD)
    assert found == [(2, "good")]
    assert len(warnings) == 2


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_error(data: bytes) -> None:
    with pytest.raises(MalformedFile, match=r"^a\.jsonl: the file is empty: expected one trajectory a line"):
        read_records(Trajectory, data, "a.jsonl")


def test_a_file_without_one_good_record_is_one_error_that_shows_the_first() -> None:
    with pytest.raises(MalformedFile) as caught:
        read_records(Trajectory, b"\nnot json\n{}\n", "a.jsonl")
    assert str(caught.value).startswith("a.jsonl:2: expected one trajectory a line as JSON")
    assert "and 2 more like it" in str(caught.value)


def test_labels_are_read_line_by_line() -> None:
    line = b'{"trajectory": "t", "criterion": "q", "result": "fail", "failure_mode": "m", "by": "octocat"}'
    reading = read_records(
        Label, line + b'\n{"trajectory": "t", "criterion": "q", "result": "error"}', "l.jsonl"
    )
    assert [found.record.failure_mode for found in reading.lines] == ["m"]
    assert "result: expected" in str(reading.warnings[0])


def test_a_byte_order_mark_is_no_part_of_the_first_record() -> None:
    assert read(b"\xef\xbb\xbf" + GOOD) == ([(1, "good")], [])
