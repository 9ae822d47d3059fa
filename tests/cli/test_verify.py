"""The command: what it asks for, says, prints safely, writes where it may, and its exit status."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from markdown_it import MarkdownIt
from typer.testing import CliRunner, Result

from runbookopt.cli.verify import verify
from runbookopt.errors import WrongUsage
from runbookopt.forge.git.output import GitFailed
from runbookopt.forge.protection import OUR_CHECK
from tests.conftest import Clone
from tests.forge.bench import PATH, Bench
from tests.github.double import PERMISSIONS

HOSTILE = "\x1b[2J@bo closes #1 ![x](https://evil.example/x.png) <!-- hidden -->"
WITHOUT_CHECKS = {key: value for key, value in PERMISSIONS.items() if key != "checks"}

app = typer.Typer()
app.command()(verify)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def found(*arguments: str, status: int = 0) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == status, (done.output, done.exception)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


Benches = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path, first_half: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Benches:
    """Go to a clone of a repository at the double of GitHub; it is given back with `with`."""

    def make(policy: str | None = None, **more: str | bytes) -> Bench:
        bench = Bench(tmp_path, first_half, policy or first_half.REVIEW, **more)
        monkeypatch.chdir(bench.repository.root)
        for name, value in bench.environ().items():
            monkeypatch.setenv(name, value)
        return bench

    return make


def changed(bench: Bench, files: dict[str, str | bytes | None], by: str = "dee") -> tuple[str, str]:
    """Let somebody open a pull request, and give its number and head."""
    bench.github.add_user(by)
    head = bench.github.commit("mine", files, by=by)
    return str(bench.github.open("mine", by)), head


def test_a_fork_s_pull_request_is_read_as_data(bench: Benches) -> None:
    with bench() as bench_:
        bench_.github.add_user("dee", role="read")
        bench_.github.commit("mine", {PATH: bench_.candidate("atm")}, by="dee", fork="dee")
        number = bench_.github.open("mine", "dee", fork="dee")
        token = bench_.github.actions_token({"contents": "read", "pull_requests": "read"})
        ran = CliRunner().invoke(app, ["--pull-request", str(number)], env={"GITHUB_TOKEN": token})
    assert ran.exit_code == 3
    assert "does not pass" in ran.stdout
    assert "0 of 1 approval(s) of bo, cy" in ran.stdout


def test_nothing_that_others_wrote_moves_the_terminal_or_gets_power_in_markdown(bench: Benches) -> None:
    with bench() as bench_:
        name = "runbooks/triage/\x1b[2J @bo closes #1 <b>.md"
        number, head = changed(bench_, {name: HOSTILE + "\n", PATH: bench_.candidate("atm")})
        shown = run("--pull-request", number, "--post")
        (check,) = bench_.github.world.checks
    assert "\x1b" not in shown.output
    assert (check.sha, check.name, check.conclusion) == (head, OUR_CHECK, "failure")
    assert check.summary is not None
    rendered = MarkdownIt("commonmark", {"html": True}).render(check.summary)
    assert not [bad for bad in ("<b>", "<img", "<a ", "<!--", "@bo", "closes #1") if bad in rendered]


@pytest.mark.parametrize(
    "whose", [pytest.param("a person", marks=pytest.mark.nightly), "an app without the permission"]
)
def test_a_token_that_may_not_write_a_check_run_is_told_of_and_changes_nothing(
    bench: Benches, whose: str
) -> None:
    with bench() as bench_:
        bench_.pull()
        github = bench_.github
        token = github.token_of("bo") if whose == "a person" else github.app_token(WITHOUT_CHECKS)
        ran = CliRunner().invoke(app, ["--pull-request", "1", "--post"], env={"GITHUB_TOKEN": token})
        assert github.world.checks == []
        github.approve(1, "bo")
        again = CliRunner().invoke(app, ["--pull-request", "1", "--post"], env={"GITHUB_TOKEN": token})
    (line,) = ran.stderr.splitlines()
    assert line.startswith("no check run is written: ")
    assert (ran.exit_code, again.exit_code) == (3, 0)
    assert token not in ran.output


def test_without_approvals_at_hand_nothing_passes_that_needs_one(bench: Benches) -> None:
    with bench() as bench_:
        number, head = changed(bench_, {PATH: bench_.candidate("atm")})
        bench_.repository.origin.fetch(f"refs/pull/{number}/head")
        told = found("--base", "origin/main", "--head", head, status=3)
        page = bench_.github.commit("page", {"README.md": "Hello\n"})
        nothing = found("--base", "origin/main", "--head", page)
    assert told["pull_request"] is None
    assert any(each.startswith("unknown: triage: 1 approval(s) of bo, cy") for each in told["reasons"])
    assert nothing["reasons"] == ["yes: this touches no runbook, rubric, policy or labels"]


@pytest.mark.parametrize(
    "arguments",
    [[], ["--head", "x"], ["--base", "x"], ["--pull-request", "1", "--base", "x"]],
)
def test_it_must_be_said_what_is_asked_about(arguments: list[str]) -> None:
    assert isinstance(run(*arguments).exception, WrongUsage)


def test_what_cannot_be_answered_is_an_error_and_no_yes(
    repo: Callable[..., Clone], first_half: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = repo(first_half.files())
    monkeypatch.chdir(clone.root)
    unknown = run("--base", "origin/main", "--head", "0" * 40)
    assert isinstance(unknown.exception, GitFailed)
    clone.git("remote", "set-url", "origin", "/nowhere")
    assert isinstance(run("--base", "HEAD", "--head", "HEAD").exception, GitFailed)
    clone.git("remote", "remove", "origin")
    assert isinstance(run("--base", "HEAD", "--head", "HEAD").exception, GitFailed)


def test_a_name_that_is_no_unicode_is_told_as_escapes(
    repo: Callable[..., Clone], first_half: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = repo(first_half.files("merge: auto\n"))
    monkeypatch.chdir(clone.root)
    (clone.root / PATH).with_name(os.fsdecode(b"\xff.txt")).write_text("Hello\n")
    head = clone.commit({PATH: first_half.RUNBOOK + "\nMore.\n"}, push=False)
    told = found("--base", "origin/main", "--head", head)
    assert any("triage/\\udcff.txt" in each for each in told["reasons"])
    assert "\\udcff.txt" in run("--base", "origin/main", "--head", head).stdout


@pytest.mark.slow
def test_the_command_itself_exits_as_its_help_says(
    repo: Callable[..., Clone], first_half: ModuleType
) -> None:
    clone = repo(first_half.files(first_half.REVIEW))
    clone.git("checkout", "-q", "-b", "mine")
    head = clone.commit({PATH: first_half.RUNBOOK + "\nMore.\n"}, push=False)
    no = clone.run("runbookopt", "verify", "--base", "origin/main", "--head", head)
    yes = clone.ask("runbookopt", "verify", "--base", "origin/main", "--head", "origin/main", "--json")
    usage = clone.ask("runbookopt", "verify")
    posted = clone.ask("runbookopt", "verify", "--base", "origin/main", "--head", "origin/main", "--post")
    assert (no.returncode, yes.returncode, usage.returncode, posted.returncode) == (3, 0, 2, 0)
    assert no.stdout.startswith(f"does not pass: {head[:12]}, by people, needs people to agree\n")
    assert posted.stderr == "no check run is written: a plain git server has none\n"
