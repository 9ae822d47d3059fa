"""Our search, driven in this process: answers at once, and a step for each text that it would return."""

from collections.abc import Callable, Generator, Mapping, Sequence

from benchmarks.course import Course, Step
from benchmarks.work import Counted, Work
from runbookopt.search.asks import Ask, Attempt, Reply
from runbookopt.search.loop import Found, search
from runbookopt.search.problem import Options, Problem


def problem_of(work: Work, options: Options, free: Mapping[str, Attempt]) -> Problem:
    """Put a work as a search's problem."""
    return Problem(
        seed=work.seed,
        train={case.id: case.input for case in work.train},
        validation=tuple(case.id for case in work.validation),
        free=free,
        options=options,
    )


def run(work: Work, options: Options, budget: int, *, free: bool) -> Course:
    """Search within a budget of rollouts; with `free` the seed's verdicts on all cases are stored."""
    counted = Counted(work)
    cases = work.cases
    stored = {case: counted.attempt(work.seed.text, cases[case]) for case in cases} if free else {}
    problem = problem_of(work, options, stored)
    replies: list[tuple[int, int, Reply]] = []

    def answer(ask: Ask) -> Reply:
        if counted.rollouts + len(ask.rollouts) > budget:
            return Reply(stopped="budget")
        rolled = tuple(
            counted.rollout(rollout.candidate.text, cases[rollout.task], rollout.repeat)
            for rollout in ask.rollouts
        )
        reply = Reply(rolled, tuple(counted.reflect(wanted) for wanted in ask.reflections))
        replies.append((counted.rollouts, counted.reflections, reply))
        return reply

    found = _driven(search(problem), answer)
    steps = [Step(0, 0, work.seed.text, 0.0)]
    for known in range(1, len(replies) + 1):
        rollouts, reflections, reply = replies[known - 1]
        if reply.rollouts:
            text, score = _returned(_replayed(problem, replies[:known]))
            if text != steps[-1].text or score != steps[-1].score:
                steps.append(Step(rollouts, reflections, text, score))
    details = {
        "pool": len(found.pool),
        "waves": found.pool[-1].wave if found.pool else 0,
        "ended": found.ended,
    }
    return Course(tuple(steps), counted.rollouts, counted.reflections, details)


def _returned(found: Found) -> tuple[str, float]:
    if not found.pool:
        return "", 0.0
    member = found.pool[found.chosen]
    return member.candidate.text, found.expected


def _replayed(problem: Problem, replies: Sequence[tuple[int, int, Reply]]) -> Found:
    known = iter(reply for _, _, reply in replies)
    return _driven(search(problem), lambda _: next(known, Reply(stopped="here")))


def _driven(asking: Generator[Ask, Reply, Found], answer: Callable[[Ask], Reply]) -> Found:
    try:
        ask = next(asking)
        while True:
            ask = asking.send(answer(ask))
    except StopIteration as done:
        found: Found = done.value
        return found
