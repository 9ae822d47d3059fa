"""Facts that a reply gives, and how: completeness, brevity and format in conflict."""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.e86100d import ReflectorOfE86100d
from benchmarks.tasks.wording import (
    Cues,
    Lesson,
    Sizes,
    answers,
    cues,
    drawn_lures,
    erring,
    item,
    lessons,
    message,
    narrowed,
    parts,
    sections,
    slip,
    some,
    spoken,
)
from benchmarks.work import Judgement, Work
from runbookopt.agents.protocol import Produced, Reflected
from runbookopt.agents.rules import Rule, decide, occurs, rules
from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import canonical, digest, digest_of
from runbookopt.documents.markdown import LINE
from runbookopt.search.asks import Component, Proposal, Reflection, ReflectionFailure, Shown

FACTS: Mapping[str, str] = {
    "order-id": "the order (number|reference); the number on my receipt; how it is filed; the code",
    "amount": "the (total|full) amount; how much I paid; what it cost me; the total with postage; the price",
    "date": "the date of (purchase|the order); the day I bought it; when I ordered it; the invoice date",
    "arrival": "the (delivery|arrival) date; when it will arrive; the delivery time; the expected day",
    "address": "the (delivery|shipping) address; your address for me; where it was shipped; the postcode",
    "email": "the email address on file; which email I signed up with; the login email; my mailbox",
    "product": "the product name; which model I bought; the (exact|full) model; what exactly I ordered",
    "tracking": "the tracking (number|code|link); the parcel number; the shipment number; a parcel link",
    "payment": "the payment method; which card I paid with; the last card digits; how the payment was made",
    "seller": "the name of the seller; who sold it to me; the seller and branch; which branch I ordered from",
    "guarantee": "how long the guarantee runs; the end of the guarantee; the warranty period; the warranty",
    "tax": "the tax share; your tax number; how much tax is in the price; the (rate|amount) of tax",
}
"""How each fact is asked for: words such as "date", "number", "address" and "amount" ask for several."""

FORMATS: Mapping[str, str] = {
    "table": "it goes into a spreadsheet; it is for bookkeeping; put it in columns; a table would be best",
    "bullets": "a list would be best; point by point please; each on its own line; I tick the items off",
    "sentence": "answer by text message; I read it on my phone; a chat line is enough; I hear it aloud",
}
"""How each format is told."""

ASKING = ("please (send|tell|give) me", "I need to know", "could you (tell|send|show) me", "I want")
"""How a question begins."""

LURES = """
    the number on the door is missing; I am out of the house most of the day; the address label was
    torn; my email is full; the parcel was in good order; the delivery itself went well; I have the
    receipt and the card; I know what the price was; the date stamp is smudged; (person) has the same
    model; the total mess in the box was funny; (person) paid for it; the shipment came in one box; the
    guarantee leaflet is in French; the branch in (place) was closed; the tax office does not ask for
    it; it stands on the table in my kitchen; I am on your mailing list; the line at your shop was long;
    I lost my phone (day)"""
"""Sentences that ask for nothing and hold words of those that do."""

SEED = {
    "amount": ["price"],
    "arrival": ["delivery"],
    "email": ["email", "address"],
    "payment": ["card"],
    "tax": ["tax"],
    "tracking": ["number"],
}
"""The words that the seed runbook knows of a fact: too broad or too rare."""

BROAD = (["please", "could"], ["send", "tell"], ["know", "show"])
"""What the seed runbook takes for a question for each of three more facts, and is none."""

OBJECTIVES = ("completeness", "brevity", "format")
KNOWN, NOTHING, OTHERWISE = 10, "nothing", "bullets"
WANTED, LURED, CUED = (0.35, 0.4, 0.25), (0.3, 0.5, 0.2), 0.9
"""How often a message asks for 1, 2, 3 facts and holds 0, 1, 2 lures; how often it tells its format."""


class World(Struct, frozen=True):
    """What is true for a random seed: the cues of each fact and of each format, and the lures."""

    facts: Mapping[str, Cues]
    formats: Mapping[str, Cues]
    lures: tuple[str, ...]


