"""Explanation of a policy, a bundle or a pull request: every reason for and against.

Nothing is written: a look that the ledger does not have is taken as if it came next.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from runbookopt.documents.markdown import front_matter
from runbookopt.documents.runbook import bump_version
from runbookopt.errors import Refused
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.protection import against_merging_by_itself
from runbookopt.forge.protocol import Forge
from runbookopt.guard.kinds import Introduced
from runbookopt.landing.bundle import Bundle, changed_lines
from runbookopt.landing.forms import before_a_run, formless_in
from runbookopt.landing.ledger.identity import identity_of
from runbookopt.landing.merge import judge
from runbookopt.landing.propose import branch_of, hearing_of_open
from runbookopt.landing.rate_limits import limited
from runbookopt.landing.rederive import (
    Stale,
    guarded,
    must_be_fresh,
    near_repeats_in,
    rederive,
    uncalibrated_in,
)
from runbookopt.landing.sources.trust import trust_in
from runbookopt.project.policy import Facts, Reason, decide
from runbookopt.project.project import read_project
from runbookopt.proof.binding import must_be_bound
from runbookopt.proof.ledger import Ledger

_BEFORE_A_RUN = frozenset(
    {"declared", "merge", "calibrated", "coverage_at_least", "trust_at_least", "near_repeats"}
)
_OF_A_TEXT = _BEFORE_A_RUN | {"changed_lines_at_most", "growth_at_most", "introduces_none_of", "forms"}


class Explained(Struct, frozen=True):
    """Which way something goes and why; `merge` is "none" where it is not, or not yet, to be merged.

    `granted` is whether a pull request may be merged now, None where there is none.
    """

    about: str
    merge: Literal["auto", "review", "none"]
    reasons: tuple[Reason, ...]
    granted: bool | None = None


class ExplainedText(Struct, frozen=True):
    """What guard and policy say of a text; `forms` are changed lines that have no allowed form.

    `merge` is where it would go if the proof accepted it: "none" where the guard stops it.
    """

    violations: tuple[str, ...]
    introduces: dict[Introduced, tuple[str, ...]]
    forms: tuple[str, ...]
    merge: Literal["auto", "review", "none"]
    reasons: tuple[Reason, ...]


def explain_text(repository: Repository, name: str, text: str, now: datetime | None = None) -> ExplainedText:
    """Explain what would be said of another text of a runbook, if the proof accepted it.

    The text is as a file would hold it, with or without the next version. What only a run can tell (the gain
    and its sources, how many tasks pass today, the ledger) counts as if it held. Raises RunbookoptError where
    there is no such runbook, MalformedFile, GitFailed.
    """
    ledger = Ledger.open(repository, push=False, fetch=repository.has_origin())
    base = repository.base()
    names = identity_of(repository, ledger, name, repository.revision(base), base).names
    project = read_project(repository.revision(base), name, burnt=ledger.burnt(*names))
    before = project.runbook.text
    is_next = front_matter(text) == front_matter(bump_version(before))
    bumped = text if is_next else bump_version(text)
    tree = repository.write_tree({project.path: bumped.encode()}, onto=base)
    _, report = guarded(repository, project, (base, tree), bumped)
    facts = Facts(
        None,
        changed_lines=sum(1 for _ in changed_lines(repository.unified_diff(base, tree, project.path))),
        growth=(len(text) - len(before)) / len(before) if before else None,
        introduced=report.introduces,
        formless=formless_in(project, text),
        uncalibrated=uncalibrated_in(project, now),
        coverage=project.coverage(now).volume,
        trust=trust_in(project),
        near_repeats=near_repeats_in(project),
    )
    reasons = tuple(
        reason for reason in decide(project.policy, facts).reasons if reason.condition in _OF_A_TEXT
    )
    way: Literal["auto", "review"] = "auto" if all(reason.holds for reason in reasons) else "review"
    broken = report.violations or (() if text != before else ("nothing is changed",))
    return ExplainedText(broken, report.introduces, facts.formless or (), "none" if broken else way, reasons)


def explain_runbook(repository: Repository, forge: Forge, name: str, now: datetime) -> Explained:
    """Explain the open pull request of a runbook, else what its policy would ask of the next change.

    Raises RunbookoptError where there is no such runbook, MalformedFile, GitFailed.
    """
    ledger = Ledger.open(repository, push=False, fetch=repository.has_origin())
    revision = repository.revision(repository.base())
    names = identity_of(repository, ledger, name, revision, revision.commit).names
    project = read_project(revision, name, burnt=ledger.burnt(*names))
    pulls = forge.pull_requests(branch_of(name))
    is_open = next((pull for pull in pulls if pull.state == "open"), None)
    if is_open is not None:
        return explain_pull_request(repository, forge, is_open.number, now)
    facts = Facts(
        None,
        uncalibrated=uncalibrated_in(project, now),
        coverage=project.coverage(now).volume,
        trust=trust_in(project),
        near_repeats=near_repeats_in(project),
    )
    settled = (each for each in decide(project.policy, facts).reasons if each.condition in _BEFORE_A_RUN)
    forms = before_a_run(project)
    audit = Reason(
        "audit_pairs", None, "the next change waits for a reviewer: runbookopt audit, once it is proposed"
    )
    audits = project.policy.audit_pairs and project.rubric.judge_decides
    unknown = Reason("accepted", None, "what the next change gains and brings in is not known before a run")
    reasons = (
        *settled,
        *([forms] if forms else []),
        *([audit] if audits else []),
        unknown,
        *limited(project.policy.limits, pulls, now),
    )
    return Explained(f"{name}, of which no change is proposed", "none", reasons)


def explain_bundle(repository: Repository, forge: Forge, bundle: Bundle, now: datetime) -> Explained:
    """Explain what `propose` would make of a bundle."""
    about = f"the bundle of run {bundle.run} of {bundle.runbook}"
    ledger = Ledger.open(repository, push=False, fetch=True)
    try:
        hear = hearing_of_open(forge, bundle)
        derived = rederive(repository, ledger, bundle, register=False, now=now, hear=hear)
        must_be_bound(repository, ledger, repository.base(), derived.checked.identity.names)
        must_be_fresh(repository, derived.checked, repository.base())
    except (Refused, Stale) as error:
        return Explained(about, "none", (Reason("agreement", False, str(error)),))
    violations = [Reason("guard", False, each) for each in derived.checked.change.guard.violations]
    pulls = forge.pull_requests(branch_of(bundle.runbook))
    is_open = any(pull.state == "open" for pull in pulls)
    room = () if is_open else limited(derived.checked.project.policy.limits, pulls, now)
    merge: Literal["auto", "review", "none"] = "none" if violations else derived.decision.merge
    reasons = (*violations, *derived.decision.reasons, *room, *_protected(forge, repository, merge))
    return Explained(about, merge, reasons)


def explain_pull_request(
    repository: Repository, forge: Forge, number: int, now: datetime | None = None
) -> Explained:
    """Explain whether an open pull request may be merged now. Raises RunbookoptError where it is not open."""
    about = f"pull request {number}"
    try:
        judged = judge(repository, forge, number, now)
    except (Refused, Stale) as error:
        return Explained(about, "none", (Reason("agreement", False, str(error)),), granted=False)
    merge = judged.decision.merge
    reasons = (*judged.permission.reasons, *_protected(forge, repository, merge))
    return Explained(about, merge, reasons, judged.permission.granted)


def _protected(forge: Forge, repository: Repository, merge: str) -> tuple[Reason, ...]:
    """Whether the forge would hold what merges by itself back until it may."""
    if merge != "auto" or not forge.switches().enforces:
        return ()
    protection = forge.protection(repository.origin.default_branch())
    holds = None if protection.unread else False
    against = tuple(Reason("protection", holds, text) for text in against_merging_by_itself(protection))
    held = f"{protection.branch} requires our check and dismisses stale approvals"
    return against or (Reason("protection", True, held),)
