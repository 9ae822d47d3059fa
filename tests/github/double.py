"""The double of GitHub: a loopback server that answers as GitHub does, held to GitHub's own contracts.


    with Github(tmp_path) as github:                       # octo/runbooks, private, branch main, one commit
        github.add_user("bo")                              # role="write"; none, read, write, admin
        github.add_team("support-leads", ["bo"])
        github.protect(checks=["verify"], approvals=1, dismiss_stale=True)
        ... drive PyGithub at github.api_url and git at github.remote_url with github.token ...
        github.check(sha, "verify")                        # a check run that passed, by github-actions
        github.approve(1, "bo")
        assert "POST /repos/octo/runbooks/pulls" in github.lines
        assert github.pull(1).auto_merge is not None

PyGithub takes `base_url=github.api_url`, and `seconds_between_requests=0, seconds_between_writes=0`, or it
sleeps. git takes an extra header from the environment, `github.git_environ()`, for the clone at `remote_url`.
The addresses have the shape of an Enterprise Server: REST below /api/v3, GraphQL at /api/graphql.

Every exchange is checked against tests/contracts: a breach is answered with 599, kept in `violations`,
and raised when the `with` ends (clear `violations` where a test provokes one).

**Tokens.** `token` is of the app `runbookopt[bot]` with the permissions of PERMISSIONS; `token_of(login)` is
a person's own; `app_token(permissions)` another one of the app; `actions_token()` the one of GitHub Actions.
`app_key()` is the private key (PEM) of the app with id `app_id`, for JSON web tokens.

**Faults.** `github.faults = lambda method, path, nth: Fault.ERROR_AFTER if nth == 3 else None`; `nth` counts
all requests heard, git's too, from 1. `github.settings(unlisted_for=2)` hides a new pull request from the
next two lists; `unsettled_for=2` lets mergeability be unknown at first; `requests_left=3` is the primary
limit.

**State.** `pull(n)`, `pulls`, `branches` are read live; `approve`, `request_changes`, `close`, `merge`,
`check`, `status`, `commit`, `open`, `delete_branch` act as somebody else would, also from within `faults`, so
that the world moves in between two requests. What protects a branch adds up: `protect` (classic) and
`ruleset`. With `fork="dee"` a commit and a pull request come from a fork. A person's public address is
`LOGIN@users.noreply.github.com`.
"""

import base64
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.github.bare import Bare
from tests.github.keys import Key
from tests.github.others import Others
from tests.github.server import API, Exchange, Fault, Faults, Heard, Server
from tests.github.state import (
    Actor,
    Demand,
    Person,
    Protection,
    Pull,
    Role,
    Ruleset,
    Settings,
    Team,
    Token,
)
from tests.github.world import ACTIONS, World

__all__ = ["PERMISSIONS", "Actor", "Fault", "Github", "Heard", "Pull"]

PERMISSIONS = {
    "metadata": "read",
    "contents": "write",
    "pull_requests": "write",
    "issues": "write",
    "checks": "write",
    "statuses": "write",
    "administration": "read",
    "actions": "read",
    "members": "read",
}
OF_ACTIONS = {key: PERMISSIONS[key] for key in ("contents", "pull_requests", "issues", "checks", "statuses")}
APP = "runbookopt"
DECLINED = {
    "classic": "GH006: Protected branch update failed",
    "ruleset": "GH013: Repository rule violations found",
}
FIRST = {"README.md": "Hello\n"}


def _now() -> datetime:
    return datetime.now(UTC)


