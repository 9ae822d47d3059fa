"""Search, proof and bundle of one runbook. It knows agents and reflectors, and holds no token."""

import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from runbookopt.calibration.health import Health, failed_calls
from runbookopt.engine.calls import caller_of, recall
from runbookopt.engine.driver import Driver
from runbookopt.engine.journal import Journal, Run
from runbookopt.engine.progress import Progress
from runbookopt.engine.unanswered import TooManyUnanswered
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.split import group_of
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.bundle_of_run import bundle_of_run, members_of, reasons_of, suspects_in
from runbookopt.jobs.claims import Believed, believing
from runbookopt.jobs.feasibility import allowance_of
from runbookopt.jobs.finished import kept, standing
from runbookopt.jobs.first_outputs import looking
from runbookopt.jobs.journals import open_journal
from runbookopt.jobs.planning.forecast import earlier_calls
from runbookopt.jobs.planning.plan import raise_usd, too_few_dollars
from runbookopt.jobs.prepare import Job, Prepared, prepare
from runbookopt.jobs.result import Result
from runbookopt.jobs.rollouts import (
    accounted,
    bundle_of,
    compared,
    leaving,
    look_of,
    of_both,
    outputs_of,
    taken_by,
)
from runbookopt.jobs.search_ended import nothing_known, what_it_cost, why_ended, why_unknown
from runbookopt.landing.bundle import (
    Bundle,
    ValidationSummary,
    encode,
    seal,
    write_bundle,
)
from runbookopt.landing.bundle_limits import no_room
from runbookopt.landing.ledger.readings import write_reading
from runbookopt.landing.paired_outputs import pairs
from runbookopt.landing.reporting.measurement import health_of
from runbookopt.landing.reporting.newest_quarter import newest_quarter
from runbookopt.project.local_state import local_folder
from runbookopt.proof.allowance import Allowance, Look, recorded
from runbookopt.proof.comparison import (
    MINIMUM_GROUPS,
    MOST_ERRORS,
    WORTH_A_LOOK,
    Comparison,
    worth_a_look,
)
from runbookopt.proof.disclosure import is_told
from runbookopt.proof.ledger import Reading
from runbookopt.proof.records import keep_shown
from runbookopt.search.asking import Asking
from runbookopt.search.asks import NoAnswer
from runbookopt.search.loop import SearchResult


def optimize(repository: Repository, job: Job, progress: Callable[[Progress], None] | None = None) -> Result:
    """Search for a better runbook, prove it, and write the bundle.

    Raises RunbookoptError for all that a user can mend, as far as it can be known before the first rollout,
    Invalid where too much was not answered, Awaiting where replies are awaited, and KeyboardInterrupt; the
    journal then holds all that was answered, and the same call goes on from there. A look that was registered
    before stays so and is not settled: the same call continues it. Where nothing is new since the same run
    finished, its result stands.
    """
    ready = prepare(repository, job)
    with open_journal(repository) as journal:
        reading, file = _leave_reading(repository, ready)
        result = standing(repository, ready, journal)
        if result is None:
            result = _ran(repository, ready, journal, progress)
        if ready.job.propose:
            ready.ledger.read(reading)
        if file is not None and (ready.job.propose or result.bundle is not None):
            file.unlink(missing_ok=True)  # origin has it, or its look says the same
    return result


def _ran(
    repository: Repository,
    ready: Prepared,
    journal: Journal,
    progress: Callable[[Progress], None] | None,
) -> Result:
    """The result of a run that is made now, and kept in the journal unless it lacked something."""
    job = ready.job
    if all(record.id != ready.run_id for record in journal.runs()):  # what began goes on
        short = too_few_dollars(ready, earlier_calls(repository, ready, scored=False))
        if short is not None:
            raise RunbookoptError(f"{job.name}: {short}")
    run = journal.run(ready.run_id, ready.terms)
    recall(journal, job.agent, job.reflector, ready.judge)
    driver = _driver(ready, run, progress)
    with accounted(driver, job.handoff):
        look = looking(ready.project, job.settings)
        searching = believing(ready.problem, ready.claims, ready.project.evidence, look)
        searched, believed = driver.drive(_heard(searching, driver))
    if not searched.pool:
        run.finish()  # else it would end at the same ask for ever
        raise RunbookoptError(nothing_known(ready, driver))
    if searched.cause == "unfit" and len(searched.pool) == 1:  # nothing was looked for
        run.finish()  # asked again, another reply may be one
        raise RunbookoptError(f"{job.name}: {why_ended(searched, driver)}; {what_it_cost(driver)}")
    unproved = _unproved(repository, ready, searched, believed, driver, run.id)
    result = _proved(repository, ready, searched, driver, unproved)
    lacks = searched.cause == "minutes" or driver.lacking or driver.reflections.unanswered
    run.finish(None if lacks else kept(ready, result))
    return result


