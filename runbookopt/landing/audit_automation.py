"""Audit of work without a person: the token, the teams, auto-merge and its methods (pure)."""

from collections.abc import Iterator, Mapping, Sequence

from runbookopt.forge.protection import OUR_CHECK, Protection
from runbookopt.landing.requirements import Declared, Enforced, Requirement, few


def unattended(declared: Sequence[Declared], enforced: Enforced) -> Iterator[Requirement]:
    """What should hold of the token and of what is merged by itself."""
    yield from _token(enforced)
    yield from _teams(declared, enforced.members)
    automatic = [each for each in declared if each.policy.merge == "auto"]
    if automatic:
        yield from _by_itself(automatic, enforced)
    yield _methods(declared, enforced)


def _token(enforced: Enforced) -> Iterator[Requirement]:
    here = enforced.switches
    who = here.who or "whoever asks"
    yield Requirement.of(
        "token pushes",
        here.may_push,
        (f"{who} may push", f"{who} may not push", f"whether {who} may push is not told"),
        "nothing can be proposed: the branch and the pull request need the right to write",
        "give the token the permissions contents, pull requests and issues: write",
    )
    yield Requirement.of(
        "token is modest",
        None if here.may_administrate is None else not here.may_administrate,
        (
            f"{who} is no administrator",
            f"{who} is an administrator of the repository",
            f"whether {who} may administrate is not told",
        ),
        "who steals the token from a job can switch the protections off",
        "use a GitHub App with contents, pull requests and issues: write, and administration: read at most",
    )
    yield Requirement.of(
        "checks start",
        None if here.actions is None else not here.actions,
        (
            f"workflows start for the pull requests of {who}",
            "its pull requests are those of GitHub Actions, for which no workflow starts",
            "in whose name pull requests are opened is not known",
        ),
        "required checks never start by themselves, so nothing merges until somebody closes and reopens",
        "propose as a GitHub App: RUNBOOKOPT_APP_ID and RUNBOOKOPT_APP_PRIVATE_KEY_FILE",
    )


def _teams(
    declared: Sequence[Declared], members: Mapping[str, Sequence[str] | None]
) -> Iterator[Requirement]:
    teams = list(dict.fromkeys(team for each in declared for team in each.policy.teams))
    unknown = [team for team in teams if members.get(team) is None]
    empty = [team for team in teams if members.get(team) == ()]
    if teams:
        yield Requirement.of(
            "teams",
            None if unknown else not empty,
            (
                f"the members of {few(teams)} are known",
                f"{few(empty)} has no members",
                f"the members of {few(unknown)} are not shown to this token",
            ),
            "no approval of a member counts, so that a change can never have enough",
            "give the token members: read of the organization, and the team access to the repository",
        )


def _by_itself(automatic: Sequence[Declared], enforced: Enforced) -> Iterator[Requirement]:
    protection, allowed = enforced.protection, enforced.switches.auto_merge_allowed
    names = few([each.runbook for each in automatic])
    yield Requirement.of(
        "auto-merge",
        allowed,
        (
            "the repository allows auto-merge",
            f"the repository does not allow auto-merge, which the policy of {names} asks for",
            "whether the repository allows auto-merge is not shown to this token",
        ),
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
    """What waits for approvals where GitHub, which asks for them of all changes or of none, does not."""
    none = f"{protection.branch} requires no approvals, also of what the policy of {names} sends to review"
    return Requirement.of(
        "approvals in review",
        protection.required(),
        (
            f"{none}: `{OUR_CHECK}` waits for those of the policy",
            none,
            f"{none}, and whether it requires `{OUR_CHECK}` is not known",
        ),
        "whoever may merge can merge a change that goes to review before anybody agreed",
        f"require the status check `{OUR_CHECK}`, which waits for the approvals of the policy; or require"
        " approvals, after which nothing merges by itself",
    )


def _methods(declared: Sequence[Declared], enforced: Enforced) -> Requirement:
    allowed = [enforced.protection.methods, enforced.switches.methods]
    refused = [
        f"{each.runbook} is merged by {each.policy.method}"
        for each in declared
        if any(ways is not None and each.policy.method not in ways for ways in allowed)
    ]
    return Requirement.of(
        "merge method",
        False if refused else None if enforced.switches.methods is None else True,
        (
            "the repository allows the method of every policy",
            f"{'; '.join(refused[:3])}, which is not allowed",
            "which methods the repository allows is not shown to this token",
        ),
        "auto-merge is refused, and a person merges by another method than the policy says",
        "Settings > General > Pull Requests, and the ruleset's Allowed merge methods; or `method:` in"
        " policy.yaml",
    )
