"""What a bundle states other than git has it, in words (pure)."""

import math
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from runbookopt.documents.digest import digest
from runbookopt.documents.runbook import bump_version
from runbookopt.documents.schema_errors import plain
from runbookopt.landing.bundle import Bundle
from runbookopt.landing.paired_outputs import group_digest, held_out_digest
from runbookopt.project.project import Project
from runbookopt.proof.allowance import Look
from runbookopt.proof.comparison import Comparison, Pair, Terms, compare


def other_digests(bundle: Bundle, project: Project) -> Iterator[str]:
    """Hold the stated digests against those of the files at the base."""
    stated, found = bundle.digests, project.digests
    for what, says, is_ in (
        ("the runbook's file", bundle.path, project.path),
        ("the runbook", stated.runbook, found.runbook),
        ("the rubric", stated.rubric, found.rubric),
        ("the policy", stated.policy, found.policy),
        ("the candidate", stated.candidate, digest(bundle.candidate.encode())),
        ("the chosen member", bundle.chosen, stated.candidate),
    ):
        if says != is_:
            yield f"{what} is {is_}, not {says}"


def other_outcome(bundle: Bundle) -> Iterator[str]:
    """Hold the stated outcome against the stated comparison."""
    if bundle.comparison is not None and bundle.outcome != bundle.comparison.answer:
        yield f"the outcome is {bundle.comparison.answer} by its own comparison, not {bundle.outcome}"


def other_candidate(bundle: Bundle, text: str, violations: Sequence[str]) -> Iterator[str]:
    """Hold the file that the patch makes against the candidate; `violations` may say why it is another."""
    if text != bump_version(bundle.candidate):
        yield "the patch does not make the candidate of the base"
        yield from violations


def other_look(bundle: Bundle, look: Look | None) -> Iterator[str]:
    """Hold the stated look against the one that git gives."""
    if bundle.look is None or look is None:
        if bundle.outcome == "accepted" or bundle.outputs or bundle.comparison:
            yield "a proof is stated, but no look"
        return
    if asked(bundle.look) != asked(look):
        yield "the look is at another runbook, candidate, rubric, agent or held-out tasks than it states"


def other_question(bundle: Bundle, project: Project, look: Look) -> Iterator[str]:
    """Hold the look of a record against what the bundle that rests on it would ask."""
    for what, digest_ in question(bundle, project).items():
        if getattr(look, what) != digest_:
            yield f"the record that the bundle rests on is of another {what}"


def other_outputs(bundle: Bundle, project: Project) -> Iterator[str]:
    """Hold the tasks, groups, repeats and judged criteria of the outputs against those of git."""
    if bundle.look is None:
        return
    if bundle.digests.held_out != _held_out(project):
        yield f"the held-out set is {_held_out(project)}, not {bundle.digests.held_out}"
    repeats = 1 if bundle.agent.deterministic else project.policy.proof.repeats
    held_out = {task: group_digest(project.evidence.task(task)) for task in project.split.held_out}
    if sorted((found.task, found.group) for found in bundle.outputs) != sorted(held_out.items()):
        yield "the outputs are not those of each held-out task, once"
    if any(len(found.before) != repeats or len(found.after) != repeats for found in bundle.outputs):
        yield f"the outputs are not of {repeats} repeat(s) each"
    yield from _other_judged(bundle, project)


def other_scores(bundle: Bundle, pairs: Sequence[Pair], terms: Terms) -> Iterator[str]:
    """Hold the stated comparison against that of the pairs; without pairs there is nothing to say."""
    stated = bundle.comparison
    if bundle.look is None or not pairs:
        return
    if stated is None:
        yield "a look is stated, but no comparison"
        return
    found = compare(pairs, terms, spend=0.5, next_spend=0.5)
    for what, says, is_ in _figures(stated, found):
        if not math.isclose(says, is_, rel_tol=0, abs_tol=1e-9):
            yield f"{what} is {is_:.6g} by the outputs, not {says:.6g}"


def question(bundle: Bundle, project: Project) -> dict[str, str]:
    """Give what the held-out tasks are asked: whether this candidate is better than that seed."""
    return {
        "seed": project.digests.runbook,
        "candidate": digest(bundle.candidate.encode()),
        "rubric": project.digests.rubric,
        "agent": bundle.agent.key,
    }


def asked(look: Look) -> Look:
    """Give a look without its answer, and with its lists in one order."""
    return replace(look, bundle=None, answer=None, at="", searched=tuple(sorted(look.searched)))


def _held_out(project: Project) -> str:
    return held_out_digest([project.evidence.task(task) for task in project.split.held_out])


def _other_judged(bundle: Bundle, project: Project) -> Iterator[str]:
    """Say which verdicts are stated on criteria that are judged anew here, by a check or by nobody."""
    judged = {criterion.id for criterion in project.rubric.judged}
    stated = {
        criterion
        for found in bundle.outputs
        for beside in (*found.beside_before, *found.beside_after)
        for criterion in beside.judged
    }
    if stated - judged:
        which = plain(", ".join(sorted(stated - judged)))[:200]
        yield f"verdicts of a judge are stated on what no judge decides: {which}"


def _figures(stated: Comparison, found: Comparison) -> Iterator[tuple[str, float, float]]:
    """Give the figures that do not hang on the look's place in the ledger."""
    for name in ("tasks", "groups", "before", "after", "gain", "p", "passing_today", "errors"):
        yield name, getattr(stated, name), getattr(found, name)
    for objective in sorted(stated.objectives.keys() | found.objectives.keys()):
        says, is_ = stated.objectives.get(objective), found.objectives.get(objective)
        for name in ("before", "after"):
            yield f"{objective}, {name},", getattr(says, name, math.nan), getattr(is_, name, math.nan)
