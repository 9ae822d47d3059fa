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
import sys
import threading
import warnings
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from runbookopt.agents.model import dialect as dialects
from runbookopt.agents.model import reply as replies
from runbookopt.agents.model.concurrency import Concurrency
from runbookopt.agents.model.dialect import Dialect
from runbookopt.agents.model.provider_errors import KINDS, Kind, chain, kind_of, wait, words
from runbookopt.agents.model.provider_keys import lacks_one, provider_of, variables_of
from runbookopt.agents.model.reply import Reply
from runbookopt.agents.model.retry import Attempts, ModelBroken, ModelFailure
from runbookopt.documents import parameters as handed_on
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

Tell = Callable[[str], None]
"""Says one line to the person who runs it."""

_WITH_VERSIONS = ("azure/", "azure_ai/", "azure_text/", "watsonx/")
"""Providers whose addresses hold an `api_version`."""


class Completion(Struct, frozen=True):
    """Answer of a model, never empty; `usage` is that of all attempts."""

    text: str
    usage: Usage


class Model:
    """One model: its settings, how many calls it stands at once, and what they used."""

    def __init__(
        self,
        settings: ModelSettings,
        *,
        width: int,
        environ: Mapping[str, str],
        role: str | None = None,
        tell: Tell = lambda _: None,
    ) -> None:
        self.settings = settings
        self.name = settings.model
        self.key = digest_of({"kind": "model", "version": 1, **_changing(settings)})
        self.width = Concurrency(width)
        self.usage = Usage()
        self._environ = environ
        self._role, self._tell = role, tell
        self._dialect = Dialect(system=settings.system_role == "system")
        if "api_version" in settings.parameters and not settings.model.startswith(_WITH_VERSIONS):
            self._say("parameters.api_version says nothing to this provider, and is not sent")
        self._redactor = Redactor(environ)
        self._clean = lru_cache(maxsize=64)(self._redactor.clean)  # a runbook goes with each of its tasks
        self._answered = False
        self._barren = 0
        self._broken = False
        self._cut: int | None = 0  # replies that were cut; None once one was whole

    def __repr__(self) -> str:
        return f"Model({self.name!r})"

    def answered_before(self) -> None:
        """Hear that it has answered in an earlier process: what it refuses now is no fault of the set-up."""
        self._answered = True

    def must_have_key(self) -> None:
        """Raise ModelBroken where a key is missing without which nothing would be answered."""
        settings, named = self.settings, handed_on.variables_of(self.settings.parameters)
        missing = [name for name in named if not self._environ.get(name)]
        if missing:
            told = f"{self._setting('parameters.extra_headers')} names {missing[0]}, which is not set: set it"
        elif not lacks_one(settings.model, settings.api_base, settings.key_variable, self._environ):
            return
        elif settings.key_variable is not None:
            told = f"{self._setting('key_variable')} names {settings.key_variable}, which is not set: set it"
        else:
            names = " or ".join(variables_of(provider_of(settings.model), None))
            told = KINDS["no_key"].advice.format(place=settings.api_base or "its provider", variables=names)
        self._broken = True
        raise ModelBroken(f"{self.name}: {told}", Usage())

    async def complete(self, messages: Sequence[Message], *, repeat: str = "0") -> Completion:
        """Ask until there is an answer; raises ModelFailure, and ModelBroken where asking on makes no sense.

        The same messages with another `repeat` are another sample: a seed in the settings is mixed with it.
        Secrets are taken out of what is sent and of what comes back.
        """
        attempts = Attempts(
            self.settings.attempts, self.settings.patience_seconds, met=lambda: self._answered
        )
        self.must_have_key()
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
        async with self.width.slot() as halvings:
            heard = await self._heard(request)
            attempts.usage += heard.usage
            # raised outside of `except`: the foreign error, which may hold the key, goes with nothing of ours
            if heard.failure is not None:
                if heard.failure.kind == "rate_limited":
                    self.width.halve(halvings)
                raise heard.failure
            self.width.grow()
        self._answered, self._barren = True, 0
        reply = heard.reply or Reply("")
        if short := replies.shortcoming(reply, self.settings.max_tokens, self._setting("max_tokens")):
            if short[0] == "truncated" and self._cut is not None:
                self._cut += 1
            raise ModelFailure(*short, Usage())
        self._cut = None
        return self._clean(reply.text.encode(errors="replace").decode())  # half a character is none

    async def _heard(self, request: Mapping[str, Any]) -> "_Heard":
        """Send a request, and again for each thing that refusals tell of how the server is to be asked."""
        while True:
            dialect = self._dialect
            heard = await self._sent(dialects.spoken(request, dialect))
            refused = heard.failure is not None and KINDS[heard.failure.kind].may_be_dialect
            better = dialects.learned(dialect, heard.words, request) if refused else None
            if better is None:
                return heard
            for line in dialects.told(self._dialect, better):
                self._say(line)
            self._dialect = dialects.joined(self._dialect, better)

    def _say(self, line: str) -> None:
        self._tell(f"{self.name}{f' ({self._role})' if self._role else ''}: {line}")

    async def _sent(self, request: Mapping[str, Any]) -> "_Heard":
        import asyncio

        litellm, bodies = _litellm(), list[str]()

        def hear(details: Mapping[str, Any]) -> None:
            body = details.get("original_response")
            if details.get("log_event_type") == "post_api_call" and isinstance(body, str):
                bodies.append(body)

        response, failure, said = None, None, ""
        try:
            async with asyncio.timeout(self.settings.timeout_seconds):
                response = await litellm.acompletion(**request, logger_fn=hear)
        except Exception as error:  # noqa: BLE001 - litellm raises whatever a provider's code raises
            failure, said = self._failure(error), words(error)
        heard = replies.read(bodies[-1]) if bodies else None
        if failure is not None and (failure.kind != "unparsable" or heard is None):
            tokens = replies.tokens_in(bodies[-1]) if bodies and failure.kind == "unparsable" else None
            return _Heard(None, failure, self._billed(tokens) if tokens else Usage(), said)
        understood = None if response is None else replies.reply_of(response.model_dump())
        reply = replies.both(understood, heard)
        if reply and reply.ended == replies.FAILED and reply.tokens is None:
            return _Heard(reply, None, Usage())
        return _Heard(reply, None, self._billed(reply.tokens if reply else None, response))

    def _billed(self, tokens: replies.Tokens | None, response: Any = None) -> Usage:  # noqa: ANN401 - litellm's
        if tokens is None:
            return Usage(calls=1, usd=None, uncounted=1)
        usd = None
        if self.settings.price is not None:
            usd = self.settings.price.of(tokens.prompt, tokens.cached, tokens.completion)
        elif _is_listed(self.name):
            usd = _listed_cost(self.name, tokens, response)
        return Usage(
            calls=1, prompt=tokens.prompt, cached=tokens.cached, completion=tokens.completion, usd=usd
        )

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
        request |= self._handed_on()
        if "claude" in settings.model:  # it caches up to a mark; others find the common start themselves
            request["cache_control_injection_points"] = [{"location": "message", "role": "system"}]
        return {name: value for name, value in request.items() if value is not None}

    def _handed_on(self) -> dict[str, Any]:
        """The parameters of the settings as litellm takes them, none of them left out by it."""
        said = {name: value for name, value in self.settings.parameters.items() if value is not None}
        headers = handed_on.headers_of(said, self._environ)
        said.pop("extra_headers", None)
        if "api_version" in said and not self.settings.model.startswith(_WITH_VERSIONS):
            del said["api_version"]
        allowed = [name for name in said if name not in _supported(self.settings.model)]
        # not as extra_headers: litellm puts those into the body too, at some providers
        return said | ({"headers": headers} if headers else {}) | {"allowed_openai_params": allowed or None}

    def _api_key(self) -> str | None:
        names = [name for name in self._variables() if self._environ.get(name)]
        if not names:
            return None if self.settings.api_base is None else "none"  # many local servers want no key
        is_ours = self.settings.key_variable is not None or names[0].endswith("_API_KEY")
        return self._environ[names[0]] if is_ours else None  # litellm finds the others

    def _variables(self) -> tuple[str, ...]:
        return variables_of(_provider(self.settings.model), self.settings.key_variable)

    def _setting(self, name: str) -> str:
        """A setting as its file names it."""
        place = {None: name, "judge": f"judge.{name} in rubric.yaml"}
        return place.get(self._role, f"{self._role}.{name}")

    async def _begin_in_this_loop(self) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        if loop in _connections_of:
            return
        await asyncio.to_thread(_litellm)  # seconds, where nobody began it before
        if loop not in _connections_of:
            _connections_of[loop] = _connections(loop)
            await anext(_connections_of[loop])

    def _failure(self, error: BaseException) -> ModelFailure:
        """Translate a foreign error; nothing of the key is left in it."""
        kind, last = kind_of(error), chain(error)[-1]
        if kind == "authentication" and not any(self._environ.get(name) for name in self._variables()):
            kind = "no_key"
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
        told = KINDS[failure.kind].advice.format(
            place=self.settings.api_base or "its provider",
            variables=" or ".join(self._variables()),
            first=_CUT,
        )
        named = f"{failure.kind}: " if KINDS[failure.kind].advice == Kind().advice else ""
        return f"{told} ({named}{failure.message})"


