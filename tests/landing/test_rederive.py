"""The bundle that the ledger holds of a look is no more believed than one that is handed in."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runbookopt.forge.git.repository import Repository
from runbookopt.landing.bundle import encode, read_bundle, seal
from runbookopt.proof.ledger import REF

if TYPE_CHECKING:
    from tests.conftest import Clone


def put_another_in_its_place(clone: "Clone", name: str) -> str:
    """Overwrite a bundle in the ledger at origin by another sealed one, and give that one's digest."""
    with Repository.open(clone.root) as repository:
        head = repository.find(REF)
        assert head is not None
        bundle = read_bundle(repository.revision(head).read(name), name)
        other = seal(replace(bundle, random_seed=bundle.random_seed + 1))
        tree = repository.write_tree({name: encode(other)}, onto=head)
        commit = repository.write_commit(tree, [head], "Keep a bundle")
    clone.git("push", "-q", "origin", f"{commit}:{REF}")
    return other.digest


def test_a_recorded_bundle_that_is_another_than_its_name_says_is_used_by_nobody(
    repo: Callable[..., "Clone"], planted: ModuleType
) -> None:
    clone = repo(planted.files())
    found = json.loads(clone.ask("optimize-runbook", "desk", "--json").stdout)
    name = found["bundle"].removeprefix(".runbookopt/")
    other = put_another_in_its_place(clone, name)
    for command in (
        ("optimize-runbook", "desk", "--no-propose", "--again"),
        ("runbookopt", "evaluate", "desk", "--split", "held-out", "--spend-look", "--yes"),
        ("runbookopt", "pulls", "merge", "1"),
        ("runbookopt", "propose", found["bundle"]),
    ):
        ran = clone.ask(*command)
        assert ran.returncode == 1, command
        assert f"the ledger holds bundle {other} under the name of sha256:{name[8:-5]}" in ran.stderr
