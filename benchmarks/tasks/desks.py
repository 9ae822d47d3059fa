"""Triage with a runbook of four sections: each answers one field, and each failure belongs to one of them."""

import json
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from benchmarks.e86100d import ReflectorOfE86100d
from benchmarks.tasks.wording import (
    Cues,
    Sizes,
    answers,
    cues,
    drawn_lures,
    erring,
    item,
    message,
    narrowed,
    parts,
    sections,
    slip,
    some,
)
from benchmarks.work import Judgement, Work
from runbookopt.agents.protocol import Produced, Reflected, Reflector
from runbookopt.agents.rules import Rule, decide
from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import canonical, digest, digest_of
from runbookopt.search.asks import Reflection, ReflectionFailure

OTHERWISE = {"queue": "general", "priority": "normal", "tone": "neutral", "follow-up": "none"}
"""The fields, and what each is where nothing in a message says more."""

CUES: Mapping[str, Mapping[str, str]] = {
    "queue": {
        "billing": """
            I was (charged|billed) (twice|two times|double) for it; the invoice (shows|has|gives) the
            wrong (total|sum|amount); there is a (second|strange|double) charge on my (bank
            statement|credit card|statement); you (took|debited) too much money; my (discount|voucher)
            was not (deducted|taken off) on the invoice; I need a corrected (invoice|bill)""",
        "delivery": """
            my parcel (has not arrived|never arrived|did not turn up); the (courier|driver) left the
            parcel (outside|with a stranger|in the rain); the tracking (page|link|number) (shows|says)
            nothing; the shipment is (late|delayed|overdue); nobody knows where my (shipment|package)
            is; the (courier|driver) could not find my street""",
        "account": """
            I (forgot|lost|cannot remember) my password; I am locked out of my (account|profile); my
            (login|sign in) (fails|is refused|does not work); please change the (email|name) on my
            (account|profile); somebody else uses my login; I want to (close|delete) my
            (account|profile)""",
        "returns": """
            I want to (send it back|return it); where do I find a return (label|form|slip); I would like
            a refund for it; the refund is (still missing|overdue); can I (swap|exchange) it for a
            (bigger|smaller|blue) one; it does not fit and should go back""",
        "technical": """
            your (website|app|page) (crashes|freezes|hangs); the checkout (page|button) does not
            (load|respond); I get an error (code|message) at checkout; the refund page (crashes|does not
            load); the app shows a blank (screen|page); the login page (freezes|hangs|is blank)""",
        "repair": """
            it (broke|stopped working|died) after a week; the (switch|motor|handle) is
            (broken|faulty|loose); it makes a (grinding|burning|strange) (noise|smell); it is still
            under (guarantee|warranty) and faulty; a spare (part|switch|handle) would do; the display
            (flickers|is cracked)""",
    },
    "priority": {
        "urgent": """
            this is (very|really|extremely) urgent; I need (it|this) solved (today|immediately|within
            the hour); please (hurry|be quick), we leave for the airport; the wedding is tomorrow; it is
            an emergency; the deadline is tonight; we cannot (work|open the shop) until it is solved""",
        "low": """
            there is no (rush|hurry); whenever you find a (minute|moment) is fine; it is not urgent at
            all; it can (easily wait|wait until summer); (just|only) a small remark; answer at your
            leisure""",
    },
    "tone": {
        "sorry": """
            I am (deeply|very|bitterly) disappointed; this is the third complaint already; you have let
            me down; I am (fed up|annoyed) with your service; my holiday was ruined; what a
            (terrible|miserable) experience""",
        "firm": """
            my (lawyer|solicitor) will (write|be in touch); I will (report|denounce) you to trading
            standards; I shall dispute it at the (court|ombudsman); otherwise I take legal
            (action|steps); the press will (love|hear) this story""",
        "warm": """
            I (love|adore) your shop; I have been a (loyal|happy) customer for years; your team is
            (wonderful|fantastic|lovely); keep up the (great|excellent) work; what a (wonderful|lovely)
            service so far""",
    },
    "follow-up": {
        "call": """
            please (ring|phone|call) me back; give me a (ring|call) after lunch; I would rather
            (talk|speak) on the phone; my (mobile|phone) number has not changed; I (hate typing|cannot
            type well)""",
        "letter": """
            send me a (letter|written answer) by post; I need it in writing with a (stamp|signature); my
            (insurer|landlord) wants a (signed|printed) answer; I have no (internet|computer) at home; a
            paper copy would be best""",
        "visit": """
            please (send|dispatch) an engineer; could someone (come round|come over|drop in); it is too
            heavy for me to carry; I am at home every afternoon for your (technician|engineer); somebody
            must look at it on site""",
    },
}
"""Which templates tell which value of which field; which of them a world uses often is drawn."""

LURES = """
    (person) was charged for something else entirely, never mind; I found the invoice in the box; the
    parcel itself looked fine; the courier was friendly; I made an account (day); I do not use the app;
    your website says to write here; on my return from (place) I saw your note; I read the page on
    refund rules; the guarantee card is in the drawer; there was no noise in the street; it was urgent
    (day), now it is just as it is; the wedding was lovely by the way; I did not wait long in your shop;
    (person) is a lawyer in (place); I love (place) at this time; (person) was disappointed by another
    shop; the phone in your shop was engaged; I typed your name into the computer; the post office in
    (place) sent me to you; (person) is an engineer; my home is in (place); I paid by credit card as
    ever; the password for your newsletter is not the matter"""
"""Sentences that decide nothing and hold words of those that do."""

