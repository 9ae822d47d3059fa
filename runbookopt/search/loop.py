"""The search: reflective evolution of a runbook (GEPA, arXiv 2507.19457) as a generator of asks."""

from collections.abc import Generator, Iterable, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from runbookopt import runbook as runbooks
from runbookopt.runbook import Runbook
from runbookopt.search.asks import Ask, Candidate, Proposal, Reflection, ReflectionFailure, Reply, Tried
from runbookopt.search.choice import Choice, choose
from runbookopt.search.crossover import Rewrite, crossover
from runbookopt.search.known import Known
from runbookopt.search.pool import Edit, Member
from runbookopt.search.problem import Problem
from runbookopt.search.reflection import forbids, objection, reflection

VERSION = 2
"""Part of a run's id: another version of the search takes another path."""

T = TypeVar("T")
Asking = Generator[Ask, Reply, T]


class Found(Struct, frozen=True):
    """All that entered the pool, the number of the one to return, all that was tried, and why it ended.

    `expected` is the mean validation score of the one to return, less what of it is luck. The pool is empty
    where the budget did not cover the seed.
    """

    pool: tuple[Member, ...]
    chosen: int
    expected: float
    tried: tuple[Tried, ...]
    ended: str


class Trial(Struct, frozen=True):
    """A proposal that may be tried, and what its reflector was shown."""

    proposal: Proposal
    ask: Reflection

    @property
    def failing(self) -> tuple[str, ...]:
        """The tasks that led to it."""
        return tuple(shown.task for shown in self.ask.failing)

    @property
    def edit(self) -> Edit:
        """What the pool keeps of it; a citation counts only where the trajectory was shown."""
        shown = tuple(one.trajectory for one in (*self.ask.failing, *self.ask.passing))
        cites = tuple(one for one in shown if one in self.proposal.cites)
        return Edit(self.proposal.component, self.proposal.diagnosis, cites, shown)


class _Draft(Struct, frozen=True):
    """A candidate on its way into the pool: made from the member `parent` by these trials."""

    parent: int
    candidate: Candidate
    trials: tuple[Trial, ...] = ()


class _Ended(Exception):
    """The search goes no further; its argument says why."""


def search(problem: Problem) -> Asking[Found]:
    """Ask for rollouts and reflections until nothing better is likely, and return what was found."""
    known = Known(problem)
    wave = barren = 0
    try:
        yield from _validate(known, _Draft(0, known.seed), wave)
        while barren < problem.options.patience:
            wave += 1
            draft = yield from _evolve(known, _parent(known))
            improved = yield from _validate(known, draft, wave)
            barren = 0 if improved else barren + 1
            _end_if_broken(known)
        ended = f"{barren} waves without a better frontier"
    except _Ended as end:
        ended = str(end)
    choice = _choice(known)
    return Found(tuple(known.pool.members), choice.number, choice.expected, known.tried, ended)


def _parent(known: Known) -> int:
    """Draw a member by its places on the frontier, for what is best at something may teach the rest."""
    return known.pool.draw(known.rng) if known.options.frontier else _choice(known).number


def _evolve(known: Known, parent: int) -> Asking[_Draft]:
    """Make a candidate from a member of the pool, in rounds of reflection and crossover.

    All of a round's edits go into one text untried: what the next round of reflection finds wrong with it
    costs less than trying each of them. Between rounds it is tried on train, where it must gain.
    """
    options, draft = known.options, _Draft(parent, known.pool.members[parent].candidate)
    tasks = yield from _try(known, draft.candidate, tuple(known.problem.train))
    for number in range(options.rounds):
        trials = yield from _reflect(known, draft, tasks)
        before, draft = draft, _cross(known, draft, trials)
        if draft is before or number == options.rounds - 1 or known.broken:
            break
        tasks = yield from _try(known, draft.candidate, tasks)
        if options.checked and known.gain(before.candidate, draft.candidate, tasks) <= 0:
            new = replace(draft, trials=draft.trials[len(before.trials) :])
            _remember(known, new, "dropped: its candidate did not gain on train")
            return before
    return draft


def _try(known: Known, candidate: Candidate, among: Sequence[str]) -> Asking[tuple[str, ...]]:
    """Roll a candidate out on a sample of tasks, on more where none of it fails, and give the tasks."""
    tasks: tuple[str, ...] = ()
    while True:
        before, tasks = tasks, known.widened(candidate, tasks, among)
        yield from _roll(known, candidate, tasks)
        if tasks == before or any(one.failed for one in known.attempts(candidate, tasks).values()):
            return tasks


