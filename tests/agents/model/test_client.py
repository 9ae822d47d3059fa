"""Models are asked through litellm itself, over real HTTP, at a scripted server on loopback."""

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runbookopt.agents.model.client import Completion, Model, priced
from runbookopt.agents.model.retry import ModelBroken, ModelFailure
from runbookopt.documents.settings import ModelSettings, Price
from runbookopt.documents.usage import Message, Usage

KEY = "sk-proj-Zq7NotARealKey0000000000"
SYSTEM = Message("system", "Answer kindly and briefly.")
NOWHERE = "http://127.0.0.1:9/v1"


def model(url: str | None, name: str = "openai/gpt-5-mini", *, width: int = 8, **settings: object) -> Model:
    given = {"timeout_seconds": 60.0, "attempts": 4} | settings
    return Model(ModelSettings(name, api_base=url, **given), width=width, environ={"OPENAI_API_KEY": KEY})


def asked(of: Model, text: str = "Where is my parcel?", repeat: str = "0") -> Completion:
    return asyncio.run(of.complete([SYSTEM, Message("user", text)], repeat=repeat))


async def at_once(of: Model, texts: list[str]) -> list[Completion]:
    return await asyncio.gather(*(of.complete([SYSTEM, Message("user", text)]) for text in texts))


def echo(request: dict[str, Any]) -> str:
    return f"You say: {request['messages'][-1]['content']}"


def failed(of: Model) -> ModelFailure:
    with pytest.raises(ModelFailure) as caught:
        asked(of)
    return caught.value


def broken(of: Model) -> ModelBroken:
    with pytest.raises(ModelBroken) as caught:
        asked(of)
    return caught.value


def test_a_reply_comes_with_what_it_cost(openai_server: ModuleType) -> None:
    with openai_server.Server(echo) as server:
        completion = asked(model(server.url))
    assert completion.text == "You say: Where is my parcel?"
    billed = server.billed()
    assert (billed.calls, billed.prompt, billed.completion) == (1, 8, 6)
    assert completion.usage == Usage(
        calls=1, prompt=8, completion=6, usd=pytest.approx(8 * 0.25e-6 + 6 * 2e-6)
    )


def test_the_system_message_goes_first_and_nothing_is_sent_that_was_not_set(
    openai_server: ModuleType,
) -> None:
    with openai_server.Server() as server:
        asked(model(server.url))
    messages = [
        {"role": "system", "content": SYSTEM.content},
        {"role": "user", "content": "Where is my parcel?"},
    ]
    assert server.heard[0].body == {"model": "gpt-5-mini", "messages": messages}


def test_tokens_and_dollars_of_many_calls_are_those_that_the_server_counted(
    openai_server: ModuleType,
) -> None:
    shares, at_first = {"rate_limited": 0.2, "server": 0.1}, {"truncated": 0.1, "empty": 0.1}
    plan = openai_server.by_chance(shares, first_only=at_first, seconds=0.01)
    price = Price(prompt=3.0, completion=15.0, cached=0.3)
    with openai_server.Server(echo, faults=plan) as server:
        asking = model(server.url, attempts=12, price=price)
        completions = asyncio.run(at_once(asking, [f"letter {number}" for number in range(30)]))
    billed, used = server.billed(), asking.usage
    assert billed.cached > 0
    assert (used.calls, used.prompt) == (billed.calls, billed.prompt)
    assert (used.cached, used.completion) == (billed.cached, billed.completion)
    dollars = (billed.prompt - billed.cached) * 3e-6 + billed.cached * 0.3e-6 + billed.completion * 15e-6
    assert used.usd == pytest.approx(dollars)
    assert sum(each.usage.calls for each in completions) == billed.calls


def test_the_list_s_price_for_cached_tokens_is_used(openai_server: ModuleType) -> None:
    with openai_server.Server() as server:
        asking = model(server.url)
        asked(asking)
        assert asked(asking).usage.cached == 4
    assert asking.usage.usd == pytest.approx((8 + 4) * 0.25e-6 + 4 * 0.025e-6 + 2 * 2e-6)


