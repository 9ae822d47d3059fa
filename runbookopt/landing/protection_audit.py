"""Audit of a forge's protection: what the declared policies need it to enforce, and what it does (pure)."""

from collections.abc import Iterator, Mapping, Sequence

from runbookopt.forge.protection import OUR_CHECK, Protection
from runbookopt.landing.approvals import Members
from runbookopt.landing.requirements import Declared, Enforced, Requirement, few
from runbookopt.project.codeowners import PLACES, owners_of, read_owners
from runbookopt.project.layout import NAMES, ROOT

WORKFLOWS = ".github/workflows/verify-runbooks.yml"
"""The workflow of our check: who may change it unseen can have it say anything."""

_SHARED = (
    ": GitHub Actions, as which any workflow of the repository can report it; what `verify --post` writes as"
    " an app of its own, no workflow can"
)

Condition = tuple[str, bool | None, Mapping[str, object]]
"""An entry of requirements.toml, whether it holds, and words for its sentences besides those for all."""


def requirements(declared: Sequence[Declared], enforced: Enforced) -> tuple[Requirement, ...]:
    """Everything that should hold, in the order in which to set it up."""
    branch = enforced.protection.branch
    for_all = {
        "branch": branch,
        "check": OUR_CHECK,
        "rules": f"Settings > Rules > Rulesets > the ruleset for {branch}",
        "unread": _unread(enforced.protection),
        "who": enforced.switches.who or "whoever asks",
    }
    conditions = _enforced if enforced.switches.enforces else _unenforced
    return tuple(
        Requirement.of(entry, holds, {**for_all, **words})
        for entry, holds, words in conditions(declared, enforced)
    )


def _enforced(declared: Sequence[Declared], enforced: Enforced) -> Iterator[Condition]:
    yield _policies(declared)
    yield from _trust(declared)
    yield from _checks(enforced.protection)
    yield from _reviews(declared, enforced.protection)
    yield from _owners(declared, enforced)
    yield _bypass(enforced.protection)
    yield "Actions approve", _opposite(enforced.switches.actions_may_approve), {}
    if not (enforced.switches.who or "").endswith("[bot]"):  # what an installation may, GitHub does not show
        yield "token pushes", enforced.switches.may_push, {}
        yield "token is modest", _opposite(enforced.switches.may_administrate), {}
    yield "checks start", _opposite(enforced.switches.actions), {}
    yield from _teams(declared, enforced.members)
    yield from _by_itself(declared, enforced)
    yield _methods(declared, enforced)


def _unenforced(declared: Sequence[Declared], _: Enforced) -> Iterator[Condition]:
    yield _policies(declared)
    yield from _trust(declared)
    yield "protections", None, {}
    others = [each.runbook for each in declared if each.policy.method != "squash"]
    if others:
        yield "squash alone", False, {"runbooks": few(others)}


def _unread(protection: Protection) -> str:
    return "; ".join(protection.unread) or f"what protects {protection.branch} is not known"


def _opposite(known: bool | None) -> bool | None:
    return None if known is None else not known


def _policies(declared: Sequence[Declared]) -> Condition:
    without = [each.runbook for each in declared if not each.policy.declared]
    return "policies", not without, {"runbooks": few(without)}


def _trust(declared: Sequence[Declared]) -> Iterator[Condition]:
    """Whether policies trust the evidence as much as they ask for, where something may merge by itself."""
    names = [each.runbook for each in declared if each.policy.merge == "auto"]
    short = [(each.runbook, each.untrusted) for each in declared if each.untrusted is not None]
    if names:
        found = "; ".join(f"{name}: {lacking.text}" for name, lacking in short)
        advice = "; ".join(f"{name}: {lacking.advice}" for name, lacking in short)
        yield "trust", not short, {"runbooks": few(names), "found": found, "advice": advice}


def _checks(protection: Protection) -> Iterator[Condition]:
    names = few([check.name for check in protection.checks])
    required = protection.required()
    yield "required check", required, {"others": f", only {names}" if names else ""}
    if required:
        apps = [check.app for check in protection.checks if check.name == OUR_CHECK]
        shared = _SHARED if protection.shared_source else ""
        yield "source of the check", None not in apps, {"shared": shared}


