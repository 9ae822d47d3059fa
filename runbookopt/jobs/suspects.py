"""Suspect references: tasks on which all that was tried agrees on another answer than theirs (pure).

That alone says little: what no text can do, all fail alike. So the tasks that are most alike are asked too.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from msgspec import UNSET

from runbookopt.evidence.library import Evidence
from runbookopt.evidence.trajectory import Part
from runbookopt.evidence.words import words_of
from runbookopt.landing.bundle import HeldOutOutputs, Suspect
from runbookopt.search.loop import SearchResult
from runbookopt.verifier.checks import Check, answer_to
from runbookopt.verifier.rubric import Rubric

NEAREST = 10
"""Tasks that are asked: `WITH` of them must have the answer that all texts gave for their reference."""

WITH = 2

WITHOUT = 5
"""So many of the nearest must not have the task's own reference."""

LEAST = 2
"""Texts that must agree: today's runbook and one candidate."""

Outputs = Mapping[str, Sequence[str | None]]
"""What was put out on each task, by its id: by today's runbook first, then by each candidate."""


def outputs_of(searched: SearchResult, tasks: Sequence[str]) -> Outputs:
    """Outputs of the seed and of all candidates on those of the tasks that they were tried on."""
    return {
        task: [attempts[task].output for attempts in searched.attempts.values() if task in attempts]
        for task in tasks
    }


def outputs_of_proof(outputs: Sequence[HeldOutOutputs], tasks: Sequence[str]) -> Outputs:
    """Outputs of both sides of a proof on those of the tasks that it was about."""
    return {each.task: (*each.before, *each.after) for each in outputs if each.task in tasks}


def suspects(rubric: Rubric, evidence: Evidence, parts: Mapping[Part, Outputs]) -> tuple[Suspect, ...]:
    """Tasks whose reference may be wrong, in the order of `parts`.

    Looked at is what a check `equals` compares with the reference, the first of them that says so. All
    outputs must be the same there, and other than the reference. Of the `NEAREST` tasks, by the cosine of
    their words weighted by rareness, `WITH` must have that answer for their reference, and the `WITHOUT`
    nearest must not have the task's own.
    """
    checks = [each.check for each in rubric.heard if each.check is not UNSET and each.looks_at_reference]
    known = [task for outputs in parts.values() for task in outputs]
    found = []
    for check in checks:
        expected = {task: answer_to(check, None, evidence.task(task).reference)[1] for task in known}
        near = _Nearest({task: evidence.task(task).input for task in known if expected[task] is not None})
        for part, outputs in parts.items():
            for task, said in _agreeing(check, outputs):
                others = [expected[other] for other in near.to(task)]
                if expected[task] not in {None, said, *others[:WITHOUT]} and others.count(said) >= WITH:
                    ids = evidence.task(task).trajectories
                    found.append(Suspect(part, task, ids, said.decode(), len(outputs[task])))
    return tuple({each.task: each for each in reversed(found)}.values())[::-1]


def _agreeing(check: Check, outputs: Outputs) -> Iterator[tuple[str, bytes]]:
    """Tasks on which all outputs answer the same, with that answer."""
    for task, texts in outputs.items():
        answers = {answer_to(check, text, None)[0] for text in texts}
        answer = answers.pop() if len(answers) == 1 else None
        if answer is not None and len(texts) >= LEAST:
            yield task, answer


class _Nearest:
    """Tasks by their words: those that are most like one come first."""

    def __init__(self, inputs: Mapping[str, object]) -> None:
        self._words = {task: frozenset(words_of(value)) for task, value in inputs.items()}
        counts = Counter(word for words in self._words.values() for word in words)
        self._weights = {word: math.log(len(inputs) / count) ** 2 for word, count in counts.items()}
        self._lengths = {task: self._weight(words) for task, words in self._words.items()}

    def to(self, task: str) -> list[str]:
        """The `NEAREST` other tasks that have a word in common with this one, nearest first."""
        words = self._words.get(task, frozenset())
        near = {}
        for other, theirs in self._words.items():
            if other != task and (common := self._weight(words & theirs)):
                near[other] = common / math.sqrt(self._lengths[task] * self._lengths[other])
        return sorted(near, key=lambda other: (-near[other], other))[:NEAREST]

    def _weight(self, words: frozenset[str]) -> float:
        return math.fsum(self._weights[word] for word in words)