def _leave_reading(repository: Repository, ready: Prepared) -> tuple[Reading, Path | None]:
    """Write down what the search is going to read, before it does: it may never come to a look.

    That goes into this clone's ledger, and for who may write at origin into a file beside the bundles; None
    where origin knows all of it.
    """
    read = (*ready.problem.train, *ready.problem.validation)
    reading = Reading(ready.job.name, tuple(sorted(read)), ready.job.at)
    ready.ledger.read(reading, push=False)
    if ready.ledger.burnt_at_origin(*ready.names).issuperset(read):
        return reading, None
    return reading, write_reading(reading, local_folder(repository))


def _driver(ready: Prepared, run: Run, progress: Callable[[Progress], None] | None) -> Driver:
    job, project, settings = ready.job, ready.project, ready.job.settings
    minutes = settings.budget.minutes
    caller = caller_of(
        project.rubric, project.evidence.tasks, job.agent, job.reflector, ready.judge, taken=taken_by(project)
    )
    return Driver(
        replace(caller, reflects=True),
        run,
        rollouts=ready.allotment.rollouts,
        reserved=ready.allotment.reserved,
        reflections=ready.allotment.reflections,
        usd=settings.budget.usd,
        width=settings.width,
        deadline=None if minutes is None else time.monotonic() + 60 * minutes,
        progress=progress,
    )


def _heard(
    searching: Asking[tuple[SearchResult, Believed]], driver: Driver
) -> Asking[tuple[SearchResult, Believed]]:
    """The search; raises Invalid where it found nothing, and nobody can say that there was nothing to find.

    It is driven too, so that the run takes back what it was told of reflections without a reply.
    """
    searched, believed = yield from searching
    counts = driver.reflections
    last, lost = counts.last, counts.unanswered
    if not searched.chosen and last is not None and lost > MOST_ERRORS * counts.asked:
        raise TooManyUnanswered(
            f"{lost} of {counts.asked} reflections came to nothing, and not by the reflector's fail; the last"
            f" of them: {last.kind}: {last.message}"
        )
    return searched, believed


# Before the look ----------------------------------------------------------------------------------------


def _unproved(
    repository: Repository,
    ready: Prepared,
    searched: SearchResult,
    believed: Believed,
    driver: Driver,
    run: str,
) -> Result:
    """The result of the search alone."""
    patch = ""
    if searched.chosen:
        text = searched.pool[searched.chosen].candidate.text
        patch = repository.patch(ready.base, ready.project.path, text)
    lacking = [f"{driver.lacking} attempts of the search have no score, by nobody's fail"]
    ended, validation = why_ended(searched, driver), _validation(ready, searched)
    changes, replaced = reasons_of(ready, searched)
    doubtful = suspects_in(ready, searched)
    return Result(
        runbook=ready.job.name,
        run=run,
        outcome="inconclusive" if searched.chosen else "no_candidate",
        candidates=len(searched.pool),
        spent=driver.spent,
        validation=validation,
        patch=patch,
        changes=changes,
        replaced=replaced,
        bundle=None,
        allowance=None,
        notes=(
            *ready.notes,
            *lacking[: driver.lacking],
            *believed.notes,
            f"the search ended: {ended}",
        ),
        warnings=ready.project.warnings,
        stored=believed.stored,
        suspects=doubtful,
        repliers=driver.repliers,
        unknown=why_unknown(ready, searched, driver) if validation.p > WORTH_A_LOOK else None,
        health=Health(
            errors=None,
            missing=driver.lacking,
            failed_calls=failed_calls(driver.spent.usage),
            noise=0.0 if ready.job.agent.deterministic else None,
            suspects=len(doubtful),
            standings=ready.project.standings_at(),
        ),
    )


def _validation(ready: Prepared, searched: SearchResult) -> ValidationSummary:
    seed, winner = searched.pool[0], searched.pool[searched.chosen]
    by_group: dict[str, list[float]] = {}
    for task, before in seed.validation.items():
        group = group_of(ready.project.evidence.task(task))
        by_group.setdefault(group, []).append(winner.validation[task].score - before.score)
    p = worth_a_look([sum(gains) / len(gains) for gains in by_group.values()])
    after = searched.expected if searched.chosen else seed.score
    return ValidationSummary(len(seed.validation), seed.score, after, p)


def _why_not_look(ready: Prepared, unproved: Result) -> str | None:
    p, groups = unproved.validation.p, len(ready.project.held_out_groups)
    if unproved.outcome == "no_candidate":
        return unproved.unknown or "no draft was clearly better than today's runbook on validation"
    if p > WORTH_A_LOOK:
        return (
            f"the best draft is not clearly better on validation (p = {p:.2g}, above {WORTH_A_LOOK}), so"
            " no look at the held-out tasks was spent on it"
        )
    if groups < MINIMUM_GROUPS:
        return f"{groups} held-out groups are too few for a proof: at least {MINIMUM_GROUPS} are needed"
    return None if ready.job.look else "dry run: the held-out tasks were not opened"


# The look -----------------------------------------------------------------------------------------------


