"""Independence of held-out tasks: which repeat what a search uses, and of which no time is known (pure)."""

from collections.abc import Iterator

from msgspec import Struct

from runbookopt.documents.schema_errors import shown
from runbookopt.evidence.trajectory import Task, time_of
from runbookopt.project.project import Project

MOST = 20
"""Pieces of boilerplate that are named in JSON, the most frequent first."""

NAMED = 3
"""Pairs and pieces of boilerplate that are named in words."""

LONG = 8
"""Words from which on boilerplate is worth a word where nothing is lost: less is how people talk."""


class Alike(Struct, frozen=True):
    """A held-out task and one that it nearly repeats: ids, "file:line" of their first trajectories, words.

    `group` is what to write in both, so that they stay in one part.
    """

    task: str
    place: str
    of: str
    of_place: str
    shared: str
    group: str


def pairs_of(project: Project) -> tuple[Alike, ...]:
    """The near repeats of a project, each with the group that would keep its tasks together."""
    names = _proposed_groups(project)
    return tuple(
        Alike(
            repeat.task,
            _place(project, repeat.task),
            repeat.of,
            _place(project, repeat.of),
            " ".join(repeat.shared),
            names[repeat.task],
        )
        for repeat in project.split.near_repeats
    )


def undated(project: Project) -> tuple[Task, ...]:
    """The tasks of which nobody knows when they began."""
    return tuple(task for task in project.evidence.tasks if task.began is None)


def on_near_repeats(project: Project) -> Iterator[str]:
    """Which held-out tasks are alike to what a search uses, why that was found, and what to write."""
    pairs = pairs_of(project)
    if pairs:
        one = len(pairs) == 1
        kept = f"stay{'s' * one} in the proof, as the policy allows, so that every change goes to review"
        gone = f"{'is' if one else 'are'} left out of the proof"
        what = gone if project.policy.proof.near_repeats == "refuse" else kept
        told = "; ".join(_told(pair) for pair in pairs[:NAMED])
        rest = len(pairs) - NAMED
        more = f"; and {rest} more (`runbookopt check --json` has all)" if rest > 0 else ""
        yield (
            f"{len(pairs)} held-out task{'s' * (not one)} {what}: each nearly repeats one that a search uses:"
            f" {told}{more}. Give those that belong together one `group`, and they stay in one part"
        )
    phrases = [each for each in project.split.boilerplate if pairs or len(each.words.split()) >= LONG]
    if phrases:
        named = ", ".join(f"{shown(each.words, 80)} ({each.groups} groups)" for each in phrases[:NAMED])
        more = f" and {len(phrases) - NAMED} more" if len(phrases) > NAMED else ""
        yield f"words that inputs share whose rest differs are not compared: {named}{more}"


def on_time(project: Project) -> Iterator[str]:
    """How many tasks cannot be held-out, by a policy that splits by time, since none knows their time."""
    lacking = undated(project)
    if project.policy.proof.split.since is None or not lacking:
        return
    stated = (project.evidence.trajectory(name) for task in lacking for name in task.trajectories)
    unread = next((each for each in stated if each.started_at and time_of(each.started_at) is None), None)
    odd = f"; {shown(unread.started_at)} in {project.evidence.where(unread.id)} is none" if unread else ""
    yield (
        f"{len(lacking)} of {len(project.evidence.tasks)} tasks do not say when they began, first in"
        f" {_place(project, lacking[0].id)}, so they are never held-out: give their trajectories"
        f" `started_at`, as in 2026-11-01T09:00:00Z{odd}"
    )


def _told(pair: Alike) -> str:
    return f'{pair.place} and {pair.of_place} share {shown(pair.shared)} (`"group": {shown(pair.group)}`)'


def _place(project: Project, task: str) -> str:
    return project.evidence.where(project.evidence.task(task).trajectories[0])


def _proposed_groups(project: Project) -> dict[str, str]:
    """A group for each task of a near repeat: one that those which hang together have, else a new one."""
    together: dict[str, frozenset[str]] = {}
    for repeat in project.split.near_repeats:
        both = together.get(repeat.task, frozenset([repeat.task])) | together.get(
            repeat.of, frozenset([repeat.of])
        )
        together.update(dict.fromkeys(both, both))
    names: dict[str, str] = {}
    taken = {task.group for task in project.evidence.tasks}
    free = (name for number in range(1, 10**9) if (name := f"alike-{number}") not in taken)
    for task in sorted(together):
        if task not in names:
            own = (project.evidence.task(each).group for each in sorted(together[task]))
            name = min((group for group in own if group), default=None) or next(free)
            names.update(dict.fromkeys(together[task], name))
    return names
