"""The double on the wire: contracts that hold, faults at any request, limits, lists that lag behind."""

import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import github
import pytest
import requests
from github import Auth, GithubException, RateLimitExceededException

from tests.github.contracts import contracts
from tests.github.double import Fault, Github
from tests.github.routing import ROUTES

BRANCH = "runbookopt/triage"


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Github]:
    with Github(tmp_path) as double:
        double.commit(BRANCH, {"README.md": "new\n"})
        yield double


def client(double: Github) -> Any:  # noqa: ANN401 - PyGithub's repository
    auth = Auth.Token(double.token)
    quick = {"seconds_between_requests": 0, "seconds_between_writes": 0, "retry": None, "lazy": True}
    return github.Github(base_url=double.api_url, auth=auth, **quick).get_repo(double.repository)


def proposed(double: Github) -> Any:  # noqa: ANN401 - PyGithub's pull request
    return client(double).create_pull(base="main", head=BRANCH, title="Improve", body="Why")


def sent(double: Github, method: str, path: str, body: object = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {double.token}"}
    return requests.request(method, f"{double.api_url}{path}", json=body, headers=headers, timeout=10)


def test_each_operation_of_the_contract_has_an_answer() -> None:
    assert {each.name for each in contracts().operations} == ROUTES.keys()


def test_a_breach_of_the_contract_is_loud(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"(?s)'head' is a required property.*unknown keys.*nowhere"):  # noqa: PT012, SIM117
        with Github(tmp_path) as double:
            path = f"/repos/{double.repository}/pulls"
            assert sent(double, "POST", path, {"title": "x", "base": "main"}).status_code == 599
            made_up = {"title": "x", "base": "main", "head": "x", "made_up": 1}
            assert sent(double, "POST", path, made_up).status_code == 599
            assert sent(double, "GET", f"{path}?state=bogus").status_code == 599
            assert sent(double, "GET", f"/repos/{double.repository}/nowhere").status_code == 599


@pytest.mark.parametrize(
    "query",
    [
        "{ viewer { made_up } }",
        "mutation { enablePullRequestAutoMerge(input: {}) { clientMutationId } }",
        "{",
    ],
)
def test_a_query_that_the_schema_does_not_know_is_a_breach(double: Github, query: str) -> None:
    at = double.api_url.replace("/v3", "/graphql")
    headers = {"Authorization": f"Bearer {double.token}"}
    answer = requests.post(at, json={"query": query}, headers=headers, timeout=10)
    assert answer.status_code == 599
    assert len(double.violations) == 1
    double.violations.clear()


def test_an_answer_that_the_contract_does_not_know_is_a_breach(
    double: Github, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROUTES, "GET /repos/{owner}/{repo}/labels", lambda _: (200, [{"name": 7}]))
    assert sent(double, "GET", f"/repos/{double.repository}/labels").status_code == 599
    double.violations.clear()


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.ERROR, 500),
        (Fault.ERROR_AFTER, 500),
        (Fault.BAD_GATEWAY, 502),
        (Fault.BAD_GATEWAY_AFTER, 502),
        (Fault.SECONDARY_LIMIT, 403),
        (Fault.TOO_MANY, 429),
        (Fault.PRIMARY_LIMIT, 403),
    ],
)
def test_a_fault_comes_when_it_is_told_to(double: Github, fault: Fault, status: int) -> None:
    double.faults = lambda method, path, nth: (
        fault if (method, path[-5:], nth) == ("POST", "pulls", 1) else None
    )
    with pytest.raises(GithubException) as error:
        proposed(double)
    assert (error.value.status, double.heard[0].status) == (status, status)
    assert len(double.pulls) == int(fault.happens)


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.CUT_AFTER])
def test_a_connection_is_cut_before_or_after(double: Github, fault: Fault) -> None:
    double.faults = lambda method, _path, _nth: fault if method == "POST" else None
    with pytest.raises(requests.exceptions.ConnectionError):
        proposed(double)
    assert len(double.pulls) == int(fault.happens)


def test_limits_say_when_to_come_back(double: Github) -> None:
    double.settings(retry_after=7)
    double.faults = lambda _method, _path, nth: Fault.TOO_MANY if nth == 1 else None
    limited = sent(double, "GET", f"/repos/{double.repository}")
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")
    double.settings(requests_left=1)
    assert sent(double, "GET", f"/repos/{double.repository}").headers["X-RateLimit-Remaining"] == "0"
    with pytest.raises(RateLimitExceededException):
        proposed(double)


def test_a_new_pull_request_is_not_listed_at_once(double: Github) -> None:
    double.settings(unlisted_for=2, unsettled_for=1)
    proposed(double)
    listed = [len(list(client(double).get_pulls())) for _ in range(3)]
    assert listed == [0, 0, 1]


