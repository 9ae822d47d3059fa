"""What the declared policies need a forge to enforce, held against what it does enforce (pure).

GitHub's words for its settings are those of its pages in 2026.
"""

from collections.abc import Iterator, Sequence

from runbookopt.forge.protection import OUR_CHECK, Protection, RepositorySwitches
from runbookopt.landing.audit_automation import unattended
from runbookopt.landing.requirements import Declared, Enforced, Requirement, few
from runbookopt.project.codeowners import PLACES, owners_of, read_owners

WORKFLOWS = ".github/workflows/verify-runbooks.yml"
"""The workflow of our check: who may change it unseen can have it say anything."""


def requirements(declared: Sequence[Declared], enforced: Enforced) -> tuple[Requirement, ...]:
    """Give everything that should hold, in the order in which to set it up."""
    if not enforced.switches.enforces:
        return (*_declared(declared), _nothing_enforced(enforced.protection), *_squashed(declared))
    return (
        *_declared(declared),
        *_checks(enforced.protection),
        *_reviews(declared, enforced.protection),
        *_owners(declared, enforced),
        *_passing_by(enforced),
        *unattended(declared, enforced),
    )


def _declared(declared: Sequence[Declared]) -> Iterator[Requirement]:
    none = [each.runbook for each in declared if not each.policy.declared]
    told = f"no policy is declared for {few(none)}" if none else "every runbook has a policy"
    yield Requirement(
        "policies",
        not none,
        told,
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
    told = f"{few(others)}: `runbookopt pulls merge` squashes, whatever `method` says"
    setting = "set `method: squash` in policy.yaml, or use a forge that merges otherwise"
    if others:
        yield Requirement("merge method", False, told, "the history is other than the policy says", setting)


def _checks(protection: Protection) -> Iterator[Requirement]:
    branch, ours = protection.branch, [check for check in protection.checks if check.name == OUR_CHECK]
    required = protection.required()
    found = {
        True: f"{branch} requires the status check `{OUR_CHECK}`",
        False: f"{branch} does not require the status check `{OUR_CHECK}`"
        + (f", only {few([check.name for check in protection.checks])}" if protection.checks else ""),
        None: _unread(protection),
    }
    yield Requirement(
        "required check",
        required,
        found[required],
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
        ("pull requests", protection.pull_request, "changes reach {} by pull requests alone"),
        "whoever may push can change a runbook, its rubric or its policy without anybody seeing it",
        "Require a pull request before merging",
    )
    most = max((each.policy.approvals for each in declared if each.policy.merge == "review"), default=0)
    if most:
        yield _approvals(protection, most)
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


def _approvals(protection: Protection, most: int) -> Requirement:
    found = protection.approvals
    told = (
        _unread(protection)
        if found is None
        else f"{protection.branch} requires {found} approval(s), and a policy asks for {most}"
    )
    holds = None if found is None or (found < most and protection.unread) else found >= most
    return Requirement(
        "approvals",
        holds,
        told,
        "a change that the policy sends to review can be merged before enough people agreed",
        _rules(protection.branch, f"Require a pull request before merging > Required approvals: {most}"),
    )


def _owners(declared: Sequence[Declared], enforced: Enforced) -> Iterator[Requirement]:
    protection = enforced.protection
    asked = protection.code_owners
    yield _switch(
        protection,
        ("code owners' review", asked, "a change to what somebody owns needs that owner's approval"),
        "rubric and policy can be loosened with the approval of anybody, and later runs go by them",
        "Require review from Code Owners",
    )
    place = next((path for path in PLACES if path in enforced.codeowners), None)
    if place is None:
        nothing = "there is no CODEOWNERS on the default branch"
        yield Requirement(
            "CODEOWNERS",
            False,
            f"{nothing}, so code owners' review asks nobody" if asked else nothing,
            "nobody must agree when rubric, policy or labels change, whatever the protection demands",
            f"add {PLACES[0]} with the lines that `runbookopt init` writes",
        )
        return
    yield _owned(place, [*(file for each in declared for file in each.files), WORKFLOWS, place], enforced)
    yield _known_owners(place, enforced.switches)


def _owned(place: str, files: Sequence[str], enforced: Enforced) -> Requirement:
    lines = read_owners(enforced.codeowners[place])
    unowned = [file for file in files if not owners_of(lines, file)]
    return Requirement(
        "CODEOWNERS",
        not unowned,
        f"{place} owns no {few(unowned)}"
        if unowned
        else f"{place} owns rubrics, policies, labels and itself",
        "these decide what is merged later, and can be changed without an owner's approval",
        f"in {place}, below all other lines, since the last match counts: {_lines(unowned)}",
    )


def _lines(unowned: Sequence[str]) -> str:
    return "; ".join(f"/{file} @OWNER" for file in unowned[:5]) + ("; ..." if len(unowned) > 5 else "")  # noqa: PLR2004 - as many as `_few` names


def _known_owners(place: str, here: RepositorySwitches) -> Requirement:
    refused = here.owners_refused
    found = {
        True: f"GitHub accepts every owner in {place}",
        False: f"GitHub refuses: {few(refused or ())}",
        None: f"whether GitHub accepts the owners in {place} is not shown to this token",
    }
    holds = None if refused is None else not refused
    return Requirement(
        "owners exist",
        holds,
        found[holds],
        "a line with an owner who does not exist or may not write protects nothing",
        f"correct the owners in {place}: people or visible teams with write access; apps cannot own",
    )


def _passing_by(enforced: Enforced) -> Iterator[Requirement]:
    protection, here = enforced.protection, enforced.switches
    known = protection.bypass_known
    named = f"may pass by what protects {protection.branch}: {few(known)}"
    holds = False if known else None if protection.bypass is None else True
    found = {
        True: f"nobody may pass by what protects {protection.branch}"
        if protection.sources
        else f"nothing protects {protection.branch}, so there is nothing to pass by",
        False: f"{named}{'; whether others may is not shown' if protection.bypass is None else ''}",
        None: f"who may pass by what protects {protection.branch} is not shown to this token",
    }
    yield Requirement(
        "bypass",
        holds,
        found[holds],
        "who may pass by merges without check and review, by a slip or with a stolen token",
        "empty the Bypass list of the ruleset, and switch on Do not allow bypassing the above settings in"
        " classic protection; to see the list, run this with an administrator's token",
    )
    may = here.actions_may_approve
    told = {
        True: "GitHub Actions may approve pull requests",
        False: "GitHub Actions may not approve pull requests",
        None: "whether GitHub Actions may approve pull requests is not shown to this token",
    }
    yield Requirement(
        "Actions approve",
        None if may is None else not may,
        told[may],
        "a workflow that somebody adds on a branch approves a pull request in place of a person",
        "Settings > Actions > General > switch off Allow GitHub Actions to create and approve pull requests,"
        " and propose with a GitHub App",
    )


def _switch(
    protection: Protection, how: tuple[str, bool | None, str], danger: str, setting: str
) -> Requirement:
    """Give the demand that one switch is on; `how` is its name, how it stands, and what it means."""
    name, holds, meaning = how
    told = meaning.format(protection.branch)
    found = {True: told, False: f"not so: {told}", None: _unread(protection)}
    return Requirement(name, holds, found[holds], danger, _rules(protection.branch, setting))


def _unread(protection: Protection) -> str:
    return "; ".join(protection.unread) or f"what protects {protection.branch} is not known"


def _rules(branch: str, setting: str) -> str:
    return f"Settings > Rules > Rulesets > the ruleset for {branch} > {setting}"
