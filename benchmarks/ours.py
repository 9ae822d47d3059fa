"""Our search, driven in this process: answers at once, and a step for each text that it would return."""

from collections.abc import Callable, Generator, Mapping, Sequence

from benchmarks.course import Course, Step
from benchmarks.work import Counted, Work
from runbookopt.search.asks import Ask, Attempt, Reply
from runbookopt.search.choice import choose
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


def run(work: Work, options: Options, budget: int, *, free: bool, quick: bool = False) -> Course:
    """Search within a budget of rollouts; with `free` the seed's verdicts on all cases are stored.

    What would have been returned is found by replaying the search up to there; with `quick`, in a fraction of
    the time, by the search's own rule of choice on the pool as it was. The detail `made` is how many
    reflections had been made after how many rollouts.
    """
    counted = Counted(work)
    cases = work.cases
    stored = {case: counted.attempt(work.seed.text, cases[case]) for case in cases} if free else {}
    problem = problem_of(work, options, stored)
    replies: list[tuple[int, int, Reply]] = []
    asks: list[Ask] = []

    def answer(ask: Ask) -> Reply:
        if counted.rollouts + len(ask.rollouts) > budget:
            return Reply(stopped="budget")
        rolled = tuple(
            counted.rollout(rollout.candidate.text, cases[rollout.task], rollout.repeat)
            for rollout in ask.rollouts
        )
        reply = Reply(rolled, tuple(counted.reflect(wanted) for wanted in ask.reflections))
        replies.append((counted.rollouts, counted.reflections, reply))
        asks.append(ask)
        return reply

    found = _driven(search(problem), answer)
    chosen = _chosen(problem, found, asks) if quick else ()
    steps = [Step(0, 0, *(chosen[0] if quick else (work.seed.text, 0.0)))]
    for known in range(1, len(replies) + 1):
        rollouts, reflections, reply = replies[known - 1]
        if reply.rollouts:
            text, score = chosen[known] if quick else _returned(_replayed(problem, replies[:known]))
            if text != steps[-1].text or score != steps[-1].score:
                steps.append(Step(rollouts, reflections, text, score))
    details = {
        "pool": len(found.pool),
        "waves": found.pool[-1].wave if found.pool else 0,
        "ended": found.ended,
        "made": tuple((rollouts, reflections) for rollouts, reflections, _ in replies),
    }
    return Course(tuple(steps), counted.rollouts, counted.reflections, details)


def _returned(found: Found) -> tuple[str, float]:
    if not found.pool:
        return "", 0.0
    member = found.pool[found.chosen]
    return member.candidate.text, found.expected


def _chosen(problem: Problem, found: Found, asks: Sequence[Ask]) -> tuple[tuple[str, float], ...]:
    """Give what would have been returned before the first ask was answered, after the first, and so on.

    Raises RuntimeError where the search does not return what `choose` chooses.
    """
    options, validation = problem.options, set(problem.validation)
    scored = {problem.seed.text: 0} if validation <= problem.free.keys() else {}
    for number, ask in enumerate(asks, 1):
        scored |= {rollout.candidate.text: number for rollout in ask.rollouts if rollout.task in validation}
    chosen: list[tuple[str, float]] = []
    known = 0
    returned = (problem.seed.text, 0.0)
    for number in range(len(asks) + 1):
        before = known
        while known < len(found.pool) and scored[found.pool[known].candidate.text] <= number:
            known += 1
        if known > before:
            pool = found.pool[:known]
            choice = choose(pool, closeness=options.closeness, doubt=options.doubt)
            returned = pool[choice.number].candidate.text, choice.expected
        chosen.append(returned)
    if found.pool and returned != _returned(found):
        raise RuntimeError("the search returns something else than choice.choose does: run without quick")
    return tuple(chosen)


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
