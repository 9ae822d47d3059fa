"""What both engines are given: a seed runbook, its cases in three parts, and one pair behind one counter."""

from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from runbookopt.agents.protocol import Agent, Reflector
from runbookopt.documents.runbook import Runbook
from runbookopt.search.asks import Attempt, Proposal, Reflection, ReflectionFailure

T = TypeVar("T")

TRUE_REPEATS = 4
"""Attempts a case by which a candidate's true score is measured where the agent errs by chance."""


class Case(Struct, frozen=True):
    """One task: what the agent is handed, and what the judge holds its output against."""

    id: str
    input: Any
    reference: Any


class Judgement(Struct, frozen=True):
    """What an output is worth: `score` and `objectives` in 0..1, `feedback` why it is not all of it."""

    score: float
    objectives: dict[str, float]
    feedback: tuple[str, ...]


class Truth(Protocol):
    """What is known of a generated work beyond scores."""

    def measures(self, text: str, proposed: Collection[str]) -> dict[str, float]:
        """Give figures of a returned text by name, given all lines that its run's reflections proposed."""


class Work(Struct, frozen=True):
    """A runbook to optimize; `judge` takes an output and a case's reference.

    `in_words` says who the agent is, where a reflector is told.
    """

    name: str
    seed: Runbook
    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    held_out: tuple[Case, ...]
    agent: Agent
    reflector: Reflector
    judge: Callable[[str | None, Any], Judgement]
    truth: Truth | None = None
    in_words: str = ""

    @property
    def cases(self) -> Mapping[str, Case]:
        """The cases that a search may see, by id."""
        return {case.id: case for case in (*self.train, *self.validation)}


class Counted:
    """The only way to the agent and the reflector of a work: every call is counted, by whoever made."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.rollouts = 0
        self.reflections = 0
        self.proposed: dict[str, None] = {}  # every line that a proposal brought in, in order
        self._known: dict[tuple[str, str, str], Attempt] = {}
        self._judgements: dict[tuple[str, str | None], Judgement] = {}
        self._true: dict[str, float] = {}

    def rollout(self, text: str, case: Case, repeat: str = "0") -> Attempt:
        """Attempt a case with a runbook's text, and count it."""
        self.rollouts += 1
        return self.attempt(text, case, repeat)

    def reflect(self, ask: Reflection) -> Proposal | ReflectionFailure:
        """Ask the reflector, and count it."""
        self.reflections += 1
        said = answer_of(self.work.reflector.reflect(ask)).said
        if isinstance(said, Proposal):
            before = {line for part in ask.components for line in part.text.splitlines()}
            lines = (line for each in (said, *said.also) for line in each.text.splitlines())
            self.proposed |= dict.fromkeys(line for line in lines if line not in before)
        return said

    def attempt(self, text: str, case: Case, repeat: str = "0") -> Attempt:
        """Give what a stored trajectory of this attempt would hold; nothing is counted."""
        key = (text, case.id, repeat)
        if key not in self._known:
            output, judged = self._judged(text, case, repeat)
            self._known[key] = Attempt(
                f"{case.id}/{repeat}", output, judged.score, judged.objectives, judged.feedback
            )
        return self._known[key]

    def true_score(self, text: str) -> float:
        """Give a text's mean score on the held-out cases, under the agent's noise; nothing is counted."""
        if text not in self._true:
            repeats = 1 if self.work.agent.deterministic else TRUE_REPEATS
            scores = [
                self._judged(text, case, f"true/{repeat}")[1].score
                for case in self.work.held_out
                for repeat in range(repeats)
            ]
            self._true[text] = sum(scores) / len(scores)
        return self._true[text]

    def _judged(self, text: str, case: Case, repeat: str) -> tuple[str | None, Judgement]:
        """Give an output and what it is worth: the same output of the same case is judged once."""
        output = answer_of(self.work.agent.rollout(text, case.input, repeat)).output
        if (case.id, output) not in self._judgements:
            self._judgements[case.id, output] = self.work.judge(output, case.reference)
        return output, self._judgements[case.id, output]


def answer_of(waiting: Coroutine[Any, Any, T]) -> T:
    """Give the answer of a coroutine that never waits for anything."""
    try:
        waiting.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    waiting.close()
    raise RuntimeError("a benchmark's agent and reflector answer at once")
