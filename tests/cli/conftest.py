"""A repository whose agent, reflector and judge are models behind one scripted server."""

import base64
import json
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.jobs.claims import TWICE
from runbookopt.landing.bundle import Bundle, read_bundle

if TYPE_CHECKING:
    from tests.conftest import Clone, Files, Ran

KEY = "Made-Up.4f1c9e07d2b85a63"
"""The key of all models: no pattern of a vendor knows it, so that it is found by its value or not at all."""

TALKATIVE = {"LITELLM_LOG": "DEBUG", "OPENAI_LOG": "debug", "RUNBOOKOPT_TRACEBACK": "1"}
PRICES = {"agent": (1.0, 0.5, 2.0), "reflector": (2.0, 2.0, 4.0), "judge": (3.0, 1.0, 9.0)}
"""Dollars for a million tokens of a prompt, of what of it is cached, and of a completion."""

HELD_OUT = 32
"""Tasks: a multiple of the four kinds, and enough to prove that three of four become better."""

RUBRIC = """judge:
  model: openai/judge
  api_base: URL
  price: {prompt: 3, cached: 1, completion: 9}
criteria:
  - id: right-desk
    check: {kind: equals, path: $.answer, reference: $.answer}
  - id: not-front
    judge: Does the output send the ticket to the "front" desk?
    pass_if: not_met
"""
SETTINGS = """defaults:
  agent:
    kind: chat
    model: openai/agent
    api_base: URL
    deterministic: true
    price: {prompt: 1, cached: 0.5, completion: 2}
  reflector: {kind: model, model: openai/reflector, api_base: URL, price: {prompt: 2, completion: 4}}
"""

_PRICED = {
    "agent": "    price: {prompt: 1, cached: 0.5, completion: 2}\n",
    "reflector": ", price: {prompt: 2, completion: 4}",
    "judge": "  price: {prompt: 3, cached: 1, completion: 9}\n",
}
"""Where the prices stand."""


def dollars(request: Any) -> float:  # noqa: ANN401 - of tests/openai_server.py
    """Give what a request that was answered cost."""
    prompt, cached, completion = PRICES[request.body["model"]]
    new = request.prompt - request.cached
    return float(new * prompt + request.cached * cached + request.completion * completion) / 1e6


class Modelled:
    """A clone of a repository with the runbook `desk`, and the server that its models are at."""

    def __init__(self, clone: "Clone", server: Any) -> None:  # noqa: ANN401 - of tests/openai_server.py
        self.clone = clone
        self.server = server

    def run(self, *flags: str, environ: Mapping[str, str] = {}, alone: bool = False) -> "Ran":
        """Run it.

        `alone` is in a process of its own, with all that could make libraries say more than they should: it
        takes seconds to import them.
        """
        told = {"OPENAI_API_KEY": KEY, **(TALKATIVE if alone else {}), **environ}
        run = self.clone.run if alone else self.clone.ask
        return run("optimize-runbook", "desk", *flags, environ=told)

    def places_of_the_key(self, *printed: str) -> list[str]:
        """Give where the key is, as it is or encoded: in what was printed, in a file, in an object of git."""
        texts = {f"printed {number}": text.encode() for number, text in enumerate(printed)}
        for root in (self.clone.root, self.clone.origin):
            texts |= {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}
            told = ["git", "-C", str(root), "cat-file", "--batch", "--batch-all-objects"]
            texts[f"objects of {root}"] = subprocess.run(told, check=True, capture_output=True).stdout
        core = KEY.partition(".")[2].encode()
        forms = (core, core.hex().encode(), base64.b64encode(KEY.encode())[:-4], core[::-1])
        return [place for place, text in texts.items() if any(form in text for form in forms)]

    def found(self, *flags: str, environ: Mapping[str, str] = {}, alone: bool = False) -> dict[str, Any]:
        """Run it with `--json`, and give what came of it."""
        ran = self.run("--json", *flags, environ=environ, alone=alone)
        assert (ran.returncode, ran.stderr) == (0, ""), ran
        told: dict[str, Any] = json.loads(ran.stdout)
        return told

    def bundle(self, found: Mapping[str, Any]) -> Bundle:
        path = self.clone.root / found["bundle"]
        return read_bundle(path.read_bytes(), str(path))

    def body(self, number: int = 1) -> str:
        """Give the body of a pull request, as origin holds it."""
        with Repository.open(self.clone.root) as repository:
            return LocalForge(repository).get(number).body

    def heard(self, role: str) -> list[Any]:
        """Give the requests that the model of a role got."""
        return [each for each in self.server.heard if each.body["model"] == role]

    def billed(self, role: str) -> dict[str, float]:
        """Give what the server counted for a role, in tokens and dollars."""
        paid = [each for each in self.heard(role) if each.status == 200]
        return {
            "calls": len(paid),
            "prompt": sum(each.prompt for each in paid),
            "cached": sum(each.cached for each in paid),
            "completion": sum(each.completion for each in paid),
            "usd": sum(map(dollars, paid)),
        }

    def asked_again(self) -> int:
        """Give how many requests were made before, but for those that try a deterministic agent."""
        return sum(count - 1 for count in Counter(each.digest for each in self.server.heard).values()) - TWICE

    def paid_twice(self) -> int:
        """Give how many requests were paid again, but for those that try a deterministic agent."""
        paid = Counter(each.digest for each in self.server.heard if each.status == 200)
        return paid.total() - len(paid) - TWICE

    def journaled(self) -> int:
        """Give how many answers the journal holds."""
        place = self.clone.root / ".runbookopt/journal.sqlite3"
        with closing(sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True)) as journal:
            (count,) = journal.execute("SELECT count(*) FROM answers").fetchone()
        return int(count)


class Done(NamedTuple):
    """A run with models, and what came of it; only to be looked at."""

    modelled: Modelled
    found: dict[str, Any]


Clones = Callable[["Files"], "Clone"]
Modelling = Callable[..., Modelled]


@pytest.fixture(scope="session")
def modelling(
    clones: Callable[["Files"], "Clone"],
    planted: ModuleType,
    model_pair: ModuleType,
    openai_server: ModuleType,
) -> Iterator[Modelling]:
    """Give a maker of such repositories: `modelling(settings=..., rubric=..., more files by path)`.

    `pair` is what answers, `unpriced` the role whose price nobody states; further words go to the server.
    """
    with ExitStack() as stack:

        def make(
            *,
            pair: Any = None,  # noqa: ANN401 - of tests/model_pair.py
            settings: str = SETTINGS,
            rubric: str = RUBRIC,
            unpriced: str | None = None,
            files: "Files" = {},  # noqa: B006 - never changed
            **words: Any,  # noqa: ANN401
        ) -> Modelled:
            answer = (pair or model_pair.Pair()).answer
            server = stack.enter_context(openai_server.Server(answer, **words))
            if unpriced is not None:
                settings, rubric = (text.replace(_PRICED[unpriced], "") for text in (settings, rubric))
            tasks = planted.lines(planted.trajectories(HELD_OUT))
            told = planted.files(rubric=rubric.replace("URL", server.url), trajectories=tasks)
            told["runbookopt.yaml"] = settings.replace("URL", server.url)
            return Modelled(clones({**told, **files}), server)

        yield make


@pytest.fixture(scope="session")
def faultless(modelling: Modelling) -> Done:
    """Give a run without faults."""
    modelled = modelling()
    return Done(modelled, modelled.found())
