"""Audit of a forge's protection: what the declared policies need it to enforce, against what it does (pure).

GitHub's words for its settings are those of its pages in 2026.
"""

from collections.abc import Iterator, Sequence

from runbookopt.forge.protection import OUR_CHECK, Protection
from runbookopt.landing.audit_automation import unattended
from runbookopt.landing.requirements import Declared, Enforced, Requirement, few
from runbookopt.project.codeowners import PLACES, owners_of, read_owners

WORKFLOWS = ".github/workflows/verify-runbooks.yml"
"""The workflow of our check: who may change it unseen can have it say anything."""


def requirements(declared: Sequence[Declared], enforced: Enforced) -> tuple[Requirement, ...]:
    """Everything that should hold, in the order in which to set it up."""
    if not enforced.switches.enforces:
        return (_policies(declared), _nothing_enforced(enforced.protection), *_squashed(declared))
    return (
        _policies(declared),
        *_checks(enforced.protection),
        *_reviews(declared, enforced.protection),
        *_owners(declared, enforced),
        *_passing_by(enforced),
        *unattended(declared, enforced),
    )


def _policies(declared: Sequence[Declared]) -> Requirement:
    none = [each.runbook for each in declared if not each.policy.declared]
    return Requirement(
        "policies",
        not none,
        f"no policy is declared for {few(none)}" if none else "every runbook has a policy",
        "whoever may merge decides alone, since nobody is named who must agree",
        "add policy.yaml beside the runbook: `merge: review` and `reviewers: [LOGIN]`",
    )


def _nothing_enforced(protection: Protection) -> Requirement:
    return Requirement(
        "protections",
        None,
        _unread(protection),
        f"whoever may push to origin can push anything to {protection.branch}; `runbookopt pulls merge` keeps"
        " the policy, and nothing makes anybody use it",
        "let one account alone push to the default branch (a hook at origin), or use one that protects it",
    )


def _squashed(declared: Sequence[Declared]) -> Iterator[Requirement]:
    others = [each.runbook for each in declared if each.policy.method != "squash"]
    if others:
        yield Requirement(
            "merge method",
            False,
            f"{few(others)}: `runbookopt pulls merge` squashes, whatever `method` says",
            "the history is other than the policy says",
            "set `method: squash` in policy.yaml, or use a forge that merges otherwise",
        )


def _checks(protection: Protection) -> Iterator[Requirement]:
    branch, ours = protection.branch, [check for check in protection.checks if check.name == OUR_CHECK]
    required = protection.required()
    only = f", only {few([check.name for check in protection.checks])}" if protection.checks else ""
    yield Requirement.of(
        "required check",
        required,
        (
            f"{branch} requires the status check `{OUR_CHECK}`",
            f"{branch} does not require the status check `{OUR_CHECK}`{only}",
            _unread(protection),
        ),
        "a change that breaks the guard or the policy can be merged, and auto-merge waits for nothing",
        _rules(branch, f"Require status checks to pass > add `{OUR_CHECK}`"),
    )
    if required:
        pinned = all(check.app is not None for check in ours)
        yield Requirement(
            "source of the check",
            pinned,
            f"`{OUR_CHECK}` must come from one app" if pinned else f"anybody may report `{OUR_CHECK}`",
            "anybody with write access can write a status of this name and say that all is well",
            _rules(branch, f"Require status checks to pass > `{OUR_CHECK}` > source: GitHub Actions"),
        )


def _reviews(declared: Sequence[Declared], protection: Protection) -> Iterator[Requirement]:
    branch = protection.branch
    yield _switch(
        protection,
        ("pull requests", protection.pull_request, f"changes reach {branch} by pull requests alone"),
        "whoever may push can change a runbook, its rubric or its policy without anybody seeing it",
        "Require a pull request before merging",
    )
    most = max((each.policy.approvals for each in declared if each.policy.merge == "review"), default=0)
    enough, asked = protection.approvals, f"{protection.approvals} approval(s), and a policy asks for {most}"
    if most:
        yield Requirement(
            "approvals",
            None if enough is None or (enough < most and protection.unread) else enough >= most,
            _unread(protection) if enough is None else f"{branch} requires {asked}",
            "a change that the policy sends to review can be merged before enough people agreed",
            _rules(branch, f"Require a pull request before merging > Required approvals: {most}"),
        )
    yield _switch(
        protection,
        ("stale approvals", protection.dismisses_stale, "a push to a pull request dismisses its approvals"),
        "somebody has a harmless change approved, pushes another one, and it is merged",
        "Dismiss stale pull request approvals when new commits are pushed",
    )
    yield _switch(
        protection,
        ("last push", protection.last_push, "whoever pushed last cannot be the one who approves"),
        f"somebody with write access pushes to our branch and approves it: two people in name, one in fact"
        f" ({branch} counts the approval of everybody but the author)",
        "Require approval of the most recent reviewable push",
    )


