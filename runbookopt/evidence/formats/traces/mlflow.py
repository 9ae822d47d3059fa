"""MLflow: traces with assessments, as `Trace.to_json` and the tables of `search_traces` have them. Pure.

https://mlflow.org/docs/latest/genai/concepts/trace/, https://mlflow.org/docs/latest/genai/concepts/feedback/
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
from runbookopt.evidence.formats.traces.calls import Call, Kind, attempt_of, time_of_nanoseconds
from runbookopt.evidence.formats.traces.scores import Score, judged
from runbookopt.evidence.formats.traces.values import answer, decoded, question, ran
from runbookopt.evidence.trajectory import AgentRecord, Author, TaskRecord, Trajectory

_KINDS: dict[str, Kind] = {"LLM": "model", "CHAT_MODEL": "model", "TOOL": "tool"}
_AUTHORS: dict[str, Author] = {
    "HUMAN": Author("human", "mlflow"),
    "LLM_JUDGE": Author("llm", "mlflow"),
    "AI_JUDGE": Author("llm", "mlflow"),
    "CODE": Author("code", "mlflow"),
}
_EXPECTED = ("expected_response", "expected_output", "expected_answer", "ground_truth")
_LOST = {
    "execution_duration": "times of traces",
    "execution_duration_ms": "times of traces",
    "execution_time_ms": "times of traces",
    "tags": "tags",
    "client_request_id": "ids of requests at the client",
}


def read(contents: Contents) -> Iterator[Item]:
    """One attempt a trace. A person's feedback is a label, and an expectation the reference."""
    for record in contents.records:
        traces = list(_traces(record.value))
        if not traces:
            yield Fault("expected a trace of MLflow: `info` and `data`, or a row of a table", record.place)
        for info, spans in traces:
            yield from _attempt(info, spans, record.place)


def _recognizes(sample: Sample) -> int:
    return sum(any(True for _ in _traces(value)) for value in sample.mappings())


FORMAT = Format(name="mlflow", title="traces of MLflow", recognizes=_recognizes, read=read)


def _traces(value: object) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """What is told of each trace, and its spans: of a trace, a list of traces, or a row of a table."""
    for entry in list_at(value, "traces") or [value]:
        whole = decoded(at(entry, "trace")) if at(entry, "info") is None else entry
        info, data = at(whole, "info"), at(whole, "data")
        if isinstance(info, dict) and _name(info) and isinstance(data, dict):
            beside = {key: data[key] for key in ("request", "response") if key in data}
            yield {**beside, **info}, list_at(data, "spans")
        elif isinstance(entry, dict) and _name(entry) and {"request", "response"} <= entry.keys():
            yield entry, list_at(entry, "spans")


def _name(info: Mapping[str, Any]) -> str:
    of_mlflow = {"state", "status", "request_time", "timestamp_ms", "trace_metadata", "request_metadata"}
    own = text_at(info, "trace_id") or text_at(info, "request_id") or ""
    return own if of_mlflow & info.keys() else ""


def _attempt(info: Mapping[str, Any], spans: list[Any], place: Place) -> Iterator[Item]:
    attempt = attempt_of(_call(span) for span in spans if isinstance(span, dict))
    task, output = question(info.get("request")), answer(info.get("response"))
    task = attempt.task if task is None else task
    if task is None and (task := question(info.get("request_preview"))) is not None:
        yield Loss("inputs of which there is a preview alone")
    if task is None:
        yield Fault("expected a `request`, or a span with inputs", place)
        return
    id_ = identity("mlflow", _name(info))
    assessed = [each for each in list_at(info, "assessments") if isinstance(each, dict)]
    valid = [each for each in assessed if each.get("valid") is not False]
    expected = [each for each in valid if "expectation" in each]
    told = judged(id_, [_score(each) for each in valid if "expectation" not in each])
    reference, unused = _reference(expected)
    counts = {"assessments that were overridden": len(assessed) - len(valid), "expectations": unused}
    yield from (*attempt.losses, *told.losses, *(Loss(*each) for each in counts.items() if each[1]))
    yield from (Loss(what) for key, what in _LOST.items() if info.get(key))
    metadata = {**_mapping(info.get("tags")), **_mapping(info.get("request_metadata"))}
    digest, version = ran({**metadata, **_mapping(info.get("trace_metadata"))})
    output = attempt.output if output is None else output
    trajectory = Trajectory(
        id=id_,
        task=TaskRecord(task, reference),
        runbook_digest=digest,
        runbook_version=version,
        output=answer(info.get("response_preview")) if output is None else output,
        steps=attempt.steps,
        agent=AgentRecord(text_at(info, "tags", "mlflow.traceName"), attempt.model),
        started_at=_began(info) or attempt.started_at,
        verdicts=told.verdicts,
        error=_error(info, attempt.error),
    )
    yield Found(trajectory, told.labels, place)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _call(span: Mapping[str, Any]) -> Call:
    attributes = span.get("attributes")
    kind = decoded(at(attributes, "mlflow.spanType")) or span.get("span_type")
    kept = {name: at(attributes, f"mlflow.span{name}") for name in ("Inputs", "Outputs")}
    inputs, outputs = (
        span.get(name.lower()) if value is None else None if value == "null" else value
        for name, value in kept.items()
    )
    started = span.get("start_time_unix_nano", span.get("start_time_ns", span.get("start_time")))
    status = span.get("status", span.get("status_code"))
    failed = str(at(status, "code") or at(status, "status_code") or status).endswith("ERROR")
    told = text_at(status, "message") or text_at(status, "description") or text_at(span, "status_message")
    return Call(
        id=as_text(span.get("span_id") or at(span, "context", "span_id")),
        kind=_KINDS.get(str(kind), "other"),
        name=text_at(span, "name") or "",
        parent=text_at(span, "parent_span_id") or text_at(span, "parent_id"),
        input=inputs,
        output=outputs,
        model=text_at(decoded(inputs), "model"),
        started=time_of_nanoseconds(started),
        error=(told or "without a message") if failed else None,
    )


def _score(assessment: Mapping[str, Any]) -> Score:
    feedback, source = assessment.get("feedback"), assessment.get("source")
    person = text_at(source, "source_id")
    return Score(
        assessment.get("assessment_name") or assessment.get("name"),
        at(feedback, "value"),
        _AUTHORS.get(str(at(source, "source_type")).upper()),
        text_at(assessment, "rationale"),
        person if person != "default" else None,
        text_at(assessment, "create_time"),
    )


def _reference(expected: list[dict[str, Any]]) -> tuple[Any, int]:
    """The expected answer, and how many expectations are none: it is named so, or is the only one."""
    named = [each for each in expected if (each.get("assessment_name") or each.get("name")) in _EXPECTED]
    chosen = named or expected
    if len(chosen) != 1:
        return None, len(expected)
    kept = chosen[0]["expectation"]
    value = at(kept, "value")
    if value is None:
        value = decoded(at(kept, "serialized_value", "value"))
    return value, len(expected) - 1


def _began(info: Mapping[str, Any]) -> str | None:
    """When it began: an ISO 8601 time, or milliseconds since 1970."""
    time = info.get("request_time", info.get("timestamp_ms"))
    if isinstance(time, str) and not time.isdecimal():
        return time or None
    return time_of_nanoseconds(f"{time}000000") if isinstance(time, int | str) else None


def _error(info: Mapping[str, Any], told: str | None) -> str | None:
    state = info.get("state", info.get("status"))
    return (told or "without a message") if str(state).endswith("ERROR") else None
