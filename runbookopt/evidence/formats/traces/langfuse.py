"""Langfuse: traces with observations and scores, of its API, its downloads and its exports. Pure.

https://langfuse.com/docs/api-and-data-platform/features/export-from-ui, https://api.reference.langfuse.com
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
from runbookopt.evidence.formats.traces.values import answer, question, ran
from runbookopt.evidence.trajectory import AgentRecord, Author, TaskRecord, Trajectory

_KINDS: dict[str, Kind] = {"GENERATION": "model", "TOOL": "tool"}
_TYPES = frozenset(
    {
        "SPAN",
        "EVENT",
        "GENERATION",
        "AGENT",
        "TOOL",
        "CHAIN",
        "RETRIEVER",
        "EVALUATOR",
        "EMBEDDING",
        "GUARDRAIL",
    }
)
_OF_A_TRACE = frozenset(
    {"sessionId", "userId", "htmlPath", "projectId", "release", "bookmarked", "observations"}
)
_LOST = {
    "totalCost": "costs",
    "latency": "times of traces",
    "tags": "tags",
    "sessionId": "ids of sessions and users",
    "release": "releases of the application",
    "version": "versions of the application",
    "comments": "comments",
}
_SURE = 2
"""How many keys of a trace's own there are at least: one may be anybody's."""

_OF_A_STEP = "scores of single observations"
_KNOWN = frozenset(
    {
        *_LOST,
        *_OF_A_TRACE,
        "scores",
        "id",
        "name",
        "input",
        "output",
        "metadata",
        "environment",
        "public",
        "timestamp",
        "createdAt",
        "updatedAt",
        "externalId",
        "usage",
        "traceId",
        "commentCount",
        "level",
        "levelCounts",
        "errorCount",
        "observationCount",
    }
)


def read(contents: Contents) -> Iterator[Item]:
    """One attempt a trace. Observations without their trace are put together; a person's score is a label."""
    alone: dict[str, tuple[Place, list[dict[str, Any]]]] = {}
    whole: set[str] = set()
    for record in contents.records:
        entries = list(_entries(record.value))
        if not entries:
            yield Fault("expected a trace, an observation or a score of Langfuse", record.place)
        for entry in entries:
            if _is_observation(entry):
                alone.setdefault(_trace_of(entry), (record.place, []))[1].append(entry)
                continue
            whole.add(as_text(entry.get("id")))
            yield from (_lone_score if _is_score(entry) else _attempt)(entry, record.place)
    for name, (place, observations) in alone.items():
        if name in whole:
            yield Loss("observations that stand apart from their trace", len(observations))
        else:
            yield from _attempt({"id": name, "observations": observations}, place)


def _recognizes(sample: Sample) -> int:
    return sum(any(True for _ in _entries(value)) for value in sample.mappings())


FORMAT = Format(name="langfuse", title="an export of Langfuse", recognizes=_recognizes, read=read)


def _entries(value: object) -> Iterator[dict[str, Any]]:
    """The traces, observations and scores of a record: of a page, of a download, or the record itself."""
    page: list[Any] = list_at(value, "traces") or [value]
    if isinstance(at(value, "trace"), dict) and isinstance(at(value, "observations"), list):
        trace = at(value, "trace")
        scores = at(value, "scores") if isinstance(at(value, "scores"), list) else at(trace, "scores")
        page = [{**trace, "observations": at(value, "observations"), "scores": scores}]
    elif isinstance(at(value, "data"), list):
        page = at(value, "data")
    for entry in page:
        if not isinstance(entry, dict):
            continue
        own = {"id", "input", "output"} <= entry.keys() and bool({"timestamp", "createdAt"} & entry.keys())
        typed = [str(at(each, "type")) in _TYPES for each in list_at(entry, "observations")]
        is_trace = (own and len(_OF_A_TRACE & entry.keys()) >= _SURE) or (bool(typed) and all(typed))
        if _is_score(entry) or _is_observation(entry) or (is_trace and "id" in entry):
            yield entry


def _is_observation(entry: Mapping[str, Any]) -> bool:
    return _trace_of(entry) != "" and str(at(entry, "type")) in _TYPES and "id" in entry


def _is_score(entry: Mapping[str, Any]) -> bool:
    return _trace_of(entry) != "" and {"name", "value", "source"} <= entry.keys()


