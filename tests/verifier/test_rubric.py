import pytest
from jsonschema import Draft202012Validator

from runbookopt.documents.parse import MalformedFile, read_plain_yaml
from runbookopt.documents.schema_errors import json_schema
from runbookopt.documents.settings import Price
from runbookopt.verifier.checks import Finding
from runbookopt.verifier.rubric import CalibratedRubric, JudgeSettings, Rubric, assess, read_rubric

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


def test_what_does_not_decide_shuts_no_gate_counts_no_error_and_is_told_apart(rubric: Rubric) -> None:
    calibrated = CalibratedRubric(rubric.criteria, decides=("right-queue",), unheard=("short",))
    assert calibrated.objectives == ("accuracy",)
    assessment = assess(calibrated, output='{"queue": "a", "why": 1}', reference={"queue": "a"})
    assert (assessment.score, assessment.objectives) == (1.0, {"accuracy": 1.0})
    broken = assess(calibrated, output="[]", reference={"queue": "a"})
    assert (broken.score, broken.gates_failed) == (0.0, ())
    assert [each.criterion for each in broken.verdicts] == ["right-queue", "valid-json"]
    assert [each.partition(":")[0] for each in broken.feedback] == ["right-queue"]
    assert [each.partition(":")[0] for each in broken.advice] == ["valid-json"]
    other = CalibratedRubric(rubric.criteria, decides=("short",))
    unjudged = assess(other, output="{}", reference=None, errors_as=0.0)
    assert (unjudged.score, unjudged.errors, unjudged.feedback) == (1.0, 0, ())
    assert [each.partition(":")[0] for each in unjudged.advice] == ["valid-json"]  # an error teaches nothing
    assert other.declared == rubric


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
- {id: b, judge: Is it kind, pass_if: no}
- {id: c, check: {kind: equals, path: queue, value: x}, wieght: 2}
- {id: d e, check: {kind: contains}}
"""
    with pytest.raises(MalformedFile) as caught:
        read_rubric(data, "r.yaml")
    kinds = (
        "equals, one_of, contains, not_contains, starts_with, regex, max_chars, json_schema, exit_code, "
        "max_seconds, file_exists, tool_called, tool_not_called, tool_sequence, max_steps, command, python"
    )
    assert str(caught.value).splitlines() == [
        "r.yaml:2: criteria[0].weight: expected a number > 0, got 0",
        f"r.yaml:3: criteria[1].check.kind: expected one of {kinds}, got \"regx\" (did you mean 'regex'?)",
        'r.yaml:3: criteria[1].id: expected a new id, got "a" again',
        'r.yaml:4: criteria[2].pass_if: expected one of met, not_met, got "no"',
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


JUDGED = b"""
judge: {model: openai/gpt-5-mini, votes: 3, price: {prompt: 0.25, completion: 2}}
criteria:
- {id: right, check: {kind: equals, value: yes}, weight: 3}
- {id: no-promise, judge: Does it promise anything, pass_if: not_met}
"""


def test_a_criterion_asks_a_judge_or_a_check() -> None:
    rubric = read_rubric(JUDGED, "r.yaml")
    assert [criterion.id for criterion in rubric.judged] == ["no-promise"]
    assert rubric.judge == JudgeSettings("openai/gpt-5-mini", 3, price=Price(0.25, 2))
    assert rubric.uncalibrated == ("right", "no-promise")


@pytest.mark.parametrize(
    ("verdicts", "score", "feedback"),
    [
        ({"no-promise": Finding("pass")}, 1.0, ()),
        ({"no-promise": Finding("fail", "It promises a date.")}, 3 / 4, ("no-promise: It promises a date.",)),
        ({"right": Finding("fail", "says who?")}, 3 / 4, ("no-promise: the judge gave no verdict",)),
    ],
)
def test_a_judge_decides_its_own_criteria_and_fails_closed(
    verdicts: dict[str, Finding], score: float, feedback: tuple[str, ...]
) -> None:
    found = assess(read_rubric(JUDGED, "r.yaml"), output="yes", reference=None, verdicts=verdicts)
    assert (found.score, found.feedback) == (score, feedback)


def test_a_missing_verdict_counts_for_the_seed() -> None:
    found = assess(read_rubric(JUDGED, "r.yaml"), output="yes", reference=None, errors_as=1.0)
    assert (found.score, found.errors) == (1.0, 1)


def test_without_an_output_no_verdict_is_needed() -> None:
    found = assess(read_rubric(JUDGED, "r.yaml"), output=None, reference=None, errors_as=1.0)
    assert [verdict.result for verdict in found.verdicts] == ["fail", "fail"]
    assert found.feedback[1] == "no-promise: no output"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "- {id: a, judge: Is it so}",
            "1: missing key 'judge': expected `judge: {model: ...}`, which answers a",
        ),
        ("- {id: a}", "3: criteria[0]: expected exactly one of check and judge, got none"),
        (
            "- {id: a, judge: Is it so, check: {kind: max_chars, value: 1}}",
            "3: criteria[0]: expected exactly one of check and judge, got both",
        ),
        (
            "- {id: a, check: {kind: max_chars, value: 1}, pass_if: met}",
            '3: criteria[0].pass_if: expected it beside `judge` only, got "met"',
        ),
        ("- {id: a, judge: ''}", '3: criteria[0].judge: expected something here, got ""'),
        ("judge: openai/gpt-5", '3: judge: expected a mapping or nothing, got "openai/gpt-5"'),
        ("judge: {votes: 3}", "3: judge: missing key 'model'"),
        ("judge: {model: m, votes: 2}", "3: judge.votes: expected an odd number, for a majority, got 2"),
        ("judge: {model: m, vote: 3}", "3: judge: unknown key 'vote' (did you mean 'votes'?)"),
        ("judge: {model: m, price: {prompt: 1}}", "3: judge.price: missing key 'completion'"),
    ],
)
def test_what_a_judge_cannot_answer_is_named(text: str, complaint: str) -> None:
    whole = "\ncriteria:\n" + text
    if text.startswith("judge"):
        whole = f"criteria:\n- {{id: a, judge: Is it so}}\n{text}"
    with pytest.raises(MalformedFile) as caught:
        read_rubric(whole.encode(), "r.yaml")
    assert f"r.yaml:{complaint}" in str(caught.value).splitlines()


def test_a_question_mark_that_yaml_trips_over_is_explained() -> None:
    with pytest.raises(
        MalformedFile, match=r"r\.yaml:2: not YAML: .*; put text with a question mark in quotes"
    ):
        read_rubric(b"criteria:\n- {id: kind, judge: Is it kind?}", "r.yaml")


@pytest.mark.parametrize(
    "criterion",
    [
        "{id: a}",
        "{id: a, judge: x, check: {kind: max_chars, value: 1}}",
        "{id: a, pass_if: met, check: {kind: max_chars, value: 1}}",
    ],
)
def test_the_printed_schema_refuses_what_the_reader_refuses(criterion: str) -> None:
    schema = Draft202012Validator(json_schema(Rubric))
    assert schema.is_valid(read_plain_yaml(JUDGED, "r.yaml"))
    assert not schema.is_valid(read_plain_yaml(f"criteria: [{criterion}]".encode(), "r.yaml"))
