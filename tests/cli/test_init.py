import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from runbookopt.documents.parse import read_plain_yaml
from runbookopt.errors import WrongUsage
from runbookopt.evidence.library import Folder
from runbookopt.jobs.readiness.lint import lint
from runbookopt.jobs.scaffold import Choices, pieces, put, rendered
from runbookopt.project.codeowners import owners_of, read_owners
from runbookopt.project.policy import Policy, read_policy

if TYPE_CHECKING:
    from tests.conftest import Clone

Make = Callable[..., "Clone"]
CHOICES = Choices(("ana",), "runbookopt==0.1.0")


def everything(root: Path) -> dict[str, bytes]:
    found = [
        path for path in root.rglob("*") if path.is_file() and ".git" not in path.relative_to(root).parts
    ]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def done(root: Path, choices: Choices = CHOICES) -> dict[str, str]:
    """Do all that `init` would, and give the action of each path."""
    found = pieces(root, choices)
    for piece in found:
        put(root, piece)
    return {piece.path: piece.action for piece in found}


def as_json(clone: "Clone", *arguments: str) -> dict[str, Any]:
    ran = clone.ask("runbookopt", "init", "--json", *arguments)
    assert (ran.returncode, ran.stderr) == (0, "")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.fixture
def empty(repo: Make, tmp_path: Path) -> "Clone":
    """Give a repository in which nobody has committed anything."""
    clone = repo()
    clone.root = tmp_path / "empty"
    subprocess.run(["git", "init", "-q", str(clone.root)], check=True)
    return clone


def test_what_the_first_policy_says_of_its_defaults_is_true() -> None:
    told = rendered("runbook/policy.yaml", CHOICES).splitlines()
    written_out = [line.removeprefix("# ") for line in told if re.match(r"# (?:  |[a-z_]+:)", line)]
    here = [line for line in told if not line.startswith("#")]
    policy = read_policy("\n".join([*here, *written_out]).encode(), "policy.yaml")
    examples: dict[str, Any] = {"locked": (), "unlocked": (), "trust": {}, "red_team": ()}
    examples |= {"recalibrate_after": None}
    assert replace(policy, **examples) == Policy(reviewers=("ana",))
    assert (policy.locked, policy.unlocked) == (("## Escalation",), ("## Checklist",))
    assert policy.trust == {"trajectories/ticket-triage/example.jsonl": "internal"}


def test_an_empty_repository_gets_all_that_check_asks_for(empty: "Clone") -> None:
    ran = empty.ask("runbookopt", "init", "--reviewer", "octocat")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "wrote .github/workflows/optimize-runbooks.yml" in ran.stdout.splitlines()
    checked = empty.ask("runbookopt", "check", "--json")
    assert (checked.returncode, json.loads(checked.stdout)["ok"]) == (0, True)


def test_the_first_run_says_that_there_are_too_few_tasks_and_how_many_more_it_takes(empty: "Clone") -> None:
    empty.ask("runbookopt", "init", "--reviewer", "octocat")
    ran = empty.ask("optimize-runbook", "--all", "--no-propose")
    assert (ran.returncode, "has no commits yet: commit your runbooks" in ran.stderr) == (1, True)
    empty.commit({}, push=False)
    ran = empty.ask("optimize-runbook", "--all", "--no-propose")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(
        "ticket-triage: 3 held-out groups: a proof needs at least 20; about 43 more tasks"
    )


def test_doing_it_again_changes_nothing_and_says_so(empty: "Clone") -> None:
    first = as_json(empty, "--reviewer", "octocat")
    before = everything(empty.root)
    again = as_json(empty, "--reviewer", "octocat")
    assert everything(empty.root) == before
    assert (again["written"], again["added_to"]) == ([], [])
    assert sorted(again["left_alone"]) == first["written"] == sorted(before)


def test_a_dry_run_writes_nothing_and_says_the_same(empty: "Clone") -> None:
    planned = as_json(empty, "--dry-run")
    assert everything(empty.root) == {}
    assert as_json(empty) == planned | {"dry_run": False}


def test_files_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / ".github/workflows").mkdir(parents=True)
    (tmp_path / ".github/workflows/verify-runbooks.yml").write_text("ours\n")
    (tmp_path / "runbookopt.yaml").symlink_to("/nowhere")
    found = done(tmp_path)
    assert (tmp_path / ".github/workflows/verify-runbooks.yml").read_text() == "ours\n"
    assert (tmp_path / "runbookopt.yaml").is_symlink()
    assert found[".github/workflows/verify-runbooks.yml"] == found["runbookopt.yaml"] == "leave"


