"""Stored outputs of a runbook: which count as today's, and which are evidence alone (pure).

What another agent or another version put out is no score of today's runbook, and still shows what goes wrong.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.finding import Finding
from runbookopt.documents.schema_errors import plain
from runbookopt.engine.calls import attempt_of
from runbookopt.evidence.library import Source
from runbookopt.evidence.trajectory import Label, Left, StoredVerdict, Trajectory, time_of
from runbookopt.project.project import Project
from runbookopt.project.root_of_name import agents_as_today
from runbookopt.project.versions import Tie, Version, tie
from runbookopt.search.asks import Attempt, Stored
from runbookopt.verifier.judge import stored_findings
from runbookopt.verifier.rubric import assess

AGENTS = 3
"""So many agents are named."""

NAME = 60
"""Characters of an agent's name that are shown."""


class Output(Struct, frozen=True):
    """A stored output: the version that it ran, and whether it is of today's agent and text.

    `as_today` names its agent where the repository says that this is the configured one.
    """

    trajectory: Trajectory
    version: Tie | None
    of_today: bool
    as_today: str | None = None

    @property
    def origin(self) -> str:
        """Of which agent and runbook it is, in words that strangers chose in part."""
        agent = self.trajectory.agent
        named = ", ".join(filter(None, (agent.name, agent.model))) if agent else ""
        return f"agent {named or 'without a name'}, runbook {self._ran}"

    @property
    def ran(self) -> str | None:
        """The version of the runbook that it ran, as far as it is known, told apart from all others."""
        said = self.trajectory
        known = None if self.version is None else self.version.version.digest
        return known or said.runbook_digest or said.runbook_version

    @property
    def _ran(self) -> str:
        said = self.trajectory
        if self.version is not None:
            return str(self.version)
        return f"version {said.runbook_version or said.runbook_digest or 'unknown'}"


class StoredOutputs(Struct, frozen=True):
    """The stored outputs of a runbook, the newest of each task first; `errored` attempts broke down."""

    outputs: tuple[Output, ...]
    errored: int

    @property
    def of_today(self) -> tuple[Output, ...]:
        """Those of today's runbook and agent."""
        return tuple(each for each in self.outputs if each.of_today)

    @property
    def of_others(self) -> tuple[Output, ...]:
        """All others."""
        return tuple(each for each in self.outputs if not each.of_today)


class Counts(Struct, frozen=True):
    """How many stored outputs of a runbook are of which kind, for programs.

    `of_today` are of today's runbook and agent: None where the agent is not known. Of the others `train` are
    reflected on and the rest is not: those on `validation` and `held_out` tasks, and on tasks in `no_part`
    that is drawn. `agents` are those of the others, `versions` the versions of the runbook that they ran,
    and `unknown` ran one that nobody knows. `as_today` of the others count as today's if a trial holds.
    """

    outputs: int
    errored: int
    of_today: int | None
    train: int
    validation: int
    held_out: int
    no_part: int
    agents: tuple[str, ...]
    versions: int
    unknown: int
    as_today: int = 0


