import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from runbookopt.evidence.library import Folder, task_id
from runbookopt.forge.git.repository import Repository
from runbookopt.landing.ledger.identity import identity_of
from runbookopt.proof.ledger import Ledger, Reading

if TYPE_CHECKING:
    from tests.conftest import Clone

Make = Callable[..., "Clone"]

PAGE = "# Page\n\n- Read the ticket.\n- Name the queue.\n- Say why in one line.\n"
RUBRIC = "criteria: [{id: x, check: {kind: contains, value: x}}]\n"


def files(name: str, tasks: range, rubric: str = RUBRIC, page: str = PAGE) -> dict[str, str]:
    lines = [json.dumps({"id": f"{name}-{n}", "task": {"input": f"task {n}"}}) + "\n" for n in tasks]
    return {
        f"runbooks/{name}/RUNBOOK.md": page,
        f"runbooks/{name}/rubric.yaml": rubric,
        f"trajectories/{name}/a.jsonl": "".join(lines),
    }


def known(clone: "Clone", name: str, other: str, read: range) -> tuple[tuple[str, ...], dict[str, int]]:
    """Give the names of a runbook, and who shares its tasks, where a search of `other` has read some."""
    with Repository.open(clone.root) as repository:
        ledger = Ledger.open(repository, push=False)
        ledger.read(Reading(other, tuple(task_id(f"task {number}") for number in read)))
        identity = identity_of(repository, ledger, name, Folder(repository.root), repository.resolve("HEAD"))
    return identity.names, dict(identity.others)


def test_a_page_that_git_sees_moved_is_the_same_runbook_whatever_its_tasks(repo: Make) -> None:
    clone = repo(files("one", range(9)))
    for old, new in (("one", "two"), ("two", "deep/three")):
        clone.git("mv", f"runbooks/{old}/RUNBOOK.md", f"runbooks/{new.partition('/')[0]}-")
        clone.git("rm", "-q", "-r", f"runbooks/{old}", f"trajectories/{old}")
        clone.write({f"runbooks/{new}/x": ""})
        (clone.root / f"runbooks/{new}/x").unlink()
        clone.git("mv", f"runbooks/{new.partition('/')[0]}-", f"runbooks/{new}/RUNBOOK.md")
        more = files(new, range(100, 109))
        del more[f"runbooks/{new}/RUNBOOK.md"]
        clone.commit(more)
    assert known(clone, "deep/three", "one", range(9)) == (("deep/three", "one"), {})


@pytest.mark.parametrize(
    ("shared", "rubric", "same"),
    [
        (9, RUBRIC.replace("x", "y"), True),
        (2, None, False),
        (0, None, False),
    ],
)
def test_another_page_at_the_tasks_of_one_that_is_gone_is_the_same_runbook(
    repo: Make, shared: int, rubric: str | None, *, same: bool
) -> None:
    clone = repo(files("one", range(9)))
    clone.git("rm", "-q", "-r", "runbooks", "trajectories")
    clone.commit({})
    page = "Something else, of which nothing was there before.\n"
    clone.commit(files("two", range(9 - shared, 30 - shared), rubric or RUBRIC, page))
    names, others = known(clone, "two", "one", range(9))
    assert names == (("two", "one") if same else ("two",))
    assert others == ({"one": shared} if shared and not same else {})


def test_a_runbook_that_stays_keeps_its_name_and_is_named(repo: Make) -> None:
    clone = repo(files("one", range(9)) | files("two", range(5, 12)))
    assert known(clone, "two", "one", range(9)) == (("two",), {"one": 4})
    assert known(clone, "one", "two", range(5, 12)) == (("one",), {"two": 4})
