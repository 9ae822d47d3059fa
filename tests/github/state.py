"""What the double remembers: people, pull requests, reviews, checks, and what protects a branch."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Role = Literal["none", "read", "write", "admin"]
RANK: dict[str, int] = {"none": 0, "read": 1, "write": 2, "admin": 3}


@dataclass
class Person:
    """An account; `kind` is "Bot" for apps."""

    login: str
    id: int
    role: Role = "write"
    kind: Literal["User", "Bot"] = "User"
    member: bool = True  # of the organization

    @property
    def node(self) -> str:
        return f"{'BOT' if self.kind == 'Bot' else 'U'}_{self.id:08d}"

    @property
    def writes(self) -> bool:
        return RANK[self.role] >= RANK["write"]


@dataclass
class Team:
    """A team of the organization; one that is no collaborator cannot be asked for a review."""

    slug: str
    id: int
    members: list[str]
    collaborator: bool = True

    @property
    def node(self) -> str:
        return f"T_{self.id:08d}"


@dataclass
class Review:
    """What somebody said of one commit; `state` as GitHub says it, e.g. APPROVED."""

    id: int
    login: str
    state: str
    sha: str
    body: str
    at: str
    edited: str | None = None


@dataclass
class Comment:
    """A comment on a pull request."""

    id: int
    login: str
    body: str
    at: str


@dataclass
class Event:
    """A line of a pull request's history, e.g. closed, head_ref_force_pushed, auto_merge_enabled."""

    id: int
    event: str
    login: str
    at: str
    sha: str | None = None


@dataclass
class AutoMerge:
    """GitHub's own auto-merge, switched on."""

    by: str
    method: str
    headline: str | None
    body: str | None
    at: str


@dataclass
class Pull:
    """A pull request; `head_sha` follows the branch for as long as it is open."""

    number: int
    title: str
    body: str | None
    base: str
    head: str
    head_sha: str
    base_sha: str
    author: str
    at: str
    draft: bool = False
    state: str = "open"
    closed_by: str | None = None
    closed_at: str | None = None
    merged_at: str | None = None
    merge_sha: str | None = None
    labels: list[str] = field(default_factory=list)
    reviewers: list[str] = field(default_factory=list)
    teams: list[str] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    auto_merge: AutoMerge | None = None
    fork: str | None = None  # whose fork the head is in
    queued: bool = False
    last_pusher: str = ""
    unlisted_for: int = 0  # list calls that still do not show it
    unsettled_for: int = 0  # reads that still do not know whether it merges

    @property
    def node(self) -> str:
        return f"PR_{self.number:08d}"

    @property
    def head_ref(self) -> str:
        """Give where its commits come from: forks share the repository's objects, under a hidden name."""
        return f"refs/forks/{self.fork}/{self.head}" if self.fork else f"refs/heads/{self.head}"


@dataclass
class Check:
    """A check run; `app` is the slug of the app that made it."""

    id: int
    sha: str
    name: str
    app: str
    status: str
    conclusion: str | None
    title: str | None = None
    summary: str | None = None
    external_id: str = ""
    details_url: str | None = None
    at: str = ""


@dataclass
class Run:
    """A run of a workflow, whose file is named `workflow`."""

    id: int
    workflow: str
    sha: str
    event: str = "pull_request"
    status: str = "completed"
    conclusion: str = "failure"
    attempt: int = 1
    too_old: bool = False  # over a month: it is not run again


@dataclass
class Status:
    """A commit status: anybody with write access can write one."""

    id: int
    sha: str
    context: str
    state: str
    description: str | None
    by: str
    at: str
    target_url: str | None = None


@dataclass(frozen=True)
class Demand:
    """What must hold before a merge; `checks` are (name, id of the app that must say it, or None for any)."""

    checks: tuple[tuple[str, int | None], ...] = ()
    strict: bool = False
    approvals: int | None = None  # None: no pull request review is required
    dismiss_stale: bool = False
    code_owners: bool = False
    last_push: bool = False
    merge_queue: bool = False
    threads: bool = False  # all conversations must be resolved
    signed: bool = False
    locked: bool = False  # classic alone
    pushers: tuple[str, ...] | None = None  # classic alone: who may push, None for everybody who may write
    others: tuple[str, ...] = ()  # rulesets alone: rules of other kinds, without parameters
    reviewed_by: tuple[str, ...] = ()  # rulesets alone: teams that must review certain files
    methods: tuple[str, ...] = ("merge", "squash", "rebase")


@dataclass(frozen=True)
class Protection:
    """Classic protection of one branch; `bypass` are logins that may skip pull requests."""

    branch: str
    demand: Demand
    enforce_admins: bool = True
    bypass: tuple[str, ...] = ()


@dataclass(frozen=True)
class Actor:
    """Somebody who may pass by a ruleset."""

    kind: str  # Integration, OrganizationAdmin, RepositoryRole, Team, DeployKey, User
    id: int | None = None
    mode: str = "always"


@dataclass(frozen=True)
class Ruleset:
    """A ruleset of the repository, or of its organization."""

    id: int
    name: str
    branches: tuple[str, ...]
    demand: Demand
    bypass: tuple[Actor, ...] = ()
    enforcement: str = "active"
    source: str = "Repository"
    others: tuple[str, ...] = ("deletion", "non_fast_forward")


@dataclass
class Token:
    """What a token is worth. `kind`: "user" (the role counts), "app", "actions" (the permissions), "jwt"."""

    text: str = field(repr=False)
    login: str
    kind: str = "user"
    permissions: dict[str, str] = field(default_factory=dict)
    app: str | None = None
    expires: datetime | None = None


@dataclass
class Settings:
    """Switches of the repository and of how slow or moody GitHub is today."""

    private: bool = True
    allow_auto_merge: bool = True
    allow_merge_commit: bool = True
    allow_squash_merge: bool = True
    allow_rebase_merge: bool = True
    delete_branch_on_merge: bool = False
    actions_may_approve: bool = False  # "Allow GitHub Actions to create and approve pull requests"
    default_workflow_permissions: str = "read"
    unlisted_for: int = 0  # list calls for which a new pull request is not listed yet
    unsettled_for: int = 0  # reads for which mergeability is not known yet
    retry_after: int = 0  # seconds, said with secondary limits
    requests_left: int = 5000  # until the primary limit answers
    unstarted_for: int = 0  # wishes for auto-merge that come before any check of a new pull request began
    longest_page: int = 100  # a page may be shorter than was asked for, and not the last
    free_plan: bool = False  # a private repository of it has no protections
    former_names: tuple[str, ...] = ()  # "owner/name" that lead here still
    auto_merge_happens: bool = True  # merge by itself as soon as all demands are met
    auto_merge_prefix: str = "Pull request "  # GitHub's refusals of auto-merge come with it and without
    missing_labels_created: bool = True  # by adding one to a pull request, as GitHub does; else 422
