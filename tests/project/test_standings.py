"""What labels make of the criteria of a runbook as it is read: what decides, and why anything does not."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from runbookopt.calibration.bias import Battery, Probe, ProbeResult
from runbookopt.calibration.record import read_record, record_text, with_battery
from runbookopt.documents.parse import MalformedFile
from runbookopt.evidence.library import Folder
from runbookopt.project.project import Project, read_project
from tests import first_half, labelled

RUBRIC = """judge: {model: openai/gpt-5-mini}
criteria:
  - {id: right-queue, check: {kind: equals, path: $.queue, reference: $.queue}}
  - {id: kind, judge: Is it kind}
"""
PATH, RECORD = "runbooks/triage/rubric.yaml", "runbooks/triage/calibration.json"
POLICY = f"{first_half.AUTO}recalibrate_after: 2w\n"


def project(
    folder: Path, wrong: int | None = 0, more: Mapping[str, str] = {}, at: datetime | None = None
) -> Project:
    """A runbook whose judge gets every so manieth label wrong; None is one that nobody calibrated."""
    made = {} if wrong is None else labelled.files(RUBRIC, {"kind": wrong})
    files = {**first_half.files(POLICY, **{PATH: RUBRIC}), **made, **more}
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return read_project(Folder(folder), "triage", at=at)


def kind(read: Project) -> tuple[str, str]:
    (standing,) = (each for each in read.standings_at() if each.criterion == "kind")
    return standing.status, standing.why


def deciding(read: Project) -> list[str]:
    return [each.id for each in read.rubric.deciding]


@pytest.mark.parametrize(
    ("wrong", "status", "decides", "heard"),
    [(0, "gates", True, True), (4, "advisory", False, True), (2, "rejected", False, False)],
)
def test_a_judge_decides_as_far_as_it_agrees_with_people(
    tmp_path: Path, wrong: int, status: str, decides: bool, heard: bool
) -> None:
    read = project(tmp_path, wrong)
    assert kind(read)[0] == status
    assert deciding(read) == ["right-queue", *(["kind"] if decides else [])]
    assert [each.id for each in read.rubric.judged] == (["kind"] if heard else [])
    assert read.rubric.objectives == tuple(deciding(read))
    assert [each.status for each in read.standings if each.criterion == "right-queue"] == ["exempt"]


def test_until_anything_is_calibrated_all_decide_and_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    bare = project(tmp_path / "bare", None)
    assert kind(bare) == ("uncalibrated", "")
    assert deciding(bare) == ["right-queue", "kind"]
    digests = {project(tmp_path / f"{wrong}", wrong).digests.rubric for wrong in (0, 4, 2)}
    assert bare.digests.rubric not in digests
    assert len(digests) == 2  # by what decides, however little the others agree


EDITED = {
    "a word": ("Is it kind", "Is it friendly", "its words, its judge's settings or prompt changed"),
    "the judge": ("gpt-5-mini", "gpt-5-nano", "openai/gpt-5-nano decides it now, and openai/gpt-5-mini did"),
    "what passes": ("judge: Is it kind", "judge: Is it kind, pass_if: not_met", "its words, its judge's"),
}


@pytest.mark.parametrize(("old", "new", "why"), EDITED.values(), ids=EDITED)
def test_a_criterion_that_is_another_by_now_is_stale(tmp_path: Path, old: str, new: str, why: str) -> None:
    read = project(tmp_path, more={PATH: RUBRIC.replace(old, new)})
    assert kind(read)[0] == "stale"
    assert kind(read)[1].startswith(why)
    assert deciding(read) == ["right-queue"]


def test_its_weight_and_objective_may_change(tmp_path: Path) -> None:
    read = project(tmp_path, more={PATH: RUBRIC.replace("judge: Is", "weight: 3, gate: true, judge: Is")})
    assert kind(read)[0] == "gates"


def test_a_criterion_that_nobody_calibrated_decides_nothing_beside_one_that_is(tmp_path: Path) -> None:
    read = project(
        tmp_path, more={PATH: f"{RUBRIC}  - {{id: short, check: {{kind: max_chars, value: 9}}}}\n"}
    )
    (short,) = (each for each in read.standings if each.criterion == "short")
    assert short.told == "short is uncalibrated (calibration.json lacks it: calibrate again)"
    assert deciding(read) == ["right-queue", "kind"]


def test_figures_and_status_are_believed_by_nobody(tmp_path: Path) -> None:
    project(tmp_path, 4)
    record = json.loads((tmp_path / RECORD).read_text())
    for each in (record["criteria"]["kind"], record["criteria"]["kind"]["looks"][0]):
        each["status"] = "gates"
    read = project(tmp_path, 4, {RECORD: json.dumps(record)})
    assert kind(read)[0] == "stale"
    assert "by its verdicts it is advisory, and it says gates" in kind(read)[1]


def test_labels_that_say_something_else_by_now_make_it_stale(tmp_path: Path) -> None:
    other = labelled.lines([*labelled.labels("kind")[:-1], *labelled.labels("kind", 41)[-1:]])
    read = project(tmp_path, more={"trajectories/triage/people.labels.jsonl": other})
    assert kind(read)[0] == "stale"
    assert "1 labels that it names are not there" in kind(read)[1]


@pytest.mark.parametrize(("days", "status"), [(14, "gates"), (15, "stale")])
def test_labels_calibrate_for_as_long_as_the_policy_says(tmp_path: Path, days: int, status: str) -> None:
    at = datetime.fromisoformat(labelled.AT) + timedelta(days=days)
    read = project(tmp_path, at=at)
    assert kind(read)[0] == status
    assert ("kind" in deciding(read)) is (status == "gates")
    assert project(tmp_path).standings_at(datetime(2030, 1, 1, tzinfo=UTC))[1].status == "stale"


def test_failures_are_covered_where_a_criterion_that_decides_would_notice_them(tmp_path: Path) -> None:
    named = labelled.files(RUBRIC, {"kind": 0}, mode="curt")
    assert project(tmp_path / "gates", more=named).coverage().volume == 1.0
    edited = {**named, PATH: RUBRIC.replace("Is it kind", "Is it friendly")}
    assert project(tmp_path / "stale", more=edited).coverage().volume == 0.0
    assert project(tmp_path / "unnamed").coverage().volume is None


def test_where_nothing_decides_it_is_said_what_to_do(tmp_path: Path) -> None:
    alone = labelled.files(RUBRIC.replace(RUBRIC.split("\n")[2] + "\n", ""), {"kind": 4})
    read = project(tmp_path, more=alone)
    assert deciding(read) == []
    assert read.undecided is not None
    assert read.undecided.startswith(
        "no criterion of triage may decide, so nothing can be scored: kind is advis"
    )
    assert "runbookopt label triage" in read.undecided


def test_a_calibration_that_cannot_be_read_is_named_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(MalformedFile, match=r"runbooks/triage/calibration\.json"):
        project(tmp_path, more={RECORD: '{"runbook": "triage", "criteria": [], "more": 1}'})


def swayed(record: str, *probes: Probe) -> str:
    """The record with a battery that the judge failed at these."""
    made = read_record(record.encode(), RECORD)
    failed = ProbeResult(60, 30, 12, 0, 0, 0.2, 0.1, 0.3, 0.001, "failed")
    kind = made.criteria["kind"]
    battery = Battery(kind.key, labelled.AT, 60, dict.fromkeys(probes, failed))
    return record_text(replace(made, criteria={"kind": with_battery(kind, battery)})).decode()


def test_a_judge_that_is_swayed_is_advisory_and_says_by_what(tmp_path: Path) -> None:
    record = labelled.files(RUBRIC, {"kind": 0})[RECORD]
    read = project(tmp_path, more={RECORD: swayed(record, "length", "praise")})
    status, why = kind(read)
    assert status == "advisory"
    assert why == (
        "MCC 1.00 on 20 passes and 20 fails of people's; its judge failed the bias battery"
        " (length, praise), so it may not gate"
    )


def test_labels_of_a_failure_mode_are_as_old_as_they_are(tmp_path: Path) -> None:
    """A criterion that goes by a mode's name is calibrated by labels on other criteria."""
    given = labelled.labels("kind", mode="curt")
    asked = RUBRIC.replace("id: kind", "id: curt")
    made = labelled.calibrated(asked, {"curt": given}, {"curt": 0})
    files = {
        PATH: asked,
        RECORD: record_text(made).decode(),
        "trajectories/triage/people.labels.jsonl": labelled.lines(given),
    }
    at = datetime.fromisoformat(labelled.AT) + timedelta(days=14)
    (curt,) = (each for each in project(tmp_path, None, files, at).standings_at() if each.criterion == "curt")
    assert curt.status == "gates"
