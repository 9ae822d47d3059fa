"""Identity of a runbook over renames: by which names the ledger knows it, and who else is at its tasks."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.digest import digest, digest_of
from runbookopt.documents.parse import MalformedFile
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.library import Source
from runbookopt.evidence.split import group_of
from runbookopt.evidence.trajectory import Task
from runbookopt.forge.git.repository import Repository
from runbookopt.landing.requirements import few
from runbookopt.project.layout import ROOT
from runbookopt.project.places import layout_of, runbook_names
from runbookopt.project.project import Project, evidence_of, read_project
from runbookopt.proof.allowance import BEGINS_AGAIN, Look
from runbookopt.proof.binding import beginning
from runbookopt.proof.ledger import Ledger


class Identity(Struct, frozen=True):
    """A runbook as the ledger knows it.

    `names` are its own and then its former ones; `others` are the other runbooks of the ledger that look or
    search at the same tasks, with how many tasks that are.
    """

    names: tuple[str, ...]
    others: Mapping[str, int] = {}

    def told(self) -> Iterator[str]:
        """Say what its name alone does not, a sentence a kind."""
        own, *former = self.names
        if former:
            yield f"{own} was called {few(former)} before: what was looked at and read then counts"
        yield from at_the_same_tasks(self.others)


def at_the_same_tasks(others: Mapping[str, int]) -> Iterator[str]:
    """Say, in one sentence if at all, which other runbooks share how many tasks."""
    if others:
        listed = few([f"{name} ({count} of them)" for name, count in sorted(others.items())])
        yield f"other runbooks are at the same tasks, each with looks of its own: {listed}"


def identity_of(
    repository: Repository, ledger: Ledger, name: str, source: Source, commit: str | None = None
) -> Identity:
    """The identity of the runbook `name` of `source`, which is `commit` or rests on it.

    Another one of the ledger is a former name of it where it is no more and a commit up to `commit` moved its
    page here, as git finds by likeness. It is one, too, where most of its tasks are here by now, or under the
    same rubric any, and not there any more. Raises LedgerBroken.
    """
    others = sorted(ledger.names() - {name})
    if not others:
        return Identity((name,))
    tasks, there = _tasks(source, name), runbook_names(source)
    gone = [other for other in others if other not in there]
    moved = _moved_to(repository, commit, name) if gone and commit is not None else frozenset()
    former: list[str] = []
    beside: dict[str, int] = {}
    for other in others:
        known = _Known.of(ledger, other)
        shared = known.count(tasks)
        left = known.count(_tasks(source, other)) if shared and other in there else 0
        most = 2 * shared >= min(len(tasks), len(known.tasks))
        same = shared > left and (most or known.rubric in _rubrics(source, name))
        if same or (other in gone and other in moved):
            former.append(other)
        elif shared:
            beside[other] = shared
    return Identity((name, *former), beside)


def shared_tasks(projects: Sequence[Project]) -> dict[str, dict[str, int]]:
    """How many tasks each of these runbooks has in common with which others; none with none."""
    ids = {project.name: {task.id for task in project.evidence.tasks} for project in projects}
    return {
        name: {other: len(own & its) for other, its in ids.items() if other != name and own & its}
        for name, own in ids.items()
    }


def begin_again(ledger: Ledger, project: Project, tip: str, at: str) -> None:
    """Write down that earlier looks at a runbook are lost, and count as all of the allowance.

    Every held-out task of today counts as looked at. `tip` is the commit of the default branch up to which
    nobody asks any more what the ledger should hold. Raises what `Ledger.register` raises.
    """
    split = project.split
    left_out = [left.task for left in split.left_out]
    tasks = [project.evidence.task(task) for task in (*split.held_out, *left_out)]
    entry = Look.of(
        project.name,
        beginning(project.digests.runbook, project.digests.rubric, tip),
        groups=[group_of(task) for task in tasks],
        tasks=tasks,
        searched=(*split.train, *split.validation),
        at=at,
    )
    ledger.register(replace(entry, answer=BEGINS_AGAIN))


class _Known(Struct, frozen=True):
    """What the ledger knows under one name: ids of tasks, digests of groups, the rubric of the last look."""

    tasks: frozenset[str]
    groups: frozenset[str]
    rubric: str | None

    @classmethod
    def of(cls, ledger: Ledger, name: str) -> "_Known":
        looks = ledger.looks(name)
        tasks = {task for look in looks for task in look.tasks} | ledger.burnt(name)
        groups = {group for look in looks for group in look.groups}
        return cls(frozenset(tasks), frozenset(groups), looks[-1].rubric if looks else None)

    def count(self, tasks: Collection[Task]) -> int:
        return sum(task.id in self.tasks or digest_of(group_of(task)) in self.groups for task in tasks)


def _tasks(source: Source, name: str) -> tuple[Task, ...]:
    """The tasks of a runbook; none where they cannot be read, which is for the reader of all files to say."""
    try:
        return evidence_of(source, name).tasks
    except MalformedFile:
        return ()


def _rubrics(source: Source, name: str) -> set[str]:
    """The digests of what judges a runbook: of the file alone, and with its programs and what decides."""
    places = layout_of(source).runbooks.get(name)
    if places is None:
        return set()
    digests = set[str]()
    with suppress(FileNotFoundError):
        digests.add(digest(source.read(places.rubric)))
    with suppress(RunbookoptError):  # what cannot be read is for the reader of all files to say
        digests.add(read_project(source, name, places=places).digests.rubric)
    return digests


def _moved_to(repository: Repository, commit: str, name: str) -> frozenset[str]:
    """The runbooks whose page was moved to this one's folder, at once or on the way."""
    folders = [
        tuple(path.removeprefix(f"{ROOT}/").rpartition("/")[0] for path in pair)
        for pair in repository.renames(commit, ROOT)
        if all(path.endswith(".md") for path in pair)
    ]
    found, left = {name}, [name]
    while left:
        here = left.pop()
        new = {old for old, to in folders if to == here} - found
        found |= new
        left += new
    return frozenset(found - {name})
