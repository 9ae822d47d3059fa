"""Set-ups of a clone that would let a run end in nothing: each is refused before the first rollout."""

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Clone

Make = Callable[..., "Clone"]


def refused(clone: "Clone", *arguments: str) -> str:
    ran = clone.ask(*arguments)
    assert (ran.returncode, ran.stdout) == (1, ""), ran
    assert not (clone.root / ".runbookopt").exists()
    assert clone.at_origin("for-each-ref", "refs/runbookopt") == ""
    return ran.stderr


@pytest.mark.parametrize("branch", ["runbookopt", "runbookopt/desk/older"])
def test_a_branch_that_leaves_no_room_for_ours_is_named(repo: Make, planted: ModuleType, branch: str) -> None:
    clone = repo(planted.files())
    clone.git("push", "-q", "origin", f"HEAD:refs/heads/{branch}")
    said = refused(clone, "optimize-runbook", "desk")
    assert said == (
        f"desk: origin has a branch {branch}, and git keeps no branch runbookopt/desk beside it:"
        f" git push origin {branch}:refs/heads/{branch}-old :{branch}\n"
    )


def test_a_push_that_is_to_be_signed_is_refused(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    clone.git("config", "push.gpgSign", "true")
    assert "push.gpgSign false" in refused(clone, "optimize-runbook", "desk")
    assert clone.ask("optimize-runbook", "desk", "--dry-run", "--plan").returncode == 0


@pytest.mark.parametrize("command", [("optimize-runbook", "desk"), ("runbookopt", "evaluate", "desk")])
def test_a_sparse_checkout_is_refused(repo: Make, planted: ModuleType, command: tuple[str, ...]) -> None:
    clone = repo(planted.files())
    clone.git("sparse-checkout", "set", "runbooks")
    assert "git sparse-checkout disable" in refused(clone, *command)


@pytest.mark.parametrize("folder", ["runbooks", "runbooks/desk", "trajectories"])
def test_a_submodule_is_refused_with_the_reason(repo: Make, planted: ModuleType, folder: str) -> None:
    inside = f"{folder}/"
    files = planted.files()
    other = repo(
        {path.removeprefix(inside): files[path] for path in files if path.startswith(inside)}, "other"
    )
    clone = repo({path: text for path, text in files.items() if not path.startswith(inside)})
    allowed = ("-c", "protocol.file.allow=always")
    clone.git(*allowed, "submodule", "--quiet", "add", other.origin.as_uri(), folder)
    clone.commit({})
    for command in (("optimize-runbook", "desk"), ("runbookopt", "evaluate", "desk")):
        assert f"desk: {folder} is a submodule: its files are in another repository" in refused(
            clone, *command
        )
    checked = clone.ask("runbookopt", "check")
    assert checked.returncode == 1
    assert f"{folder} is a submodule" in checked.stdout
