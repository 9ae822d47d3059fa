"""Text of a runbook, taken apart for the guard: lines, code, links, sentences (pure)."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal

from msgspec import Struct

from runbookopt.documents.markdown import tokens_of
from runbookopt.documents.runbook import hidden_text
from runbookopt.guard.patterns import pattern, words


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
        """The words, numbers with their signs."""
        return words_of(self.text)

    @property
    def unquoted(self) -> str:
        """The text without what it quotes of others, unless the quotation speaks to somebody."""
        speaks = pattern("text.speaks")
        return pattern("text.quotation").sub(
            lambda quote: quote[0] if speaks.search(quote[0]) else ' "" ', self.text
        )


class Row(Struct, frozen=True):
    """A row of a table, its line, the heads of its columns, and where the table stands."""

    cells: tuple[str, ...]
    line: int
    heads: tuple[str, ...]
    lead: str


class Reading(Struct, frozen=True):
    """A text as the guard reads it."""

    matches: tuple[Match, ...]
    sentences: tuple[Sentence, ...]
    rows: tuple[Row, ...] = ()

    def first_lines(
        self, find: Callable[[Match], Iterator[str]], *, without: "Reading | None" = None
    ) -> dict[str, int]:
        """All that `find` yields, each with its first line; not where `without` holds the same match."""
        first: dict[str, int] = {}
        known = {(match.kind, match.what) for match in without.matches} if without else set()
        for match in self.matches:
            for what in find(match) if (match.kind, match.what) not in known else ():
                first[what] = min(match.line, first.get(what, match.line))
        return first


_LONGEST = 1000
_WORD = re.compile(r"[^\W_]+(?:['\u2019\-_/:][^\W_]+|[.,](?=\d)\d+)*|[£$€%±]")


@lru_cache(maxsize=4096)
def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in lower case and Unicode's compatibility form."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


@lru_cache(maxsize=8)
def read(text: str) -> Reading:
    """Read a runbook's text."""
    definitions: dict[str, Any] = {}
    tokens = tokens_of(text, tables=True, definitions=definitions)
    matches = [*_lines("raw", text, 1), *_unseen(text, definitions)]
    for token in tokens:
        line = token.map[0] + 1 if token.map else 1
        if token.type in {"fence", "code_block"}:
            matches.append(Match("block", token.content.strip("\n"), line, token.info.strip().casefold()))
        elif token.type == "html_block":
            matches.append(Match("unseen", token.content.strip(), line))
        matches += _inline(token.children or (), line)
    return Reading(tuple(matches), tuple(_sentences(tokens)), tuple(_rows(tokens)))


def is_data(note: str) -> bool:
    """Whether the note of a code block says that it is no program, or says nothing."""
    language = note.split()[:1]
    return not language or language[0].casefold() in words("text.data_languages")


def _sentences(tokens: Sequence[Any]) -> Iterator[Sentence]:
    place = _Place()
    for token in tokens:
        line = token.map[0] + 1 if token.map else 1
        if token.type in {"fence", "code_block"} and is_data(token.info):
            for number, row in enumerate(token.content.splitlines(), start=line):
                for piece in _pieces(unicodedata.normalize("NFKC", row.strip())) if row.strip() else ():
                    yield Sentence(piece, number, f"{place.lead} ```")
        elif token.type == "inline":
            at, last = line, token.map[1] if token.map else line
            shown = "".join(map(_words, token.children or ()))
            for sentence in place.sentences(unicodedata.normalize("NFKC", shown)):
                for piece in _pieces(" ".join(sentence.split())) if sentence.strip() else ():
                    yield Sentence(piece, at, place.lead)
                at = min(at + sentence.count("\n"), last)
        else:
            place.enter(token)


def _rows(tokens: Sequence[Any]) -> Iterator[Row]:
    """The rows of all tables below their first ones."""
    place = _Place()
    heads: tuple[str, ...] = ()
    cells: list[str] = []
    for token in tokens:
        if token.type == "inline":
            shown = unicodedata.normalize("NFKC", "".join(map(_words, token.children or ())))
            place.sentences(shown)
            cells.append(" ".join(shown.split()))
        elif token.type == "tr_open":
            cells, line = [], token.map[0] + 1 if token.map else 1
        elif token.type == "thead_close":
            heads = tuple(cells)
        elif token.type == "tr_close" and cells and tuple(cells) != heads:
            yield Row(tuple(cells), line, heads, place.lead)
        else:
            place.enter(token)


class _Place:
    """Place of a reader among the tokens of a text: the headings above it, and the lists that are open."""

    def __init__(self) -> None:
        self._headings: list[str] = []
        self._lists: list[str] = []
        self._last = ""
        self._in_heading = False

    @property
    def lead(self) -> str:
        return " ".join([*self._headings, *filter(None, self._lists)])

    def enter(self, token: Any) -> None:  # noqa: ANN401 - the parser's tokens have no types
        if token.type == "heading_open":
            self._in_heading, self._lists, self._last = True, [], ""
            self._headings = self._headings[: int(token.tag[1]) - 1]
        elif token.type.endswith("list_open"):
            self._lists.append(self._last if self._last.endswith(":") else "")
        elif token.type == "blockquote_open":
            self._lists.append(">")
        elif token.type.endswith(("list_close", "blockquote_close")) and self._lists:
            self._lists.pop()

    def sentences(self, text: str) -> Sequence[str]:
        """The sentences of a paragraph, a heading or a cell that stands here."""
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


def _words(child: Any) -> str:  # noqa: ANN401 - the parser's tokens have no types
    if child.type in {"softbreak", "hardbreak"}:
        return "\n"
    if child.type == "code_inline":
        return f"`{child.content}`"
    if child.type == "image":  # its words are shown only where the picture is not
        return f"![{child.content}]"
    return str(child.content) if child.type in {"text", "text_special"} else ""


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
    """The lines in Unicode's compatibility form, in which a full-width letter is a plain one."""
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


def _unseen(text: str, definitions: dict[str, Any]) -> Iterator[Match]:
    """The link definitions, which a renderer does not show (`[//]: # (a note to the agent)`); hidden text."""
    doubles = ((twice["label"], twice) for twice in definitions.get("duplicate_refs", ()))
    for label, definition in (*definitions.get("references", {}).items(), *doubles):
        what = f"[{label}]: {definition['href']} {definition['title']}"
        yield Match("unseen", what.strip(), definition["map"][0] + 1)
    for description in hidden_text(text):
        place = re.search(r" at line (\d+)", description)
        what = description.replace(place[0], "") if place else description
        yield Match("unseen", what, int(place[1]) if place else 1)
