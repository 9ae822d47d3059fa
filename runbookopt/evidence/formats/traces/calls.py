"""Calls of a trace, of models, tools and what holds them together, as one attempt. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct

from runbookopt.documents.digest import as_text
from runbookopt.evidence.formats.messages import Conversation, conversation
from runbookopt.evidence.formats.reader import Loss, text_at
from runbookopt.evidence.formats.traces.values import answer, decoded, messages_in, question, reply_in

Kind = Literal["model", "tool", "other"]

_APART = "calls of models that the longest of a trace does not repeat"


class Call(Struct, frozen=True, kw_only=True):
    """One call of a trace: a model's, a tool's, or that of an agent or a function, which holds others.

    `input` and `output` are as the tool kept them. `parent` is the id of the call within which it was made,
    `started` an ISO 8601 time. `call_id` is a tool's, as the model's message names it.
    """

    id: str
    kind: Kind
    name: str
    parent: str | None = None
    input: Any = None
    output: Any = None
    model: str | None = None
    started: str | None = None
    error: str | None = None
    call_id: str | None = None


class Attempt(Struct, frozen=True):
    """What the calls of a trace say of an attempt; `task` is None where none says what was asked."""

    task: Any
    output: str | None
    steps: tuple[dict[str, Any], ...]
    model: str | None
    started_at: str | None
    error: str | None
    losses: tuple[Loss, ...]


def attempt_of(calls: Iterable[Call]) -> Attempt:
    """One attempt of a trace: its outermost call says task and output, its models' calls the steps.

    A model is told all that went before with each call, so the call with most messages has the steps; what
    only others say is counted as lost.
    """
    ordered = sorted(calls, key=lambda call: call.started or "")
    ids = {call.id for call in ordered}
    outermost = [call for call in ordered if call.kind != "tool" and call.parent not in ids]
    models = [call for call in ordered if call.kind == "model"]
    talks = [conversation([*_told(call), *reply_in(call.output)]) for call in models]
    longest = max(talks, key=lambda talk: len(talk.steps), default=Conversation(None, None, (), ()))
    said = {step["message"] for step in longest.steps}
    apart = sum(talk.output is not None and talk.output not in said for talk in talks)
    first, last = _ends(outermost, [call for call in ordered if call.kind != "tool"])
    return Attempt(
        task=None if first is None else question(first.input),
        output=None if last is None else answer(last.output),
        steps=tuple(_with_tools(longest.steps, [call for call in ordered if call.kind == "tool"])),
        model=next((call.model for call in models if call.model), None),
        started_at=next((call.started for call in ordered if call.started), None),
        error=outermost[-1].error if outermost else None,
        losses=(*longest.losses, *([Loss(_APART, apart)] if apart else ())),
    )


def _ends(outermost: Sequence[Call], asked: Sequence[Call]) -> tuple[Call | None, Call | None]:
    """The call whose input is the task, and the one whose output is the attempt's.

    Where nothing holds the calls of models together, that is the last of them: it is told what went before.
    """
    answered = [call for call in [*asked, *outermost] if call.output is not None]
    last = answered[-1] if answered else None
    holders = [call for call in outermost if call.kind == "other" and question(call.input) is not None]
    if holders:
        return holders[0], holders[0] if holders[0].output is not None else last
    asking = [*([last] if last else ()), *outermost, *asked]
    return next((call for call in asking if question(call.input) is not None), None), last


def time_of_nanoseconds(value: object) -> str | None:
    """An ISO 8601 time of nanoseconds since 1970, as a number or its digits; None where it is none."""
    digits = str(value) if isinstance(value, int | str) else ""
    if not digits.isdecimal() or not digits.isascii() or not 10 < len(digits) < 20:  # noqa: PLR2004 - 1970 to 2286
        return None
    return datetime.fromtimestamp(int(digits) // 1000 / 1_000_000, UTC).isoformat()


def _told(call: Call) -> list[dict[str, Any]]:
    """A model's input as messages: what is none is one of its user."""
    if (messages := messages_in(call.input)) is not None:
        return messages
    value = question(call.input)
    return [] if value is None else [{"role": "user", "content": as_text(value)}]


def _with_tools(steps: Sequence[dict[str, Any]], tools: Sequence[Call]) -> Iterator[dict[str, Any]]:
    """The steps with the calls of tools that no message of them tells, before the last answer."""
    told = [call for step in steps for call in step.get("tool_calls", ())]
    known = {call["tool_call_id"] for call in told} | {call["function_name"] for call in told}
    missing = [_tool_step(call) for call in tools if (call.call_id or call.name) not in known]
    ends = bool(steps) and steps[-1]["source"] == "agent" and "tool_calls" not in steps[-1]
    before = len(steps) - 1 if ends else len(steps)
    for number, step in enumerate([*steps[:before], *missing, *steps[before:]], 1):
        yield {**step, "step_id": number}


def _tool_step(call: Call) -> dict[str, Any]:
    id_, given, result = call.call_id or call.id, decoded(call.input), decoded(call.output)
    arguments = given if isinstance(given, dict) else {} if given is None else {"value": given}
    told = text_at(result, "content") or (None if result is None else as_text(result))
    content = told if call.error is None else f"{told or ''}\n[error: {call.error}]".strip()
    results = [{"source_call_id": id_, "content": content}]
    return {
        "source": "agent",
        **({"timestamp": call.started} if call.started else {}),
        "message": "",
        "tool_calls": [{"tool_call_id": id_, "function_name": call.name, "arguments": arguments}],
        **({"observation": {"results": results}} if content is not None else {}),
    }
