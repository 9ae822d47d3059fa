"""From a bundle's outputs to what the proof compares: one derivation for both halves (pure)."""

from collections.abc import Iterator, Mapping, Sequence

from runbookopt.evidence.split import group_of
from runbookopt.evidence.trajectory import Left, Task
from runbookopt.landing.bundle import Beside, HeldOutOutputs
from runbookopt.proof.allowance import group_digests, reference_digest
from runbookopt.proof.comparison import Outcome, Pair
from runbookopt.records import digest_of
from runbookopt.verifier.checks import Finding
from runbookopt.verifier.rubric import Rubric, assess

CRITIQUE = 200
"""Characters of a critique that a bundle keeps."""


def held_out_digest(tasks: Sequence[Task]) -> str:
    """Give the digest of the held-out tasks: their ids, groups and references."""
    held_out = sorted((task.id, group_digest(task), reference_digest(task)) for task in tasks)
    return digest_of(held_out)


def group_digest(task: Task) -> str:
    """Give the digest of a task's group: the group's key may be the task's text, which no bundle holds."""
    return group_digests([group_of(task)])[0]


def beside(rubric: Rubric, judged: Mapping[str, Finding], left: Left | None = None) -> Beside:
    """Give what a bundle keeps beside an output: what the rubric looks at, and no more.

    A critique is by a model that read the output, so that it is cut short.
    """
    kept = {
        criterion.id: Finding(found.result, _short(found.explanation))
        for criterion in rubric.judged
        if (found := judged.get(criterion.id)) is not None
    }
    return Beside(kept, left)


def pairs(outputs: Sequence[HeldOutOutputs], tasks: Mapping[str, Task], rubric: Rubric) -> list[Pair]:
    """Judge the stored outputs again, and pair them for the comparison.

    What a judge found is taken from beside the output, all else is judged anew. A verdict that the verifier
    fails to give, or that is not there, counts for the seed and against the winner. Raises KeyError for a
    task that is not among `tasks`.
    """
    return [
        Pair(
            found.task,
            group_digest(tasks[found.task]),
            tuple(_outcomes(rubric, tasks[found.task], found.before, found.beside_before, 1.0)),
            tuple(_outcomes(rubric, tasks[found.task], found.after, found.beside_after, 0.0)),
        )
        for found in outputs
    ]


def _outcomes(
    rubric: Rubric, task: Task, outputs: Sequence[str | None], beside: Sequence[Beside], errors_as: float
) -> Iterator[Outcome]:
    for output, more in zip(outputs, beside or [Beside()] * len(outputs), strict=True):
        judged = assess(
            rubric,
            output=output,
            reference=task.reference,
            left=more.left,
            verdicts=more.judged,
            errors_as=errors_as,
        )
        yield Outcome(judged.score, judged.objectives, judged.gates_failed, judged.errors)


def _short(text: str) -> str:
    return text if len(text) <= CRITIQUE else f"{text[: CRITIQUE - 3]}..."
