"""Prompt of a reflection (pure); `reply` reads what comes of it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files

from msgspec import Struct

from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import as_text
from runbookopt.documents.hidden_text import visible
from runbookopt.documents.schema_errors import plain
from runbookopt.documents.untrusted import FEW as CODE
from runbookopt.documents.untrusted import enclosed, fence, shortened
from runbookopt.documents.usage import Message
from runbookopt.search.asks import Kind, Reflection, ReflectionFailure, Shown, Tried
from runbookopt.search.changes import applies, stands

VERSION = 5
"""Of the prompt and of how a reply is read: raised with every change, for answers are remembered by it."""

FAILING, PASSING = 6_000, 1_500  # characters shown of each input and each output
FEW = 6  # of more failing ones less is shown of each: no more in all than of so many
PASSED = 8  # of those that pass, the first: they come nearest first, and later ones told models nothing
FEEDBACK, DIAGNOSIS, EDIT = 1_500, 240, 600  # characters shown of reasons, of earlier diagnoses and edits
EARLIER = 3_000  # characters of earlier edits in all, the latest first
KINDS, KIND = 12, 160  # kinds of failures told, and characters of each
OTHERS, WAVE = 2, 2_000  # kinds told of each reviewer of the wave, and characters of them all
SHORTEST = 40  # characters of a kind that still tell which it is
ORIGIN = 300  # characters shown of what a stored output is of
REPLY = 12_000  # characters shown of a reply that cannot be used

EDITS = 4  # of one reply, at most

STORED = (
    " Where an origin stands beside a trajectory, the output was not made with the runbook above: it is a"
    " stored one, of another agent or another version of the runbook. It shows what goes wrong on such tasks;"
    " what the runbook above already says clearly needs no edit."
)
"""What is said of stored outputs, where some are shown."""


class _Shown(Struct, frozen=True):
    """All that a prompt shows of others, and its codes: `wave` is derived from what a wave's asks share.

    `earlier` and `failures` are a sentence of ours and a text; both are empty where there is nothing to say.
    """

    parts: Mapping[str, str]
    earlier: tuple[str, str]
    failures: tuple[str, str]
    trajectories: str
    wave: str
    own: str


@cache
def head() -> str:
    """The part that is the same in all prompts."""
    return (
        files("runbookopt.search.reflecting").joinpath("reflector.md").read_text("utf-8").removesuffix("\n")
    )


def prompt(ask: Reflection) -> tuple[Message, ...]:
    """The messages for one reflection: first what all asks share, then a candidate's, then a wave's."""
    shown = _shown(ask)
    editable = {component.id for component in ask.components}
    system = (
        head(),
        *([f"# The agent\n\n{plain(ask.agent)}"] if ask.agent else []),
        f"# The runbook\n\n{_room(ask)}",
        *(
            f"Part {id_}, {'may be edited' if id_ in editable else 'locked'}:\n"
            + enclosed("part", text, shown.wave)
            for id_, text in shown.parts.items()
        ),
    )
    request = (
        *_told("Earlier edits", "edits", shown.earlier, shown.wave),
        *_told("The failures", "failures", shown.failures, shown.wave),
        "# Trajectories\n\nF1, F2, ... fail, P1, P2, ... pass. Scores lie between 0 and 1."
        + (f" You are reviewer {ask.reviewer + 1}." if len(ask.wave) > 1 else "")
        + (STORED if any(one.origin for one in trajectories(ask).values()) else ""),
        enclosed("trajectories", shown.trajectories.replace(shown.wave, "[...]"), shown.own),
        _form(shown.own),
    )
    return Message("system", "\n\n".join(system)), Message("user", "\n\n".join(request))


def repair(ask: Reflection, reply: str, failure: ReflectionFailure) -> tuple[Message, ...]:
    """The messages that show a model what is wrong with its reply and ask for another."""
    form = _form(_shown(ask).own)
    fault = f"This reply cannot be used: {failure.message}.\n\nGive the whole reply again.\n\n{form}"
    refused = shortened(reply.strip(), REPLY) or "(nothing)"
    return (*prompt(ask), Message("assistant", refused), Message("user", fault))


def codes(ask: Reflection) -> tuple[str, str]:
    """The codes that a reply to the prompt carries, and that the runbook's parts are shown with."""
    shown = _shown(ask)
    return shown.own, shown.wave


def trajectories(ask: Reflection) -> dict[str, Shown]:
    """The trajectories that a prompt shows, by the names that a reply cites them by."""
    return dict((*_named("F", ask.failing), *_named("P", ask.passing[:PASSED])))


def _named(letter: str, shown: Sequence[Shown]) -> list[tuple[str, Shown]]:
    """Name trajectories by numbers: an id is long, and whoever brings a trajectory chooses it."""
    return [(f"{letter}{number}", one) for number, one in enumerate(shown, start=1)]


def unix(text: str) -> str:
    """A text with line endings as prompts have them."""
    return re.sub(r"\r\n?", "\n", text)


def _shown(ask: Reflection) -> _Shown:
    parts = {part.id: unix(part.text) for part in runbooks.parse(ask.candidate.text).parts}
    earlier, failures = _earlier(ask, parts), _failures(ask)
    attempts = "\n".join(
        (
            *_trajectories("F", ask.failing, FAILING, FEW),
            *_trajectories("P", ask.passing[:PASSED], PASSING, PASSED),
        )
    )
    shared = (*parts.values(), earlier[1], failures[1])
    return _Shown(
        parts,
        earlier,
        failures,
        attempts,
        wave=fence(*shared, digits=CODE),
        own=fence(*shared, attempts, digits=CODE),
    )


