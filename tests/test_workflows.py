"""The workflows that `init` writes and that this repository uses: well-formed, safe, and run step by step."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from runbookopt.forge.protection import OUR_CHECK
from runbookopt.jobs.scaffold import WORKFLOWS, Choices, rendered
from runbookopt.landing.protection_audit import WORKFLOWS as WORKFLOW_OF_OUR_CHECK
from tests.conftest import Clone
from tests.github.double import Github

if TYPE_CHECKING:
    from tests.github_runner import Runner

PROJECT = Path(__file__).parents[1]
OURS = Choices(("maria-okafor", "support-lead"), ".")
PINNED = re.compile(r"uses: actions/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def tool(name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


def files(pattern: str) -> list[Path]:
    return sorted((PROJECT / ".github").glob(pattern))


def jobs(workflow: str, runner: ModuleType) -> dict[str, Any]:
    found: dict[str, Any] = runner.read(PROJECT, f".github/workflows/{workflow}.yml")["jobs"]
    return found


@pytest.fixture(scope="module")
def github(planted: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Github]:
    """Give a repository with our workflows and one runbook that is easily made better, at the double."""
    folders = [PROJECT / ".github", PROJECT / ".ci"]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    workflows = {path.relative_to(PROJECT).as_posix(): path.read_bytes() for path in paths}
    files = {**planted.files(policy=f"{planted.POLICY}reviewers: [bo]\n"), **workflows}
    with Github(tmp_path_factory.mktemp("workflows"), files) as github:
        github.add_user("bo")
        yield github


@pytest.fixture(scope="module")
def team(github: Github) -> Clone:
    """Give a clone of it, as of a folder: what git says to GitHub needs no server here."""
    root = github.origin.parent / "team"
    subprocess.run(["git", "clone", "-q", github.origin.as_uri(), str(root)], check=True)
    return Clone(root, github.origin)


@pytest.fixture(scope="module")
def token(github: Github) -> str:
    """Give the token that Actions gives the status check, also for a fork."""
    return github.actions_token({"contents": "read", "pull_requests": "read"})


@pytest.fixture(scope="module")
def known(
    github: Github, token: str, github_runner: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Give what the expressions of the workflows say, where there is no secret and no app."""
    return {
        "vars.RUNBOOKOPT_SPEC": str(github_runner.wheel(tmp_path_factory.mktemp("wheel"))),
        "github.token": token,
        "github.repository": github.repository,
        "github.event.repository.default_branch": "main",
        "github.run_id": "1",
        "github.run_attempt": "1",
        "secrets.ANTHROPIC_API_KEY": "",
        "secrets.OPENAI_API_KEY": "",
        "vars.RUNBOOKOPT_APP_CLIENT_ID": "",
        "github.ref_name": "main",
    }


@pytest.fixture(scope="module")
def searched(team: Clone, known: dict[str, str], github_runner: ModuleType) -> "Runner":
    """Give the machine of the first job after it has run, in a fresh clone."""
    checkout = team.again("search", "actions").root
    runner = github_runner.Runner(checkout, checkout.parent / "jobs" / "search", known)
    before = team.at_origin("for-each-ref")
    runner.job("optimize-runbooks", "search")
    assert team.at_origin("for-each-ref") == before, "the half with models leaves origin alone"
    return runner


@pytest.fixture(scope="module")
def proposed(searched: "Runner", team: Clone, known: dict[str, str], github_runner: ModuleType) -> "Runner":
    """Give the machine of the second job, in a fresh clone of its own."""
    assert searched.artifacts.is_dir()
    checkout = team.again("propose", "actions").root
    told = {"needs.search.outputs.bundles": searched.known["steps.count.outputs.bundles"]}
    runner = github_runner.Runner(checkout, checkout.parent / "jobs" / "propose", {**known, **told})
    assert runner.job("optimize-runbooks", "propose")
    return runner


