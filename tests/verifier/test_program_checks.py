import shutil
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from runbookopt.evidence.trajectory import Left
from runbookopt.verifier.checks import Command, Finding, Python
from runbookopt.verifier.isolated_checks import examine

PROGRAMS = Path(__file__).parents[1] / "programs"
LEFT = Left(exit_code=0, steps=())


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a repository's subfolder; its `checks` folder holds the programs."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "checks").mkdir()
    for name in ("verdict", "functions"):
        shutil.copy(PROGRAMS / f"verifier_{name}.py", tmp_path / "checks" / f"{name}.py")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    return tmp_path


def command(what: str, output: str = "a", seconds: float = 20) -> Finding:
    check = Command(argv=(sys.executable, "{repository}/checks/verdict.py", what), seconds=seconds)
    return examine(check, output=output, reference="a", left=LEFT)


def python(what: str, output: str = "a", seconds: float = 20) -> Finding:
    check = Python(function=f"checks.functions:{what}", seconds=seconds)
    return examine(check, output=output, reference="a", left=LEFT)


@pytest.mark.usefixtures("repository")
def test_a_program_gives_its_verdict_and_its_reason() -> None:
    assert command("honest") == Finding("pass")
    assert command("honest", "b") == Finding("fail", "got b")
    assert '"exit_code": 0' in command("left").explanation


@pytest.mark.slow
@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("what", "explanation"),
    [
        ("crash", "the check ended with exit code 1: no such table"),
        ("garbage", 'expected {"result": "pass" or "fail", "explanation": "..."} from the check, got pass'),
        (
            "unsure",
            'expected {"result": "pass" or "fail", "explanation": "..."} from the check, got {"result',
        ),
        ("hang", "the check was stopped: more than 0.5 seconds"),
        ("flood", "the check was stopped: more than"),
    ],
)
def test_a_program_that_gives_no_verdict_is_an_error(what: str, explanation: str) -> None:
    finding = command(what, seconds=0.5 if what == "hang" else 20)
    assert finding.result == "error"
    assert finding.explanation.startswith(explanation)


@pytest.mark.usefixtures("repository")
def test_a_program_that_is_not_there_is_an_error_that_names_it() -> None:
    missing = examine(Command(argv=("no-such-checker",)), output="a", reference=None)
    assert missing.explanation.startswith(
        "the check did not run: argv: no program 'no-such-checker' on the PATH"
    )
    assert missing.result == "error"


@pytest.mark.usefixtures("repository")
def test_programs_and_functions_see_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGE_TOKEN", "s3cret")
    assert set(command("environment").explanation.split()) - {"LC_CTYPE"} == {
        "HOME",
        "LANG",
        "PATH",
        "TMPDIR",
    }
    assert "FORGE_TOKEN" not in python("environment").explanation.split()


@pytest.mark.usefixtures("repository")
def test_a_function_gives_its_verdict_whatever_it_prints_or_reads() -> None:
    assert python("same") == Finding("pass")
    assert python("same", "b") == Finding("fail", "the check says no")
    assert python("told", "b") == Finding("fail", "b is not a")
    assert python("steps") == Finding("pass")
    assert python("read").result == "fail"
    assert python("same") == Finding("pass")


@pytest.mark.slow
@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("what", "explanation"),
    [
        ("crash", "the check crashed: KeyError: 'missing'"),
        ("leave", "the check crashed: SystemExit: 0"),
        ("die", "the check's process ended without an answer"),
        ("truthy", "expected true or false, or a pair with an explanation, got str"),
        ("hang", "the check took more than 0.5 s"),
        ("absent", "the check crashed: AttributeError"),
    ],
)
def test_a_function_that_gives_no_verdict_is_an_error(what: str, explanation: str) -> None:
    finding = python(what, seconds=0.5 if what == "hang" else 20)
    assert finding.result == "error"
    assert finding.explanation.startswith(explanation)
    assert python("same") == Finding("pass")


def test_a_repositorys_module_stands_in_for_no_library(repository: Path) -> None:
    (repository / "msgspec.py").write_text("raise SystemError")
    (repository / "json.py").write_text("def always(output, reference, left): return True")
    assert python("same") == Finding("pass")
    assert examine(Python(function="json:always"), output="a", reference="a") == Finding("pass")
    assert python("same") == Finding("pass")


@pytest.mark.usefixtures("repository")
def test_a_program_leaves_neither_folder_nor_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(own))
    command("honest")
    assert list(own.iterdir()) == []
    assert [thread for thread in threading.enumerate() if "ThreadPool" in thread.name] == []
