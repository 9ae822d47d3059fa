"""Comparison of seed and winner on held-out tasks: one paired test, an answer with its reasons (pure)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct
from msgspec.structs import astuple

from runbookopt.evidence.split import NearRepeats, Shares
from runbookopt.proof.statistics import (
    Exact,
    binary_low,
    binary_p,
    exact,
    harm_p,
    mean,
    paired_high,
    paired_interval,
    paired_low,
    paired_p,
    sign_flip_mid_p,
    tasks_needed,
)

Answer = Literal["accepted", "rejected", "inconclusive"]

MINIMUM_GROUPS = 20  # with fewer held-out groups nothing is proven, and no look is spent
WORTH_A_LOOK = 0.1  # a winner is shown the held-out tasks only where its p on validation is at most this
HARM = 0.05  # an objective or a gate is significantly worse where its p is at most this
MOST_ERRORS = 0.05  # a proof with a larger share of attempts that could not be judged is inconclusive
FEW_PASSING = 20  # where fewer held-out tasks pass today, a loss can hardly be seen


class Terms(Struct, frozen=True, forbid_unknown_fields=True):
    """The terms of a proof, as policy.yaml declares them under `proof`.

    `margin` is the gain in score that the lower bound must reach, `allowance` the chance of a false
    acceptance that all looks together may spend, `tolerance` how much an objective may lose, and `repeats`
    how often a random agent tries each held-out task. `near_repeats` says whether held-out tasks stay in the
    proof that nearly repeat what a search uses; where they may, every change goes to review.
    """

    margin: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    allowance: Annotated[float, Meta(gt=0, le=0.5)] = 0.05
    tolerance: Annotated[float, Meta(ge=0, le=1)] = 0.05
    repeats: Annotated[int, Meta(ge=1)] = 3
    split: Shares = Shares()
    near_repeats: NearRepeats = "refuse"


class Outcome(Struct, frozen=True):
    """The verdict on one attempt; `score` and `objectives` lie in 0..1.

    `errors` counts the verdicts that the verifier failed to give, also when asked once more. The caller
    has already scored them: as 1 where the seed made the attempt, as 0 where the winner did. Every outcome
    of a proof has the same objectives. Raises ValueError for a score outside 0..1, or none at all (NaN): a
    test of the mean rests on how bad the worst can be.
    """

    score: float
    objectives: dict[str, float]
    gates_failed: tuple[str, ...] = ()
    errors: int = 0

    def __post_init__(self) -> None:
        """Refuse what no rubric gives."""
        for name, score in (("score", self.score), *self.objectives.items()):
            if not 0 <= score <= 1:
                raise ValueError(f"{name} is {score:g}: expected 0 to 1")


class Pair(Struct, frozen=True):
    """The attempts of the seed (`before`) and of the winner (`after`) at one held-out task, by repeat."""

    task: str
    group: str
    before: tuple[Outcome, ...]
    after: tuple[Outcome, ...]


class ObjectiveChange(Struct, frozen=True):
    """One objective's means before and after; `low` and `high` bound its gain, each side at .05."""

    before: float
    after: float
    low: float
    high: float


class Comparison(Struct, frozen=True):
    """The word of the held-out tasks on a winner.

    `before`, `after` and `gain` are means over groups in 0..1; `low` and `high` bound the gain, each side
    at the level that the look spends; `p` is one-sided. `reasons` are sentences, for and against.
    `tasks_needed` is how many more held-out groups would settle an inconclusive answer, None where that
    is not the question or no number would. `passing_today` counts the tasks that the seed passes in at
    least half of its attempts; `errors` is the share of attempts with a verdict that could not be had.
    """

    tasks: int
    groups: int
    before: float
    after: float
    gain: float
    low: float
    high: float
    p: float
    answer: Answer
    reasons: tuple[str, ...]
    objectives: dict[str, ObjectiveChange]
    tasks_needed: int | None
    passing_today: int
    errors: float


def can_pass(groups: int, spend: float, margin: float = 0.0) -> bool:
    """Tell whether winning every one of so many held-out groups would pass at the level `spend`."""
    return groups > 0 and passes(groups, 0, groups, spend, margin)


