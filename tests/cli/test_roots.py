"""Runbooks where other tools keep them, and several roots in one repository, through the command line."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Clone

Make = Callable[..., "Clone"]
SETTINGS = "defaults: {agent: {field: answer}}\n"


def monorepo(repo: Make, planted: ModuleType) -> "Clone":
    policy = planted.POLICY.replace("trajectories/", "services/mail/trajectories/")
    mail = {f"services/mail/{path}": text for path, text in planted.files(policy=policy).items()}
    return repo({**mail, "services/mail/runbookopt.yaml": SETTINGS, **planted.files()})


def test_a_root_below_the_repository_s_has_runbooks_of_its_own(repo: Make, planted: ModuleType) -> None:
    clone = monorepo(repo, planted)
    ran = clone.ask("optimize-runbook", "desk", "--json", below="services/mail/runbooks")
    told = json.loads(ran.stdout)
    assert (ran.returncode, told["runbook"], told["outcome"]) == (0, "services/mail/desk", "accepted"), ran
    assert told["branch"] == "runbookopt/services/mail/desk"
    changed = clone.at_origin("diff", "--name-only", "main", told["branch"])
    assert changed == "services/mail/runbooks/desk/RUNBOOK.md"
    verified = clone.ask("runbookopt", "verify", "--pull-request", "1")
    assert "touches services/mail/desk;" in verified.stdout
    assert "the train tasks, reflected on, are internal or better" in verified.stdout
    looks = json.loads(clone.ask("runbookopt", "ledger", "--json").stdout)["runbooks"]
    assert {each["runbook"]: len(each["looks"]) for each in looks} == {"desk": 0, "services/mail/desk": 1}


def test_names_are_those_of_the_root_that_one_works_in(repo: Make, planted: ModuleType) -> None:
    clone = monorepo(repo, planted)

    def checked(*arguments: str, below: str = ".") -> list[str]:
        ran = clone.ask("runbookopt", *arguments, "check", "--json", below=below)
        assert ran.returncode == 0, ran
        return [each["runbook"] for each in json.loads(ran.stdout)["runbooks"]]

    assert checked() == checked(below="services") == ["desk", "services/mail/desk"]
    assert checked(below="services/mail/trajectories") == ["services/mail/desk"]
    assert checked("--root", "services/mail") == ["services/mail/desk"]
    clone.write({"services/mail/runbooks/desk/RUNBOOK.md": "## Of the mail service\n"})
    shown = clone.ask("runbookopt", "--root", "services/mail", "show", "desk").stdout
    assert "Of the mail service" in shown
    refused = clone.ask("optimize-runbook", "desk", "--root", "nowhere", "--plan")
    assert (refused.returncode, "--root: expected a folder, got 'nowhere'" in refused.stderr) == (2, True)


def test_a_change_of_another_root_s_settings_is_a_matter_of_ours(repo: Make, planted: ModuleType) -> None:
    clone = monorepo(repo, planted)
    moved = "runbooks: {desk: {path: other.md}}\n"
    clone.git("switch", "--quiet", "--create", "moved")
    clone.commit({"services/mail/runbookopt.yaml": moved, "services/mail/other.md": planted.RUNBOOK})
    ran = clone.ask("runbookopt", "verify", "--base", "main", "--head", "moved")
    assert ran.returncode == 3, ran
    assert "services/mail/desk" in ran.stdout
    assert "services/mail/runbookopt.yaml" in ran.stdout


def skills_folder(repo: Make, planted: ModuleType, settings: str) -> "Clone":
    """A runbook that stays where its tool finds it, with rubric and policy beside it."""
    moved = {"runbooks/desk/RUNBOOK.md": ".claude/skills/desk/SKILL.md"}
    files = planted.files(policy=planted.POLICY + "reviewers: [bo]\n")
    renamed = {moved.get(path, path.replace("runbooks/", ".claude/skills/")): files[path] for path in files}
    return repo({**renamed, "runbookopt.yaml": settings})


def test_a_skill_is_optimized_where_its_tool_finds_it(repo: Make, planted: ModuleType) -> None:
    clone = skills_folder(repo, planted, SETTINGS)
    told = json.loads(clone.ask("optimize-runbook", "--all", "--json").stdout)
    assert (told["runbook"], told["outcome"]) == ("desk", "accepted")
    changed = clone.at_origin("diff", "--name-only", "main", told["branch"])
    assert changed == ".claude/skills/desk/SKILL.md"
    verified = clone.ask("runbookopt", "verify", "--pull-request", "1").stdout
    assert "touches desk;" in verified
    assert "needs people to agree" in verified


def test_evidence_elsewhere_has_its_trust_by_path_and_its_sources_by_commit(
    repo: Make, planted: ModuleType
) -> None:
    policy = planted.POLICY.replace("trajectories/desk/*.jsonl", "logs/desk/**")
    files = planted.files(policy=policy)
    tasks = files.pop("trajectories/desk/all.jsonl").splitlines(keepends=True)
    settings = 'runbooks: {desk: {evidence: ["logs/{name}/**"]}}\n'
    clone = repo({**files, "runbookopt.yaml": SETTINGS + settings, "logs/desk/a.jsonl": "".join(tasks[::2])})
    clone.commit({"logs/desk/2026/b.jsonl": "".join(tasks[1::2])})
    told = json.loads(clone.ask("optimize-runbook", "desk", "--json").stdout)
    assert told["outcome"] == "accepted"
    verified = clone.ask("runbookopt", "verify", "--pull-request", "1").stdout
    assert "yes      the train tasks, reflected on, are internal or better" in verified
    brought = "without the file logs/desk/2026/b.jsonl 33% of the gain is left, without what commit"
    assert brought in verified


def test_one_glob_makes_runbooks_of_all_skills_and_the_others_are_listed(
    repo: Make, planted: ModuleType
) -> None:
    clone = skills_folder(repo, planted, SETTINGS)
    clone.commit({f".claude/skills/{name}/SKILL.md": planted.RUNBOOK for name in ("one", "two")})
    told = json.loads(clone.ask("runbookopt", "check", "--json").stdout)
    assert [each["path"] for each in told["not_runbooks_yet"]] == [
        ".claude/skills/one/SKILL.md",
        ".claude/skills/two/SKILL.md",
    ]
    glob = 'runbooks: {"*": {path: ".claude/skills/*/SKILL.md", evidence: [logs/**]}}\n'
    logs = planted.lines(planted.trajectories())
    rubrics = {f"runbooks/{name}/rubric.yaml": planted.RUBRIC for name in ("one", "two")}
    clone.commit({**rubrics, "runbookopt.yaml": SETTINGS + glob, "logs/all.jsonl": logs})
    ran = clone.ask("runbookopt", "check", "--json")
    assert [each["runbook"] for each in json.loads(ran.stdout)["runbooks"]] == ["desk", "one", "two"]


def test_where_a_runbook_lies_is_read_from_the_base_commit(repo: Make, planted: ModuleType) -> None:
    clone = skills_folder(repo, planted, SETTINGS)
    clone.write({"runbookopt.yaml": SETTINGS + 'runbooks: {desk: {evidence: ["logs/**"]}}\n'})
    ran = clone.ask("optimize-runbook", "desk", "--json")
    assert ran.returncode == 1
    assert "where desk lies (by runbookopt.yaml and what is beside it)" in ran.stderr


def test_a_settings_file_that_has_a_runbook_lie_elsewhere_waits_for_its_reviewers(
    repo: Make, planted: ModuleType
) -> None:
    clone = skills_folder(repo, planted, SETTINGS)
    clone.git("switch", "--quiet", "--create", "more")
    more = 'runbooks: {desk: {evidence: ["logs/**"]}}\n'
    records = [record | {"id": f"more-{record['id']}"} for record in planted.trajectories()]
    clone.commit({"runbookopt.yaml": SETTINGS + more, "logs/all.jsonl": planted.lines(records)})
    ran = clone.ask("runbookopt", "verify", "--base", "main", "--head", "more", "--json")
    told = json.loads(ran.stdout)
    assert ran.returncode == 3
    assert "logs/all.jsonl" in ran.stdout
    assert "runbookopt.yaml" in ran.stdout, told
