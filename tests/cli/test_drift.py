"""`runbookopt drift` by command line: what it exits with, and what it says to do."""

import json
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from runbookopt.verifier.judge import author_of
from runbookopt.verifier.rubric import Rubric, read_rubric
from tests.conftest import Clone

Make = Callable[..., Clone]
Lines = list[dict[str, Any]]

RUBRIC = """judge: {model: openai/judge}
criteria:
  - id: right-desk
    check: {kind: equals, path: $.answer, reference: $.answer}
  - id: polite
    judge: Is it polite?
"""


def outputs(month: int, right: int, polite: int, rubric: Rubric, of: int = 160) -> Iterator[dict[str, Any]]:
    """Give a month of outputs, of which so many have the right desk, and so many are polite by the judge."""
    by = author_of(rubric, rubric.judged[0])
    for number in range(of):
        yield {
            "id": f"t-{month}-{number}",
            "task": {"input": f"{month}: number {number}", "reference": {"answer": "post"}},
            "output": json.dumps({"answer": "post" if number < right else "front"}),
            "started_at": f"2026-0{month}-{1 + number % 28:02}T10:00:00Z",
            "verdicts": [
                {
                    "criterion": "polite",
                    "result": "pass" if number < polite else "fail",
                    "by": {"kind": "llm", "id": by.id},
                }
            ],
        }


def labels(month: int, agreeing: int, of: int = 120) -> Iterator[dict[str, Any]]:
    """Give people's verdicts on outputs that the judge finds polite: so many say so too."""
    for number in range(of):
        result = "pass" if number < agreeing else "fail"
        said = {"result": result, "by": "ana", "frame": "representative", "at": f"2026-0{month}-28T10:00:00Z"}
        yield {"trajectory": f"t-{month}-{number}", "criterion": "polite", **said}


@pytest.fixture
def desk(repo: Make, planted: ModuleType) -> Callable[[Lines, Lines], Clone]:
    def made(stored: Lines, said: Lines) -> Clone:
        files = planted.files(rubric=RUBRIC, trajectories=planted.lines(stored))
        people = {"trajectories/desk/ana.labels.jsonl": planted.lines(said)} if said else {}
        return repo({**files, **people})

    return made


def drift(clone: Clone, *more: str, status: int) -> dict[str, Any]:
    ran = clone.ask("runbookopt", "drift", "desk", "--since", "2026-03-01", "--json", *more)
    assert (ran.returncode, ran.stderr) == (status, "")
    return dict(json.loads(ran.stdout))


def two_months(right: int, polite: int) -> Lines:
    rubric = read_rubric(RUBRIC.encode(), "rubric.yaml")
    return [*outputs(2, 130, 160, rubric), *outputs(3, right, polite, rubric)]


def test_nothing_moved_is_no_drift(desk: Callable[[Lines, Lines], Clone]) -> None:
    clone = desk(two_months(126, 160), [*labels(2, 110), *labels(3, 108)])
    told = drift(clone, status=0)
    assert (told["drift"], told["advice"]) == (False, [])
    page = clone.ask("runbookopt", "drift", "desk", "--window", "28d")
    assert page.returncode == 0
    assert page.stdout.startswith("desk: no drift, by 320 stored outputs\n")


def test_a_fall_is_drift_and_says_to_optimize(desk: Callable[[Lines, Lines], Clone]) -> None:
    told = drift(desk(two_months(60, 160), []), status=3)
    assert [each["todo"] for each in told["advice"]] == ["optimize"]
    (shift,) = (shift for shift in told["looks"][0]["shifts"] if shift["moved"])
    assert (shift["subject"], shift["moved"]) == ("right-desk", "fell")
    three_weeks = [
        {"count": 95, "of": 118},
        {"count": 46, "of": 125},
    ]  # it looks at 21 and 30 days, not between
    assert [shift["before"], shift["after"]] == three_weeks


def test_a_judge_that_people_agree_with_less_is_to_be_recalibrated(
    desk: Callable[[Lines, Lines], Clone],
) -> None:
    told = drift(desk(two_months(130, 60), [*labels(2, 118), *labels(3, 118)]), status=3)
    assert "recalibrate" in [each["todo"] for each in told["advice"]]
    assert "optimize" not in [each["todo"] for each in told["advice"]]


def test_labels_of_what_was_chosen_to_teach_most_are_no_rate(desk: Callable[[Lines, Lines], Clone]) -> None:
    chosen = [{**each, "frame": "discovery"} for each in (*labels(2, 118), *labels(3, 10))]
    told = drift(desk(two_months(130, 160), chosen), status=0)
    assert "240 labels are of outputs that were chosen" in " ".join(told["notes"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--window", "30"], "no drift"),
        (["--window", "0d"], "--window: expected days"),
        (["--window", "month"], "--window: expected days"),
        (["--since", "yesterday"], "--since: expected a date"),
        (["--since", "2999-01-01"], "--since: expected a day that has begun"),
    ],
)
def test_a_window_and_a_date_are_read_or_refused(
    desk: Callable[[Lines, Lines], Clone], arguments: list[str], expected: str
) -> None:
    ran = desk(two_months(130, 160), []).ask("runbookopt", "drift", "desk", *arguments)
    assert expected in ran.stdout + ran.stderr
    assert ran.returncode == (0 if expected == "no drift" else 2)


def test_without_a_time_there_is_nothing_to_compare(desk: Callable[[Lines, Lines], Clone]) -> None:
    undated = [
        {key: value for key, value in each.items() if key != "started_at"} for each in two_months(9, 9)
    ]
    ran = desk(undated, []).ask("runbookopt", "drift", "desk")
    assert ran.returncode == 0
    assert "nothing to compare" in ran.stdout
    assert "320 outputs tell no time" in ran.stdout
