"""Prompt of a reflection, and its reply as a proposal (pure).

The reply is sections, each begun by a line that holds the prompt's fence, not JSON: a runbook's Markdown has
quotes, backslashes and line endings on every line, and models err where they must escape them, and think less
well meanwhile (https://aider.chat/2024/08/14/code-in-json.html). Nor is a divider fixed (`=======`): it may
stand in the text (https://github.com/Aider-AI/aider/issues/1803). One line begins a section and ends the one
before, for a model has to copy the fence once for each; the line `end` tells a whole reply from one cut off.

Edits say `old` and `new`, and `old` must occur exactly once: what is meant needs no guessing, and what is
not meant stays byte for byte, so that edits of several reflections combine. Whole texts are taken as well.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from itertools import pairwise

from msgspec import Struct

from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import as_text
from runbookopt.documents.hidden_text import visible
from runbookopt.documents.schema_errors import plain
from runbookopt.documents.schema_errors import shown as quoted
from runbookopt.documents.untrusted import enclosed, fence, fenced, shortened
from runbookopt.documents.usage import Message
from runbookopt.search.asks import Proposal, Reflection, ReflectionFailure, Shown, Tried

VERSION = 4
"""Of the prompt and of how a reply is read: raised with every change, for answers are remembered by it."""

FAILING, PASSING = 6_000, 1_500  # characters shown of each input and each output
FEW = 6, 12  # of more failing, and of more passing, less is shown of each: no more in all than of so many
FEEDBACK, DIAGNOSIS, EDIT = 1_500, 400, 1_200  # characters shown of reasons, of earlier lines and edits
ORIGIN = 300  # characters shown of what a stored output is of
REPLY, TOLD = 12_000, 2_000  # characters shown of a reply that cannot be read, and kept of a diagnosis

SECTIONS = re.compile(r"diagnosis cites part (?:none|text|old new(?: old new)*) end")
EXPECTED = "diagnosis, cites, part, then old and new (or text, or none), then end"


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


def read(ask: Reflection, text: str) -> Proposal | ReflectionFailure:
    """Read a model's reply; where it does not have the form, the failure says what was expected and found.

    What stands before the first section and behind the end is passed over. A part that is locked is no
    failure here: such proposals are rejected and remembered where all are.
    """
    blocks = _blocks(ask)
    try:
        proposal = _proposal(ask, _sections(text, blocks.own))
    except _Unparsable as error:
        return ReflectionFailure("unparsable", str(error))
    if blocks.own in proposal.text or blocks.wave in proposal.text:
        fault = "expected the runbook's text alone, found a tag of a fence in it"
        return ReflectionFailure("unparsable", fault)
    return proposal


class _Unparsable(Exception):
    """A reply that does not have the form: what was expected and what was found."""


def _blocks(ask: Reflection) -> _Blocks:
    editable, texts = {component.id for component in ask.components}, _texts(ask)
    parts = tuple(
        _Block(f"Part {id_}, {'may be edited' if id_ in editable else 'locked'}:", "part", _unix(text))
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
    for name, one in _named(letter, shown):
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


def _named(letter: str, shown: Sequence[Shown]) -> list[tuple[str, Shown]]:
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


def _unix(text: str) -> str:
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
=== {code} end"""


def _sections(text: str, code: str) -> list[tuple[str, str]]:
    text = _unix(text)
    heads = list(re.finditer(rf"^[ \t]*=== {code} ([a-z]+)[ \t]*$\n?", text, re.MULTILINE))
    names = [match[1] for match in heads]
    names = names[: names.index("end") + 1] if "end" in names else names
    if not names:
        begins = quoted(text.strip()) if text.strip() else "nothing"
        raise _Unparsable(f"expected a line '=== {code} diagnosis' and further sections, found {begins}")
    if not SECTIONS.fullmatch(" ".join(names)):
        raise _Unparsable(f"expected the sections {EXPECTED}; found {', '.join(names)}")
    texts = [text[match.end() : after.start()].removesuffix("\n") for match, after in pairwise(heads)]
    return list(zip(names[:-1], texts, strict=False))


