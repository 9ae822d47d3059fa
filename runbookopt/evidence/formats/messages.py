"""Chat messages, as OpenAI's and Anthropic's interfaces have them, as task, output and ATIF steps. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.digest import as_text
from runbookopt.evidence.formats.reader import Loss, at, list_at, text_at

_TOOLS = frozenset({"tool", "function"})
ITEMS = frozenset(
    {
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "local_shell_call",
        "local_shell_call_output",
        "web_search_call",
    }
)
"""Kinds of items of OpenAI's Responses, which Codex keeps too."""

_RESULTS = ("tool_result", "tool-result")
"""Kinds of parts that say what a tool gave back, in the dialects of Anthropic and of the AI SDK."""

_KNOWN = frozenset(
    {"text", "thinking", "reasoning", "tool_use", "tool-call", *_RESULTS, "input_text", "output_text"}
)
_SOURCES = {"user": "user", "human": "user", "assistant": "agent", "ai": "agent", "model": "agent"}


class Conversation(Struct, frozen=True):
    """What a list of messages says of an attempt.

    `task` is what users said before the first answer: text, or a list of texts where there were several;
    None where nobody did. `output` is the last text of the agent, None where it ends without one.
    `steps` are ATIF step objects: what a tool gave back stands in the step that called it.
    """

    task: Any
    output: str | None
    steps: tuple[dict[str, Any], ...]
    losses: tuple[Loss, ...]


def conversation(messages: Iterable[Any]) -> Conversation:
    """Read a list of messages; what is no message is counted as lost."""
    reading = _Reading()
    for message in messages:
        if isinstance(message, dict) and isinstance(role := message.get("role", message.get("type")), str):
            reading.take(role, message)
        else:
            reading.lost["entries that are no messages"] += 1
    steps = [{"step_id": number, **step} for number, step in enumerate(reading.steps, 1)]
    return Conversation(
        _task(steps), _output(steps), tuple(steps), tuple(Loss(*each) for each in reading.lost.items())
    )


def dialogue(talk: Conversation) -> Conversation:
    """The conversation with all that its last answer follows from as its task.

    Where a user spoke again after an answer, that is the messages of both up to there. `output` is what the
    agent said after it; None where it said nothing.
    """
    said = [step for step in talk.steps if step["source"] in ("user", "agent") and step["message"]]
    last = max((n for n, step in enumerate(said) if step["source"] == "agent"), default=None)
    asked = last is not None and any(step["source"] == "user" for step in said[:last])
    before = said[:last] if asked else [step for step in said if step["source"] == "user"]
    while before and before[-1]["source"] == "agent":
        before.pop()
    unheard = sum(step["source"] == "user" for step in said[last:]) if asked else 0
    lost = (Loss("messages of users that nothing answers", unheard),) if unheard else ()
    texts: Any = [step["message"] for step in before]
    if any(step["source"] == "agent" for step in before):
        roles = {"user": "user", "agent": "assistant"}
        texts = [{"role": roles[step["source"]], "content": step["message"]} for step in before]
    return replace(
        talk,
        task=texts[0] if len(texts) == 1 else texts or None,
        output=talk.output if asked else None,
        losses=talk.losses + lost,
    )


