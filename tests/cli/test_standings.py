"""What labels make of criteria, as every command tells it, and goes by it."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tests import labelled

if TYPE_CHECKING:
    from tests.conftest import Clone

Make = Callable[..., "Clone"]
BRIEF = "  - {id: brief, statement: It is brief., check: {kind: max_chars, value: 1}}\n"
"""What no output passes."""


def told(clone: "Clone", *command: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(clone.ask(*command, "--json").stdout)
    return found


def of_desk(clone: "Clone") -> dict[str, Any]:
    found: dict[str, Any] = told(clone, "runbookopt", "check")["runbooks"][0]
    return found


def test_an_advisory_criterion_is_told_and_weighs_nothing_until_it_decides_no_more(
    repo: Make, planted: ModuleType
) -> None:
    rubric = planted.RUBRIC + BRIEF
    clone = repo({**planted.files(), **labelled.files(rubric, {"brief": 4}, "desk")})
    desk = of_desk(clone)
    assert desk["deciding"] == ["right-desk"]
    assert [each["status"] for each in desk["standings"]] == ["exempt", "advisory"]
    scored = told(clone, "runbookopt", "evaluate", "desk")
    assert scored["score"] == 0.25  # as if nobody asked for brevity
    assert scored["criteria"]["brief"] | {"errors": 0} == {
        "passed": 0,
        "failed": 24,
        "errors": 0,
        "share": 0.0,
        "decides": False,
        "status": "advisory",
    }
    ran = told(clone, "optimize-runbook", "desk", "--no-propose", "--budget-rollouts", "600")
    assert ran["outcome"] == "accepted"
    assert ran["health"]["valid"]
    assert [each["status"] for each in ran["health"]["criteria"]] == ["exempt", "advisory"]
    assert {*ran["objectives"]} == {"right-desk"}


def test_one_word_takes_its_say_from_a_criterion_in_every_command(repo: Make, planted: ModuleType) -> None:
    rubric = planted.RUBRIC + BRIEF.replace("value: 1}", "value: 400}")
    clone = repo({**planted.files(), **labelled.files(rubric, {"brief": 8}, "desk", count=100)})
    assert of_desk(clone)["deciding"] == ["right-desk", "brief"]
    (shrunk,) = told(clone, "optimize-runbook", "desk", "--plan", "--no-propose")["shrunk"]
    assert (shrunk["criterion"], round(shrunk["j"], 2), round(shrunk["tasks"], 1)) == ("brief", 0.72, 1.9)
    clone.write({"runbooks/desk/rubric.yaml": rubric.replace("It is brief", "It is terse")})
    desk = of_desk(clone)
    assert (desk["deciding"], desk["standings"][1]["status"]) == (["right-desk"], "stale")
    said = clone.ask("runbookopt", "check").stdout
    assert "/calibration.json: advice: criterion brief is stale (its words or its check changed" in said
    assert "automatically: calibration.json is not of today's rubric, labels or date (brief)" in said
    assert told(clone, "optimize-runbook", "desk", "--plan", "--no-propose")["shrunk"] == []


def test_where_nothing_decides_every_command_says_what_to_do(repo: Make, planted: ModuleType) -> None:
    rubric = f"criteria:\n{BRIEF}"
    clone = repo({**planted.files(), **labelled.files(rubric, {"brief": 4}, "desk")})
    for command in (
        ("runbookopt", "check"),
        ("runbookopt", "evaluate", "desk"),
        ("optimize-runbook", "desk", "--no-propose"),
        ("optimize-runbook", "desk", "--plan", "--no-propose"),
    ):
        ran = clone.ask(*command)
        assert ran.returncode == 1, command
        assert "no criterion of desk may decide, so nothing can be scored: brief is advisory" in (
            ran.stdout + ran.stderr
        ), command