class ReplyAgent:
    """Answers the facts of all rules of "Facts" that match, and the format that those of "Format" decide."""

    name = "extraction"

    def __init__(self, noise: float = 0.0, random_seed: int = 0) -> None:
        self._noise = noise
        self._random_seed = random_seed
        self.deterministic = noise == 0
        self.key = digest_of(
            {"kind": "extraction", "noise": noise, "random_seed": random_seed if noise else 0}
        )

    async def rollout(self, runbook: str, task_input: object, repeat: str) -> Produced:
        """Follow the rules on the input, or err by chance: without the facts, or in another format."""
        known = sections(runbook)
        facts = _given(known.get("facts", ()), str(task_input))
        format_ = decide(known.get("format", ()), str(task_input)).answer
        chance = slip(self._noise, self._random_seed, digest(runbook.encode()), task_input, repeat)
        if chance is not None:
            facts, format_ = ([], format_) if chance % 2 else (facts, "")
        return Produced(output=json.dumps({"facts": facts, "format": format_}))


class ReplyReflector:
    """Takes the lesson that the feedback holds most often: a rule more, or a misleading phrase less."""

    name = "extraction"

    def __init__(self, random_seed: int = 0) -> None:
        self._random_seed = random_seed
        self._inner = ReflectorOfE86100d(random_seed)
        self.key = digest_of({"kind": "extraction", "inner": self._inner.key})

    async def reflect(self, ask: Reflection) -> Reflected:
        """Answer one reflection."""
        open_ = {component.id: component for component in ask.components}
        told = Counter(
            lesson for shown in ask.failing for lesson in lessons(shown) if _place(lesson) in open_
        )
        most = [lesson for lesson, count in told.items() if count == max(told.values())]
        if not most:
            return Reflected(ReflectionFailure("no_lesson", "no feedback of the form 'expected X, got Y'"))
        chance = random.Random(canonical([self._random_seed, digest_of(ask)]))
        lesson = chance.choice(sorted(most, key=canonical))
        component = open_[_place(lesson)]
        if lesson.objective == "format":
            return await self._inner.reflect(narrowed(ask, "format"))
        if lesson.expected == NOTHING:
            return Reflected(_without(component, lesson.given, ask, chance))
        asked = _asking_for(lesson.expected, component, ask)
        answer = await self._inner.reflect(asked)
        if isinstance(answer.said, ReflectionFailure):
            return answer
        return Reflected(_with(component, lesson.expected, answer.said, asked.components[0].text))


def extraction(random_seed: int, *, reflector: str = "offline", noise: float = 0) -> Work:
    """Draw a world and its messages; the seed runbook knows a word for each fact, too broad or too rare."""
    chance = random.Random(random_seed)
    facts = sorted(chance.sample(sorted(FACTS), KNOWN))
    world = World(
        {fact: cues(FACTS[fact], chance) for fact in facts},
        {format_: cues(told, chance) for format_, told in FORMATS.items()},
        drawn_lures(LURES, chance),
    )
    drawn = parts(lambda: _case(world, chance), Sizes())
    return Work(
        name=f"extraction, {reflector}",
        seed=runbooks.parse(_runbook(facts)),
        train=drawn.train,
        validation=drawn.validation,
        held_out=drawn.held_out,
        agent=ReplyAgent(noise, random_seed),
        reflector=erring(ReplyReflector(random_seed), reflector, random_seed),
        judge=judge,
    )


def judge(output: str | None, reference: Mapping[str, Any]) -> Judgement:
    """Judge a reply: the share of wanted facts given, of given facts wanted, and whether the format is right.

    A reply without any fact is as brief as can be. The score is the mean of the three; the feedback begins
    with the objective that is drawn for the case, so that none always comes first.
    """
    told = answers(output)
    given, wanted = told.get("facts") or [], reference["facts"]
    missing = [fact for fact in wanted if fact not in given]
    unwanted = [fact for fact in given if fact not in wanted]
    right = told.get("format") == reference["format"]
    objectives = {
        "completeness": 1 - len(missing) / len(wanted),
        "brevity": 1 - len(unwanted) / max(1, len(given)),
        "format": float(right),
    }
    told_format = told.get("format") or NOTHING
    feedback = {
        "completeness": [f"completeness: expected {fact}, got {NOTHING}" for fact in missing],
        "brevity": [f"brevity: expected {NOTHING}, got {fact}" for fact in unwanted],
        "format": [] if right else [f"format: expected {reference['format']}, got {told_format}"],
    }
    lines = [line for objective in reference["order"] for line in feedback[objective]]
    return Judgement(sum(objectives.values()) / len(objectives), objectives, tuple(lines))


