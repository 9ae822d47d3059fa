"""Rederivation of a bundle from git: all that can be known without its word must agree with it."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.calibration.deciding import outdated
from runbookopt.documents.parse import MalformedFile
from runbookopt.documents.runbook import Runbook, reparse, with_front_of
from runbookopt.errors import Refused, RunbookoptError
from runbookopt.evidence.trajectory import time_of
from runbookopt.forge.git.output import GitFailed
from runbookopt.forge.git.repository import Repository, Revision
from runbookopt.guard.guard import GuardReport, guard
from runbookopt.landing.bundle import (
    Bundle,
    changed_lines,
    encode,
    models_by_role,
    read_bundle,
    recorded_bundle,
)
from runbookopt.landing.forms import formless_in
from runbookopt.landing.ledger.audits import Audited, Hear, audits_of
from runbookopt.landing.ledger.identity import Identity, identity_of
from runbookopt.landing.mismatches import (
    asked,
    question,
    with_base,
    with_held_out,
    with_patch,
    with_record,
    with_scores,
)
from runbookopt.landing.paired_outputs import group_digest, pairs
from runbookopt.landing.sources.history import brought
from runbookopt.landing.sources.leave_one_out import leaning
from runbookopt.landing.sources.trust import trust_in
from runbookopt.project.places import layout_of
from runbookopt.project.policy import Audits, Decision, Facts, decide
from runbookopt.project.project import Project, read_project
from runbookopt.proof.allowance import (
    Allowance,
    Look,
    Moved,
    allowance,
    changed_since,
    group_digests,
    looks_before,
    moved_since,
    recorded,
    trajectory_names,
    untimely,
)
from runbookopt.proof.comparison import Comparison, Pair, compare
from runbookopt.proof.ledger import Ledger, LedgerBroken
from runbookopt.proof.records import shown_since
from runbookopt.proof.red_team import RedTeam, red_team
from runbookopt.verifier.families import nearest_kin
from runbookopt.verifier.program_files import programs_digest
from runbookopt.verifier.rubric import programs


class Change(Struct, frozen=True):
    """The one change that a bundle proposes: `tree` is the base's with its patch applied.

    `text` is the runbook's file in it, and `after` the same read; None where it cannot be.
    """

    tree: str
    text: str
    after: Runbook | None
    guard: GuardReport


class Checked(Struct, frozen=True):
    """A bundle that agrees with git: the project at its base, its change, and the proof's pairs.

    `look` is derived, not read from the bundle; None where nobody looked. `pairs` are empty where the bundle
    restates what another one recorded of the same look. `identity` is by what the base says of names.
    """

    bundle: Bundle
    identity: Identity
    project: Project
    change: Change
    look: Look | None
    pairs: tuple[Pair, ...]


class Proof(Struct, frozen=True):
    """What the ledger makes of a look: its place, what it may spend there, and what its outputs say.

    `record` is the bundle whose outputs were compared: another than the one at hand where the same question
    was answered before. `look` is the entry of the ledger, which may be an earlier one then. `red_team` is
    None where the outputs are not those of today's red-team tasks.
    """

    allowance: Allowance
    comparison: Comparison
    pairs: tuple[Pair, ...]
    record: str
    look: Look
    red_team: RedTeam | None = None


class Rederived(Struct, frozen=True):
    """A bundle that agrees with git, its proof (None where nobody looked), and the decision of its base."""

    checked: Checked
    proof: Proof | None
    decision: Decision


class Stale(RunbookoptError):
    """The default branch has moved away from what a bundle was made from."""


def rederive(
    repository: Repository,
    ledger: Ledger,
    bundle: Bundle,
    *,
    register: bool = True,
    now: datetime | None = None,
    hear: Hear | None = None,
) -> Rederived:
    """Hold a bundle against git, compare what its look saw, and decide by the policy of its base.

    A look that the ledger lacks is registered, or without `register` taken as if it came next. Where it is
    said what time it is `now`, its own is held against that, and labels must not be too old by then. `hear`
    asks the forge what people said; without it that is unknown. Raises Refused with everything that does not
    agree, MalformedFile where the bundle was changed after sealing, GitFailed where its base is not to be
    had, LedgerBroken, PushRefused, OriginUnreachable.
    """
    checked = _check(repository, ledger, bundle)
    if now is not None and checked.look is not None:
        known = [look for look in ledger.looks(bundle.runbook) if look.key == checked.look.key]
        if why := untimely(known[0] if known else checked.look, now, known=bool(known)):
            again = f"set the clock, then run optimize-runbook {bundle.runbook} again"
            raise Refused(f"{bundle.runbook}: {why}; {again}")
    proof = _prove(repository, ledger, checked, register=register)
    return Rederived(checked, proof, _decide(repository, ledger, checked, proof, now, hear))


def _check(repository: Repository, ledger: Ledger, bundle: Bundle) -> Checked:
    bundle = read_bundle(encode(bundle), "the bundle")
    base, name = repository.revision(bundle.base), bundle.runbook
    key = bundle.look.key if bundle.look else None
    identity = identity_of(repository, ledger, name, base, base.commit)
    # what decided when the look was taken: labels may be too old by now, which is for the decision to say
    at = time_of(bundle.look.at) if bundle.look else None
    project = read_project(base, name, burnt=ledger.burnt(*identity.names, before=key), at=at)
    if project.undecided:
        raise Refused(project.undecided)
    _refuse(bundle, with_base(bundle, project))
    change = _change(repository, bundle, project)
    against = with_patch(bundle, change.text, change.guard.violations)
    record = _restated(ledger, bundle, identity)
    if record is not None:
        _refuse(bundle, [*against, *with_record(bundle, project, record)])
        return Checked(bundle, identity, project, change, record, ())
    look = _look(bundle, project, bundle.look.at) if bundle.look else None
    _refuse(bundle, [*against, *with_held_out(bundle, project, look)])
    judged = pairs(bundle.outputs, {task.id: task for task in project.evidence.tasks}, project.rubric)
    _refuse(bundle, with_scores(bundle, judged, project.policy.proof))
    return Checked(bundle, identity, project, change, look, tuple(judged))


def _refuse(bundle: Bundle, mismatches: Iterable[str]) -> None:
    listed = "".join(f"\n- {mismatch}" for mismatch in mismatches)
    if listed:
        raise Refused(f"{bundle.runbook}: the bundle does not agree with git:{listed}")


def _change(repository: Repository, bundle: Bundle, project: Project) -> Change:
    try:
        tree = repository.apply(bundle.patch.encode(), onto=bundle.base)
    except GitFailed as error:
        raise Refused(f"{bundle.runbook}: the patch does not apply to its base: {error}") from error
    entries = [entry for entry in repository.tree(tree, project.path) if entry.path == project.path]
    is_file = bool(entries) and entries[0].mode != "160000"
    text = repository.blob(entries[0].blob).decode(errors="replace") if is_file else ""
    return Change(tree, text, *guarded(repository, project, (bundle.base, tree), text))


def guarded(
    repository: Repository, project: Project, diff: tuple[str, str], text: str
) -> tuple[Runbook | None, GuardReport]:
    """A text read as the project's runbook, if it can be, and the guard's word on the diff that makes it."""
    try:
        after = reparse(project.runbook, text)
    except MalformedFile:
        after = None
    changes = repository.diff(*diff)
    return after, guard(changes, path=project.path, before=project.runbook, after=after or text)


def _restated(ledger: Ledger, bundle: Bundle, identity: Identity) -> Look | None:
    """The look of a bundle that rests on the record of another one, and repeats what that one said."""
    if bundle.look is None:
        return None
    own = [look for look in ledger.looks(*identity.names) if look.key == bundle.look.key]
    if not own or own[0].bundle in {None, bundle.digest}:
        return None
    record = must_be_recorded(ledger, own[0].bundle or "")
    if record.look is None or asked(record.look) != asked(bundle.look):
        return None
    stated = [(b.outputs, b.comparison, b.digests.held_out, b.digests.candidate) for b in (bundle, record)]
    return replace(record.look, bundle=None, answer=None) if stated[0] == stated[1] else None


def must_be_recorded(ledger: Ledger, digest: str) -> Bundle:
    """The bundle that the ledger holds under a digest. Raises LedgerBroken where it holds none."""
    bundle = recorded_bundle(ledger, digest)
    if bundle is None:
        raise LedgerBroken(f"bundle {digest} is not in the ledger: run optimize-runbook again")
    return bundle


def _look(bundle: Bundle, project: Project, at: str) -> Look:
    return Look.of(
        bundle.runbook,
        question(bundle, project),
        groups=project.held_out_groups,
        tasks=(project.evidence.task(task) for task in project.split.held_out),
        searched=(*project.split.train, *project.split.validation),
        at=at,
    )


def _prove(repository: Repository, ledger: Ledger, checked: Checked, *, register: bool) -> Proof | None:
    """Compare what a look saw, at its place in the ledger; where its question was answered, that stands."""
    if checked.look is None:
        return None
    names = checked.identity.names
    look = _answered(ledger, checked.look, names)
    if register and (look is None or look.key == checked.look.key):
        ledger.register(checked.look)  # also where it is there: only what origin has is sure of its place
        look = _answered(ledger, checked.look, names)
    look, source = look or checked.look, checked
    if look.bundle not in {None, checked.bundle.digest}:
        source = _check(repository, ledger, must_be_recorded(ledger, look.bundle or ""))
    # Under the terms of the base at hand: the policy may have moved since the record was made.
    terms, earlier = checked.project.policy.proof, looks_before(ledger.looks(*names), look.key)
    may = allowance(earlier, look.groups, look.tasks, terms.allowance, look.at)
    compared = compare(source.pairs, terms, spend=may.spend, next_spend=may.renewed_spend)
    red = _red_team(checked.project, source.bundle)
    return Proof(may, compared, source.pairs, source.bundle.digest, look, red)


def _red_team(project: Project, bundle: Bundle) -> RedTeam | None:
    """What a bundle's outputs come to on the red team's tasks, if they are of each of those in git."""
    tasks = {task: project.evidence.task(task) for task in project.split.red_team}
    repeats = 1 if bundle.agent.deterministic else project.policy.proof.repeats
    sides = {len(side) for seen in bundle.red_team for side in (seen.before, seen.after)}
    stated = {(seen.task, seen.group) for seen in bundle.red_team}
    whole = stated == {(task.id, group_digest(task)) for task in tasks.values()}
    if not whole or len(bundle.red_team) != len(tasks) or sides - {repeats}:
        return None
    return red_team(pairs(bundle.red_team, tasks, project.rubric))


def _answered(ledger: Ledger, look: Look, names: Collection[str]) -> Look | None:
    """The entry of the ledger that answers a look: its own, else one that settled the same question."""
    looks = ledger.looks(*names)
    own = [entry for entry in looks if entry.key == look.key]
    other = recorded(looks, look)
    return own[0] if own else other if other is not None and other.bundle is not None else None


def _decide(
    repository: Repository,
    ledger: Ledger,
    checked: Checked,
    proof: Proof | None,
    now: datetime | None,
    hear: Hear | None,
) -> Decision:
    bundle, project = checked.bundle, checked.project
    before = project.runbook.text
    after = with_front_of(before, bundle.candidate)  # its version is not of the change that is judged
    looks = ledger.looks(*checked.identity.names)
    earlier = (*looks_before(looks, checked.look.key), checked.look) if checked.look else looks
    models = models_by_role(bundle)
    judge = models.pop("judge", None)
    facts = Facts(
        comparison=proof.comparison if proof else None,
        changed_lines=sum(1 for _ in changed_lines(bundle.patch)),
        growth=(len(after) - len(before)) / len(before) if before else None,
        introduced=checked.change.guard.introduces,
        formless=formless_in(project, after),
        uncalibrated=uncalibrated_in(project, now),
        coverage=project.coverage(now).volume,
        trust=trust_in(project),
        leaning=_leaning(repository, checked, proof.pairs) if proof else (),
        ledger_notes=(
            *changed_since(
                earlier, project.evidence.tasks, project.digests.rubric, seed=project.digests.runbook
            ),
            *shown_since(ledger, earlier, seed=project.digests.runbook),
        ),
        near_repeats=near_repeats_in(project),
        judge_decides=project.rubric.judge_decides,
        audits=_audits(ledger, project, proof, hear),
        red_team=proof.red_team if proof else None,
        judge_kin="none" if judge is None else nearest_kin(judge, models.values()),
    )
    return decide(project.policy, facts)


def _audits(ledger: Ledger, project: Project, proof: Proof | None, hear: Hear | None) -> Audits | None:
    """What reviewers saw in the look's outputs; nobody is asked where the policy asks for none."""
    policy = project.policy
    if hear is None or proof is None or not policy.audit_pairs or not project.rubric.judge_decides:
        return None
    return audits_of(ledger, policy, Audited(proof.look, proof.record, proof.pairs), hear(policy))


