"""Forge, and what it holds: pull requests, approvals, check runs (pure)."""

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from runbookopt.forge.protection import Protection, RepositorySwitches

Method = Literal["merge", "squash", "rebase"]

RUNBOOKS, CRITERIA = "runbookopt/", "runbookopt-criteria/"
"""How the branches begin that propose a runbook, and those that propose criteria: never the same ones."""


class Approval(Struct, frozen=True):
    """Somebody's yes to one commit; `at` is ISO 8601, `email` the address it was given with, if known."""

    by: str
    head: str
    at: str
    email: str = ""


class Attestation(Struct, frozen=True):
    """Somebody's word, given for one commit, that the audit of this digest in the ledger is their own.

    `at` and `email` are as in Approval. It is no approval.
    """

    by: str
    head: str
    at: str
    audit: str
    email: str = ""


class Draft(Struct, frozen=True, kw_only=True):
    """A pull request as it should be: commit `head` on `branch`, to be merged into `base`.

    `reviewers` and `teams` are asked for at once, `otherwise` and `teams_otherwise` where it cannot merge by
    itself after all. `auto_merge` marks it as one that the policy lets merge without a person, by `method`
    and with `message` (its first line is the title). `bundle` is the digest of the evidence.
    """

    branch: str
    base: str
    head: str
    title: str
    body: str
    reviewers: tuple[str, ...]
    auto_merge: bool
    bundle: str
    teams: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()
    teams_otherwise: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    method: Method = "squash"
    message: str = ""


class PullRequest(Struct, frozen=True, kw_only=True):
    """A pull request as it is.

    `head` is where its branch is now, `proposed` where runbookopt last put it: they differ where a person
    has pushed. `makers` are the logins and addresses of all who made, committed or pushed any part of it,
    as far as the forge knows; `objections` who asked for changes and did not take it back. These two,
    `approvals` and `attestations` are told by `get` alone, and so is `reviewed`, the commit that somebody
    last reviewed. `first` is the bundle that it was opened with, where the forge tells. `complete` is whether
    all that was asked for at its last proposal was done or given up, `notes` what was given up then, and why.
    `opened_at` and `closed_at` (closed or merged) are ISO 8601, empty where it is not known.
    """

    number: int
    url: str
    title: str
    body: str
    branch: str
    base: str
    head: str
    proposed: str
    author: str
    makers: tuple[str, ...]
    state: Literal["open", "closed", "merged"]
    reviewers: tuple[str, ...]
    auto_merge: bool
    approvals: tuple[Approval, ...]
    bundle: str
    teams: tuple[str, ...] = ()
    objections: tuple[str, ...] = ()
    attestations: tuple[Attestation, ...] = ()
    complete: bool = True
    notes: tuple[str, ...] = ()
    opened_at: str = ""
    closed_at: str = ""
    reviewed: str = ""
    first: str = ""


class CheckRun(Struct, frozen=True):
    """What a status check says of a commit; `summary` is Markdown."""

    name: str
    head: str
    passes: bool
    title: str
    summary: str


class Forge(Protocol):
    """Where pull requests live. Each method raises GitFailed where the forge cannot be reached or says no.

    `in_git`: they are refs of origin, so who can read origin can read them, without a token.
    """

    in_git: bool

    def pull_requests(self, branch: str | None = None) -> Sequence[PullRequest]:
        """All of them, or those of one branch, oldest first."""
        ...

    def get(self, number: int) -> PullRequest:
        """The one of a number. Raises RunbookoptError where there is none."""
        ...

    def open(self, draft: Draft, *, replaces: str | None) -> PullRequest:
        """Move the branch from `replaces` (None: absent) to the draft's head and open a pull request.

        Raises PushRejected where the branch is no longer there. One that is open for the branch by now is
        brought up to date, or PushRejected is raised.
        """
        ...

    def update(self, number: int, draft: Draft, *, replaces: str) -> PullRequest:
        """Move the branch from `replaces` to the draft's head, and bring the pull request up to date.

        Raises PushRejected where the branch or the pull request has moved meanwhile.
        """
        ...

    def hold(self, number: int) -> None:
        """See to it that the forge does not merge it by itself."""
        ...

    def protection(self, branch: str) -> Protection:
        """What must hold before a merge into a branch."""
        ...

    def switches(self) -> RepositorySwitches:
        """The switches around the protections, and what the token is worth."""
        ...

    def members(self, team: str) -> Sequence[str] | None:
        """The logins of a team's members; None where they are not told."""
        ...

    def report(self, check: CheckRun) -> None:
        """Write a check run, or bring the one that was written for the commit up to date."""
        ...

    def approve(self, number: int) -> PullRequest:
        """Approve the present head, in the name of whoever runs this."""
        ...

    def attest(self, number: int, audit: str) -> PullRequest:
        """Give the word of whoever runs this, for the present head, that an audit is theirs.

        Raises Refused, saying how it is done, where the forge takes that from people alone.
        """
        ...

    def close(self, number: int) -> PullRequest:
        """Close it without merging."""
        ...

    def merge(self, number: int, message: str, *, head: str, onto: str) -> str:
        """Merge `head` as one commit onto `onto`, the default branch as it was judged; give that commit.

        Raises PushRejected where either is no longer there, MergeConflict.
        """
        ...
