"""Runs of our searches on a work for language models, and what was said to the reflector."""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from benchmarks import ours
from benchmarks.course import Course
from benchmarks.earlier import Earlier
from benchmarks.earlier import run as run_search
from benchmarks.language.agent import Chooser, ChoosingAgent
from benchmarks.language.record import Record
from benchmarks.language.reflectors import Answerer, EarlierReflector, Prompted, PromptedReflector, Replies
from benchmarks.language.works.spoken import Spoken
from benchmarks.work import Counted, Work
from runbookopt.documents import runbook as runbooks
from runbookopt.search.problem import Options

GEMMA = "gemma-3-270m-q4_k_m, bf16"
"""Whose answers are in the record."""


class Models(Struct, frozen=True):
    """Who is asked where the record is silent; None where nobody is."""

    agent: Chooser | None = None
    reflector: Answerer | None = None


class Table(Struct, frozen=True):
    """A work with its record, from which any number of runs are made."""

    spoken: Spoken
    record: Record
    models: Models
    key: str = GEMMA

    def agent(self) -> ChoosingAgent:
        """Give the agent: the same for all."""
        return ChoosingAgent(self.spoken.form, self.spoken.told, self.record, self.models.agent, self.key)

    def work(self) -> Work:
        """Give the work as the engines know it, with our reflector."""
        return Work(
            name=self.spoken.name,
            seed=runbooks.parse(self.spoken.seed),
            train=self.spoken.parts.train,
            validation=self.spoken.parts.validation,
            held_out=self.spoken.parts.held_out,
            agent=self.agent(),
            reflector=PromptedReflector(Replies(self.record, self.models.reflector)),
            judge=self.spoken.judge,
            in_words=self.spoken.form.in_words,
        )

    def true_score(self, text: str) -> float:
        """Give a text's mean score on the held-out tasks."""
        work = self.work()
        self.agent().prepare(text, [case.input for case in work.held_out])
        return Counted(work).true_score(text)


def run_ours(table: Table, options: Options, budget: int, *, free: bool) -> Course:
    """Search; all rollouts and all reflections of an ask are answered at once. Raises Missing."""
    reflector = PromptedReflector(Replies(table.record, table.models.reflector))
    made = _Made(table, reflector)
    work = replace(table.work(), reflector=reflector)
    return made.told(ours.run(work, options, budget, free=free, before=made.before))


def run_earlier(table: Table, earlier: Earlier, budget: int, *, free: bool) -> Course:
    """Let the search of an earlier commit run with its own prompt. Raises Missing."""
    reflector = EarlierReflector(Replies(table.record, table.models.reflector), earlier)
    made = _Made(table, reflector)
    work = replace(table.work(), reflector=reflector)
    return made.told(run_search(earlier, work, 0, budget, free=free, before=made.before))


class _Made:
    """Has all of an ask answered at once, and notes what was said to the reflector until then."""

    def __init__(self, table: Table, reflector: Prompted) -> None:
        parts = table.spoken.parts
        self._inputs = {case.id: case.input for case in (*parts.train, *parts.validation)}
        self._agent, self._reflector = table.agent(), reflector
        self._said: list[tuple[int, int]] = []
        self._agent.prepare(table.spoken.seed, self._inputs.values())

    def before(self, ask: Any, rollouts: int) -> None:  # noqa: ANN401 - today's ask, or an earlier search's
        """Have it answered."""
        by_text: dict[str, list[Any]] = {}
        for rollout in ask.rollouts:
            by_text.setdefault(rollout.candidate.text, []).append(self._inputs[rollout.task])
        for text, asked in by_text.items():
            self._agent.prepare(text, asked)
        self._reflector.prepare(ask.reflections)
        self._said.append((rollouts, self._reflector.replies.characters))

    def told(self, course: Course) -> Course:
        """Give the run with what was said, in characters after so many rollouts, and how many replies."""
        replies = self._reflector.replies
        said = (*self._said, (course.rollouts, replies.characters))
        details = course.details | {"said": said, "replies": replies.count}
        return Course(course.steps, course.rollouts, course.reflections, details)
