"""A small search whose every ask depends on every earlier answer, and agents for it to run on."""

import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from msgspec import Struct

from runbookopt.agents.protocol import AgentFailure, Judged, Produced, Reflected
from runbookopt.documents.digest import digest_of
from runbookopt.documents.usage import Usage
from runbookopt.engine.calls import Caller, Verdicts
from runbookopt.evidence.trajectory import Task
from runbookopt.search.asks import Ask, Candidate, Component, Proposal, Reflection, Reply, Rollout
from runbookopt.verifier.judge import JudgeFailure, Judgement, Question
from runbookopt.verifier.rubric import Assessment, Verdict

TASKS = {digest_of(f"input {n}"): Task(digest_of(f"input {n}"), f"input {n}") for n in range(6)}


class Found(Struct, frozen=True):
    """The digest of all that the search was told, and why it ended."""

    path: str
    asks: int
    stopped: str | None


def search(waves: int = 4) -> Generator[Ask, Reply, Found]:
    path, asks = "", 0
    for _ in range(waves):
        for ask in (rolling(path), reflecting(path)):
            reply = yield ask
            if reply.stopped:
                return Found(path, asks, reply.stopped)
            path, asks = digest_of([path, reply]), asks + 1
    return Found(path, asks, None)


def rolling(path: str, candidates: int = 2) -> Ask:
    """Give an ask of twelve rollouts."""
    texts = [f"candidate {n} after {path}" for n in range(candidates)]
    return Ask(tuple(Rollout(Candidate(text), task) for text in texts for task in TASKS))


def reflecting(path: str) -> Ask:
    """Give an ask of two reflections and one rollout."""
    candidate = Candidate(f"parent {path}")
    part = (Component("body", None, candidate.text),)
    asks = tuple(Reflection(candidate, part, (), (), (), 1000 + number) for number in range(2))
    return Ask((Rollout(candidate, next(iter(TASKS))),), asks)


def assess(task: str, produced: Produced, _: Verdicts = ()) -> Assessment:
    output = produced.output
    score = int(digest_of([task, output])[-4:], 16) / 0xFFFF if output else 0.0
    verdict = Verdict("queue", "pass" if output else "fail", score, "" if output else "no output")
    return Assessment(score, {"accuracy": score}, (), 0, (verdict,))


class Agent:
    """Writes a byte a call to the file `calls`, and answers after `seconds`; the first `slow_after` at once.

    `how`: it waits "async", in a "thread" or "blocking" the event loop; one that is "random" never says the
    same thing twice.
    """

    name = "toy"
    key = "sha256:toy"
    deterministic = True

    def __init__(self, calls: Path, seconds: float = 0.0, how: str = "async", slow_after: int = 0) -> None:
        self._calls = calls
        self._seconds = seconds
        self._how = how
        self._slow_after = slow_after
        self.made = 0

    async def rollout(self, runbook: str, task_input: Any, repeat: str) -> Produced:  # noqa: ANN401
        self.made += 1
        with self._calls.open("ab") as file:
            file.write(b".")
        if self._seconds and self.made > self._slow_after:
            await self._sleep()
        chance = os.urandom(8).hex() if self._how == "random" else ""
        return Produced(digest_of([runbook, task_input, repeat, chance]))

    async def _sleep(self) -> None:
        import asyncio  # noqa: PLC0415 - slow libraries are imported where they are used

        if self._how == "blocking":
            time.sleep(self._seconds)  # noqa: ASYNC251 - what an agent should not do, and one will
        elif self._how == "thread":
            await asyncio.to_thread(time.sleep, self._seconds)
        else:
            await asyncio.sleep(self._seconds)


class FailingAgent(Agent):
    """Fails each first call for an input; the failure is the world's, and passes."""

    def __init__(self, calls: Path) -> None:
        super().__init__(calls)
        self._failed: set[str] = set()

    async def rollout(self, runbook: str, task_input: Any, repeat: str) -> Produced:  # noqa: ANN401
        produced = await super().rollout(runbook, task_input, repeat)
        if task_input not in self._failed:
            self._failed.add(task_input)
            raise AgentFailure("timeout", "no answer within 60 s")
        return produced


class Reflector:
    name = "toy"
    key = "sha256:toy"

    def __init__(self, calls: Path, seconds: float = 0.0) -> None:
        self._calls = calls
        self._seconds = seconds

    async def reflect(self, ask: Reflection) -> Reflected:
        import asyncio  # noqa: PLC0415 - slow libraries are imported where they are used

        with self._calls.open("ab") as file:
            file.write(b"r")
        await asyncio.sleep(self._seconds)
        return Reflected(Proposal("too short", "body", digest_of(ask)))


class Judge:
    """Writes a byte a call, and finds by each question what its digest says."""

    name = "toy"
    key = "sha256:toy"

    def __init__(self, calls: Path, seconds: float = 0.0) -> None:
        self._calls = calls
        self._seconds = seconds

    async def judge(self, question: Question) -> Judged:
        import asyncio  # noqa: PLC0415 - slow libraries are imported where they are used

        with self._calls.open("ab") as file:
            file.write(b"j")
        await asyncio.sleep(self._seconds)
        return Judged(Judgement("as its digest says", met=digest_of(question)[-1] in "01234567"), USED)


USED = Usage(calls=1, prompt=10, completion=2, usd=0.5)


def questions(task: str, output: str | None) -> tuple[Question, ...]:
    """Ask two things of each output."""
    asked = ("Is it polite?", "Is it true?") if output else ()
    return tuple(Question(text, text, TASKS[task].input, output or "") for text in asked)


def judged(_: str, __: Produced, verdicts: Verdicts) -> Assessment:
    """Count what is met; a question without a verdict is an error."""
    said = [answer for _question, answer in verdicts]
    met = sum(isinstance(each, Judgement) and each.met for each in said)
    errors = sum(isinstance(each, JudgeFailure) for each in said)
    told = tuple(Verdict("polite", "fail", 0.0, digest_of(each)) for each in said)
    return Assessment(met / max(1, len(said)), {"accuracy": 0.0}, (), errors, told)


def world(folder: Path, agent: Any = None, reflector: Any = None, judge: Any = None) -> Caller:  # noqa: ANN401
    """Give a world whose calls are counted in `folder`/calls."""
    calls = folder / "calls"
    agent, reflector = agent or Agent(calls), reflector or Reflector(calls)
    return Caller(agent, reflector, TASKS, judged if judge else assess, judge, questions)
