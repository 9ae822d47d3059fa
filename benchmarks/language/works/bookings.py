"""Extraction to JSON with three criteria: what a courier's desk books for a message, by kinds it must learn."""

import json
import random
from collections.abc import Sequence
from typing import Any

from benchmarks.language.agent import Form, Slot
from benchmarks.language.works.spoken import SIZES, Spoken, either, fields_judge
from benchmarks.tasks.wording import answers, parts
from benchmarks.work import Judgement

VEHICLES = {
    "bike": """
        a set of keys; two contracts to be signed; a small envelope; a birthday card; a memory stick;
        a folder with invoices; a passport; some blood samples; a pair of glasses""",
    "van": """
        an armchair; three boxes of books; a washing machine; a bicycle; a large mirror; eight crates of
        wine; a chest of drawers; a flat television; a rolled carpet""",
    "cooler": """
        a wedding cake; two boxes of fresh fish; forty sandwiches; a tray of sushi; ice cream for a party;
        a crate of oysters; insulin for a patient; cheese from the dairy; cut flowers""",
    "truck": """
        four pallets of tiles; a grand piano; half a ton of gravel; the stage for a festival; twelve
        desks; a small boat; a pallet of cement; a garden shed; the machines of a bakery""",
}
WINDOWS = {
    "early": """
        before breakfast; at half past six; when the bakery opens; as the first thing in the day; before
        the children go to school; at seven sharp""",
    "midday": """
        around noon; in the lunch break; at half past twelve; when the midday bell rings; about one o'clock;
        between the morning meeting and two""",
    "late": """
        after work; when the shop has closed; around eight in the evening; after the news; once the
        children are in bed; at nine at night""",
}
PAYERS = {
    "sender": """
        I pay it here in cash; charge my own card; the cost is on me; put it on our account; I settle it
        when you collect""",
    "receiver": """
        they pay at the door; the customer there takes the bill; charge whoever opens; the cost is theirs;
        my aunt pays when it arrives""",
    "insurance": """
        the insurer covers it after the flood; claim number follows; it is a damage case; the policy takes
        the cost; the loss adjuster knows of it""",
}
FIELDS = {"vehicle": VEHICLES, "window": WINDOWS, "payer": PAYERS}

OPENINGS = "please fetch {}; we have {} to be taken across town; could you bring {} to my sister; it is about {}"
PLACES = "to the harbour; to the old mill; across the river; to the clinic; to platform two; to the north gate"

SEED = """\
# Book deliveries

Read the message and fill in the booking: the vehicle, the window of time, and who is the payer.

## What to fill in

The vehicle is bike, van, cooler or truck. The window is early, midday or late. The payer is sender, receiver or
insurance. Choose what fits the message.

## Examples

Message: Please fetch a letter to the town hall. It is wanted around noon. I pay it here in cash.
vehicle: bike
window: midday
payer: sender
"""


def bookings(random_seed: int) -> Spoken:
    """Draw messages; each holds what decides the three fields, in any order."""
    chance = random.Random(f"bookings {random_seed}")
    slots = tuple(Slot(name, tuple(values)) for name, values in FIELDS.items())
    return Spoken(
        name=f"bookings-{random_seed}",
        seed=SEED,
        parts=parts(lambda: _case(chance), SIZES),
        form=Form("Message", slots),
        told=_told,
        judge=_judge,
    )


def _case(chance: random.Random) -> tuple[str, dict[str, str]]:
    truth = {name: chance.choice(sorted(values)) for name, values in FIELDS.items()}
    goods, window, payer = (either(chance, FIELDS[name][truth[name]]) for name in FIELDS)
    sentences = [
        f"{either(chance, OPENINGS).format(goods)} {either(chance, PLACES)}",
        f"it is wanted {window}",
        payer,
    ]
    chance.shuffle(sentences)
    return " ".join(f"{one[0].upper()}{one[1:]}." for one in sentences), truth


def _told(filled: Sequence[str]) -> str:
    return json.dumps(dict(zip(FIELDS, filled, strict=True)))


def _judge(output: str | None, reference: Any) -> Judgement:  # noqa: ANN401 - a work's own form
    return fields_judge(answers(output), reference)
