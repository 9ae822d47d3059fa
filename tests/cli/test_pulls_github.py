"""`runbookopt pulls` at a repository of GitHub: read here, approved and merged there."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import Clone, Ran
from tests.forge.bench import Bench


class At:
    """A clone whose one pull request is at the double of GitHub."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.clone = bench, Clone(bench.repository.root, bench.github.origin)
        self.number = bench.pull().number

    def ask(self, *arguments: str) -> Ran:
        return self.clone.ask("runbookopt", "pulls", *arguments, environ=self.bench.environ())


@pytest.fixture
def at(tmp_path: Path, first_half: ModuleType) -> Iterator[At]:
    with Bench(tmp_path, first_half, first_half.REVIEW) as bench:
        yield At(bench)


def test_those_of_github_are_listed_and_shown(at: At) -> None:
    listed = at.ask("list")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.startswith("   1  open    triage: +0.40 on 50 held-out tasks")
    at.bench.github.approve(1, "bo")
    shown = at.ask("show", "1")
    assert shown.returncode == 0, shown.stderr
    assert "bo approved this commit" in shown.stdout
    assert "a convention, not authentication" not in shown.stdout
    assert json.loads(at.ask("show", "1", "--json").stdout)["identity"] is None


def test_nobody_approves_or_merges_from_here(at: At) -> None:
    at.bench.github.approve(1, "bo")
    for command, status in (("approve", 3), ("merge", 3)):
        ran = at.ask(command, "1")
        assert (ran.returncode, ran.stdout) == (status, "")
        assert "at GitHub" in ran.stderr
        assert "/octo/runbooks/pull/1" in ran.stderr
    assert at.clone.at_origin("for-each-ref", "refs/runbookopt/pulls") == ""


def test_what_only_asks_origin_is_let_in_by_the_token_too(at: At) -> None:
    ran = at.clone.ask("runbookopt", "ledger", "triage", environ=at.bench.environ())
    assert (ran.returncode, ran.stderr) == (0, "")
