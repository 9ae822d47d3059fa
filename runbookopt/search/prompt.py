"""Prompt of a reflection (pure); `reply` reads what comes of it."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files

from msgspec import Struct

from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import as_text
from runbookopt.documents.hidden_text import visible
from runbookopt.documents.untrusted import enclosed, fence, fenced, shortened
from runbookopt.documents.usage import Message
from runbookopt.search.asks import Reflection, ReflectionFailure, Shown, Tried

VERSION = 5
"""Of the prompt and of how a reply is read: raised with every change, for answers are remembered by it."""

FAILING, PASSING = 6_000, 1_500  # characters shown of each input and each output
FEW = 6, 12  # of more failing, and of more passing, less is shown of each: no more in all than of so many
FEEDBACK, DIAGNOSIS, EDIT = 1_500, 400, 1_200  # characters shown of reasons, of earlier lines and edits
ORIGIN = 300  # characters shown of what a stored output is of
REPLY = 12_000  # characters shown of a reply that cannot be used

EDITS = 3  # of one reply, at most

STORED = (
    " Where an origin stands beside a trajectory, the output was not made with the runbook above: it is a"
    " stored one, of another agent or another version of the runbook. It shows what goes wrong on such tasks;"
    " what the runbook above already says clearly needs no edit."
)
"""What is said of stored outputs where some are shown: all other prompts are as they were before."""


class _Block(Struct, frozen=True):
    """A line of ours, and the text that it introduces; None where there is none to show."""

    label: str
    name: str
    text: str | None


class _Blocks(Struct, frozen=True):
    """All that a prompt shows, and its fences: `wave` is derived from what a wave's asks share."""

    parts: tuple[_Block, ...]
    lineage: tuple[_Block, ...]
    trajectories: tuple[_Block, ...]
    wave: str
    own: str


@cache
def head() -> str:
    """The part that is the same in all prompts."""
    return files("runbookopt.search").joinpath("reflector.md").read_text("utf-8").removesuffix("\n")


def prompt(ask: Reflection) -> tuple[Message, ...]:
    """The messages for one reflection: first what all asks share, then a candidate's, then a wave's."""
    blocks = _blocks(ask)
    length, most = len(ask.candidate.text), ask.length_budget
    room = f"{most - length:,} are left." if most >= length else f"it has to lose {length - most:,}."
    system = (
        head(),
        "# The runbook",
        f"It has {length:,} characters, of {most:,} that it may have: {room}",
        *(f"{block.label}\n{enclosed(block.name, block.text or '', blocks.wave)}" for block in blocks.parts),
    )
    request = (
        "# Earlier edits\n\nThe oldest first; each as a diff of the part that it was made in.",
        *(_rendered(blocks.lineage, blocks.wave) or ("There are none.",)),
        "# Trajectories\n\nF1, F2, ... fail, P1, P2, ... pass. Scores lie between 0 and 1."
        + (STORED if any(one.origin for one in (*ask.failing, *ask.passing)) else ""),
        *(_rendered(blocks.trajectories, blocks.own, blocks.wave)),
        _form(blocks.own),
    )
    return Message("system", "\n\n".join(system)), Message("user", "\n\n".join(request))


def repair(ask: Reflection, reply: str, failure: ReflectionFailure) -> tuple[Message, ...]:
    """The messages that show a model what is wrong with its reply and ask for another."""
    form = _form(_blocks(ask).own)
    fault = f"This reply cannot be used: {failure.message}.\n\nGive the whole reply again.\n\n{form}"
    refused = shortened(reply.strip(), REPLY) or "(nothing)"
    return (*prompt(ask), Message("assistant", refused), Message("user", fault))


def codes(ask: Reflection) -> tuple[str, str]:
    """The codes that a reply to the prompt carries, and that the runbook's parts are shown with."""
    blocks = _blocks(ask)
    return blocks.own, blocks.wave


