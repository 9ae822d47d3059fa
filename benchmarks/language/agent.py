"""The agent: a language model that continues the runbook, held to the answers that a form allows."""

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Protocol

from msgspec import Struct

from benchmarks.language.record import Record
from runbookopt.agents.protocol import Produced
from runbookopt.documents import runbook as runbooks
from runbookopt.documents.digest import digest_of


class Chooser(Protocol):
    """A language model that says how much it would like to give each of the allowed answers."""

    key: str

    def scores(self, prefix: str, texts: Sequence[str], answers: Sequence[str]) -> list[list[float]]:
        """Give the log odds of each of the answers behind each of the texts behind the prefix."""


NOTHING = ("N/A", "...", "-")
"""Inputs that say nothing: what an answer gains against these is the input's (arXiv 2102.09690)."""


class Slot(Struct, frozen=True):
    """A line to be filled: its name, and what may stand there; answers differ in their first word.

    With a `heading` the model is handed the runbook's preamble and the section of that heading alone.
    """

    name: str
    answers: tuple[str, ...]
    heading: str | None = None

    def read(self, runbook: str) -> str:
        """Give what of a runbook is read to fill this line: all of it where it has no such section."""
        parts = runbooks.parse(runbook).parts
        told = [part.text for part in parts if part.heading is None or part.heading == self.heading]
        whole = self.heading is None or all(part.heading != self.heading for part in parts)
        return (runbook if whole else "".join(told)).strip() + "\n\n"


class Form(Struct, frozen=True):
    """How a task is put behind the runbook, and which lines the agent fills, each by itself."""

    task: str
    slots: tuple[Slot, ...]

    @property
    def in_words(self) -> str:
        """Who follows the runbook, and how it is put together with a task."""
        told = []
        for slot in self.slots:
            read = (
                "the runbook" if slot.heading is None else f"the runbook's preamble and part {slot.heading}"
            )
            told.append(f"{read}, then the line '{self.task}: ' with the task's input, then '{slot.name}:'")
        return (
            "The agent is a language model, gemma-3-270m (a base model: it continues a text)."
            f" It is given {'; and apart from that '.join(told)}."
            " It fills that line with one of the answers that are allowed there."
        )

    def asked(self, task_input: object, slot: Slot) -> str:
        """Give the text up to the line to be filled; no space at its end, which breaks the answer."""
        return f"{self.task}: {task_input}\n{slot.name}:"


Told = Callable[[Sequence[str]], str]
"""Makes an output of the answers in the form's order."""


class ChoosingAgent:
    """Fills a form, greedily; what was ever answered is taken from the record."""

    name = "choosing"
    deterministic = True

    def __init__(self, form: Form, told: Told, record: Record, model: Chooser | None, key: str) -> None:
        self._form, self._told, self._record, self._model = form, told, record, model
        self._key = model.key if model else key
        self.key = digest_of(["choosing", self._key, form])

    def prepare(self, runbook: str, inputs: Iterable[object]) -> None:
        """Have the model answer all at once what was not answered yet; raises Missing where there is none."""
        names = {self._name(runbook, each): each for each in inputs}
        wanted = {name: each for name, each in names.items() if name not in self._record.answers}
        if not wanted:
            return
        if self._model is None:
            raise Missing(f"{len(wanted)} answers of the agent")
        filled: dict[str, list[str]] = {name: [] for name in wanted}
        for slot in self._form.slots:
            answers = [f" {answer}" for answer in slot.answers]
            texts = [self._form.asked(each, slot) for each in (*NOTHING, *wanted.values())]
            scores = self._model.scores(slot.read(runbook), texts, answers)
            before = [fmean(each) for each in zip(*scores[: len(NOTHING)], strict=True)]
            for name, logits in zip(wanted, scores[len(NOTHING) :], strict=True):
                gained = [one - other for one, other in zip(logits, before, strict=True)]
                filled[name].append(slot.answers[gained.index(max(gained))])
        for name, found in filled.items():
            self._record.answer(name, "|".join(found))

    async def rollout(self, runbook: str, task_input: object, repeat: str) -> Produced:
        """Give the recorded answer, or the model's."""
        del repeat
        self.prepare(runbook, [task_input])
        found = self._record.answers[self._name(runbook, task_input)].split("|")
        return Produced(output=self._told(found))

    def _name(self, runbook: str, task_input: object) -> str:
        """Name an answer by all that it depends on."""
        return digest_of([self.key, runbook.strip(), task_input]).removeprefix("sha256:")[:16]


class Missing(Exception):
    """Something was never said, and nobody is there to say it; the argument says what."""
