"""An agent of a team's own, as docs/agents.md calls it: follows a runbook's rules on one task."""
# ruff: noqa: T201 - a program speaks on stdout

import argparse
import json
import sys
from pathlib import Path

from runbookopt.agents.rules import decide, rules

flags = argparse.ArgumentParser()
flags.add_argument("--runbook", type=Path, required=True)
flags.add_argument("--results", type=Path, required=True)
given = flags.parse_args()

task = json.load(sys.stdin)["input"]
answer = decide(rules(given.runbook.read_text()), str(task)).answer
(given.results / "queue").write_text(answer)
(given.results / "note.md").write_text(f"# {answer}\n")
step = {
    "step_id": 1,
    "source": "agent",
    "message": answer,
    "tool_calls": [{"tool_call_id": "1", "function_name": "look_up", "arguments": {"ticket": task}}],
}
steps = {
    "schema_version": "ATIF-v1.7",
    "session_id": "1",
    "agent": {"name": "triage", "version": "1"},
    "steps": [step],
}
Path("trajectory.json").write_text(json.dumps(steps))
print("done")