class Github(Others):
    """One repository at a GitHub of its own; use it with `with`."""

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, str | bytes] = FIRST,
        *,
        repository: str = "octo/runbooks",
        clock: Callable[[], datetime] = _now,
    ) -> None:
        owner, _, name = repository.partition("/")
        place = folder / "github" / f"{name}.git"
        place.parent.mkdir(parents=True)
        self.world = World(owner, name, Bare(place, "main"), clock)
        self.exchange = Exchange(self.world)
        self.server = Server(self.exchange)
        self.world.web_url = self.server.url
        self.world.api_url = f"{self.server.url}{API}"
        self._key: Key | None = None
        for login in (f"{APP}[bot]", f"{ACTIONS}[bot]"):
            self.world.people[login] = Person(login, next(self.world.ids), "write", "Bot")
        self.world.people[owner] = Person(owner, next(self.world.ids), "admin")
        self.app_id = self.world.app_id(APP)
        self.token = self.app_token()
        self.commit("main", files, "First")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.close()
        if not self.violations:
            return
        told = "GitHub's contract was broken:\n" + "\n".join(self.violations)
        if error is None:
            raise AssertionError(told)
        error.add_note(told)

    # ---- where it is

    @property
    def api_url(self) -> str:
        return self.world.api_url

    @property
    def web_url(self) -> str:
        return self.world.web_url

    @property
    def remote_url(self) -> str:
        return f"{self.web_url}/{self.repository}.git"

    @property
    def repository(self) -> str:
        return self.world.full_name

    @property
    def origin(self) -> Path:
        """Give the bare repository's folder."""
        return self.world.bare.path

    # ---- what it heard and how it fails

    @property
    def heard(self) -> list[Heard]:
        return self.exchange.heard

    @property
    def lines(self) -> list[str]:
        """Give all requests as "METHOD /path"."""
        return [each.line for each in self.heard]

    @property
    def writes(self) -> list[Heard]:
        """Give the requests that asked for a change: REST other than GET, mutations, pushes."""
        return [each for each in self.heard if each.writes]

    @property
    def violations(self) -> list[str]:
        return self.exchange.violations

    @property
    def faults(self) -> Faults:
        return self.exchange.faults

    @faults.setter
    def faults(self, hook: Faults) -> None:
        self.exchange.faults = hook

    def settings(self, **changed: object) -> Settings:
        """Change switches of the repository, named as in state.Settings."""
        for name, value in changed.items():
            if not hasattr(self.world.settings, name):
                raise AttributeError(name)
            setattr(self.world.settings, name, value)
        return self.world.settings

    # ---- people and tokens

    def add_user(self, login: str, role: Role = "write", *, member: bool = True) -> str:
        """Add a person and give a token of hers."""
        self.world.people[login] = Person(login, next(self.world.ids), role, member=member)
        return self.token_of(login)

    def add_team(self, slug: str, members: Sequence[str] = (), *, collaborator: bool = True) -> None:
        self.world.teams[slug] = Team(slug, next(self.world.ids), list(members), collaborator)

    def token_of(self, login: str) -> str:
        return self.world.add_token(login, "user", {}).text

    def app_token(self, permissions: Mapping[str, str] = PERMISSIONS) -> str:
        return self.world.add_token(f"{APP}[bot]", "app", dict(permissions), APP).text

    def actions_token(self, permissions: Mapping[str, str] = OF_ACTIONS) -> str:
        return self.world.add_token(f"{ACTIONS}[bot]", "actions", dict(permissions), ACTIONS).text

    def revoke(self, token: str) -> None:
        del self.world.tokens[token]

    def app_key(self, permissions: Mapping[str, str] = PERMISSIONS) -> str:
        """Give the app's private key; who signs with it may have tokens with these permissions."""
        self._key = self._key or Key()
        held = Token("", f"{APP}[bot]", "jwt", dict(permissions), APP)
        self.world.granted[APP] = dict(permissions)
        self.world.reads_jwt = lambda text: (
            held if self._key and self._key.signed(text, self.app_id) else None
        )
        return self._key.pem

    def git_environ(self, token: str | None = None) -> dict[str, str]:
        """Give an environment in which git pushes with this token: nothing of it in a URL or a file."""
        secret = base64.b64encode(f"x-access-token:{token or self.token}".encode()).decode()
        return {
            **os.environ,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{self.web_url}/.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {secret}",
        }

    def clone(self, folder: Path) -> Path:
        """Make a clone whose origin is `remote_url`; no token is in it."""
        for command in (["clone", "-q", str(self.origin), str(folder)], ["remote", "set-url", "origin", ""]):
            where = [] if command[0] == "clone" else ["-C", str(folder)]
            subprocess.run(["git", *where, *(word or self.remote_url for word in command)], check=True)
        return folder

    # ---- what protects a branch

    def protect(
        self,
        branch: str = "main",
        *,
        checks: Sequence[str | tuple[str, int | None]] = (),
        bypass: Sequence[str] = (),
        enforce_admins: bool = True,
        **demand: object,
    ) -> None:
        """Protect classically; `checks` are names, or (name, app id); `demand` as in state.Demand."""
        what = Demand(checks=_pinned(checks), **demand)  # type: ignore[arg-type]
        self.world.protections[branch] = Protection(branch, what, enforce_admins, tuple(bypass))
        self._guard()

    def unprotect(self) -> None:
        """Lift all protections and rulesets."""
        self.world.protections.clear()
        self.world.rulesets.clear()
        self._guard()

    def _guard(self) -> None:
        """Let git decline pushes past the pull request, as GitHub does where anything must hold first."""
        why: dict[str, str] = {}
        for branch in self.branches:
            for source, demand in self.world.demands(branch):
                if demand.approvals is not None or demand.checks:
                    why[branch] = DECLINED[source]
        self.world.bare.protect(why)

    def ruleset(
        self,
        name: str = "main is guarded",
        *,
        branches: Sequence[str] = ("main",),
        checks: Sequence[str | tuple[str, int | None]] = (),
        bypass: Sequence[Actor] = (),
        enforcement: str = "active",
        source: str = "Repository",
        **demand: object,
    ) -> int:
        """Add a ruleset and give its id; who may bypass is shown to administration:write only."""
        number = next(self.world.ids)
        what = Demand(checks=_pinned(checks), **demand)  # type: ignore[arg-type]
        rules = Ruleset(number, name, tuple(branches), what, tuple(bypass), enforcement, source)
        self.world.rulesets[number] = rules
        self._guard()
        return number


def _pinned(checks: Sequence[str | tuple[str, int | None]]) -> tuple[tuple[str, int | None], ...]:
    return tuple((each, None) if isinstance(each, str) else each for each in checks)
