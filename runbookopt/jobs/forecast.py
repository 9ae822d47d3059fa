"""What planned calls are likely to use and to take, as earlier ones of the same roles did (pure)."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from runbookopt.engine.journal import Calls, Journal
from runbookopt.jobs.prepare import LOCAL, Prepared


class Earlier(Struct, frozen=True):
    """What earlier calls to a run's agent, reflector and judge came to."""

    agent: Calls = Calls()
    reflector: Calls = Calls()
    judge: Calls = Calls()


class Planned(Struct, frozen=True):
    """How many calls a run makes at most: rollouts to `search` and to prove, and reflections.

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

    Each is None where nobody knows; tokens and dollars also where no model is called (`calls_models`).
    `usd_proof` is what of `usd` is for the proof, `usd_trying` what it costs to try one candidate and to
    prove it. See `expected`.
    """

    tokens: int | None
    usd: float | None
    usd_proof: float | None
    usd_trying: float | None
    seconds: float | None
    known_calls: KnownCalls
    calls_models: bool


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
        known = self.earlier
        return self.calls * known.tokens / known.counted if known.counted else None

    @property
    def usd(self) -> float | None:
        """Dollars for one rollout or reflection."""
        known = self.earlier
        return self.times * known.usd / known.priced if known.priced else None

    @property
    def seconds(self) -> float | None:
        """Seconds of one turn."""
        known = self.earlier
        return self.times * known.seconds / known.timed if known.timed else None


def expected(ready: Prepared, planned: Planned, earlier: Earlier) -> Expected:
    """Say what all planned calls are likely to come to.

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
    tokens = _sum(role.tokens for role in models) if models else None
    seconds = _seconds(roles, budget.minutes)
    dollars = _dollars([role for role in models if role is not reflecting], reflecting, planned, budget.usd)
    return Expected(
        tokens=None if tokens is None else math.ceil(tokens),
        usd=dollars.total if models else None,
        usd_proof=dollars.proof if models else None,
        usd_trying=dollars.trying if models else None,
        seconds=seconds,
        known_calls=KnownCalls(
            tokens=0 if tokens is None else sum(role.earlier.counted for role in models),
            usd=dollars.known if models else 0,
            seconds=0 if seconds is None else sum(role.earlier.timed for role in roles),
        ),
        calls_models=bool(models),
    )


def _roles(ready: Prepared, planned: Planned, earlier: Earlier) -> tuple[_Role, _Role, _Role]:
    """Give agent, judge and reflector."""
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
    """Give as how many calls in a row so many take: `together` of one ask, asks in a row, `width` at once."""
    whole, rest = divmod(calls, max(1, together))
    return whole * math.ceil(together / width) + math.ceil(rest / width)


class _Dollars(Struct, frozen=True):
    """Dollars in `total`, and of them for the proof; `known` earlier calls say so, or a budget where it is 0.

    `trying`: see `Expected.usd_trying`.
    """

    total: float | None
    proof: float | None
    trying: float | None
    known: int


def _dollars(rolling: Sequence[_Role], reflecting: _Role, planned: Planned, limit: float | None) -> _Dollars:
    """Give dollars, of the roles that a rollout calls and of the reflector, within the budget's `limit`."""
    most = math.inf if limit is None else limit
    rollout = _sum(role.usd for role in rolling)
    reflection = reflecting.usd if reflecting.model and reflecting.calls else 0.0
    if rollout is None:
        return _Dollars(limit, None, None, 0)
    known = sum(role.earlier.priced for role in rolling)
    proof = min(rollout * planned.proof, most)
    if reflection is None:
        return _Dollars(limit, proof, None, 0)
    total = rollout * (planned.search + planned.proof) + reflection * planned.reflections
    trying = rollout * planned.trying + reflection
    if total >= most:
        return _Dollars(limit, proof, trying, 0)
    if reflecting.model and reflecting.calls:
        known += reflecting.earlier.priced
    return _Dollars(total, proof, trying, known)


def _sum(parts: Iterable[float | None]) -> float | None:
    """Give the sum; one that is unknown makes it unknown."""
    total = 0.0
    for part in parts:
        if part is None:
            return None
        total += part
    return total


def _seconds(roles: Sequence[_Role], minutes: float | None) -> float | None:
    turns = [(role.turns, role.turns_to_prove, role.seconds) for role in roles]
    search = _sum(None if each is None else number * each for number, _, each in turns)
    proof = _sum(None if each is None else number * each for _, number, each in turns)
    if search is None or proof is None:
        return None
    return proof + (search if minutes is None else min(search, 60 * minutes))


def earlier_calls(root: Path, ready: Prepared) -> Earlier:
    """Give what they came to, whichever run of the repository at `root` made them; makes no journal.

    Raises JournalError where a run could not open its journal either.
    """
    path = root / LOCAL / "journal.sqlite3"
    if not path.exists():
        return Earlier()
    with Journal.open(path) as journal:
        return Earlier(
            agent=journal.calls("rollout", ready.job.agent.key),
            reflector=journal.calls("reflection", ready.job.reflector.key),
            judge=journal.calls("judgement", ready.judge.key) if ready.judge else Calls(),
        )
