"""How a winner reaches the forge: a bundle becomes an entry in the ledger, one commit and one pull request.

It calls no model, and believes of a bundle only what git cannot tell: that an agent gave those outputs.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import unquote

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.parse import MalformedFile
from runbookopt.errors import Refused, RunbookoptError
from runbookopt.forge.git.origin import attempts
from runbookopt.forge.git.output import GitFailed, PushRejected
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.protocol import Draft, Forge, PullRequest
from runbookopt.guard.guard import GuardReport
from runbookopt.landing.bundle import Bundle, Outcome, encode, read_bundle
from runbookopt.landing.rate_limits import limited
from runbookopt.landing.rederive import (
    Checked,
    Proof,
    check,
    decided,
    file_at,
    moved_since_its_look,
    must_be_fresh,
    must_have_the_held_out_tasks,
    prove,
    recorded_bundle,
)
from runbookopt.landing.report import Findings, commit_message, read_trailers, render, title
from runbookopt.project.policy import Decision, Limits, Reason
from runbookopt.project.project import declared_policy, read_project
from runbookopt.proof.allowance import Allowance
from runbookopt.proof.comparison import Comparison
from runbookopt.proof.ledger import Ledger


class Proposed(Struct, frozen=True):
    """What became of a bundle.

    `comparison` and `allowance` are of the look at its place in the ledger, None where nobody looked.
    `branch` and `pull_request` are there where the change is proposed, now or before; `notes` say why
    something was not done.
    """

    outcome: Outcome
    comparison: Comparison | None
    allowance: Allowance | None
    decision: Decision
    guard: GuardReport
    branch: str | None = None
    pull_request: PullRequest | None = None
    notes: tuple[str, ...] = ()


LABEL = "runbookopt"
"""The label of each pull request."""


def propose(repository: Repository, forge: Forge, bundle: Bundle, *, now: datetime | None = None) -> Proposed:
    """Write down the look, and where the proof accepts the winner, propose it in one pull request.

    `now`, with its time zone, is when: the policy's limits are held against it, and not asked without it.
    Doing it again changes nothing, or brings the pull request up to date. The user's checkout, index and HEAD
    stay as they are. Raises Refused where the bundle does not agree with git or the guard objects, naming
    everything; Stale where the default branch has moved away from what it was made from; LedgerBroken,
    PushRefused, OriginUnreachable.
    """
    if not repository.has_origin():
        raise GitFailed("there is no origin to propose to: git remote add origin URL, or use --no-propose")
    ledger = Ledger.open(repository, push=True)
    checked = check(repository, ledger, bundle)
    proof = prove(repository, ledger, checked)
    if proof is not None and checked.look is not None and proof.record == bundle.digest:
        answered = replace(checked.look, bundle=bundle.digest, answer=proof.comparison.answer)
        ledger.settle(answered, encode(bundle))
    if checked.change.guard.violations:
        told = "".join(f"\n- {violation}" for violation in checked.change.guard.violations)
        raise Refused(f"{bundle.runbook}: the guard stops this change:{told}")
    proposed = Proposed(
        outcome=proof.comparison.answer if proof else bundle.outcome,
        comparison=proof.comparison if proof else None,
        allowance=proof.allowance if proof else None,
        decision=decided(ledger, checked, proof),
        guard=checked.change.guard,
        notes=_answered_before(bundle, proof),
    )
    if proof is None or proposed.decision.merge == "none":
        return proposed
    publication = _Publication(repository, forge, ledger, checked, proof, proposed, now)
    for attempt in attempts(PushRejected):
        with attempt:
            proposed = publication.publish()
    return proposed


def branch_of(runbook: str) -> str:
    """Give the branch of a runbook's pull request; what git allows in no branch's name is written as %XX."""
    return f"runbookopt/{_NOT_IN_A_REF.sub(lambda found: f'%{ord(found[0]):02X}', runbook)}"


def runbook_of(branch: str) -> str:
    """Give the runbook whose pull requests have this branch."""
    return unquote(branch.removeprefix("runbookopt/"))


def is_made_by_us(repository: Repository, ledger: Ledger, head: str) -> bool:
    """Whether a commit is what its trailers say: the one change of a bundle of the ledger on its base."""
    commit = repository.commit(head)
    trailers = read_trailers(commit.message)
    if trailers is None or ledger.bundle(trailers.bundle) is None:
        return False
    bundle = recorded_bundle(ledger, trailers.bundle)
    repository.revision(bundle.base)  # a shallow clone may not have it yet
    return commit.parents == (bundle.base,) and commit.tree == repository.apply(
        bundle.patch.encode(), onto=bundle.base
    )


def must_be_free(repository: Repository, forge: Forge, runbook: str, *, now: datetime) -> None:
    """Ask, before a search spends anything, whether what it finds could be proposed at `now`.

    Raises RunbookoptError where a person edited the runbook's branch, since that is left alone, and where
    the limits of the policy on the default branch leave no room for a new pull request and none is open that
    could be brought up to date. A policy that cannot be read is for the reader of all files to name.
    """
    branch = branch_of(runbook)
    there = repository.origin.refs(f"refs/heads/{branch}").get(f"refs/heads/{branch}")
    if there and _is_edited(repository, Ledger.open(repository, push=True), there):
        raise RunbookoptError(
            f"{runbook}: branch {branch} was edited by a person ({there[:12]}): merge or close its"
            " pull request and delete the branch, then run again, or use --no-propose"
        )
    limits = _declared_limits(repository, runbook)
    against = _no_room(limits, forge.pull_requests(branch), now) if limits else None
    if against:
        raise RunbookoptError(
            f"{runbook}: no room for a pull request: {against}; policy.yaml's `limits` say how often,"
            " or use --no-propose"
        )


def _declared_limits(repository: Repository, runbook: str) -> Limits | None:
    try:
        return declared_policy(repository.revision(repository.base()), runbook).limits
    except MalformedFile:
        return None


def _no_room(limits: Limits, pulls: Sequence[PullRequest], now: datetime) -> str | None:
    """Say which limits are reached, where a pull request would be a new one."""
    if any(pull.state == "open" for pull in pulls):
        return None
    return "; ".join(reason.text for reason in limited(limits, pulls, now) if not reason.holds) or None


def _is_edited(repository: Repository, ledger: Ledger, there: str) -> bool:
    """Whether the head of our branch is not made by us: what a forge says of it is not believed."""
    repository.revision(there)
    return not is_made_by_us(repository, ledger, there)


_NOT_IN_A_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\%]|(?<![^/])\.|\.(?=\.|$)|\.(?=lock(?:/|$))|(?<=@)\{|^-")


class _Publication(Struct, frozen=True):
    """A change that is to be proposed, and where."""

    repository: Repository
    forge: Forge
    ledger: Ledger
    checked: Checked
    proof: Proof
    proposed: Proposed
    now: datetime | None

    def publish(self) -> Proposed:
        """Open a pull request or bring the open one up to date, unless a person has spoken."""
        branch, bundle = branch_of(self.checked.bundle.runbook), self.checked.bundle
        pulls = self.forge.pull_requests(branch)
        is_open = next((pull for pull in pulls if pull.state == "open" and self._is_ours(pull)), None)
        there = self.repository.origin.refs(f"refs/heads/{branch}").get(f"refs/heads/{branch}")
        if why_not := self._left(branch, there, pulls):
            return self._not_proposed(why_not)
        tip = self.repository.base()
        must_be_fresh(self.repository, self.checked, tip)
        must_have_the_held_out_tasks(self.repository, self.ledger, self.checked, tip)
        if is_open and is_open.complete and self._proposes_the_same(is_open):
            return self._proposed(is_open, f"pull request {is_open.number} proposes this already")
        self.ledger.keep(bundle.digest, encode(bundle))
        draft = self._draft(branch, there)
        if is_open and there:
            updated = self.forge.update(is_open.number, draft, replaces=there)
            return self._proposed(updated, f"pull request {updated.number} was brought up to date")
        return self._proposed(self.forge.open(draft, replaces=there))

    def _is_ours(self, pull: PullRequest) -> bool:
        return pull.base == self.repository.origin.default_branch()

    def _left(self, branch: str, there: str | None, pulls: Sequence[PullRequest]) -> str | None:
        """Say why nothing is proposed: a person has spoken, or the policy's limits are reached."""
        edited = self._edited(branch, there)
        for pull in pulls:
            if edited and pull.state == "open" and pull.auto_merge:
                self.forge.hold(pull.number)  # it was to merge by itself as it was before the edit
        full = _no_room(self.checked.project.policy.limits, pulls, self.now) if self.now else None
        return self._closed_before(pulls) or edited or full

    def _proposed(self, pull: PullRequest | None, *notes: str) -> Proposed:
        branch, decision = (pull.branch if pull else None), self.proposed.decision
        if decision.merge == "auto" and pull and pull.state == "open" and not pull.auto_merge:
            why = "the forge does not merge it by itself: the pull request says why"
            decision = Decision("review", (*decision.reasons, Reason("auto_merge", False, why)))
        told = (*self.proposed.notes, *notes, *(pull.notes if pull else ()))
        return replace(self.proposed, branch=branch, pull_request=pull, decision=decision, notes=told)

    def _not_proposed(self, why: str) -> Proposed:
        """Say that this winner is in no pull request, whatever else is open for its runbook."""
        decision = self.proposed.decision
        reasons = (*decision.reasons, Reason("proposed", False, why))
        return replace(self.proposed, decision=Decision("none", reasons), notes=(*self.proposed.notes, why))

    def _closed_before(self, pulls: Sequence[PullRequest]) -> str | None:
        """Whether a closed one had this text: as we proposed it, or as a person left it."""
        text, path = self.checked.change.text.encode(), self.checked.project.path
        for pull in pulls:
            if (
                pull.state == "closed"
                and self._is_ours(pull)
                and any(
                    file_at(self.repository, commit, path) == text for commit in (pull.proposed, pull.head)
                )
            ):
                return f"pull request {pull.number} proposed the same and was closed: it is not opened again"
        return None

    def _edited(self, branch: str, there: str | None) -> str | None:
        if there is None or not _is_edited(self.repository, self.ledger, there):
            return None
        return f"{branch} is at {there[:12]}, which somebody else pushed: it is left alone"

    def _proposes_the_same(self, pull: PullRequest) -> bool:
        """Whether an unedited pull request makes the same text of the same text, under the same rules."""
        data, digests = self.ledger.bundle(pull.bundle), self.checked.bundle.digests
        if data is None:
            return False
        proposed = read_bundle(data, f"bundle {pull.bundle} of the ledger")
        return replace(proposed.digests, held_out=digests.held_out) == digests and self._told(proposed)

    def _told(self, proposed: Bundle) -> bool:
        """Whether an earlier bundle knew of all that has moved since the look."""
        checked = self.checked
        there = read_project(self.repository.revision(proposed.base), proposed.runbook)
        return moved_since_its_look(checked, there) == moved_since_its_look(checked, checked.project)

    def _draft(self, branch: str, there: str | None) -> Draft:
        checked, proof, decision = self.checked, self.proof, self.proposed.decision
        bundle, change = checked.bundle, checked.change
        if change.after is None:
            raise Refused(f"{bundle.runbook}: the candidate cannot be read as a runbook")
        findings = Findings(
            bundle=bundle,
            before=change.before,
            after=change.after,
            comparison=proof.comparison,
            allowance=proof.allowance,
            pairs=proof.pairs,
            decision=decision,
            guard=change.guard,
            rubric=checked.project.rubric,
            names={
                task.id: task.trajectories[0] for task in checked.project.evidence.tasks if task.trajectories
            },
            notes=self.proposed.notes,
        )
        message, policy = commit_message(bundle, proof.comparison), checked.project.policy
        by_itself, nobody = decision.merge == "auto", ()
        _, _, text = message.partition("\n")
        return Draft(
            branch=branch,
            base=self.repository.origin.default_branch(),
            head=self._commit(message, there),
            title=title(bundle, proof.comparison),
            body=render(findings),
            reviewers=nobody if by_itself else policy.reviewers,
            teams=nobody if by_itself else policy.teams,
            otherwise=policy.reviewers if by_itself else nobody,
            teams_otherwise=policy.teams if by_itself else nobody,
            labels=(LABEL,),
            auto_merge=by_itself,
            method=policy.method,
            message=f"{title(bundle, proof.comparison)}\n{text}",
            bundle=bundle.digest,
        )

    def _commit(self, message: str, there: str | None) -> str:
        """Give the one commit; that of a run which was cut is taken up again."""
        base, tree = self.checked.bundle.base, self.checked.change.tree
        before = self.repository.commit(there) if there else None
        if before and (before.tree, before.parents, before.message.strip()) == (
            tree,
            (base,),
            message.strip(),
        ):
            return before.id
        return self.repository.write_commit(tree, [base], message)


def _answered_before(bundle: Bundle, proof: Proof | None) -> tuple[str, ...]:
    if proof is None or proof.record == bundle.digest:
        return ()
    return (
        f"this was asked of the held-out tasks before: the recorded answer stands (bundle {proof.record})",
    )
