import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from runbookopt.cli.trajectories import app
from runbookopt.errors import RunbookoptError, WrongUsage

ROW = {"question": "Where is order %d?", "answer": {"text": "in Hull"}, "truth": "York", "n": 1}
RUN = {
    "schema_version": "ATIF-v1.4",
    "session_id": "s1",
    "agent": {"name": "clerk", "version": "2"},
    "steps": [
        {"step_id": 1, "source": "user", "message": "Where is\norder 7?\x1b[31m"},
        {
            "step_id": 2,
            "source": "agent",
            "message": "\n".join(f"line {number}" for number in range(40)),
            "tool_calls": [{"tool_call_id": "c", "function_name": "look_up", "arguments": {"order": 7}}],
            "observation": {"results": [{"source_call_id": "c", "content": "in Hull"}]},
        },
    ],
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "runbooks/orders").mkdir(parents=True)
    (tmp_path / "runbooks/orders/RUNBOOK.md").write_text("# Orders\n")
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps(ROW).replace("%d", str(n)) + "\n" for n in range(3))
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_an_import_is_the_same_when_it_is_done_again(root: Path) -> None:
    first = run("import", "run.json")
    assert first.exit_code == 0
    assert "imported   1 trajectories (1 atif), 0 labels" in first.stdout
    assert "1 x versions of agents (atif)" in first.stdout
    written = root / "trajectories/orders/imported-atif.jsonl"
    before = written.read_bytes()
    again = run("import", "run.json", "--json")
    told = json.loads(again.stdout)
    assert (told["new"], told["unchanged"], told["changed"]) == (0, 1, [])
    assert written.read_bytes() == before
    assert sorted(path.name for path in written.parent.iterdir()) == [written.name]


@pytest.mark.parametrize("at", ["job", "./job/", "{root}/job", "job/trial/result.json", "{root}/job/trial"])
def test_a_folder_is_imported_alike_by_any_path(root: Path, at: str) -> None:
    trial = root / "job/trial"
    (trial / "agent").mkdir(parents=True)
    (trial / "agent/trajectory.json").write_text(json.dumps(RUN))
    result = {
        "trial_name": "t",
        "task_name": "n",
        "config": {},
        "verifier_result": {"rewards": {"reward": 1}},
    }
    (trial / "result.json").write_text(json.dumps(result))
    done = run("import", at.replace("{root}", str(root)), "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["formats"] == {"harbor": 1}
    (line,) = (root / "trajectories/orders/imported-harbor.jsonl").read_text().splitlines()
    assert json.loads(line)["task"]["input"] == RUN["steps"][0]["message"]  # type: ignore[index]


def test_what_changed_at_its_source_stays_as_it_is_here_and_is_told(root: Path) -> None:
    run("import", "run.json")
    there = root / "trajectories/orders/imported-atif.jsonl"
    there.write_text(there.read_text().replace("in Hull", "in York"))
    result = run("import", "run.json")
    assert "changed    1 are there with other content, which stays: atif:s1:" in result.stdout
    assert "in York" in there.read_text()


def test_an_import_adds_to_what_was_imported_before(root: Path) -> None:
    run("import", "run.json")
    (root / "more.json").write_text(json.dumps(RUN | {"session_id": "s2"}))
    assert run("import", "more.json").exit_code == 0
    lines = (root / "trajectories/orders/imported-atif.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"][:7] for line in lines] == ["atif:s1", "atif:s2"]


def test_keys_are_named_where_no_format_is_known(root: Path) -> None:
    refused = run("import", "rows.jsonl")
    assert refused.exit_code == 1
    assert "rows.jsonl: not read: expected" in refused.stderr
    assert "with the keys question, answer, truth, n (see `trajectories import --map`)" in refused.stderr
    named = run("import", "rows.jsonl", "--map", "input=question,output=answer.text,reference=truth")
    assert named.exit_code == 0
    assert "3 x values of the key n (mapped)" in named.stdout
    lines = [
        json.loads(line)
        for line in (root / "trajectories/orders/imported-mapped.jsonl").read_text().splitlines()
    ]
    assert lines[0]["task"] == {"input": "Where is order 0?", "reference": "York"}
    assert (lines[0]["output"], lines[0]["format"]) == ("in Hull", "mapped")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--map", "output=a"], "expected input=KEY"),
        (["--map", "input"], "expected FIELD=KEY, got 'input'"),
        (["--map", "inputs=a"], "no field 'inputs' .did you mean 'input'"),
        (["--from", "atiff"], "no format 'atiff' .did you mean 'atif'"),
        (["--from", "atif", "--map", "input=a"], "leave --from away"),
        (["--runbook", "order"], "no runbook 'order' in runbooks/ .did you mean 'orders'"),
    ],
)
@pytest.mark.usefixtures("root")
def test_a_wrong_flag_says_what_was_expected(arguments: list[str], words: str) -> None:
    with pytest.raises(RunbookoptError, match=words):
        CliRunner().invoke(app, ["import", "run.json", *arguments], catch_exceptions=False)


