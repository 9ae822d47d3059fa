"""Free text, judged in sentences that all differ: a letter of two sentences, each chosen by the model.

A base model of this size writes no letter; it says which of a few sentences comes next, and what comes of it
is judged.
"""

import random
from collections.abc import Sequence
from typing import Any

from benchmarks.language.agent import Form, Slot
from benchmarks.language.works.spoken import SIZES, Spoken, either
from benchmarks.tasks.wording import parts
from benchmarks.work import Judgement
from runbookopt.documents.digest import digest_of

CAUSES = {
    "A new one is on its way to you.": """
        the kettle arrived in pieces; the lamp is cracked; half of the screws are missing; the shirt has a
        hole; the screen stays black; the cup lost its handle; the zip broke on the first day; the mirror
        is scratched""",
    "Our driver will collect it from you.": """
        you sent two beds instead of one; this wardrobe is not ours; the sofa is too big for the door; a
        stranger's treadmill stands in our hall; the fridge is the wrong colour; we never ordered this
        table; the desk came twice; I changed my mind about the chair""",
    "Please read the page that we enclose.": """
        how do I descale it; which battery does the clock take; can I wash the blanket at sixty; how is
        the shelf put together; what does the red light mean; does the tent fold in one piece; where do I
        fill in the water; is there a dimmer for the lamp""",
    "Thank you for your kind words.": """
        the repair was quick and free; your driver carried it up four floors; the new model is a joy; my
        mother loves the chair; we never had such good advice; the parcel was wrapped with care; it works
        like a dream; you saved our holiday""",
}
HANDS = {
    "Yours faithfully, the service desk": """
        Dear Sir or Madam, {}. Dr. Heller, solicitor; To whom it may concern: {}. The board of the
        society; For the attention of the manager: {}. Prof. Lindqvist; Our reference 44/B: {}. The town
        council; Dear Mr. Holm, {}. Respectfully, A. Stein; Gentlemen, {}. The embassy""",
    "With warm wishes, your team": """
        Hi there! {}. Cheers, Mia; Hello you lovely people, {}. Hugs from Ben; Hey, {}! Tom; Morning
        dears, {}. Your old customer Rosa; Hi folks, {} :) Lou; Hello again, {}. See you soon, Pat""",
}
SAYS = {
    "reply": """
        What happens next is wrong, here we say "{}"; The matter itself is not settled, "{}" would settle
        it; In such a case the desk always writes "{}"; This leaves the person stuck, who should read
        "{}"; The remedy misses the point, and "{}" does not; Not the step that we take here: ours is
        "{}"; I would have begun with "{}"; Read the letter again, it calls for "{}" """,
    "close": """
        The last line is out of tone with the letter, "{}" answers such a hand; One does not sign off like
        that to somebody who writes so: "{}" it should be; Farewell and letter do not match, "{}" would;
        The ending jars, we would put "{}"; Sign this one with "{}"; Whoever writes like this is used to
        "{}" """,
}

SEED = """\
# Answer letters

Read the letter and answer it: what happens next, and a close.

## Reply

The desk writes one of these: {replies} Choose the one that fits.

Letter: my order came late
Reply: Thank you for your kind words.

## Close

The desk closes with one of these: {closes}. Choose the one that fits.

Letter: Good evening
Close: With warm wishes, your team
"""


def letters(random_seed: int) -> Spoken:
    """Draw letters; what happened decides the reply, and who writes the close."""
    chance = random.Random(f"letters {random_seed}")
    return Spoken(
        name=f"letters-{random_seed}",
        seed=SEED.format(replies=" ".join(CAUSES), closes="; ".join(HANDS)),
        parts=parts(lambda: _case(chance), SIZES),
        form=Form("Letter", (Slot("Reply", tuple(CAUSES), "Reply"), Slot("Close", tuple(HANDS), "Close"))),
        told=_told,
        judge=judge,
    )


def judge(output: str | None, reference: Sequence[str]) -> Judgement:
    """Judge a letter as people do, each time in other words; a sentence that fits is worth a half."""
    text = output or ""
    wanted = dict(zip(SAYS, reference, strict=True))
    wrong = [name for name, sentence in wanted.items() if sentence not in text]
    chance = random.Random(digest_of([text, reference]))
    return Judgement(
        score=1 - len(wrong) / len(wanted),
        objectives={name: float(name not in wrong) for name in wanted},
        feedback=tuple(either(chance, SAYS[name]).format(wanted[name]) for name in wrong),
    )


def _case(chance: random.Random) -> tuple[str, Any]:
    reply, close = chance.choice(sorted(CAUSES)), chance.choice(sorted(HANDS))
    return either(chance, HANDS[close]).format(either(chance, CAUSES[reply])), [reply, close]


def _told(filled: Sequence[str]) -> str:
    return " ".join(filled)
