"""SWE-agent and mini-swe-agent: trajectories of attempts at issues of a repository. Pure.

https://swe-agent.com/latest/usage/trajectories/, https://mini-swe-agent.com/latest/usage/output_files/
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from runbookopt.documents.digest import digest_of
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
    text_at,
)
from runbookopt.evidence.trajectory import AgentRecord, TaskRecord, Trajectory

_SUBMITTED = "submitted"
_MARKS = ("mswea_bash_command", "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT", "MINI_SWE_AGENT_FINAL_OUTPUT")
_COMMAND = re.compile(r"```(?:mswea_bash_command|bash)\s*\n(.*?)\n?```", re.DOTALL)
_LOST = {
    "model_stats": "token counts and costs",
    "config": "settings of the agent",
    "edited_files30": "excerpts of edited files",
}


def read(contents: Contents) -> Iterator[Item]:
    """One attempt a document: steps from `trajectory`, and from `history` where that is missing."""
    for record in contents.records:
        if not isinstance(record.value, dict) or not _is_trajectory(record.value):
            yield Fault("expected a trajectory of SWE-agent: `history` or `trajectory`", record.place)
            continue
        history = list_at(record.value, "history") or list_at(record.value, "trajectory", 0, "query")
        shown = [message for message in history if not at(message, "is_demo")]
        if len(shown) < len(history):
            yield Loss("messages of demonstrations", len(history) - len(shown))
        talk = conversation(map(_plain, shown))
        if turns := list_at(record.value, "trajectory"):
            talk = Conversation(talk.task, talk.output, tuple(_turns(turns, talk.task)), talk.losses)
        if "replay_config" in record.value:
            yield Loss("settings of the agent")
        yield from _attempt("swe-agent", record.value, talk, record.place)


def read_mini(contents: Contents) -> Iterator[Item]:
    """One attempt a document, or the whole of a list of messages. Commands in fences are calls of `bash`."""
    if contents.shape == "list":
        messages = [record.value for record in contents.records]
        yield from _attempt(
            "mini-swe-agent", {"messages": messages}, conversation(_called(messages)), Place()
        )
        return
    for record in contents.records:
        messages = list_at(record.value, "messages")
        if not isinstance(record.value, dict) or not messages:
            yield Fault("expected a trajectory of mini-swe-agent with `messages`", record.place)
            continue
        yield from _attempt("mini-swe-agent", record.value, conversation(_called(messages)), record.place)


def _recognizes(sample: Sample) -> int:
    return sum(map(_is_trajectory, sample.mappings()))


def _recognizes_mini(sample: Sample) -> int:
    if sample.shape == "list":
        messages = list(sample.mappings())
        marked = any(mark in text_of(message.get("content")) for message in messages for mark in _MARKS)
        return len(messages) if marked and all("role" in message for message in messages) else 0
    return sum(
        str(value.get("trajectory_format")).startswith("mini-swe-agent")
        or at(value, "info", "mini_version") is not None
        for value in sample.mappings()
    )


FORMAT = Format(name="swe-agent", title="a trajectory of SWE-agent", recognizes=_recognizes, read=read)
FORMAT_MINI = Format(
    name="mini-swe-agent",
    title="a trajectory of mini-swe-agent",
    recognizes=_recognizes_mini,
    read=read_mini,
)


def _is_trajectory(value: Mapping[str, Any]) -> bool:
    turn, message = at(value, "trajectory", 0), at(value, "history", 0)
    return (isinstance(turn, dict) and {"action", "observation"} <= turn.keys()) or (
        isinstance(message, dict) and "role" in message and bool({"agent", "message_type"} & message.keys())
    )


def _attempt(format_: str, document: Mapping[str, Any], talk: Conversation, place: Place) -> Iterator[Item]:
    if talk.task is None:
        yield Fault("expected a message of a user that states the task", place)
        return
    info = at(document, "info")
    yield from talk.losses
    yield from (Loss(what) for key, what in _LOST.items() if at(info, key))
    status, instance = text_at(info, "exit_status"), text_at(document, "instance_id")
    ended = status is None or status.lower().startswith(_SUBMITTED)
    model = text_at(info, "config", "model", "model_name")
    trajectory = Trajectory(
        id=identity(format_, *([instance] if instance else []), digest_of(document)[7:23]),
        task=TaskRecord(talk.task, group=instance),
        output=text_at(info, "submission") or talk.output,
        steps=talk.steps,
        agent=AgentRecord(format_, model),
        error=None if ended else f"exit status {status}",
    )
    yield Found(trajectory, (), place)


def _plain(message: Any) -> Any:  # noqa: ANN401 - JSON has any shape
    """A message of a history, which names the calls that it answers in a list."""
    ids = list_at(message, "tool_call_ids")
    return {**message, "tool_call_id": ids[0]} if ids else message


def _turns(turns: Iterable[Any], task: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON has any shape
    yield {"step_id": 1, "source": "user", "message": text_of(task)}
    for number, turn in enumerate(turns, 2):
        id_, action = f"call-{number}", text_at(turn, "action")
        step: dict[str, Any] = {"step_id": number, "source": "agent"}
        step["message"] = text_at(turn, "thought") or text_at(turn, "response") or ""
        if action:
            called = {"tool_call_id": id_, "function_name": "shell", "arguments": {"command": action}}
            step["tool_calls"] = [called]
        if text_at(turn, "observation"):
            result = {"source_call_id": id_ if action else None, "content": turn["observation"]}
            step["observation"] = {"results": [result]}
        yield step


def _called(messages: Iterable[Any]) -> Iterator[Any]:
    """The messages with the one command of an answer as a call, and what came of it as its result."""
    open_call = None
    for number, message in enumerate(messages):
        role, text = at(message, "role"), text_of(at(message, "content"))
        commands = _COMMAND.findall(text) if role == "assistant" else []
        if open_call is not None and role == "user":
            yield {"role": "tool", "tool_call_id": open_call, "content": text}
            open_call = None
        elif len(commands) == 1 and not at(message, "tool_calls"):
            open_call = f"call-{number}"
            call = {"id": open_call, "name": "bash", "arguments": {"command": commands[0]}}
            yield {**message, "tool_calls": [call]}
        else:
            open_call = None
            yield message
