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


def test_an_answer_in_json_that_is_held_against_text_wants_a_path(repo: "Make", planted: ModuleType) -> None:
    clone = repo({**planted.files(), "runbooks/desk/rubric.yaml": RUBRIC.replace("path: $.answer, ", "")})
    words = ("expected text such as access, cards", "add a path to this check, such as $.answer")
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
    if script == "true":  # what is kept is kept alike, whatever it is
        again = optimized(clone, *flags)
        assert (again.stderr, len(seen.read_text().splitlines())) == (first.stderr, 20), (
            "nothing is paid twice"
        )


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


def test_a_plan_refuses_prose_for_the_offline_agent(repo: "Make", planted: ModuleType) -> None:
    prose = "# Desk\n\nSend cards to the cards desk.\n\nBe kind.\n"
    clone = repo({**planted.files(), "runbooks/desk/RUNBOOK.md": prose})
    stopped(optimized(clone, "--plan"), "agent.kind is offline, and the offline agent finds 0 rules here")


def test_a_plan_refuses_a_model_with_the_offline_reflector(repo: "Make", planted: ModuleType) -> None:
    clone = repo(planted.files())
    ran = optimized(clone, "--plan", "--model", "openai/m", "--reflector-kind", "offline")
    stopped(ran, "desk: agent.model is openai/m and reflector.kind is offline")
    assert not (clone.root / ".runbookopt").exists()


def test_a_model_alone_is_agent_and_reflector_and_the_plan_says_so(repo: "Make", planted: ModuleType) -> None:
    ran = optimized(repo(planted.files()), "--model", "openai/m", "--plan")
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    assert "openai/m is both agent and reflector: --reflector names another" in ran.stdout


def failing(planted: ModuleType, validation: str, train: str) -> "Files":
    """Files of a runbook that knows cards alone; these parts begin with tasks of such words."""
    records, first = planted.trajectories(), {"validation": validation, "train": train, "held-out": "ppppp"}
    words = {split: list(letters) for split, letters in first.items()}
    for number, record in enumerate(records):
        left = words[record["task"]["split"]]
        word = {"p": "parcel", "i": "invoice"}[left.pop()] if left else "card"
        told = f"dear desk, {word} number {number} please"
        record["task"] |= {"input": told, "reference": {"answer": planted.WORDS[word]}}
    files: Files = planted.files(trajectories=planted.lines(records))
    return {**files, "runbooks/desk/RUNBOOK.md": planted.RUNBOOK.replace("`front`", "`cards`")}


@pytest.mark.parametrize(
    ("validation", "train", "headline", "figures"),
    [
        ("", "", "no draft was tried: every task is solved", "1.000 on 24 tasks\n"),
        (
            "pp",
            "ppp",
            "no gain could show: today's runbook fails in 2 of 24 validation groups, and",
            "-> 1.000",
        ),
        (
            "",
            "ppp",
            "no draft was tried: every validation task passes, and 3 train tasks fail: more validation tasks",
            "1.000 on 24",
        ),
        ("iipp", "ppp", "no clear winner on validation", "less what is luck"),
        ("pppp", "ppp", "a winner on validation, not proved on held-out tasks", "less what is luck"),
    ],
)
def test_words_and_figures_agree_where_too_little_fails(
    repo: "Make", planted: ModuleType, validation: str, train: str, headline: str, figures: str
) -> None:
    ran = optimized(repo(failing(planted, validation, train)), "--dry-run")
    assert ran.stdout.startswith(f"desk: {headline}"), ran.stdout
    assert figures in ran.stdout
    assert ("next: " in ran.stdout) == headline.startswith("a winner")
