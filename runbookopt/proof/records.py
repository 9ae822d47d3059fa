"""Records that stand in the ledger beside the looks: the last pull request, and whose figures were shown."""

from collections.abc import Sequence
from typing import Literal, Self, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.digest import canonical, digest_of
from runbookopt.forge.protocol import PullRequest
from runbookopt.proof.allowance import Look
from runbookopt.proof.ledger import Ledger, LedgerBroken


class LastPull(Struct, frozen=True, omit_defaults=True):
    """The last pull request of a runbook, as the forge last said; `head` and `bundle` were proposed.

    `first` is the bundle that it was opened with, empty where that is the same.
    """

    runbook: str
    number: int
    url: str
    branch: str
    head: str
    bundle: str
    state: Literal["open", "closed", "merged"]
    first: str = ""

    @classmethod
    def of(cls, runbook: str, pull: PullRequest) -> Self:
        """The record of a pull request."""
        return cls(runbook, pull.number, pull.url, pull.branch, pull.proposed, pull.bundle, pull.state)


class Shown(Struct, frozen=True):
    """A look that was not accepted, by its key, whose held-out figures somebody was shown all the same."""

    runbook: str
    look: str


def last_pull(ledger: Ledger, runbook: str) -> LastPull | None:
    """The last pull request that the ledger knows of a runbook. Raises LedgerBroken."""
    path = _pull_path(runbook)
    data = ledger.records("pulls").get(path)
    return None if data is None else _decoded(data, LastPull, path)


def last_pulls(ledger: Ledger) -> tuple[LastPull, ...]:
    """The last pull request of each runbook that has one. Raises LedgerBroken."""
    return tuple(_decoded(data, LastPull, path) for path, data in ledger.records("pulls").items())


def note_pulls(ledger: Ledger, runbook: str, pulls: Sequence[PullRequest]) -> None:
    """Write down what became of the last pull request of a runbook, given those that a forge has of it.

    Raises PushRefused, OriginUnreachable, LedgerBroken.
    """
    known = last_pull(ledger, runbook)
    is_open = next((pull for pull in reversed(pulls) if pull.state == "open"), None)
    if is_open is not None:
        now: LastPull | None = LastPull.of(runbook, is_open)
        if now is not None and known is not None and known.number == now.number:
            first = known.first or known.bundle
            now = replace(now, first="" if first == now.bundle else first)
    else:
        states = {pull.number: pull.state for pull in pulls}
        now = known and replace(known, state=states.get(known.number, "closed"))
    if now is not None and now != known:
        message = f"Pull request {now.number} of {runbook} is {now.state}"
        ledger.record(_pull_path(runbook), canonical(msgspec.to_builtins(now)), message)


def keep_shown(ledger: Ledger, look: Look) -> None:
    """Write down that figures of a look were shown, before they are. Raises what `note_pulls` raises."""
    path = f"shown/{look.key.removeprefix('sha256:')}.json"
    shown = Shown(look.runbook, look.key)
    ledger.record(
        path, canonical(msgspec.to_builtins(shown)), f"Show the figures of a look at {look.runbook}"
    )


def shown_since(ledger: Ledger, looks: Sequence[Look], *, seed: str) -> tuple[str, ...]:
    """Say of how many of these looks figures were shown since the last change that was accepted and merged.

    A look that was accepted at another runbook than `seed`, today's digest, is taken for one whose change was
    merged since. Raises LedgerBroken.
    """
    accepted = [at for at, look in enumerate(looks) if look.answer == "accepted" and look.seed != seed]
    since = looks[accepted[-1] + 1 :] if accepted else looks
    records = (_decoded(data, Shown, path) for path, data in ledger.records("shown").items())
    shown = {record.look for record in records}
    count = sum(look.key in shown for look in since)
    of = "a look that was" if count == 1 else f"{count} looks that were"
    said = f"since the last accepted change, somebody was shown held-out figures of {of} not accepted"
    return (said,) if count else ()


_Record = TypeVar("_Record", LastPull, Shown)


def _pull_path(runbook: str) -> str:
    return f"pulls/{digest_of(runbook).removeprefix('sha256:')}.json"


def _decoded(data: bytes, kind: type[_Record], path: str) -> _Record:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise LedgerBroken(f"{path} of the ledger cannot be read: {error}; restore it") from error
