"""What a Markdown text is made of (pure): the only file that knows a parser of it."""

import re
from bisect import bisect_right
from functools import cache, cached_property, lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from runbookopt.records import MalformedFile, read_plain_yaml

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

BOM = "\ufeff"

LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
"""One line with its ending, as CommonMark has them: `str.splitlines` knows further endings."""

_KEY = re.compile(r"""[ \t]*(?:(?:"[^"]*"|'[^']*'|[^\s"'#:-][^:]*)[ \t]*:(?:\s|$)|\{)""")
_MARKUP = re.compile(r"[*_`&\\<\[!]")


class Heading(Struct, frozen=True):
    """A heading outside lists and quotes; `line` counts from 0, `plain` is its text free of markup."""

    line: int
    level: int
    text: str
    plain: str


class Outline(Struct, frozen=True, dict=True):
    """A file's lines, how many of them are front matter, its headings, and which are code, from 0."""

    lines: tuple[str, ...]
    front: int
    headings: tuple[Heading, ...]
    code: frozenset[int]

    def line_at(self, position: int) -> int:
        """Give the line, from 0, of a position in the text."""
        return bisect_right(self._ends, position)

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(len(line) for line in self.lines))


@lru_cache(maxsize=64)  # a search asks for the same few texts again and again
def outline(text: str) -> Outline:
    """Read the front matter and the blocks of a Markdown text, with a CommonMark parser."""
    lines = tuple(LINE.findall(text))
    front = len(LINE.findall(front_matter(text)))
    body = "".join(lines[front:])
    tokens = _parser().parse(body if front else body.removeprefix(BOM))
    headings, code = [], set[int]()
    for place, token in enumerate(tokens):
        start, end = token.map or (0, 0)
        if token.type in {"fence", "code_block"}:
            code.update(range(front + start, front + end))
        elif token.type == "heading_open" and token.level == 0:
            title = " ".join(tokens[place + 1].content.split())
            headings.append(Heading(front + start, int(token.tag[1:]), title, _plain(title)))
    return Outline(lines, front, tuple(headings), frozenset(code))


def line_of(text: str, position: int) -> int:
    """Give the line, from 1, of a position that is not within a line ending."""
    return len(LINE.findall(text[:position] + "."))


def tokens_of(text: str, *, tables: bool = False, definitions: dict[str, Any] | None = None) -> list["Token"]:
    """Give markdown-it's tokens of a CommonMark text, inline ones included.

    `definitions` is filled with the link definitions as markdown-it names them (`references`,
    `duplicate_refs`), which no token stands for.
    """
    return _reader(tables=tables).parse(text, {} if definitions is None else definitions)


def front_matter(text: str) -> str:
    """Give the front matter with its fences; nothing where the file begins with a rule and prose."""
    keys = comments = False
    for match in LINE.finditer(text):
        line = match.group().rstrip(" \t\r\n")
        if match.start() == 0:
            if line.removeprefix(BOM) != "---":
                return ""
        elif line in {"---", "..."}:
            return text[: match.end()] if keys or not comments else ""
        elif line.lstrip().startswith("#"):
            comments = True
        elif line and not keys:
            keys = bool(_KEY.match(line))
            if not keys:
                return ""
    return ""


def front_data(front: str) -> Any:  # noqa: ANN401 - front matter has any shape
    """Give front matter, fences included, as data; None where it is not YAML."""
    try:
        return read_plain_yaml("".join(LINE.findall(front)[1:-1]).encode(), "front matter")
    except MalformedFile:
        return None


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark")
    parser.core.ruler.enableOnly(["normalize", "block"])  # what is within a paragraph is nobody's business
    return parser


@cache
def _reader(*, tables: bool) -> "MarkdownIt":
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"maxNesting": 100})
    return reader.enable("table") if tables else reader


def _plain(heading: str) -> str:
    if not _MARKUP.search(heading):
        return heading
    tokens: list[Any] = []
    _parser().inline.parse(heading, _parser(), {}, tokens)
    return "".join(token.content for token in tokens if token.type != "html_inline")
