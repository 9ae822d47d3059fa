"""OpenTelemetry: spans of models, agents and tools, as OTLP/JSON, as lists, or their attributes alone. Pure.

https://opentelemetry.io/docs/specs/otlp/, https://github.com/open-telemetry/semantic-conventions-genai
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from msgspec.structs import replace

from runbookopt.documents.digest import digest_of
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
from runbookopt.evidence.formats.traces.attributes import (
    DIALECTS,
    EVALUATION,
    Event,
    Nested,
    Span,
    call_of,
    nested,
    runbook_of,
    score_of,
)
from runbookopt.evidence.formats.traces.calls import Call, attempt_of, time_of_nanoseconds
from runbookopt.evidence.formats.traces.scores import Score, judged
from runbookopt.evidence.trajectory import AgentRecord, Author, TaskRecord, Trajectory

_ENVELOPES = ("resourceSpans", "resource_spans", "batches", "resourceLogs", "resource_logs")
_SCOPES = ("scopeSpans", "scope_spans", "instrumentationLibrarySpans", "scopeLogs", "scope_logs")
_ENTRIES = ("spans", "logRecords", "log_records")
_TRACES = (("traceId",), ("trace_id",), ("context", "trace_id"), ("context.trace_id",))
_SPANS = (("spanId",), ("span_id",), ("context", "span_id"), ("context.span_id",))
_PARENTS = (("parentSpanId",), ("parent_span_id",), ("parent_id",), ("parentId",))
_TIMES = (("startTimeUnixNano",), ("start_time_unix_nano",), ("start_time",), ("startTime",))
_ERRORS = frozenset({"2", "ERROR", "STATUS_CODE_ERROR"})
_EXPECTED = "expected spans of models or agents, as GenAI, OpenInference, OpenLLMetry or the AI SDK have them"
_ANNOTATORS = {
    "HUMAN": Author("human", "phoenix"),
    "LLM": Author("llm", "phoenix"),
    "CODE": Author("code", "phoenix"),
}
_USAGE = (("gen_ai", "usage"), ("llm", "token_count"), ("llm", "usage"), ("ai", "usage"))


class _Trace:
    """What was found of a trace so far: spans by their ids, what was logged of them, and evaluations."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.spans: dict[str, Span] = {}
        self.logged: dict[str, list[Event]] = {}
        self.scores: list[Score] = []
        self.annotations: list[tuple[str, Score]] = []

    def take(self, span: Span) -> None:
        evaluations = [each.attributes for each in span.events if each.name == EVALUATION]
        scores = [score for each in (span.attributes, *evaluations) if (score := score_of(each)) is not None]
        self.scores += scores
        self.annotations += [(span.id, score) for score in span.scores]
        if span.is_log:
            self.logged.setdefault(span.id, []).extend(span.events)
        elif not scores or evaluations:
            self.spans[span.id] = span

    def outermost(self) -> Iterator[Score]:
        """What was said of those spans that no other one holds: of the trace, that is."""
        ids = self.spans.keys()
        whole = {id_ for id_, span in self.spans.items() if span.parent not in ids}
        yield from (score for id_, score in self.annotations if id_ in whole)

    def calls(self) -> list[Call]:
        """The calls of models, agents and tools, with what was logged of them."""
        logged = {id_: Span(id=id_, events=tuple(events)) for id_, events in self.logged.items()}
        spans = logged | {
            id_: replace(span, events=(*span.events, *self.logged.get(id_, ())))
            for id_, span in self.spans.items()
        }
        return [call for span in spans.values() if (call := call_of(span)) is not None]


