"""What is said of a repository at GitHub whose branch is protected in one way or another."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from runbookopt.documents.settings import ForgeSettings
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.github.client import Patience
from runbookopt.forge.local import LocalForge
from runbookopt.forge.protection import OUR_CHECK
from runbookopt.forge.select import chosen
from runbookopt.jobs.scaffold import Choices, rendered
from runbookopt.landing.protection_audit import requirements
from runbookopt.landing.requirements import Requirement, declared, enforced
from runbookopt.project.codeowners import owners_of, read_owners
from tests.github.double import PERMISSIONS, Actor, Github

QUICK = Patience(for_limits=1, pauses=(0.0, 0.0), between=(0, 0))
OWNERS = "* @octo\n/runbooks/ @bo\n/trajectories/ @bo\n/.github/ @bo\n"
UNOWNED = (
    "trajectories/triage/*.labels.jsonl, trajectories/triage/*.jsonl, trajectories/triage/*,"
    " trajectories/triage/**/*, trajectories/triage/2026.jsonl"
)
OTHERS = "trajectories/triage/*, trajectories/triage/**/*"
OUR_LINES = UNOWNED.replace(" trajectories/triage/*, trajectories/triage/**/*,", "")
TRUST = "trust: {trajectories/triage/*.jsonl: internal}\n"
OWNED = {".github/CODEOWNERS": OWNERS}
SEEING = {**PERMISSIONS, "administration": "write"}
ALL = {
    "approvals": 1, "dismiss_stale": True, "code_owners": True, "last_push": True,
}  # fmt: skip


class Asked(NamedTuple):
    """What `policy check` finds, by name."""

    found: dict[str, Requirement]

    def answers(self, *names: str) -> list[str]:
        return [self.found[name].answer for name in names]

    @property
    def gaps(self) -> list[str]:
        return [name for name, requirement in self.found.items() if requirement.holds is False]

    @property
    def unknown(self) -> list[str]:
        return [name for name, requirement in self.found.items() if requirement.holds is None]


class Setup:
    """A repository at the double, and what is asked of it as some token."""

    def __init__(self, github: Github, folder: Path) -> None:
        self.github, self.root = github, github.clone(folder)
        self.token = github.token

    def ask(self) -> Asked:
        environ = {"GITHUB_API_URL": self.github.api_url, "GITHUB_TOKEN": self.token}
        with Repository.open(self.root) as repository:
            forge = chosen(ForgeSettings(), repository, environ, QUICK)
            revision = repository.revision(repository.base())
            policies = declared(revision)
            asked = requirements(policies, enforced(forge, revision, "main", policies))
        return Asked({requirement.name: requirement for requirement in asked})


Make = Callable[..., Setup]


@pytest.fixture
def make(tmp_path: Path, first_half: ModuleType) -> Iterator[Make]:
    """Give a maker of a repository with a policy and other files; a broken contract fails the test."""
    made: list[Github] = []

    def setup(policy: str | None = first_half.REVIEW, more: dict[str, str] = OWNED) -> Setup:
        github = Github(tmp_path, {**first_half.files(policy), **more})
        github.add_user("bo")
        made.append(github)
        return Setup(github, tmp_path / "clone")

    yield setup
    for github in made:
        github.__exit__(None, None, None)


def pinned(setup: Setup) -> list[tuple[str, int | None]]:
    return [(OUR_CHECK, setup.github.world.app_id("github-actions"))]


# ---- the six set-ups


def test_where_nothing_protects_the_branch_every_gap_is_named_with_its_setting(make: Make) -> None:
    asked = make(more={}).ask()
    assert asked.gaps == [
        "required check",
        "pull requests",
        "approvals",
        "stale approvals",
        "last push",
        "code owners' review",
        "CODEOWNERS",
    ]
    gap = asked.found["required check"]
    assert gap.found == "main does not require the status check `runbookopt verify`"
    assert "auto-merge waits for nothing" in gap.danger
    assert gap.setting.endswith("Require status checks to pass > add `runbookopt verify`")
    assert all(requirement.danger and requirement.setting for requirement in asked.found.values())


def test_classic_protection_that_demands_all_leaves_no_gap(make: Make) -> None:
    setup = make()
    setup.github.protect(checks=pinned(setup), **ALL)
    assert (setup.ask().gaps, setup.ask().unknown) == ([], [])


def test_a_ruleset_that_demands_all_leaves_no_gap_for_whoever_may_see_who_bypasses(make: Make) -> None:
    setup = make()
    setup.github.ruleset(checks=pinned(setup), **ALL)
    setup.token = setup.github.app_token(SEEING)
    assert (setup.ask().gaps, setup.ask().unknown) == ([], [])


def test_what_one_source_lacks_the_other_may_demand(make: Make) -> None:
    setup = make()
    setup.github.protect(checks=pinned(setup), approvals=1, last_push=True)
    assert setup.ask().gaps == ["stale approvals", "code owners' review"]
    setup.github.ruleset(approvals=0, dismiss_stale=True, code_owners=True)
    setup.token = setup.github.app_token(SEEING)
    assert (setup.ask().gaps, setup.ask().unknown) == ([], [])


def test_who_may_bypass_is_unknown_where_it_is_hidden_and_a_gap_where_it_is_shown(make: Make) -> None:
    setup = make()
    setup.github.ruleset(checks=pinned(setup), bypass=[Actor("RepositoryRole", 5)], **ALL)
    hidden = setup.ask()
    assert (hidden.gaps, hidden.unknown) == ([], ["bypass"])
    assert "is not shown to this token" in hidden.found["bypass"].found
    setup.token = setup.github.app_token(SEEING)
    assert setup.ask().gaps == ["bypass"]
    assert "RepositoryRole 5" in setup.ask().found["bypass"].found


def test_a_known_bypass_is_a_gap_although_others_are_hidden(make: Make) -> None:
    setup = make()
    setup.github.protect(checks=pinned(setup), bypass=["bo"], enforce_admins=False, **ALL)
    setup.github.ruleset(approvals=1)
    told = setup.ask().found["bypass"]
    assert told.holds is False
    assert told.found.endswith("@bo, administrators; whether others may is not shown")


def test_code_owners_review_without_the_file_asks_nobody(make: Make) -> None:
    setup = make(more={})
    setup.github.protect(checks=pinned(setup), **ALL)
    asked = setup.ask()
    assert asked.answers("code owners' review", "CODEOWNERS") == ["yes", "no"]
    assert (
        asked.found["CODEOWNERS"].found
        == "there is no CODEOWNERS on the default branch, so code owners' review asks nobody"
    )


# ---- what a file of owners must hold


@pytest.mark.parametrize(
    ("text", "unowned"),
    [
        ("* @bo\n", ""),
        ("* @bo\n/runbooks/triage/rubric.yaml\n", "runbooks/triage/rubric.yaml"),
        ("/runbooks/ @bo\n/trajectories/ @bo\n", ".github/workflows/verify-runbooks.yml, .github/CODEOWNERS"),
        ("/runbooks/ @bo\n/.github/ @bo\n", UNOWNED),
        ("* @bo\n*.yaml @some-app[bot]\n", ""),  # not a name that GitHub takes, so the line is none
        ("* @bo\n.github/ bo@example.com\n*.jsonl\n", OUR_LINES),
        ("* @bo\n/trajectories/triage/\n/trajectories/triage/**/*.jsonl @bo\n", OTHERS),
    ],
)
def test_what_judges_and_the_file_itself_must_be_owned(make: Make, text: str, unowned: str) -> None:
    setup = make(more={".github/CODEOWNERS": text})
    told = setup.ask().found["CODEOWNERS"]
    assert told.found.removeprefix(".github/CODEOWNERS owns ") == (
        f"no {unowned}" if unowned else "rubrics, policies, evidence and itself"
    )
    assert told.holds is not bool(unowned)


def test_labels_that_are_there_must_be_owned_by_name(make: Make) -> None:
    label = "trajectories/triage/ann.labels.jsonl"
    line = '{"trajectory": "t-0", "criterion": "right-queue", "result": "pass"}\n'
    owners = OWNERS + "/trajectories/triage/ann.labels.jsonl\n"
    told = make(more={".github/CODEOWNERS": owners, label: line}).ask().found["CODEOWNERS"]
    assert told.found == f".github/CODEOWNERS owns no {label}"
    assert f"/{label} @OWNER" in told.setting


def test_a_program_that_judges_must_be_owned_too(make: Make, first_half: ModuleType) -> None:
    rubric = first_half.RUBRIC + "  - {id: paid, check: {kind: python, function: 'checks.refunds:paid'}}\n"
    program = {"checks/refunds.py": "def paid(output, reference):\n    return True\n"}
    setup = make(more={**OWNED, ".github/CODEOWNERS": OWNERS.removeprefix("* @octo\n"), **program})
    setup.github.commit("main", {"runbooks/triage/rubric.yaml": rubric})
    subprocess.run(["git", "-C", str(setup.root), "pull", "-q", str(setup.github.origin)], check=True)
    assert setup.ask().found["CODEOWNERS"].found == ".github/CODEOWNERS owns no checks/refunds.py, checks/*"


def test_the_owners_that_init_writes_are_enough(make: Make) -> None:
    owners = rendered("CODEOWNERS", Choices(spec="runbookopt", reviewers=("bo",)))
    asked = make(more={".github/CODEOWNERS": owners}).ask()
    assert asked.answers("CODEOWNERS", "owners exist") == ["yes", "yes"]


def test_an_owner_whom_github_does_not_know_owns_nothing(make: Make) -> None:
    told = make(more={".github/CODEOWNERS": "* @nobody-here\n"}).ask().found["owners exist"]
    assert (told.holds, told.found) == (False, "GitHub refuses: .github/CODEOWNERS:1: Unknown owner")


@pytest.mark.parametrize(
    ("pattern", "path", "owned"),
    [
        # from the examples of GitHub's page on code owners
        ("*", "any/where.py", True),
        ("*.js", "src/a.js", True),
        ("/build/logs/", "build/logs/a/b.log", True),
        ("/build/logs/", "x/build/logs/b.log", False),
        ("docs/*", "docs/getting-started.md", True),
        ("docs/*", "docs/build-app/troubleshooting.md", False),
        ("apps/", "x/apps/y.py", True),
        ("/docs/", "docs/a/b.md", True),
        ("**/logs", "build/logs/a", True),
        ("/apps/github", "apps/github/x", True),
        ("/a\\ b.md", "a b.md", True),
        ("!docs", "docs/a", False),
        ("docs/[ab].md", "docs/a.md", False),
        ("*.yaml", "a.YAML", False),
    ],
)
def test_a_pattern_owns_what_github_says(pattern: str, path: str, owned: bool) -> None:
    assert owners_of(read_owners(f"{pattern} @bo # why\n"), path) == (("@bo",) if owned else ())


# ---- the check, the token, Actions, teams, methods


def test_a_check_that_anybody_may_report_is_a_gap(make: Make) -> None:
    setup = make()
    setup.github.protect(checks=[OUR_CHECK], **ALL)
    assert setup.ask().gaps == ["source of the check"]
    assert "anybody may report" in setup.ask().found["source of the check"].found


def test_another_check_is_not_ours(make: Make) -> None:
    setup = make()
    setup.github.protect(checks=["tests"], **ALL)
    assert setup.ask().found["required check"].found.endswith("`runbookopt verify`, only tests")


def test_what_the_token_is_not_shown_is_unknown_and_not_yes(make: Make) -> None:
    setup = make()
    setup.github.protect(checks=pinned(setup), **ALL)
    setup.token = setup.github.app_token(
        {key: value for key, value in PERMISSIONS.items() if key != "administration"}
    )
    asked = setup.ask()
    assert {"required check", "stale approvals", "approvals", "bypass", "Actions approve"} <= {*asked.unknown}
    assert "needs administration: read" in asked.found["required check"].found


def test_a_known_demand_stands_where_another_source_is_unread(make: Make) -> None:
    setup = make()
    setup.github.ruleset(checks=pinned(setup), **ALL)
    setup.token = setup.github.app_token(
        {key: value for key, value in PERMISSIONS.items() if key != "administration"}
    )
    asked = setup.ask()
    assert asked.answers("required check", "stale approvals", "approvals") == ["yes", "yes", "yes"]
    assert "bypass" in asked.unknown


def test_the_token_of_actions_starts_no_checks_and_that_is_said_with_the_way_out(make: Make) -> None:
    setup = make()
    setup.token = setup.github.actions_token()
    told = setup.ask().found["checks start"]
    assert told.holds is False
    assert "never start by themselves" in told.danger
    assert "RUNBOOKOPT_APP_ID" in told.setting


def test_an_administrators_token_is_more_than_is_needed(make: Make) -> None:
    setup = make()
    setup.token = setup.github.token_of("octo")
    asked = setup.ask()
    assert asked.answers("token pushes", "token is modest") == ["yes", "no"]
    setup.github.add_user("cy", "read")
    setup.token = setup.github.token_of("cy")
    assert setup.ask().answers("token pushes", "token is modest") == ["no", "yes"]


def test_actions_that_may_approve_are_a_gap(make: Make) -> None:
    setup = make()
    setup.github.settings(actions_may_approve=True)
    assert "Actions approve" in setup.ask().gaps


def test_more_approvals_than_the_branch_requires_are_a_gap(make: Make) -> None:
    setup = make("merge: review\nreviewers: [bo, cy]\napprovals: 2\n")
    setup.github.protect(checks=pinned(setup), **ALL)
    assert setup.ask().gaps == ["approvals"]
    assert setup.ask().found["approvals"].setting.endswith("Required approvals: 2")


def test_members_of_a_team_that_are_not_shown_are_unknown(make: Make) -> None:
    setup = make("merge: review\nteams: [leads, ghosts]\n")
    setup.github.add_team("leads", ["bo"])
    assert setup.ask().found["teams"].found == "the members of ghosts are not shown to this token"
    setup.github.add_team("ghosts")
    assert setup.ask().found["teams"].found == "ghosts has no members"
    setup.token = setup.github.app_token({**PERMISSIONS, "members": ""})
    assert setup.ask().found["teams"].holds is None


def test_a_policy_that_merges_by_itself_asks_for_more_of_the_repository(make: Make) -> None:
    owners = {".github/CODEOWNERS": OWNERS + "/runbooks/*/RUNBOOK.md\n"}
    setup = make(f"merge: auto\nmethod: rebase\n{TRUST}", owners)
    setup.github.settings(allow_auto_merge=False, allow_rebase_merge=False)
    setup.github.protect(checks=pinned(setup), **ALL)
    assert setup.ask().gaps == ["auto-merge", "auto-merge alone", "merge method"]
    setup.github.settings(allow_auto_merge=True, allow_rebase_merge=True)
    setup.github.protect(checks=pinned(setup), **{**ALL, "approvals": 0})
    assert setup.ask().gaps == []  # our check asks for them, as GitHub cannot of some changes alone
    setup.github.protect(**{**ALL, "approvals": 0})
    assert {"required check", "approvals in review"} <= set(setup.ask().gaps)


def test_a_method_that_a_ruleset_does_not_allow_is_a_gap(make: Make) -> None:
    setup = make()
    setup.github.protect(checks=pinned(setup), **ALL)
    setup.github.ruleset(approvals=0, methods=("merge",))
    assert "merge method" in setup.ask().gaps


def test_a_runbook_without_a_policy_is_named(make: Make) -> None:
    assert make(policy=None).ask().found["policies"].found == "no policy is declared for triage"


def test_a_policy_that_trusts_its_evidence_too_little_is_told_the_line_that_gives_it(make: Make) -> None:
    told = make("merge: auto\n").ask().found["trust in evidence"]
    line = "trust: {trajectories/triage/2026.jsonl: internal}"
    assert told.holds is False
    assert told.found == (
        "triage: 5 of 5 train tasks are trusted less than internal: trajectories/triage/2026.jsonl (5)"
    )
    assert told.setting.endswith(f"adds to policy.yaml: {line}")


def test_a_policy_with_that_line_trusts_its_evidence_enough(make: Make) -> None:
    asked = make("merge: auto\ntrust: {trajectories/triage/2026.jsonl: internal}\n").ask()
    assert asked.answers("trust in evidence") == ["yes"]


def test_a_plain_git_server_is_said_to_enforce_nothing(
    repo: Callable[..., object], first_half: ModuleType, tmp_path: Path
) -> None:
    repo(first_half.files("merge: auto\nmethod: merge\n"))
    with Repository.open(tmp_path / "clone") as repository:
        revision = repository.revision(repository.base())
        policies = declared(revision)
        asked = requirements(policies, enforced(LocalForge(repository), revision, "main", policies))
    assert [(requirement.name, requirement.answer) for requirement in asked] == [
        ("policies", "yes"),
        ("trust in evidence", "no"),
        ("protections", "unknown"),
        ("merge method", "no"),
    ]


def test_an_owner_of_everything_and_other_rules_hold_back_what_should_merge_by_itself(make: Make) -> None:
    setup = make("merge: auto\n", {".github/CODEOWNERS": "* @octo/desk\n"})
    setup.github.protect(checks=pinned(setup), **{**ALL, "approvals": 0, "threads": True})
    found = setup.ask().found
    assert found["runbooks without owners"].found == (
        ".github/CODEOWNERS gives owners to triage (@octo/desk), whose review main requires"
    )
    assert found["nothing else holds"].found == (
        "main asks for more before a merge: all conversations must be resolved"
    )


def test_a_check_that_any_workflow_can_report_is_said_to_be_one(make: Make) -> None:
    setup = make()
    setup.github.protect(checks=[(OUR_CHECK, 15368)], **ALL)
    source = setup.ask().found["source of the check"]
    assert (source.holds, "any workflow of the repository can report it" in source.found) == (True, True)
