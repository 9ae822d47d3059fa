"""Whether a pull request may be merged now: guard, proof and policy derived anew, and then the merge."""

from collections.abc import Iterator

from msgspec import Struct

from runbookopt.documents.runbook import reparse
from runbookopt.errors import Refused, RunbookoptError
from runbookopt.forge.git.origin import attempts
from runbookopt.forge.git.output import OriginUnreachable, PushRejected
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.protocol import Forge, PullRequest
from runbookopt.guard.guard import guard
from runbookopt.landing.approvals import Permission, may_merge, reviews_of
from runbookopt.landing.propose import branch_of, runbook_of
from runbookopt.landing.rederive import (
    Checked,
    Proof,
    check,
    decided,
    file_at,
    held_out_now,
    must_be_fresh,
    prove,
    recorded_bundle,
)
from runbookopt.landing.report import commit_message, read_trailers, without_gain
from runbookopt.landing.report import title as title_of
from runbookopt.project.policy import Decision, Reason
from runbookopt.proof.ledger import Ledger, LedgerBroken


class Judged(Struct, frozen=True):
    """A pull request and what git says of it at `tip` of the default branch.

    `message` is what bundle and proof say of it, `edited` how its text differs from what was proved, `moved`
    what became of the tasks that were looked at; either of these keeps it from merging without a person.
    """

    pull_request: PullRequest
    tip: str
    decision: Decision
    permission: Permission
    message: str
    edited: str | None = None
    moved: tuple[str, ...] = ()

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


class Derived(Struct, frozen=True):
    """What git says of a head that is, or was, the change of a bundle; `edited` and `moved` as in Judged."""

    checked: Checked
    proof: Proof | None
    decision: Decision
    edited: str | None
    moved: tuple[str, ...]


def judge(repository: Repository, forge: Forge, number: int) -> Judged:
    """Derive anew from git whether a pull request may be merged.

    Raises what `derive` raises, and RunbookoptError where it is not open.
    """
    pull = forge.get(number)
    if pull.state != "open":
        raise RunbookoptError(f"pull request {number} is {pull.state}")
    tip = repository.base()
    ledger = Ledger.open(repository, push=True)
    try:
        derived = derive(repository, ledger, Head(pull.head, pull.proposed, pull.branch), tip)
    except Refused as error:
        raise Refused(f"pull request {number}: {error}") from error
    permission = allowed(forge, derived, pull)
    message = _claim(derived.checked, derived.proof)
    return Judged(pull, tip, derived.decision, permission, message, derived.edited, derived.moved)


def derive(repository: Repository, ledger: Ledger, head: Head, tip: str) -> Derived:
    """Derive anew from git what is to become of a head, as if it were merged onto `tip`.

    Raises Refused where its bundle does not agree with git or the guard objects to what is there, and Stale
    where runbook, rubric or policy of the default branch are not those of the bundle any more.
    """
    checked = check(repository, ledger, recorded_bundle(ledger, _bundle_of(repository, head.cites)))
    proof = prove(repository, ledger, checked)
    must_be_fresh(repository, checked, tip)
    edited = _edited(repository, head, checked)
    violations = _violations(repository, head, checked, tip) if edited else checked.change.guard.violations
    if violations:
        told = "".join(f"\n- {violation}" for violation in violations)
        raise Refused(f"the guard stops this change:{told}")
    moved = held_out_now(repository, ledger, checked, tip).moved
    decision = _asking_people(decided(ledger, checked, proof), edited, moved)
    return Derived(checked, proof, decision, edited, moved)


def allowed(forge: Forge, derived: Derived, pull: PullRequest) -> Permission:
    """Say whether the policy lets a derived change be merged, by what people did with its pull request."""
    policy = derived.checked.project.policy
    members = {team: forge.members(team) for team in policy.teams}
    return _with_advice(may_merge(policy, derived.decision, reviews_of(pull, members)), derived.checked)


def merge(repository: Repository, forge: Forge, number: int) -> str:
    """Merge a pull request if the policy allows, and give the commit.

    Raises Refused with all that is missing where it does not, MergeConflict, and what `judge` raises.
    """
    for attempt in attempts(PushRejected):
        with attempt:
            judged = judge(repository, forge, number)
            if not judged.permission.granted:
                told = "".join(f"\n- {reason}" for reason in judged.missing)
                raise Refused(f"pull request {number} may not be merged:{told}")
            merged = _merge(repository, forge, judged)
    return merged


