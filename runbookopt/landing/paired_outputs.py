"""Paired outputs of a bundle: what the proof compares, in one derivation for both halves (pure)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.digest import canonical, digest_of
from runbookopt.documents.finding import Finding
from runbookopt.evidence.split import group_of
from runbookopt.evidence.trajectory import Left, Task
from runbookopt.landing.bundle import Beside, HeldOutOutputs
from runbookopt.landing.bundle_limits import MOST_OUTPUT, MOST_TEXT, share
from runbookopt.proof.allowance import group_digests, reference_digest
from runbookopt.proof.comparison import Outcome, Pair
from runbookopt.sandbox.run import path_pattern
from runbookopt.verifier.program_checks import ProgramCheck
from runbookopt.verifier.rubric import Rubric, assess
from runbookopt.verifier.trace_checks import FileExists, TraceCheck

CRITIQUE = 200
"""Characters of a critique that a bundle keeps."""


def held_out_digest(tasks: Sequence[Task]) -> str:
    """The digest of the held-out tasks: their ids, groups and references."""
    return digest_of(sorted((task.id, group_digest(task), reference_digest(task)) for task in tasks))


def group_digest(task: Task) -> str:
    """The digest of a task's group: the group's key may be the task's text, which no bundle holds."""
    return group_digests([group_of(task)])[0]


class Tried(Struct, frozen=True):
    """One attempt at a held-out task, as the first half knows it; `judged` is by criterion.

    `no_answer` is the kind of trouble for which it has no score.
    """

    output: str | None
    judged: Mapping[str, Finding] = {}
    left: Left | None = None
    no_answer: str | None = None


def put_out(rubric: Rubric, task: Task, before: Sequence[Tried], after: Sequence[Tried]) -> HeldOutOutputs:
    """What a bundle holds of one held-out task: the outputs, and what else the rubric looks at."""
    sides = [[_beside(rubric, tried) for tried in side] for side in (before, after)]
    is_needed = any(each != Beside() for side in sides for each in side)
    return HeldOutOutputs(
        task.id,
        group_digest(task),
        before=tuple(tried.output for tried in before),
        after=tuple(tried.output for tried in after),
        beside_before=tuple(sides[0]) if is_needed else (),
        beside_after=tuple(sides[1]) if is_needed else (),
    )


def why_too_large(rubric: Rubric, output: str | None, left: Left | None, attempts: int) -> str | None:
    """Why a proof with so many attempts could not hold this one; None where it can.

    An attempt that is too large fails, and is told so: nothing is cut, since a cut output is another one.
    """
    size = len((output or "").encode(errors="replace"))
    if size > MOST_OUTPUT:
        return f"the output has {size:,} bytes, and at most {MOST_OUTPUT:,} are taken"
    beside = None if left is None else looked_at(rubric, left)
    more = len(canonical(beside)) if beside is not None else 0
    if more > MOST_TEXT:
        return f"what is left beside the output has {more:,} bytes, and at most {MOST_TEXT:,} are taken"
    whole, room = len(canonical(output)) + more, share(attempts)
    if whole > room:
        return f"the attempt has {whole:,} bytes, and each of {attempts:,} has room for {room:,}"
    return None


def pairs(outputs: Sequence[HeldOutOutputs], tasks: Mapping[str, Task], rubric: Rubric) -> list[Pair]:
    """Judge the stored outputs again, and pair them for the comparison.

    What a judge or a program of the repository found is taken from beside the output, and neither is asked:
    this is done where a token is. All else is judged anew. A verdict that the verifier fails to give, or that
    is not there, counts for the seed and against the winner, and so does an attempt without a score. Raises
    KeyError for a task that is not among `tasks`.
    """
    judged: list[Pair] = []
    for seen in outputs:
        task = tasks[seen.task]
        before = _outcomes(rubric, task, seen.before, seen.beside_before, 1.0)
        after = _outcomes(rubric, task, seen.after, seen.beside_after, 0.0)
        judged.append(Pair(seen.task, group_digest(task), tuple(before), tuple(after)))
    return judged


def _outcomes(
    rubric: Rubric, task: Task, outputs: Sequence[str | None], beside: Sequence[Beside], errors_as: float
) -> Iterator[Outcome]:
    unsaid = {each.id: Finding("error", "the first half does not say") for each in rubric.programs}
    for output, more in zip(outputs, beside or [Beside()] * len(outputs), strict=True):
        if more.no_answer is not None:
            yield _lacking(rubric, errors_as)
            continue
        judged = assess(
            rubric,
            output=output,
            reference=task.reference,
            left=more.left,
            verdicts={**unsaid, **more.judged},
            errors_as=errors_as,
        )
        yield Outcome(judged.score, judged.objectives, judged.gates_failed, judged.errors)


def _lacking(rubric: Rubric, score: float) -> Outcome:
    """The outcome of an attempt without a score: the whole of it, or nothing and every gate failed."""
    gates = tuple(criterion.id for criterion in rubric.deciding if criterion.gate and not score)
    return Outcome(score, dict.fromkeys(rubric.objectives, score), gates, errors=1)


def _beside(rubric: Rubric, tried: Tried) -> Beside:
    if tried.no_answer is not None:
        return Beside(no_answer=tried.no_answer)
    judged: dict[str, Finding] = {}
    for name in (criterion.id for criterion in rubric.stated if criterion.id in tried.judged):
        finding = tried.judged[name]
        text = finding.explanation
        cut = text if len(text) <= CRITIQUE else f"{text[: CRITIQUE - 3]}..."
        judged[name] = Finding(finding.result, cut)
    return Beside(judged, None if tried.left is None else looked_at(rubric, tried.left))


def looked_at(rubric: Rubric, left: Left) -> Left | None:
    """What the rubric's checks see: of steps the tools alone, but for a program, which may see all."""
    checks = [criterion.check for criterion in rubric.heard]
    if any(isinstance(check, ProgramCheck) for check in checks):
        return left
    if not any(isinstance(check, TraceCheck) for check in checks):
        return None
    globs = [path_pattern(name) for check in checks if isinstance(check, FileExists) for name in check.names]
    files = left.files and tuple(file for file in left.files if any(glob.fullmatch(file) for glob in globs))
    steps = left.steps and tuple(_tools_of(step) for step in left.steps)
    return replace(left, files=files, steps=steps, reason=None)


def _tools_of(step: Mapping[str, Any]) -> dict[str, Any]:
    """A step with who took it and which tools it called, without a word of what was said."""
    calls = step.get("tool_calls")
    calls = calls if isinstance(calls, list | tuple) else ()
    names = [call.get("function_name") for call in calls if isinstance(call, dict)]
    tools = [{"function_name": name} for name in names if isinstance(name, str)]
    return {"source": "agent" if step.get("source") == "agent" else "other", "tool_calls": tools}
