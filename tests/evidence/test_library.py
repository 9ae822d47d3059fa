import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbookopt.documents.parse import MalformedFile
from runbookopt.evidence.library import Evidence, Folder, read_evidence, task_id
from runbookopt.evidence.trust import Given
from runbookopt.forge.git.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Clone

LABEL = '{"trajectory": "%s", "criterion": "q", "result": "fail"}\n'


def line(id_: str, value: object = "hello", **task: object) -> str:
    return json.dumps({"id": id_, "task": {"input": value, **task}, "trust": "internal"}) + "\n"


def evidence(root: Path, name: str = "triage", given: Given | None = None, **files: str) -> Evidence:
    for file, text in files.items():
        place = root / "trajectories" / name / file.replace("__", ".")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return read_evidence(Folder(root), name, given)


def warnings(found: Evidence) -> list[str]:
    return [str(warning) for warning in found.warnings]


def test_trajectories_of_one_input_share_a_task(tmp_path: Path) -> None:
    found = evidence(
        tmp_path,
        given=Given({"trajectories/triage/": "internal"}),
        b__jsonl=line("1", {"b": 1, "a": 2}),
        a__jsonl=line("2", {"a": 2, "b": 1}, group="g"),
    )
    (task,) = found.tasks
    assert task.id == task_id({"a": 2, "b": 1})
    assert task.trajectories == ("2", "1")
    assert (task.group, task.trust) == ("g", "internal")
    assert found.task_of(found.trajectory("1")) is found.task(task.id)
    assert found.where("1") == "trajectories/triage/b.jsonl:1"


def test_tasks_are_in_the_order_of_their_ids(tmp_path: Path) -> None:
    found = evidence(tmp_path, a__jsonl="".join(line(str(n), n) for n in range(20)))
    assert [task.id for task in found.tasks] == sorted(task_id(n) for n in range(20))
    assert [trajectory.id for trajectory in found.trajectories] == [str(n) for n in range(20)]


def test_the_least_trusted_record_decides_how_far_a_task_is_trusted(tmp_path: Path) -> None:
    given = Given({"trajectories/triage/a.jsonl": "internal", "trajectories/triage/b.jsonl": "partner"})
    found = evidence(tmp_path, given=given, a__jsonl=line("1"), b__jsonl=line("2"))
    assert [trajectory.trust for trajectory in found.trajectories] == ["internal", "partner"]
    assert found.tasks[0].trust == "partner"


@pytest.mark.parametrize(
    ("said", "trust"),
    [("internal", "partner"), ("partner", "partner"), ("public", "public"), (None, "partner")],
)
def test_a_line_may_lower_its_trust_and_never_raise_it(tmp_path: Path, said: str | None, trust: str) -> None:
    told = json.dumps({"id": "1", "task": {"input": 1}, **({"trust": said} if said else {})})
    given = Given({"trajectories/triage/a.jsonl": "partner"})
    found = evidence(tmp_path, given=given, a__jsonl=told, b__jsonl=line("2", 2))
    assert found.task_of(found.trajectory("1")).trust == found.trajectory("1").trust == trust
    assert found.trajectory("2").trust == "public"  # whatever it says: nobody gave it any


def test_what_a_red_team_wrote_is_known_by_its_path(tmp_path: Path) -> None:
    given = Given(red_team=("trajectories/triage/b.jsonl",))
    found = evidence(tmp_path, given=given, a__jsonl=line("1", 1) + line("2", 2), b__jsonl=line("3", 2))
    assert {task.input: task.red_team for task in found.tasks} == {1: False, 2: True}


def test_an_output_and_a_reference_may_come_from_different_records(tmp_path: Path) -> None:
    (task,) = evidence(tmp_path, a__jsonl=line("1") + line("2", reference=0, split="train")).tasks
    assert (task.reference, task.split) == (0, "train")


