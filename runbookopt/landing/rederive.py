"""A bundle held against git: all that can be known without its word is derived anew, and must agree."""

from collections.abc import Iterator
from typing import get_args

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.parse import MalformedFile
from runbookopt.documents.runbook import Runbook, reparse
from runbookopt.errors import Refused, RunbookoptError
from runbookopt.evidence.trajectory import Trust
from runbookopt.forge.git.output import GitFailed
from runbookopt.forge.git.repository import Repository
from runbookopt.guard.guard import GuardReport, guard
from runbookopt.landing.bundle import Bundle, changed_lines, encode, read_bundle
from runbookopt.landing.leave_one_out import leaning
from runbookopt.landing.mismatches import (
    asked,
    other_candidate,
    other_digests,
    other_look,
    other_outcome,
    other_outputs,
    other_question,
    other_scores,
    question,
)
from runbookopt.landing.paired_outputs import group_digest, pairs
from runbookopt.project.policy import Decision, Facts, decide
from runbookopt.project.project import Project, read_project
from runbookopt.proof.allowance import (
    Allowance,
    Look,
    Moved,
    allowance,
    burnt,
    changed_since,
    group_digests,
    look_key,
    looks_before,
    moved_since,
    recorded,
    reference_digest,
    trajectory_names,
)
from runbookopt.proof.comparison import Comparison, Pair, Terms, compare
from runbookopt.proof.ledger import Ledger, LedgerBroken
from runbookopt.verifier.rubric import Rubric, programs


class Stale(RunbookoptError):
    """The default branch has moved away from what a bundle was made from."""


class Change(Struct, frozen=True):
    """The one change that a bundle proposes: `tree` is the base's with its patch applied.

    `text` is the runbook's file in it, and `after` the same read; None where it cannot be.
    """

    tree: str
    text: str
    before: Runbook
    after: Runbook | None
    guard: GuardReport


class Checked(Struct, frozen=True):
    """A bundle that agrees with git: what stands at its base, what it changes, and the proof's pairs.

    `look` is derived, not read from the bundle; None where nobody looked. `pairs` are empty where the bundle
    restates what another one recorded of the same look.
    """

    bundle: Bundle
    project: Project
    change: Change
    look: Look | None
    pairs: tuple[Pair, ...]


class Proof(Struct, frozen=True):
    """What the ledger makes of a look: its place, what it may spend there, and what its outputs say.

    `record` is the bundle whose outputs were compared: another than the one at hand where the same question
    was answered before.
    """

    allowance: Allowance
    comparison: Comparison
    pairs: tuple[Pair, ...]
    record: str


def check(repository: Repository, ledger: Ledger, bundle: Bundle) -> Checked:
    """Derive from git what a bundle states, and hold it against that.

    Raises Refused with everything that does not agree, MalformedFile where it was changed after sealing,
    GitFailed where its base is not to be had.
    """
    bundle = read_bundle(encode(bundle), "the bundle")
    looks = ledger.looks(bundle.runbook)
    earlier = looks_before(looks, bundle.look.key) if bundle.look else looks
    project = read_project(repository.revision(bundle.base), bundle.runbook, burnt=burnt(earlier))
    _refuse(bundle, [*other_digests(bundle, project), *other_outcome(bundle)])
    change = _change(repository, bundle, project)
    restated = _restated(ledger, bundle)
    if restated is not None:
        _refuse(
            bundle,
            [
                *other_candidate(bundle, change.text, change.guard.violations),
                *other_question(bundle, project, restated),
            ],
        )
        return Checked(bundle, project, change, restated, ())
    look = _look(bundle, project) if bundle.look else None
    proof = (*other_look(bundle, look), *other_outputs(bundle, project))
    _refuse(bundle, [*other_candidate(bundle, change.text, change.guard.violations), *proof])
    _must_run_the_bases_programs(repository, bundle, project)
    found = pairs(bundle.outputs, {task.id: task for task in project.evidence.tasks}, project.rubric)
    checked = Checked(bundle, project, change, look, tuple(found))
    _refuse(bundle, [*other_scores(bundle, found, project.policy.proof)])
    return checked


def prove(repository: Repository, ledger: Ledger, checked: Checked) -> Proof | None:
    """Compare what a bundle's look saw, at the place that the look has in the ledger.

    A look that is not in the ledger is registered, unless the same question was answered before: then the
    record answers. Raises LedgerBroken, PushRefused, OriginUnreachable.
    """
    if checked.look is None:
        return None
    look = _answered(ledger, checked.look)
    if look is None or look.key == checked.look.key:
        ledger.register(checked.look)  # also where it is there: only what origin has is sure of its place
        look = _answered(ledger, checked.look) or checked.look
    source = checked
    if look.bundle not in {None, checked.bundle.digest}:
        source = check(repository, ledger, recorded_bundle(ledger, look.bundle or ""))
    return _proof(ledger, source, look, checked.project.policy.proof)


