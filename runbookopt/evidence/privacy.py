"""Privacy of what is read: secrets, and by setting personal data, are taken out before anybody sees it.

A task's identity is the digest of its input without secrets: so who follows `runbookopt check` and takes
a key out of a stored file, or imports the file, moves no task between the parts. Personal data is in it as
far as it is stored: to switch on that it is removed moves no task either.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, to_builtins

from runbookopt.documents.personal_data import marked_personal
from runbookopt.documents.placeholders import Placeholders
from runbookopt.documents.redaction import marked, secrets_in
from runbookopt.evidence.trajectory import Label, Trajectory

_NAMES = ("id", "trajectory")
"""Fields that hold ids, which are looked through by themselves, so that labels find them."""

_TERSELY = ("runbook_digest", "runbook_version", "started_at")
_TERSE = re.compile(r"[\w.:+-]*")
"""A version, a digest or a time as it should be written: no personal data, though it may look like some."""

_EXAMPLE = re.compile(
    r"example|dummy|sample|fake|your|xxxx|\*\*|<|_test_|:pass(?:word)?@|:secret@", re.IGNORECASE
)
"""What stands in a key of a manual, or of a provider's test mode."""

_DISTINCT = 8
"""A key of fewer different characters is none that lives."""


class Removed(Struct, frozen=True):
    """What was taken out of one record: how many of each kind, and the kinds of keys that look alive."""

    counts: Mapping[str, int]
    live: tuple[str, ...] = ()


class Redaction:
    """What takes secrets out of records, and `personal` data where that is wanted.

    `key` makes placeholders of what could be guessed the same in all records; without one, they are the same
    within a record.
    """

    def __init__(self, *, personal: bool = False, key: bytes | None = None) -> None:
        self._personal, self._key = personal, key

    def trajectory(self, record: Trajectory) -> tuple[Trajectory, Removed | None]:
        """The record as it may be shown, and what was taken out of it; None where nothing was."""
        return self._record(record, Trajectory)

    def label(self, record: Label) -> tuple[Label, Removed | None]:
        """The same of a person's label."""
        return self._record(record, Label)

    def text(self, text: str) -> str:
        """A text by itself: a message about a record, which may quote it."""
        return self._marked(text, Placeholders(self._key))

    def _record(self, record: Any, type_: Any) -> tuple[Any, Removed | None]:  # noqa: ANN401 - one type in and out
        value = to_builtins(record)
        whole = "\n".join(_texts(value, []))
        placeholders = Placeholders(self._key)
        if self._marked(whole, placeholders) == whole:
            return record, None
        live = tuple(dict.fromkeys(kind for kind, secret, _ in secrets_in(whole) if is_live(secret)))
        placeholders = Placeholders(self._key, whole)  # numbers begin with the task, whatever stood elsewhere
        for key in value:
            text = value[key]
            if key in _NAMES:
                value[key] = marked(text, Placeholders().secret)
            elif isinstance(text, str) and key in _TERSELY and _TERSE.fullmatch(text):
                value[key] = marked(text, placeholders.secret)
            else:
                value[key] = _changed(text, lambda text: self._marked(text, placeholders))
        if not placeholders.counts:
            placeholders.counts["secret"] += 1
        return msgspec.convert(value, type_), Removed(dict(placeholders.counts), live)

    def _marked(self, text: str, placeholders: Placeholders) -> str:
        text = marked(text, placeholders.secret)
        return marked_personal(text, placeholders.guessable) if self._personal else text


def without_personal_data(texts: Sequence[str], *, beside: str, but: str) -> tuple[str, ...]:
    """The texts without personal data, except that which stands in the text `but`.

    A value has one placeholder in all of them, and none that stands in the text `beside` for another one.
    """
    placeholders = Placeholders(there="\n".join((beside, *texts)))

    def mark(kind: str, value: str) -> str:
        return value if value in but else placeholders.guessable(kind, value)

    return tuple(marked_personal(text, mark) for text in texts)


SECRETS_ALONE = Redaction()
"""What takes secrets out, and nothing else."""


def is_live(secret: str) -> bool:
    """Whether a secret of a published shape may open something: no manual's, no row of one letter."""
    return not _EXAMPLE.search(secret) and len(set(secret)) >= _DISTINCT


def told(counts: Mapping[str, int]) -> str:
    """Counts by kind in words: "2 x aws access key, 1 x e-mail address"."""
    return ", ".join(f"{count} x {kind}" for kind, count in sorted(counts.items()))


def _texts(value: Any, into: list[str]) -> list[str]:  # noqa: ANN401 - JSON has any shape
    """All texts of a JSON value, keys among them, put into a list: of thousands of records each is asked."""
    if isinstance(value, str):
        into.append(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            into.append(key)
            _texts(inner, into)
    elif isinstance(value, list | tuple):
        for inner in value:
            _texts(inner, into)
    return into


def _changed(value: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401 - JSON has any shape
    match value:
        case str():
            return change(value)
        case dict():
            return {change(key): _changed(inner, change) for key, inner in value.items()}
        case list() | tuple():
            return [_changed(inner, change) for inner in value]
        case _:
            return value
