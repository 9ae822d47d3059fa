"""The workflows that `init` writes into a repository, run whole: from a wheel of this checkout and the locks.

Nothing is installed but files of the locks, each held against its hash, and that wheel; pip asks no index.
Each job begins on a machine of its own: it fetches from the double of GitHub by HTTP, with a token that may
do what the job says.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import jwt
import pytest
import requests

from tests.conftest import Clone
from tests.github.double import Github

if TYPE_CHECKING:
    from tests.github_runner import Actions, Ended, Runner

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]  # three installations, on a busy machine

PROJECT = Path(__file__).parents[1]
LOCKS = ("runbookopt-requirements.txt", "runbookopt-requirements-models.txt")
SETTINGS = "defaults: {budget: {rollouts: 600}}\n"
BIG = "a picture that no check reads " * 3_000
OF_APP = {"metadata": "read", "contents": "write", "pull_requests": "write", "issues": "write"}
"""What the app may here: neither administration nor members, for which the workflow asks first."""

SEARCHING = [
    "Take away local state that a commit brought",
    "Fetch the ledger, and leave GitHub for a folder of this machine",
    "Install",
    "Search, and prove what was found",
    "Count the bundles, and what searches have read that did not look, outside of the checkout",
    "Show",
]
PROPOSING = ["Install", "Write down every look, and propose what is proved", "Show"]
VERIFYING = [
    "Fetch what is to be judged and the ledger, and leave GitHub for a folder of this machine",
    "Install",
    "Verify",
    "Say why",
]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the files of both locks: all that pip finds."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "-d",
        str(folder),
    ]
    files = [word for lock in LOCKS for word in ("-r", f".github/{lock}")]
    if subprocess.run([*pip, *files], cwd=PROJECT, check=False).returncode:
        pytest.skip("the files of the locks cannot be had here")
    return folder


@pytest.fixture(scope="module")
def github(
    planted: ModuleType, github_runner: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Github]:
    """Give a team's repository in which somebody ran `init`, and pushed what it wrote."""
    folder = tmp_path_factory.mktemp("init")
    wheel = github_runner.built(folder)
    files = {
        **planted.files(policy=f"{planted.POLICY}reviewers: [bo]\n"),
        "runbookopt.yaml": SETTINGS,
        "assets/big.txt": BIG,
    }
    with Github(folder, files) as github:
        github.add_user("bo")
        github.commit("main", {"assets/big.txt": "small by now\n"})
        clone = Clone(folder / "team", github.origin)
        subprocess.run(["git", "clone", "-q", github.origin.as_uri(), str(clone.root)], check=True)
        ran = clone.ask("runbookopt", "init", "--reviewer", "bo", "--spec", str(wheel))
        assert (ran.returncode, ran.stderr) == (0, "")
        clone.commit({}, "Optimize runbooks")
        github.app_key(OF_APP)
        yield github


