"""Inputs and outputs as tracing tools keep them: text, JSON in text, chat messages in many dialects. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runbookopt.documents.digest import as_text
from runbookopt.evidence import json_values
from runbookopt.evidence.formats.messages import ITEMS, conversation, dialogue, of_items
from runbookopt.evidence.formats.reader import at, list_at, text_at

Messages = list[dict[str, Any]]

_LANGCHAIN = {
    "HumanMessage": "user",
    "AIMessage": "assistant",
    "AIMessageChunk": "assistant",
    "SystemMessage": "system",
    "ToolMessage": "tool",
    "FunctionMessage": "tool",
}
_TYPES = frozenset({"human", "ai", "system", "tool", "function", "user", "assistant", "developer", "model"})
_WRAPPERS = ("messages", "input_messages", "output_messages")
_SETTINGS = frozenset(
    {
        *_WRAPPERS,
        "model",
        "temperature",
        "top_p",
        "n",
        "stop",
        "seed",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "max_tokens",
        "max_completion_tokens",
        "frequency_penalty",
        "presence_penalty",
        "extra_headers",
        "metadata",
        "user",
        "system",
        "instructions",
        "max_output_tokens",
        "reasoning",
        "store",
        "text",
        "include",
        "previous_response_id",
    }
)
"""Keys beside the messages that a model is told which are settings of the call."""

_ANSWERED = {"role": "assistant", "content": "(the answer)"}

_WORDS = frozenset({"text", "content", "message"})
"""Keys of a raw reply of a model below which its words stand."""


def decoded(value: object) -> Any:  # noqa: ANN401 - JSON has any shape
    """The value that JSON in text says; anything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "[", '"'):
        try:
            return json_values.decoded(value.encode())
        except json_values.NoValue:
            return value
    return value


def messages_in(value: object) -> Messages | None:
    """The chat messages that a value is or holds, in the dialect of OpenAI; None where it holds none."""
    value = decoded(value)
    for key in _WRAPPERS:
        if isinstance(at(value, key), list | str):
            return messages_in(at(value, key))
    if at(value, "object") == "response":
        return messages_in(at(value, "output"))
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list) and is_items(value):
        value = list(of_items(value))
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]  # a batch of one
    if not isinstance(value, list) or not value or not all(map(_is_message, value)):
        return None
    return [plain for each in value for plain in _plain(each)]


def is_items(value: Sequence[Any]) -> bool:
    """Whether this is a list of items of OpenAI's Responses, messages among them."""
    if not all(isinstance(each, dict) for each in value):
        return False
    kinds = [str(each.get("type")) for each in value]
    special = [kind for kind in kinds if kind in ITEMS and kind != "message"]
    return bool(special) and all(
        kind in ITEMS or "role" in each for kind, each in zip(kinds, value, strict=True)
    )


def question(value: object) -> Any:  # noqa: ANN401 - JSON has any shape
    """The task that an input states: text, messages, or the input itself; None where it states nothing."""
    whole = decoded(value)
    if (messages := messages_in(whole)) is not None:
        asked = dialogue(conversation([*messages, _ANSWERED])).task
        is_wrapped = isinstance(whole, dict) and "messages" in whole
        beside = {key: whole[key] for key in whole if key not in _SETTINGS} if is_wrapped else {}
        beside = {key: each for key, each in beside.items() if each not in (None, "", [], {})}
        return {**beside, "messages": asked} if beside and asked is not None else asked
    if isinstance(whole, dict) and len(whole) == 1:
        return question(next(iter(whole.values())))
    if isinstance(whole, dict) and {"input", "model"} <= whole.keys() <= {"input", *_SETTINGS}:
        return question(whole["input"])
    return None if whole in ("", [], {}) else whole


def answer(value: object) -> str | None:
    """The text that an output says; other JSON as its text; None where there is no output."""
    value = decoded(value)
    if (messages := messages_in(value)) is not None:
        return conversation(messages).output
    reply = at(value, "choices", 0, "message") or at(value, "choices", 0, "text")
    reply = reply or at(value, "generations", 0, 0, "text") or at(value, "generations", 0, 0, "message")
    if reply is not None:
        return answer(reply)
    if isinstance(value, dict):
        if "finish_reason" in value and (words := [value[key] for key in _WORDS & value.keys()]):
            return answer(words[0])
        if len(value) == 1:
            return answer(next(iter(value.values())))
    return None if value is None else as_text(value)


