from collections.abc import Callable
from pathlib import Path

import pytest

from runbookopt.errors import RunbookoptError
from runbookopt.evidence.library import Folder, Source
from runbookopt.forge.git.repository import Repository
from runbookopt.project.places import layout_of, places_of
from runbookopt.project.project import read_project
from tests.conftest import Clone
from tests.project.test_project import FILES, POLICY, RUBRIC, RUNBOOK, folder

Make = Callable[..., Clone]
TASKS = FILES["trajectories/triage/a.jsonl"]
SKILL = f"---\nname: triage\n---\n{RUNBOOK}"


def pages(source: Source) -> dict[str, str | None]:
    return {name: places.page for name, places in layout_of(source).runbooks.items()}


def lacking(source: Source) -> dict[str, str]:
    return {other.path: " and ".join(other.lacks) for other in layout_of(source).others}


def fault(source: Source, name: str) -> str:
    with pytest.raises(RunbookoptError) as caught:
        _ = places_of(source, name).file
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("skills/triage/SKILL.md", "triage"),
        ("skills/mail/triage/SKILL.md", "mail.triage"),
        (".claude/skills/triage/SKILL.md", "triage"),
        ("plugins/ops/skills/triage/SKILL.md", "ops.triage"),
        ("agents/triage.md", "triage"),
        ("agents/triage.agent.md", "triage"),
        (".github/prompts/triage.prompt.md", "triage"),
        (".github/copilot-instructions.md", "copilot"),
        ("template/SKILL.md", "template"),
    ],
)
def test_a_page_where_tools_look_is_a_runbook_once_it_has_a_rubric(
    path: str, name: str, tmp_path: Path
) -> None:
    here = folder(tmp_path, {path: SKILL})
    beside = f"{path.rpartition('/')[0]}/rubric.yaml"
    lacks = f"a rubric ({beside} or runbooks/{name}/rubric.yaml) and trajectories (trajectories/{name}/)"
    assert (pages(here), lacking(here)) == ({}, {path: lacks})
    assert fault(here, name) == f"{path}: '{name}' is no runbook yet: it lacks {lacks}"
    folder(tmp_path, {f"runbooks/{name}/rubric.yaml": RUBRIC})
    assert (pages(here), lacking(here)) == ({name: path}, {})
    places = places_of(here, name)
    assert (places.rubric, places.policy) == (f"runbooks/{name}/rubric.yaml", f"runbooks/{name}/policy.yaml")
    folder(tmp_path, {beside: RUBRIC})
    assert places_of(here, name).rubric == beside


def test_a_readme_beside_agents_is_no_page_of_one(tmp_path: Path) -> None:
    assert lacking(folder(tmp_path, {"agents/README.md": "x", "skills/a/notes.md": "x"})) == {}


def test_one_that_runbookopt_yaml_names_lies_where_it_says(tmp_path: Path) -> None:
    said = "runbooks: {alerts: {path: prompts/on-call.md, evidence: [logs/alerts/**]}}"
    files = {"runbookopt.yaml": said, "prompts/on-call.md": RUNBOOK, "runbooks/alerts/rubric.yaml": RUBRIC}
    files |= {"prompts/policy.yaml": POLICY, "logs/alerts/2026/a.jsonl": TASKS, "logs/b.jsonl": "no JSON"}
    project = read_project(folder(tmp_path, files), "alerts")
    beside = ("prompts/policy.yaml", "runbooks/alerts/calibration.json")
    assert project.files == ("prompts/on-call.md", "runbooks/alerts/rubric.yaml", *beside)
    assert len(project.evidence.tasks) == 30
    assert {place.path for place in project.evidence.places.values()} == {"logs/alerts/2026/a.jsonl"}
    assert project.warnings == ()


