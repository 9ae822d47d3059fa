"""The recipes of docs/agents.md, run with stand-ins for the programs that they call."""

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from runbookopt.agents.command import CommandAgent, CommandSettings
from runbookopt.agents.protocol import Produced
from runbookopt.documents.parse import read_plain_yaml
from runbookopt.documents.settings import COMMAND_KEYS
from runbookopt.evidence.trajectory import Left
from runbookopt.sandbox import bubblewrap
from runbookopt.sandbox.bubblewrap import NoIsolation
from runbookopt.verifier.checks import Check, examine

PROJECT = Path(__file__).parents[2]
PROGRAMS = PROJECT / "tests" / "programs"
RUNBOOK = '# Triage\n\n- "card" means `card`\n- Otherwise `other`\n'
PAGE = (PROJECT / "docs" / "agents.md").read_text()


def recipe(title: str) -> dict[str, object]:
    """Give the settings in the first YAML of a section of the page."""
    section = PAGE.split(f"### {title}\n")[1].split("\n### ")[0]
    found = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert found is not None
    agent: dict[str, object] = read_plain_yaml(found[1].encode(), "agents.md")["agent"]
    return agent


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Give variables under which the programs' names lead to the stand-ins."""
    stand_ins = {"claude": "agent_fake_claude.py", "codex": "agent_fake_codex.py", "python3": None}
    for name, program in stand_ins.items():
        place = tmp_path / "bin" / name
        place.parent.mkdir(exist_ok=True)
        called = sys.executable if program is None else f"{sys.executable} {PROGRAMS / program}"
        place.write_text(f'#!/bin/sh\nexec {called} "$@"\n')
        place.chmod(0o755)
    (tmp_path / "agents").mkdir()
    shutil.copy(PROGRAMS / "agent_script.py", tmp_path / "agents" / "triage.py")
    keys = {"ANTHROPIC_API_KEY": "no-key", "CODEX_API_KEY": "no-key"}
    return {**keys, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}


def roll(settings: dict[str, object], root: Path, environ: dict[str, str], task: str = "my card") -> Produced:
    agent = CommandAgent(msgspec.convert(settings, CommandSettings), root, environ)
    return asyncio.run(agent.rollout(RUNBOOK, task, "0"))


def verdicts(left: Left | None, *checks: dict[str, object]) -> list[str]:
    return [
        examine(msgspec.convert(check, Check), output="", reference=None, left=left).result
        for check in checks
    ]


def test_claude_answers_on_stdout_and_its_transcript_is_read(tmp_path: Path, environ: dict[str, str]) -> None:
    produced = roll(recipe("Claude Code"), tmp_path, environ)
    assert produced.output == '{"answer": "card"}'
    steps = {"kind": "max_steps", "value": 2}
    read, write = ({"kind": "tool_called", "value": name} for name in ("Read", "Write"))
    assert verdicts(produced.left, {"kind": "exit_code"}, steps, read, write) == [
        "pass",
        "pass",
        "pass",
        "fail",
    ]


def test_claude_without_a_key_leaves_no_output_and_says_why(tmp_path: Path, environ: dict[str, str]) -> None:
    without = recipe("Claude Code") | {"environment": []}
    produced = roll(without, tmp_path, environ)
    assert produced.output is None
    assert produced.left is not None
    assert "Please run /login" in str(produced.left.reason)


def test_codex_leaves_its_answer_in_a_file_and_its_steps_on_stdout(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    produced = roll(recipe("Codex"), tmp_path, environ, "no word of it")
    assert produced.output == '{"answer": "other"}'
    shell = {"kind": "tool_called", "value": "shell"}
    assert verdicts(produced.left, shell, {"kind": "file_exists", "value": "answer"}) == ["pass", "pass"]


@pytest.mark.parametrize("isolated", [False, True])
def test_a_script_of_ones_own_leaves_results_and_a_trajectory(
    tmp_path: Path, environ: dict[str, str], isolated: bool
) -> None:
    settings = recipe("A script of your own")
    if isolated:
        if any(PROJECT.is_relative_to(hidden) for hidden in bubblewrap.HIDDEN):
            pytest.skip(f"NOT TRIED, isolation by bubblewrap: it hides {PROJECT}, of which the stand-in is")
        try:
            bubblewrap.bubblewrap(environ["PATH"])
        except NoIsolation as reason:
            pytest.skip(f"NOT TRIED, isolation by bubblewrap: {reason}")
    else:
        del settings["isolate"]
    produced = roll(settings, tmp_path, environ)
    assert json.loads(produced.output or "") == {"note.md": "# card\n", "queue": "card"}
    called = {"kind": "tool_sequence", "values": ["look_up"]}
    assert verdicts(produced.left, called, {"kind": "file_exists", "value": "*.md"}) == ["pass", "pass"]


def test_the_page_names_the_settings_and_their_defaults() -> None:
    for key in COMMAND_KEYS:
        assert f"`{key}" in PAGE or f"{key}:" in PAGE, key
    defaults = CommandSettings(argv=("a",))
    for name in ("seconds", "output_bytes", "processes"):
        assert f"| `{name}` | {getattr(defaults, name):g} |".replace("1e+07", "10000000") in PAGE


def test_the_criteria_of_the_page_can_be_read() -> None:
    section = PAGE.split("programs of your own:")[1]
    found = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert found is not None
    criteria = read_plain_yaml(found[1].encode(), "agents.md")["criteria"]
    assert [msgspec.convert(criterion["check"], Check) for criterion in criteria]
