import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.documents.digest import digest
from runbookopt.documents.parse import MalformedFile
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.library import Folder
from runbookopt.landing.propose import branch_of
from runbookopt.project.places import runbook_file, runbook_names
from runbookopt.project.project import foreign_criteria, read_project

RUNBOOK = '# Triage\n\n## Rules\n\n- If it says "card", answer `card`.\n\n## Escalation\n\nAsk.\n'
RUBRIC = "criteria:\n- {id: right, check: {kind: equals, path: $.a, reference: $.a}}\n"
POLICY = "merge: auto\nlocked: ['## Escalation']\n"


def line(number: int, **more: object) -> str:
    task = {"input": f"message {number}", "reference": {"a": "card"}}
    return json.dumps({"id": f"t-{number}", "task": task} | more) + "\n"


FILES = {
    "runbooks/triage/RUNBOOK.md": RUNBOOK,
    "runbooks/triage/rubric.yaml": RUBRIC,
    "runbooks/triage/policy.yaml": POLICY,
    "trajectories/triage/a.jsonl": "".join(line(number) for number in range(30)),
}


def folder(root: Path, files: dict[str, str]) -> Folder:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Folder(root)


def refusal(root: Path, files: dict[str, str], name: str = "triage") -> str:
    with pytest.raises(RunbookoptError) as caught:
        read_project(folder(root, files), name)
    return str(caught.value)


def test_a_dossier_holds_all_that_is_declared(tmp_path: Path) -> None:
    project = read_project(folder(tmp_path, FILES), "triage")
    assert project.path == "runbooks/triage/RUNBOOK.md"
    assert [part.id for part in project.runbook.components] == ["preamble", "rules"]
    assert (project.policy.merge, project.rubric.objectives) == ("auto", ("right",))
    assert project.digests.policy == digest(POLICY.encode())
    parts = (project.split.train, project.split.validation, project.split.held_out)
    assert sum(map(len, parts)) == 30
    assert len(project.held_out_groups) == len(project.split.held_out)


def test_without_a_policy_nothing_is_declared(tmp_path: Path) -> None:
    project = read_project(folder(tmp_path, {k: v for k, v in FILES.items() if "policy" not in k}), "triage")
    assert (project.digests.policy, project.policy.merge) == (None, "review")
    assert project.files[2] == "runbooks/triage/policy.yaml"


def test_a_burnt_task_proves_nothing(tmp_path: Path) -> None:
    source = folder(tmp_path, FILES)
    burnt = read_project(source, "triage").split.held_out[0]
    assert burnt not in read_project(source, "triage", burnt=[burnt]).split.held_out


def test_problems_of_all_files_are_named_at_once(tmp_path: Path) -> None:
    broken = {
        "runbooks/triage/rubric.yaml": RUBRIC + "judge: {}\n",
        "runbooks/triage/policy.yaml": "merge: auto\nlocked: 3\n",
        "trajectories/triage/a.jsonl": "",
    }
    lines = refusal(tmp_path, FILES | broken).splitlines()
    assert [found.split(": ")[0] for found in lines] == [
        "runbooks/triage/policy.yaml:2",
        "runbooks/triage/rubric.yaml:3",
        "trajectories/triage",
        "trajectories/triage/a.jsonl",
    ]


def test_a_runbook_without_a_rubric_is_refused(tmp_path: Path) -> None:
    files = {path: text for path, text in FILES.items() if "rubric" not in path}
    assert refusal(tmp_path, files).startswith("runbooks/triage/rubric.yaml: not found")


def test_a_runbook_without_trajectories_is_refused(tmp_path: Path) -> None:
    files = {path: text for path, text in FILES.items() if "trajectories" not in path}
    assert refusal(tmp_path, files).startswith("trajectories/triage: no trajectories")