def test_one_id_twice_costs_the_second_record_and_names_both_lines(tmp_path: Path) -> None:
    found = evidence(tmp_path, a__jsonl="\n" + line("1", "x"), b__jsonl=line("1", "y"))
    assert [trajectory.task.input for trajectory in found.trajectories] == ["x"]
    place = "trajectories/triage"
    assert warnings(found) == [
        f'{place}/b.jsonl:1: left out: id "1" is taken by another record, in {place}/a.jsonl:2'
    ]


def test_a_record_that_was_delivered_twice_is_no_matter(tmp_path: Path) -> None:
    found = evidence(tmp_path, a__jsonl=line("1") * 2, b__jsonl=line("1"))
    assert len(found.trajectories) == 1
    assert warnings(found) == []
    assert found.where("1") == "trajectories/triage/a.jsonl:1"


def test_of_two_records_with_one_id_the_one_trusted_more_counts_whatever_its_file_is_called(
    tmp_path: Path,
) -> None:
    given = Given({"trajectories/triage/b.jsonl": "internal"}, red_team=("trajectories/triage/c.jsonl",))
    again = line("2", "z")
    found = evidence(
        tmp_path, given=given, a__jsonl=line("1", "x"), b__jsonl=line("1", "y") + again, c__jsonl=again
    )
    assert [(each.task.input, each.trust) for each in found.trajectories] == [
        ("y", "internal"),
        ("z", "internal"),
    ]
    (warning,) = warnings(found)
    assert warning.startswith('trajectories/triage/a.jsonl:1: left out: id "1" is taken by another record')
    # said once more, it is still what the red team wrote
    assert {task.input: task.red_team for task in found.tasks} == {"y": False, "z": True}


def test_who_is_trusted_less_contradicts_nobody(tmp_path: Path) -> None:
    given = Given({"trajectories/triage/b.jsonl": "partner"})
    ours, theirs = line("2", reference=2), line("1", reference=1)
    found = evidence(tmp_path, given=given, a__jsonl=theirs, b__jsonl=ours)
    assert [(task.reference, task.trajectories) for task in found.tasks] == [(2, ("2",))]
    place = "trajectories/triage"
    assert warnings(found) == [
        f"{place}/a.jsonl:1: left out: another reference for the same input than in {place}/b.jsonl:1"
    ]
    imported = json.dumps({"id": "1", "format": "harbor", "task": {"input": "hello", "reference": 1}})
    both = line("2", reference=2) + line("3", reference=3)
    with pytest.raises(MalformedFile, match=r"b\.jsonl:2: another reference"):  # also behind one left out
        evidence(tmp_path, a__jsonl=imported, b__jsonl=both)


@pytest.mark.parametrize(
    ("key", "values"), [("reference", ({"q": 1}, {"q": 2})), ("split", ("train", "held-out"))]
)
def test_records_of_one_input_that_contradict_each_other_name_both_lines(
    tmp_path: Path, key: str, values: tuple[object, object]
) -> None:
    lines = line("1", **{key: values[0]}) + line("2") + line("3", **{key: values[1]})
    with pytest.raises(MalformedFile) as caught:
        evidence(tmp_path, a__jsonl=lines)
    place = "trajectories/triage/a.jsonl"
    assert str(caught.value) == f"{place}:3: another {key} for the same input than in {place}:1"


def test_two_groups_of_one_input_are_a_warning_and_the_first_by_name_counts(tmp_path: Path) -> None:
    found = evidence(tmp_path, a__jsonl=line("1", group="b") + line("2", group="a"))
    assert found.tasks[0].group == "a"
    assert warnings(found)[0].startswith("trajectories/triage/a.jsonl:2: another group for the same input")


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(MalformedFile) as caught:
        evidence(
            tmp_path, a__jsonl="", b__jsonl="{", c__jsonl=line("1", reference=1) + line("2", reference=2)
        )
    assert [problem.path[-7:] for problem in caught.value.problems] == ["a.jsonl", "b.jsonl", "c.jsonl"]


