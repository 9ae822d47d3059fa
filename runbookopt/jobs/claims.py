"""Claims tried before they are believed: an agent that is deterministic, stored verdicts that are old (pure).

A search rests on both. So they are tried before its first reflection, on today's runbook, out of its budget.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.agents.protocol import Agent
from runbookopt.documents.schema_errors import plain, shown
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.library import Evidence
from runbookopt.evidence.trajectory import Task, time_of
from runbookopt.jobs.first_outputs import FIRST, first_outputs
from runbookopt.landing.bundle import AsToday, StoredVerdicts
from runbookopt.search.asking import Asking
from runbookopt.search.asks import AGAIN, Ask, Attempt, Candidate, NoAnswer, Reply, Rollout
from runbookopt.search.ending import stopped
from runbookopt.search.loop import SearchResult, search
from runbookopt.search.problem import Problem

TWICE = 5
"""Tasks on which an agent that is said to be deterministic is tried twice."""

CHECKED = 20
"""Old stored verdicts that are tried again, at most."""

MOST_TO_TRY = CHECKED + TWICE
"""Rollouts that it takes at most to try all claims: both kinds share their first attempts."""

ALIKE = 0.9
"""Share of those that must score as they did, or no old one is used."""

FRESH = timedelta(days=14)
"""Age up to which a stored verdict stands by itself."""

TRIED = 20
"""Tasks on which an agent is tried whose stored outputs are said to be the configured one's."""

AS_TODAY = 18
"""So many verdicts must then be alike."""


LONGEST_NAME = 60
"""Characters of an agent's name that are kept of a trial."""

AHEAD = timedelta(days=1)
"""How far a clock may be ahead; a time that is later than that is no date."""


class BrokenClaim(RunbookoptError):
    """An agent that is said to be deterministic, and is not."""


class Borrowed(Struct, frozen=True):
    """Stored outputs of an `agent` that are said to be the configured one's, by task, and what is `tried`."""

    agent: str
    tasks: tuple[str, ...]
    tried: tuple[str, ...]


class Claims(Struct, frozen=True):
    """Claims of one run, and the tasks that they are tried on, by id.

    `twice` are tried twice; `checked`, some of the `old`, once: these have a stored verdict that is older
    than `FRESH`, or of which nobody knows when it was given. `days` is the age of each stored verdict, None
    where it is not known. Answers are used again for as long as `period` is the same: fourteen days. Of what
    is `borrowed` from another agent, which is also among the `old`, some of each agent's is tried once.
    """

    agent: str
    twice: tuple[str, ...]
    checked: tuple[str, ...]
    old: tuple[str, ...]
    days: Mapping[str, int | None]
    period: int
    borrowed: tuple[Borrowed, ...] = ()

    @property
    def rollouts(self) -> int:
        """Rollouts that it takes to try all of it."""
        return len(self.first) + len(self.twice)

    @property
    def first(self) -> tuple[str, ...]:
        """All tasks that are tried, each once."""
        tried = (task for each in self.borrowed for task in each.tried)
        return tuple(dict.fromkeys((*self.checked, *tried, *self.twice)))


class Believed(Struct, frozen=True):
    """A problem once its claims were tried: what of the stored verdicts is used, and what to say of that."""

    problem: Problem
    stored: StoredVerdicts
    notes: tuple[str, ...] = ()


def claims_of(
    agent: Agent, problem: Problem, evidence: Evidence, at: str, as_today: Mapping[str, str] = {}
) -> Claims:
    """Claims that a run at the time `at` (ISO 8601) rests on.

    The offline agent is deterministic by construction, and is not tried for it. `as_today` are tasks whose
    free attempt is another agent's, with its name.
    """
    now = time_of(at)
    days: dict[str, int | None] = {}
    for task, attempt in problem.free.items():
        then = time_of(evidence.trajectory(attempt.trajectory).started_at)
        age = None if then is None or now is None else now - then
        days[task] = None if age is None or age < -AHEAD else max(0, age.days)
    own = tuple(
        sorted(
            task for task, age in days.items() if task not in as_today and (age is None or age >= FRESH.days)
        )
    )
    checked = own[:CHECKED]  # ids are digests, so these are any
    borrowed = tuple(
        _borrowed(problem, name, sorted(task for task, its in as_today.items() if its == name))
        for name in sorted({*as_today.values()})
    )
    anyway = {*checked, *(task for each in borrowed for task in each.tried)}
    every = sorted(  # first those that are tried or rolled out in any case
        {*problem.train, *problem.validation}, key=lambda id_: (id_ not in anyway, id_ in problem.free, id_)
    )
    claimed = agent.deterministic and agent.name != "offline"
    return Claims(
        agent=agent.name,
        twice=tuple(every[: TWICE if claimed else 0]),
        checked=checked,
        old=tuple(sorted((*own, *as_today))),
        days=days,
        period=0 if now is None else math.floor(now.timestamp() / FRESH.total_seconds()),
        borrowed=borrowed,
    )


