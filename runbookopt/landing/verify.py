"""Status check of a head: whether it may be merged, derived on the reviewer's side of the wall.

Policies and rubrics are read from the default branch, bundle and looks from the ledger's ref at origin. The
head is read as data and believed in nothing; what is not known is not yes.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.parse import MalformedFile
from runbookopt.documents.settings import FILE, read_settings
from runbookopt.documents.untrusted import code
from runbookopt.errors import Refused, RunbookoptError
from runbookopt.forge.git.output import OriginUnreachable
from runbookopt.forge.git.repository import Repository, Revision
from runbookopt.forge.protection import OUR_CHECK
from runbookopt.forge.protocol import CheckRun, Forge
from runbookopt.landing.approvals import Permission
from runbookopt.landing.manual_change import by_hand
from runbookopt.landing.merge import Derived, Head, allowed, derive, hearing
from runbookopt.landing.report import cut, read_trailers, table
from runbookopt.landing.trial_merge import Case
from runbookopt.project.layout import joined
from runbookopt.project.policy import Reason
from runbookopt.project.roots import roots_of
from runbookopt.proof.allowance import Look
from runbookopt.proof.binding import named_in, unheld
from runbookopt.proof.ledger import REF, Ledger

AGAIN = "proof again"
"""The condition that a proof which was run again is accepted again."""

Rerun = Callable[[Case, Derived], Reason]
"""Runs the proof of a proposal again: this side of the wall knows no agent, and is given one."""


class Verified(Struct, frozen=True):
    """Whether a head may be merged as far as runbooks go, with every reason for and against.

    `head` is the commit that was judged, `tip` that of the default branch, on whose word. `runbooks` are
    those that it touches. Where it touches none, `written_by` and `merge` are None.
    """

    head: str
    tip: str
    passes: bool
    reasons: tuple[Reason, ...]
    runbooks: tuple[str, ...] = ()
    written_by: Literal["runbookopt", "people"] | None = None
    merge: Literal["auto", "review", "none"] | None = None
    pull_request: int | None = None


def verify_commits(
    repository: Repository, base: str, head: str, rerun: Rerun | None = None, *, now: datetime | None = None
) -> Verified:
    """Judge a head that left the default branch at `base`; who approved it is not known.

    `rerun` is asked last, and only of a proposal to which nothing but a missing approval is opposed. Raises
    GitFailed where a commit is not to be had, OriginUnreachable, what `rerun` raises.
    """
    tip = repository.base()
    left_at = repository.revision(base).commit
    case = Case(repository, tip, repository.revision(head).commit, now=now)
    is_ours = repository.is_ancestor(left_at, tip)
    verified = _verified(case, _unless(not is_ours, rerun))
    if is_ours:
        return verified
    why = f"the base {left_at[:12]} is not of {repository.origin.default_branch()}, whose word counts"
    return replace(verified, passes=False, reasons=(Reason("base", False, why), *verified.reasons))


def verify_pull_request(
    repository: Repository,
    forge: Forge,
    number: int,
    head: str | None = None,
    rerun: Rerun | None = None,
    *,
    now: datetime | None = None,
) -> Verified:
    """Judge an open pull request, with the approvals that its head has now.

    `head` is the commit that is asked about, where it need not be the pull request's own: one that a merge
    queue made of it may hold the same of what is judged, and nothing more. `rerun` as in `verify_commits`.
    Raises RunbookoptError where the pull request is not open, GitFailed, what `rerun` raises.
    """
    pull = forge.get(number)
    if pull.state != "open":
        raise RunbookoptError(f"pull request {number} is {pull.state}")
    case = Case(repository, repository.base(), repository.revision(pull.head).commit, pull, forge, now)
    commit = repository.revision(head).commit if head else pull.head
    other = tuple(case.unlike(commit)) if commit != pull.head else ()
    verified = replace(_verified(case, _unless(bool(other), rerun)), pull_request=number)
    if commit == pull.head:
        return verified
    same = f"{commit[:12]} holds what pull request {number} holds at {pull.head[:12]}"
    reason = Reason("head", not other, f"{same}, but for {', '.join(other)}" if other else same)
    passes = verified.passes and not other
    return replace(verified, head=commit, passes=passes, reasons=(reason, *verified.reasons))


def _verified(case: Case, rerun: Rerun | None) -> Verified:
    touches = case.effect.touches
    names = tuple(each.runbook for each in touches.runbooks)
    verified = Verified(case.head, case.tip, passes=True, reasons=(), runbooks=names)
    stops_all = (*_rests_on_nothing(case), *_unreadable_settings(case))
    if touches.nothing and stops_all:
        return replace(verified, passes=False, reasons=stops_all)
    if touches.nothing:
        more = f"; it changes {', '.join(touches.shared)}" if touches.shared else ""
        nothing = f"this touches no runbook, rubric, policy or labels{more}"
        return replace(verified, reasons=(Reason("touches", True, nothing),))
    against = [*stops_all, *(Reason("guard", False, made) for made in touches.no_files)]
    if case.effect.conflict:
        against.append(Reason("merge", False, case.effect.conflict))
    cited = _cited(case)
    if cited is None:
        judged = _by_people(case, verified, rerun)
    else:
        judged = _by_us(case, verified, cited, _unless(bool(against), rerun))
    return replace(judged, passes=judged.passes and not against, reasons=(*against, *judged.reasons))


def _rests_on_nothing(case: Case) -> Iterator[Reason]:
    """What of the head's own commits, once merged, would have every later proof refused."""
    repository = case.repository
    own = repository.history(case.head, without=case.tip)
    named = [each for commit in own for each in named_in(repository, commit)]
    head = repository.origin.refs(REF).get(REF) if named else None
    if named and head is not None:
        repository.origin.fetch(REF)
    for each in unheld(repository, head, named):
        yield Reason("ledger", False, f"the ledger at origin does not hold {each}: write that message anew")