def merge_automatic(repository: Repository, forge: Forge) -> Iterator[Attempted]:
    """Merge every open pull request that the policy lets merge without a person, one after the other.

    What cannot be merged is left, with the reasons. Raises LedgerBroken, OriginUnreachable.
    """
    for pull in forge.pull_requests():
        if pull.state == "open":
            name = runbook_of(pull.branch)
            try:
                merged, reasons = _merge_if_automatic(repository, forge, pull.number)
            except (LedgerBroken, OriginUnreachable):
                raise
            except RunbookoptError as error:
                merged, reasons = None, (str(error),)
            yield Attempted(pull.number, name, merged, reasons)


def _merge_if_automatic(
    repository: Repository, forge: Forge, number: int
) -> tuple[str | None, tuple[str, ...]]:
    for attempt in attempts(PushRejected):
        with attempt:
            judged = judge(repository, forge, number)
            merged = None
            if judged.decision.merge == "auto" and judged.permission.granted:
                merged = _merge(repository, forge, judged)
    if merged is not None:
        return merged, tuple(reason.text for reason in judged.decision.reasons)
    if judged.permission.granted:
        return None, (f"approved by people, so people merge it: runbookopt pulls merge {number}",)
    return None, tuple(_against(judged.permission))


def _claim(checked: Checked, proof: Proof | None) -> str:
    """Give the title that bundle and proof make, and the rest of our commit's message."""
    if proof is None:
        raise Refused(f"{checked.bundle.runbook}: nobody looked at the held-out tasks, so nothing is proved")
    _, _, rest = commit_message(checked.bundle, proof.comparison).partition("\n")
    return f"{title_of(checked.bundle, proof.comparison)}\n{rest}"


def _bundle_of(repository: Repository, commit: str) -> str:
    """Give the digest of the bundle that the commit which we made cites."""
    trailers = read_trailers(repository.commit(commit).message)
    if trailers is None:
        raise Refused(f"commit {commit[:12]} cites no bundle")
    return trailers.bundle


def _edited(repository: Repository, head: Head, checked: Checked) -> str | None:
    """Say how a branch differs from the one commit that its bundle makes; None where it does not."""
    commit, bundle = repository.commit(head.commit), checked.bundle
    if head.branch not in {None, branch_of(bundle.runbook)}:
        return f"branch {head.branch} is not that of {bundle.runbook}"
    if head.commit != head.cites:
        where = head.branch or "the branch"
        return f"somebody else pushed to {where}: {head.commit[:12]} is not what was evaluated"
    if commit.parents != (bundle.base,) or commit.tree != checked.change.tree:
        return f"commit {head.commit[:12]} is not the change of its bundle"
    return None


def _asking_people(decision: Decision, edited: str | None, moved: tuple[str, ...]) -> Decision:
    """Send to review what is not, or not any more, what was proved."""
    found = [Reason("held_out", False, f"on the default branch by now: {told}") for told in moved]
    if edited:
        found.append(Reason("head", False, edited))
    if not found or decision.merge == "none":
        return decision
    return Decision("review", (*decision.reasons, *found))


def _with_advice(permission: Permission, checked: Checked) -> Permission:
    """Say what to do next where nobody could approve."""
    name, policy = checked.bundle.runbook, checked.project.files[2]
    if permission.granted or checked.project.policy.who:
        return permission
    told = f"declare reviewers in {policy} on the default branch, then run optimize-runbook {name} again"
    return Permission(False, (*permission.reasons, Reason("reviewers", False, told)))


def _violations(repository: Repository, head: Head, checked: Checked, tip: str) -> tuple[str, ...]:
    """Guard what is on the branch, since it is not what the bundle holds."""
    path, before = checked.project.path, checked.change.before
    since = repository.merge_base(tip, head.commit) or tip
    changes = repository.diff(since, head.commit)
    text = (file_at(repository, head.commit, path) or b"").decode(errors="replace")
    try:
        after = reparse(before, text)
    except RunbookoptError:
        return guard(changes, path=path, before=before, after=text).violations
    return guard(changes, path=path, before=before, after=after).violations


def _against(permission: Permission) -> Iterator[str]:
    return (reason.text for reason in permission.reasons if not reason.holds)


def _merge(repository: Repository, forge: Forge, judged: Judged) -> str:
    pull = judged.pull_request
    return forge.merge(pull.number, _message(repository, judged), head=pull.head, onto=judged.tip)


def _message(repository: Repository, judged: Judged) -> str:
    """Give the squash's message: the one that the bundle and its proof make, with the number.

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
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph) + "\n"
