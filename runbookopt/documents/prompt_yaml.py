"""Prompt in YAML (*.prompt.yml): which lines are the texts of its messages, all else being as it is (pure).

https://docs.github.com/en/github-models/use-github-models/storing-prompts-in-github-repositories
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from msgspec import Struct

from runbookopt.documents.parse import MalformedFile, compose

_MESSAGES = re.compile(r"^messages[ \t]*:", re.MULTILINE)
_BEGINS = re.compile(
    r"(?:(?:[ \t]*(?:#[^\r\n]*)?|---[ \t]*)(?:\r\n?|\n))*+[A-Za-z_]\w*[ \t]*:(?:[ \t\r\n]|$)"
)
_ODD_LINE_ENDS = re.compile("[\x85\u2028\u2029]")
"""YAML ends a line here, and nobody else does."""

LARGEST = 1_000_000
"""Characters of what is taken for a prompt."""


class Message(Struct, frozen=True):
    """Lines of a message's text, from 0, the end left out; `role` says it, `indent` stands before each."""

    role: str
    start: int
    end: int
    indent: str


@lru_cache(maxsize=64)  # a search asks for the same few texts again and again
def messages(text: str) -> tuple[Message, ...] | None:
    """The messages whose texts are blocks (`content: |`); None where the text is no prompt in YAML.

    A text in quotes, or in the line of its key, is none: it stays as it is.
    """
    if len(text) > LARGEST or not _BEGINS.match(text) or not _MESSAGES.search(text):
        return None
    if _ODD_LINE_ENDS.search(text):
        return None
    try:
        node = compose(text, "prompt")
    except MalformedFile:
        return None
    listed = _at(node, "messages")
    if listed is None or listed.id != "sequence":
        return None
    return tuple(message for item in listed.value for message in _message(item, text))


def _message(item: Any, text: str) -> Iterator[Message]:  # noqa: ANN401 - the parser's nodes
    role, content = _at(item, "role"), _at(item, "content")
    if role is None or role.id != "scalar" or content is None or content.id != "scalar":
        return
    if content.style not in {"|", ">"}:
        return
    lines = re.findall(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+", text)
    start = content.start_mark.line + 1
    end = min(content.end_mark.line + (content.end_mark.column > 0), len(lines))
    while end > start and not lines[end - 1].strip():
        end -= 1  # blank lines at the end are what a chomping indicator is about
    told = [len(line) - len(line.lstrip(" ")) for line in lines[start:end] if line.strip()]
    if told:
        yield Message(role.value, start, end, " " * min(told))


def _at(node: Any, key: str) -> Any:  # noqa: ANN401 - the parser's nodes
    if node is None or node.id != "mapping":
        return None
    return next((value for name, value in node.value if name.id == "scalar" and name.value == key), None)
