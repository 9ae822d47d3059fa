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
    def declared(self) -> "Rubric":
        """The rubric as its file has it, by which every criterion decides."""
        return self

    @property
    def heard(self) -> tuple[Criterion, ...]:
        """The criteria that judge outputs at all: some of them may decide nothing, and only inform."""
        return self.criteria

    @property
    def deciding(self) -> tuple[Criterion, ...]:
        """The criteria that score, gates and objectives are made of."""
        return self.criteria

    @property
    def judged(self) -> tuple[Criterion, ...]:
        """The criteria that a model is asked about."""
        return tuple(criterion for criterion in self.heard if criterion.judge is not UNSET)

    @property
    def judge_decides(self) -> bool:
        """Whether what a model says decides anything: what it says of an advisory criterion only informs."""
        return any(criterion.judge is not UNSET for criterion in self.deciding)

    @property
    def programs(self) -> tuple[Criterion, ...]:
        """The criteria for which a program of the repository is run."""
        return tuple(criterion for criterion in self.heard if isinstance(criterion.check, ProgramCheck))

    @property
    def stated(self) -> tuple[Criterion, ...]:
        """The criteria whose verdicts are the first half's word: a judge's, and those of programs.

        The half that holds a token asks no model and starts no program of the repository.
        """
        return (*self.judged, *self.programs)

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives, in the order in which the criteria that decide name them."""
        return tuple(dict.fromkeys(criterion.dimension for criterion in self.deciding))

    @property
    def uncalibrated(self) -> tuple[str, ...]:
        """The ids of the criteria that decide without having earned it."""
        return tuple(criterion.id for criterion in self.criteria if not self.calibrated(criterion))

    @staticmethod
    def calibrated(criterion: Criterion) -> bool:
        """Whether the criterion may decide alone: it holds the output against a reference or a schema.

        All others have to earn it by agreeing with people's labels.
        """
        return criterion.looks_at_reference or isinstance(criterion.check, JsonSchema)


class CalibratedRubric(Rubric, frozen=True):
    """A rubric of which agreement with people's labels says what decides (calibration.json).

    Only the criteria `decides` do, by their ids; the `unheard` judge nothing, and nobody is asked about them.
    What all others say informs reflection and report, and decides nothing.
    """

    decides: tuple[str, ...] = ()
    unheard: tuple[str, ...] = ()

    @property
    def declared(self) -> Rubric:
        """The rubric as its file has it, by which every criterion decides."""
        return Rubric(self.criteria, self.judge)

    @property
    def heard(self) -> tuple[Criterion, ...]:
        """The criteria that judge outputs at all."""
        return tuple(criterion for criterion in self.criteria if criterion.id not in self.unheard)

    @property
    def deciding(self) -> tuple[Criterion, ...]:
        """The criteria that score, gates and objectives are made of."""
        return tuple(criterion for criterion in self.criteria if criterion.id in self.decides)


class Verdict(Struct, frozen=True):
    """The judgement of one criterion; `score` lies in 0..1, `explanation` is "" where it passed.

    One that does not decide (`decides`) is in no figure.
    """

    criterion: str
    result: Literal["pass", "fail", "error"]
    score: float
    explanation: str
    decides: bool = True


class Assessment(Struct, frozen=True):
    """Assessment of one output by the rubric; `score` and each of `objectives` lie in 0..1.

    `errors` counts the verdicts that the verifier failed to give, each scored as `assess` was told. All but
    `verdicts`, `findings` and `advice` is of the criteria that decide.
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
        failing = (each for each in self.verdicts if each.decides and each.result != "pass")
        return tuple(f"{each.criterion}: {each.explanation}" for each in failing)

    @property
    def advice(self) -> tuple[str, ...]:
        """The same of criteria that decide nothing and failed."""
        failing = (each for each in self.verdicts if not each.decides and each.result == "fail")
        return tuple(f"{each.criterion}: {each.explanation}" for each in failing)


def programs(rubric: Rubric, source: Source) -> tuple[str, ...]:
    """Paths of the programs that criteria are: part of the verifier as much as it is.

    Folders end with a slash; see `program_files`.
    """
    checks = (criterion.check for criterion in rubric.programs)
    paths = (program_paths(check, source) for check in checks if isinstance(check, ProgramCheck))
    return tuple(sorted({path for each in paths for path in each}))


def rubric_digest(data: bytes, rubric: Rubric | None, source: Source) -> str:
    """The digest of what judges: rubric.yaml, all files of its programs if it has any, and what decides.

    Where no labels say what decides, all criteria do, and the digest is that of a rubric without them.
    """
    own = digest(data)
    if rubric is not None and rubric.programs:
        own = digest_of([own, programs_digest(programs(rubric, source), source)])
    if isinstance(rubric, CalibratedRubric):
        return digest_of([own, "decided by", sorted(rubric.decides)])
    return own


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
    of the criteria that decide, by weight, an objective that of its own. What the verifier fails to judge is
    asked once more, then scored `errors_as`: 0 for a winner, 1 for the seed.
    """
    decides = {criterion.id for criterion in rubric.deciding}
    scores = {"pass": 1.0, "fail": 0.0, "error": errors_as}
    given = []
    for criterion in rubric.heard:
        if isinstance(criterion.check, ProgramCheck) and criterion.id in verdicts:
            finding = verdicts[criterion.id]
        elif criterion.check is not UNSET:
            finding = _checked(criterion.check, output, reference, left)
        elif output is None:
            finding = Finding("fail", "no output")
        else:
            finding = verdicts.get(criterion.id) or Finding("error", "the judge gave no verdict")
        by, score = criterion.id, scores[finding.result]
        given.append(Verdict(by, finding.result, score, finding.explanation, by in decides))
    pairs = zip(rubric.heard, given, strict=True)
    judged = [(criterion, verdict) for criterion, verdict in pairs if verdict.decides]
    gates_failed = tuple(
        criterion.id for criterion, verdict in judged if criterion.gate and verdict.score < 1
    )
    objectives = {
        name: 0.0 if gates_failed else _mean([pair for pair in judged if pair[0].dimension == name])
        for name in rubric.objectives
    }
    score = 0.0 if gates_failed else _mean(judged)
    errors = sum(verdict.result == "error" for _, verdict in judged)
    return Assessment(score, objectives, gates_failed, errors, tuple(given))


def _checked(check: Check, output: str | None, reference: Any, left: Left | None) -> Finding:  # noqa: ANN401
    finding = isolated_checks.examine(check, output=output, reference=reference, left=left)
    if finding.result == "error":
        finding = isolated_checks.examine(check, output=output, reference=reference, left=left)
    return finding


def _mean(judged: Sequence[tuple[Criterion, Verdict]]) -> float:
    if not judged:  # whoever scores by a rubric refuses one of which nothing decides, and others only read
        return 0.0
    total = sum(criterion.weight for criterion, _ in judged)
    return sum(criterion.weight * verdict.score for criterion, verdict in judged) / total
