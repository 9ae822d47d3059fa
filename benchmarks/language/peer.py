"""The `gepa` package on a work for language models: its own prompts, which the same reflector answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from gepa.api import optimize

from benchmarks.course import Course
from benchmarks.language.agent import ChoosingAgent
from benchmarks.language.reflectors import Replies
from benchmarks.language.runs import Table
from benchmarks.peer import Adapter, Batch, Cases, Silence, Texts, Watch
from benchmarks.work import Case, Counted
from runbookopt.documents import runbook as runbooks
from runbookopt.documents.runbook import Runbook


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
    asking: Any = reflect
    optimize(
        seed_candidate=bodies(work.seed),
        trainset=Cases("train", work.train),
        valset=Cases("validation", work.validation),
        adapter=plugged,
        reflection_lm=asking,
        max_metric_calls=budget,
        stop_callbacks=lambda _: bool(missing),
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
    """gepa's own reflection: parts without heading lines, records as its default adapter has them."""

    propose_new_texts: Any = None

    def __init__(self, counted: Counted, agent: ChoosingAgent) -> None:
        super().__init__(counted, 0)
        self._agent = agent

    def text_of(self, candidate: Texts) -> str:
        """Put the parts' bodies below their headings."""
        seed = self.counted.work.seed
        texts = {
            part.id: f"{_head(part.text, part.heading)}{candidate[part.id].strip()}\n\n"
            for part in seed.components
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
