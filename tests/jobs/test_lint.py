import json
from pathlib import Path

import pytest

from runbookopt.evidence.library import Folder
from runbookopt.jobs.readiness.lint import Lint, lint

RUBRIC = "criteria:\n- {id: right, check: {kind: equals, path: $.a, reference: $.a}}\n"
SIX = RUBRIC + "".join(
    f"- {{id: r{n}, check: {{kind: equals, path: $.a, reference: $.a}}}}\n" for n in range(5)
)
FORM = "criteria:\n- {id: short, check: {kind: max_chars, value: 9}}\n"

JUDGED = "judge: {model: openai/gpt-5-mini}\ncriteria:\n- {id: kind, judge: Is it kind}\n"


def tasks(number: int, reference: object = {"a": "x"}) -> str:
    lines = [{"id": f"t-{n}", "task": {"input": f"task {n}", "reference": reference}} for n in range(number)]
    return "".join(json.dumps(line) + "\n" for line in lines)


TRUST = "trust: {trajectories/triage/*.jsonl: internal}\n"
RED = "red_team: [trajectories/x/]\n"
FILES = {
    "runbooks/triage/RUNBOOK.md": "# Triage\n\n## Rules\n\n- Otherwise `x`\n",
    "runbooks/triage/rubric.yaml": RUBRIC,
    "runbooks/triage/policy.yaml": f"merge: auto\nreviewers: [bo]\n{TRUST}",
    "trajectories/triage/a.jsonl": tasks(120),
    "runbookopt.yaml": "defaults: {width: 2}\n",
}


def linted(root: Path, more: dict[str, str | None]) -> Lint:
    for path, text in (FILES | more).items():
        if text is not None:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
    return lint(Folder(root))


def test_a_repository_in_order_needs_no_words(tmp_path: Path) -> None:
    found = linted(tmp_path, {})
    assert (found.problems, found.advice, [project.name for project in found.projects]) == (
        (),
        (),
        ["triage"],
    )


def test_problems_of_all_runbooks_and_of_the_settings_are_named_at_once(tmp_path: Path) -> None:
    more = {
        "runbookopt.yaml": "defaults: {widht: 2}\n",
        "runbooks/triage/rubric.yaml": RUBRIC.replace("id: right", "id: right, weight: 0"),
        "runbooks/other/RUNBOOK.md": "x",
        "trajectories/triage/a.jsonl": '{"id": "half\n' + tasks(120),
    }
    problems = [str(problem) for problem in linted(tmp_path, more).problems]
    beginnings = [
        "runbookopt.yaml:1: defaults: unknown key 'widht' (did you mean 'width'?)",
        "runbooks/other/rubric.yaml: not found: a rubric says how outputs are judged",
        "runbooks/triage/rubric.yaml:2: criteria[0].weight: expected a number > 0, got 0",
        "trajectories/other: no trajectories: expected one trajectory a line",
    ]
    assert all(map(str.startswith, problems, beginnings)), problems
    assert len(problems) == len(beginnings)


def test_a_bad_record_among_good_ones_is_a_problem_of_a_usable_runbook(tmp_path: Path) -> None:
    found = linted(tmp_path, {"trajectories/triage/a.jsonl": tasks(120) + '{"id": "half\n'})
    assert [(problem.line, problem.severity) for problem in found.problems] == [(121, "warning")]
    assert len(found.projects) == 1


