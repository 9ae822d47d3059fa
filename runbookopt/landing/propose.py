"""Proposal of a winner: a bundle becomes an entry in the ledger, one commit and one pull request.

It calls no model, and believes of a bundle only what git cannot tell: that an agent gave those outputs.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import unquote

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.parse import MalformedFile
from runbookopt.errors import Refused, RunbookoptError, Waiting
from runbookopt.forge.git.origin import attempts
from runbookopt.forge.git.output import GitFailed, PushRejected
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.protocol import CRITERIA, RUNBOOKS, Draft, Forge, PullRequest
from runbookopt.guard.guard import GuardReport
from runbookopt.landing.bundle import Bundle, Outcome, encode, recorded_bundle
from runbookopt.landing.ledger.audits import Hear, Heard
from runbookopt.landing.ledger.identity import identity_of
from runbookopt.landing.rate_limits import limited
from runbookopt.landing.rederive import (
    Checked,
    Rederived,
    file_at,
    moved_since_its_look,
    must_be_fresh,
    must_have_the_held_out_tasks,
    rederive,
)
from runbookopt.landing.report import Findings, commit_message, read_trailers, render, squash_message, title
from runbookopt.landing.reporting.newest_quarter import Newest, newest_quarter
from runbookopt.landing.reporting.since import Since, changed_since_then
from runbookopt.project.policy import Decision, Limits, Policy, Reason
from runbookopt.project.project import declared_policy, read_project
from runbookopt.proof.allowance import Allowance, trajectory_names
from runbookopt.proof.binding import TRAILER, must_be_bound, named_in, unheld
from runbookopt.proof.comparison import Comparison
from runbookopt.proof.disclosure import is_told
from runbookopt.proof.ledger import Ledger
from runbookopt.proof.records import keep_shown, last_pull, note_pulls

LABEL = "runbookopt"
"""The label of each pull request."""


class Proposed(Struct, frozen=True):
    """What became of a bundle.

    `comparison` and `allowance` are of the look at its place in the ledger, None where nobody looked, and
    `newest` is the gain on the newest quarter of its tasks.
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
    newest: Newest | None = None


def propose(
    repository: Repository,
    forge: Forge,
    bundle: Bundle,
    *,
    now: datetime | None = None,
    show_figures: bool = False,
) -> Proposed:
    """Write down the look, and where the proof accepts the winner, propose it in one pull request.

    `now`, with its time zone, is when: the policy's limits and the look's time are held against it, and not
    asked without it. Where the proof does not accept, and somebody is to see its figures all the same
    (`show_figures`, or so says the bundle), that is written down too.
    Doing it again changes nothing, or brings the pull request up to date. The user's checkout, index and HEAD
    stay as they are. Raises Refused where the bundle does not agree with git or the guard objects, naming
    everything; Stale where the default branch has moved away from what it was made from; Unbound where the
    ledger lacks what that rests on; LedgerBroken, PushRefused, OriginUnreachable.
    """
    if not repository.has_origin():
        raise GitFailed("there is no origin to propose to: git remote add origin URL, or use --no-propose")
    ledger = Ledger.open(repository, push=True)
    tip = repository.base()
    identity = identity_of(repository, ledger, bundle.runbook, repository.revision(tip), tip)
    must_be_bound(repository, ledger, tip, identity.names)
    derived = rederive(repository, ledger, bundle, now=now, hear=hearing_of_open(forge, bundle))
    proof, guarded = derived.proof, derived.checked.change.guard
    _settle(ledger, derived, show_figures=show_figures)
    if guarded.violations:
        listed = "".join(f"\n- {violation}" for violation in guarded.violations)
        raise Refused(f"{bundle.runbook}: the guard stops this change:{listed}")
    if proof is None:
        return Proposed(bundle.outcome, None, None, derived.decision, guarded)
    before = (
        f"this was asked of the held-out tasks before: the recorded answer stands (bundle {proof.record})"
    )
    recorded = () if proof.record == bundle.digest else (before,)
    notes = (*recorded, *derived.checked.identity.told())
    comparison, may = proof.comparison, proof.allowance
    newest = newest_quarter(proof.pairs, derived.checked.project.evidence)
    proposed = Proposed(
        comparison.answer, comparison, may, derived.decision, guarded, notes=notes, newest=newest
    )
    if proposed.decision.merge == "none":
        return proposed
    for attempt in attempts(PushRejected):
        with attempt:
            published = _publish(repository, forge, ledger, derived, proposed, now)
    if published.pull_request is not None and not forge.in_git:
        note_pulls(ledger, bundle.runbook, [published.pull_request])
    return published


