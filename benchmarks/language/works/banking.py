"""Sorting by labels: Banking77 messages and twelve of its labels, from a runbook that names them alone."""

import csv
import random
from pathlib import Path

from benchmarks.language.agent import Form, Slot
from benchmarks.language.works.spoken import SIZES, Spoken
from benchmarks.tasks.wording import Parts
from benchmarks.work import Case, Judgement
from runbookopt.evidence.words import normalised

LABELS, EXAMPLES = 12, 3

SEED = """\
# Sort messages

Read the message of a customer of the bank and give the one topic that it belongs to.

The topics: {labels}.

## How to choose

Think about what the customer wants. Choose the topic that fits best.

## Examples

{examples}
"""


def banking(file: Path, random_seed: int) -> Spoken:
    """Draw labels whose first words differ, and their messages; each occurs once."""
    chance = random.Random(random_seed)
    with file.open(encoding="utf-8", newline="") as rows:
        told = {normalised(row["text"]): row for row in csv.DictReader(rows)}
    every = sorted({row["label"] for row in told.values()})
    chance.shuffle(every)
    labels = sorted({label.casefold().split("_")[0]: label for label in every}.values(), key=every.index)
    labels = sorted(labels[:LABELS])
    drawn = [row for row in told.values() if row["label"] in labels]
    chance.shuffle(drawn)
    cases = [Case(f"m-{number}", row["text"].strip(), row["label"]) for number, row in enumerate(drawn)]
    shown = list({case.reference: case for case in reversed(cases[:40])}.values())[:EXAMPLES]
    left = [case for case in cases if case not in shown]
    examples = "\n\n".join(f"Message: {case.input}\nAnswer: {case.reference}" for case in shown)
    first, second = SIZES.train, SIZES.train + SIZES.validation
    return Spoken(
        name=f"banking-{random_seed}",
        seed=SEED.format(labels=", ".join(labels), examples=examples),
        parts=Parts(
            tuple(left[:first]), tuple(left[first:second]), tuple(left[second : second + SIZES.held_out])
        ),
        form=Form("Message", (Slot("Answer", tuple(labels)),)),
        told=lambda filled: filled[0],
        judge=judge,
        others={case.id: case.input for case in (*shown, *left[:second])},
    )


def judge(output: str | None, reference: str) -> Judgement:
    """Judge an answered label."""
    right = output == reference
    feedback = () if right else (f"expected {reference}, got {output}",)
    return Judgement(float(right), {"topic": float(right)}, feedback)
