"""Labels as annotations beside traces, as OpenInference's tools keep them (Phoenix's span annotations).

https://arize.com/docs/phoenix/sdk-api-reference/rest-api: `POST /v1/span_annotations` takes what is written.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import to_builtins

from runbookopt.documents.parse import MalformedFile, Problem
from runbookopt.documents.schema_errors import shown
from runbookopt.evidence.formats.reader import at, identity, list_at, text_at
from runbookopt.evidence.formats.traces.otel import annotation_scores
from runbookopt.evidence.formats.traces.scores import judged
from runbookopt.evidence.json_values import NoValue, decoded
from runbookopt.evidence.trajectory import Label

OWN = "runbookopt"
"""The key of an annotation's metadata below which our own line stands."""

_SCORES = {"pass": 1.0, "fail": 0.0, "unsure": None}


def annotations_of(labels: Iterable[Label]) -> dict[str, Any]:
    """The labels as a body of `POST /v1/span_annotations`: the span is named by the trajectory's id."""
    return {"data": [_annotation(label) for label in labels]}


def read_annotations(
    data: bytes, path: str, trajectories: Collection[str]
) -> tuple[list[Label], list[Problem]]:
    """Labels of people among annotations, and why others are none.

    An annotation is of the trajectory that its span or its trace is called by. It may stand in a list, in an
    object's `data`, or on a line. Raises MalformedFile where there is no JSON.
    """
    labels: list[Label] = []
    problems: list[Problem] = []
    for number, annotation in enumerate(_entries(data, path), 1):
        where = f"{path} (annotation {number})"
        match _labels(annotation, trajectories):
            case str() as why:
                problems.append(Problem(where, None, why, "warning"))
            case found:
                labels += found
    return labels, problems


def _annotation(label: Label) -> dict[str, Any]:
    result = {"label": label.result, "score": _SCORES[label.result], "explanation": label.explanation}
    return {
        "span_id": label.trajectory,
        "name": label.criterion,
        "annotator_kind": "HUMAN",
        "identifier": label.by or "",
        "result": {key: value for key, value in result.items() if value is not None},
        "metadata": {OWN: to_builtins(label)},
    }


def _entries(data: bytes, path: str) -> list[Any]:
    """The annotations of a document, or of each line of one."""
    try:
        return _listed(decoded(data))
    except NoValue as whole:
        lines = [line for line in data.split(b"\n") if line.strip()]
        try:
            return [each for line in lines for each in _listed(decoded(line))]
        except NoValue:
            expected = f"expected annotations as JSON, in one document or on a line each: {whole}"
            raise MalformedFile([Problem(path, None, expected)]) from None


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - JSON has any shape
    return value if isinstance(value, list) else list_at(value, "data") or [value]


def _labels(annotation: object, trajectories: Collection[str]) -> list[Label] | str:
    """The labels of an annotation, or why there are none."""
    own = at(annotation, "metadata", OWN)
    if own is not None:
        try:
            label = msgspec.convert(own, Label)
        except msgspec.ValidationError as error:
            return f"left out: metadata.{OWN}: {error}"
        return [label] if label.trajectory in trajectories else _strange(label.trajectory)
    scores = list(annotation_scores(annotation))
    if not scores or not isinstance(annotation, dict):
        return "left out: expected an annotation with span_id or trace_id, name and annotator_kind"
    if text_at(annotation, "annotator_kind") != "HUMAN":
        return "left out: no person gave it"
    names = _names(annotation)
    id_ = next((name for name in names if name in trajectories), None)
    told = list(judged(id_, scores).labels) if id_ is not None else _strange(names[0])
    return told or "left out: its score says neither pass nor fail"


def _names(annotation: Mapping[str, Any]) -> list[str]:
    """What the trajectory of an annotation may be called by here."""
    given = [name for key in ("span_id", "trace_id") if (name := text_at(annotation, key))]
    return [*given, *(identity("otel", name) for name in given)]


def _strange(name: str) -> str:
    return f"left out: there is no trajectory {shown(name)}"