def believed(source: Source, name: str, here: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The agents that a revision says to be the configured one, and a note where the settings here differ."""
    said = agents_as_today(source, name)
    if said == tuple(here):
        return said, ()
    there = ", ".join(map(plain, said)) or "nobody"
    return said, (f"stored_as_today is other here than at the base, whose word counts: {there}",)


def stored_outputs(
    project: Project, key: str | None, known: Sequence[Version], as_today: Collection[str] = ()
) -> StoredOutputs:
    """Sort the stored outputs of a runbook; `key` is the configured agent's, None where it is not known.

    `as_today` are agents that the repository says to be that one: theirs are taken as such where they ran
    today's text, as far as git tells (`known`).
    """
    today, outputs = project.runbook.digest, []
    for stored in sorted(project.evidence.trajectories, key=_began, reverse=True):
        if stored.output is None or stored.error is not None:  # what broke down is no answer
            continue
        version, agent = tie(stored, known), stored.agent
        of_today = key is not None and agent is not None and agent.key == key
        of_today = of_today and stored.runbook_digest == today
        name = agent.name if agent is not None and agent.name in as_today else None
        taken = name if version is not None and version.version.digest == today else None
        outputs.append(Output(stored, version, of_today, None if of_today else taken))
    broken = sum(stored.error is not None for stored in project.evidence.trajectories)
    return StoredOutputs(tuple(outputs), broken)


def scored(project: Project, outputs: Sequence[Output]) -> dict[str, Attempt]:
    """The newest of these outputs that today's rubric can judge, by task, as attempts.

    Where a judge decides, only outputs that it has judged count: those of others are rolled out again.
    """
    attempts: dict[str, Attempt] = {}
    for each in outputs:
        verdicts = stored_findings(project.rubric, each.trajectory)
        if verdicts.keys() >= {each.id for each in project.rubric.judged if each in project.rubric.deciding}:
            task = project.evidence.task_of(each.trajectory).id
            if task not in attempts:
                attempts[task] = _assessed(project, each.trajectory, verdicts)
    return attempts


def standing(project: Project, stored: Trajectory, key: str | None, as_today: str | None = None) -> str:
    """What a stored trajectory counts as under a configured agent with this key, and why.

    `as_today` names its agent where the repository says that it is that one (`Output.as_today`).
    """
    if stored.error is not None:
        return "nothing: it broke down, which is no answer"
    if stored.output is None:
        return "a task to roll out: it has no output"
    task = project.evidence.task_of(stored).id
    agent_is_today = key is not None and stored.agent is not None and stored.agent.key == key
    other = " and ".join(
        what
        for what, is_today in (
            ("runbook", stored.runbook_digest == project.runbook.digest),
            ("agent", agent_is_today),
        )
        if not is_today
    )
    if not other:
        return "a score: it names today's runbook and agent"
    if as_today is not None:
        agent = f"runbookopt.yaml says of agent {plain(as_today[:NAME])} that it is the configured one"
        return f"a score, if a trial holds: it ran today's runbook, and {agent} (stored_as_today)"
    if task in project.split.train:
        return f"reflected on, not scored: it does not name today's {other}"
    return f"not looked at: it does not name today's {other}, and its task is not one of train"


def borrowed(
    project: Project, stored: StoredOutputs, tasks: Collection[str], least: int
) -> tuple[dict[str, tuple[str, Attempt]], tuple[str, ...]]:
    """Attempts at these tasks by agents that are said to be the configured one, by task, with whose they are.

    Not those of an agent with fewer than `least` of them, which cannot be tried: a sentence says so. Where
    there is an attempt of today's agent, it is taken.
    """
    own, lacking = scored(project, stored.of_today), []
    found: dict[str, tuple[str, Attempt]] = {}
    by_agent: dict[str, list[Output]] = {}
    for each in stored.outputs:
        if each.as_today is not None:
            by_agent.setdefault(each.as_today, []).append(each)
    for name, outputs in sorted(by_agent.items()):
        attempts = {
            task: (name, attempt)
            for task, attempt in scored(project, outputs).items()
            if task in tasks and task not in own and task not in found
        }
        if len(attempts) >= least:
            found |= attempts
        else:
            lacking.append(
                f"stored_as_today: {len(attempts)} outputs of agent {plain(name[:NAME])} with today's runbook"
                f" could stand for rollouts, and {least} are needed to try it: none is believed"
            )
    return found, tuple(lacking)


def evidence(project: Project, stored: StoredOutputs) -> dict[str, Stored]:
    """For each train task that has any, the output to reflect on: of today's text before others, the newest.

    No task of another part, and none that a red team wrote, is ever a train task.
    """
    train, today = frozenset(project.split.train), project.runbook.digest
    ordered = sorted(stored.outputs, key=lambda each: each.ran != today)
    found: dict[str, Stored] = {}
    for each in ordered:
        task = project.evidence.task_of(each.trajectory).id
        if task in train and task not in found:
            verdicts = _any_verdicts(project, each.trajectory)
            attempt = _assessed(project, each.trajectory, verdicts)
            if attempt.errors and not attempt.failed:  # where the rubric cannot say, others are heard
                attempt = replace(
                    attempt, feedback=(*attempt.feedback, *_of_others(project, each.trajectory))
                )
            found[task] = Stored(attempt, each.origin)
    return found


def _of_others(project: Project, stored: Trajectory) -> Iterator[str]:
    """Failures that other tools and people found, by names that are no criteria of the rubric."""
    known = {criterion.id for criterion in project.rubric.criteria}
    found: list[Label | StoredVerdict] = [
        label for label in project.evidence.labels if label.trajectory == stored.id
    ]
    found += [each for each in stored.verdicts if each.by is None or each.by.kind != "agent"]
    for said in found:
        if said.criterion not in known and said.result == "fail":
            yield f"{said.criterion}: {_why(said.result, said.explanation)}"


def counts(project: Project, stored: StoredOutputs, *, agent_known: bool = True) -> Counts:
    """Count the outputs by kind."""
    parts = {
        task: part for part in ("train", "validation", "held_out") for task in getattr(project.split, part)
    }
    others = stored.of_others
    of = Counter(parts.get(project.evidence.task_of(each.trajectory).id, "no_part") for each in others)
    names = Counter(_agent(each.trajectory) for each in others)
    return Counts(
        outputs=len(stored.outputs),
        errored=stored.errored,
        of_today=len(stored.of_today) if agent_known else None,
        train=of["train"],
        validation=of["validation"],
        held_out=of["held_out"],
        no_part=of["no_part"],
        agents=tuple(name for name, _ in names.most_common()),
        versions=len({each.ran for each in others if each.ran is not None}),
        unknown=sum(each.ran is None for each in others),
        as_today=sum(each.as_today is not None for each in others),
    )


def on_stored(counted: Counts) -> Iterator[str]:
    """How many stored outputs there are of which kind, what becomes of each, and why; nothing without any."""
    if not counted.outputs:
        return
    outputs = "1 stored output" if counted.outputs == 1 else f"{counted.outputs:,} stored outputs"
    today = "not known how many" if counted.of_today is None else f"{counted.of_today:,}"
    head = f"{outputs}: {today} of today's runbook and agent"
    broken = f"; {counted.errored:,} more broke down, and are no answers" if counted.errored else ""
    if not counted.agents:
        yield f"{head}{broken}"
        return
    elsewhere = {
        "validation": counted.validation,
        "held-out": counted.held_out,
        "unused": counted.no_part,
    }
    kept = ", ".join(f"{count:,} on {part}" for part, count in elsewhere.items() if count)
    also = f" ({kept} tasks are not looked at)" if kept else ""
    fate = f"{counted.train:,} on train tasks are reflected on, not scored{also}"
    tried = f"; {counted.as_today:,} count as today's if their trial holds (stored_as_today)"
    yield f"{head} ({_of_whom(counted)}); {fate}{tried if counted.as_today else ''}{broken}"


def _of_whom(counted: Counts) -> str:
    named = ", ".join(
        f"`{plain(name[:NAME])}`" if name else "one without a name" for name in counted.agents[:AGENTS]
    )
    more = f" and {len(counted.agents) - AGENTS} more" if len(counted.agents) > AGENTS else ""
    agents = f"agent{'s' if len(counted.agents) > 1 else ''} {named}{more}"
    ran = f"runbook of {counted.versions} version{'' if counted.versions == 1 else 's'}"
    if counted.unknown:
        ran = (
            f"{ran}, {counted.unknown:,} of an unknown one"
            if counted.versions
            else "runbook of unknown version"
        )
    return f"{agents}, {ran}"


def _agent(stored: Trajectory) -> str:
    return (stored.agent.name or "") if stored.agent else ""


def _assessed(project: Project, stored: Trajectory, verdicts: Mapping[str, Finding]) -> Attempt:
    reference = project.evidence.task_of(stored).reference
    left = Left(steps=stored.steps or None)
    judged = assess(project.rubric, output=stored.output, reference=reference, left=left, verdicts=verdicts)
    return attempt_of(stored.id, stored.output, judged, {})


def _any_verdicts(project: Project, stored: Trajectory) -> dict[str, Finding]:
    """What is said of an output on criteria that ask a judge: by today's, else by a person or another judge.

    It decides nothing here but what a reflector is shown. What an agent says of itself is let be.
    """
    asked = {criterion.id for criterion in project.rubric.judged}
    found: dict[str, Finding] = {}
    for verdict in stored.verdicts:
        if (
            verdict.criterion in asked
            and verdict.result != "error"
            and verdict.by
            and verdict.by.kind != "agent"
        ):
            found[verdict.criterion] = Finding(verdict.result, _why(verdict.result, verdict.explanation))
    for label in project.evidence.labels:
        if label.trajectory == stored.id and label.criterion in asked and label.result != "unsure":
            found[label.criterion] = Finding(label.result, _why(label.result, label.explanation))
    return found | stored_findings(project.rubric, stored)


def _why(result: str, explanation: str | None) -> str:
    return "" if result == "pass" else (explanation or "it was judged so, without a reason")


def _began(stored: Trajectory) -> datetime:
    return time_of(stored.started_at) or datetime.min.replace(tzinfo=UTC)
