"""gepa's front doors on the clock: one call at a time, a batch at once, all of an iteration at once."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import Any, TypeAlias, cast

from gepa.api import optimize
from gepa.core.adapter import EvaluationBatch
from gepa.proposer.reflective_mutation.reflection_lm import ReflectionProposal
from gepa.strategies.proposal_sampling import PxNSampling
from msgspec import Struct

from benchmarks import loopback, peer
from benchmarks.clocked import WIDTH, Timed
from benchmarks.loopback import Client
from benchmarks.work import Case, Counted, Work
from runbookopt.search.asks import Attempt, Proposal, Reflection, ReflectionFailure, Shown
from runbookopt.search.problem import Options

Texts = dict[str, str]
Batch: TypeAlias = EvaluationBatch[Shown, str | None]


class Way(Struct, frozen=True):
    """A way into gepa: its settings, whether a batch is rolled out side by side, and `wide`, all batches.

    A wide one also reflects side by side.
    """

    name: str
    settings: dict[str, Any]
    parallel: bool = False
    wide: bool = False


def ways(single: peer.Arm) -> tuple[Way, ...]:
    """Give gepa's front doors; those with one proposal at a time have the settings of its best such arm."""
    found = [
        Way(f"gepa plain ({single.name})", single.settings),
        Way(f"gepa parallel ({single.name})", single.settings, parallel=True),
    ]
    for settings in ({},) if single.name.startswith("default") else ({}, single.settings):
        for parents, proposals in ((4, 4), (2, 8), (2, 2)):
            chosen = {**settings, "sampling_strategy": PxNSampling(parents, proposals)}
            like = f", {single.name}" if settings else ""
            found.append(Way(f"gepa {parents}x{proposals}, batched{like}", chosen, parallel=True, wide=True))
    return tuple(found)


def through(way: Way, work: Work, port: int, random_seed: int, budget: int) -> Timed:
    """Let gepa search through one of its front doors."""
    before = loopback.counts(port)
    with closing(Client(port, blocking=True)) as client, ThreadPoolExecutor(WIDTH) as pool:
        door = _Door(_Remote(work, client), way, pool)
        door.begin()
        optimize(
            seed_candidate={part.id: part.text for part in work.seed.components},
            trainset=cast("Any", peer.Cases("train", work.train)),
            valset=cast("Any", peer.Cases("validation", work.validation)),
            adapter=cast("Any", door),
            reflection_strategy=_Reflectors(door) if way.wide else None,
            module_selector="all",  # as in benchmarks/peer.py
            frontier_type="cartesian" if _objectives(work) > 1 else "instance",
            max_metric_calls=budget,
            callbacks=[cast("Any", door)],
            logger=cast("Any", _Silence()),
            seed=random_seed,
            **way.settings,
        )
        seconds = time.monotonic() - door.began
    return Timed(tuple(door.steps), door.began, seconds, loopback.counts(port).since(before))


def most_characters(work: Work) -> int:
    """Give the growth cap of our search as it is set by default, which gepa's candidates then share."""
    options, length = Options(), len(work.seed.text)
    return length + max(int(options.share * length), options.characters)


class _Remote(Counted):
    """The pair behind the server, for an engine that calls it from threads."""

    def __init__(self, work: Work, client: Client) -> None:
        super().__init__(work)
        self._client = client

    def rollout(self, text: str, case: Case, repeat: str = "0") -> Attempt:
        output = loopback.rollout(self._client, text, case.input, repeat).output
        judged = self.work.judge(output, case.reference)
        return Attempt(f"{case.id}/{repeat}", output, judged.score, judged.objectives, judged.feedback)

    def reflect(self, ask: Reflection) -> Proposal | ReflectionFailure:
        return loopback.reflect(self._client, ask)


class _Door:
    """gepa's adapter: what benchmarks/peer.py gives it, one by one or side by side; and its callback.

    Side by side is a batch in a pool of threads, as its litellm adapter does; wide, all batches of all
    proposals together, as its `optimize_anything` does, and all reflections together, as its default
    reflection does with litellm.
    """

    def __init__(self, remote: _Remote, way: Way, pool: ThreadPoolExecutor) -> None:
        self._inner = peer.Adapter(remote, most_characters(remote.work))
        self._remote = remote
        self._map: Callable[..., Iterable[Any]] = pool.map if way.parallel else map
        self._met: Counter[tuple[str, str]] = Counter()
        self.make_reflective_dataset = self._inner.make_reflective_dataset
        self.propose_new_texts = None if way.wide else self._inner.propose_new_texts
        self.batch_evaluate = self._evaluated if way.wide else None
        self.began = 0.0
        self.steps = [(0.0, remote.work.seed.text)]

    def begin(self) -> None:
        """Start the clock."""
        self.began = time.monotonic()

    def evaluate(self, batch: Sequence[Case], candidate: Texts, capture_traces: bool = False) -> Batch:
        """Attempt a batch."""
        del capture_traces  # what is at hand is given
        return self._evaluated([(candidate, batch)])[0]

    def propose_all(self, jobs: Sequence[tuple[Texts, Any, list[str]]]) -> list[dict[str, str]]:
        """Reflect on several at once."""
        return list(self._map(lambda job: self._inner.propose_new_texts(*job), jobs))

    def on_valset_evaluated(self, event: Mapping[str, Any]) -> None:
        """Note what gepa would return from now on."""
        if event["is_best_program"]:
            self.steps.append((time.monotonic() - self.began, self._inner.text_of(event["candidate"])))

    def _evaluated(self, items: Sequence[tuple[Texts, Sequence[Case]]]) -> list[Batch]:
        wanted = [(self._inner.text_of(texts), case) for texts, batch in items for case in batch]
        numbered = [(text, case, self._repeat(text, case)) for text, case in wanted]
        done = iter(self._map(lambda call: self._shown(*call), numbered))
        return [_batch(list(islice(done, len(batch)))) for _, batch in items]

    def _repeat(self, text: str, case: Case) -> str:
        self._met[text, case.id] += 1
        return str(self._met[text, case.id] - 1)

    def _shown(self, text: str, case: Case, repeat: str) -> tuple[Shown, dict[str, float]]:
        tried = self._remote.rollout(text, case, repeat)
        shown = Shown(tried.trajectory, case.id, case.input, tried.output, tried.score, tried.feedback)
        return shown, tried.objectives


class _Reflectors:
    """gepa's interface for reflections that it may ask for together."""

    def __init__(self, door: _Door) -> None:
        self._door = door

    def reflect(self, *job: Any) -> tuple[ReflectionProposal, "_Reflectors"]:  # noqa: ANN401 - a job of gepa's
        return self.reflect_many([job])[0]

    def reflect_many(self, jobs: Sequence[Any]) -> list[tuple[ReflectionProposal, "_Reflectors"]]:
        return [(ReflectionProposal(new_texts=texts), self) for texts in self._door.propose_all(jobs)]


class _Silence:
    def log(self, message: str) -> None:
        """Say nothing."""


def _batch(done: Sequence[tuple[Shown, dict[str, float]]]) -> Batch:
    shown = [one for one, _ in done]
    return EvaluationBatch(
        outputs=[one.output for one in shown],
        scores=[one.score for one in shown],
        trajectories=shown,
        objective_scores=[objectives for _, objectives in done],
    )


def _objectives(work: Work) -> int:
    return len(Counted(work).attempt(work.seed.text, work.train[0]).objectives)
