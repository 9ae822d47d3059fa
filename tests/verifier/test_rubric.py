import pytest

from runbookopt.records import MalformedFile
from runbookopt.verifier.rubric import Rubric, assess, read_rubric

RUBRIC = b"""
criteria:
  - id: right-queue
    statement: The ticket goes to the queue that a support lead would choose.
    check: {kind: equals, path: $.queue, reference: $.queue}
    objective: accuracy
    weight: 3
  - id: short
    check: {kind: max_chars, value: 60}
  - id: valid-json
    check: {kind: json_schema, schema: {type: object, required: [queue]}}
    gate: true
"""


@pytest.fixture
def rubric() -> Rubric:
    return read_rubric(RUBRIC, "rubric.yaml")


def test_all_criteria_met_is_a_score_of_one(rubric: Rubric) -> None:
    assessment = assess(rubric, output='{"queue": "a"}', reference={"queue": "a"})
    assert assessment.score == 1.0
    assert assessment.objectives == {"accuracy": 1.0, "short": 1.0, "valid-json": 1.0}
    assert assessment.feedback == ()


def test_a_score_is_the_mean_of_the_criteria_by_weight(rubric: Rubric) -> None:
    assessment = assess(rubric, output='{"queue": "b"}', reference={"queue": "a"})
    assert assessment.score == pytest.approx(2 / 5)
    assert assessment.objectives == {"accuracy": 0.0, "short": 1.0, "valid-json": 1.0}
    assert assessment.feedback == ("right-queue: expected a, got b",)


def test_a_failed_gate_makes_the_score_and_every_objective_zero(rubric: Rubric) -> None:
    assessment = assess(rubric, output='{"quue": "a"}', reference={"queue": "a"})
    assert (assessment.score, set(assessment.objectives.values())) == (0.0, {0.0})
    assert assessment.gates_failed == ("valid-json",)


@pytest.mark.parametrize(("errors_as", "score"), [(0.0, 2 / 5), (1.0, 1.0)])
def test_what_the_verifier_failed_to_do_counts_as_told(
    rubric: Rubric, errors_as: float, score: float
) -> None:
    assessment = assess(rubric, output='{"queue": "a"}', reference=None, errors_as=errors_as)
    assert (assessment.score, assessment.errors) == (pytest.approx(score), 1)
    assert assessment.feedback == ("right-queue: nothing at $.queue of the task's reference",)


@pytest.mark.parametrize(("errors_as", "failed"), [(0.0, ("g",)), (1.0, ())])
def test_a_gate_that_cannot_be_judged_is_shut_for_the_winner_alone(
    errors_as: float, failed: tuple[str, ...]
) -> None:
    rubric = read_rubric(b"criteria: [{id: g, gate: true, check: {kind: equals, reference: $.x}}]", "r.yaml")
    assert assess(rubric, output="a", reference={}, errors_as=errors_as).gates_failed == failed


def test_no_output_fails_every_criterion(rubric: Rubric) -> None:
    assessment = assess(rubric, output=None, reference={"queue": "a"}, errors_as=1.0)
    assert [verdict.result for verdict in assessment.verdicts] == ["fail", "fail", "fail"]


def test_checks_against_a_reference_or_a_schema_are_calibrated(rubric: Rubric) -> None:
    assert [rubric.calibrated(criterion) for criterion in rubric.criteria] == [True, False, True]
    assert rubric.uncalibrated == ("short",)


def test_every_mistake_in_a_rubric_is_named() -> None:
    data = b"""criteria:
- {id: a, weight: 0, check: {kind: max_chars, value: 3}}
- {id: a, check: {kind: regx, value: a}}
- {id: b, judge: Is it kind}
- {id: c, check: {kind: equals, path: queue, value: x}, wieght: 2}
- {id: d e, check: {kind: contains}}
"""
    with pytest.raises(MalformedFile) as caught:
        read_rubric(data, "r.yaml")
    kinds = "equals, one_of, contains, not_contains, starts_with, regex, max_chars, json_schema"
    assert str(caught.value).splitlines() == [
        "r.yaml:2: criteria[0].weight: expected a number > 0, got 0",
        f"r.yaml:3: criteria[1].check.kind: expected one of {kinds}, got \"regx\" (did you mean 'regex'?)",
        'r.yaml:3: criteria[1].id: expected a new id, got "a" again',
        "r.yaml:4: criteria[2]: missing key 'check'",
        "r.yaml:4: criteria[2]: unknown key 'judge': this version runs checks only, no judge",
        'r.yaml:5: criteria[3].check.path: expected a path such as $.queue or $.items[0], got "queue"',
        "r.yaml:5: criteria[3]: unknown key 'wieght' (did you mean 'weight'?)",
        "r.yaml:6: criteria[4].check: expected exactly one of value, values, reference, got none",
        "r.yaml:6: criteria[4].id: expected at most 80 letters, digits, '.', '_' and '-', got \"d e\"",
    ]


@pytest.mark.parametrize("data", [b"", b"criteria: []", b"criteria:\n- {id: a, check: {kind: equals}}"])
def test_a_rubric_that_judges_nothing_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedFile):
        read_rubric(data, "r.yaml")


def test_a_rubric_made_in_code_cannot_have_one_id_twice(rubric: Rubric) -> None:
    with pytest.raises(ValueError, match="ids of their own"):
        Rubric((rubric.criteria[0], rubric.criteria[0]))