@pytest.fixture(scope="module")
def pull(proposed: "Runner", github: Github, team: Clone) -> int:
    """Give the number of the proposal's pull request at GitHub."""
    assert proposed.ran
    assert team.at_origin("rev-parse", "runbookopt/desk")
    return github.open("runbookopt/desk", "runbookopt[bot]")


Verifies = Callable[..., "Runner"]


@pytest.fixture(scope="module")
def verifies(
    pull: int, team: Clone, known: dict[str, str], github: Github, github_runner: ModuleType
) -> Verifies:
    """Let the status check of a commit run on a machine of its own: `verifies("name", head, queued)`."""

    def verify(name: str, head: str, queued: str = "") -> "Runner":
        events = {
            "github.event.pull_request.head.sha": "" if queued else head,
            "github.event.merge_group.head_sha": head if queued else "",
            "github.event.pull_request.number": "" if queued else str(pull),
            "github.event.merge_group.head_ref": queued,
        }
        checkout = team.again(name, "actions", "--filter=blob:none").root
        environ = {"GITHUB_API_URL": github.api_url}
        runner: Runner = github_runner.Runner(
            checkout, checkout.parent / "jobs" / name, {**known, **events}, environ
        )
        runner.job("verify-runbooks", "verify")
        return runner

    return verify


@pytest.fixture(scope="module")
def verifying(verifies: Verifies, team: Clone, github: Github, pull: int) -> "Runner":
    """Give the machine of the status check of the proposal, which goes to review, once bo approves."""
    head = team.at_origin("rev-parse", "runbookopt/desk")
    with pytest.raises(AssertionError, match=r"0 of 1 approval\(s\) of bo"):
        verifies("waiting", head)
    github.approve(pull, "bo")
    return verifies("verify", head)


@pytest.fixture(scope="module")
def again(team: Clone, known: dict[str, str], github: Github, github_runner: ModuleType) -> "Runner":
    """Give the machine of the job that has the status check run again, about to run."""
    checkout = team.again("again", "actions").root
    told = {
        "github.token": github.actions_token({"actions": "write"}),
        "github.event.pull_request.head.sha": team.at_origin("rev-parse", "main"),
        "github.event.pull_request.head.repo.full_name": github.repository,
        "github.event.action": "submitted",
        "github.event.review.state": "approved",
        "github.event.review.body": "",
        "github.event.changes.body.from": "",
        "github.repository": github.repository,
    }
    environ = {"GITHUB_API_URL": github.api_url, "GITHUB_REPOSITORY": github.repository}
    runner: Runner = github_runner.Runner(
        checkout, checkout.parent / "jobs" / "again", {**known, **told}, environ
    )
    return runner


@pytest.fixture(scope="module")
def tested(team: Clone, known: dict[str, str], github_runner: ModuleType) -> "Runner":
    """Give the machine of our own tests' job, on which nothing is installed and no test is run."""
    checkout = team.again("ci", "actions").root
    runner: Runner = github_runner.Runner(
        checkout, checkout.parent / "jobs" / "ci", {**known, "matrix.python": "3.13"}
    )
    runner.stands_in("sudo", "make")
    runner.job("ci", "test")
    runner.job("nightly", "nightly")
    return runner


