"""Lines of a journal: its answers as JSONL, to be kept and read, and put into another journal for a replay.

    {"runbookopt": "journal/1"}
    {"kind": "reflection", "by": "Ana", "key": "sha256:...", "cost": 0, "ask": {...}, "answer": {...}}

An ask stands there for readers where the journal has it; only the answer is put into a journal.
"""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from runbookopt.documents.digest import canonical
from runbookopt.documents.parse import MalformedFile, Problem, read_json
from runbookopt.documents.usage import Usage
from runbookopt.engine.journal import Answer, Journal, Kind, row_of

MOST = 64 * 1024 * 1024  # bytes of a file: more than any run of a demo, and less than a machine has


class Heading(Struct, frozen=True, forbid_unknown_fields=True):
    """The first line."""

    runbookopt: Literal["journal/1"] = "journal/1"


class Line(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One answer; `by` is who gave it by hand-off, by their own word. None in `usage` is unknown."""

    kind: Kind
    key: str
    cost: int
    answer: Any
    by: str | None = None
    usage: Usage | None = None
    ask: Any = None


class Put(Struct, frozen=True):
    """How many answers were put into a journal, and how many it had already; the first one counts."""

    new: int
    known: int


def lines_of(journal: Journal) -> Iterator[bytes]:
    """All answers of a journal, each with its ask where that is known, in the order of being written."""
    yield canonical(Heading())
    rows = journal.read(
        "SELECT answers.key, answers.kind, body, cost, usage, crc, replier, reflections.ask FROM answers"
        " LEFT JOIN reflections ON reflections.key = answers.key ORDER BY answers.rowid"
    )
    for *row, ask in rows:
        answer = journal.answer(row, failed=False)
        yield canonical(
            Line(
                answer.kind,
                answer.key,
                answer.cost,
                msgspec.json.decode(answer.body),
                answer.replier,
                answer.usage,
                None if ask is None else msgspec.json.decode(ask),
            )
        )


def read_lines(data: bytes, path: str) -> tuple[Answer, ...]:
    """The answers of a file; raises MalformedFile with its first wrong line, and nothing is taken of it."""
    heading, *lines = data.splitlines() or [b""]
    read_json(heading, Heading, path=path, line=1)
    answers: dict[str, Answer] = {}
    for number, each in enumerate(lines, 2):
        if not each.strip():
            continue
        line = read_json(each, Line, path=path, line=number)
        if line.key in answers:
            raise MalformedFile(
                [Problem(path, number, "a second answer to the same key: remove one of them")]
            )
        body = canonical(line.answer)
        answers[line.key] = Answer(line.key, line.kind, body, line.cost, usage=line.usage, replier=line.by)
    return tuple(answers.values())


def put(journal: Journal, answers: tuple[Answer, ...]) -> Put:
    """Put answers into a journal, all or none; what it has already stays."""
    with journal.writing():
        new = journal.write_all(
            "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [*map(row_of, answers)]
        )
    return Put(new, len(answers) - new)
