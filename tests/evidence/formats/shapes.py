"""Small files of our own, of the shapes in which sessions, traces and chats are exported."""

import io
import json
from typing import Any

from runbookopt.evidence.formats.reader import Fault, Found, Loss
from runbookopt.evidence.reading import StoredFile, items_of, recognize
from runbookopt.evidence.trajectory import Label, Trajectory

CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 7}'}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "You are a clerk."},
    {"role": "user", "content": "Where is order 7?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "in Hull"},
    {"role": "assistant", "content": [{"type": "text", "text": "It is in Hull."}]},
]
LATER = [{"role": "user", "content": "And order 8?"}, {"role": "assistant", "content": "In York."}]


def claude(kind: str, uuid: str, content: object, **others: object) -> dict[str, Any]:
    role = {"user": "user", "assistant": "assistant"}.get(kind, kind)
    usage = {"usage": {"input_tokens": 3}, "model": "m-1", "id": f"m-{uuid}"} if kind == "assistant" else {}
    message = {"role": role, "content": content, **usage}
    record = {"type": kind, "uuid": uuid, "sessionId": "s1", "version": "2.0", "message": message}
    return record | {"timestamp": f"2026-11-01T09:00:0{len(uuid)}Z"} | others


USED = {"type": "tool_use", "id": "t1", "name": "Read", "input": {"path": "7"}}
CLAUDE: list[dict[str, Any]] = [
    {"type": "summary", "summary": "An order", "leafUuid": "a2"},
    claude("user", "u0", "<local-command-stdout>ready</local-command-stdout>"),
    claude("user", "u1", "Where is order 8?", parentUuid="u0"),
    claude("assistant", "a0", [{"type": "text", "text": "In York."}], parentUuid="u1"),
    claude("user", "u2", "Where is order 7?", parentUuid="u0"),
    claude("user", "um", "a reminder", isMeta=True),
    claude("assistant", "a1", [USED], parentUuid="u2"),
    claude("user", "r1", [{"type": "tool_result", "tool_use_id": "t1", "content": "7"}], parentUuid="a1"),
    claude("assistant", "s1", [{"type": "text", "text": "a helper"}], isSidechain=True),
    claude("assistant", "a2", [{"type": "text", "text": "It is in Hull."}], parentUuid="r1"),
    claude("user", "u3", "Thank you.", parentUuid="a2"),
]


def codex(kind: str, **payload: object) -> dict[str, Any]:
    return {"timestamp": "2026-11-01T09:00:00Z", "type": kind, "payload": payload}


def codex_said(role: str, text: str) -> dict[str, Any]:
    content = [{"type": "input_text", "text": text}]
    return codex("response_item", type="message", role=role, content=content)


CODEX: list[dict[str, Any]] = [
    codex("session_meta", id="s1", timestamp="2026-11-01T09:00:00Z", cli_version="0.65.0"),
    codex_said("user", "<environment_context>here</environment_context>"),
    codex_said("user", "Where is order 7?"),
    codex("turn_context", model="m-1"),
    codex("response_item", type="reasoning", summary=[{"type": "summary_text", "text": "Hm"}]),
    codex("response_item", type="reasoning", summary=[], encrypted_content="xx"),
    codex("response_item", type="function_call", name="shell", arguments='{"command": "ls"}', call_id="c1"),
    codex("response_item", type="function_call_output", call_id="c1", output='{"output": "7: Hull"}'),
    codex("response_item", type="custom_tool_call", name="apply_patch", input="*** patch", call_id="c2"),
    codex("response_item", type="custom_tool_call_output", call_id="c2", output="ok"),
    codex_said("assistant", "It is in Hull."),
    codex("event_msg", type="token_count", info=None),
]

ASKED = {"type": "tool_call", "id": "c1", "name": "look_up", "arguments": {"order": 7}}
PARTS = [
    {"role": "user", "parts": [{"type": "text", "content": "Where is order 7?"}]},
    {"role": "assistant", "parts": [ASKED]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "in Hull"}]},
]
SAID = [
    {"role": "assistant", "parts": [{"type": "text", "content": "It is in Hull."}], "finish_reason": "stop"}
]

