"""Mismatches of a bundle with what git and its own outputs imply, field by field, in words (pure)."""

import math
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from runbookopt.documents.digest import digest
from runbookopt.documents.schema_errors import plain
from runbookopt.landing.bundle import Bundle, text_of
from runbookopt.landing.paired_outputs import group_digest, held_out_digest
from runbookopt.project.project import Project
from runbookopt.proof.allowance import Look
from runbookopt.proof.comparison import Pair, Terms, compare

_WORDS = {
    "path": "the runbook's file is {implied}, not {stated}",
    "chosen": "the chosen member is {implied}, not {stated}",
    "outcome": "the outcome is {implied} by its own comparison, not {stated}",
    "text": "the patch does not make the candidate of the base",
    "look": "the look is at another runbook, candidate, rubric, agent or held-out tasks than it states",
    "record": "the record that the bundle rests on is of another {stated}",
    "held_out": "the held-out set is {implied}, not {stated}; what earlier searches read is handed over, too",
    "tasks": "the outputs are not those of each held-out task, once",
    "repeats": "the outputs are not of {implied[0]} repeat(s) each",
}
_DIFFERS = "the {name} is {implied}, not {stated}"
"""The sentences for fields in which a bundle may differ from what is implied; the last is for all others."""


def with_base(bundle: Bundle, project: Project) -> Iterator[str]:
    """Digests against the files at the base; the outcome against the bundle's own comparison."""
    stated, files, comparison = bundle.digests, project.digests, bundle.comparison
    return _in_words(
        path=(bundle.path, project.path),
        runbook=(stated.runbook, files.runbook),
        rubric=(stated.rubric, files.rubric),
        policy=(stated.policy, files.policy),
        candidate=(stated.candidate, digest(bundle.candidate.encode())),
        chosen=(bundle.chosen, stated.candidate),
        outcome=(bundle.outcome, comparison.answer if comparison else bundle.outcome),
    )


def with_patch(bundle: Bundle, text: str, violations: Sequence[str]) -> Iterator[str]:
    """The candidate against the file that the patch makes; `violations` may say why it is another."""
    for sentence in _in_words(text=(text_of(bundle), text)):
        yield from (sentence, *violations)


def with_record(bundle: Bundle, project: Project, record: Look) -> Iterator[str]:
    """The look that a bundle rests on against what the bundle itself asks."""
    for name, implied in question(bundle, project).items():
        if getattr(record, name) != implied:
            yield _WORDS["record"].format(stated=name)


def with_held_out(bundle: Bundle, project: Project, look: Look | None) -> Iterator[str]:
    """Look and outputs against the held-out tasks, the repeats and the judged criteria of git."""
    if bundle.look is None or look is None:
        if bundle.outcome == "accepted" or bundle.outputs or bundle.comparison:
            yield "a proof is stated, but no look"
        return
    outputs, tasks = bundle.outputs, [project.evidence.task(task) for task in project.split.held_out]
    sides = [len(side) for seen in outputs for side in (seen.before, seen.after)]
    repeats = 1 if bundle.agent.deterministic else project.policy.proof.repeats
    yield from _in_words(
        look=(asked(bundle.look), asked(look)),
        held_out=(bundle.digests.held_out, held_out_digest(tasks)),
        tasks=(
            sorted((seen.task, seen.group) for seen in outputs),
            sorted((task.id, group_digest(task)) for task in tasks),
        ),
        repeats=(sides, [repeats] * len(sides)),
    )
    beside = (each for seen in outputs for each in (*seen.beside_before, *seen.beside_after))
    unjudged = {name for each in beside for name in each.judged} - {c.id for c in project.rubric.stated}
    if unjudged:
        names = plain(", ".join(sorted(unjudged)))[:200]
        yield f"verdicts are stated on what neither a judge nor a program decides: {names}"


def with_scores(bundle: Bundle, pairs: Sequence[Pair], terms: Terms) -> Iterator[str]:
    """The figures of the comparison, but those that hang on the look's place, against those of the pairs.

    Without pairs there is nothing to say.
    """
    stated = bundle.comparison
    if bundle.look is None or not pairs:
        return
    if stated is None:
        yield "a look is stated, but no comparison"
        return
    implied = compare(pairs, terms, spend=0.5, next_spend=0.5)
    names = ("tasks", "groups", "before", "after", "gain", "p", "passing_today", "errors")
    figures = [(name, getattr(stated, name), getattr(implied, name)) for name in names]
    for objective in sorted(stated.objectives.keys() | implied.objectives.keys()):
        sides = [comparison.objectives.get(objective) for comparison in (stated, implied)]
        for name in ("before", "after"):
            says, is_ = (getattr(side, name, math.nan) for side in sides)
            figures.append((f"{objective}, {name},", says, is_))
    for name, says, is_ in figures:
        if not math.isclose(says, is_, rel_tol=0, abs_tol=1e-9):
            yield f"{name} is another by the outputs than is stated"


def question(bundle: Bundle, project: Project) -> Mapping[str, str]:
    """The question to the held-out tasks: whether this candidate is better than that seed."""
    return {
        "seed": project.digests.runbook,
        "candidate": digest(bundle.candidate.encode()),
        "rubric": project.digests.rubric,
        "agent": bundle.agent.key,
    }


def asked(look: Look) -> Look:
    """A look without its answer, and with its lists in one order."""
    return replace(look, bundle=None, answer=None, at="", searched=tuple(sorted(look.searched)))


def _in_words(**fields: tuple[object, object]) -> Iterator[str]:
    """A sentence for each field whose two values, the stated and the implied one, differ."""
    for name, (stated, implied) in fields.items():
        if stated != implied:
            yield _WORDS.get(name, _DIFFERS).format(name=name, stated=stated, implied=implied)
