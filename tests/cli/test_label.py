"""`runbookopt label` without a browser: the terminal, files, the plan, and what it says first."""

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from runbookopt.evidence.library import Folder
from runbookopt.forge.git.repository import Repository
from runbookopt.jobs.scaffold import Choices, rendered
from runbookopt.project.project import read_project
from runbookopt.proof.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Clone

RUBRIC = """judge: {model: openai/judge}
criteria:
  - id: right-desk
    check: {kind: equals, path: $.desk, reference: $.desk}
  - id: polite
    judge: Is the answer polite?
"""
HOSTILE = "red \x1b[31m \u202e dear\n" + "line\n" * 100


def files() -> dict[str, str]:
    lines = []
    for number, part in enumerate(["train", "validation", "train", "held-out"]):
        task = {"input": f"ticket {number}", "reference": {"desk": "cards"}, "split": part}
        lines.append({"id": f"t-{number}", "task": task, "output": HOSTILE})
    return {
        "runbooks/desk/RUNBOOK.md": "# Desk\n\nSend tickets to a desk.\n",
        "runbooks/desk/rubric.yaml": RUBRIC,
        "trajectories/desk/all.jsonl": "".join(f"{json.dumps(each)}\n" for each in lines),
    }


@pytest.fixture(scope="module")
def clone(clones: "Callable[..., Clone]") -> "Clone":
    made = clones(files())
    made.is_used_by("octocat")
    return made


@pytest.fixture(autouse=True)
def _without_labels(clone: "Clone") -> None:
    for path in (clone.root / "trajectories/desk").glob("*.labels.jsonl"):
        path.unlink()


def labels(clone: "Clone", name: str = "octocat") -> list[dict[str, Any]]:
    path = clone.root / f"trajectories/desk/{name}.labels.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def typed(clone: "Clone", monkeypatch: pytest.MonkeyPatch, *lines: str) -> str:
    """What the terminal says where a person types these lines."""
    monkeypatch.setattr("sys.stdin", StringIO("".join(f"{line}\n" for line in lines)))
    done = clone.ask("runbookopt", "label", "desk", "--terminal")
    assert (done.returncode, done.stderr) == (0, "")
    return str(done.stdout)


def test_the_terminal_asks_the_same_and_writes_the_same(
    clone: "Clone", monkeypatch: pytest.MonkeyPatch
) -> None:
    first = (
        "taken back where a mode is asked for",
        "p",
        "f",
        ":skp",
        "no greeting",
        "p",
        "x",
        "fail",
        "curt",
    )
    told = typed(clone, monkeypatch, *first, ":skip", ":undo", ":all", ":verdicts", "", "p", "u", ":quit")
    assert "desk: 3 trajectories to label, by octocat" in told
    assert "not offered: 1 of held-out tasks" in told
    assert "\x1b" not in told
    assert "red <U+001B>[31m <U+202E> dear" in told
    assert "characters more: :all shows them" in told
    assert told.rstrip().endswith("1 labelled: see trajectories/desk/octocat.labels.jsonl, and commit it")
    given = [(each["criterion"], each["result"], each.get("failure_mode")) for each in labels(clone)]
    assert given == [
        ("right-desk", "pass", None),
        ("polite", "fail", "curt"),
        ("right-desk", "unsure", None),
        ("polite", "unsure", None),
        ("right-desk", "pass", None),
        ("polite", "unsure", None),
    ]
    assert "desk: 2 trajectories to label" in typed(clone, monkeypatch, "greets", "p", "p")  # and its end