def test_a_price_that_nobody_knows_is_unknown_and_not_zero(openai_server: ModuleType) -> None:
    with openai_server.Server() as server:
        asking = model(server.url, "openai/our-own-model")
        assert asked(asking).usage.usd is None
        assert asking.usage.usd is None
    assert not priced(asking.settings)
    assert priced(model(None).settings)
    assert priced(ModelSettings("openai/our-own-model", price=Price(0.0, 0.0)))
    assert not priced(ModelSettings("no such thing"))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("rate_limited", "rate_limited"),
        ("server", "server"),
        ("cut", "connection"),
        ("cut_short", "connection"),
        ("garbage", "unparsable"),
        ("empty", "empty"),
    ],
)
def test_what_may_pass_is_tried_again_and_counted(openai_server: ModuleType, fault: str, kind: str) -> None:
    with openai_server.Server(faults=openai_server.at_first(fault, times=2)) as server:
        completion = asked(model(server.url))
    assert completion.text == "hello"
    assert completion.usage.failures == {kind: 2}
    assert len(server.heard) == 3
    assert completion.usage.calls == server.billed().calls


def test_an_answer_that_comes_too_late_is_asked_for_again(openai_server: ModuleType) -> None:
    with openai_server.Server(faults=openai_server.at_first("slow", 600.0)) as server:
        completion = asked(model(server.url, timeout_seconds=2.0))
    assert completion.usage.failures.keys() == {"timeout"}  # once, or more often where a machine is busy


@pytest.mark.parametrize(
    ("fault", "kind", "heard"),
    [
        ("truncated", "truncated", 2),
        ("empty", "empty", 3),
        ("refused", "refused", 1),
        ("garbage", "unparsable", 4),
        ("server", "server", 4),
    ],
)
def test_each_failure_has_its_kind(openai_server: ModuleType, fault: str, kind: str, heard: int) -> None:
    with openai_server.Server(faults=openai_server.always(fault)) as server:
        failure = failed(model(server.url))
    assert failure.kind == kind
    assert failure.usage.failures == {kind: heard}
    assert len(server.heard) == heard
    assert failure.usage.calls == server.billed().calls
    assert "\n" not in failure.message


def test_a_server_that_says_when_to_come_back_is_obeyed(openai_server: ModuleType) -> None:
    with openai_server.Server(faults=openai_server.at_first("rate_limited", 0.8)) as server:
        asked(model(server.url))
        first, second = (heard.at for heard in server.heard)
    assert second - first >= 0.8


def test_a_refusal_for_being_too_many_is_waited_out_longer_than_attempts_last(
    openai_server: ModuleType,
) -> None:
    with openai_server.Server(faults=openai_server.at_first("rate_limited", 0.01, times=6)) as server:
        assert asked(model(server.url, attempts=1)).text == "hello"
    with openai_server.Server(faults=openai_server.always("rate_limited", 0.3)) as server:
        failure = failed(model(server.url, patience_seconds=0.5))
    assert failure.kind == "rate_limited"
    assert len(server.heard) == 2


def test_the_width_halves_when_the_server_wants_fewer_and_grows_slowly_again(
    openai_server: ModuleType,
) -> None:
    def fewer(_: str, times: int) -> Any:  # noqa: ANN401 - of tests/openai_server.py
        """Hold all that comes until as much is in flight as may be."""
        while server.most_in_flight < (8 if times else 16):
            time.sleep(0.005)
        return None if times else openai_server.Fault("rate_limited", 0.01)

    texts = [f"letter {number}" for number in range(16)]
    with openai_server.Server(latency=0.05, faults=fewer) as server:
        asking = model(server.url, width=16)
        asyncio.run(at_once(asking, texts))
        assert server.most_in_flight == 16
        assert 8 <= asking.width.now <= 11
        server.most_in_flight = 0
        asyncio.run(at_once(asking, texts))  # each heard before: no more faults
    assert 8 <= server.most_in_flight <= 13


def test_a_model_serves_several_event_loops_in_turn_and_leaves_nothing_open(
    openai_server: ModuleType,
) -> None:
    with openai_server.Server(echo) as server:
        asking = model(server.url, width=2)
        for number in range(3):
            texts = [f"letter {number} {copy}" for copy in range(4)]
            assert [each.text for each in asyncio.run(at_once(asking, texts))] == [
                f"You say: {text}" for text in texts
            ]
    del asking
    gc.collect()  # what was left open would say so, and warnings are errors here


def test_a_model_that_goes_leaves_the_connections_of_others_open(openai_server: ModuleType) -> None:
    gone = threading.Event()

    def answer(request: dict[str, Any]) -> str:
        assert "stays" not in str(request) or gone.wait(60)
        return echo(request)

    async def both(url: str) -> str:
        stays = asyncio.create_task(model(url, attempts=1).complete([Message("user", "stays")]))
        await model(url).complete([Message("user", "goes")])
        gc.collect()
        await asyncio.sleep(0.05)
        gone.set()
        return (await stays).text

    with openai_server.Server(answer) as server:
        assert asyncio.run(both(server.url)) == "You say: stays"


