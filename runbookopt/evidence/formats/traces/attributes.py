"""Attributes of spans in the dialects of GenAI, OpenInference, OpenLLMetry and the AI SDK. Pure.

https://opentelemetry.io/docs/specs/semconv/gen-ai/, https://arize-ai.github.io/openinference/spec/,
https://www.traceloop.com/docs/openllmetry/contributing/semantic-conventions,
https://ai-sdk.dev/docs/ai-sdk-core/telemetry
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from runbookopt.evidence.formats.reader import at, share, text_at
from runbookopt.evidence.formats.traces.calls import Call, Kind
from runbookopt.evidence.formats.traces.scores import Score
from runbookopt.evidence.formats.traces.values import Messages, decoded, messages_in, ran

Nested = Mapping[str, Any]

DIALECTS = ("gen_ai.", "openinference.", "traceloop.", "llm.", "ai.")
"""How the keys begin by which a span is one of a model, an agent or a tool."""

_SELF = ""
"""Key of the value of an attribute below whose name there are others too: `gen_ai.prompt`."""

_DEEPEST = 16
"""Parts of a dotted key that are told apart."""

_KINDS: dict[str, Kind] = {
    "llm": "model",
    "chat": "model",
    "completion": "model",
    "text_completion": "model",
    "generate_content": "model",
    "tool": "tool",
    "execute_tool": "tool",
    "dogenerate": "model",
    "dostream": "model",
    "toolcall": "tool",
}
_EVENTS = {"gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message"}
_CONTENT = {
    "gen_ai.content.prompt",
    "gen_ai.content.completion",
    "gen_ai.client.inference.operation.details",
}
EVALUATION = "gen_ai.evaluation.result"


class Event(Struct, frozen=True):
    """What happened within a span, or was logged of it."""

    name: str
    attributes: Nested
    body: Any = None


class Span(Struct, frozen=True, kw_only=True):
    """A span of any envelope; `trace` is None where it stands alone.

    With `is_log`, it is what was logged of the span with this id.
    """

    id: str
    trace: str | None = None
    parent: str | None = None
    name: str = ""
    started: str | None = None
    error: str | None = None
    attributes: Nested = {}
    events: tuple[Event, ...] = ()
    scores: tuple[Score, ...] = ()
    is_log: bool = False


def nested(flat: Mapping[str, Any]) -> Nested:
    """Attributes by the parts of their dotted names: `a.0.b` is `b` below `0` below `a`."""
    root: dict[str, Any] = {}
    for key, value in flat.items():
        parts = key.split(".", _DEEPEST)
        node = root
        for part in parts[:-1]:
            inner = node.get(part)
            if not isinstance(inner, dict):
                inner = node[part] = {} if inner is None else {_SELF: inner}
            node = inner
        there = node.get(parts[-1])
        if isinstance(there, dict) and isinstance(value, dict):
            there.update(value)
        elif isinstance(there, dict):
            there[_SELF] = value
        else:
            node[parts[-1]] = value
    return root


def call_of(span: Span) -> Call | None:
    """The call that a span is of; None where it is none of a model, an agent or a tool."""
    attributes, named = span.attributes, _named_kind(span.attributes)
    asked, said = _asked(span), _said(span)
    kind: Kind = _KINDS.get(named, "other")
    if not named and (asked or said):
        kind = "model"
    own = named or asked or said or any(at(attributes, each.rstrip(".")) for each in DIALECTS)
    if not own:
        return None
    given = _first(attributes, _TOOL_INPUTS if kind == "tool" else (), _INPUTS)
    result = _first(attributes, _TOOL_OUTPUTS if kind == "tool" else (), _OUTPUTS)
    model = at(attributes, "gen_ai", "response", "model") or at(attributes, "gen_ai", "request", "model")
    model = model or at(attributes, "llm", "model_name") or at(attributes, "llm", "request", "model")
    model = model or at(attributes, "ai", "model", "id")
    tool = at(attributes, "gen_ai", "tool", "name") or at(attributes, "tool", "name")
    tool = tool or at(attributes, "ai", "toolCall", "name")
    name = tool or at(attributes, "traceloop", "entity", "name") or span.name
    return Call(
        id=span.id,
        kind=kind,
        name=name if isinstance(name, str) else span.name,
        parent=span.parent,
        input=asked or _unwrapped(given, "inputs") or _prompt_of_ai_sdk(attributes),
        output=said or _unwrapped(result, "outputs"),
        model=model if isinstance(model, str) else None,
        started=span.started,
        error=span.error or text_at(attributes, "error", "type"),
        call_id=text_at(attributes, "gen_ai", "tool", "call", "id")
        or text_at(attributes, "tool_call", "id")
        or text_at(attributes, "ai", "toolCall", "id"),
    )


def score_of(attributes: Nested) -> Score | None:
    """The score of an evaluation's result; None where the attributes are of none. Nobody says who gave it."""
    whole = at(attributes, "gen_ai", "evaluation")
    if not isinstance(at(whole, "name"), str):
        return None
    number, label = at(whole, "score", "value"), at(whole, "score", "label")
    value = label if share(number) is None and label is not None else number
    return Score(whole["name"], value, None, text_at(whole, "explanation"))