def _proved(
    repository: Repository, ready: Prepared, searched: SearchResult, driver: Driver, unproved: Result
) -> Result:
    """The result once the held-out tasks were looked at, if that is worth it.

    The look is registered before both sides are rolled out: one that never settles stays spent.
    """
    why_not = _why_not_look(ready, unproved)
    if why_not is not None:
        return _noted(unproved, why_not)
    sides = (searched.pool[0].candidate, searched.pool[searched.chosen].candidate)
    seed, winner = ready.project.runbook.digest, sides[1].digest
    shown = (*ready.problem.train, *ready.problem.validation)
    look = look_of(ready.job, ready.project, ready.held_out, seed=seed, candidate=winner, searched=shown)
    full = no_room(unproved.patch, sides[1].text, unproved.changes, members_of(searched), look)
    if full is not None:
        return _noted(unproved, f"a bundle cannot hold this winner, so no look was spent: {full}")
    earlier = recorded(ready.looks, look)
    if earlier is not None and earlier.bundle is not None:
        return _from_record(repository, ready, searched, unproved, earlier.bundle)
    # both sides on each held-out task, fresh unless repeats are alike
    alike = ready.job.agent.deterministic
    names = ["0" if alike else f"{look.key}/{number}" for number in range(ready.repeats)]
    tasks = (*ready.held_out, *ready.red_team)
    rollouts = of_both(tasks, sides, names)
    if not driver.affords(rollouts):
        needed = raise_usd((driver.spent.usd or 0.0) + driver.usd_a_rollout * len(rollouts))
        why = f"what is left of budget.usd does not cover the proof, so no look was spent: {needed}"
        return _noted(unproved, why)
    ready.ledger.register(look)
    may = allowance_of(ready.project, ready.ledger.looks(*ready.names), look)
    with accounted(driver, ready.job.handoff), leaving(may.look):
        attempts = driver.rollouts(rollouts)
    outputs = outputs_of(ready.project, tasks, attempts, ready.repeats)
    outputs, red_team = outputs[: len(ready.held_out)], outputs[len(ready.held_out) :]
    comparison = compared(ready.project, ready.held_out, outputs, may)
    result = replace(unproved, spent=driver.spent, repliers=driver.repliers)
    if lacking := sum(isinstance(each, NoAnswer) for each in attempts):
        result = _noted(
            result,
            f"{lacking} of {len(attempts)} attempts of the proof have no score, by nobody's fail: they count"
            " for today's runbook and against the winner",
        )
    made = bundle_of_run(ready, searched, result, look, outputs, comparison)
    bundle = seal(replace(made, red_team=red_team))
    write_bundle(bundle, local_folder(repository))
    if not ready.job.propose:  # else the second half settles it, once it has derived everything anew
        ready.ledger.settle(replace(look, bundle=bundle.digest, answer=bundle.outcome), encode(bundle))
    _note_what_is_shown(ready, comparison, look)
    proved = _looked(ready, result, bundle, may)
    if ready.job.propose:
        return proved
    return _noted(
        proved,
        f"look {may.look} is what this clone takes it for: it is not registered at origin before"
        " `runbookopt propose`, and others may have looked by then",
    )


def _note_what_is_shown(ready: Prepared, comparison: Comparison, look: Look) -> None:
    """Write down that figures of a look are to be shown, where no second half at hand does so."""
    if ready.job.show_figures and not ready.job.propose and not is_told(comparison):
        keep_shown(ready.ledger, look)


def _looked(ready: Prepared, result: Result, bundle: Bundle, may: Allowance) -> Result:
    """The result with what a look came to."""
    evidence = ready.project.evidence
    tasks = {task.id: task for task in evidence.tasks}
    seen = [output for output in bundle.outputs if output.task in tasks]  # some of a record may be gone
    paired = pairs(seen, tasks, ready.project.rubric)
    return replace(
        result,
        outcome=bundle.outcome,
        bundle=bundle,
        allowance=may,
        newest=newest_quarter(paired, evidence),
        suspects=bundle.suspects,
        health=health_of(bundle, bundle.comparison, paired, ready.project.standings_at()),
    )


def _noted(result: Result, note: str) -> Result:
    return replace(result, notes=(*result.notes, note))


def _from_record(
    repository: Repository, ready: Prepared, searched: SearchResult, unproved: Result, digest: str
) -> Result:
    """The result by what an earlier run recorded of the same question, under today's base and policy."""
    record = bundle_of(ready.ledger, digest)
    if record.look is None or record.comparison is None:
        raise RunbookoptError(f"bundle {digest} of the ledger holds no proof")
    again = bundle_of_run(ready, searched, unproved, record.look, record.outputs, record.comparison)
    digests = replace(again.digests, held_out=record.digests.held_out)
    bundle = seal(replace(again, digests=digests, red_team=record.red_team))
    write_bundle(bundle, local_folder(repository))
    may = allowance_of(ready.project, ready.ledger.looks(*ready.names), record.look)
    _note_what_is_shown(ready, record.comparison, record.look)
    result = _looked(ready, unproved, bundle, may)
    return _noted(result, "the held-out tasks were asked this before: the record answers")
