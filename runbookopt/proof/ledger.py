"""Ledger of every look at held-out tasks: a chain of commits at origin, where all who look can see it."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Self

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.digest import canonical, digest_of
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.origin import attempts
from runbookopt.forge.git.output import PushRejected, RefUpdate, TreeEntry
from runbookopt.forge.git.repository import Repository
from runbookopt.proof.allowance import Look, burnt, look_key

REF = "refs/runbookopt/ledger"
"""At origin the ledger; in a clone the same, with what has not been pushed yet on top of it."""

SEEN = "refs/runbookopt/origin/ledger"  # the head of the ledger at origin when this clone last saw it


class LedgerBroken(RunbookoptError):
    """Looks were taken back or rewritten: nothing can be proved before somebody has repaired the ledger."""


class Reading(Struct, frozen=True):
    """What a search has read: `tasks` are the ids of train and validation tasks, sorted.

    It stands for a search that may never have looked at held-out tasks; `at` is ISO 8601.
    """

    runbook: str
    tasks: tuple[str, ...]
    at: str = ""

    @property
    def key(self) -> str:
        """The digest of what was read; when does not matter."""
        return digest_of([self.runbook, self.tasks])


class Ledger:
    """The looks, in their order, the bundles that settled them, and what searches have read besides.

    The tree holds `looks/<key>.json`, `bundles/<digest>.json` and `reads/<key>.json` (in hexadecimal) and
    only grows; beside them are the `records` of `proof.records`. Each commit is the child of the one before,
    and the order of looks and readings is that of the commits that brought them in. With `push` the chain is
    origin's; without, it stays in this clone until somebody pushes.
    """

    def __init__(self, repository: Repository, *, push: bool, fetch: bool) -> None:
        self._repository = repository
        self._push = push
        self._fetch = fetch
        self._head: str | None = None
        self._shared: str | None = None
        self._read: dict[str, tuple[Look | Reading, ...]] = {}
        self._paths: dict[str | None, tuple[str, ...]] = {None: ()}  # of entries, in their order, by head

    @classmethod
    def open(cls, repository: Repository, *, push: bool, fetch: bool = False) -> Self:
        """Open the ledger, asking origin for it if `push` or `fetch`: reading it takes no right to push.

        Raises LedgerBroken where origin's head does not descend from the one last seen, OriginUnreachable.
        """
        ledger = cls(repository, push=push, fetch=push or fetch)
        for attempt in attempts(PushRejected):
            with attempt:
                ledger._catch_up()
        return ledger

    @classmethod
    def at(cls, repository: Repository, head: str) -> Self:
        """The ledger as a commit has it: nobody is asked, and nothing is moved."""
        ledger = cls(repository, push=False, fetch=False)
        ledger._head = ledger._shared = head
        return ledger

    @property
    def head(self) -> str | None:
        """The commit that holds all of it, as this clone knows it; None where there is none."""
        return self._head

    @property
    def asks_origin(self) -> bool:
        """Whether it is origin's word."""
        return self._fetch

    @property
    def at_origin(self) -> str | None:
        """The commit that origin had when it was last asked; None where there was none."""
        return self._shared

    def looks(self, *names: str) -> tuple[Look, ...]:
        """The looks at a runbook's held-out tasks, by all its names, oldest first. Raises LedgerBroken."""
        entries = self._entries(self._head)
        return tuple(entry for entry in entries if isinstance(entry, Look) and entry.runbook in names)

    def readings(self, *names: str) -> tuple[Reading, ...]:
        """What searches of a runbook, by all its names, have read besides, oldest first."""
        entries = self._entries(self._head)
        return tuple(entry for entry in entries if isinstance(entry, Reading) and entry.runbook in names)

    def names(self) -> frozenset[str]:
        """The names of all runbooks of which there is an entry. Raises LedgerBroken."""
        return frozenset(entry.runbook for entry in self._entries(self._head))

    def burnt(self, *names: str, before: str | None = None) -> frozenset[str]:
        """The ids of the tasks that searches of a runbook, by all its names, have read, looking or not.

        `before` is the key of a look: only what came before it counts, if it is there.
        """
        return self._burnt(self._head, names, before)

    def burnt_at_origin(self, *names: str) -> frozenset[str]:
        """The same by what origin had when it was last asked."""
        return self._burnt(self._shared, names)

    def pushed(self, look: Look) -> bool:
        """Whether origin had a look when it was last asked."""
        return look.key in {e.key for e in self._entries(self._shared) if isinstance(e, Look)}

    def _burnt(self, head: str | None, names: tuple[str, ...], before: str | None = None) -> frozenset[str]:
        own = [entry for entry in self._entries(head) if entry.runbook in names]
        keys = [entry.key for entry in own]
        earlier = own[: keys.index(before)] if before in keys else own
        read = (task for entry in earlier if isinstance(entry, Reading) for task in entry.tasks)
        return burnt([entry for entry in earlier if isinstance(entry, Look)]).union(read)

    def _entries(self, head: str | None) -> tuple[Look | Reading, ...]:
        if head is not None and head not in self._read:
            self._paths[head] = self._paths_at(head)
            blobs = {entry.path: entry.blob for entry in self._tree(head)}
            self._read[head] = tuple(self._entry(path, blobs.get(path)) for path in self._paths[head])
        return self._read.get(head or "", ())

    def _tree(self, head: str) -> list[TreeEntry]:
        return [*self._repository.tree(head, "looks"), *self._repository.tree(head, "reads")]

    def bundle(self, digest: str) -> bytes | None:
        """The bytes of a bundle that settled a look."""
        entries = self._repository.tree(self._head, _path("bundles", digest)) if self._head else []
        return self._repository.blob(entries[0].blob) if entries else None

    def register(self, look: Look) -> None:
        """Write down that a look is taken, before it is; nothing happens where its key is there already.

        Raises PushRefused, OriginUnreachable, LedgerBroken.
        """
        self._append({_path("looks", look.key): _encoded(look)}, f"Look at {look.runbook}")

    def settle(self, look: Look, bundle: bytes) -> None:
        """Write down what came of a look: its `answer`, its `bundle` (a digest), and that bundle's bytes.

        The first answer to a look stands; the bundle is kept in any case. Raises what `register` raises.
        """
        if look.bundle is None or look.answer is None:
            raise ValueError("a look is settled by an answer and a bundle")
        edits = {_path("looks", look.key): _encoded(look), _path("bundles", look.bundle): bundle}
        self._append(edits, f"Settle a look at {look.runbook}: {look.answer}")

    def keep(self, digest: str, bundle: bytes) -> None:
        """Keep the bytes of another bundle that a settled look answers. Raises what `register` raises."""
        self._append({_path("bundles", digest): bundle}, "Keep a bundle")

    def records(self, folder: str) -> dict[str, bytes]:
        """The records below a folder beside the looks, by their paths."""
        entries = self._repository.tree(self._head, folder) if self._head else []
        return {entry.path: self._repository.blob(entry.blob) for entry in entries}

    def record(self, path: str, data: bytes, message: str) -> None:
        """Write a record beside the looks; one of `pulls/` in place of the one that is there.

        Raises what `register` raises.
        """
        self._append({path: data}, message)

    def read(self, reading: Reading, *, push: bool = True) -> None:
        """Write down what a search has read, less what the ledger has of it; nothing where it has all.

        Without `push` that stays in this clone for now. Raises what `register` raises.
        """
        new = replace(reading, tasks=tuple(sorted({*reading.tasks} - self.burnt(reading.runbook))))
        data = {_path("reads", new.key): canonical(msgspec.to_builtins(new))} if new.tasks else {}
        push = push and self._push
        if data or (push and self._head != self._shared):  # with what was not pushed before
            self._append(data, f"Tasks of {new.runbook} that were read", push=push)

    def _paths_at(self, head: str) -> tuple[str, ...]:
        """The entries that ever came in, in their order; of our own commit, by what its parent had."""
        before = next(iter(self._repository.commit(head).parents), None)
        if before in self._paths:
            added = [*self._paths[before], *(entry.path for entry in self._tree(head))]
        else:
            added = self._repository.files_changed(self._repository.history(head, chain=True), kinds="A")
        return tuple(path for path in dict.fromkeys(added) if path.startswith(("looks/", "reads/")))

    def _append(self, edits: Mapping[str, bytes], message: str, *, push: bool | None = None) -> None:
        """Put a commit on top of the chain; where somebody else was first, on top of theirs."""
        for attempt in attempts(PushRejected):
            with attempt:
                shared = self._catch_up()
                self._move_to(self._commit(self._head, edits, message))
                pushes = self._push if push is None else push
                if pushes and self._head is not None and self._head != shared:
                    self._repository.origin.push(RefUpdate(REF, shared, self._head))
                    self._shared = self._head
                    with suppress(PushRejected):  # another process of this clone has seen even more
                        self._repository.update_ref(SEEN, self._head, shared)

    def _catch_up(self) -> str | None:
        """Put what this clone has not pushed on top of what origin has, and give the latter's head."""
        self._shared = shared = self._at_origin() if self._fetch else self._repository.find(SEEN)
        self._head = self._repository.find(REF)
        self._move_to(self.joined(shared, self._head))
        return shared

    def _at_origin(self) -> str | None:
        seen = self._repository.find(SEEN)  # before origin is asked: another process may see more meanwhile
        shared = self._repository.origin.refs(REF).get(REF)
        if shared == seen:
            return shared
        if shared is not None:
            self._repository.origin.fetch(REF)
        if seen is not None and (shared is None or not self._repository.is_ancestor(seen, shared)):
            raise LedgerBroken(
                f"the ledger at origin ({shared or 'gone'}) does not descend from {seen}, seen there before: "
                "looks were taken back; put it back beside what is there: runbookopt ledger restore --from .;"
                f" or in its place: git push --force origin {seen}:{REF}"
            )
        if shared is not None:
            self._repository.update_ref(SEEN, shared, seen)
        return shared

    def joined(self, shared: str | None, local: str | None) -> str | None:
        """A head with all that two heads hold: what `local` has more is put on top of `shared`."""
        if local is None or shared is None or self._repository.is_ancestor(local, shared):
            return shared or local
        if self._repository.is_ancestor(shared, local):
            return local
        head: str | None = shared
        for commit in self._repository.history(local, without=shared, chain=True):
            files = self._repository.revision(commit)
            edits = {path: files.read(path) for path in self._repository.files_changed([commit], kinds="AM")}
            head = self._commit(head, edits, self._repository.commit(commit).message)
        return head

    def _move_to(self, head: str | None) -> None:
        if head is not None and head != self._head:
            self._repository.update_ref(REF, head, self._head)
        self._head = head

    def _commit(self, head: str | None, edits: Mapping[str, bytes], message: str) -> str | None:
        """`head` with a commit on top that brings in what is new in `edits`; `head` if nothing is."""
        there = {} if head is None else {e.path: e.blob for e in self._repository.tree(head)}
        new = {p: data for p, data in edits.items() if p not in there or self._replaces(p, there[p], data)}
        if not new:
            return head
        tree = self._repository.write_tree(new, onto=head)
        return self._repository.write_commit(tree, [head] if head else [], message)

    def _replaces(self, path: str, blob: str, data: bytes) -> bool:
        """Whether an entry may stand in the place of another: an answer to a look, news of a pull request."""
        if not path.startswith("looks/"):
            return path.startswith("pulls/") and self._repository.blob(blob) != data
        old, new = (msgspec.json.decode(look, type=Look) for look in (self._repository.blob(blob), data))
        return old.answer is None and new.answer is not None

    def _entry(self, path: str, blob: str | None) -> Look | Reading:
        if blob is None:
            raise LedgerBroken(f"{path} was deleted from the ledger: a look is never taken back; restore it")
        entry: Look | Reading
        word = "look" if path.startswith("looks/") else "reading"
        try:
            data = self._repository.blob(blob)
            entry = (
                msgspec.json.decode(data, type=Look)
                if word == "look"
                else msgspec.json.decode(data, type=Reading)
            )
        except msgspec.DecodeError as error:
            raise LedgerBroken(f"{path} of the ledger is not a {word}: {error}") from error
        if path != _path(path.partition("/")[0], _key(entry)):
            raise LedgerBroken(f"{path} of the ledger was rewritten: its key is not that of what it says")
        return entry


def _key(entry: Look | Reading) -> str:
    """The key of an entry by what it says, whatever it states."""
    if isinstance(entry, Reading):
        return entry.key
    terms = {"seed": entry.seed, "candidate": entry.candidate, "rubric": entry.rubric, "agent": entry.agent}
    return look_key(entry.runbook, **terms, groups=entry.groups)


def _path(folder: str, digest: str) -> str:
    return f"{folder}/{digest.removeprefix('sha256:')}.json"


def _encoded(look: Look) -> bytes:
    return canonical(msgspec.to_builtins(look))
