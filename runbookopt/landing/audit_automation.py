"""What must hold for the tool to work without a person: its token, teams, auto-merge, methods (pure)."""

from collections.abc import Iterator, Mapping, Sequence

from runbookopt.forge.protection import OUR_CHECK, Protection
from runbookopt.landing.requirements import Declared, Enforced, Requirement, few


def unattended(declared: Sequence[Declared], enforced: Enforced) -> Iterator[Requirement]:
    """Give what should hold of the token and of what is merged by itself."""
    yield from _token(enforced)
    yield from _teams(declared, enforced.members)
    automatic = [each for each in declared if each.policy.merge == "auto"]
    if automatic:
        yield from _by_itself(automatic, enforced)
    yield from _methods(declared, enforced)


def _token(enforced: Enforced) -> Iterator[Requirement]:
    here = enforced.switches
    who = here.who or "whoever asks"
    yield Requirement(
        "token pushes",
        here.may_push,
        {True: f"{who} may push", False: f"{who} may not push", None: _not_told(who, "push")}[here.may_push],
        "nothing can be proposed: the branch and the pull request need the right to write",
        "give the token the permissions contents, pull requests and issues: write",
    )
    admin = here.may_administrate
    told = {
        True: f"{who} is an administrator of the repository",
        False: f"{who} is no administrator",
        None: _not_told(who, "administrate"),
    }
    yield Requirement(
        "token is modest",
        None if admin is None else not admin,
        told[admin],
        "who steals the token from a job can switch the protections off",
        "use a GitHub App with contents, pull requests and issues: write, and administration: read at most",
    )
    starts = {
        True: "its pull requests are those of GitHub Actions, for which no workflow starts",
        False: f"workflows start for the pull requests of {who}",
        None: "in whose name pull requests are opened is not known",
    }
    yield Requirement(
        "checks start",
        None if here.actions is None else not here.actions,
        starts[here.actions],
        "required checks never start by themselves, so nothing merges until somebody closes and reopens",
        "propose as a GitHub App: RUNBOOKOPT_APP_ID and RUNBOOKOPT_APP_PRIVATE_KEY_FILE",
    )


def _not_told(who: str, what: str) -> str:
    return f"whether {who} may {what} is not told"


def _teams(
    declared: Sequence[Declared], members: Mapping[str, Sequence[str] | None]
) -> Iterator[Requirement]:
    teams = list(dict.fromkeys(team for each in declared for team in each.policy.teams))
    if not teams:
        return
    untold = [team for team in teams if members.get(team) is None]
    empty = [team for team in teams if members.get(team) == ()]
    told = f"the members of {few(untold)} are not shown to this token" if untold else ""
    told = told or (f"{few(empty)} has no members" if empty else f"the members of {few(teams)} are known")
    yield Requirement(
        "teams",
        None if untold else not empty,
        told,
        "no approval of a member counts, so that a change can never have enough",
        "give the token members: read of the organization, and the team access to the repository",
    )


def _by_itself(automatic: Sequence[Declared], enforced: Enforced) -> Iterator[Requirement]:
    protection, here = enforced.protection, enforced.switches
    names = few([each.runbook for each in automatic])
    allowed = here.auto_merge_allowed
    told = {
        True: "the repository allows auto-merge",
        False: f"the repository does not allow auto-merge, which the policy of {names} asks for",
        None: "whether the repository allows auto-merge is not shown to this token",
    }
    yield Requirement(
        "auto-merge",
        allowed,
        told[allowed],
        "what the policy lets merge by itself goes to review",
        "Settings > General > Pull Requests > Allow auto-merge",
    )
    if protection.approvals:
        yield Requirement(
            "auto-merge alone",
            False,
            f"{protection.branch} requires {protection.approvals} approval(s) of every pull request",
            f"nothing merges by itself: what the policy of {names} lets merge waits for a person",
            "leave it so, which is safe; or require no approvals, and rely on the required check and on"
            " code owners' review for all else",
        )
    elif protection.approvals == 0:
        yield _in_review(protection, names)
    if protection.merge_queue:
        yield Requirement(
            "merge queue",
            False,
            f"{protection.branch} has a merge queue, in which no commit can be named beforehand",
            "what the policy lets merge by itself goes to review",
            "leave it so, or exempt this branch from the queue",
        )


def _in_review(protection: Protection, names: str) -> Requirement:
    """Say what waits for approvals where GitHub, which asks for them of all changes or of none, does not."""
    required = protection.required()
    none = f"{protection.branch} requires no approvals, also of what the policy of {names} sends to review"
    told = {
        True: f"{none}: `{OUR_CHECK}` waits for those of the policy",
        False: none,
        None: f"{none}, and whether it requires `{OUR_CHECK}` is not known",
    }
    return Requirement(
        "approvals in review",
        required,
        told[required],
        "whoever may merge can merge a change that goes to review before anybody agreed",
        f"require the status check `{OUR_CHECK}`, which waits for the approvals of the policy; or require"
        " approvals, after which nothing merges by itself",
    )


def _methods(declared: Sequence[Declared], enforced: Enforced) -> Iterator[Requirement]:
    by_rule, here = enforced.protection.methods, enforced.switches.methods
    refused = [
        each
        for each in declared
        if any(ways is not None and each.policy.method not in ways for ways in (by_rule, here))
    ]
    told = "; ".join(f"{each.runbook} is merged by {each.policy.method}" for each in refused[:3])
    unknown = here is None
    yield Requirement(
        "merge method",
        False if refused else None if unknown else True,
        f"{told}, which is not allowed"
        if refused
        else "which methods the repository allows is not shown to this token"
        if unknown
        else "the repository allows the method of every policy",
        "auto-merge is refused, and a person merges by another method than the policy says",
        "Settings > General > Pull Requests, and the ruleset's Allowed merge methods; or `method:` in"
        " policy.yaml",
    )