def test_globs_find_many_and_each_has_evidence_of_its_own(tmp_path: Path) -> None:
    said = 'runbooks: {"*": {path: "deep/*/SKILL.md", evidence: ["logs/{name}/*.jsonl"]}}'
    files = {"runbookopt.yaml": said, **{f"deep/{name}/SKILL.md": SKILL for name in "abc"}}
    files |= {"deep/a/rubric.yaml": RUBRIC, "runbooks/b/rubric.yaml": RUBRIC, "logs/a/x.jsonl": TASKS}
    here = folder(tmp_path, files)
    assert pages(here) == {name: f"deep/{name}/SKILL.md" for name in "abc"}
    assert len(read_project(here, "a").evidence.tasks) == 30
    with pytest.raises(RunbookoptError, match="trajectories/b: no trajectories"):
        read_project(here, "b")
    with pytest.raises(RunbookoptError, match=r"runbooks/c/rubric\.yaml: not found"):
        read_project(here, "c")


def test_a_name_counts_once(tmp_path: Path) -> None:
    two = {"skills/a/SKILL.md": SKILL, "agents/a.md": SKILL, "runbooks/a/rubric.yaml": RUBRIC}
    here = folder(tmp_path, two)
    assert "agents/a.md and skills/a/SKILL.md have the same name" in fault(here, "a")
    folder(tmp_path, {"runbookopt.yaml": "runbooks: {a: {path: skills/a/SKILL.md}, b: {path: agents/a.md}}"})
    assert pages(here) == {"a": "skills/a/SKILL.md", "b": "agents/a.md"}


def test_a_page_in_runbooks_keeps_its_name(tmp_path: Path) -> None:
    here = folder(tmp_path, {**FILES, "skills/triage/SKILL.md": SKILL, "skills/triage/rubric.yaml": RUBRIC})
    assert pages(here) == {"triage": "runbooks/triage/RUNBOOK.md"}
    assert "a name of its own" in lacking(here)["skills/triage/SKILL.md"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("{a: {path: gone.md}}", "runbooks.a.path: there is no file gone.md"),
        ("{a: {path: notes.txt}}", "runbooks.a.path: expected a page (.md"),
        ("{a/b: {path: x.md}, a: {path: y.md}}", "lies inside a"),
    ],
)
def test_a_place_where_no_page_is_says_so(said: str, expected: str, tmp_path: Path) -> None:
    files = {"runbookopt.yaml": f"runbooks: {said}", "notes.txt": "x", "x.md": RUNBOOK, "y.md": RUNBOOK}
    here = folder(tmp_path, files)
    assert expected in fault(here, "a/b" if "a/b" in said else "a")


@pytest.mark.parametrize(
    "said",
    [
        "[",
        "runbooks: 3",
        "runbooks: {a: 3}",
        "runbooks: {a: {path: ../x.md}}",
        "runbooks: {'*': {path: x.md}}",
    ],
)
def test_what_cannot_be_read_of_the_settings_names_nothing(said: str, tmp_path: Path) -> None:
    (tmp_path.parent / "x.md").write_text(RUNBOOK)
    assert pages(folder(tmp_path, {"runbookopt.yaml": said, "x.md": RUNBOOK})) == {}


def test_a_commit_has_the_places_of_its_own_settings(repo: Make) -> None:
    said = "runbooks: {triage: {path: skills/triage/SKILL.md, evidence: [logs/**]}}"
    clone = repo(
        {"skills/triage/SKILL.md": SKILL, "logs/a.jsonl": TASKS, "skills/triage/rubric.yaml": RUBRIC}
    )
    first = clone.commit({"runbookopt.yaml": said})
    clone.commit({"runbookopt.yaml": "{}\n"})
    with Repository.open(clone.root) as repository:
        before, now = repository.revision(first), repository.revision("HEAD")
        assert layout_of(before) != layout_of(now) == layout_of(Folder(clone.root))
        assert len(read_project(before, "triage").evidence.tasks) == 30
        assert before.names("skills") == ["triage"]
        assert now.names("") == ["logs", "runbookopt.yaml", "skills"]


def linked(root: Path, links: dict[str, str]) -> None:
    for path, target in links.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(target)


