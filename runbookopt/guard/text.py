"""A runbook's text taken apart for the guard: lines, code, links, sentences (pure)."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal

from msgspec import Struct

from runbookopt.documents.markdown import tokens_of
from runbookopt.documents.runbook import hidden_text


class Match(Struct, frozen=True):
    """One thing that a text holds, and its line counted from 1; `what` does not depend on its place.

    A text is read as written ("raw") and as Markdown shows it ("rendered"), line by line, so that neither
    hides from the other; the further kinds are what Markdown makes of it. `note` is a block's language.
    """

    kind: Literal["raw", "rendered", "block", "span", "target", "unseen"]
    what: str
    line: int
    note: str = ""


class Sentence(Struct, frozen=True):
    """One sentence, table cell or line of a block that is no program; `lead` is what it hangs on.

    `lead` holds the headings above it and the sentence with a colon that opens its list. `words` is what
    is compared: neither case nor punctuation nor line breaks count.
    """

    text: str
    line: int
    lead: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """Give the words, numbers with their signs."""
        return words_of(self.text)

    @property
    def unquoted(self) -> str:
        """Give the text without what it quotes of others, unless the quotation speaks to somebody."""
        return _QUOTED.sub(lambda quote: quote[0] if _SPEAKS.search(quote[0]) else ' "" ', self.text)


class Reading(Struct, frozen=True):
    """A text as the guard reads it."""

    found: tuple[Match, ...]
    sentences: tuple[Sentence, ...]

    def matches(
        self, find: Callable[[Match], Iterator[str]], *, without: "Reading | None" = None
    ) -> dict[str, int]:
        """Give what `find` gives, each with its first line; not where `without` holds the same thing."""
        first: dict[str, int] = {}
        known = {(found.kind, found.what) for found in without.found} if without else set()
        for found in self.found:
            for what in find(found) if (found.kind, found.what) not in known else ():
                first[what] = min(found.line, first.get(what, found.line))
        return first


_QUOTED = re.compile(
    r"\"[^\"\n]{1,300}\"|“[^”]{1,300}”|„[^“”]{1,300}[“”]|«[^»]{1,300}»|»[^«]{1,300}«|「[^」]{1,300}」"
)
_LONGEST = 1000
_SPEAKS = re.compile(
    r"\b(?:you|your|yours|please|sie|ihr\w*|bitte|dein\w*|usted|ustedes|vous|votre|vos|agents?"
    r"|assistant)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:['\u2019\-_/:][^\W_]+|[.,](?=\d)\d+)*|[£$€%±]")
_DATA = frozenset(
    [
        "json",
        "jsonl",
        "text",
        "txt",
        "yaml",
        "yml",
        "csv",
        "md",
        "markdown",
        "plain",
        "plaintext",
        "xml",
        "html",
    ]
) | {""}


@lru_cache(maxsize=4096)
def words_of(text: str) -> tuple[str, ...]:
    """Give the words of a text in lower case and Unicode's compatibility form."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


@lru_cache(maxsize=8)
def read(text: str) -> Reading:
    """Read a runbook's text."""
    definitions: dict[str, Any] = {}
    tokens = tokens_of(text, tables=True, definitions=definitions)
    found = [*_lines("raw", text, 1), *_definitions(definitions), *_hidden(text)]
    for token in tokens:
        line = token.map[0] + 1 if token.map else 1
        if token.type in {"fence", "code_block"}:
            found.append(Match("block", token.content.strip("\n"), line, token.info.strip().casefold()))
        elif token.type == "html_block":
            found.append(Match("unseen", token.content.strip(), line))
        found += _inline(token.children or (), line)
    return Reading(tuple(found), tuple(_sentences(tokens)))


def is_data(block: Match) -> bool:
    """Tell whether a code block says that it is no program, or says nothing."""
    return (block.note.split() or [""])[0] in _DATA


def _sentences(tokens: Sequence[Any]) -> Iterator[Sentence]:
    place = _Place()
    for token in tokens:
        line = token.map[0] + 1 if token.map else 1
        if token.type in {"fence", "code_block"} and (token.info.split() or [""])[0].casefold() in _DATA:
            for number, row in enumerate(token.content.splitlines(), start=line):
                for piece in _pieces(unicodedata.normalize("NFKC", row.strip())) if row.strip() else ():
                    yield Sentence(piece, number, place.lead)
        elif token.type == "inline":
            at, last = line, token.map[1] if token.map else line
            for sentence in place.told(unicodedata.normalize("NFKC", _shown(token.children or ()))):
                for piece in _pieces(" ".join(sentence.split())) if sentence.strip() else ():
                    yield Sentence(piece, at, place.lead)
                at = min(at + sentence.count("\n"), last)
        else:
            place.enter(token)