GENAI: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m-1",
    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "You are a clerk."}]),
    "gen_ai.input.messages": json.dumps(PARTS),
    "gen_ai.output.messages": json.dumps(SAID),
    "gen_ai.usage.input_tokens": 3,
}
OPENINFERENCE: dict[str, Any] = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "m-1",
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "You are a clerk.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.contents.0.message_content.type": "text",
    "llm.input_messages.1.message.contents.0.message_content.text": "Where is order 7?",
    "llm.input_messages.2.message.role": "assistant",
    "llm.input_messages.2.message.tool_calls.0.tool_call.id": "c1",
    "llm.input_messages.2.message.tool_calls.0.tool_call.function.name": "look_up",
    "llm.input_messages.2.message.tool_calls.0.tool_call.function.arguments": '{"order": 7}',
    "llm.input_messages.3.message.role": "tool",
    "llm.input_messages.3.message.tool_call_id": "c1",
    "llm.input_messages.3.message.content": "in Hull",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "It is in Hull.",
    "llm.token_count.prompt": 3,
}
TRACELOOP: dict[str, Any] = {
    "llm.request.type": "chat",
    "gen_ai.request.model": "m-1",
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "You are a clerk.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": "Where is order 7?",
    "gen_ai.prompt.2.role": "assistant",
    "gen_ai.prompt.2.tool_calls.0.id": "c1",
    "gen_ai.prompt.2.tool_calls.0.name": "look_up",
    "gen_ai.prompt.2.tool_calls.0.arguments": '{"order": 7}',
    "gen_ai.prompt.3.role": "tool",
    "gen_ai.prompt.3.tool_call_id": "c1",
    "gen_ai.prompt.3.content": "in Hull",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "It is in Hull.",
    "gen_ai.usage.prompt_tokens": 3,
}

AI_SDK: dict[str, Any] = {
    "operation.name": "ai.generateText.doGenerate",
    "ai.operationId": "ai.generateText.doGenerate",
    "ai.model.id": "m-1",
    "ai.prompt.messages": json.dumps(
        [
            {"role": "system", "content": "You are a clerk."},
            {"role": "user", "content": [{"type": "text", "text": "Where is order 7?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool-call", "toolCallId": "c1", "toolName": "look_up", "input": {"order": 7}}
                ],
            },
            {
                "role": "tool",
                "content": [
                    {
                        "type": "tool-result",
                        "toolCallId": "c1",
                        "toolName": "look_up",
                        "output": {"type": "text", "value": "in Hull"},
                    }
                ],
            },
        ]
    ),
    "ai.response.text": "It is in Hull.",
    "ai.usage.promptTokens": 3,
}


