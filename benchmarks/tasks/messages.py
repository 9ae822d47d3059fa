"""Text classification: any CSV of messages and labels, from a runbook with no rules or with one a label."""

import csv
import random
from pathlib import Path

from msgspec import Struct

from benchmarks.pair import reflector_named
from benchmarks.work import Case, Judgement, Work
from runbookopt.agents.offline_agent import OfflineAgent
from runbookopt.documents import runbook as runbooks
from runbookopt.evidence.words import normalised
from runbookopt.verifier.checks import Equals
from runbookopt.verifier.rubric import Criterion, Rubric, assess

RUBRIC = Rubric((Criterion("right-label", Equals(path="$.label", reference="$.label")),))


class Sizes(Struct, frozen=True):
    """How many labels are drawn, and how many messages stand in each part at most."""

    labels: int = 10
    train: int = 60
    validation: int = 40
    held_out: int = 400


def messages(
    file: Path,
    sizes: Sizes,
    random_seed: int,
    *,
    warm: bool = False,
    reflector: str = "offline",
    noise: float = 0,
) -> Work:
    """Draw labels and messages of a CSV with the columns `text` and `label`; each message occurs once."""
    chance = random.Random(random_seed)
    with file.open(encoding="utf-8", newline="") as rows:
        told = {normalised(row["text"]): row for row in csv.DictReader(rows)}
    labels = chance.sample(sorted({row["label"] for row in told.values()}), sizes.labels)
    drawn = [row for row in told.values() if row["label"] in labels]
    chance.shuffle(drawn)
    cases = [Case(f"m-{number}", row["text"], {"label": row["label"]}) for number, row in enumerate(drawn)]
    first, second = sizes.train, sizes.train + sizes.validation
    kind = f"{sizes.labels} labels, {'warm' if warm else 'cold'}, {reflector}"
    return Work(
        name=kind,
        seed=runbooks.parse(_runbook(labels if warm else [])),
        train=tuple(cases[:first]),
        validation=tuple(cases[first:second]),
        held_out=tuple(cases[second : second + sizes.held_out]),
        agent=OfflineAgent("label", noise, random_seed),
        reflector=reflector_named(reflector, random_seed),
        judge=judge,
    )


def judge(output: str | None, reference: object) -> Judgement:
    """Judge an answered label."""
    found = assess(RUBRIC, output=output, reference=reference)
    return Judgement(found.score, found.objectives, found.feedback)


def _runbook(labels: list[str]) -> str:
    """Give a runbook whose rules know nothing but the names of the labels."""
    rules = [
        f'- If the message mentions "{words}" or "{words.split()[-1]}", answer `{label}`.'
        for label, words in ((label, label.replace("_", " ")) for label in labels)
    ]
    return "\n".join(["## Rules", "", *rules, "- Otherwise answer `unknown`.", ""])
