"""`--prefer`: an objective that chooses the winner, and what the frontier gives up for each."""

import json
from collections.abc import Callable
from types import ModuleType

import pytest

from runbookopt.landing.bundle import read_bundle
from tests.conftest import Clone

Make = Callable[..., Clone]
RUBRIC = """criteria:
  - id: right-desk
    check: {kind: equals, path: $.answer, reference: $.answer}
    objective: accuracy
  - id: not-front
    check: {kind: not_contains, path: $.answer, value: front}
    objective: effort
"""


@pytest.fixture
def desk(repo: Make, planted: ModuleType) -> Clone:
    return repo(planted.files(rubric=RUBRIC, trajectories=planted.lines(planted.trajectories(88))))


def test_an_objective_that_is_not_there_is_refused_before_anything_is_run(desk: Clone) -> None:
    ran = desk.ask("optimize-runbook", "desk", "--prefer", "efort")
    assert ran.returncode == 1
    assert "(accuracy, effort), got 'efort' (did you mean 'effort'?)" in ran.stderr


def test_the_frontier_tells_each_objective_of_its_members(desk: Clone) -> None:
    ran = desk.ask("optimize-runbook", "desk", "--json", "--prefer", "effort")
    told = json.loads(ran.stdout.splitlines()[-1])
    assert (ran.returncode, told["outcome"]) == (0, "accepted")
    assert told["objectives"]["effort"]["low"] > 0
    bundle = read_bundle((desk.root / told["bundle"]).read_bytes(), "it")
    assert all(member.objectives.keys() == {"accuracy", "effort"} for member in bundle.members)
    chosen = next(member for member in bundle.members if member.digest == bundle.chosen)
    assert chosen.objectives["effort"] == max(member.objectives["effort"] for member in bundle.members)
    assert bundle.settings["prefer"] == "effort"
    body = desk.ask("runbookopt", "pulls", "show", "1").stdout
    assert "| candidate | wave | made from | validation | `accuracy` | `effort` | characters |" in body
