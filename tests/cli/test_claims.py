"""Claims by command line: a deterministic agent that is not, and a model that was replaced."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from runbookopt.agents.roles import roles_of
from runbookopt.documents.digest import digest
from runbookopt.documents.settings import AgentSettings, Settings
from runbookopt.jobs.claims import CHECKED, TWICE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Modelled, Modelling
    from tests.conftest import Clone, Files, Ran

UNSTEADY = """#!/bin/sh
# Answers "front", but on cards something else whenever it is asked again.
task=$(cat)
echo >> "$1/calls"
case $task in
  *card*) mkdir "$1/$(echo "$task" | cksum | tr -d ' ')" 2> "$1/again" || answer=cards ;;
esac
echo "{\\"answer\\": \\"${answer:-front}\\"}"
"""
COMMAND = """defaults:
  agent:
    kind: command
    argv: [sh, "{repository}/agents/unsteady.sh", SEEN]
    deterministic: true
"""


def calls(seen: Path) -> int:
    return len((seen / "calls").read_text().splitlines())


def optimized(clone: "Clone", *flags: str) -> "Ran":
    return clone.ask("optimize-runbook", "desk", "--no-propose", *flags)


@pytest.mark.parametrize("width", [1, 16])
def test_a_program_that_answers_at_random_is_told_before_anything_is_paid_for(
    repo: "Callable[[Files], Clone]", planted: ModuleType, tmp_path: Path, width: int
) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    settings = COMMAND.replace("SEEN", json.dumps(str(seen)))
    clone = repo({**planted.files(), "runbookopt.yaml": settings, "agents/unsteady.sh": UNSTEADY})
    ran = optimized(clone, "--width", str(width))
    assert (ran.returncode, ran.stdout) == (1, "")
    (line,) = ran.stderr.splitlines()
    assert line.startswith(
        'agent: deterministic is true, and the agent command sh gave two answers to one task, "t-40"'
        " (trajectories/desk/all.jsonl:41): "
    ), line
    assert "take `deterministic: true` away" in line
    assert calls(seen) == 2 * TWICE
    again = optimized(clone, "--width", str(width))
    assert (again.returncode, again.stderr, calls(seen)) == (1, ran.stderr, 2 * TWICE), (
        "nothing is paid twice"
    )


def stored(planted: ModuleType, clone: "Clone", answer: str, **more: str) -> str:
    """Give the tasks with outputs of today's runbook and agent, all of them the same."""
    settings = AgentSettings(kind="chat", model="openai/agent", api_base=more.pop("url"), deterministic=True)
    agent = roles_of(Settings(agent=settings), clone.root, {**os.environ, "OPENAI_API_KEY": "made up"}).agent
    said = {
        "runbook_digest": digest(planted.RUNBOOK.encode()),
        "output": json.dumps({"answer": answer}),
        "agent": {"name": "chat", "key": agent.key},
        **more,
    }
    parts = ("train", "validation")
    return str(
        planted.lines(
            [
                each if each["task"]["split"] not in parts else {**each, **said}
                for each in planted.trajectories(32)
            ]
        )
    )


CHAT = """defaults:
  agent: {kind: chat, model: openai/agent, api_base: URL, deterministic: true}
"""


def replaced(modelling: "Modelling", planted: ModuleType, answer: str, **more: str) -> "Modelled":
    """Give a model that answers by the runbook, and stored outputs of who had its name before."""
    rubric = {"runbooks/desk/rubric.yaml": planted.RUBRIC}
    modelled = modelling(settings=CHAT, files=rubric)
    text = stored(planted, modelled.clone, answer, url=modelled.server.url, **more)
    (modelled.clone.root / "trajectories/desk/all.jsonl").write_text(text)
    modelled.clone.git("commit", "--quiet", "--all", "--message", "Add what was answered")
    return modelled


@pytest.mark.slow
def test_a_model_that_was_replaced_behind_its_name_is_told_and_what_it_said_is_no_score(
    modelling: "Modelling", planted: ModuleType
) -> None:
    few = ("--dry-run", "--budget-rollouts", "113")  # it ends before its first draft is validated
    modelled = replaced(modelling, planted, "front")
    found = modelled.found(*few)
    told = found["stored_verdicts"]
    assert told["alike"] < 18
    assert told == {"used": 0, "oldest_days": None, "undated": 0, "old": 48, "checked": CHECKED} | {
        "alike": told["alike"],
        "as_today": [],
    }
    (note,) = [each for each in found["decision"]["reasons"] if "stored verdicts" in each]
    assert note.startswith(
        "note: stored verdicts older than 14 days or without a date: 48; tried again: 20, and"
        f" {told['alike']} of them score as they did, where 18 must, so none of them is used"
    )
    assert found["validation"]["before"] == 0.25, "of what answers now"
    paid = found["spent"]["rollouts"]
    assert found["spent"]["reflections"] > 0, "what was answered then is evidence, and no score"
    again = modelled.found(*few)
    assert (again["run"], again["spent"]["rollouts"], again["spent"]["cached"]) == (found["run"], 0, paid)


@pytest.mark.slow
def test_young_verdicts_of_a_deterministic_model_stand_and_the_oldest_is_told(
    modelling: "Modelling", planted: ModuleType
) -> None:
    modelled = replaced(modelling, planted, "cards", started_at=yesterday())
    ran = modelled.run("--dry-run", "--budget-rollouts", "98")
    assert ran.returncode == 0, ran
    assert "stored      43 verdicts stood for rollouts, the oldest of them 1 days old" in ran.stdout


def yesterday() -> str:
    return (datetime.now(UTC) - timedelta(hours=30)).isoformat(timespec="seconds")


def test_a_budget_that_does_not_cover_what_is_tried_is_refused_with_the_number(
    repo: "Callable[[Files], Clone]", planted: ModuleType, tmp_path: Path
) -> None:
    settings = COMMAND.replace("SEEN", json.dumps(str(tmp_path)))
    clone = repo({**planted.files(), "runbookopt.yaml": settings, "agents/unsteady.sh": UNSTEADY})
    ran = optimized(clone, "--budget-rollouts", "196")
    assert ran.returncode == 1
    assert (
        "53 try today's runbook (10 of them what is claimed of the agent and of old stored verdicts), 24 try"
        in ran.stderr
    )
    assert "raise budget.rollouts to 197 at least" in ran.stderr
    planned: dict[str, Any] = json.loads(
        optimized(clone, "--plan", "--json", "--budget-rollouts", "197").stdout
    )
    assert planned["rollouts"]["claims"] == 10
