"""Rollouts that no search asks for: those of an evaluation and of a proof, with their outputs."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice

from msgspec import Struct

from runbookopt.agents.protocol import Judge, OpenAsks, Produced
from runbookopt.documents.digest import digest_of
from runbookopt.documents.usage import Spent
from runbookopt.engine.calls import caller_of, recall
from runbookopt.engine.driver import Driver
from runbookopt.engine.progress import Progress
from runbookopt.errors import Awaiting, Invalid, RunbookoptError
from runbookopt.evidence.trajectory import Left, Task
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.journals import open_journal
from runbookopt.jobs.prepare import Job
from runbookopt.landing.bundle import Bundle, HeldOutOutputs, recorded_bundle
from runbookopt.landing.paired_outputs import Tried, pairs, put_out, why_too_large
from runbookopt.project.project import Project
from runbookopt.proof.allowance import Allowance, Look
from runbookopt.proof.comparison import Comparison, compare
from runbookopt.proof.ledger import Ledger
from runbookopt.search.asks import Attempt, Candidate, NoAnswer, Rollout


class BudgetExceeded(RunbookoptError):
    """The budget does not cover what is to be rolled out."""


class Rollouts(Struct, frozen=True):
    """Rollouts of a job without a search, as a run of their own in the journal."""

    repository: Repository
    job: Job
    project: Project
    judge: Judge | None
    progress: Callable[[Progress], None] | None

    def must_afford(self, rollouts: int) -> None:
        """Refuse more rollouts than the budget has. Raises BudgetExceeded."""
        budget = self.job.settings.budget.rollouts
        if budget is not None and rollouts > budget:
            raise BudgetExceeded(
                f"{self.project.name}: this takes {rollouts} rollouts, and the budget is {budget}:"
                f" raise budget.rollouts to {rollouts}, or take it away"
            )

    def answered(
        self, rollouts: Sequence[Rollout], terms: Mapping[str, object]
    ) -> tuple[list[Attempt | NoAnswer], Spent]:
        """The attempts, in the order of `rollouts`, and what they cost.

        `terms`, with rubric, agent and judge, name the run: the same ones go on where they were interrupted.
        Raises BudgetExceeded, Invalid and Awaiting with what was spent, and what agent and judge raise; what
        was answered is kept.
        """
        self.must_afford(len(rollouts))
        job, project = self.job, self.project
        judge = self.judge.key if self.judge else None
        all_terms = {**terms, "rubric": project.digests.rubric, "agent": job.agent.key, "judge": judge}
        with open_journal(self.repository) as journal:
            run = journal.run(digest_of(all_terms).removeprefix("sha256:")[:12], all_terms)
            recall(journal, job.agent, job.reflector, self.judge)
            driver = Driver(
                caller_of(
                    project.rubric,
                    project.evidence.tasks,
                    job.agent,
                    job.reflector,
                    self.judge,
                    taken=taken_by(project),
                ),
                run,
                rollouts=len(rollouts),
                reserved=len(rollouts),
                usd=job.settings.budget.usd,
                width=job.settings.width,
                progress=self.progress,
            )
            with accounted(driver, job.handoff):
                attempts = self._rolled_out(driver, rollouts)
            run.finish()
        return attempts, driver.spent

    def _rolled_out(self, driver: Driver, rollouts: Sequence[Rollout]) -> list[Attempt | NoAnswer]:
        """Roll out; where dollars are a limit, begin with a few, which say what the others will cost."""
        usd = self.job.settings.budget.usd
        first = len(rollouts) if usd is None else self.job.settings.width
        attempts = driver.rollouts(rollouts[:first])
        rest = rollouts[first:]
        if rest and not driver.affords(rest):
            needed = math.ceil(100 * len(rollouts) * driver.usd_a_rollout) / 100
            raise BudgetExceeded(
                f"{self.project.name}: by what the first {first} of {len(rollouts)} rollouts cost, all of"
                f" them cost more than {usd:g} dollars: raise budget.usd to {needed:.2f} at least; what was"
                " answered is kept"
            )
        return attempts + driver.rollouts(rest) if rest else attempts


@contextmanager
def accounted(driver: Driver, handoff: OpenAsks | None) -> Iterator[None]:
    """Tell an Invalid and an Awaiting what was spent, and close the asks that are not open any more."""
    try:
        yield
    except Invalid as error:
        error.spent = driver.spent
        raise
    except Awaiting as awaiting:
        awaiting.spent = driver.spent
        if handoff is not None:
            awaiting.read = handoff.read
            awaiting.notes = handoff.close(but=awaiting.asks)
        raise
    if handoff is not None:
        handoff.close()


@contextmanager
def leaving(look: int) -> Iterator[None]:
    """Tell an Invalid and an Awaiting the number of the look that they leave unsettled."""
    try:
        yield
    except (Awaiting, Invalid) as error:
        error.look = look
        raise


def taken_by(project: Project) -> Callable[[Produced], Produced]:
    """What is taken of an attempt: one that no bundle could hold is a failure, and told why."""
    attempts = 2 * project.policy.proof.repeats * (len(project.split.held_out) + len(project.split.red_team))

    def taken(made: Produced) -> Produced:
        why = why_too_large(project.rubric, made.output, made.left, attempts)
        left = made.left or Left()
        return made if why is None else Produced(None, Left(left.exit_code, left.seconds, reason=why))

    return taken


def look_of(  # a look at the same question has the same key, whoever takes it
    job: Job,
    project: Project,
    tasks: Sequence[Task],
    *,
    seed: str,
    candidate: str,
    searched: tuple[str, ...] = (),
) -> Look:
    """The look at held-out `tasks` that compares two runbooks by their digests; see `Look`."""
    agent, rubric = job.agent.key, project.digests.rubric
    return Look.of(
        project.name,
        {"seed": seed, "candidate": candidate, "rubric": rubric, "agent": agent},
        groups=project.held_out_groups,
        tasks=tasks,
        searched=searched,
        at=job.at,
    )


def of_both(tasks: Sequence[Task], sides: Sequence[Candidate], names: Sequence[str]) -> list[Rollout]:
    """A proof's rollouts: both sides, today's first, on each held-out task, once for each name."""
    return [Rollout(side, task.id, name) for task in tasks for side in sides for name in names]


def outputs_of(
    project: Project, tasks: Sequence[Task], attempts: Sequence[Attempt | NoAnswer], repeats: int
) -> tuple[HeldOutOutputs, ...]:
    """Outputs of the rollouts of `of_both`, as a bundle holds them."""
    tried = map(_tried, attempts)
    return tuple(
        put_out(project.rubric, task, before=[*islice(tried, repeats)], after=[*islice(tried, repeats)])
        for task in tasks
    )


def compared(
    project: Project, tasks: Sequence[Task], outputs: Sequence[HeldOutOutputs], may: Allowance
) -> Comparison:
    """What the proof says of outputs on held-out tasks."""
    judged = pairs(outputs, {task.id: task for task in tasks}, project.rubric)
    proof = project.policy.proof
    return compare(judged, proof, spend=may.spend, next_spend=may.renewed_spend)


def _tried(attempt: Attempt | NoAnswer) -> Tried:
    if isinstance(attempt, NoAnswer):
        return Tried(None, no_answer=attempt.kind)
    return Tried(attempt.output, attempt.verdicts, attempt.left)


def bundle_of(ledger: Ledger, digest: str) -> Bundle:
    """A bundle that the ledger keeps; raises RunbookoptError where it is not there."""
    bundle = recorded_bundle(ledger, digest)
    if bundle is None:
        raise RunbookoptError(f"the ledger lacks bundle {digest}: git fetch origin, then run this again")
    return bundle
