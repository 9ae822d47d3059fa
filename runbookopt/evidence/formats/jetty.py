"""Jetty: dumps of its API, run cards, and the validation reports in which a run grades itself. Pure.

https://github.com/jettyio/agent-skill, https://github.com/jettyio/agent-runbooks
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from runbookopt.documents.digest import as_text, digest_of
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
    share,
    text_at,
)
from runbookopt.evidence.formats.traces.scores import Score, judged
from runbookopt.evidence.formats.traces.values import answer, question
from runbookopt.evidence.trajectory import AgentRecord, Author, StoredVerdict, TaskRecord, Trajectory

_ITSELF = Author("agent", "jetty:self-graded")
"""Who gave the verdicts of a report: the run whose report it is. They never decide."""

_REPORTS = ("validation_report.json", "expected/validation_report.json")
_SUMMARIES = ("summary.md", "expected/summary.md")
_BROKEN = frozenset({"failed", "cancelled", "error", "timeout"})
_BEST = 5
"""Full marks of a criterion in a report's rubric."""

_LOST_OF_A_CARD = {
    "duration_seconds": "times of runs",
    "notes": "notes on runs",
    "primary_files": "files that a run left",
    "snapshot": "settings of runs",
}
_LOST_OF_A_DUMP = {"events": "events of runs", "workflow": "settings of runs", "duration": "times of runs"}


def read(contents: Contents) -> Iterator[Item]:
    """One attempt a dump or a run card; a report is one where no card is beside it."""
    for record in contents.records:
        for value in list_at(record.value, "trajectories") or [record.value]:
            if _is_dump(value):
                yield from _dump(value, record.place)
            elif _is_card(value):
                yield from _card(value, contents, record.place)
            elif _is_report(value):
                yield from _report(value, contents, record.place)
            elif _is_manifest(value):
                yield Loss("manifests of runbooks, which run cards say more of")
            else:
                yield Fault("expected a trajectory, a run card or a validation report of Jetty", record.place)


def _recognizes(sample: Sample) -> int:
    return sum(
        _is_any(value) or any(map(_is_any, list_at(value, "trajectories"))) for value in sample.mappings()
    )


FORMAT = Format(
    name="jetty",
    title="a run on Jetty",
    recognizes=_recognizes,
    read=read,
    belongs=("input.json", "summary.md", "expected/"),
)


def _is_any(value: object) -> bool:
    return _is_dump(value) or _is_card(value) or _is_report(value) or _is_manifest(value)


def _is_dump(value: object) -> bool:
    return isinstance(value, dict) and "trajectory_id" in value and isinstance(value.get("init_params"), dict)


def _is_card(value: object) -> bool:
    return isinstance(value, dict) and {"trajectory_id", "collection", "task"} <= value.keys()


def _is_report(value: object) -> bool:
    return isinstance(value, dict) and {"overall_passed", "stages"} <= value.keys()


def _is_manifest(value: object) -> bool:
    return isinstance(value, dict) and {"slug", "runbook_source"} <= value.keys()


def _dump(value: Mapping[str, Any], place: Place) -> Iterator[Item]:
    task = question(value["init_params"])
    if task is None:
        yield Fault("expected `init_params` that say what the run was given", place)
        return
    steps = at(value, "steps")
    named = steps.items() if isinstance(steps, dict) else enumerate(list_at(value, "steps"), 1)
    pairs = [(str(name), step) for name, step in named if isinstance(step, dict)]
    outputs = [step["outputs"] for _, step in pairs if step.get("outputs")]
    id_ = identity("jetty", value["trajectory_id"])
    told = judged(id_, [Score(at(label, "key"), at(label, "value")) for label in list_at(value, "labels")])
    yield from (*told.losses, *(Loss(what) for key, what in _LOST_OF_A_DUMP.items() if value.get(key)))
    status = text_at(value, "status")
    why = text_at(value, "error") or next((why for _, step in pairs if (why := text_at(step, "error"))), None)
    trajectory = Trajectory(
        id=id_,
        task=TaskRecord(task),
        runbook_version=text_at(value, "runbook_version"),
        output=_words(outputs[-1]) if outputs else None,
        steps=tuple(_step(number, *pair) for number, pair in enumerate(pairs, 1)),
        agent=_agent(value),
        started_at=text_at(value, "created_at") or text_at(value, "started_at"),
        verdicts=told.verdicts,
        error=(why or f"status {status}") if str(status).casefold() in _BROKEN else None,
    )
    yield Found(trajectory, told.labels, place)


