"""Remedies: what a task may need, the lines of a runbook that carry them, and an agent that follows lines."""

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from msgspec import Struct

from benchmarks.tasks.wording import slip
from benchmarks.work import Judgement
from runbookopt.agents.protocol import Produced
from runbookopt.documents.digest import digest, digest_of

TABLE: Mapping[str, str] = {
    "Orders": """
        a gift card; a gift voucher; a present token | refund as store credit; pay the money back as
        credit / a late parcel; an overdue shipment; a delayed delivery | open a trace with the
        carrier; have the carrier trace it / a torn box; crushed packaging; a dented carton | ask
        for a photo of it; request a picture first / a wrong size; a size that is off; a bad fit |
        offer a free exchange; propose to swap it at no cost / a missing screw; a missing bracket;
        an incomplete set | mail the spare by post; send the spare on its own / a bulk order; a
        wholesale purchase; a trade order | pass it to the trade desk; let the trade desk answer / a
        customs fee; an import charge; a duty notice | name the customs broker; point to the customs
        broker / a neighbour who signed; a stranger who signed; a parcel next door | send the proof
        of delivery; attach the signature slip / a cancelled order; an order called off; a withdrawn
        order | confirm it within the hour; send a confirmation at once / a return label; a return
        sticker; a label to send it back | attach the label file; enclose the label as a file / a
        discontinued model; a model no longer made; an old edition | suggest its successor; name the
        newer model / cash on delivery; payment at the door; paying the driver | decline and offer a
        card link; refuse and send a card link / a pickup point; a collection locker; a parcel shop
        | extend the pickup to ten days; hold it there for ten days""",
    "Accounts": """
        a forgotten password; a lost password; a password that fails | send the reset by text
        message; text the reset code / a second account; a duplicate account; two profiles | merge
        into the older one; join both under the older one / the newsletter; the mailing list; weekly
        mails | unsubscribe without asking why; take them off with no question / loyalty points;
        bonus points; reward points | state the balance and its end; tell the balance with the
        expiry / the student rate; the pupil discount; the campus price | ask for the enrolment
        card; request the enrolment card / a tax number; a company number; a trade register entry |
        reissue the bill with it; write the bill anew with it / a copy of the invoice; a receipt
        once more; a bill that was lost | give the archive link; link to the archive / an expired
        card; a card past its date; a blocked card | keep the order for two days; reserve the order
        for two days / a new address; a house move; another street | check the open shipments; look
        at the open shipments first / a married name; a changed surname; a misspelt surname |
        require an identity paper; want an identity paper / a data request; a copy of all data; a
        privacy request | forward to the privacy officer; hand to the privacy officer / a school
        account; a class licence; a teacher licence | quote the framework contract; cite the
        framework contract / a hacked login; a foreign login; a stolen profile | lock the profile
        first; block the profile at once""",
}
"""By section, remedies: what a message is about, in several words, and what is to be done then."""

FRAMES = (
    "If it is about {topic}, {action}.",
    "With {topic}: {action}.",
    "Whenever {topic} comes up, {action}.",
    "On {topic}, always {action}.",
    "For {topic}, {action}, whoever writes.",
    "Where {topic} is the matter, {action}.",
    "{topic} in a message means: {action}.",
    "Do not forget with {topic}: {action}.",
    "As soon as {topic} is named, {action}.",
    "Anyone with {topic}? Then {action}.",
    "Should {topic} be mentioned, {action}.",
    "In the case of {topic}, {action}.",
    "Faced with {topic}, {action} and say so.",
    "A message on {topic} is answered so: {action}.",
    "Treat {topic} as follows: {action}.",
    "When somebody writes of {topic}, {action}.",
    "{topic}: {action}, nothing less.",
    "The rule for {topic} is to {action}.",
    "Once you read of {topic}, {action}.",
    "Given {topic}, the next step is to {action}.",
)
"""How a line says a remedy."""

HARM = " This goes before all else (note {note:08x})."
"""What a harmful line ends with: it takes tasks of a sort for its own, and which depends on the note."""

STRENGTHS = 0.6, 0.4
"""A line is followed where it counts with a chance of the first, and up to the second more; a line's own."""

CONFUSED = 0.12
"""The share of tasks that a pair of lines in conflict leads astray, beside those that need one of them."""

_NOTE = re.compile(re.escape(HARM).replace(r"\{note:08x\}", "([0-9a-f]{8})"))


class Remedy(Struct, frozen=True):
    """A remedy by name: the section where it belongs, and the words for when it is due and for what it is."""

    name: str
    section: str
    topics: tuple[str, ...]
    actions: tuple[str, ...]


class World(Struct, frozen=True):
    """What is true for a random seed: the remedies, which of them clash, and how many lines are kept in mind.

    With `attention` lines half of what counts is followed.
    """

    random_seed: int
    remedies: tuple[str, ...]
    attention: float
    clashes: tuple[tuple[str, str], ...] = ()


class Reading(Struct, frozen=True):
    """What an agent makes of a text: how strongly each remedy is followed, and what leads it astray."""

    strengths: Mapping[str, float]
    notes: tuple[int, ...]
    clashing: tuple[tuple[str, str], ...]


def _remedies() -> dict[str, Remedy]:
    found = {}
    for section, lines in TABLE.items():
        for line in " ".join(lines.split()).split(" / "):
            topics, actions = (tuple(word.strip() for word in side.split(";")) for side in line.split("|"))
            found[topics[0]] = Remedy(topics[0], section, topics, actions)
    return found