def recorded_bundle(ledger: Ledger, digest: str) -> Bundle:
    """Give a bundle that the ledger holds. Raises LedgerBroken where it does not."""
    data = ledger.bundle(digest)
    if data is None:
        raise LedgerBroken(f"bundle {digest} is not in the ledger: run optimize-runbook again")
    found = read_bundle(data, f"bundle {digest} of the ledger")
    if found.digest != digest:
        raise LedgerBroken(f"the ledger holds bundle {found.digest} under the name of {digest}")
    return found


def decided(ledger: Ledger, checked: Checked, proof: Proof | None) -> Decision:
    """Decide by the policy of the base."""
    bundle, project = checked.bundle, checked.project
    before, after = checked.change.before.text, bundle.candidate
    looks = ledger.looks(bundle.runbook)
    earlier = (*looks_before(looks, checked.look.key), checked.look) if checked.look else looks
    notes = changed_since(
        earlier, project.evidence.tasks, project.digests.rubric, seed=project.digests.runbook
    )
    facts = Facts(
        comparison=proof.comparison if proof else None,
        changed_lines=sum(1 for _ in changed_lines(bundle.patch)),
        growth=(len(after) - len(before)) / len(before) if before else None,
        introduced=checked.change.guard.introduces,
        uncalibrated=uncalibrated_in(project.rubric),
        trust=trust_in(project),
        leaning=leaning(proof.pairs, bundle.changes, project.evidence) if proof else (),
        ledger_notes=notes,
    )
    return decide(project.policy, facts)


def file_at(repository: Repository, commit: str, path: str) -> bytes | None:
    """Give the bytes of a file of a commit, None where it has no such file."""
    try:
        return repository.revision(commit).read(path)
    except FileNotFoundError:
        return None


def must_be_fresh(repository: Repository, checked: Checked, tip: str) -> None:
    """Hold the files that a bundle was made from against the default branch at `tip`.

    New trajectories there do not make a proof wrong, so they do not count. Raises Stale.
    """
    bundle, made = checked.bundle, checked.project
    again = f"run optimize-runbook {bundle.runbook} again"
    if not repository.is_ancestor(bundle.base, tip):
        raise Stale(f"the base {bundle.base[:12]} is not in origin's default branch: push it, or {again}")
    moved = [p for p in made.files if file_at(repository, bundle.base, p) != file_at(repository, tip, p)]
    if moved:
        raise Stale(f"{', '.join(moved)}: changed on origin's default branch since the run; {again}")


def must_have_the_held_out_tasks(repository: Repository, ledger: Ledger, checked: Checked, tip: str) -> None:
    """Hold the tasks that were looked at against those of the default branch at `tip`.

    Some more tasks change nothing; where a quarter is new, or a task has gone or has another reference, the
    proof is of something else. What had moved at the bundle's base already, between a look and a run that
    rests on its record, is for the decision to name. Raises Stale.
    """
    name, found = checked.bundle.runbook, held_out_now(repository, ledger, checked, tip)
    told = "; ".join((*found.moved, *(["a quarter of the held-out groups is new"] if found.grown else [])))
    if told:
        raise Stale(
            f"trajectories/{name}: changed on origin's default branch since the run ({told}): "
            f"run optimize-runbook {name} again"
        )


class HeldOutNow(Struct, frozen=True):
    """The held-out tasks of the default branch, held against those that were looked at.

    `moved` tells of those that went or got another reference since the base; `grown`: a quarter of the
    groups is new since the look.
    """

    moved: tuple[str, ...] = ()
    grown: bool = False


def held_out_now(repository: Repository, ledger: Ledger, checked: Checked, tip: str) -> HeldOutNow:
    """Say what became, by `tip` of the default branch, of the tasks that were looked at."""
    look, name, base = checked.look, checked.bundle.runbook, checked.project
    if look is None:
        return HeldOutNow()
    used = burnt(ledger.looks(name))  # what a search has used by now is no news to a proof
    try:
        now = read_project(repository.revision(tip), name, burnt=used)
    except RunbookoptError as error:
        return HeldOutNow(moved=(f"{name} cannot be read there any more: {error}",))
    moved = moved_since_its_look(checked, now).less(moved_since_its_look(checked, base))
    names = {**trajectory_names(base.evidence.tasks), **trajectory_names(now.evidence.tasks)}
    fresh = replace(look, key="", groups=group_digests(now.held_out_groups))
    told = (*moved.told(names), *_regrouped(checked.bundle, now))
    return HeldOutNow(told, grown=recorded([look], fresh) is None)


def _regrouped(bundle: Bundle, now: Project) -> Iterator[str]:
    """Say how many looked-at tasks are in another group or part by now: groups are what a proof counts."""
    there = {task.id: task for task in now.evidence.tasks}
    found = [seen for seen in bundle.outputs if seen.task in there]
    regrouped = sum(group_digest(there[seen.task]) != seen.group for seen in found)
    reassigned = sum(there[seen.task].split in {"train", "validation"} for seen in found)
    if regrouped:
        yield f"{regrouped} of {len(bundle.outputs)} looked-at tasks are in another group"
    if reassigned:
        yield f"{reassigned} of {len(bundle.outputs)} looked-at tasks are not held out any more"


