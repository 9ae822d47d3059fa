"""Seven works whose edits do not add up, as those of language models; what is true of each is known."""

import random
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from benchmarks.tasks.remedies import (
    REMEDIES,
    FollowingAgent,
    World,
    carried,
    followed,
    items,
    judge,
    needs,
    note_of,
    written,
)
from benchmarks.tasks.reviewer import Reviewer
from benchmarks.tasks.wording import ASIDES, CLOSINGS, GREETINGS, spoken
from benchmarks.work import Case, Work
from runbookopt.documents import runbook as runbooks

TRAIN, VALIDATION, HELD_OUT = 60, 50, 300
"""How many cases stand in each part."""

REMEDIES_USED, KNOWN, PAIRS, HEADS = 24, 3 / 8, 4, 3
"""Remedies of a world, the share that the seed runbook knows, pairs that clash, remedies that most need."""

TAIL = 0.03
"""The share of tasks that fail in the rare way."""

TWO, OWN = 0.3, 0.6
"""How often a task needs two remedies; how often one that needs a frequent remedy has one of its own."""

CUES = (
    "I am writing about {topic}",
    "It is about {topic}",
    "There is the matter of {topic}",
    "Could you help me with {topic}",
    "My question is on {topic}",
    "This concerns {topic}",
)
"""How a message says what it is about."""

NAMES = ("Kelly", "Brown", "Ali", "Novak", "Rossi", "Meyer", "Okafor", "Silva", "Laine", "Dubois")

JUDGED = (
    "{name} got no help in {topic}, see no. {order}: the desk ought to {action}",
    "I miss a step, since {topic} was raised in no. {order} and one should {action}",
    "not good enough for {name} (no. {order}); in a case of {topic} they {action} as a rule",
    "the answer to no. {order} passes over {topic}, and a colleague would {action}",
    "what {name} needed in no. {order} was somebody to {action}, given {topic}",
    "{topic} is named plainly by {name} in no. {order}, yet nobody cared to {action}",
    "with no. {order} a reader is left alone: {action} would have been right for {topic}",
    "to {action} is what one expects after {topic}, and {name} waits for it, no. {order}",
)
"""How a judge says that something was left out, each time in other words."""

HOUSE = {"Orders": "Be friendly and brief", "Accounts": "Sign with your first name"}
"""What the seed runbook says beside remedies."""


class Kind(Struct, frozen=True):
    """A kind of work: the lines that are kept in mind, how the reviewer errs, and how tasks fail."""

    attention: float = 60.0
    remedies: int = REMEDIES_USED
    harmful: float = 0.0
    rewrites: bool = False
    clashing: bool = False
    heads: int = 0
    unlike: bool = False
    tail: bool = False


KINDS: Mapping[str, Kind] = {
    "crowded": Kind(attention=24.0),
    "overlap": Kind(attention=40.0, heads=HEADS),
    "conflict": Kind(clashing=True),
    "poison": Kind(harmful=0.25),
    "rewrite": Kind(rewrites=True),
    "unlike": Kind(unlike=True),
    "tail": Kind(remedies=14, tail=True),
}
"""All kinds by name."""


class Truth(Struct, frozen=True):
    """What is true of a text on a work: its figures by name, for the kinds that have some."""

    kind: str
    world: World
    tail: tuple[str, ...] = ()

    def measures(self, text: str, proposed: Collection[str]) -> dict[str, float]:
        """Give what is measured of a text that was returned, given all lines that were proposed for it."""
        told = {"longer": len(text) / shortest(text, proposed)} if self.kind == "overlap" else {}
        if self.kind == "poison":
            harmful = [line for line in dict.fromkeys(proposed) if note_of(line) is not None]
            stands = set(items(text))
            told |= {"harmful": len(harmful), "harmful kept": sum(line in stands for line in harmful)}
        if self.tail:
            done = [set(followed(self.world, text, one)) >= set(needs(one)) for one in self.tail]
            told |= {"tail": sum(done) / len(done)}
        return told


def shortest(text: str, lines: Collection[str]) -> int:
    """Give the length of a text that holds the same remedies once each, in the shortest of the lines known.

    Lines that carry nothing are left out where they were proposed: nobody needs them.
    """
    own = items(text)
    held = {name for line in own for name in carried(line)}
    proposed = set(lines)
    rest = len(text) - sum(len(line) + 1 for line in own if carried(line) or line in proposed)
    return rest + sum(
        1 + min(len(line) for line in (*own, *proposed) if name in carried(line)) for name in sorted(held)
    )


