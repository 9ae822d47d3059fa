import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import pytest

from runbookopt.documents.digest import digest
from runbookopt.forge.git.output import PushRefused, RefUpdate
from runbookopt.forge.git.repository import Repository
from runbookopt.proof.allowance import Look, look_key
from runbookopt.proof.ledger import REF, SEEN, Ledger, LedgerBroken, Reading

if TYPE_CHECKING:
    from tests.conftest import Clone

Make = Callable[..., "Clone"]


def look(candidate: str, runbook: str = "triage") -> Look:
    asked = {"seed": "s", "candidate": candidate, "rubric": "r", "agent": "a", "groups": ("g",)}
    return Look(look_key(runbook, **asked), runbook, tasks={"t": "d"}, searched=("u",), **asked)


def settled(taken: Look, bundle: bytes, answer: str = "rejected") -> Look:
    return msgspec.structs.replace(taken, bundle=digest(bundle), answer=answer)


def register(clone: "Clone", *candidates: str, push: bool = True) -> None:
    with Repository.open(clone.root) as repository:
        for candidate in candidates:
            Ledger.open(repository, push=push).register(look(candidate))


def candidates(clone: "Clone", *, push: bool = True) -> list[str]:
    with Repository.open(clone.root) as repository:
        return [look.candidate for look in Ledger.open(repository, push=push).looks("triage")]


def test_looks_are_read_by_another_clone_in_the_order_they_were_taken(repo: Make) -> None:
    clone = repo()
    register(clone, "c", "a", "b")
    with Repository.open(clone.root) as repository:
        Ledger.open(repository, push=True).register(look("x", "other"))
    assert candidates(clone.again("bo", "bo")) == ["c", "a", "b"]


def test_an_empty_ledger_has_no_looks_and_no_bundles(repo: Make) -> None:
    with Repository.open(repo().root) as repository:
        ledger = Ledger.open(repository, push=True)
        assert (ledger.looks("triage"), ledger.bundle(digest(b""))) == ((), None)


def test_a_look_that_was_taken_is_not_taken_twice(repo: Make) -> None:
    clone = repo()
    register(clone, "a", "b", "a")
    assert candidates(clone) == ["a", "b"]
    assert clone.at_origin("rev-list", "--count", REF) == "2"


def test_settling_keeps_the_place_and_the_bundle(repo: Make) -> None:
    clone = repo()
    register(clone, "a", "b")
    with Repository.open(clone.root) as repository:
        ledger = Ledger.open(repository, push=True)
        ledger.settle(settled(look("a"), b"{}"), b"{}")
        assert [found.answer for found in ledger.looks("triage")] == ["rejected", None]
    with Repository.open(clone.again("bo", "bo").root) as repository:
        assert Ledger.open(repository, push=True).bundle(digest(b"{}")) == b"{}"


def test_a_look_nobody_registered_is_registered_by_settling(repo: Make) -> None:
    clone = repo()
    register(clone, "a")
    with Repository.open(clone.root) as repository:
        Ledger.open(repository, push=True).settle(settled(look("b"), b"{}"), b"{}")
    assert candidates(clone) == ["a", "b"]


def test_the_first_answer_stands(repo: Make) -> None:
    with Repository.open(repo().root) as repository:
        ledger = Ledger.open(repository, push=True)
        ledger.settle(settled(look("a"), b"1"), b"1")
        ledger.settle(settled(look("a"), b"2", "accepted"), b"2")
        ledger.register(look("a"))
        assert ledger.looks("triage") == (settled(look("a"), b"1"),)
        assert ledger.bundle(digest(b"2")) == b"2"


def test_what_a_search_has_read_is_written_down_once_at_no_spending_and_in_its_place(repo: Make) -> None:
    clone = repo()
    with Repository.open(clone.root) as repository:
        ledger = Ledger.open(repository, push=True)
        ledger.read(Reading("triage", ("a", "b"), "1"))
        ledger.register(look("x"))
        ledger.read(Reading("triage", ("b", "u"), "2"))  # nothing new: a look has used the other
        ledger.read(Reading("triage", ("a", "c"), "3"), push=False)
        assert [reading.tasks for reading in ledger.readings("triage")] == [("a", "b"), ("c",)]
        assert ledger.looks("triage") == (look("x"),)
        assert ledger.burnt("triage") == {"a", "b", "c", "u"}
        assert ledger.burnt("triage", before=look("x").key) == {"a", "b"}
        assert ledger.burnt("other") == frozenset()
        assert ledger.burnt_at_origin("triage") == {"a", "b", "u"}
    assert clone.at_origin("rev-list", "--count", REF) == "2"
    with Repository.open(clone.root) as repository:
        Ledger.open(repository, push=True).read(Reading("triage", ("c",)))
    with Repository.open(clone.again("bo", "bo").root) as repository:
        assert Ledger.open(repository, push=True).burnt("triage") == {"a", "b", "c", "u"}