def of_items(items: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Items of OpenAI's Responses as chat messages; what is a message already stays one."""
    for item in items:
        match at(item, "type"):
            case "reasoning":
                thoughts = [*list_at(item, "summary"), *list_at(item, "content")]
                yield {"role": "assistant", "content": "", "reasoning_content": text_of(thoughts)}
            case "function_call" | "custom_tool_call" | "local_shell_call" | "web_search_call" as kind:
                given = {
                    "local_shell_call": "action",
                    "custom_tool_call": "input",
                    "web_search_call": "action",
                }
                arguments = item.get(given.get(kind, "arguments"))
                name = text_at(item, "name") or kind.removesuffix("_call")
                call = {"id": item.get("call_id") or name, "name": name, "arguments": arguments}
                yield {"role": "assistant", "content": "", "tool_calls": [call]}
            case "function_call_output" | "custom_tool_call_output" | "local_shell_call_output":
                content = _given_back(item.get("output"))
                yield {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}
            case _ if at(item, "role") is not None:
                yield item
            case _:  # a kind that nobody has heard of yet
                pass


def _given_back(output: object) -> object:
    """What a tool gave back: text, a list of parts, or either in a mapping, which may be JSON in text."""
    if isinstance(output, str) and output.startswith("{"):
        try:
            inner = at(msgspec.json.decode(output), "output")
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return output
        return inner if isinstance(inner, str) else output
    return at(output, "content") if isinstance(output, dict) else output


def text_of(content: object) -> str:
    """The text of a message's content: text, or a list of parts, joined by line ends."""
    if isinstance(content, str):
        return content
    return "\n".join(text for part in _parts(content) if (text := text_at(part, "text")) is not None)


def _task(steps: Sequence[dict[str, Any]]) -> Any:  # noqa: ANN401 - text, or a list of texts
    texts: list[str] = []
    for step in steps:
        if step["source"] == "agent" and texts:
            break
        if step["source"] == "user" and step["message"]:
            texts.append(step["message"])
    return texts[0] if len(texts) == 1 else texts or None


def _output(steps: Sequence[dict[str, Any]]) -> str | None:
    said = [step["message"] for step in steps if step["source"] == "agent" and step["message"]]
    return said[-1] if said else None


class _Reading:
    """The steps so far, the one that each tool call stands in, and what was lost."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.lost: Counter[str] = Counter()
        self._of_call: dict[str, dict[str, Any]] = {}

    def take(self, role: str, message: dict[str, Any]) -> None:
        content = message.get("content")
        if role in _TOOLS and not any(part.get("type") in _RESULTS for part in _parts(content)):
            name = message.get("tool_call_id", message.get("name"))
            self._result(name, text_of(content), at(message, "error"))
            return
        parts = list(_parts(content))
        results = [part for part in parts if part.get("type") in _RESULTS]
        for part in results:
            self._result(*_result_of(part), None)
        calls = [*_calls(message), *_used(parts)]
        text = text_of(content)
        if not results or text or calls:
            self._step(role, message, text, calls)
        for part in parts:
            if str(part.get("type")) not in _KNOWN:
                self.lost["images and other parts that are no text"] += 1

    def _step(self, role: str, message: dict[str, Any], text: str, calls: list[dict[str, Any]]) -> None:
        parts = _parts(message.get("content"))
        thoughts = [text_at(part, "thinking") or text_at(part, "reasoning") for part in parts]
        thought = text_at(message, "reasoning_content") or "\n".join(filter(None, thoughts))
        when = text_at(message, "timestamp")
        step: dict[str, Any] = {
            "source": _SOURCES.get(role, "system"),
            **({"timestamp": when} if when else {}),
            "message": text,
            **({"reasoning_content": thought} if thought else {}),
            **({"tool_calls": calls} if calls else {}),
        }
        self.steps.append(step)
        self._of_call.update({call["tool_call_id"]: step for call in calls})

    def _result(self, name: object, content: str, error: object) -> None:
        if error:
            content = f"{content}\n[error: {text_at(error, 'message') or as_text(error)}]".strip()
        result = {"source_call_id": str(name), "content": content}
        step = self._of_call.get(str(name))
        if step is None:  # nobody called it: it stands for itself
            step = {"source": "system", "message": ""}
            self.steps.append(step)
        step.setdefault("observation", {"results": []})["results"].append(result)


def _parts(content: object) -> Iterator[dict[str, Any]]:
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            yield {"type": "text", "text": part}
        elif isinstance(part, dict):
            yield part


def _calls(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The calls of a message in the forms of OpenAI and of Inspect, and the one call of the older OpenAI."""
    older = [{"function": message["function_call"]}] if isinstance(message.get("function_call"), dict) else []
    for call in [*list_at(message, "tool_calls"), *older]:
        function = at(call, "function")
        name = text_at(function, "name") or text_at(call, "name") or (function or None)
        given = at(function, "arguments") if isinstance(function, dict) else at(call, "arguments")
        if name is not None:
            yield _call(at(call, "id") or name, name, given if given is not None else at(call, "args"))


def _used(parts: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for part in parts:
        if part.get("type") == "tool_use":
            yield _call(part.get("id"), part.get("name"), part.get("input"))
        elif part.get("type") == "tool-call":
            yield _call(part.get("toolCallId"), part.get("toolName"), part.get("args", part.get("input")))


def _result_of(part: Mapping[str, Any]) -> tuple[object, str]:
    """Which call a part answers, and with what words."""
    if part.get("type") == "tool_result":
        return part.get("tool_use_id"), text_of(part.get("content"))
    given = part.get("output", part.get("result"))
    given = at(given, "value") if isinstance(given, dict) and {"type", "value"} == given.keys() else given
    return part.get("toolCallId"), "" if given is None else as_text(given)


def _call(id_: object, name: object, given: object) -> dict[str, Any]:
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            given = {"text": given}
    arguments = given if isinstance(given, dict) else {} if given is None else {"value": given}
    return {"tool_call_id": str(id_), "function_name": str(name), "arguments": arguments}