def test_mergeability_is_not_known_at_once(double: Github) -> None:
    double.settings(unsettled_for=2)
    made = proposed(double)
    first = client(double).get_pull(made.number)
    assert (made.mergeable, first.mergeable) == (None, None)
    assert client(double).get_pull(made.number).mergeable is True


def test_long_lists_come_in_pages(double: Github) -> None:
    for number in range(35):
        double.add_label(f"label {number}")
    assert len(list(client(double).get_labels())) == 35
    assert [each.query.get("page") for each in double.heard] == [None, "2"]


def test_a_head_without_its_owner_is_no_filter(double: Github) -> None:
    proposed(double)
    assert len(list(client(double).get_pulls(head="other"))) == 1
    assert not list(client(double).get_pulls(head="octo:other"))


def test_the_world_moves_in_between_two_requests(double: Github) -> None:
    def moves(method: str, _path: str, _nth: int) -> None:
        if method == "POST":
            double.commit(BRANCH, {"README.md": "newer\n"}, by="octo")

    double.faults = moves
    assert proposed(double).head.sha == double.branches[BRANCH]


def test_a_fork_proposes_as_well(double: Github) -> None:
    double.add_user("dee", "none")
    head = double.commit("fix", {"README.md": "better\n"}, by="dee", fork="dee")
    pull = client(double).get_pull(double.open("fix", "dee", fork="dee"))
    assert (pull.head.sha, pull.head.repo.full_name, pull.head.label) == (head, "dee/runbooks", "dee:fix")
    assert "fix" not in double.branches


def test_contracts_hold_facts_and_no_prose() -> None:
    def prose(node: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
        if isinstance(node, dict):
            yield from (node[key] for key in ("description", "summary") if isinstance(node.get(key), str))
        for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from prose(each)

    assert set(prose(contracts().description)) == {""}
    folder = Path(__file__).parents[1] / "contracts"
    assert '"""' not in (folder / "github.graphql").read_text("utf-8")
    assert sum(each.stat().st_size for each in folder.iterdir() if each.is_file()) < 600_000


def test_what_was_heard_is_kept(double: Github) -> None:
    proposed(double)
    heard = double.writes[-1]
    assert (heard.line, heard.status) == ("POST /repos/octo/runbooks/pulls", 201)
    assert (heard.body["head"], heard.answer["number"]) == (BRANCH, 1)
    assert heard.authorization == f"token {double.token}"


def test_a_wrong_token_and_none_are_told_apart(double: Github) -> None:
    at = f"{double.api_url}/repos/{double.repository}"
    wrong = requests.get(at, headers={"Authorization": "Bearer wrong"}, timeout=10)
    assert (wrong.status_code, wrong.json()["message"]) == (401, "Bad credentials")
    assert requests.get(at, timeout=10).status_code == 404
    double.settings(private=False)
    assert requests.get(at, timeout=10).status_code == 200


def test_graphql_says_the_primary_limit_in_its_own_way(double: Github) -> None:
    made = proposed(double)
    double.faults = lambda _method, _path, _nth: Fault.PRIMARY_LIMIT
    with pytest.raises(GithubException) as error:
        made.enable_automerge("SQUASH")
    assert error.value.data["errors"][0]["type"] == "RATE_LIMITED"


def test_a_slip_of_the_double_itself_is_loud(double: Github, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROUTES, "GET /repos/{owner}/{repo}/labels", lambda _: 1 // 0)
    assert sent(double, "GET", f"/repos/{double.repository}/labels").status_code == 599
    assert "ZeroDivisionError" in double.violations.pop()


def test_a_clone_pushes_to_the_double(double: Github, tmp_path: Path) -> None:
    clone = double.clone(tmp_path / "clone")
    push = ["git", "-C", str(clone), "push", "-q", "origin", "HEAD:refs/runbookopt/ledger"]
    subprocess.run(push, env=double.git_environ(), check=True)
    assert "refs/runbookopt/ledger" in double.world.bare.refs()
    double.faults = lambda _method, path, _nth: Fault.ERROR_AFTER if path.endswith("receive-pack") else None
    done = subprocess.run(
        [*push[:-1], "HEAD:refs/heads/new"], env=double.git_environ(), capture_output=True, check=False
    )
    assert (done.returncode, "new" in double.branches) == (1, True)


def test_a_fault_reaches_git_as_well(double: Github) -> None:
    double.faults = lambda _method, path, _nth: Fault.BAD_GATEWAY if ".git/" in path else None
    host = double.web_url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request("GET", "/octo/runbooks.git/info/refs?service=git-upload-pack")
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["message"]) == (502, "Server Error")
    connection.close()