def _unreadable_settings(case: Case) -> Iterator[Reason]:
    """What is wrong with a runbookopt.yaml by this head: no command would run then, nor this one."""
    before, after = case.effect.before, case.effect.after
    for root in ("", *roots_of(after)):
        path = joined(root, FILE)
        known = set(_faults(before, path))
        yield from (Reason("lint", False, fault) for fault in _faults(after, path) if fault not in known)


def _faults(revision: Revision, path: str) -> tuple[str, ...]:
    try:
        read_settings(revision.read(path), path)
    except FileNotFoundError:
        return ()
    except MalformedFile as error:
        return tuple(map(str, error.problems))
    return ()


def _cited(case: Case) -> str | None:
    """The last commit of the head's own that says of itself that it is ours, and cites a bundle."""
    repository = case.repository
    own = reversed(repository.history(case.head, without=case.tip))
    return next((sha for sha in own if read_trailers(repository.commit(sha).message) is not None), None)


def _by_people(case: Case, verified: Verified, rerun: Rerun | None) -> Verified:
    judged = [by_hand(case, touched) for touched in case.effect.touches.runbooks]
    reasons = [reason for each in judged for reason in each.reasons]
    if rerun is not None:
        reasons.append(Reason(AGAIN, True, f"people wrote this: {_NO_PROOF}"))
    passes = all(each.granted for each in judged)
    return replace(verified, passes=passes, reasons=tuple(reasons), written_by="people", merge="review")


def derived_of(case: Case) -> Derived:
    """What git says of a head that is a proposal of ours; raises Refused where it is none."""
    cited = _cited(case)
    if cited is None:
        raise Refused(f"{case.head[:12]} cites no bundle")
    return _derived(case, cited)