def _room(ask: Reflection) -> str:
    length, most, reviewers = len(ask.candidate.text), ask.length_budget, len(ask.wave)
    if length > most:
        left = f"it has to lose {length - most:,}."
    elif reviewers > 1:
        share = (most - length) // reviewers
        left = f"{most - length:,} are left, for {reviewers} reviewers: about {share:,} for each."
    else:
        left = f"{most - length:,} are left."
    return f"It has {length:,} characters, of {most:,} that it may have: {left}"


# What came before ---------------------------------------------------------------------------------------


def _earlier(ask: Reflection, parts: Mapping[str, str]) -> tuple[str, str]:
    """The latest of the earlier edits that are not in the text: those that are need no telling."""
    text = "\n".join(parts.values())
    absent = [tried for tried in ask.lineage if not stands(tried.change, text)]
    entries: list[str] = []
    for tried in reversed(absent):
        entry = _entry(tried, parts)
        if sum(map(len, entries)) + len(entry) > EARLIER:
            break
        entries.insert(0, entry)
    standing = len(ask.lineage) - len(absent)
    sentence = (
        f"{standing or 'None'} of the earlier edits are in the text. These are not: the latest"
        f" {len(entries)} of {len(absent)}, the oldest first, each with what became of it, and with its diff"
        " where it is one of the text as it is now."
    )
    return (sentence, "\n".join(entries)) if entries else ("", "")


def _entry(tried: Tried, parts: Mapping[str, str]) -> str:
    """An earlier edit: a line, and its diff where it could be made of the text as it is now."""
    where = f"part {tried.component}" if tried.component in parts else "a part that is gone"
    outcome = _line(tried.outcome, DIAGNOSIS)
    if tried.tasks:
        alone = f"with {tried.beside} others" if tried.beside else "alone"
        outcome += f"; tried {alone}: {tried.before:.4g} -> {tried.after:.4g} of {tried.tasks}"
    fresh = tried.change and applies(tried.change, parts.get(tried.component))
    lines = [f"- {where}: {outcome}", _field("diagnosis", _line(tried.diagnosis, DIAGNOSIS))]
    diff = "\n".join(line for line in tried.change.split("\n") if line.strip()).removeprefix("@@")
    return "\n".join([*lines, _field("diff", _cut(diff, EDIT))] if fresh else lines)


def _failures(ask: Reflection) -> tuple[str, str]:
    """How many tasks fail and as what, and what each reviewer of the wave looks at."""
    if not ask.kinds:
        return "", ""
    lines = [_counted(kind, KIND) for kind in ask.kinds[:KINDS]]
    lines += ["and others"] if ask.kinds[KINDS:] else []
    sentence = f"{ask.failed} of {ask.tasks} tasks fail; a task may fail in several ways."
    if len(ask.wave) > 1:
        sentence += f" {len(ask.wave)} reviewers look at them at the same time, each at some."
        most = max(SHORTEST, min(KIND, WAVE // (OTHERS * len(ask.wave))))
        for number, kinds in enumerate(ask.wave, start=1):
            told = [
                *(_counted(kind, most) for kind in kinds[:OTHERS]),
                *["and others"][: len(kinds[OTHERS:])],
            ]
            lines.append(f"reviewer {number}: {'; '.join(told)}")
    return sentence, "\n".join(lines)


def _counted(kind: Kind, most: int) -> str:
    return f"{kind.tasks} x {_line(kind.feedback, most)}"


def _told(title: str, name: str, told: tuple[str, str], code: str) -> Iterator[str]:
    sentence, text = told
    if text:
        yield f"# {title}\n\n{sentence}"
        yield enclosed(name, text, code)


# Trajectories -------------------------------------------------------------------------------------------


def _trajectories(letter: str, shown: Sequence[Shown], most: int, few: int) -> Iterator[str]:
    characters = most * few // max(few, len(shown))
    for name, one in _named(letter, shown):
        yield f"{name}, score {one.score:.2f}"
        yield _field("input", _cut(as_text(one.input), characters))
        if one.origin is not None:
            yield _field("origin", _cut(one.origin, ORIGIN))
        if one.output is None:
            yield "  no output: the agent delivered nothing"
        else:
            yield _field("output", _cut(one.output, characters))
        for reason in one.feedback:
            yield _field("found", _cut(reason, FEEDBACK))
        for reason in one.advice:
            yield _field("found besides, which decides nothing", _cut(reason, FEEDBACK))


def _field(label: str, text: str, indent: int = 2) -> str:
    """A labelled text whose further lines stand further in: none of them can be taken for a line of ours."""
    first, *others = text.split("\n")
    return "\n".join((f"{' ' * indent}{label}: {first}", *(f"{' ' * (indent + 2)}{line}" for line in others)))


def _line(text: str, most: int) -> str:
    line = " ".join(visible(text[: 2 * most]).split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def _cut(text: str, characters: int) -> str:
    """Cut before looking through a text that may be huge, and after, for what is written out is longer."""
    return shortened(visible(shortened(text, characters)), 2 * characters)


def _form(code: str) -> str:
    """The form of a reply; its last line is how one ends, by which a file is known to hold all of one."""
    return f"""# Your reply

A further edit, for another cause, begins with a diagnosis of its own, before the one line that ends all.
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