def test_verdicts_on_an_unknown_criterion_are_a_warning_unless_the_agent_gave_them(tmp_path: Path) -> None:
    def verdict(criterion: str, kind: str) -> list[object]:
        return [{"criterion": criterion, "result": "fail", "by": {"kind": kind}}]

    lines = [line(1, verdicts=verdict("right", "code")), line(2, verdicts=verdict("rihgt", "code"))]
    lines += [line(3, verdicts=verdict("rihgt", "human")), line(4, verdicts=verdict("mine", "agent"))]
    labels = "\n\n" + json.dumps({"trajectory": "t-1", "criterion": "tone", "result": "pass"})
    more = {
        "trajectories/triage/a.jsonl": "".join(lines),
        "trajectories/triage/a.labels.jsonl": labels,
    }
    warnings = read_project(folder(tmp_path, FILES | more), "triage").warnings
    assert warnings[1].path == "trajectories/triage/a.labels.jsonl"
    assert [(warning.line, warning.message) for warning in warnings] == [
        (2, "verdict on an unknown criterion 'rihgt' (did you mean 'right'?), and 1 more; ignored"),
        (3, "label on an unknown criterion 'tone'; ignored"),
    ]


def test_what_other_tools_judge_by_names_of_their_own_is_counted_and_no_warning(tmp_path: Path) -> None:
    def verdict(criterion: str, kind: str | None) -> dict[str, object]:
        return {"criterion": criterion, "result": "fail", **({"by": {"kind": kind}} if kind else {})}

    given = [
        verdict("right", "code"),
        verdict("helpful", "llm"),
        verdict("tone", None),
        verdict("me", "agent"),
    ]
    lines = [line(1, verdicts=given, format="langfuse"), line(2, verdicts=given[1:3], format="langfuse")]
    labels = "\n\n" + json.dumps({"trajectory": "t-1", "criterion": "tone", "result": "pass"})
    more = {"trajectories/triage/a.jsonl": "".join(lines), "trajectories/triage/a.labels.jsonl": labels}
    project = read_project(folder(tmp_path, FILES | more), "triage")
    assert project.warnings == ()
    assert foreign_criteria(project) == {"helpful": 2, "tone": 2}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("triag", "no runbook 'triag' in runbooks/ (did you mean 'triage'?)"),
        ("runbooks/triage", "no runbook 'runbooks/triage' (did you mean 'triage'?)"),
        ("zzz", "no runbook 'zzz' in runbooks/: group/one, triage"),
        ("group", "'group' is a folder of runbooks, not one: group/one"),
        ("../triage", "no runbook '../triage' in runbooks/ (did you mean 'triage'?)"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(tmp_path: Path, name: str, message: str) -> None:
    assert refusal(tmp_path, FILES | {"runbooks/group/one/SKILL.md": "x"}, name) == message


def test_a_runbook_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    files = {path: text for path, text in FILES.items() if "RUNBOOK" not in path}
    message = refusal(tmp_path, files | {"runbooks/triage/RUNBOOK.md/notes.txt": ""})
    assert message.startswith("runbooks/triage: expected a file RUNBOOK.md, SKILL.md, AGENTS.md or CLAUDE.md")
    assert message.endswith("RUNBOOK.md is a folder")


def test_a_runbook_inside_another_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, FILES | {"runbooks/triage/sub/RUNBOOK.md": ""}, "triage/sub")
    assert message == "runbooks/triage/sub: lies inside runbooks/triage, which is a runbook itself"


@pytest.mark.parametrize(
    ("files", "file"),
    [
        (["RUNBOOK.md", "SKILL.md", "notes.md"], "RUNBOOK.md"),
        (["CLAUDE.md", "AGENTS.md"], "AGENTS.md"),
        (["how-to.md", "rubric.yaml"], "how-to.md"),
        (["how-to.md"], "how-to.md"),
    ],
)
def test_the_file_of_a_runbook_is_the_first_known_one_or_the_only_one(
    tmp_path: Path, files: list[str], file: str
) -> None:
    source = folder(tmp_path, {f"runbooks/x/{name}": "" for name in files})
    assert runbook_file(source, "x") == f"runbooks/x/{file}"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("-rf", "'-rf' begins with '-'"),
        ("a/-b", "'-b' begins with '-'"),
        ("two\nlines", r"'two\\nlines' holds control characters"),
        ("\x1b[2J", r"'\\x1b\[2J' holds control characters"),
        ("a\u202eb", r"'a\\u202eb' holds control characters or others that cannot be seen"),
        ("dot.", "'dot.' ends with '.'"),
        ("space ", "'space ' ends with ' '"),
        ("up..down", "holds '..'"),
        ("desk.lock", "ends with '.lock'"),
        ("x" * 201, "is longer than 200 bytes"),
    ],
)
def test_a_name_that_can_be_no_branch_is_refused_by_name(tmp_path: Path, name: str, why: str) -> None:
    source = folder(tmp_path, {f"runbooks/{name}/RUNBOOK.md": ""})
    with pytest.raises(MalformedFile, match=f"^runbooks/.*{why}.*: rename the folder$"):
        runbook_file(source, name)


