"""Free text, judged in sentences that all differ: a letter of three sentences, each chosen by the model.

A base model of this size writes no letter; it says which of a few sentences comes next, and the text is judged.
"""

import random
from collections.abc import Sequence
from typing import Any

from benchmarks.language.agent import Form, Slot
from benchmarks.language.works.spoken import SIZES, Spoken, either
from benchmarks.tasks.wording import parts
from benchmarks.work import Judgement
from runbookopt.documents.digest import digest_of

OPENINGS = {
    "thanks": "Thank you for your kind words.",
    "sorry": "Sorry for the trouble we caused.",
    "question": "Good that you ask.",
}
STEPS = {
    "replace": "A new one is on its way to you.",
    "collect": "Our driver collects it at your door.",
    "explain": "Please read the page that we enclose.",
    "nothing": "You need do nothing more.",
}
CLOSES = {
    "formal": "Yours faithfully, the service desk",
    "warm": "With warm wishes, your team",
}
PARTS = (OPENINGS, STEPS, CLOSES)

CAUSES = {
    ("sorry", "replace"): """
        the kettle arrived in pieces; the lamp is cracked; half of the parts are missing; the shirt has a hole;
        the screen is black since the first day; the cup lost its handle""",
    ("sorry", "collect"): """
        you sent two beds instead of one; this wardrobe is not ours; the sofa is too big for the door; a
        neighbour's treadmill stands in our hall; the fridge is the wrong colour""",
    ("question", "explain"): """
        how do I descale it; which battery does the clock take; can I wash the blanket at sixty; how is the
        shelf put together; what does the red light mean; does the tent fold in one piece""",
    ("thanks", "nothing"): """
        the repair was quick and free; your driver carried it up four floors; the new model is a joy; my mother
        loves the chair; never had such good advice; the parcel was wrapped with care""",
    ("thanks", "explain"): """
        what a fine machine, though I would like to know more of it; lovely lamp, is there a dimmer for it;
        great tent, and how do I store it in winter""",
}
HANDS = {
    "formal": """
        Dear Sir or Madam, {}. Regards, Dr. Heller, solicitor; To whom it may concern: {}. The board of the
        housing society; For the attention of the manager: {}. Prof. Lindqvist; Our reference 44/B. {}. The
        town council""",
    "warm": """
        Hi there! {}. Cheers, Mia; Hello you lovely people, {}. Hugs from Ben and the kids; hey, {}! Tom; Good
        morning dears, {}. Your old customer Rosa""",
}

ASIDES = """
    it was delivered on Monday; we live on the third floor; order 4417; it was meant for my father; as I told your
    shop in Leeds; we moved in May; I saw it in your window; my wife chose it; customer since 1998; it came by post;
    I write from Cork; before Easter"""
"""What decides nothing."""

SAYS = {
    "opening": """
        Whoever wrote this wanted to be met with "{}"; The first sentence misses the mood: "{}" would have been
        the way to begin; I would have begun with "{}"; A reader in this state of mind expects "{}" up front;
        It sets off on the wrong foot, for "{}" is how we answer such a letter; Read the letter again: it calls
        for "{}" """,
    "step": """
        What happens next is wrong: here we say "{}"; The matter itself is not settled; "{}" would settle it;
        In such a case the desk always writes "{}"; This leaves the person stuck, who should read "{}"; The
        remedy does not fit the complaint, "{}" does; Not the step we take here. Ours is "{}" """,
    "close": """
        The last line is out of tone with the letter: "{}" answers such a hand; One does not sign off like that
        to somebody who writes so; "{}" it should be; Farewell and letter do not match, "{}" would; The ending
        jars; we would put "{}"; Sign this one with "{}" """,
}

SEED = """\
# Answer letters

Read the letter and answer it in three sentences: an opening, what happens next, and a close.

## What to write

Openings: {openings}

Next: {steps}

Closes: {closes}

Be polite, and choose the sentences that fit the letter.

## Examples

Letter: Good evening. My order came late. Anna
Opening: Sorry for the trouble we caused.
Next: You need do nothing more.
Close: With warm wishes, your team
"""


def letters(random_seed: int) -> Spoken:
    """Draw letters; what happened decides the first two sentences, and who writes the last one."""
    chance = random.Random(f"letters {random_seed}")
    names = ("Opening", "Next", "Close")
    told = {key: " / ".join(part.values()) for key, part in zip(("openings", "steps", "closes"), PARTS, strict=True)}
    return Spoken(
        name=f"letters-{random_seed}",
        seed=SEED.format(**told),
        parts=parts(lambda: _case(chance), SIZES),
        form=Form("Letter", tuple(Slot(name, tuple(part.values())) for name, part in zip(names, PARTS, strict=True))),
        told=_told,
        judge=judge,
    )


def judge(output: str | None, reference: Any) -> Judgement:  # noqa: ANN401 - a work's own form
    """Judge a letter as people do, each time in other words; a sentence that fits is worth a third."""
    text = output or ""
    wanted = dict(zip(SAYS, reference, strict=True))
    wrong = [name for name, sentence in wanted.items() if sentence not in text]
    chance = random.Random(digest_of([text, reference]))
    return Judgement(
        score=1 - len(wrong) / len(wanted),
        objectives={name: float(name not in wrong) for name in wanted},
        feedback=tuple(either(chance, SAYS[name]).format(wanted[name]) for name in wrong),
    )


def _case(chance: random.Random) -> tuple[str, list[str]]:
    opening, step = chance.choice(sorted(CAUSES))
    hand = chance.choice(sorted(HANDS))
    said = f"{either(chance, CAUSES[opening, step])}, {either(chance, ASIDES)}"
    return either(chance, HANDS[hand]).format(said), [
        OPENINGS[opening],
        STEPS[step],
        CLOSES[hand],
    ]


def _told(filled: Sequence[str]) -> str:
    return " ".join(filled)
