"""Small files of our own, of the shapes that other tools write; and what readers make of anything else."""

import io
import json
import random
import sys
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runbookopt.evidence.formats import atif
from runbookopt.evidence.formats.native import FORMAT as OWN
from runbookopt.evidence.formats.reader import Fault, Found
from runbookopt.evidence.library import Folder
from runbookopt.evidence.reading import FORMATS, Gathered, gather, items_of, recognize
from runbookopt.evidence.trajectory import (
    AgentRecord,
    Author,
    Label,
    StoredVerdict,
    TaskRecord,
    Trajectory,
)
from tests.evidence.formats.shapes import EXPORTS, MESSAGES, MORE, attempts, file, verdicts

SHARED = Path(__file__).parents[4] / "shared/data/formats"

ATIF = {
    "schema_version": "ATIF-v1.6",
    "session_id": "s1",
    "agent": {
        "name": "clerk",
        "version": "2",
        "model_name": "m-1",
        "tool_definitions": [{}],
    },
    "steps": [
        {"step_id": 1, "source": "system", "message": "You are a clerk."},
        {"step_id": 2, "source": "user", "message": [{"type": "text", "text": "Where is order 7?"}]},
        {"step_id": 3, "source": "agent", "message": "old", "is_copied_context": True},
        {
            "step_id": 4,
            "source": "agent",
            "timestamp": "2026-11-01T09:00:00Z",
            "message": "It is in Hull.",
            "tool_calls": [{"tool_call_id": "c1", "function_name": "look_up", "arguments": {"order": 7}}],
            "observation": {"results": [{"source_call_id": "c1", "content": "in Hull"}]},
        },
    ],
    "final_metrics": {"total_prompt_tokens": 9},
    "subagent_trajectories": [{"schema_version": "ATIF-v1.7"}],
}

TRIAL = {
    "id": "0db3",
    "task_name": "find-order",
    "trial_name": "find-order__a1",
    "agent_info": {"name": "clerk", "version": "2", "model_info": {"name": "m-1", "provider": "p"}},
    "agent_result": {"n_input_tokens": 3},
    "verifier_result": {"rewards": {"reward": 0.5, "speed": 1.0, "total": 7}},
    "exception_info": None,
    "started_at": "2026-11-01T09:00:00Z",
}

INSPECT: dict[str, Any] = {
    "version": 2,
    "status": "success",
    "eval": {"run_id": "r1", "task": "orders", "model": "p/m-1", "created": "2026-11-01T09:00:00Z"},
    "samples": [
        {
            "id": 1,
            "epoch": 1,
            "input": "Where is order 7?",
            "target": "Hull",
            "messages": MESSAGES,
            "output": {"choices": [{"message": {"role": "assistant", "content": "It is in Hull."}}]},
            "scores": {
                "match": {"value": "C", "answer": "Hull"},
                "model_graded_qa": {"value": "I", "explanation": "rude"},
                "own": {"value": {"a": 0.5, "b": "odd"}},
            },
            "model_usage": {"p/m-1": {"input_tokens": 3}},
        },
        {"id": 2, "epoch": 1, "input": MESSAGES[:2], "messages": [], "error": {"message": "sandbox died"}},
    ],
}

PROMPTFOO: dict[str, Any] = {
    "evalId": "e1",
    "results": {
        "version": 3,
        "results": [
            {
                "testIdx": 0,
                "promptIdx": 0,
                "vars": {"message": "Where is order 7?"},
                "provider": {"id": "p:m-1", "label": "clerk"},
                "response": {"output": {"place": "Hull"}, "tokenUsage": {"total": 5}},
                "testCase": {"assert": [{"type": "equals", "value": {"place": "York"}}]},
                "success": False,
                "failureReason": 1,
                "error": "Expected output to equal York",
                "gradingResult": {
                    "pass": False,
                    "componentResults": [
                        {"pass": False, "score": 0, "reason": "not York", "assertion": {"type": "equals"}},
                        {"pass": True, "score": 1, "assertion": {"type": "llm-rubric", "metric": "polite"}},
                        {"pass": True, "score": 1, "assertion": {"type": "human"}},
                        {"score": 1, "assertion": {"type": "contains"}},
                    ],
                },
            },
            {
                "testIdx": 1,
                "promptIdx": 0,
                "vars": {"message": "And 8?", "tone": "kind"},
                "provider": "p:m-1",
                "failureReason": 2,
                "error": "429 rate limit",
            },
        ],
    },
}

