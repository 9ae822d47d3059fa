"""What a run may cost at most, and what gain it can prove, said before it (pure)."""

from collections.abc import Iterable
from statistics import fmean

from msgspec import Struct

from runbookopt.preparation import Ready
from runbookopt.proof.power import BROKEN, POWER, UNKNOWN_SCORE
from runbookopt.provability import next_look, provable
from runbookopt.search.problem import Problem


class Tasks(Struct, frozen=True):
    """How many tasks each part of the split has."""

    train: int
    validation: int
    held_out: int


class Provable(Struct, frozen=True):
    """The smallest true gain that the held-out set can prove at its next look.

    `gain` is of the mean score, in 0..1, proved with a chance of `power`; None where no gain can be proved.
    The look is the `look`-th, at `groups` groups, and may spend `allowance`. Assumed are scores of 0 or 1, a
    seed that scores `base` in the mean (`known` from that many stored verdicts on train and validation tasks;
    of none, a guess), and a winner that breaks `broken` of the passes. See `proof.power.provable_gain`.
    """

    gain: float | None
    power: float
    look: int
    allowance: float
    groups: int
    base: float
    known: int
    broken: float


class Rollouts(Struct, frozen=True):
    """How many rollouts are charged at most: `most` in all, in `search` and in `proof`.

    The proof uses all of its part, or nothing where no winner is worth a look. `free` stored verdicts of the
    seed are used besides, and cost nothing.
    """

    most: int
    search: int
    proof: int
    free: int


class Plan(Struct, frozen=True):
    """What a run may use at most, and what for.

    `reflections` bounds the calls to the reflector. `tokens`, `usd` and `seconds` (of wall clock, at `width`
    calls at once) are None where unknown: the offline pair has no tokens and no price, and neither
    trajectories nor the journal tell how long a rollout takes. `notes` say what of the working tree counts,
    and where the budget is too small for any result.
    """

    runbook: str
    run: str
    tasks: Tasks
    provable: Provable
    rollouts: Rollouts
    reflections: int
    tokens: int | None
    usd: float | None
    seconds: float | None
    width: int
    notes: tuple[str, ...]


def plan(ready: Ready) -> Plan:
    """Say what a run may use at most.

    What it charges (`spent.rollouts` and `spent.cached`) is never more, since the driver begins no ask that
    the budget does not cover; neither is `spent.reflections`. Where the budget is what ends a run, what is
    said here is at most three times what the run has used of what ended it:

    - Rollouts of the search: what ends it is one ask that did not fit, of at most as many rollouts as there
      are validation tasks, or train tasks in a sample (`Options.sample`), whichever are more. Every run
      begins with the seed on all of validation and such a sample, so that it has used (charged or free) as
      many as that ask by then, and the search's part and the free ones together are less than twice what was
      used. (Of what was charged alone, the search's part is at most three times as much where it is at least
      1.5 times that many tasks.) Where even this beginning does not fit, only what is charged of it counts
      here.
    - Reflections: a round asks for at most two thirds of all that a run may make (`preparation`), so that it
      has made a third where the next round does not fit.
    """
    problem, settings, look = ready.problem, ready.job.settings, ready.job.look
    begins = _beginning(ready) + ready.reserved <= settings.budget.rollouts
    search = settings.budget.rollouts - ready.reserved if begins else _unknown(problem, problem.validation)
    proof = ready.reserved if look and begins else 0
    return Plan(
        runbook=ready.job.name,
        run=ready.run_id,
        tasks=Tasks(len(problem.train), len(problem.validation), len(ready.held_out)),
        provable=_provable(ready),
        rollouts=Rollouts(most=search + proof, search=search, proof=proof, free=len(problem.free)),
        reflections=ready.reflections if begins else 0,
        tokens=None,
        usd=None,
        seconds=None,
        width=settings.width,
        notes=(*ready.notes, *_too_few(ready)),
    )


def _beginning(ready: Ready) -> int:
    """Give the rollouts that every search begins with: today's runbook on validation, then on train."""
    problem = ready.problem
    free = len(problem.train) - _unknown(problem, problem.train)
    learned = min(problem.options.learned, len(problem.train))
    return _unknown(problem, problem.validation) + max(0, learned - free)


def _unknown(problem: Problem, tasks: Iterable[str]) -> int:
    return sum(task not in problem.free for task in tasks)


def _too_few(ready: Ready) -> tuple[str, ...]:
    """Warn where no candidate can ever be better: it is tried on a train sample, then validated."""
    problem = ready.problem
    tried = min(problem.options.sample, len(problem.train))
    needed = _beginning(ready) + tried + len(problem.validation) + ready.reserved
    if needed <= ready.job.settings.budget.rollouts:
        return ()
    return (f"too few rollouts to try one candidate: raise budget.rollouts well above {needed}",)


def _provable(ready: Ready) -> Provable:
    dossier = ready.dossier
    scores = [attempt.score for attempt in ready.problem.free.values()]
    base = fmean(scores) if scores else UNKNOWN_SCORE
    may = next_look(dossier, ready.looks)
    return Provable(
        gain=provable(dossier, ready.looks, base=base),
        power=POWER,
        look=may.look,
        allowance=may.spend,
        groups=len(dossier.held_out_groups),
        base=base,
        known=len(scores),
        broken=BROKEN,
    )
