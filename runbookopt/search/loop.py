"""The search: reflective evolution of a runbook (GEPA, arXiv 2507.19457) as a generator of asks."""

from collections.abc import Generator, Iterable, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from runbookopt import runbook as runbooks
from runbookopt.runbook import Runbook
from runbookopt.search.asks import Ask, Candidate, Proposal, Reflection, ReflectionFailure, Reply, Tried
from runbookopt.search.crossover import Rewrite, crossover
from runbookopt.search.known import Known
from runbookopt.search.pool import Edit, Member, choose, draw_parent, improves
from runbookopt.search.problem import Minibatch, Problem
from runbookopt.search.reflection import forbids, objection, reflection

VERSION = 1
"""Part of a run's id: another version of the search takes another path."""

T = TypeVar("T")
Asking = Generator[Ask, Reply, T]


class Found(Struct, frozen=True):
    """All that entered the pool, the place of the one to return, all that was tried, and why it ended.

    The pool is empty where the budget did not cover the seed.
    """

    pool: tuple[Member, ...]
    chosen: int
    tried: tuple[Tried, ...]
    ended: str


class _Trial(Struct, frozen=True):
    """A proposal as a candidate, what its reflector was shown, and how many of the failures it won."""

    proposal: Proposal
    candidate: Candidate
    ask: Reflection
    wins: int = 0

    @property
    def failing(self) -> tuple[str, ...]:
        """The tasks that led to the proposal."""
        return tuple(shown.task for shown in self.ask.failing)

    @property
    def edit(self) -> Edit:
        """What the pool keeps of it; a citation counts only where the trajectory was shown."""
        shown = (*self.ask.failing, *self.ask.passing)
        cites = tuple(one.trajectory for one in shown if one.trajectory in self.proposal.cites)
        trajectories = tuple(one.trajectory for one in shown)
        return Edit(self.proposal.component, self.proposal.diagnosis, cites, trajectories)


class _Ended(Exception):
    """The search goes no further; its argument says why."""


def search(problem: Problem) -> Asking[Found]:
    """Ask for rollouts and reflections until nothing better is likely, and return what was found."""
    known = Known(problem)
    seed = Candidate(problem.seed.text)
    wave = barren = 0
    try:
        yield from _roll(known, ((seed, task) for task in problem.validation))
        known.pool.append(Member(seed, (), 0, known.attempts(seed, problem.validation)))
        while barren < problem.options.patience:
            wave += 1
            parent = draw_parent(known.pool, known.rng)
            batches = yield from _minibatches(known, parent)
            trials = yield from _reflect(known, parent, batches)
            accepted = yield from _accept(known, parent, trials)
            improved = yield from _cross(known, parent, accepted, wave)
            barren = 0 if improved else barren + 1
            _end_if_broken(known)
        ended = f"{barren} waves without a better frontier"
    except _Ended as end:
        ended = str(end)
    return Found(tuple(known.pool), choose(known.pool) if known.pool else 0, known.tried(), ended)


def _minibatches(known: Known, parent: int) -> Asking[list[Minibatch]]:
    """Choose minibatches among the train tasks that the parent fails, by kind of failure.

    All of train is tried: an edit may have broken what passed before it, and only so is that ever seen.
    """
    candidate, train = known.pool[parent].candidate, tuple(known.problem.train)
    yield from _roll(known, ((candidate, task) for task in train))
    attempts = known.attempts(candidate, train)
    failing = {task: attempt for task, attempt in attempts.items() if attempt.failed}
    if not failing and not any(attempt.failed for attempt in known.pool[parent].validation.values()):
        raise _Ended("every task is solved")
    passing = [task for task in train if attempts[task].passed]
    chunks = known.chunks(failing)[: known.options.wave]
    return [known.with_passing(chunk, passing) for chunk in chunks]


def _reflect(known: Known, parent: int, batches: Sequence[Minibatch]) -> Asking[list[_Trial]]:
    """Reflect on each minibatch; what may not be tried is remembered as rejected, at no rollout."""
    runbook = known.runbook(parent)
    asks = tuple(reflection(known, parent, batch) for batch in batches)
    reply = (yield from _ask(Ask(reflections=asks))) if asks else Reply()
    trials: list[_Trial] = []
    for ask, answer in zip(asks, reply.reflections, strict=True):
        if isinstance(answer, ReflectionFailure):
            known.fail(answer)
            continue
        known.failures_in_a_row = 0
        why = objection(known, runbook, answer, [trial.proposal for trial in trials])
        if why is None:
            text = runbooks.replace(runbook, {answer.component: answer.text})
            trials.append(_Trial(answer, Candidate(text), ask))
        else:
            known.remember(parent, answer, f"rejected without a rollout: {why}")
    return trials


def _accept(known: Known, parent: int, trials: Sequence[_Trial]) -> Asking[list[_Trial]]:
    """Try each proposal on the failures that led to it, paired against the parent's known scores."""
    yield from _roll(known, ((trial.candidate, task) for trial in trials for task in trial.failing))
    accepted = []
    for trial in trials:
        gains = known.gains(known.pool[parent].candidate, trial.candidate, trial.failing)
        won = sum(gains) > 0
        known.remember(parent, trial.proposal, "accepted" if won else "rejected: no gain on its failures")
        if won:
            accepted.append(replace(trial, wins=sum(gain > 0 for gain in gains)))
    return accepted


def _cross(known: Known, parent: int, accepted: Sequence[_Trial], wave: int) -> Asking[bool]:
    """Combine the accepted edits into one child and score it; tell whether the frontier moved."""
    runbook = known.runbook(parent)
    trials = sorted(accepted, key=lambda trial: (-trial.wins, trial.candidate.digest))
    child = known.pool[parent].candidate
    while trials:
        child = _combined(runbook, trials)
        if len(child.text) <= known.limits.characters and not forbids(runbook, child.text):
            break
        trials.pop()  # the one with the fewest wins
    if not trials or any(child.digest == member.candidate.digest for member in known.pool):
        return False
    validation = known.problem.validation
    yield from _roll(known, ((child, task) for task in validation))
    edits = tuple(trial.edit for trial in trials)
    member = Member(child, (parent,), wave, known.attempts(child, validation), edits)
    improved = improves(known.pool, member)
    known.pool.append(member)
    return improved


def _combined(runbook: Runbook, trials: Sequence[_Trial]) -> Candidate:
    rewrites: dict[str, list[Rewrite]] = {}
    for trial in trials:
        rewrites.setdefault(trial.proposal.component, []).append(Rewrite(trial.proposal.text, trial.wins))
    texts = {part: crossover(runbook.part(part).text, made) for part, made in rewrites.items()}
    return Candidate(runbooks.replace(runbook, texts))


def _roll(known: Known, wanted: Iterable[tuple[Candidate, str]]) -> Asking[None]:
    rollouts = known.missing(wanted)
    if rollouts:
        reply = yield from _ask(Ask(rollouts=rollouts))
        for rollout, attempt in zip(rollouts, reply.rollouts, strict=True):
            known.learn(rollout, attempt)


def _ask(ask: Ask) -> Asking[Reply]:
    reply = yield ask
    if reply.stopped:
        raise _Ended(reply.stopped)
    return reply


def _end_if_broken(known: Known) -> None:
    """End once too many reflections failed in a row; what others of the wave proposed was tried first."""
    if known.broken is not None:
        raise _Ended(
            f"{known.options.max_failures} reflections failed in a row;"
            f" the last one, {known.broken.kind}: {known.broken.message}"
        )