def moved_since_its_look(checked: Checked, project: Project) -> Moved:
    """Say which tasks that a bundle's look saw are gone from a project, or have another reference there."""
    return moved_since([checked.look] if checked.look else [], project.evidence.tasks)


def _change(repository: Repository, bundle: Bundle, project: Project) -> Change:
    try:
        tree = repository.apply(bundle.patch.encode(), onto=bundle.base)
    except GitFailed as error:
        raise Refused(f"{bundle.runbook}: the patch does not apply to its base: {error}") from error
    entries = [entry for entry in repository.tree(tree, project.path) if entry.path == project.path]
    is_file = bool(entries) and entries[0].mode != "160000"
    text = repository.blob(entries[0].blob).decode(errors="replace") if is_file else ""
    try:
        after = reparse(project.runbook, text)
    except MalformedFile:
        after = None
    changes = repository.diff(bundle.base, tree)
    judged = guard(changes, path=project.path, before=project.runbook, after=after or text)
    return Change(tree, text, project.runbook, after, judged)


def _look(bundle: Bundle, project: Project) -> Look:
    terms = question(bundle, project)
    groups = group_digests(project.held_out_groups)
    held_out = (project.evidence.task(task) for task in project.split.held_out)
    return Look(
        key=look_key(bundle.runbook, **terms, groups=groups),
        runbook=bundle.runbook,
        **terms,
        groups=groups,
        tasks={task.id: reference_digest(task) for task in held_out},
        searched=(*project.split.train, *project.split.validation),
        at=bundle.look.at if bundle.look else "",
    )


def _restated(ledger: Ledger, bundle: Bundle) -> Look | None:
    """Give the look of a bundle that rests on the record of another one, and repeats what that one said."""
    if bundle.look is None:
        return None
    own = [look for look in ledger.looks(bundle.runbook) if look.key == bundle.look.key]
    if not own or own[0].bundle in {None, bundle.digest}:
        return None
    record = recorded_bundle(ledger, own[0].bundle or "")
    said = [(b.outputs, b.comparison, b.digests.held_out, b.digests.candidate) for b in (bundle, record)]
    if said[0] != said[1] or record.look is None or asked(record.look) != asked(bundle.look):
        return None
    return replace(record.look, bundle=None, answer=None)


def _answered(ledger: Ledger, look: Look) -> Look | None:
    """Find the entry of the ledger that answers a look: its own, else one that settled the same question."""
    looks = ledger.looks(look.runbook)
    own = [entry for entry in looks if entry.key == look.key]
    other = recorded(looks, look)
    return own[0] if own else other if other is not None and other.bundle is not None else None


def _proof(ledger: Ledger, source: Checked, look: Look, terms: Terms) -> Proof:
    """Compare what was recorded, under the terms of the base at hand: the policy may have moved since."""
    earlier = looks_before(ledger.looks(look.runbook), look.key)
    may = allowance(earlier, look.groups, look.tasks, terms.allowance)
    compared = compare(source.pairs, terms, spend=may.spend, next_spend=may.next_spend)
    return Proof(may, compared, source.pairs, source.bundle.digest)


def trust_in(project: Project) -> Trust | None:
    """Give the least trust of what may have been reflected on: which of it was is the word of a job."""
    order: tuple[Trust, ...] = get_args(Trust)
    found = (project.evidence.task(task).trust for task in project.split.train)
    return min(found, key=order.index, default=None)


def uncalibrated_in(rubric: Rubric) -> tuple[str, ...]:
    """Name the criteria that decide without having earned it, and those that are a judge's."""
    judged = {criterion.id for criterion in rubric.judged}
    by_judge = " (by a judge that nobody has held against labels)"
    return tuple(f"{name}{by_judge if name in judged else ''}" for name in rubric.uncalibrated)


def _must_run_the_bases_programs(repository: Repository, bundle: Bundle, project: Project) -> None:
    """Refuse to judge by programs that somebody has changed: they are run from the working tree."""
    told = programs(project.rubric, repository.root)
    differing = repository.working_tree_differs(bundle.base, told) if told else ()
    if differing:
        raise Refused(
            f"{bundle.runbook}: {', '.join(differing)}: a program of the rubric, and other than at the"
            f" bundle's base {bundle.base[:12]}: git checkout that commit's version, then run this again"
        )


def _refuse(bundle: Bundle, discrepancies: list[str]) -> None:
    if discrepancies:
        told = "".join(f"\n- {discrepancy}" for discrepancy in discrepancies)
        raise Refused(f"{bundle.runbook}: the bundle does not agree with git:{told}")
