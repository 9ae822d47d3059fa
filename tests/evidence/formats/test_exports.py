"""Chats, runs on Jetty, evals of skills; and what one bad record costs in an export of each kind."""

import json
from pathlib import Path
from typing import Any

import pytest

from runbookopt.evidence.formats import chat, jetty, skill_evals
from runbookopt.evidence.formats.reader import Fault, Found, Loss
from runbookopt.evidence.library import Folder
from runbookopt.evidence.reading import format_named, gather, items_of
from runbookopt.evidence.trajectory import AgentRecord
from tests.evidence.formats.shapes import (
    CARD,
    CHAT,
    EXPORTS,
    ITEMS,
    JETTY,
    LATER,
    MESSAGES,
    REPORT,
    SKILL_EVALS,
    attempts,
    file,
    verdicts,
)

SHARED = Path(__file__).parents[4] / "shared/data/formats"


@pytest.mark.parametrize("name", EXPORTS)
def test_one_bad_record_costs_that_record_in_an_export_of_each_kind(name: str) -> None:
    records = EXPORTS[name] if isinstance(EXPORTS[name], list) else [EXPORTS[name]]
    clean = [json.dumps(record).encode() for record in records]
    dirty = [clean[0], b'{"half": ', b"7", b'{"odd": {"one": 1}}', *clean[1:]]
    data = [b"\n".join(each) for each in (clean, dirty)]
    found, dirty_found = (list(items_of(file(each), format_named(name))) for each in data)
    keep = [item for item in dirty_found if isinstance(item, Found)]
    assert [item.trajectory for item in keep] == [i.trajectory for i in found if isinstance(i, Found)]
    assert keep
    lines = [item.place.line for item in dirty_found if isinstance(item, Fault)]
    assert set(lines) - {4} == {2, 3}
    passed_over = sum(item.count for item in dirty_found if isinstance(item, Loss))
    assert 4 in lines or passed_over > sum(item.count for item in found if isinstance(item, Loss))


def test_a_chat_of_several_turns_is_answered_at_its_end() -> None:
    (one, several), _, lost = attempts(CHAT)
    assert (one.task.input, one.output) == ("Where is order 7?", "It is in Hull.")
    assert several.task.input == [
        {"role": "user", "content": "Where is order 7?"},
        {"role": "assistant", "content": "It is in Hull."},
        LATER[0],
    ]
    assert several.output == "In York."
    assert lost == {"values of the key tools"}


def test_a_bare_list_of_messages_is_one_chat() -> None:
    (found,), _, _ = attempts(MESSAGES)
    assert (found.task.input, found.output, len(found.steps)) == ("Where is order 7?", "It is in Hull.", 4)


