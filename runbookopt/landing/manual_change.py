"""Change of runbooks by people: it is linted, nothing is proved, and people agree.

People may do what the optimizer may not (change a locked part, add a file, change rubric and policy), with
the agreement of those whom today's policy names. A runbook and what judges it, changed together, could
justify themselves: two have to agree to that.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from runbookopt.calibration.deciding import DECIDE
from runbookopt.calibration.record import forgotten
from runbookopt.documents.parse import MalformedFile, Problem
from runbookopt.documents.runbook import decode, violations
from runbookopt.documents.schema_errors import plain
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.repository import Revision
from runbookopt.guard.guard import dangers, news
from runbookopt.landing.approvals import Permission
from runbookopt.landing.rederive import file_at, text_at
from runbookopt.landing.requirements import few
from runbookopt.landing.sources.changed_tasks import changed_tasks
from runbookopt.landing.trial_merge import Case, Effect, Touched
from runbookopt.project.codeowners import PLACES, owners_of, read_owners
from runbookopt.project.layout import ROOT
from runbookopt.project.places import layout_of, runbook_file, runbook_names
from runbookopt.project.policy import Decision, Policy, Reason
from runbookopt.project.project import declared_policy, read_project, record_at

TOGETHER = 2
"""Who must agree where a runbook and what judges it are changed together."""

_REVIEW = Decision("review", ())


def by_hand(case: Case, touched: Touched) -> Permission:
    """Whether what people changed of one runbook may be merged, with every reason for and against."""
    against = tuple(_against(case.effect, touched))
    permission = _permission(case, touched)
    reasons = (*_to_look_at(case.effect, touched), *against, *permission.reasons)
    named = (replace(reason, text=f"{touched.runbook}: {reason.text}") for reason in reasons)
    return Permission(permission.granted and not against, tuple(named))


def _against(effect: Effect, touched: Touched) -> Iterator[Reason]:
    """What is wrong by this change and was not before, and what nobody may bring in, whoever approves.

    Linted are also the runbooks around which the change puts another.
    """
    around = [name for name in runbook_names(effect.after) if f"{name}/".startswith(f"{touched.runbook}/")]
    earlier = {(each.path, each.message) for name in around for each in _problems(effect.before, name)}
    for problem in (each for name in around for each in _problems(effect.after, name)):
        if (problem.path, problem.message) not in earlier:
            yield Reason("lint", False, str(problem))
    yield from _forgotten(effect, touched)
    for path, before, after in _pages(effect, touched):
        for danger in dangers(before, after):
            yield Reason("guard", False, f"{path}: {danger}")


def _forgotten(effect: Effect, touched: Touched) -> Iterator[Reason]:
    """Looks that calibration.json would hold no more: their labels are spent, and would seem to be new."""
    lie = [layout_of(each).runbooks.get(touched.runbook) for each in (effect.before, effect.after)]
    if lie[0] is None or lie[1] is None:
        return
    before, after = record_at(effect.before, lie[0].calibration), record_at(effect.after, lie[1].calibration)
    for name, why in forgotten(before, after).items() if before else ():
        restore = f"take {lie[0].calibration} from the default branch, and calibrate again"
        yield Reason("calibrated", False, f"{plain(name)}: {why}: {restore}")


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


def _pages(effect: Effect, touched: Touched) -> Iterator[tuple[str, str, str]]:
    """Path, text before and text after of each page that the change touches."""
    for path in touched.texts:
        if path.endswith(".md"):
            yield path, text_at(effect.before, path), text_at(effect.after, path)


def _to_look_at(effect: Effect, touched: Touched) -> Iterator[Reason]:
    """What people should look at: none of it stands in the way by itself."""
    yield Reason("accepted", None, "people wrote this, so nothing is proved of it")
    parts = {
        "text": touched.texts,
        "what judges it": touched.verifier,
        "more attempts at its tasks": touched.evidence,
    }
    changed = "; ".join(f"{what} ({few(paths)})" for what, paths in parts.items() if paths)
    yield Reason("touches", True, f"changed: {changed}")
    yield from _tasks(effect, touched)
    yield from _standings(effect, touched)
    for violation in _violations(effect, touched.runbook):
        yield Reason("locked", False, f"no search may do so, and a person should know why: {violation}")
    for path, before, after in _pages(effect, touched):
        brought = [f"{kind}: {few(things)}" for kind, things in news(before, after).items() if things]
        if brought:
            yield Reason("introduces_none_of", False, f"{path} introduces {'; '.join(brought)}")


def _tasks(effect: Effect, touched: Touched) -> Iterator[Reason]:
    """What becomes of the tasks by which later changes are judged."""
    name = touched.runbook
    places = layout_of(effect.before).runbooks.get(name)
    if places is None or not any(
        places.is_evidence(path) or path == places.settings for path in touched.verifier
    ):
        return
    try:
        told = changed_tasks(effect.before, effect.after, name)
    except RunbookoptError:
        yield Reason("tasks", None, "what it does to the tasks cannot be told, since they cannot be read")
        return
    yield from (Reason("tasks", True, each) for each in told)


def _standings(effect: Effect, touched: Touched) -> Iterator[Reason]:
    """What becomes of the criteria: an edit of one word may take from it what labels gave it."""
    sides = [(each, layout_of(each).runbooks.get(touched.runbook)) for each in (effect.before, effect.after)]
    if not touched.verifier or not any(lie and file_at(side, lie.calibration) for side, lie in sides):
        return
    try:
        before, after = (
            {each.criterion: each for each in read_project(side, touched.runbook).standings}
            for side, _ in sides
        )
    except RunbookoptError:  # new, gone, or what the lint names
        return
    for name, each in after.items():
        if name not in before or before[name].status != each.status:
            yield Reason("calibrated", each.status in DECIDE, f"by this, {plain(each.told)}")


def _violations(effect: Effect, name: str) -> tuple[str, ...]:
    """Which parts are not kept that a search would have to keep."""
    try:
        path, after = runbook_file(effect.before, name), runbook_file(effect.after, name)
        policy = _policy(effect.before, name) or Policy()
        before = decode(effect.before.read(path), locks=policy.locks, path=path)
    except RunbookoptError:
        return ()  # new, gone, or nothing that a search could begin with
    return violations(before, text_at(effect.after, after), bumped=True)


def _policy(revision: Revision, name: str) -> Policy | None:
    """The policy of a runbook; None where it cannot be read."""
    try:
        return declared_policy(revision, name)
    except RunbookoptError:
        return None


def _permission(case: Case, touched: Touched) -> Permission:
    """Whether those agree who must: by today's policy, and two where runbook and verifier change."""
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
        nobody = "today's policy names nobody who must agree"
        return Permission(True, (Reason("approvals", True, nobody),))
    return case.asks(policy, _REVIEW)


