"""A repository whose stored outputs are labelled, and judged under today's key: nobody has to be asked."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from runbookopt.verifier.judge import author_of
from runbookopt.verifier.rubric import read_rubric

RUNBOOK = "---\nname: desk\nversion: 1.0.0\n---\n# Desk\n\n## Rules\n- Answer kindly.\n"
RUBRIC = """judge: {model: openai/gpt-5-mini}
criteria:
  - id: kind
    statement: It is kind.
    judge: "Is it kind?"
"""
WORDS = {"p": "pass", "f": "fail", "a": "error"}


def rows(tp: int, fp: int, fn: int, tn: int, abstained: int = 0) -> list[tuple[str, str]]:
    """Give so many pairs of label and verdict; "a" is an abstention."""
    return [
        *[("p", "p")] * tp,
        *[("f", "p")] * fp,
        *[("p", "f")] * fn,
        *[("f", "f")] * tn,
        *[("p", "a")] * abstained,
    ]


def lines(records: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def stored(
    by_criterion: Mapping[str, list[tuple[str, str]]],
    rubric: str = RUBRIC,
    *,
    start: int = 0,
    at: str = "2026-11-01",
) -> dict[str, str]:
    """Give trajectories and labels, one of either for each pair: all criteria have as many."""
    read = read_rubric(rubric.encode(), "rubric.yaml")
    authors = {each.id: {"kind": "llm", "id": author_of(read, each).id} for each in read.judged}
    trajectories, labels = [], []
    for number, pairs in enumerate(zip(*by_criterion.values(), strict=True), start=start):
        said = dict(zip(by_criterion, pairs, strict=True))
        trajectories.append(
            {
                "id": f"t{number}",
                "task": {"input": f"Ticket {number}: {number * 7919 % 10007} and {number * 104729 % 99991}"},
                "output": f"Answer {number}",
                "verdicts": [
                    {
                        "criterion": name,
                        "result": WORDS[verdict],
                        "by": authors[name],
                    }
                    for name, (_, verdict) in said.items()
                    if name in authors
                ],
            }
        )
        labels += [
            {
                "trajectory": f"t{number}",
                "criterion": name,
                "result": WORDS[label],
                "by": "mara",
                "at": at,
                "split": "test",
            }
            for name, (label, _) in said.items()
        ]
    return {
        f"trajectories/desk/{start}.jsonl": lines(trajectories),
        f"trajectories/desk/{start}.labels.jsonl": lines(labels),
    }


def files(by_criterion: Mapping[str, list[tuple[str, str]]], rubric: str = RUBRIC) -> dict[str, str]:
    return {
        "runbooks/desk/RUNBOOK.md": RUNBOOK,
        "runbooks/desk/rubric.yaml": rubric,
        **stored(by_criterion, rubric),
    }
