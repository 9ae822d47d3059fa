import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner, Result

from runbookopt.cli.pulls import app
from runbookopt.errors import Refused, RunbookoptError, WrongUsage
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.forge.protocol import Draft
from runbookopt.landing.propose import propose
from tests.conftest import Clone, copied, new_clone

Stage = Callable[..., Clone]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def proposed(tmp_path_factory: pytest.TempPathFactory, first_half: ModuleType) -> Callable[[str], Path]:
    """Give a folder with origin and ana's clone, where she has proposed under a policy: made once."""

    @cache
    def propose_under(policy: str) -> Path:
        folder = tmp_path_factory.mktemp("proposed")
        clone = new_clone(folder, first_half.files(policy))
        clone.is_used_by("ana")
        with Repository.open(clone.root) as repository:
            propose(repository, LocalForge(repository), first_half.FirstHalf(repository)())
        return folder

    return propose_under


@pytest.fixture
def at(
    proposed: Callable[[str], Path], first_half: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Stage:
    """Let ana have proposed under a policy, and go to the clone of somebody: `at("bo", policy)`."""

    def go(login: str, policy: str = first_half.REVIEW) -> Clone:
        place = copied(proposed(policy), tmp_path / "copy")
        theirs = Clone(place / "clone", place / "clone-origin.git").again(login, login)
        monkeypatch.chdir(theirs.root / "runbooks")
        return theirs

    return go


def test_pull_requests_are_listed_with_whom_they_wait_for(at: Stage) -> None:
    at("bo")
    assert (
        run("list").stdout
        == "   1  open    triage: +0.40 on 50 held-out tasks (0.50 to 0.90), waits for bo, cy\n"
    )
    (pull,) = json.loads(run("list", "--json").stdout)
    assert (pull["number"], pull["state"], pull["branch"]) == (1, "open", "runbookopt/triage")
    assert (pull["author"], pull["reviewers"], pull["auto_merge"]) == ("ana", ["bo", "cy"], False)


def test_where_there_are_none_that_is_said(
    repo: Callable[..., Clone], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo().root)
    assert run("list").stdout == "no pull requests\n"
    assert run("list", "--json").stdout == "[]\n"
    assert run("merge", "--auto").stdout == "no open pull requests\n"


def test_one_is_shown_with_its_report_and_what_is_missing(at: Stage) -> None:
    at("bo")
    shown = run("show", "1").stdout
    assert shown.startswith("#1 triage: +0.40 on 50 held-out tasks (0.50 to 0.90)\nopen: runbookopt/triage (")
    for part in (
        "opened by ana",
        "missing: 0 of 1 approval(s) of bo, cy",
        "a convention, not authentication",
        "## Scores",
        '+- If the message mentions "card" or "atm", answer `card`',
        "git fetch origin runbookopt/triage && git checkout --detach FETCH_HEAD",
    ):
        assert part in shown
    found = json.loads(run("show", "1", "--json").stdout)
    assert "0 of 1 approval(s) of bo, cy" in found["missing"]
    assert "not authentication" in found["identity"]


def test_nothing_in_a_pull_request_moves_the_cursor(at: Stage) -> None:
    clone = at("bo")
    with Repository.open(clone.root) as repository:
        forge = LocalForge(repository)
        pull = forge.get(1)
        fields = ("branch", "base", "head", "title", "reviewers", "auto_merge", "bundle")
        forge.update(1, Draft(**{f: getattr(pull, f) for f in fields}, body="a\x1b[2Jb"), replaces=pull.head)
    assert "a\\x1b[2Jb" in run("show", "1").stdout


def test_a_reviewer_approves_and_merges(at: Stage) -> None:
    clone = at("bo")
    assert "bo approved" in run("approve", "1").stdout
    assert json.loads(run("show", "1", "--json").stdout)["missing"] == []
    assert json.loads(run("merge", "1", "--json").stdout) == {
        "number": 1,
        "merged": clone.at_origin("rev-parse", "main"),
    }
    assert "merged" in run("show", "1").stdout


def test_who_approves_in_vain_is_told_at_once(at: Stage) -> None:
    at("dee")
    told = run("approve", "1").stdout
    assert "\nit does not count: the policy does not list this person as a reviewer\n" in told
    assert json.loads(run("approve", "1", "--json").stdout)["approvals"][1]["by"] == "dee"


def test_a_merge_that_the_policy_does_not_allow_exits_3(at: Stage) -> None:
    at("bo")
    result = run("merge", "1")
    assert isinstance(result.exception, Refused)
    assert result.exception.status == 3
    assert str(result.exception).endswith("may not be merged:\n- 0 of 1 approval(s) of bo, cy")


def test_automatic_merging_leaves_what_waits_for_people_and_exits_0(at: Stage) -> None:
    at("bo")
    result = run("merge", "--auto")
    assert result.exit_code == 0
    assert result.stdout.startswith("left pull request 1 (triage):\n  the policy asks for review")
    (left,) = json.loads(run("merge", "--auto", "--json").stdout)
    assert (left["number"], left["runbook"], left["merged"]) == (1, "triage", None)


def test_automatic_merging_merges_what_the_policy_allows(at: Stage, first_half: ModuleType) -> None:
    clone = at("bo", first_half.AUTO)
    assert run("list").stdout.endswith(", merges by itself\n")
    result = run("merge", "--auto")
    assert result.stdout == f"merged pull request 1 (triage) as {clone.at_origin('rev-parse', 'main')[:12]}\n"


def test_a_closed_one_is_listed_as_closed(at: Stage) -> None:
    at("bo")
    assert run("close", "1").stdout == "closed pull request 1; runbookopt/triage stays where it is\n"
    assert "closed" in run("list").stdout
    assert isinstance(run("approve", "1").exception, RunbookoptError)


def test_a_branch_that_somebody_pushed_to_is_shown_as_such(at: Stage) -> None:
    bo = at("bo")
    run("approve", "1")
    bo.git("checkout", "-q", "runbookopt/triage")
    bo.commit({"runbooks/triage/RUNBOOK.md": "by hand\n"}, push=False)
    bo.git("push", "-q", "origin", "runbookopt/triage")
    shown = run("show", "1").stdout
    assert "somebody has pushed to the branch" in shown
    assert "differs from what was proved" in shown
    assert "+by hand" in shown
    assert "Accepted." not in shown
    assert "by itself" not in shown
    assert "which is not the head now" in shown


@pytest.mark.parametrize("arguments", [("merge",), ("merge", "1", "--auto")])
def test_merge_wants_a_number_or_auto(arguments: tuple[str, ...]) -> None:
    assert isinstance(run(*arguments).exception, WrongUsage)


def test_a_number_that_is_not_there_is_one_clear_error(at: Stage) -> None:
    at("bo")
    for command in ("show", "approve", "close", "merge"):
        assert "there is no pull request 9" in str(run(command, "9").exception)