TAU = [
    {
        "task_id": 0,
        "trial": 1,
        "reward": 1.0,
        "traj": MESSAGES,
        "info": {
            "task": {"instruction": "You want order 7.", "actions": [{"name": "look_up"}], "outputs": []},
            "user_cost": 0.01,
        },
    },
    {"task_id": 1, "reward": 0.0, "traj": [], "info": {"error": "timeout", "task": {"instruction": "?"}}},
]

TAU2 = {
    "info": {"agent_info": {"implementation": "llm_agent", "llm": "m-1"}},
    "tasks": [{"id": "0", "user_scenario": {"instructions": {"reason": "You want order 7."}}}],
    "simulations": [
        {"id": "x1", "task_id": "0", "messages": MESSAGES, "reward_info": {"reward": 0.0}},
        {"id": "x2", "task_id": "0", "messages": [], "termination_reason": "infrastructure_error"},
    ],
}

SWE: dict[str, Any] = {
    "trajectory": [
        {"thought": "Let me look.", "action": "ls", "observation": "a.py", "response": "Let me look. ls"},
        {"thought": "Done.", "action": "submit", "observation": ""},
    ],
    "history": [
        {"role": "system", "content": "You are a programmer.", "agent": "main"},
        {"role": "user", "content": "A demonstration", "agent": "main", "is_demo": True},
        {"role": "user", "content": "Fix a.py", "agent": "main"},
    ],
    "info": {"exit_status": "submitted", "submission": "diff --git", "model_stats": {"tokens_sent": 3}},
}

MINI: dict[str, Any] = {
    "trajectory_format": "mini-swe-agent-1.1",
    "instance_id": "repo__7",
    "info": {"exit_status": "LimitsExceeded", "submission": "", "config": {"model": {"model_name": "m-1"}}},
    "messages": [
        {"role": "system", "content": "End with COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"},
        {"role": "user", "content": "Fix a.py"},
        {"role": "assistant", "content": "Look:\n```mswea_bash_command\nls\n```"},
        {"role": "user", "content": "<returncode>0</returncode>"},
    ],
}

SHAPES: dict[str, Any] = {
    "atif": ATIF,
    "harbor": TRIAL,
    "inspect": INSPECT,
    "promptfoo": PROMPTFOO,
    "tau-bench": TAU,
    "swe-agent": SWE,
    "mini-swe-agent": MINI,
    **EXPORTS,
    "runbookopt": [{"id": 1, "task": {"input": "a"}, "output": {"b": 1}, "error": "crash"}],
}


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_is_recognized_by_its_content(name: str) -> None:
    seen = recognize(file(json.dumps(SHAPES[name], indent=1).encode()))
    assert seen.format is not None
    assert seen.format.name == name


def test_atif_has_a_task_an_output_and_steps_without_those_that_were_copied() -> None:
    (found,), _, lost = attempts(ATIF)
    assert (found.task.input, found.output) == ("Where is order 7?", "It is in Hull.")
    assert [step["step_id"] for step in found.steps] == [1, 2, 4]
    assert (found.agent, found.started_at) == (AgentRecord("clerk", "m-1"), "2026-11-01T09:00:00Z")
    assert {"versions of agents", "totals of tokens and costs", "trajectories of sub-agents"} <= lost
    assert found.id.startswith("atif:s1:")


@pytest.mark.parametrize("version", ["ATIF-v1.0", "ATIF-v1.4", "ATIF-v1.8"])
def test_every_version_of_atif_is_read(version: str) -> None:
    assert len(attempts(ATIF | {"schema_version": version})[0]) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": "ATIF-v2.0"}, "expected ATIF-v1.0 to v1.8"),
        ({"steps": {}}, "with a list `steps`"),
        ({"steps": []}, "expected a step of a user"),
    ],
)
def test_what_is_no_attempt_in_atif_says_what_was_expected(change: dict[str, Any], words: str) -> None:
    (fault,) = items_of(file(json.dumps(ATIF | change).encode()), atif.FORMAT)
    assert isinstance(fault, Fault)
    assert words in fault.message


