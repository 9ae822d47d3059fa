"""Claude Code: the JSON Lines of a session's transcript, and of `claude -p --output-format stream-json`."""

from collections.abc import Iterator, Sequence
from typing import Any

_CONTENT = frozenset({"tool_calls", "observation", "reasoning_content"})


def steps(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """A session's steps in the order of its lines; None where no line is one of its messages.

    One answer of the model comes as several lines with one message id: they are one step. What a tool gave
    back belongs to the step that called it.
    """
    messages = [
        (record, record["message"])
        for record in records
        if record.get("type") in ("user", "assistant")
        and isinstance(record.get("message"), dict)
        and {"uuid", "sessionId", "session_id"} & record.keys()
    ]
    if not messages:
        return None
    reading = _Reading()
    for record, message in messages:
        if not record.get("isMeta"):
            reading.take(record, message)
    steps = [step for step in reading.steps if step["message"] or _CONTENT & step.keys()]
    return [{"step_id": number, **step} for number, step in enumerate(steps, 1)]


class _Reading:
    """The steps so far, the one that each message's id made, and the one that each tool call stands in."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self._of_message: dict[str, dict[str, Any]] = {}
        self._of_call: dict[str, dict[str, Any]] = {}

    def take(self, record: dict[str, Any], message: dict[str, Any]) -> None:
        step = self._step(record, message)
        for block in _blocks(message.get("content")):
            match block.get("type"):
                case "text":
                    _add(step, "message", block.get("text"))
                case "thinking":
                    _add(step, "reasoning_content", block.get("thinking"))
                case "tool_use":
                    call = _call(block)
                    self._of_call[call["tool_call_id"]] = step
                    step.setdefault("tool_calls", []).append(call)
                case "tool_result":
                    self._result(block, step)
                case _:  # a kind that nobody has heard of yet
                    pass

    def _step(self, record: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
        name = message.get("id") if record["type"] == "assistant" else None
        if isinstance(name, str) and name in self._of_message:
            return self._of_message[name]
        when, model = record.get("timestamp"), message.get("model")
        step: dict[str, Any] = {
            "source": "user" if record["type"] == "user" else "agent",
            **({"timestamp": when} if isinstance(when, str) else {}),
            "message": "",
            **({"extra": {"sidechain": True}} if record.get("isSidechain") is True else {}),
            **({"model_name": model} if isinstance(model, str) else {}),
        }
        self.steps.append(step)
        if isinstance(name, str):
            self._of_message[name] = step
        return step

    def _result(self, block: dict[str, Any], step: dict[str, Any]) -> None:
        name = str(block.get("tool_use_id"))
        texts = [str(inner.get("text", "")) for inner in _blocks(block.get("content"))]
        result = {"source_call_id": name, "content": "\n".join(texts)}
        self._of_call.get(name, step).setdefault("observation", {"results": []})["results"].append(result)


def _blocks(content: object) -> Iterator[dict[str, Any]]:
    """The blocks of a content, which may be text alone."""
    if isinstance(content, str):
        yield {"type": "text", "text": content}
    elif isinstance(content, list):
        yield from (block for block in content if isinstance(block, dict))


def _call(block: dict[str, Any]) -> dict[str, Any]:
    given = block.get("input")
    return {
        "tool_call_id": str(block.get("id")),
        "function_name": str(block.get("name")),
        "arguments": given if isinstance(given, dict) else {},
    }


def _add(step: dict[str, Any], key: str, text: object) -> None:
    if isinstance(text, str) and text:
        step[key] = f"{step[key]}\n{text}" if step.get(key) else text