def _trace_of(entry: Mapping[str, Any]) -> str:
    return text_at(entry, "traceId") or text_at(entry, "trace_id") or ""


def _lone_score(entry: Mapping[str, Any], place: Place) -> Iterator[Item]:
    """A person's score as a label of its trace; any other needs the trace's own record to stand in."""
    if entry.get("observationId"):
        yield Loss(_OF_A_STEP)
        return
    told = judged(identity("langfuse", _trace_of(entry)), [_score(entry)])
    yield from told.losses
    if told.labels:
        yield Found(None, told.labels, place)
    elif told.verdicts:
        yield Loss("scores that stand apart from their trace, and are no person's")


def _attempt(trace: Mapping[str, Any], place: Place) -> Iterator[Item]:
    observations = [each for each in list_at(trace, "observations") if isinstance(each, dict)]
    calls = list(map(_call, observations))
    attempt = attempt_of(calls)
    task = question(_kept(trace, "input"))
    task = attempt.task if task is None else task
    if task is None:
        yield Fault("expected an `input`, of the trace or of an observation", place)
        return
    id_ = identity("langfuse", as_text(trace["id"]))
    scores = [each for each in list_at(trace, "scores") if isinstance(each, dict)]
    outermost = [call.id for call in calls if call.parent is None]
    # a score of the observation that holds all others is one of the trace
    own = [
        each
        for each in scores
        if not each.get("observationId") or not calls or outermost == [each["observationId"]]
    ]
    # an exported table has a column for each score: a list of values, and nobody says who gave them
    columns = {key: each for key, each in trace.items() if key not in _KNOWN and isinstance(each, list)}
    listed = [
        Score(key, value)
        for key, each in columns.items()
        for value in each
        if isinstance(value, int | float | str)
    ]
    told = judged(id_, [*map(_score, own), *listed])
    unread = len(list_at(trace, "observations")) - len(observations)
    unscored = len(list_at(trace, "scores")) - len(scores)
    counts = {"entries of which there is the id alone": unread + unscored, _OF_A_STEP: len(scores) - len(own)}
    yield from (*attempt.losses, *told.losses, *(Loss(*each) for each in counts.items() if each[1]))
    yield from (Loss(what) for key, what in _LOST.items() if trace.get(key))
    digest, version = ran(trace.get("metadata"))
    output = answer(_kept(trace, "output"))
    trajectory = Trajectory(
        id=id_,
        task=TaskRecord(task),
        runbook_digest=digest,
        runbook_version=version,
        output=attempt.output if output is None else output,
        steps=attempt.steps,
        agent=AgentRecord(text_at(trace, "name"), attempt.model),
        started_at=text_at(trace, "timestamp") or attempt.started_at,
        verdicts=told.verdicts,
        error=attempt.error,
    )
    yield Found(trajectory, told.labels, place)


def _kept(entry: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - JSON has any shape
    """What was given or said; null may stand as its text, as all JSON does in what its API gives."""
    return None if entry.get(key) == "null" else entry.get(key)


def _call(observation: Mapping[str, Any]) -> Call:
    failed = observation.get("level") == "ERROR"
    told = text_at(observation, "statusMessage") or text_at(observation, "status_message")
    parent = text_at(observation, "parentObservationId") or text_at(observation, "parent_observation_id")
    return Call(
        id=as_text(observation.get("id")),
        kind=_KINDS.get(str(observation.get("type")), "other"),
        name=text_at(observation, "name") or "",
        parent=parent,
        input=_kept(observation, "input"),
        output=_kept(observation, "output"),
        model=text_at(observation, "model") or text_at(observation, "providedModelName"),
        started=text_at(observation, "startTime") or text_at(observation, "start_time"),
        error=(told or "without a message") if failed else None,
    )


def _score(entry: Mapping[str, Any]) -> Score:
    """A score: of a person where its source is ANNOTATION, of a model where it is EVAL; else nobody says."""
    authors = {"ANNOTATION": Author("human", "langfuse"), "EVAL": Author("llm", "langfuse")}
    value, words = entry.get("value"), text_at(entry, "stringValue")
    return Score(
        entry.get("name"),
        words if words is not None and entry.get("dataType") in ("CATEGORICAL", "BOOLEAN") else value,
        authors.get(str(entry.get("source"))),
        text_at(entry, "comment"),
        text_at(entry, "authorUserId"),
        text_at(entry, "timestamp") or text_at(entry, "createdAt"),
    )
