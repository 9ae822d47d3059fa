"""What is judged and how the judgements add up: the rubric, and the assessment of one output."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from runbookopt.records import read_yaml
from runbookopt.verifier import bounded
from runbookopt.verifier.checks import Check, JsonSchema, looks_at_reference

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$",
        description="at most 80 letters, digits, '.', '_' and '-'",
    ),
]

_HINTS = {
    "judge": "this version runs checks only, no judge",
    "pass_if": "it goes with `judge`, and this version runs checks only",
    "pattern": "the regular expression stands in 'value'",
}


class Criterion(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a rubric; `id` is what labels and calibration refer to, `objective` is the id by default.

    A failed `gate` makes the whole score, and every objective, 0.
    """

    id: Name
    check: Check
    statement: str | None = None
    objective: Name | None = None
    weight: Annotated[float, Meta(gt=0, le=1_000_000)] = 1.0
    gate: bool = False

    @property
    def dimension(self) -> str:
        """The objective that the criterion belongs to."""
        return self.objective or self.id


class Rubric(Struct, frozen=True, forbid_unknown_fields=True):
    """rubric.yaml: the verifier of one runbook."""

    criteria: Annotated[tuple[Criterion, ...], Meta(min_length=1, extra_json_schema={"x-unique-by": "id"})]

    def __post_init__(self) -> None:
        """Refuse two criteria with one id."""
        if len({criterion.id for criterion in self.criteria}) < len(self.criteria):
            raise ValueError("expected criteria with ids of their own")

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives, in the order in which the criteria name them."""
        return tuple(dict.fromkeys(criterion.dimension for criterion in self.criteria))

    @property
    def uncalibrated(self) -> tuple[str, ...]:
        """The ids of the criteria that decide without having earned it."""
        return tuple(criterion.id for criterion in self.criteria if not self.calibrated(criterion))

    @staticmethod
    def calibrated(criterion: Criterion) -> bool:
        """Whether the criterion may decide alone: it holds the output against a reference or a schema."""
        return looks_at_reference(criterion.check) or isinstance(criterion.check, JsonSchema)


class Verdict(Struct, frozen=True):
    """The judgement of one criterion; `score` lies in 0..1, `explanation` is "" where it passed."""

    criterion: str
    result: Literal["pass", "fail", "error"]
    score: float
    explanation: str


class Assessment(Struct, frozen=True):
    """What the rubric says of one output; `score` and each of `objectives` lie in 0..1.

    `errors` counts the verdicts that the verifier failed to give, each scored as `assess` was told.
    """

    score: float
    objectives: dict[str, float]
    gates_failed: tuple[str, ...]
    errors: int
    verdicts: tuple[Verdict, ...]

    @property
    def feedback(self) -> tuple[str, ...]:
        """Why each criterion that did not pass did not: "right-queue: expected card-arrival, got other"."""
        return tuple(f"{v.criterion}: {v.explanation}" for v in self.verdicts if v.result != "pass")


def read_rubric(data: bytes, path: str) -> Rubric:
    """Read rubric.yaml; raises MalformedFile with all that is wrong."""
    return read_yaml(data, Rubric, path, hints=_HINTS)


def assess(rubric: Rubric, *, output: str | None, reference: Any, errors_as: float = 0.0) -> Assessment:  # noqa: ANN401
    """Judge one output by every criterion; `output` is None where the agent gave none.

    The score is the mean of the criteria by weight, an objective that of its own criteria. What the verifier
    fails to judge is asked once more, then scored `errors_as`: 0 for a winner, 1 for the seed.
    """
    verdicts = tuple(_verdict(criterion, output, reference, errors_as) for criterion in rubric.criteria)
    judged = tuple(zip(rubric.criteria, verdicts, strict=True))
    gates_failed = tuple(
        criterion.id for criterion, verdict in judged if criterion.gate and verdict.score < 1
    )
    objectives = {
        name: _mean([pair for pair in judged if pair[0].dimension == name]) for name in rubric.objectives
    }
    return Assessment(
        score=0.0 if gates_failed else _mean(judged),
        objectives=dict.fromkeys(objectives, 0.0) if gates_failed else objectives,
        gates_failed=gates_failed,
        errors=sum(verdict.result == "error" for verdict in verdicts),
        verdicts=verdicts,
    )


def _verdict(criterion: Criterion, output: str | None, reference: Any, errors_as: float) -> Verdict:  # noqa: ANN401
    finding = bounded.examine(criterion.check, output=output, reference=reference)
    if finding.result == "error":
        finding = bounded.examine(criterion.check, output=output, reference=reference)
    score = {"pass": 1.0, "fail": 0.0, "error": errors_as}[finding.result]
    return Verdict(criterion.id, finding.result, score, finding.explanation)


def _mean(judged: "tuple[tuple[Criterion, Verdict], ...] | list[tuple[Criterion, Verdict]]") -> float:
    total = sum(criterion.weight for criterion, _ in judged)
    return sum(criterion.weight * verdict.score for criterion, verdict in judged) / total
