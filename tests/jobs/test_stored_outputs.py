"""Stored outputs by kind: which are today's, which are evidence, and which nobody looks at."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from runbookopt.documents.digest import digest
from runbookopt.evidence.library import Folder
from runbookopt.jobs.stored_outputs import counts, evidence, on_stored, scored, stored_outputs
from runbookopt.project.project import Project, read_project

KEY = "sha256:" + "1" * 64
MINE = {"key": KEY, "name": "chat"}
JUDGED = """judge: {model: openai/judge}
criteria:
  - {id: right-desk, check: {kind: equals, path: $.answer, reference: $.answer}}
  - {id: polite, judge: "Is it polite?"}
"""


def line(number: int, split: str = "train", /, **said: object) -> dict[str, Any]:
    task = {"input": f"card {number}", "reference": {"answer": "cards"}, "split": split}
    return {"id": f"t-{number}", "task": task, "output": '{"answer": "front"}', **said}


def project_of(
    root: Path, planted: ModuleType, *lines: Mapping[str, Any], labels: str = "", **files: str
) -> Project:
    told = planted.files(trajectories="".join(json.dumps(each) + "\n" for each in lines), **files)
    for path, text in {**told, "trajectories/desk/x.labels.jsonl": labels}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return read_project(Folder(root), "desk")


def sentence(project: Project, key: str | None = KEY) -> str:
    stored = stored_outputs(project, key, ())
    return " ".join(on_stored(counts(project, stored, agent_known=key is not None)))


def test_only_what_names_todays_runbook_and_agent_is_a_score(tmp_path: Path, planted: ModuleType) -> None:
    today = digest(planted.RUNBOOK.encode())
    project = project_of(
        tmp_path,
        planted,
        line(1, runbook_digest=today, agent=MINE),
        line(2, runbook_digest=today, agent={"name": "chat"}),
        line(3, runbook_version="1.0.0", agent=MINE),
    )
    stored = stored_outputs(project, KEY, ())
    assert [each.trajectory for each in scored(project, stored.of_today).values()] == ["t-1"]
    assert {each.attempt.trajectory for each in evidence(project, stored).values()} == {"t-1", "t-2", "t-3"}
    assert scored(project, stored_outputs(project, None, ()).of_today) == {}


def test_no_held_out_and_no_red_team_task_is_ever_evidence(tmp_path: Path, planted: ModuleType) -> None:
    policy = planted.POLICY + "red_team: [trajectories/desk/red/]\n"
    red = tmp_path / "trajectories/desk/red/a.jsonl"
    red.parent.mkdir(parents=True)
    red.write_text(json.dumps(line(4) | {"id": "red"}) + "\n")
    lines = (line(1, "held-out"), line(2, "validation"), line(3), line(4))
    project = project_of(tmp_path, planted, *lines, policy=policy)
    found = evidence(project, stored_outputs(project, KEY, ()))
    assert [each.attempt.trajectory for each in found.values()] == ["t-3"]


def test_of_several_outputs_the_one_of_todays_text_comes_first_then_the_newest(
    tmp_path: Path, planted: ModuleType
) -> None:
    today = digest(planted.RUNBOOK.encode())
    old, new, own = "2026-01-01", "2026-02-01", "2025-01-01"
    project = project_of(
        tmp_path,
        planted,
        line(1, started_at=old, runbook_version="1"),
        line(1, started_at=new, runbook_version="2") | {"id": "new"},
        line(2, started_at=new) | {"id": "other"},
        line(2, started_at=own, runbook_digest=today) | {"id": "own"},
    )
    found = evidence(project, stored_outputs(project, KEY, ()))
    assert {each.attempt.trajectory for each in found.values()} == {"new", "own"}


def test_what_broke_down_is_counted_and_is_no_answer(tmp_path: Path, planted: ModuleType) -> None:
    project = project_of(tmp_path, planted, line(1, error="time-out"), line(2, agent={"name": "bot"}))
    found = evidence(project, stored_outputs(project, KEY, ()))
    assert [each.attempt.trajectory for each in found.values()] == ["t-2"]
    assert sentence(project).endswith("; 1 more broke down, and are no answers")


def test_a_person_and_another_judge_are_heard_of_what_is_reflected_on(
    tmp_path: Path, planted: ModuleType
) -> None:
    by_agent = {"criterion": "polite", "result": "fail", "explanation": "mine", "by": {"kind": "agent"}}
    by_other = {"criterion": "polite", "result": "fail", "explanation": "curt", "by": {"kind": "llm"}}
    label = {"trajectory": "t-2", "criterion": "polite", "result": "fail", "explanation": "rude"}
    lines = (line(1, verdicts=[by_other]), line(2), line(3, verdicts=[by_agent]))
    project = project_of(tmp_path, planted, *lines, labels=json.dumps(label) + "\n", rubric=JUDGED)
    stored = stored_outputs(project, KEY, ())
    said = {each.attempt.trajectory: each.attempt.feedback[1] for each in evidence(project, stored).values()}
    assert said == {
        "t-1": "polite: curt",
        "t-2": "polite: rude",
        "t-3": "polite: the judge gave no verdict",
    }
    assert scored(project, stored.outputs) == {}, "which is no score"


def test_what_other_tools_found_is_heard_where_the_rubric_cannot_say(
    tmp_path: Path, planted: ModuleType
) -> None:
    reward = {"criterion": "reward", "result": "fail", "explanation": "0 of 3 tests"}
    task = {"input": "no reference", "split": "train"}
    lines = (line(1, verdicts=[reward]), line(2, verdicts=[reward]) | {"task": task})
    project = project_of(tmp_path, planted, *lines)
    found = evidence(project, stored_outputs(project, KEY, ()))
    said = {each.attempt.trajectory: each.attempt for each in found.values()}
    assert all("reward" not in text for text in said["t-1"].feedback)
    assert said["t-2"].feedback[-1] == "reward: 0 of 3 tests"
    assert said["t-2"].failed


def test_agents_are_named_without_what_could_deceive(tmp_path: Path, planted: ModuleType) -> None:
    names = ["a\x1b[31m\u202e", "b" * 500, None, "c", "d"]
    lines = [line(n, agent={"name": name}) for n, name in enumerate(names)]
    words = sentence(project_of(tmp_path, planted, *lines))
    assert words.isprintable()
    assert len(words) < 400
    assert "and 2 more" in words
    assert "runbook of unknown version" in words
    assert sentence(project_of(tmp_path, planted, *lines), None).startswith(
        "5 stored outputs: not known how many"
    )
