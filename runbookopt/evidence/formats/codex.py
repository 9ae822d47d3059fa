"""Codex: the rollout file of a session, and the events that `codex exec --json` writes to stdout. Pure.

https://developers.openai.com/codex/noninteractive
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from runbookopt.documents.digest import digest_of
from runbookopt.evidence.formats.messages import ITEMS, conversation, of_items, text_of
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
from runbookopt.evidence.trajectory import AgentRecord, TaskRecord, Trajectory

_EVENTS = ("thread.", "turn.", "item.")
_KINDS = frozenset({"session_meta", "response_item", "event_msg", "turn_context", "compacted"})
_NOISE = ("<", "# AGENTS.md instructions")
"""How messages of a user begin that the program writes itself, in tags: the environment, a skill's text."""

_NO_PROMPT = (
    "expected what the user asked, which `codex exec --json` does not say: import the session's rollout file"
    " instead"
)


def read(contents: Contents) -> Iterator[Item]:
    """One attempt a file: all that its user asked for is the task, the last answer is the output."""
    records: list[dict[str, Any]] = []
    place = None
    for record in contents.records:
        if not isinstance(record.value, dict):
            yield Fault("expected a record of a session", record.place)
            continue
        kind, payload = _unwrapped(record.value)
        if kind in _KINDS and not isinstance(payload, dict):
            yield Fault("expected a mapping `payload`", record.place)
            continue
        place = place or record.place
        records.append(record.value)
    if records:
        yield from _attempt(records, place or Place())


def _recognizes(sample: Sample) -> int:
    bare = sample.shape == "lines"  # in a list, items of older files may as well be a chat
    return sum(
        str(value.get("type")).startswith(_EVENTS)
        or (_unwrapped(value)[0] in _KINDS and ("payload" in value or bare))
        for value in sample.mappings()
    )


FORMAT = Format(name="codex", title="a session of Codex", recognizes=_recognizes, read=read)


def _unwrapped(record: Mapping[str, Any]) -> tuple[str, Any]:
    """The kind of a line and what it holds; in files before September 2025 items stand for themselves."""
    kind = record.get("type")
    if "payload" in record:
        return str(kind), record["payload"]
    if isinstance(kind, str) and kind in ITEMS and {"role", "call_id", "summary", "status"} & record.keys():
        return "response_item", record
    return ("session_meta", record) if {"id", "timestamp", "instructions"} <= record.keys() else ("", None)


def _attempt(records: Sequence[dict[str, Any]], place: Place) -> Iterator[Item]:
    lines = [_unwrapped(record) for record in records]
    items = [payload for kind, payload in lines if kind == "response_item"]
    answers = [
        number
        for number, (kind, each) in enumerate(lines)
        if kind == "response_item" and (at(each, "type") != "message" or at(each, "role") == "assistant")
    ]
    heard = answers[-1] if answers else len(lines)
    prompts = _prompts(lines[:heard])
    if not prompts:
        streamed = any(str(record.get("type")).startswith(_EVENTS) for record in records)
        yield Fault(_NO_PROMPT if streamed else "expected a message of a user", place)
        return
    if unheard := len(_prompts(lines[heard:])):
        yield Loss("messages of users that nothing answers", unheard)
    talk = conversation(of_items(items))
    yield from talk.losses
    yield from (Loss(*each) for each in sorted(_lost(lines).items()))
    meta = next((payload for kind, payload in lines if kind == "session_meta"), None)
    models = (text_at(payload, "model") for kind, payload in lines if kind == "turn_context")
    trajectory = Trajectory(
        id=identity("codex", text_at(meta, "id") or digest_of(records)[7:23]),
        task=TaskRecord(prompts[0] if len(prompts) == 1 else prompts),
        output=talk.output,
        steps=talk.steps,
        agent=AgentRecord("codex", next(filter(None, models), None)),
        started_at=text_at(meta, "timestamp") or text_at(records[0], "timestamp"),
        error=_error(payload for kind, payload in lines if kind == "event_msg"),
    )
    yield Found(trajectory, (), place)


