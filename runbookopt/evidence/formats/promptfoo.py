"""promptfoo: the results of an evaluation, as one document or as a line each. Pure.

https://www.promptfoo.dev/docs/configuration/outputs
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

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
from runbookopt.evidence.trajectory import AgentRecord, Author, Label, StoredVerdict, TaskRecord, Trajectory

_ERRED = 2
"""`failureReason` of what broke down; 1 is an assertion that does not hold."""

_BY_MODEL = (
    "llm-rubric",
    "model-graded",
    "factuality",
    "g-eval",
    "answer-relevance",
    "context-",
    "select-best",
)
_LOST = {
    "latencyMs": "times of results",
    "cost": "costs",
    "tokenUsage": "token counts",
    "prompt": "prompts, which belong to the agent",
    "metadata": "metadata of results",
}


def read(contents: Contents) -> Iterator[Item]:
    """One attempt a result: a test with a prompt and a provider."""
    for record in contents.records:
        if _is_row(record.value):
            yield from _result(record.value, None, record.place)
            continue
        rows = list_at(record.value, "results", "results") or list_at(record.value, "results")
        if not rows:
            yield Fault("expected results of promptfoo, and there are none", record.place)
        for number, row in enumerate(rows, 1):
            place = Place(within=f"result {number}")
            if _is_row(row):
                yield from _result(row, at(record.value, "evalId"), place)
            else:
                yield Fault("expected a result with `vars` and `provider`", place)


def _recognizes(sample: Sample) -> int:
    return sum(_is_row(value) or _is_row(at(value, "results", "results", 0)) for value in sample.mappings())


FORMAT = Format(name="promptfoo", title="results of promptfoo", recognizes=_recognizes, read=read)


def _is_row(value: object) -> bool:
    if not isinstance(value, dict) or not {"vars", "provider"} <= value.keys():
        return False
    return bool({"gradingResult", "promptIdx", "failureReason", "success"} & value.keys())


def _result(row: Mapping[str, Any], run: object, place: Place) -> Iterator[Item]:
    error = _error(row)
    values = row["vars"] if isinstance(row["vars"], dict) else {}
    given = next(iter(values.values())) if len(values) == 1 else values or text_at(row, "prompt", "raw")
    if given is None:
        yield Fault("expected `vars`, or the text of a prompt", place)
        return
    yield from (Loss(what) for key, what in _LOST.items() if row.get(key) or at(row, "response", key))
    output, numbers = at(row, "response", "output"), [row.get(key, 0) for key in ("testIdx", "promptIdx")]
    parts = (row["id"],) if text_at(row, "id") else (run or digest_of(row)[7:23], *numbers)
    id_ = identity("promptfoo", *parts)
    verdicts = tuple(_verdicts(row)) if error is None else ()
    provider = row["provider"]
    trajectory = Trajectory(
        id=id_,
        task=TaskRecord(given, _reference(row)),
        output=None if output is None else as_text(output),
        agent=AgentRecord(
            text_at(provider, "label"), provider if isinstance(provider, str) else text_at(provider, "id")
        ),
        verdicts=verdicts,
        error=error,
    )
    labels = tuple(
        Label(
            id_, verdict.criterion, "pass" if verdict.result == "pass" else "fail", None, verdict.explanation
        )
        for verdict in verdicts
        if verdict.by is not None and verdict.by.kind == "human"
    )
    yield Found(trajectory, labels, place)


def _error(row: Mapping[str, Any]) -> str | None:
    """Why the attempt broke down. `error` also holds why an assertion failed: that is a wrong answer."""
    told = text_at(row, "response", "error") or text_at(row, "error")
    if "failureReason" in row:
        return (told or "without a message") if row["failureReason"] == _ERRED else None
    return told if at(row, "response", "output") is None else None


def _reference(row: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON has any shape
    """What the output has to equal, where one assertion says so."""
    asserted = [
        at(each, "value") for each in list_at(row, "testCase", "assert") if at(each, "type") == "equals"
    ]
    return asserted[0] if len(asserted) == 1 else None


def _verdicts(row: Mapping[str, Any]) -> Iterator[StoredVerdict]:
    """A verdict an assertion, by its metric or type; else one for all. What does not say "pass" is none."""
    whole = at(row, "gradingResult")
    parts = [part for part in list_at(whole, "componentResults") if isinstance(part, dict)]
    names: Counter[str] = Counter()
    for part in parts or [whole]:
        if not isinstance(at(part, "pass"), bool):
            continue
        kind = text_at(part, "assertion", "type") or "promptfoo"
        name = text_at(part, "assertion", "metric") or kind
        names[name] += 1
        yield StoredVerdict(
            name if names[name] == 1 else f"{name} {names[name]}",
            "pass" if part["pass"] else "fail",
            share(at(part, "score")),
            text_at(part, "reason"),
            _author(kind),
        )


def _author(kind: str) -> Author:
    kind = kind.removeprefix("not-")
    if kind == "human":
        return Author("human")
    return Author("llm" if kind.startswith(_BY_MODEL) else "code", f"promptfoo:{kind}")
