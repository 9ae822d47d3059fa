"""The double of GitHub, driven by the real PyGithub and the real git."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import github
import pytest
from github import Auth, GithubException

from tests.github.double import Actor, Github

if TYPE_CHECKING:
    from github.PullRequest import PullRequest
    from github.Repository import Repository

BRANCH = "runbookopt/triage"
CHANGED = {"runbooks/triage/RUNBOOK.md": "new\n"}


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Github]:
    with Github(tmp_path, {"runbooks/triage/RUNBOOK.md": "old\n"}) as double:
        double.add_user("bo")
        double.add_user("cy", "read")
        double.add_team("leads", ["bo"])
        yield double


def client(double: Github, token: str | None = None) -> "Repository":
    auth = Auth.Token(token or double.token)
    quick = {"seconds_between_requests": 0, "seconds_between_writes": 0, "retry": None}
    return github.Github(base_url=double.api_url, auth=auth, **quick).get_repo(double.repository)


def opened(double: Github, repository: "Repository | None" = None) -> "PullRequest":
    double.commit(BRANCH, CHANGED)
    maker = repository or client(double)
    return maker.create_pull(base="main", head=BRANCH, title="Improve triage", body="Why")


def refusal(error: pytest.ExceptionInfo[GithubException]) -> tuple[int, Any]:
    errors = error.value.data.get("errors") or [error.value.data["message"]]
    return error.value.status, errors[0]


def test_repository_and_default_branch(double: Github) -> None:
    repository = client(double)
    assert (repository.full_name, repository.default_branch) == ("octo/runbooks", "main")
    assert repository.allow_auto_merge
    assert repository.get_branch("main").commit.sha == double.branches["main"]
    assert repository.get_git_ref("heads/main").object.sha == double.branches["main"]


def test_a_pull_request_is_created_listed_by_head_read_and_edited(double: Github) -> None:
    repository = client(double)
    made = opened(double, repository)
    found = list(repository.get_pulls(state="open", head=f"octo:{BRANCH}"))
    assert [each.number for each in found] == [made.number] == [1]
    assert not list(repository.get_pulls(state="open", head="octo:other"))
    made.edit(title="Better", body="Because")
    again = repository.get_pull(1)
    assert (again.title, again.body, again.head.sha) == ("Better", "Because", double.branches[BRANCH])
    assert [each.filename for each in again.get_files()] == ["runbooks/triage/RUNBOOK.md"]
    assert [each.commit.message for each in again.get_commits()] == ["Change"]
    assert again.user.login == "runbookopt[bot]"


def test_a_second_pull_request_for_the_same_branch_is_refused(double: Github) -> None:
    repository = client(double)
    opened(double, repository)
    with pytest.raises(GithubException) as error:
        repository.create_pull(base="main", head=BRANCH, title="Again", body="")
    status, told = refusal(error)
    assert (status, told["message"]) == (422, f"A pull request already exists for octo:{BRANCH}.")


def test_a_head_that_is_not_there_or_has_nothing_new_is_refused(double: Github) -> None:
    repository = client(double)
    with pytest.raises(GithubException) as error:
        repository.create_pull(base="main", head="nowhere", title="No", body="")
    assert refusal(error) == (422, {"resource": "PullRequest", "code": "invalid", "field": "head"})
    double.world.bare.move("refs/heads/same", double.branches["main"])
    with pytest.raises(GithubException, match="No commits between main and same"):
        repository.create_pull(base="main", head="same", title="No", body="")


def test_a_body_over_the_limit_is_refused(double: Github) -> None:
    with pytest.raises(GithubException, match="body is too long"):
        opened(double).edit(body="x" * 65537)


def test_git_pushes_over_smart_http_with_a_header_from_the_environment(
    double: Github, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    environ = double.git_environ()
    run(["git", "clone", "-q", double.remote_url, str(clone)], environ)
    (clone / "big.bin").write_bytes(bytes(range(256)) * 8000)  # over http.postBuffer: comes in chunks
    for command in (["checkout", "-q", "-b", BRANCH], ["add", "."], ["commit", "-q", "-m", "Add"]):
        run(["git", "-C", str(clone), *command], environ)
    opened_before = run(["git", "-C", str(clone), "push", "-q", "origin", BRANCH], environ)
    assert opened_before.returncode == 0
    assert (
        double.branches[BRANCH] == run(["git", "-C", str(clone), "rev-parse", "HEAD"], environ).stdout.strip()
    )
    assert double.token not in (clone / ".git/config").read_text()
    assert "POST /octo/runbooks.git/git-receive-pack" in double.lines


def run(
    command: list[str], environ: dict[str, str], *, check: bool = True
) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(command, env=environ, capture_output=True, encoding="utf-8", check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


def test_git_is_let_in_only_with_a_good_token_that_may_write(double: Github, tmp_path: Path) -> None:
    clone = str(tmp_path / "clone")
    run(["git", "clone", "-q", double.remote_url, clone], double.git_environ())
    push = ["git", "-C", clone, "push", "-q", "origin", "HEAD:refs/heads/other"]
    reader = run(push, double.git_environ(double.app_token({"contents": "read"})), check=False)
    assert "403" in reader.stderr
    wrong = run(push, double.git_environ("wrong"), check=False)
    assert "could not read Username" in wrong.stderr  # git was told 401 and would ask
    assert "other" not in double.branches


def test_git_does_not_push_to_a_protected_branch(double: Github, tmp_path: Path) -> None:
    assert not client(double).get_branch("main").protected
    clone = str(tmp_path / "clone")
    environ = double.git_environ()
    run(["git", "clone", "-q", double.remote_url, clone], environ)
    double.protect(approvals=1)
    run(["git", "-C", clone, "commit", "-q", "--allow-empty", "-m", "x"], environ)
    pushed = run(["git", "-C", clone, "push", "-q", "origin", "HEAD:main"], environ, check=False)
    assert "GH006" in pushed.stderr
    double.unprotect()
    double.ruleset(checks=["verify"])
    pushed = run(["git", "-C", clone, "push", "-q", "origin", "HEAD:main"], environ, check=False)
    assert "GH013" in pushed.stderr
    assert client(double).get_branch("main").protected


def test_a_push_moves_the_head_of_an_open_pull_request(double: Github) -> None:
    repository = client(double)
    opened(double, repository)
    new = double.commit(BRANCH, {"more.md": "more\n"}, by="bo")
    assert repository.get_pull(1).head.sha == new
    double.delete_branch(BRANCH)
    assert repository.get_pull(1).state == "closed"


def test_reviewers_and_teams_are_requested_or_refused(double: Github) -> None:
    pull = opened(double)
    pull.create_review_request(reviewers=["bo"], team_reviewers=["leads"])
    people, teams = pull.get_review_requests()
    assert ([each.login for each in people], [each.slug for each in teams]) == (["bo"], ["leads"])
    with pytest.raises(GithubException, match="not a collaborator of the octo/runbooks repository"):
        pull.create_review_request(reviewers=["nobody"])
    double.add_team("outsiders", collaborator=False)
    with pytest.raises(GithubException, match="not a collaborator"):
        pull.create_review_request(team_reviewers=["outsiders"])


def test_a_team_is_not_found_without_permission_to_read_members(double: Github) -> None:
    repository = client(double, double.app_token({"pull_requests": "write", "contents": "write"}))
    with pytest.raises(GithubException, match="Could not resolve to a node"):
        opened(double, repository).create_review_request(team_reviewers=["leads"])


def test_the_author_cannot_be_asked(double: Github) -> None:
    pull = opened(double, client(double, double.token_of("bo")))
    with pytest.raises(GithubException, match="pull request author"):
        pull.create_review_request(reviewers=["bo"])


def test_a_label_that_is_missing_comes_into_being(double: Github) -> None:
    pull = opened(double)
    pull.add_to_labels("runbookopt")
    assert [each.name for each in pull.get_labels()] == ["runbookopt"]
    double.settings(missing_labels_created=False)
    with pytest.raises(GithubException, match="Validation Failed"):
        pull.add_to_labels("other")
    pull.remove_from_labels("runbookopt")
    assert not list(pull.get_labels())


def test_comments_are_written_and_changed(double: Github) -> None:
    pull = opened(double)
    comment = pull.create_issue_comment("First")
    comment.edit("Second")
    assert [each.body for each in pull.get_issue_comments()] == ["Second"]


def test_nobody_approves_what_is_their_own(double: Github) -> None:
    pull = opened(double)
    with pytest.raises(GithubException) as error:
        pull.create_review(event="APPROVE")
    assert refusal(error) == (422, "Review Can not approve your own pull request")
    client(double, double.token_of("bo")).get_pull(1).create_review(event="APPROVE")
    assert [(each.user.login, each.state) for each in pull.get_reviews()] == [("bo", "APPROVED")]


def test_actions_neither_opens_nor_approves_unless_it_is_allowed(double: Github) -> None:
    actions = client(double, double.actions_token())
    with pytest.raises(GithubException, match="not permitted to create or approve"):
        opened(double, actions)
    double.settings(actions_may_approve=True)
    assert opened(double, actions).user.login == "github-actions[bot]"


def test_classic_protection_is_read_or_not_there_or_not_shown(double: Github) -> None:
    branch = client(double).get_branch("main")
    with pytest.raises(GithubException, match="Branch not protected"):
        branch.get_protection()
    double.protect(checks=["verify", ("build", 15368)], approvals=2, dismiss_stale=True, code_owners=True)
    protection = branch.get_protection()
    assert protection.required_status_checks.contexts == ["verify", "build"]
    assert protection.required_pull_request_reviews.dismiss_stale_reviews
    assert protection.required_pull_request_reviews.required_approving_review_count == 2
    weak = client(double, double.app_token({"contents": "read"})).get_branch("main")
    with pytest.raises(GithubException, match="Resource not accessible by integration"):
        weak.get_protection()
    writer = client(double, double.token_of("bo")).get_branch("main")
    with pytest.raises(GithubException) as error:
        writer.get_protection()
    assert (error.value.status, error.value.data["message"]) == (404, "Not Found")


def test_rulesets_are_read_and_hide_who_may_pass_by(double: Github) -> None:
    number = double.ruleset(checks=["verify"], approvals=1, dismiss_stale=True, bypass=[Actor("Team", 7)])
    rules = asked(double, f"/repos/{double.repository}/rules/branches/main")
    assert {each["type"] for each in rules} >= {"pull_request", "required_status_checks"}
    path = f"/repos/{double.repository}/rulesets/{number}"
    assert "bypass_actors" not in asked(double, path)
    admin = double.app_token({"administration": "write"})
    shown = asked(double, path, admin)["bypass_actors"]
    assert shown == [{"actor_type": "Team", "actor_id": 7, "bypass_mode": "always"}]


def asked(double: Github, path: str, token: str | None = None) -> Any:  # noqa: ANN401 - JSON
    return client(double, token).requester.requestJsonAndCheck("GET", path)[1]


def test_errors_of_codeowners_are_told(double: Github) -> None:
    path = f"/repos/{double.repository}/codeowners/errors"
    with pytest.raises(GithubException, match="Not Found"):
        asked(double, path)
    double.commit("main", {".github/CODEOWNERS": "* @bo\n/runbooks/ @octo/leads @nobody\n"})
    errors = asked(double, path)["errors"]
    assert [(each["line"], each["kind"]) for each in errors] == [(2, "Unknown owner")]


def test_owners_of_changed_files_are_asked(double: Github) -> None:
    double.commit("main", {".github/CODEOWNERS": "* @bo\n/runbooks/ @octo/leads\n"})
    people, teams = opened(double).get_review_requests()
    assert ([each.login for each in people], [each.slug for each in teams]) == ([], ["leads"])


def test_a_file_is_read_from_a_branch(double: Github) -> None:
    found = client(double).get_contents("runbooks/triage/RUNBOOK.md", ref="main")
    assert found.decoded_content == b"old\n"


def test_check_runs_are_written_by_apps_alone(double: Github) -> None:
    pull = opened(double)
    repository, sha = client(double), double.branches[BRANCH]
    output = {"title": "Held", "summary": "Why"}
    run = repository.create_check_run("verify", sha, status="completed", conclusion="failure", output=output)
    run.edit(conclusion="success")
    found = list(repository.get_commit(sha).get_check_runs(check_name="verify"))
    assert [(each.conclusion, each.app.slug) for each in found] == [("success", "runbookopt")]
    with pytest.raises(GithubException, match="GitHub App"):
        client(double, double.token_of("bo")).create_check_run("verify", pull.head.sha)


def test_statuses_can_be_written_by_whoever_may_write(double: Github) -> None:
    opened(double)
    commit = client(double, double.token_of("bo")).get_commit(double.branches[BRANCH])
    commit.create_status("success", context="verify")
    assert commit.get_combined_status().state == "success"
    told = asked(double, f"/repos/{double.repository}/commits/{commit.sha}/statuses")
    assert [each["creator"]["login"] for each in told] == ["bo"]


def test_members_of_a_team_are_told_to_who_may_know(double: Github) -> None:
    path = "/orgs/octo/teams/leads/members"
    assert [each["login"] for each in asked(double, path)] == ["bo"]
    assert asked(double, "/orgs/octo/teams/leads/memberships/bo")["state"] == "active"
    with pytest.raises(GithubException) as error:
        asked(double, path, double.app_token({"contents": "write"}))
    assert error.value.status == 403


def test_what_actions_may_do_is_told(double: Github) -> None:
    told = asked(double, f"/repos/{double.repository}/actions/permissions/workflow")
    assert told == {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": False, **told}


def test_an_app_exchanges_its_key_for_a_token(double: Github) -> None:
    auth = Auth.AppAuth(double.app_id, double.app_key())
    app = github.GithubIntegration(
        auth=auth, base_url=double.api_url, seconds_between_requests=0, seconds_between_writes=0
    )
    installation = app.get_repo_installation("octo", "runbooks")
    token = app.get_access_token(installation.id).token
    assert client(double, token).default_branch == "main"
