"""Asking outside a search: texts that a reflector writes, a judge's verdicts, each kept before its use."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from runbookopt.agents.protocol import Awaited, Judge, OpenAsk, Writes
from runbookopt.documents.digest import canonical, digest_of
from runbookopt.documents.usage import Message, Usage
from runbookopt.engine.calls import Call, Caller, judged, recall
from runbookopt.engine.event_loop import EventLoop
from runbookopt.engine.journal import Answer, Run
from runbookopt.engine.workers import WorkerPool
from runbookopt.errors import Awaiting, RunbookoptError
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.journals import open_journal
from runbookopt.jobs.prepare import Job
from runbookopt.search.asks import ReflectionFailure
from runbookopt.verifier.judge import JudgeFailure, Judgement, Question
from runbookopt.verifier.rubric import Assessment

T = TypeVar("T", bound=Struct)

_AT_ONCE = 4  # times the width: so many verdicts are begun before the dollars are counted again


class Request(Struct, Generic[T], frozen=True):
    """A request for a text: its messages, how a reply is read, and what is said where it cannot be."""

    messages: tuple[Message, ...]
    read: Callable[[str], T | ReflectionFailure]
    repair: Callable[[str, ReflectionFailure], Sequence[Message]]
    type: type[T]


def written(
    repository: Repository, job: Job, requests: Sequence[Request[T]]
) -> tuple[list[T | ReflectionFailure], Usage]:
    """What the reflector writes on each request, and what that used.

    A request that was answered before is not made again. Raises Awaiting where replies are awaited by
    hand-off, RunbookoptError where the reflector writes nothing (the offline one), ModelBroken.
    """
    reflector = job.reflector
    if not isinstance(reflector, Writes):
        raise RunbookoptError(
            f"{job.name}: the {reflector.name} reflector writes no text: set reflector.kind to model or to"
            " handoff"
        )
    asked = {digest_of(["writing", each.messages, reflector.key]): each for each in requests}
    with open_journal(repository) as journal:
        run = _run(journal.run, job, [*asked])
        recall(journal, job.agent, reflector, None)
        answers = run.answers([*asked])
        awaited: list[OpenAsk] = []
        with EventLoop() as loop:
            loop.run(_write(reflector, run, asked, answers, awaited))
        if awaited:
            _await(job, tuple(awaited))
        if job.handoff is not None:
            job.handoff.close()
        run.finish()
    return [_decoded(answers[key], each.type) for key, each in asked.items()], sum(_usages(answers), Usage())


async def _write(
    reflector: Writes,
    run: Run,
    asked: Mapping[str, Request[T]],
    answers: dict[str, Answer],
    awaited: list[OpenAsk],
) -> None:
    """Make the requests that have no answer yet, one after the other: there are as many as modes."""
    for key, request in asked.items():
        if key in answers:
            continue
        try:
            told = await reflector.write(request.messages, request.read, request.repair)
        except Awaited as error:
            awaited.append(error.ask)
            continue
        failed = isinstance(told.said, ReflectionFailure)
        answer = Answer(key, "reflection", canonical(told.said), 0, failed, told.usage, replier=told.replier)
        answers.update(run.keep(0, [answer]))


def _run(begin: Callable[[str, Mapping[str, object]], Run], job: Job, keys: Sequence[str]) -> Run:
    terms = {"writing": 1, "runbook": job.name, "keys": keys}
    return begin(digest_of(terms).removeprefix("sha256:")[:12], terms)


def _decoded(answer: Answer, type_: type[T]) -> T | ReflectionFailure:
    if answer.failed:
        return msgspec.json.decode(answer.body, type=ReflectionFailure)
    return msgspec.json.decode(answer.body, type=type_)


def _await(job: Job, asks: tuple[OpenAsk, ...]) -> None:
    awaiting = Awaiting(f"replies to {len(asks)} asks are awaited")
    awaiting.asks = asks
    if job.handoff is not None:
        awaiting.read = job.handoff.read
        awaiting.notes = job.handoff.close(but=asks)
    raise awaiting


def verdicts(
    repository: Repository, job: Job, judge: Judge, questions: Sequence[Question]
) -> tuple[list[tuple[Question, Judgement | JudgeFailure]], Usage]:
    """What a judge answers to each question, and what all of that used; what is known is not asked again.

    Raises ModelBroken, and RunbookoptError where that comes to more dollars than the budget has.
    """
    calls = [Call(each.key(judge.key), each) for each in questions]
    caller = Caller(job.agent, job.reflector, {}, _no_attempts, judge)
    with open_journal(repository) as journal:
        run = _run(journal.run, job, [call.key for call in calls])
        recall(journal, job.agent, job.reflector, judge)
        answers = run.answers([call.key for call in calls])
        missing = [*{call.key: call for call in calls if call.key not in answers}.values()]
        size = _AT_ONCE * job.settings.width
        with EventLoop() as loop:
            for first in range(0, len(missing), size):
                _must_afford(job, answers)
                pool = WorkerPool(
                    caller.answer,
                    lambda fresh: answers.update(run.keep(0, fresh)),
                    follow=None,
                    is_late=lambda: False,
                    width=job.settings.width,
                )
                loop.run(pool.make(missing[first : first + size]))
        run.finish()
    used = sum(_usages(answers), Usage())
    return [(each, judged(answers[each.key(judge.key)])) for each in questions], used


def _no_attempts(*_: object) -> Assessment:
    raise ValueError("nothing is rolled out here")


def _usages(answers: Mapping[str, Answer]) -> Iterator[Usage]:
    return (answer.usage for answer in answers.values() if answer.usage is not None)


def _must_afford(job: Job, answers: Mapping[str, Answer]) -> None:
    limit, used = job.settings.budget.usd, sum(_usages(answers), Usage()).usd
    if limit is not None and used is not None and used > limit:
        raise RunbookoptError(
            f"{job.name}: the judge's verdicts came to {used:.2f} dollars, and budget.usd is {limit:g}: raise"
            " it; what was answered is kept"
        )
