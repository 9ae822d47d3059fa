"""Rollouts that no search asks for: those of an evaluation, and those of a proof, with what they put out."""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from runbookopt.agents.protocol import Judge
from runbookopt.documents.digest import digest_of
from runbookopt.documents.usage import Spent
from runbookopt.engine.calls import caller_of
from runbookopt.engine.driver import Driver, Progress
from runbookopt.engine.journal import Journal, Run
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.trajectory import Task
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.prepare import Job, local_folder
from runbookopt.landing.bundle import HeldOutOutputs
from runbookopt.landing.paired_outputs import Tried, put_out
from runbookopt.project.project import Project
from runbookopt.search.asks import Attempt, Candidate, Rollout
from runbookopt.verifier.rubric import Rubric


class BudgetExceeded(RunbookoptError):
    """The budget does not cover what is to be rolled out."""


class Answered(Struct, frozen=True):
    """Attempts, in the order in which they were wanted, and what they cost."""

    attempts: tuple[Attempt, ...]
    spent: Spent


class Rollouts(Struct, frozen=True):
    """Rolls out what is wanted of a job without a search, as a run of its own in the journal."""

    repository: Repository
    job: Job
    project: Project
    judge: Judge | None
    progress: Callable[[Progress], None] | None

    def must_afford(self, rollouts: int) -> None:
        """Refuse more rollouts than the budget has. Raises BudgetExceeded."""
        budget = self.job.settings.budget.rollouts
        if rollouts > budget:
            raise BudgetExceeded(
                f"{self.project.name}: this takes {rollouts} rollouts, and the budget is {budget}:"
                " raise budget.rollouts"
            )

    def answered(self, wanted: Sequence[Rollout], terms: Mapping[str, object]) -> Answered:
        """Roll out; `terms` name the run: the same ones go on where they were interrupted.

        Raises BudgetExceeded, and what agent and judge raise; what was answered is kept.
        """
        self.must_afford(len(wanted))
        with Journal.open(local_folder(self.repository.root) / "journal.sqlite3") as journal:
            run = journal.run(digest_of(terms).removeprefix("sha256:")[:12], terms)
            driver = self._driver(run, len(wanted))
            attempts = self._rolled_out(driver, wanted)
            run.finish()
        return Answered(tuple(attempts), driver.spent)

    def _driver(self, run: Run, rollouts: int) -> Driver:
        job, project = self.job, self.project
        return Driver(
            caller_of(project.rubric, project.evidence.tasks, job.agent, job.reflector, self.judge),
            run,
            rollouts=rollouts,
            reserved=rollouts,
            usd=job.settings.budget.usd,
            width=job.settings.width,
            progress=self.progress,
        )

    def _rolled_out(self, driver: Driver, wanted: Sequence[Rollout]) -> list[Attempt]:
        """Roll out; where dollars are a limit, begin with a few, which say what the others will cost."""
        first = len(wanted) if self.job.settings.budget.usd is None else self.job.settings.width
        attempts = driver.rollouts(wanted[:first])
        if wanted[first:]:
            if not driver.affords(wanted[first:]):
                raise BudgetExceeded(
                    f"{self.project.name}: by what the first {first} of {len(wanted)} rollouts cost, all of"
                    f" them cost more than {self.job.settings.budget.usd:g} dollars: raise budget.usd; what"
                    " was answered is kept"
                )
            attempts += driver.rollouts(wanted[first:])
        return attempts


def of_both(tasks: Sequence[Task], sides: Sequence[Candidate], names: Sequence[str]) -> list[Rollout]:
    """Give a proof's rollouts: both sides, today's first, on each held-out task, once for each name."""
    return [Rollout(side, task.id, name) for task in tasks for side in sides for name in names]


def outputs_of(
    rubric: Rubric, tasks: Sequence[Task], attempts: Sequence[Attempt], repeats: int
) -> tuple[HeldOutOutputs, ...]:
    """Give what the rollouts of `of_both` put out, as a bundle holds it."""
    left = iter(attempts)

    def tried() -> list[Tried]:
        found = [next(left) for _ in range(repeats)]
        return [Tried(attempt.output, attempt.verdicts, attempt.left) for attempt in found]

    return tuple(put_out(rubric, task, before=tried(), after=tried()) for task in tasks)