def _blocks(ask: Reflection) -> _Blocks:
    editable, texts = {component.id for component in ask.components}, _texts(ask)
    parts = tuple(
        _Block(f"Part {id_}, {'may be edited' if id_ in editable else 'locked'}:", "part", unix(text))
        for id_, text in texts.items()
    )
    lineage = tuple(_earlier(number, tried, texts) for number, tried in enumerate(ask.lineage, start=1))
    trajectories = (
        *_trajectories("F", ask.failing, FAILING, FEW[0]),
        *_trajectories("P", ask.passing, PASSING, FEW[1]),
    )
    shared = [block.text or "" for block in (*parts, *lineage)]
    own = fence(*shared, *(block.text or "" for block in trajectories))
    return _Blocks(parts, lineage, trajectories, wave=fence(*shared), own=own)


def _texts(ask: Reflection) -> dict[str, str]:
    return {part.id: part.text for part in runbooks.parse(ask.candidate.text).parts}


def _trajectories(letter: str, shown: Sequence[Shown], most: int, few: int) -> Iterator[_Block]:
    characters = most * few // max(few, len(shown))
    for name, one in named(letter, shown):
        text = as_text(one.input)
        yield _Block(f"## {name}, score {one.score:.2f}\n\nInput:", "input", _cut(text, characters))
        if one.origin is not None:
            yield _Block("Origin:", "origin", _cut(one.origin, ORIGIN))
        if one.output is None:
            yield _Block("Output: none, the agent delivered nothing.", "output", None)
        else:
            yield _Block("Output:", "output", _cut(one.output, characters))
        for reason in one.feedback:
            yield _Block("What the verifier found:", "feedback", _cut(reason, FEEDBACK))


def named(letter: str, shown: Sequence[Shown]) -> list[tuple[str, Shown]]:
    """Name trajectories by numbers: an id is long, and whoever brings a trajectory chooses it."""
    return [(f"{letter}{number}", one) for number, one in enumerate(shown, start=1)]


def _earlier(number: int, tried: Tried, parts: Collection[str]) -> _Block:
    """Show an edit within one fence, for a fence costs a model as much as a sentence of ours."""
    part = f"part {tried.component}" if tried.component in parts else "a part that is gone"
    about = f"Became of it: {_line(tried.outcome)}\nDiagnosis: {_line(tried.diagnosis)}\n"
    edit = _cut(tried.change or "(none: it leaves the part as it is)", EDIT)
    return _Block(f"## Edit {number}, of {part}", "edit", about + edit)


def _line(text: str) -> str:
    line = " ".join(visible(text[: 2 * DIAGNOSIS]).split())
    return line if len(line) <= DIAGNOSIS else f"{line[: DIAGNOSIS - 3]}..."


def _cut(text: str, characters: int) -> str:
    """Cut before looking through a text that may be huge, and after, for what is written out is longer."""
    return shortened(visible(shortened(text, characters)), 2 * characters)


def unix(text: str) -> str:
    """A text with line endings as prompts have them."""
    return re.sub(r"\r\n?", "\n", text)


def _rendered(blocks: Iterable[_Block], mark: str, other: str | None = None) -> tuple[str, ...]:
    """Render blocks within their fence; the `other` fence, which can be foreseen, is taken out of them."""
    return tuple(
        block.label
        if block.text is None
        else f"{block.label}\n{fenced(block.name, block.text.replace(other or mark, '[...]'), mark)}"
        for block in blocks
    )


def _form(code: str) -> str:
    return f"""# Your reply

In the form described above; the code is {code}:

=== {code} diagnosis
(the cause, and why the edit removes it)
=== {code} cites
(such as F1 F3)
=== {code} part
(the id of the part)
=== {code} old
(lines of the part, copied exactly)
=== {code} new
(what stands in their place)
=== {code} end

A further edit, for another cause, stands before the line `end` and begins with a diagnosis of its own."""
