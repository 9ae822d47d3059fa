"""Keys of providers: in which environment variables they are, and who wants one (pure).

The names are those that litellm reads; a test asks a server on loopback as each of these providers.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from runbookopt.documents.api_address import PROVIDERS as HOSTS

_ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "ai21_chat": ("AI21_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    "apertis": ("STIMA_API_KEY",),
    "azure": ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_AD_TOKEN"),
    "bedrock": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "cohere_chat": ("COHERE_API_KEY", "CO_API_KEY"),
    "cometapi": ("COMETAPI_API_KEY", "COMETAPI_KEY"),
    "fireworks_ai": ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
    "friendliai": ("FRIENDLIAI_API_KEY", "FRIENDLI_TOKEN"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "huggingface": ("HF_TOKEN", "HUGGINGFACE_API_KEY"),
    "lambda_ai": ("LAMBDA_API_KEY",),
    "meta_llama": ("LLAMA_API_KEY",),
    "nano-gpt": ("NANOGPT_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY", "OR_API_KEY"),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "replicate": ("REPLICATE_API_KEY", "REPLICATE_API_TOKEN"),
    "sagemaker": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "scx-ai": ("SCX_API_KEY",),
    "tensormesh": ("TENSORMESH_INFERENCE_API_KEY",),
    "text-completion-openai": ("OPENAI_API_KEY",),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHER_AI_TOKEN"),
    "vertex_ai": ("GOOGLE_APPLICATION_CREDENTIALS",),
    "volcengine": ("VOLCENGINE_API_KEY", "ARK_API_KEY"),
    "watsonx": ("WATSONX_API_KEY", "WATSONX_APIKEY", "WX_API_KEY"),
}
"""The variables that hold a provider's key, the first that is set counts; all others: <PROVIDER>_API_KEY."""

WANT_ONE = frozenset(
    [
        "ai21",
        "ai21_chat",
        "aihubmix",
        "amazon_nova",
        "anthropic",
        "apertis",
        "assemblyai",
        "baseten",
        "cerebras",
        "charity_engine",
        "chutes",
        "cloudflare",
        "codestral",
        "cognition",
        "cohere",
        "cohere_chat",
        "compactifai",
        "cortecs",
        "darkbloom",
        "dashscope",
        "deepinfra",
        "deepseek",
        "edenai",
        "empower",
        "featherless_ai",
        "fireworks_ai",
        "friendliai",
        "galadriel",
        "gemini",
        "github",
        "gradient_ai",
        "groq",
        "helicone",
        "heroku",
        "huggingface",
        "hyperbolic",
        "lambda_ai",
        "libertai",
        "maritalk",
        "meta",
        "meta_llama",
        "minimax",
        "mistral",
        "modelscope",
        "moonshot",
        "morph",
        "nano-gpt",
        "nebius",
        "neosantara",
        "nlp_cloud",
        "novita",
        "nscale",
        "nvidia_nim",
        "openai",
        "openrouter",
        "ovhcloud",
        "parasail",
        "perplexity",
        "pinstripes",
        "poe",
        "prism",
        "publicai",
        "reka",
        "replicate",
        "sail",
        "sambanova",
        "scx-ai",
        "synthetic",
        "tencent",
        "tensormesh",
        "text-completion-openai",
        "together_ai",
        "v0",
        "vercel_ai_gateway",
        "volcengine",
        "wandb",
        "xai",
        "xiaomi_mimo",
        "zai",
    ]
)
"""Providers at whose own address nothing is answered without a key.

Left out are servers of one's own, and those that know other credentials besides (roles, log-ins, accounts).
"""


def provider_of(model: str) -> str:
    """The provider in a model's name, as far as the name says it."""
    return model.split("/", 1)[0] if "/" in model else ""


def variables_of(provider: str, key_variable: str | None) -> tuple[str, ...]:
    """The variables that are looked at for a key, the named one alone where there is one."""
    if key_variable is not None:
        return (key_variable,)
    return _ELSEWHERE.get(provider, (f"{provider.upper().replace('-', '_')}_API_KEY",))


def lacks_one(model: str, api_base: str | None, key_variable: str | None, environ: Mapping[str, str]) -> bool:
    """Whether no key is set that would be needed: one that is named, or one that the provider wants."""
    provider = provider_of(model)
    if any(environ.get(name) for name in variables_of(provider, key_variable)):
        return False
    at_theirs = api_base is None or (urlsplit(api_base).hostname or "") in HOSTS
    return key_variable is not None or (at_theirs and provider in WANT_ONE)
