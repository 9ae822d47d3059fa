"""Gain without one source: what is left where one source of trajectories is left out (pure)."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from msgspec import Struct

from runbookopt.documents.schema_errors import plain
from runbookopt.evidence.library import Evidence
from runbookopt.evidence.trajectory import Task, Trajectory
from runbookopt.landing.bundle import Change
from runbookopt.landing.sources.history import Brought
from runbookopt.proof.comparison import Outcome, Pair

LEAST_SHARE = 0.5
"""Of the whole gain that must be left without any one source."""


class Origin(Struct, frozen=True):
    """Whence something came: who wrote it and which ways it took, which are words of the lines themselves.

    `files` and `commits` are what the default branch says of it.
    """

    writers: frozenset[str] = frozenset()
    ways: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    commits: frozenset[str] = frozenset()

    def is_of(self, source: str) -> bool:
        """Whether it came from one source alone."""
        return {source} in (self.writers, self.ways, self.files, self.commits)


def leaning(
    pairs: Sequence[Pair], changes: Sequence[Change], evidence: Evidence, came: Mapping[str, Brought]
) -> tuple[str, ...]:
    """Name each source without which less than half of the gain is left, in a sentence each.

    A source is who wrote, the task's `group`; which way a trajectory came, its trust and its `agent.name`;
    its file; and the commit that brought it (`came`, by task). Left out are the held-out tasks that came
    from it alone, and the edits that cite it alone. Which edit won which task is not known, so edits count
    alike: `left = gain of the other tasks * other edits / edits`. The oldest commit and its files, which may
    rightly hold most, are what later ones are held against. What a red team wrote teaches and proves nothing,
    so that it is no source of a gain. Where all came one way there is nothing to leave
    out. Trajectories that are not in the evidence came from a source that nobody knows.
    """
    gains = {pair.task: _mean(pair.after) - _mean(pair.before) for pair in pairs}
    groups = [pair.group for pair in pairs]
    weights = {pair.task: 1 / groups.count(pair.group) for pair in pairs}
    whole = sum(gain * weights[task] for task, gain in gains.items())
    if whole <= 0:
        return ()
    tasks = {task: _origin(evidence.task(task), evidence, came) for task in gains}
    edits = [_cited(change, evidence, came) for change in changes]
    leant_on: list[str] = []
    for source in _to_leave_out(evidence, came):
        left = sum(gain * weights[task] for task, gain in gains.items() if not tasks[task].is_of(source))
        others = sum(not edit.is_of(source) for edit in edits) / len(edits) if edits else 1.0
        share = left / whole * others
        if share < LEAST_SHARE:
            leant_on.append(f"without {source} {max(share, 0.0):.0%} of the gain is left")
    return tuple(leant_on)


def _mean(outcomes: Sequence[Outcome]) -> float:
    return fmean(outcome.score for outcome in outcomes) if outcomes else 0.0


def _to_leave_out(evidence: Evidence, came: Mapping[str, Brought]) -> Iterator[str]:
    origins = [_origin(task, evidence, came) for task in evidence.tasks if not task.red_team]
    for kind in ("writers", "ways"):
        several = frozenset[str]().union(*(getattr(origin, kind) for origin in origins))
        yield from sorted(several) if len(several) > 1 else ()
    begun = min((way.at for way in came.values()), default=0)
    first = {name(way) for name in (_file, _commit) for way in came.values() if way.at == begun}
    for name in (_file, _commit):
        yield from sorted({*map(name, came.values())} - first)


def _file(way: Brought) -> str:
    return f"the file {plain(way.path)}"


def _commit(way: Brought) -> str:
    return f"what commit {way.commit[:12]} brought"


def _origin(task: Task, evidence: Evidence, came: Mapping[str, Brought]) -> Origin:
    brought = [came[task.id]] if task.id in came else []
    return Origin(
        frozenset({f"the group {task.group}"} if task.group else ()),
        frozenset(_way(evidence.trajectory(name)) for name in task.trajectories),
        frozenset(map(_file, brought)),
        frozenset(map(_commit, brought)),
    )


def _cited(change: Change, evidence: Evidence, came: Mapping[str, Brought]) -> Origin:
    there = {trajectory.id for trajectory in evidence.trajectories} if change.trajectories else set()
    cited = [evidence.trajectory(name) for name in change.trajectories if name in there]
    origins = [_origin(evidence.task_of(trajectory), evidence, came) for trajectory in cited]
    lost = {"trajectories that are not there"} if len(cited) < len(change.trajectories) else set()
    unnamed = set() if all(origin.writers for origin in origins) else {"somebody"}
    return Origin(
        frozenset(unnamed | lost).union(*(origin.writers for origin in origins)),
        frozenset({_way(trajectory) for trajectory in cited} | lost),
        frozenset(lost).union(*(origin.files for origin in origins)),
        frozenset(lost).union(*(origin.commits for origin in origins)),
    )


def _way(trajectory: Trajectory) -> str:
    agent = trajectory.agent.name if trajectory.agent and trajectory.agent.name else None
    return f"what is {trajectory.trust} of {agent or 'agents without a name'}"
