"""Binding of the default branch to the ledger: each proposal's commit names the ledger's head of its day.

Whoever may write can delete the ledger at origin, and a fork begins without it. What was merged still says
which ledger it rests on, and a ledger without that is refused.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress

from msgspec import Struct

from runbookopt.documents.schema_errors import plain
from runbookopt.forge.git.output import GitFailed
from runbookopt.forge.git.repository import Repository
from runbookopt.proof.allowance import BEGINS_AGAIN
from runbookopt.proof.ledger import Ledger, LedgerBroken

TRAILER = "Runbookopt-Ledger"
"""The trailer of a commit that names a commit of the ledger."""

_FROM = "begin-again:"
_NAMED = re.compile(rf"^{TRAILER}:[^\S\n]*(.*?)[^\S\n]*$", re.IGNORECASE | re.MULTILINE)


class Unbound(LedgerBroken):
    """The ledger lacks what the default branch rests on: looks were taken back, or never came along."""


class Named(Struct, frozen=True):
    """What a commit says it rests on: `value` should be the id of a commit of the ledger."""

    commit: str
    value: str

    def __str__(self) -> str:
        """Say it in few words; anybody may have written the value."""
        value = self.value[:12] if _SHA.fullmatch(self.value) else f"'{plain(self.value)[:40]}'"
        return f"{value}, which commit {self.commit[:12]} names ({TRAILER})"


def must_be_bound(repository: Repository, ledger: Ledger, tip: str, names: Sequence[str]) -> None:
    """Hold the ledger against all that the commits up to `tip`, of the default branch, name of it.

    `names` are those of a runbook, its present one first: what was lost before it began again is not asked
    for. Raises Unbound, GitFailed where a shallow clone lacks the commits that would have to be asked.
    """
    head = ledger.at_origin if ledger.asks_origin else ledger.head
    lost = next(unheld(repository, head, named_up_to(repository, tip, begun(ledger, names))), None)
    if lost is not None:
        raise Unbound(
            f"the ledger does not hold {lost}: looks were taken back, or this is a fork without them;"
            " bring them back: runbookopt ledger restore --from REMOTE|FILE; or count the whole allowance as"
            f" spent: optimize-runbook {names[0]} --begin-again"
        )


def named_up_to(repository: Repository, tip: str, without: Iterable[str] = ()) -> Iterator[Named]:
    """All that the commits up to `tip` name, less those up to the commits `without`; newest first.

    Raises GitFailed where a shallow clone cannot be deepened: what it lacks may name more.
    """
    if repository.is_shallow():
        with suppress(GitFailed):
            repository.origin.unshallow()
        if repository.is_shallow():
            raise GitFailed(
                "this clone is shallow, so whether the ledger holds what the default branch names is not"
                " known: git fetch --unshallow; in a workflow, `fetch-depth: 0` at actions/checkout"
            )
    known = [commit for commit in without if _SHA.fullmatch(commit) and repository.find(commit)]
    for commit in repository.commits_saying(f"^{TRAILER}:", tip, without=known):
        yield from named_in(repository, commit)


def named_in(repository: Repository, commit: str) -> Iterator[Named]:
    """What one commit names, wherever in its message: forges put one message into another."""
    message = repository.commit(commit).message.replace("\r\n", "\n")
    return (Named(commit, value) for value in _NAMED.findall(message))


def unheld(repository: Repository, head: str | None, named: Iterable[Named]) -> Iterator[Named]:
    """Those of `named` that are no commit of the ledger with this head."""
    held: Collection[str] | None = None
    for each in named:
        if held is None:
            held = set(repository.history(head)) if head else ()
        if each.value.casefold() not in held:
            yield each


def beginning(seed: str, rubric: str, tip: str) -> dict[str, str]:
    """The question of the entry that stands for all lost looks up to `tip` of the default branch."""
    return {"seed": seed, "candidate": f"{_FROM}{tip}", "rubric": rubric, "agent": "none"}


def begun(ledger: Ledger, names: Sequence[str]) -> tuple[str, ...]:
    """The commits of the default branch up to which a runbook's lost looks are counted as spent."""
    entries = (look for look in ledger.looks(*names) if look.answer == BEGINS_AGAIN)
    return tuple(look.candidate.removeprefix(_FROM) for look in entries)


_SHA = re.compile("[0-9a-f]{40}")