@pytest.mark.parametrize(
    ("schema", "pattern"), [("github-workflows", "workflows/*.yml"), ("github-actions", "actions/*/*.yml")]
)
def test_workflows_and_actions_are_what_githubs_schema_asks_for(schema: str, pattern: str) -> None:
    assert len(files(pattern)) > 1
    checked = tool("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, files(pattern)))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_security_linter_finds_nothing_to_object_to() -> None:
    linted = tool(
        "zizmor", "--offline", "--no-progress", "--persona=pedantic", "--strict-collection", ".github"
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert "No findings to report" in linted.stdout + linted.stderr


@pytest.mark.parametrize(("path", "template"), {**WORKFLOWS, ".github/CODEOWNERS": "CODEOWNERS"}.items())
def test_this_repository_uses_the_files_that_init_writes(path: str, template: str) -> None:
    assert (PROJECT / path).read_text() == rendered(template, OURS)


def locked(models: str = "") -> dict[str, str]:
    """Give the version of each package of a lock; each has the hashes of its files."""
    lock = (PROJECT / f".github/runbookopt-requirements{models}.txt").read_text()
    for entry in re.split(r"(?m)^(?=[\w.-]+==)", lock)[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
    return dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", lock))


def test_the_locks_hold_every_dependency_that_is_declared_with_the_hashes_of_its_files() -> None:
    names, entries = declared(), locked() | locked("-models")
    assert names - entries.keys() == set()
    assert len(entries) > 50
    installed = {name: metadata.version(name) for name in entries if name in names}
    assert installed == {name: entries[name] for name in installed}, "make lock: what is tested is locked"


def declared() -> set[str]:
    said = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    needed = [*said["project"]["dependencies"], *said["build-system"]["requires"]]
    return {re.split(r"[^\w.-]", need)[0].lower() for need in needed}


def test_what_only_asking_a_model_needs_is_in_a_lock_of_its_own() -> None:
    every_job, models = locked(), locked("-models")
    assert declared() - every_job.keys() == {"litellm"}
    assert every_job.keys() & models.keys() == set()
    required = [line for name in every_job for line in metadata.requires(name) or () if ";" not in line]
    named = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in required}
    assert named & models.keys() == set()


def test_every_action_is_pinned_by_commit_or_our_own_of_the_same_commit() -> None:
    lines = [line.strip(" -") for file in files("**/*.yml") for line in file.read_text().splitlines()]
    used = [line for line in lines if line.startswith("uses:")]
    assert [line for line in used if not line.startswith("uses: $/") and not PINNED.fullmatch(line)] == []


def test_one_action_has_one_pin() -> None:
    text = "".join(file.read_text() for file in files("**/*.yml"))
    pins = set(re.findall(r"actions/([\w-]+)(?:/\w+)?@([0-9a-f]{40})", text))
    assert len(pins) == len({name for name, _ in pins})


def test_what_talks_to_models_may_not_write_and_what_may_write_has_no_models_key(
    github_runner: ModuleType,
) -> None:
    both = jobs("optimize-runbooks", github_runner)
    assert both["search"]["permissions"] == {"contents": "read"}
    assert both["propose"]["permissions"] == {"contents": "write", "pull-requests": "write"}
    assert "API_KEY" not in str(both["propose"])
    holding = [step["name"] for step in both["search"]["steps"] if "token" in str(step.get("env", ""))]
    assert holding == ["Fetch the ledger, and leave GitHub for a folder of this machine"]


def test_the_status_check_serves_forks_and_runs_nothing_of_the_pull_request(
    github_runner: ModuleType,
) -> None:
    workflow = github_runner.read(PROJECT, ".github/workflows/verify-runbooks.yml")
    assert set(workflow["on"]) == {"pull_request", "merge_group"}
    (job,) = workflow["jobs"].values()
    assert job["permissions"] == {"contents": "read", "pull-requests": "read"}
    assert "secrets." not in str(workflow)
    assert job["steps"][0]["with"]["ref"] == "${{ github.event.repository.default_branch }}"
    assert not any(step.get("uses", "").startswith("$/") for step in job["steps"])


def test_what_has_the_check_run_again_may_do_nothing_else_and_has_another_name(
    github_runner: ModuleType,
) -> None:
    workflow = github_runner.read(PROJECT, ".github/workflows/verify-runbooks-again.yml")
    (job,) = workflow["jobs"].values()
    assert set(workflow["on"]) == {"pull_request_review"}
    assert job["permissions"] == {"actions": "write"}
    assert job["name"] != OUR_CHECK, "a job that is skipped counts as one that passed"
    assert [list(step) for step in job["steps"]] == [["name", "env", "run"]]
    assert "secrets." not in str(workflow)


def test_the_status_check_has_the_name_that_policies_ask_for(github_runner: ModuleType) -> None:
    (job,) = jobs("verify-runbooks", github_runner).values()
    assert job["name"] == OUR_CHECK
    assert (PROJECT / WORKFLOW_OF_OUR_CHECK).is_file()


def test_no_workflow_may_do_anything_by_default(github_runner: ModuleType) -> None:
    for file in files("workflows/*.yml"):
        assert github_runner.read(PROJECT, file.relative_to(PROJECT).as_posix())["permissions"] == {}


@pytest.mark.slow
def test_the_first_job_leaves_a_bundle_for_each_look(searched: "Runner") -> None:
    bundles = list((searched.artifacts / "runbookopt-bundles").iterdir())
    assert searched.output.read_text() == f"bundles={len(bundles)}\n" == "bundles=1\n", searched.log
    assert searched.summary.read_text().startswith("### Search and proof\n\n    ")


@pytest.mark.slow
def test_the_second_job_writes_down_the_looks_and_opens_the_pull_requests(
    proposed: "Runner",
    team: Clone,
) -> None:
    branches = team.at_origin("for-each-ref", "--format=%(refname:short)", "refs/heads/runbookopt")
    assert branches.split() == ["runbookopt/desk"]
    assert (
        len(team.at_origin("ls-tree", "-r", "--name-only", "refs/runbookopt/ledger", "looks/").split()) == 1
    )
    assert "### Proposals" in proposed.summary.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["a bundle", "a link"])
def test_what_a_commit_puts_below_local_state_is_handed_over_by_nobody(
    searched: "Runner",
    known: dict[str, str],
    github_runner: ModuleType,
    tmp_path: Path,
    kind: str,
) -> None:
    """The first half refuses it, its bundle is not counted, and the second half refuses it as well."""
    checkout = tmp_path / "checkout"
    shutil.copytree(searched.checkout, checkout, symlinks=True)
    shutil.rmtree(checkout / ".runbookopt")
    (forged,) = (searched.artifacts / "runbookopt-bundles").iterdir()
    if kind == "a link":
        (checkout / ".runbookopt").symlink_to(forged.parents[1], target_is_directory=True)
    else:
        (checkout / ".runbookopt/bundles").mkdir(parents=True)
        shutil.copy(forged, checkout / ".runbookopt/bundles")
    team = Clone(checkout, searched.checkout)
    team.commit({}, "Help the night along", push=False)
    runner = github_runner.Runner(checkout, tmp_path / "jobs" / "search", known)
    with pytest.raises(AssertionError, match="Search, and prove what was found"):
        runner.job("optimize-runbooks", "search")
    assert "is tracked by git (in commit" in runner.summary.read_text()
    assert runner.known["steps.count.outputs.bundles"] == "0"
    assert not runner.artifacts.exists()
    told = {"needs.search.outputs.bundles": "0"}
    second = github_runner.Runner(checkout, tmp_path / "jobs" / "propose", {**known, **told})
    before = team.at_origin("for-each-ref")
    with pytest.raises(AssertionError, match="Write down every look"):
        second.job("optimize-runbooks", "propose")
    assert "local state is nobody's word" in second.summary.read_text()
    assert team.at_origin("for-each-ref") == before


@pytest.mark.slow
def test_a_cached_journal_of_another_branch_is_refused(
    searched: "Runner", known: dict[str, str], github_runner: ModuleType, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(searched.checkout, checkout, symlinks=True)
    environ = {"GITHUB_REF": "refs/heads/other"}
    runner = github_runner.Runner(checkout, tmp_path / "jobs" / "search", known, environ)
    shutil.copytree(searched.temp / "runbookopt", runner.temp / "runbookopt", symlinks=True)
    (search,) = [
        step
        for step in jobs("optimize-runbooks", github_runner)["search"]["steps"]
        if step.get("name", "").startswith("Search,")
    ]
    with pytest.raises(AssertionError, match="was made for octo/runbooks refs/heads/main, and this is"):
        runner.step(search)


@pytest.mark.slow
def test_a_next_night_knows_the_looks_of_the_last_one(
    proposed: "Runner",
    team: Clone,
    known: dict[str, str],
    github_runner: ModuleType,
) -> None:
    assert proposed.ran
    checkout = team.again("next", "actions").root
    runner = github_runner.Runner(checkout, checkout.parent / "jobs" / "next", known)
    (fetch,) = [
        step
        for step in jobs("optimize-runbooks", github_runner)["search"]["steps"]
        if step.get("name", "").startswith("Fetch the ledger")
    ]
    runner.step(fetch)
    ours = team.git("ls-remote", str(runner.temp / "origin.git"), "refs/runbookopt/ledger")
    assert ours.split()[0] == team.at_origin("rev-parse", "refs/runbookopt/ledger")
    assert str(runner.temp) in (checkout / ".git/config").read_text()


@pytest.mark.slow
def test_the_token_is_in_no_file_and_no_log_of_any_job(
    searched: "Runner", proposed: "Runner", verifying: "Runner", token: str
) -> None:
    for runner in (searched, proposed, verifying):
        assert token not in runner.log
        texts = [path.read_bytes() for path in runner.checkout.parent.rglob("*") if path.is_file()]
        assert not [text for text in texts if token.encode() in text]


@pytest.mark.slow
def test_the_status_check_has_the_head_at_hand_and_nobody_to_push_to(
    verifying: "Runner", team: Clone
) -> None:
    commit = team.at_origin("rev-parse", "runbookopt/desk")
    assert team.git("cat-file", "-t", commit, at=verifying.checkout) == "commit"
    assert team.git("remote", "get-url", "origin", at=verifying.checkout) == str(
        verifying.temp / "origin.git"
    )
    assert team.git("ls-remote", "--symref", "origin", "HEAD", at=verifying.checkout).startswith(
        "ref: refs/heads/main"
    )


@pytest.mark.slow
def test_the_status_check_says_its_word(verifying: "Runner") -> None:
    said = (verifying.temp / "verify.txt").read_text()
    assert said.startswith("passes: ")
    assert ", by runbookopt, needs people to agree\n" in said
    assert "bo approved this commit as a reviewer" in said
    assert "    passes: " in verifying.summary.read_text()


@pytest.mark.slow
def test_a_merge_queue_s_commit_is_judged_by_its_pull_request(
    verifies: Verifies, verifying: "Runner", github: Github, team: Clone
) -> None:
    assert verifying.ran
    text = team.at_origin("show", "runbookopt/desk:runbooks/desk/RUNBOOK.md") + "\n"
    same = github.commit("queued", {"runbooks/desk/RUNBOOK.md": text})
    passed = verifies("queue", same, f"refs/heads/gh-readonly-queue/main/pr-1-{same}")
    assert "passes: " in (passed.temp / "verify.txt").read_text()


@pytest.mark.nightly
def test_a_merge_queue_s_commit_that_changes_more_or_is_of_no_queue_does_not_pass(
    verifies: Verifies, verifying: "Runner", github: Github, team: Clone
) -> None:
    assert verifying.ran
    text = team.at_origin("show", "runbookopt/desk:runbooks/desk/RUNBOOK.md") + "\n"
    changed = {"runbooks/desk/RUNBOOK.md": text, "runbooks/desk/policy.yaml": "merge: auto\n"}
    more = github.commit("more", changed)
    with pytest.raises(AssertionError, match=r"but for runbooks/desk/policy\.yaml"):
        verifies("more", more, f"refs/heads/gh-readonly-queue/main/pr-1-{more}")
    with pytest.raises(AssertionError, match="no pull request of a merge queue"):
        verifies("none", more, "refs/heads/main")


@pytest.mark.slow
def test_after_a_review_the_last_run_of_the_check_runs_again(
    again: "Runner", github: Github, team: Clone
) -> None:
    again.job("verify-runbooks-again", "again")
    assert "the check has not run yet" in again.log
    main = team.at_origin("rev-parse", "main")
    old, new = (github.run(main, "verify-runbooks.yml") for _ in range(2))
    github.run(main, "ci.yml")
    again.job("verify-runbooks-again", "again")
    assert (old.attempt, new.attempt, new.status) == (1, 2, "queued")
    assert again.known["github.token"] not in again.log


@pytest.mark.slow
def test_where_github_runs_the_check_no_more_the_way_on_is_said(
    again: "Runner", github: Github, team: Clone
) -> None:
    old = github.run(team.at_origin("rev-parse", "main"), "verify-runbooks.yml")
    old.too_old = True
    with pytest.raises(AssertionError, match="close and reopen the pull request, and a new run asks again"):
        again.job("verify-runbooks-again", "again")
    github.world.runs.remove(old)


@pytest.mark.slow
def test_our_own_tests_are_those_of_a_newcomer(tested: "Runner") -> None:
    told = (tested.temp / "told").read_text().splitlines()
    assert [line for line in told if line.startswith("make")] == ["make test", "make nightly"]
    assert "sudo apt-get install --quiet --yes bubblewrap" in told


@pytest.mark.slow
def test_no_run_line_is_left_untried(
    searched: "Runner",
    proposed: "Runner",
    verifying: "Runner",
    again: "Runner",
    tested: "Runner",
    github_runner: ModuleType,
) -> None:
    if not again.ran:
        again.job("verify-runbooks-again", "again")
    tried = {name for runner in (searched, proposed, verifying, again, tested) for name in runner.ran}
    assert [
        step["name"]
        for _, step in github_runner.steps(PROJECT)
        if "run" in step and step["name"] not in tried
    ] == []


@pytest.mark.slow
def test_what_is_printed_gives_the_machine_no_commands(
    searched: "Runner",
) -> None:
    hostile = "::add-mask::x\n```\n# A heading\n"
    (searched.temp / "hostile.txt").write_text(hostile)
    before, searched.log = searched.log, ""
    action = "$/.github/actions/runbookopt-summary"
    searched.step({"uses": action, "with": {"title": "Said", "file": "hostile.txt"}})
    first, *said, last = searched.log.splitlines()
    assert first.startswith("::stop-commands::")
    assert (last, "\n".join(said).strip()) == (
        f"::{first.removeprefix('::stop-commands::')}::",
        hostile.strip(),
    )
    shown = searched.summary.read_text().partition("### Said\n\n")[2]
    assert all(line.startswith("    ") for line in shown.splitlines())
    searched.log += before


def test_the_set_up_page_names_every_variable_and_secret_that_the_workflows_read() -> None:
    page = (PROJECT / "docs/team-setup.md").read_text()
    text = "".join(file.read_text() for file in files("**/*.yml"))
    named = set(re.findall(r"\b(?:vars|secrets)\.(\w+)", text))
    assert len(named) > 3
    assert [name for name in sorted(named) if f"`{name}`" not in page] == []
    assert [path for path in WORKFLOWS if path not in page and "actions/" not in path] == []


def test_permissions_that_an_installation_may_lack_are_asked_for_apart(github_runner: ModuleType) -> None:
    steps = jobs("optimize-runbooks", github_runner)["propose"]["steps"]
    speaking = [step for step in steps if "create-github-app-token" in step.get("uses", "")]
    asked = [{key for key in step["with"] if key.startswith("permission-")} for step in speaking]
    least = {"permission-contents", "permission-pull-requests"}
    seeing = {*least, "permission-administration"}
    assert asked == [{*seeing, "permission-members"}, seeing, least]
    assert [step.get("continue-on-error", False) for step in speaking] == [True, True, False]
    tried = [f"steps.{step['id']}.outputs.token" for step in speaking]
    assert f"{' || '.join(tried)} || github.token" in str(steps)


def test_a_check_of_an_older_commit_takes_no_newer_ones_place(github_runner: ModuleType) -> None:
    group = github_runner.read(PROJECT, ".github/workflows/verify-runbooks.yml")["concurrency"]["group"]
    assert "head.sha" in group
