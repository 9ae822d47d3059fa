"""Calls that answer the asks of a search: their keys, and their answers as the journal keeps them."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from runbookopt.agents.protocol import Agent, AgentFailure, AsksModel, Judge, Judged, Produced, Reflector
from runbookopt.documents.digest import canonical, digest, digest_of
from runbookopt.documents.finding import Finding
from runbookopt.engine.journal import Answer, Journal, Kind
from runbookopt.evidence.trajectory import Left, Task
from runbookopt.search.asks import AGAIN, Attempt, NoAnswer, Proposal, Reflection, ReflectionFailure, Rollout
from runbookopt.verifier.judge import JudgeFailure, Judgement, Question, findings, questions
from runbookopt.verifier.rubric import Assessment, Rubric, assess

Verdicts = Sequence[tuple[Question, Judgement | JudgeFailure]]

_KINDS: dict[type, Kind] = {Rollout: "rollout", Reflection: "reflection", Question: "judgement"}


def attempt_of(
    trajectory: str,
    output: str | None,
    assessed: Assessment,
    verdicts: dict[str, Finding],
    left: Left | None = None,
) -> Attempt:
    """The attempt that put `output` out; what only a proof needs, `verdicts` and `left`, it need not hold."""
    return Attempt(
        trajectory=trajectory,
        output=output,
        score=assessed.score,
        objectives=assessed.objectives,
        feedback=assessed.feedback,
        advice=assessed.advice,
        gates_failed=assessed.gates_failed,
        errors=assessed.errors,
        verdicts=verdicts,
        left=left,
    )


def recall(journal: Journal, agent: Agent, reflector: Reflector, judge: Judge | None) -> None:
    """Tell those whose models have answered before that they have, as the journal knows."""
    players: list[tuple[Kind, object, str]] = [
        ("rollout", agent, agent.key),
        ("reflection", reflector, reflector.key),
    ]
    if judge:
        players.append(("judgement", judge, judge.key))
    for kind, player, key in players:
        if isinstance(player, AsksModel) and journal.calls(kind, key).tokens:
            player.answered_before()


class Call(Struct, frozen=True):
    """One call to an agent, a reflector or a judge; `shown` is the JSON of what a reflector gets to see."""

    key: str
    ask: Rollout | Reflection | Question
    shown: bytes = b""

    @property
    def kind(self) -> Kind:
        """One of the three that are called for."""
        return _KINDS[type(self.ask)]

    @property
    def cost(self) -> int:
        """Rollouts that it costs the budget."""
        return int(isinstance(self.ask, Rollout))


class Caller(Struct, frozen=True, dict=True):
    """Agent on `tasks` (by id), reflector and judge: the calls to them, and their answers.

    `questions(task id, output)` are those that the judge has to answer before `assess(task id, produced,
    verdicts)` can say what an attempt is worth; without a judge none of them is asked. `taken` is what of an
    answer counts: one that is too large counts as none. `reflects` says that the reflector will be asked.
    """

    agent: Agent
    reflector: Reflector
    tasks: Mapping[str, Task]
    assess: Callable[[str, Produced, Verdicts], Assessment]
    judge: Judge | None = None
    questions: Callable[[str, str | None], tuple[Question, ...]] = lambda *_: ()
    taken: Callable[[Produced], Produced] = lambda made: made
    reflects: bool = False

    def made(self, answer: Answer) -> Produced:
        """What an attempt produced, as far as it is taken for an answer."""
        return self.taken(produced(answer))

    def rollout(self, rollout: Rollout) -> Call:
        """Call for a rollout.

        Its key begins with the candidate's: so the answers for one candidate are neighbours in the journal.
        """
        key = digest_of(["rollout", rollout.candidate.digest, rollout.task, self.agent.key, rollout.repeat])
        return Call(f"{rollout.candidate.digest[7:15]}/{key}", rollout)

    def reflection(self, reflection: Reflection) -> Call:
        """Call for a reflection."""
        shown = canonical(reflection)
        return Call(digest_of(["reflection", digest(shown), self.reflector.key]), reflection, shown)

    def judgements(self, task: str, produced: Produced) -> list[Call]:
        """Calls to the judge by which what an attempt at a task produced is assessed."""
        if self.judge is None:
            return []
        return [Call(each.key(self.judge.key), each) for each in self.questions(task, produced.output)]

    async def answer(self, call: Call) -> Answer:
        """Make a call, and give its answer; it took as long as all attempts at it, waits included.

        How long somebody took who answers by hand-off is not known. Raises Awaited where they have not yet;
        ModelBroken, also where the key of another model is missing that will be asked later on.
        """
        for party in self._asking_models:
            party.must_have_key()
        began, replier = time.monotonic(), None
        match call.ask:
            case Rollout():
                by, (body, failed, made) = self.agent.key, await self._roll(call.ask)
                usage, replier = made.usage, made.replier
            case Reflection():
                by, reflected = self.reflector.key, await self.reflector.reflect(call.ask)
                body, usage, replier = reflected.said, reflected.usage, reflected.replier
                failed = isinstance(body, ReflectionFailure)
            case Question() if self.judge is not None:
                by, judged = self.judge.key, await _judgement(self.judge, call.ask)
                body, usage, failed = judged.said, judged.usage, isinstance(judged.said, JudgeFailure)
            case Question():
                raise ValueError("a question, and no judge")
        answer = Answer(call.key, call.kind, canonical(body), call.cost, failed, usage)
        if replier is not None:
            return replace(answer, replier=replier)
        return replace(answer, by=by, seconds=time.monotonic() - began)

    @cached_property
    def _asking_models(self) -> tuple[AsksModel, ...]:
        """Those that will ask a model: to see it of a protocol takes as long as a small answer."""
        asked: list[object] = [self.agent, self.judge, self.reflector if self.reflects else None]
        return tuple(party for party in asked if isinstance(party, AsksModel))

    async def _roll(self, rollout: Rollout) -> tuple[object, bool, Produced]:
        """What came of an attempt as the journal keeps it, whether it failed, and what was told besides."""
        task_input = self.tasks[rollout.task].input
        try:
            told = rollout.repeat.partition(AGAIN)[0]
            produced = await self.agent.rollout(rollout.candidate.text, task_input, told)
        except AgentFailure as failure:
            return NoAnswer(failure.kind, failure.message), True, Produced(None, usage=failure.usage)
        if produced.usage is None and produced.replier is None:
            return produced, False, produced
        return replace(produced, usage=None, replier=None), False, produced


def caller_of(
    rubric: Rubric,
    tasks: Sequence[Task],
    agent: Agent,
    reflector: Reflector,
    judge: Judge | None,
    taken: Callable[[Produced], Produced] = lambda made: made,
) -> Caller:
    """Caller for whom attempts at these tasks are worth what the rubric says, of what is `taken` of them."""
    by_id = {task.id: task for task in tasks}

    def assessed(task: str, made: Produced, verdicts: Verdicts) -> Assessment:
        reference, judged = by_id[task].reference, findings(rubric, verdicts)
        return assess(rubric, output=made.output, reference=reference, left=made.left, verdicts=judged)

    def questioned(task: str, output: str | None) -> tuple[Question, ...]:
        return questions(rubric, by_id[task], output)

    return Caller(agent, reflector, by_id, assessed, judge, questioned, taken)


async def _judgement(judge: Judge, question: Question) -> Judged:
    first = await judge.judge(question)
    if not isinstance(first.said, JudgeFailure):
        return first
    again = await judge.judge(question)
    both = None if first.usage is None or again.usage is None else first.usage + again.usage
    return Judged(again.said, both)


def produced(answer: Answer) -> Produced:
    """What an answer to a rollout says was produced: nothing, where the agent failed."""
    return Produced(None) if answer.failed else msgspec.json.decode(answer.body, type=Produced)


def unanswered(answer: Answer) -> NoAnswer | None:
    """Why there is no answer to a call, where that is nobody's fail, as it is of each failed rollout."""
    if not answer.failed:
        return None
    if answer.kind == "rollout":
        return msgspec.json.decode(answer.body, type=NoAnswer)
    failure = reflected(answer) if answer.kind == "reflection" else judged(answer)
    if isinstance(failure, ReflectionFailure | JudgeFailure) and failure.unanswered:
        return NoAnswer(failure.kind, failure.message)
    return None


def reflected(answer: Answer) -> Proposal | ReflectionFailure:
    """Proposal or failure in an answer to a reflection."""
    if answer.failed:
        return msgspec.json.decode(answer.body, type=ReflectionFailure)
    return msgspec.json.decode(answer.body, type=Proposal)


def judged(answer: Answer) -> Judgement | JudgeFailure:
    """Verdict or failure in an answer to a question."""
    if answer.failed:
        return msgspec.json.decode(answer.body, type=JudgeFailure)
    return msgspec.json.decode(answer.body, type=Judgement)
