"""Models as they are served: what the commands do with servers that want to be asked otherwise."""

import json
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Modelled, Modelling, Ran

GATEWAY = "Gate-Way.4f1c9e07d2b85a63"
EVALUATE = ("runbookopt", "evaluate", "desk")


@pytest.fixture(scope="module")
def served(modelling: "Modelling") -> "Modelled":
    """Give a repository and a server whose ways each test sets."""
    return modelling()


@pytest.fixture
def evaluate(served: "Modelled") -> "Callable[..., Ran]":
    """Give what scores the runbook with a model that nobody was asked before."""
    served.server.heard.clear()
    served.server.refuse, served.server.dress = (lambda _: None), (lambda reply: reply)
    served.server.outage = None

    def run(*flags: str, **environ: str) -> "Ran":
        return served.clone.ask(*EVALUATE, *flags, environ={"OPENAI_API_KEY": "made up", **environ})

    return run


def no_system(body: dict[str, Any]) -> str | None:
    return "System role not supported" if body["messages"][0]["role"] == "system" else None


@pytest.mark.slow
def test_a_server_without_a_system_role_is_given_the_runbook_before_the_task(
    evaluate: "Callable[..., Ran]", served: "Modelled", model_pair: ModuleType
) -> None:
    def answer(body: dict[str, Any]) -> str:
        told = body["messages"][0]["content"]
        runbook, _, task = told.rpartition("\n\n")
        system = {"role": "system", "content": runbook}
        return str(pair({**body, "messages": [system, {"role": "user", "content": task}]}))

    pair, before = model_pair.Pair().answer, served.server.answer
    served.server.refuse = lambda body: no_system(body) if body["model"] == "agent" else None
    served.server.answer = lambda body: answer(body) if body["model"] == "agent" else before(body)
    try:
        ran = evaluate("--json", "--set", "agent.seed=1")
    finally:
        served.server.answer = before
    assert ran.returncode == 0, ran
    assert ran.stderr.count("the server refuses the system role") == 1
    assert ran.stderr.count("\n") == 1
    assert json.loads(ran.stdout)["score"] == 0.25  # as with a system prompt


@pytest.mark.slow
def test_reasoning_that_eats_the_limit_is_told_with_the_setting_and_the_number(
    evaluate: "Callable[..., Ran]", served: "Modelled"
) -> None:
    def eaten(reply: dict[str, Any]) -> dict[str, Any]:
        choice = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "length"}
        details = {"completion_tokens_details": {"reasoning_tokens": 200}}
        usage = {"prompt_tokens": 10, "completion_tokens": 200, "total_tokens": 210, **details}
        return {**reply, "choices": [choice], "usage": usage}

    served.server.dress = eaten
    ran = evaluate("--set", "agent.max_tokens=200")
    assert ran.returncode == 1
    assert "reasoning took all tokens of the reply" in ran.stderr
    assert "raise agent.max_tokens from 200 to 800" in ran.stderr
    assert len(served.server.heard) <= 10 + 8


@pytest.mark.slow
def test_parameters_and_headers_reach_the_server_and_a_secret_nothing_else(
    evaluate: "Callable[..., Ran]", served: "Modelled"
) -> None:
    said = "{reasoning_effort: low, top_p: 0.9, extra_body: {chat_template_kwargs: {enable_thinking: false}}}"
    headers = "{extra_headers: {X-Team: ops, X-Gateway-Key: 'Bearer ${GATEWAY_API_KEY}'}}"
    files = served.clone.root / "runbookopt.yaml"
    before = files.read_text()
    files.write_text(before.replace("    deterministic", f"    parameters: {headers}\n    deterministic"))
    try:
        ran = evaluate("--json", "--set", f"agent.parameters={said}", GATEWAY_API_KEY=GATEWAY)
        missing = evaluate("--set", f"agent.parameters={said}", "--set", "agent.seed=2")
    finally:
        files.write_text(before)
    assert (ran.returncode, ran.stderr) == (0, "")
    agents = [each for each in served.server.heard if each.body["model"] == "agent"]
    assert {each.body["top_p"] for each in agents} == {0.9}
    assert {each.body["reasoning_effort"] for each in agents} == {"low"}
    assert agents[0].body["chat_template_kwargs"] == {"enable_thinking": False}
    assert {(each.headers["x-team"], each.headers["x-gateway-key"]) for each in agents} == {
        ("ops", f"Bearer {GATEWAY}")
    }
    places = [path for path in served.clone.root.rglob("*") if path.is_file()]
    core = GATEWAY.partition(".")[2].encode()
    assert [path for path in places if core in path.read_bytes()] == []
    assert GATEWAY not in ran.stdout
    assert missing.returncode == 1
    assert "agent.parameters.extra_headers names GATEWAY_API_KEY, which is not set: set it" in missing.stderr


@pytest.mark.slow
def test_a_reply_without_usage_is_said_to_be_that(evaluate: "Callable[..., Ran]", served: "Modelled") -> None:
    def silent(reply: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in reply.items() if name != "usage"}

    served.server.dress = silent
    ran = evaluate("--set", "agent.seed=3")
    assert ran.returncode == 0, ran
    assert "tokens unknown (" in ran.stdout
    assert "replies have no `usage`)" in ran.stdout
    ran = evaluate("--set", "agent.seed=4", "--set", "budget.usd=1")
    assert ran.returncode == 1
    assert "its server's reply has no `usage`, so nobody counted its tokens" in ran.stderr
    assert "give the model's price" not in ran.stderr


@pytest.mark.slow
def test_a_judge_that_writes_words_around_its_verdict_is_understood(
    evaluate: "Callable[..., Ran]", served: "Modelled"
) -> None:
    def talkative(reply: dict[str, Any]) -> dict[str, Any]:
        message = reply["choices"][0]["message"]
        if reply["model"] == "judge":
            message["content"] = f"Here is my verdict:\n```json\n{message['content']}\n```\nI hope it helps."
        return reply

    served.server.dress = talkative
    ran = evaluate("--json", "--set", "agent.seed=5")
    assert ran.returncode == 0, ran
    found = json.loads(ran.stdout)
    assert found["score"] == 0.25
    assert found["spent"]["usage"]["judge"].get("failures", {}) == {}


@pytest.mark.slow
@pytest.mark.parametrize("role", ["agent", "reflector", "judge"])
def test_a_key_that_is_missing_ends_the_run_before_anything_is_asked(
    modelling: "Modelling", role: str
) -> None:
    modelled = modelling()
    name, key = ("runbooks/desk/rubric.yaml", "judge:\n") if role == "judge" else ("runbookopt.yaml", "")
    told = f"{role}.key_variable"
    if role == "judge":
        text = (modelled.clone.root / name).read_text()
        modelled.clone.commit({name: text.replace(key, f"{key}  key_variable: TEAM_API_KEY\n", 1)})
        ran, told = modelled.run(), f"{told} in rubric.yaml"
    else:
        ran = modelled.run("--set", f"{role}.key_variable=TEAM_API_KEY")
    assert ran.returncode == 1
    assert f"{told} names TEAM_API_KEY, which is not set: set it" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert modelled.server.heard == []


@pytest.mark.slow
def test_a_parameter_in_the_wrong_place_is_shown_its_own(evaluate: "Callable[..., Ran]") -> None:
    ran = evaluate("--set", "agent.reasoning_effort=low")
    assert ran.returncode == 2
    assert "is no key (say it as agent.parameters={reasoning_effort: low})" in ran.stderr
