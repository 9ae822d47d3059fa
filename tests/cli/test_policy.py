import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from runbookopt.cli.policy import app
from runbookopt.cli.pulls import app as pulls
from runbookopt.documents.parse import MalformedFile
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.output import GitFailed
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.forge.protection import OUR_CHECK
from runbookopt.landing.bundle import encode
from runbookopt.landing.propose import propose
from tests.conftest import Clone
from tests.github.double import Github

if TYPE_CHECKING:
    from runbookopt.landing.bundle import Bundle

Make = Callable[..., Clone]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def explained(*arguments: str) -> dict[str, Any]:
    done = run("explain", *arguments, "--json")
    assert done.exit_code == 0, done.exception
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def at(repo: Make, first_half: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Go to the clone of somebody where one runbook has a policy: `at("bo", policy)`."""

    def go(login: str, policy: str | None = first_half.REVIEW) -> Clone:
        clone = repo(first_half.files(policy))
        clone.is_used_by(login)
        monkeypatch.chdir(clone.root)
        return clone

    return go


def made(clone: Clone, first_half: ModuleType) -> "Bundle":
    with Repository.open(clone.root) as repository:
        bundle: Bundle = first_half.FirstHalf(repository)()
    return bundle


def proposed(clone: Clone, bundle: "Bundle") -> None:
    with Repository.open(clone.root) as repository:
        propose(repository, LocalForge(repository), bundle)


# ---- check


def test_at_github_each_gap_is_printed_with_what_could_happen_and_the_setting(
    tmp_path: Path, first_half: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Github(tmp_path, first_half.files(f"merge: auto\nteams: [leads]\n{first_half.TRUST}")) as github:
        github.add_user("bo")
        github.add_team("leads", ["bo"])
        github.protect(checks=[OUR_CHECK], dismiss_stale=True, approvals=0)
        monkeypatch.setenv("GITHUB_API_URL", github.api_url)
        monkeypatch.setenv("GITHUB_TOKEN", github.token)
        monkeypatch.chdir(github.clone(tmp_path / "clone"))
        shown, found = run("check"), json.loads(run("check", "--json").stdout)
    assert shown.exit_code == 1
    lines = shown.stdout.splitlines()
    assert lines[:2] == [
        "triage: merge: auto, 1 approval(s) of team leads; by form: same-shape",
        "main is protected by classic",
    ]
    where = lines.index(
        "  no       source of the check: anybody may report `runbookopt verify`",
    )
    assert lines[where + 1].startswith(
        "           could happen: anybody with write access can write a status"
    )
    assert lines[where + 2].startswith("           to close it: Settings > Rules > Rulesets")
    assert lines[-1] == "4 gap(s), 0 unknown, 12 hold"
    assert github.token not in shown.output
    answers = {requirement["name"]: requirement["answer"] for requirement in found["demands"]}
    assert (found["holds"], found["branch"], found["sources"]) == (False, "main", ["classic"])
    assert [name for name, answer in answers.items() if answer == "no"] == [
        "source of the check",
        "last push",
        "code owners' review",
        "CODEOWNERS",
    ]
    assert not github.writes


def test_what_is_known_to_hold_exits_with_zero(
    tmp_path: Path, first_half: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Github(
        tmp_path, {**first_half.files(first_half.REVIEW), ".github/CODEOWNERS": "* @octo\n"}
    ) as github:
        check = (OUR_CHECK, github.world.app_id("github-actions"))
        github.protect(checks=[check], dismiss_stale=True, approvals=1, code_owners=True, last_push=True)
        monkeypatch.setenv("GITHUB_API_URL", github.api_url)
        monkeypatch.setenv("GITHUB_TOKEN", github.token)
        monkeypatch.chdir(github.clone(tmp_path / "clone"))
        shown = run("check")
    assert (shown.exit_code, "0 gap(s), 0 unknown" in shown.stdout) == (0, True), shown.stdout


def test_a_plain_git_server_enforces_nothing_and_that_is_unknown_not_yes(at: Make) -> None:
    at("ana")
    shown = run("check")
    assert shown.exit_code == 1
    assert "  unknown  protections: a plain git server shows no rules of its own" in shown.stdout
    assert "whoever may push to origin can push anything to main" in shown.stdout


def test_policies_that_cannot_be_read_are_all_named(at: Make) -> None:
    clone = at("ana", "merge: always\n")
    clone.commit({"runbooks/b/RUNBOOK.md": "# B\n", "runbooks/b/policy.yaml": "approvals: 0\n"})
    error = run("check").exception
    assert isinstance(error, MalformedFile)
    assert {problem.path for problem in error.problems} == {
        "runbooks/triage/policy.yaml",
        "runbooks/b/policy.yaml",
    }


def test_without_runbooks_or_an_origin_it_says_what_is_missing(
    repo: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = repo()
    monkeypatch.chdir(clone.root)
    with pytest.raises(RunbookoptError, match="there is no runbook on main"):
        raise run("check").exception or AssertionError
    clone.git("remote", "remove", "origin")
    with pytest.raises(GitFailed, match="there is no origin, so nothing enforces a policy"):
        raise run("check").exception or AssertionError


# ---- explain


def test_a_runbook_without_a_change_is_told_what_its_policy_would_ask(at: Make) -> None:
    at("ana", "merge: auto\nlimits: {}\n")
    shown = run("explain", "triage").stdout.splitlines()
    assert shown[0] == "triage, of which no change is proposed: nothing is to be merged"
    assert "  yes      the policy lets a change merge by itself" in shown
    assert "  unknown  what the next change gains and brings in is not known before a run" in shown
    assert "  yes      0 of at most 1 pull request(s) of this runbook are open" in shown


def test_a_text_is_explained_as_if_it_were_proved_and_nothing_is_written(
    at: Make, first_half: ModuleType
) -> None:
    clone = at("ana", first_half.AUTO)
    place = clone.root.parent / "mine.md"
    place.write_text(first_half.RUNBOOK.replace('"card"', '"card" or "atm"'))
    found = explained("triage", "--with", str(place))
    assert set(found) == {"violations", "introduces", "forms", "merge"}
    assert (found["violations"], found["forms"], found["merge"]) == ([], [], "auto")
    place.write_text(first_half.RUNBOOK.replace("- Otherwise", "- Be kind.\n- Otherwise"))
    found = explained("triage", "--with", str(place))
    assert found["forms"] == [
        "line 9 (- Be kind.): it quotes no phrase of a message, so no task can vouch for it"
    ]
    assert found["merge"] == "review"
    shown = run("explain", "triage", "--with", str(place)).stdout.splitlines()
    assert shown[0] == f"triage with {place}, if the proof accepted it: would go to review"
    assert shown[1].startswith("  no form line 9 (- Be kind.)")
    place.write_text(first_half.RUNBOOK.replace("1.2.3", "7.0.0"))
    assert explained("triage", "--with", str(place))["merge"] == "none"
    assert clone.at_origin("for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (None, "cannot be read"),
        (b"\xff", "expected a text in UTF-8"),
        (b"a" * 1_000_001, "at most 1,000,000"),
    ],
)
def test_a_file_that_is_no_text_is_refused_in_a_sentence(at: Make, data: bytes | None, why: str) -> None:
    place = at("ana").root.parent / "mine.md"
    if data is not None:
        place.write_bytes(data)
    error = run("explain", "triage", "--with", str(place)).exception
    assert isinstance(error, RunbookoptError)
    assert why in str(error)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", "triage: merge: auto; by form: same-shape"),
        ("auto_merge_if: {forms: any}", "lines of any form merge by themselves, and so does what"),
        ("auto_merge_if: {forms: [same-shape, '- a b']}", "by form: same-shape, 1 of its own"),
        ("auto_merge_if: {forms: []}", "by form: none"),
    ],
)
def test_what_merges_by_form_is_told_with_the_policies(at: Make, more: str, words: str) -> None:
    at("ana", f"merge: auto\n{more}\n")
    assert words in run("check").stdout.splitlines()[0]


def test_whom_a_pull_request_waits_for_names_teams_too(at: Make, first_half: ModuleType) -> None:
    clone = at("ana", "merge: review\nreviewers: [bo]\nteams: [leads]\n")
    proposed(clone, made(clone, first_half))
    assert CliRunner().invoke(pulls, ["list"]).stdout.endswith(", waits for bo, team leads\n")


def test_a_bundle_is_explained_and_nothing_is_written(
    at: Make, first_half: ModuleType, tmp_path: Path
) -> None:
    clone = at("ana", first_half.AUTO)
    place = tmp_path / "bundle.json"
    place.write_bytes(encode(made(clone, first_half)))
    refs = clone.at_origin("for-each-ref"), clone.git("for-each-ref")
    found = explained(str(place))
    assert (found["about"], found["merge"]) == ("the bundle of run run-1 of triage", "auto")
    assert all(reason.startswith("yes: ") for reason in found["reasons"])
    assert (clone.at_origin("for-each-ref"), clone.git("for-each-ref")) == refs


def test_a_bundle_that_does_not_agree_with_git_says_so(
    at: Make, first_half: ModuleType, tmp_path: Path
) -> None:
    clone = at("ana")
    place = tmp_path / "bundle.json"
    place.write_bytes(encode(made(clone, first_half)))
    clone.commit({"runbooks/triage/rubric.yaml": first_half.RUBRIC + "# changed\n"})
    found = explained(str(place))
    assert found["merge"] == "none"
    assert "run optimize-runbook triage again" in found["reasons"][0]


def test_a_pull_request_is_explained_by_number_and_by_its_runbooks_name(
    at: Make, first_half: ModuleType
) -> None:
    clone = at("ana")
    proposed(clone, made(clone, first_half))
    by_number, by_name = explained("1"), explained("triage")
    assert by_number == by_name
    assert (by_number["about"], by_number["merge"], by_number["granted"]) == (
        "pull request 1",
        "review",
        False,
    )
    assert "no: 0 of 1 approval(s) of bo, cy" in by_number["reasons"]
    with Repository.open(clone.again("bo", "bo").root) as repository:
        LocalForge(repository).approve(1)
    told = run("explain", "1").stdout
    assert told.startswith("pull request 1: goes to review, and may be merged now\n")
    assert "  yes      bo approved this commit as a reviewer" in told


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("7", "there is no pull request 7"),
        ("triag", "did you mean 'triage'"),
        ("gone.json", "gone.json: No such file or directory; expected a file of .runbookopt/bundles/"),
    ],
)
def test_what_is_not_there_is_named(at: Make, what: str, told: str) -> None:
    at("ana")
    error = run("explain", what).exception
    assert isinstance(error, RunbookoptError)
    assert told in str(error)
