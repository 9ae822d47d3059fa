"""Runbook in its parts, byte for byte: those that search may rewrite, and rules for edits (pure)."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

from msgspec import Struct
from msgspec.structs import replace as with_fields

from runbookopt.documents.digest import digest
from runbookopt.documents.hidden_text import LOCK_MARKER, hidden
from runbookopt.documents.markdown import (
    BOM,
    LINE,
    Heading,
    Outline,
    front_data,
    front_matter,
    is_template,
    line_of,
    outline,
)
from runbookopt.documents.parse import MalformedFile, Problem
from runbookopt.documents.prompt_yaml import Message, messages
from runbookopt.documents.schema_errors import nearest, shown

FRONT_MATTER, PREAMBLE, FRAME = "front-matter", "preamble", "frame"


IN_YAML = (".prompt.yml", ".prompt.yaml")
"""Files that are prompts in YAML, and nothing else."""


class Part(Struct, frozen=True):
    """A run of whole lines, its heading line included; `locked` says why search may not rewrite it.

    Lines count from 1, both ends included. `heading` is that of the section, as written, without its marks.
    """

    id: str
    heading: str | None
    text: str
    first_line: int
    last_line: int
    locked: str | None = None


class Locks(Struct, frozen=True):
    """What a policy says of sections, by heading or id: some are locked, of some a word is no reason."""

    locked: tuple[str, ...] = ()
    unlocked: tuple[str, ...] = ()


class Runbook(Struct, frozen=True, dict=True):
    """All parts of a runbook in their order: their texts joined are the file. `locks` are the policy's."""

    parts: tuple[Part, ...]
    locks: Locks = Locks()

    @cached_property
    def text(self) -> str:
        """The whole file."""
        return "".join(part.text for part in self.parts)

    @cached_property
    def digest(self) -> str:
        """Digest of the file's bytes."""
        return digest(self.text.encode())

    @cached_property
    def version(self) -> str | None:
        """`version` of the front matter, else `metadata.version`."""
        data = front_data(front_matter(self.text))
        return next((str(value) for _, value in _versions(data) if value is not None), None)

    @cached_property
    def components(self) -> tuple[Part, ...]:
        """The parts that search may rewrite."""
        return tuple(part for part in self.parts if part.locked is None)

    def part(self, id: str) -> Part:  # noqa: A002 - the word of the file
        """The part with this id; raises KeyError."""
        return {part.id: part for part in self.parts}[id]


def decode(data: bytes, *, locks: Locks | None = None, path: str = "RUNBOOK.md") -> Runbook:
    """Read a runbook's bytes; raises MalformedFile where they are not UTF-8, and as `parse` does."""
    try:
        text = data.decode()
        if path.endswith(IN_YAML) and messages(text) is None:
            expected = "expected a prompt in YAML: `messages`, a list of {role: ..., content: |}"
            raise MalformedFile([Problem(path, None, expected)])
        return parse(text, locks=locks, path=path)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line = line_of(before, len(before))
        raise MalformedFile([Problem(path, line, "expected a text in UTF-8")]) from None


def parse(text: str, *, locks: Locks | None = None, path: str = "RUNBOOK.md") -> Runbook:
    r"""Divide a runbook into front matter, preamble, and one part for each `##` section.

    A heading is what CommonMark takes for one outside lists, quotes, code and HTML, also an underlined one.
    A `#` heading after the first `##` ends the section before it and is one itself; with no `##` at all the
    sections are those of `#`. Lines end at `\n`, `\r\n` or `\r` only. Lock markers stand alone on their
    lines and split a section; inside code they are text. Raises MalformedFile for a lock marker that is not
    understood, an entry of `locks` that names no section, and one of `unlocked` that cannot be.
    """
    runbook = _read(text, locks or Locks(), path)
    problems = [Problem(path, None, fault) for fault in _misnamed(runbook)]
    if problems:
        raise MalformedFile(problems)
    return runbook


