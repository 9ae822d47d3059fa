"""Reflection, pure: all that a reflector is shown, and the proposals that may be tried at all."""

import re
from collections.abc import Mapping
from difflib import unified_diff
from functools import lru_cache

from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import as_text
from runbookopt.documents.runbook import Runbook
from runbookopt.evidence.privacy import without_personal_data
from runbookopt.evidence.words import runs, words_of
from runbookopt.search.asks import Attempt, Candidate, Component, Proposal, Reflection, Shown, Stored, Tried
from runbookopt.search.crossover import shared_start
from runbookopt.search.minibatches import Minibatch
from runbookopt.search.problem import COPIED_WORDS
from runbookopt.search.state import SearchState

SHARED_BY = 3  # words that so many train tasks share are the language of the field, not a copy


def reflection(
    state: SearchState,
    runbook: Runbook,
    attempts: Mapping[str, Attempt],
    batch: Minibatch,
    lineage: tuple[Tried, ...],
    stored: Mapping[str, Stored],
) -> Reflection:
    """Build the ask for one minibatch of train attempts: all that a reflector gets to know.

    At some tasks the attempts are `stored` ones, of other agents and runbooks.
    """

    def show(task: str) -> Shown:
        attempt, value = attempts[task], state.problem.train[task]
        output, feedback = attempt.output, attempt.feedback
        if state.problem.impersonal:  # what an agent looked up, or made up; the runbook's own addresses stay
            texts = (output or "", *feedback)
            cleaned = without_personal_data(texts, beside=as_text(value), but=runbook.text)
            output, feedback = None if output is None else cleaned[0], cleaned[1:]
        return Shown(
            attempt.trajectory,
            task,
            value,
            output,
            attempt.score,
            feedback,
            origin=stored[task].origin if task in stored else None,
            group=state.problem.groups.get(task),
        )

    return Reflection(
        candidate=Candidate(runbook.text),
        components=tuple(Component(part.id, part.heading, part.text) for part in runbook.components),
        failing=tuple(show(task) for task in (*batch.failing, *batch.contrast)),
        passing=tuple(show(task) for task in batch.passing),
        lineage=lineage,
        length_budget=state.limits.characters,
    )


def objection(state: SearchState, parent: Runbook, proposal: Proposal) -> str | None:
    """Say why a proposal is not worth a rollout, or None where it may be tried."""
    if proposal.component not in {part.id for part in parent.components}:
        return f"{proposal.component!r} is not a component that may be rewritten"
    text = runbooks.replace(parent, {proposal.component: proposal.text})
    if text == parent.text:  # blank lines around it and line endings are not the proposal's to choose
        return "it repeats the component as it is"
    if (proposal.component, proposal.text) in state.proposed:
        return "it repeats an earlier attempt"
    if len(text) > state.limits.characters:
        return f"the runbook would have {len(text)} characters, {state.limits.characters} are allowed"
    if _copies(state, text, parent.text):
        return f"it copies {COPIED_WORDS} or more words of a single task"
    return forbids(parent, text)


def difference(before: str, after: str) -> str:
    """An edit as a diff, each change with a line around it; empty where there is none."""
    old, new = _lines(before), _lines(after)
    head = max(0, shared_start(old, new) - 1)
    tail = max(0, shared_start(old[head:][::-1], new[head:][::-1]) - 1)
    diff = unified_diff(old[head : len(old) - tail], new[head : len(new) - tail], lineterm="", n=1)
    return "\n".join("@@" if line.startswith("@@") else line for line in list(diff)[2:])


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


def _lines(text: str) -> list[str]:
    return re.sub(r"\r\n?", "\n", text).split("\n")


@lru_cache(maxsize=4)  # today's proposal is tomorrow's parent
def _words(text: str) -> tuple[str, ...]:
    return tuple(words_of(text))
