"""Lint of a rubric by its evidence: what is well-formed, and measures nothing, or something else (pure)."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, islice
from typing import Any

from msgspec import UNSET

from runbookopt.documents.digest import as_text
from runbookopt.documents.schema_errors import plain, shown
from runbookopt.evidence.near_repeats import Text, near_repeats
from runbookopt.evidence.trajectory import Left, Trajectory
from runbookopt.project.project import Project
from runbookopt.verifier import checks
from runbookopt.verifier.checks import JsonSchema, MaxChars, answer_to
from runbookopt.verifier.judge import stored_findings
from runbookopt.verifier.program_checks import ProgramCheck
from runbookopt.verifier.rubric import Criterion
from runbookopt.verifier.trace_checks import TraceCheck

MANY_OUTPUTS = 200
"""As many stored outputs are looked at."""

ENOUGH = 20
"""Of fewer verdicts, or tasks, nothing is said."""

LEAST_OF_EACH = 5
"""Passes and fails that two criteria need before their agreement says that they are one."""

LEAKED = 0.8
"""Share of the tasks whose input holds their answer, from which on it is taken for a leak."""

SORTED = 3
"""Tasks for each answer, on average: with fewer, answers are taken out of the input, and not chosen."""

FEW_OF_A_CLASS = 5
"""With fewer tasks that want an answer, hardly any part of the split has one."""

MOST_TASKS = 2000
"""As many tasks are compared with one another."""

NAMED = 3
_CONSTRAINED = frozenset({"enum", "const", "pattern"})
_TWO_THINGS = re.compile(
    r"\?\s+\S.*\?|\b(?:and|or|as well as|but)\b,?\s+(?:also\s+)?"
    r"(?:does|is|are|has|have|do|did|was|were|can|will|would|should|must)(?:n't)?\b",
    re.IGNORECASE | re.DOTALL,
)
_HOLDS_TEXT = 3
"""Characters of an answer that is looked for in an input."""


def on_rubric(project: Project, *, failing: bool = True) -> Iterator[str]:
    """What is to be said of the criteria themselves, and of what they say of stored outputs.

    Without `failing`, not of those that no output passes: somebody else has said why.
    """
    yield from _two_things(project)
    yield from _form_alone(project)
    given = _verdicts(project)
    yield from _one_sided(project, given, failing=failing)
    yield from _same(given)


def on_references(project: Project) -> Iterator[str]:
    """What is to be said of the tasks' references, which are half of what a check compares."""
    for criterion in project.rubric.criteria:
        if criterion.check is UNSET or not criterion.looks_at_reference:
            continue
        expected = {
            task.id: answer
            for task in project.evidence.tasks
            if (answer := answer_to(criterion.check, None, task.reference)[1]) is not None
        }
        if len(expected) >= ENOUGH:
            yield from _leaking(project, criterion, expected)
            yield from _few_of_a_class(criterion, expected)
            yield from _contradicting(project, criterion, expected)


# The criteria -------------------------------------------------------------------------------------------


def _two_things(project: Project) -> Iterator[str]:
    for criterion in project.rubric.judged:
        if criterion.judge is not UNSET and _TWO_THINGS.search(criterion.judge):
            yield (
                f"'{criterion.id}' asks the judge two things at once ({shown(criterion.judge)}): where they"
                " part, its verdict is anybody's guess; make two criteria of it"
            )


def _form_alone(project: Project) -> Iterator[str]:
    for criterion in project.rubric.criteria:
        check = criterion.check
        free = isinstance(check, JsonSchema) and not _constrains(check.schema)
        is_form = free or isinstance(check, MaxChars)
        if is_form and not criterion.gate and len(project.rubric.criteria) > 1:
            yield (
                f"'{criterion.id}' checks form alone, and its weight lifts the score of wrong answers: make"
                " it a `gate` with a small weight"
            )


def _constrains(schema: object) -> bool:
    """Whether a schema says anything of values beyond their types and sizes."""
    if isinstance(schema, dict):
        return bool(_CONSTRAINED & schema.keys()) or any(map(_constrains, schema.values()))
    return isinstance(schema, list) and any(map(_constrains, schema))


def _verdicts(project: Project) -> Mapping[str, Sequence[str | None]]:
    """The verdicts on stored outputs by criterion, None where there is none; no program runs, no judge."""
    given: dict[str, list[str | None]] = {criterion.id: [] for criterion in project.rubric.criteria}
    stored = (each for each in project.evidence.trajectories if each.output is not None and not each.error)
    for each in islice(stored, MANY_OUTPUTS):
        judged = stored_findings(project.rubric, each)
        for criterion in project.rubric.criteria:
            known = judged.get(criterion.id)
            result = known.result if known else _checked(project, each, criterion)
            given[criterion.id].append(None if result == "error" else result)
    return given


