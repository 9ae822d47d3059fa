"""A runbook with conventions that only the references know: limits, exceptions, and who is told."""

import json
import random
from collections.abc import Sequence
from typing import Any

from benchmarks.language.agent import Form, Slot
from benchmarks.language.works.spoken import SIZES, Spoken, either, fields_judge
from benchmarks.tasks.wording import answers, parts
from benchmarks.work import Judgement

KINDS = {
    "meal": "lunch; a dinner; breakfast in the station; a pizza; a round of coffee",
    "ride": "a taxi; a cab; the airport shuttle; a night bus; a ride across town",
    "tool": "a cordless drill; a soldering iron; a ladder; a set of screwdrivers; an angle grinder",
    "course": "a first aid course; a day of welding lessons; an evening class in Spanish; a driving lesson",
    "gift": "a bottle of wine; a bunch of flowers; a box of chocolates; a scarf; a gift basket",
    "room": "a hotel room; two nights in an inn; a bed in a guest house; a room at the fair",
}
WITH = {
    "guest": "with a customer; for the visitors from Lyon; together with our supplier; for a client",
    "alone": "for myself; on my own; just for me; while I waited",
    "crew": "for the whole crew; for all six of us; for the night shift; for the team on the roof",
}
SIZES_ = {
    "small": "about nine euros; some twelve euros; eight euros fifty; under fifteen euros",
    "large": "nearly four hundred euros; more than three hundred euros; about five hundred euros",
}
SEED = """\
# Expense desk

Read the request, decide it, and say who has to be told.

## Decision

The decision is pay, ask or refuse. Be fair to whoever asks, and careful with the money of the company.

Request: A sandwich for myself, some six euros.
decision: refuse

## Told

Told is nobody, manager, finance or safety. Tell those who have to know.

Request: A sandwich for myself, some six euros.
told: nobody
"""


def expenses(random_seed: int) -> Spoken:
    """Draw requests; their kind, company and size decide by the conventions below."""
    chance = random.Random(f"expenses {random_seed}")
    slots = (
        Slot("decision", ("pay", "ask", "refuse"), "Decision"),
        Slot("told", ("nobody", "manager", "finance", "safety"), "Told"),
    )
    return Spoken(
        name=f"expenses-{random_seed}",
        seed=SEED,
        parts=parts(lambda: _case(chance), SIZES),
        form=Form("Request", slots),
        told=_told,
        judge=_judge,
    )


def convention(kind: str, company: str, size: str) -> dict[str, str]:
    """Give the decision and who is told: what no text says, and people know."""
    if kind == "tool":  # what cuts or burns goes by safety, whatever it costs
        return {"decision": "pay" if size == "small" else "ask", "told": "safety"}
    if kind == "gift":  # gifts are finance's, for tax; never for oneself
        return {"decision": "refuse" if company == "alone" else "pay", "told": "finance"}
    if kind == "course":
        return {"decision": "ask", "told": "manager"}
    if kind == "meal" and company == "alone":
        return {"decision": "refuse", "told": "nobody"}
    if size == "large":
        return {"decision": "ask", "told": "finance" if kind == "room" else "manager"}
    return {"decision": "pay", "told": "nobody"}


def _case(chance: random.Random) -> tuple[str, dict[str, str]]:
    kind, company, size = (chance.choice(sorted(each)) for each in (KINDS, WITH, SIZES_))
    said = f"{either(chance, KINDS[kind])} {either(chance, WITH[company])}"
    text = f"{said[0].upper()}{said[1:]}, {either(chance, SIZES_[size])}."
    return text, convention(kind, company, size)


def _told(filled: Sequence[str]) -> str:
    return json.dumps(dict(zip(("decision", "told"), filled, strict=True)))


def _judge(output: str | None, reference: Any) -> Judgement:  # noqa: ANN401 - a work's own form
    return fields_judge(answers(output), reference)