def _misnamed(runbook: Runbook) -> Iterator[str]:
    """What the locks of a policy say that cannot be."""
    parts = runbook.parts
    names = [name for part in parts for name in (part.id, f"## {part.heading}") if name != "## None"]
    for key, entries in (("lock", runbook.locks.locked), ("unlocking", runbook.locks.unlocked)):
        for entry in entries:
            meant = [part for part in parts if _names(entry, part)]
            if not meant:
                yield f"no section for the {key} {shown(entry)}{nearest(entry, names)}"
            stays = meant[0].locked if meant and all(part.locked for part in meant) else None
            if key == "unlocking" and stays is not None:
                lifted = "take it out of `unlocked`: what is lifted is the lock of a heading's word alone"
                yield f"{shown(entry)} stays locked, since {stays}: {lifted}, and never the verifier's"


def reparse(runbook: Runbook, text: str) -> Runbook:
    """Read an edit of `runbook` under its locks, which need name no section now; raises as `parse` does."""
    return _read(text, runbook.locks)


def replace(runbook: Runbook, edits: Mapping[str, str]) -> str:
    """The file with new texts for some components, all else byte for byte.

    The blank lines around a component stay, and new text takes the line endings of the file where they are
    all alike. Raises ValueError where a part is locked or there is none.
    """
    parts = {part.id: part for part in runbook.parts}
    for name in edits:
        if name not in parts:
            raise ValueError(f"no part {name!r}")
        if parts[name].locked is not None:
            raise ValueError(f"part {name!r} is locked: {parts[name].locked}")
    indents = {message.start + 1: message.indent for message in messages(runbook.text) or ()}
    return "".join(
        _fitted(
            part.text, _indented(edits[part.id], indents.get(part.first_line, ""), part.text), runbook.text
        )
        if part.id in edits
        else part.text
        for part in runbook.parts
    )


def bump_version(text: str) -> str:
    """Raise the patch number of `version`, else `metadata.version`, where it is X.Y.Z; all else stays."""
    front = front_matter(text)
    data = front_data(front)
    for keys, value in _versions(data):
        if not (isinstance(value, str) and _SEMANTIC.fullmatch(value)):
            continue
        start, _, patch = value.rpartition(".")
        bumped = f"{start}.{int(patch) + 1}"
        bumped_data = _with(data, keys, bumped)
        for match in re.finditer(re.escape(value), front):  # the one that gives just this change in the data
            edited = f"{front[: match.start()]}{bumped}{front[match.end() :]}"
            if front_data(edited) == bumped_data:
                return edited + text[len(front) :]
    return text


def with_front_of(other: str, text: str) -> str:
    """`text` with the front matter of another text of the runbook, so that they differ in their bodies."""
    return front_matter(other) + text[len(front_matter(text)) :]


@lru_cache(maxsize=16)  # a search asks of a text twice
def violations(before: Runbook, after: Runbook | str, *, bumped: bool = False) -> tuple[str, ...]:
    """Say all that an edit may never do and this one does, each as one sentence; empty when it may be.

    That is: a part added, removed, renamed, moved, locked or unlocked; a locked part changed, the front
    matter included (with `bumped`, save for the bump of its version); a template token lost or new; hidden
    or bidirectional text brought in. An edit given as text that cannot be read at all says why.
    """
    if isinstance(after, str):
        try:
            after = reparse(before, after)
        except MalformedFile as error:
            return tuple(f"the runbook cannot be read: {problem.message}" for problem in error.problems)
    old, new = template_tokens(before.text), template_tokens(after.text)
    return (
        *_restructured(before, after),
        *_rewritten(before, after, bumped=bumped),
        *(f"template token {shown(token)} is lost" for token in sorted(old - new)),
        *(f"template token {shown(token)} is new" for token in sorted(new - old)),
        *newly_hidden(before.text, after.text),
    )


def hidden_text(text: str) -> tuple[str, ...]:
    """Describe what a reader of the file or of its rendering cannot see, each with its line.

    That is: invisible, control and bidirectional characters, and outside code blocks HTML comments other than
    lock markers, link definitions that serve as comments, hidden HTML elements.
    """
    return tuple(run.description for run in hidden(text))


def newly_hidden(before: str, after: str) -> Iterator[str]:
    """Say what of `after` a reader cannot see, and `before` does not hold."""
    old = Counter(run.text for run in hidden(before))
    for run in hidden(after):
        if old[run.text]:
            old[run.text] -= 1
        else:
            yield f"hidden text is brought in: {run.description}"


