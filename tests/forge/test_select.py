"""Which forge an origin is: what git and ssh would talk to decides, and nothing falls to the local one."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from runbookopt.documents.settings import ForgeSettings
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.select import UnknownForge, chosen, is_github
from tests.conftest import Clone

Make = Callable[..., Clone]

SSH_CONFIG = """Host github-work
  HostName github.com
Host ghe
  HostName GitHub.Corp.example
Host over-443
  HostName ssh.github.com
  Port 443
Match originalhost guarded user git
  HostName github.com
"""


@pytest.fixture
def clone(repo: Make, tmp_path: Path) -> Clone:
    """Give a clone whose ssh has aliases: ssh itself looks for the home of the account, not for $HOME."""
    clone = repo()
    config = tmp_path / "ssh config"
    config.write_text(SSH_CONFIG)
    clone.git("config", "core.sshCommand", f"ssh -F '{config}'")
    return clone


def seen(clone: Clone, url: str, **environ: str) -> bool:
    clone.git("config", "remote.origin.url", url)
    with Repository.open(clone.root) as repository:
        return is_github(ForgeSettings(), repository, environ)


@pytest.mark.parametrize(
    "url",
    [
        "git@github.com:acme/ops.git",
        "https://someone:secret@github.com/acme/ops",
        "git@github-work:acme/ops.git",
        "github-work:acme/ops",
        "ssh://git@github-work/acme/ops.git",
        "ssh://git@over-443:443/acme/ops",
        "git@guarded:acme/ops",
    ],
)
def test_github_is_seen_behind_an_alias_of_ssh(clone: Clone, url: str) -> None:
    assert seen(clone, url)


def test_an_enterprise_server_is_seen_behind_an_alias_of_ssh(clone: Clone) -> None:
    assert seen(clone, "git@ghe:acme/ops", GITHUB_API_URL="https://github.corp.example/api/v3")


def test_github_is_seen_behind_an_address_that_git_rewrites(clone: Clone) -> None:
    clone.git("config", "url.https://github.com/.insteadOf", "gh:")
    clone.git("config", "url.git@github.com:.pushInsteadOf", "https://github.com/")
    assert seen(clone, "gh:acme/ops")


def test_the_variable_goes_before_the_setting_as_for_git(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none").touch()
    monkeypatch.setenv("GIT_SSH_COMMAND", f"ssh -F {tmp_path}/none")
    with pytest.raises(UnknownForge):
        seen(clone, "git@github-work:acme/ops")


@pytest.mark.parametrize(
    "url",
    [
        "git@nobody-knows:acme/ops",
        "gh:acme/ops",
        "https://gitlab.example/group/project/part.git",
        "ssh://git@git.example/srv/runbooks.git",
        "-oProxyCommand=touch${IFS}pwned:acme/ops",
        "ext::sh -c true",
    ],
)
def test_a_server_that_nobody_knows_is_asked_about(clone: Clone, url: str) -> None:
    with pytest.raises(UnknownForge, match=r"^where do pull requests live\?") as raised:
        seen(clone, url)
    assert "refs/runbookopt/pulls/N" in str(raised.value)
    assert not (clone.root / "pwned").exists()


def test_who_was_asked_and_answered_is_not_asked_again(clone: Clone) -> None:
    clone.git("remote", "set-url", "origin", "git@nobody-knows:acme/ops")
    with Repository.open(clone.root) as repository:
        assert not is_github(ForgeSettings(kind="local"), repository, {})
        assert is_github(ForgeSettings(kind="github", repository="acme/ops"), repository, {})


def test_a_folder_holds_its_pull_requests_itself(clone: Clone) -> None:
    assert not seen(clone, str(clone.origin))
    assert not seen(clone, clone.origin.as_uri())


def test_what_is_pushed_to_another_repository_is_refused(clone: Clone) -> None:
    clone.git("config", "remote.origin.pushurl", "git@github-work:ana/ops")
    with pytest.raises(RunbookoptError, match="fetches from acme/ops and pushes to"):
        seen(clone, "https://github.com/acme/ops")


def test_a_rewriting_setting_takes_the_token_to_no_other_server(clone: Clone) -> None:
    clone.git("config", "url.https://evil.example/.insteadOf", "https://github.com/")
    clone.git("remote", "set-url", "origin", "https://github.com/acme/ops")
    environ = {"GITHUB_TOKEN": "made-up"}
    with Repository.open(clone.root) as repository, pytest.raises(UnknownForge, match=r"evil\.example"):
        chosen(ForgeSettings(), repository, environ)


def test_the_command_ends_with_the_question_before_anything_is_run(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    clone.git("remote", "set-url", "origin", "git@nobody-knows:acme/ops")
    ran = clone.ask("optimize-runbook", "desk")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("where do pull requests live? origin is git@nobody-knows:acme/ops, which")
    assert not (clone.root / ".runbookopt").exists()