@pytest.mark.parametrize("name", ["/", "a/", "/a", "a//b"])
def test_a_name_with_an_empty_part_is_refused(name: str) -> None:
    with pytest.raises(MalformedFile, match="'' is empty"):
        runbook_file(Listed([f"runbooks/{name}/RUNBOOK.md"]), name)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
def test_every_name_that_is_not_refused_is_a_branch_and_an_argument(name: str) -> None:
    try:
        runbook_file(Listed([f"runbooks/{name}/RUNBOOK.md"]), name)
    except RunbookoptError:
        return
    assert name.isprintable()
    assert not name.startswith("-")
    refused = subprocess.run(["git", "check-ref-format", f"refs/heads/{branch_of(name)}"], check=False)
    assert refused.returncode == 0, name


def test_a_runbook_that_is_locked_altogether_is_refused(tmp_path: Path) -> None:
    locked = "---\nversion: 1.0.0\n---\n\n## Rubric\n\nx\n"
    files = {"runbooks/triage/RUNBOOK.md": locked, "runbooks/triage/policy.yaml": "merge: auto\n"}
    message = refusal(tmp_path, FILES | files)
    assert message.startswith("runbooks/triage/RUNBOOK.md: every part is locked: nothing may be rewritten")


def test_two_unknown_files_are_one_too_many(tmp_path: Path) -> None:
    source = folder(tmp_path, {f"runbooks/x/{name}": "" for name in ("a.md", "b.md", "rubric.yaml")})
    with pytest.raises(MalformedFile, match=r"or one other \*\.md alone"):
        runbook_file(source, "x")


def test_a_readme_beside_runbooks_and_notes_below_one_are_no_runbooks(tmp_path: Path) -> None:
    paths = ["README.md", "c/README.md", "c/one/RUNBOOK.md", "c/one/references/notes.md", "d/e/how.md"]
    source = folder(tmp_path, {f"runbooks/{path}": "" for path in paths})
    assert runbook_names(source) == ["c/one", "d/e"]


class Listed:
    """A source that is known by its paths alone."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = sorted(paths)

    def files(self, under: str) -> list[str]:
        return [path for path in self.paths if path == under or path.startswith(f"{under}/")]

    def names(self, folder: str) -> list[str]:
        above = f"{folder}/" if folder else ""
        inside = (path.removeprefix(above) for path in self.paths if path.startswith(above))
        return sorted({path.partition("/")[0] for path in inside})

    def folders(self, folder: str) -> list[str]:
        return [name for name in self.names(folder) if self.names(f"{folder}/{name}".lstrip("/"))]

    def links(self, _under: str) -> list[str]:
        return []

    def linked(self, _folder: str) -> list[str]:
        return []

    def link(self, _path: str) -> str | None:
        return None

    def read(self, path: str) -> bytes:
        if path not in self.paths:
            raise FileNotFoundError(path)
        return path.encode()


PATHS = st.lists(
    st.sampled_from(["a", "b", "RUNBOOK.md", "x.md", "README.md", "rubric.yaml"]), min_size=1, max_size=4
)


@given(st.lists(PATHS.map(lambda parts: "/".join(["runbooks", *parts])), max_size=6))
def test_every_name_is_a_folder_and_leads_to_one_of_its_files_or_a_refusal(paths: list[str]) -> None:
    source = Listed(paths)
    for name in runbook_names(source):
        try:
            file = runbook_file(source, name)
        except MalformedFile:
            continue
        assert file in paths
        assert file.rpartition("/")[0] == f"runbooks/{name}"