def test_a_call_that_is_cancelled_gives_its_place_back(openai_server: ModuleType) -> None:
    async def story(asking: Model) -> str:
        call = asyncio.create_task(asking.complete([Message("user", "first")]))
        waiting = asyncio.create_task(asking.complete([Message("user", "second")]))
        await asyncio.sleep(0.2)
        call.cancel()
        waiting.cancel()
        await asyncio.wait([call, waiting])
        return (await asking.complete([Message("user", "third")])).text

    with openai_server.Server(echo, faults=lambda _, __: None, latency=0.5) as server:
        warm = model(server.url, width=1)
        asked(warm)  # imports what a first call imports
        assert asyncio.run(story(warm)) == "You say: third"


def test_a_seed_makes_each_repeat_a_sample_of_its_own(openai_server: ModuleType) -> None:
    with openai_server.Server() as server:
        asking = model(server.url, "openai/gpt-4o-mini", seed=7, temperature=0.5, max_tokens=9)
        for repeat in ("0", "1", "0"):
            asked(asking, repeat=repeat)
    first, second, third = (heard.body["seed"] for heard in server.heard)
    assert first == third != second
    assert server.heard[0].body["temperature"] == 0.5
    assert server.heard[0].body["max_tokens"] == 9


def test_the_key_names_what_changes_an_answer_and_nothing_else() -> None:
    changes = [
        {},
        {"seed": 1},
        {"seed": 2},
        {"temperature": 0.0},
        {"max_tokens": 5},
    ]
    keys = {model(None, **change).key for change in changes} | {
        model(NOWHERE).key,
        model(None, "openai/x").key,
    }
    assert len(keys) == 7
    assert model(None, attempts=9, timeout_seconds=1.0, price=Price(1.0, 1.0), width=2).key == model(None).key


def test_an_old_claude_way_of_caching_is_asked_for() -> None:
    heard: list[dict[str, Any]] = []
    reply = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 50,
            "output_tokens": 3,
        },
    }

    class Anthropic(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(reply).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Anthropic) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        completion = asked(
            model(f"http://127.0.0.1:{server.server_port}", "anthropic/claude-sonnet-4-5", seed=1)
        )
        server.shutdown()
    assert heard[0]["system"] == [
        {"type": "text", "text": SYSTEM.content, "cache_control": {"type": "ephemeral"}}
    ]
    assert (completion.usage.prompt, completion.usage.cached, completion.usage.completion) == (160, 100, 3)
    dollars = 10 * 3e-6 + 100 * 0.3e-6 + 50 * 3.75e-6 + 3 * 15e-6
    assert completion.usage.usd == pytest.approx(dollars)


def test_secrets_are_neither_sent_nor_given_back(openai_server: ModuleType) -> None:
    told = f"My key is {KEY}, my token ghp_{'a1' * 18}."
    with openai_server.Server(lambda _: f"Use {KEY}") as server:
        completion = asked(model(server.url), told)
    sent = json.dumps(server.heard[0].body)
    assert KEY not in sent
    assert "ghp_" not in sent
    assert "My key is [removed: credential], my token [removed: github token]." in sent
    assert completion.text == "Use [removed: credential]"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("unauthorized", "does not accept the key: set OPENAI_API_KEY"),
        ("unknown_model", "knows no such model"),
        ("no_credit", "gives no credit any more"),
        ("bad_request", "refuses the request"),
    ],
)
def test_what_every_call_would_meet_ends_the_run_at_once(
    openai_server: ModuleType, fault: str, words: str
) -> None:
    with openai_server.Server(faults=openai_server.always(fault)) as server:
        ended = broken(model(server.url))
    assert words in str(ended)
    assert str(ended).startswith("openai/gpt-5-mini: ")
    assert len(server.heard) == 1
    assert ended.status == 1
    told = "".join(traceback.format_exception(ended)) + repr(ended) + repr(ended.__dict__)
    assert KEY not in told
    assert "\n" not in str(ended)
    assert (ended.__context__, ended.__cause__) == (None, None)


@pytest.mark.parametrize("fault", ["bad_request", "context"])
def test_what_a_model_refuses_that_answered_in_an_earlier_process_is_that_prompts_fault(
    openai_server: ModuleType, fault: str
) -> None:
    server = openai_server.Server(context=3) if fault == "context" else None
    with server or openai_server.Server(faults=openai_server.always(fault)) as refusing:
        asking = model(refusing.url)
        asking.answered_before()
        assert {failed(asking).kind for _ in range(4 if server else 1)} == {fault}