def work_of(name: str, random_seed: int, noise: float = 0.0) -> Work:
    """Give the work of a kind; the seed runbook knows some of the remedies."""
    kind = KINDS[name]
    chance = random.Random(f"{name} {random_seed}")
    used = chance.sample(sorted(REMEDIES), kind.remedies)
    world = World(random_seed, tuple(used), kind.attention, _pairs(used) if kind.clashing else ())
    known = set(chance.sample(_knowable(kind, world), round(KNOWN * kind.remedies)))
    cases = _cases(kind, world, chance)
    rare = used[-1] if kind.tail else None
    tail = tuple(case.input for case in cases[TRAIN + VALIDATION :] if needs(case.input) == (rare,))
    return Work(
        name=name,
        seed=runbooks.parse(_runbook(sorted(known), chance)),
        train=tuple(cases[:TRAIN]),
        validation=tuple(cases[TRAIN : TRAIN + VALIDATION]),
        held_out=tuple(cases[TRAIN + VALIDATION :]),
        agent=FollowingAgent(world, noise),
        reflector=Reviewer(world, harmful=kind.harmful, rewrites=kind.rewrites),
        judge=judge,
        truth=Truth(name, world, tail),
    )


def _pairs(used: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pair remedies of one section that clash: frequent ones, of like weight."""
    pairs: list[tuple[str, str]] = []
    for section in HOUSE:
        names = [name for name in used if REMEDIES[name].section == section]
        pairs += [(names[at], names[at + 1]) for at in range(0, PAIRS, 2)]
    return tuple(pairs)


def _knowable(kind: Kind, world: World) -> list[str]:
    """Give the remedies that the seed runbook may know: what a kind is about has to be found."""
    paired = {name for pair in world.clashes for name in pair}
    hidden = {*world.remedies[: kind.heads], *paired, *(world.remedies[-1:] if kind.tail else ())}
    return [name for name in world.remedies if name not in hidden]


def _cases(kind: Kind, world: World, chance: random.Random) -> list[Case]:
    """Draw the cases of all parts; where a failure is to be rare, each part has its share of it."""
    common = world.remedies[:-1] if kind.tail else world.remedies
    found: dict[str, tuple[str, ...]] = {}
    for size in (TRAIN, VALIDATION, HELD_OUT):
        rare = round(TAIL * size) if kind.tail else 0
        part: dict[str, tuple[str, ...]] = {}
        while len(part) < size:
            wanted = world.remedies[-1:] if len(part) < rare else _wanted(kind, common, chance)
            message = _message(wanted, chance)
            if message not in found:
                part[message] = wanted
        drawn = list(part.items())
        chance.shuffle(drawn)
        found |= dict(drawn)
    return [
        Case(f"m-{number}", message, {name: _said(kind, name, message) for name in wanted})
        for number, (message, wanted) in enumerate(found.items())
    ]


def _wanted(kind: Kind, names: Sequence[str], chance: random.Random) -> tuple[str, ...]:
    """Draw what a task needs: one remedy or two; the first of the names are frequent."""
    if kind.heads:
        head = chance.choices(names[: kind.heads], (0.6, 0.25, 0.15))[0]
        rest = names[kind.heads :]
        own = chance.choices(rest, [1 / (rank + 2) for rank in range(len(rest))], k=1)
        told = [head, *own] if chance.random() < OWN else [head]
    else:
        count = 2 if chance.random() < TWO else 1
        told = chance.choices(names, [1 / (rank + 3) for rank in range(len(names))], k=count)
    told = list(dict.fromkeys(told))
    chance.shuffle(told)
    return tuple(told)


def _message(wanted: Sequence[str], chance: random.Random) -> str:
    sentences = [
        chance.choice(CUES).format(topic=chance.choice(REMEDIES[name].topics)) for name in wanted
    ] + [spoken(chance.choice(ASIDES), chance)]
    body = " ".join(f"{sentence}." for sentence in sentences)
    sender = f"{chance.choice(NAMES)}, no. {chance.randrange(1000, 10000)}"
    return f"{chance.choice(GREETINGS)}, {body} {chance.choice(CLOSINGS)}, {sender}"


def _said(kind: Kind, name: str, message: str) -> str:
    """Give the feedback for a remedy that a message needs and does not get."""
    remedy = REMEDIES[name]
    if not kind.unlike:
        return f"right: expected {remedy.actions[0]}, got nothing"
    chance = random.Random(f"{name} {message}")
    sender, _, order = message.rpartition(", no. ")
    return "right: " + chance.choice(JUDGED).format(
        name=sender.split()[-1],
        order=order,
        topic=chance.choice(remedy.topics),
        action=chance.choice(remedy.actions),
    )


def _runbook(known: Sequence[str], chance: random.Random) -> str:
    lines = []
    for section, house in HOUSE.items():
        own = [written([name], chance) for name in known if REMEDIES[name].section == section]
        lines += [f"## {section}", "", f"- {house}.", *own, ""]
    return "\n".join(lines)