def _leaning(repository: Repository, checked: Checked, proved: Sequence[Pair]) -> tuple[str, ...]:
    """The sources that the gain leans on, by what the default branch says of the tasks that were used."""
    project, changes = checked.project, checked.bundle.changes
    evidence, parts = project.evidence, project.split
    cited = {name for change in changes for name in change.trajectories}
    tasks = {pair.task for pair in proved}.union(parts.train, parts.validation)
    tasks.update(task.id for task in evidence.tasks if not cited.isdisjoint(task.trajectories))
    came = brought(repository, evidence, checked.bundle.base, sorted(tasks))
    return leaning(proved, changes, evidence, came)


def near_repeats_in(project: Project) -> int:
    """How many tasks of the proof nearly repeat what a search uses: none where the policy refuses them."""
    return len({repeat.task for repeat in project.split.near_repeats}.intersection(project.split.held_out))


def uncalibrated_in(project: Project, now: datetime | None = None) -> tuple[str, ...]:
    """The criteria that decide without having earned it, or whose calibration is not of today; and why."""
    if project.is_calibrated:
        return tuple(each.told for each in outdated(project.standings_at(now)))
    judged = {criterion.id for criterion in project.rubric.judged}
    by_judge = " (by a judge that nobody has held against labels)"
    return tuple(f"{name}{by_judge if name in judged else ''}" for name in project.rubric.uncalibrated)