TEXT = st.text(max_size=8)
STEP = st.fixed_dictionaries(
    {"source": st.sampled_from(["user", "agent", "system"]), "message": TEXT},
    optional={
        "timestamp": st.just("2026-11-01T09:00:00Z"),
        "reasoning_content": TEXT,
        "tool_calls": st.just([{"tool_call_id": "c", "function_name": "f", "arguments": {"a": [1]}}]),
        "observation": st.just({"results": [{"source_call_id": "c", "content": "x"}]}),
        "metrics": st.just({"prompt_tokens": 3}),
        "extra": st.just({"any": {"thing": 1}}),
    },
)


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    steps = draw(st.lists(STEP, max_size=4))
    verdict = StoredVerdict("c", "fail", 0.25, draw(st.none() | TEXT), Author("human", "octocat"))
    return Trajectory(
        id=draw(st.text(min_size=1, max_size=8)),
        task=TaskRecord(
            draw(TEXT | st.lists(TEXT) | st.dictionaries(TEXT, TEXT)), draw(st.none() | TEXT), "g", "train"
        ),
        runbook_version=draw(st.none() | TEXT),
        output=draw(st.none() | TEXT),
        steps=tuple({"step_id": number, **step} for number, step in enumerate(steps, 1)),
        agent=draw(st.none() | st.builds(AgentRecord, st.none() | TEXT, st.none() | TEXT, st.none() | TEXT)),
        trust="internal",
        started_at=draw(st.none() | TEXT),
        verdicts=draw(st.sampled_from([(), (verdict,)])),
        error=draw(st.none() | TEXT),
        format=draw(st.sampled_from([None, "inspect"])),
    )


@given(trajectories(), st.sampled_from(["", "m"]))
def test_a_trajectory_of_ours_as_atif_and_back_is_the_same(trajectory: Trajectory, mode: str) -> None:
    labels = (Label(trajectory.id, "c", "fail", mode, None, "octocat"),) if mode else ()
    document = json.dumps(atif.document_of(trajectory, labels)).encode()
    (item,) = items_of(file(document), atif.FORMAT)
    assert isinstance(item, Found)
    found = item.trajectory
    assert found is not None
    assert found.format == (trajectory.format or "atif")
    assert replace(found, format=None) == replace(trajectory, format=None)
    assert item.labels == labels


def test_a_harbor_trial_takes_rewards_tests_and_the_trajectory_from_its_folder() -> None:
    tests = {"results": {"tests": [{"name": "t1", "status": "failed", "message": "no order"}]}}
    (found,), _, lost = attempts(
        TRIAL,
        agent__trajectory_dot_json=json.dumps(ATIF).encode(),
        verifier__ctrf_dot_json=json.dumps(tests).encode(),
    )
    assert (found.id, found.task.group) == ("harbor:0db3", "find-order")
    assert found.task.input == "Where is order 7?"
    assert verdicts(found) == {"reward": ("fail", 0.5, "code"), "speed": ("pass", 1.0, "code")}
    assert found.verdicts[0].explanation == "t1: no order"
    assert {"token counts and costs", "rewards that are no number from 0 to 1"} <= lost
    assert found.error is None


def test_a_harbor_trial_may_say_little_more_than_its_task_and_reward() -> None:
    result = {"task_name": "n", "verifier_result": {"rewards": {"reward": 1.0}}, "exception_info": None}
    (found,), _, _ = attempts(result)
    assert (found.id[:7], found.task.group) == ("harbor:", "n")
    assert verdicts(found) == {"reward": ("pass", 1.0, "code")}


def test_a_harbor_trial_that_broke_down_is_errored_and_has_its_reward_from_the_text() -> None:
    crash = {"exception_type": "AgentTimeoutError", "exception_message": "after 900 s"}
    (found,), _, lost = attempts(
        TRIAL | {"exception_info": crash, "verifier_result": None}, verifier__reward_dot_txt=b"0\n"
    )
    assert found.error == "AgentTimeoutError: after 900 s"
    assert verdicts(found) == {"reward": ("fail", 0.0, "code")}
    assert any(what.startswith("instructions") for what in lost)


def test_a_folder_of_harbor_trials_is_read_as_trials_alone(tmp_path: Path) -> None:
    for number, reward in enumerate((1.0, 0.0)):
        place = tmp_path / f"trajectories/orders/job/trial{number}"
        (place / "agent").mkdir(parents=True)
        (place / "verifier").mkdir()
        result = TRIAL | {"id": f"t{number}", "verifier_result": {"rewards": {"reward": reward}}}
        (place / "result.json").write_text(json.dumps(result))
        (place / "config.json").write_text("{}")
        (place / "agent/trajectory.json").write_text(json.dumps(ATIF))
        (place / "verifier/test-stdout.txt").write_text("1 failed")
    (tmp_path / "trajectories/orders/job/result.json").write_text('{"n_total_trials": 2, "stats": {}}')
    gathered = gather(Folder(tmp_path), "trajectories/orders")
    assert [line.record.id for line in gathered.trajectories] == ["harbor:t0", "harbor:t1"]
    assert gathered.problems == ()
    assert [line.record.verdicts[0].explanation for line in gathered.trajectories] == [None, "1 failed"]


