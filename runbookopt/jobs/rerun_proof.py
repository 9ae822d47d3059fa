"""Proof of a proposal, run again for a reviewer: the outputs that its bundle tells of are put out anew."""

from collections.abc import Callable

from runbookopt.documents.usage import Spent
from runbookopt.engine.progress import Progress
from runbookopt.jobs.prepare import Job
from runbookopt.jobs.rollouts import BudgetExceeded, Rollouts, compared, of_both, outputs_of
from runbookopt.landing.merge import Derived
from runbookopt.landing.rederive import Proof
from runbookopt.landing.trial_merge import Case
from runbookopt.landing.verify import AGAIN
from runbookopt.project.policy import Reason
from runbookopt.proof.allowance import reference_digest
from runbookopt.proof.comparison import Comparison
from runbookopt.proof.disclosure import is_told, told
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
    could not be run: by another agent, or for want of tasks or budget. Raises Invalid where too many attempts
    have no score, and what agent and judge raise.
    """
    proof, why_not = derived.proof, _why_not(derived, job)
    if proof is None or why_not is not None:
        return Reason(AGAIN, None, f"the proof was not run again: {why_not or 'there is none'}")
    project = derived.checked.project
    rollouts = Rollouts(case.repository, job, project, job.hire(project.rubric), progress)
    try:
        comparison, spent = _rerun(rollouts, derived, proof, f"verify-{case.head[:12]}")
    except BudgetExceeded as error:
        return Reason(AGAIN, None, f"the proof was not run again: {error}")
    usd = "dollars unknown" if spent.usd is None else f"{spent.usd:.4f} dollars"
    found = comparison.reasons if is_told(comparison) else told(comparison)
    words = (
        f"run again on {comparison.tasks} held-out tasks by agent {job.agent.name}, the proof says"
        f" {comparison.answer}{': ' if found else ''}{'; '.join(found)}"
        f" ({spent.rollouts} rollouts paid and {spent.cached} known, {usd})"
    )
    return Reason(AGAIN, comparison.answer == "accepted", words)


def _why_not(derived: Derived, job: Job) -> str | None:
    """Why a proof cannot be run again, before anything is paid."""
    checked = derived.checked
    if job.handoff is not None and job.settings.agent.kind == "handoff":
        return "its agent is answered by hand-off, and a status check waits for nobody"
    if job.agent.key != checked.bundle.agent.key:
        return (
            f"it was made with another agent ({checked.bundle.agent.kind}) or other settings of it than those"
            f" here ({job.agent.name}), which are the default branch's runbookopt.yaml and the environment's"
        )
    there = {task.id for task in checked.project.evidence.tasks}
    gone = sum(pair.task not in there for pair in (derived.proof.pairs if derived.proof else ()))
    return f"{gone} of the tasks that were looked at are gone" if gone else None


def _rerun(rollouts: Rollouts, derived: Derived, proof: Proof, label: str) -> tuple[Comparison, Spent]:
    """Roll out both sides, judge, and compare; `label` begins the names of the attempts."""
    bundle, project = derived.checked.bundle, derived.checked.project
    tasks = [project.evidence.task(pair.task) for pair in proof.pairs]
    repeats = 1 if rollouts.job.agent.deterministic else project.policy.proof.repeats
    names = [f"{label}/{number}" for number in range(repeats)]
    terms = {
        "rerun": VERSION,
        "bundle": bundle.digest,
        "tasks": [(task.id, reference_digest(task)) for task in tasks],
        "repeats": names,
    }
    sides = (Candidate(project.runbook.text), Candidate(bundle.candidate))
    attempts, spent = rollouts.answered(of_both(tasks, sides, names), terms)
    outputs = outputs_of(project, tasks, attempts, repeats)
    return compared(project, tasks, outputs, proof.allowance), spent