def template_tokens(text: str) -> frozenset[str]:
    """The template tokens of a text: `{{name}}`, `{% if x %}`, `${NAME}`, `$ARGUMENTS`.

    What a Markdown page shows in fences is an example of code, and no token of its own. In a prompt all text
    is a template, and so are the lines that say who speaks (`user:`).
    """
    if is_template(text):
        roles = Counter(_ROLE.findall(text))
        spoken = [f"{role}: ({number + 1})" for role, count in roles.items() for number in range(count)]
        return frozenset([*spoken, *(re.sub(r"[ \t]", "", token) for token in _TOKEN.findall(text))])
    if not _TOKEN.search(text):
        return frozenset()
    blocks = outline(text)
    fenced = blocks.fenced if messages(text) is None else ()
    prose = "".join(line for number, line in enumerate(blocks.lines) if number not in fenced)
    return frozenset(re.sub(r"[ \t]", "", token) for token in _TOKEN.findall(prose))


_ENDING = re.compile(r"\r\n?|\n")
_BLANK_LINES = re.compile(BOM + r"?(?:[ \t]*(?:\r\n?|\n))*")
_SEMANTIC = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}")
_ROLE = re.compile(r"^[ \t]*(system|user|assistant|developer|tool)[ \t]*:[ \t]*\r?$", re.MULTILINE)
_TOKEN = re.compile(r"\{\{[^{}\r\n]*\}\}|\{%[^{}\r\n]*%\}|\$\{[A-Za-z_][A-Za-z0-9_]*\}|\$ARGUMENTS\b")
_VERIFIER_HEADING = re.compile(
    r"\b(rubric|eval(uat\w*)?|judge|grad(er|ing)|(acceptance|pass) criteria|validation report)\b",
    re.IGNORECASE,
)
_LOCKED_HEADING = re.compile(r"\b(checklist|required output files|parameters|secrets)\b", re.IGNORECASE)
_MEANT_AS_MARKER = re.compile(r"<!--\s*runbookopt\b", re.IGNORECASE)
_CODE_SPAN = re.compile(r"(`+)[^`\r\n]+\1")


class _Span(Struct, frozen=True):
    """Lines from `start` up to `end`, counted from 0, and why they are locked."""

    start: int
    end: int
    locked: str | None = None


@lru_cache(maxsize=64)  # a search asks for the same few texts again and again
def _read(text: str, locks: Locks, path: str = "RUNBOOK.md") -> Runbook:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = f"U+{ord(text[error.start]):04X} is half a character"
        raise MalformedFile([Problem(path, line_of(text, error.start), message)]) from None
    spoken = messages(text)
    if spoken is not None:
        return Runbook(tuple(_prompt_parts(text, spoken, locks)), locks)
    blocks = outline(text)
    marked = _marked(text, blocks, path)
    front = "".join(blocks.lines[: blocks.front])
    parts = [Part(FRONT_MATTER, None, front, 1, blocks.front, "front matter")] if front else []
    taken = {FRONT_MATTER: 1}
    for heading, section in _sections(blocks):
        for piece in _pieces(section, marked, blocks.lines):
            part = Part(
                id=_id(heading, taken),
                heading=heading.text if heading else None,
                text="".join(blocks.lines[piece.start : piece.end]),
                first_line=piece.start + 1,
                last_line=piece.end,
                locked=piece.locked,
            )
            parts.append(with_fields(part, locked=part.locked or _reason(part, heading, locks)))
    return Runbook(tuple(parts), locks)


def _prompt_parts(text: str, spoken: Sequence[Message], locks: Locks) -> Iterator[Part]:
    """The parts of a prompt in YAML: the texts of its messages, and what is around them, which is locked."""
    lines = LINE.findall(text)
    taken: dict[str, int] = {}
    at = 0
    edges = [edge for message in spoken for edge in ((message.start, None), (message.end, message.role))]
    for edge, role in [*edges, (len(lines), None)]:
        own = "".join(lines[at:edge])
        if own:
            name = _id(Heading(0, 0, role or FRAME, role or FRAME), taken)
            part = Part(name, None, own, at + 1, edge, None if role else "it is not the text of a message")
            if role and _MEANT_AS_MARKER.search(own):
                part = with_fields(part, locked="it holds a lock marker, which has no meaning in YAML")
            yield with_fields(part, locked=part.locked or _reason(part, None, locks))
        at = edge


