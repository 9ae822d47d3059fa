"""Reply of a reflection as a proposal (pure).

The reply is sections, each begun by a line that holds the prompt's code, not JSON: a runbook's Markdown has
quotes, backslashes and line endings on every line, and models err where they must escape them, and think less
well meanwhile (https://aider.chat/2024/08/14/code-in-json.html). Nor is a divider fixed (`=======`): it may
stand in the text (https://github.com/Aider-AI/aider/issues/1803). One line begins a section and ends the one
before, for a model has to copy the code once for each; the line `end` tells a whole reply from one cut off.

Edits say `old` and `new`, and `old` must occur exactly once: what is meant needs no guessing, and what is
not meant stays byte for byte, so that edits of several reflections combine. Whole texts are taken as well.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents import runbook as runbooks
from runbookopt.documents.schema_errors import plain
from runbookopt.documents.schema_errors import shown as quoted
from runbookopt.documents.untrusted import shortened
from runbookopt.search.asks import Proposal, Reflection, ReflectionFailure
from runbookopt.search.crossover import Rewrite, crossover
from runbookopt.search.reflecting.prompt import EDITS, codes, trajectories, unix

TOLD = 2_000  # characters kept of a diagnosis

BODIES = re.compile(r"none|text|old new(?: old new)*")
EXPECTED = "diagnosis, cites, part, then old and new (or text, or none), for each edit; then end"

_Section = tuple[str, str]  # a name and a text


class _Unusable(Exception):
    """A reply, or an edit of it, that cannot be used: what was expected and what was found.

    `kind`: "unparsable" where it has not the form, "unusable" where it says what may not be.
    """

    def __init__(self, message: str, kind: str = "unparsable") -> None:
        super().__init__(message)
        self.kind = kind


class _Edit(Struct, frozen=True):
    proposal: Proposal
    whole: bool
    """Whether it gives the whole text of its part."""


def read(ask: Reflection, text: str, *, partly: bool = False) -> Proposal | ReflectionFailure:
    """Read a model's reply; where it does not have the form, the failure says what was expected and found.

    What stands before the first section and behind the end is passed over. Of several edits all have to be
    usable; `partly` takes those that are, where some are: once a fault was told, and told in vain. An echo is
    a failure; the section `none` gives one on purpose, which the search rejects at no rollout, and remembers.
    """
    mark, wave = codes(ask)
    edits: list[_Edit] = []
    faults: list[_Unusable] = []
    try:
        groups = list(_groups(text, mark))
    except _Unusable as error:
        return ReflectionFailure(error.kind, str(error))
    if len(groups) > EDITS:
        fault = f"expected {EDITS} edits at most, found {len(groups)}: leave out what matters least"
        faults.append(_Unusable(fault))
    for number, group in enumerate(groups[:EDITS], start=1):
        try:
            edit = _edit(ask, group, (mark, wave))
            _beside(ask, edit, edits)
        except _Unusable as error:
            place = f"edit {number} of the reply: " if len(groups) > 1 else ""
            faults.append(_Unusable(f"{place}{error}", error.kind))
        else:
            edits += [edit] if edit not in edits else []
    if faults and not (partly and edits):
        return ReflectionFailure(faults[0].kind, "; ".join(map(str, faults)))
    first, *others = (edit.proposal for edit in edits)
    return replace(first, also=tuple(others))


def _groups(text: str, code: str) -> Iterator[list[_Section]]:
    """The sections of each edit, which begin with its diagnosis."""
    text = unix(text)
    heads = list(re.finditer(rf"^[ \t]*=== {code} ([a-z]+)[ \t]*$\n?", text, re.MULTILINE))
    names = [match[1] for match in heads]
    names = names[: names.index("end") + 1] if "end" in names else names
    if not names:
        begins = quoted(text.strip()) if text.strip() else "nothing"
        raise _Unusable(f"expected a line '=== {code} diagnosis' and further sections, found {begins}")
    starts = [place for place, name in enumerate(names) if name == "diagnosis"]
    spans = list(pairwise([*starts, len(names) - 1]))
    whole = starts[:1] == [0] and names[-1] == "end"
    if not whole or not all(
        names[start : start + 3] == ["diagnosis", "cites", "part"]
        and BODIES.fullmatch(" ".join(names[start + 3 : stop]))
        for start, stop in spans
    ):
        raise _Unusable(f"expected the sections {EXPECTED}; found {', '.join(names)}")
    texts = [text[match.end() : after.start()].removesuffix("\n") for match, after in pairwise(heads)]
    for start, stop in spans:
        yield list(zip(names[start:stop], texts[start:stop], strict=True))


def _edit(ask: Reflection, sections: Sequence[_Section], fences: Sequence[str]) -> _Edit:
    (_, cause), (_, cited), (_, place), *rest = sections
    diagnosis = shortened(plain(" ".join(cause.split())), TOLD)
    if not diagnosis:
        raise _Unusable("expected a sentence in the section diagnosis, found nothing")
    cites = _cites(ask, cited)
    part = place.strip().strip("`")
    before = {component.id: component.text for component in ask.components}.get(part)
    if before is None:
        ids = ", ".join(component.id for component in ask.components)
        found = f"{quoted(part)}, which is locked" if part in _texts(ask) else quoted(part)
        raise _Unusable(f"expected in the section part one of {ids}; found {found}", "unusable")
    match rest:
        case [("none", _)]:
            return _Edit(Proposal(diagnosis, part, before, cites), whole=False)
        case [("text", whole)]:
            text = _whole(before, whole)
        case _:
            contents = [content for _, content in rest]
            text = _edited(part, before, list(zip(contents[::2], contents[1::2], strict=True)))
    if any(fence in text for fence in fences):
        raise _Unusable("expected the runbook's text alone, found a tag of a fence in it")
    _may_be(ask, part, text)
    return _Edit(Proposal(diagnosis, part, text, cites), whole=rest[0][0] == "text")


def _may_be(ask: Reflection, part: str, text: str) -> None:
    """Raise _Unusable for an edit that changes nothing, or what no edit may."""
    runbook = runbooks.parse(ask.candidate.text)
    edited = runbooks.replace(runbook, {part: text})
    if edited == ask.candidate.text:
        fault = f"expected an edit, found part {part} as it is: where none would help, say so by none"
        raise _Unusable(fault, "unusable")
    if faults := runbooks.violations(runbook, edited):
        raise _Unusable(f"expected an edit that may be made, found that {'; '.join(faults)}", "unusable")


def _beside(ask: Reflection, edit: _Edit, edits: Sequence[_Edit]) -> None:
    """Raise _Unusable where an edit cannot be made beside the earlier ones of its reply."""
    part = edit.proposal.component
    same = [each for each in edits if each.proposal.component == part and each.proposal != edit.proposal]
    if any(one.whole or edit.whole for one in same):
        raise _Unusable(f"part {part} is edited twice, once as a whole: give all of its new text in one edit")
    base = _texts(ask)[part]
    pairs = ([Rewrite(each.proposal.text, 1), Rewrite(edit.proposal.text, 1)] for each in same)
    if any(crossover(base, pair).lost for pair in pairs):
        raise _Unusable(f"expected edits of different places of part {part}: make those of one place one")


def _texts(ask: Reflection) -> Mapping[str, str]:
    return {part.id: part.text for part in runbooks.parse(ask.candidate.text).parts}


def _cites(ask: Reflection, cited: str) -> tuple[str, ...]:
    ids = {name: one.trajectory for name, one in trajectories(ask).items()}
    names = dict.fromkeys(re.findall(r"[^\s,;]+", cited))
    unknown = [name for name in names if name not in ids]
    if unknown or not names:
        instead = ", ".join(map(quoted, unknown)) or "nothing"
        raise _Unusable(f"expected in the section cites some of {', '.join(ids)}; found {instead}")
    return tuple(ids[name] for name in names)


def _whole(old: str, new: str) -> str:
    """A whole new text between the old one's blank lines, so that the same edit is the same text."""
    if not new.strip():
        raise _Unusable("expected the whole part in the section text, found nothing")
    wrapped = re.compile(r"\s*(```+|~~~+)[^\n]*\n.*\n\1\s*", re.DOTALL)
    if wrapped.fullmatch(new) and not wrapped.fullmatch(unix(old)):
        raise _Unusable("expected the part as it is to stand in the runbook, found a code fence around it")
    lead = old[: len(old) - len(old.lstrip("\r\n"))]
    return lead + _ended(old, new.strip("\n").rstrip()) + old[len(old.rstrip()) :]


