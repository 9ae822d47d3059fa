"""LangSmith: runs with feedback, and examples of data sets. Pure.

https://docs.langchain.com/langsmith/run-data-format, https://docs.langchain.com/langsmith/feedback-data-format
"""

from collections.abc import Iterator, Mapping
from typing import Any

from runbookopt.documents.digest import as_text
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
    text_at,
)
from runbookopt.evidence.formats.traces.calls import Call, Kind, attempt_of
from runbookopt.evidence.formats.traces.scores import Score, judged
from runbookopt.evidence.formats.traces.values import answer, decoded, question, ran
from runbookopt.evidence.trajectory import AgentRecord, Author, TaskRecord, Trajectory

_KINDS: dict[str, Kind] = {"llm": "model", "tool": "tool"}
_AUTHORS = {
    "app": Author("human", "langsmith"),
    "model": Author("llm", "langsmith"),
    "auto_eval": Author("llm", "langsmith"),
}
"""Who gave feedback by its source: people do in the application; through the API anybody may."""

_LOST = {
    "total_tokens": "token counts",
    "total_cost": "costs",
    "tags": "tags",
    "events": "events of runs",
    "serialized": "serialized programs",
}
Runs = list[dict[str, Any]]


def read(contents: Contents) -> Iterator[Item]:
    """One attempt a trace; its runs may stand anywhere in the file. An example of a data set is a task."""
    traces: dict[str, tuple[Place, Runs]] = {}
    feedback: dict[str, list[tuple[dict[str, Any], Place]]] = {}
    for record in contents.records:
        entries = list(_entries(record.value))
        if not entries:
            yield Fault("expected a run, feedback or an example of LangSmith", record.place)
        for entry in entries:
            if _is_run(entry):
                traces.setdefault(_trace_of(entry), (record.place, []))[1].extend(_flat(entry))
            elif _is_feedback(entry):
                feedback.setdefault(as_text(entry["run_id"]), []).append((entry, record.place))
            else:
                yield from _example(entry, record.place)
    for name, (place, runs) in traces.items():
        given = [entry for run in runs for entry, _ in feedback.pop(as_text(run["id"]), [])]
        yield from _attempt(name, runs, given, place)
    for run, entries_of_run in feedback.items():
        yield from _lone_feedback(run, entries_of_run)


def _recognizes(sample: Sample) -> int:
    return sum(any(True for _ in _entries(value)) for value in sample.mappings())


FORMAT = Format(name="langsmith", title="an export of LangSmith", recognizes=_recognizes, read=read)


def _entries(value: object) -> Iterator[dict[str, Any]]:
    for entry in list_at(value, "runs") or [value]:
        if not isinstance(entry, dict):
            continue
        is_example = {"id", "dataset_id", "inputs"} <= entry.keys()
        if _is_run(entry) or _is_feedback(entry) or is_example:
            yield entry


def _is_run(entry: Mapping[str, Any]) -> bool:
    return {"id", "run_type", "inputs"} <= entry.keys()


def _is_feedback(entry: Mapping[str, Any]) -> bool:
    return {"run_id", "key"} <= entry.keys() and bool({"feedback_source", "score", "value"} & entry.keys())


def _trace_of(run: Mapping[str, Any]) -> str:
    return as_text(run.get("trace_id") or run["id"])


def _flat(run: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A run with those that stand within it."""
    pending = [run]
    while pending:
        each = pending.pop()
        yield each
        pending += [
            child for child in list_at(each, "child_runs") if isinstance(child, dict) and _is_run(child)
        ]


def _attempt(name: str, runs: Runs, given: Runs, place: Place) -> Iterator[Item]:
    once = list({as_text(run["id"]): run for run in runs}.values())
    root = next((run for run in once if as_text(run["id"]) == name), once[0])
    attempt = attempt_of(map(_call, once))
    task = question(root.get("inputs"))
    task = attempt.task if task is None else task
    if task is None:
        yield Fault("expected `inputs` of a run", place)
        return
    id_ = identity("langsmith", name)
    own = [each for each in [*list_at(root, "feedback"), *given] if isinstance(each, dict)]
    of_root = [each for each in own if as_text(each.get("run_id", name)) == name]
    if len(of_root) < len(own):
        yield Loss("feedback on single steps", len(own) - len(of_root))
    stats = root.get("feedback_stats") if not of_root else None
    # of several the average alone is kept: of one that is its score, by nobody knows whom
    means = [
        Score(key, at(each, "avg") if at(each, "n") == 1 else None)
        for key, each in (stats.items() if isinstance(stats, dict) else ())
    ]
    told = judged(id_, [*map(_score, of_root), *means])
    yield from (*attempt.losses, *told.losses, *(Loss(what) for key, what in _LOST.items() if root.get(key)))
    digest, version = ran(at(root, "extra", "metadata"))
    output, error = answer(root.get("outputs") or None), text_at(root, "error")
    trajectory = Trajectory(
        id=id_,
        task=TaskRecord(task),
        runbook_digest=digest,
        runbook_version=version,
        output=attempt.output if output is None and error is None else output,
        steps=attempt.steps,
        agent=AgentRecord(text_at(root, "name"), attempt.model),
        started_at=text_at(root, "start_time"),
        verdicts=told.verdicts,
        error=error,
    )
    yield Found(trajectory, told.labels, place)


def _call(run: Mapping[str, Any]) -> Call:
    metadata = at(run, "extra", "metadata")
    asked = at(run, "extra", "invocation_params")
    given = run.get("inputs")
    return Call(
        id=as_text(run["id"]),
        kind=_KINDS.get(str(run["run_type"]), "other"),
        name=text_at(run, "name") or "",
        parent=text_at(run, "parent_run_id"),
        input=given,
        output=run.get("outputs") or None,
        model=text_at(metadata, "ls_model_name") or text_at(asked, "model") or text_at(asked, "model_name"),
        started=text_at(run, "start_time"),
        error=text_at(run, "error"),
        call_id=text_at(decoded(at(run, "outputs", "output")), "tool_call_id"),
    )


def _score(entry: Mapping[str, Any]) -> Score:
    source = at(entry, "feedback_source")
    number, words = entry.get("score"), entry.get("value")
    return Score(
        entry.get("key"),
        words if number is None else number,
        _AUTHORS.get(str(at(source, "type"))),
        text_at(entry, "comment"),
        text_at(source, "user_id"),
        text_at(entry, "created_at"),
    )


def _lone_feedback(run: str, given: list[tuple[dict[str, Any], Place]]) -> Iterator[Item]:
    """A person's feedback on a run that is not here, as a label of its trace."""
    for entry, place in given:
        id_ = identity("langsmith", text_at(entry, "trace_id") or run)
        told = judged(id_, [_score(entry)])
        yield from told.losses
        if told.labels:
            yield Found(None, told.labels, place)
        elif told.verdicts:
            yield Loss("feedback that stands apart from its run, and is no person's")


def _example(entry: Mapping[str, Any], place: Place) -> Iterator[Item]:
    """An example of a data set: a task with what was expected."""
    task = question(entry["inputs"])
    if task is None:
        yield Fault("expected `inputs` of an example", place)
        return
    if entry.get("metadata"):
        yield Loss("metadata of examples")
    expected = entry.get("outputs") or None
    if isinstance(expected, dict) and len(expected) == 1:
        expected = next(iter(expected.values()))
    yield Found(Trajectory(identity("langsmith", entry["id"]), TaskRecord(task, expected)), (), place)
