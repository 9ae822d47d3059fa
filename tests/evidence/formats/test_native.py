import gzip
import io
import json
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.evidence.formats.native import FORMAT, LONGEST_LINE
from runbookopt.evidence.formats.reader import Fault, Found
from runbookopt.evidence.reading import StoredFile, items_of, problem_of, recognize
from runbookopt.evidence.trajectory import Label, Trajectory

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = b'{"id": "good", "task": {"input": "hello"}}'

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def zstd_compressed(data: bytes) -> bytes:
    return bytes(
        import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd").compress(data)
    )


def utf16(data: bytes) -> bytes:
    return data.decode().encode("utf-16")


def file(data: bytes) -> StoredFile:
    return StoredFile("a.jsonl", lambda: io.BytesIO(data), frozenset, lambda _: None)


def found_in(data: bytes) -> list[Found]:
    return [item for item in items_of(file(data), FORMAT) if isinstance(item, Found)]


def trajectory(data: bytes) -> Trajectory:
    (found,) = found_in(data)
    assert found.trajectory is not None
    return found.trajectory


def read(*lines: bytes, ending: bytes = b"\n") -> tuple[list[tuple[int | None, str]], list[str]]:
    items = list(items_of(file(ending.join(lines)), FORMAT))
    attempts = [each for each in items if isinstance(each, Found) and each.trajectory is not None]
    faults = [str(problem_of(each, "a.jsonl")) for each in items if isinstance(each, Fault)]
    return [(each.place.line, each.trajectory.id) for each in attempts if each.trajectory], faults


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
    found = trajectory(json.dumps(line).encode())
    assert found.task.split == "held-out"
    assert found.verdicts[0].score == 0.0
    assert found.steps[0]["anything"] == {}


@given(JSON)
def test_an_input_may_be_any_json(value: object) -> None:
    line = json.dumps({"id": "t", "task": {"input": value}}).encode()
    assert trajectory(line).task.input == value


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
        (b'{"id": 7.5, "task": {"input": 1}}', "id: expected text, got 7.5"),
        (b'{"id": true, "task": {"input": 1}}', "id: expected text, got true"),
        (b'{"id": "x", "task": {"input": 1}, "trust": "intern"}', "trust: expected"),
        (b'{"id": "x", "task": {"input": 1, "split": "test"}}', "task.split: expected"),
        (b'{"id": "x", "task": {"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", "levels"),
        (b'{"id": "x", "task": {"input": "\xff"}}', "utf-8"),
        (b'{"id": "x", "task": {"input": 1e999}}', "out of range"),
        (b'{"trajectory": "x", "criterium": "y", "result": "fail"}', "missing key 'criterion'"),
        (b'{"id": "x", "task": {"input": "' + b"a" * LONGEST_LINE + b'"}}', "at most 8,000,000 bytes"),
    ],
    ids=[
        "no-input",
        "empty-id",
        "number-id",
        "true-id",
        "trust",
        "split",
        "deep",
        "utf-8",
        "infinite",
        "label",
        "long",
    ],
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
        "a.jsonl:1: task: unknown key 'refrence' (did you mean 'reference'?), ignored in 2 records"
    ]


def test_a_record_that_is_wrong_beside_an_unknown_key_is_left_out() -> None:
    found, warnings = read(b'{"id": "x", "tsk": 1, "task": {"input": 1}, "trust": "all"}', GOOD)
    assert found == [(2, "good")]
    assert len(warnings) == 2


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_of_no_format(data: bytes) -> None:
    seen = recognize(file(data))
    assert (seen.format, seen.look) == (None, "an empty file")


def test_labels_are_read_line_by_line() -> None:
    line = b'{"trajectory": "t", "criterion": "q", "result": "fail", "failure_mode": "m", "by": "octocat"}'
    good, bad = items_of(file(line + b'\n{"trajectory": 7, "criterion": "q", "result": "error"}'), FORMAT)
    assert isinstance(good, Found)
    assert isinstance(good.labels[0], Label)
    assert (good.trajectory, good.labels[0].failure_mode) == (None, "m")
    assert isinstance(bad, Fault)
    assert "result: expected" in bad.message


@pytest.mark.parametrize(
    "text",
    [
        '[{"id": 7, "task": {"input": 1}, "output": {"a": [1]}}, {"id": "b", "task": {"input": 2}}]',
        '{"id": 7, "task": {"input": 1}, "output": {"a": [1]}}\n{"id": "b", "task": {"input": 2}}',
        '{\n  "id": 7,\n "task": {"input": 1},\n"output": {"a":\n[1]}}\n{"id": "b",\n"task": {"input": 2}}',
        '[\n  {"id": 7, "task": {"input": 1}, "output": {"a": [1]}},\n {"id": "b", "task": {"input": 2}}]',
    ],
    ids=["list", "lines", "as-jq-prints", "pretty"],
)
@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, zstd_compressed, utf16], ids=lambda pack: pack.__name__
)
def test_whatever_way_the_values_stand_in_the_file(text: str, pack: "Callable[[bytes], bytes]") -> None:
    data = pack(text.encode())
    assert recognize(file(data)).format is FORMAT
    first, second = found_in(data)
    assert first.trajectory is not None
    assert second.trajectory is not None
    assert (first.trajectory.id, first.trajectory.output) == ("7", '{"a":[1]}')
    assert second.trajectory.id == "b"


def test_a_bad_item_of_a_list_costs_that_item_and_is_named() -> None:
    found, faults = read(
        b'[{"id": "a", "task": {"input": 1}}, {"id": "b"}, 3, {"id": "c", "task": {"input": 1}}]'
    )
    assert [id_ for _, id_ in found] == ["a", "c"]
    assert [fault.partition(" left out: ")[2][:10] for fault in faults] == ["record 2: ", "record 3: "]


def test_a_byte_order_mark_is_no_part_of_the_first_record() -> None:
    assert read(b"\xef\xbb\xbf" + GOOD) == ([(1, "good")], [])
