"""The status check at GitHub: approvals as GitHub tells them, and the check run that says what was found."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from msgspec.structs import replace

from runbookopt.landing.verify import Verified, check_run, verify_pull_request
from tests.forge.bench import BRANCH, PATH, Bench
from tests.github.double import Fault

RUBRIC = "runbooks/triage/rubric.yaml"


@pytest.fixture
def bench(tmp_path: Path, first_half: ModuleType) -> Iterator[Bench]:
    with Bench(tmp_path, first_half, first_half.REVIEW) as bench:
        yield bench


def verified(bench: Bench, number: int = 1) -> Verified:
    return verify_pull_request(bench.repository, bench.forge, number)


def against(found: Verified) -> list[str]:
    return [reason.text for reason in found.reasons if not reason.holds]


def opened(bench: Bench, files: dict[str, str | bytes | None], by: str = "dee") -> int:
    """Let somebody open a pull request."""
    if by not in bench.github.world.people:
        bench.github.add_user(by)
    bench.github.commit("mine", files, by=by)
    return bench.github.open("mine", by)


def test_what_goes_to_review_waits_for_the_approvals_of_the_policy(bench: Bench) -> None:
    bench.pull()
    before = verified(bench)
    bench.github.approve(1, "bo")
    after = verified(bench)
    bench.github.commit(BRANCH, {PATH: "Another text\n"}, by="dee")
    pushed = verified(bench)
    assert (before.merge, before.written_by, before.runbooks) == ("review", "runbookopt", ("triage",))
    assert (before.passes, after.passes, after.pull_request, pushed.passes) == (False, True, 1, False)
    assert "0 of 1 approval(s) of bo, cy" in against(before)
    assert not [heard for heard in bench.github.writes if "check-runs" in heard.line]


def test_who_asks_for_changes_stops_what_would_merge_by_itself(
    tmp_path: Path, first_half: ModuleType
) -> None:
    with Bench(tmp_path, first_half) as bench:
        bench.protected()
        bench.pull()
        before = verified(bench)
        bench.github.request_changes(1, "bo")
        after = verified(bench)
    assert (before.passes, before.merge, after.passes) == (True, "auto", False)
    assert any(told.startswith("bo asked for changes") for told in against(after))


def test_an_approval_of_who_had_a_hand_in_it_or_is_not_named_does_not_count(bench: Bench) -> None:
    number = opened(bench, {PATH: bench.candidate("atm")}, by="bo")
    bench.github.add_user("eve")
    bench.github.approve(number, "eve")
    one = verified(bench, number)
    bench.github.approve(number, "cy")
    two = verified(bench, number)
    assert (one.passes, two.passes) == (False, True)
    assert any("approval of eve does not count: the policy does not list" in told for told in against(one))


def test_a_runbook_and_its_rubric_together_pass_with_two(bench: Bench) -> None:
    rubric = bench.half.RUBRIC + "    weight: 2\n"
    number = opened(bench, {PATH: bench.candidate("atm"), RUBRIC: rubric})
    bench.github.approve(number, "bo")
    one = verified(bench, number)
    bench.github.approve(number, "cy")
    two = verified(bench, number)
    assert (one.passes, two.passes) == (False, True)
    assert "triage: 1 of 2 approval(s) of bo, cy" in against(one)
    assert any(told.startswith("triage: a runbook and what judges it") for told in against(one))


def test_the_check_run_is_written_once_and_brought_up_to_date(bench: Bench) -> None:
    bench.pull()
    bench.forge.report(check_run(verified(bench)))
    bench.forge.report(check_run(verified(bench)))
    writes = [heard.line for heard in bench.github.writes if "check-runs" in heard.line]
    (check,) = bench.github.world.checks
    assert (check.conclusion, check.app) == ("failure", "runbookopt")
    bench.github.approve(1, "bo")
    bench.forge.report(check_run(verified(bench)))
    assert [each.conclusion for each in bench.github.world.checks] == ["success"]
    assert writes == ["POST /repos/octo/runbooks/check-runs"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault.CUT_AFTER,
        *(
            pytest.param(f, marks=pytest.mark.nightly)
            for f in (Fault.ERROR_AFTER, Fault.CUT, Fault.SECONDARY_LIMIT)
        ),
    ],
)
def test_a_check_run_whose_fate_is_unclear_is_looked_for_before_it_is_sent_again(
    bench: Bench, fault: Fault
) -> None:
    bench.pull()
    found, failed = check_run(verified(bench)), list[str]()

    def once(method: str, path: str, _nth: int) -> Fault | None:
        if method == "POST" and path.endswith("/check-runs") and not failed:
            failed.append(path)
            return fault
        return None

    bench.github.faults = once
    bench.forge.report(found)
    assert failed
    assert len(bench.github.world.checks) == 1


def test_no_more_is_written_than_github_takes(bench: Bench) -> None:
    bench.pull()
    found = verified(bench)
    long = replace(found, reasons=found.reasons * 200)
    bench.forge.report(check_run(long))
    (check,) = bench.github.world.checks
    assert check.summary is not None
    assert check.summary.endswith("Cut here: run `runbookopt verify` for the rest.\n")
