from pathlib import Path

import pytest
from msgspec.structs import replace

from runbookopt.calibration.bias import Battery, ProbeResult
from runbookopt.calibration.deciding import Standing, standings_of
from runbookopt.calibration.label_ledger import LEVELS
from runbookopt.calibration.labels import Rating, for_testing, standing
from runbookopt.calibration.planner import (
    plan_in_words,
    plan_of,
    planned_of,
    prevalence,
    tasks_factor,
)
from runbookopt.calibration.record import CriterionRecord, JudgedItem, looked, with_battery
from runbookopt.evidence.library import Folder
from runbookopt.evidence.trajectory import Label
from runbookopt.verifier.rubric import read_rubric

NEW = Standing("polite", "uncalibrated")


def ratings_of(passes: int, fails: int, start: int = 0) -> tuple[Rating, ...]:
    results = ["pass"] * passes + ["fail"] * fails
    labels = (
        Label(f"t{start + number}", "polite", result, by="mara", split="test")  # type: ignore[arg-type]
        for number, result in enumerate(results)
    )
    return standing(labels)


def record_of(ratings: tuple[Rating, ...], wrong: int) -> CriterionRecord:
    """A record of a criterion that errs in so many of each class."""
    left = {"pass": wrong, "fail": wrong}
    tested = []
    for item in for_testing(ratings):
        result = item.result or "fail"
        left[result] -= 1
        errs = left[result] >= 0
        other = "fail" if result == "pass" else "pass"
        tested.append(
            JudgedItem(item.trajectory, result, other if errs else result, item.labels)  # type: ignore[arg-type]
        )
    return looked("k", "2026-11-20", tested=tested, level=LEVELS[0], strict=False, looks=())


def test_a_criterion_that_nobody_looked_at_needs_what_a_look_needs() -> None:
    planned = planned_of(NEW, ratings_of(30, 5), None)
    assert (planned.more_passes, planned.more_fails) == (0, 10)
    assert planned.labels == 100  # 10 fails of 1 in 7, of which 7 in 10 are held out
    assert "10 fails more" in plan_in_words(planned)
    assert "86% of the outputs pass" in plan_in_words(planned)


def test_an_advisory_criterion_is_told_how_many_labels_more() -> None:
    ratings = ratings_of(20, 20)
    record = record_of(ratings, wrong=4)  # MCC .6 of 40
    assert record.status == "advisory"
    planned = planned_of(Standing("polite", record.status), ratings, record)
    assert planned.again
    assert planned.labels is not None
    assert planned.more_passes == planned.more_fails > 20


def test_one_that_is_not_good_enough_can_never_gate() -> None:
    ratings = ratings_of(40, 40)
    planned = planned_of(Standing("polite", "advisory"), ratings, record_of(ratings, wrong=10))
    assert planned.never
    assert "can never gate at this size: with the MCC of 0.50" in plan_in_words(planned)


def test_a_key_of_another_day_tells_nothing_of_the_rates() -> None:
    ratings = ratings_of(40, 40)
    planned = planned_of(Standing("polite", "stale"), ratings, record_of(ratings, wrong=10))
    assert (planned.status, planned.never, planned.more_fails) == ("stale", False, 15)


def test_one_whose_judge_is_swayed_needs_another_judge_and_no_label() -> None:
    ratings = ratings_of(40, 40)
    swayed = ProbeResult(60, 30, 12, 0, 0, 0.2, 0.1, 0.3, 0.001, "failed")
    record = with_battery(record_of(ratings, wrong=2), Battery("k", "2026-11-21", 60, {"praise": swayed}))
    planned = planned_of(Standing("polite", record.status), ratings, record)
    assert plan_in_words(planned) == (
        "polite: cannot gate, however people label: its judge is swayed (praise); change its question or its"
        " judge"
    )


def test_a_criterion_that_gates_needs_nothing() -> None:
    ratings = ratings_of(40, 40)
    planned = planned_of(Standing("polite", "gates"), ratings, record_of(ratings, wrong=2))
    assert (planned.status, planned.labels) == ("gates", 0)


def test_how_many_pass_is_known_of_a_representative_sample_first() -> None:
    ratings = ratings_of(10, 10)
    sampled = [replace(each, frame="representative" if each.result == "pass" else None) for each in ratings]
    golds = [*for_testing(tuple(sampled))]
    assert prevalence(golds) == 1
    assert prevalence(for_testing(ratings)) == 0.5
    assert prevalence([]) is None


def test_without_a_failure_nobody_knows_how_many_labels_it_takes() -> None:
    planned = planned_of(NEW, ratings_of(20, 0), None)
    assert planned.labels is None
    assert "nobody knows yet" in plan_in_words(planned)


def test_a_judge_that_shows_half_of_a_gain_needs_four_times_the_tasks() -> None:
    assert tasks_factor(0.5) == pytest.approx(4)
    assert tasks_factor(0) is None


def test_the_plan_names_each_criterion_and_what_is_exempt(tmp_path: Path) -> None:
    rubric = read_rubric(
        b"criteria:\n"
        b"  - {id: right, check: {kind: equals, reference: $.answer}}\n"
        b"  - {id: polite, judge: 'Is it polite?'}\n"
        b"judge: {model: openai/gpt-5-mini}\n",
        "r",
    )
    right, polite = plan_of(standings_of(rubric, None, (), Folder(tmp_path)), ratings_of(16, 15), None)
    assert (right.status, polite.status) == ("exempt", "uncalibrated")
    assert "enough for a look: runbookopt calibrate" in plan_in_words(polite)