REMEDIES = _remedies()
"""All remedies by name."""


@lru_cache(maxsize=1 << 15)
def carried(line: str) -> tuple[str, ...]:
    """Name the remedies that a line of a runbook carries: those whose case and whose action it names."""
    said = line.casefold()
    return tuple(
        name
        for name, remedy in REMEDIES.items()
        if any(topic in said for topic in remedy.topics) and any(action in said for action in remedy.actions)
    )


@lru_cache(maxsize=1 << 12)
def needs(message: str) -> tuple[str, ...]:
    """Name the remedies that a message calls for, in its order."""
    said = message.casefold()
    places = {
        name: min((place for topic in remedy.topics if (place := said.find(topic)) >= 0), default=-1)
        for name, remedy in REMEDIES.items()
    }
    return tuple(sorted((name for name in places if places[name] >= 0), key=places.__getitem__))


def items(text: str) -> list[str]:
    """Give the lines of a text that tell the agent something: its list items."""
    return [line for line in text.splitlines() if line.startswith("- ")]


def note_of(line: str) -> int | None:
    """Give the note of a harmful line, None of any other."""
    found = _NOTE.search(line)
    return int(found[1], 16) if found else None


def cleaned(line: str) -> str:
    """Give a line without its note."""
    return _NOTE.sub("", line)


@lru_cache(maxsize=1 << 13)
def bits(message: str) -> int:
    """Give 256 bits of a message, by which notes tell what they take for their own."""
    return int.from_bytes(hashlib.sha256(message.encode()).digest(), "big")


def takes(note: int, seen: int) -> bool:
    """Tell whether a note takes a message with these bits for its own: 3 of 16 do."""
    one, other, third, fourth = note.to_bytes(4, "big")
    return bool((seen >> one) & (seen >> other) & ((seen >> third) | (seen >> fourth)) & 1)


def part_of(chance: str) -> float:
    """Give a number in 0..1 that is a function of words alone."""
    return int.from_bytes(hashlib.sha256(chance.encode()).digest()[:6], "big") / (1 << 48)


@lru_cache(maxsize=1 << 11)
def reading(world: World, text: str) -> Reading:
    """Read a text as the agent does."""
    lines = items(text)
    attention = 1 / (1 + (len(lines) / world.attention) ** 3)
    strengths: dict[str, float] = {}
    together: set[tuple[str, str]] = set()
    least, more = STRENGTHS
    for line in lines:
        found = carried(line)
        together |= {pair for pair in world.clashes if set(pair) <= set(found)}
        strength = attention * (least + more * part_of(f"{world.random_seed} {cleaned(line)}"))
        strengths |= {name: max(strength, strengths.get(name, 0.0)) for name in found}
    clashing = tuple(pair for pair in world.clashes if set(pair) <= strengths.keys() and pair not in together)
    notes = tuple(note for line in lines if (note := note_of(line)) is not None)
    return Reading(strengths, notes, clashing)


def followed(world: World, text: str, message: str) -> tuple[str, ...]:
    """Name the remedies that an agent without noise comes to with a text."""
    known = reading(world, text)
    seen = bits(message)
    if any(takes(note, seen) for note in known.notes):
        return ()
    if any(_confused(world, pair, message) for pair in known.clashing):
        return ()
    blocked = {name for pair in known.clashing for name in pair}
    return tuple(
        name
        for name in needs(message)
        if name not in blocked
        and part_of(f"{world.random_seed} {name} {message}") < known.strengths.get(name, 0.0)
    )


def _confused(world: World, pair: tuple[str, str], message: str) -> bool:
    return part_of(f"{world.random_seed} {pair} {message}") < CONFUSED


class FollowingAgent:
    """Does what the lines of the runbook say for a message, as far as it keeps them in mind."""

    name = "remedies"

    def __init__(self, world: World, noise: float = 0.0) -> None:
        self._world = world
        self._noise = noise
        self.deterministic = noise == 0
        self.key = digest_of({"kind": "remedies", "world": world, "noise": noise})

    async def rollout(self, runbook: str, task_input: object, repeat: str) -> Produced:
        """Follow the lines on the input, or err by chance: with nothing done."""
        message = str(task_input)
        chance = slip(self._noise, self._world.random_seed, digest(runbook.encode()), message, repeat)
        done = () if chance is not None else followed(self._world, runbook, message)
        return Produced(output=json.dumps({"done": [REMEDIES[name].actions[0] for name in done]}))


def done_in(output: str | None) -> tuple[str, ...]:
    """Name the remedies that an output says were done."""
    actions = {remedy.actions[0]: name for name, remedy in REMEDIES.items()}
    return tuple(actions[action] for action in json.loads(output or '{"done": []}')["done"])


def judge(output: str | None, reference: Mapping[str, str]) -> Judgement:
    """Judge an output: the share of what is needed that was done; `reference` has the words for the rest."""
    done = done_in(output)
    missing = [line for name, line in reference.items() if name not in done]
    score = 1 - len(missing) / len(reference)
    return Judgement(score, {"right": score}, tuple(missing))


def written(remedies: Sequence[str], chance: random.Random) -> str:
    """Write a line that carries these remedies, in words drawn by chance."""
    said = []
    for name in remedies:
        remedy = REMEDIES[name]
        sentence = chance.choice(FRAMES).format(
            topic=chance.choice(remedy.topics), action=chance.choice(remedy.actions)
        )
        said.append(sentence[0].upper() + sentence[1:])
    return f"- {' But: '.join(said)}"
