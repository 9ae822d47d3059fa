"""Tasks that a diff adds or changes: references and labels judge, so they are part of the verifier."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.digest import canonical
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.library import Evidence, Source
from runbookopt.evidence.reading import LEFT_OUT
from runbookopt.evidence.split import Split, group_of, split
from runbookopt.evidence.trajectory import Task
from runbookopt.forge.git.output import FileChange
from runbookopt.project.places import layout_of
from runbookopt.project.policy import Policy
from runbookopt.project.project import declared_policy, evidence_of

_LABELS = ".labels.jsonl"
_PARTS = ("train", "validation", "held_out")


class Tasks(Struct, frozen=True):
    """The tasks of a runbook, and how a policy splits them."""

    evidence: Evidence
    split: Split


def more_attempts(
    changes: Sequence[FileChange], before: Source, after: Source, names: Collection[str]
) -> frozenset[str]:
    """The files of a diff that get nothing but more attempts at tasks that are there already.

    Lines may be added at the end of a file, or in a new one. No task, reference, group, part or label is
    another one then, none is trusted otherwise, by the policy before the change, and no attempt is gone or
    left out.
    """
    return frozenset(path for name in names for path in _more_attempts(changes, before, after, name))


def _more_attempts(changes: Sequence[FileChange], before: Source, after: Source, name: str) -> Iterator[str]:
    sides = [lie for side in (before, after) if (lie := layout_of(side).runbooks.get(name)) is not None]
    own = [each for each in changes if any(lie.is_evidence(_path(each)) for lie in sides)]
    added = [each.new_path for each in own if each.new_path and _is_added_to(each, before, after)]
    if not added:
        return
    try:
        policy = declared_policy(before, name)
        old, new = (evidence_of(side, name, policy.given) for side in (before, after))
    except RunbookoptError:  # what cannot be told is a change
        return
    by_time, judging = policy.proof.split.by == "time", set[bytes]()
    for side in (old, new):
        tasks = [replace(task, trajectories=(), began=task.began if by_time else None) for task in side.tasks]
        judging.add(canonical([tasks, side.labels]))
    there = {each.id: each for each in new.trajectories}
    if len(judging) == 1 and all(there.get(each.id) == each for each in old.trajectories):
        odd = {each.path for each in {*new.warnings} - {*old.warnings} if each.message.startswith(LEFT_OUT)}
        yield from (path for path in added if path not in odd)


def _is_added_to(change: FileChange, before: Source, after: Source) -> bool:
    """Whether a file of trajectories is new, or has at its beginning all that it had."""
    path = change.new_path or ""
    if path.endswith(_LABELS) or change.status not in ({"A", "M"} if path.endswith(".jsonl") else {"A"}):
        return False
    try:
        old = before.read(path) if change.status == "M" else b""
        return after.read(path).startswith(old if not old or old.endswith(b"\n") else old + b"\n")
    except (FileNotFoundError, RunbookoptError):  # a link, or a file of another kind
        return False


def _path(change: FileChange) -> str:
    return change.new_path or change.old_path or ""


def changed_tasks(before: Source, after: Source, name: str) -> tuple[str, ...]:
    """What a diff does to the tasks of a runbook, in sentences, by the policy before it.

    That no search has used them yet is taken for granted. Raises RunbookoptError where either cannot be read.
    """
    policy = declared_policy(before, name)
    return tuple(_told(_tasks(before, name, policy), _tasks(after, name, policy)))


def _tasks(source: Source, name: str, policy: Policy) -> Tasks:
    evidence, terms = evidence_of(source, name, policy.given), policy.proof
    return Tasks(evidence, split(evidence.tasks, terms.split, repeats=terms.near_repeats))


def _told(before: Tasks, after: Tasks) -> Iterator[str]:
    old = {task.id: task for task in before.evidence.tasks}
    new = {task.id: task for task in after.evidence.tasks}
    added = new.keys() - old.keys()
    if added:
        yield _added([new[task] for task in sorted(added)], after.split)
    if gone := old.keys() - new.keys():
        yield f"takes {_count(len(gone), 'task')} away"
    kept = [(old[task], new[task]) for task in sorted(old.keys() & new.keys())]
    for what, is_changed in (
        ("another reference", [one.reference != other.reference for one, other in kept]),
        ("another group", [group_of(one) != group_of(other) for one, other in kept]),
        ("another part", [one.split != other.split for one, other in kept]),
        ("another trust", [one.trust != other.trust for one, other in kept]),
    ):
        if any(is_changed):
            yield f"gives {_count(sum(is_changed), 'task')} {what}"
    labels = (Counter(map(canonical, side.evidence.labels)) for side in (after, before))
    if changed := next(labels) - next(labels):
        yield f"adds or changes {_count(changed.total(), 'label')}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _added(tasks: Sequence[Task], parts: Split) -> str:
    """How many of which part are new, how they are trusted, and how many of the proof's they would be."""
    drawn = {part: frozenset[str](getattr(parts, part)) for part in _PARTS}
    of = {part: sum(task.id in drawn[part] for task in tasks) for part in _PARTS}
    listed = [f"{count} {part.replace('_', '-')}" for part, count in of.items()]
    unused = len(tasks) - sum(of.values())
    listed += [f"{unused} unused"] if unused else []
    trusted = ", ".join(f"{count} {trust}" for trust, count in Counter(task.trust for task in tasks).items())
    share = of["held_out"] / len(drawn["held_out"]) if drawn["held_out"] else 0.0
    held_out = f"{share:.0%} of the {len(drawn['held_out'])} held-out tasks of a proof would be these"
    given = f"by `trust` in policy.yaml {trusted}, whatever their lines say"
    return f"adds {_count(len(tasks), 'task')}: {', '.join(listed)}; {given}; {held_out}"