def _borrowed(problem: Problem, agent: str, tasks: Sequence[str]) -> Borrowed:
    """What is tried of an agent: as many failures as passes where there are, for most agents pass alike."""
    failed = [task for task in tasks if not problem.free[task].passed]
    passed = [task for task in tasks if problem.free[task].passed]
    few = max(TRIED // 2, TRIED - len(passed))
    tried = failed[:few]
    return Borrowed(agent, tuple(tasks), (*tried, *passed[: TRIED - len(tried)]))


def believing(
    problem: Problem,
    claims: Claims,
    evidence: Evidence,
    look: Callable[[Mapping[str, Attempt]], None] = lambda _: None,
) -> Asking[tuple[SearchResult, Believed]]:
    """Try the claims, `look` at first outputs, then search with what stands of the claims.

    Raises BrokenClaim, which names the task and both answers, and what `look` raises where a search could
    find nothing: that is asked first of what is known for free and is not old.
    """
    look({task: attempt for task, attempt in problem.free.items() if task not in claims.old})
    tried = yield from trying(problem, claims, evidence, look)
    if isinstance(tried, str):
        return _ended(problem, claims, tried)
    seen = yield from first_outputs(tried.problem, claims.rollouts)
    if isinstance(seen, str):
        return _ended(problem, claims, seen)
    look(seen)
    searched = yield from search(tried.problem)
    return searched, tried


def _ended(problem: Problem, claims: Claims, why: str) -> tuple[SearchResult, Believed]:
    nothing = StoredVerdicts(old=len(_own(claims)))
    return SearchResult((), 0, 0.0, (), why, cause=stopped(why)), Believed(problem, nothing)


def trying(
    problem: Problem,
    claims: Claims,
    evidence: Evidence,
    look: Callable[[Mapping[str, Attempt]], None] = lambda _: None,
) -> Asking[Believed | str]:
    """The problem with fresh attempts in place of those that were tried; why it ended, where it did.

    Where that takes more rollouts than may be made before all is known to be set up well, `look` comes first.
    """
    if not claims.first:
        return Believed(problem, _stored(claims, set(problem.free), 0, 0))
    seed, name = Candidate(problem.seed.text), f"0{AGAIN}{claims.period}"
    first = [Rollout(seed, task, f"{name}/1") for task in claims.first]
    again = [Rollout(seed, task, f"{name}/2") for task in claims.twice]
    made: list[Attempt | NoAnswer] = []
    for rollouts in filter(None, ((*first, *again)[:FIRST], (*first, *again)[FIRST:])):
        if made:
            look(
                {
                    task: each
                    for task, each in zip(claims.first, made, strict=False)
                    if isinstance(each, Attempt)
                }
            )
        reply: Reply = yield Ask(rollouts=rollouts)
        if reply.stopped:
            return reply.stopped
        made += reply.rollouts
    attempts = dict(zip(claims.first, made, strict=False))
    for task, second in zip(claims.twice, made[len(first) :], strict=True):
        if not _alike(attempts[task], second):
            raise BrokenClaim(_differ(claims.agent, evidence, evidence.task(task), attempts[task], second))
    fresh = {task: _named(each, problem.free.get(task)) for task, each in attempts.items()}
    return _standing(problem, claims, {task: each for task, each in fresh.items() if each is not None})


def _named(fresh: Attempt | NoAnswer, stored: Attempt | None) -> Attempt | None:
    """A fresh attempt; what says the same as a stored one keeps its name, by which people can look it up."""
    if isinstance(fresh, NoAnswer) or stored is None or fresh.output != stored.output:
        return fresh if isinstance(fresh, Attempt) else None
    return replace(fresh, trajectory=stored.trajectory)


def _standing(problem: Problem, claims: Claims, fresh: Mapping[str, Attempt]) -> Believed:
    """What stands of the old verdicts: all that were not tried again, or none."""
    alike = sum(task in fresh and fresh[task].score == problem.free[task].score for task in claims.checked)
    needed = math.ceil(ALIKE * len(claims.checked))
    gone = set(claims.first) if alike >= needed else {*claims.first, *_own(claims)}
    trials = tuple(_trial(problem, each, fresh) for each in claims.borrowed)
    for borrowed, trial in zip(claims.borrowed, trials, strict=True):
        gone.update(() if trial.believed else borrowed.tasks)
    kept = {task: attempt for task, attempt in problem.free.items() if task not in gone}
    stored = replace(_stored(claims, set(kept), len(claims.checked), alike), as_today=trials)
    notes = (*_notes(claims, alike, needed), *map(_of_trial, trials))
    return Believed(replace(problem, free={**kept, **fresh}), stored, notes)


def _own(claims: Claims) -> set[str]:
    """The tasks with an old verdict of the configured agent itself."""
    return {*claims.old}.difference(*(each.tasks for each in claims.borrowed))


def _trial(problem: Problem, borrowed: Borrowed, fresh: Mapping[str, Attempt]) -> AsToday:
    """How an agent's stored outputs compare with the configured one's: what is not known is not alike."""
    both = [(problem.free[task], fresh[task]) for task in borrowed.tried if task in fresh]
    alike = sum((one.score, one.objectives) == (other.score, other.objectives) for one, other in both)
    believed = len(borrowed.tried) == TRIED and alike >= AS_TODAY
    name = plain(borrowed.agent)[:LONGEST_NAME]
    return AsToday(name, len(borrowed.tasks), len(borrowed.tried), alike, believed)


def _of_trial(trial: AsToday) -> str:
    fate = "so they count as today's" if trial.believed else f"where {AS_TODAY} must, so they do not count"
    return (
        f"stored_as_today: {trial.outputs} outputs of agent {trial.agent}; tried again: {trial.tried}, and"
        f" {trial.alike} verdicts are alike, {fate}"
    )


def _notes(claims: Claims, alike: int, needed: int) -> tuple[str, ...]:
    if not claims.checked:
        return ()
    old = (
        f"stored verdicts older than {FRESH.days} days or without a date: {len(_own(claims))}; tried again:"
        f" {len(claims.checked)}, and {alike} of them score as they did"
    )
    if alike >= needed:
        return (f"{old}, so they stand",)
    why = "what answers now is not what answered then (a model replaced behind its name?)"
    return (f"{old}, where {needed} must, so none of them is used: {why}",)


def _stored(claims: Claims, used: set[str], checked: int, alike: int) -> StoredVerdicts:
    ages = [claims.days[task] for task in used]
    dated = [age for age in ages if age is not None]
    return StoredVerdicts(
        used=len(used),
        oldest_days=max(dated, default=None),
        undated=len(ages) - len(dated),
        old=len(_own(claims)),
        checked=checked,
        alike=alike,
    )


def _alike(one: Attempt | NoAnswer, other: Attempt | NoAnswer) -> bool:
    """Whether two attempts have the same output, byte for byte, and are judged the same."""
    if isinstance(one, NoAnswer) or isinstance(other, NoAnswer):
        return True  # nothing is known: the driver says how many of those are borne
    return (one.output, one.score, one.objectives) == (other.output, other.score, other.objectives)


def _differ(
    agent: str, evidence: Evidence, task: Task, one: Attempt | NoAnswer, other: Attempt | NoAnswer
) -> str:
    place = task.trajectories[0]
    answers = [each.output if isinstance(each, Attempt) else None for each in (one, other)]
    said = " and ".join("no output" if answer is None else shown(answer) for answer in answers)
    if answers[0] == answers[1]:
        said = f"{said}, and left other files, steps or exit codes"
    return (
        f"agent: deterministic is true, and the agent {agent} gave two answers to one task, {shown(place)}"
        f" ({evidence.where(place)}): {said}; take `deterministic: true` away, or make it so (for a model:"
        " temperature 0 and a seed)"
    )