def test_messages_in_lines_of_their_own_are_put_together_by_their_chat() -> None:
    said = [{**each, "thread_id": name} for each in MESSAGES for name in ("a", "b")]
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in said)
    found, _, _ = attempts(lines)
    assert [(each.id, each.task.input, each.output) for each in found] == [
        ("chat:a", "Where is order 7?", "It is in Hull."),
        ("chat:b", "Where is order 7?", "It is in Hull."),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"messages": MESSAGES[:2]}, ("Where is order 7?", None, None)),
        (
            {
                "input": {"messages": MESSAGES[:2]},
                "preferred_output": [{"role": "assistant", "content": "Hull"}],
            },
            ("Where is order 7?", None, "Hull"),
        ),
        (
            {
                "body": {"messages": MESSAGES[:2]},
                "response": {"body": {"choices": [{"message": MESSAGES[4]}]}},
            },
            ("Where is order 7?", "It is in Hull.", None),
        ),
        (
            {"conversations": [{"from": "human", "value": "Where?"}, {"from": "gpt", "value": "In Hull."}]},
            ("Where?", "In Hull.", None),
        ),
        ({"messages": [*MESSAGES, LATER[0]]}, ("Where is order 7?", "It is in Hull.", None)),
    ],
    ids=["prompt", "preference", "batch", "ShareGPT", "unanswered"],
)
def test_chats_are_read_in_the_forms_that_they_are_kept_in(
    value: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    (found,), _, _ = attempts([value])
    assert (found.task.input, found.output, found.task.reference) == expected


@pytest.mark.parametrize(
    "value",
    [
        ITEMS,
        [{"input": ITEMS[:1], "object": "response", "output": ITEMS[1:], "id": "r1", "model": "m-1"}],
        [{"body": {"input": ITEMS[0]["content"]}, "response": {"object": "response", "output": ITEMS[1:]}}],
    ],
    ids=["list", "response", "batch"],
)
def test_items_of_responses_are_a_chat(value: Any) -> None:  # noqa: ANN401 - JSON
    (found,), _, _ = attempts(value)
    assert (found.task.input, found.output) == ("Where is order 7?", "It is in Hull.")
    (call,) = found.steps[2]["tool_calls"]
    assert (call["function_name"], call["arguments"]) == ("look_up", {"order": 7})
    assert found.steps[2]["observation"]["results"][0]["content"] == "in Hull"


def test_a_chat_without_a_user_or_that_failed_says_so() -> None:
    (item,) = items_of(file(b'{"messages": [{"role": "system", "content": "x"}]}'), chat.FORMAT)
    assert isinstance(item, Fault)
    assert item.message == "expected a message of a user"
    (found,), _, _ = attempts({"id": "9", "messages": MESSAGES[:2], "error": {"message": "overloaded"}})
    assert (found.id, found.error) == ("chat:9", "overloaded")


def test_a_dump_of_jetty_has_its_steps_as_calls() -> None:
    (found,), labels, lost = attempts(JETTY)
    assert (found.id, found.task.input, found.output) == ("jetty:j1", "Where is order 7?", "It is in Hull.")
    assert [step["tool_calls"][0]["function_name"] for step in found.steps] == ["text_echo", "litellm_chat"]
    assert (found.runbook_version, lost) == ("1.2.0", {"events of runs"})
    assert (verdicts(found), labels) == ({"right": ("pass", None, None)}, [])
    (failed,), _, _ = attempts({"trajectories": [{**JETTY, "status": "failed"}], "total": 1})
    assert failed.error == "status failed"


def test_a_run_card_is_graded_by_its_own_report_which_never_decides() -> None:
    beside = {
        "input_dot_json": b'{"title": "x", "prompt": "Where is order 7?", "params": {"vars": {"a": 1}}}',
        "expected__summary_dot_md": b"In Hull.",
        "expected__validation_report_dot_json": json.dumps(REPORT).encode(),
    }
    (found,), labels, lost = attempts(CARD, **beside)
    assert found.task.input == {"prompt": "Where is order 7?", "params": {"vars": {"a": 1}}}
    assert (found.output, found.agent) == ("In Hull.", AgentRecord("claude-code", "m-1"))
    assert verdicts(found) == {
        "look up": ("pass", None, "agent"),
        "tone": ("fail", 0.8, "agent"),
        "overall": ("pass", None, "agent"),
    }
    assert (found.runbook_version, labels, lost) == ("1.0.0", [], {"notes on runs"})


def test_a_report_alone_states_its_task_and_a_card_alone_does_not() -> None:
    (found,), _, _ = attempts(REPORT, summary_dot_md=b"In Hull.")
    assert (found.task.input, found.output) == ("Where is order 7?", "In Hull.")
    (item,) = items_of(file(json.dumps(CARD).encode()), jetty.FORMAT)
    assert isinstance(item, Fault)
    assert "expected input.json beside the run card" in item.message


def test_a_folder_of_run_cards_is_read_whole(tmp_path: Path) -> None:
    place = tmp_path / "trajectories/orders/examples/one"
    (place / "expected").mkdir(parents=True)
    (place / "trajectory.json").write_text(json.dumps(CARD))
    (place / "input.json").write_text('{"prompt": "Where is order 7?"}')
    (place / "expected/validation_report.json").write_text(json.dumps(REPORT))
    (tmp_path / "trajectories/orders/manifest.json").write_text('{"slug": "a/b", "runbook_source": "x.md"}')
    gathered = gather(Folder(tmp_path), "trajectories/orders")
    assert [line.record.id for line in gathered.trajectories] == ["jetty:j2"]
    assert gathered.problems == ()


def test_evals_of_a_skill_are_tasks_that_nobody_attempted_yet() -> None:
    (first, second), labels, lost = attempts(SKILL_EVALS)
    assert (first.id, first.task.input, first.task.reference) == (
        "skill-evals:orders:1",
        "Where is order 7?",
        "Hull",
    )
    assert second.task.input == {"prompt": "Read it", "files": ["a.csv"]}
    assert second.task.reference == {"assertions": ["says Hull"]}
    assert (first.output, labels, lost) == (None, [], {"contents of files that evals name"})
    older = {"skills": ["orders"], "query": "Where?", "expected_behavior": ["says Hull"]}
    assert attempts(older)[0][0].task.input == "Where?"
    unusable = {"skill_name": "orders", "evals": [{"id": 3}, {"id": 4, "prompt": "Where?"}]}
    fault, found = items_of(file(json.dumps(unusable).encode()), skill_evals.FORMAT)
    assert isinstance(fault, Fault)
    assert fault.place.within == "eval 1"
    assert isinstance(found, Found)


REFUSED = {
    "claude-code/edge_cases.jsonl": 5,
    "otel/otel_genai_tool_execution_span.json": 1,
    "otel/otlp-trace-minimal.json": 1,
    "prompts/basic.prompty": 1,
    "prompts/features.prompt": 1,
}
"""Files with records that are no attempts, and how many: each is told with its reason."""


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not on this machine")
def test_every_sample_file_is_read_or_refused_with_its_reason() -> None:
    gathered = gather(Folder(SHARED.parent), SHARED.name)
    told = [problem.path.removeprefix("formats/") for problem in gathered.problems]
    assert {path: told.count(path) for path in told} == REFUSED
    read = {line.path.split("/")[1] for line in gathered.trajectories}
    assert read == {path.name for path in SHARED.iterdir()} - {"prompts"}
    jettys = [line.record for line in gathered.trajectories if line.record.format == "jetty"]
    assert {verdict.by.kind for each in jettys for verdict in each.verdicts if verdict.by} == {"agent"}
    assert all(each.runbook_version == "1.0.0" for each in jettys)