def hearing_of_open(forge: Forge, bundle: Bundle) -> Hear:
    """How to hear what people said of the open pull request that proposes just this bundle."""

    def hear(policy: Policy) -> Heard:
        listed = forge.pull_requests(branch_of(bundle.runbook))
        number = next((pull.number for pull in reversed(listed) if pull.state == "open"), None)
        pull = None if number is None else forge.get(number)
        if pull is None or (pull.bundle, pull.head) != (bundle.digest, pull.proposed):
            return Heard(None)
        return Heard(pull, {team: forge.members(team) for team in policy.teams})

    return hear


def _settle(ledger: Ledger, derived: Rederived, *, show_figures: bool) -> None:
    """Write down what came of the look, and whether figures of it are shown that were not accepted."""
    bundle, look, proof = derived.checked.bundle, derived.checked.look, derived.proof
    if proof is None or look is None:
        return
    if proof.record == bundle.digest:
        answered = replace(look, bundle=bundle.digest, answer=proof.comparison.answer)
        ledger.settle(answered, encode(bundle))
    # what the first half took for accepted it has printed
    shown = show_figures or bundle.figures_shown or bundle.outcome == "accepted"
    if shown and not is_told(proof.comparison):
        keep_shown(ledger, proof.look)


def _publish(
    repository: Repository,
    forge: Forge,
    ledger: Ledger,
    derived: Rederived,
    proposed: Proposed,
    now: datetime | None,
) -> Proposed:
    """Open a pull request or bring the open one up to date, unless a person has spoken."""
    checked, bundle = derived.checked, derived.checked.bundle
    branch = branch_of(bundle.runbook)
    pulls = forge.pull_requests(branch)
    ours = [pull for pull in pulls if pull.base == repository.origin.default_branch()]
    is_open = next((pull for pull in ours if pull.state == "open"), None)
    there = repository.origin.refs(f"refs/heads/{branch}").get(f"refs/heads/{branch}")
    edited = None
    if there and _is_edited(repository, ledger, there):
        edited = f"{branch} is at {there[:12]}, which somebody else pushed: it is left alone"
        for pull in pulls:
            if pull.state == "open" and pull.auto_merge:
                forge.hold(pull.number)  # it was to merge by itself as it was before the edit
    full = _no_room(checked.project.policy.limits, pulls, now) if now else None
    why_not = _closed_before(repository, checked, ours) or edited or full
    if why_not:
        if not forge.in_git:
            note_pulls(ledger, bundle.runbook, ours)
        reasons = (*proposed.decision.reasons, Reason("proposed", False, why_not))
        return replace(proposed, decision=Decision("none", reasons), notes=(*proposed.notes, why_not))
    tip = repository.base()
    must_be_fresh(repository, checked, tip)
    must_have_the_held_out_tasks(repository, ledger, checked, tip)
    if is_open and is_open.complete and _is_proposed(repository, ledger, derived, is_open):
        return _with_pull(proposed, is_open, f"pull request {is_open.number} proposes this already")
    ledger.keep(bundle.digest, encode(bundle))
    then = _then(repository, ledger, forge.get(is_open.number), bundle) if is_open else None
    draft = _draft(repository, derived, proposed.notes, (there, then), ledger)
    if is_open and there:
        updated = forge.update(is_open.number, draft, replaces=there)
        what = changed_since_then(then, bundle, proposed.comparison) if then else ()
        told = f"; since {then.when}: {'; '.join(what)}" if then else ""
        return _with_pull(proposed, updated, f"pull request {updated.number} was brought up to date{told}")
    return _with_pull(proposed, forge.open(draft, replaces=there))


