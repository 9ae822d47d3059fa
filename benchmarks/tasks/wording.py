"""What the generated tasks share: messages from templates, rules as text, and a reflector's narrow look."""

import hashlib
import json
import random
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.pair import LossyReflector, WrongReflector
from benchmarks.work import Case
from runbookopt.agents.protocol import Reflector
from runbookopt.agents.rules import Rule, rules
from runbookopt.documents.digest import canonical
from runbookopt.evidence.words import normalised
from runbookopt.search.asks import Reflection, Shown

_CHOICE = re.compile(r"\(([^()]*)\)")
_FEEDBACK = re.compile(r"([\w-]+): expected (.+?), got (.*)")
_HEADING = re.compile(r"^## +(.+)$", re.MULTILINE)

WORDS = {
    "product": "kettle|lamp|headphones|backpack|monitor|blender|rug|tent",
    "day": "Monday|Tuesday|last week|in March|two weeks ago|on the weekend|yesterday|before Easter",
    "place": "Leeds|Bristol|Cork|York",
    "person": "my sister|a friend|my neighbour|a colleague|my father",
}
"""What stands in a template for "(product)" and so on."""

GREETINGS = ("Hello", "Hi there", "Good morning", "Dear team", "Hi", "Good evening")
CLOSINGS = ("Thanks", "Regards", "Best wishes", "Many thanks", "Thank you")
ASIDES = (
    "I bought a (product) (day)",
    "it is about the (product) from (day)",
    "I live in (place) these days",
    "we moved to (place) (day)",
    "the (product) was a present for (person)",
    "(person) recommended your shop",
    "I wrote to you (day) already",
    "your shop in (place) sent me here",
    "I hope that you are the right people",
    "I have been in (place) (day)",
)
"""Sentences that decide nothing."""


TOLD = 4
"""So many templates of an answer are used in one world."""


class Sizes(Struct, frozen=True):
    """How many cases stand in each part."""

    train: int = 60
    validation: int = 40
    held_out: int = 400


class Parts(Struct, frozen=True):
    """The cases of a work."""

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    held_out: tuple[Case, ...]


class Cues(Struct, frozen=True):
    """The templates that tell one answer, some much more often than others."""

    templates: tuple[str, ...]
    weights: tuple[float, ...]

    def drawn(self, chance: random.Random) -> str:
        """Say one of them."""
        return spoken(chance.choices(self.templates, self.weights)[0], chance)


class Lesson(Struct, frozen=True):
    """A line of feedback, read."""

    objective: str
    expected: str
    given: str


def cues(templates: str, chance: random.Random) -> Cues:
    """Draw which templates a world uses, and how often each: a few are frequent, the others a tail."""
    ranked = chance.sample(_split(templates), TOLD)
    return Cues(tuple(ranked), tuple(1 / (rank + 1) for rank in range(len(ranked))))


def drawn_lures(lures: str, chance: random.Random) -> tuple[str, ...]:
    """Draw which of the misleading sentences a world uses: two of three."""
    known = _split(lures)
    return tuple(chance.sample(known, len(known) * 2 // 3))


def some(lures: Sequence[str], shares: Sequence[float], chance: random.Random) -> list[str]:
    """Say none, one, two, ... of them; `shares` says how often."""
    (count,) = chance.choices(range(len(shares)), shares)
    return [spoken(lure, chance) for lure in chance.sample(lures, count)]


def spoken(template: str, chance: random.Random) -> str:
    """Choose one of "(a|b)" at each place, and a word for "(product)" and the like."""
    return _CHOICE.sub(
        lambda found: chance.choice(WORDS.get(found[1], found[1]).split("|")),
        template,
    )


def message(sentences: Sequence[str], chance: random.Random) -> str:
    """Put sentences in any order between a greeting and a closing, some with an aside."""
    asides = [spoken(aside, chance) for aside in chance.sample(ASIDES, chance.choice((0, 0, 1)))]
    said = [*sentences, *asides]
    chance.shuffle(said)
    body = " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in said)
    return f"{chance.choice(GREETINGS)}, {body} {chance.choice(CLOSINGS)}"


def parts(draw: Callable[[], tuple[str, Any]], sizes: Sizes) -> Parts:
    """Draw cases until every part is full; each message occurs once."""
    found: dict[str, tuple[str, Any]] = {}
    while len(found) < sizes.train + sizes.validation + sizes.held_out:
        text, reference = draw()
        found.setdefault(normalised(text), (text, reference))
    cases = [Case(f"m-{number}", *told) for number, told in enumerate(found.values())]
    second = sizes.train + sizes.validation
    return Parts(tuple(cases[: sizes.train]), tuple(cases[sizes.train : second]), tuple(cases[second:]))


def item(phrases: Sequence[str], answer: str) -> str:
    """Write a rule as the offline reflector does, without a line ending."""
    *head, last = (f'"{phrase}"' for phrase in phrases)
    said = f"{', '.join(head)} or {last}" if head else last
    return f"- If the message mentions {said}, answer `{answer}`."


@lru_cache(maxsize=4096)
def sections(runbook: str) -> dict[str, tuple[Rule, ...]]:
    """Give the rules of each `##` section by its heading in small letters."""
    _, *pieces = _HEADING.split(runbook)
    return {
        heading.strip().casefold(): rules(body)
        for heading, body in zip(pieces[::2], pieces[1::2], strict=True)
    }


def slip(noise: float, *told: object) -> int | None:
    """Give a large number where an attempt errs, None where it does not; a function of what is told alone."""
    if not noise:
        return None
    chance = int.from_bytes(hashlib.sha256(canonical(told)).digest(), "big")
    return chance // 10**9 if chance % 10**9 < noise * 10**9 else None


def narrowed(ask: Reflection, component: str) -> Reflection:
    """Reduce an ask to one component, and every trajectory to what it says of the field of that name.

    A failure of other fields alone is one that passes here.
    """
    seen = [_of_field(shown, component) for shown in (*ask.failing, *ask.passing)]
    return replace(
        ask,
        components=tuple(one for one in ask.components if one.id == component),
        failing=tuple(shown for shown in seen if shown.feedback),
        passing=tuple(shown for shown in seen if not shown.feedback),
    )


def erring(inner: Reflector, name: str, random_seed: int) -> Reflector:
    """Give the reflector itself for "offline", else one that is told or that writes something wrong."""
    if name == "offline":
        return inner
    return (WrongReflector if name == "wrong" else LossyReflector)(inner, random_seed)


def lessons(shown: Shown) -> list[Lesson]:
    """Read the feedback of a trajectory; what has not the form "objective: expected X, got Y" is left out."""
    return [Lesson(*found.groups()) for line in shown.feedback if (found := _FEEDBACK.fullmatch(line))]


def answers(output: str | None) -> dict[str, Any]:
    """Read an output; what is no JSON object holds nothing."""
    try:
        read = json.loads(output or "null")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _split(templates: str) -> list[str]:
    return [" ".join(one.split()) for one in templates.split(";")]


def _of_field(shown: Shown, field: str) -> Shown:
    told = tuple(line for line in shown.feedback if line.startswith(f"{field}: "))
    return replace(shown, output=json.dumps({field: answers(shown.output).get(field)}), feedback=told)
