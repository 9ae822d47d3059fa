"""Explanation of a policy, a bundle or a pull request: every reason for and against.

Nothing is written: a look that the ledger does not have is taken as if it came next.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from runbookopt.errors import Refused
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.protection import against_merging_by_itself
from runbookopt.forge.protocol import Forge
from runbookopt.landing.bundle import Bundle
from runbookopt.landing.ledger.identity import identity_of
from runbookopt.landing.merge import judge
from runbookopt.landing.propose import branch_of
from runbookopt.landing.rate_limits import limited
from runbookopt.landing.rederive import (
    Stale,
    must_be_fresh,
    near_repeats_in,
    rederive,
    trust_in,
    uncalibrated_in,
)
from runbookopt.project.policy import Facts, Reason, decide
from runbookopt.project.project import read_project
from runbookopt.proof.binding import must_be_bound
from runbookopt.proof.ledger import Ledger

_BEFORE_A_RUN = frozenset({"declared", "merge", "calibrated", "trust_at_least", "near_repeats"})


class Explained(Struct, frozen=True):
    """Which way something goes and why; `merge` is "none" where it is not, or not yet, to be merged.

    `granted` is whether a pull request may be merged now, None where there is none.
    """

    about: str
    merge: Literal["auto", "review", "none"]
    reasons: tuple[Reason, ...]
    granted: bool | None = None


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
        return explain_pull_request(repository, forge, is_open.number)
    facts = Facts(
        None,
        uncalibrated=uncalibrated_in(project.rubric),
        trust=trust_in(project),
        near_repeats=near_repeats_in(project),
    )
    settled = (each for each in decide(project.policy, facts).reasons if each.condition in _BEFORE_A_RUN)
    unknown = Reason("accepted", None, "what the next change gains and brings in is not known before a run")
    reasons = (*settled, unknown, *limited(project.policy.limits, pulls, now))
    return Explained(f"{name}, of which no change is proposed", "none", reasons)


def explain_bundle(repository: Repository, forge: Forge, bundle: Bundle, now: datetime) -> Explained:
    """Explain what `propose` would make of a bundle."""
    about = f"the bundle of run {bundle.run} of {bundle.runbook}"
    ledger = Ledger.open(repository, push=False, fetch=True)
    try:
        derived = rederive(repository, ledger, bundle, register=False)
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


def explain_pull_request(repository: Repository, forge: Forge, number: int) -> Explained:
    """Explain whether an open pull request may be merged now. Raises RunbookoptError where it is not open."""
    about = f"pull request {number}"
    try:
        judged = judge(repository, forge, number)
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