def _then(repository: Repository, ledger: Ledger, pull: PullRequest, now: Bundle) -> Since | None:
    """What an open pull request proposed when it was last reviewed, else when it was opened.

    None where the ledger does not have that any more, or where it is what is proposed `now`.
    """
    known = last_pull(ledger, now.runbook)
    opened = known.first or known.bundle if known and known.number == pull.number else pull.bundle
    at = {f"it was last reviewed, at {pull.reviewed[:12]}": _cited(repository, pull.reviewed)}
    at["it was opened"] = pull.first or opened
    found = ((recorded_bundle(ledger, digest), when) for when, digest in at.items() if digest)
    was, when = next(((bundle, when) for bundle, when in found if bundle is not None), (None, ""))
    return None if was is None or was.digest == now.digest else Since(was, when)


def _cited(repository: Repository, commit: str) -> str | None:
    """The bundle that a commit cites; None where it is not to be had any more, or cites none."""
    try:
        sha = repository.revision(commit).commit if commit else None
    except GitFailed:
        return None
    trailers = read_trailers(repository.commit(sha).message) if sha else None
    return trailers.bundle if trailers else None


def _closed_before(repository: Repository, checked: Checked, ours: Sequence[PullRequest]) -> str | None:
    """Whether a closed one had this text: as we proposed it, or as a person left it."""
    text, path = checked.change.text.encode(), checked.project.path
    for pull in ours:
        heads = (pull.proposed, pull.head) if pull.state == "closed" else ()
        if any(file_at(repository.revision(head), path) == text for head in heads):
            return f"pull request {pull.number} proposed the same and was closed: it is not opened again"
    return None


def _is_proposed(repository: Repository, ledger: Ledger, derived: Rederived, pull: PullRequest) -> bool:
    """Whether an unedited pull request makes the same text of the same text, under the same rules.

    Its bundle must have known, too, of all that has moved since the look, and it must not wait any more for
    an audit that was made meanwhile.
    """
    checked = derived.checked
    if checked.project.policy.audit_pairs and (derived.decision.merge == "auto") != pull.auto_merge:
        return False
    proposed, digests = recorded_bundle(ledger, pull.bundle), checked.bundle.digests
    if proposed is None or replace(proposed.digests, held_out=digests.held_out) != digests:
        return False
    there = read_project(repository.revision(proposed.base), proposed.runbook)
    return moved_since_its_look(checked, there) == moved_since_its_look(checked, checked.project)


def _with_pull(proposed: Proposed, pull: PullRequest, *notes: str) -> Proposed:
    decision = proposed.decision
    if decision.merge == "auto" and pull.state == "open" and not pull.auto_merge:
        why = "the forge does not merge it by itself: the pull request says why"
        decision = Decision("review", (*decision.reasons, Reason("auto_merge", False, why)))
    notes = (*proposed.notes, *notes, *pull.notes)
    return replace(proposed, branch=pull.branch, pull_request=pull, decision=decision, notes=notes)


def _draft(
    repository: Repository,
    derived: Rederived,
    notes: tuple[str, ...],
    before: tuple[str | None, Since | None],
    ledger: Ledger,
) -> Draft:
    """The pull request as it should be, where the branch was `before` and what it proposed once."""
    checked, proof, (there, then) = derived.checked, derived.proof, before
    bundle, change, project = checked.bundle, checked.change, checked.project
    if change.after is None or proof is None:
        raise Refused(f"{bundle.runbook}: the candidate cannot be read as a runbook")
    findings = Findings(
        bundle=bundle,
        before=project.runbook,
        after=change.after,
        comparison=proof.comparison,
        allowance=proof.allowance,
        pairs=proof.pairs,
        decision=derived.decision,
        guard=change.guard,
        rubric=project.rubric,
        names=trajectory_names(project.evidence.tasks),
        notes=notes,
        ledger=ledger.at_origin,
        newest=newest_quarter(proof.pairs, project.evidence),
        red_team=proof.red_team,
        then=then,
        standings=project.standings_at(),
        coverage=project.coverage(),
    )
    message = commit_message(bundle, proof.comparison, ledger.at_origin)
    by_itself, people = derived.decision.merge == "auto", (project.policy.reviewers, project.policy.teams)
    (reviewers, teams), (otherwise, teams_otherwise) = (((), ()), people) if by_itself else (people, ((), ()))
    return Draft(
        branch=branch_of(bundle.runbook),
        base=repository.origin.default_branch(),
        head=_commit(repository, checked, message, there),
        title=title(bundle, proof.comparison),
        body=render(findings),
        reviewers=reviewers,
        teams=teams,
        otherwise=otherwise,
        teams_otherwise=teams_otherwise,
        labels=(LABEL,),
        auto_merge=by_itself,
        method=project.policy.method,
        message=squash_message(bundle, proof.comparison, ledger.at_origin),
        bundle=bundle.digest,
    )


