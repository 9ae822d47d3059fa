"""The double's auto-merge and merges: what GitHub does, and what it refuses."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import github
import pytest
from github import Auth, GithubException

from tests.github.double import Github

if TYPE_CHECKING:
    from github.PullRequest import PullRequest

BRANCH = "runbookopt/triage"
STATE = """query($number: Int!) { repository(owner: "octo", name: "runbooks") { pullRequest(number: $number) {
  mergeStateStatus reviewDecision headRefOid author { login } mergeQueue { id }
  autoMergeRequest { mergeMethod commitHeadline commitBody enabledBy { login } } } } }"""


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Github]:
    with Github(tmp_path, {"RUNBOOK.md": "old\n"}) as double:
        double.add_user("bo")
        yield double


@pytest.fixture
def pull(double: Github) -> "PullRequest":
    double.commit(BRANCH, {"RUNBOOK.md": "new\n"})
    auth = Auth.Token(double.token)
    quick = {"seconds_between_requests": 0, "seconds_between_writes": 0, "retry": None}
    client = github.Github(base_url=double.api_url, auth=auth, **quick)
    repository = client.get_repo(double.repository)
    return repository.create_pull(base="main", head=BRANCH, title="Improve triage", body="Why")


def enabled(pull: "PullRequest", **more: str) -> None:
    pull.enable_automerge("SQUASH", expected_head_oid=pull.head.sha, **more)


def told(error: pytest.ExceptionInfo[GithubException]) -> tuple[int, str, str]:
    first = error.value.data["errors"][0]
    return error.value.status, first["type"], first["message"]


def state(pull: "PullRequest") -> dict[str, Any]:
    data = pull.requester.graphql_query(STATE, {"number": pull.number})[1]
    return data["data"]["repository"]["pullRequest"]


def test_auto_merge_waits_for_what_is_required_and_merges_what_was_promised(
    double: Github, pull: "PullRequest"
) -> None:
    double.protect(checks=["verify"], approvals=1)
    enabled(pull, commit_headline="Improve triage", commit_body="Gain 0.1")
    wish = state(pull)["autoMergeRequest"]
    assert wish == {
        "mergeMethod": "SQUASH",
        "commitHeadline": "Improve triage",
        "commitBody": "Gain 0.1",
        "enabledBy": {"login": "runbookopt"},
    }
    double.check(pull.head.sha, "verify")
    assert double.pull(1).state == "open"
    double.approve(1, "bo")
    assert double.pull(1).merged_at
    merged = double.world.bare.commit(double.branches["main"])
    assert (merged.message, len(merged.parents)) == ("Improve triage\n\nGain 0.1", 1)


def test_auto_merge_is_switched_off_again(double: Github, pull: "PullRequest") -> None:
    double.ruleset(checks=["verify"])
    enabled(pull)
    assert double.pull(1).auto_merge
    pull.disable_automerge()
    assert double.pull(1).auto_merge is None
    with pytest.raises(GithubException) as error:
        pull.disable_automerge()
    assert told(error)[:2] == (400, "UNPROCESSABLE")


def test_auto_merge_is_refused_for_another_head(double: Github, pull: "PullRequest") -> None:
    double.protect(checks=["verify"])
    double.commit(BRANCH, {"RUNBOOK.md": "newer\n"}, by="bo")
    with pytest.raises(GithubException) as error:
        enabled(pull)
    assert told(error)[2].startswith("Head branch was modified")


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (lambda double, _: double.protect(), "Pull request Pull request is in clean status"),
        (
            lambda double, sha: (double.protect(), double.check(sha, "lint", "failure")),
            "Pull request Pull request is in unstable status",
        ),
        (lambda _, __: None, "Pull request Protected branch rules not configured for this branch"),
        (
            lambda double, _: double.settings(allow_auto_merge=False),
            "Pull request Auto merge is not allowed for this repository",
        ),
        (
            lambda double, _: double.settings(allow_squash_merge=False),
            "Merge method squash merging is not allowed on this repository",
        ),
        (lambda double, _: double.close(1, "bo"), "Can't enable auto-merge for this pull request"),
    ],
)
def test_each_refusal_of_auto_merge_has_its_words(
    double: Github, pull: "PullRequest", arrange: Callable[..., object], message: str
) -> None:
    arrange(double, pull.head.sha)
    with pytest.raises(GithubException) as error:
        enabled(pull)
    assert told(error) == (400, "UNPROCESSABLE", message)


def test_a_token_that_may_not_write_does_not_switch_it_on(double: Github, pull: "PullRequest") -> None:
    double.protect(checks=["verify"])
    token = Auth.Token(double.app_token({"pull_requests": "write"}))
    weak = github.Github(
        base_url=double.api_url, auth=token, seconds_between_requests=0, seconds_between_writes=0
    )
    with pytest.raises(GithubException) as error:
        enabled(weak.get_repo(double.repository).get_pull(1))
    assert told(error)[1] == "FORBIDDEN"
    assert pull.number == 1


def test_with_a_merge_queue_it_queues(double: Github, pull: "PullRequest") -> None:
    double.ruleset(checks=["verify"], merge_queue=True)
    assert state(pull)["mergeQueue"]
    enabled(pull)
    double.check(pull.head.sha, "verify")
    assert double.pull(1).queued
    with pytest.raises(GithubException, match="Changes must be made through the merge queue"):
        pull.merge()


def test_a_push_dismisses_an_approval_where_that_is_demanded(double: Github, pull: "PullRequest") -> None:
    double.protect(approvals=1, dismiss_stale=True)
    double.approve(1, "bo")
    assert state(pull)["reviewDecision"] == "APPROVED"
    double.commit(BRANCH, {"RUNBOOK.md": "newer\n"}, by="bo")
    assert [each.state for each in double.pull(1).reviews] == ["DISMISSED"]
    assert state(pull)["reviewDecision"] == "REVIEW_REQUIRED"


def test_a_merge_that_is_blocked_is_refused(double: Github, pull: "PullRequest") -> None:
    double.protect(checks=["verify"], approvals=1)
    with pytest.raises(GithubException, match='Required status check "verify" is expected') as error:
        pull.merge()
    assert error.value.status == 405
    double.check(pull.head.sha, "verify")
    with pytest.raises(GithubException, match="At least 1 approving review is required"):
        pull.merge()
    double.approve(1, "bo")
    assert pull.merge(sha=pull.head.sha).merged
    assert pull.is_merged()


def test_a_pinned_check_is_not_met_by_another_app_or_a_status(double: Github, pull: "PullRequest") -> None:
    double.protect(checks=[("verify", double.app_id)])
    double.check(pull.head.sha, "verify", app="somebody")
    double.status(pull.head.sha, "verify", by="bo")
    assert state(pull)["mergeStateStatus"] == "BLOCKED"
    double.check(pull.head.sha, "verify", app="runbookopt")
    assert state(pull)["mergeStateStatus"] == "CLEAN"


def test_what_conflicts_or_has_moved_on_is_not_merged(double: Github, pull: "PullRequest") -> None:
    with pytest.raises(GithubException) as error:
        pull.merge(sha="0" * 40)
    assert error.value.status == 409
    double.commit("main", {"RUNBOOK.md": "other\n"})
    assert state(pull)["mergeStateStatus"] == "DIRTY"
    with pytest.raises(GithubException, match="not mergeable") as error:
        pull.merge()
    assert error.value.status == 405


def test_demands_of_protection_and_rulesets_add_up(double: Github, pull: "PullRequest") -> None:
    double.protect(checks=["verify"])
    double.ruleset(approvals=1, code_owners=True, source="Organization")
    double.commit("main", {"CODEOWNERS": "RUNBOOK.md @octo\n"})
    double.check(pull.head.sha, "verify")
    double.approve(1, "bo")
    assert state(pull)["mergeStateStatus"] == "BLOCKED"
    double.approve(1, "octo")
    assert state(pull)["mergeStateStatus"] == "CLEAN"


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_each_method_merges(double: Github, pull: "PullRequest", method: str) -> None:
    double.commit("main", {"other.md": "moved on\n"})
    assert pull.merge(merge_method=method).merged
    assert double.world.bare.text("main", "RUNBOOK.md") == b"new\n"
    assert double.world.bare.text("main", "other.md") == b"moved on\n"