def _owners(declared: Sequence[Declared], enforced: Enforced) -> Iterator[Requirement]:
    protection, refused = enforced.protection, enforced.switches.owners_refused
    yield _switch(
        protection,
        (
            "code owners' review",
            protection.code_owners,
            "a change to what somebody owns needs that owner's approval",
        ),
        "rubric and policy can be loosened with the approval of anybody, and later runs go by them",
        "Require review from Code Owners",
    )
    place = next((path for path in PLACES if path in enforced.codeowners), None)
    if place is None:
        nothing = "there is no CODEOWNERS on the default branch"
        yield Requirement(
            "CODEOWNERS",
            False,
            f"{nothing}, so code owners' review asks nobody" if protection.code_owners else nothing,
            "nobody must agree when rubric, policy or labels change, whatever the protection demands",
            f"add {PLACES[0]} with the lines that `runbookopt init` writes",
        )
        return
    yield _owned(place, [*(file for each in declared for file in each.files), WORKFLOWS, place], enforced)
    yield Requirement.of(
        "owners exist",
        None if refused is None else not refused,
        (
            f"GitHub accepts every owner in {place}",
            f"GitHub refuses: {few(refused or ())}",
            f"whether GitHub accepts the owners in {place} is not shown to this token",
        ),
        "a line with an owner who does not exist or may not write protects nothing",
        f"correct the owners in {place}: people or visible teams with write access; apps cannot own",
    )


def _owned(place: str, files: Sequence[str], enforced: Enforced) -> Requirement:
    lines = read_owners(enforced.codeowners[place])
    unowned = [file for file in files if not owners_of(lines, file)]
    first = [f"/{file} @OWNER" for file in unowned[:5]]  # as many as `few` names
    missing = "; ".join([*first, "..."] if unowned[5:] else first)
    return Requirement(
        "CODEOWNERS",
        not unowned,
        f"{place} owns {f'no {few(unowned)}' if unowned else 'rubrics, policies, labels and itself'}",
        "these decide what is merged later, and can be changed without an owner's approval",
        f"in {place}, below all other lines, since the last match counts: {missing}",
    )


def _passing_by(enforced: Enforced) -> Iterator[Requirement]:
    protection, here = enforced.protection, enforced.switches
    may, may_approve = protection.bypass_known, here.actions_may_approve
    nobody = f"nobody may pass by what protects {protection.branch}"
    nothing = f"nothing protects {protection.branch}, so there is nothing to pass by"
    others = "; whether others may is not shown" if protection.bypass is None else ""
    yield Requirement.of(
        "bypass",
        False if may else None if protection.bypass is None else True,
        (
            nobody if protection.sources else nothing,
            f"may pass by what protects {protection.branch}: {few(may)}{others}",
            f"who may pass by what protects {protection.branch} is not shown to this token",
        ),
        "who may pass by merges without check and review, by a slip or with a stolen token",
        "empty the Bypass list of the ruleset, and switch on Do not allow bypassing the above settings in"
        " classic protection; to see the list, run this with an administrator's token",
    )
    yield Requirement.of(
        "Actions approve",
        None if may_approve is None else not may_approve,
        (
            "GitHub Actions may not approve pull requests",
            "GitHub Actions may approve pull requests",
            "whether GitHub Actions may approve pull requests is not shown to this token",
        ),
        "a workflow that somebody adds on a branch approves a pull request in place of a person",
        "Settings > Actions > General > switch off Allow GitHub Actions to create and approve pull requests,"
        " and propose with a GitHub App",
    )


def _switch(
    protection: Protection, switch: tuple[str, bool | None, str], danger: str, setting: str
) -> Requirement:
    """The requirement that a switch of the ruleset is on: its name, how it stands, and what it means."""
    name, is_on, meaning = switch
    words = (meaning, f"not so: {meaning}", _unread(protection))
    return Requirement.of(name, is_on, words, danger, _rules(protection.branch, setting))


def _unread(protection: Protection) -> str:
    return "; ".join(protection.unread) or f"what protects {protection.branch} is not known"


def _rules(branch: str, setting: str) -> str:
    return f"Settings > Rules > Rulesets > the ruleset for {branch} > {setting}"
