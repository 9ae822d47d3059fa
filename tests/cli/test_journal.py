import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Clone

RECORDED = PROJECT / "docs/demo-model"
NAME = "changelog-entry"


@pytest.fixture
def recorded(repo: Callable[..., Clone], monkeypatch: pytest.MonkeyPatch) -> Clone:
    """Give the runbook of `make demo-model` in a scratch clone, without what was recorded; in no CI."""
    for name in ("CI", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    files = {
        str(path.relative_to(RECORDED)).replace("settings.yaml", "runbookopt.yaml"): path.read_bytes()
        for path in RECORDED.rglob("*")
        if path.is_file() and path.name not in {"journal.jsonl", "README.md"}
    }
    return repo(files)


def test_the_recorded_run_is_replayed_to_its_pull_request_with_nobody_asked(recorded: Clone) -> None:
    put = recorded.ask("runbookopt", "journal", "import", str(RECORDED / "journal.jsonl"))
    assert (put.returncode, "105 answers are believed" in put.stdout) == (0, True), put.stderr
    ran = recorded.ask("optimize-runbook", NAME)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "0 rollouts paid and 104 known" in ran.stdout
    assert "answered by hand-off for the reflector, as they say: Claude, by hand-off (1)" in ran.stdout
    assert "0.70 to 0.99), waits for hanna-weiss" in ran.stdout


def test_what_is_exported_again_is_what_was_put_in_with_the_asks_of_who_replays(
    recorded: Clone, tmp_path: Path
) -> None:
    recorded.ask("runbookopt", "journal", "import", str(RECORDED / "journal.jsonl"))
    recorded.ask("optimize-runbook", NAME)
    recorded.ask("runbookopt", "journal", "export", str(tmp_path / "again.jsonl"))
    assert (tmp_path / "again.jsonl").read_bytes() == (RECORDED / "journal.jsonl").read_bytes()
    asks = [json.loads(line).get("ask") for line in (tmp_path / "again.jsonl").read_text().splitlines()]
    assert sum(ask is not None for ask in asks) == 1


def test_answers_that_are_there_already_stay(recorded: Clone, tmp_path: Path) -> None:
    lines = (RECORDED / "journal.jsonl").read_text().splitlines()
    forged = json.loads(lines[1]) | {"answer": {"output": "Forged."}}
    (tmp_path / "forged.jsonl").write_text("\n".join([lines[0], json.dumps(forged)]))
    recorded.ask("runbookopt", "journal", "import", str(RECORDED / "journal.jsonl"))
    put = recorded.ask("runbookopt", "journal", "import", str(tmp_path / "forged.jsonl"), "--json")
    assert json.loads(put.stdout) == {"new": 0, "known": 1}


@pytest.mark.parametrize("at", ["a CI", "a server"])
def test_no_journal_is_put_in_where_its_word_would_count(recorded: Clone, at: str) -> None:
    if at == "a server":
        recorded.git("remote", "set-url", "origin", "https://github.com/fernhill/desk")
    environ = {"CI": "true"} if at == "a CI" else {}
    file = str(RECORDED / "journal.jsonl")
    put = recorded.ask("runbookopt", "journal", "import", file, environ=environ)
    assert put.returncode == 3
    assert "replayed in a scratch clone alone" in put.stderr
    assert not (recorded.root / ".runbookopt").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1"),
        ('{"runbookopt": "journal/2"}', "1"),
        ('{"runbookopt": "journal/1"}\n{"kind": "prayer", "key": "k", "cost": 0, "answer": {}}', "2"),
        ('{"runbookopt": "journal/1"}\n{"kind": "rollout"', "2"),
    ],
)
def test_a_line_that_is_none_is_named_and_nothing_is_taken(
    recorded: Clone, tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "wrong.jsonl"
    file.write_text(text)
    put = recorded.ask("runbookopt", "journal", "import", str(file))
    assert put.returncode == 1
    assert f"wrong.jsonl:{told}: " in put.stderr
    assert "Traceback" not in put.stderr


def test_a_file_that_is_not_there_is_named_with_what_to_do(recorded: Clone, tmp_path: Path) -> None:
    put = recorded.ask("runbookopt", "journal", "import", str(tmp_path / "none.jsonl"))
    assert (put.returncode, "runbookopt journal export" in put.stderr) == (1, True)
    made = recorded.ask("runbookopt", "journal", "export", str(tmp_path / "no/such/folder.jsonl"))
    assert (made.returncode, "cannot be written" in made.stderr) == (1, True)
