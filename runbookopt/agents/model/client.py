"""Client of a model, asked as gently and as often as needed: the only file that knows litellm.

    model = Model(ModelSettings("openai/gpt-5-mini"), width=8, environ=os.environ)
    completion = await model.complete([Message("system", runbook), Message("user", task)])

A request that fails is made again or not by the kind of its failure; what is left is a ModelFailure (this
call came to nothing, others may) or a ModelBroken (no call will come to anything: the run ends). Importing
litellm takes seconds: `begin_import` starts that in the background. It fetches nothing, loads no .env file
(one that lies in a repository could send the key elsewhere), and says nothing in any log.
"""

import gc
import hashlib
import logging
import os
import threading
import warnings
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from runbookopt.agents.model.concurrency import Concurrency
from runbookopt.agents.model.provider_errors import KINDS, Kind, chain, kind_of, wait, words
from runbookopt.agents.model.retry import Attempts, ModelBroken, ModelFailure
from runbookopt.documents.digest import digest_of
from runbookopt.documents.redaction import Redactor
from runbookopt.documents.settings import ModelSettings
from runbookopt.documents.usage import Message, Usage
from runbookopt.errors import RunbookoptError

if TYPE_CHECKING:
    import asyncio

_BARREN = 3  # calls in a row that came to nothing
_CUT = 10  # first replies that were all cut: no later one would be whole
_LINE = 240  # characters of what a server said that are shown

_VARIABLES = {
    "bedrock": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "huggingface": ("HF_TOKEN",),
    "sagemaker": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "together_ai": ("TOGETHERAI_API_KEY",),
    "vertex_ai": ("GOOGLE_APPLICATION_CREDENTIALS",),
}
"""Which variables hold a provider's key, where that is not <PROVIDER>_API_KEY."""


class Completion(Struct, frozen=True):
    """Answer of a model, never empty; `usage` is that of all attempts."""

    text: str
    usage: Usage


