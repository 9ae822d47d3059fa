"""Lint of a rubric by its evidence: each kind where it is there, and nothing on the samples."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbookopt.evidence.library import Folder
from runbookopt.jobs.readiness.rubric_lint import on_references, on_rubric
from runbookopt.project.project import Project, read_project

PROJECT = Path(__file__).parents[2]
EQUALS = "- {id: right, check: {kind: equals, path: $.a, reference: $.a}}\n"
Make = Callable[..., Project]


@pytest.fixture
def project(tmp_path: Path) -> Make:
    """Give a maker of projects: criteria as YAML, and a line of evidence for each of `number` tasks."""

    def made(criteria: str, line: Callable[[int], dict[str, Any]], number: int = 40) -> Project:
        judge = "judge: {model: openai/judge}\n" if "judge:" in criteria else ""
        lines = [{"id": f"t-{n}", **line(n)} for n in range(number)]
        files = {
            "runbooks/x/RUNBOOK.md": "# X\n\n## Rules\n\n- Otherwise `x`\n",
            "runbooks/x/rubric.yaml": f"{judge}criteria:\n{criteria}",
            "trajectories/x/a.jsonl": "".join(json.dumps(each) + "\n" for each in lines),
        }
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return read_project(Folder(tmp_path), "x")

    return made


WORDS = [
    "amber",
    "basalt",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "gravel",
    "harbor",
    "island",
    "juniper",
    "kelp",
    "lagoon",
    "meadow",
    "nectar",
    "onyx",
    "pebble",
    "quartz",
    "river",
    "summit",
    "tundra",
    "umber",
    "valley",
    "willow",
    "xenon",
    "yarrow",
    "zephyr",
]


def task(number: int, answer: str, said: str | None = None, text: str | None = None) -> dict[str, Any]:
    """Give a task in words of its own that wants an answer, and what an agent said to it."""
    own = " ".join(WORDS[(number * step + step) % len(WORDS)] for step in (1, 3, 5, 7, 11))
    record: dict[str, Any] = {"task": {"input": text or f"{own} {number}", "reference": {"a": answer}}}
    return record if said is None else {**record, "output": json.dumps({"a": said})}


def half(number: int) -> str:
    return "left" if number % 2 else "right"


def words(project: Project) -> str:
    return "\n".join((*on_rubric(project), *on_references(project)))


def test_the_samples_need_no_words() -> None:
    for name in ("support-triage", "refund-reply"):
        assert words(read_project(Folder(PROJECT), name)) == ""


def test_an_answer_that_stands_in_the_input_is_a_leak_and_one_that_is_taken_out_of_it_is_none(
    project: Make,
) -> None:
    leaking = project(EQUALS, lambda n: task(n, half(n), text=f"ticket {n}, queue {half(n)}"))
    assert "'right': the input holds the answer in 40 of 40 tasks" in words(leaking)
    taken_out = project(EQUALS, lambda n: task(n, f"order-{n}", text=f"where is order-{n}?"))
    assert "holds the answer" not in words(taken_out)


@pytest.mark.parametrize(("said", "word"), [(half, "pass"), (lambda _: "wrong", "fail")])
def test_a_criterion_that_all_outputs_pass_or_all_fail_tells_none_from_another(
    project: Make, said: Callable[[int], str], word: str
) -> None:
    found = project(EQUALS, lambda n: task(n, half(n), said(n)))
    assert f"'right': all 40 stored outputs that were looked at {word}" in words(found)
    gate = project(EQUALS.replace("right,", "right, gate: true,"), lambda n: task(n, half(n), said(n)))
    assert "all 40 stored outputs" not in words(gate)


def test_a_criterion_of_form_alone_is_to_be_a_gate(project: Make) -> None:
    short = "- {id: short, check: {kind: max_chars, value: 9}}\n"
    said = "'short' checks form alone"
    assert said in words(project(EQUALS + short, lambda n: task(n, half(n))))
    assert said not in words(
        project(EQUALS + short.replace("short,", "short, gate: true,"), lambda n: task(n, half(n)))
    )
    schema = "- {id: short, check: {kind: json_schema, schema: {type: object, properties: {a: {%s}}}}}\n"
    assert said in words(project(EQUALS + schema % "type: string", lambda n: task(n, half(n))))
    assert said not in words(project(EQUALS + schema % "enum: [left, right]", lambda n: task(n, half(n))))


def test_two_criteria_with_one_verdict_on_all_outputs_are_one(project: Make) -> None:
    again = "- {id: again, check: {kind: one_of, path: $.a, reference: $.b}}\n"

    def line(number: int, other: str) -> dict[str, Any]:
        record = task(number, half(number), "left")
        record["task"]["reference"]["b"] = [half(number), *([other] if number == 0 else [])]
        return record

    assert "'right' and 'again' have one verdict" in words(project(EQUALS + again, lambda n: line(n, "up")))
    assert "have one verdict" not in words(project(EQUALS + again, lambda n: line(n, "left")))


@pytest.mark.parametrize(
    ("question", "is_two"),
    [
        ("Is it kind and does it name a date?", True),
        ("Is it kind? Is it short?", True),
        ("Does it promise a refund, or is a date in it?", True),
        ("Does the reason promise a refund, a date or an outcome?", False),
        ("Is it calm and kind?", False),
    ],
)
def test_a_judge_is_asked_one_thing(project: Make, question: str, is_two: bool) -> None:
    found = words(
        project(EQUALS + f"- {{id: kind, judge: {json.dumps(question)}}}\n", lambda n: task(n, half(n)))
    )
    assert ("'kind' asks the judge two things at once" in found) == is_two


def test_near_repeats_that_want_different_answers_contradict_each_other(project: Make) -> None:
    long = "my parcel has not come since monday although the shop says that it was sent"

    def line(number: int, other: str) -> dict[str, Any]:
        if number < 2:
            return task(number, (half(0), other)[number], text=f"{long}{(' today', '')[number]}")
        return task(number, half(number))

    said = "references contradict each other"
    assert said in words(project(EQUALS, lambda n: line(n, "left")))
    assert said not in words(project(EQUALS, lambda n: line(n, "right")))


def test_answers_that_few_tasks_want_are_named(project: Make) -> None:
    rare = words(project(EQUALS, lambda n: task(n, "rare" if n < 2 else half(n))))
    assert "'right': fewer than 5 tasks want some answers" in rare
    assert "fewer than 5 tasks" not in words(project(EQUALS, lambda n: task(n, half(n))))