def _reflect(known: Known, draft: _Draft, tasks: Sequence[str]) -> Asking[list[Trial]]:
    """Reflect on the draft's failures; what may not be tried is remembered as rejected, at no rollout."""
    runbook, attempts = known.runbook(draft.candidate), known.attempts(draft.candidate, tasks)
    batches = known.minibatches(attempts)
    if not batches:
        _end_if_solved(known, draft)
        return []
    so_far = tuple(_tried(trial, "part of the text as it stands") for trial in draft.trials)
    lineage = (*known.lately(draft.parent), *so_far)
    lineage = lineage[max(0, len(lineage) - known.options.remembered) :]
    asks = tuple(reflection(known, runbook, attempts, batch, lineage) for batch in batches)
    reply = yield from _ask(Ask(reflections=asks))
    trials: list[Trial] = []
    for ask, answer in zip(asks, reply.reflections, strict=True):
        if isinstance(answer, ReflectionFailure):
            known.fail(answer)
            continue
        known.failures_in_a_row = 0
        why = objection(known, runbook, answer)
        if why is None:
            trials.append(Trial(answer, ask))
        else:
            known.remember(draft.parent, answer, f"rejected without a rollout: {why}")
        known.proposed.add((answer.component, answer.text))
    return trials


def _cross(known: Known, draft: _Draft, trials: Sequence[Trial]) -> _Draft:
    """Combine edits of one text into one; those from the fewest failures go where all are too much."""
    runbook = known.runbook(draft.candidate)
    kept = sorted(trials, key=lambda trial: (-len(trial.failing), trial.proposal.text))
    while kept:
        text = _combined(runbook, kept)
        too_much = len(text) > known.limits.characters or (len(kept) > 1 and not known.options.crossed)
        if not too_much and not forbids(runbook, text):
            return _Draft(draft.parent, Candidate(text), (*draft.trials, *kept))
        known.remember(draft.parent, kept.pop().proposal, "dropped: with the others it was too much")
    return draft


def _combined(runbook: Runbook, trials: Iterable[Trial]) -> str:
    rewrites: dict[str, list[Rewrite]] = {}
    for trial in trials:
        rewrite = Rewrite(trial.proposal.text, len(trial.failing))
        rewrites.setdefault(trial.proposal.component, []).append(rewrite)
    texts = {part: crossover(runbook.part(part).text, made) for part, made in rewrites.items()}
    return runbooks.replace(runbook, texts)


def _validate(known: Known, draft: _Draft, wave: int) -> Asking[bool]:
    """Score a draft on all of validation and add it to the pool; tell whether the frontier moved."""
    pool, validation = known.pool, known.problem.validation
    if draft.candidate in pool:
        _remember(known, draft, "dropped: it came out as a candidate that was tried before")
        return False
    yield from _roll(known, draft.candidate, validation)
    scores = known.attempts(draft.candidate, validation)
    parents = (draft.parent,) if pool.members else ()
    edits = tuple(trial.edit for trial in draft.trials)
    improved = pool.enter(Member(draft.candidate, parents, wave, scores, edits))
    _remember(known, draft, "kept: new best somewhere on validation" if improved else "kept: no better")
    return improved


def _remember(known: Known, draft: _Draft, outcome: str) -> None:
    for trial in draft.trials:
        known.remember(draft.parent, trial.proposal, outcome)


def _tried(trial: Trial, outcome: str) -> Tried:
    made = trial.proposal
    return Tried(made.component, made.diagnosis, made.text, outcome)


def _choice(known: Known) -> Choice:
    options, members = known.options, known.pool.members
    if not members:
        return Choice(0, 0.0)
    return choose(members, closeness=options.closeness, doubt=options.doubt)


def _roll(known: Known, candidate: Candidate, tasks: Iterable[str]) -> Asking[None]:
    rollouts = known.missing(candidate, tasks)
    if rollouts:
        reply = yield from _ask(Ask(rollouts=rollouts))
        for rollout, attempt in zip(rollouts, reply.rollouts, strict=True):
            known.learn(rollout, attempt)


def _ask(ask: Ask) -> Asking[Reply]:
    reply = yield ask
    if reply.stopped:
        raise _Ended(reply.stopped)
    return reply


def _end_if_solved(known: Known, draft: _Draft) -> None:
    """End where neither train nor validation has a failure left; the draft may still enter the pool."""
    scored = known.pool.members[draft.parent].validation.values()
    if not draft.trials and not any(attempt.failed for attempt in scored):
        raise _Ended("every task is solved")


def _end_if_broken(known: Known) -> None:
    """End once too many reflections failed in a row; what others of the wave proposed was tried first."""
    if known.broken is not None:
        raise _Ended(
            f"{known.options.max_failures} reflections failed in a row;"
            f" the last one, {known.broken.kind}: {known.broken.message}"
        )
