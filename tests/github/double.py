"""The double of GitHub: a loopback server that answers as GitHub does, held to GitHub's own contracts.

    from tests.github.double import Fault, Github

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
`check`, `status`, `commit`, `delete_branch` act as somebody else would. What protects a branch adds up:
`protect` (classic) and `ruleset`. A person's public address is `LOGIN@users.noreply.github.com`.
"""

import base64
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.github import merging
from tests.github.bare import Bare
from tests.github.keys import Key
from tests.github.pulls import reviewed
from tests.github.server import API, Exchange, Fault, Faults, Heard, Server
from tests.github.state import (
    Actor,
    Check,
    Demand,
    Person,
    Protection,
    Pull,
    Role,
    Ruleset,
    Settings,
    Status,
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


class Github:
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
        for login, kind in ((f"{APP}[bot]", "Bot"), (f"{ACTIONS}[bot]", "Bot"), (owner, "User")):
            self.world.people[login] = Person(login, next(self.world.ids), "write", kind)
        self.world.people[owner].role = "admin"
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

    # ---- what other people do

    @property
    def pulls(self) -> list[Pull]:
        with self.world.lock:
            merging.sync(self.world)
            return list(self.world.pulls.values())

    def pull(self, number: int) -> Pull:
        return next(each for each in self.pulls if each.number == number)

    def approve(self, number: int, by: str) -> None:
        self._review(number, by, "APPROVE")

    def request_changes(self, number: int, by: str, body: str = "Please change this.") -> None:
        self._review(number, by, "REQUEST_CHANGES", body)

    def _review(self, number: int, by: str, event: str, body: str = "") -> None:
        with self.world.lock:
            reviewed(self.world, self.pull(number), by, event, body)
            merging.sync(self.world)

    def close(self, number: int, by: str) -> None:
        with self.world.lock:
            merging.close(self.world, self.pull(number), by)

    def merge(self, number: int, by: str, method: str = "merge") -> str:
        with self.world.lock:
            return merging.merge(self.world, self.pull(number), by, method, (None, None))

    def add_label(self, name: str) -> None:
        self.world.labels[name] = next(self.world.ids)

    def check(self, sha: str, name: str, conclusion: str | None = "success", *, app: str = ACTIONS) -> None:
        """Write a check run; without a conclusion it still runs."""
        self.world.app_id(app)
        status = "completed" if conclusion else "in_progress"
        run = Check(next(self.world.ids), sha, name, app, status, conclusion, at=self.world.now())
        with self.world.lock:
            self.world.checks.append(run)
            merging.sync(self.world)

    def status(self, sha: str, context: str, state: str = "success", *, by: str = "octo") -> None:
        told = Status(next(self.world.ids), sha, context, state, None, by, self.world.now())
        with self.world.lock:
            self.world.statuses.append(told)
            merging.sync(self.world)

    @property
    def branches(self) -> dict[str, str]:
        """Give all branches with their commits."""
        refs = self.world.bare.refs("refs/heads/")
        return {name.removeprefix("refs/heads/"): sha for name, sha in refs.items()}

    def commit(
        self, branch: str, files: Mapping[str, str | bytes | None], message: str = "Change", by: str = "octo"
    ) -> str:
        """Commit and push to `branch` as `by` would, from main where it is new; None removes a file."""
        bare, start = self.world.bare, self.world.bare.sha(branch) or self.world.bare.sha("main")
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": f"{folder}/index"}
            if start:
                bare.git("read-tree", start, environ=index)
            for path, text in files.items():
                if text is None:
                    bare.git("update-index", "--force-remove", path, environ=index)
                    continue
                data = text.encode() if isinstance(text, str) else text
                blob = subprocess.run(
                    ["git", "-C", str(bare.path), "hash-object", "-w", "--stdin"],
                    input=data,
                    check=True,
                    capture_output=True,
                ).stdout.decode()
                bare.git(
                    "update-index", "--add", "--cacheinfo", f"100644,{blob.strip()},{path}", environ=index
                )
            tree = bare.git("write-tree", environ=index).strip()
        author = (by, f"{by}@users.noreply.github.com")
        with self.world.lock:
            new = bare.write(tree, [start] if start else [], f"{message}\n", author)
            bare.move(f"refs/heads/{branch}", new)
            merging.sync(self.world, by)
        return new

    def delete_branch(self, branch: str, by: str = "octo") -> None:
        with self.world.lock:
            self.world.bare.delete(f"refs/heads/{branch}")
            merging.sync(self.world, by)

    def refuse_pushes(self, why: str | None) -> None:
        """Let each push be declined with these words, or no more."""
        place = self.origin / "refuse-pushes"
        place.write_text(f"{why}\n") if why else place.unlink(missing_ok=True)


def _pinned(checks: Sequence[str | tuple[str, int | None]]) -> tuple[tuple[str, int | None], ...]:
    return tuple((each, None) if isinstance(each, str) else each for each in checks)