def read(contents: Contents) -> Iterator[Item]:
    """One attempt a trace: its spans may stand anywhere in the file. One without a trace is its own."""
    traces: dict[str, _Trace] = {}
    apart: list[tuple[str, Score]] = []
    for record in contents.records:
        spans = list(_spans(record.value))
        told = list(_annotations(record.value))
        apart += told
        if not spans and not told and not _is_envelope(record.value):
            yield Fault("expected a span, or `resourceSpans`", record.place)
        for span in spans:
            name = span.trace or digest_of(record.value)[7:23]
            traces.setdefault(name, _Trace(record.place)).take(span)
    yield from _put_together(apart, traces)
    calls = {name: trace.calls() for name, trace in traces.items()}
    if traces and not any(calls.values()):
        yield Fault(f"{_EXPECTED}: none of {len(traces)} traces has any", next(iter(traces.values())).place)
        return
    if others := sum(len(trace.spans) for trace in traces.values()) - sum(map(len, calls.values())):
        yield Loss("spans of neither models, agents nor tools", max(others, 0))
    for name, trace in traces.items():
        if calls[name]:
            yield from _attempt(name, trace, calls[name])


def _recognizes(sample: Sample) -> int:
    return sum(
        _is_envelope(value) or any(True for _ in (*_spans(value), *_annotations(value)))
        for value in sample.mappings()
    )


FORMAT = Format(name="otel", title="spans of OpenTelemetry", recognizes=_recognizes, read=read)


def _put_together(apart: list[tuple[str, Score]], traces: Mapping[str, _Trace]) -> Iterator[Item]:
    """Give annotations that stand for themselves to the traces that hold their spans."""
    of_span = {id_: trace for trace in traces.values() for id_ in trace.spans}
    for id_, score in apart:
        if id_ in of_span:
            of_span[id_].annotations.append((id_, score))
        else:
            yield Loss("annotations whose span is in another file")


def _is_envelope(value: object) -> bool:
    return any(isinstance(at(value, key), list) for key in _ENVELOPES)


def _attempt(name: str, trace: _Trace, calls: list[Call]) -> Iterator[Item]:
    attempt = attempt_of(calls)
    if attempt.task is None:
        only = all(call.kind == "tool" for call in calls)
        why = "there are spans of tools alone" if only else "were inputs kept as they were traced?"
        yield Fault(f"expected what a model or an agent was asked: {why}", trace.place)
        return
    kept = [span.attributes for span in trace.spans.values()]
    runbooks = [told for each in kept if any(told := runbook_of(each))]
    id_ = identity("otel", name)
    annotated = list(trace.outermost())
    given = judged(id_, [*trace.scores, *annotated])
    yield from (*attempt.losses, *given.losses)
    if inner := len(trace.annotations) - len(annotated):
        yield Loss("annotations of single spans", inner)
    if any(at(each, *path) is not None for each in kept for path in _USAGE):
        yield Loss("token counts")
    trajectory = Trajectory(
        id=id_,
        task=TaskRecord(attempt.task),
        runbook_digest=runbooks[0][0] if runbooks else None,
        runbook_version=runbooks[0][1] if runbooks else None,
        output=attempt.output,
        steps=attempt.steps,
        agent=AgentRecord(
            next((own for each in kept if (own := text_at(each, "gen_ai", "agent", "name"))), None),
            attempt.model,
        ),
        started_at=attempt.started_at,
        verdicts=given.verdicts,
        error=attempt.error,
    )
    yield Found(trajectory, given.labels, trace.place)


def _spans(value: object) -> Iterator[Span]:
    """The spans of a record: of an envelope, of a page of a list, or the only one."""
    if not isinstance(value, dict):
        return
    level = [value]
    for keys in (_ENVELOPES, _SCOPES, _ENTRIES):
        level = [inner for each in level for key in keys for inner in list_at(each, key)]
    page = [*level, *list_at(value, "data"), *list_at(value, "spans")]
    if _is_envelope(value):
        yield from (_span(each) for each in page if isinstance(each, dict))
    elif page and all(map(_is_span, page)):
        yield from map(_span, page)
    elif _is_span(value):
        yield _span(value)
    elif any(key.startswith(DIALECTS) for key in value):
        yield Span(id="", attributes=nested(value))


def _is_span(value: object) -> bool:
    if not isinstance(value, dict) or _one_of(value, _TRACES) is None or _one_of(value, _SPANS) is None:
        return False
    return "attributes" in value or any(key.startswith("attributes.") for key in value)