def _reviews(declared: Sequence[Declared], protection: Protection) -> Iterator[Condition]:
    yield "pull requests", protection.pull_request, {}
    most = max((each.policy.approvals for each in declared if each.policy.merge == "review"), default=0)
    approvals, stated = protection.approvals, _unread(protection)
    if most:
        enough = None
        if approvals is not None:
            stated = f"{protection.branch} requires {approvals} approval(s), and a policy asks for {most}"
            enough = approvals >= most or (None if protection.unread else False)
        yield "approvals", enough, {"stated": stated, "most": most}
    yield "stale approvals", protection.dismisses_stale, {}
    yield "last push", protection.last_push, {}


def _owners(declared: Sequence[Declared], enforced: Enforced) -> Iterator[Condition]:
    review, refused = enforced.protection.code_owners, enforced.switches.owners_refused
    yield "code owners' review", review, {}
    place = next((path for path in PLACES if path in enforced.codeowners), None)
    if place is None:
        asking = ", so code owners' review asks nobody" if review else ""
        yield "no CODEOWNERS", False, {"place": PLACES[0], "asking": asking}
        return
    lines = read_owners(enforced.codeowners[place])
    files = [*(file for each in declared for file in each.files), WORKFLOWS, place]
    unowned = [file for file in files if not owners_of(lines, file)]
    first = [f"/{file} @OWNER" for file in unowned[:5]]  # as many as `few` names
    missing = "; ".join([*first, "..."] if unowned[5:] else first)
    yield "CODEOWNERS", not unowned, {"place": place, "files": few(unowned), "lines": missing}
    accepted = None if refused is None else not refused
    yield "owners exist", accepted, {"place": place, "refused": few(refused or ())}


def _bypass(protection: Protection) -> Condition:
    known, branch = protection.bypass_known, protection.branch
    nobody = f"nobody may pass by what protects {branch}"
    nothing = f"nothing protects {branch}, so there is nothing to pass by"
    others = "; whether others may is not shown" if protection.bypass is None else ""
    holds = False if known else None if protection.bypass is None else True
    words = {"nobody": nobody if protection.sources else nothing, "some": few(known), "others": others}
    return "bypass", holds, words


def _teams(declared: Sequence[Declared], members: Members) -> Iterator[Condition]:
    teams = list(dict.fromkeys(team for each in declared for team in each.policy.teams))
    unknown = [team for team in teams if members.get(team) is None]
    empty = [team for team in teams if members.get(team) == ()]
    if teams:
        words = {"teams": few(teams), "empty": few(empty), "unknown": few(unknown)}
        yield "teams", None if unknown else not empty, words


def _by_itself(declared: Sequence[Declared], enforced: Enforced) -> Iterator[Condition]:
    protection = enforced.protection
    names = [each.runbook for each in declared if each.policy.merge == "auto"]
    if not names:
        return
    words = {"runbooks": few(names), "approvals": protection.approvals}
    yield "auto-merge", enforced.switches.auto_merge_allowed, words
    if protection.approvals:
        yield "auto-merge alone", False, words
    elif protection.approvals == 0:
        yield "approvals in review", protection.required(), words
    if protection.merge_queue:
        yield "merge queue", False, {}
    if protection.others:
        yield "nothing else holds", False, words | {"others": "; ".join(protection.others)}
    place = next((path for path in PLACES if path in enforced.codeowners), None)
    if place is not None and protection.code_owners:
        lines = read_owners(enforced.codeowners[place])
        pages = {
            each.runbook: owners_of(lines, each.page or f"{ROOT}/{each.runbook}/{NAMES[0]}")
            for each in declared
            if each.policy.merge == "auto"
        }
        owned = [f"{name} ({' '.join(owners)})" for name, owners in pages.items() if owners]
        yield "runbooks without owners", not owned, words | {"place": place, "owned": few(owned)}


def _methods(declared: Sequence[Declared], enforced: Enforced) -> Condition:
    allowed = [enforced.protection.methods, enforced.switches.methods]
    refused = [
        f"{each.runbook} is merged by {each.policy.method}"
        for each in declared
        if any(methods is not None and each.policy.method not in methods for methods in allowed)
    ]
    holds = False if refused else None if enforced.switches.methods is None else True
    return "merge method", holds, {"merged": "; ".join(refused[:3])}
