"""ATIF, the Agent Trajectory Interchange Format: JSON documents with `schema_version` and `steps`. Pure.

https://github.com/laude-institute/harbor/blob/main/docs/rfcs/0001-trajectory-format.md
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.digest import as_text, digest_of
from runbookopt.evidence.formats.messages import text_of
from runbookopt.evidence.formats.reader import (
    Contents,
    Fault,
    Format,
    Found,
    Item,
    Loss,
    Sample,
    at,
    identity,
    list_at,
    text_at,
)
from runbookopt.evidence.trajectory import AgentRecord, Label, TaskRecord, Trajectory

NEWEST = 8
"""Minor version of ATIF 1 up to which all fields are known here."""

WRITTEN = "ATIF-v1.7"

_OURS = "runbookopt"
"""Key in `extra` below which our own fields stand in what we write."""

_LOST = {
    "notes": "notes",
    "final_metrics": "totals of tokens and costs",
    "continued_trajectory_ref": "references to continuations",
    "subagent_trajectories": "trajectories of sub-agents",
    "extra": "extra data of a trajectory",
}
_LOST_OF_AGENT = {
    "version": "versions of agents",
    "tool_definitions": "definitions of tools",
    "extra": "extra data of an agent",
}


class Attempt(Struct, frozen=True):
    """What a document says of an attempt; `task` is None where no user said anything."""

    task: Any
    output: str | None
    steps: tuple[dict[str, Any], ...]
    agent: AgentRecord | None
    started_at: str | None
    losses: tuple[Loss, ...]


def steps(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """The steps of this trajectory, without those copied from an earlier one; None where it is none."""
    if len(records) != 1 or not _is_atif(records[0]) or not isinstance(records[0].get("steps"), list):
        return None
    return [step for step in list_at(records[0], "steps") if _is_own(step)]


def attempt_of(document: Mapping[str, Any]) -> Attempt:
    """A document as an attempt: its task is what users say before the agent does anything."""
    all_steps = [step for step in list_at(document, "steps") if isinstance(step, dict)]
    agent = at(document, "agent")
    lost = Counter(_LOST[key] for key in _LOST.keys() & document.keys() if document[key])
    if isinstance(agent, dict):
        lost.update(_LOST_OF_AGENT[key] for key in _LOST_OF_AGENT.keys() & agent.keys() if agent[key])
    lost["entries that are no steps"] = len(list_at(document, "steps")) - len(all_steps)
    lost["steps copied from an earlier trajectory"] = sum(not _is_own(step) for step in all_steps)
    said = [text_of(step.get("message")) for step in all_steps if step.get("source") == "agent"]
    name, model = text_at(agent, "name"), text_at(agent, "model_name")
    models = (text_at(step, "model_name") for step in all_steps)
    return Attempt(
        task=_task(all_steps),
        output=next(filter(None, reversed(said)), None),
        steps=tuple(step for step in all_steps if _is_own(step)),
        agent=AgentRecord(name, model or next(filter(None, models), None)) if name or model else None,
        started_at=next((when for step in all_steps if (when := text_at(step, "timestamp"))), None),
        losses=tuple(Loss(what, count) for what, count in sorted(lost.items()) if count),
    )


def _task(all_steps: Sequence[dict[str, Any]]) -> Any:  # noqa: ANN401 - text, or a list of texts
    texts: list[str] = []
    for step in all_steps:
        if step.get("source") == "agent" and texts:
            break
        if step.get("source") == "user" and (text := text_of(step.get("message"))):
            texts.append(text)
    return texts[0] if len(texts) == 1 else texts or None


def read(contents: Contents) -> Iterator[Item]:
    """One attempt a document. A document that we wrote gives back what it was written from."""
    for record in contents.records:
        document = record.value
        if not isinstance(document, dict) or not _is_atif(document):
            yield Fault("expected an ATIF trajectory: a mapping with `schema_version`", record.place)
            continue
        version = re.fullmatch(r"ATIF-v1\.(\d{1,3})", document["schema_version"])
        if version is None or not isinstance(document.get("steps"), list):
            shown = as_text(document["schema_version"])[:40]
            yield Fault(f"expected ATIF-v1.0 to v1.{NEWEST} with a list `steps`, got {shown}", record.place)
            continue
        if int(version[1]) > NEWEST:
            message = f"newer than ATIF-v1.{NEWEST}: what came with v1.{version[1]} is not known here"
            yield Fault(message, record.place, kept=True)
        if (written := _written_by_us(document)) is not None:
            yield replace(written, place=record.place)
            continue
        attempt = attempt_of(document)
        if attempt.task is None:
            yield Fault("expected a step of a user that states the task", record.place)
            continue
        yield from attempt.losses
        yield Found(_trajectory(document, attempt), (), record.place)


def _recognizes(sample: Sample) -> int:
    return sum(map(_is_atif, sample.mappings()))


FORMAT = Format(name="atif", title="an ATIF trajectory", recognizes=_recognizes, read=read)


def _is_atif(document: Mapping[str, Any]) -> bool:
    version = document.get("schema_version")
    return isinstance(version, str) and version.startswith("ATIF-")


def _is_own(step: object) -> bool:
    return isinstance(step, dict) and not step.get("is_copied_context")


def _trajectory(document: Mapping[str, Any], attempt: Attempt) -> Trajectory:
    # a session's id is not unique: agents of one run share it, and a continuation keeps it
    own = text_at(document, "trajectory_id")
    session = text_at(document, "session_id") or "session"
    return Trajectory(
        id=identity("atif", own) if own else identity("atif", session, digest_of(document)[7:23]),
        task=TaskRecord(attempt.task),
        output=attempt.output,
        steps=attempt.steps,
        agent=attempt.agent,
        started_at=attempt.started_at,
    )


def document_of(trajectory: Trajectory, labels: Sequence[Label] = ()) -> dict[str, Any]:
    """A trajectory as an ATIF document; `read` gives it back as it was, its steps numbered from 1.

    Where no step says the task or the output, one is added that does.
    """
    listed = list(trajectory.steps)
    if _task(listed) is None:
        listed.insert(0, _added("user", as_text(trajectory.task.input)))
    said = [text_of(step.get("message")) for step in listed if step.get("source") == "agent"]
    if trajectory.output is not None and said[-1:] != [trajectory.output]:
        listed.append(_added("agent", trajectory.output))
    agent = trajectory.agent or AgentRecord()
    own = msgspec.to_builtins(replace(trajectory, steps=())) | {"labels": msgspec.to_builtins(labels)}
    return {
        "schema_version": WRITTEN,
        "session_id": trajectory.id,
        "trajectory_id": trajectory.id,
        "agent": {
            "name": agent.name or "unknown",
            "version": "unknown",
            **({"model_name": agent.model} if agent.model else {}),
        },
        "steps": [{**step, "step_id": number} for number, step in enumerate(listed, 1)],
        "extra": {_OURS: {key: value for key, value in own.items() if value not in (None, [])}},
    }


def _added(source: str, message: str) -> dict[str, Any]:
    return {"source": source, "message": message, "extra": {_OURS: "added"}}


def _written_by_us(document: Mapping[str, Any]) -> Found | None:
    own = at(document, "extra", _OURS)
    if not isinstance(own, dict):
        return None
    own = dict(own)
    kept = [step for step in list_at(document, "steps") if at(step, "extra", _OURS) != "added"]
    numbered = [{**step, "step_id": n} for n, step in enumerate(kept, 1) if isinstance(step, dict)]
    try:
        labels = msgspec.convert(own.pop("labels", []), tuple[Label, ...])
        return Found(msgspec.convert({**own, "steps": numbered}, Trajectory), labels)
    except msgspec.ValidationError:
        return None