SEED = {
    "queue": (("refund", "returns"), ("invoice", "billing"), ("parcel", "delivery"), ("account", "account")),
    "priority": (("urgent", "urgent"), ("wait", "low")),
    "tone": (("disappointed", "sorry"), ("love", "warm")),
    "follow-up": (("phone", "call"), ("engineer", "visit")),
}
"""One phrase for an answer or two: what the runbook begins with, as far as a world has the answer."""

QUEUES, CUED, LURED = 4, 0.85, (0.6, 0.3, 0.1)
"""How many queues a world has; how often a message tells a field; how often it holds 0, 1, 2 lures."""


class World(Struct, frozen=True):
    """What is true for a random seed: the cues of each value of each field, and the lures."""

    cues: Mapping[str, Mapping[str, Cues]]
    lures: tuple[str, ...]


class DeskAgent:
    """Answers one JSON object: each section of the runbook decides the field that its heading names."""

    name = "desks"

    def __init__(self, noise: float = 0.0, random_seed: int = 0) -> None:
        self._noise = noise
        self._random_seed = random_seed
        self.deterministic = noise == 0
        self.key = digest_of({"kind": "desks", "noise": noise, "random_seed": random_seed if noise else 0})

    async def rollout(self, runbook: str, task_input: object, repeat: str) -> Produced:
        """Follow each section's rules on the input, or err in one field by chance."""
        known = sections(runbook)
        told = {field: decide(found, str(task_input)).answer for field, found in known.items()}
        chance = slip(self._noise, self._random_seed, digest(runbook.encode()), task_input, repeat)
        if chance is not None and told:
            field = sorted(told)[chance % len(told)]
            told[field] = _another(known[field], told[field], chance // len(told))
        return Produced(output=json.dumps(told))


class DeskReflector:
    """Finds in the feedback which section most failures point at, and mends it as the offline one does."""

    name = "desks"

    def __init__(self, inner: Reflector, random_seed: int = 0) -> None:
        self._inner = inner
        self._random_seed = random_seed
        self.key = digest_of({"kind": "desks", "inner": inner.key, "random_seed": random_seed})

    async def reflect(self, ask: Reflection) -> Reflected:
        """Answer one reflection."""
        open_ = {component.id for component in ask.components}
        lines = (line.partition(": ")[0] for shown in ask.failing for line in shown.feedback)
        told = Counter(word for word in lines if word in open_)
        most = sorted(word for word, count in told.items() if count == max(told.values()))
        if not most:
            return Reflected(
                ReflectionFailure("no_lesson", "no feedback names a section that may be rewritten")
            )
        chance = random.Random(canonical([self._random_seed, digest_of(ask)]))
        return await self._inner.reflect(narrowed(ask, chance.choice(most)))


def desks(random_seed: int, *, reflector: str = "offline", noise: float = 0) -> Work:
    """Draw a world and its messages; the seed runbook knows a word or two for each section."""
    chance = random.Random(random_seed)
    world = world_of(chance)
    drawn = parts(lambda: _case(world, chance), Sizes())
    return Work(
        name=f"desks, {reflector}",
        seed=runbooks.parse(_runbook(world)),
        train=drawn.train,
        validation=drawn.validation,
        held_out=drawn.held_out,
        agent=DeskAgent(noise, random_seed),
        reflector=DeskReflector(erring(ReflectorOfE86100d(random_seed), reflector, random_seed), random_seed),
        judge=judge,
    )


def judge(output: str | None, reference: Mapping[str, str]) -> Judgement:
    """Judge an answer: the share of fields that are right, each an objective.

    The order of the reference's fields, drawn for each case, is that of the feedback: no field comes first.
    """
    told = answers(output)
    wrong = [field for field, value in reference.items() if told.get(field) != value]
    return Judgement(
        score=1 - len(wrong) / len(reference),
        objectives={field: float(field not in wrong) for field in reference},
        feedback=tuple(
            f"{field}: expected {reference[field]}, got {told.get(field) or 'nothing'}" for field in wrong
        ),
    )


def world_of(chance: random.Random) -> World:
    """Draw which queues there are, how often each is told how, and which lures are about."""
    queues = chance.sample(sorted(CUES["queue"]), QUEUES)
    kept = {field: sorted(queues if field == "queue" else values) for field, values in CUES.items()}
    told = {
        field: {value: cues(CUES[field][value], chance) for value in values} for field, values in kept.items()
    }
    return World(told, drawn_lures(LURES, chance))


def _case(world: World, chance: random.Random) -> tuple[str, dict[str, str]]:
    truth, sentences = {}, []
    for field in chance.sample(sorted(OTHERWISE), len(OTHERWISE)):
        truth[field] = OTHERWISE[field]
        if chance.random() < CUED:
            truth[field] = chance.choice(sorted(world.cues[field]))
            sentences.append(world.cues[field][truth[field]].drawn(chance))
    sentences += some(world.lures, LURED, chance)
    return message(sentences, chance), truth


def _another(known: tuple[Rule, ...], answer: str, chance: int) -> str:
    others: list[Any] = sorted({rule.answer for rule in known} - {answer}) or [""]
    return str(others[chance % len(others)])


def _runbook(world: World) -> str:
    lines = []
    for field, rules in SEED.items():
        known = [item([phrase], answer) for phrase, answer in rules if answer in world.cues[field]]
        lines += [f"## {field.capitalize()}", "", *known, f"- Otherwise answer `{OTHERWISE[field]}`.", ""]
    return "\n".join(lines)