def _proposal(ask: Reflection, sections: Sequence[tuple[str, str]]) -> Proposal:
    (_, cause), (_, cited), (_, named), *rest = sections
    diagnosis = shortened(plain(" ".join(cause.split())), TOLD)
    if not diagnosis:
        raise _Unparsable("expected a sentence in the section diagnosis, found nothing")
    cites = _cites(ask, cited)
    texts, part = _texts(ask), named.strip().strip("`")
    if part not in texts:
        ids = ", ".join(component.id for component in ask.components)
        raise _Unparsable(f"expected in the section part one of {ids}; found {quoted(part)}")
    match rest:
        case [("none", _)]:
            text = texts[part]  # no edit is an echo, which is rejected at no rollout, and remembered
        case [("text", whole)]:
            text = _whole(texts[part], whole)
        case _:
            contents = [content for _, content in rest]
            text = _edited(part, texts[part], list(zip(contents[::2], contents[1::2], strict=True)))
    return Proposal(diagnosis, part, text, cites)


def _cites(ask: Reflection, cited: str) -> tuple[str, ...]:
    ids = {name: one.trajectory for name, one in (*_named("F", ask.failing), *_named("P", ask.passing))}
    names = dict.fromkeys(re.findall(r"[^\s,;]+", cited))
    unknown = [name for name in names if name not in ids]
    if unknown or not names:
        instead = ", ".join(map(quoted, unknown)) or "nothing"
        raise _Unparsable(f"expected in the section cites some of {', '.join(ids)}; found {instead}")
    return tuple(ids[name] for name in names)


def _whole(old: str, new: str) -> str:
    """A whole new text between the old one's blank lines, so that the same edit is the same text."""
    if not new.strip():
        raise _Unparsable("expected the whole part in the section text, found nothing")
    wrapped = re.compile(r"\s*(```+|~~~+)[^\n]*\n.*\n\1\s*", re.DOTALL)
    if wrapped.fullmatch(new) and not wrapped.fullmatch(_unix(old)):
        raise _Unparsable("expected the part as it is to stand in the runbook, found a code fence around it")
    lead = old[: len(old) - len(old.lstrip("\r\n"))]
    return lead + _ended(old, new.strip("\n").rstrip()) + old[len(old.rstrip()) :]


def _edited(part: str, text: str, edits: Sequence[tuple[str, str]]) -> str:
    """Replace each old piece of the text as it was by the new one; all else stays byte for byte.

    Blank lines around a piece are how a reply is set, and mean nothing.
    """
    places = []
    for number, (old, new) in enumerate(edits, start=1):
        expected = f"edit {number}: expected old to occur once in part {part}"
        start, end = _place(expected, text, old.strip("\n"))
        ending = re.compile(r"\r\n?|\n").match(text, end)
        if not new.strip("\n") and ending and (start == 0 or text[start - 1] in "\r\n"):
            end = ending.end()  # whole lines go with their ending
        places.append((start, end, _ended(text, new.strip("\n"))))
    places.sort(reverse=True)
    if any(one[1] > other[0] for other, one in pairwise(places)):
        raise _Unparsable("expected edits of different places, found two of the same lines: make them one")
    for start, end, new in places:  # from the last one on, so that the others stay where they are
        text = text[:start] + new + text[end:]
    return text


def _place(expected: str, text: str, old: str) -> tuple[int, int]:
    if not old.strip():
        raise _Unparsable(f"{expected}, found it empty: to add, repeat a line in old and new")
    pattern = re.compile(r"(?:\r\n?|\n)".join(map(re.escape, old.split("\n"))))
    first = pattern.search(text)
    if first is None:
        lines = old.strip().split("\n")
        near = get_close_matches(lines[0], _unix(text).split("\n"), n=1)
        hint = f"; the nearest line of it is {quoted(near[0])}" if near else ""
        raise _Unparsable(f"{expected}, did not find {quoted(lines[0])} and what follows it there{hint}")
    if pattern.search(text, first.start() + 1):
        raise _Unparsable(f"{expected}, found {quoted(old)} several times: copy more lines around it")
    return first.span()


def _ended(text: str, new: str) -> str:
    first = re.search(r"\r\n?|\n", text)
    return new.replace("\n", first[0]) if first else new