def _derived(case: Case, cited: str) -> Derived:
    head = Head(case.head, cited, case.pull.branch if case.pull else None)
    ledger = _AtOrigin.open(case.repository, push=False, fetch=True)
    hear = hearing(case.forge, case.pull) if case.forge and case.pull else None
    return derive(case.repository, ledger, head, case.tip, case.now, hear)


def _by_us(case: Case, verified: Verified, cited: str, rerun: Rerun | None) -> Verified:
    """Judge what says that it is ours: it is so where all of it can be derived again."""
    ours = replace(verified, written_by="runbookopt", merge="none", passes=False)
    try:
        derived = _derived(case, cited)
    except OriginUnreachable:
        raise
    except RunbookoptError as error:  # one reason for each line of an error that lists them
        listed = tuple(Reason("agreement", False, line) for line in str(error).split("\n- "))
        return replace(ours, reasons=listed)
    agreed = _agreed(case, derived)
    passes, reasons = agreed.granted, agreed.reasons
    if rerun is not None:
        again = _again(case, derived, rerun)
        passes, reasons = passes and again.holds is True, (*reasons, again)
    writer: Literal["runbookopt", "people"] = "people" if derived.edited else "runbookopt"
    return replace(ours, passes=passes, reasons=reasons, written_by=writer, merge=derived.decision.merge)


def _agreed(case: Case, derived: Derived) -> Permission:
    """Whether the policy lets it be merged, by what is known of what people say."""
    decision = derived.decision
    if case.pull is not None and case.forge is not None:
        return allowed(case.forge, derived, case.pull)
    if decision.merge == "review":
        return case.asks(derived.checked.project.policy, decision)
    passes = decision.merge == "auto"
    alone = "whether anybody objects is not known here; the policy needs no person"
    why = alone if passes else "the change is not to be merged"
    return Permission(passes, (*decision.reasons, Reason("decision", passes, why)))


def _again(case: Case, derived: Derived, rerun: Rerun) -> Reason:
    """Run the proof again where that can change the answer: it costs money."""
    if derived.edited:
        return Reason(AGAIN, True, f"people edited this, and nothing is proved of their text: {_NO_PROOF}")
    return (_not_run if derived.decision.merge == "none" else rerun)(case, derived)


_NO_PROOF = "there is no proof to run again"


def _unless(against: bool, rerun: Rerun | None) -> Rerun | None:
    return _not_run if against and rerun is not None else rerun


def _not_run(_case: Case, _derived: Derived) -> Reason:
    return Reason(AGAIN, None, "the proof was not run again: this is not to be merged in any case")


class _AtOrigin(Ledger):
    """The ledger as origin has it: what this clone alone knows is no evidence, and nothing is written."""

    def register(self, look: Look) -> None:
        """Refuse a look that is not there, or that never came to an answer: it proves nothing."""
        own = [entry for entry in self.looks(look.runbook) if entry.key == look.key]
        if not own or own[0].bundle is None:
            state = "never came to an answer" if own else "is not there"
            raise Refused(f"{look.runbook}: its look at the held-out tasks {state} in the ledger at origin")

    def _catch_up(self) -> str | None:
        self._head = self._shared = self._at_origin()
        return self._head


MOST_CHARACTERS = 65_535
"""What GitHub takes as the summary of a check run."""


def check_run(verified: Verified) -> CheckRun:
    """The check run that tells a forge what was found, its summary in Markdown."""
    against = sum(not reason.holds for reason in verified.reasons)
    title = (
        "may be merged" if verified.passes else f"may not be merged: {against} reason(s) are no or unknown"
    )
    names = ", ".join(code(name, 80) for name in verified.runbooks[:20]) or "no runbook"
    by_whom = f"Touches {names}; judged by {code(verified.tip)} of the default branch.\n"
    text = "\n".join((by_whom, *table(verified.reasons), ""))
    summary = cut(text, MOST_CHARACTERS, "\nCut here: run `runbookopt verify` for the rest.\n")
    return CheckRun(OUR_CHECK, verified.head, verified.passes, title, summary)
