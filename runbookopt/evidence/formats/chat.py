"""Chats: OpenAI's messages, as lines, as files of fine-tuning and of batches, or as one bare list. Pure.

https://platform.openai.com/docs/guides/supervised-fine-tuning
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runbookopt.documents.digest import as_text, digest_of
from runbookopt.documents.schema_errors import plain
from runbookopt.evidence.formats.messages import conversation, dialogue
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
from runbookopt.evidence.formats.traces.values import answer, is_items, messages_in, reply_in
from runbookopt.evidence.trajectory import AgentRecord, TaskRecord, Trajectory

_SENT = ("body", "request", "input", "prompt")
"""Keys below which a request's messages may stand, where it is kept with its reply."""

_REPLIED = ("response", "completion", "output", "reply")
_KNOWN = frozenset(
    {
        "messages",
        "conversations",
        "id",
        "custom_id",
        "model",
        "choices",
        "error",
        "preferred_output",
        *_SENT,
        *_REPLIED,
    }
)
_TALKS = ("conversation_id", "thread_id", "session_id", "chat_id")
"""Keys of a message that stands for itself in its line, by which those of one chat are put together."""

_NAMES = {"gpt": "assistant", "chatgpt": "assistant", "human": "user"}
"""Roles in ShareGPT's dialect."""


def read(contents: Contents) -> Iterator[Item]:
    """One attempt a record, or a chat of single messages: its last answer is the output."""
    records = list(contents.records) if contents.shape == "list" else contents.records
    if isinstance(records, list) and _are_messages([each.value for each in records]):
        yield from _attempt({"messages": [each.value for each in records]}, Place())
        return
    apart: dict[str, tuple[Place, list[Any]]] = {}
    for record in records:
        if isinstance(record.value, dict) and _is_chat(record.value):
            yield from _attempt(record.value, record.place)
        elif _is_message(record.value):
            name = next((own for key in _TALKS if (own := text_at(record.value, key))), "")
            apart.setdefault(name, (record.place, []))[1].append(record.value)
        else:
            yield Fault("expected a mapping with `messages`, or a message", record.place)
    for name, (place, messages) in apart.items():
        yield from _attempt({"messages": messages, **({"id": name} if name else {})}, place)


def _recognizes(sample: Sample) -> int:
    if sample.shape == "list" and _are_messages(sample.values):
        return len(sample.values)
    apart = sum(map(_is_message, sample.values))
    return sum(map(_is_chat, sample.mappings())) + (apart if 2 * apart > len(sample.values) else 0)


FORMAT = Format(name="chat", title="chats", recognizes=_recognizes, read=read)


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and "role" in value and bool({"content", "tool_calls"} & value.keys())


def _are_messages(values: Sequence[Any]) -> bool:
    """Whether these are one chat: messages, or items of OpenAI's Responses."""
    return bool(values) and (all(map(_is_message, values)) or is_items(values))


def _is_chat(value: Mapping[str, Any]) -> bool:
    return _sent(value) is not None


def _sent(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The messages of a record: its own, those of its request, or of ShareGPT's `conversations`."""
    if turns := list_at(value, "conversations"):
        told = [(text_at(turn, "from"), at(turn, "value")) for turn in turns]
        roles = [(_NAMES.get(role or "", role), text) for role, text in told]
        return messages_in([{"role": role, "content": text} for role, text in roles])
    if (asked := _asked(value)) is not None:
        return messages_in(asked) or [{"role": "user", "content": as_text(asked)}]
    holders = [each for each in (value, *(at(value, key) for key in _SENT)) if list_at(each, "messages")]
    return messages_in(list_at(holders[0], "messages")) if holders else None


def _asked(value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON has any shape
    """The input of a call of OpenAI's Responses that stands beside its reply; None where this is none."""
    replies = (value, at(value, "response"), at(value, "response", "body"))
    if not any(at(reply, "object") == "response" for reply in replies):
        return None
    inputs = (at(each, "input") for each in (value, *(at(value, key) for key in _SENT)))
    return next((given for given in inputs if given), None)


def _attempt(value: Mapping[str, Any], place: Place) -> Iterator[Item]:
    told = next((at(value, key) for key in _REPLIED if at(value, key) is not None), None)
    body = at(told, "body") or told or ({"choices": value["choices"]} if list_at(value, "choices") else None)
    talk = dialogue(conversation([*(_sent(value) or ()), *reply_in(body)]))
    if talk.task is None:
        yield Fault("expected a message of a user", place)
        return
    is_response = at(value, "object") == "response"
    yield from [Loss("settings of calls")] if is_response else ()
    unread = () if is_response else value.keys() - _KNOWN
    others = [key for key in value if key in unread and value[key] not in (None, "", [], {})]
    yield from (*talk.losses, *(Loss(f"values of the key {plain(key)[:40]}") for key in others))
    own = text_at(value, "custom_id") or text_at(value, "id") or digest_of(value)[7:23]
    error = at(value, "error")
    model = text_at(value, "model") or text_at(body, "model") or text_at(value, "body", "model")
    trajectory = Trajectory(
        id=identity("chat", own),
        task=TaskRecord(talk.task, answer(at(value, "preferred_output"))),
        output=talk.output,
        steps=talk.steps,
        agent=AgentRecord(None, model) if model else None,
        error=(text_at(error, "message") or as_text(error)) if error else None,
    )
    yield Found(trajectory, (), place)