def must_be_fresh(repository: Repository, checked: Checked, tip: str) -> None:
    """Hold the files that a bundle was made from against the default branch at `tip`.

    New trajectories there do not make a proof wrong, so they do not count. Raises Stale.
    """
    bundle, again = checked.bundle, f"run optimize-runbook {checked.bundle.runbook} again"
    if not repository.is_ancestor(bundle.base, tip):
        raise Stale(f"the base {bundle.base[:12]} is not in origin's default branch: push it, or {again}")
    base, now = repository.revision(bundle.base), repository.revision(tip)
    moved = [path for path in checked.project.files if file_at(base, path) != file_at(now, path)]
    places = layout_of(now).runbooks.get(bundle.runbook)
    if not moved and places != checked.project.places:
        moved.append(
            f"where {bundle.runbook} lies (by {checked.project.places.settings} and what is beside it)"
        )
    judging = programs(checked.project.rubric.declared, base)
    if judging and programs_digest(judging, base) != programs_digest(judging, now):
        moved.append("programs of the rubric")
    if moved:
        raise Stale(f"{', '.join(moved)}: changed on origin's default branch since the run; {again}")


def file_at(revision: Revision, path: str) -> bytes | None:
    """The bytes of a file of a commit, None where it has no such file."""
    try:
        return revision.read(path)
    except FileNotFoundError:
        return None