def test_labels_leave_as_a_table_and_as_annotations_and_come_back_once(
    clone: "Clone", monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(clone, monkeypatch, "no greeting", "p", "f", "curt")
    written = labels(clone)
    for name in ("labels.csv", "labels.json"):
        path = clone.root / name
        path.unlink(missing_ok=True)
        assert clone.ask("runbookopt", "label", "desk", "--export", name).stdout == f"{name}: 2 labels\n"
        assert clone.ask("runbookopt", "label", "desk", "--export", name).returncode == 1  # it is there
        (clone.root / "trajectories/desk/octocat.labels.jsonl").unlink(missing_ok=True)
        (clone.root / "trajectories/desk/imported.labels.jsonl").unlink(missing_ok=True)
        told = clone.ask("runbookopt", "label", "desk", "--import", name)
        assert (told.returncode, told.stdout) == (0, "imported   2 labels\n")
        assert labels(clone, "imported") == written
        again = clone.ask("runbookopt", "label", "desk", "--import", name).stdout
        assert again == "imported   0 labels\nunchanged  2 were there already\n"


def test_git_keeps_the_labels_of_both_where_two_add_some(
    clone: "Clone", monkeypatch: pytest.MonkeyPatch
) -> None:
    clone.commit({".gitattributes": rendered("gitattributes", Choices((), None))})
    start = clone.git("rev-parse", "HEAD")
    for branch, keys in (("one", ("p", "p")), ("other", ("f", "p", "wrong"))):
        clone.git("checkout", "-q", "-b", branch, start)
        typed(clone, monkeypatch, branch, *keys, ":quit")
        clone.git("add", "trajectories")
        clone.git("commit", "-q", "-m", branch)
    clone.git("merge", "-q", "one")
    assert {each.get("explanation") for each in labels(clone)} == {"one", "other", None}
    assert len(labels(clone)) == 4
    clone.git("checkout", "-q", "main")


def test_what_is_no_label_is_left_out_and_told(clone: "Clone") -> None:
    (clone.root / "bad.csv").write_text("trajectory,criterion,result\nt-9,polite,pass\nt-1,polite,pass\n")
    done = clone.ask("runbookopt", "label", "desk", "--import", "bad.csv")
    assert (done.returncode, done.stdout) == (1, "imported   1 labels\n")
    assert done.stderr == 'bad.csv:2: left out: there is no trajectory "t-9"\n'
    assert clone.ask("runbookopt", "label", "desk", "--import", "none.csv").stderr == (
        "none.csv: cannot be read: No such file or directory\n"
    )


def test_the_plan_says_what_each_criterion_needs(clone: "Clone") -> None:
    told = clone.ask("runbookopt", "label", "desk", "--plan").stdout.splitlines()
    assert [line.partition(":")[0] for line in told] == ["right-desk", "polite"]
    assert "15 passes and 15 fails more before it can gate" in told[1]
    as_json = json.loads(clone.ask("runbookopt", "label", "desk", "--plan", "--json").stdout)
    assert [each["more_fails"] for each in as_json["criteria"]] == [0, 15]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--frame", "all"], "--frame: expected discovery or representative"),
        (["--terminal", "--plan"], "give one of"),
        (["--json"], "--json goes with --plan"),
        (["--failure-mode", "x", "--frame", "representative"], "give one of --failure-mode, --disputed"),
        (["--export", "labels.txt"], "ends in .csv or .json"),
    ],
)
def test_wrong_usage_is_told(clone: "Clone", flags: list[str], complaint: str) -> None:
    done = clone.ask("runbookopt", "label", "desk", *flags)
    assert done.returncode == 2
    assert complaint in done.stderr


def burnt(clone: "Clone") -> set[str]:
    with Repository.open(clone.root) as repository:
        ledger = Ledger.open(repository, push=False, fetch=True)
        return set(ledger.burnt_at_origin("desk"))


def test_held_out_tasks_that_a_person_is_shown_prove_nothing_any_more(
    repo: "Callable[..., Clone]", monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = repo(files())
    clone.is_used_by("octocat")
    monkeypatch.setattr("sys.stdin", StringIO(""))
    assert "not offered: 1 of held-out tasks" in clone.run("runbookopt", "label", "desk", "--terminal").stdout
    assert burnt(clone) == set()
    told = clone.run("runbookopt", "label", "desk", "--terminal", "--held-out").stdout
    said = told.index("1 held-out tasks are among them, and count as read from now on by the ledger")
    assert said < told.index("1 of 4")
    assert "no later proof rests on them, and 0 are left" in told
    project = read_project(Folder(clone.root), "desk")
    assert burnt(clone) == {project.evidence.task_of(project.evidence.trajectory("t-3")).id}
    assert project.with_burnt(burnt(clone)).split.held_out == ()


def test_no_held_out_task_is_shown_where_no_ledger_can_say_so(
    repo: "Callable[..., Clone]", monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = repo(files())
    clone.is_used_by("octocat")
    clone.git("remote", "remove", "origin")
    monkeypatch.setattr("sys.stdin", StringIO(""))
    ended = clone.ask("runbookopt", "label", "desk", "--terminal", "--held-out")
    assert (ended.returncode, "ticket" in ended.stdout) == (1, False)
    assert "there is no origin: git remote add origin URL, or label without --held-out" in ended.stderr
