"""Set-ups in which no search can end well: each ends before the 21st rollout, and says what to change."""

import json
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Clone, Files, Ran

    Make = Callable[[Files], Clone]

RUBRIC = "criteria:\n  - id: right-desk\n    check: {kind: equals, path: $.answer, reference: $.answer}\n"
PROGRAM = "defaults:\n  agent: {kind: command, argv: [sh, '{repository}/agent.sh', SEEN]MORE}\n"
COUNT = 'cat > /dev/null\necho >> "$1"\n'


def optimized(clone: "Clone", *flags: str) -> "Ran":
    return clone.ask("optimize-runbook", "desk", "--no-propose", *flags)


def stopped(ran: "Ran", *words: str) -> None:
    assert (ran.returncode, ran.stdout) == (1, ""), ran
    (line,) = ran.stderr.splitlines()
    assert all(word in line for word in words), line


def by_program(script: str, seen: Path, more: str = "") -> "Files":
    settings = PROGRAM.replace("SEEN", json.dumps(str(seen))).replace("MORE", more)
    return {"runbookopt.yaml": settings, "agent.sh": COUNT + script}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("$.answer, reference", "$.queue, reference"),
            (
                "after 20 outputs of today's runbook: runbooks/desk/rubric.yaml: criterion right-desk",
                "expected something at $.queue, saw nothing at $.queue (all outputs have answer, reason)",
                "set agent.field to queue in runbookopt.yaml (it is answer)",
            ),
        ),
        (
            ("path: $.answer, ", ""),
            ("expected text such as access, cards", "add a path to this check, such as $.answer"),
        ),
    ],
)
def test_what_fails_alike_everywhere_stops_a_run_before_its_search(
    repo: "Make", planted: ModuleType, change: tuple[str, str], words: tuple[str, ...]
) -> None:
    clone = repo({**planted.files(), "runbooks/desk/rubric.yaml": RUBRIC.replace(*change)})
    stopped(optimized(clone), *words, "--set stop_early=false")


def test_a_reference_that_is_never_there_is_told(repo: "Make", planted: ModuleType) -> None:
    wrong = RUBRIC.replace("reference: $.answer", "reference: $.label")
    clone = repo({**planted.files(), "runbooks/desk/rubric.yaml": wrong})
    stopped(
        optimized(clone, "--dry-run"), "nothing at $.label", "(all references have answer)", "`reference`"
    )


@pytest.mark.parametrize(
    "case",
    [
        ("true", "", ("expected an output, saw an empty one", "see agent.argv, agent.output (it is stdout)")),
        ("echo prose", "", ("expected JSON, saw text that is not JSON: prose", "ask for JSON alone")),
        ("echo '{}'", ", output: results/answer.json", ("agent.output (it is results/answer.json)",)),
        ('echo \'{"answer": "x"}\'', "", ("expected access, cards, money, post, saw x each time",)),
    ],
)
def test_an_agent_that_delivers_nothing_is_told_after_twenty_outputs(
    repo: "Make", planted: ModuleType, tmp_path: Path, case: tuple[str, str, tuple[str, ...]]
) -> None:
    seen, (script, more, words) = tmp_path / "seen", case
    clone = repo({**planted.files(), **by_program(script, seen, more)})
    flags = ("--budget-rollouts", "900", "--width", "16")
    first = optimized(clone, *flags)
    stopped(first, *words)
    assert len(seen.read_text().splitlines()) == 20
    again = optimized(clone, *flags)
    assert (again.stderr, len(seen.read_text().splitlines())) == (first.stderr, 20), "nothing is paid twice"


def test_what_differs_from_output_to_output_is_for_the_runbook_to_mend(
    repo: "Make", planted: ModuleType
) -> None:
    more = "  - id: signed\n    check: {kind: contains, path: $.reason, value: Regards}\n"
    clone = repo({**planted.files(), "runbooks/desk/rubric.yaml": RUBRIC + more})
    assert optimized(clone, "--dry-run").returncode == 0


def test_a_team_may_say_that_the_runbook_is_to_learn_it(repo: "Make", planted: ModuleType) -> None:
    wrong = RUBRIC.replace("$.answer, reference", "$.queue, reference")
    clone = repo({**planted.files(), "runbooks/desk/rubric.yaml": wrong})
    assert optimized(clone, "--dry-run", "--set", "stop_early=false").returncode == 0


def test_the_offline_agent_refuses_prose_before_any_rollout(repo: "Make", planted: ModuleType) -> None:
    prose = "# Desk\n\nSend cards to the cards desk.\n\nBe kind.\n"
    clone = repo({**planted.files(), "runbooks/desk/RUNBOOK.md": prose})
    for flags in ((), ("--plan",)):
        stopped(
            optimized(clone, *flags),
            "runbooks/desk/RUNBOOK.md: agent.kind is offline, and the offline agent finds 0 rules here",
            "--model",
        )


def test_a_model_with_the_offline_reflector_is_refused(repo: "Make", planted: ModuleType) -> None:
    clone = repo(planted.files())
    flags = ("--model", "openai/m", "--reflector-kind", "offline")
    for more in ((), ("--plan",)):
        stopped(
            optimized(clone, *flags, *more),
            "desk: agent.model is openai/m and reflector.kind is offline",
            "reflector: {kind: model, model: openai/m}",
        )
    assert not (clone.root / ".runbookopt").exists()


def test_a_model_alone_is_agent_and_reflector_and_the_plan_says_so(repo: "Make", planted: ModuleType) -> None:
    ran = optimized(repo(planted.files()), "--model", "openai/m", "--plan")
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    assert "openai/m is both agent and reflector: --reflector names another" in ran.stdout