def _one_of(value: object, paths: tuple[tuple[str, ...], ...]) -> Any:  # noqa: ANN401 - JSON has any shape
    return next((found for path in paths if (found := at(value, *path)) is not None), None)


def _span(entry: Mapping[str, Any]) -> Span:
    """A span, or a log record, which tells what happened in its span."""
    attributes = _attributes(entry)
    trace, own, parent, time = (_one_of(entry, paths) for paths in (_TRACES, _SPANS, _PARENTS, _TIMES))
    named = text_at(entry, "eventName") or text_at(attributes, "event", "name")
    is_log = "body" in entry or named is not None
    events = tuple(map(_event, list_at(entry, "events")))
    if is_log:
        events, attributes = (Event(named or "", attributes, _plain(entry.get("body"))),), {}
    written = time if isinstance(time, str) and not time.isdecimal() else None
    return Span(
        trace=str(trace) if trace else None,
        id=str(own or ""),
        parent=str(parent) if parent else None,
        name=text_at(entry, "name") or "",
        started=time_of_nanoseconds(time) or written,
        error=None if is_log else _error(entry),
        attributes=attributes,
        events=events,
        scores=tuple(_score(each) for each in list_at(entry, "annotations") if _is_annotation(each)),
        is_log=is_log,
    )


def _annotations(value: object) -> Iterator[tuple[str, Score]]:
    """Annotations of Phoenix that stand apart from their spans, as its API gives them, by ids of spans."""
    for each in list_at(value, "data") or [value]:
        if _is_annotation(each) and text_at(each, "span_id") and "attributes" not in each:
            yield each["span_id"], _score(each)


def annotation_scores(value: object) -> Iterator[Score]:
    """What an annotation of a span or of a whole trace says; nothing of what is none."""
    if _is_annotation(value) and (text_at(value, "span_id") or text_at(value, "trace_id")):
        yield _score(value)


def _is_annotation(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and {"name", "annotator_kind"} <= value.keys()


def _score(annotation: Mapping[str, Any]) -> Score:
    result = at(annotation, "result") or annotation
    value, label = at(result, "score"), at(result, "label")
    return Score(
        annotation["name"],
        label if share(value) is None and label is not None else value,
        _ANNOTATORS.get(str(annotation["annotator_kind"])),
        text_at(result, "explanation"),
        text_at(annotation, "user_id") or text_at(annotation, "identifier"),
        text_at(annotation, "created_at"),
    )


def _event(event: object) -> Event:
    return Event(text_at(event, "name") or "", _attributes(event if isinstance(event, dict) else {}))


def _attributes(entry: Mapping[str, Any]) -> Nested:
    """The attributes of a span: a list of keys and values, a mapping, or columns of a table."""
    attributes = entry.get("attributes")
    if isinstance(attributes, list):
        pairs = ((text_at(each, "key"), _plain(at(each, "value"))) for each in attributes)
        return nested({key: value for key, value in pairs if key is not None})
    if isinstance(attributes, dict):
        return nested(attributes)
    mark = "attributes."
    return nested({key.removeprefix(mark): value for key, value in entry.items() if key.startswith(mark)})


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON has any shape
    """The JSON value of an OTLP value: `{"intValue": "7"}` is 7."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((key, inner),) = value.items()
    match key:
        case "intValue" | "int_value" if isinstance(inner, str) and inner.lstrip("-").isdecimal():
            return int(inner[:20])
        case "arrayValue" | "array_value":
            return [_plain(each) for each in list_at(inner, "values")]
        case "kvlistValue" | "kvlist_value":
            return {str(at(each, "key")): _plain(at(each, "value")) for each in list_at(inner, "values")}
        case _:
            return inner if key.endswith(("Value", "_value")) else value


def _error(entry: Mapping[str, Any]) -> str | None:
    status = entry.get("status")
    code = at(status, "code") or at(status, "status_code") or entry.get("status_code") or status
    if str(code) not in _ERRORS:
        return None
    told = text_at(status, "message") or text_at(status, "description") or text_at(entry, "status_message")
    return told or "without a message"