def runbook_of(attributes: Nested) -> tuple[str | None, str | None]:
    """Digest and version of the runbook, where `runbook.digest` and `runbook.version` or metadata say so."""
    told = {f"runbook_{key}": at(attributes, "runbook", key) for key in ("digest", "version")}
    return ran(told if any(told.values()) else at(attributes, "metadata"))


def _named_kind(attributes: Nested) -> str:
    kinds = (
        at(attributes, "openinference", "span", "kind"),
        at(attributes, "gen_ai", "operation", "name"),
        at(attributes, "traceloop", "span", "kind"),
        at(attributes, "llm", "request", "type"),
    )
    # of the AI SDK the last part: ai.generateText holds ai.generateText.doGenerate, which is the model's
    own = str(at(attributes, "ai", "operationId") or "").rpartition(".")[2]
    return next((kind.casefold() for kind in (own, *kinds) if isinstance(kind, str) and kind), "")


def _asked(span: Span) -> Messages:
    """The messages that a model was told, by the first dialect that has any."""
    sources = [span.attributes, *(event.attributes for event in span.events if event.name in _CONTENT)]
    for source in sources:
        told = messages_in(at(source, "gen_ai", "input", "messages"))
        told = told or _indexed(at(source, "gen_ai", "prompt"))
        told = told or _indexed(at(source, "llm", "input_messages"))
        told = told or _indexed(at(source, "llm", "prompts"), "user")
        told = told or messages_in(at(source, "ai", "prompt", "messages"))
        if told:
            parts = decoded(at(source, "gen_ai", "system_instructions"))
            system = [{"role": "system", "parts": parts}] if isinstance(parts, list) and parts else []
            return [*(messages_in(system) or ()), *told]
    return [message for event in span.events if event.name in _EVENTS for message in _of_event(event)]


def _said(span: Span) -> Messages:
    sources = [span.attributes, *(event.attributes for event in span.events if event.name in _CONTENT)]
    for source in sources:
        told = messages_in(at(source, "gen_ai", "output", "messages"))
        told = told or _indexed(at(source, "gen_ai", "completion"), "assistant")
        told = told or _indexed(at(source, "llm", "output_messages"), "assistant")
        told = told or _indexed(at(source, "llm", "completions"), "assistant")
        told = told or _by_ai_sdk(at(source, "ai", "response"))
        if told:
            return told
    return [message for event in span.events if event.name == "gen_ai.choice" for message in _of_event(event)]


def _prompt_of_ai_sdk(attributes: Nested) -> Any:  # noqa: ANN401 - JSON has any shape
    """What a call of the AI SDK was given, without what its system prompt says."""
    told = at(attributes, "ai", "prompt")
    whole = decoded(at(told, _SELF) if isinstance(told, dict) else told)
    return at(whole, "messages") or at(whole, "prompt") or whole