class _Heard(Struct, frozen=True):
    """What came of a request: a reply or a failure, what it is billed, and a refusal's `words` in full."""

    reply: Reply | None
    failure: ModelFailure | None
    usage: Usage
    words: str = ""

    def __repr__(self) -> str:
        return "_Heard()"  # the words may hold what was sent


def _changing(settings: ModelSettings) -> dict[str, Any]:
    """All that changes an answer; headers are in it as they are written, with variables' names."""
    about = {
        name: getattr(settings, name) for name in ("model", "api_base", "temperature", "seed", "max_tokens")
    }
    said = {name: value for name, value in settings.parameters.items() if value is not None}
    more = {"parameters": said} if said else {}
    return about | more | ({} if settings.system_role == "system" else {"system_role": settings.system_role})


IMPORTING = "import of litellm"
"""Name of the thread that imports it in the background."""


def begin_import() -> threading.Thread:
    """Begin to import litellm in the background, where it is there; the first call waits for it."""

    def begin() -> None:
        with suppress(Exception):  # whatever it is, the first call meets it again, and tells it
            _litellm()

    thread = threading.Thread(target=begin, name=IMPORTING, daemon=True)
    thread.start()
    return thread


def priced(settings: ModelSettings) -> bool:
    """Whether the dollars of this model's calls are known: by its settings, or by litellm's list."""
    return settings.price is not None or _is_listed(settings.model)


