"""Work for a language model: a runbook, tasks in three parts, the form of an answer, and its judge."""

import random
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from benchmarks.language.agent import Form, Told
from benchmarks.tasks.wording import Parts, Sizes
from benchmarks.work import Judgement

SIZES = Sizes(train=60, validation=50, held_out=200)


class Spoken(Struct, frozen=True):
    """All of a work but the models; of `others` texts, which may not be recorded, only places are kept."""

    name: str
    seed: str
    parts: Parts
    form: Form
    told: Told
    judge: Callable[[str | None, Any], Judgement]
    others: dict[str, str] = {}


def fields_judge(output: dict[str, Any], reference: dict[str, str]) -> Judgement:
    """Judge fields: the share that is right, each an objective."""
    wrong = [name for name, value in reference.items() if output.get(name) != value]
    return Judgement(
        score=1 - len(wrong) / len(reference),
        objectives={name: float(name not in wrong) for name in reference},
        feedback=tuple(f"{name}: expected {reference[name]}, got {output.get(name)}" for name in wrong),
    )


def either(chance: random.Random, words: str) -> str:
    """Draw one of some phrases, which semicolons part."""
    return chance.choice([" ".join(each.split()) for each in words.split(";")])
