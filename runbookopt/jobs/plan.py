"""Plan of a run, made before it: the most that it may cost, and the gain that it can prove (pure)."""

import math
from collections.abc import Iterator
from statistics import fmean

from msgspec import Struct
from msgspec.structs import asdict

from runbookopt.documents.settings import Budget
from runbookopt.jobs.feasibility import next_look, provable
from runbookopt.jobs.forecast import Earlier, KnownCalls, Planned, expected
from runbookopt.jobs.prepare import Prepared
from runbookopt.proof.power import BROKEN, POWER, UNKNOWN_SCORE


class Tasks(Struct, frozen=True):
    """How many tasks each part of the split has."""

    train: int
    validation: int
    held_out: int


class Provable(Struct, frozen=True):
    """The smallest true gain that the held-out set can prove at its next look.

    `gain` is of the mean score, in 0..1, proved with a chance of `power`; None where no gain can be proved.
    The look is the `look`-th, at `groups` groups, and may spend `allowance`. Assumed are attempts that score
    0 or 1, a seed that scores `base` in the mean (`known` from that many stored verdicts on train and
    validation tasks; of none, a guess), and a winner that breaks `broken` of the passes. See
    `proof.power.provable_gain`.
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

    The proof uses all of its part, or nothing where no winner is worth a look. `claims` of the search's are
    tried first: on what is said of the agent and of old stored verdicts. `free` stored verdicts of the seed
    are used besides, where that holds, and cost nothing.
    """

    most: int
    search: int
    proof: int
    free: int
    claims: int = 0


class Plan(Struct, frozen=True):
    """What a run may use at most, and what for.

    `reflections` bounds the calls to the reflector. `tokens`, `usd` and `seconds` (of wall clock, at `width`
    calls at once) are estimates of what all these rollouts and reflections come to, by `known_calls` earlier
    calls of the same agent, reflector and judge; they are None where one of these was never called, or does
    not tell what it uses, and tokens and dollars also where no model is called (`calls_models`: an agent that
    is a program may call one). `usd` is never more than `budget.usd`, and is that where nothing is known;
    `usd_proof` of it are for the proof, which uses all of that or nothing. `notes` say what of the working
    tree counts, and where the budget is too small for any result. The roles in `handed_off` are answered by
    hand-off, reflections in waves of at most `wave`.
    """

    runbook: str
    run: str
    tasks: Tasks
    provable: Provable
    rollouts: Rollouts
    reflections: int
    tokens: int | None
    usd: float | None
    usd_proof: float | None
    seconds: float | None
    known_calls: KnownCalls
    calls_models: bool
    width: int
    notes: tuple[str, ...]
    wave: int
    handed_off: tuple[str, ...] = ()


def plan(ready: Prepared, earlier: Earlier) -> Plan:
    """What a run may use at most, and what that is likely to come to as `earlier` calls did.

    What it charges (`spent.rollouts` and `spent.cached`) is never more, since the driver begins no ask that
    the budget does not cover; neither is `spent.reflections`. Where the budget is what ends a run, what is
    said here is at most three times what the run has used of what ended it:

    - Rollouts of the search: what ends it is one ask that did not fit, of at most as many rollouts as there
      are validation or train tasks, whichever are more. Every run begins with the seed on all of both, so
      that it has used (charged or free) as many as that ask by then, and the search's part and the free ones
      together are less than twice what was used. (Of what was charged alone, the search's part is at most
      three times as much where it is at least 1.5 times that many tasks.) Where even this beginning does not
      fit, only what is charged of it counts here. (A run that first reflects on outputs of others tries seed
      and draft on validation alone: where there are more than four times as many train tasks as
      validation tasks, its next ask may be the one that did not fit.)
    - Reflections: a wave asks for at most two thirds of all that a run may make (`prepare`), so that it
      has made a third where the next wave does not fit.

    Tokens, dollars and seconds are estimates, and as good as earlier calls are like those of the run
    (`expected`). But whatever calls cost, a run charges at most `budget.usd` and what its last ask cost more
    than was expected of it. Where that ends the search, all of `usd` that is not for the proof is less than
    what the search has used and what the ask that did not fit was expected to cost.
    """
    problem, budget = ready.problem, ready.job.settings.budget
    # what every search begins with: what tries its claims, and the seed on all else, if they hold
    unknown = {*problem.validation, *problem.train} - {*problem.free, *ready.claims.first}
    beginning = ready.claims.rollouts + len(unknown)
    begins = beginning + ready.reserved <= budget.rollouts
    search = budget.rollouts - ready.reserved if begins else ready.claims.needed(problem)
    proof = ready.reserved if ready.job.look and begins else 0
    reflections = ready.reflections if begins else 0
    # as many waves as there are while each candidate is the best so far: on validation, and on train
    waves = max(1, math.ceil((search - beginning) / (len(problem.validation) + len(problem.train))))
    trying = beginning + len(problem.validation) + ready.reserved
    costs = asdict(expected(ready, Planned(search, proof, reflections, trying, waves), earlier))
    usd_trying = costs.pop("usd_trying")
    return Plan(
        runbook=ready.job.name,
        run=ready.run_id,
        tasks=Tasks(len(problem.train), len(problem.validation), len(ready.held_out)),
        provable=_provable(ready),
        rollouts=Rollouts(
            most=search + proof,
            search=search,
            proof=proof,
            free=len(problem.free),
            claims=ready.claims.rollouts,
        ),
        reflections=reflections,
        **costs,
        width=ready.job.settings.width,
        notes=(*ready.notes, *_warnings(budget, trying, usd_trying)),
        wave=problem.options.wave,
        handed_off=tuple(
            role for role in ("agent", "reflector") if getattr(ready.job.settings, role).kind == "handoff"
        ),
    )


def _warnings(budget: Budget, rollouts: int, usd: float | None) -> Iterator[str]:
    """Where no candidate can ever be better, or is likely to cost more than there is."""
    if rollouts > budget.rollouts:
        yield f"too few rollouts to try one candidate: raise budget.rollouts well above {rollouts}"
    if usd is not None and budget.usd is not None and usd > budget.usd:
        yield (
            "too few dollars to try one candidate, as earlier calls came to: raise budget.usd well above"
            f" {usd:.2f}"
        )


def _provable(ready: Prepared) -> Provable:
    project = ready.project
    scores = [attempt.score for attempt in ready.problem.free.values()]
    base = fmean(scores) if scores else UNKNOWN_SCORE
    may = next_look(project, ready.looks, ready.job.at)
    return Provable(
        gain=provable(project, ready.looks, ready.job.at, base=base, repeats=ready.repeats),
        power=POWER,
        look=may.look,
        allowance=may.spend,
        groups=len(project.held_out_groups),
        base=base,
        known=len(scores),
        broken=BROKEN,
    )
