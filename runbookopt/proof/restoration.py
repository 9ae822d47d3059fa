"""Restoration of a ledger that was taken back, from another place that still has it."""

from msgspec import Struct

from runbookopt.documents.schema_errors import plain
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.origin import attempts
from runbookopt.forge.git.output import GitFailed, PushRejected, RefUpdate
from runbookopt.forge.git.repository import Repository
from runbookopt.proof.binding import Unbound, begun, named_up_to, unheld
from runbookopt.proof.ledger import REF, SEEN, Ledger, LedgerBroken


class Restored(Struct, frozen=True):
    """A ledger that is back: its head, how many looks it holds, and whether origin has it."""

    head: str
    looks: int
    pushed: bool


def restore(repository: Repository, source: str) -> Restored:
    """Bring the ledger of `source` back to origin, or without an origin into this clone.

    `source` is a remote's name or address, a folder, or a file that `git bundle` made. What origin and this
    clone hold besides stays on top of it, so that nobody who has seen either is told of a loss; what is
    broken there by itself is left behind. Raises LedgerBroken where the chain found is not whole, Unbound
    where it lacks what the default branch rests on, PushRefused, OriginUnreachable, GitFailed.
    """
    try:
        found = repository.fetched_from(source, REF, SEEN)
    except GitFailed as error:
        raise RunbookoptError(f"{plain(source)}: no ledger can be read from there: {error}") from error
    if found is None:
        raise RunbookoptError(f"{plain(source)} holds no ledger: expected {REF} there")
    for attempt in attempts(PushRejected):
        with attempt:
            restored = _restored(repository, source, found)
    return restored


def _restored(repository: Repository, source: str, found: str) -> Restored:
    shared = repository.has_origin()
    now = repository.origin.refs(REF).get(REF) if shared else None
    if now is not None:
        repository.origin.fetch(REF)
    seen, own = repository.find(SEEN), repository.find(REF)
    head = found
    for other in (now, seen) if shared else (own,):
        if other is not None and _is_whole(repository, other):
            head = _with_all_of(repository, head, other)
    ledger = Ledger.at(repository, head)
    names = sorted(ledger.names())
    lost = next(
        unheld(repository, head, named_up_to(repository, repository.base(), begun(ledger, names))), None
    )
    if lost is not None:
        raise Unbound(
            f"{plain(source)} has a ledger, which does not hold {lost}: restore it from where it was"
        )
    if shared and head != now:
        repository.origin.push(RefUpdate(REF, now, head))
    _move_refs(repository, head, {SEEN: seen} if shared else {REF: own}, own)
    return Restored(head, len(ledger.looks(*names)), shared)


def _move_refs(repository: Repository, head: str, refs: dict[str, str | None], own: str | None) -> None:
    if own is not None and not _is_whole(repository, own):
        refs = refs | {REF: own}  # what is broken here would come back with the next look
    for ref, before in refs.items():
        if head != before:
            repository.update_ref(ref, head, before)


def _is_whole(repository: Repository, head: str) -> bool:
    try:
        Ledger.at(repository, head).names()
    except LedgerBroken:
        return False
    return True


def _with_all_of(repository: Repository, head: str, other: str) -> str:
    """A head that descends from both, with all that they hold: whoever saw either sees no loss."""
    joined = Ledger.at(repository, head).joined(head, other) or head
    if repository.is_ancestor(other, joined):
        return joined
    tree = repository.commit(joined).tree
    return repository.write_commit(tree, [joined, other], "Put back what was taken from the ledger")