def _marked(text: str, blocks: Outline, path: str) -> list[_Span]:
    """The lines between lock markers, the markers included; raises MalformedFile."""
    spans: list[_Span] = []
    faults: list[Problem] = []
    opened: int | None = None
    for number in sorted({blocks.line_at(match.start()) for match in _MEANT_AS_MARKER.finditer(text)}):
        line = blocks.lines[number]
        if number < blocks.front or number in blocks.code or "<!--" not in _CODE_SPAN.sub("", line):
            continue
        match = LOCK_MARKER.fullmatch(line.strip(" \t\r\n" + BOM))
        word = match.group(1).lower() if match else None
        if word == "lock" and opened is None:
            opened = number
        elif word == "unlock" and opened is not None:
            reason = f"between the lock markers of lines {opened + 1} and {number + 1}"
            spans.append(_Span(opened, number + 1, reason))
            opened = None
        else:
            faults.append(Problem(path, number + 1, _misplaced(word, opened)))
    if opened is not None:
        reason = f"after the lock marker of line {opened + 1}, which is never unlocked"
        spans.append(_Span(opened, len(blocks.lines), reason))
    if faults:
        raise MalformedFile(faults)
    return spans


def _misplaced(word: str | None, opened: int | None) -> str:
    if word == "lock":
        return f"a lock within the lock of line {(opened or 0) + 1}: expected an unlock first"
    if word == "unlock":
        return "an unlock without a lock before it"
    return "expected <!-- runbookopt: lock --> or <!-- runbookopt: unlock -->, alone on its line"


def _sections(blocks: Outline) -> Iterator[tuple[Heading | None, _Span]]:
    """Divide the body at `##`, or at `#` where there is no `##`."""
    headings, end = blocks.headings, len(blocks.lines)
    level = 2 if any(heading.level == 2 for heading in headings) else 1  # noqa: PLR2004 - `##`
    first = next((heading.line for heading in headings if heading.level == level), end)
    starts = [heading for heading in headings if heading.line >= first and heading.level <= level]
    if blocks.front < first:
        yield None, _Span(blocks.front, first)
    for heading, until in zip(starts, [*(heading.line for heading in starts[1:]), end], strict=False):
        yield heading, _Span(heading.line, until)


def _pieces(section: _Span, marked: Sequence[_Span], lines: Sequence[str]) -> list[_Span]:
    """Cut a section at lock markers; blank lines beside locked ones are locked with them."""
    edges = {edge for span in marked for edge in (span.start, span.end) if section.start < edge < section.end}
    pieces: list[_Span] = []
    blank = False
    for start, end in pairwise(sorted({section.start, section.end} | edges)):
        locked = next((span.locked for span in marked if span.start <= start < span.end), None)
        was_blank, blank = blank, not "".join(lines[start:end]).strip()
        if pieces and (blank or was_blank):
            before = pieces.pop()
            pieces.append(_Span(before.start, end, before.locked or locked))
        else:
            pieces.append(_Span(start, end, locked))
    return pieces


def _id(heading: Heading | None, taken: dict[str, int]) -> str:
    """A slug, with -2, -3, ... where it is taken; `taken` remembers the last number of each."""
    lowered = unicodedata.normalize("NFKC", heading.plain if heading else PREAMBLE).lower()
    kept = (c if c.isalnum() or c == "_" or unicodedata.category(c)[0] == "M" else " " for c in lowered)
    name = slug = "-".join("".join(kept).split())[:64].strip("-") or "section"
    while name in taken:
        taken[slug] += 1
        name = f"{slug}-{taken[slug]}"
    taken[name] = 1
    return name


def _reason(part: Part, heading: Heading | None, locks: Locks) -> str | None:
    """Why a section is locked whose lines hold no marker: the policy's word comes before its heading's."""
    lock = next((lock for lock in locks.locked if _names(lock, part)), None)
    if lock is not None:
        return f"the policy locks {shown(lock)}"
    titles = (heading.plain, heading.text) if heading else ()
    lifted = any(_names(entry, part) for entry in locks.unlocked)
    words = [_VERIFIER_HEADING] if lifted else [_VERIFIER_HEADING, _LOCKED_HEADING]
    matches = (word.search(title) for word in words for title in titles)
    match = next((match for match in matches if match), None)
    return f"its heading says {match.group().lower()!r}" if match else None


