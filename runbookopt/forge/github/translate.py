"""Texts and records of a pull request at GitHub: what it says, what we write into it (pure; no PyGithub)."""

import re
from typing import Literal

from msgspec import Struct

from runbookopt.documents.digest import canonical, digest
from runbookopt.documents.untrusted import prose
from runbookopt.forge.protocol import Draft

MOST_CHARACTERS = 65_536
"""What GitHub takes as the body of a pull request."""

ACTIONS = "github-actions"
NOT_STARTED = (
    "this was proposed with the token of GitHub Actions: required checks do not start by themselves, and wait"
    " until somebody with write access approves the runs (Approve workflows to run), or closes and reopens"
    " the pull request. Propose with the token of a GitHub App (RUNBOOKOPT_APP_ID and"
    " RUNBOOKOPT_APP_PRIVATE_KEY_FILE), and they start"
)
"""https://github.com/orgs/community/discussions/199292"""


class User(Struct, frozen=True):
    """An account."""

    login: str = ""


class Slug(Struct, frozen=True):
    """A team."""

    slug: str


class Repo(Struct, frozen=True):
    """A repository; a fork has another name."""

    full_name: str


class End(Struct, frozen=True):
    """Where a pull request comes from or goes to; the repository is None where it was deleted."""

    ref: str
    sha: str
    repo: Repo | None = None


class Label(Struct, frozen=True):
    """A label."""

    name: str


class Answer(Struct, frozen=True, kw_only=True):
    """A pull request as GitHub shows it in a list or by itself."""

    number: int
    node_id: str
    html_url: str
    title: str
    body: str | None = None
    state: Literal["open", "closed"]
    user: User | None = None
    head: End
    base: End
    created_at: str
    closed_at: str | None = None
    merged_at: str | None = None
    labels: tuple[Label, ...] = ()
    requested_reviewers: tuple[User, ...] = ()
    requested_teams: tuple[Slug, ...] = ()
    auto_merge: dict[str, object] | None = None

    @property
    def author(self) -> str:
        """The login of who opened it; "ghost", as GitHub says, where the account is gone."""
        return self.user.login if self.user else "ghost"


class Review(Struct, frozen=True):
    """What somebody said of one commit; the account may be gone, the commit too."""

    state: str
    user: User | None = None
    commit_id: str | None = None
    submitted_at: str = ""
    node_id: str = ""
    body: str | None = None

    @property
    def audit(self) -> str | None:
        """The digest of the audit that it says is its writer's own, in a line of its own; None without."""
        digests = _AUDIT.findall(self.body or "")
        return digests[0] if len(digests) == 1 and self.state in _SAYING else None


class Signature(Struct, frozen=True):
    """Whose name stands on a commit."""

    email: str = ""


class Signed(Struct, frozen=True):
    """Both names on a commit."""

    author: Signature | None = None
    committer: Signature | None = None


class Made(Struct, frozen=True):
    """A commit of a pull request, with the accounts that GitHub knows behind the addresses, if any."""

    commit: Signed
    author: User | None = None
    committer: User | None = None


class Happened(Struct, frozen=True):
    """A line of a pull request's history."""

    event: str = ""
    actor: User | None = None


class Comment(Struct, frozen=True):
    """A comment on a pull request."""

    body: str | None = None


class Body(Struct, frozen=True):
    """Our text in a pull request: the report, then `notes` of what GitHub did not do as asked."""

    report: str
    notes: tuple[str, ...] = ()

    def text(self, marker: str = "") -> str:
        """It within GitHub's limit; what is cut is whole lines of the report's end."""
        told = "".join(f"- {prose(note, 600)}\n" for note in self.notes)
        tail = f"\n## On GitHub\n\n{told}" if told else ""
        tail += f"\n{marker}\n" if marker else ""
        return _fitted(self.report.rstrip("\n") + "\n", MOST_CHARACTERS - len(tail)) + tail


def fingerprint(draft: Draft, body: Body) -> str:
    """Digest that tells one proposal from another without their texts, which people may have edited."""
    return digest(canonical([draft.title, " ".join(lasting(body.report)), list(body.notes), draft.head]))


def lasting(text: str | None) -> list[str]:
    """The words of a body but for the ledger's head, which any look moves: it is no reason to write again."""
    return re.sub(r"(?m)^Runbookopt-Ledger: [0-9a-f]+$", "", text or "").split()


