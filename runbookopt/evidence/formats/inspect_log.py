"""Inspect: the samples of an evaluation's log, a JSON document or an `.eval` archive. Pure.

https://inspect.aisi.org.uk/eval-logs.html
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from runbookopt.evidence.formats.messages import Conversation, conversation, text_of
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

_HEADERS = ("header.json", "_journal/start.json")
"""The second one alone is there where the evaluation was killed."""

_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Correct, partial, incorrect, no answer: https://inspect.aisi.org.uk/scorers.html"""

_BY_CODE = frozenset({"match", "includes", "exact", "pattern", "answer", "choice", "f1", "math"})
_ATTACHED = "attachment://"
_LOST = {
    "events": "events of samples",
    "model_usage": "token counts",
    "metadata": "metadata of samples",
    "store": "stores of samples",
    "error_retries": "errors that were tried again",
    "limit": "limits that ended samples",
}


def read(contents: Contents) -> Iterator[Item]:
    """One attempt a sample and epoch. A sample with an error is no wrong answer."""
    if contents.shape == "archive":
        yield from _archived(contents)
        return
    for record in contents.records:
        samples = list_at(record.value, "samples")
        if not _is_log(record.value) or not samples:
            yield Fault(_without(record.value), record.place)
            continue
        for number, sample in enumerate(samples, 1):
            yield from _sample(record.value, sample, Place(within=f"sample {number}"))


def _recognizes(sample: Sample) -> int:
    if sample.shape == "archive":
        return int(any(name in sample.names for name in _HEADERS))
    return sum(map(_is_log, sample.mappings()))


FORMAT = Format(name="inspect", title="an Inspect log", recognizes=_recognizes, read=read)


def _is_log(value: object) -> bool:
    return isinstance(at(value, "eval"), dict) and isinstance(at(value, "eval", "task"), str)


def _without(log: object) -> str:
    status, why = text_at(log, "status"), text_at(log, "error", "message")
    told = f": the evaluation ended with status {status}" if status else ""
    return f"expected samples, and the log has none{told}{f' ({why})' if why else ''}"


def _archived(contents: Contents) -> Iterator[Item]:
    names = contents.names()
    header = next((_json(contents.read(name)) for name in _HEADERS if name in names), None)
    samples = sorted(name for name in names if name.startswith("samples/") and name.endswith(".json"))
    if not samples:
        yield Fault(_without(header))
    for name in samples:
        yield from _sample(header, _json(contents.read(name)), Place(within=name))


def _json(data: bytes | None) -> Any:  # noqa: ANN401 - JSON has any shape
    try:
        return None if data is None else msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _sample(log: object, sample: object, place: Place) -> Iterator[Item]:
    if not isinstance(sample, dict) or not {"id", "input"} <= sample.keys():
        yield Fault("expected a sample with `id` and `input`", place)
        return
    attached = at(sample, "attachments")
    whole = _resolved(sample, attached) if isinstance(attached, dict) and attached else sample
    talk = conversation(list_at(whole, "messages"))
    yield from talk.losses
    yield from (Loss(what) for key, what in _LOST.items() if sample.get(key))
    verdicts = list(_verdicts(whole))
    yield from (each for each in verdicts if isinstance(each, Loss))
    given = tuple(each for each in verdicts if isinstance(each, StoredVerdict))
    yield Found(_trajectory(log, whole, talk, given), (), place)


def _resolved(value: Any, attached: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON has any shape
    """The value with long texts in their places, which the log keeps once each."""
    match value:
        case str() if value.startswith(_ATTACHED):
            return attached.get(value.removeprefix(_ATTACHED), value)
        case dict():
            return {key: _resolved(inner, attached) for key, inner in value.items() if key != "events"}
        case list():
            return [_resolved(inner, attached) for inner in value]
        case _:
            return value


def _trajectory(
    log: object, sample: Mapping[str, Any], talk: Conversation, verdicts: tuple[StoredVerdict, ...]
) -> Trajectory:
    told = sample["input"]
    if isinstance(told, list):
        told = conversation(told).task or told
    run = text_at(log, "eval", "eval_id") or text_at(log, "eval", "run_id") or "log"
    own = text_at(sample, "uuid")
    parts = (own,) if own else (run, at(log, "eval", "task"), sample["id"], sample.get("epoch", 1))
    said = text_of(at(sample, "output", "choices", 0, "message", "content"))
    return Trajectory(
        id=identity("inspect", *parts),
        task=TaskRecord(told, sample.get("target") or None),
        output=said or talk.output,
        steps=talk.steps,
        agent=AgentRecord(text_at(log, "eval", "solver"), text_at(log, "eval", "model")),
        started_at=text_at(sample, "started_at") or text_at(log, "eval", "created"),
        verdicts=verdicts,
        error=_error(sample),
    )


def _error(sample: Mapping[str, Any]) -> str | None:
    for error in (sample.get("error"), at(sample, "output", "error")):
        if error:
            return error if isinstance(error, str) else text_at(error, "message") or "without a message"
    return None


def _verdicts(sample: Mapping[str, Any]) -> Iterator[StoredVerdict | Loss]:
    scores = at(sample, "scores")
    for name, score in scores.items() if isinstance(scores, dict) else ():
        value = at(score, "value")
        for key, part in value.items() if isinstance(value, dict) else [("", value)]:
            number = _LETTERS.get(part) if isinstance(part, str) else share(part)
            if number is None:
                yield Loss("scores that are no number from 0 to 1")
                continue
            answer = text_at(score, "answer")
            why = text_at(score, "explanation") or (f"answer: {answer}" if answer else None)
            yield scored(f"{name}.{key}" if key else name, number, why, _author(name))


def _author(scorer: str) -> Author | None:
    """Who scored, where the name tells: a scorer of one's own may ask anybody."""
    if scorer.startswith("model_graded"):
        return Author("llm", f"inspect:{scorer}")
    return Author("code", f"inspect:{scorer}") if scorer in _BY_CODE else None
