"""What workflows are told to install: never a release that nobody has published."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from runbookopt.jobs.scaffold.source import RELEASE, installable, installed_from

if TYPE_CHECKING:
    from tests.conftest import Clone

Make = Callable[..., "Clone"]


def checkout(clone: "Clone") -> str:
    return json.dumps({"url": clone.root.as_uri(), "dir_info": {"editable": True}})


def test_a_release_is_named_only_where_an_index_has_it() -> None:
    assert installable(None, ["true"]) == RELEASE
    assert installable(None, ["false"]) is None
    assert installable(None, ["no-such-program"]) is None


def test_a_commit_that_was_installed_is_named() -> None:
    direct = {"url": "https://git.example/o/r", "vcs_info": {"vcs": "git", "commit_id": "1" * 40}}
    assert installable(json.dumps(direct)) == f"git+https://git.example/o/r@{'1' * 40}"


@pytest.mark.parametrize("url", ["git@github.com:o/runbookopt.git", "https://github.com/o/runbookopt"])
def test_a_checkout_is_named_by_its_commit_where_others_have_it(repo: Make, url: str) -> None:
    clone = repo()
    clone.git("remote", "set-url", "origin", url)
    head = clone.git("rev-parse", "HEAD")
    assert installable(checkout(clone)) == f"git+https://github.com/o/runbookopt@{head}"
    clone.commit({"a": "1"}, push=False)
    assert installable(checkout(clone)) is None


def test_init_asks_where_no_other_machine_could_install_what_runs(repo: Make) -> None:
    known = installable(installed_from())
    said = json.loads(repo().ask("runbookopt", "init", "--reviewer", "ana", "--dry-run", "--json").stdout)
    assert said["installs"] == known
    assert said["next"][0].startswith("say what workflows are to install") == (known is None)
    named = ("--reviewer", "ana", "--dry-run", "--json", "--spec", "tool.whl")
    told = json.loads(repo(name="other").ask("runbookopt", "init", *named).stdout)
    assert (told["installs"], "say what" in told["next"][0]) == ("tool.whl", False)


def test_what_only_this_machine_has_is_asked_about(repo: Make) -> None:
    clone = repo()
    assert installable(checkout(clone)) is None  # its origin is a folder
    assert installable(json.dumps({"url": "file:///dist/x.whl", "archive_info": {}})) is None
