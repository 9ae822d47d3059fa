"""Protection of a branch: all that a forge demands before a merge, of all its sources together (pure)."""

from collections.abc import Iterator

from msgspec import Struct

OUR_CHECK = "runbookopt verify"
"""The status check that a pull request must pass: the name of the job in the workflow."""


ACTIONS_APP = 15368
"""The id of the app GitHub Actions at github.com, which every workflow of a repository speaks as."""


class RequiredCheck(Struct, frozen=True):
    """A status check that must pass; `app` is the id of the app that must say so, None: whoever may write."""

    name: str
    app: int | None = None


class Protection(Struct, frozen=True, kw_only=True):
    """What must hold before a merge into `branch`: GitHub's classic protection and its rulesets add up.

    `sources` are those that were read ("classic", "ruleset 12"), `unread` a sentence for each that could not
    be. Where `unread` is not empty, what is known stands and the rest is None: unknown is neither yes nor no.
    `approvals` is how many are needed, `methods` how a merge may be made (None: any that the repository
    allows). `others` is what else holds a merge back, a sentence each. `bypass` are those who may pass by and
    None where a source does not say; `bypass_known` are those that are told in any case.
    """

    branch: str
    sources: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    checks: tuple[RequiredCheck, ...] = ()
    strict: bool | None = False
    pull_request: bool | None = False
    approvals: int | None = 0
    dismisses_stale: bool | None = False
    code_owners: bool | None = False
    last_push: bool | None = False
    merge_queue: bool | None = False
    others: tuple[str, ...] = ()
    methods: tuple[str, ...] | None = None
    bypass: tuple[str, ...] | None = ()
    bypass_known: tuple[str, ...] = ()

    @property
    def shared_source(self) -> bool:
        """Whether our check may come from the app of all workflows, so that any of them can report it."""
        return any(check.name == OUR_CHECK and check.app == ACTIONS_APP for check in self.checks)

    def required(self, name: str = OUR_CHECK) -> bool | None:
        """Whether a check of this name must pass; None where not all could be read."""
        if any(check.name == name for check in self.checks):
            return True
        return None if self.unread else False


def unknown_protection(branch: str, why: str) -> Protection:
    """A protection of which nothing is known."""
    return Protection(
        branch=branch,
        unread=(why,),
        strict=None,
        pull_request=None,
        approvals=None,
        dismisses_stale=None,
        code_owners=None,
        last_push=None,
        merge_queue=None,
        bypass=None,
    )


def against_merging_by_itself(protection: Protection) -> Iterator[str]:
    """Reasons why a change must not merge by itself into this branch; none where all is known to hold.

    Auto-merge waits for what the branch demands and for nothing else, so that must be known, hold our check,
    and not let an approval count for a commit that was pushed after it.
    """
    if protection.unread:
        yield f"what protects {protection.branch} is not known: {'; '.join(protection.unread)}"
        return
    if not protection.checks:
        yield f"{protection.branch} requires no status check, so nothing would hold a merge back"
    elif not protection.required():
        yield f"{protection.branch} does not require the status check `{OUR_CHECK}`"
    if not protection.dismisses_stale:
        yield f"{protection.branch} lets approvals stand when new commits are pushed"


class RepositorySwitches(Struct, frozen=True, kw_only=True):
    """Switches of a repository and the token that was asked with; None is unknown.

    `enforces` is whether the forge has protections at all. `owners_refused` are sentences on lines of
    CODEOWNERS that the forge does not accept. `methods` are the ways to merge that the repository allows.
    `who` is in whose name the token speaks; `actions` whether that is GitHub Actions, whose pull requests
    start no workflows; `may_push` and `may_administrate` what the token may do.
    """

    enforces: bool = True
    owners_refused: tuple[str, ...] | None = None
    actions_may_approve: bool | None = None
    auto_merge_allowed: bool | None = None
    methods: tuple[str, ...] | None = None
    who: str | None = None
    actions: bool | None = None
    may_push: bool | None = None
    may_administrate: bool | None = None
