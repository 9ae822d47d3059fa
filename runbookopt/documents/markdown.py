"""Markdown text in its lines and blocks (pure): the only file that knows a parser of it."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache, cached_property, lru_cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.parse import MalformedFile, read_plain_yaml

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

BOM = "\ufeff"

LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
"""One line with its ending, as CommonMark has them: `str.splitlines` knows further endings."""

_TITLE = re.compile(r"#{1,6}(?:[ \t\r\n]|\Z)")  # a heading that stands at the very start of its line

_PROSE = re.compile(
    r"(?:(?> {0,3}(?:(?:[-+*]|[0-9]{1,9}[.)]) )?"
    r"(?![#=<>-]|(?:[+*]|[0-9]{1,9}[.)])(?:\s|\Z)|```|~~~)\S[^\r\n]*|[ \t]*)(?:\r\n?|\n|\Z))*+\Z"
)
"""Lines of paragraphs and lists, and blank ones: no heading, code or HTML begins here, nor ends."""

_COMMENTS = re.compile(r"(?=#)(?:[ \t]*(?:#[^\r\n]*)?(?:\r\n?|\n))++(?=---[ \t]*[\r\n])")
_KEY_OF_A_PROMPT = r"^(?:model|inputs?|config|template|sample)[ \t]*:"
_OF_A_PROMPT = re.compile(f"{_KEY_OF_A_PROMPT}(?s:.*){_KEY_OF_A_PROMPT}", re.MULTILINE)
"""Two keys that prompts have and skills or agents have not together."""

_KEY = re.compile(r"""[ \t]*(?:(?:"[^"]*"|'[^']*'|[^\s"'#:-][^:]*)[ \t]*:(?:\s|$)|\{)""")
_MARKUP = re.compile(r"[*_`&\\<\[!]")


class Heading(Struct, frozen=True):
    """A heading outside lists and quotes; `line` counts from 0, `plain` is its text free of markup."""

    line: int
    level: int
    text: str
    plain: str


class Outline(Struct, frozen=True, dict=True):
    """A file's lines, how many of them are front matter, its headings, and which are code, from 0.

    `fenced` are those of the code that stand in fences, the fences included.
    """

    lines: tuple[str, ...]
    front: int
    headings: tuple[Heading, ...]
    code: frozenset[int]
    fenced: frozenset[int]

    def line_at(self, position: int) -> int:
        """The line, from 0, of a position in the text."""
        return bisect_right(self._ends, position)

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(len(line) for line in self.lines))


class Table(Struct, frozen=True):
    """A table's cells as text free of markup; `line` is that of its head, from 0."""

    line: int
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class _Blocks(Struct, frozen=True):
    """The headings and the lines of code of a piece of text; `closed`: nothing of it reaches beyond it."""

    headings: tuple[Heading, ...]
    code: frozenset[int] = frozenset()
    fenced: frozenset[int] = frozenset()
    closed: bool = True


@lru_cache(maxsize=64)  # a search asks for the same few texts again and again
def outline(text: str) -> Outline:
    """Read the front matter and the blocks of a Markdown text, with a CommonMark parser.

    It is read in pieces, from one heading at the start of a line up to another: such a heading ends all that
    stands before it but fenced code and HTML. So an edit costs no more than what it touches.
    """
    lines = tuple(LINE.findall(text))
    start = front = len(LINE.findall(front_matter(text)))
    titles = [number for number, line in enumerate(lines) if line.startswith("#") and _TITLE.match(line)]
    edges = [*(number for number in titles if number > front), len(lines)]
    headings: list[Heading] = []
    code, fenced = set[int](), set[int]()
    while start < len(lines):
        end, blocks = _next_piece(lines, start, edges)
        headings += [replace(heading, line=start + heading.line) for heading in blocks.headings]
        code.update(start + line for line in blocks.code)
        fenced.update(start + line for line in blocks.fenced)
        start = end
    return Outline(lines, front, tuple(headings), frozenset(code), frozenset(fenced))


