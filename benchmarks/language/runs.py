"""Runs of both engines on a work for language models, with what was said to the reflector beside the rollouts."""

from collections.abc import Mapping, Sequence
from typing import Any

from gepa.api import optimize
from msgspec import Struct
from msgspec.structs import replace

from benchmarks import ours
from benchmarks.course import Course
from benchmarks.language.agent import Chooser, ChoosingAgent
from benchmarks.language.record import Record
from benchmarks.language.reflectors import Answerer, PromptedReflector, Replies
from benchmarks.language.works.spoken import Spoken
from benchmarks.peer import Adapter, Batch, Cases, Silence, Texts, Watch
from benchmarks.work import Case, Counted, Work
from runbookopt.documents import runbook as runbooks
from runbookopt.documents.runbook import Runbook
from runbookopt.search.asks import Ask
from runbookopt.search.problem import Options

MODEL = "gemma-3-270m-q4_k_m, bf16"
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

    def agent(self) -> ChoosingAgent:
        """Give the agent: the same for all."""
        return ChoosingAgent(self.spoken.form, self.spoken.told, self.record, self.models.agent, MODEL)

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
        )

    def true_score(self, text: str) -> float:
        """Give a text's mean score on the held-out tasks."""
        work = self.work()
        self.agent().prepare(text, [case.input for case in work.held_out])
        return Counted(work).true_score(text)


def run_ours(table: Table, options: Options, budget: int, *, free: bool) -> Course:
    """Search; all rollouts and all reflections of an ask are answered at once. Raises Missing."""
    work = table.work()
    agent, reflector = table.agent(), PromptedReflector(Replies(table.record, table.models.reflector))
    inputs = {case.id: case.input for case in (*work.train, *work.validation)}
    said: list[tuple[int, int]] = []

    def before(ask: Ask, rollouts: int) -> None:
        by_text: dict[str, list[Any]] = {}
        for rollout in ask.rollouts:
            by_text.setdefault(rollout.candidate.text, []).append(inputs[rollout.task])
        for text, asked in by_text.items():
            agent.prepare(text, asked)
        reflector.prepare(ask.reflections)
        said.append((rollouts, reflector.replies.characters))

    agent.prepare(work.seed.text, inputs.values())
    course = ours.run(replace(work, reflector=reflector), options, budget, free=free, before=before)
    said.append((course.rollouts, reflector.replies.characters))
    details = course.details | {"said": tuple(said), "replies": reflector.replies.count}
    return Course(course.steps, course.rollouts, course.reflections, details)


def run_peer(table: Table, settings: Mapping[str, Any], budget: int, random_seed: int) -> Course:
    """Let gepa search with its own prompts, which the same reflector answers. Raises Missing."""
    work = table.work()
    counted, replies = Counted(work), Replies(table.record, table.models.reflector)
    adapter = Prompted(counted, table.agent())
    watch = Watch(adapter)
    said: list[tuple[int, int]] = []
    missing: list[Exception] = []

    def reflect(prompt: str) -> str:
        counted.reflections += 1
        try:
            reply = replies.said(prompt)
        except Exception as error:
            missing.append(error)
            raise
        said.append((counted.rollouts, replies.characters))
        return reply

    plugged: Any = adapter  # gepa's protocols name their type parameters otherwise
    watching: Any = watch
    optimize(
        seed_candidate=bodies(work.seed),
        trainset=Cases("train", work.train),
        valset=Cases("validation", work.validation),
        adapter=plugged,
        reflection_lm=reflect,
        max_metric_calls=budget,
        stop_callbacks=lambda state: bool(missing),
        callbacks=[watching],
        logger=Silence(),
        seed=random_seed,
        raise_on_exception=True,
        **settings,
    )
    if missing:
        raise missing[0]
    details = {"said": tuple(said), "replies": replies.count}
    return Course(tuple(watch.steps), counted.rollouts, counted.reflections, details)


class Prompted(Adapter):
    """gepa's own reflection: parts without their heading lines, and records as its default adapter has them."""

    propose_new_texts: Any = None

    def __init__(self, counted: Counted, agent: ChoosingAgent) -> None:
        super().__init__(counted, 0)
        self._agent = agent

    def text_of(self, candidate: Texts) -> str:
        """Put the parts' bodies below their headings."""
        seed = self.counted.work.seed
        texts = {
            part.id: _head(part.text, part.heading) + body.strip() + "\n\n"
            for part in seed.components
            if (body := candidate[part.id]) is not None
        }
        return runbooks.replace(seed, texts)

    def evaluate(self, batch: Sequence[Case], candidate: Texts, capture_traces: bool = False) -> Batch:
        """Have the whole batch answered at once."""
        self._agent.prepare(self.text_of(candidate), [case.input for case in batch])
        return super().evaluate(batch, candidate, capture_traces)

    def make_reflective_dataset(
        self, candidate: Texts, eval_batch: Batch, components_to_update: Sequence[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """Hand on input, output and feedback under gepa's names."""
        del candidate
        records = [
            {
                "Inputs": shown.input,
                "Generated Outputs": shown.output,
                "Feedback": "; ".join(shown.feedback) or "The answer is right.",
            }
            for shown in eval_batch.trajectories or []
        ]
        return dict.fromkeys(components_to_update, records)


def bodies(seed: Runbook) -> dict[str, str]:
    """Give the parts that may be edited, without their heading lines."""
    return {
        part.id: part.text.removeprefix(_head(part.text, part.heading)).strip() for part in seed.components
    }


def _head(text: str, heading: str | None) -> str:
    """Give the heading line of a part and the blank line after it; nothing where there is none."""
    return "" if heading is None else text.partition("\n")[0] + "\n\n"
