"""From a bundle's outputs to what the proof compares: one derivation for both halves (pure)."""

from collections.abc import Mapping, Sequence
from typing import Any

from runbookopt.evidence.split import group_of
from runbookopt.evidence.trajectory import Task
from runbookopt.landing.bundle import HeldOutOutputs
from runbookopt.proof.allowance import group_digests, reference_digest
from runbookopt.proof.comparison import Outcome, Pair
from runbookopt.records import digest_of
from runbookopt.verifier.rubric import Rubric, assess


def held_out_digest(tasks: Sequence[Task]) -> str:
    """Give the digest of the held-out tasks: their ids, groups and references."""
    held_out = sorted((task.id, group_digest(task), reference_digest(task)) for task in tasks)
    return digest_of(held_out)


def group_digest(task: Task) -> str:
    """Give the digest of a task's group: the group's key may be the task's text, which no bundle holds."""
    return group_digests([group_of(task)])[0]


def pairs(outputs: Sequence[HeldOutOutputs], tasks: Mapping[str, Task], rubric: Rubric) -> list[Pair]:
    """Judge the stored outputs again, and pair them for the comparison.

    A verdict that the verifier fails to give counts for the seed and against the winner. Raises KeyError
    for a task that is not among `tasks`.
    """
    return [
        Pair(
            found.task,
            group_digest(tasks[found.task]),
            tuple(_outcome(rubric, output, tasks[found.task].reference, 1.0) for output in found.before),
            tuple(_outcome(rubric, output, tasks[found.task].reference, 0.0) for output in found.after),
        )
        for found in outputs
    ]


def _outcome(rubric: Rubric, output: str | None, reference: Any, errors_as: float) -> Outcome:  # noqa: ANN401 - any JSON
    judged = assess(rubric, output=output, reference=reference, errors_as=errors_as)
    return Outcome(judged.score, judged.objectives, judged.gates_failed, judged.errors)