def test_a_model_whose_context_is_too_small_for_everything_ends_the_run(openai_server: ModuleType) -> None:
    with openai_server.Server(context=3) as server:
        asking = model(server.url)
        assert failed(asking).kind == "context"
        assert failed(asking).kind == "context"
        ended = broken(asking)
    assert "choose a model with a larger context" in str(ended)
    assert len(server.heard) == 3


def test_one_prompt_that_is_too_long_is_a_failure_of_its_own(openai_server: ModuleType) -> None:
    with openai_server.Server(context=12) as server:
        asking = model(server.url)
        asked(asking)
        for _ in range(4):
            with pytest.raises(ModelFailure, match="context"):
                asked(asking, "word " * 20)


def test_a_server_that_fails_every_call_ends_the_run(openai_server: ModuleType) -> None:
    with openai_server.Server(faults=openai_server.always("server")) as server:
        asking = model(server.url, attempts=1)
        assert [failed(asking).kind, failed(asking).kind] == ["server", "server"]
        ended = broken(asking)
    assert "answers nothing but errors: run again later (server: The server had an error)" in str(ended)


@pytest.mark.parametrize("url", [NOWHERE, "http://nobody.invalid/v1"])
def test_a_server_that_is_not_there_is_told_after_a_third_attempt(url: str) -> None:
    ended = broken(model(url, attempts=8))
    assert f"no connection to {url}: start the server, or correct api_base" in str(ended)
    assert ended.usage.failures == {"connection": 3}


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/v1", "http://[::1/v1", "ftp://x/v1", "nonsense"])
def test_what_fails_before_any_server_is_asked_is_no_lost_connection(url: str) -> None:
    ended = broken(model(url))
    assert f"litellm, which asks {url}, failed by itself: correct api_base or the model's settings" in str(
        ended
    )
    assert ended.usage.failures == {"internal": 3}


def test_replies_that_are_all_cut_end_the_run_at_the_tenth_with_the_setting(
    openai_server: ModuleType,
) -> None:
    with openai_server.Server(faults=openai_server.always("truncated")) as server:
        asking = model(server.url, max_tokens=200)
        assert [failed(asking).kind for _ in range(4)] == ["truncated"] * 4
        ended = broken(asking)
    assert "all of its first 10 replies were cut at their most tokens" in str(ended)
    assert "(the reply was cut: raise max_tokens from 200 to 400)" in str(ended)
    assert len(server.heard) == 10


def test_a_wait_that_is_longer_than_our_patience_is_not_begun(openai_server: ModuleType) -> None:
    with openai_server.Server(faults=openai_server.always("rate_limited", 86400.0)) as server:
        assert failed(model(server.url)).kind == "rate_limited"
    assert len(server.heard) == 1


def test_a_certificate_that_nobody_vouches_for_is_told_once(openai_server: ModuleType) -> None:
    with openai_server.Server(tls=True) as server:
        ended = broken(model(server.url))
    assert "is not trusted" in str(ended)
    assert ended.usage.failures == {"certificate": 1}
    assert server.heard == []


def test_a_name_without_a_provider_is_told() -> None:
    assert "a name is provider/model" in str(broken(model(None, "nonsense")))


def test_a_missing_key_is_named() -> None:
    settings = ModelSettings("anthropic/claude-sonnet-4-5")
    ended = broken(Model(settings, width=1, environ={}))
    assert "set ANTHROPIC_API_KEY" in str(ended)


def test_a_local_server_gets_no_key_but_the_one_that_is_meant_for_it(openai_server: ModuleType) -> None:
    environ = {"OUR_PROXY_KEY": "proxy-credential-1", "OPENAI_API_KEY": KEY}
    with openai_server.Server() as server:
        asked(Model(ModelSettings("openai/x", api_base=server.url), width=1, environ={}))
        settings = ModelSettings("openai/x", api_base=server.url, key_variable="OUR_PROXY_KEY")
        asked(Model(settings, width=1, environ=environ))
    told = [heard.headers["authorization"] for heard in server.heard]
    assert told == ["Bearer none", "Bearer proxy-credential-1"]


