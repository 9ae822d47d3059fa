"""What is to be said of runbooks that people change: it is linted, nothing is proved, and people agree.

People may do what the optimizer may not (change a locked part, add a file, change rubric and policy), with
the agreement of those whom today's policy names. A runbook and what judges it, changed together, could
justify themselves: two have to agree to that.
"""

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.parse import MalformedFile, Problem
from runbookopt.documents.runbook import decode, violations
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.repository import Revision
from runbookopt.guard.guard import dangers, news
from runbookopt.landing.approvals import Permission
from runbookopt.landing.requirements import few
from runbookopt.landing.trial_merge import Case, Effect, Touched, content
from runbookopt.project.codeowners import PLACES, owners_of, read_owners
from runbookopt.project.policy import Decision, Policy, Reason, read_policy
from runbookopt.project.project import ROOT, read_project, runbook_file, runbook_names

TOGETHER = 2
"""Who must agree where a runbook and what judges it are changed together."""

_SPLIT = "or change the runbook in one pull request, and what judges it in another"


class ByHand(Struct, frozen=True):
    """Whether what people changed of one runbook may be merged, with every reason for and against."""

    passes: bool
    reasons: tuple[Reason, ...]


def by_hand(case: Case, touched: Touched) -> ByHand:
    """Judge what people changed of one runbook."""
    against = (*_lint(case.effect, touched.runbook), *_dangers(case.effect, touched))
    permission = _permission(case, touched)
    reasons = (*_told(case.effect, touched), *against, *permission.reasons)
    named = (replace(reason, text=f"{touched.runbook}: {reason.text}") for reason in reasons)
    return ByHand(permission.granted and not against, tuple(named))


def _lint(effect: Effect, name: str) -> Iterator[Reason]:
    """Say what is wrong by this change, and was not before; also of runbooks around which it puts another."""
    names = [other for other in runbook_names(effect.after) if f"{other}/".startswith(f"{name}/")]
    known = {(each.path, each.message) for other in names for each in _problems(effect.before, other)}
    for problem in (each for other in names for each in _problems(effect.after, other)):
        if (problem.path, problem.message) not in known:
            yield Reason("lint", False, str(problem))


def _problems(revision: Revision, name: str) -> tuple[Problem, ...]:
    if name not in runbook_names(revision):
        return ()
    try:
        read_project(revision, name)
    except MalformedFile as error:
        return tuple(error.problems)
    except RunbookoptError as error:
        return (Problem(f"{ROOT}/{name}", None, str(error)),)
    return ()


def _dangers(effect: Effect, touched: Touched) -> Iterator[Reason]:
    """Say what nobody may bring in, with whatever approvals."""
    for path in _pages(touched):
        for danger in dangers(_text(effect.before, path), _text(effect.after, path)):
            yield Reason("guard", False, f"{path}: {danger}")


def _told(effect: Effect, touched: Touched) -> Iterator[Reason]:
    """Say what people should look at: none of it stands in the way by itself."""
    yield Reason("accepted", None, "people wrote this, so nothing is proved of it")
    parts = {
        "text": touched.texts,
        "what judges it": touched.verifier,
        "other trajectories": touched.evidence,
    }
    told = "; ".join(f"{what} ({few(paths)})" for what, paths in parts.items() if paths)
    yield Reason("touches", True, f"changed: {told}")
    for violation in _violations(effect, touched.runbook):
        yield Reason("locked", False, f"no search may do so, and a person should know why: {violation}")
    for path in _pages(touched):
        found = news(_text(effect.before, path), _text(effect.after, path)).items()
        brought = "; ".join(f"{kind}: {few(things)}" for kind, things in found if things)
        if brought:
            yield Reason("introduces_none_of", False, f"{path} introduces {brought}")


def _violations(effect: Effect, name: str) -> tuple[str, ...]:
    """Say which parts are not kept that a search would have to keep."""
    try:
        path, after = runbook_file(effect.before, name), runbook_file(effect.after, name)
        policy = _policy(effect.before, name) or Policy()
        before = decode(effect.before.read(path), locked=policy.locked, path=path)
    except RunbookoptError:
        return ()  # new, gone, or nothing that a search could begin with
    return violations(before, _text(effect.after, after), bumped=True)


def _permission(case: Case, touched: Touched) -> Permission:
    """Say whether those agree who must: by today's policy, and two where runbook and verifier change."""
    effect, name = case.effect, touched.runbook
    if name not in runbook_names(effect.before):
        return Permission(True, (Reason("approvals", True, "it is new: nobody is named yet who must agree"),))
    policy = _policy(effect.before, name)
    judging = (*touched.verifier, *touched.evidence, *effect.touches.shared)
    if touched.texts and judging:
        return _together(case, policy or Policy(), judging)
    if policy is None:
        return case.asks(_with_owners(effect, Policy(), touched.verifier), _REVIEW)
    if not policy.who:
        told = "today's policy names nobody who must agree"
        return Permission(True, (Reason("approvals", True, told),))
    return case.asks(policy, _REVIEW)


_REVIEW = Decision("review", ())


def _together(case: Case, policy: Policy, judging: tuple[str, ...]) -> Permission:
    asked = _with_owners(case.effect, policy, judging)
    needed = max(TOGETHER, policy.approvals)
    permission = case.asks(replace(asked, approvals=needed), _REVIEW)
    told = f"a runbook and what judges it ({few(judging)}) are changed together: {needed} people must agree"
    why = "" if permission.granted else f", {_SPLIT}"
    flag = Reason("two_reviewers", permission.granted, f"{told}{why}")
    return Permission(permission.granted, (flag, *permission.reasons))


def _with_owners(effect: Effect, policy: Policy, paths: tuple[str, ...]) -> Policy:
    """Give a policy under which the code owners of some files may agree too, by today's CODEOWNERS."""
    places = (_text(effect.before, place) for place in PLACES)
    lines = read_owners(next(filter(None, places), ""))
    owners = list(dict.fromkeys(owner for path in paths for owner in owners_of(lines, path)))
    named = [owner.removeprefix("@") for owner in owners if owner.startswith("@")]
    return replace(
        policy,
        reviewers=(*policy.reviewers, *(name for name in named if "/" not in name)),
        teams=(*policy.teams, *(name for name in named if "/" in name)),
    )


def _policy(revision: Revision, name: str) -> Policy | None:
    """Give the policy of a runbook; None where it cannot be read."""
    path = f"{ROOT}/{name}/policy.yaml"
    try:
        return read_policy(content(revision, path), path)
    except RunbookoptError:
        return None


def _pages(touched: Touched) -> tuple[str, ...]:
    return tuple(path for path in touched.texts if path.endswith(".md"))


def _text(revision: Revision, path: str) -> str:
    return (content(revision, path) or b"").decode(errors="replace")