def _names(entry: str, part: Part) -> bool:
    """Tell whether an entry of the policy's `locked` means this part: `## Heading`, `Heading` or an id."""
    words = " ".join(entry.split()).casefold()
    heading = None if part.heading is None else part.heading.casefold()
    return words.lstrip("#").strip() == heading if words.startswith("#") else words in {part.id, heading}


def _indented(text: str, indent: str, old: str) -> str:
    """A text with all its lines indented, as a block in YAML wants them; what is so already stays so.

    It is so where the first line is, or another one as it stood in the old text; the rest may be new.
    """
    lines, kept = LINE.findall(text), {line.rstrip() for line in LINE.findall(old)}
    told = [number for number, line in enumerate(lines) if line.strip()]
    lacking = {number for number in told if not lines[number].startswith(indent)}
    is_so = any(
        lines[number].rstrip() in kept or number == told[0] for number in told if number not in lacking
    )
    if lacking - set(told[:1]) and not is_so:  # more than the first line, which a model may have trimmed
        lacking = set(told)
    return "".join(indent + line if number in lacking else line for number, line in enumerate(lines))


def _fitted(old: str, new: str, file: str) -> str:
    """New text between the old one's blank lines and with the file's line endings."""
    if new == old:
        return old
    pairs = file.count("\r\n")
    counts = {"\r\n": pairs, "\r": file.count("\r") - pairs, "\n": file.count("\n") - pairs}
    endings = [ending for ending, count in counts.items() if count]
    if len(endings) == 1 and (endings != ["\n"] or "\r" in new):
        new = _ENDING.sub(endings[0], new)
    lead, _, tail = _edges(old)
    return lead + _edges(new)[1] + tail


def _edges(text: str) -> tuple[str, str, str]:
    """Divide text into its first blank lines, what is between, and from the line ending after that on."""
    lead = _BLANK_LINES.match(text)
    start = lead.end() if lead else 0
    end = len(text.rstrip(" \t\r\n"))
    if end <= start:
        start = end = len(BOM) if text.startswith(BOM) else 0
    tail = re.search(r"[\r\n]", text[end:])
    end = end + tail.start() if tail else len(text)
    return text[:start], text[start:end], text[end:]


def _versions(data: object) -> list[tuple[tuple[str, ...], object]]:
    """The places where a version may stand, with what stands there."""
    top: dict[str, Any] = data if isinstance(data, dict) else {}
    inner = top.get("metadata")
    return [
        (("version",), top.get("version")),
        (("metadata", "version"), inner.get("version") if isinstance(inner, dict) else None),
    ]


def _with(data: dict[str, Any], keys: tuple[str, ...], value: str) -> dict[str, Any]:
    first, *rest = keys
    return {**data, first: _with(data[first], tuple(rest), value) if rest else value}


def _restructured(before: Runbook, after: Runbook) -> Iterator[str]:
    old, new = ({part.id: part for part in runbook.parts} for runbook in (before, after))
    gone, come = [name for name in old if name not in new], [name for name in new if name not in old]
    if [name if name in new else None for name in old] == [name if name in old else None for name in new]:
        yield from (f"part {a!r} is renamed {b!r}" for a, b in zip(gone, come, strict=True))
    else:
        yield from (f"part {name!r} is gone" for name in gone)
        yield from (f"part {name!r} is new" for name in come)
        if [name for name in old if name in new] != [name for name in new if name in old]:
            yield "the parts are in another order"
    for name in [name for name in old if name in new]:
        if old[name].heading != new[name].heading:
            yield f"part {name!r} has another heading: {shown(new[name].heading)}"
        if (old[name].locked is None) != (new[name].locked is None):
            yield f"part {name!r} is {'locked' if new[name].locked else 'unlocked'} by the edit"


def _rewritten(before: Runbook, after: Runbook, *, bumped: bool) -> Iterator[str]:
    texts = {part.id: part.text for part in after.parts}
    for part in before.parts:
        new = texts.get(part.id, part.text)
        if part.locked is None or new == part.text:
            continue
        if part.id != FRONT_MATTER:
            yield f"locked part {part.id!r} is changed ({part.locked})"
        elif not (bumped and new == bump_version(part.text)):
            yield f"the front matter is changed: {_changed_keys(part.text, new)}"


def _changed_keys(before: str, after: str) -> str:
    old, new = front_data(before), front_data(after)
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return "its text"
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return ", ".join(shown(key) for key in keys) or "its comments or form"
