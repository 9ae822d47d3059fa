"""Runs the proof of a proposal again, for a reviewer: what its bundle says that an agent put out is tried."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from runbookopt.agents.protocol import Judge
from runbookopt.documents.usage import Spent
from runbookopt.engine.driver import Progress
from runbookopt.evidence.trajectory import Task
from runbookopt.jobs.prepare import Job
from runbookopt.jobs.rollouts import BudgetExceeded, Rollouts, of_both, outputs_of
from runbookopt.landing.merge import Derived
from runbookopt.landing.paired_outputs import pairs
from runbookopt.landing.rederive import Proof
from runbookopt.landing.trial_merge import Case
from runbookopt.landing.verify import AGAIN
from runbookopt.project.policy import Reason
from runbookopt.proof.allowance import reference_digest
from runbookopt.proof.comparison import Comparison, compare
from runbookopt.search.asks import Candidate

VERSION = 1
"""Of what is asked: another one is another run in the journal."""


def rerun_proof(
    case: Case, derived: Derived, job: Job, progress: Callable[[Progress], None] | None = None
) -> Reason:
    """Roll out today's runbook and the proposed one again, and compare them as the proof did.

    The tasks are those that were looked at, and rubric and policy those of the bundle's base, which `derive`
    found to be the default branch's. The rollouts go by names of their own, so that no answer of the look is
    taken from the journal for one of theirs; the same head, asked about again, is not paid again. The level
    is the one that the look spends by its place in the ledger. No look is registered: no search learns of the
    answer, and a candidate is only ever asked about again that was accepted already, so that luck gets no
    further chance. Nothing is written at origin.

    The reason holds where the answer is accepted again, not where it is another one, and is unknown where it
    could not be run: by another agent, or for want of tasks or budget. Raises what agent and judge raise.
    """
    told = _why_not(derived, job)
    if derived.proof is None or told is not None:
        return Reason(AGAIN, None, f"the proof was not run again: {told or 'there is none'}")
    judge = job.hire(derived.checked.project.rubric)
    try:
        found = _Rerun(case, derived, derived.proof, job, judge).found(f"verify-{case.head[:12]}", progress)
    except BudgetExceeded as error:
        return Reason(AGAIN, None, f"the proof was not run again: {error}")
    return Reason(AGAIN, found.compared.answer == "accepted", _told(found, job))


class _Found(Struct, frozen=True):
    compared: Comparison
    spent: Spent


def _why_not(derived: Derived, job: Job) -> str | None:
    """Say why a proof cannot be run again, before anything is paid."""
    checked = derived.checked
    if job.agent.key != checked.bundle.agent.key:
        return (
            f"it was made with another agent ({checked.bundle.agent.kind}) or other settings of it than those"
            f" here ({job.agent.name}), which are the default branch's runbookopt.yaml and the environment's"
        )
    there = {task.id for task in checked.project.evidence.tasks}
    gone = sum(pair.task not in there for pair in (derived.proof.pairs if derived.proof else ()))
    return f"{gone} of the tasks that were looked at are gone" if gone else None


class _Rerun(Struct, frozen=True):
    case: Case
    derived: Derived
    proof: Proof
    job: Job
    judge: Judge | None

    def found(self, label: str, progress: Callable[[Progress], None] | None) -> _Found:
        """Roll out both sides, judge, and compare; `label` begins the names of the attempts."""
        checked, project = self.derived.checked, self.derived.checked.project
        tasks = [project.evidence.task(pair.task) for pair in self.proof.pairs]
        repeats = 1 if self.job.agent.deterministic else project.policy.proof.repeats
        names = [f"{label}/{number}" for number in range(repeats)]
        sides = (Candidate(project.runbook.text), Candidate(checked.bundle.candidate))
        rollouts = Rollouts(self.case.repository, self.job, project, self.judge, progress)
        answered = rollouts.answered(of_both(tasks, sides, names), self._terms(tasks, names))
        outputs = outputs_of(project.rubric, tasks, answered.attempts, repeats)
        judged = pairs(outputs, {task.id: task for task in tasks}, project.rubric)
        may = self.proof.allowance
        compared = compare(judged, project.policy.proof, spend=may.spend, next_spend=may.next_spend)
        return _Found(compared, answered.spent)

    def _terms(self, tasks: Sequence[Task], names: Sequence[str]) -> dict[str, object]:
        checked = self.derived.checked
        return {
            "rerun": VERSION,
            "bundle": checked.bundle.digest,
            "rubric": checked.project.digests.rubric,
            "tasks": [(task.id, reference_digest(task)) for task in tasks],
            "repeats": list(names),
            "agent": self.job.agent.key,
            "judge": self.judge.key if self.judge else None,
        }


def _told(found: _Found, job: Job) -> str:
    """Say what came of it: the figures of the proof, and no task that fails."""
    compared, spent = found.compared, found.spent
    usd = "dollars unknown" if spent.usd is None else f"{spent.usd:.4f} dollars"
    cost = f"{spent.rollouts} rollouts paid and {spent.cached} known, {usd}"
    reasons = "; ".join(compared.reasons)
    tasks = f"{compared.tasks} held-out tasks by agent {job.agent.name}"
    return f"run again on {tasks}, the proof says {compared.answer}: {reasons} ({cost})"