def _checked(project: Project, stored: Trajectory, criterion: Criterion) -> str:
    check = criterion.check
    if check is UNSET or isinstance(check, ProgramCheck | TraceCheck) or checks.may_run_away(check):
        return "error"
    reference, left = project.evidence.task_of(stored).reference, Left(steps=stored.steps or None)
    return checks.examine(check, output=stored.output, reference=reference, left=left).result


def _one_sided(
    project: Project, given: Mapping[str, Sequence[str | None]], *, failing: bool
) -> Iterator[str]:
    """Criteria that tell no output from another; a gate may, since what it is there for is rare."""
    gates = {criterion.id for criterion in project.rubric.criteria if criterion.gate}
    for name, results in given.items():
        known = {result for result in results if result is not None}
        count = sum(result is not None for result in results)
        if count >= ENOUGH and len(known) == 1 and name not in gates and (failing or known == {"pass"}):
            passed = known == {"pass"}
            word = "pass" if passed else "fail"
            todo = "sharpen it, or make it a gate" if passed else "see whether it can be passed at all"
            yield (
                f"'{name}': all {count} stored outputs that were looked at {word}, so it tells none from"
                f" another and adds a constant to each score; {todo}"
            )


def _same(given: Mapping[str, Sequence[str | None]]) -> Iterator[str]:
    """Criteria that are one, as far as stored outputs tell."""
    for (one, left), (other, right) in combinations(given.items(), 2):
        both = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
        counts = Counter(a for a, _ in both)
        if all(a == b for a, b in both) and min(counts["pass"], counts["fail"]) >= LEAST_OF_EACH:
            yield (
                f"'{one}' and '{other}' have one verdict on each of {len(both)} stored outputs: they are one"
                " criterion that counts twice; leave one out, or say what tells them apart"
            )


# The references -----------------------------------------------------------------------------------------


def _leaking(project: Project, criterion: Criterion, expected: Mapping[str, bytes]) -> Iterator[str]:
    """Inputs that hold the answer that is to be chosen; one of its own in each is to be taken out of it."""
    if not _is_sorted(expected):
        return
    leaked = [task for task, answer in expected.items() if _holds(project.evidence.task(task).input, answer)]
    if len(leaked) >= LEAKED * len(expected):
        yield (
            f"'{criterion.id}': the input holds the answer in {len(leaked)} of {len(expected)} tasks, first"
            f" in {_where(project, leaked[0])}: an agent that copies it passes; take it out of the input"
        )


def _is_sorted(expected: Mapping[str, bytes]) -> bool:
    """Whether a few answers are given again and again, as where inputs are sorted into classes."""
    return 1 < len(set(expected.values())) <= len(expected) / SORTED


def _holds(value: Any, answer: bytes) -> bool:  # noqa: ANN401 - any JSON value
    """Whether an answer stands in an input, as one of its values or as words of its text."""
    words = answer.decode().strip('"')
    if len(words) < _HOLDS_TEXT:
        return False
    text = value if isinstance(value, str) else as_text(value)
    return re.search(rf"(?<![\w-]){re.escape(words)}(?![\w-])", text) is not None


def _few_of_a_class(criterion: Criterion, expected: Mapping[str, bytes]) -> Iterator[str]:
    counts = Counter(expected.values())
    few = sorted((count, answer) for answer, count in counts.items() if count < FEW_OF_A_CLASS)
    if few and _is_sorted(expected):
        named = ", ".join(f"{shown(answer.decode())} {count}" for count, answer in few[:NAMED])
        more = f" and {len(few) - NAMED} more" if len(few) > NAMED else ""
        yield (
            f"'{criterion.id}': fewer than {FEW_OF_A_CLASS} tasks want some answers ({named}{more}): most"
            " parts of the split have none, and what breaks there is not seen; add tasks of these"
        )


def _contradicting(project: Project, criterion: Criterion, expected: Mapping[str, bytes]) -> Iterator[str]:
    """Near repeats of one another that want different answers: at most one of both is right."""
    if len(set(expected.values())) == 1:
        return
    tasks = [project.evidence.task(task) for task in islice(expected, MOST_TASKS)]
    texts = tuple(Text(task.id, task.id, task.input) for task in tasks)
    pairs: dict[frozenset[str], tuple[str, str]] = {}
    for each in near_repeats(texts, texts, len(texts)).repeats:
        if expected[each.task] != expected[each.of]:
            pairs.setdefault(frozenset((each.task, each.of)), (each.task, each.of))
    if pairs:
        first = " and ".join(_where(project, task) for task in next(iter(pairs.values())))
        count = "1 pair of nearly the same inputs wants" if len(pairs) == 1 else f"{len(pairs)} pairs want"
        yield (
            f"'{criterion.id}': {count} different answers, first {first}: references contradict each other,"
            " and at most one of both is right"
        )


def _where(project: Project, task: str) -> str:
    return plain(project.evidence.where(project.evidence.task(task).trajectories[0]))