def otlp(value: object) -> dict[str, Any]:
    """Give a value in OTLP/JSON, in which whole numbers are text."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [otlp(each) for each in value]}}
        case _:
            return {"stringValue": value}


def otlp_span(name: str, attributes: dict[str, Any], **others: object) -> dict[str, Any]:
    pairs = [{"key": key, "value": otlp(value)} for key, value in attributes.items()]
    span = {"traceId": "aa01", "spanId": name, "name": name, "startTimeUnixNano": "1793523600000000000"}
    return span | {"attributes": pairs} | others


EVALUATED = {
    "gen_ai.evaluation.name": "right",
    "gen_ai.evaluation.score.value": 0.0,
    "gen_ai.evaluation.explanation": "it is in York",
}
OTLP: dict[str, Any] = {
    "resourceSpans": [
        {
            "resource": {"attributes": []},
            "scopeSpans": [
                {
                    "spans": [
                        otlp_span("get", {"http.request.method": "GET"}),
                        otlp_span(
                            "agent",
                            {
                                "gen_ai.operation.name": "invoke_agent",
                                "gen_ai.agent.name": "clerk",
                                "runbook.version": "1.2.0",
                            },
                            parentSpanId="get",
                        ),
                        otlp_span(
                            "chat",
                            GENAI,
                            parentSpanId="agent",
                            events=[
                                {
                                    "name": "gen_ai.evaluation.result",
                                    "attributes": [
                                        {"key": key, "value": otlp(value)} for key, value in EVALUATED.items()
                                    ],
                                }
                            ],
                        ),
                    ]
                }
            ],
        }
    ]
}

SCORES = [
    {"name": "right", "value": 1, "dataType": "BOOLEAN", "source": "ANNOTATION", "authorUserId": "ann"},
    {"name": "tone", "value": None, "stringValue": "fail", "dataType": "CATEGORICAL", "source": "ANNOTATION"},
    {"name": "helpful", "value": 0.8, "source": "EVAL", "comment": "mostly"},
    {"name": "stars", "value": 4, "source": "API"},
    {"name": "effort", "value": 0.5, "source": "ANNOTATION"},
    {"name": "step", "value": 1, "source": "EVAL", "observationId": "g1"},
]
LANGFUSE: dict[str, Any] = {
    "id": "t1",
    "timestamp": "2026-11-01T09:00:00Z",
    "name": "clerk",
    "input": {"question": "Where is order 7?"},
    "output": "It is in Hull.",
    "sessionId": "s9",
    "metadata": {"runbook_version": "1.2.0"},
    "htmlPath": "/project/p/traces/t1",
    "totalCost": 0.01,
    "observations": [
        {"id": "o1", "traceId": "t1", "type": "SPAN", "name": "run", "startTime": "2026-11-01T09:00:00Z"},
        {
            "id": "g1",
            "traceId": "t1",
            "type": "GENERATION",
            "startTime": "2026-11-01T09:00:01Z",
            "parentObservationId": "o1",
            "model": "m-1",
            "input": MESSAGES[:4],
            "output": {"role": "assistant", "content": "It is in Hull."},
        },
    ],
    "scores": [{"id": str(n), "traceId": "t1", **score} for n, score in enumerate(SCORES)],
}

LANGSMITH: list[dict[str, Any]] = [
    {
        "id": "r1",
        "trace_id": "r1",
        "run_type": "chain",
        "name": "clerk",
        "start_time": "2026-11-01T09:00:00Z",
        "inputs": {"question": "Where is order 7?"},
        "outputs": {"output": "It is in Hull."},
        "extra": {"metadata": {"runbook_version": "1.2.0"}},
        "total_tokens": 9,
        "error": None,
        "parent_run_id": None,
    },
    {
        "id": "r2",
        "trace_id": "r1",
        "parent_run_id": "r1",
        "run_type": "llm",
        "start_time": "2026-11-01T09:00:01Z",
        "inputs": {
            "messages": [
                [
                    {
                        "lc": 1,
                        "id": ["langchain", "HumanMessage"],
                        "kwargs": {"content": "Where is order 7?"},
                    },
                    {
                        "lc": 1,
                        "id": ["langchain", "AIMessage"],
                        "kwargs": {
                            "content": "",
                            "tool_calls": [{"id": "c1", "name": "look_up", "args": {"order": 7}}],
                        },
                    },
                    {
                        "lc": 1,
                        "id": ["langchain", "ToolMessage"],
                        "kwargs": {"content": "in Hull", "tool_call_id": "c1"},
                    },
                ]
            ]
        },
        "outputs": {"generations": [[{"text": "It is in Hull."}]]},
        "extra": {"metadata": {"ls_model_name": "m-1"}},
    },
    {
        "id": "f1",
        "run_id": "r1",
        "key": "right",
        "score": 0,
        "feedback_source": {"type": "app", "user_id": "ann"},
    },
    {"id": "f2", "run_id": "r1", "key": "tone", "score": 1.0, "feedback_source": {"type": "model"}},
    {"id": "f3", "run_id": "r2", "key": "step", "score": 1.0, "feedback_source": {"type": "api"}},
    {"id": "f4", "run_id": "gone", "key": "right", "value": "correct", "feedback_source": {"type": "app"}},
    {"id": "e1", "dataset_id": "d1", "inputs": {"question": "And 8?"}, "outputs": {"answer": "York"}},
]


def mlflow_span(name: str, kind: str, given: object, result: object, **others: object) -> dict[str, Any]:
    attributes = {
        "mlflow.spanType": json.dumps(kind),
        "mlflow.spanInputs": json.dumps(given),
        "mlflow.spanOutputs": json.dumps(result),
    }
    return {
        "span_id": name,
        "name": name,
        "attributes": attributes,
        "start_time_unix_nano": 1793523600000000000,
    } | others


MLFLOW: dict[str, Any] = {
    "info": {
        "trace_id": "tr-1",
        "request_time": "2026-11-01T09:00:00Z",
        "state": "OK",
        "tags": {"mlflow.traceName": "clerk", "runbook_version": "1.2.0"},
        "assessments": [
            {
                "assessment_name": "right",
                "source": {"source_type": "HUMAN", "source_id": "ann"},
                "feedback": {"value": True},
                "rationale": "so it is",
            },
            {"assessment_name": "tone", "source": {"source_type": "LLM_JUDGE"}, "feedback": {"value": "no"}},
            {
                "assessment_name": "expected_response",
                "source": {"source_type": "HUMAN"},
                "expectation": {"value": "Hull"},
            },
            {
                "assessment_name": "right",
                "source": {"source_type": "CODE"},
                "feedback": {"value": 0},
                "valid": False,
            },
        ],
    },
    "data": {
        "spans": [
            mlflow_span("run", "AGENT", {"question": "Where is order 7?"}, "It is in Hull."),
            mlflow_span(
                "chat",
                "CHAT_MODEL",
                {"model": "m-1", "messages": MESSAGES[:4]},
                {"choices": [{"message": {"role": "assistant", "content": "It is in Hull."}}]},
                parent_span_id="run",
            ),
        ]
    },
}

CHAT = [{"messages": MESSAGES, "tools": [{}]}, {"messages": [*MESSAGES, *LATER]}]

JETTY: dict[str, Any] = {
    "trajectory_id": "j1",
    "status": "completed",
    "init_params": {"prompt": "Where is order 7?"},
    "runbook_version": "1.2.0",
    "steps": {
        "look_up": {"activity": "text_echo", "inputs": {"order": 7}, "outputs": {"text": "in Hull"}},
        "answer": {"activity": "litellm_chat", "outputs": {"text": "It is in Hull.", "usage": {}}},
    },
    "labels": [{"key": "right", "value": "pass", "author": "someone"}],
    "events": [{}],
}
CARD: dict[str, Any] = {
    "collection": "c",
    "task": "orders",
    "trajectory_id": "j2",
    "runbook_version": "1.0.0",
    "agent": "claude-code",
    "model": "m-1",
    "ran_at": "2026-11-01T09:00:00Z",
    "success": True,
    "eval": {"overall_passed": True},
    "notes": "fine",
}
REPORT: dict[str, Any] = {
    "version": "1.0.0",
    "run_date": "2026-11-01T09:00:00Z",
    "parameters": {"prompt": "Where is order 7?"},
    "stages": [{"name": "look up", "passed": True, "message": "found"}],
    "rubric_scores": {"tone": {"score": 4, "notes": "curt"}},
    "overall_passed": True,
    "output_files": ["a.txt"],
}

SKILL_EVALS: dict[str, Any] = {
    "skill_name": "orders",
    "evals": [
        {"id": 1, "prompt": "Where is order 7?", "expected_output": "Hull", "files": []},
        {"id": 2, "prompt": "Read it", "files": ["a.csv"], "assertions": ["says Hull"]},
    ],
}

ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": "Where is order 7?"},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "look it up"}]},
    {"type": "function_call", "call_id": "c1", "name": "look_up", "arguments": '{"order": 7}'},
    {"type": "function_call_output", "call_id": "c1", "output": "in Hull"},
    {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "It is in Hull."}],
    },
]
"""A chat in the items of OpenAI's Responses."""

