"""Whose yes counts: what people said of a pull request, held against the policy (pure).

What counts follows policy-bot where it speaks (https://github.com/palantir/policy-bot#readme): neither author
nor committers approve, a push invalidates, and only those who may approve may object.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from runbookopt.project.policy import Decision, Policy, Reason

if TYPE_CHECKING:
    from runbookopt.forge.protocol import Approval, PullRequest


class Permission(Struct, frozen=True):
    """Whether a pull request may be merged now, with every reason for and against."""

    granted: bool
    reasons: tuple[Reason, ...]


class Reviews(Struct, frozen=True, kw_only=True):
    """What people did with a pull request, as the forge tells it.

    `makers` are all who committed or pushed any part of it, by login and address; `head` is the commit that
    would be merged; `objections` are the logins of those who asked for changes and did not take it back.
    `members` are the logins of each team of the policy, None where they are not told.
    """

    head: str
    author: str
    makers: tuple[str, ...] = ()
    approvals: "tuple[Approval, ...]" = ()
    objections: tuple[str, ...] = ()
    members: Mapping[str, Sequence[str] | None] = {}


def reviews_of(pull: "PullRequest", members: Mapping[str, Sequence[str] | None]) -> Reviews:
    """Give what people did with a pull request."""
    return Reviews(
        head=pull.head,
        author=pull.author,
        makers=pull.makers,
        approvals=pull.approvals,
        objections=pull.objections,
        members=members,
    )


def may_merge(policy: Policy, decision: Decision, reviews: Reviews) -> Permission:
    """Say whether the policy lets a pull request be merged now; one more approval never turns yes to no.

    An approval counts once for each of the policy's reviewers or members of its teams and once for each
    address it was given with, in the order given, for this head only, and never from the author or a maker.
    What goes to review needs `policy.approvals` of them and no objection of one of those people; what would
    merge by itself, and anybody objects to, goes to review too.
    """
    if decision.merge == "none":
        told = Reason("decision", False, "the change is not to be merged")
        return Permission(False, (*decision.reasons, told))
    objections = tuple(_objections(policy, decision, reviews))
    if decision.merge == "auto" and not objections:
        told = Reason("decision", True, "the policy needs no person here")
        return Permission(True, (*decision.reasons, told))
    counted, refused = _counted(policy, reviews)
    enough = _enough(policy, len(counted), len({reason.text for reason in refused if reason.holds is None}))
    stopped = any(not reason.holds for reason in objections)
    granted = bool(enough.holds) and not stopped
    return Permission(granted, (*decision.reasons, enough, *objections, *counted, *refused))


def _counted(policy: Policy, reviews: Reviews) -> tuple[list[Reason], list[Reason]]:
    """Give the approvals that count, one for each person, and those that do not or may not."""
    counted: dict[str, Reason] = {}
    addresses: dict[str, str] = {}
    refused: list[Reason] = []
    for approval in reviews.approvals:
        who = approval.by.casefold()
        why = _never_counts(approval, reviews) or _counts_already(approval, addresses)
        listed = _listed(approval.by, policy, reviews)
        if why is None and listed:
            counted[who] = Reason("approval", True, f"{approval.by} approved this commit {listed}")
            if approval.email:
                addresses[who] = approval.email.casefold()
        else:
            unknown = why is None and listed is None
            why = why or (_unknown(policy, reviews) if unknown else _UNLISTED)
            told = f"the approval of {approval.by} does not count: {why}"
            refused.append(Reason("approval", None if unknown else False, told))
    return list(counted.values()), refused


_UNLISTED = "the policy does not list this person as a reviewer"
_Listed = str | Literal[False] | None


def _listed(login: str, policy: Policy, reviews: Reviews) -> _Listed:
    """Say as what the policy lists a person, False: not at all; None where a team is not told."""
    who = login.casefold()
    if who in {reviewer.casefold() for reviewer in policy.reviewers}:
        return "as a reviewer"
    known = {team: reviews.members.get(team) for team in policy.teams}
    for team, members in known.items():
        if members is not None and who in {member.casefold() for member in members}:
            return f"as a member of {team}"
    return None if None in known.values() else False


def _unknown(policy: Policy, reviews: Reviews) -> str:
    untold = ", ".join(team for team in policy.teams if reviews.members.get(team) is None)
    return f"it is unknown who is a member of {untold}: give the token `members: read`, or name the person"


def _objections(policy: Policy, decision: Decision, reviews: Reviews) -> Iterator[Reason]:
    """Give what was objected; holds where it does not stop a change that enough people approved."""
    for login in reviews.objections:
        listed = _listed(login, policy, reviews)
        asked = f"{login} asked for changes"
        if listed is None:
            told = f"{asked}, and {_unknown(policy, reviews)}"
            yield Reason("objection", None, told)
        elif listed is not False:
            yield Reason("objection", False, f"{asked}: settle it, and let {login} approve or take it back")
        else:
            by_itself = ", so it does not merge by itself" if decision.merge == "auto" else ""
            yield Reason("objection", True, f"{asked}{by_itself}; {_UNLISTED}")


def _never_counts(approval: "Approval", reviews: Reviews) -> str | None:
    who, makers = approval.by.casefold(), {maker.casefold() for maker in reviews.makers}
    if who == reviews.author.casefold():
        return "the author cannot approve"
    if who in makers:
        return "who committed or pushed to the branch cannot approve"
    if approval.email and approval.email.casefold() in makers:
        return (
            f"it was given as {approval.email}, who committed or pushed to the branch: set your own"
            " git config user.email and approve again"
        )
    if approval.head != reviews.head:
        return f"it was given for {approval.head[:12]}, and the branch is at {reviews.head[:12]} now"
    return None


def _counts_already(approval: "Approval", addresses: Mapping[str, str]) -> str | None:
    """Say why not where the address stands behind another login; `addresses` has that of each who counts."""
    email, who = approval.email.casefold(), approval.by.casefold()
    for other, address in addresses.items():
        if email and address == email and other != who:
            return (
                f"it was given as {approval.email}, which counts once, for {other}: set your own"
                " git config user.email and approve again"
            )
    return None


def _enough(policy: Policy, counted: int, unknown: int) -> Reason:
    """Say whether there are enough; unknown where those that may count would make up the number."""
    if not policy.who:
        return Reason("approvals", False, "the policy names no reviewers, so no approval counts")
    told = f"{counted} of {policy.approvals} approval(s) of {policy.who}"
    if counted >= policy.approvals:
        return Reason("approvals", True, told)
    return Reason("approvals", None if counted + unknown >= policy.approvals else False, told)