class _Place:
    """Where in a text a reader of its tokens is: under which headings, and in which opened lists."""

    def __init__(self) -> None:
        self._headings: list[str] = []
        self._lists: list[str] = []
        self._last = ""
        self._in_heading = False

    @property
    def lead(self) -> str:
        return " ".join([*self._headings, *(told for told in self._lists if told)])

    def enter(self, token: Any) -> None:  # noqa: ANN401 - the parser's tokens have no types
        if token.type == "heading_open":
            self._in_heading, self._lists, self._last = True, [], ""
            self._headings = self._headings[: int(token.tag[1]) - 1]
        elif token.type.endswith("list_open"):
            self._lists.append(self._last if self._last.endswith(":") else "")
        elif token.type.endswith("list_close") and self._lists:
            self._lists.pop()

    def told(self, text: str) -> Sequence[str]:
        """Give the sentences of a paragraph, a heading or a cell that stands here."""
        sentences = tuple(_split(text))
        if self._in_heading:
            self._headings, self._in_heading = [*self._headings, text], False
        self._last = text.rstrip()
        return sentences


def _split(text: str) -> Iterator[str]:
    """Split into sentences, but not within a quotation."""
    pending = ""
    for match in re.finditer(r".*?(?:[.!?…。][\"”)'*_]*(?=\s)|\Z)", text, re.DOTALL):
        pending += match[0]
        if pending.count('"') % 2 == 0 and pending.count("“") <= pending.count("”") + pending.count("„"):
            yield pending
            pending = ""
    if pending:
        yield pending


def _shown(children: Sequence[Any]) -> str:
    return "".join(map(_words, children))


def _words(child: Any) -> str:  # noqa: ANN401 - the parser's tokens have no types
    if child.type in {"softbreak", "hardbreak"}:
        return "\n"
    if child.type == "code_inline":
        return f"`{child.content}`"
    return str(child.content) if child.type in {"text", "image", "text_special"} else ""


def _inline(children: Sequence[Any], line: int) -> Iterator[Match]:
    shown = ""
    for child in children:
        here = line + shown.count("\n")
        shown += _words(child)
        if child.type == "html_inline":
            yield Match("unseen", child.content, here)
        elif child.type == "code_inline":
            yield from (Match("span", piece, here) for piece in _pieces(child.content))
        for name, value in child.attrs.items():
            if name != "alt":
                yield Match("unseen" if name == "title" else "target", str(value), here)
    yield from _lines("rendered", shown, line)


def _lines(kind: Literal["raw", "rendered"], text: str, first: int) -> Iterator[Match]:
    """Give the lines in Unicode's compatibility form, in which a full-width letter is a plain one."""
    for number, line in enumerate(text.split("\n"), start=first):
        for piece in _pieces(unicodedata.normalize("NFKC", line)):
            yield Match(kind, piece, number)


def _pieces(text: str) -> Iterator[str]:
    """Cut what is too long to be read in one go, between words where there are any.

    Expressions that look around take time with the square of a line's length, and hostile lines are long.
    """
    while len(text) > _LONGEST:
        cut = text.rfind(" ", _LONGEST // 2, _LONGEST)
        cut = cut if cut > 0 else _LONGEST
        yield text[:cut]
        text = text[cut:]
    yield text


def _hidden(text: str) -> Iterator[Match]:
    for description in hidden_text(text):
        place = re.search(r" at line (\d+)", description)
        what = description if place is None else description.replace(place[0], "")
        yield Match("unseen", what, 1 if place is None else int(place[1]))


def _definitions(definitions: dict[str, Any]) -> Iterator[Match]:
    """Give the link definitions, which a renderer does not show: `[//]: # (a note to the agent)`."""
    for label, definition in definitions.get("references", {}).items():
        what = f"[{label}]: {definition['href']} {definition['title']}"
        yield Match("unseen", what.strip(), definition["map"][0] + 1)
    for definition in definitions.get("duplicate_refs", ()):
        what = f"[{definition['label']}]: {definition['href']} {definition['title']}"
        yield Match("unseen", what.strip(), definition["map"][0] + 1)
