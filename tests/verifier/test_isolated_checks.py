import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runbookopt.verifier.checks import Equals, Finding, JsonSchema, Regex
from runbookopt.verifier.isolated_checks import examine


@pytest.mark.slow
@pytest.mark.parametrize("check", [Regex(value="^(a+)+$"), JsonSchema(schema={"pattern": "^(a+)+$"})])
def test_a_regular_expression_that_runs_away_is_stopped(check: Regex | JsonSchema) -> None:
    output = "a" * 60 + "b" if isinstance(check, Regex) else '"' + "a" * 60 + 'b"'
    assert examine(check, output=output, reference=None) == Finding("error", "the check took more than 1 s")
    assert examine(check, output='"b"', reference=None).result == "fail"


def test_a_schema_that_refers_to_itself_ends() -> None:
    finding = examine(JsonSchema(schema={"$ref": "#"}), output="{}", reference=None)
    said = "the schema refers to itself without end, or leads too deep"
    assert finding == Finding("error", said)


@pytest.mark.slow
def test_references_that_double_with_each_step_are_stopped() -> None:
    steps = {f"s{n}": {"allOf": [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(40)}
    check = JsonSchema(schema={"$ref": "#/$defs/s0", "$defs": {**steps, "s40": {"type": "object"}}})
    assert examine(check, output="{}", reference=None) == Finding("error", "the check took more than 1 s")


def test_a_check_that_crashes_is_an_error() -> None:
    check = JsonSchema(schema={"$ref": "http://localhost:1/schema"})
    finding = examine(check, output="{}", reference=None)
    assert (finding.result, "crashed" in finding.explanation) == ("error", True)


def test_both_ways_of_examining_agree() -> None:
    assert examine(Regex(value="^b$"), output="b", reference=None) == Finding("pass")
    assert examine(Equals(value="b"), output="b", reference=None) == Finding("pass")


def test_a_repository_cannot_slip_its_own_modules_into_the_child(tmp_path: Path) -> None:
    (tmp_path / "msgspec.py").write_text("import pathlib; pathlib.Path('taken').touch()")
    code = (
        "import sys; sys.path.remove('') if '' in sys.path else None\n"
        "from runbookopt.verifier.isolated_checks import examine\n"
        "from runbookopt.verifier.checks import Regex\n"
        "print(examine(Regex(value='a'), output='a', reference=None).result)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("pass\n", "")
    assert not (tmp_path / "taken").exists()


def test_the_child_survives_ctrl_c_and_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        "from runbookopt.verifier import isolated_checks as checking\n"
        "from runbookopt.verifier.checks import Regex\n"
        "checking.examine(Regex(value='a'), output='a', reference=None)\n"
        "try: os.killpg(0, signal.SIGINT)\n"
        "except KeyboardInterrupt: pass\n"
        "result = checking.examine(Regex(value='a'), output='b', reference=None).result\n"
        "print(checking._child(None)._process.pid, result)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )
    pid, result = done.stdout.split()
    assert result == "fail"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), signal.SIGCONT)