@pytest.mark.slow
def test_nothing_is_lost_where_much_goes_wrong(openai_server: ModuleType) -> None:
    shares = {"rate_limited": 0.3, "server": 0.1, "cut": 0.05, "slow": 0.05}
    plan = openai_server.by_chance(shares, first_only={"truncated": 0.05, "garbage": 0.05}, seconds=0.05)
    texts = [f"letter {number}" for number in range(40)]
    with openai_server.Server(echo, faults=plan) as server:
        asking = model(server.url, width=16, attempts=8)
        completions = asyncio.run(at_once(asking, texts))
    assert [each.text for each in completions] == [f"You say: {text}" for text in texts]
    billed = server.billed()
    assert (asking.usage.calls, asking.usage.prompt) == (billed.calls, billed.prompt)
    assert sum(asking.usage.failures.values()) == len(server.heard) - len(texts)
    statuses = Counter(heard.status for heard in server.heard)
    assert asking.usage.failures["rate_limited"] == statuses[429]
    assert asking.usage.failures["server"] == statuses[500]


PROGRAM = """
import asyncio, logging, os, sys, traceback
from runbookopt.agents.model import client as lm
before = 'litellm' in sys.modules
lm.begin_import()
logging.basicConfig(level=logging.DEBUG)

async def ask(url, name='openai/gpt-5-mini'):
    model = lm.Model(lm.ModelSettings(name, api_base=url, attempts=2), width=2, environ=os.environ)
    try:
        print((await model.complete([lm.Message('user', 'hi')])).text)
    except Exception as error:
        traceback.print_exception(error)
        print(repr(error), repr(model), vars(error))

async def async_completion(): ...
async def another(): ...

for url in sys.argv[1:]:
    asyncio.run(ask(url))
print('imported before', before, 'from the repository', os.environ.get('FROM_DOTENV'))
async_completion()
another()
"""


@pytest.fixture(scope="module")
def alone(
    openai_server: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> "subprocess.CompletedProcess[str]":
    """Give what a process of its own said of four servers, with every log switched on: it takes seconds."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / ".env").write_text("FROM_DOTENV=yes\nOPENAI_API_BASE=http://evil.example\n")
    switched_on = {"LITELLM_LOG": "DEBUG", "OPENAI_LOG": "debug", "LITELLM_DISABLE_REDACT_SECRETS": "true"}
    with (
        openai_server.Server() as good,
        openai_server.Server(faults=openai_server.always("unauthorized")) as bad,
        openai_server.Server(tls=True) as strange,
    ):
        ran = subprocess.run(
            [sys.executable, "-X", "dev", "-c", PROGRAM, good.url, bad.url, strange.url, NOWHERE],
            cwd=folder,
            env={**os.environ, **switched_on, "OPENAI_API_KEY": KEY},
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=True,
        )
    assert good.heard[0].headers["authorization"] == f"Bearer {KEY}"
    return ran


def test_no_log_has_the_key_whatever_is_switched_on(alone: "subprocess.CompletedProcess[str]") -> None:
    assert "hello" in alone.stdout
    assert "does not accept the key" in alone.stderr
    assert "imported before False from the repository None" in alone.stdout
    assert KEY not in alone.stdout + alone.stderr
    assert KEY[3:] not in alone.stdout + alone.stderr


def test_what_a_cancelled_call_leaves_behind_is_told_to_nobody(
    alone: "subprocess.CompletedProcess[str]",
) -> None:
    assert "async_completion" not in alone.stderr
    assert "'another' was never awaited" in alone.stderr


HALF_DONE = """
import sys
from runbookopt.agents.model import client as lm

lm.begin_import().join() if sys.argv[1] == 'after' else lm.begin_import()
print(lm.priced(lm.ModelSettings('openai/anything')))
"""


@pytest.mark.parametrize("asks", ["after", "meanwhile"])
def test_an_import_that_fails_in_the_background_leaves_no_halves(tmp_path: Path, asks: str) -> None:
    """A whole module of an import that failed holds on to the package that was never whole: it happened."""
    package = tmp_path / "litellm"
    package.mkdir()
    (package / "parts.py").write_text("import litellm\n\ndef listed():\n    return litellm.model_cost\n")
    (package / "__init__.py").write_text(
        "import threading, time\nfrom litellm import parts\ntime.sleep(0.2)\n"
        "if threading.current_thread() is not threading.main_thread():\n"
        "    raise RuntimeError('another thread was in the way')\n"
        "rates = {'input_cost_per_token': 1.0, 'output_cost_per_token': 1.0}\n"
        "model_cost = {'openai/anything': rates}\n"
        "def get_llm_provider(model):\n    assert parts.listed() is model_cost\n    return model, 'openai'\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", HALF_DONE, asks],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (ran.returncode, ran.stdout.splitlines(), ran.stderr) == (0, ["True"], "")