def _together(case: Case, policy: Policy, judging: tuple[str, ...]) -> Permission:
    approvers = _with_owners(case.effect, policy, judging)
    needed = max(TOGETHER, policy.approvals)
    permission = case.asks(replace(approvers, approvals=needed), _REVIEW)
    split = ", or change the runbook in one pull request, and what judges it in another"
    flag = (
        f"a runbook and what judges it ({few(judging)}) are changed together: {needed} people must agree"
        f"{'' if permission.granted else split}"
    )
    reason = Reason("two_reviewers", permission.granted, flag)
    return Permission(permission.granted, (reason, *permission.reasons))


def _with_owners(effect: Effect, policy: Policy, paths: tuple[str, ...]) -> Policy:
    """A policy under which the code owners of some files may agree too, by today's CODEOWNERS."""
    places = (text_at(effect.before, place) for place in PLACES)
    lines = read_owners(next(filter(None, places), ""))
    owners = dict.fromkeys(owner for path in paths for owner in owners_of(lines, path))
    named = [owner.removeprefix("@") for owner in owners if owner.startswith("@")]
    return replace(
        policy,
        reviewers=(*policy.reviewers, *(name for name in named if "/" not in name)),
        teams=(*policy.teams, *(name for name in named if "/" in name)),
    )
