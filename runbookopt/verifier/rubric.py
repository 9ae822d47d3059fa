"""Rubric of a runbook: the criteria, and the assessment of one output by all of them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from runbookopt.documents.digest import digest, digest_of
from runbookopt.documents.parameters import faults_of
from runbookopt.documents.parse import read_yaml
from runbookopt.documents.schema_errors import InconsistentValues, shown
from runbookopt.documents.settings import KeyVariable, ModelName, Price
from runbookopt.evidence.library import Source
from runbookopt.evidence.trajectory import Left
from runbookopt.verifier import isolated_checks
from runbookopt.verifier.checks import Check, Finding, JsonSchema, Text, looks_at_reference
from runbookopt.verifier.program_checks import ProgramCheck
from runbookopt.verifier.program_files import program_paths, programs_digest

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$",
        description="at most 80 letters, digits, '.', '_' and '-'",
    ),
]

_HINTS = {"pattern": "the regular expression stands in 'value'"}

MOST_VOTES = 25


class JudgeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which model answers the criteria with `judge:`, how often each is asked, and at what price.

    `key_variable` names the environment variable that holds its key, where that is not the provider's own.
    `parameters` and `system_role` are as in `documents.settings.Asking`.
    """

    model: ModelName
    votes: Annotated[int, Meta(ge=1, le=MOST_VOTES)] = 1
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    api_base: Text | None = None
    key_variable: KeyVariable | None = None
    allow_self_judge: bool = False
    price: Price | None = None
    parameters: dict[str, Any] = {}
    system_role: Literal["system", "user"] = "system"

    def __post_init__(self) -> None:
        """Refuse votes that could end in a tie, and parameters that may not be handed on."""
        for fault in faults_of(self.parameters, self.model):
            raise InconsistentValues("parameters", fault)
        if self.votes % 2 == 0:
            raise InconsistentValues("votes", f"expected an odd number, for a majority, got {self.votes}")


