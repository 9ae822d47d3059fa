import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.evidence.formats.transcript import MOST_STEPS, read_steps

SAMPLES = Path(__file__).parents[3] / ".." / "shared/data/formats"
CLAUDE = {"sessionId": "s", "isSidechain": False}


def lines(*records: Any) -> bytes:  # noqa: ANN401 - any JSON
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def said(role: str, content: object, name: str | None = None, **others: object) -> dict[str, Any]:
    message = {"role": role, "content": content} | ({"id": name} if name else {})
    return {"type": role, **CLAUDE, "message": message, **others}


def call(name: str, number: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": number, "name": name, "input": {"path": "a"}}


def test_an_atif_document_gives_its_steps_without_those_of_an_earlier_one() -> None:
    steps = [
        {"source": "agent", "message": "a", "is_copied_context": True},
        {"source": "agent", "message": "b"},
        7,
    ]
    assert read_steps(json.dumps({"schema_version": "ATIF-v1.7", "steps": steps}, indent=1).encode()) == (
        {"source": "agent", "message": "b"},
    )


def test_the_lines_of_one_answer_are_one_step_and_results_stand_where_their_call_does() -> None:
    data = lines(
        {"type": "summary", "summary": "x"},
        said("user", "Do it", timestamp="2026-01-01T00:00:00Z"),
        said("assistant", [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "I look"}], "m1"),
        said("assistant", [call("Read", "t1"), call("Bash", "t2")], "m1"),
        said(
            "user", [{"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "2"}]}]
        ),
        said("user", [{"type": "tool_result", "tool_use_id": "t1", "content": "1"}]),
        said("user", "a reminder", isMeta=True),
        said(
            "assistant", [{"type": "new", "x": 1}, {"type": "text", "text": "Done"}], "m2", isSidechain=True
        ),
    )
    steps = read_steps(data + b'{"type": "assistant", "message": {"role"')
    assert steps is not None
    first, second, third = steps
    assert first == {"step_id": 1, "source": "user", "timestamp": "2026-01-01T00:00:00Z", "message": "Do it"}
    assert (second["message"], second["reasoning_content"]) == ("I look", "Hm")
    assert [tool["function_name"] for tool in second["tool_calls"]] == ["Read", "Bash"]
    assert second["observation"]["results"] == [
        {"source_call_id": "t2", "content": "2"},
        {"source_call_id": "t1", "content": "1"},
    ]
    assert (third["step_id"], third["message"], third["extra"]) == (3, "Done", {"sidechain": True})


def test_codex_events_are_one_step_for_each_item_that_was_completed() -> None:
    begun = {"id": "1", "type": "command_execution", "command": "ls", "status": "in_progress"}
    ended = {**begun, "aggregated_output": "a", "exit_code": 0, "status": "completed"}
    tool = {"id": "2", "type": "mcp_tool_call", "server": "crm", "tool": "find", "arguments": {"id": 1}}
    data = lines(
        {"type": "thread.started", "thread_id": "x"},
        {"type": "item.started", "item": begun},
        {"type": "item.completed", "item": ended},
        {"type": "item.completed", "item": tool},
        {"type": "item.completed", "item": {"id": "3", "type": "todo_list", "items": []}},
        {"type": "item.completed", "item": {"id": "4", "type": "agent_message", "text": "Done"}},
        {"type": "turn.completed", "usage": {}},
    )
    steps = read_steps(data)
    assert steps is not None
    assert [step.get("message") for step in steps] == ["", "", "Done"]
    names = [inner["function_name"] for step in steps for inner in step.get("tool_calls", [])]
    assert names == ["shell", "find"]
    assert '"exit_code":0' in steps[0]["observation"]["results"][0]["content"]


@pytest.mark.parametrize("data", [b"", b"hello", b"{}", b"[]", b'{"type": "user"}', b"\xff\xfe", b"[" * 9999])
def test_what_is_no_known_format_is_none(data: bytes) -> None:
    assert read_steps(data) is None


def test_long_texts_are_shortened_and_too_many_steps_are_not_cut_short() -> None:
    long = read_steps(lines(said("assistant", "x" * 10_000, "m1"), said("assistant", "y", "m2")))
    assert long is not None
    assert long[0]["message"].endswith("x [and 6,000 characters more]")
    assert read_steps(lines(*[said("assistant", "y", f"m{n}") for n in range(MOST_STEPS + 1)])) is None
    many = read_steps(lines(*[said("assistant", "z" * 3_000, f"m{n}") for n in range(500)]))
    assert many is not None
    assert (len(many), many[0]["message"]) == (500, "z" * 200 + " [and 2,800 characters more]")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["type", "message", "content", "id", "item", "steps", "schema_version", "name", "input"]
)
WORDS = st.sampled_from(
    ["user", "assistant", "tool_use", "tool_result", "item.completed", "ATIF-v1.7", "text"]
)
ODD = st.recursive(
    WORDS | ANY, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5)
)


@given(
    st.lists(st.dictionaries(KEYS, ODD, max_size=6).map(lambda record: {"uuid": "1", **record}), max_size=4)
)
def test_no_transcript_makes_a_reader_raise(records: list[dict[str, Any]]) -> None:
    steps = read_steps(lines(*records))
    assert steps is None or all(isinstance(step, dict) for step in steps)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="../shared/data is not on this machine")
def test_transcripts_in_the_wild_are_read() -> None:
    found = [*SAMPLES.glob("atif/*.json"), *SAMPLES.glob("claude-code/*.jsonl")]
    assert found
    assert [path.name for path in found if not read_steps(path.read_bytes())] == []
