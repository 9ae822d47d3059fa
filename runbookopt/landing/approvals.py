"""Approvals that count: what people said of a pull request, held against the policy (pure).

What counts follows policy-bot where it speaks (https://github.com/palantir/policy-bot#readme): neither author
nor committers approve, a push invalidates, and only those who may approve may object.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from runbookopt.forge.protocol import Approval, Attestation, PullRequest
from runbookopt.project.policy import Decision, Policy, Reason


class Permission(Struct, frozen=True):
    """Whether a pull request may be merged now, with every reason for and against."""

    granted: bool
    reasons: tuple[Reason, ...]


Members = Mapping[str, Sequence[str] | None]
"""The logins of each team of a policy, None where they are not told."""


def may_merge(policy: Policy, decision: Decision, pull: PullRequest, members: Members) -> Permission:
    """Whether the policy lets a pull request be merged now; one more approval never turns yes to no.

    An approval counts once for each of the policy's reviewers or members of its teams and once for each
    address it was given with, in the order given, for this head only, and never from the author or a maker.
    What goes to review needs `policy.approvals` of them and no objection of one of those people; what would
    merge by itself, and anybody objects to, goes to review too.
    """
    if decision.merge == "none":
        never = Reason("decision", False, "the change is not to be merged")
        return Permission(False, (*decision.reasons, never))
    objections = tuple(_objections(policy, decision, pull, members))
    if decision.merge == "auto" and not objections:
        alone = Reason("decision", True, "the policy needs no person here")
        return Permission(True, (*decision.reasons, alone))
    counted, refused = _counted(policy, pull, members)
    enough = _enough(policy, len(counted), len({reason.text for reason in refused if reason.holds is None}))
    stopped = any(not reason.holds for reason in objections)
    granted = bool(enough.holds) and not stopped
    return Permission(granted, (*decision.reasons, enough, *objections, *counted, *refused))


def _objections(policy: Policy, decision: Decision, pull: PullRequest, members: Members) -> Iterator[Reason]:
    """Each objection; it holds where it does not stop a change that enough people approved."""
    for login in pull.objections:
        listed = _listed(login, policy, members)
        asked = f"{login} asked for changes"
        if listed is None:
            yield Reason("objection", None, f"{asked}, and {_unknown(policy, members)}")
        elif listed is not False:
            yield Reason("objection", False, f"{asked}: settle it, and let {login} approve or take it back")
        else:
            by_itself = ", so it does not merge by itself" if decision.merge == "auto" else ""
            yield Reason("objection", True, f"{asked}{by_itself}; {_UNLISTED}")


def _counted(policy: Policy, pull: PullRequest, members: Members) -> tuple[list[Reason], list[Reason]]:
    """The approvals that count, one for each person, and those that do not or may not."""
    counted: dict[str, Reason] = {}
    addresses: dict[str, str] = {}
    refused: list[Reason] = []
    for approval in pull.approvals:
        who = approval.by.casefold()
        why = _why_not(approval, pull, addresses)
        listed = _listed(approval.by, policy, members)
        if why is None and listed:
            counted[who] = Reason("approval", True, f"{approval.by} approved this commit {listed}")
            if approval.email:
                addresses[who] = approval.email.casefold()
        else:
            unknown = why is None and listed is None
            why = why or (_unknown(policy, members) if unknown else _UNLISTED)
            text = f"the approval of {approval.by} does not count: {why}"
            refused.append(Reason("approval", None if unknown else False, text))
    return list(counted.values()), refused


def why_not_counted(policy: Policy, pull: PullRequest, members: Members, approval: Approval) -> str | None:
    """Why one approval of a pull request does not count, or may not; None where it counts."""
    counted, refused = _counted(policy, pull, members)
    mine = f"the approval of {approval.by} does not count: "
    against = next((each.text for each in reversed(refused) if each.text.startswith(mine)), None)
    if against is None or any(each.text.startswith(f"{approval.by} approved this") for each in counted):
        return None
    return against.removeprefix(mine)


def why_not_attested(policy: Policy, pull: PullRequest, members: Members, word: Attestation) -> str | None:
    """Why somebody's word for an audit of a pull request does not count, or may not; None where it counts."""
    why = _why_not(word, pull, {})
    if why is not None:
        return why
    listed = _listed(word.by, policy, members)
    if listed is None:
        return _unknown(policy, members)
    return None if listed else _UNLISTED


def _why_not(
    approval: Approval | Attestation,
    pull: PullRequest,
    addresses: Mapping[str, str],
) -> str | None:
    """Why an approval does not count; `addresses` has that of each person whose approval does."""
    who, email = approval.by.casefold(), approval.email.casefold()
    makers = {maker.casefold() for maker in pull.makers}
    doing = "approve" if isinstance(approval, Approval) else "audit"
    own = f"set your own git config user.email and {doing} again"
    if who == pull.author.casefold():
        return f"the author cannot {doing}"
    if who in makers:
        return f"who committed or pushed to the branch cannot {doing}"
    if email and email in makers:
        return f"it was given as {approval.email}, who committed or pushed to the branch: {own}"
    if approval.head != pull.head:
        return f"it was given for {approval.head[:12]}, and the branch is at {pull.head[:12]} now"
    same = [other for other, address in addresses.items() if email and address == email and other != who]
    return f"it was given as {approval.email}, which counts once, for {same[0]}: {own}" if same else None


_UNLISTED = "the policy does not list this person as a reviewer"


def _listed(login: str, policy: Policy, members: Members) -> str | Literal[False] | None:
    """As what the policy lists a person, False: not at all; None where a team is not told."""
    who = login.casefold()
    if who in {reviewer.casefold() for reviewer in policy.reviewers}:
        return "as a reviewer"
    teams = {team: members.get(team) for team in policy.teams}
    for team, logins in teams.items():
        if logins is not None and who in {login.casefold() for login in logins}:
            return f"as a member of {team}"
    return None if None in teams.values() else False


def _unknown(policy: Policy, members: Members) -> str:
    teams = ", ".join(team for team in policy.teams if members.get(team) is None)
    return f"it is unknown who is a member of {teams}: give the token `members: read`, or name the person"


def _enough(policy: Policy, counted: int, unknown: int) -> Reason:
    """Whether there are enough; unknown where those that may count would make up the number."""
    if not policy.who:
        return Reason("approvals", False, "the policy names no reviewers, so no approval counts")
    text = f"{counted} of {policy.approvals} approval(s) of {policy.who}"
    lacking = None if counted + unknown >= policy.approvals else False
    return Reason("approvals", counted >= policy.approvals or lacking, text)
