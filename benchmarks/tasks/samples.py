"""The sample runbooks of this repository, with their stored tasks and rubrics."""

from pathlib import Path

from benchmarks.pair import reflector_named
from benchmarks.work import Case, Judgement, Work
from runbookopt.agents.offline_agent import OfflineAgent
from runbookopt.evidence.library import Folder
from runbookopt.evidence.split import Shares, split
from runbookopt.project.project import read_project
from runbookopt.verifier.rubric import assess

FIELDS = {"support-triage": "queue", "refund-reply": "reply"}

SHARES = {"support-triage": Shares(), "refund-reply": Shares(train=0.30, validation=0.25)}
"""As they were in commit e86100d, whatever the policies say today."""


def sample(name: str, random_seed: int, *, reflector: str = "offline", noise: float = 0) -> Work:
    """Give a sample runbook with the tasks and the parts that a run of the tool has; all seeds share them."""
    project = read_project(Folder(Path(__file__).parents[2]), name)
    parts = split(project.evidence.tasks, SHARES[name])

    def cases(ids: tuple[str, ...]) -> tuple[Case, ...]:
        tasks = [project.evidence.task(id_) for id_ in ids]
        return tuple(Case(task.id, task.input, task.reference) for task in tasks)

    def judge(output: str | None, reference: object) -> Judgement:
        found = assess(project.rubric, output=output, reference=reference)
        return Judgement(found.score, found.objectives, found.feedback)

    return Work(
        name=f"sample {name}, {reflector}",
        seed=project.runbook,
        train=cases(parts.train),
        validation=cases(parts.validation),
        held_out=cases(parts.held_out),
        agent=OfflineAgent(FIELDS[name], noise, random_seed),
        reflector=reflector_named(reflector, random_seed),
        judge=judge,
    )
