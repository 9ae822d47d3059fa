"""Plan of a run, made before it: the most that it may cost, and the gain that it can prove (pure)."""

import math
from collections.abc import Iterator
from statistics import fmean

from msgspec import Struct
from msgspec.structs import asdict

from runbookopt.calibration.planner import tasks_factor
from runbookopt.evidence.split import DRAWN
from runbookopt.jobs.feasibility import gain_at, next_look, provable
from runbookopt.jobs.planning.allotment import beginning, least
from runbookopt.jobs.planning.forecast import Earlier, KnownCalls, Planned, expected
from runbookopt.jobs.prepare import Prepared
from runbookopt.project.project import Project
from runbookopt.proof.comparison import MINIMUM_GROUPS
from runbookopt.proof.power import BROKEN, POWER, UNKNOWN_SCORE
from runbookopt.search.problem import Problem

TRIALS = (1, 2, 3, 5)
"""Trials of a task that a proof is priced with, besides those that the policy asks for."""


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
    are used besides, where that holds, and cost nothing. `known` of the search's are in the journal, by an
    evaluation or an earlier search: they are charged to the budget, and nobody is asked.
    """

    most: int
    search: int
    proof: int
    free: int
    claims: int = 0
    known: int = 0


class Proof(Struct, frozen=True):
    """A proof at the price of the planned one: so many trials of each of so many held-out tasks.

    `gain` is the smallest that it proves, as `Provable` says; None where it proves none.
    """

    repeats: int
    tasks: int
    gain: float | None


class Shrunk(Struct, frozen=True):
    """A criterion that agrees with people's labels in part alone, by Youden's `j` on held-out labels.

    A true gain shows as `j` of it, so that it takes `tasks` times the tasks to prove the same one (1 / j^2).
    """

    criterion: str
    j: float
    tasks: float


class Plan(Struct, frozen=True):
    """What a run may use at most, and what for.

    `reflections` bounds the calls to the reflector. `tokens`, `usd` and `seconds` (of wall clock, at `width`
    calls at once) are estimates of what all these rollouts and reflections come to, by `known_calls` earlier
    calls of the same agent, reflector and judge; they are None where one of these was never called, or does
    not tell what it uses, and tokens and dollars also where no model is called (`calls_models`: an agent that
    is a program may call one). `usd` is never more than `budget.usd`, and is that where nothing is known;
    `usd_proof` of it are for the proof, which uses all of that or nothing. `tokens_rollouts` and
    `usd_rollouts` are those of all rollouts alone, which may be known where nobody has reflected yet. `notes`
    say what of the working tree counts, and where the budget is too small for any result. The roles in
    `handed_off` are answered by hand-off, reflections in waves of at most `wave`. `proofs`, of an agent that
    errs by chance, are what the proof's rollouts could be spent on otherwise: more trials of fewer tasks, or
    fewer of more. `shrunk` are the criteria that decide by agreement with people, and by how much each
    shrinks what is gained.
    """

    runbook: str
    run: str
    tasks: Tasks
    provable: Provable
    rollouts: Rollouts
    reflections: int
    tokens: int | None
    tokens_rollouts: int | None
    usd: float | None
    usd_rollouts: float | None
    usd_proof: float | None
    seconds: float | None
    known_calls: KnownCalls
    calls_models: bool
    width: int
    notes: tuple[str, ...]
    wave: int
    handed_off: tuple[str, ...] = ()
    proofs: tuple[Proof, ...] = ()
    shrunk: tuple[Shrunk, ...] = ()


def plan(ready: Prepared, earlier: Earlier) -> Plan:
    """What a run may use at most, and what that is likely to come to as `earlier` calls did.

    What it charges (`spent.rollouts` and `spent.cached`) is never more, since the driver begins no ask that
    the budget does not cover; neither is `spent.reflections`. Where the budget is what ends a run, what is
    said here is at most three times what the run has used of what ended it:

    - Rollouts of the search: what ends it is one ask that did not fit, of at most as many rollouts as there
      are validation or train tasks, whichever are more (or, of a reflector of several edits, as many as edits
      of the best text are looked at on, two for each). Every run begins with the seed on all of both, so
      that it has used (charged or free) as many as that ask by then, and the search's part and the free ones
      together are less than twice what was used. (Of what was charged alone, the search's part is at most
      three times as much where it is at least 1.5 times that many tasks.) A budget in which this beginning
      and one draft do not fit is refused. (A run that first reflects on outputs of others tries seed
      and draft on validation alone: where there are more than four times as many train tasks as
      validation tasks, its next ask may be the one that did not fit.)
    - Reflections: a wave asks for at most two thirds of all that a run may make (`prepare`), so that it
      has made a third where the next wave does not fit.

    Tokens, dollars and seconds are estimates, and as good as earlier calls are like those of the run
    (`expected`). But whatever calls cost, a run charges at most `budget.usd` and what its last ask cost more
    than was expected of it. Where that ends the search, all of `usd` that is not for the proof is less than
    what the search has used and what the ask that did not fit was expected to cost.
    """
    problem, given = ready.problem, ready.allotment
    planned = _planned(ready, earlier)
    provable, search = _provable(ready, earlier), given.rollouts - given.reserved
    costs = asdict(expected(ready, planned, earlier))
    del costs["usd_trying"]
    short = too_few_dollars(ready, earlier)
    return Plan(
        runbook=ready.job.name,
        run=ready.run_id,
        tasks=Tasks(len(problem.train), len(problem.validation), len(ready.held_out)),
        provable=provable,
        rollouts=Rollouts(
            most=search + planned.proof,
            search=search,
            proof=planned.proof,
            free=len(problem.free),
            claims=ready.claims.rollouts,
            known=len(earlier.known),
        ),
        reflections=given.reflections,
        **costs,
        width=ready.job.settings.width,
        notes=(*ready.notes, *([short] if short else ())),
        wave=problem.options.wave,
        handed_off=tuple(
            role for role in ("agent", "reflector") if getattr(ready.job.settings, role).kind == "handoff"
        ),
        proofs=tuple(_proofs(ready, provable)),
        shrunk=tuple(_shrunk(ready.project)),
    )


def too_few_dollars(ready: Prepared, earlier: Earlier) -> str | None:
    """Why `budget.usd` covers no draft, as far as `earlier` calls say; None where it does."""
    usd, needed = ready.job.settings.budget.usd, expected(ready, _planned(ready, earlier), earlier).usd_trying
    if usd is None or needed is None or needed <= usd:
        return None
    return (
        f"{usd:g} dollars do not cover one draft and its proof, as earlier calls came to: {raise_usd(needed)}"
    )


def _planned(ready: Prepared, earlier: Earlier) -> Planned:
    """The calls that a run may make, without the rollouts that the journal answers."""
    problem, given, known = ready.problem, ready.allotment, len(earlier.known)
    search, proof = given.rollouts - given.reserved, given.reserved if ready.job.look else 0
    waves = max(1, _waves(problem, search - beginning(problem, ready.claims)))
    trying = least(problem, ready.claims, given.reserved)
    return Planned(search - known, proof, given.reflections, trying - known, waves)


def _waves(problem: Problem, rollouts: int) -> int:
    """For how many waves of reflection so many rollouts are enough, where most of them are made.

    A candidate that is the best so far is tried on validation, and on train. Where a draft is looked at first
    after one fell, all drafts but one of a patience may have fallen, after so few rollouts.
    """
    options, best = problem.options, len(problem.validation) + len(problem.train)
    if not options.first:
        return math.ceil(rollouts / best)
    look = min(options.first, len(problem.validation))
    return options.patience * math.ceil(rollouts / (best + (options.patience - 1) * look))


def raise_usd(usd: float) -> str:
    """What to do where so many dollars are needed."""
    return f"raise budget.usd to {math.ceil(100 * usd) / 100:.2f} at least"


def _provable(ready: Prepared, earlier: Earlier) -> Provable:
    project = ready.project
    scores = [attempt.score for attempt in ready.problem.free.values()]
    scores += [score for score in earlier.known.values() if score is not None]
    base = fmean(scores) if scores else UNKNOWN_SCORE
    may = next_look(project, ready.looks, ready.job.at)
    return Provable(
        gain=provable(project, ready.looks, ready.job.at, base=base, repeats=_repeats(ready)),
        power=POWER,
        look=may.look,
        allowance=may.spend,
        groups=len(project.held_out_groups),
        base=base,
        known=len(scores),
        broken=BROKEN,
    )


def _proofs(ready: Prepared, planned: Provable) -> Iterator[Proof]:
    """What the proof's rollouts could be spent on, by trials of a task, where these differ."""
    repeats, tasks = _repeats(ready), len(ready.held_out)
    if repeats is None:
        return
    for each in sorted({*TRIALS, repeats}):
        some = tasks * repeats // each
        groups = planned.groups * some // tasks
        if MINIMUM_GROUPS <= groups <= max(DRAWN["held-out"], planned.groups):
            gain = gain_at(ready.project, planned.allowance, groups, base=planned.base, repeats=each)
            yield Proof(each, some, gain if each != repeats else planned.gain)


def _shrunk(project: Project) -> Iterator[Shrunk]:
    """The criteria that decide, and show less than is gained.

    Verdicts that err alike before and after the change move a pass rate by J of what it truly moves (Rogan
    and Gladen, 1978, "Estimating prevalence from the results of a screening test").
    """
    deciding = {criterion.id for criterion in project.rubric.deciding}
    for each in project.standings_at() if project.is_calibrated else ():
        times = None if each.j is None else tasks_factor(each.j)
        if each.criterion in deciding and each.j is not None and times is not None and times > 1:
            yield Shrunk(each.criterion, each.j, times)


def _repeats(ready: Prepared) -> int | None:
    """Trials of a held-out task; None where all of them come out alike."""
    return None if ready.job.agent.deterministic else ready.repeats
