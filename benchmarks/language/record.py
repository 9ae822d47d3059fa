"""All that models ever said in one work, by the digest of what they were asked: figures replay without them.

`NAME.answers.jsonl` holds the agent's answers, `NAME.replies.jsonl` the reflector's, with who gave them and
when. Where a work's tasks are others' texts, what a reply quotes of them stands there as a place in the data.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from difflib import SequenceMatcher
from pathlib import Path
from threading import Lock
from typing import Any

from msgspec import Struct

from runbookopt.documents.digest import digest

FOLDER = Path(__file__).parents[1] / "recorded"

QUOTED = 16
"""A run of so many characters that a task has too is a quotation."""

Piece = str | tuple[str, int, int]
"""Text, or a place in a task: its name, from, to."""


class Reply(Struct, frozen=True):
    """What was said to a prompt of so many characters; `text` holds places where it quotes a task."""

    asked: str
    by: str
    when: str
    characters: int
    text: tuple[Piece, ...]


class Record:
    """The record of one work; `texts` are the tasks that may not stand in it, by name.

    Replies of another `replier` than the strong one have a file of their own.
    """

    def __init__(
        self, name: str, texts: Mapping[str, str] = {}, folder: Path = FOLDER, replier: str | None = None
    ) -> None:
        self._answers = folder / f"{name}.answers.jsonl"
        self._replies = folder / f"{name}.{f'{replier}.' if replier else ''}replies.jsonl"
        self._texts = texts
        self._lock = Lock()
        self.answers: dict[str, str] = dict(_lines(self._answers))
        self.replies: dict[str, str] = {
            each["asked"]: self._whole(each["text"]) for each in _lines(self._replies)
        }

    def answer(self, name: str, text: str) -> None:
        """Keep what an agent answered."""
        with self._lock:
            if name not in self.answers:
                self.answers[name] = text
                _append(self._answers, [name, text])

    def reply(self, prompt: str, text: str, by: str) -> None:
        """Keep what a reflector said to a prompt."""
        with self._lock:
            name = name_of(prompt)
            self.replies[name] = text
            pieces = packed(text, self._texts)
            when = datetime.now(UTC).date().isoformat()
            told = {"asked": name, "by": by, "when": when, "characters": len(prompt), "text": pieces}
            _append(self._replies, told)

    def _whole(self, pieces: Iterable[Piece]) -> str:
        return "".join(
            each if isinstance(each, str) else self._texts[each[0]][each[1] : each[2]] for each in pieces
        )


def name_of(prompt: str) -> str:
    """Name a prompt, as its file and its reply's are named."""
    return digest(prompt.encode()).removeprefix("sha256:")[:16]


def packed(text: str, texts: Mapping[str, str]) -> list[Piece]:
    """Put places for the runs of characters that a text shares with others, the longest first."""
    found: list[tuple[int, int, str, int]] = []
    for name, other in texts.items():
        matcher = SequenceMatcher(None, other, text, autojunk=False)
        blocks = [block for block in matcher.get_matching_blocks() if block.size >= min(QUOTED, len(other))]
        found += [(block.b, block.b + block.size, name, block.a) for block in blocks if block.size]
    taken: list[tuple[int, int, str, int]] = []
    for one in sorted(found, key=lambda each: each[0] - each[1]):
        if all(one[1] <= other[0] or one[0] >= other[1] for other in taken):
            taken.append(one)
    pieces: list[Piece] = []
    place = 0
    for start, end, name, first in sorted(taken):
        pieces += [text[place:start], (name, first, first + end - start)]
        place = end
    pieces.append(text[place:])
    if not taken:
        return [each for each in pieces if each]
    again = (packed(each, texts) if isinstance(each, str) else [each] for each in pieces)  # what comes twice
    return [each for part in again for each in part]


def _lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


def _append(file: Path, value: object) -> None:
    file.parent.mkdir(exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