@pytest.mark.parametrize("name", ["triage", "nested/triage", "../triage", "/etc"])
def test_a_runbook_without_trajectories_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        MalformedFile, match=f"^trajectories/{name}: no trajectories: expected one trajectory a line"
    ):
        read_evidence(Folder(tmp_path), name)


def test_labels_of_unknown_trajectories_are_left_out(tmp_path: Path) -> None:
    found = evidence(tmp_path, a__jsonl=line("1"), a__labels__jsonl=LABEL % "1" + LABEL % "2")
    assert [label.trajectory for label in found.labels] == ["1"]
    assert warnings(found) == ['trajectories/triage/a.labels.jsonl:2: left out: there is no trajectory "2"']


def test_what_is_not_read_is_said(tmp_path: Path) -> None:
    elsewhere = tmp_path / "secret.jsonl"
    elsewhere.write_text(line("secret"))
    folder = tmp_path / "root/trajectories/triage"
    (folder / "old").mkdir(parents=True)
    (folder / ".cache").mkdir()
    for name in ("README.md", ".gitkeep", ".cache/b.jsonl"):
        (folder / name).write_text(line("x"))
    (folder / "a.csv").write_text("id,input\n1,hello\n2,bye\n")
    (folder / "old/b.jsonl").write_text(line("2"))
    (folder / "link.jsonl").symlink_to(elsewhere)
    (folder / "linked").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.jsonl")
    found = evidence(tmp_path / "root", c__jsonl=line("1"))
    assert [trajectory.id for trajectory in found.trajectories] == ["1", "2"]
    told = [warning.path.removeprefix("trajectories/triage/") for warning in found.warnings]
    assert told == ["a.csv", "link.jsonl", "linked", "pipe.jsonl"]
    assert "this is CSV: export it as JSON Lines" in found.warnings[0].message


def test_deeper_folders_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "trajectories/triage/partner/2026").mkdir(parents=True)
    (tmp_path / "trajectories/triage/partner/2026/a.jsonl").write_text(line("deep", "deep"))
    given = Given({"trajectories/triage/*.jsonl": "internal", "trajectories/triage/partner/**": "partner"})
    found = evidence(tmp_path, given=given, a__jsonl=line("1", 1))
    assert {trajectory.id: trajectory.trust for trajectory in found.trajectories} == {
        "1": "internal", "deep": "partner",
    }  # fmt: skip


def test_a_folder_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a.jsonl").write_text("secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    folder = Folder(root)
    for path in ("link", "link/a.jsonl", "../outside/a.jsonl", str(tmp_path / "outside/a.jsonl"), "a\0b"):
        assert folder.files(path) == []
        with pytest.raises(FileNotFoundError):
            folder.read(path)
    assert folder.links("") == ["link"]


def test_a_folder_gives_sorted_paths_from_its_root(tmp_path: Path) -> None:
    for name in ("b/z.md", "b/a/x.md", "a.md", ".git/config"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\r\n")
    assert Folder(tmp_path).files("") == ["a.md", "b/a/x.md", "b/z.md"]
    assert Folder(tmp_path).files("b/") == ["b/a/x.md", "b/z.md"]
    assert Folder(tmp_path).files("a.md") == ["a.md"]
    assert Folder(tmp_path).read("b/z.md") == b"\r\n"


def test_a_revision_gives_the_same_evidence_as_the_folder(repo: "Callable[..., Clone]") -> None:
    clone = repo(
        {"trajectories/triage/a.jsonl": line("1"), "trajectories/triage/b.labels.jsonl": LABEL % "1"}
    )
    with Repository.open(clone.root) as repository:
        committed = read_evidence(repository.revision("HEAD"), "triage")
        assert committed == read_evidence(Folder(clone.root), "triage")
        clone.write({"trajectories/triage/c.jsonl": line("2", "bye")})
        assert read_evidence(repository.revision("HEAD"), "triage") == committed
        assert len(read_evidence(Folder(clone.root), "triage").tasks) == 2