@pytest.mark.parametrize(
    ("more", "path", "words"),
    [
        ({"trajectories/triage/a.jsonl": tasks(30)}, "trajectories/triage", "a proof needs at least 20"),
        (
            {"trajectories/triage/a.jsonl": tasks(12)},
            "trajectories/triage",
            "train tasks: too few for a search",
        ),
        (
            {"runbooks/triage/policy.yaml": "merge: auto\nreviewers: [bo]\n"},
            "runbooks/triage/policy.yaml",
            "adds to policy.yaml: trust: {trajectories/triage/a.jsonl: internal}",
        ),
        (
            {"trajectories/triage/a.jsonl": tasks(120).replace('"task"', '"trust": "public", "task"')},
            "runbooks/triage/policy.yaml",
            "they say so themselves: take `trust` out of these lines",
        ),
        (
            {"runbooks/triage/policy.yaml": f"merge: auto\nreviewers: [bo]\n{TRUST}{RED}"},
            "runbooks/triage/policy.yaml",
            "red_team: trajectories/x/ covers no file of this runbook's evidence",
        ),
        (
            {"trajectories/triage/a.jsonl": tasks(120, None)},
            "trajectories/triage",
            "120 of 120 tasks lack the reference that criterion 'right' looks for",
        ),
        ({"runbooks/triage/rubric.yaml": FORM}, "runbooks/triage/rubric.yaml", "checks only form"),
        (
            {"runbooks/triage/rubric.yaml": SIX},
            "runbooks/triage/rubric.yaml",
            "6 objectives",
        ),
        (
            {"trajectories/triage/a.jsonl": tasks(120, None)},
            "trajectories/triage",
            "held-out tasks that the rubric cannot judge are 51 of 51: right: nothing at $.a",
        ),
        (
            {"trajectories/triage/a.jsonl": tasks(120).replace('"reference"', '"group": "g", "reference"')},
            "trajectories/triage",
            "tasks of one group count once, and all 120 are of one group",
        ),
        (
            {"runbooks/triage/policy.yaml": None},
            "runbooks/triage/policy.yaml",
            "not found: every change goes to review, and can be approved by nobody",
        ),
        (
            {"runbooks/triage/policy.yaml": f"merge: auto\n{TRUST}"},
            "runbooks/triage/policy.yaml",
            "a change that goes to review can be approved by nobody: name reviewers",
        ),
        (
            {
                "runbooks/triage/policy.yaml": (
                    f"merge: auto\nreviewers: [bo]\nauto_merge_if: {{gain_at_least: 0.97}}\n{TRUST}"
                )
            },
            "runbooks/triage/policy.yaml",
            "cannot prove a gain of 0.97",
        ),
        (
            {"runbooks/triage/rubric.yaml": RUBRIC + FORM.split("\n")[1] + "\n"},
            "runbooks/triage/policy.yaml",
            "not calibrated decide (short)",
        ),
        (
            {"runbooks/triage/rubric.yaml": JUDGED},
            "runbooks/triage/rubric.yaml",
            "no criterion looks at a reference: a judge decides, held against nobody's labels (kind)",
        ),
        (
            {"runbooks/triage/rubric.yaml": JUDGED},
            "runbooks/triage/policy.yaml",
            "not calibrated decide (kind)",
        ),
        (
            {"runbooks/triage/rubric.yaml": "judge: {model: openai/gpt-5-mini}\n" + RUBRIC},
            "runbooks/triage/rubric.yaml",
            "no criterion asks the judge openai/gpt-5-mini",
        ),
        (
            {"runbookopt.yaml": "runbooks: {triag: {width: 2}}"},
            "runbookopt.yaml",
            "no runbook 'triag' (did you mean",
        ),
        (
            {"trajectories/triaeg/a.jsonl": tasks(1)},
            "trajectories/triaeg",
            "there is no such runbook (did you mean",
        ),
    ],
)
def test_what_bodes_ill_is_advice(tmp_path: Path, more: dict[str, str | None], path: str, words: str) -> None:
    found = linted(tmp_path, more)
    assert found.problems == ()
    assert [piece.path for piece in found.advice if words in piece.message] == [path], found.advice


@pytest.mark.parametrize(
    "rubric",
    [
        JUDGED,
        "criteria:\n- {id: looked, check: {kind: tool_called, value: lookup}}\n",
        "criteria:\n- {id: own, check: {kind: command, argv: [/bin/false]}}\n",
    ],
)
def test_what_nobody_can_know_before_a_call_is_no_task_that_cannot_be_judged(
    tmp_path: Path, rubric: str
) -> None:
    found = linted(tmp_path, {"runbooks/triage/rubric.yaml": rubric})
    assert found.problems == ()
    assert not [piece for piece in found.advice if "cannot judge" in piece.message]


def test_a_folder_without_runbooks_is_a_problem(tmp_path: Path) -> None:
    assert "expected runbooks/<name>/RUNBOOK.md" in str(lint(Folder(tmp_path)).problems[0])


def test_a_link_is_named_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.yaml").write_text(RUBRIC)
    (tmp_path / "runbooks/triage").mkdir(parents=True)
    (tmp_path / "runbooks/triage/rubric.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    found = linted(tmp_path, {"runbooks/triage/rubric.yaml": None})
    assert [problem.path for problem in found.problems] == ["runbooks/triage/rubric.yaml"] * 2


def test_what_stored_outputs_already_show_is_told(tmp_path: Path) -> None:
    stored = [json.loads(line) | {"output": '{"b": "x"}'} for line in tasks(120).splitlines()]
    lines = "".join(json.dumps(line) + "\n" for line in stored)
    found = linted(tmp_path, {"trajectories/triage/a.jsonl": lines})
    (piece,) = [each for each in found.advice if "stored outputs" in each.message]
    assert str(piece) == (
        "runbooks/triage/rubric.yaml: of 120 stored outputs, criterion right fails alike on all of them:"
        " expected something at $.a, saw nothing at $.a (all outputs have b); change `path` of this"
        " check, or have the runbook name that field"
    )


def test_an_offline_agent_for_a_runbook_in_prose_is_told(tmp_path: Path) -> None:
    prose = {"runbooks/triage/RUNBOOK.md": "# Triage\n\nBe kind.\n"}
    (piece,) = linted(tmp_path, prose).advice
    assert "the offline agent finds 0 rules here" in str(piece)
    model = {"runbookopt.yaml": "defaults: {agent: {kind: chat, model: openai/x}}\n"}
    assert linted(tmp_path, prose | model).advice == ()