@lru_cache(maxsize=1)
def _litellm() -> ModuleType:
    """Import litellm whole, and switch off all that it would fetch, load, tell and log.

    Raises RunbookoptError where it is not installed: jobs that ask no model do without. An import that failed
    is tried anew by the next call.
    """
    with _importing:
        return _imported()


_importing = threading.Lock()
"""Two threads import litellm one after the other: none goes on with what the other left half done."""


def _imported() -> ModuleType:
    if find_spec("litellm") is None:
        raise RunbookoptError(
            "a model is to be asked, and litellm is not installed here: pip install runbookopt brings it;"
            " in a workflow, .github/runbookopt-requirements-models.txt does"
        )
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
    # its own way to OpenAI, the one to most providers, takes a third less time than the one through OpenAI's
    os.environ["EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER"] = "True"
    before = set(sys.modules)
    try:
        import litellm
    except BaseException:
        # modules that were whole by then hold on to a package that never was, and would be taken as they are
        for name in sys.modules.keys() - before:
            if name.partition(".")[0] not in sys.modules:
                del sys.modules[name]
        raise

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


def _listed_cost(model: str, tokens: replies.Tokens, response: Any) -> float | None:  # noqa: ANN401 - litellm's
    """Dollars by the list; litellm's own sum, where it counted the same tokens as we do."""
    litellm = _litellm()
    if response is not None and response.usage.completion_tokens == tokens.completion:
        return response._hidden_params.get("response_cost")  # type: ignore[no-any-return]  # noqa: SLF001 - its place
    cached = {"cached_tokens": tokens.cached}
    usage = litellm.Usage(
        tokens.prompt, tokens.completion, tokens.prompt + tokens.completion, prompt_tokens_details=cached
    )
    counted = litellm.ModelResponse(model=model, usage=usage)
    return float(litellm.completion_cost(model=model, completion_response=counted))


@lru_cache(maxsize=64)
def _supported(model: str) -> frozenset[str]:
    """The parameters that litellm hands on to a model, or translates, by itself."""
    litellm = _litellm()
    try:
        bare, provider = litellm.get_llm_provider(model)[:2]
    except litellm.exceptions.BadRequestError:
        return frozenset()
    return frozenset(litellm.get_supported_openai_params(model=bare, custom_llm_provider=provider) or ())


@lru_cache(maxsize=64)
def _provider(model: str) -> str:
    litellm = _litellm()
    try:
        return str(litellm.get_llm_provider(model)[1])
    except litellm.exceptions.BadRequestError:
        return model.split("/", 1)[0]


_connections_of: "dict[asyncio.AbstractEventLoop, AsyncGenerator[None]]" = {}
"""What closes the connections of each event loop: its models share them, so none closes them as it goes."""


async def _connections(loop: "asyncio.AbstractEventLoop") -> AsyncGenerator[None]:
    """Close the connections of an event loop when it closes its generators."""
    litellm = _litellm()
    try:
        yield
    finally:
        del _connections_of[loop]
        await litellm.close_litellm_async_clients()
        litellm.in_memory_llm_clients_cache.flush_cache()
