"""Gain without one source: what is left where one source of trajectories is left out (pure)."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from runbookopt.evidence.library import Evidence
from runbookopt.evidence.trajectory import Task, Trajectory
from runbookopt.landing.bundle import Change
from runbookopt.proof.comparison import Outcome, Pair

LEAST_SHARE = 0.5
"""Of the whole gain that must be left without any one source."""

Origin = tuple[frozenset[str], frozenset[str]]
"""Who wrote, and which ways it came."""


def leaning(pairs: Sequence[Pair], changes: Sequence[Change], evidence: Evidence) -> tuple[str, ...]:
    """Name each source without which less than half of the gain is left, in a sentence each.

    A source is who wrote, the task's `group`, and which way a trajectory came, its `trust` and its
    `agent.name`. Left out are the held-out tasks that came from it alone, and the edits that cite it alone.
    Which edit won which task is not known, so edits count alike: `left = gain of the other tasks * other
    edits / edits`. Where all came one way there is nothing to leave out. Trajectories that are not in the
    evidence came from a source that nobody knows.
    """
    gains = {pair.task: _mean(pair.after) - _mean(pair.before) for pair in pairs}
    groups = [pair.group for pair in pairs]
    weights = {pair.task: 1 / groups.count(pair.group) for pair in pairs}
    whole = sum(gain * weights[task] for task, gain in gains.items())
    if whole <= 0:
        return ()
    tasks = {task: _sources(evidence.task(task), evidence) for task in gains}
    edits = [_cited(change, evidence) for change in changes]
    kinds = zip(*(_sources(task, evidence) for task in evidence.tasks), strict=True)
    several = [names for names in (frozenset[str]().union(*kind) for kind in kinds) if len(names) > 1]
    leant_on: list[str] = []
    for source in sorted(frozenset[str]().union(*several)):
        left = sum(gain * weights[task] for task, gain in gains.items() if {source} not in tasks[task])
        others = sum({source} not in edit for edit in edits) / len(edits) if edits else 1.0
        share = left / whole * others
        if share < LEAST_SHARE:
            leant_on.append(f"without {source} {max(share, 0.0):.0%} of the gain is left")
    return tuple(leant_on)


def _mean(outcomes: Sequence[Outcome]) -> float:
    return fmean(outcome.score for outcome in outcomes) if outcomes else 0.0


def _sources(task: Task, evidence: Evidence) -> Origin:
    ways = (_way(evidence.trajectory(name)) for name in task.trajectories)
    return frozenset(_writer(task)), frozenset(ways)


def _cited(change: Change, evidence: Evidence) -> Origin:
    there = {trajectory.id for trajectory in evidence.trajectories} if change.trajectories else set()
    cited = [evidence.trajectory(name) for name in change.trajectories if name in there]
    tasks = [evidence.task_of(trajectory) for trajectory in cited]
    lost = {"trajectories that are not there"} if len(cited) < len(change.trajectories) else set()
    writers = {writer for task in tasks for writer in _writer(task)}
    unnamed = set() if all(task.group for task in tasks) else {"somebody"}
    return frozenset(writers | unnamed | lost), frozenset({_way(trajectory) for trajectory in cited} | lost)


def _writer(task: Task) -> Iterator[str]:
    if task.group:
        yield f"the group {task.group}"


def _way(trajectory: Trajectory) -> str:
    agent = trajectory.agent.name if trajectory.agent and trajectory.agent.name else None
    return f"what is {trajectory.trust} of {agent or 'agents without a name'}"
