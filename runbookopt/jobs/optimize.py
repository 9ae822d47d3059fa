"""The first half: search, proof and bundle. It knows agents and reflectors, and holds no token."""

import time
from collections.abc import Callable
from operator import attrgetter
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from runbookopt import __version__
from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import canonical
from runbookopt.documents.parse import Problem
from runbookopt.documents.settings import Settings, setting_types
from runbookopt.documents.usage import Spent
from runbookopt.engine.calls import caller_of
from runbookopt.engine.driver import Driver, Progress
from runbookopt.engine.journal import Journal, Run
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.split import group_of
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.prepare import Job, Prepared, local_folder, prepare
from runbookopt.jobs.rollouts import of_both, outputs_of
from runbookopt.landing.bundle import (
    AgentUsed,
    Bundle,
    Change,
    Digests,
    HeldOutOutputs,
    MemberSummary,
    ValidationSummary,
    encode,
    recorded_bundle,
    seal,
    write_bundle,
)
from runbookopt.landing.paired_outputs import held_out_digest, pairs
from runbookopt.proof.allowance import (
    Allowance,
    Look,
    allowance,
    looks_before,
    recorded,
)
from runbookopt.proof.comparison import MINIMUM_GROUPS, WORTH_A_LOOK, Comparison, compare, worth_a_look
from runbookopt.search.asks import Rollout
from runbookopt.search.loop import SearchResult, search
from runbookopt.search.pool import Member, lineage, places

Outcome = Literal["accepted", "rejected", "inconclusive", "no_candidate"]


class Result(Struct, frozen=True):
    """What came of a run.

    `bundle` and `allowance` are None where nobody looked at the held-out tasks; `patch` is the winner's diff
    against the base and `changes` are its reasons, both empty without a winner. `notes` say why it ended
    as it did, `warnings` what of the evidence was left out.
    """

    runbook: str
    run: str
    outcome: Outcome
    candidates: int
    spent: Spent
    validation: ValidationSummary
    patch: str
    changes: tuple[Change, ...]
    bundle: Bundle | None
    allowance: Allowance | None
    notes: tuple[str, ...]
    warnings: tuple[Problem, ...]


def optimize(repository: Repository, job: Job, progress: Callable[[Progress], None] | None = None) -> Result:
    """Search for a better runbook, prove it, and write the bundle.

    Raises RunbookoptError for all that a user can mend, as far as it can be known before the first rollout,
    and KeyboardInterrupt; the journal then holds all that was answered, and the same call goes on from there.
    """
    ready = prepare(repository, job)
    with Journal.open(local_folder(repository.root) / "journal.sqlite3") as journal:
        run = journal.run(ready.run_id, ready.terms)
        driver = _driver(ready, run, progress)
        found = driver.drive(search(ready.problem))
        if not found.pool:
            run.finish()  # else it would end at the same ask for ever
            raise RunbookoptError(
                f"{job.name}: the search's time was up before today's runbook was tried on"
                f" {len(ready.problem.validation)} validation tasks: raise budget.minutes or width;"
                " what was answered is kept"
            )
        result = _Conclusion(repository, ready, found, driver, run.id).result()
        run.finish()
    return result


def _driver(ready: Prepared, run: Run, progress: Callable[[Progress], None] | None) -> Driver:
    job, project, settings = ready.job, ready.project, ready.job.settings
    minutes = settings.budget.minutes
    return Driver(
        caller_of(project.rubric, project.evidence.tasks, job.agent, job.reflector, ready.judge),
        run,
        rollouts=settings.budget.rollouts,
        reserved=ready.reserved,
        reflections=ready.reflections,
        usd=settings.budget.usd,
        width=settings.width,
        deadline=None if minutes is None else time.monotonic() + 60 * minutes,
        progress=progress,
    )


def _differing(settings: Settings) -> dict[str, bool | str | int | float | None]:
    """Give the settings that are not as built in, by dotted key; the random seed is none of them.

    Lists and mappings are given as JSON.
    """
    found: dict[str, bool | str | int | float | None] = {}
    for key in setting_types():
        value, built_in = attrgetter(key)(settings), attrgetter(key)(Settings())
        if key != "random_seed" and value != built_in:
            plain = value is None or isinstance(value, str | int | float)
            found[key] = value if plain else canonical(value).decode()
    return found


