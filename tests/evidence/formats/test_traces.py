"""Traces of OpenTelemetry, Langfuse, LangSmith and MLflow, with what was said of them."""

import json
from copy import deepcopy
from typing import Any

import pytest

from runbookopt.evidence.formats.reader import Fault, Found
from runbookopt.evidence.formats.traces import langfuse, langsmith, otel
from runbookopt.evidence.reading import items_of
from runbookopt.evidence.trajectory import AgentRecord, Label
from tests.evidence.formats.shapes import (
    DIALECTS,
    EVALUATED,
    GENAI,
    LANGFUSE,
    LANGSMITH,
    LATER,
    MESSAGES,
    MLFLOW,
    OTLP,
    attempts,
    file,
    mlflow_span,
    otlp,
    otlp_span,
    verdicts,
)


def messages(found: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - a trajectory
    return [(step["source"], step["message"]) for step in found.steps]


@pytest.mark.parametrize("name", DIALECTS)
def test_each_dialect_of_attributes_tells_the_same_conversation(name: str) -> None:
    (found,), _, lost = attempts(DIALECTS[name])
    assert (found.task.input, found.output) == ("Where is order 7?", "It is in Hull.")
    assert messages(found)[:2] == [("system", "You are a clerk."), ("user", "Where is order 7?")]
    (call,) = found.steps[2]["tool_calls"]
    assert (call["function_name"], call["arguments"]) == ("look_up", {"order": 7})
    assert found.steps[2]["observation"]["results"][0]["content"] == "in Hull"
    assert (found.agent, lost) == (AgentRecord(None, "m-1"), {"token counts"})


def test_otlp_has_a_trace_as_an_attempt_and_its_evaluation_as_a_verdict_by_nobody_knows_whom() -> None:
    (found,), labels, lost = attempts(OTLP)
    assert (found.id, found.task.input, found.output) == ("otel:aa01", "Where is order 7?", "It is in Hull.")
    assert (found.agent, found.runbook_version) == (AgentRecord("clerk", "m-1"), "1.2.0")
    assert found.started_at == "2026-11-01T09:00:00+00:00"
    assert (verdicts(found), labels) == ({"right": ("fail", 0.0, None)}, [])
    assert found.verdicts[0].explanation == "it is in York"
    assert lost == {"spans of neither models, agents nor tools", "token counts"}


def logged(name: str, body: object, attributes: dict[str, Any]) -> dict[str, Any]:
    pairs = [{"key": key, "value": otlp(value)} for key, value in attributes.items()]
    return {"traceId": "aa01", "spanId": "chat", "eventName": name, "body": body, "attributes": pairs}


def test_spans_of_a_trace_and_what_was_logged_of_them_may_stand_in_several_lines() -> None:
    plain = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m-1"}
    spans = {"resourceSpans": [{"scopeSpans": [{"spans": [otlp_span("chat", plain)]}]}]}
    records = [
        logged("gen_ai.user.message", {"stringValue": '{"content": "Where is order 7?"}'}, {}),
        logged("gen_ai.choice", {"stringValue": '{"message": {"content": "In Hull."}}'}, {}),
        logged("gen_ai.evaluation.result", {"stringValue": ""}, EVALUATED),
    ]
    logs = [{"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]} for record in records]
    (found,), _, _ = attempts(b"\n".join(json.dumps(each).encode() for each in [*logs, spans, spans]))
    assert (found.task.input, found.output) == ("Where is order 7?", "In Hull.")
    assert verdicts(found) == {"right": ("fail", 0.0, None)}


@pytest.mark.parametrize(
    "span",
    [
        {"context": {"trace_id": "0xaa", "span_id": "0x1"}, "parent_id": None, "attributes": GENAI},
        {
            "context.trace_id": "aa",
            "context.span_id": "1",
            **{f"attributes.{key}": GENAI[key] for key in GENAI},
        },
    ],
    ids=["nested", "columns"],
)
def test_lists_of_spans_are_read_as_they_are_printed(span: dict[str, Any]) -> None:
    span = {"name": "chat", "start_time": "2026-11-01T09:00:00Z", **span}
    for value in ([span], {"data": [span], "next_cursor": None}):
        (found,), _, _ = attempts(value)
        assert (found.task.input, found.output) == ("Where is order 7?", "It is in Hull.")
        assert found.started_at == "2026-11-01T09:00:00Z"


def phoenix_span(name: str, parent: str | None, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    attributes = {"openinference.span.kind": "CHAIN", "input.value": "Where?", "output.value": "In Hull."}
    ids = {"context": {"trace_id": "aa", "span_id": name}, "parent_id": parent}
    return {"name": name, **ids, "attributes": attributes, "annotations": annotations}


def annotation(kind: str, **result: object) -> dict[str, Any]:
    return {"name": "right", "annotator_kind": kind, "result": result}


def test_annotations_of_phoenix_are_verdicts_on_the_whole_trace_and_labels_by_people() -> None:
    whole = phoenix_span("a", None, [annotation("HUMAN", label="correct", score=1.0)])
    inner = phoenix_span("b", "a", [annotation("LLM", label="incorrect", score=0.0)])
    apart = {"data": [{**annotation("CODE", score=0.0, explanation="no"), "span_id": "a"}]}
    elsewhere = {"data": [{**annotation("HUMAN", score=0.0), "span_id": "z"}]}
    (found,), (label,), lost = attempts([{"traceId": "aa", "spans": [whole, inner]}, apart, elsewhere])
    assert [(each.result, each.by.kind) for each in found.verdicts if each.by] == [
        ("pass", "human"),
        ("fail", "code"),
    ]
    assert (label.trajectory, label.result) == ("otel:aa", "pass")
    assert lost == {"annotations of single spans", "annotations whose span is in another file"}


def test_what_the_ai_sdk_was_given_is_the_task_without_its_system_prompt() -> None:
    given = {"system": "You are a clerk.", "prompt": "Where is order 7?"}
    attributes = {
        "ai.operationId": "ai.generateText",
        "ai.prompt": json.dumps(given),
        "ai.response.text": "It is in Hull.",
    }
    (found,), _, _ = attempts(attributes)
    assert (found.task.input, found.output) == ("Where is order 7?", "It is in Hull.")


def test_a_loop_of_calls_has_the_answer_of_the_last_and_tools_that_no_message_tells() -> None:
    asked = {**GENAI, "gen_ai.input.messages": json.dumps(MESSAGES[:2]), "gen_ai.output.messages": "[]"}
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "weigh",
        "gen_ai.tool.call.id": "c9",
        "gen_ai.tool.call.arguments": '{"order": 7}',
        "gen_ai.tool.call.result": "2 kg",
    }
    failed = {"status": {"code": 2, "message": "rate limit"}}
    times = iter(range(1793523600000000000, 1793523700000000000, 1_000_000_000))
    spans = [
        otlp_span(str(number), each, startTimeUnixNano=str(next(times)), **more)
        for number, (each, more) in enumerate([(asked, failed), (tool, {}), (GENAI, {})])
    ]
    (found,), _, _ = attempts({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
    assert (found.task.input, found.output, found.error) == ("Where is order 7?", "It is in Hull.", None)
    assert [call["function_name"] for step in found.steps for call in step.get("tool_calls", ())] == [
        "look_up",
        "weigh",
    ]
    (found,), _, _ = attempts({"resourceSpans": [{"scopeSpans": [{"spans": spans[:1]}]}]})
    assert found.error == "rate limit"


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        (
            {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "x"},
            "there are spans of tools alone",
        ),
        ({"gen_ai.operation.name": "chat"}, "were inputs kept as they were traced"),
        ({"http.method": "GET"}, "none of 1 traces has any"),
    ],
    ids=["tools", "no content", "http"],
)
def test_spans_without_a_task_say_what_lacks(attributes: dict[str, Any], why: str) -> None:
    spans = {"resourceSpans": [{"scopeSpans": [{"spans": [otlp_span("x", attributes)]}]}]}
    (item,) = items_of(file(json.dumps(spans).encode()), otel.FORMAT)
    assert isinstance(item, Fault)
    assert why in item.message


def test_langfuse_has_scores_of_people_as_labels() -> None:
    (found,), labels, lost = attempts(LANGFUSE)
    assert (found.id, found.task.input, found.output) == (
        "langfuse:t1",
        "Where is order 7?",
        "It is in Hull.",
    )
    assert (found.agent, found.runbook_version) == (AgentRecord("clerk", "m-1"), "1.2.0")
    assert verdicts(found) == {
        "right": ("pass", 1.0, "human"),
        "tone": ("fail", None, "human"),
        "helpful": ("fail", 0.8, "llm"),
        "effort": ("fail", 0.5, "human"),
    }
    assert labels == [
        Label("langfuse:t1", "right", "pass", by="ann"),
        Label("langfuse:t1", "tone", "fail"),
    ]
    assert len(found.steps) == 4
    assert {
        "costs",
        "scores of single observations",
        "scores of people that are neither 0 nor 1, which are no labels",
        "scores that are no number from 0 to 1",
    } <= lost


def test_langfuse_is_read_as_a_download_a_page_a_table_and_observations_alone() -> None:
    parts = {key: LANGFUSE[key] for key in LANGFUSE.keys() - {"observations", "scores"}}
    download = {"trace": parts, "observations": LANGFUSE["observations"], "scores": LANGFUSE["scores"]}
    assert attempts(download)[0] == attempts(LANGFUSE)[0]
    page = {"data": [{**parts, "observations": ["o1"], "scores": ["0"]}], "meta": {"page": 1}}
    (found,), _, lost = attempts(page)
    assert (found.output, found.verdicts) == ("It is in Hull.", ())
    assert "entries of which there is the id alone" in lost
    (found,), labels, _ = attempts([{**parts, "userId": "u", "right": [1], "words": ["blue"]}])
    assert (verdicts(found), labels) == ({"right": ("pass", 1.0, None)}, [])
    (found,), _, _ = attempts(LANGFUSE["observations"])
    assert (found.id, found.task.input, found.output) == (
        "langfuse:t1",
        "Where is order 7?",
        "It is in Hull.",
    )


def test_a_page_of_observations_of_langfuse_has_json_in_its_text_null_too() -> None:
    ids = {"traceId": "t1", "startTime": "2026-11-01T09:00:00Z"}
    given = json.dumps({"question": "Where is order 7?"})
    whole = {**ids, "id": "o1", "type": "AGENT", "input": given, "output": "null"}
    (found,), _, _ = attempts({"data": [whole]})
    assert (found.task.input, found.output) == ("Where is order 7?", None)


def test_a_failed_observation_that_holds_the_others_is_an_error() -> None:
    trace = deepcopy(LANGFUSE)
    trace["observations"][0] |= {"level": "ERROR", "statusMessage": "timeout"}
    assert attempts(trace)[0][0].error == "timeout"
    trace["observations"][0] |= {"level": "DEFAULT"}
    trace["observations"][1] |= {"level": "ERROR", "statusMessage": "retried"}
    assert attempts(trace)[0][0].error is None


def test_scores_in_a_file_of_their_own_are_labels_where_people_gave_them() -> None:
    items = list(items_of(file(json.dumps(LANGFUSE["scores"]).encode()), langfuse.FORMAT))
    labels = [label for item in items if isinstance(item, Found) for label in item.labels]
    assert [(label.trajectory, label.criterion) for label in labels] == [
        ("langfuse:t1", "right"),
        ("langfuse:t1", "tone"),
    ]


def test_langsmith_has_feedback_from_the_application_as_labels_and_examples_as_tasks() -> None:
    (example, found), labels, lost = attempts(LANGSMITH)
    assert (example.task.input, example.task.reference, example.output) == ("And 8?", "York", None)
    assert (found.id, found.task.input, found.output) == (
        "langsmith:r1",
        "Where is order 7?",
        "It is in Hull.",
    )
    assert (found.agent, found.runbook_version) == (AgentRecord("clerk", "m-1"), "1.2.0")
    assert verdicts(found) == {"right": ("fail", 0.0, "human"), "tone": ("pass", 1.0, "llm")}
    assert labels == [
        Label("langsmith:r1", "right", "fail", by="ann"),
        Label("langsmith:gone", "right", "pass"),
    ]
    assert found.steps[1]["observation"]["results"][0]["content"] == "in Hull"
    assert {"feedback on single steps", "token counts"} <= lost


def test_langsmith_nests_runs_and_keeps_averages_of_which_single_ones_are_scores() -> None:
    root, child = LANGSMITH[:2]
    stats = {"right": {"n": 1, "avg": 1.0}, "tone": {"n": 3, "avg": 0.5}}
    (found,), labels, lost = attempts({**root, "child_runs": [child], "feedback_stats": stats})
    assert len(found.steps) == 3
    assert (verdicts(found), labels) == ({"right": ("pass", 1.0, None)}, [])
    assert "scores that are no number from 0 to 1" in lost
    broken = {**root, "outputs": None, "error": "TimeoutError"}
    (found,), _, _ = attempts([broken, child])
    assert (found.output, found.error) == (None, "TimeoutError")
    (item,) = items_of(file(json.dumps({**root, "inputs": {}}).encode()), langsmith.FORMAT)
    assert isinstance(item, Fault)


def test_mlflow_has_feedback_of_people_as_labels_and_an_expectation_as_reference() -> None:
    (found,), labels, lost = attempts(MLFLOW)
    assert (found.id, found.task.input, found.task.reference) == ("mlflow:tr-1", "Where is order 7?", "Hull")
    assert (found.output, found.agent) == ("It is in Hull.", AgentRecord("clerk", "m-1"))
    assert verdicts(found) == {"right": ("pass", 1.0, "human"), "tone": ("fail", None, "llm")}
    assert labels == [Label("mlflow:tr-1", "right", "pass", explanation="so it is", by="ann")]
    assert lost == {"assessments that were overridden", "tags"}


def test_mlflow_is_read_as_a_row_of_a_table_and_with_a_state_of_error() -> None:
    failed = mlflow_span("run", "AGENT", {"q": "Where?"}, None, status={"code": "ERROR", "message": "died"})
    row = {
        "trace_id": "tr-2",
        "request": '{"q": "Where?"}',
        "response": None,
        "state": "ERROR",
        "timestamp_ms": 1793523600000,
        "spans": [failed],
    }
    (found,), _, _ = attempts([row])
    assert (found.task.input, found.output, found.error) == ("Where?", None, "died")
    assert found.started_at == "2026-11-01T09:00:00+00:00"
    (found,), _, _ = attempts([{"trace": json.dumps(MLFLOW), "trace_id": "tr-1", "tags": {}}])
    assert found.id == "mlflow:tr-1"


def test_messages_that_a_model_was_told_before_its_last_question_belong_to_the_task() -> None:
    talk = [
        {"role": each["role"], "parts": [{"type": "text", "content": "x"}]} for each in [*LATER, LATER[0]]
    ]
    (found,), _, _ = attempts({**GENAI, "gen_ai.input.messages": talk})
    assert [each["role"] for each in found.task.input] == ["user", "assistant", "user"]
    assert found.output == "It is in Hull."