def _case(world: World, chance: random.Random) -> tuple[str, dict[str, Any]]:
    (count,) = chance.choices((1, 2, 3), WANTED)
    facts = chance.sample(sorted(world.facts), count)
    *head, last = (world.facts[fact].drawn(chance) for fact in facts)
    asked = (
        f"{chance.choice(ASKING)} {', '.join(head)} and {last}" if head else f"{chance.choice(ASKING)} {last}"
    )
    format_ = chance.choice(sorted(world.formats)) if chance.random() < CUED else OTHERWISE
    told = [world.formats[format_].drawn(chance)] if format_ != OTHERWISE else []
    lures = some(world.lures, LURED, chance)
    order = chance.sample(OBJECTIVES, len(OBJECTIVES))
    reference = {"facts": facts, "format": format_, "order": order}
    return message([spoken(asked, chance), *told, *lures], chance), reference


def _runbook(facts: Sequence[str]) -> str:
    others = [fact for fact in facts if fact not in SEED]
    known = [item(SEED[fact], fact) for fact in facts if fact in SEED]
    known += [item(words, fact) for words, fact in zip(BROAD, others, strict=False)]
    formats = [item(["table"], "table"), item(["list"], "bullets"), f"- Otherwise answer `{OTHERWISE}`."]
    return "\n".join(["## Facts", "", *known, "", "## Format", "", *formats, ""])


def _given(known: Sequence[Rule], text: str) -> list[str]:
    """Give the answers of all rules that match, each once."""
    found = (rule.answer for rule in known if any(occurs(phrase, text) for phrase in rule.phrases))
    return list(dict.fromkeys(found))


def _place(lesson: Lesson) -> str:
    return "format" if lesson.objective == "format" else "facts"


def _asking_for(fact: str, component: Component, ask: Reflection) -> Reflection:
    """Put an ask as the question of when to give one fact: its rules, and what was given of it."""
    lines = LINE.findall(component.text)
    known = [lines[rule.first].rstrip() for rule in rules(component.text) if rule.answer == fact]
    text = "\n".join([*known, f"- Otherwise answer `{NOTHING}`.", ""])
    failing, passing = [], []
    for shown in (*ask.failing, *ask.passing):
        if any(lesson.expected == fact for lesson in lessons(shown)):
            failing.append(replace(shown, feedback=(f"expected {fact}, got {NOTHING}",)))
        else:
            output = json.dumps({"fact": fact if _rightly(fact, shown) else NOTHING})
            passing.append(replace(shown, output=output, feedback=()))
    return replace(
        ask, components=(replace(component, text=text),), failing=tuple(failing), passing=tuple(passing)
    )


def _rightly(fact: str, shown: Shown) -> bool:
    """Tell whether the fact was given and nothing speaks against it."""
    unwanted = [lesson.given for lesson in lessons(shown) if lesson.expected == NOTHING]
    return fact in (answers(shown.output).get("facts") or []) and fact not in unwanted


def _with(component: Component, fact: str, answer: Proposal, asked: str) -> Proposal:
    """Add the rule that the answer adds to what was asked, behind the last one for the fact."""
    new = [line for line in LINE.findall(answer.text) if line not in LINE.findall(asked)]
    known = rules(component.text)
    home = [rule.said for rule in known if rule.answer == fact] or [rule.said for rule in known]
    lines = LINE.findall(component.text)
    at = home[-1] if home else len(lines)
    return replace(answer, component=component.id, text="".join([*lines[:at], *new, *lines[at:]]))


def _without(component: Component, fact: str, ask: Reflection, chance: random.Random) -> Proposal:
    """Take a phrase out of a rule that misleads more often than it is right in what is shown."""
    unwanted = Lesson("brevity", NOTHING, fact)
    failing = [shown for shown in ask.failing if unwanted in lessons(shown)]
    right = [shown for shown in (*ask.failing, *ask.passing) if _rightly(fact, shown)]
    blamed = [
        (rule, phrase)
        for rule in rules(component.text)
        for phrase in rule.phrases
        if rule.answer == fact and _count(phrase, failing) > _count(phrase, right)
    ]
    if not blamed:
        return Proposal(
            f"no phrase gives {fact} more often in vain than rightly", component.id, component.text
        )
    rule, phrase = chance.choice(blamed)
    left = [other for other in rule.phrases if other != phrase]
    lines = LINE.findall(component.text)
    lines[rule.first : rule.said] = [item(left, fact) + "\n"] if left else []
    cites = tuple(shown.trajectory for shown in failing)
    return Proposal(f'"{phrase}" gives {fact} unasked', component.id, "".join(lines), cites)


def _count(phrase: str, shown: Sequence[Shown]) -> int:
    return sum(occurs(phrase, str(one.input)) for one in shown)
