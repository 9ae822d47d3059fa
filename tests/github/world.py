"""The state of the double with its lookups: one organization, one repository, its people and tokens."""

import base64
import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

from tests.github import codeowners
from tests.github.bare import Bare
from tests.github.state import (
    RANK,
    Check,
    Demand,
    Event,
    Person,
    Protection,
    Pull,
    Ruleset,
    Run,
    Settings,
    Status,
    Team,
    Token,
)

DOCS = "https://docs.github.com/rest"
ACTIONS, ACTIONS_ID = "github-actions", 15368  # GitHub's own number for it
OF_ROLES = {  # the least role of a person for what apps name permissions
    ("contents", "read"): "read",
    ("metadata", "read"): "read",
    ("pull_requests", "read"): "read",
    ("issues", "read"): "read",
    ("checks", "read"): "read",
    ("statuses", "read"): "read",
    ("actions", "read"): "read",
    ("pull_requests", "write"): "read",
    ("issues", "write"): "read",
    ("contents", "write"): "write",
    ("statuses", "write"): "write",
}


class Refused(Exception):
    """GitHub says no: what the answer holds."""

    def __init__(self, status: int, message: str, errors: list[Any] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.errors = status, message, errors

    @property
    def body(self) -> dict[str, Any]:
        told = {"message": self.message, "documentation_url": DOCS, "status": str(self.status)}
        return told if self.errors is None else {**told, "errors": self.errors}


def invalid(
    field: str, code: str = "invalid", message: str | None = None, resource: str = "PullRequest"
) -> Refused:
    """Give GitHub's 422 for one field."""
    error = {"resource": resource, "code": code}
    error |= {"field": field} if field else {}
    error |= {"message": message} if message else {}
    return Refused(422, "Validation Failed", [error])


class World:
    """All that the double knows; `lock` is held while a request changes it."""

    def __init__(self, owner: str, name: str, bare: Bare, clock: Callable[[], datetime]) -> None:
        self.owner, self.name, self.bare, self.clock = owner, name, bare, clock
        self.default_branch = "main"
        self.lock = threading.RLock()
        self.ids: Iterator[int] = count(1001)
        self.settings = Settings()
        self.people: dict[str, Person] = {}
        self.teams: dict[str, Team] = {}
        self.tokens: dict[str, Token] = {}
        self.apps: dict[str, int] = {ACTIONS: ACTIONS_ID}
        self.granted: dict[str, dict[str, str]] = {}  # what an installed app may do
        self.pulls: dict[int, Pull] = {}
        self.labels: dict[str, int] = {}
        self.checks: list[Check] = []
        self.statuses: list[Status] = []
        self.runs: list[Run] = []
        self.protections: dict[str, Protection] = {}
        self.rulesets: dict[int, Ruleset] = {}
        self.reads_jwt: Callable[[str], Token | None] = lambda _text: None
        self.api_url = self.web_url = ""

    # ---- names

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def repository_url(self) -> str:
        return f"{self.api_url}/repos/{self.full_name}"

    def now(self) -> str:
        return self.clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    # ---- people and what they may do

    def add_token(self, login: str, kind: str, permissions: dict[str, str], app: str | None = None) -> Token:
        secret = hashlib.sha256(f"{self.full_name} {login} {len(self.tokens)}".encode()).hexdigest()[:36]
        token = Token(f"{'ghp' if kind == 'user' else 'ghs'}_{secret}", login, kind, permissions, app)
        self.tokens[token.text] = token
        return token

    def token(self, authorization: str) -> Token | None:
        """Give what an Authorization header is worth; None without one; 401 for a wrong one."""
        if not authorization:
            return None
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() == "basic":
            secret = base64.b64decode(secret).decode("utf-8", "replace").partition(":")[2]
        found = self.tokens.get(secret.strip()) or self.reads_jwt(secret.strip())
        if found is None or (found.expires and found.expires <= self.clock()):
            raise Refused(401, "Bad credentials")
        return found

    def allowed(self, token: Token | None, permission: str, level: str = "read") -> bool:
        if token is None:
            return level == "read" and permission in {"contents", "metadata"} and not self.settings.private
        if token.kind != "user":
            held = token.permissions.get(permission, "read" if permission == "metadata" else "")
            return held in ({"read", "write", "admin"} if level == "read" else {"write", "admin"})
        person = self.people[token.login]
        if permission == "members":
            return person.member
        least = OF_ROLES.get((permission, level), "admin")
        return permission != "checks_write" and RANK[person.role] >= RANK[least]

    def need(self, token: Token | None, permission: str, level: str = "read") -> None:
        """Refuse as GitHub does: an app hears 403, a person who may not even see it 404."""
        if self.allowed(token, permission, level):
            return
        if token is None:
            raise Refused(401, "Requires authentication") if level == "write" else Refused(404, "Not Found")
        if token.kind != "user":
            raise Refused(403, "Resource not accessible by integration")
        if level == "write" and RANK[self.people[token.login].role] >= RANK["read"]:
            raise Refused(403, "Must have admin rights to Repository.")
        raise Refused(404, "Not Found")

    def person(self, login: str) -> Person:
        for each in self.people.values():
            if each.login.lower() == login.lower():
                return each
        raise Refused(404, "Not Found")

    def app_id(self, slug: str) -> int:
        if slug not in self.apps:
            self.apps[slug] = next(self.ids)
        return self.apps[slug]

    # ---- pull requests

    def pull(self, number: int | str) -> Pull:
        found = self.pulls.get(int(number)) if str(number).isdigit() else None
        if found is None:
            raise Refused(404, "Not Found")
        return found

    def record(self, pull: Pull, event: str, login: str, sha: str | None = None) -> None:
        pull.events.append(Event(next(self.ids), event, login, self.now(), sha))

    def latest_checks(self, sha: str) -> dict[tuple[str, str], Check]:
        return {(each.name, each.app): each for each in self.checks if each.sha == sha}

    def latest_statuses(self, sha: str) -> dict[str, Status]:
        return {each.context: each for each in self.statuses if each.sha == sha}

    # ---- what protects a branch

    def rulesets_of(self, branch: str) -> list[Ruleset]:
        return [
            each
            for each in self.rulesets.values()
            if each.enforcement == "active" and branch in each.branches
        ]

    def demands(self, branch: str) -> list[tuple[str, Demand]]:
        """Give what classic protection and active rulesets ask for: they add up."""
        classic = self.protections.get(branch)
        found = [("classic", classic.demand)] if classic else []
        return [*found, *(("ruleset", each.demand) for each in self.rulesets_of(branch))]

    # ---- CODEOWNERS

    def codeowners(self, branch: str) -> tuple[str, list[codeowners.Line]] | None:
        for place in codeowners.PLACES:
            text = self.bare.text(branch, place)
            if text is not None:
                return place, codeowners.read(text.decode("utf-8", "replace"))
        return None

    def owner_exists(self, owner: str) -> bool:
        if "@" in owner.removeprefix("@"):
            return True  # an address
        name = owner.removeprefix("@")
        if "/" in name:
            team = self.teams.get(name.partition("/")[2])
            return team is not None and team.collaborator
        return name in self.people and self.people[name].writes and self.people[name].kind == "User"
