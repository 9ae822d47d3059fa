"""Reflection, pure: all that a reflector is shown, and the proposals that may be tried at all."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache, lru_cache

from msgspec.structs import replace

from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import as_text
from runbookopt.documents.runbook import Runbook
from runbookopt.evidence.privacy import without_personal_data
from runbookopt.evidence.words import runs, words_of
from runbookopt.search.asks import (
    Attempt,
    Candidate,
    Component,
    Kind,
    Proposal,
    Reflection,
    Shown,
    Stored,
    Tried,
)
from runbookopt.search.crossover import shared_start
from runbookopt.search.minibatches import GOT, Minibatch
from runbookopt.search.problem import COPIED_WORDS
from runbookopt.search.reflecting.nearest import nearest
from runbookopt.search.state import SearchState

KINDS, OF_EACH, LONGEST = 13, 3, 200  # kinds told of all, and of each reviewer; characters of what is told
SHARED_BY = 3  # words that so many train tasks share are the language of the field, not a copy


def reflections(
    state: SearchState,
    runbook: Runbook,
    attempts: Mapping[str, Attempt],
    batches: Sequence[Minibatch],
    lineage: tuple[Tried, ...],
    stored: Mapping[str, Stored],
) -> tuple[Reflection, ...]:
    """Build the asks of a wave, one for each minibatch of train attempts: all that reflectors get to know.

    At some tasks the attempts are `stored` ones, of other agents and runbooks.
    """
    problem, inputs = state.problem, state.problem.train

    @cache
    def show(task: str) -> Shown:
        attempt, value = attempts[task], inputs[task]
        output, feedback, advice = attempt.output, attempt.feedback, attempt.advice
        if problem.impersonal:  # what an agent looked up, or made up; the runbook's own addresses stay
            texts = (output or "", *feedback, *advice)
            cleaned = without_personal_data(texts, beside=as_text(value), but=runbook.text)
            output, told = None if output is None else cleaned[0], cleaned[1:]
            feedback, advice = told[: len(feedback)], told[len(feedback) :]
        return Shown(
            attempt.trajectory,
            task,
            value,
            output,
            attempt.score,
            feedback,
            origin=stored[task].origin if task in stored else None,
            group=problem.groups.get(task),
            advice=advice,
        )

    failed = [task for task, attempt in attempts.items() if attempt.failed]
    shared = Reflection(
        candidate=Candidate(runbook.text),
        components=tuple(Component(part.id, part.heading, part.text) for part in runbook.components),
        failing=(),
        passing=(),
        lineage=lineage,
        length_budget=state.limits.characters,
        agent=problem.agent,
        tasks=len(attempts),
        failed=len(failed),
        kinds=_kinds(map(show, failed))[:KINDS],
        wave=tuple(_kinds(map(show, batch.failing))[:OF_EACH] for batch in batches),
    )
    return tuple(
        replace(
            shared,
            reviewer=number,
            failing=tuple(map(show, (*batch.failing, *batch.contrast))),
            passing=tuple(map(show, _passing(state, attempts, batch))),
        )
        for number, batch in enumerate(batches)
    )


def _passing(state: SearchState, attempts: Mapping[str, Attempt], batch: Minibatch) -> tuple[str, ...]:
    """Passing tasks to show: the nearest to the failures, and any to a reflector of one edit.

    That is the offline one, which tells failures apart by words: of the nearest all words are alike.
    """
    if state.options.edits == 1:
        return batch.passing
    return nearest(state.problem.train, attempts, batch.failing, len(batch.passing))


def _kinds(failing: Iterable[Shown]) -> tuple[Kind, ...]:
    """What was expected of failures, most first, with what came instead where that tells something."""
    came: dict[str, Counter[str]] = {}
    for one in failing:
        for line in dict.fromkeys(one.feedback):
            expected, _, got = line.partition(GOT)
            came.setdefault(expected[:LONGEST], Counter())[got[:LONGEST]] += 1
    kinds = [Kind(expected + _came(gots), gots.total()) for expected, gots in came.items()]
    return tuple(sorted(kinds, key=lambda kind: (-kind.tasks, kind.feedback)))


def _came(gots: Counter[str]) -> str:
    """What came instead: where it was always the same, that; else what came several times."""
    several = sorted((got for got, count in gots.items() if count > 1), key=lambda got: (-gots[got], got))
    if len(gots) == 1:
        return f"{GOT}{next(iter(gots))}" if any(gots) else ""
    return GOT + ", ".join(f"{got} ({gots[got]})" for got in several) if several else ""


def objection(
    state: SearchState, parent: Runbook, proposal: Proposal, said: Collection[tuple[str, str]]
) -> str | None:
    """Say why a proposal is not worth a rollout, or None where it may be tried.

    `said` are the components and texts that others of its wave proposed. What was tried with others alone, or
    was left for later, is worth another look: it may have fallen by what stood beside it.
    """
    if proposal.component not in {part.id for part in parent.components}:
        return f"{proposal.component!r} is not a component that may be rewritten"
    text = runbooks.replace(parent, {proposal.component: proposal.text})
    if text == parent.text:  # blank lines around it and line endings are not the proposal's to choose
        return "it repeats the component as it is"
    if (proposal.component, proposal.text) in said:
        return "it repeats an earlier attempt"
    if len(text) > state.limits.characters:
        return f"the runbook would have {len(text)} characters, {state.limits.characters} are allowed"
    if _copies(state, text, parent.text):
        return f"it copies {COPIED_WORDS} or more words of a single task"
    forbidden = forbids(parent, text)
    repeated = forbidden is None and state.validated(state.candidate(text))
    return "it repeats an earlier attempt" if repeated else forbidden


def forbids(parent: Runbook, text: str) -> str | None:
    """Say what an edit of `parent` may never do and `text` does, or None."""
    return "; ".join(runbooks.violations(parent, text)) or None


def _copies(state: SearchState, text: str, parent: str) -> bool:
    """Tell whether a run of words is a task's and was not in the parent; only what is new is looked at."""
    words, before = _words(text), _words(parent)
    head = shared_start(words, before)
    tail = shared_start(words[head:][::-1], before[head:][::-1])
    new = words[max(0, head - COPIED_WORDS + 1) : len(words) - tail + COPIED_WORDS - 1]
    copied = {run for run in runs(new, COPIED_WORDS) if 0 < state.limits.copies.get(run, 0) < SHARED_BY}
    return bool(copied and copied - runs(before, COPIED_WORDS))


@lru_cache(maxsize=4)  # today's proposal is tomorrow's parent
def _words(text: str) -> tuple[str, ...]:
    return tuple(words_of(text))