def marker(draft: Draft, body: Body) -> str:
    """The last line of a body: that all was done that was to be done for a commit."""
    return f"<!-- runbookopt: done {draft.head} {fingerprint(draft, body)} -->"


def done(body: str | None) -> tuple[str, str] | None:
    """Read the commit and the fingerprint out of the last line of a body, if they are there.

    Anybody who may edit the body may have written them: nothing but whether to write again rests on it.
    """
    found = _DONE.search(body or "")
    return (found[1], found[2]) if found else None


def superseded(by: int) -> str:
    """The comment on a pull request that another one stands for now."""
    return f"Superseded by #{by}.\n\n<!-- runbookopt: superseded -->"


SUPERSEDED = "<!-- runbookopt: superseded -->"
_DONE = re.compile(r"<!-- runbookopt: done ([0-9a-f]{40}) (sha256:[0-9a-f]{64}) -->\s*\Z")
_AUDIT = re.compile(r"^Runbookopt-Audit: (sha256:[0-9a-f]{64})[ \t]*\r?$", re.MULTILINE)
_SAYING = frozenset({"APPROVED", "COMMENTED"})  # not one that was dismissed, or asks for changes
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def audit_line(audit: str) -> str:
    """The line of a review by which somebody says that an audit is their own."""
    return f"Runbookopt-Audit: {audit}"


def bundle_of(message: str) -> str | None:
    """The digest of the bundle that a commit of ours cites in its trailers."""
    last = re.split(r"\n[ \t]*\n", message.strip().replace("\r\n", "\n"))[-1]
    found = re.findall(r"^Runbookopt-Bundle: (sha256:[0-9a-f]{64})\s*$", last, re.MULTILINE)
    return found[0] if len(found) == 1 else None


def _fitted(text: str, most: int) -> str:
    """As many whole lines as fit; a code block that the cut would leave open is closed."""
    if len(text) <= most:
        return text
    told = "\nCut here: the rest is in the bundle.\n"
    kept = text[: most - len(told) - 12].rpartition("\n")[0].split("\n")
    fence = ""
    for line in kept:
        found = _FENCE.match(line)
        if found and not fence:
            fence = found[1]
        elif found and found[1].startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
    return "\n".join(kept) + (f"\n{fence[:10]}" if fence else "") + f"\n{told}"


Outcome = Literal[
    "clean_status",
    "unstable_status",
    "merge_queue",
    "not_allowed",
    "method_not_allowed",
    "no_protection",
    "head_moved",
    "no_permission",
    "closed",
    "refused",
]
"""Why GitHub did not switch its auto-merge on."""

_OUTCOMES: dict[str, tuple[Outcome, str]] = {
    "clean status": ("clean_status", "nothing holds it back, and auto-merge only waits for something"),
    "unstable status": ("unstable_status", "only checks that are not required are under way or failed"),
    "merge queue": ("merge_queue", "the branch has a merge queue, which merges in its own way"),
    "auto merge is not allowed": (
        "not_allowed",
        "the repository does not allow auto-merge (Settings, General, Allow auto-merge)",
    ),
    "merge method": ("method_not_allowed", "the repository or a ruleset does not allow this merge method"),
    "protected branch rules not configured": ("no_protection", "nothing protects the branch"),
    "head branch was modified": ("head_moved", "somebody pushed to the branch meanwhile"),
    "not accessible by": ("no_permission", "the token may not do it: it needs contents: write"),
    "correct permissions": ("no_permission", "the token may not do it: it needs contents: write"),
    "can't enable auto-merge": ("closed", "the pull request is not open any more"),
}


PASSING: frozenset[Outcome] = frozenset({"clean_status", "unstable_status"})
"""Refusals that may be of the first seconds only, when no check has begun.

https://github.com/peter-evans/enable-pull-request-automerge/issues/343 and 355
"""


def outcome_of(words: str) -> tuple[Outcome, str]:
    """The name of GitHub's refusal of auto-merge and what it means.

    The words come with and without "Pull request " before them, so they are looked for anywhere.
    """
    for part, found in _OUTCOMES.items():
        if part in words.lower():
            return found
    return "refused", words