def _next_piece(lines: Sequence[str], start: int, edges: Sequence[int]) -> tuple[int, _Blocks]:
    """From line `start` to the first edge at which all is closed: that edge, and the blocks."""
    first = at = bisect_right(edges, start)
    while True:
        end = edges[at]
        text = "".join(lines[start:end])
        blocks = _blocks(text if start else text.removeprefix(BOM), last=end == len(lines))
        if blocks.closed:
            return end, blocks
        at = min(2 * at - first + 1, len(edges) - 1)  # twice as much: a long block is not read once a line


@lru_cache(maxsize=512)
def _blocks(text: str, *, last: bool) -> _Blocks:
    """Read a piece of text, which a heading follows where it is not the last."""
    first = LINE.match(text) if _TITLE.match(text) else None
    title = first.group() if first else ""
    if _PROSE.match(text, len(title)):
        return _Blocks(tuple(_headings(_parser("blocks").parse(title))))
    tokens = _parser("blocks").parse(text if last else text + "# Next\n")
    headings = _headings(tokens)
    if not last and (not headings or headings.pop().line != len(LINE.findall(text))):
        return _Blocks((), closed=False)
    code, fenced = (
        frozenset(
            line
            for token in tokens
            if token.type in kinds and token.map
            for line in range(token.map[0], token.map[1])
        )
        for kinds in ({"fence", "code_block"}, {"fence"})
    )
    return _Blocks(tuple(headings), code, fenced)


def _headings(tokens: Sequence["Token"]) -> list[Heading]:
    headings = []
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            title = " ".join(inline.content.split())
            headings.append(Heading(token.map[0], int(token.tag[1:]), title, _plain(title)))
    return headings


def line_of(text: str, position: int) -> int:
    """The line, from 1, of a position that is not within a line ending."""
    return len(LINE.findall(text[:position] + "."))


def tokens_of(text: str, *, tables: bool = False, definitions: dict[str, Any] | None = None) -> list["Token"]:
    """markdown-it's tokens of a CommonMark text, inline ones included.

    `definitions` is filled with the link definitions as markdown-it names them (`references`,
    `duplicate_refs`), which no token stands for.
    """
    return _parser("table" if tables else "inline").parse(text, {} if definitions is None else definitions)


def tables_of(text: str) -> list[Table]:
    """The tables of a Markdown text, those in code left out."""
    found: list[Table] = []
    rows: list[list[str]] = []
    first = 0
    for token in tokens_of(text, tables=True) if "|" in text else ():
        if token.type == "table_open":
            rows, first = [], token.map[0] if token.map else 0
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            said = "".join(child.content for child in token.children or () if child.type != "html_inline")
            rows[-1].append(" ".join(said.split()))
        elif token.type == "table_close":
            head, *others = map(tuple, rows)
            found.append(Table(first, head, tuple(others)))
            rows = []
    return found


def front_matter(text: str) -> str:
    """The front matter with its fences; nothing where the file begins with a rule and prose.

    In a file of a prompt (`.prompt`) lines of comment may stand above it.
    """
    above = _COMMENTS.match(text)
    front = _front_matter(text[above.end() :] if above else text)
    if above is None:
        return front
    return text[: above.end()] + front if _OF_A_PROMPT.search(front) else ""


def is_template(text: str) -> bool:
    """Whether the front matter is that of a prompt (`.prompt`, `.prompty`): all its text is a template."""
    return _OF_A_PROMPT.search(front_matter(text)) is not None


def _front_matter(text: str) -> str:
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
    """Front matter, fences included, as data; None where it is not YAML."""
    try:
        return read_plain_yaml("".join(LINE.findall(front)[1:-1]).encode(), "front matter")
    except MalformedFile:
        return None


@cache
def _parser(depth: Literal["blocks", "inline", "table"]) -> "MarkdownIt":
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", None if depth == "blocks" else {"maxNesting": 100})
    if depth == "blocks":  # what is within a paragraph is nobody's business
        parser.core.ruler.enableOnly(["normalize", "block"])
    return parser.enable("table") if depth == "table" else parser


def _plain(heading: str) -> str:
    if not _MARKUP.search(heading):
        return heading
    tokens: list[Any] = []
    parser = _parser("blocks")
    parser.inline.parse(heading, parser, {}, tokens)
    return "".join(token.content for token in tokens if token.type != "html_inline")
