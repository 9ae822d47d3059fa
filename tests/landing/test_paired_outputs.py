from typing import Any

import msgspec
import pytest

from runbookopt.documents.finding import Finding
from runbookopt.evidence.trajectory import Left, Task
from runbookopt.landing.bundle import Beside, HeldOutOutputs
from runbookopt.landing.paired_outputs import CRITIQUE, Tried, group_digest, pairs, put_out
from runbookopt.verifier.rubric import Rubric, read_rubric

TASK = Task("sha256:1", "Where is my card", reference="a")
CHECKED = "criteria:\n- {id: right, check: {kind: equals, reference: $}}\n"
JUDGED = f"judge: {{model: openai/gpt-5-mini}}\n{CHECKED}- {{id: kind, judge: Is it kind}}\n"
STEPS = (
    {"source": "user", "message": "my PIN is 1234"},
    {
        "source": "agent",
        "message": "let me see",
        "tool_calls": [{"function_name": "lookup", "arguments": {"pin": "1234"}}],
    },
)
LEFT = Left(0, 2.5, ("out/a.txt", "secret.txt"), STEPS, "the program said: PIN 1234")


def rubric(text: str) -> Rubric:
    return read_rubric(text.encode(), "rubric.yaml")


def traced(*checks: str) -> Rubric:
    lines = [f"- {{id: c{number}, check: {check}}}\n" for number, check in enumerate(checks)]
    return rubric("criteria:\n" + "".join(lines))


def found(rubric: Rubric, before: Tried, after: Tried) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Give the scores of both sides, by the road through JSON that a bundle takes."""
    outputs = put_out(rubric, TASK, [before], [after])
    again = msgspec.json.decode(msgspec.json.encode(outputs), type=HeldOutOutputs)
    assert again == outputs
    (pair,) = pairs([again], {TASK.id: TASK}, rubric)
    return (pair.before[0].score, pair.before[0].errors), (pair.after[0].score, pair.after[0].errors)


def test_where_the_outputs_alone_decide_nothing_stands_beside_them() -> None:
    tried = Tried("a", {"kind": Finding("pass")}, LEFT)
    outputs = put_out(rubric(CHECKED), TASK, [tried], [tried])
    assert outputs == HeldOutOutputs(TASK.id, group_digest(TASK), ("a",), ("a",))


def test_a_judges_verdicts_are_the_first_halfs_word_and_checks_are_judged_anew() -> None:
    kind, unkind = {"kind": Finding("pass")}, {"kind": Finding("fail", "It is not.")}
    assert found(rubric(JUDGED), Tried("b", kind), Tried("a", unkind)) == ((0.5, 0), (0.5, 0))
    assert found(rubric(JUDGED), Tried("b", unkind), Tried("a", kind)) == ((0.0, 0), (1.0, 0))


def test_a_verdict_that_is_not_there_counts_for_the_seed_and_against_the_winner() -> None:
    assert found(rubric(JUDGED), Tried("b"), Tried("a")) == ((0.5, 1), (0.5, 1))


def test_an_attempt_without_a_score_counts_for_the_seed_and_against_the_winner() -> None:
    gated = rubric(
        CHECKED.replace("}}", "}, gate: true}") + "- {id: short, check: {kind: max_chars, value: 9}}\n"
    )
    lost = Tried(None, no_answer="timeout")
    assert found(gated, lost, lost) == ((1.0, 1), (0.0, 1))
    outputs = put_out(gated, TASK, [lost, Tried("a")], [Tried("b"), lost])
    (pair,) = pairs([outputs], {TASK.id: TASK}, gated)
    assert [each.gates_failed for each in (*pair.before, *pair.after)] == [(), (), ("right",), ("right",)]
    assert pair.after[1].objectives == {"right": 0.0, "short": 0.0}
    assert msgspec.to_builtins(outputs)["beside_before"] == ({"no_answer": "timeout"}, {})


def test_a_verdict_on_what_a_check_decides_is_not_kept() -> None:
    claimed = Tried("b", {"right": Finding("pass"), "kind": Finding("pass")})
    outputs = put_out(rubric(JUDGED), TASK, [claimed], [claimed])
    assert outputs.beside_before == (Beside({"kind": Finding("pass")}),)


def test_a_critique_is_kept_short() -> None:
    outputs = put_out(rubric(JUDGED), TASK, [Tried("a", {"kind": Finding("fail", "x" * 999)})], [])
    kept = outputs.beside_before[0].judged["kind"].explanation
    assert (len(kept), kept[-4:]) == (CRITIQUE, "x...")


TRACES = [
    "{kind: exit_code}",
    "{kind: max_seconds, value: 3}",
    "{kind: file_exists, value: out/*.txt}",
    "{kind: tool_called, value: lookup}",
    "{kind: tool_not_called, value: delete}",
    "{kind: tool_sequence, values: [lookup]}",
    "{kind: max_steps, value: 1}",
]


@pytest.mark.parametrize("check", TRACES)
def test_what_an_attempt_left_is_judged_anew_without_a_word_of_what_was_said(check: str) -> None:
    looked = traced(check)
    bad = Left(1, 4.0, ("other",), ({"source": "agent", "tool_calls": [{"function_name": "delete"}]},) * 2)
    assert found(looked, Tried("a", left=bad), Tried("a", left=LEFT)) == ((0.0, 0), (1.0, 0))
    kept = put_out(looked, TASK, [Tried("a", left=LEFT)], [])
    assert b"1234" not in msgspec.json.encode(kept)
    assert b"secret.txt" not in msgspec.json.encode(kept)


def test_what_nobody_knows_stays_unknown() -> None:
    looked = traced("{kind: tool_called, value: lookup}", "{kind: file_exists, value: a}")
    assert found(looked, Tried("a", left=Left()), Tried("a")) == ((1.0, 2), (0.0, 2))


@pytest.mark.parametrize("calls", [None, "lookup", {"function_name": "lookup"}, [1, {"function_name": 2}]])
def test_calls_in_no_known_form_are_none(calls: object) -> None:
    left = Left(steps=({"source": "agent", "tool_calls": calls},))
    kept = put_out(traced("{kind: tool_called, value: lookup}"), TASK, [Tried("a", left=left)], [])
    assert kept.beside_before == (Beside(left=Left(steps=({"source": "agent", "tool_calls": []},))),)
