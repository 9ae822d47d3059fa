"""Families of models by their names, whoever serves them."""

import pytest

from runbookopt.verifier.families import family_of, kin, kin_in_words, nearest_kin


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("openai/gpt-5-mini", "OpenAI"),
        ("azure/o3-2025-04-16", "OpenAI"),
        ("openrouter/openai/gpt-oss-120b", "OpenAI"),
        ("anthropic.claude-sonnet-4-20250514", "Anthropic"),
        ("bedrock/us.anthropic.claude-3-5-haiku-latest", "Anthropic"),
        ("vertex_ai/gemini-2.5-pro", "Google"),
        ("ollama/gemma3:270m", "Google"),
        ("together_ai/meta-llama/Llama-3.3-70B", "Meta"),
        ("mistral/mixtral-8x7b", "Mistral"),
        ("ollama/qwen3:8b", "Alibaba"),
        ("groq/deepseek-r1-distill-llama-70b", "DeepSeek"),
        ("xai/grok-4", "xAI"),
        ("openai/our-own-model", None),
        ("handoff", None),
        (None, None),
    ],
)
def test_a_family_is_told_by_the_models_own_name(model: str | None, family: str | None) -> None:
    assert family_of(model) == family


def test_one_model_is_told_from_one_family() -> None:
    assert kin("openai/gpt-5", "azure/gpt-5-2025-08-07") == "model"
    assert kin("openai/gpt-5", "openai/gpt-5-mini") == "family"
    assert kin("openai/gpt-5", "anthropic/claude-opus-4") is None
    assert kin("openai/ours", "openai/theirs") is None
    said = kin_in_words("openai/gpt-5", "agent", "azure/gpt-4.1")
    assert said == "the judge's model openai/gpt-5 is of one family with the agent's, azure/gpt-4.1"


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ((), "none"),
        (("anthropic/claude-opus-4", "google/gemini-3"), "none"),
        (("anthropic/claude-opus-4", "openai/gpt-5-mini"), "family"),
        (("openai/gpt-5-mini", "azure/gpt-5"), "model"),
        (("anthropic/claude-opus-4", "ours"), None),
    ],
)
def test_the_nearest_of_several_counts_and_an_unknown_one_is_unknown(
    others: tuple[str, ...], expected: str | None
) -> None:
    assert nearest_kin("openai/gpt-5", others) == expected
