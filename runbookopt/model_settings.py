"""Which model is asked and how, as settings: what runbookopt.yaml and a rubric say of one."""

from typing import Annotated

from msgspec import Meta, Struct

ModelName = Annotated[str, Meta(min_length=1)]
_Dollars = Annotated[float, Meta(ge=0)]


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """Dollars for a million tokens; `cached` is for those of a prompt that come from the provider's cache."""

    prompt: _Dollars
    completion: _Dollars
    cached: _Dollars | None = None

    def of(self, prompt: int, cached: int, completion: int) -> float:
        """Give the dollars of a call from its tokens."""
        cached_price = self.prompt if self.cached is None else self.cached
        dollars = (prompt - cached) * self.prompt + cached * cached_price + completion * self.completion
        return dollars / 1e6


class Asking(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a model is asked, whichever it is.

    `api_base` is the address of a server that speaks as the provider does, `key_variable` the environment
    variable that holds its key where that is not the provider's own. `timeout_seconds` is for one attempt;
    `attempts` are for failures on the way, and refusals for being too many (429) are waited out for
    `patience_seconds` besides. Without a `price` the list that litellm carries is asked.
    """

    api_base: str | None = None
    key_variable: str | None = None
    temperature: Annotated[float, Meta(ge=0)] | None = None
    seed: Annotated[int, Meta(ge=0)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    timeout_seconds: Annotated[float, Meta(gt=0)] = 120.0
    attempts: Annotated[int, Meta(ge=1)] = 8
    patience_seconds: Annotated[float, Meta(ge=0)] = 600.0
    price: Price | None = None


class ModelSettings(Asking, frozen=True, forbid_unknown_fields=True):
    """Which model is asked, a name as litellm takes it ("openai/gpt-5-mini"), and how."""

    model: ModelName