class Criterion(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a rubric; `id` is what labels and calibration refer to, `objective` is the id by default.

    It is decided by `check`, or by a model's answer to the question `judge`: it passes where what is asked is
    `met` (the default) or `not_met`. A failed `gate` makes the whole score, and every objective, 0.
    """

    id: Name
    check: Check | UnsetType = UNSET
    statement: str | None = None
    judge: Text | UnsetType = UNSET
    pass_if: Literal["met", "not_met"] | UnsetType = UNSET
    objective: Name | None = None
    weight: Annotated[float, Meta(gt=0, le=1_000_000)] = 1.0
    gate: bool = False

    def __post_init__(self) -> None:
        """Refuse a criterion that nothing decides, or two things."""
        given = (self.check is not UNSET) + (self.judge is not UNSET)
        if given != 1:
            raise ValueError(f"expected exactly one of check and judge, got {'both' if given else 'none'}")
        if self.judge is UNSET and self.pass_if is not UNSET:
            raise InconsistentValues("pass_if", f"expected it beside `judge` only, got {shown(self.pass_if)}")

    @property
    def passes_if_met(self) -> bool:
        """Whether a judged criterion passes where its question is answered with "met"."""
        return self.pass_if in (UNSET, "met")

    @property
    def looks_at_reference(self) -> bool:
        """Whether the task's reference decides."""
        return self.check is not UNSET and looks_at_reference(self.check)

    @property
    def dimension(self) -> str:
        """The objective that the criterion belongs to."""
        return self.objective or self.id


_ONE_DECIDES = Meta(
    extra_json_schema={
        "oneOf": [{"required": ["check"]}, {"required": ["judge"]}],
        "dependentRequired": {"pass_if": ["judge"]},
    }
)
"""What `Criterion` refuses by itself, for editors."""


class Rubric(Struct, frozen=True, forbid_unknown_fields=True):
    """rubric.yaml: the verifier of one runbook."""

    criteria: Annotated[
        tuple[Annotated[Criterion, _ONE_DECIDES], ...],
        Meta(min_length=1, extra_json_schema={"x-unique-by": "id"}),
    ]
    judge: JudgeSettings | None = None

    def __post_init__(self) -> None:
        """Refuse two criteria with one id, and a question that nobody answers."""
        if len({criterion.id for criterion in self.criteria}) < len(self.criteria):
            raise ValueError("expected criteria with ids of their own")
        if self.judged and self.judge is None:
            ids = ", ".join(criterion.id for criterion in self.judged)
            raise ValueError(f"missing key 'judge': expected `judge: {{model: ...}}`, which answers {ids}")

    @property
    def judged(self) -> tuple[Criterion, ...]:
        """The criteria that a model decides."""
        return tuple(criterion for criterion in self.criteria if criterion.judge is not UNSET)

    @property
    def programs(self) -> tuple[Criterion, ...]:
        """The criteria that a program of the repository decides."""
        return tuple(criterion for criterion in self.criteria if isinstance(criterion.check, ProgramCheck))

    @property
    def stated(self) -> tuple[Criterion, ...]:
        """The criteria whose verdicts are the first half's word: a judge's, and those of programs.

        The half that holds a token asks no model and starts no program of the repository.
        """
        return (*self.judged, *self.programs)

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
        """Whether the criterion may decide alone: it holds the output against a reference or a schema.

        A judge would have to earn it by agreeing with people's labels, which this version does not measure.
        """
        return criterion.looks_at_reference or isinstance(criterion.check, JsonSchema)


class Verdict(Struct, frozen=True):
    """The judgement of one criterion; `score` lies in 0..1, `explanation` is "" where it passed."""

    criterion: str
    result: Literal["pass", "fail", "error"]
    score: float
    explanation: str


class Assessment(Struct, frozen=True):
    """Assessment of one output by the rubric; `score` and each of `objectives` lie in 0..1.

    `errors` counts the verdicts that the verifier failed to give, each scored as `assess` was told.
    """

    score: float
    objectives: dict[str, float]
    gates_failed: tuple[str, ...]
    errors: int
    verdicts: tuple[Verdict, ...]

    @property
    def findings(self) -> dict[str, Finding]:
        """The verdicts by criterion."""
        return {v.criterion: Finding(v.result, v.explanation) for v in self.verdicts}

    @property
    def feedback(self) -> tuple[str, ...]:
        """Reasons of all criteria that did not pass: "right-queue: expected card-arrival, got other"."""
        return tuple(f"{v.criterion}: {v.explanation}" for v in self.verdicts if v.result != "pass")


def programs(rubric: Rubric, source: Source) -> tuple[str, ...]:
    """Paths of the programs that criteria are: part of the verifier as much as it is.

    Folders end with a slash; see `program_files`.
    """
    checks = (criterion.check for criterion in rubric.programs)
    paths = (program_paths(check, source) for check in checks if isinstance(check, ProgramCheck))
    return tuple(sorted({path for each in paths for path in each}))


def rubric_digest(data: bytes, rubric: Rubric | None, source: Source) -> str:
    """The digest of what judges: rubric.yaml, and with it all files of its programs, if it has any."""
    own = digest(data)
    if rubric is None or not rubric.programs:
        return own
    return digest_of([own, programs_digest(programs(rubric, source), source)])


def read_rubric(data: bytes, path: str) -> Rubric:
    """Read rubric.yaml; raises MalformedFile with all that is wrong."""
    return read_yaml(data, Rubric, path, hints=_HINTS)


def assess(
    rubric: Rubric,
    *,
    output: str | None,
    reference: Any,  # noqa: ANN401 - any JSON value
    left: Left | None = None,
    verdicts: Mapping[str, Finding] = MappingProxyType({}),
    errors_as: float = 0.0,
) -> Assessment:
    """Judge one output by every criterion; `output` is None where the agent gave none.

    `left` is what the attempt left beside it; `verdicts` are those that are known, by criterion: the judge's,
    and those of programs, which are run where theirs are not. The score is the mean
    of the criteria by weight, an objective that of its own criteria. What the verifier fails to judge is
    asked once more, then scored `errors_as`: 0 for a winner, 1 for the seed.
    """
    scores = {"pass": 1.0, "fail": 0.0, "error": errors_as}
    given = []
    for criterion in rubric.criteria:
        if isinstance(criterion.check, ProgramCheck) and criterion.id in verdicts:
            finding = verdicts[criterion.id]
        elif criterion.check is not UNSET:
            finding = _checked(criterion.check, output, reference, left)
        elif output is None:
            finding = Finding("fail", "no output")
        else:
            finding = verdicts.get(criterion.id) or Finding("error", "the judge gave no verdict")
        given.append(Verdict(criterion.id, finding.result, scores[finding.result], finding.explanation))
    judged = list(zip(rubric.criteria, given, strict=True))
    gates_failed = tuple(
        criterion.id for criterion, verdict in judged if criterion.gate and verdict.score < 1
    )
    objectives = {
        name: 0.0 if gates_failed else _mean([pair for pair in judged if pair[0].dimension == name])
        for name in rubric.objectives
    }
    score = 0.0 if gates_failed else _mean(judged)
    errors = sum(verdict.result == "error" for verdict in given)
    return Assessment(score, objectives, gates_failed, errors, tuple(given))


def _checked(check: Check, output: str | None, reference: Any, left: Left | None) -> Finding:  # noqa: ANN401
    finding = isolated_checks.examine(check, output=output, reference=reference, left=left)
    if finding.result == "error":
        finding = isolated_checks.examine(check, output=output, reference=reference, left=left)
    return finding


def _mean(judged: Sequence[tuple[Criterion, Verdict]]) -> float:
    total = sum(criterion.weight for criterion, _ in judged)
    return sum(criterion.weight * verdict.score for criterion, verdict in judged) / total