def archive(log: dict[str, Any], module: ModuleType = zipfile, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with module.ZipFile(data, "w", method) as writing:
        writing.writestr("header.json", json.dumps({key: log[key] for key in log if key != "samples"}))
        for sample in log["samples"]:
            writing.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
    return data.getvalue()


def with_zstd(log: dict[str, Any]) -> bytes:
    """Give an archive as Inspect writes it since 0.3.206."""
    own = sys.version_info >= (3, 14)
    return archive(log, import_module("zipfile" if own else "backports.zstd.zipfile"), 93)


@pytest.mark.parametrize(
    "write", [lambda log: json.dumps(log).encode(), archive, with_zstd], ids=["json", "eval", "zstd"]
)
def test_an_inspect_log_keeps_an_error_apart_from_a_wrong_answer(write: Callable[[Any], bytes]) -> None:
    (good, broken), _, lost = attempts(write(INSPECT))
    assert good.task == TaskRecord("Where is order 7?", "Hull")
    assert good.output == "It is in Hull."
    assert verdicts(good) == {
        "match": ("pass", 1.0, "code"),
        "model_graded_qa": ("fail", 0.0, "llm"),
        "own.a": ("fail", 0.5, None),
    }
    assert [step["source"] for step in good.steps] == ["system", "user", "agent", "agent"]
    assert good.steps[2]["observation"]["results"][0]["content"] == "in Hull"
    assert (broken.error, broken.output, broken.task.input) == ("sandbox died", None, "Where is order 7?")
    assert {"token counts", "scores that are no number from 0 to 1"} <= lost
    assert (good.id, good.agent) == ("inspect:r1:orders:1:1", AgentRecord(None, "p/m-1"))


def test_texts_that_an_inspect_log_keeps_apart_are_put_in_their_places() -> None:
    sample = {
        "id": 1,
        "input": "attachment://h1",
        "messages": [{"role": "user", "content": "attachment://h1"}, {"role": "assistant", "content": "yes"}],
        "attachments": {"h1": "a long text"},
    }
    (found,), _, _ = attempts(INSPECT | {"samples": [sample]})
    assert (found.task.input, found.steps[0]["message"]) == ("a long text", "a long text")


def test_promptfoo_has_a_verdict_an_assertion_and_labels_of_people() -> None:
    (found, broken), labels, lost = attempts(PROMPTFOO)
    assert (found.task.input, found.task.reference) == ("Where is order 7?", {"place": "York"})
    assert found.output == '{"place":"Hull"}'
    assert verdicts(found) == {
        "equals": ("fail", 0.0, "code"),
        "polite": ("pass", 1.0, "llm"),
        "human": ("pass", 1.0, "human"),
    }
    assert found.error is None
    (label,) = labels
    assert (label.trajectory, label.criterion, label.result) == (found.id, "human", "pass")
    assert (broken.error, broken.verdicts) == ("429 rate limit", ())
    assert broken.task.input == {"message": "And 8?", "tone": "kind"}
    assert "token counts" in lost


def test_promptfoo_writes_lines_too() -> None:
    lines = "\n".join(json.dumps(row) for row in PROMPTFOO["results"]["results"])
    assert len(attempts(lines.encode())[0]) == 2


def test_rows_of_tau_bench_have_what_the_user_wanted_as_their_task() -> None:
    (found, broken), _, lost = attempts(TAU)
    assert (found.task.input, found.task.group) == ("You want order 7.", "task 0")
    assert found.task.reference == {"actions": [{"name": "look_up"}], "outputs": []}
    assert (found.output, verdicts(found)) == ("It is in Hull.", {"reward": ("pass", 1.0, "code")})
    assert (broken.error, broken.output) == ("timeout", None)
    assert lost == {"costs of the simulated user"}


def test_simulations_of_tau2_bench_are_read_too() -> None:
    (found, broken), _, _ = attempts(TAU2)
    assert (found.id, found.agent) == ("tau-bench:x1", AgentRecord("llm_agent", "m-1"))
    assert found.task.input == broken.task.input == {"reason": "You want order 7."}
    assert broken.error == "ended by infrastructure_error"


def test_swe_agent_has_steps_of_thoughts_actions_and_observations() -> None:
    (found,), _, lost = attempts(SWE)
    assert (found.task.input, found.output, found.error) == ("Fix a.py", "diff --git", None)
    assert found.steps[1]["tool_calls"][0]["arguments"] == {"command": "ls"}
    assert found.steps[1]["observation"]["results"][0]["content"] == "a.py"
    assert {"messages of demonstrations", "token counts and costs"} <= lost
    (gave_up,), _, _ = attempts(SWE | {"info": {"exit_status": "exit_cost"}})
    assert gave_up.error == "exit status exit_cost"


def test_mini_swe_agent_has_its_commands_as_calls() -> None:
    for value in (MINI, MINI["messages"]):
        (found,), _, _ = attempts(value)
        assert found.task.input == "Fix a.py"
        assert found.steps[2]["tool_calls"][0]["arguments"] == {"command": "ls"}
        assert found.steps[2]["observation"]["results"][0]["content"] == "<returncode>0</returncode>"
    assert attempts(MINI)[0][0].error == "exit status LimitsExceeded"


def test_what_is_too_long_or_too_deep_for_a_line_of_ours_is_cut_and_that_is_told() -> None:
    deep: Any = "x"
    for _ in range(45):
        deep = [deep]
    for odd in ({"arguments": {"a": deep}}, {"arguments": {"a": "x" * 9_000_000}}):
        step = {"step_id": 5, "source": "agent", "message": "Done.", "tool_calls": [odd]}
        (found,), _, lost = attempts(ATIF | {"steps": [*ATIF["steps"], step]})
        assert "long or deep texts of steps, which were cut" in lost
        assert found.output == "Done."
        assert len(json.dumps(found.steps)) < 600_000


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not on this machine")
def test_every_sample_file_of_the_formats_here_is_read() -> None:
    gathered: Gathered = gather(Folder(SHARED.parent), SHARED.name)
    read = {line.path.split("/")[1] for line in gathered.trajectories}
    assert {"atif", "harbor", "inspect", "tau-bench", "swe-agent", "mini-swe-agent"} <= read
    unread = {problem.path.split("/")[1] for problem in gathered.problems}
    assert not unread & {"atif", "harbor", "inspect", "tau-bench", "swe-agent", "mini-swe-agent"}


# Anything else ---------------------------------------------------------------------------------------------

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 7.5, 10**30, "", "x", "\ud7ff\0", [], {}, [[]], [None], {"": None}, {"a": {"b": [1]}},
    "attachment://h1", "ATIF-v1.9", ["x", 3], {"role": "user"}, {"type": "text", "text": 3}, 1e308,
)  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - JSON
    """Give every list or mapping with each of its indexes or keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def json_in(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(text)
    except ValueError:  # changed before
        return text


def mutated(value: Any, chance: random.Random) -> bytes:  # noqa: ANN401 - JSON
    """Give a document with some of its values replaced, and now and then some of its bytes."""
    copy = json.loads(json.dumps(value))
    for _ in range(chance.randint(1, 4)):
        spots = list(places(copy))
        if not spots:
            break
        holder, key = chance.choice(spots)
        if isinstance(holder[key], str) and holder[key][:1] in ("[", "{") and chance.random() < 0.7:
            inner = json_in(holder[key])
            holder[key] = mutated(inner, chance).decode(errors="replace")
        elif chance.random() < 0.3 and isinstance(holder, dict):
            del holder[key]
        else:
            holder[key] = deepcopy(chance.choice(ODD))
    data = bytearray(json.dumps(copy).encode())
    for _ in range(chance.randint(0, 3) if chance.random() < 0.2 else 0):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def assert_holds(data: bytes, **beside: bytes) -> None:
    """Whatever the bytes are, what is found of them can be written as a line of ours, and read again."""
    stored = file(data, **beside)
    recognize(stored)
    for format_ in FORMATS:
        for item in items_of(stored, format_):
            if isinstance(item, Found) and item.trajectory is not None and format_ is not OWN:
                (again,) = items_of(file(msgspec.json.encode(item.trajectory)), OWN)
                assert isinstance(again, Found)
                assert again.trajectory == item.trajectory


@pytest.mark.parametrize("name", SHAPES)
@given(seed=st.integers(0, 2**32))
def test_no_change_of_a_shape_is_a_traceback(name: str, seed: int) -> None:
    chance = random.Random(seed)
    assert_holds(mutated(SHAPES[name], chance), agent__trajectory_dot_json=mutated(ATIF, chance))


@pytest.mark.nightly
@pytest.mark.parametrize("name", [*SHAPES, *MORE])
def test_no_change_of_many_is_a_traceback(name: str) -> None:
    for seed in range(2_000):
        chance = random.Random(seed)
        data = mutated((SHAPES | MORE)[name], chance)
        assert_holds(data, agent__trajectory_dot_json=mutated(ATIF, chance), verifier__reward_dot_txt=b"[")
        if name == "inspect" and seed < 500:
            packed = bytearray(archive(INSPECT))
            packed[chance.randrange(len(packed))] = chance.randrange(256)
            assert_holds(bytes(packed))


@given(st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
def test_no_bytes_are_a_traceback(data: bytes) -> None:
    assert_holds(data)