def _words(outputs: object) -> str | None:
    return text_at(outputs, "text") or answer(outputs)


def _step(number: int, name: str, step: Mapping[str, Any]) -> dict[str, Any]:
    given = step.get("inputs")
    call = {
        "tool_call_id": name,
        "function_name": text_at(step, "activity") or name,
        "arguments": given if isinstance(given, dict) else {},
    }
    results = [{"source_call_id": name, "content": as_text(step.get("outputs") or step.get("error") or "")}]
    return {
        "step_id": number,
        "source": "agent",
        "message": "",
        "tool_calls": [call],
        "observation": {"results": results},
    }


def _card(value: Mapping[str, Any], contents: Contents, place: Place) -> Iterator[Item]:
    """A run card: what it was given stands beside it, in `input.json`."""
    told = _json(contents.read("input.json"))
    given = {key: told[key] for key in ("prompt", "params", "files") if told.get(key)} if _is(told) else {}
    if (task := question(given or None)) is None:
        yield Fault("expected input.json beside the run card, which says what the run was given", place)
        return
    yield from (Loss(what) for key, what in _LOST_OF_A_CARD.items() if value.get(key))
    report = next((found for name in _REPORTS if _is(found := _json(contents.read(name)))), None)
    verdicts = tuple(_graded(report if report is not None else at(value, "eval")))
    failed = value.get("success") is False or str(value.get("status")).casefold() in _BROKEN
    trajectory = Trajectory(
        id=identity("jetty", value["trajectory_id"]),
        task=TaskRecord(task),
        runbook_version=text_at(value, "runbook_version"),
        output=_summary(contents),
        agent=_agent(value),
        started_at=text_at(value, "ran_at"),
        verdicts=verdicts,
        error=f"status {value.get('status')}" if failed else None,
    )
    yield Found(trajectory, (), place)


def _report(value: Mapping[str, Any], contents: Contents, place: Place) -> Iterator[Item]:
    """A report for itself: its parameters are what the run was given."""
    task = question(value.get("parameters"))
    if task is None:
        yield Fault("expected `parameters` that say what the run was given", place)
        return
    if list_at(value, "output_files"):
        yield Loss("files that a run left")
    trajectory = Trajectory(
        id=identity("jetty", "report", digest_of(value)[7:23]),
        task=TaskRecord(task),
        output=_summary(contents),
        started_at=text_at(value, "run_date"),
        verdicts=tuple(_graded(value)),
    )
    yield Found(trajectory, (), place)


def _graded(report: object) -> Iterator[StoredVerdict]:
    """What a run says of itself: of each stage, of each criterion of its rubric, and of the whole."""
    for stage in list_at(report, "stages"):
        if isinstance(at(stage, "passed"), bool) and text_at(stage, "name"):
            yield _own_verdict(stage["name"], stage["passed"], None, text_at(stage, "message"))
    rubric = at(report, "rubric_scores")
    for name, given in rubric.items() if isinstance(rubric, dict) else ():
        score = at(given, "score")
        marks = share(score / _BEST) if isinstance(score, int | float) else None
        if name and marks is not None:
            yield _own_verdict(name, marks == 1, marks, text_at(given, "notes"))
    if isinstance(passed := at(report, "overall_passed"), bool):
        yield _own_verdict("overall", passed, share(at(report, "overall_score")), None)


def _own_verdict(name: str, passed: bool, score: float | None, why: str | None) -> StoredVerdict:
    return StoredVerdict(name, "pass" if passed else "fail", score, why, _ITSELF)


def _agent(value: Mapping[str, Any]) -> AgentRecord | None:
    name, model = text_at(value, "agent"), text_at(value, "model")
    return AgentRecord(name, model) if name or model else None


def _summary(contents: Contents) -> str | None:
    found = next((data for name in _SUMMARIES if (data := contents.read(name)) is not None), None)
    return None if found is None else found.decode(errors="replace")


def _is(value: object) -> bool:
    return isinstance(value, dict)


def _json(data: bytes | None) -> Any:  # noqa: ANN401 - JSON has any shape
    try:
        return None if data is None else msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