def _commit(repository: Repository, checked: Checked, message: str, there: str | None) -> str:
    """The one commit; that of a run which was cut is taken up again, whatever the ledger holds besides."""
    base, tree = checked.bundle.base, checked.change.tree
    if there:
        before = repository.commit(there)
        if (before.tree, before.parents, _unbound(before.message)) == (tree, (base,), _unbound(message)):
            return before.id
    return repository.write_commit(tree, [base], message)


def _unbound(message: str) -> list[str]:
    """The lines of a message but for the ledger's head, which others move."""
    return [line for line in message.strip().split("\n") if not line.startswith(f"{TRAILER}:")]


def must_be_free(repository: Repository, forge: Forge, runbook: str, *, now: datetime) -> None:
    """Ask, before a search spends anything, whether what it finds could be proposed at `now`.

    Raises RunbookoptError where a person edited the runbook's branch, since that is left alone, and Waiting
    where the limits of the policy on the default branch leave no room for a new pull request and none is open
    that could be brought up to date. A policy that cannot be read is for the reader of all files to name.
    """
    branch = branch_of(runbook)
    there = repository.origin.refs(f"refs/heads/{branch}").get(f"refs/heads/{branch}")
    ledger = Ledger.open(repository, push=True) if there else None
    if there and ledger and _is_edited(repository, ledger, there):
        lost = next(unheld(repository, ledger.at_origin, named_in(repository, there)), None)
        if lost is not None:
            raise RunbookoptError(
                f"{runbook}: the ledger does not hold {lost}, on branch {branch}: looks were taken back, so"
                " bring them back: runbookopt ledger restore --from REMOTE|FILE; or a person wrote that, so"
                " close its pull request and delete the branch"
            )
        raise RunbookoptError(
            f"{runbook}: branch {branch} was edited by a person ({there[:12]}): merge or close its"
            " pull request and delete the branch, then run again, or use --no-propose"
        )
    try:
        limits = declared_policy(repository.revision(repository.base()), runbook).limits
    except MalformedFile:
        return
    against = _no_room(limits, forge.pull_requests(branch), now)
    if against:
        raise Waiting(
            f"no room for a pull request, so nothing was searched and no look was taken: {against};"
            " policy.yaml's `limits` say how often, or use --no-propose"
        )


def _no_room(limits: Limits, pulls: Sequence[PullRequest], now: datetime) -> str | None:
    """Which limits are reached, where a pull request would be a new one."""
    if any(pull.state == "open" for pull in pulls):
        return None
    return "; ".join(reason.text for reason in limited(limits, pulls, now) if not reason.holds) or None


def _is_edited(repository: Repository, ledger: Ledger, there: str) -> bool:
    """Whether the head of our branch is other than its trailers say: the change of a bundle on its base.

    What a forge says of it is not believed.
    """
    repository.revision(there)
    commit = repository.commit(there)
    trailers = read_trailers(commit.message)
    bundle = recorded_bundle(ledger, trailers.bundle) if trailers else None
    if bundle is None:
        return True
    repository.revision(bundle.base)  # a shallow clone may not have it yet
    return commit.parents != (bundle.base,) or commit.tree != repository.apply(
        bundle.patch.encode(), onto=bundle.base
    )


def branch_of(runbook: str, prefix: str = RUNBOOKS) -> str:
    """The branch of a runbook's pull request; what git allows in no branch's name is written as %XX."""
    return f"{prefix}{_NOT_IN_A_REF.sub(lambda match: f'%{ord(match[0]):02X}', runbook)}"


_NOT_IN_A_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\%]|(?<![^/])\.|\.(?=\.|$)|\.(?=lock(?:/|$))|(?<=@)\{|^-")


def runbook_of(branch: str) -> str:
    """The runbook whose pull requests have this branch."""
    return unquote(branch.removeprefix(RUNBOOKS).removeprefix(CRITERIA))