class _Conclusion(Struct, frozen=True):
    """From what the search found to what the run says of it."""

    repository: Repository
    ready: Prepared
    found: SearchResult
    driver: Driver
    run: str

    def result(self) -> Result:
        """Look at the held-out tasks if that is worth it, and say what came of the run."""
        why_not = self._why_not_look()
        if why_not is not None:
            return self._without_look("no_candidate" if self.found.chosen == 0 else "inconclusive", why_not)
        if not self.ready.job.look:
            return self._without_look("inconclusive", "dry run: the held-out tasks were not opened")
        look = self._look()
        known = recorded(self.ready.looks, look)
        if known is not None and known.bundle is not None:
            return self._from_record(known)
        if not self.driver.affords(self._wanted(look)):
            why = "what is left of budget.usd does not cover the proof, so no look was spent"
            return self._without_look("inconclusive", why)
        return self._looked(look)

    # Before the look ------------------------------------------------------------------------------------

    @property
    def seed(self) -> Member:
        return self.found.pool[0]

    @property
    def winner(self) -> Member:
        return self.found.pool[self.found.chosen]

    def _why_not_look(self) -> str | None:
        p, groups = self._validation().p, len(self.ready.project.held_out_groups)
        if self.found.chosen == 0:
            return "no candidate was better than today's runbook on validation"
        if p > WORTH_A_LOOK:
            return (
                f"the winner is not clearly better on validation (p = {p:.2g}, above {WORTH_A_LOOK}), so"
                " no look at the held-out tasks was spent on it"
            )
        if groups < MINIMUM_GROUPS:
            return f"{groups} held-out groups are too few for a proof: at least {MINIMUM_GROUPS} are needed"
        return None

    def _validation(self) -> ValidationSummary:
        by_group: dict[str, list[float]] = {}
        for task, before in self.seed.validation.items():
            group = group_of(self.ready.project.evidence.task(task))
            by_group.setdefault(group, []).append(self.winner.validation[task].score - before.score)
        differences = [sum(gains) / len(gains) for gains in by_group.values()]
        return ValidationSummary(
            len(self.seed.validation), self.seed.score, self.found.expected, worth_a_look(differences)
        )

    def _without_look(self, outcome: Outcome, why: str) -> Result:
        return self._result(outcome, None, why)

    def _result(self, outcome: Outcome, bundle: Bundle | None, *notes: str) -> Result:
        return Result(
            runbook=self.ready.job.name,
            run=self.run,
            outcome=outcome,
            candidates=len(self.found.pool),
            spent=self.driver.spent,
            validation=self._validation(),
            patch=self._patch() if self.found.chosen else "",
            changes=self._changes(),
            bundle=bundle,
            allowance=self._allowance(bundle.look) if bundle and bundle.look else None,
            notes=(
                *self.ready.notes,
                f"the search ended: {self._why_ended()}",
                *notes,
            ),
            warnings=self.ready.project.warnings,
        )

    def _why_ended(self) -> str:
        told = {"budget": f"its budget of {self.driver.short_of} is used up", "minutes": "its time is up"}
        return told.get(self.found.ended, self.found.ended)

    # The look -------------------------------------------------------------------------------------------

    def _look(self) -> Look:
        project = self.ready.project
        asked = {
            "seed": project.runbook.digest,
            "candidate": self.winner.candidate.digest,
            "rubric": project.digests.rubric,
            "agent": self.ready.job.agent.key,
        }
        return Look.of(
            project.name,
            asked,
            groups=project.held_out_groups,
            tasks=self.ready.held_out,
            searched=(*project.split.train, *project.split.validation),
            at=self.ready.job.at,
        )

    def _from_record(self, known: Look) -> Result:
        """Rest on what an earlier run recorded of the same question, under today's base and policy."""
        record = recorded_bundle(self.ready.ledger, known.bundle or "")
        if record is None:
            raise RunbookoptError(
                f"the ledger lacks bundle {known.bundle}: git fetch origin, then run this again"
            )
        if record.look is None or record.comparison is None:
            raise RunbookoptError(f"bundle {known.bundle} of the ledger holds no proof")
        again = self._bundle(record.look, record.outputs, record.comparison)
        bundle = seal(replace(again, digests=replace(again.digests, held_out=record.digests.held_out)))
        write_bundle(bundle, local_folder(self.repository.root))
        return self._result(
            bundle.outcome, bundle, "the held-out tasks were asked this before: the record answers"
        )

    def _looked(self, look: Look) -> Result:
        """Register the look, then roll out both sides: one that never settles stays spent."""
        ready = self.ready
        ready.ledger.register(look)
        may = self._allowance(look)
        outputs = self._outputs(look)
        judged = pairs(outputs, {task.id: task for task in ready.held_out}, ready.project.rubric)
        compared = compare(judged, ready.project.policy.proof, spend=may.spend, next_spend=may.next_spend)
        bundle = seal(self._bundle(look, outputs, compared))
        write_bundle(bundle, local_folder(self.repository.root))
        if not ready.job.propose:  # else the second half settles it, once it has derived everything anew
            ready.ledger.settle(replace(look, bundle=bundle.digest, answer=bundle.outcome), encode(bundle))
        return self._result(bundle.outcome, bundle)

    def _allowance(self, look: Look) -> Allowance:
        earlier = looks_before(self.ready.ledger.looks(look.runbook), look.key)
        return allowance(earlier, look.groups, look.tasks, self.ready.project.policy.proof.allowance)

    def _wanted(self, look: Look) -> list[Rollout]:
        """Give the proof's rollouts: both sides on each held-out task, fresh unless repeats are alike."""
        alike, repeats = self.ready.job.agent.deterministic, range(self.ready.repeats)
        names = ["0" if alike else f"{look.key}/{number}" for number in repeats]
        return of_both(self.ready.held_out, (self.seed.candidate, self.winner.candidate), names)

    def _outputs(self, look: Look) -> tuple[HeldOutOutputs, ...]:
        ready, attempts = self.ready, self.driver.rollouts(self._wanted(look))
        return outputs_of(ready.project.rubric, ready.held_out, attempts, ready.repeats)

    # What is handed over --------------------------------------------------------------------------------

    def _bundle(self, look: Look, outputs: tuple[HeldOutOutputs, ...], compared: Comparison) -> Bundle:
        ready, project, job = self.ready, self.ready.project, self.ready.job
        offline = "offline" in {job.agent.name, job.reflector.name}
        return Bundle(
            run=self.run,
            version=__version__,
            runbook=project.name,
            path=project.path,
            base=ready.base,
            patch=self._patch(),
            candidate=self.winner.candidate.text,
            digests=Digests(
                runbook=project.digests.runbook,
                candidate=self.winner.candidate.digest,
                rubric=project.digests.rubric,
                policy=project.digests.policy,
                held_out=held_out_digest(ready.held_out),
            ),
            agent=AgentUsed(job.agent.name, job.agent.key, job.agent.deterministic),
            models=self._models(),
            offline=offline,
            random_seed=job.settings.random_seed,
            changes=self._changes(),
            members=self._members(),
            chosen=self.winner.candidate.digest,
            validation=self._validation(),
            candidates=len(self.found.pool),
            reflected_on=self._reflected_on(),
            look=look,
            outputs=outputs,
            outcome=compared.answer,
            comparison=compared,
            spent=self.driver.spent,
            settings=_differing(job.settings),
        )

    def _models(self) -> tuple[str, ...]:
        """Give the models that were called, by role."""
        judge = self.ready.project.rubric.judge
        asked = dict(self.ready.job.models) | ({"judge": judge.model} if self.ready.judge and judge else {})
        return tuple(f"{role}: {model}" for role, model in asked.items())

    def _patch(self) -> str:
        text = runbooks.bump_version(self.winner.candidate.text)
        return self.repository.patch(self.ready.base, self.ready.project.path, text)

    def _winners_line(self) -> tuple[Member, ...]:
        """Give the members that the winner was made through, oldest first."""
        pool = self.found.pool
        return tuple(pool[place] for place in sorted(lineage(pool, self.found.chosen)))

    def _changes(self) -> tuple[Change, ...]:
        edits = (edit for member in self._winners_line() for edit in member.edits)
        return tuple(Change(edit.component, edit.diagnosis, edit.cites) for edit in edits)

    def _reflected_on(self) -> tuple[str, ...]:
        shown = (shown for member in self._winners_line() for edit in member.edits for shown in edit.shown)
        return tuple(sorted(set(shown)))

    def _members(self) -> tuple[MemberSummary, ...]:
        """Give the frontier, and whatever its members were made from."""
        pool, held = self.found.pool, places(self.found.pool)
        frontier = {place for place, count in enumerate(held) if count} | {0, self.found.chosen}
        kept = sorted({ancestor for place in frontier for ancestor in lineage(pool, place)})
        return tuple(
            MemberSummary(
                digest=pool[place].candidate.digest,
                parents=tuple(pool[parent].candidate.digest for parent in pool[place].parents),
                wave=pool[place].wave,
                validation=pool[place].score,
                characters=len(pool[place].candidate.text),
                places=held[place],
                note="today's runbook" if place == 0 else f"{len(pool[place].edits)} edits",
            )
            for place in kept
        )