EXPORTS: dict[str, Any] = {
    "claude-code": CLAUDE,
    "codex": CODEX,
    "otel": OTLP,
    "langfuse": LANGFUSE,
    "langsmith": LANGSMITH,
    "mlflow": MLFLOW,
    "chat": CHAT,
    "jetty": JETTY,
    "skill-evals": SKILL_EVALS,
}
DIALECTS = {
    "GenAI": GENAI,
    "OpenInference": OPENINFERENCE,
    "OpenLLMetry": TRACELOOP,
    "AI SDK": AI_SDK,
}
MORE: dict[str, Any] = {
    **DIALECTS,
    "run card": CARD,
    "report": REPORT,
    "observations": LANGFUSE["observations"],
    "scores": LANGFUSE["scores"],
    "messages": MESSAGES,
    "items": ITEMS,
}


def file(data: bytes, **beside: bytes) -> StoredFile:
    names = {name.replace("__", "/").replace("_dot_", "."): content for name, content in beside.items()}
    return StoredFile("a.json", lambda: io.BytesIO(data), lambda: frozenset(names), names.get)


def attempts(value: object, **beside: bytes) -> tuple[list[Trajectory], list[Label], set[str]]:
    """Recognize a document, and give its attempts, the labels, and what was lost of it."""
    stored = file(value if isinstance(value, bytes) else json.dumps(value).encode(), **beside)
    format_ = recognize(stored).format
    assert format_ is not None
    items = list(items_of(stored, format_))
    assert [item for item in items if isinstance(item, Fault)] == []
    found = [item for item in items if isinstance(item, Found)]
    trajectories = [each.trajectory for each in found if each.trajectory is not None]
    labels = [label for each in found for label in each.labels]
    assert {each.format for each in trajectories} <= {format_.name}
    return trajectories, labels, {item.what for item in items if isinstance(item, Loss)}


def verdicts(trajectory: Trajectory) -> dict[str, tuple[str, float | None, str | None]]:
    return {
        each.criterion: (each.result, each.score, each.by.kind if each.by else None)
        for each in trajectory.verdicts
    }