class Model:
    """One model: its settings, how many calls it stands at once, and what they used."""

    def __init__(self, settings: ModelSettings, *, width: int, environ: Mapping[str, str]) -> None:
        self.settings = settings
        self.name = settings.model
        changing = ("model", "api_base", "temperature", "seed", "max_tokens")  # an answer
        about = {name: getattr(settings, name) for name in changing}
        self.key = digest_of({"kind": "model", "version": 1, **about})
        self.width = Concurrency(width)
        self.usage = Usage()
        self._environ = environ
        self._redactor = Redactor(environ)
        self._clean = lru_cache(maxsize=64)(self._redactor.clean)  # a runbook goes with each of its tasks
        self._answered = False
        self._barren = 0
        self._broken = False
        self._cut: int | None = 0  # replies that were cut; None once one was whole
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: AsyncGenerator[None] | None = None

    def __repr__(self) -> str:
        return f"Model({self.name!r})"

    def answered_before(self) -> None:
        """Hear that it has answered in an earlier process: what it refuses now is no fault of the set-up."""
        self._answered = True

    async def complete(self, messages: Sequence[Message], *, repeat: str = "0") -> Completion:
        """Ask until there is an answer; raises ModelFailure, and ModelBroken where asking on makes no sense.

        The same messages with another `repeat` are another sample: a seed in the settings is mixed with it.
        Secrets are taken out of what is sent and of what comes back.
        """
        attempts = Attempts(
            self.settings.attempts, self.settings.patience_seconds, met=lambda: self._answered
        )
        await self._begin_in_this_loop()
        request = self._request(messages, repeat)
        try:
            text = await self._answer(request, attempts)
        except ModelFailure as failure:
            broken = self._is_broken(failure)
            failure.usage = attempts.usage
            if not broken:
                raise
            message = self._redactor.clean(f"{self.name}: {self._advice(failure)}")
        else:
            return Completion(text, attempts.usage)
        finally:
            self.usage += attempts.usage
        self._broken = True  # what is in flight is not tried again
        raise ModelBroken(message, attempts.usage)

    async def _answer(self, request: Mapping[str, Any], attempts: Attempts) -> str:
        import asyncio

        while True:
            try:
                return await self._attempt(request, attempts)
            except ModelFailure as failure:
                pause = attempts.pause(failure)
                if pause is None or self._broken or self._is_cut(failure):
                    raise
            await asyncio.sleep(pause)

    async def _attempt(self, request: Mapping[str, Any], attempts: Attempts) -> str:
        import asyncio

        litellm = _litellm()
        response, failure = None, None
        async with self.width.slot() as halvings:
            try:
                async with asyncio.timeout(self.settings.timeout_seconds):
                    response = await litellm.acompletion(**request)
            except Exception as error:  # noqa: BLE001 - litellm raises whatever a provider's code raises
                failure = self._failure(error)
            # raised outside of `except`: the foreign error, which may hold the key, goes with nothing of ours
            if failure is not None:
                if failure.kind == "rate_limited":
                    self.width.halve(halvings)
                raise failure
            self.width.grow()
        self._answered, self._barren = True, 0
        attempts.usage += self._billed(response)
        try:
            text = _text(response)
        except ModelFailure as cut:
            if cut.kind == "truncated" and self._cut is not None:
                self._cut += 1
            raise
        self._cut = None
        return self._clean(text)

    def _billed(self, response: Any) -> Usage:  # noqa: ANN401 - litellm's own record
        tokens = getattr(response, "usage", None)
        if tokens is None or not tokens.total_tokens:
            return Usage(calls=1, usd=None)
        details = getattr(tokens, "prompt_tokens_details", None)
        prompt, completion = max(0, tokens.prompt_tokens or 0), max(0, tokens.completion_tokens or 0)
        cached = max(0, min(prompt, getattr(details, "cached_tokens", None) or 0))
        usd = None
        if self.settings.price is not None:
            usd = self.settings.price.of(prompt, cached, completion)
        elif _is_listed(self.name):
            usd = response._hidden_params.get("response_cost")  # noqa: SLF001 - where litellm puts it
        return Usage(calls=1, prompt=prompt, cached=cached, completion=completion, usd=usd)

    def _request(self, messages: Sequence[Message], repeat: str) -> dict[str, Any]:
        settings = self.settings
        mixed = hashlib.sha256(f"{settings.seed}/{repeat}".encode()).digest()[:4]
        request = {
            "model": settings.model,
            "messages": [{"role": each.role, "content": self._clean(each.content)} for each in messages],
            "api_base": settings.api_base,
            "api_key": self._api_key(),
            "temperature": settings.temperature,
            # each repeat has a seed of its own, of 31 bits: some providers take no more
            "seed": None if settings.seed is None else int.from_bytes(mixed, "big") >> 1,
            "max_tokens": settings.max_tokens,
            "timeout": settings.timeout_seconds,
            "num_retries": 0,  # its retries would not be counted, nor go by kind
            "max_retries": 0,
            "drop_params": True,  # some providers take no seed, some models no temperature
        }
        if "claude" in settings.model:  # it caches up to a mark; others find the common start themselves
            request["cache_control_injection_points"] = [{"location": "message", "role": "system"}]
        return {name: value for name, value in request.items() if value is not None}

    def _api_key(self) -> str | None:
        if self.settings.key_variable is not None:
            return self._environ.get(self.settings.key_variable) or "none"
        names = [name for name in self._variables() if self._environ.get(name)]
        if names and names[0].endswith("_API_KEY"):
            return self._environ[names[0]]
        return None if names or self.settings.api_base is None else "none"  # many local servers want no key

    def _variables(self) -> tuple[str, ...]:
        if self.settings.key_variable is not None:
            return (self.settings.key_variable,)
        provider = _provider(self.settings.model)
        return _VARIABLES.get(provider, (f"{provider.upper()}_API_KEY",))

    async def _begin_in_this_loop(self) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        await asyncio.to_thread(_litellm)  # seconds, where nobody began it before
        if self._loop is not loop:
            self._loop, self._connections = loop, _connections()
            await anext(self._connections)

    def _failure(self, error: BaseException) -> ModelFailure:
        """Translate a foreign error; nothing of the key is left in it."""
        kind, last = kind_of(error), chain(error)[-1]
        if kind == "timeout":
            message = f"no answer within {self.settings.timeout_seconds:g} s"
        elif kind == "unknown_model" and "LLM Provider NOT provided" in words(error):
            message = "a name is provider/model, as in openai/gpt-5-mini"
        elif kind == "unparsable":
            message = "the server's reply is no chat completion"
        elif kind in {"connection", "certificate"}:
            message = str(last) or "the connection was cut"
        elif kind == "internal":
            message = f"{type(last).__name__}: {last}"
        else:
            message = words(error)
        line = " ".join(self._redactor.clean(message).split())
        shown = line if len(line) <= _LINE else f"{line[: _LINE - 1]}…"
        return ModelFailure(kind, shown, Usage(), wait=wait(error))

    def _is_cut(self, failure: ModelFailure) -> bool:
        """Whether all replies so far were cut, and so many that no later one would be whole."""
        return failure.kind == "truncated" and self._cut is not None and self._cut >= _CUT

    def _is_broken(self, failure: ModelFailure) -> bool:
        kind = KINDS[failure.kind]
        if kind.ends or self._is_cut(failure):
            return True
        if kind.billed:
            return False
        self._barren += 1
        if not self._answered and failure.kind in {"bad_request", "connection", "internal"}:
            return True
        return self._barren >= _BARREN and not (kind.by_prompt and self._answered)

    def _advice(self, failure: ModelFailure) -> str:
        """Line that says what is wrong, what was said there, and what to do."""
        most = self.settings.max_tokens
        told = KINDS[failure.kind].advice.format(
            place=self.settings.api_base or "its provider",
            variables=" or ".join(self._variables()),
            first=_CUT,
            limit="it is not set, and the provider's own is too low" if most is None else f"it is {most}",
        )
        named = f"{failure.kind}: " if KINDS[failure.kind].advice == Kind().advice else ""
        return f"{told} ({named}{failure.message})"


