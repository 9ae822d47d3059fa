import csv
import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from runbookopt.agents.offline_agent import OfflineAgent
from runbookopt.agents.offline_reflector import OfflineReflector
from runbookopt.documents.settings import Budget, Settings
from runbookopt.evidence.words import normalised
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.optimize import optimize
from runbookopt.jobs.prepare import Job
from runbookopt.jobs.result import Result

MESSAGES = Path(__file__).parents[2] / "../shared/data/messages/banking77.csv"
PARTS = ["train"] * 60 + ["validation"] * 40 + ["held-out"] * 200
RUBRIC = """criteria:
  - id: right-intent
    check: {kind: equals, path: $.intent, reference: $.intent}
"""


def intents(rng: random.Random, count: int = 10) -> dict[str, list[str]]:
    """Draw intents with their messages, each message once."""
    with MESSAGES.open(encoding="utf-8") as file:
        rows = {normalised(row["text"]): row for row in csv.DictReader(file)}
    by_intent: dict[str, list[str]] = {}
    for row in rows.values():
        by_intent.setdefault(row["label"], []).append(row["text"])
    return {intent: by_intent[intent] for intent in rng.sample(sorted(by_intent), count)}


def seed_runbook(names: Sequence[str]) -> str:
    """Give a first draft: three rules, made of nothing but the names of three intents."""
    items = [
        f'- If the message mentions "{name.replace("_", " ")}" or "{name.split("_")[-1]}", answer `{name}`.'
        for name in names[:3]
    ]
    return "\n".join(["# Intents", "", "## Rules", "", *items, "- Otherwise answer `unknown`.", ""])


def evidence(drawn: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    """Give 300 messages with their intents, each assigned to a part."""
    told = [(text, intent) for intent, texts in drawn.items() for text in texts]
    chosen = zip(rng.sample(told, len(PARTS)), PARTS, strict=True)
    lines = [
        {"id": f"m-{number}", "task": {"input": text, "reference": {"intent": intent}, "split": part}}
        for number, ((text, intent), part) in enumerate(chosen)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def problem(random_seed: int) -> dict[str, str]:
    rng = random.Random(random_seed)
    drawn = intents(rng)
    return {
        "runbooks/intents/RUNBOOK.md": seed_runbook(list(drawn)),
        "runbooks/intents/rubric.yaml": RUBRIC,
        "trajectories/intents/messages.jsonl": evidence(drawn, rng),
    }


def optimized(root: Path, random_seed: int) -> Result:
    settings = Settings(budget=Budget(rollouts=3000), random_seed=random_seed, stop_early=False)
    agent, reflector = OfflineAgent("intent"), OfflineReflector(random_seed)
    job = Job("intents", settings, agent, reflector, "2026-11-01T00:00:00Z", propose=False)
    with Repository.open(root) as repository:
        return optimize(repository, job)


def gained(result: Result) -> float:
    """Give the held-out gain, and print what the run came to."""
    assert result.bundle is not None
    held = result.bundle.comparison
    assert held is not None
    on, spent = result.validation, result.spent
    sys.stdout.write(
        f"{result.bundle.random_seed}: held-out {held.before:.3f} -> {held.after:.3f} of {held.tasks} tasks"
        f" (low {held.low:.3f}, p {held.p:.1g}, {result.outcome}); validation {on.before:.3f} ->"
        f" {on.after:.3f}; {spent.rollouts} rollouts, {spent.reflections} reflections,"
        f" {result.candidates} candidates, {spent.seconds:.1f} s\n"
    )
    return held.gain


@pytest.mark.slow
@pytest.mark.skipif(not MESSAGES.exists(), reason="the messages of banking77 are not here")
@pytest.mark.parametrize("seeds", [1, pytest.param(5, marks=pytest.mark.nightly)])
def test_messages_of_real_people_are_told_apart_much_better_than_before(
    repo: Callable[..., Any], seeds: int
) -> None:
    roots = [repo(problem(random_seed), f"seed-{random_seed}").root for random_seed in range(seeds)]
    gains = [gained(optimized(root, random_seed)) for random_seed, root in enumerate(roots)]
    assert fmean(gains) >= 0.15
