"""tau-bench and tau2-bench: attempts with the reward of a simulated shop or airline. Pure.

https://github.com/sierra-research/tau-bench, https://github.com/sierra-research/tau2-bench
"""

from collections.abc import Iterator, Mapping
from typing import Any

from runbookopt.documents.digest import digest_of
from runbookopt.evidence.formats.messages import conversation
from runbookopt.evidence.formats.reader import (
    Contents,
    Fault,
    Format,
    Found,
    Item,
    Loss,
    Place,
    Sample,
    at,
    identity,
    list_at,
    scored,
    share,
    text_at,
)
from runbookopt.evidence.trajectory import AgentRecord, Author, StoredVerdict, TaskRecord, Trajectory

_BROKEN = ("error", "infrastructure")
"""How those `termination_reason` begin, or end, that say that an attempt broke down."""


def read(contents: Contents) -> Iterator[Item]:
    """One attempt a row, or a simulation. The task is what the simulated user was told to want."""
    for record in contents.records:
        if isinstance(record.value, dict) and _is_row(record.value):
            yield from _row(record.value, record.place)
        elif isinstance(record.value, dict) and _is_run(record.value):
            yield from _run(record.value)
        else:
            yield Fault("expected a row with `task_id`, `reward`, `info` and `traj`", record.place)


def _recognizes(sample: Sample) -> int:
    return sum(_is_row(value) or _is_run(value) for value in sample.mappings())


FORMAT = Format(name="tau-bench", title="attempts of tau-bench", recognizes=_recognizes, read=read)


def _is_row(value: Mapping[str, Any]) -> bool:
    return {"task_id", "reward", "info", "traj"} <= value.keys()


def _is_run(value: Mapping[str, Any]) -> bool:
    return {"simulations", "tasks"} <= value.keys()


def _row(row: Mapping[str, Any], place: Place) -> Iterator[Item]:
    talk = conversation(list_at(row, "traj"))
    told = text_at(row, "info", "task", "instruction") or talk.task
    if told is None:
        yield Fault("expected `info.task.instruction`, or what a user said", place)
        return
    yield from talk.losses
    if at(row, "info", "user_cost"):
        yield Loss("costs of the simulated user")
    expected = {key: at(row, "info", "task", key) for key in ("actions", "outputs")}
    # rows have no id of their own: two runs of one task and trial differ in what was said
    parts = (row["task_id"], row.get("trial", 0), digest_of(row["traj"])[7:23])
    trajectory = Trajectory(
        id=identity("tau-bench", *parts),
        task=TaskRecord(told, expected if any(expected.values()) else None, group=f"task {row['task_id']}"),
        output=talk.output,
        steps=talk.steps,
        verdicts=_reward(row["reward"]),
        error=text_at(row, "info", "error"),
    )
    yield Found(trajectory, (), place)


def _run(run: Mapping[str, Any]) -> Iterator[Item]:
    """The simulations of a run of tau2-bench."""
    tasks = {str(at(task, "id")): task for task in list_at(run, "tasks")}
    info = at(run, "info", "agent_info")
    agent = AgentRecord(text_at(info, "implementation"), text_at(info, "llm"))
    for number, each in enumerate(list_at(run, "simulations"), 1):
        place = Place(within=f"simulation {number}")
        talk = conversation(list_at(each, "messages"))
        task = tasks.get(str(at(each, "task_id")))
        told = at(task, "user_scenario", "instructions") or talk.task
        if told is None:
            yield Fault("expected a task with `user_scenario.instructions`, or what a user said", place)
            continue
        yield from talk.losses
        if at(each, "agent_cost") or at(each, "user_cost"):
            yield Loss("costs of agent and simulated user")
        ended = text_at(each, "termination_reason") or ""
        yield Found(
            Trajectory(
                id=identity("tau-bench", text_at(each, "id") or digest_of(each)[7:23]),
                task=TaskRecord(told, at(task, "evaluation_criteria"), group=f"task {at(each, 'task_id')}"),
                output=talk.output,
                steps=talk.steps,
                agent=agent if agent != AgentRecord() else None,
                started_at=text_at(each, "start_time"),
                verdicts=_reward(at(each, "reward_info", "reward")),
                error=f"ended by {ended}" if ended.startswith(_BROKEN) or ended.endswith(_BROKEN) else None,
            ),
            place=place,
        )


def _reward(value: object) -> tuple[StoredVerdict, ...]:
    score = share(value)
    return () if score is None else (scored("reward", score, None, Author("code", "tau-bench")),)