@pytest.fixture(scope="module")
def actions(
    github: Github, wheels: Path, github_runner: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> "Actions":
    """Give GitHub Actions there, with the repository's variables and events as nobody changed them."""
    known = {
        **{f"vars.{name}": "" for name in ("RUNBOOKOPT_SPEC",)},
        **{f"secrets.{name}": "" for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")},
        "secrets.RUNBOOKOPT_APP_PRIVATE_KEY": github.app_key(OF_APP),
        "vars.RUNBOOKOPT_APP_CLIENT_ID": str(github.app_id),
        "github.repository": github.repository,
        "github.event.repository.default_branch": "main",
        "github.ref_name": "main",
        "github.run_id": "1",
        "github.run_attempt": "1",
    }
    made: Actions = github_runner.Actions(
        folder=tmp_path_factory.mktemp("actions"),
        remote=github.remote_url,
        known=known,
        token=lambda asked: github.actions_token(
            {key.replace("-", "_"): each for key, each in asked.items()}
        ),
        app=lambda asked: of_the_app(github, asked),
        wheels=wheels,
        environ={"GITHUB_API_URL": github.api_url},
    )
    return made


def of_the_app(github: Github, asked: Mapping[str, str]) -> str:
    """Give a token as actions/create-github-app-token asks for one."""
    claims = {"iss": str(github.app_id), "iat": 0, "exp": 4_000_000_000}
    signed = jwt.encode(claims, github.app_key(OF_APP), algorithm="RS256")
    head = {"Authorization": f"Bearer {signed}"}
    there = requests.get(f"{github.api_url}/repos/{github.repository}/installation", headers=head, timeout=30)
    body = {"permissions": dict(asked)}
    answer = requests.post(there.json()["access_tokens_url"], json=body, headers=head, timeout=30)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def installed(machine: "Runner") -> set[str]:
    """Give the packages that are installed on a machine."""
    (packages,) = machine.temp.glob("runbookopt/lib/python*/site-packages")
    return {path.name.partition("-")[0].lower() for path in packages.glob("*.dist-info")}


def lacking(machine: "Runner") -> list[str]:
    """Give the objects that a machine's checkout never fetched."""
    told = ["git", "-C", str(machine.checkout), "rev-list", "--objects", "--all", "--missing=print"]
    lines = subprocess.run(told, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.removeprefix("?") for line in lines if line.startswith("?")]


def verified(actions: "Actions", github: Github, head: str, **more: str) -> "tuple[str, Runner, str]":
    """Run the status check of a head of pull request 1; give its result, machine and error."""
    told = {
        "github__event__pull_request__number": "1",
        "github__event__pull_request__head__sha": head,
        "github__event__merge_group__head_sha": "",
        "github__event__merge_group__head_ref": "",
    }
    (job,) = actions.run(github.origin, "verify-runbooks", **{**told, **more}).values()
    return job.result, job.machine, job.error


def results(jobs: "Mapping[str, Ended]") -> dict[str, str]:
    return {name: job.result for name, job in jobs.items()}


def test_a_night_ends_with_a_pull_request_and_its_check_waits_for_the_reviewer(
    actions: "Actions", github: Github
) -> None:
    night = actions.run(github.origin, "optimize-runbooks")
    assert {name: job.result for name, job in night.items()} == {"search": "success", "propose": "success"}, (
        night
    )
    search, propose = night["search"].machine, night["propose"].machine
    assert (search.ran, propose.ran) == (SEARCHING, PROPOSING)
    assert "litellm" in installed(search)
    assert installed(propose) & {"litellm", "openai", "runbookopt"} == {"runbookopt"}
    assert propose.known["steps.seeing.outcome"] == propose.known["steps.app.outcome"] == "failure"
    assert propose.known["steps.modest.outcome"] == "success"
    assert [pull.author for pull in github.pulls] == ["runbookopt[bot]"]
    head = github.branches["runbookopt/desk"]
    result, _, error = verified(actions, github, head)
    assert (result, "0 of 1 approval(s) of bo" in error) == ("failure", True), error
    github.approve(1, "bo")
    run = github.run(head, "verify-runbooks.yml")
    (again,) = actions.run(
        github.origin,
        "verify-runbooks-again",
        github__event__pull_request__head__sha=head,
        github__event__pull_request__head__repo__full_name=github.repository,
        github__event__action="submitted",
        github__event__review__state="approved",
    ).values()
    assert (again.result, run.attempt) == ("success", 2), again.error
    result, machine, error = verified(actions, github, head)
    assert (result, machine.ran) == ("success", VERIFYING), error
    assert "    passes: " in machine.summary.read_text()
    assert installed(machine) & {"litellm", "openai", "runbookopt"} == {"runbookopt"}
    old = github.world.bare.git("rev-parse", "main~2:assets/big.txt").strip()
    assert old in lacking(machine)


def test_where_a_runbook_fails_what_was_looked_at_is_written_down_all_the_same(
    actions: "Actions", github: Github
) -> None:
    """The step fails and what says `always()` runs: the other runbook's bundle reaches the second half."""
    github.close(1, "bo")
    github.delete_branch("runbookopt/desk")
    told = github.world.bare.git("show", "main:runbooks/desk/RUNBOOK.md")
    github.commit(
        "main", {"runbooks/broken/RUNBOOK.md": told, "runbooks/broken/rubric.yaml": "criteria: 7\n"}
    )
    night = actions.run(github.origin, "optimize-runbooks")
    search, propose = night["search"].machine, night["propose"].machine
    assert results(night)["search"] == "failure"
    assert "'Search, and prove what was found'" in night["search"].error
    assert search.ran == [step for step in SEARCHING if step != "Search, and prove what was found"]
    assert "runbooks/broken/rubric.yaml" in search.summary.read_text()
    assert list(propose.temp.glob("bundles/*.json"))
    assert propose.ran[0] == "Install"
    assert "### Proposals" in propose.summary.read_text()
    github.commit("main", {"runbooks/broken/RUNBOOK.md": None, "runbooks/broken/rubric.yaml": None})


def test_where_an_installation_fails_nothing_of_it_runs_and_that_is_shown(
    actions: "Actions", github: Github, github_runner: ModuleType, tmp_path: Path
) -> None:
    """A file that is not what the lock says stops each job before it is given a token."""
    changed = tmp_path / "wheels"
    shutil.copytree(actions.wheels, changed)
    (rich,) = changed.glob("rich-*.whl")
    rich.write_bytes(rich.read_bytes() + b" ")
    github_runner.READY.clear()
    before = dict(github.branches), len(github.pulls)
    night = replace(actions, wheels=changed).run(github.origin, "optimize-runbooks")
    assert results(night) == {"search": "failure", "propose": "failure"}
    for job in night.values():
        assert "THESE PACKAGES DO NOT MATCH THE HASHES" in job.error
    assert night["search"].machine.ran == [*SEARCHING[:2], *SEARCHING[4:]]
    assert night["propose"].machine.ran == ["Show"]
    assert (dict(github.branches), len(github.pulls)) == before
    result, machine, error = verified(replace(actions, wheels=changed), github, github.branches["main"])
    assert (result, machine.ran) == ("failure", [VERIFYING[0], "Say why"]), error
    github_runner.READY.clear()


def test_on_another_branch_nothing_runs(actions: "Actions", github: Github) -> None:
    night = actions.run(github.origin, "optimize-runbooks", github__ref_name="feature")
    assert results(night) == {"search": "skipped", "propose": "skipped"}
    assert [job.machine.ran for job in night.values()] == [[], []]


def test_a_comment_is_no_news_to_the_check_unless_it_is_of_an_audit(
    actions: "Actions", github: Github
) -> None:
    told = {"github__event__pull_request__head__repo__full_name": github.repository}
    told |= {"github__event__action": "submitted", "github__event__review__state": "commented"}
    told |= {"github__event__review__body": "Nice.", "github__event__changes__body__from": ""}
    assert results(actions.run(github.origin, "verify-runbooks-again", **told)) == {"again": "skipped"}
    told |= {"github__event__pull_request__head__sha": github.branches["main"]}
    for news in ("github__event__review__body", "github__event__changes__body__from"):
        audit = {news: f"Fine.\nRunbookopt-Audit: sha256:{'0' * 64}"}
        ended = actions.run(github.origin, "verify-runbooks-again", **(told | audit))
        assert results(ended) != {"again": "skipped"}
