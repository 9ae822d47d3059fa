"""Sessions of Claude Code and of Codex."""

import json
from typing import Any

import pytest

from runbookopt.evidence.formats import claude_code, codex
from runbookopt.evidence.formats.reader import Fault, Format
from runbookopt.evidence.formats.transcript import read_steps
from runbookopt.evidence.reading import items_of
from runbookopt.evidence.trajectory import AgentRecord
from tests.evidence.formats.shapes import CLAUDE, CODEX, attempts, claude, codex_said, file
from tests.evidence.formats.shapes import codex as rollout


def lines(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def fault(records: list[dict[str, Any]], format_: Format) -> str:
    (item,) = [each for each in items_of(file(lines(records)), format_) if isinstance(each, Fault)]
    return item.message


def test_a_session_of_claude_code_has_what_was_asked_in_the_branch_that_stayed() -> None:
    (found,), _, lost = attempts(lines(CLAUDE))
    assert (found.id, found.task.input, found.output) == (
        "claude-code:s1",
        "Where is order 7?",
        "It is in Hull.",
    )
    assert (found.agent, found.started_at) == (AgentRecord("claude-code", "m-1"), "2026-11-01T09:00:02Z")
    assert [call["function_name"] for step in found.steps for call in step.get("tool_calls", ())] == ["Read"]
    assert "In York." not in json.dumps(found.steps)
    assert lost == {
        "messages of users that nothing answers",
        "messages that were delivered twice, or taken back",
        "notes of the program to itself",
        "records that are no messages",
        "token counts",
        "versions of Claude Code",
    }


def test_all_that_a_user_asks_in_a_session_is_its_task() -> None:
    later = [
        claude("user", "u4", "<command-name>/orders</command-name><command-args>8</command-args>"),
        claude("assistant", "a4", [{"type": "text", "text": "In York."}]),
    ]
    (found,), _, _ = attempts(lines([*CLAUDE, *later]))
    assert (found.task.input, found.output) == (["Where is order 7?", "Thank you.", "/orders 8"], "In York.")


def test_sessions_in_one_file_are_attempts_of_their_own() -> None:
    other = [{**record, "sessionId": "s2"} for record in CLAUDE]
    assert [found.id for found in attempts(lines([*CLAUDE, *other]))[0]] == [
        "claude-code:s1",
        "claude-code:s2",
    ]


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (
            claude("assistant", "x", [{"type": "text", "text": "API Error: 529"}], isApiErrorMessage=True),
            "API Er",
        ),
        (
            claude("user", "x", [{"type": "text", "text": "[Request interrupted by user]"}]),
            "interrupted by the",
        ),
        (
            {"type": "result", "subtype": "error_max_turns", "session_id": "s1", "is_error": True},
            "error_max_turns",
        ),
    ],
    ids=["provider", "user", "limit"],
)
def test_a_session_that_broke_down_is_errored(last: dict[str, Any], error: str) -> None:
    (found,), _, _ = attempts(lines([*CLAUDE, last]))
    assert str(found.error).startswith(error)
    assert found.output == "It is in Hull."


def test_what_is_no_whole_session_says_why() -> None:
    ended = {"type": "result", "session_id": "s1", "result": "In Hull.", "subtype": "success"}
    streamed = [claude("assistant", "a", [{"type": "text", "text": "In Hull."}]), ended]
    assert "import the session's own file" in fault(streamed, claude_code.FORMAT)
    assert fault(streamed[:1], claude_code.FORMAT) == "expected a message of a user"
    helper = [claude("user", "a", "Look.", isSidechain=True)]
    assert attempts(lines(helper)) == ([], [], {"transcripts of sub-agents"})


def test_a_rollout_of_codex_has_task_output_and_steps() -> None:
    (found,), _, lost = attempts(lines(CODEX))
    assert (found.id, found.task.input, found.output) == ("codex:s1", "Where is order 7?", "It is in Hull.")
    assert found.agent == AgentRecord("codex", "m-1")
    calls = [call for step in found.steps for call in step.get("tool_calls", ())]
    assert [call["arguments"] for call in calls] == [{"command": "ls"}, {"text": "*** patch"}]
    assert "7: Hull" in json.dumps(found.steps)
    assert {"encrypted thoughts", "settings of turns", "token counts"} <= lost
    assert read_steps(lines(CODEX)) == found.steps


def test_events_say_what_a_user_of_codex_asked_and_that_a_turn_was_aborted() -> None:
    asked = [rollout("event_msg", type="user_message", message="Find order 7.")]
    aborted = [rollout("event_msg", type="turn_aborted", reason="interrupted")]
    again = [rollout("event_msg", type="user_message", message="Go on."), codex_said("assistant", "In York.")]
    (found,), _, _ = attempts(lines([*CODEX[:2], *asked, *CODEX[2:], *aborted]))
    assert (found.task.input, found.error) == ("Find order 7.", "aborted: interrupted")
    (found,), _, _ = attempts(lines([*CODEX[:2], *asked, *CODEX[2:], *aborted, *again]))
    assert (found.task.input, found.output, found.error) == (["Find order 7.", "Go on."], "In York.", None)


def test_rollouts_before_they_were_wrapped_are_read_and_events_of_exec_say_what_lacks() -> None:
    older = [{"id": "s0", "timestamp": "2025-06-01T09:00:00Z", "instructions": None}]
    older += [record["payload"] for record in CODEX if record["type"] == "response_item"]
    (found,), _, _ = attempts(lines(older))
    assert (found.id, found.task.input) == ("codex:s0", "Where is order 7?")
    events = [{"type": "thread.started", "thread_id": "x"}, {"type": "turn.completed", "usage": {}}]
    assert "import the session's rollout file" in fault(events, codex.FORMAT)
