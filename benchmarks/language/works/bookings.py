"""Extraction to JSON with two criteria: what a courier's desk books for a message, by kinds it must learn."""

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
FIELDS = {"vehicle": VEHICLES, "window": WINDOWS}

OPENINGS = (
    "{}, {}; please fetch {}, {}; we have {} to go across town, {}; could you bring {} to my sister, {}"
)

SEED = """\
# Book deliveries

Read the message and fill in the booking.

## Vehicle

The vehicle is bike, van, cooler or truck. Choose what fits the message.

Message: a letter to the town hall
vehicle: bike

## Window

The window is early, midday or late. Choose what fits the message.

Message: it is wanted at lunch time
window: midday
"""


def bookings(random_seed: int) -> Spoken:
    """Draw messages; each holds what decides the two fields, in any order."""
    chance = random.Random(f"bookings {random_seed}")
    slots = tuple(Slot(name, tuple(values), name.capitalize()) for name, values in FIELDS.items())
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
    goods, window = (either(chance, FIELDS[name][truth[name]]) for name in FIELDS)
    said = either(chance, OPENINGS).format(goods, window)
    return f"{said[0].upper()}{said[1:]}.", truth


def _told(filled: Sequence[str]) -> str:
    return json.dumps(dict(zip(FIELDS, filled, strict=True)))


def _judge(output: str | None, reference: Any) -> Judgement:  # noqa: ANN401 - a work's own form
    return fields_judge(answers(output), reference)
