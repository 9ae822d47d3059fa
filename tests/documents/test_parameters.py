import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.documents.parameters import HANDED_ON, faults_of, headers_of, variables_of

GOOD = {
    "reasoning_effort": "low",
    "top_p": 0.9,
    "api_version": "2024-10-21",
    "response_format": {"type": "json_object"},
    "service_tier": None,
    "extra_body": {"chat_template_kwargs": {"enable_thinking": False}},
    "extra_headers": {
        "X-Team": "ops",
        "X-Gateway-Key": "Bearer ${GATEWAY_API_KEY}",
        "HTTP-Referer": "https://a.example",
    },
}


def test_parameters_of_a_provider_are_handed_on() -> None:
    assert list(faults_of(GOOD, "openai/x")) == []
    assert variables_of(GOOD) == ("GATEWAY_API_KEY",)
    headers = headers_of(GOOD, {"GATEWAY_API_KEY": "k"})
    assert headers == {"X-Team": "ops", "X-Gateway-Key": "Bearer k", "HTTP-Referer": "https://a.example"}


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        (
            {"reasoning_efort": "low"},
            "reasoning_efort is no parameter known here (did you mean 'reasoning_effort'?)",
        ),
        ({"enable_thinking": False}, "what only your server knows goes into extra_body"),
        ({"model": "x"}, "model is not taken: it is a setting of its own, beside parameters"),
        ({"messages": []}, "messages is not taken"),
        ({"base_url": "https://evil.example"}, "base_url is not taken: addresses and keys are settings"),
        ({"api_key": "x"}, "api_key is not taken"),
        ({"mock_response": "met"}, "mock_response is no parameter known here"),
        ({"tools": []}, "a chat agent calls no tools: take a program"),
        ({"max_completion_tokens": 5}, "say max_tokens, beside parameters"),
        ({"extra_body": {"messages": []}}, "extra_body.messages is not taken"),
        ({"extra_body": {"tools": []}}, "extra_body.tools is not taken"),
        ({"extra_body": 5}, "extra_body and extra_headers: expected a mapping"),
        ({"extra_headers": ["a"]}, "extra_body and extra_headers: expected a mapping"),
        ({"extra_headers": {"Authorization": "Bearer ${X_API_KEY}"}}, "whose variable key_variable names"),
        (
            {"extra_headers": {"Host": "evil.example"}},
            "extra_headers.Host is no header that can be said here",
        ),
        ({"extra_headers": {"Content-Length": "5"}}, "is no header that can be said here"),
        ({"extra_headers": {"a b": "x"}}, "is no header that can be said here"),
        ({"extra_headers": {"X-A": "a\r\nX-B: b"}}, "expected text in ASCII, without line ends"),
        ({"extra_headers": {"X-A": 5}}, "expected text in ASCII"),
        ({"extra_headers": {"X-A": "${GITHUB_TOKEN}"}}, "a name that ends in _API_KEY: no other secret goes"),
        ({"extra_headers": {"X-A": "${DATABASE_PASSWORD}"}}, "a name that ends in _API_KEY"),
        ({"extra_headers": {"X-A": "${X_API_KEY} ${GH_TOKEN}"}}, "a name that ends in _API_KEY"),
        ({"extra_headers": {"X-A": "${}"}}, "a name that ends in _API_KEY"),
        ({"extra_headers": {"X-Api-Key": "abc"}}, "carries a credential by its name"),
        ({"extra_headers": {"Cookie": "a=b"}}, "carries a credential by its name"),
        (
            {"extra_headers": {"X-Team": "AKIAIOSFODNN7EXAMPLQ"}},
            "what looks like an AWS access key stands there",
        ),
        ({"extra_body": {"a": [{"b": "AKIAIOSFODNN7EXAMPLQ"}]}}, "what looks like an AWS access key"),
    ],
)
def test_what_may_not_be_said_is_told_without_its_value(parameters: dict[str, object], fault: str) -> None:
    told = "; ".join(faults_of(parameters, "openai/x"))
    assert fault in told
    assert "AKIA" not in told
    assert "a=b" not in told


def test_anthropic_takes_its_parameters_by_name() -> None:
    for name in ("anthropic/claude-sonnet-4-5", "claude-sonnet-4-5"):
        assert "does not hand it on to anthropic" in "; ".join(faults_of({"extra_body": {"x": 1}}, name))
        assert list(faults_of({"thinking": {"type": "enabled"}, "top_k": 5}, name)) == []


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*HANDED_ON, "model"]) | st.text(max_size=8), VALUES))
def test_nothing_breaks_the_reader(parameters: dict[str, object]) -> None:
    if not list(faults_of(parameters)):
        headers_of(parameters, dict.fromkeys(variables_of(parameters), "k"))
