import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from runbookopt.errors import WrongUsage
from runbookopt.evidence import json_values, unpack
from runbookopt.evidence.formats.reader import Fault, Found
from runbookopt.evidence.library import Folder
from runbookopt.evidence.reading import (
    FORMATS,
    StoredFile,
    format_named,
    gather,
    items_of,
    problem_of,
    recognize,
)
from tests.evidence.formats.test_readers import ATIF, TRIAL

GOOD = b'{"id": "%d", "task": {"input": %d}}\n'


def file(data: bytes) -> StoredFile:
    return StoredFile("a.jsonl", lambda: io.BytesIO(data), frozenset, lambda _: None)


def read(data: bytes) -> tuple[int, list[str]]:
    """Give how many attempts there are, and the faults."""
    items = list(items_of(file(data), FORMATS[0]))
    faults = [str(problem_of(each, "a")) for each in items if isinstance(each, Fault)]
    return sum(isinstance(each, Found) for each in items), faults


@pytest.mark.parametrize(
    ("data", "look"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer: `git lfs pull`"),
        (b"PAR1\0\0", "Parquet"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\x89PNG\r\n", "a PNG image"),
        (b"a,b\n1,2\n3,4\n", "CSV"),
        (b"---\na: 1\n", "YAML"),
        (b"Hello\nworld\n", "plain text"),
        (b"\xff\x00\xfe\x01" * 9, "no text"),
        (gzip.compress(b"Hello\n"), "plain"),
        (gzip.compress(b"Hello\n" * 99)[:-20], "a packed file that cannot be read: damaged"),
        (b'{"question": "?", "answer": "!"}', "JSON of no known format, with the keys question, answer"),
        (b"[1, 2]", "JSON without one object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_read_is_told_by_what_it_looks_like(data: bytes, look: str) -> None:
    seen = recognize(file(data))
    assert seen.format is None
    assert seen.look.startswith(look)


def test_one_foreign_file_stops_nothing_and_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "trajectories/triage"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(GOOD % (1, 1) + GOOD % (2, 2))
    (folder / "odd.jsonl").write_text('{"question": "?"}\n')
    (folder / "sub/run.json").write_text(
        '{"schema_version": "ATIF-v1.4", "steps": [{"source": "user", "message": "hi"}]}'
    )
    gathered = gather(Folder(tmp_path), "trajectories/triage")
    assert [line.place.removeprefix("trajectories/triage/") for line in gathered.trajectories] == [
        "a.jsonl:1",
        "a.jsonl:2",
        "sub/run.json:1",
    ]
    (problem,) = gathered.problems
    assert problem.severity == "warning"
    assert "odd.jsonl: not read" in str(problem)
    assert "with the keys question" in str(problem)


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda data: b"starting up ...\n" + data,
        lambda data: data.replace(b"1}}\n", b"1}\n", 1),
        lambda data: data + b'{"id": "half',
        lambda data: data + b'"a": 1\n',
    ],
    ids=["first", "first-half", "last-half", "last"],
)
def test_one_bad_line_costs_that_line(spoiled: Callable[[bytes], bytes]) -> None:
    good = b"".join(GOOD % (number, number) for number in range(1, 31))
    found, faults = read(spoiled(good))
    assert found in (29, 30)
    assert len(faults) == 1
    assert "left out: expected" in faults[0]


def test_what_is_cut_off_within_a_packed_file_costs_only_the_rest() -> None:
    data = gzip.compress(b"".join(GOOD % (number, number) for number in range(20_000)), mtime=0)
    found, faults = read(data[: len(data) // 2])
    assert 1_000 < found < 20_000
    assert "the rest of the file: damaged, encrypted or cut off" in faults[-1]


def test_not_a_number_is_nothing_and_half_a_surrogate_pair_is_no_value() -> None:
    assert json_values.decoded(b'{"a": NaN, "b": -Infinity}') == {"a": None, "b": None}
    for data in (b'{"a": NaN, "b": "\\ud800"}', b"[" * 5_000, b'{"a":' * 90 + b"1" + b"}" * 90, b"{", b""):
        with pytest.raises(json_values.NoValue, match="expected"):
            json_values.decoded(data)


@pytest.mark.slow
def test_a_bomb_is_refused_before_it_fills_the_memory() -> None:
    bomb = gzip.compress(b" " * 1_000_000)
    stream = unpack.unpacked(io.BytesIO(bomb))
    with pytest.raises(unpack.Unreadable, match="at most 1,000 bytes"):
        unpack.at_most(stream, 1_000)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as writing:
        writing.writestr("header.json", b" " * (unpack.LARGEST_DOCUMENT + 1))
    archive = unpack.Archive(data)
    with pytest.raises(unpack.Unreadable, match="at most 256,000,000 bytes in one document"):
        archive.read("header.json")
    assert archive.read("nothing") is None


def test_a_record_without_end_is_refused_by_its_length() -> None:
    line = b'{"id": "x", "task": {"input": "' + b"a" * json_values.LONGEST_LINE + b'"}}\n'
    found, faults = read(GOOD % (1, 1) + line + GOOD % (2, 2))
    assert found == 2
    assert faults[0].startswith("a:2: left out: expected at most 8,000,000 bytes")


def test_an_archive_that_is_none_and_one_of_something_else() -> None:
    assert recognize(file(b"PK\x03\x04 and no more")).look.startswith("a packed file that cannot be read")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as writing:
        writing.writestr("notes.txt", "hello")
    assert recognize(file(data.getvalue())).look == "a ZIP archive: unpack it"


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(WrongUsage, match=r"no format 'harbour' .did you mean 'harbor'"):
        format_named("harbour")
    assert len({format_.name for format_ in FORMATS}) == len(FORMATS)


def test_a_huge_list_is_read_item_by_item() -> None:
    items = [{"id": number, "task": {"input": number}} for number in range(3_000)]
    assert read(json.dumps(items).encode()) == (3_000, [])


def test_of_a_trial_that_a_pattern_covers_in_part_that_part_alone_is_read(tmp_path: Path) -> None:
    trial = tmp_path / "logs/one"
    (trial / "agent").mkdir(parents=True)
    (trial / "result.json").write_text(json.dumps(TRIAL))
    (trial / "agent/trajectory.json").write_text(json.dumps(ATIF))
    (attempt,) = gather(Folder(tmp_path), "trajectories/desk", "logs/**").trajectories
    assert attempt.record.task.input == "Where is order 7?"
    partly = gather(Folder(tmp_path), "trajectories/desk", "logs/**/result.json")
    assert "Where is order 7?" not in str(partly)
    assert "instructions and steps of trials without agent/trajectory.json" in {
        each.what for each in partly.losses
    }