def test_links_that_stay_in_the_repository_are_followed(repo: Make) -> None:
    files = {
        "tools/mail/triage/SKILL.md": SKILL,
        "tools/mail/triage/rubric.yaml": RUBRIC,
        "AGENTS.md": RUNBOOK,
    }
    clone = repo(
        {**files, "skills/other/SKILL.md": SKILL, "logs/all.jsonl": TASKS, "runbooks/all/rubric.yaml": RUBRIC}
    )
    skills = {".claude/skills/triage": "../../tools/mail/triage", ".claude/agents": "../agents"}
    more = {
        ".github/skills": "../skills",
        "runbooks/all/CLAUDE.md": "../../AGENTS.md",
        "trajectories/all": "../logs",
    }
    linked(clone.root, skills | more)
    commit = clone.commit({})
    with Repository.open(clone.root) as repository:
        for source in (Folder(clone.root), repository.revision(commit)):
            assert pages(source) == {"all": "AGENTS.md", "triage": "tools/mail/triage/SKILL.md"}
            assert list(lacking(source)) == ["skills/other/SKILL.md"]
            triage, everything = (places_of(source, name) for name in ("triage", "all"))
            assert triage.links == (".claude/skills/triage",)
            assert triage.rubric == "tools/mail/triage/rubric.yaml"
            assert everything.links == ("runbooks/all/CLAUDE.md", "trajectories/all")
            project = read_project(source, "all")
            assert (len(project.evidence.tasks), project.warnings) == (30, ())
            assert everything.is_evidence("logs/all.jsonl")


@pytest.mark.parametrize(
    "target", ["/etc", "../../..", "../../.git", "a", "../..", "gone", "../../.runbookopt"]
)
def test_a_link_that_leads_elsewhere_is_not_followed(target: str, tmp_path: Path) -> None:
    outside = {".git/SKILL.md": SKILL, ".runbookopt/SKILL.md": SKILL, "skills/b/SKILL.md": SKILL}
    here = folder(tmp_path / "here", outside)
    folder(tmp_path, {"SKILL.md": SKILL, "rubric.yaml": RUBRIC})
    linked(here.root, {".claude/skills/a": target, "runbooks/a/RUNBOOK.md": f"{target}/SKILL.md"})
    folder(here.root, {"runbooks/a/rubric.yaml": RUBRIC})
    assert pages(here) == {"a": None}
    assert list(lacking(here)) == ["skills/b/SKILL.md"]


def test_a_link_to_no_page_is_a_fault(tmp_path: Path) -> None:
    here = folder(tmp_path, {"notes.txt": "x", "runbooks/a/rubric.yaml": RUBRIC})
    linked(here.root, {"runbooks/a/RUNBOOK.md": "../../notes.txt"})
    assert "leads to notes.txt: expected a page" in fault(here, "a")


TABLE = "| # | Criterion | 5 (Excellent) | 1 (Poor) |\n|---|---|---|---|\n| 1 | Short | yes | no |\n"


def test_a_page_with_a_table_of_criteria_and_a_judge_is_a_runbook_without_a_rubric_file(
    tmp_path: Path,
) -> None:
    page = f"---\njudge: openai/gpt-5\n---\n{RUNBOOK}\n## Rubric\n\n{TABLE}"
    here = folder(tmp_path, {"skills/a/SKILL.md": page, "trajectories/a/a.jsonl": TASKS})
    assert pages(here) == {"a": "skills/a/SKILL.md"}
    assert [each.id for each in read_project(here, "a").rubric.criteria] == ["short"]


def test_a_page_whose_table_of_criteria_nobody_judges_by_is_listed_with_the_line(tmp_path: Path) -> None:
    page = f"{RUNBOOK}\n## Rubric\n\n{TABLE}"
    here = folder(tmp_path, {"skills/a/SKILL.md": page})
    rubric = str(lacking(here)["skills/a/SKILL.md"])
    line = page.count("\n") - 2
    assert f"skills/a/SKILL.md:{line}: 1 criteria are read from this table" in rubric
    assert "add `judge: PROVIDER/MODEL`" in rubric