def passes(wins: int, losses: int, groups: int, spend: float, margin: float = 0.0) -> bool:
    """Tell whether so many wins and losses among `groups`, the others alike, pass at the level `spend`."""
    return binary_p(wins, losses, groups) <= spend and binary_low(wins, losses, groups, spend) >= margin


def worth_a_look(differences: Sequence[float]) -> float:
    """The p of winner minus seed on validation, in -1..1, one a group: it saves looks and proves nothing."""
    return sign_flip_mid_p(differences)


def fewest_to_gain() -> int:
    """How many groups a winner has to do better on, at least, to be worth a look."""
    return next(groups for groups in count(1) if worth_a_look([1.0] * groups) <= WORTH_A_LOOK)


def compare(pairs: Sequence[Pair], terms: Terms, *, spend: float, next_spend: float) -> Comparison:
    """Compare seed and winner at the level `spend`, and answer.

    `next_spend` is what the look after this one may spend, from which `tasks_needed` follows. Raises
    ValueError where there are no pairs, or a pair lacks attempts of either side.
    """
    if not pairs or not all(pair.before and pair.after for pair in pairs):
        raise ValueError("a comparison needs tasks with attempts of both the seed and the winner")
    attempts = [outcome for pair in pairs for outcome in (*pair.before, *pair.after)]
    score = _change(pairs, lambda outcome: outcome.score)
    objectives = {name: _change(pairs, _objective(name)) for name in pairs[0].before[0].objectives}
    proof = _Proof(
        score=score,
        p=paired_p(score.differences),
        low=paired_low(score.differences, spend),
        spend=spend,
        margin=terms.margin,
        errors=sum(outcome.errors > 0 for outcome in attempts) / len(attempts),
        harms=(*_gate_harms(pairs, attempts), *_objective_harms(objectives, terms.tolerance)),
    )
    answer = _answer(proof)
    needed = _needed(proof, answer, next_spend)
    # At least half of the seed's attempts have the full score, but for a float's last bits.
    passing = sum(
        2 * sum(outcome.score > 1 - 1e-9 for outcome in pair.before) >= len(pair.before) for pair in pairs
    )
    return Comparison(
        tasks=len(pairs),
        groups=proof.groups,
        before=float(score.before),
        after=float(score.after),
        gain=float(score.gain),
        low=proof.low,
        high=paired_high(score.differences, spend),
        p=proof.p,
        answer=answer,
        reasons=(*_reasons(proof), *_limits(proof, needed, passing)),
        objectives={
            name: ObjectiveChange(
                float(change.before), float(change.after), *astuple(paired_interval(change.differences, HARM))
            )
            for name, change in objectives.items()
        },
        tasks_needed=needed,
        passing_today=passing,
        errors=proof.errors,
    )


class _Change(NamedTuple):
    """One measure before and after: means over groups, and the differences, one a group."""

    before: Exact
    after: Exact
    differences: Sequence[Exact]

    @property
    def gain(self) -> Exact:
        return self.after - self.before


class _Harm(NamedTuple):
    """A fact that speaks against a winner besides its score; one that is significant rejects it."""

    reason: str
    significant: bool


class _Proof(NamedTuple):
    """All that the answer follows from."""

    score: _Change
    p: float
    low: float
    spend: float
    margin: float
    errors: float
    harms: tuple[_Harm, ...]

    @property
    def groups(self) -> int:
        return len(self.score.differences)

    @property
    def gain(self) -> float:
        return float(self.score.gain)


def _answer(proof: _Proof) -> Answer:
    if proof.errors > MOST_ERRORS or proof.groups < MINIMUM_GROUPS:
        return "inconclusive"
    if proof.gain <= proof.margin or any(harm.significant for harm in proof.harms):
        return "rejected"
    if proof.p <= proof.spend and proof.low >= proof.margin and not proof.harms:
        return "accepted"
    return "inconclusive"


def _needed(proof: _Proof, answer: Answer, next_spend: float) -> int | None:
    """Count the groups that would settle it; where verdicts are missing, groups are not what is needed."""
    if answer != "inconclusive" or proof.errors > MOST_ERRORS:
        return None
    needed = tasks_needed(proof.score.differences, level=next_spend, margin=proof.margin)
    return None if needed is None else max(needed, MINIMUM_GROUPS - proof.groups)


