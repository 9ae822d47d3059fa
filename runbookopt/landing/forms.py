"""Forms of a text's changed lines: what of them the base's policy allows, by the base's own train tasks."""

from collections.abc import Iterator, Sequence
from typing import Any

from runbookopt.documents.digest import as_text
from runbookopt.documents.finding import Unjudgeable
from runbookopt.evidence.split import group_of
from runbookopt.evidence.trust import rank
from runbookopt.guard.forms import Example, Formless, formless, has_rules
from runbookopt.project.policy import SAME_SHAPE, Reason
from runbookopt.project.project import Project
from runbookopt.verifier.checks import Equals, Regex
from runbookopt.verifier.isolated_checks import examine
from runbookopt.verifier.rubric import Rubric


def formless_in(project: Project, text: str) -> tuple[str, ...]:
    """The lines that `text` changes in a project's runbook and that have no form which its policy allows.

    All of it comes from the base: today's text, the policy, and the train tasks that are trusted enough.
    """
    terms = project.policy.auto_merge_if
    if terms.forms == "any":
        return ()
    same_shape, own = SAME_SHAPE in terms.forms, _Own(terms.own_forms)
    examples = examples_of(project) if same_shape else ()
    today = project.runbook.text
    found = formless(today, text, examples, same_shape=same_shape, is_own=own.fits)
    return tuple(each.told for each in (*found, *own.faults))


def examples_of(project: Project) -> tuple[Example, ...]:
    """The train tasks that are trusted as much as the policy wants, each with the outputs it refers to."""
    least = rank(project.policy.auto_merge_if.trust_at_least)
    tasks = (project.evidence.task(task) for task in project.split.train)
    return tuple(
        Example(as_text(task.input), group_of(task), frozenset(_outputs(project.rubric, task.reference)))
        for task in tasks
        if rank(task.trust) >= least
    )


def before_a_run(project: Project) -> Reason | None:
    """What is known of the forms of the next change; None where that depends on it."""
    terms = project.policy.auto_merge_if
    if terms.own_forms or terms.forms == "any" or has_rules(project.runbook.text):
        return None
    text = "no line of the runbook quotes phrases for one output, so by this form nothing merges by itself"
    return Reason("forms", False, text)


def _outputs(rubric: Rubric, reference: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    """What the rubric holds outputs equal to in a reference; where no check does, its own texts."""
    equal = (each.check for each in rubric.criteria if isinstance(each.check, Equals))
    checks = [check for check in equal if check.reference is not None]
    for check in checks:
        try:
            expected = check.expected(reference)
        except Unjudgeable:
            continue
        if isinstance(expected, str):
            yield expected
    if not checks:
        values = reference.values() if isinstance(reference, dict) else (reference,)
        yield from (value for value in values if isinstance(value, str))


class _Own:
    """Patterns of the team's own; one that takes too long on a line fits nothing any more."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = list(patterns)
        self.faults: list[Formless] = []

    def fits(self, line: str) -> bool:
        for form in list(self.patterns):
            # in a process that can be stopped: a policy is somebody's text, and expressions can run for ever
            found = examine(Regex(value=rf"\A(?:{form})\Z"), output=line, reference=None)
            if found.result == "error":
                self.patterns.remove(form)
                self.faults.append(Formless(1, line, removed=False, reason=f"{form!r}: {found.explanation}"))
            elif found.result == "pass":
                return True
        return False
