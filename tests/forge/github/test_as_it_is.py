"""GitHub as it is: what recorded answers and public reports tell, and no contract."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from runbookopt.forge.github.answers import Unclear
from runbookopt.forge.github.client import Client, LimitReached, Patience
from runbookopt.forge.github.credentials import Access
from runbookopt.forge.github.forge import GithubForge
from runbookopt.forge.github.rules import combined
from tests.forge.bench import BRANCH, CHECK, QUICK, Bench
from tests.github.double import Fault

Make = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path, first_half: ModuleType) -> Iterator[Bench]:
    with Bench(tmp_path, first_half) as bench:
        bench.protected()
        yield bench


# Just after opening -----------------------------------------------------------------------------------------


def test_a_pull_request_whose_checks_have_not_begun_is_asked_again(bench: Bench) -> None:
    bench.github.settings(unstarted_for=3)
    pull = bench.pull()
    assert (pull.auto_merge, pull.complete, pull.notes) == (True, True, ())


def test_what_stays_clean_is_asked_again_by_the_next_run(bench: Bench) -> None:
    bench.github.settings(unstarted_for=100)
    bundle = bench.bundle()
    pull = bench.pull(bundle)
    assert (pull.auto_merge, pull.complete, pull.reviewers) == (False, False, ("bo", "cy"))
    assert pull.notes[0] == (
        "this does not merge by itself and waits for review: clean status: nothing holds it back, and"
        " auto-merge only waits for something; the next run asks again"
    )
    bench.github.settings(unstarted_for=0)
    later = bench.pull(bundle)
    assert (later.number, later.auto_merge, later.complete, later.notes) == (pull.number, True, True, ())


def test_nothing_is_written_twice_while_it_stays_clean(bench: Bench) -> None:
    bench.github.settings(unstarted_for=100)
    bundle = bench.bundle()
    bench.pull(bundle)
    before = len(bench.written())
    bench.pull(bundle)
    assert {line for line in bench.written()[before:] if "PATCH" in line} == set()


# Limits of GraphQL ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.GRAPHQL_TYPE, Fault.GRAPHQL_LIMIT, Fault.GRAPHQL_WORDS])
def test_a_limit_of_graphql_is_waited_for_and_refuses_nothing(bench: Bench, fault: Fault) -> None:
    met: list[int] = []

    def once(_method: str, path: str, nth: int) -> Fault | None:
        if path != "/api/graphql" or len(met) >= 2:
            return None
        met.append(nth)
        return fault

    bench.github.faults = once
    patience = Patience(for_limits=1000, pauses=(0.0,) * 4, between=(0, 0), sleep=lambda _: None)
    client = Client(Access(bench.github.api_url, token=bench.github.token), "octo/runbooks", patience)
    assert client.viewer() == "runbookopt[bot]"
    assert len(met) == 2
    met.clear()
    impatient = Client(Access(bench.github.api_url, token=bench.github.token), "octo/runbooks", QUICK)
    with pytest.raises(LimitReached, match="run this again then"):
        impatient.viewer()


# Other JSON -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/repos/octo/runbooks/pulls", "/repos/octo/runbooks", "/api/graphql"])
def test_json_that_was_not_asked_for_is_no_bug_of_ours(bench: Bench, path: str) -> None:
    bench.github.faults = lambda _method, asked, _nth: Fault.OTHER_JSON if asked == path else None
    with pytest.raises(Unclear, match=r"GitHub gives (an answer that is not what was asked for|no list)"):
        bench.propose()


# Pages ------------------------------------------------------------------------------------------------------


def test_a_short_page_is_not_the_last_one(bench: Bench) -> None:
    for number in range(5):
        bench.github.commit(f"runbookopt/other-{number}", {f"{number}.md": "x\n"}, "More")
        bench.github.open(f"runbookopt/other-{number}", "bo", "Other")
    bench.github.settings(longest_page=2)
    assert len(bench.forge.pull_requests()) == 5


# Renamed ----------------------------------------------------------------------------------------------------


def test_a_renamed_repository_is_followed_and_changes_go_to_its_new_name(bench: Bench) -> None:
    bench.github.settings(former_names=("acme/ops",))
    access = Access(bench.github.api_url, token=bench.github.token)
    bundle = bench.bundle()
    before = len(bench.github.heard)

    def renamed() -> GithubForge:
        return GithubForge(bench.repository, Client(access, "acme/ops", QUICK))

    assert renamed().pull_requests(BRANCH) == ()
    assert bench.pull(bundle).number == 1
    assert [
        pull.number
        for pull in GithubForge(bench.repository, Client(access, "acme/ops", QUICK)).pull_requests()
    ] == [1]
    assert all("acme" not in each.line for each in bench.github.heard[before:] if each.writes)


# Protections ------------------------------------------------------------------------------------------------


def test_the_free_plan_has_no_protections_and_that_is_known(bench: Bench) -> None:
    bench.github.unprotect()
    bench.github.settings(free_plan=True)
    found = bench.forge.protection("main")
    assert (found.unread, found.sources, found.required()) == ((), (), False)
    note = bench.pull().notes[0]
    assert note.endswith("main requires no status check, so nothing would hold a merge back")


def test_what_else_holds_a_merge_back_is_named(bench: Bench) -> None:
    bench.protected(strict=True, threads=True, locked=True, signed=True, pushers=("bo",))
    bench.github.ruleset(others=("required_signatures",), reviewed_by=("desk",), approvals=0)
    assert bench.forge.protection("main").others == (
        "the branch is locked: nothing is merged into it",
        "only these may push, and so merge: bo",
        "all conversations must be resolved",
        "commits must be signed, and those of runbookopt are not",
        "the branch must be up to date: what falls behind waits until somebody updates it",
        "certain teams must review certain files (required reviewers)",
    )


def test_rules_of_kinds_that_nobody_knows_yet_are_named() -> None:
    workflows = {"workflows": [{"path": ".github/workflows/scan.yml", "repository_id": 7}]}
    rules = [
        {"type": "workflows", "ruleset_id": 1, "parameters": workflows},
        {"type": "moon_phase", "ruleset_id": 1, "parameters": {"phase": "new"}},
        {"type": "deletion", "ruleset_id": 1},
    ]
    assert combined("main", classic=None, rules=rules).others == (
        "workflows must succeed: .github/workflows/scan.yml",
        "a rule of a kind that is not known yet: moon_phase",
    )


def test_what_else_holds_it_back_stands_in_the_pull_request(bench: Bench) -> None:
    bench.protected(threads=True)
    pull = bench.pull()
    assert pull.auto_merge
    assert pull.notes == (
        "GitHub merges this by itself, and waits besides: all conversations must be resolved",
    )


def test_what_an_installation_may_is_not_read_from_a_persons_role(bench: Bench) -> None:
    for token in (bench.github.token, bench.github.actions_token()):
        found = bench.forge_of(bench.repository, environ={"GITHUB_TOKEN": token}).switches()
        assert (found.may_push, found.may_administrate) == (None, None)
    bo = bench.forge_of(bench.repository, environ={"GITHUB_TOKEN": bench.github.token_of("bo")}).switches()
    assert (bo.may_push, bo.may_administrate) == (True, False)


def test_a_check_of_the_shared_app_is_told_from_one_of_ones_own(bench: Bench) -> None:
    bench.protected(checks=[(CHECK, 15368)])
    assert bench.forge.protection("main").shared_source
    bench.protected(checks=[(CHECK, bench.github.app_id)])
    assert not bench.forge.protection("main").shared_source
