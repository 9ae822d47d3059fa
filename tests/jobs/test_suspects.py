"""Suspect references: all that was tried agrees on another answer, and so do the nearest tasks."""

import json

import pytest

from benchmarks.suspects import found
from runbookopt.documents.digest import digest_of
from runbookopt.evidence.library import Evidence
from runbookopt.evidence.trajectory import Part, Task
from runbookopt.jobs.suspects import Outputs, suspects
from runbookopt.landing.bundle import Suspect
from runbookopt.verifier.rubric import Rubric, read_rubric

RUBRIC = """criteria:
  - id: right-desk
    check: {kind: equals, path: $.answer, reference: $.answer}
  - id: short
    check: {kind: max_chars, value: 200}
"""
WRONG = 3


def evidence(*, answer: str = "cards", wrong: str = "post") -> Evidence:
    """Give nine tasks on cards, of which one has another reference, and nine on parcels."""
    told = [("my card was stolen", answer)] * 9 + [("the parcel is late", "post")] * 9
    tasks = [
        Task(
            digest_of(number),
            f"{text} {number}",
            {"answer": wrong if number == WRONG else right},
            trajectories=(f"t-{number}",),
        )
        for number, (text, right) in enumerate(told)
    ]
    return Evidence(tuple(tasks), ())


def said(tasks: Evidence, *answers: str, part: Part = "train") -> dict[Part, Outputs]:
    """Give what so many texts answered to each task on cards; to the others they say what is right."""
    return {
        part: {
            task.id: [
                json.dumps({"answer": answer if "card" in task.input else "post", "reason": number})
                for number, answer in enumerate(answers)
            ]
            for task in tasks.tasks
        }
    }


def rubric(text: str = RUBRIC) -> Rubric:
    return read_rubric(text.encode(), "rubric.yaml")


def test_what_all_texts_and_the_nearest_references_contradict_is_suspect() -> None:
    for part in ("train", "validation", "held-out"):
        told = suspects(rubric(), evidence(), said(evidence(), "cards", "cards", "cards", part=part))
        assert told == (Suspect(part, digest_of(WRONG), ("t-3",), '"cards"', 3),)


def test_one_text_alone_says_nothing() -> None:
    assert suspects(rubric(), evidence(), said(evidence(), "cards")) == ()


def test_texts_that_differ_say_nothing() -> None:
    assert suspects(rubric(), evidence(), said(evidence(), "cards", "cards", "front")) == ()


def test_what_no_text_can_do_is_not_suspect() -> None:
    assert suspects(rubric(), evidence(wrong="cards"), said(evidence(), "front", "front")) == ()


def test_an_answer_that_no_reference_nearby_has_is_not_suspect() -> None:
    told = evidence(answer="money")
    assert suspects(rubric(), told, said(told, "cards", "cards")) == ()


@pytest.mark.parametrize("output", [None, "cards", "[]", "{"])
def test_what_was_not_delivered_is_no_answer(output: str | None) -> None:
    outputs = {task.id: [output, output] for task in evidence().tasks}
    assert suspects(rubric(), evidence(), {"train": outputs}) == ()


@pytest.mark.parametrize(
    "check", ["{kind: equals, value: cards}", "{kind: one_of, path: $.answer, reference: $.answer}"]
)
def test_only_a_check_for_one_right_answer_makes_a_reference_suspect(check: str) -> None:
    other = rubric("criteria:\n  - id: right-desk\n    check: " + check)
    assert suspects(other, evidence(), said(evidence(), "cards", "cards")) == ()


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "recall", "precision"), [("support-triage", 0.15, 0.8), ("refund-reply", 0.12, 0.7)]
)
def test_of_planted_wrong_references_those_are_found_that_the_documentation_says(
    name: str, recall: float, precision: float
) -> None:
    counts = [found(name, seed) for seed in range(6)]
    wrong, listed, both = (sum(getattr(each, key) for each in counts) for key in ("wrong", "suspect", "both"))
    assert both / wrong >= recall
    assert both / listed >= precision
    assert sum(each.agreed_wrong for each in counts) / sum(each.agreed for each in counts) < 0.40
