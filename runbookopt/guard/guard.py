"""Guard of a diff: things that it may never do, and what it brings in that a person should see (pure)."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import reduce

from msgspec import Struct

from runbookopt.documents.redaction import secrets_in
from runbookopt.documents.runbook import Runbook, newly_hidden, violations
from runbookopt.documents.untrusted import spelled_out
from runbookopt.forge.git.output import FileChange
from runbookopt.guard.introduced import introduced
from runbookopt.guard.kinds import Introduced

NO_FILES = {"120000": "a symbolic link", "160000": "a submodule"}
"""Modes of tree entries that are no files, each with its name."""


class GuardReport(Struct, frozen=True):
    """Violations, each a hard stop, and what is new, class by class."""

    violations: tuple[str, ...]
    introduces: dict[Introduced, tuple[str, ...]]


def guard(
    changes: Sequence[FileChange], *, path: str, before: Runbook, after: Runbook | str, bumped: bool = True
) -> GuardReport:
    """Judge a diff: every file that it changes, and the one runbook at `path` before and after.

    `after` is the text with its version bump (`bumped`), or the bare text where it cannot be read as a
    runbook. All violations are listed, not only the first. No secret is repeated.
    """
    text = after if isinstance(after, str) else after.text
    broken = (
        *(violation for change in changes for violation in _misplaced(change, path)),
        *violations(before, after, bumped=bumped),
        *_leaks(before.text, text),
    )
    return GuardReport(_fit(broken, _kept(text)), news(before.text, text))


def news(before: str, after: str) -> dict[Introduced, tuple[str, ...]]:
    """All that a text brings in that a person should see, class by class; no secret is repeated."""
    kept = _kept(after)
    return {kind: _fit(things, kept) for kind, things in introduced(before, after).items()}


def dangers(before: str, after: str) -> tuple[str, ...]:
    """Things that nobody may bring in, whoever they are: hidden text and secrets."""
    return _fit((*newly_hidden(before, after), *_leaks(before, after)), _kept(after))


def _misplaced(change: FileChange, path: str) -> Iterator[str]:
    old, new = change.old_path, change.new_path
    for other in dict.fromkeys(p for p in (old, new) if p not in {None, path}):
        yield f"another file is touched: {other!r}"
    if change.status in {"R", "C"} or (old is not None and new is not None and old != new):
        yield f"a file is {'copied' if change.status == 'C' else 'renamed'}: {old!r} to {new!r}"
    if new is None or change.status == "D":
        yield f"a file is deleted: {old!r}"
    elif change.new_mode in NO_FILES:
        yield f"{new!r} becomes {NO_FILES[change.new_mode]}"
    elif old is None or change.status == "A":
        yield f"a file is added: {new!r}"
    elif change.old_mode != change.new_mode:
        yield f"the mode of {new!r} changes from {change.old_mode} to {change.new_mode}"


def _leaks(before: str, after: str) -> Iterator[str]:
    for kind, secret, line in secrets_in(after):
        if after.count(secret) > before.count(secret):
            yield f"{kind} is brought in at line {line}"


def _kept(text: str) -> set[str]:
    return {secret for _, secret, _ in secrets_in(text)}


def _fit(sentences: Iterable[str], kept: Collection[str]) -> tuple[str, ...]:
    """The sentences, each once, printable and without secrets, even one cut after its first dozen letters."""
    cut = [
        secret[:length]
        for secret in sorted(kept, key=len, reverse=True)
        for length in range(len(secret), 11, -1)
    ]
    clean = (reduce(lambda text, part: text.replace(part, "[secret]"), cut, each) for each in sentences)
    return tuple(dict.fromkeys(map(spelled_out, clean)))
