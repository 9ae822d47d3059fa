import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from runbookopt.cli.show import show
from runbookopt.documents.digest import digest
from runbookopt.errors import RunbookoptError

RUNBOOK = (
    "---\nversion: 1.2.3\n---\n# Triage\n\n## Steps\n- a \x1b[31m\u2028b\r\n\n## Escalation\n## Rubric\nlast"
)


def run(*arguments: str) -> Result:
    app = typer.Typer(add_completion=False)
    app.command()(show)
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runbooks/support/triage"
    folder.mkdir(parents=True)
    (folder / "RUNBOOK.md").write_bytes(RUNBOOK.encode())
    (folder / "policy.yaml").write_text('merge: auto\nlocked: ["## Escalation"]\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_texts_of_the_parts_are_the_file(root: Path) -> None:
    result = run("support/triage", "--json")
    shown = json.loads(result.stdout_bytes)
    assert list(shown) == ["digest", "version", "agent", "parts"]
    assert "".join(part["text"] for part in shown["parts"]) == RUNBOOK
    assert shown["digest"] == digest((root / "runbooks/support/triage/RUNBOOK.md").read_bytes())
    assert shown["version"] == "1.2.3"
    assert [list(part) for part in shown["parts"]] == [["id", "heading", "locked", "text"]] * 5


@pytest.mark.usefixtures("root")
def test_the_parts_are_listed_in_order_with_what_is_locked_and_why() -> None:
    lines = run("support/triage").stdout.splitlines()
    assert lines[1] == "version  1.2.3"
    assert lines[2].startswith("agent    offline, key sha256:")
    assert [line.split() for line in lines[3:]] == [
        ["1-3", "front-matter", "[locked:", "front", "matter]"],
        ["4-5", "preamble"],
        ["6-8", "steps", "Steps"],
        ["9-9", "escalation", "Escalation", "[locked:", "the", "policy", "locks", '"##', 'Escalation"]'],
        ["10-11", "rubric", "Rubric", "[locked:", "its", "heading", "says", "'rubric']"],
    ]


def test_a_file_is_shown_from_anywhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_name = run("support/triage").stdout
    monkeypatch.chdir(root / "runbooks/support")
    assert run("support/triage").stdout == by_name
    assert run("triage/RUNBOOK.md").stdout == by_name


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf\r", b"\x00\x0c\n", b"no heading"])
def test_any_text_outside_a_repository_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.md").write_bytes(data)
    assert (
        "".join(part["text"] for part in json.loads(run("notes.md", "--json").stdout)["parts"]).encode()
        == data
    )
    assert run("notes.md").exit_code == 0


def test_nothing_in_a_heading_reaches_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text('---\nversion: "1\\e[31m"\n---\n## A \x1b]0;x\x07 \u202e b\n')
    shown = run(str(tmp_path / "a.md")).stdout
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("suport/triage", r"'suport/triage' is no file; no runbook .* \(did you mean 'support/triage'\?\)"),
        ("runbooks", "'runbooks' is a folder; "),
        ("runbooks/support/triage", r"is a folder; .* \(did you mean 'support/triage'\?\)"),
        ("binary.md", "binary.md:1: expected a text in UTF-8"),
        ("open.md", "open.md:2: an unlock without a lock before it"),
    ],
)
def test_what_cannot_be_shown_is_one_error(root: Path, target: str, words: str) -> None:
    (root / "binary.md").write_bytes(b"\xff\xfe")
    (root / "open.md").write_text("\n<!-- runbookopt: unlock -->\n")
    result = run(target)
    assert result.stdout == ""
    assert isinstance(result.exception, RunbookoptError)
    with pytest.raises(RunbookoptError, match=words):
        raise result.exception


def test_without_runbooks_a_missing_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(run("x.md").exception).startswith("'x.md' is no file, and there is no runbooks/ here or above")


def test_a_policy_that_locks_what_is_not_there_is_an_error(root: Path) -> None:
    (root / "runbooks/support/triage/policy.yaml").write_text('merge: auto\nlocked: ["## Escalate"]\n')
    assert 'no section for the lock "## Escalate"' in str(run("support/triage").exception)