def _reasons(proof: _Proof) -> list[str]:
    scores = f"{_percent(proof.score.before)} to {_percent(proof.score.after)}"
    within = "within" if proof.p <= proof.spend else "above"
    reasons = [
        f"the held-out score goes from {scores}: {_points(proof.gain)}, at least {_points(proof.low)}",
        f"p = {proof.p:.2g} is {within} the {proof.spend:.2g} that this look may spend",
    ]
    if proof.gain <= proof.margin:
        reasons.append(f"the gain is not above the margin of {_points(proof.margin)}")
    elif proof.p <= proof.spend and proof.low < proof.margin:
        reasons.append(f"the gain may be less than the margin of {_points(proof.margin)}")
    reasons += [harm.reason for harm in proof.harms]
    if proof.errors > MOST_ERRORS:
        reasons.append(
            f"{_percent(proof.errors)} of the attempts could not be judged, "
            f"more than the {_percent(MOST_ERRORS)} at which nothing is proven"
        )
    return reasons


def _limits(proof: _Proof, needed: int | None, passing: int) -> list[str]:
    limits = []
    if proof.groups < MINIMUM_GROUPS:
        few = f"{proof.groups} held-out groups are too few to prove anything"
        limits.append(f"{few}: it takes {MINIMUM_GROUPS}")
    if needed is not None:
        limits.append(f"about {needed} more held-out groups would settle it")
    limits.append(f"harm that strikes less than 3 in {proof.groups} tasks is invisible here")
    if passing < FEW_PASSING:
        limits.append(f"only {passing} held-out tasks pass today, so that a loss can hardly be seen")
    return limits


def _change(pairs: Sequence[Pair], measure: Callable[[Outcome], float]) -> _Change:
    """Average a measure over repeats, then over the tasks of a group, then over groups, without rounding."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.group, []).append(pair)
    before = [mean([_average(pair.before, measure) for pair in group]) for group in groups.values()]
    after = [mean([_average(pair.after, measure) for pair in group]) for group in groups.values()]
    differences = [late - early for early, late in zip(before, after, strict=True)]
    return _Change(mean(before), mean(after), differences)


def _average(outcomes: Sequence[Outcome], measure: Callable[[Outcome], float]) -> Exact:
    return mean([exact(measure(outcome)) for outcome in outcomes])


def _objective(name: str) -> Callable[[Outcome], float]:
    return lambda outcome: outcome.objectives[name]


def _objective_harms(objectives: Mapping[str, _Change], tolerance: float) -> Iterator[_Harm]:
    """Find the objectives that lose more than is tolerated, or lose significantly."""
    for name, change in objectives.items():
        p, gain = harm_p(change.differences), float(change.gain)
        if p <= HARM:
            yield _Harm(f"objective {name} is significantly worse: {_points(gain)}, p = {p:.2g}", True)
        elif gain < -tolerance:
            text = f"objective {name} may be worse: {_points(gain)}, with {_points(-tolerance)} tolerated"
            yield _Harm(text, False)


def _gate_harms(pairs: Sequence[Pair], attempts: Sequence[Outcome]) -> Iterator[_Harm]:
    """Find the gates with more failures than before, net over all tasks, or with significantly more."""
    for gate in sorted({gate for outcome in attempts for gate in outcome.gates_failed}):
        failing = _failing(gate)
        before = sum(_average(pair.before, failing) for pair in pairs)
        after = sum(_average(pair.after, failing) for pair in pairs)
        p = harm_p([-difference for difference in _change(pairs, failing).differences])
        if p <= HARM:
            text = f"gate {gate} fails significantly more often: {_count(before)} to {_count(after)} tasks"
            yield _Harm(f"{text}, p = {p:.2g}", True)
        elif after > before:
            yield _Harm(f"gate {gate} fails more often: {_count(before)} to {_count(after)} tasks", False)


def _failing(gate: str) -> Callable[[Outcome], float]:
    return lambda outcome: float(gate in outcome.gates_failed)


def _percent(share: Exact | float) -> str:
    return f"{100 * float(share):.1f} %"


def _points(gain: Exact | float) -> str:
    return f"{100 * float(gain):+.1f} points"


def _count(tasks: Exact) -> str:
    return f"{float(tasks):.3g}"
