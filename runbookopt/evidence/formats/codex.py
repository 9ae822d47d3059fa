"""Codex: the JSON Lines that `codex exec --json` writes to stdout, one event each.

https://developers.openai.com/codex/noninteractive
"""

from collections.abc import Sequence
from typing import Any

import msgspec

_EVENTS = ("thread.", "turn.", "item.")


def steps(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """One step for each item that was completed; None where no line is one of its events.

    A command is a call of `shell`, a change of files one of `apply_patch`, a search one of `web_search`, and
    a tool of a server has its own name.
    """
    kinds = [str(record.get("type")) for record in records]
    if not any(kind.startswith(_EVENTS) for kind in kinds):
        return None
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