REGISTER = """
import sys
from pathlib import Path
import msgspec
from runbookopt.proof.allowance import Look
from runbookopt.proof.ledger import Ledger
from runbookopt.forge.git.repository import Repository
with Repository.open(Path(sys.argv[1])) as repository:
    ledger = Ledger.open(repository, push=True)
    print("open", flush=True)
    sys.stdin.readline()
    ledger.register(msgspec.json.decode(sys.argv[2], type=Look))
"""


def register_at_once(clones: list["Clone"]) -> set[str]:
    """Let one process a clone open the ledger, and all of them register only then."""
    processes = []
    for number, clone in enumerate(clones):
        taken = msgspec.json.encode(look(f"c{number}")).decode()
        command = [sys.executable, "-W", "error", "-c", REGISTER, str(clone.root), taken]
        started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(started)
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in processes] == [""] * len(processes)
    assert [process.returncode for process in processes] == [0] * len(processes)
    return {f"c{number}" for number in range(len(clones))}


def test_processes_that_register_at_once_never_share_a_place(repo: Make) -> None:
    clone = repo()
    expected = register_at_once([clone.again(f"clone-{n}", "bo") for n in range(3)])
    assert set(candidates(clone)) == expected
    assert clone.at_origin("rev-list", "--count", "--first-parent", REF) == "3"


def test_processes_of_one_clone_never_share_a_place(repo: Make) -> None:
    clone = repo()
    expected = register_at_once([clone, clone, clone])
    assert set(candidates(clone)) == expected
    assert clone.at_origin("rev-list", "--count", "--first-parent", REF) == "3"


def test_looks_of_a_clone_without_origin_are_spent_and_pushed_later(repo: Make) -> None:
    clone = repo()
    register(clone.again("bo", "bo"), "theirs")
    register(clone, "mine-1", "mine-2", push=False)
    assert candidates(clone, push=False) == ["mine-1", "mine-2"]
    assert candidates(clone) == ["theirs", "mine-1", "mine-2"]
    register(clone, "mine-3")
    assert candidates(clone.again("cy", "cy")) == ["theirs", "mine-1", "mine-2", "mine-3"]


def test_a_head_that_does_not_descend_from_the_last_seen_is_refused(repo: Make) -> None:
    clone = repo()
    register(clone, "a", "b")
    seen = clone.at_origin("rev-parse", REF)
    clone.at_origin("update-ref", REF, f"{REF}~1")
    with pytest.raises(LedgerBroken, match=f"does not descend .* git push --force origin {seen}:{REF}"):
        register(clone, "c")
    clone.at_origin("update-ref", "-d", REF)
    with pytest.raises(LedgerBroken, match="gone"):
        candidates(clone)
    clone.git("push", "-q", "--force", "origin", f"{seen}:{REF}")
    assert candidates(clone) == ["a", "b"]


def test_a_look_that_was_deleted_or_rewritten_is_noticed(repo: Make) -> None:
    clone = repo()
    register(clone, "a")
    with Repository.open(clone.root) as repository:
        head = repository.resolve(SEEN)
        (path,) = repository.revision(head).files("looks")
        forged = msgspec.json.encode(msgspec.structs.replace(look("a"), groups=()))
        for content, complaint in ((None, "was deleted"), (forged, "was rewritten"), (b"{", "not a look")):
            commit = repository.write_commit(repository.write_tree({path: content}, onto=head), [head], "?")
            repository.origin.push(RefUpdate(REF, clone.at_origin("rev-parse", REF), commit))
            repository.update_ref(SEEN, head, repository.find(SEEN))
            repository.update_ref(REF, head, repository.find(REF))
            with pytest.raises(LedgerBroken, match=complaint):
                Ledger.open(repository, push=True).looks("triage")


def test_a_server_that_refuses_leaves_the_look_to_be_pushed_later(repo: Make) -> None:
    clone = repo()
    hook = clone.hook("pre-receive", "echo closed; exit 1")
    with pytest.raises(PushRefused, match="closed"):
        register(clone, "a")
    hook.unlink()
    register(clone, "b")
    assert candidates(clone.again("bo", "bo")) == ["a", "b"]