def begin_import() -> threading.Thread:
    """Begin to import litellm in the background, where it is there; the first call waits for it."""
    thread = threading.Thread(target=lambda: _litellm() if find_spec("litellm") else None, daemon=True)
    thread.start()
    return thread


def priced(settings: ModelSettings) -> bool:
    """Whether the dollars of this model's calls are known: by its settings, or by litellm's list."""
    return settings.price is not None or _is_listed(settings.model)


@lru_cache(maxsize=1)
def _litellm() -> ModuleType:
    """Import litellm, and switch off all that it would fetch, load, tell and log.

    Raises RunbookoptError where it is not installed: jobs that ask no model do without.
    """
    if find_spec("litellm") is None:
        raise RunbookoptError(
            "a model is to be asked, and litellm is not installed here: pip install runbookopt brings it;"
            " in a workflow, .github/runbookopt-requirements-models.txt does"
        )
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    # its own way to OpenAI, the one to most providers, takes a third less time than the one through OpenAI's
    os.environ["EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER"] = "True"
    import litellm

    # a call that is cancelled while litellm prepares it leaves a coroutine behind
    warnings.filterwarnings("ignore", r"coroutine '[^']*completion' was never awaited", RuntimeWarning)
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    litellm.redact_messages_in_exceptions = True
    gc.freeze()  # its half a million objects stay: the collector need not look at them after every few calls
    for name in ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router"):
        logging.getLogger(name).disabled = True
    for name in ("openai", "httpx", "httpcore"):  # whatever OPENAI_LOG says: they log headers and addresses
        logging.getLogger(name).setLevel(logging.WARNING)
    return litellm


@lru_cache(maxsize=64)
def _is_listed(model: str) -> bool:
    """Whether the list has a price; asks no server, as litellm does for some that run locally."""
    prices, provider = _litellm().model_cost, _provider(model)
    listed = prices.get(model) or prices.get(model.removeprefix(f"{provider}/")) or {}
    return "input_cost_per_token" in listed and "output_cost_per_token" in listed


@lru_cache(maxsize=64)
def _provider(model: str) -> str:
    litellm = _litellm()
    try:
        return str(litellm.get_llm_provider(model)[1])
    except litellm.exceptions.BadRequestError:
        return model.split("/", 1)[0]


async def _connections() -> AsyncGenerator[None]:
    """Close the connections of this event loop when it closes its generators."""
    litellm = _litellm()
    try:
        yield
    finally:
        await litellm.close_litellm_async_clients()
        litellm.in_memory_llm_clients_cache.flush_cache()


def _text(response: Any) -> str:  # noqa: ANN401 - litellm's own record
    choice = response.choices[0] if response.choices else None
    finish = choice.finish_reason if choice else None
    if finish == "content_filter" or getattr(choice and choice.message, "refusal", None):
        raise ModelFailure("refused", "the provider took the reply out: its content filter", Usage())
    if finish == "length":
        raise ModelFailure("truncated", "the reply was cut at its most tokens: raise max_tokens", Usage())
    text: str = (choice and choice.message.content) or ""
    if not text.strip():
        raise ModelFailure("empty", "the reply has no text", Usage())
    return text.encode(errors="replace").decode()  # half a character is none
