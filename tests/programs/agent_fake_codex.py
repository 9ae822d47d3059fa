"""Codex without a model: `codex exec` as docs/agents.md calls it, following the rules of AGENTS.md.

Takes the flags of the real program that the recipe uses and refuses others, writes its events to stdout and
its last message to a file.
"""
# ruff: noqa: T201 - a program speaks on stdout

import argparse
import json
import os
import sys
from pathlib import Path

from runbookopt.agents.rules import decide, rules

flags = argparse.ArgumentParser("codex")
flags.add_argument("command", choices=["exec"])
flags.add_argument("--json", action="store_true")
flags.add_argument("--ephemeral", action="store_true")
flags.add_argument("--skip-git-repo-check", action="store_true")
flags.add_argument("--sandbox", "-s", choices=["read-only", "workspace-write", "danger-full-access"])
flags.add_argument("--output-last-message", "-o")
flags.add_argument("--model", "-m")
flags.add_argument("prompt")
given = flags.parse_args()
if not given.skip_git_repo_check and not Path(".git").exists():
    sys.exit("Not inside a trusted directory and --skip-git-repo-check was not specified.")
if not os.environ.get("CODEX_API_KEY"):
    sys.exit("401 Unauthorized: Missing bearer or basic authentication in header")

task = json.load(sys.stdin)["input"]
runbook = Path("AGENTS.md").read_text()
answer = json.dumps({"answer": decide(rules(runbook), str(task)).answer})
command = {"type": "command_execution", "command": "bash -lc 'cat AGENTS.md'"}
items = [
    {"type": "reasoning", "text": "**Reading the runbook**"},
    {**command, "aggregated_output": runbook, "exit_code": 0, "status": "completed"},
    {"type": "agent_message", "text": answer},
]
print(json.dumps({"type": "thread.started", "thread_id": "0199a213-81c0-7800-8aa1-bbab2a035a53"}))
print(json.dumps({"type": "turn.started"}))
for number, item in enumerate(items):
    if item["type"] == "command_execution":
        begun = {"id": f"item_{number}", **command, "status": "in_progress"}
        print(json.dumps({"type": "item.started", "item": begun}))
    print(json.dumps({"type": "item.completed", "item": {"id": f"item_{number}", **item}}))
usage = {"input_tokens": 24763, "cached_input_tokens": 24448, "output_tokens": 122}
print(json.dumps({"type": "turn.completed", "usage": usage}))
Path(given.output_last_message).write_text(answer)
