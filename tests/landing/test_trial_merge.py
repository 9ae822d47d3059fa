from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from runbookopt.forge.git.output import FileChange
from runbookopt.forge.git.repository import Repository
from runbookopt.landing.trial_merge import Case, Touched, touches

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Clone, Files
from runbookopt.project.layout import Places

NAMES = ("triage", "group/desk", "group/desk-two")
PROGRAMS = {"triage": ("checks/queue.py",)}


def changed(*paths: str, mode: str = "100644") -> list[FileChange]:
    return [FileChange("M", path, path, "100644", mode) for path in paths]


@pytest.mark.parametrize(
    ("path", "touched"),
    [
        ("runbooks/triage/RUNBOOK.md", Touched("triage", texts=("runbooks/triage/RUNBOOK.md",))),
        ("runbooks/triage/scripts/run.sh", Touched("triage", texts=("runbooks/triage/scripts/run.sh",))),
        ("runbooks/triage/rubric.yaml", Touched("triage", verifier=("runbooks/triage/rubric.yaml",))),
        (
            "runbooks/triage/calibration.json",
            Touched("triage", verifier=("runbooks/triage/calibration.json",)),
        ),
        ("runbooks/triage/a/rubric.yaml", Touched("triage", texts=("runbooks/triage/a/rubric.yaml",))),
        (
            "runbooks/group/desk/policy.yaml",
            Touched("group/desk", verifier=("runbooks/group/desk/policy.yaml",)),
        ),
        ("runbooks/group/desk-two/a.md", Touched("group/desk-two", texts=("runbooks/group/desk-two/a.md",))),
        (
            "trajectories/triage/x.labels.jsonl",
            Touched("triage", verifier=("trajectories/triage/x.labels.jsonl",)),
        ),
        (
            "trajectories/triage/deeper/a.jsonl",
            Touched("triage", verifier=("trajectories/triage/deeper/a.jsonl",)),
        ),
        (
            "trajectories/triage/run/summary.md",
            Touched("triage", verifier=("trajectories/triage/run/summary.md",)),
        ),
        ("checks/queue.py", Touched("triage", verifier=("checks/queue.py",))),
        ("runbooks/triage/\udcff.md", Touched("triage", texts=("runbooks/triage/\udcff.md",))),
    ],
)
def test_each_path_is_of_one_runbook_and_is_its_text_or_judges_it(path: str, touched: Touched) -> None:
    assert touches(changed(path), NAMES, PROGRAMS).runbooks == (touched,)


@pytest.mark.parametrize(
    "path",
    ["README.md", "runbooks/README.md", "trajectories/triage/README.md", "runbooksx/triage/RUNBOOK.md"],
)
def test_what_is_no_text_and_judges_nothing_is_nothing(path: str) -> None:
    assert touches(changed(path), NAMES, PROGRAMS).nothing


def test_more_attempts_at_known_tasks_judge_nothing() -> None:
    path = "trajectories/triage/all.jsonl"
    assert touches(changed(path), NAMES, PROGRAMS, [path]).nothing
    assert not touches(changed(path), NAMES, PROGRAMS).nothing


def test_both_ends_of_a_rename_count() -> None:
    moved = FileChange("R", "runbooks/triage/RUNBOOK.md", "docs/old.md", "100644", "100644")
    assert touches([moved], NAMES, PROGRAMS).runbooks[0].texts == ("runbooks/triage/RUNBOOK.md",)


@pytest.mark.parametrize("path", ["runbooks", "runbooks/triage", "trajectories/triage/x", "runbooks/new/a"])
def test_a_link_or_a_submodule_where_runbooks_are_is_named(path: str) -> None:
    assert touches(changed(path, mode="120000"), NAMES, PROGRAMS).no_files == (
        f"{path!r} becomes a symbolic link",
    )
    assert not touches(changed(path, mode="160000"), NAMES, PROGRAMS).nothing


def test_owners_and_the_check_itself_judge_every_runbook() -> None:
    paths = (".github/CODEOWNERS", ".github/workflows/verify-runbooks.yml")
    found = touches(changed(*paths), NAMES, PROGRAMS)
    assert (found.nothing, found.shared) == (True, paths)


def test_whose_stored_outputs_are_believed_judges_and_other_settings_do_not(
    repo: "Callable[[Files], Clone]", planted: ModuleType
) -> None:
    clone = repo({**planted.files(), "runbookopt.yaml": "defaults: {width: 4}\n"})
    tip = clone.git("rev-parse", "HEAD")
    settings = {"{width: 8}": (), "{stored_as_today: [prod-bot]}": ("runbookopt.yaml",)}
    for said, verifier in settings.items():
        head = clone.commit({"runbookopt.yaml": f"defaults: {said}\n"}, push=False)
        with Repository.open(clone.root) as repository:
            touched = Case(repository, tip, head).effect.touches.runbooks
        assert [each.verifier for each in touched] == [verifier] * bool(verifier)


def lies(name: str, page: str, *evidence: str) -> Places:
    judging = (f"{page.rpartition('/')[0]}/rubric.yaml", f"runbooks/{name}/rubric.yaml")
    patterns = (f"/trajectories/{name}/", *evidence)
    return Places(name, page, judging[0], f"runbooks/{name}/policy.yaml", patterns, judging, named=True)


SKILLS = {
    name: [lies(name, page, *evidence)] * 2
    for name, page, evidence in (
        ("triage", ".claude/skills/triage/SKILL.md", ["/logs/triage/**"]),
        ("deeper", ".claude/skills/triage/deeper/SKILL.md", []),
        ("agent", "agents/agent.md", []),
    )
}


@pytest.mark.parametrize(
    ("path", "touched"),
    [
        (".claude/skills/triage/SKILL.md", {"triage": "texts"}),
        (".claude/skills/triage/scripts/run.sh", {"triage": "texts"}),
        (".claude/skills/triage/rubric.yaml", {"triage": "verifier"}),
        ("runbooks/triage/rubric.yaml", {"triage": "verifier"}),
        ("logs/triage/2026/a.json", {"triage": "verifier"}),
        ("trajectories/triage/a.json", {"triage": "verifier"}),
        (".claude/skills/triage/deeper/a.sh", {"deeper": "texts"}),
        ("agents/agent.md", {"agent": "texts"}),
        ("agents/other.md", {}),
        ("logs/other.json", {}),
        ("logs/triage/notes.md", {}),
        ("runbookopt.yaml", {}),
    ],
)
def test_a_path_elsewhere_is_of_the_runbook_that_lies_there(path: str, touched: dict[str, str]) -> None:
    found = touches(changed(path), SKILLS, {}, (), SKILLS).runbooks
    kinds = ("texts", "verifier", "evidence")
    assert {each.runbook: kind for each in found for kind in kinds if getattr(each, kind)} == touched


def test_where_a_runbook_lies_is_part_of_its_verifier() -> None:
    moved = SKILLS | {"triage": [SKILLS["triage"][0], lies("triage", "agents/triage.md")]}
    found = touches(changed("runbookopt.yaml"), SKILLS, {}, (), moved).runbooks
    assert found == (Touched("triage", verifier=("runbookopt.yaml",)),)


def test_no_link_takes_the_place_of_a_page_or_of_evidence() -> None:
    for path in ("agents/agent.md", "logs/triage/a.jsonl", ".claude/skills/triage/rubric.yaml"):
        assert touches(changed(path, mode="120000"), SKILLS, {}, (), SKILLS).no_files
    assert not touches(changed("docs/a.md", mode="120000"), SKILLS, {}, (), SKILLS).no_files