def _edited(part: str, text: str, edits: Sequence[tuple[str, str]]) -> str:
    """Replace each old piece of the text as it was by the new one; all else stays byte for byte.

    Blank lines around a piece are how a reply is set, and mean nothing.
    """
    places = []
    for number, (old, new) in enumerate(edits, start=1):
        expected = f"pair {number}: expected old to occur once in part {part}"
        start, end = _place(expected, text, old.strip("\n"))
        ending = re.compile(r"\r\n?|\n").match(text, end)
        if not new.strip("\n") and ending and (start == 0 or text[start - 1] in "\r\n"):
            end = ending.end()  # whole lines go with their ending, and of two blank lines around them one
            before = start == 0 or re.search(r"(?:\A|[\r\n])[ \t]*(?:\r\n?|\n)\Z", text[:start])
            after = re.compile(r"[ \t]*(?:\r\n?|\n)").match(text, end)
            end = after.end() if before and after else end
        places.append((start, end, _ended(text, new.strip("\n"))))
    places.sort(reverse=True)
    if any(one[1] > other[0] for other, one in pairwise(places)):
        raise _Unusable("expected edits of different places, found two of the same lines: make them one")
    for start, end, new in places:  # from the last one on, so that the others stay where they are
        text = text[:start] + new + text[end:]
    return text


def _place(expected: str, text: str, old: str) -> tuple[int, int]:
    if not old.strip():
        raise _Unusable(f"{expected}, found it empty: to add, repeat a line in old and new")
    pattern = re.compile(r"(?:\r\n?|\n)".join(map(re.escape, old.split("\n"))))
    first = pattern.search(text)
    if first is None:
        lines = old.strip().split("\n")
        near = get_close_matches(lines[0], unix(text).split("\n"), n=1)
        hint = f"; the nearest line of it is {quoted(near[0])}" if near else ""
        raise _Unusable(f"{expected}, did not find {quoted(lines[0])} and what follows it there{hint}")
    if pattern.search(text, first.start() + 1):
        raise _Unusable(f"{expected}, found {quoted(old)} several times: copy more lines around it")
    return first.span()


def _ended(text: str, new: str) -> str:
    first = re.search(r"\r\n?|\n", text)
    return new.replace("\n", first[0]) if first else new