def _by_ai_sdk(response: object) -> Messages:
    """What a model replied, as the AI SDK keeps it: text, or an object, and calls."""
    text = text_at(response, "text") or text_at(response, "object")
    calls = decoded(at(response, "toolCalls"))
    parts = [{**call, "type": "tool-call"} for call in calls if isinstance(call, dict)] if calls else []
    said = [{"type": "text", "text": text}] if text else []
    return [{"role": "assistant", "content": [*said, *parts]}] if said or parts else []


def _indexed(node: object, role: str | None = None) -> Messages:
    """Messages below the numbers 0, 1, 2 ... of a key, or as JSON in its text."""
    node = decoded(at(node, _SELF) if isinstance(node, dict) and _SELF in node else node)
    if (messages := messages_in(node)) is not None:
        return messages
    if role and isinstance(node, str) and node:
        return [{"role": role, "content": node}]
    listed = _listed(node)
    if not listed:
        said = at(node, "text") or at(node, "content")  # a raw reply: {"text": ..., "finish_reason": ...}
        return [{"role": role, "content": said}] if role and isinstance(said, str) else []
    found: Messages = []
    for each in listed:
        message = at(each, "message") if isinstance(at(each, "message"), dict) else each
        if isinstance(message, dict):
            lists = {key: _listed(message[key]) for key in ("contents", "tool_calls") if key in message}
            whole = {"role": role, "content": ""} | message | {k: list(v) for k, v in lists.items() if v}
            found += messages_in([whole]) or []
    return found


def _listed(node: object) -> Sequence[Any]:
    """What stands below the numbers of a node, in their order; a list as it is."""
    node = decoded(node)
    if isinstance(node, list):
        return node
    if not isinstance(node, dict):
        return []
    return [node[key] for key in sorted(filter(str.isdecimal, node), key=lambda key: (len(key), key))]


def _of_event(event: Event) -> Messages:
    """The message of an event of the older GenAI conventions: in its body, or in its attributes."""
    kept = event.body if event.body is not None else at(event.attributes, "gen_ai", "event", "content")
    body = decoded(kept)
    whole = body if isinstance(body, dict) else event.attributes
    inner = decoded(at(whole, "message"))
    role = event.name.removeprefix("gen_ai.").removesuffix(".message")
    message = {
        "content": inner if isinstance(inner, str) else at(whole, "content"),
        "tool_calls": at(whole, "tool_calls"),
        "tool_call_id": at(whole, "id"),
        **(inner if isinstance(inner, dict) else {}),
        "role": "assistant" if role == "choice" else role,
    }
    return messages_in([message]) or []


_INPUTS = (
    ("input", "value"),
    ("traceloop", "entity", "input"),
    ("input",),
)
_OUTPUTS = (("output", "value"), ("traceloop", "entity", "output"), ("output",))
_TOOL_INPUTS = (("gen_ai", "tool", "call", "arguments"), ("tool", "parameters"), ("ai", "toolCall", "args"))
_TOOL_OUTPUTS = (("gen_ai", "tool", "call", "result"), ("ai", "toolCall", "result"))


def _first(attributes: Nested, *paths: Iterable[tuple[str, ...]]) -> Any:  # noqa: ANN401 - JSON has any shape
    values = (at(attributes, *path) for group in paths for path in group)
    return next((value for value in values if value is not None), None)


def _unwrapped(value: object, key: str) -> Any:  # noqa: ANN401 - JSON has any shape
    """What a decorator of OpenLLMetry keeps below `inputs`, `kwargs` and `outputs`."""
    inner = decoded(value)
    if isinstance(inner, dict) and key in inner and inner.keys() <= {key, "tags", "metadata", "kwargs"}:
        return inner[key]
    if isinstance(inner, dict) and inner.keys() == {"args", "kwargs"}:
        return inner["kwargs"] or inner["args"]
    return value