def test_a_repository_with_runbooks_gets_no_example(tmp_path: Path) -> None:
    (tmp_path / "runbooks/own").mkdir(parents=True)
    (tmp_path / "runbooks/own/RUNBOOK.md").write_text("# Own\n")
    assert done(tmp_path)["runbooks/"] == "leave"
    assert [path for path in everything(tmp_path) if path.startswith(("runbooks/", "trajectories/"))] == [
        "runbooks/own/RUNBOOK.md"
    ]


@pytest.mark.parametrize("there", ["node_modules/", "node_modules/\n", ""])
def test_gitignore_gets_the_one_line_that_it_lacks(tmp_path: Path, there: str) -> None:
    (tmp_path / ".gitignore").write_text(there)
    assert done(tmp_path)[".gitignore"] == "add"
    assert (tmp_path / ".gitignore").read_text().split() == [*there.split(), "/.runbookopt/"]


@pytest.mark.parametrize("written", ["/.runbookopt/", ".runbookopt", ".runbookopt/"])
def test_gitignore_that_knows_the_folder_under_any_name_stays(tmp_path: Path, written: str) -> None:
    (tmp_path / ".gitignore").write_text(f"{written}\n")
    assert done(tmp_path)[".gitignore"] == "leave"


@pytest.mark.parametrize("place", [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"])
def test_owners_go_where_github_reads_them_and_the_file_owns_itself(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("* @everybody\n")
    assert done(tmp_path)[place] == "add"
    lines = (tmp_path / place).read_text().splitlines()
    assert lines[0] == "* @everybody"
    assert "/runbooks/**/rubric.yaml @ana" in lines
    assert ("/.github/ @ana" if place.startswith(".github") else f"/{place} @ana") in lines
    assert done(tmp_path)[place] == "leave"


@pytest.mark.parametrize("file", ["rubric.yaml", "policy.yaml"])
@pytest.mark.parametrize("name", ["triage", "support/triage"])
def test_rubric_and_policy_are_owned_however_deep_they_lie(file: str, name: str) -> None:
    lines = read_owners(rendered("CODEOWNERS", CHOICES))
    assert owners_of(lines, f"runbooks/{name}/{file}") == ("@ana",)
    assert owners_of(lines, f"runbooks/{name}/RUNBOOK.md") == ()


@pytest.mark.parametrize(
    "path",
    [
        "trajectories/triage/people.labels.jsonl",
        "runbookopt.yaml",
        ".github/CODEOWNERS",
        ".github/workflows/verify-runbooks.yml",
    ],
)
def test_what_else_decides_is_owned(path: str) -> None:
    assert owners_of(read_owners(rendered("CODEOWNERS", CHOICES)), path) == ("@ana",)


def test_what_judges_elsewhere_is_owned_too(tmp_path: Path) -> None:
    page, rubric = "## Rules\n", "criteria:\n- {id: right, check: {kind: equals, reference: $}}\n"
    files = {
        ".claude/skills/triage/SKILL.md": page,
        ".claude/skills/triage/rubric.yaml": rubric,
        "runbookopt.yaml": "runbooks: {triage: {evidence: [logs/**]}}\n",
        "services/mail/runbookopt.yaml": "{}\n",
        "services/mail/runbooks/desk/RUNBOOK.md": page,
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    done(tmp_path)
    lines = read_owners((tmp_path / ".github/CODEOWNERS").read_text())
    mail = [f"services/mail/{path}" for path in ("runbookopt.yaml", "runbooks/desk/rubric.yaml")]
    mail.append("services/mail/trajectories/desk/a.jsonl")
    for path in (".claude/skills/triage/rubric.yaml", "logs/a/b.json", *mail):
        assert owners_of(lines, path) == ("@ana",)
    assert owners_of(lines, ".claude/skills/triage/SKILL.md") == ()


def test_an_owner_that_the_team_has_named_is_not_named_again(tmp_path: Path) -> None:
    (tmp_path / "CODEOWNERS").write_text("/runbookopt.yaml @maria\n")
    done(tmp_path)
    assert (tmp_path / "CODEOWNERS").read_text().count("/runbookopt.yaml") == 1


def test_people_teams_and_logins_that_look_like_numbers_are_reviewers(tmp_path: Path) -> None:
    done(tmp_path, Choices(("007", "acme/leads", "o-neil"), "."))
    data = (tmp_path / "runbooks/ticket-triage/policy.yaml").read_bytes()
    policy = read_policy(data, "policy.yaml")
    assert (policy.reviewers, policy.teams) == (("007", "o-neil"), ("leads",))
    assert "/.github/ @007 @acme/leads @o-neil" in (tmp_path / ".github/CODEOWNERS").read_text()
    assert not lint(Folder(tmp_path)).problems


@pytest.mark.parametrize("login", ["", "-x", "a b", "x\n* @me", "x]", "a/b/c", "@@x"])
def test_what_is_no_login_is_wrong_usage(login: str) -> None:
    with pytest.raises(WrongUsage, match="expected a login"):
        Choices((login,), ".")


@pytest.mark.parametrize("spec", ["", "x' || 'y", "${{ secrets.KEY }}", 'a"b', "a\nb"])
def test_what_would_be_read_as_more_than_a_package_is_wrong_usage(spec: str) -> None:
    with pytest.raises(WrongUsage, match="expected what pip installs"):
        Choices(("ana",), spec)


def test_the_released_version_is_installed_unless_another_is_named(empty: "Clone") -> None:
    as_json(empty, "--reviewer", "@octocat", "--dry-run")
    assert "vars.RUNBOOKOPT_SPEC || 'runbookopt==0.1.0'" in rendered("workflows/verify-runbooks.yml", CHOICES)
    as_json(empty, "--spec", "git+https://git.example.com/tools/runbookopt@v1")
    workflow = (empty.root / ".github/workflows/verify-runbooks.yml").read_text()
    assert "vars.RUNBOOKOPT_SPEC || 'git+https://git.example.com/tools/runbookopt@v1'" in workflow


def test_without_a_name_anybody_has_to_be_named(empty: "Clone") -> None:
    unknown = {"GIT_CONFIG_GLOBAL": "/dev/null"}
    ran = empty.ask("runbookopt", "init", environ=unknown)
    assert (ran.returncode, "name them with --reviewer LOGIN" in ran.stderr) == (1, True)
    assert everything(empty.root) == {}


def test_outside_of_a_repository_it_says_to_make_one(repo: Make, tmp_path: Path) -> None:
    clone = repo()
    clone.root = tmp_path
    ran = clone.ask("runbookopt", "init")
    assert (ran.returncode, "run git init" in ran.stderr) == (1, True)


def test_a_file_where_a_folder_is_needed_is_said(tmp_path: Path) -> None:
    (tmp_path / ".github").write_text("a file\n")
    with pytest.raises(Exception, match="cannot be written"):
        done(tmp_path)


def test_a_skill_is_written_where_coding_agents_look_and_nothing_else(empty: "Clone") -> None:
    places = [f"{folder}/skills/answer-runbookopt/SKILL.md" for folder in (".agents", ".claude")]
    assert as_json(empty, "--skill", "--dry-run")["written"] == places
    assert as_json(empty, "--skill")["written"] == places
    assert sorted(everything(empty.root)) == places
    assert as_json(empty, "--skill")["written"] == []
    refused = empty.ask("runbookopt", "init", "--skill", "--spec", "x")
    assert (refused.returncode, "leave --reviewer and --spec out" in refused.stderr) == (2, True)


def test_the_skill_is_one_by_the_standard_of_agent_skills(empty: "Clone") -> None:
    """agentskills.io/specification: keys, the folder's name, and lengths."""
    empty.ask("runbookopt", "init", "--skill")
    place = empty.root / ".claude/skills/answer-runbookopt/SKILL.md"
    _, head, body = place.read_text().split("---\n", 2)
    about = read_plain_yaml(head.encode(), "SKILL.md")
    assert set(about) == {"name", "description", "compatibility"}
    assert (about["name"], len(about["description"]) <= 1024) == (place.parent.name, True)
    assert len(about["compatibility"]) <= 500
    assert len(body.splitlines()) < 500
    for word in (
        "exit status",
        "optimize-runbook NAME --reflector-kind handoff",
        ".runbookopt/handoff/*/asks",
    ):
        assert word in place.read_text()