def text_at(revision: Revision, path: str) -> str:
    """The text of a file of a commit, empty where it has no such file; what is no UTF-8 is replaced."""
    return (file_at(revision, path) or b"").decode(errors="replace")


def must_have_the_held_out_tasks(repository: Repository, ledger: Ledger, checked: Checked, tip: str) -> None:
    """Hold the tasks that were looked at against those of the default branch at `tip`.

    Some more tasks change nothing; where a quarter is new, or a task has gone or has another reference, the
    proof is of something else. What had moved at the bundle's base already, between a look and a run that
    rests on its record, is for the decision to name. Raises Stale.
    """
    name, moved = checked.bundle.runbook, held_out_moved(repository, ledger, checked, tip, by_growth=True)
    if moved:
        raise Stale(
            f"trajectories/{name}: changed on origin's default branch since the run ({'; '.join(moved)}): "
            f"run optimize-runbook {name} again"
        )


def held_out_moved(
    repository: Repository, ledger: Ledger, checked: Checked, tip: str, *, by_growth: bool = False
) -> tuple[str, ...]:
    """How, by `tip` of the default branch, the tasks moved that were looked at, one sentence a kind.

    With `by_growth` also that a quarter of the groups is new since the look.
    """
    look, name, base = checked.look, checked.bundle.runbook, checked.project
    if look is None:
        return ()
    used = ledger.burnt(*checked.identity.names)  # what a search has read by now is no news to a proof
    try:
        is_base = tip == checked.bundle.base
        at, there = time_of(look.at), repository.revision(tip)
        now = base.with_burnt(used) if is_base else read_project(there, name, burnt=used, at=at)
    except RunbookoptError as error:
        return (f"{name} cannot be read there any more: {error}",)
    moved = moved_since_its_look(checked, now).less(moved_since_its_look(checked, base))
    names = {**trajectory_names(base.evidence.tasks), **trajectory_names(now.evidence.tasks)}
    fresh = replace(look, key="", groups=group_digests(now.held_out_groups))
    is_grown = by_growth and recorded([look], fresh) is None
    grown = ["a quarter of the held-out groups is new"] if is_grown else []
    others = {each.id for each in base.rubric.deciding} ^ {each.id for each in now.rubric.deciding}
    decided = [f"other criteria decide: {', '.join(sorted(others))}"] if others else []
    return (*moved.told(names), *_regrouped(checked.bundle, now), *grown, *decided)


def _regrouped(bundle: Bundle, now: Project) -> Iterable[str]:
    """How many looked-at tasks are in another group or part by now: groups are what a proof counts."""
    tasks = {task.id: task for task in now.evidence.tasks}
    there = [(seen, tasks[seen.task]) for seen in bundle.outputs if seen.task in tasks]
    for count, where in (
        (sum(group_digest(task) != seen.group for seen, task in there), "in another group"),
        (sum(task.split in {"train", "validation"} for _, task in there), "not held out any more"),
    ):
        if count:
            yield f"{count} of {len(bundle.outputs)} looked-at tasks are {where}"


def moved_since_its_look(checked: Checked, project: Project) -> Moved:
    """Which tasks that a bundle's look saw are gone from a project, or have another reference there."""
    return moved_since([checked.look] if checked.look else [], project.evidence.tasks)