def test_the_runbook_is_named_where_there_are_two(root: Path) -> None:
    (root / "runbooks/refunds").mkdir()
    (root / "runbooks/refunds/RUNBOOK.md").write_text("# Refunds\n")
    with pytest.raises(WrongUsage, match="with --runbook: orders, refunds"):
        CliRunner().invoke(app, ["import", "run.json"], catch_exceptions=False)
    assert run("import", "run.json", "--runbook", "refunds").exit_code == 0
    assert (root / "trajectories/refunds/imported-atif.jsonl").is_file()


def test_a_trajectory_is_a_page_to_read(root: Path) -> None:
    run("import", "run.json")
    page = run("show", "atif:s1").stdout.splitlines()
    assert page[0].startswith("id       atif:s1:")
    assert page[2].startswith("from     trajectories/orders/imported-atif.jsonl:1, atif, public")
    policy = "reviewers: [bo]\ntrust: {trajectories/orders/: partner}\n"
    (root / "runbooks/orders/policy.yaml").write_text(policy)
    assert run("show", "atif:s1").stdout.splitlines()[2].endswith(", atif, partner")
    assert page[4:7] == ["task     Where is", "         order 7?\\x1b[31m", "step 1, user"]
    assert '  calls  look_up {"order":7}' in page
    assert "  gets   in Hull" in page
    assert "         [and 29 lines more: --whole shows them]" in page
    assert "         line 39" in run("show", "atif:s1", "--whole").stdout.splitlines()
    with pytest.raises(RunbookoptError, match="no trajectory 'nope'"):
        CliRunner().invoke(app, ["show", "nope"], catch_exceptions=False)


OWN = {
    "id": "7",
    "task": {"input": {"text": "Where?"}, "reference": "York", "group": "g"},
    "runbook_version": "1.2.0",
    "output": "in Hull",
    "steps": RUN["steps"],
    "agent": {"name": "clerk", "key": "k"},
    "started_at": "2026-11-01T09:00:00Z",
    "verdicts": [{"criterion": "right", "result": "fail", "score": 0.0, "by": {"kind": "code", "id": "x"}}],
}
LABEL = {"trajectory": "7", "criterion": "right", "result": "fail", "failure_mode": "city", "by": "ana"}


def test_what_is_exported_and_imported_is_what_was_there(root: Path) -> None:
    folder = root / "trajectories/orders"
    folder.mkdir(parents=True)
    (folder / "own.jsonl").write_text(f"{json.dumps(OWN)}\n{json.dumps(LABEL)}\n")
    (root / "run.jsonl").write_text(run("export", "7", "--to", "atif").stdout)
    assert run("export").stdout == (root / "run.jsonl").read_text()
    (folder / "own.jsonl").unlink()
    assert run("import", "run.jsonl").exit_code == 0
    assert json.loads((folder / "imported-atif.jsonl").read_text()) == {**OWN, "format": "atif"}
    assert LABEL.items() <= json.loads((folder / "imported-atif.labels.jsonl").read_text()).items()


def test_what_is_stored_is_listed_and_counted(root: Path) -> None:
    run("import", "run.json")
    own = root / "trajectories/orders/own.jsonl"
    own.write_text(
        '{"id": 7, "task": {"input": "a"}, "error": "crash"}\n{"id": "8", "task": {"input": "b"}}\n'
    )
    listed = [line.split("  ")[1:] for line in run("list").stdout.splitlines()]
    assert listed[0][::2] == ["atif", "309 characters"]
    assert listed[1] == ["runbookopt", "trajectories/orders/own.jsonl:1", "errored"]
    assert listed[2][2] == "no output"
    counted = run("stats")
    assert counted.exit_code == 0
    assert "orders: 3 tasks, 0 labels" in counted.stdout
    assert "  runbookopt       2 trajectories, 0 outputs, 1 errored, 0 verdicts" in counted.stdout
    own.write_text("nothing of use\n")
    assert "own.jsonl: not read" in run("stats").stderr
    assert run("stats", "--json").exit_code == 1


@pytest.mark.slow
def test_an_import_that_is_killed_changes_nothing(root: Path) -> None:
    many = root / "many.jsonl"
    with many.open("w") as file:
        for number in range(10_000):
            file.write(json.dumps({"id": number, "task": {"input": number}}) + "\n")
    command = [sys.executable, "-m", "runbookopt", "trajectories", "import", "many.jsonl"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as process:
        folder = root / "trajectories/orders"
        while process.poll() is None and not (folder.is_dir() and any(folder.iterdir())):
            pass
        process.send_signal(signal.SIGKILL)
    assert not [path for path in folder.iterdir() if not path.name.startswith(".")]
    assert run("import", "many.jsonl", "--json").exit_code == 0
    assert len((folder / "imported-runbookopt.jsonl").read_text().splitlines()) == 10_000
