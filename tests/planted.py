"""A repository with one runbook, `desk`, that the offline pair soon makes better: its rules know one word."""

import json

RUNBOOK = """---
name: desk
version: 1.0.0
---
# Desk

## Rules
- If the message mentions "card", answer `cards`
- Otherwise `front`

## Escalation
Call the lead.
"""
RUBRIC = """criteria:
  - id: right-desk
    check: {kind: equals, path: $.answer, reference: $.answer}
"""
TRUST = "trust: {trajectories/desk/*.jsonl: internal}\n"
POLICY = f"merge: auto\nauto_merge_if: {{growth_at_most: 9, forms: any}}\n{TRUST}"
WORDS = {"card": "cards", "parcel": "post", "password": "access", "invoice": "money"}
PARTS = {"train": 24, "validation": 24, "held-out": 60}


def task(number: int, split: str) -> dict[str, object]:
    word = list(WORDS)[number % len(WORDS)]
    odd = split == "train" and number % 8 == 1  # what no rule for its word can set right
    told = f"{'odd' if odd else 'dear'} desk, {word} number {number} please"
    return {"input": told, "reference": {"answer": "cards" if odd else WORDS[word]}, "split": split}


def trajectories(held_out: int = PARTS["held-out"]) -> list[dict[str, object]]:
    """Give a task a line, nothing else: all has to be rolled out."""
    parts = [part for part, count in (PARTS | {"held-out": held_out}).items() for _ in range(count)]
    return [
        {"id": f"t-{number}", "task": task(number, part), "trust": "internal"}
        for number, part in enumerate(parts)
    ]


def lines(records: list[dict[str, object]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def files(**more: str) -> dict[str, str]:
    """Give the files; `more` are other ones of the runbook (rubric, policy, trajectories)."""
    return {
        "runbooks/desk/RUNBOOK.md": RUNBOOK,
        "runbooks/desk/rubric.yaml": more.get("rubric", RUBRIC),
        "runbooks/desk/policy.yaml": more.get("policy", POLICY),
        "trajectories/desk/all.jsonl": more.get("trajectories", lines(trajectories())),
    }
