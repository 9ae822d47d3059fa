"""The `gepa` package behind the same counter: its arms, and a thin adapter."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gepa.api import optimize
from gepa.core.adapter import EvaluationBatch
from gepa.strategies.proposal_sampling import PxNSampling
from msgspec import Struct

from benchmarks.course import Course, Step
from benchmarks.replies import combined
from benchmarks.work import Case, Counted, Work
from runbookopt.documents import runbook as runbooks
from runbookopt.search.asks import Candidate, Component, Proposal, Reflection, Shown

PARENTS, PROPOSALS = 4, 4
"""Of the arm with several proposals an iteration."""

Texts = Mapping[str, str]
Batch: TypeAlias = EvaluationBatch[Shown, str | None]


class Arm(Struct, frozen=True):
    """A way to set up gepa; each stands beside its twin with the evaluation cache."""

    name: str
    settings: dict[str, Any]


def arms() -> tuple[Arm, ...]:
    """Give gepa's arms: default, merge, minibatches of 8, 10 and 30, PxN proposals; each also cached."""
    ways: dict[str, dict[str, Any]] = {
        "default": {},
        "merge": {"use_merge": True},
        "minibatch 8": {"reflection_minibatch_size": 8},
        "minibatch 10": {"reflection_minibatch_size": 10},
        "minibatch 30": {"reflection_minibatch_size": 30},
        f"{PARENTS}x{PROPOSALS} proposals": {"sampling_strategy": PxNSampling(PARENTS, PROPOSALS)},
    }
    return tuple(
        Arm(f"{name}, cached" if cached else name, settings | {"cache_evaluation": cached})
        for name, settings in ways.items()
        for cached in (False, True)
    )


def run(work: Work, arm: Arm, budget: int, random_seed: int, most_characters: int) -> Course:
    """Let gepa search within a budget of rollouts; its candidates may have so many characters."""
    counted = Counted(work)
    adapter = Adapter(counted, most_characters)
    watch = Watch(adapter)
    plugged: Any = adapter  # gepa's protocols name their type parameters otherwise
    watching: Any = watch
    found: Any = optimize(
        seed_candidate={part.id: part.text for part in work.seed.components},
        trainset=Cases("train", work.train),
        valset=Cases("validation", work.validation),
        adapter=plugged,
        module_selector="all",  # the reflector is shown all components and chooses one, as with us
        frontier_type="cartesian" if len(_objectives(counted)) > 1 else "instance",
        max_metric_calls=budget,
        callbacks=[watching],
        logger=Silence(),
        seed=random_seed,
        **arm.settings,
    )
    details = {"pool": len(found.candidates), "proposed": tuple(counted.proposed)}
    return Course(tuple(watch.steps), counted.rollouts, counted.reflections, details)


class Cases:
    """A part of the cases for gepa, by ids of their own: its cache mixes parts whose ids are alike."""

    def __init__(self, part: str, cases: Sequence[Case]) -> None:
        self._cases = {f"{part}/{case.id}": case for case in cases}

    def all_ids(self) -> list[str]:
        """Give the ids in their order."""
        return list(self._cases)

    def fetch(self, ids: Sequence[str]) -> list[Case]:
        """Give the cases with these ids."""
        return [self._cases[id_] for id_ in ids]

    def __len__(self) -> int:
        return len(self._cases)


class Adapter:
    """What gepa calls: the same agent, judge and reflector, the same feedback and growth cap."""

    def __init__(self, counted: Counted, most_characters: int) -> None:
        self.counted = counted
        self._most = most_characters
        self._again: dict[tuple[str, str], int] = {}

    def text_of(self, candidate: Texts) -> str:
        """Render a candidate as the runbook that the agent is handed."""
        return runbooks.replace(self.counted.work.seed, candidate)

    def evaluate(self, batch: Sequence[Case], candidate: Texts, capture_traces: bool = False) -> Batch:
        """Attempt a batch; the same candidate on the same case is a fresh attempt, as it would be."""
        text = self.text_of(candidate)
        shown = [self._shown(text, case) for case in batch]
        return EvaluationBatch(
            outputs=[one.output for one, _ in shown],
            scores=[one.score for one, _ in shown],
            trajectories=[one for one, _ in shown] if capture_traces else None,
            objective_scores=[objectives for _, objectives in shown],
        )

    def make_reflective_dataset(
        self, candidate: Texts, eval_batch: Batch, components_to_update: Sequence[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """Hand on what was shown."""
        del candidate
        records = [{"shown": shown} for shown in eval_batch.trajectories or []]
        return dict.fromkeys(components_to_update, records)

    def propose_new_texts(
        self,
        candidate: Texts,
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: Sequence[str],
    ) -> dict[str, str]:
        """Reflect once; an answer that may not be tried is none, and gepa spends no rollout on it.

        All edits of a reply make one candidate, as a rewrite would that mends several things.
        """
        shown = [record["shown"] for record in reflective_dataset[components_to_update[0]]]
        seed = runbooks.reparse(self.counted.work.seed, self.text_of(candidate))
        answer = self.counted.reflect(
            Reflection(
                candidate=Candidate(seed.text),
                components=tuple(
                    Component(part.id, part.heading, candidate[part.id])
                    for part in self.counted.work.seed.components
                ),
                failing=tuple(one for one in shown if one.feedback),
                passing=tuple(one for one in shown if not one.feedback),
                lineage=(),
                length_budget=self._most,
            )
        )
        if not isinstance(answer, Proposal):
            return {}
        changed = combined(candidate, (answer, *answer.also))
        text = self.text_of({**candidate, **changed})
        return {} if text == seed.text or len(text) > self._most else changed

    def _shown(self, text: str, case: Case) -> tuple[Shown, dict[str, float]]:
        repeat = self._again.get((text, case.id), 0)
        self._again[text, case.id] = repeat + 1
        attempt = self.counted.rollout(text, case, str(repeat))
        shown = Shown(
            attempt.trajectory, case.id, case.input, attempt.output, attempt.score, attempt.feedback
        )
        return shown, attempt.objectives


class Watch:
    """Notes what gepa would return from now on, each time that it has scored a candidate."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.steps = [Step(0, 0, adapter.counted.work.seed.text, 0.0)]

    def on_valset_evaluated(self, event: Mapping[str, Any]) -> None:
        """Take a step where the newest candidate is the best by gepa's own rule."""
        if event["is_best_program"]:
            text = self._adapter.text_of(event["candidate"])
            counted = self._adapter.counted
            self.steps.append(Step(counted.rollouts, counted.reflections, text, event["average_score"]))


class Silence:
    """A logger that says nothing."""

    def log(self, message: str) -> None:
        """Say nothing."""


def _objectives(counted: Counted) -> Mapping[str, float]:
    case = counted.work.train[0]
    return counted.attempt(counted.work.seed.text, case).objectives
