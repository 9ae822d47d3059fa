"""Files of labels: appended to whole or not at all, written and read as tables and as annotations."""

import csv
import io
import json
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.documents.parse import MalformedFile
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.labels.annotations import annotations_of, read_annotations
from runbookopt.evidence.labels.appending import opened
from runbookopt.evidence.labels.table import read_table, table_of
from runbookopt.evidence.privacy import SECRETS_ALONE
from runbookopt.evidence.trajectory import Label

LABEL = Label("t-1", "polite", "fail", "curt", "no greeting", "ana", "2026-12-01T12:00:00Z")

ODD = "aé=+-@\t\r\n',;\"\u202e\U0001f469 "
WORD = st.text(ODD.replace("\r", "").replace("\n", ""), min_size=1).filter(str.strip)
LABELS = st.builds(
    Label,
    trajectory=WORD.map(str.strip).filter(bool),
    criterion=WORD.map(str.strip).filter(bool),
    result=st.sampled_from(["pass", "fail", "unsure"]),
    failure_mode=st.none() | WORD,
    explanation=st.none() | st.text(ODD).filter(str.strip),
    codebook=st.none() | st.integers(0, 10**6),
    saw_verdict=st.none() | st.booleans(),
    frame=st.sampled_from([None, "discovery", "representative"]),
)


@given(st.lists(LABELS, max_size=5))
def test_a_table_is_read_as_it_was_written(labels: list[Label]) -> None:
    text = table_of(labels)
    read, problems = read_table(text.encode(), "labels.csv")
    assert ([label for label, _ in read], problems) == (labels, [])
    for row in csv.reader(io.StringIO(text, newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


@given(st.lists(LABELS, max_size=5))
def test_annotations_are_read_as_they_were_written(labels: list[Label]) -> None:
    data = json.dumps(annotations_of(labels)).encode()
    if labels:
        assert read_annotations(data, "a.json", {label.trajectory for label in labels}) == (labels, [])


def test_each_fault_of_a_table_is_told_with_its_line() -> None:
    table = "Trajectory;criterion;result;extra\nt-1;polite; PASS ;x\n\nt-2;polite;maybe;\n;polite;fail;\n"
    labels, problems = read_table(b"\xef\xbb\xbf" + table.encode(), "labels.csv")
    assert [(label.trajectory, label.result, line) for label, line in labels] == [("t-1", "pass", 2)]
    assert list(map(str, problems)) == [
        "labels.csv:1: unknown column 'extra', ignored",
        "labels.csv:4: left out: result: Invalid enum value 'maybe', got \"maybe\"",
        "labels.csv:5: left out: no trajectory",
    ]
    with pytest.raises(MalformedFile, match="expected a first line with the columns trajectory"):
        read_table(b"a,b\n1,2\n", "labels.csv")
    with pytest.raises(
        MalformedFile, match=r"labels.csv:3: expected CSV"
    ):  # else all that follows is one cell
        read_table(b'trajectory,criterion,result,explanation\nt-1,x,fail,"open\nt-2,x,fail,\n', "labels.csv")
    with pytest.raises(MalformedFile, match="expected UTF-8"):
        read_table(b"trajectory,criterion,result\n\xff,a,pass\n", "labels.csv")


def test_annotations_of_other_tools_are_labels_where_a_person_gave_them() -> None:
    def annotation(span: str, kind: str = "HUMAN", **result: object) -> dict[str, object]:
        return {
            "span_id": span,
            "name": "polite",
            "annotator_kind": kind,
            "result": result,
            "identifier": "ana",
        }

    told = [
        annotation("t-1", label="pass", explanation="kind"),
        annotation("abc", score=0),
        annotation("t-1", "LLM", score=1),
        annotation("t-9", score=1),
        annotation("t-1", label="hm"),
        {"name": "x"},
    ]
    data = "\n".join(map(json.dumps, told)).encode()
    labels, problems = read_annotations(data, "a.jsonl", {"t-1", "otel:abc"})
    assert [(each.trajectory, each.result, each.by) for each in labels] == [
        ("t-1", "pass", "ana"),
        ("otel:abc", "fail", "ana"),
    ]
    assert [str(problem).split("left out: ")[1] for problem in problems] == [
        "no person gave it",
        'there is no trajectory "t-9"',
        "its score says neither pass nor fail",
        "expected an annotation with span_id or trace_id, name and annotator_kind",
    ]
    with pytest.raises(MalformedFile, match="expected annotations as JSON"):
        read_annotations(b"{broken", "a.json", ())


def test_what_is_cut_off_gets_a_line_of_its_own_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ana.labels.jsonl"
    with opened(path, SECRETS_ALONE) as file:
        file.append([LABEL])
    with path.open("ab") as file_:
        file_.write(b'{"trajectory": "t-1", "crit')
    with opened(path, SECRETS_ALONE) as file:
        file.append([LABEL])
        assert file.labels_of("t-1") == (LABEL, LABEL)
        assert file.labels_of("t-2") == ()
    assert len(path.read_bytes().splitlines()) == 3


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "ana.labels.jsonl"
    with opened(path, SECRETS_ALONE) as file:
        file.append([LABEL])
        before = path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
        try:
            with pytest.raises(RunbookoptError, match="nothing was written"):
                file.append([LABEL])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before


def test_a_link_is_no_file_of_labels(tmp_path: Path) -> None:
    (tmp_path / "ana.labels.jsonl").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(RunbookoptError, match="labels cannot be written there"),
        opened(tmp_path / "ana.labels.jsonl", SECRETS_ALONE),
    ):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_many_writers_lose_nothing_and_mix_nothing(tmp_path: Path) -> None:
    path = tmp_path / "all.labels.jsonl"

    def write(criterion: str) -> None:
        for _ in range(20):
            with opened(path, SECRETS_ALONE) as file:
                there = len(file.labels_of("t"))  # what is read and what is written are one step
                file.append([Label("t", criterion, "pass", explanation=f"{there} {'x' * 300}")])

    with ThreadPoolExecutor() as pool:  # each opens the file for itself, as processes do
        list(pool.map(write, "ab"))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [int(row["explanation"].split()[0]) for row in rows] == list(range(40))
    assert sorted(row["criterion"] for row in rows) == ["a"] * 20 + ["b"] * 20
