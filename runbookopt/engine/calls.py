"""Who answers what a search asks, and one call to them: its key, and the answer as the journal keeps it."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from runbookopt.agents.protocol import Agent, AgentFailure, Judge, Produced, Reflector
from runbookopt.documents.digest import canonical, digest, digest_of
from runbookopt.engine.journal import Answer
from runbookopt.evidence.trajectory import Task
from runbookopt.search.asks import Proposal, Reflection, ReflectionFailure, Rollout
from runbookopt.verifier.judge import JudgeFailure, Judgement, Question, findings, questions
from runbookopt.verifier.rubric import Assessment, Rubric, assess

Verdicts = Sequence[tuple[Question, Judgement | JudgeFailure]]


class Call(Struct, frozen=True):
    """One call to the world; `shown` is the JSON of what a reflector gets to see."""

    key: str
    ask: Rollout | Reflection | Question
    shown: bytes = b""

    @property
    def kind(self) -> Literal["rollout", "reflection", "judgement"]:
        """Who is called."""
        match self.ask:
            case Rollout():
                return "rollout"
            case Reflection():
                return "reflection"
            case Question():
                return "judgement"

    @property
    def cost(self) -> int:
        """What it costs the budget of rollouts."""
        return int(isinstance(self.ask, Rollout))


def _nothing(_: str, __: str | None) -> tuple[Question, ...]:
    return ()


class Caller(Struct, frozen=True):
    """Who answers: an agent on `tasks` (by id), a reflector, and a judge.

    `questions(task id, output)` are those that the judge has to answer before `assess(task id, produced,
    verdicts)` can say what an attempt is worth; without a judge none of them is asked.
    """

    agent: Agent
    reflector: Reflector
    tasks: Mapping[str, Task]
    assess: Callable[[str, Produced, Verdicts], Assessment]
    judge: Judge | None = None
    questions: Callable[[str, str | None], tuple[Question, ...]] = _nothing

    def rollout(self, wanted: Rollout) -> Call:
        """Give the call for a rollout.

        Its key begins with the candidate's: so the answers for one candidate are neighbours in the journal.
        """
        key = digest_of(["rollout", wanted.candidate.digest, wanted.task, self.agent.key, wanted.repeat])
        return Call(f"{wanted.candidate.digest[7:15]}/{key}", wanted)

    def reflection(self, wanted: Reflection) -> Call:
        """Give the call for a reflection."""
        shown = canonical(wanted)
        return Call(digest_of(["reflection", digest(shown), self.reflector.key]), wanted, shown)

    def asked(self, task: str, produced: Produced) -> list[tuple[str, Question]]:
        """Give what the judge is asked of what an attempt at a task produced, each with its key."""
        if self.judge is None:
            return []
        return [(each.key(self.judge.key), each) for each in self.questions(task, produced.output)]

    async def answer(self, call: Call) -> Answer:
        """Make a call, and give its answer; it took as long as all attempts at it, waits included."""
        match call.ask:
            case Rollout():
                return await self._roll(call, call.ask)
            case Reflection():
                return await _reflection(self.reflector, call, call.ask)
            case Question() if self.judge is not None:
                return await _judgement(self.judge, call, call.ask)
            case Question():
                raise ValueError("a question, and no judge")

    async def _roll(self, call: Call, rollout: Rollout) -> Answer:
        task_input, by, began = self.tasks[rollout.task].input, self.agent.key, time.monotonic()
        try:
            produced = await self.agent.rollout(rollout.candidate.text, task_input, rollout.repeat)
        except AgentFailure as failure:
            why = {"kind": failure.kind, "message": failure.message}
            took = time.monotonic() - began
            return Answer(call.key, "rollout", canonical(why), 1, True, failure.usage, by, took)
        took = time.monotonic() - began
        usage = produced.usage
        body = produced if usage is None else replace(produced, usage=None)
        return Answer(call.key, "rollout", canonical(body), 1, False, usage, by, took)


def caller_of(
    rubric: Rubric, tasks: Sequence[Task], agent: Agent, reflector: Reflector, judge: Judge | None
) -> Caller:
    """Give the world in which attempts at these tasks are worth what the rubric says."""
    by_id = {task.id: task for task in tasks}

    def assessed(task: str, made: Produced, verdicts: Verdicts) -> Assessment:
        found = findings(rubric, verdicts)
        reference = by_id[task].reference
        return assess(rubric, output=made.output, reference=reference, left=made.left, verdicts=found)

    def wanted(task: str, output: str | None) -> tuple[Question, ...]:
        return questions(rubric, by_id[task], output)

    return Caller(agent, reflector, by_id, assessed, judge, wanted)


async def _reflection(reflector: Reflector, call: Call, wanted: Reflection) -> Answer:
    began = time.monotonic()
    told = await reflector.reflect(wanted)
    took, failed = time.monotonic() - began, isinstance(told.said, ReflectionFailure)
    return Answer(call.key, "reflection", canonical(told.said), 0, failed, told.usage, reflector.key, took)


async def _judgement(judge: Judge, call: Call, question: Question) -> Answer:
    """Ask a judge, and once more where it gives no verdict."""
    began = time.monotonic()
    told = await judge.judge(question)
    if isinstance(told.said, JudgeFailure):
        first, told = told.usage, await judge.judge(question)
        both = None if first is None or told.usage is None else first + told.usage
        told = replace(told, usage=both)
    took, failed = time.monotonic() - began, isinstance(told.said, JudgeFailure)
    return Answer(call.key, "judgement", canonical(told.said), 0, failed, told.usage, judge.key, took)


def produced(answer: Answer) -> Produced:
    """Give what an answer to a rollout says was produced: nothing, where the agent failed."""
    return Produced(None) if answer.failed else msgspec.json.decode(answer.body, type=Produced)


def reflected(answer: Answer) -> Proposal | ReflectionFailure:
    """Give what an answer to a reflection says."""
    if answer.failed:
        return msgspec.json.decode(answer.body, type=ReflectionFailure)
    return msgspec.json.decode(answer.body, type=Proposal)


def judged(answer: Answer) -> Judgement | JudgeFailure:
    """Give what an answer to a question says."""
    if answer.failed:
        return msgspec.json.decode(answer.body, type=JudgeFailure)
    return msgspec.json.decode(answer.body, type=Judgement)
