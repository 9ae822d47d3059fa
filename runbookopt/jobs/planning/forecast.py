"""Forecast of tokens, dollars and time by earlier calls of the same roles (pure but for `earlier_calls`)."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from runbookopt.engine.calls import caller_of, judged
from runbookopt.engine.journal import Calls, Journal
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.journals import open_journal
from runbookopt.jobs.prepare import Prepared
from runbookopt.jobs.rollouts import taken_by
from runbookopt.project.local_state import JOURNAL, LOCAL
from runbookopt.search.asks import Candidate, Rollout
from runbookopt.verifier.judge import Question


class Earlier(Struct, frozen=True):
    """Earlier calls to a run's agent, reflector and judge.

    `known` are today's runbook's scores on train and validation that the journal has the answers for, of an
    evaluation or another search, by task: a run takes them from there. One is None where it was not
    scored, or a judge is to be asked first.
    """

    agent: Calls = Calls()
    reflector: Calls = Calls()
    judge: Calls = Calls()
    known: Mapping[str, float | None] = {}


def earlier_calls(repository: Repository, ready: Prepared, *, scored: bool = True) -> Earlier:
    """The calls to these three by any run of the repository; makes no journal.

    Answers are `scored` where that is asked for: it runs the rubric's programs.

    Raises JournalError and Refused where a run could not open its journal either.
    """
    if not (repository.root / LOCAL / JOURNAL).exists():
        return Earlier()
    with open_journal(repository) as journal:
        return Earlier(
            agent=journal.calls("rollout", ready.job.agent.key),
            reflector=journal.calls("reflection", ready.job.reflector.key),
            judge=journal.calls("judgement", ready.judge.key) if ready.judge else Calls(),
            known=_known(journal, ready, scored=scored),
        )


def _known(journal: Journal, ready: Prepared, *, scored: bool) -> dict[str, float | None]:
    project, problem, job = ready.project, ready.problem, ready.job
    caller = caller_of(
        project.rubric, project.evidence.tasks, job.agent, job.reflector, ready.judge, taken=taken_by(project)
    )
    seed, stored = Candidate(problem.seed.text), {*problem.free, *ready.claims.first}
    tasks = [task for task in dict.fromkeys((*problem.validation, *problem.train)) if task not in stored]
    calls = {task: caller.rollout(Rollout(seed, task)).key for task in tasks}
    answers = journal.given([*calls.values()])
    if not scored:
        return {task: None for task, key in calls.items() if key in answers}
    made = {task: caller.made(answers[key]) for task, key in calls.items() if key in answers}
    asked = {task: caller.judgements(task, each) for task, each in made.items()}
    said = journal.given([call.key for calls in asked.values() for call in calls])
    scores: dict[str, float | None] = dict.fromkeys(made)
    for task, judgements in asked.items():
        verdicts = [
            (each.ask, judged(said[each.key]))
            for each in judgements
            if isinstance(each.ask, Question) and each.key in said
        ]
        if len(verdicts) == len(judgements):
            scores[task] = caller.assess(task, made[task], verdicts).score
    return scores


class Planned(Struct, frozen=True):
    """How many calls a run makes at most: new rollouts to `search` and to prove, and reflections.

    `trying` are the rollouts until one candidate is validated, and those that are kept for the proof (also in
    a dry run); `waves` are those of reflection for which the search's rollouts are enough.
    """

    search: int
    proof: int
    reflections: int
    trying: int
    waves: int


class KnownCalls(Struct, frozen=True):
    """On how many earlier calls each estimate of a plan rests; 0 where it rests on none."""

    tokens: int = 0
    usd: int = 0
    seconds: int = 0


class Expected(Struct, frozen=True):
    """What all planned calls come to if each is like the earlier ones of its role in the mean.

    Each is None where nobody knows; `usd_trying` is what it costs to try one candidate and to prove it: the
    rollouts alone where nothing is known of reflections. `tokens_rollouts` and `usd_rollouts` are parts of
    the others.
    """

    tokens: int | None
    tokens_rollouts: int | None
    usd: float | None
    usd_rollouts: float | None
    usd_proof: float | None
    usd_trying: float | None
    seconds: float | None
    known_calls: KnownCalls
    calls_models: bool


def expected(ready: Prepared, planned: Planned, earlier: Earlier) -> Expected:
    """Tokens, dollars and seconds that all planned calls are likely to come to.

    - Tokens and dollars: each call uses what earlier ones of its role used in the mean, in prompts and
      completions, at the prices of then. A runbook that has grown makes its rollouts dearer than they were.
    - Where `budget.usd` is less than that, or no price is known, dollars are the budget's: a run charges no
      more than it, and what its last ask cost more than was expected of it (`Driver`).
    - Seconds of wall clock: asks go one after the other, and `width` calls of an ask at once; those of the
      offline pair answer one by one, whatever the width. An ask of the search is of as many rollouts as there
      are validation or train tasks; or of reflections, that are spread over all `waves` (`Options.wave` in
      each at most). The search takes at most `budget.minutes`. Start, checks and git are not in it.
    """
    budget = ready.job.settings.budget
    *rolling, reflecting = _roles(ready, planned, earlier)
    roles = [role for role in (*rolling, reflecting) if role.calls]
    models = [role for role in roles if role.model]
    rolled = [role for role in models if role is not reflecting]
    tokens = _sum(role.tokens for role in models) if models else None
    part = _sum(role.tokens for role in rolled) if rolled else None
    dollars = _dollars(models, reflecting, planned, budget.usd)
    seconds = _seconds(roles, budget.minutes)
    return Expected(
        tokens=None if tokens is None else math.ceil(tokens),
        tokens_rollouts=None if part is None else math.ceil(part),
        usd=dollars.total,
        usd_rollouts=dollars.rollouts,
        usd_proof=dollars.proof,
        usd_trying=dollars.trying,
        seconds=seconds,
        known_calls=KnownCalls(
            tokens=0 if tokens is None else sum(role.earlier.counted for role in models),
            usd=dollars.calls,
            seconds=0 if seconds is None else sum(role.earlier.timed for role in roles),
        ),
        calls_models=bool(models),
    )


class _Role(Struct, frozen=True):
    """The calls to one role: `times` for each of `count` rollouts or reflections.

    In the search they take as long as `turns` calls one after the other, in the proof as `turns_to_prove`.
    """

    earlier: Calls
    model: bool
    count: int
    turns: int
    turns_to_prove: int = 0
    times: int = 1

    @property
    def calls(self) -> int:
        return self.count * self.times

    @property
    def tokens(self) -> float | None:
        return self.calls * self.earlier.tokens / self.earlier.counted if self.earlier.counted else None

    @property
    def usd(self) -> float | None:
        """Dollars for one rollout or reflection."""
        return self.times * self.earlier.usd / self.earlier.priced if self.earlier.priced else None

    def seconds(self, turns: int) -> float | None:
        if not self.earlier.timed:
            return None
        return turns * (self.times * self.earlier.seconds / self.earlier.timed)


def _roles(ready: Prepared, planned: Planned, earlier: Earlier) -> tuple[_Role, _Role, _Role]:
    """Agent, judge and reflector."""
    job, problem, rubric = ready.job, ready.problem, ready.project.rubric
    agent, reflector = (who.name != "offline" for who in (job.agent, job.reflector))
    width, rollouts = job.settings.width, planned.search + planned.proof
    together = max(len(problem.validation), len(problem.train))

    def rolling(calls: Calls, *, model: bool, times: int) -> _Role:
        at_once = width if model else 1
        turns = _turns(planned.search, together, at_once)
        return _Role(calls, model, rollouts, turns, math.ceil(planned.proof / at_once), times)

    judged = len(rubric.judged) * rubric.judge.votes if ready.judge and rubric.judge else 0
    a_wave = min(problem.options.wave, math.ceil(planned.reflections / planned.waves))
    turns = _turns(min(planned.reflections, planned.waves * a_wave), a_wave, width if reflector else 1)
    return (
        rolling(earlier.agent, model=agent, times=1),
        rolling(earlier.judge, model=True, times=judged),
        _Role(earlier.reflector, reflector, planned.reflections, turns),
    )


def _turns(calls: int, together: int, width: int) -> int:
    """How many calls in a row so many take: `together` of one ask, asks in a row, `width` at once."""
    whole, rest = divmod(calls, max(1, together))
    return whole * math.ceil(together / width) + math.ceil(rest / width)


class _Dollars(NamedTuple):
    """Dollars in all, for all rollouts, for the proof, and to try one candidate; how many calls say so.

    Each is None where nobody knows, or no model is called.
    """

    total: float | None = None
    rollouts: float | None = None
    proof: float | None = None
    trying: float | None = None
    calls: int = 0


def _dollars(models: Sequence[_Role], reflecting: _Role, planned: Planned, limit: float | None) -> _Dollars:
    """What the calls come to, within the budget's `limit`: where nothing is known of all, that says it."""
    if not models:
        return _Dollars()
    most = math.inf if limit is None else limit
    rollout = _sum(role.usd for role in models if role is not reflecting)
    reflection = reflecting.usd if reflecting in models else 0.0
    if rollout is None:
        return _Dollars(limit)
    rollouts = rollout * (planned.search + planned.proof)
    proof, trying = min(rollout * planned.proof, most), rollout * planned.trying + (reflection or 0.0)
    if reflection is None or rollouts + reflection * planned.reflections >= most:
        return _Dollars(limit, min(rollouts, most), proof, trying)
    total = rollouts + reflection * planned.reflections
    return _Dollars(total, rollouts, proof, trying, sum(role.earlier.priced for role in models))


def _seconds(roles: Sequence[_Role], minutes: float | None) -> float | None:
    search = _sum(role.seconds(role.turns) for role in roles)
    proof = _sum(role.seconds(role.turns_to_prove) for role in roles)
    if search is None or proof is None:
        return None
    return proof + (search if minutes is None else min(search, 60 * minutes))


def _sum(parts: Iterable[float | None]) -> float | None:
    """The sum; one that is unknown makes it unknown."""
    total = 0.0
    for part in parts:
        if part is None:
            return None
        total += part
    return total