def _prompts(lines: Sequence[tuple[str, Any]]) -> list[str]:
    """What the user asked for: by the events that say so, else by the messages that are no program's."""
    told = [text_at(each, "message") for _, each in lines if at(each, "type") == "user_message"]
    if not any(told):
        texts = [text_of(at(each, "content")).strip() for _, each in lines if at(each, "role") == "user"]
        told = [text for text in texts if not text.startswith(_NOISE)]
    return [text for text in told if text]


def _error(events: Iterable[Any]) -> str | None:
    """Why the last turn broke down, of what came after its user's last message."""
    error = None
    for event in events:
        match at(event, "type"):
            case "user_message" | "task_started" | "turn_started":
                error = None
            case "error":
                error = text_at(event, "message") or "without a message"
            case "turn_aborted":
                error = f"aborted: {text_at(event, 'reason') or 'without a reason'}"
            case _:
                pass
    return error


def _lost(lines: Iterable[tuple[str, Any]]) -> Counter[str]:
    lost: Counter[str] = Counter()
    for kind, payload in lines:
        inner = at(payload, "type")
        if kind == "event_msg":
            lost["token counts"] += inner == "token_count"
        elif kind == "response_item":
            lost["entries of unknown kinds"] += str(inner) not in ITEMS
            hidden = inner == "reasoning" and bool(at(payload, "encrypted_content"))
            lost["encrypted thoughts"] += hidden and not list_at(payload, "summary")
        elif kind == "session_meta":
            lost["instructions and versions of sessions"] += 1
        else:
            lost["summaries of what went before" if kind == "compacted" else "settings of turns"] += 1
    return +lost


def steps(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """One step for each item that was completed; None where no line is one of a session of Codex.

    In events, a command is a call of `shell`, a change of files one of `apply_patch`, a search one of
    `web_search`, and a tool of a server has its own name.
    """
    kinds = [str(record.get("type")) for record in records]
    if not any(kind.startswith(_EVENTS) for kind in kinds):
        lines = map(_unwrapped, records)
        items = [payload for kind, payload in lines if kind == "response_item"]
        return list(conversation(of_items(items)).steps) or None
    items = [
        record["item"]
        for record, kind in zip(records, kinds, strict=True)
        if kind == "item.completed" and isinstance(record.get("item"), dict)
    ]
    steps = filter(None, map(_step, items))
    return [{"step_id": number, "source": "agent", **step} for number, step in enumerate(steps, 1)]


def _step(item: dict[str, Any]) -> dict[str, Any]:
    text = str(item.get("text") or item.get("message") or "")
    match item.get("type", item.get("item_type")):
        case "agent_message" | "assistant_message" | "error":
            return {"message": text}
        case "reasoning":
            return {"message": "", "reasoning_content": text}
        case "command_execution" | "file_change" | "mcp_tool_call" | "web_search" as kind:
            return _called(item, kind)
        case _:
            return {}


def _called(item: dict[str, Any], kind: str) -> dict[str, Any]:
    arguments: Any = {}
    match kind:
        case "command_execution":
            name, arguments = "shell", {"command": item.get("command")}
            result: Any = {"exit_code": item.get("exit_code"), "output": item.get("aggregated_output", "")}
        case "file_change":
            name, arguments, result = "apply_patch", {"changes": item.get("changes")}, item.get("status")
        case "web_search":
            name, arguments, result = "web_search", {"query": item.get("query")}, None
        case _:
            name, result = str(item.get("tool")), item.get("result") or item.get("error")
            arguments = item["arguments"] if isinstance(item.get("arguments"), dict) else {}
    call = {"tool_call_id": str(item.get("id")), "function_name": name, "arguments": arguments}
    if result is None:
        return {"message": "", "tool_calls": [call]}
    content = result if isinstance(result, str) else msgspec.json.encode(result).decode()
    results = [{"source_call_id": call["tool_call_id"], "content": content}]
    return {"message": "", "tool_calls": [call], "observation": {"results": results}}