def reply_in(value: object) -> Messages:
    """What a model replied, as messages of an assistant."""
    value = decoded(value)
    if (messages := messages_in(value)) is not None:
        return messages
    whole = messages_in(at(value, "choices", 0, "message") or at(value, "generations", 0, 0, "message"))
    if whole is not None:
        return whole
    text = answer(value)
    return [] if text is None else [{"role": "assistant", "content": text}]


def ran(metadata: object) -> tuple[str | None, str | None]:
    """Digest and version of the runbook where metadata names them: `runbook_digest`, `runbook_version`."""
    metadata = decoded(metadata)
    version = at(metadata, "runbook_version")
    told = str(version) if isinstance(version, int | float) and version is not True else version
    return text_at(metadata, "runbook_digest"), told if isinstance(told, str) and told else None


def _is_message(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    inner = value.get("message")
    if isinstance(inner, dict) and len(value) == 1:
        return _is_message(inner)
    if str(at(value, "id", -1)) in _LANGCHAIN or isinstance(at(value, "data", "content"), str | list):
        return True
    role = value.get("role", value.get("type"))
    is_role = isinstance(role, str) and ("role" in value or role in _TYPES)
    return is_role and bool({"content", "contents", "parts", "tool_calls"} & value.keys())


def _plain(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A message in the dialect of OpenAI; several where one holds the results of several tools."""
    if isinstance(message.get("message"), dict):
        message = message["message"]
    if (role := _LANGCHAIN.get(str(at(message, "id", -1)))) is not None:
        message = {**(message["kwargs"] if isinstance(message.get("kwargs"), dict) else {}), "role": role}
    elif isinstance(message.get("data"), dict):
        message = {**message["data"], "role": message.get("type")}
    message = {**message, "role": str(message.get("role", message.get("type")))}
    parts = [_part(each) for each in list_at(message, "parts") + list_at(message, "contents")]
    for part in parts:
        if (result := part.get("result")) is not None:
            yield {"role": "tool", "tool_call_id": part["id"], "content": result}
    calls = [part["call"] for part in parts if "call" in part]
    calls += [at(call, "tool_call") or call for call in _listed(message.get("tool_calls"))]
    blocks = [part["block"] for part in parts if "block" in part]
    if len(parts) == 0 or blocks or calls:
        content = blocks if parts else decoded_text(message.get("content"))
        rest = {key: message[key] for key in message.keys() - {"parts", "contents", "type"}}
        yield {**rest, "content": content, "tool_calls": calls}


def decoded_text(content: object) -> object:
    """A message's content: a list of parts where it is one, in text or not; else as it is."""
    inner = decoded(content)
    is_parts = isinstance(inner, list) and all(isinstance(at(part, "type"), str) for part in inner)
    return inner if is_parts and inner else content


def _listed(value: object) -> Sequence[Any]:
    value = decoded(value)
    return value if isinstance(value, list) else []


def _part(part: object) -> dict[str, Any]:
    """A part of the GenAI conventions, of OpenInference or of Gemini as a block, a call or a result."""
    part = at(part, "message_content") or part
    kind = at(part, "type")
    called = at(part, "functionCall") or at(part, "function_call")
    responded = at(part, "functionResponse") or at(part, "function_response")
    if kind == "tool_call" or called:
        whole = called or part
        given = at(whole, "arguments") if called is None else at(whole, "args")
        name = at(whole, "name")
        return {"call": {"id": at(whole, "id") or name, "name": str(name), "arguments": given}}
    if kind == "tool_call_response" or responded:
        whole = responded or part
        given = at(whole, "response") if at(whole, "response") is not None else at(whole, "result")
        name = at(whole, "id") or at(whole, "name")
        return {"result": "" if given is None else as_text(given), "id": name}
    text = text_at(part, "content") or text_at(part, "text")
    if kind in ("text", None) and text is not None:
        return {"block": {"type": "text", "text": text}}
    if kind == "reasoning":
        return {"block": {"type": "reasoning", "reasoning": text}}
    return {"block": part if isinstance(part, dict) else {"type": "text", "text": as_text(part)}}
