"""Trajectories as a person reads them, and what the person says of each (pure)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from runbookopt.calibration.labels import Rating
from runbookopt.documents.digest import as_text
from runbookopt.evidence.formats.reader import list_at, text_at
from runbookopt.evidence.trajectory import OVERALL

Result = Literal["pass", "fail", "unsure"]
LONGEST_NOTE = 20_000


class Given(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person says of a trajectory: a note in their words, results by criterion, a failure mode."""

    trajectory: str
    results: dict[str, Result]
    note: Annotated[str, Meta(max_length=LONGEST_NOTE)] = ""
    failure_mode: str | None = None


class About(Struct, frozen=True, forbid_unknown_fields=True):
    """Which trajectory is meant."""

    trajectory: str


class Mode(Struct, frozen=True):
    """A failure mode that has a name, and how many trajectories people found it in."""

    name: str
    count: int


class Step(Struct, frozen=True):
    """A step of a trajectory: who, and what was said, called and answered, each with its name."""

    title: str
    texts: tuple[tuple[str, str], ...]


class Shown(Struct, frozen=True):
    """A trajectory as a person reads it; `given` is what the same person said of it before.

    The `expected` answer is only said to be there: it gives the verdict of a check away.
    """

    id: str
    task: str
    expected: bool
    output: str
    steps: tuple[Step, ...]
    about: tuple[tuple[str, str], ...]
    given: Given | None


class Saved(Struct, frozen=True):
    """What became of an answer; `removed` says what was taken out of it before it was written."""

    lines: int
    modes: tuple[Mode, ...]
    removed: str = ""


def is_taken_back(rating: Rating) -> bool:
    """Whether a rating says nothing, as a line does that takes one back."""
    return rating.result == "unsure" and not rating.explanation


def given_before(id_: str, own: Sequence[Rating]) -> Given | None:
    """What stands of a person, as they gave it; None where nothing does."""
    if all(map(is_taken_back, own)):
        return None
    return Given(
        trajectory=id_,
        results={each.criterion: each.result for each in own if each.criterion != OVERALL},
        note=next((each.explanation for each in own if each.explanation), ""),
        failure_mode=next((each.failure_mode for each in own if each.failure_mode), None),
    )


def step_of(step: Mapping[str, Any]) -> Step:
    """A step with all that it says; what is of no known kind stands there as JSON."""
    calls, observation = list_at(step, "tool_calls"), step.get("observation")
    results = list_at(observation, "results")
    plain = isinstance(observation, dict) and observation.keys() == {"results"}
    names = [name for call in calls if (name := text_at(call, "function_name"))]
    known = {"step_id", "source", "timestamp", "reasoning_content", "message", "tool_calls", "observation"}
    more = {key: value for key, value in step.items() if key not in known}
    texts = (
        ("thinks", _text(step.get("reasoning_content"))),
        ("says", _text(step.get("message"))),
        *(("calls", as_text(call)) for call in calls),
        *(("gets", _result(each)) for each in (results if plain else [observation])),
        ("more", as_text(more) if more else ""),
    )
    who = f"{step.get('step_id', '')} {step.get('source', 'step')}".strip()
    title = f"{who}: {', '.join(names)}" if names else who
    return Step(title, tuple((what, text) for what, text in texts if text))


def _result(result: object) -> str:
    """What a tool gave back: its content alone where there is nothing else to tell."""
    if isinstance(result, dict) and result.keys() <= {"content", "source_call_id"}:
        return _text(result.get("content"))
    return _text(result)


def _text(value: object) -> str:
    """A text, or texts in parts; anything else as JSON."""
    parts = value if isinstance(value, list) else []
    texts = [each["text"] for each in parts if isinstance(each, dict) and each.keys() == {"type", "text"}]
    if texts and len(texts) == len(parts) and all(isinstance(text, str) for text in texts):
        return "\n".join(texts)
    return "" if value in (None, [], "") else as_text(value)
