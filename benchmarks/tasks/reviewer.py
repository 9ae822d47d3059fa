"""A reflector that answers as language models were seen to: several edits a reply, in words of its own."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from benchmarks.tasks.remedies import (
    HARM,
    REMEDIES,
    World,
    bits,
    carried,
    cleaned,
    done_in,
    items,
    needs,
    note_of,
    reading,
    takes,
    written,
)
from runbookopt.agents.protocol import Reflected
from runbookopt.documents.digest import canonical, digest_of
from runbookopt.search.asks import Component, Proposal, Reflection, ReflectionFailure, Shown

MOST = 4
"""Edits of a reply: a model does not see everything."""

MISREAD = {1: 0.3, 2: 0.15}
MISREAD_ELSE = 0.08
"""How often a cause is misread that so many trajectories share: the line then helps nobody."""

CULPRIT = 0.4
"""How often the line is found that leads astray what it was not meant for."""

REWORDED = 0.5
"""How often a line that is there and was not followed is said otherwise; else it is said once more."""

LOST = 0.04
"""How often a line gets lost where a whole part is rewritten."""

TRIES = 1 << 15
"""Notes that are tried for one that takes none of what is shown for its own."""

NOTHING = (
    "Read the whole message before you begin",
    "Look at what was done for a like message",
    "Keep the tone calm and plain",
    "See what the customer asked for in the end",
    "Think of what the customer wants to reach",
    "Name the next step at the end",
)
"""What lines say that help nobody."""


DIAGNOSES = (
    "nothing is said of {topic}",
    "{topic} came up, and the agent did not know what to do",
    "the runbook leaves open what {topic} calls for",
    "messages on {topic} went wrong",
    "the agent passes over {topic}",
)
"""How a reply says what went wrong."""


class Cause(Struct, frozen=True):
    """Why trajectories fail: a remedy was not followed, or a line, or a pair of lines, stood in the way."""

    remedy: str
    blocked_by: str | None = None
    culprit: str | None = None


class Reviewer:
    """Mends the cause of the first failing trajectory, and those that most others share.

    It is handed the ask and nothing else, and what it draws by chance depends on what stands there, not on
    ids. With `rewrites` it says the whole part anew; a share of `harmful` edits takes over tasks that it was
    not shown.
    """

    name = "reviewer"
    edits = MOST

    def __init__(self, world: World, *, harmful: float = 0.0, rewrites: bool = False) -> None:
        self._world = world
        self._harmful = harmful
        self._rewrites = rewrites
        self.key = digest_of({"kind": "reviewer", "world": world, "told": [harmful, rewrites]})

    async def reflect(self, ask: Reflection) -> Reflected:
        """Answer one reflection."""
        shared = self._causes(ask)
        if not shared:
            return Reflected(ReflectionFailure("no_lesson", "nothing that failed calls for anything"))
        chance = random.Random(canonical([self._world.random_seed, _content(ask)]))
        most = list(shared.items())
        most = [most[0], *sorted(most[1:], key=lambda each: -len(each[1]))][:MOST]
        if self._rewrites:
            return Reflected(self._rewritten(ask, most, chance))
        first, *others = [self._edit(ask, cause, shown, chance) for cause, shown in most]
        also = tuple(other for other in others if other.text != _part(ask, other.component).text)
        return Reflected(Proposal(first.diagnosis, first.component, first.text, first.cites, also))

    def _causes(self, ask: Reflection) -> dict[Cause, list[Shown]]:
        """Give what failing trajectories lack or suffer from, in their order, with those that share it."""
        text = "".join(part.text for part in ask.components)
        known = reading(self._world, text)
        lines = items(text)
        found: dict[Cause, list[Shown]] = {}
        for shown in ask.failing:
            seen = bits(str(shown.input))
            culprit = next(
                (line for line in lines if (note := note_of(line)) is not None and takes(note, seen)), None
            )
            done = done_in(shown.output)
            for name in needs(str(shown.input)):
                if name not in done:
                    other = {one: two for pair in known.clashing for one, two in (pair, pair[::-1])}.get(name)
                    found.setdefault(Cause(name, other, culprit), []).append(shown)
        return found

    def _edit(self, ask: Reflection, cause: Cause, shown: Sequence[Shown], chance: random.Random) -> Proposal:
        """Mend one cause."""
        part = _home(ask, cause.remedy)
        lines = part.text.splitlines(keepends=True)
        cites = tuple(one.trajectory for one in shown)
        if cause.culprit is not None and chance.random() < CULPRIT:
            part = next(one for one in ask.components if cause.culprit in one.text)
            mended = part.text.replace(cause.culprit, cleaned(cause.culprit), 1)
            return Proposal("a line takes over what it is not meant for", part.id, mended, cites)
        there = [number for number, line in enumerate(lines) if cause.remedy in carried(line)]
        if cause.blocked_by is not None and (told := self._reconciled(ask, cause, chance)) is not None:
            said = f"two lines contradict each other: {_diagnosis([cause.remedy], chance)}"
            return Proposal(said, part.id, told, cites)
        if there and chance.random() < REWORDED:
            lines[there[0]] = self._line(ask, carried(lines[there[0]]), shown, chance) + "\n"
        else:
            lines.insert(chance.choice(_places(lines)), self._line(ask, [cause.remedy], shown, chance) + "\n")
        return Proposal(_diagnosis([cause.remedy], chance), part.id, "".join(lines), cites)

    def _line(
        self, ask: Reflection, remedies: Sequence[str], shown: Sequence[Shown], chance: random.Random
    ) -> str:
        """Write a line for remedies: misread at times, and at times taking over more than was seen."""
        if chance.random() < MISREAD.get(len(shown), MISREAD_ELSE):
            return f"- {chance.choice(NOTHING)} ({chance.choice(REMEDIES[remedies[0]].topics)})."
        line = written(remedies, chance)
        if chance.random() < self._harmful:
            note = _note([bits(str(one.input)) for one in (*ask.failing, *ask.passing)], chance)
            line += "" if note is None else HARM.format(note=note)
        return line

    def _reconciled(self, ask: Reflection, cause: Cause, chance: random.Random) -> str | None:
        """Give the part with one line for both of a pair where both are seen to fail, else without the other.

        None where neither comes to mind.
        """
        part, other = _home(ask, cause.remedy), str(cause.blocked_by)
        lines = part.text.splitlines(keepends=True)
        mine = [line for line in lines if cause.remedy in carried(line)]
        theirs = [line for line in lines if other in carried(line)]
        lacking = {name for one in ask.failing for name in needs(str(one.input))}
        if not mine or not theirs or chance.random() < REWORDED:
            return None
        left = [line for line in lines if line not in theirs]
        if other in lacking:
            left[left.index(mine[0])] = written([cause.remedy, other], chance) + "\n"
        return "".join(left)

    def _rewritten(
        self, ask: Reflection, most: Sequence[tuple[Cause, list[Shown]]], chance: random.Random
    ) -> Proposal:
        """Say the whole part of the first cause anew, with lines for all causes that belong there."""
        part = _home(ask, most[0][0].remedy)
        kept = [line for line in part.text.splitlines() if not line.startswith("- ")]
        told = [_again(line, chance) for line in items(part.text) if chance.random() >= LOST]
        here = [(cause, shown) for cause, shown in most if _home(ask, cause.remedy) is part]
        said = {name for line in told for name in carried(line)}
        told += [
            self._line(ask, [cause.remedy], shown, chance)
            for cause, shown in here
            if cause.remedy not in said or chance.random() >= REWORDED
        ]
        chance.shuffle(told)
        text = "\n".join([*_trimmed(kept), "", *told, ""])
        cites = tuple(dict.fromkeys(one.trajectory for _, shown in here for one in shown))
        return Proposal(_diagnosis([cause.remedy for cause, _ in here], chance), part.id, text, cites)


def _content(ask: Reflection) -> list[Any]:
    """Give what stands in an ask, without ids."""
    return [
        [part.text for part in ask.components],
        [[one.input, one.output, one.feedback] for one in ask.failing],
        [[one.input, one.output] for one in ask.passing],
        [[one.diagnosis, one.change] for one in ask.lineage],
    ]


def _diagnosis(remedies: Sequence[str], chance: random.Random) -> str:
    topics = [chance.choice(REMEDIES[name].topics) for name in remedies]
    return "; ".join(chance.choice(DIAGNOSES).format(topic=topic) for topic in topics)


def _home(ask: Reflection, remedy: str) -> Component:
    """Give the part where a remedy belongs, or the last one."""
    section = REMEDIES[remedy].section
    return next((part for part in ask.components if part.heading == section), ask.components[-1])


def _part(ask: Reflection, id_: str) -> Component:
    return next(part for part in ask.components if part.id == id_)


def _places(lines: Sequence[str]) -> list[int]:
    """Give where a line may stand: before or behind any item."""
    found = [number for number, line in enumerate(lines) if line.startswith("- ")]
    return [*found, found[-1] + 1] if found else [len(lines)]


def _again(line: str, chance: random.Random) -> str:
    """Say a line in other words: what it carries stays, and the note that it ends with."""
    found, note = carried(line), note_of(line)
    if not found:
        return line
    return written(found, chance) + ("" if note is None else HARM.format(note=note))


def _trimmed(lines: Sequence[str]) -> Iterator[str]:
    return (line for line in lines if line.strip())


def _note(shown: Sequence[int], chance: random.Random) -> int | None:
    """Draw a note that takes nothing of what is shown for its own; None where none was found."""
    columns = [sum(((one >> bit) & 1) << number for number, one in enumerate(shown)) for bit in range(256)]
    for _ in range(TRIES):
        note = chance.getrandbits(32)
        one, other, third, fourth = note.to_bytes(4, "big")
        if not columns[one] & columns[other] & (columns[third] | columns[fourth]):
            return note
    return None
