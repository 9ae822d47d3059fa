from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Clone

RUBRIC = """criteria:
  - id: right-desk
    check: {kind: equals, path: $.answer, reference: $.answer}
  - id: an-objective-with-a-name-that-no-narrow-terminal-has-room-for
    check: {kind: max_chars, value: 1000}
"""


@pytest.mark.parametrize("columns", ["20", "200"])
def test_no_terminal_is_too_narrow_for_the_numbers(
    repo: Callable[..., "Clone"], planted: ModuleType, columns: str
) -> None:
    clone = repo(planted.files(rubric=RUBRIC))
    shown = clone.ask("optimize-runbook", "desk", environ={"COLUMNS": columns}).stdout
    for numbers in ("0.625   1.000  +0.375", "0.250   1.000  +0.750", "1.000   1.000  +0.000"):
        assert numbers in shown
    assert "\u2026" not in shown


def test_what_a_policy_says_does_not_reach_the_terminal_as_it_is(
    repo: Callable[..., "Clone"], planted: ModuleType
) -> None:
    clone = repo(planted.files(policy='reviewers: ["bo\\e[2J"]\n'))
    ran = clone.ask("optimize-runbook", "desk")
    assert (ran.returncode, "\x1b" in ran.stdout + ran.stderr) == (0, False)
    assert r"waits for bo\x1b[2J" in ran.stdout


@pytest.mark.parametrize(
    ("right", "answer", "said"),
    [
        (0, "front", "desk: the winner is no better on held-out tasks, or does harm there\n"),
        (4, "nobody", "desk: a winner that the held-out tasks do not prove\n"),
    ],
)
def test_what_is_not_proposed_says_why_in_a_line_and_no_more_of_the_policy(
    repo: Callable[..., "Clone"], planted: ModuleType, right: int, answer: str, said: str
) -> None:
    records = planted.trajectories()
    held_out = [r["task"] for r in records if r["task"]["split"] == "held-out" and "card" not in str(r)]
    for task in held_out[right:]:
        task["reference"] = {"answer": answer}
    shown = repo(planted.files(trajectories=planted.lines(records))).ask("optimize-runbook", "desk").stdout
    decision = shown[shown.index("  decision: ") :].splitlines()
    assert shown.startswith(said)
    assert decision[0] == "  decision: nothing is proposed"
    assert decision[1].startswith("    no   the proof on 60 held-out tasks says ")
    assert decision[2] == (
        "  the search ended: every validation task passes, and 3 train tasks fail: more validation tasks are"
        " needed, on which that shows"
    )
