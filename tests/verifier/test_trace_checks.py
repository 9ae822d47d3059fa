from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.evidence.trajectory import Left
from runbookopt.sandbox.run import path_pattern
from runbookopt.verifier.checks import Check, Finding, examine, looks_at_reference, runs_programs

STEPS = (
    {"step_id": 1, "source": "user", "message": "Refund order 17"},
    {
        "step_id": 2,
        "source": "agent",
        "tool_calls": [{"function_name": "Read"}, {"function_name": "mcp__x__y"}],
    },
    {"step_id": 3, "source": "agent", "tool_calls": [{"function_name": "Bash"}]},
)
LEFT = Left(exit_code=0, seconds=2.5, files=("report.md", "tables/a.csv"), steps=STEPS)


def judge(check: dict[str, Any], left: Left | None = LEFT, output: str | None = "done") -> Finding:
    return examine(msgspec.convert(check, Check), output=output, reference=None, left=left)


@pytest.mark.parametrize(
    "check",
    [
        {"kind": "exit_code"},
        {"kind": "max_seconds", "value": 2.5},
        {"kind": "file_exists", "value": "report.md"},
        {"kind": "file_exists", "values": ["*.md", "**/*.csv", "tables/?.csv"]},
        {"kind": "tool_called", "value": "Bash"},
        {"kind": "tool_called", "values": ["Read", "mcp__*"]},
        {"kind": "tool_not_called", "values": ["Write", "mcp__mail__*"]},
        {"kind": "tool_sequence", "values": ["Read", "Bash"]},
        {"kind": "max_steps", "value": 2},
    ],
)
def test_what_was_wanted_passes(check: dict[str, Any]) -> None:
    assert judge(check) == Finding("pass")


@pytest.mark.parametrize(
    ("check", "explanation"),
    [
        ({"kind": "exit_code", "value": 2}, "expected exit code 2, got exit code 0"),
        ({"kind": "max_seconds", "value": 1}, "expected at most 1 seconds, got 2.5 seconds"),
        (
            {"kind": "file_exists", "value": "answer.txt"},
            "expected a file at answer.txt, got report.md, tables/a.csv without answer.txt",
        ),
        (
            {"kind": "file_exists", "values": ["report.md", "*.csv"]},
            "expected files at report.md, *.csv, got report.md, tables/a.csv without *.csv",
        ),
        (
            {"kind": "tool_called", "value": "Write"},
            "expected a call of Write, got calls of Read, mcp__x__y, Bash without Write",
        ),
        (
            {"kind": "tool_not_called", "values": ["mcp__*", "Write"]},
            "expected no call of mcp__* or Write, got a call of mcp__x__y",
        ),
        (
            {"kind": "tool_sequence", "values": ["Bash", "Read"]},
            "expected calls of Bash, then Read, got calls of Read, mcp__x__y, Bash: none of Read in its turn",
        ),
        ({"kind": "max_steps", "value": 1}, "expected at most 1 steps, got 2 steps"),
    ],
)
def test_what_was_not_wanted_fails_with_a_reason(check: dict[str, Any], explanation: str) -> None:
    assert judge(check) == Finding("fail", explanation)


KINDS = [
    {"kind": "exit_code"},
    {"kind": "max_seconds", "value": 1},
    {"kind": "file_exists", "value": "a"},
    {"kind": "tool_called", "value": "a"},
    {"kind": "tool_not_called", "value": "a"},
    {"kind": "tool_sequence", "values": ["a"]},
    {"kind": "max_steps", "value": 1},
]


@pytest.mark.parametrize("check", KINDS)
@pytest.mark.parametrize("left", [None, Left()])
def test_what_nobody_knows_is_the_verifiers_error(check: dict[str, Any], left: Left | None) -> None:
    finding = judge(check, left)
    assert (finding.result, "this agent leaves no" in finding.explanation) == ("error", True)


@pytest.mark.parametrize("check", KINDS)
def test_an_attempt_that_left_nothing_at_all_fails(check: dict[str, Any]) -> None:
    assert judge(check, None, output=None).result == "fail"


@pytest.mark.parametrize("check", [check for check in KINDS if check["kind"].startswith(("max", "tool_not"))])
def test_doing_nothing_does_not_pass_what_forbids_something(check: dict[str, Any]) -> None:
    left = Left(seconds=0.1, steps=(), reason="more than 600 seconds")
    finding = judge(check, left, output=None)
    assert finding.explanation.endswith("got no output: more than 600 seconds")
    assert judge(check, left).result == "pass"


def test_a_check_of_the_output_says_why_there_is_none() -> None:
    left = Left(exit_code=2, reason="exit code 2: error: unknown flag --foo")
    finding = judge({"kind": "equals", "value": "a"}, left, output=None)
    assert finding == Finding("fail", "expected a, got no output: exit code 2: error: unknown flag --foo")


@pytest.mark.parametrize(
    "check",
    [
        {"kind": "file_exists"},
        {"kind": "tool_called", "value": "a", "values": ["b"]},
        {"kind": "tool_sequence"},
        {"kind": "max_steps", "value": 0},
        {"kind": "exit_code", "value": "0"},
        {"kind": "max_seconds"},
        {"kind": "max_seconds", "value": 1, "path": "$.a"},
        {"kind": "python", "function": "no colon"},
        {"kind": "python", "function": "../checks:function"},
        {"kind": "command", "argv": []},
    ],
)
def test_a_check_that_means_nothing_is_refused(check: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(check, Check)


def test_no_such_check_holds_an_output_against_the_reference() -> None:
    programs = [{"kind": "command", "argv": ["a"]}, {"kind": "python", "function": "a:b"}]
    checks = [msgspec.convert(check, Check) for check in KINDS + programs]
    assert not any(looks_at_reference(check) for check in checks)
    assert [runs_programs(check) for check in checks] == [False] * len(KINDS) + [True, True]


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("*.md", "a.md", True),
        ("*.md", "b/a.md", False),
        ("**/*.md", "a.md", True),
        ("**/*.md", "b/c/a.md", True),
        ("b/**", "b/c/a.md", True),
        ("a[1].md", "a[1].md", True),
        ("a.md", "axmd", False),
        (".claude/projects/*/*.jsonl", ".claude/projects/-tmp-x/1.jsonl", True),
    ],
)
def test_stars_stay_in_their_folder_and_two_of_them_do_not(glob: str, path: str, matches: bool) -> None:
    assert bool(path_pattern(glob).fullmatch(path)) == matches


ANY = st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner, max_size=3))
CALLS = st.lists(st.dictionaries(st.sampled_from(["function_name", "x"]), ANY), max_size=3) | ANY
ODD = st.dictionaries(st.sampled_from(["tool_calls", "source", "message"]), CALLS, max_size=3)


@given(st.sampled_from(KINDS), st.lists(ODD, max_size=4), st.none() | st.text())
def test_no_step_makes_a_check_raise(check: dict[str, Any], steps: list[Any], output: str | None) -> None:
    finding = judge(check, Left(steps=tuple(steps), files=(), exit_code=1, seconds=0.5), output)
    assert (finding.result == "pass") == (finding.explanation == "")
