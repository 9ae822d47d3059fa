"""Claude Code without a model: `claude -p` as docs/agents.md calls it, following the rules of CLAUDE.md.

Takes the flags of the real program that the recipe uses and refuses others, answers on stdout, and leaves a
transcript where the real one does.
"""
# ruff: noqa: T201 - a program speaks on stdout

import argparse
import json
import os
import re
import sys
import uuid
from pathlib import Path

from runbookopt.agents.rules import decide, rules

flags = argparse.ArgumentParser("claude")
flags.add_argument("-p", "--print", action="store_true")
flags.add_argument("prompt")
flags.add_argument("--output-format", choices=["text"], default="text")
flags.add_argument("--permission-mode", choices=["default", "acceptEdits", "plan", "bypassPermissions"])
flags.add_argument("--allowedTools")
flags.add_argument("--max-turns", type=int)
flags.add_argument("--model")
given = flags.parse_args()
if not os.environ.get("ANTHROPIC_API_KEY"):
    sys.exit("Invalid API key · Please run /login")

task = json.load(sys.stdin)["input"]
runbook = Path("CLAUDE.md").read_text()
answer = json.dumps({"answer": decide(rules(runbook), str(task)).answer})

session, here = str(uuid.uuid4()), Path.cwd()
place = Path.home() / ".claude" / "projects" / re.sub(r"[^A-Za-z0-9]", "-", str(here)) / f"{session}.jsonl"
place.parent.mkdir(parents=True)
common = {"sessionId": session, "cwd": str(here), "version": "2.0.0", "isSidechain": False}
read = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"file_path": str(here / "CLAUDE.md")}}
result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": runbook}
model = given.model or "sonnet"
lines = [
    {"type": "summary", "summary": "A ticket", "leafUuid": "4"},
    {"type": "user", "uuid": "1", "message": {"role": "user", "content": given.prompt}},
    {
        "type": "assistant",
        "uuid": "2",
        "message": {
            "id": "msg_1",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": "First"}],
        },
    },
    {
        "type": "assistant",
        "uuid": "3",
        "message": {"id": "msg_1", "role": "assistant", "model": model, "content": [read]},
    },
    {"type": "user", "uuid": "4", "message": {"role": "user", "content": [result]}},
    {
        "type": "assistant",
        "uuid": "5",
        "message": {
            "id": "msg_2",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": answer}],
        },
    },
]
place.write_text("".join(json.dumps({**common, **line}) + "\n" for line in lines))
print(answer)
