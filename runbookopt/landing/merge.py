"""Merge of a pull request: guard, proof and policy derived anew say whether, and then it is made."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.errors import Refused, RunbookoptError
from runbookopt.forge.git.origin import attempts
from runbookopt.forge.git.output import GitFailed, OriginUnreachable, PushRejected
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.protocol import CRITERIA, Forge, PullRequest
from runbookopt.landing.approvals import Permission, may_merge
from runbookopt.landing.ledger.audits import Hear, Heard
from runbookopt.landing.propose import branch_of, runbook_of
from runbookopt.landing.rederive import (
    Checked,
    Rederived,
    guarded,
    held_out_moved,
    must_be_fresh,
    must_be_recorded,
    rederive,
    text_at,
)
from runbookopt.landing.report import read_trailers, squash_message, without_gain
from runbookopt.project.policy import Decision, Reason
from runbookopt.proof.binding import must_be_bound
from runbookopt.proof.ledger import Ledger, LedgerBroken
from runbookopt.proof.records import note_pulls


class Judged(Struct, frozen=True):
    """A pull request and what git says of it at `tip` of the default branch.

    `message` is what bundle and proof say of it, `edited` how its text differs from what was proved.
    """

    pull_request: PullRequest
    tip: str
    decision: Decision
    permission: Permission
    message: str
    edited: str | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """What keeps it from being merged now: why it goes to review at all does not."""
        if self.permission.granted:
            return ()
        why_review = self.decision.reasons if self.decision.merge == "review" else ()
        against = (reason for reason in self.permission.reasons if reason not in why_review)
        return tuple(reason.text for reason in against if not reason.holds)


class Attempted(Struct, frozen=True):
    """What became of one pull request: the commit that it was merged as, else why it was left."""

    number: int
    runbook: str
    merged: str | None
    reasons: tuple[str, ...]


class Head(Struct, frozen=True):
    """A commit that would be merged, and the one of its history that cites a bundle; the branch, if known."""

    commit: str
    cites: str
    branch: str | None = None


class Derived(Rederived, frozen=True):
    """What git says of a head that is, or was, the change of a bundle; `edited` as in Judged."""

    edited: str | None


def judge(repository: Repository, forge: Forge, number: int, now: datetime | None = None) -> Judged:
    """Derive anew from git whether a pull request may be merged `now`.

    Raises what `derive` raises, and RunbookoptError where it is not open.
    """
    pull = forge.get(number)
    if pull.state != "open":
        raise RunbookoptError(f"pull request {number} is {pull.state}")
    tip = repository.base()
    ledger = Ledger.open(repository, push=True)
    try:
        head = Head(pull.head, pull.proposed, pull.branch)
        derived = derive(repository, ledger, head, tip, now, hearing(forge, pull))
    except Refused as error:
        raise Refused(f"pull request {number}: {error}") from error
    permission = allowed(forge, derived, pull)
    bundle, proof = derived.checked.bundle, derived.proof
    if proof is None:
        raise Refused(f"{bundle.runbook}: nobody looked at the held-out tasks, so nothing is proved")
    message = squash_message(bundle, proof.comparison, ledger.at_origin)
    return Judged(pull, tip, derived.decision, permission, message, derived.edited)


def hearing(forge: Forge, pull: PullRequest) -> Hear:
    """How to hear what people said of a pull request, as the forge tells."""
    return lambda policy: Heard(pull, {team: forge.members(team) for team in policy.teams})


def derive(
    repository: Repository,
    ledger: Ledger,
    head: Head,
    tip: str,
    now: datetime | None = None,
    hear: Hear | None = None,
) -> Derived:
    """Derive anew from git what is to become of a head, as if it were merged `now` onto `tip`.

    `hear` is as in `rederive`.

    Raises Refused where its bundle does not agree with git or the guard objects to what is there, Stale
    where runbook, rubric or policy of the default branch are not those of the bundle any more, and Unbound
    where the ledger lacks what the default branch rests on.
    """
    trailers = read_trailers(repository.commit(head.cites).message)
    if trailers is None:
        raise Refused(f"commit {head.cites[:12]} cites no bundle")
    try:
        bundle = must_be_recorded(ledger, trailers.bundle)
    except LedgerBroken:  # all of it may be gone, and that is what has to be said
        must_be_bound(repository, ledger, tip, ("NAME", *ledger.names()))
        raise
    found = rederive(repository, ledger, bundle, now=now, hear=hear)
    checked, decision = found.checked, found.decision
    must_be_bound(repository, ledger, tip, checked.identity.names)
    must_be_fresh(repository, checked, tip)
    edited = _edited(repository, head, checked)
    report = checked.change.guard
    if edited:  # then what is on the branch is not what the bundle holds
        since = repository.merge_base(tip, head.commit) or tip
        text = text_at(repository.revision(head.commit), checked.project.path)
        _, report = guarded(repository, checked.project, (since, head.commit), text)
    if report.violations:
        listed = "".join(f"\n- {violation}" for violation in report.violations)
        raise Refused(f"the guard stops this change:{listed}")
    moved = held_out_moved(repository, ledger, checked, tip)
    against = [Reason("held_out", False, f"on the default branch by now: {each}") for each in moved]
    if edited:
        against.append(Reason("head", False, edited))
    if against and decision.merge != "none":  # to review goes what is not, or not any more, what was proved
        decision = Decision("review", (*decision.reasons, *against))
    return Derived(checked, found.proof, decision, edited)


def _edited(repository: Repository, head: Head, checked: Checked) -> str | None:
    """How a branch differs from the one commit that its bundle makes; None where it does not."""
    commit, bundle = repository.commit(head.commit), checked.bundle
    if head.branch not in {None, branch_of(bundle.runbook)}:
        return f"branch {head.branch} is not that of {bundle.runbook}"
    if head.commit != head.cites:
        where = head.branch or "the branch"
        return f"somebody else pushed to {where}: {head.commit[:12]} is not what was evaluated"
    if commit.parents != (bundle.base,) or commit.tree != checked.change.tree:
        return f"commit {head.commit[:12]} is not the change of its bundle"
    return None


def allowed(forge: Forge, derived: Derived, pull: PullRequest) -> Permission:
    """Whether the policy lets a derived change be merged, by what people did with its pull request."""
    project, policy = derived.checked.project, derived.checked.project.policy
    members = {team: forge.members(team) for team in policy.teams}
    permission = may_merge(policy, derived.decision, pull, members)
    if permission.granted or policy.who:
        return permission
    again = f"run optimize-runbook {derived.checked.bundle.runbook} again"
    advice = f"declare reviewers in {project.files[2]} on the default branch, then {again}"
    return Permission(False, (*permission.reasons, Reason("reviewers", False, advice)))


def merge(repository: Repository, forge: Forge, number: int, now: datetime | None = None) -> str:
    """Merge a pull request if the policy allows, and return the commit.

    Raises Refused with all that is missing where it does not, MergeConflict, and what `judge` raises.
    """
    for attempt in attempts(PushRejected):
        with attempt:
            judged = judge(repository, forge, number, now)
            if not judged.permission.granted:
                listed = "".join(f"\n- {reason}" for reason in judged.missing)
                raise Refused(f"pull request {number} may not be merged:{listed}")
            merged = _merge(repository, forge, judged)
    return merged


def merge_automatic(repository: Repository, forge: Forge, now: datetime | None = None) -> Iterator[Attempted]:
    """Merge every open pull request that the policy lets merge without a person, one after the other.

    What cannot be merged is left, with the reasons. Raises LedgerBroken, OriginUnreachable.
    """
    for pull in forge.pull_requests():
        if pull.state == "open" and not pull.branch.startswith(CRITERIA):  # those are people's to merge
            name = runbook_of(pull.branch)
            try:
                merged, reasons = _merge_if_automatic(repository, forge, pull.number, now)
            except (LedgerBroken, OriginUnreachable):
                raise
            except RunbookoptError as error:
                merged, reasons = None, (str(error),)
            yield Attempted(pull.number, name, merged, reasons)


def _merge_if_automatic(
    repository: Repository, forge: Forge, number: int, now: datetime | None
) -> tuple[str | None, tuple[str, ...]]:
    for attempt in attempts(PushRejected):
        with attempt:
            judged = judge(repository, forge, number, now)
            merged = None
            if judged.decision.merge == "auto" and judged.permission.granted:
                merged = _merge(repository, forge, judged)
    if merged is not None:
        return merged, tuple(reason.text for reason in judged.decision.reasons)
    if judged.permission.granted:
        return None, (f"approved by people, so people merge it: runbookopt pulls merge {number}",)
    return None, tuple(reason.text for reason in judged.permission.reasons if not reason.holds)


def _merge(repository: Repository, forge: Forge, judged: Judged) -> str:
    """Merge with the message that the bundle and its proof make, and the number.

    What the forge or the branch says of itself is not repeated: anybody who can push could have written it.
    Nothing is claimed of a text that people edited. Whoever else committed on the branch is named as a
    co-author, as forges do.
    """
    pull, message = judged.pull_request, judged.message.strip()
    title, _, rest = message.partition("\n")
    body, _, trailers = rest.strip().rpartition("\n\n")
    if judged.edited:
        title = f"{runbook_of(pull.branch)}: proposed by runbookopt and edited by people"
        body = f"This text differs from what was proved: {judged.edited}. No gain is claimed for it."
        trailers = without_gain(trailers)
    commits = [repository.commit(sha) for sha in repository.history(pull.head, without=judged.tip)]
    others = dict.fromkeys(c.author for c in commits if c.author != commits[0].author)
    credits_ = "".join(f"\nCo-authored-by: {person.name} <{person.email}>" for person in others)
    paragraphs = (f"{title} (#{pull.number})", body.strip(), f"{trailers}{credits_}")
    text = "\n\n".join(paragraph for paragraph in paragraphs if paragraph) + "\n"
    merged = forge.merge(pull.number, text, head=pull.head, onto=judged.tip)
    _ended(repository, forge, replace(pull, state="merged"))
    return merged


def close(repository: Repository, forge: Forge, number: int) -> PullRequest:
    """Close a pull request without merging it. Raises RunbookoptError where it is not open."""
    pull = forge.close(number)
    _ended(repository, forge, replace(pull, state="closed"))
    return pull


def _ended(repository: Repository, forge: Forge, pull: PullRequest) -> None:
    """Write into the ledger how a pull request ended, if that may be written: it has ended all the same."""
    if not forge.in_git:
        with suppress(GitFailed):
            note_pulls(Ledger.open(repository, push=True), runbook_of(pull.branch), [pull])
