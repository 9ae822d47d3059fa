"""Our search, driven in this process: answers at once, and a step for each text that it would return."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

from benchmarks.course import Course, Step
from benchmarks.work import Counted, Work
from runbookopt.search.asks import Ask, Attempt, Reply, Stored
from runbookopt.search.loop import SearchResult, search
from runbookopt.search.problem import Options, Problem
from runbookopt.search.selection import choose


def problem_of(
    work: Work, options: Options, free: Mapping[str, Attempt], evidence: Mapping[str, Stored] = {}
) -> Problem:
    """Put a work as a search's problem."""
    return Problem(
        seed=work.seed,
        train={case.id: case.input for case in work.train},
        validation=tuple(case.id for case in work.validation),
        free=free,
        evidence=evidence,
        options=options,
        agent=work.in_words,
    )


def at_once(ask: Ask, rollouts: int) -> None:
    """Let what is asked be answered one by one."""


def run(
    work: Work,
    options: Options,
    budget: int,
    *,
    free: bool,
    evidence: Mapping[str, Stored] = {},
    before: Callable[[Ask, int], None] = at_once,
) -> Course:
    """Search within a budget of rollouts; with `free` the seed's verdicts on all cases are stored.

    `evidence` are stored outputs of others; `before` hears each ask and the rollouts so far.
    The detail `made` is how many reflections had been made after how many rollouts, `proposed` all lines that
    they brought in.
    """
    counted = Counted(work)
    cases = work.cases
    stored = {case: counted.attempt(work.seed.text, cases[case]) for case in cases} if free else {}
    problem = problem_of(work, options, stored, evidence)
    asks: list[Ask] = []
    made: list[tuple[int, int]] = []

    def answer(ask: Ask) -> Reply:
        if counted.rollouts + len(ask.rollouts) > budget:
            return Reply(stopped="budget")
        before(ask, counted.rollouts)
        rolled = tuple(
            counted.rollout(rollout.candidate.text, cases[rollout.task], rollout.repeat)
            for rollout in ask.rollouts
        )
        reply = Reply(rolled, tuple(counted.reflect(wanted) for wanted in ask.reflections))
        asks.append(ask)
        made.append((counted.rollouts, counted.reflections))
        return reply

    found = driven(search(problem), answer)
    details = {"pool": len(found.pool), "ended": found.ended, "made": tuple(made)}
    details["proposed"] = tuple(counted.proposed)
    steps = tuple(_steps(problem, found, asks, made))
    return Course(steps, counted.rollouts, counted.reflections, details)


def _steps(
    problem: Problem, found: SearchResult, asks: Sequence[Ask], made: Sequence[tuple[int, int]]
) -> Iterator[Step]:
    """Tell what would have been returned from each ask on that completed a member of the pool.

    That is what `choose` chooses of the pool as it was; raises RuntimeError where the search itself returned
    something else at its end.
    """
    text, score = problem.seed.text, 0.0
    yield Step(0, 0, text, score)
    completed = _completed(problem, asks)
    for size, member in enumerate(found.pool, 1):
        pool, number = found.pool[:size], completed[member.candidate.text]
        choice = choose(pool, doubt=problem.options.doubt)
        text, score = pool[choice.number].candidate.text, choice.expected
        rollouts, reflections = made[number] if number >= 0 else (0, 0)
        yield Step(rollouts, reflections, text, score)
    if found.pool and (text, score) != (found.pool[found.chosen].candidate.text, found.expected):
        raise RuntimeError("the search returned something else than choice.choose chooses")


def _completed(problem: Problem, asks: Sequence[Ask]) -> dict[str, int]:
    """Give for each text the number of the last ask that scored it on validation, -1 where it was known."""
    validation = set(problem.validation)
    found = {problem.seed.text: -1}
    for number, ask in enumerate(asks):
        found |= {rollout.candidate.text: number for rollout in ask.rollouts if rollout.task in validation}
    return found


def driven(asking: Generator[Ask, Reply, SearchResult], answer: Callable[[Ask], Reply]) -> SearchResult:
    """Answer each ask of a search until it returns, and give what it returns."""
    try:
        ask = next(asking)
        while True:
            ask = asking.send(answer(ask))
    except StopIteration as done:
        found: SearchResult = done.value
        return found
