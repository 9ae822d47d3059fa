"""Commands and tools in a text: what it tells a machine to run, and an agent to use (pure)."""

import json
import re
from collections.abc import Iterator

from runbookopt.guard.patterns import pattern, words
from runbookopt.guard.text import Match, is_data

_MARKER = re.compile(r"^[\s>]*(?:[-*+]\s+|\d+[.)]\s+)?`?(?=\$|PS)")
_DOTTED = re.compile(r"(?<![\w./@$-])([a-z]\w*)\.([a-z]\w*)(?![\w.(/-])", re.IGNORECASE)


def commands(match: Match) -> Iterator[str]:
    """Shell lines, lines of code blocks, and code spans that are more than a name."""
    match match.kind:
        case "block":
            yield from _lines_of(match)
        case "span" if _runs(match.what):
            yield " ".join(match.what.split())
        case "raw" | "rendered":
            for hit in pattern("commands.command").finditer(match.what):
                yield " ".join(_MARKER.sub("", hit[0]).split()).rstrip(" .,;|")
            for name in ("commands.run", "commands.program_run"):
                for hit in pattern(name).finditer(match.what):
                    yield " ".join(hit[1].split())
        case _:
            pass


def _runs(span: str) -> bool:
    """Whether a code span is more than a name, or the name of a program."""
    shaped = pattern("commands.span").search(span) is not None and not _is_json(span)
    return shaped or pattern("commands.program_span").search(span) is not None


def _lines_of(block: Match) -> Iterator[str]:
    """The lines of a code block one by one, so that their order is no news; of data, what shells run."""
    if is_data(block.note) and _is_json(block.what):
        return
    shell_line = pattern("commands.shell_line") if is_data(block.note) and block.note else None
    if shell_line is None or shell_line.search(block.what):
        for line in block.what.splitlines():
            if line.strip() and (shell_line is None or shell_line.search(line)):
                yield " ".join(line.split())


def _is_json(text: str) -> bool:
    if text.lstrip()[:1] not in {"{", "["}:
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def tools_of_known(text: str, known: set[str]) -> Iterator[str]:
    """Dotted names of the families that a text has tools of: `mail.send` beside `mail.draft`."""
    for hit in _DOTTED.finditer(text):
        if hit[1].casefold() in known:
            yield hit[0].casefold()


def families(match: Match) -> Iterator[str]:
    """The first parts of the dotted names in code spans."""
    hit = _DOTTED.fullmatch(match.what) if match.kind == "span" else None
    if hit and hit[2] not in words("commands.file_endings"):
        yield hit[1].casefold()
