import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from types import ModuleType

import pytest

from runbookopt.errors import RunbookoptError
from runbookopt.forge.github.client import Client, LimitReached, Patience
from runbookopt.forge.github.credentials import Access
from runbookopt.landing.bundle import Bundle, write_bundle
from runbookopt.landing.propose import propose
from tests.forge.bench import BRANCH, PATH, Bench
from tests.github.double import Fault, Heard

AT_ONCE = 150  # seconds for two runs side by side
LAST = 60  # more requests than any proposal needs


@pytest.fixture
def bench(tmp_path: Path, first_half: ModuleType) -> Iterator[Bench]:
    with Bench(tmp_path, first_half) as bench:
        bench.protected()
        yield bench


@pytest.fixture
def reviewed(tmp_path: Path, first_half: ModuleType) -> Iterator[Bench]:
    with Bench(tmp_path, first_half, first_half.REVIEW) as bench:
        yield bench


def failing(bench: Bench, fault: Fault, *, at: int) -> Callable[[], bool]:
    """Let one request from now fail, the `at`-th; give whether it came to that."""
    first, hit = len(bench.github.heard), []

    def hook(_method: str, _path: str, nth: int) -> Fault | None:
        if nth - first != at:
            return None
        hit.append(nth)
        return fault

    bench.github.faults = hook
    return lambda: bool(hit)


def forgotten(bench: Bench) -> None:
    """Bring GitHub and the clone back to before anything was proposed."""
    bench.github.faults = lambda *_: None
    bench.github.world.pulls.clear()
    bench.github.world.labels.clear()
    bare = bench.github.world.bare
    kept = set(bare.refs("refs/heads/")) - {f"refs/heads/{BRANCH}"}
    bare.delete(*(ref for ref in bare.refs() if ref not in kept))
    ours = "".join(f"delete {ref}\n" for ref in bench.repository.refs("refs/runbookopt/"))
    delete = ["git", "-C", bench.repository.root, "update-ref", "--stdin"]
    subprocess.run(delete, check=True, input=ours.encode())


def left_behind(bench: Bench) -> str:
    """Give all that a run left at GitHub and in the clone, but for ids of commits and events, and times.

    What the next run makes of it depends on nothing else.
    """
    form = "--format=%(refname) %(tree) %(contents)"
    places = (bench.github.origin, bench.repository.root)
    refs = [subprocess.check_output(["git", "-C", place, "for-each-ref", form]).decode() for place in places]
    by_chance = r"(?:sha256:)?\b[0-9a-f]{40,64}\b|\d{4}-\d\d-\d\dT[\d:]{8}Z|\bid=\d+"
    pulls = [re.sub(by_chance, "", repr(pull)) for pull in bench.github.pulls]
    return "\n".join([*refs, *pulls, *bench.github.world.labels])


def tried(bench: Bench, bundle: Bundle) -> str | None:
    """Propose, and give the complaint of a run that fails: in words, without our secrets."""
    told = None
    try:
        bench.propose(bundle)
    except RunbookoptError as error:
        told = str(error)
    assert bench.github.token not in (told or "")
    return told


def at_most_one(bench: Bench) -> None:
    assert len(bench.github.pulls) <= 1
    assert set(bench.github.branches) <= {"main", BRANCH}


def looked_before_sending_again(heard: list[Heard]) -> None:
    """Hold that between two equal changes something was read.

    But for pushes, each of which says what it replaces and so is its own look: libcurl by itself sends one
    again when its line was cut.
    """
    last: dict[str, int] = {}
    for place, each in enumerate(heard):
        if not each.writes or each.path.endswith("git-receive-pack"):
            continue
        same = f"{each.line} {json.dumps(each.body, sort_keys=True)}"
        between = heard[last[same] + 1 : place] if same in last else None
        assert between is None or not all(h.writes for h in between), f"not looked before: {each.line}"
        last[same] = place


def repaired(bench: Bench, bundle: Bundle) -> None:
    """Hold that the next run ends as an undisturbed one would have, and that one after it does nothing."""
    bench.github.faults = lambda *_: None
    assert tried(bench, bundle) is None
    (pull,) = bench.github.pulls
    assert (pull.state, pull.labels) == ("open", ["runbookopt"])
    assert (pull.auto_merge is not None) == (pull.reviewers == []) == (bench.half.AUTO in policy_of(bench))
    assert pull.head_sha == bench.github.branches[BRANCH]
    assert bench.looks() == ["accepted"]
    before = bench.written()
    found = bench.pull(bundle)
    assert (found.complete, found.bundle, bench.written()) == (True, bundle.digest, before)


def policy_of(bench: Bench) -> str:
    text = bench.github.world.bare.text("main", "runbooks/triage/policy.yaml")
    return (text or b"").decode()


def every_request_fails_in_turn(bench: Bench, faults: Sequence[Fault], first: int = 1, step: int = 1) -> None:
    """Each request, or each `step`-th, fails once, with the fault whose turn it is, until none is left."""
    bundle, known = bench.bundle(), set()
    for at, fault in zip(range(first, LAST, step), cycle(faults), strict=False):
        forgotten(bench)
        start, hit = len(bench.github.heard), failing(bench, fault, at=at)
        tried(bench, bundle)
        at_most_one(bench)
        if not hit():
            assert at > first, "no request failed: nothing was tried"
            return
        left = left_behind(bench)
        if left not in known:
            known.add(left)
            repaired(bench, bundle)
            at_most_one(bench)
        looked_before_sending_again(bench.github.heard[start:])
    raise AssertionError("a proposal takes more requests than were tried")


FAULTS = [
    Fault.ERROR_AFTER,
    Fault.BAD_GATEWAY,
    Fault.SECONDARY_LIMIT,
    Fault.TOO_MANY,
    Fault.CUT,
    Fault.CUT_AFTER,
]


@pytest.mark.slow
def test_a_fault_at_a_request_leaves_one_pull_request_that_the_next_run_repairs(bench: Bench) -> None:
    every_request_fails_in_turn(bench, FAULTS, step=8)


@pytest.mark.nightly
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_request_leaves_one_pull_request_that_the_next_run_repairs(
    bench: Bench, fault: Fault
) -> None:
    every_request_fails_in_turn(bench, [fault])


def before_reviewers(bench: Bench) -> int:
    """The request of an undisturbed proposal after which reviewers are asked, counted from 1."""
    start = len(bench.github.heard)
    bench.propose()
    asked = [n for n, each in enumerate(bench.github.heard[start:]) if "requested_reviewers" in each.path]
    return max(1, asked[0] - 1)


AROUND_REVIEWERS = [Fault.ERROR_AFTER, Fault.CUT]


@pytest.mark.slow
def test_a_fault_while_reviewers_are_asked_is_repaired(reviewed: Bench) -> None:
    every_request_fails_in_turn(reviewed, AROUND_REVIEWERS, first=before_reviewers(reviewed), step=5)


@pytest.mark.nightly
@pytest.mark.parametrize("fault", AROUND_REVIEWERS)
def test_any_fault_while_reviewers_are_asked_is_repaired(reviewed: Bench, fault: Fault) -> None:
    every_request_fails_in_turn(reviewed, [fault], first=before_reviewers(reviewed))


PARTS = [
    "/pulls",
    *(pytest.param(p, marks=pytest.mark.nightly) for p in ("/labels", "/requested_reviewers", "/pulls/1")),
]


def writing(bench: Bench, part: str, fault: Fault) -> None:
    """Let the first change whose path ends so fail."""
    failed = []

    def hook(method: str, path: str, _nth: int) -> Fault | None:
        if method == "GET" or not path.endswith(part) or failed:
            return None
        failed.append(path)
        return fault

    bench.github.faults = hook


@pytest.mark.parametrize("part", PARTS)
def test_a_change_that_took_effect_behind_an_error_is_not_sent_again(reviewed: Bench, part: str) -> None:
    writing(reviewed, part, Fault.ERROR_AFTER)
    reviewed.propose()
    assert len([line for line in reviewed.written() if line.endswith(part)]) == 1
    assert reviewed.github.pull(1).reviewers == ["bo", "cy"]


@pytest.mark.parametrize("part", PARTS)
def test_a_change_that_was_lost_is_sent_again_after_a_look(reviewed: Bench, part: str) -> None:
    writing(reviewed, part, Fault.CUT)
    bundle = reviewed.bundle()
    reviewed.propose(bundle)
    assert len([line for line in reviewed.written() if line.endswith(part)]) == 2
    looked_before_sending_again(reviewed.github.heard)
    repaired(reviewed, bundle)


def test_auto_merge_that_was_switched_on_behind_an_error_is_not_switched_on_again(bench: Bench) -> None:
    writing(bench, "/graphql", Fault.BAD_GATEWAY_AFTER)
    bench.propose()
    sent = [h for h in bench.github.writes if "enablePullRequestAutoMerge" in str(h.body)]
    assert (len(sent), [event.event for event in bench.github.pull(1).events]) == (1, ["auto_merge_enabled"])


def test_a_push_that_arrived_behind_an_error_is_not_sent_again(bench: Bench) -> None:
    pushed = []

    def hook(method: str, path: str, _nth: int) -> Fault | None:
        if method == "POST" and path.endswith("git-receive-pack"):
            pushed.append(path)
            return Fault.ERROR_AFTER if len(pushed) == 3 else None
        return None

    bench.github.faults = hook
    assert bench.pull().head == bench.github.branches[BRANCH]
    assert len(pushed) == 4  # the look, its answer, the branch, and in the ledger the pull request


def test_a_pull_request_that_is_not_listed_yet_is_not_opened_twice(bench: Bench) -> None:
    bench.github.settings(unlisted_for=2, unsettled_for=2)
    writing(bench, "/pulls", Fault.ERROR_AFTER)
    bundle = bench.bundle()
    bench.propose(bundle)
    at_most_one(bench)
    looked_before_sending_again(bench.github.heard)
    repaired(bench, bundle)


def test_one_that_stays_unlisted_is_a_clear_error_that_can_be_repaired(bench: Bench) -> None:
    bench.github.settings(unlisted_for=30)
    writing(bench, "/pulls", Fault.CUT_AFTER)
    bundle = bench.bundle()
    assert "does not list it yet" in (tried(bench, bundle) or "")
    bench.github.pull(1).unlisted_for = 0
    repaired(bench, bundle)


def when(bench: Bench, method: str, end: str, act: Callable[[], object]) -> None:
    """Let the world move once, just before GitHub hears a request."""
    done = []

    def hook(heard: str, path: str, _nth: int) -> None:
        if heard == method and path.endswith(end) and BRANCH in bench.github.branches and not done:
            done.append(path)
            act()

    bench.github.faults = hook


def test_a_default_branch_that_moves_in_between_does_no_harm(bench: Bench) -> None:
    when(bench, "POST", "/pulls", lambda: bench.github.commit("main", {"README.md": "More\n"}))
    bundle = bench.bundle()
    bench.propose(bundle)
    repaired(bench, bundle)


def test_a_runbook_that_changes_in_between_is_told_by_the_next_run(bench: Bench) -> None:
    bundle = bench.bundle()
    when(bench, "POST", "/pulls", lambda: bench.github.commit("main", {PATH: bench.half.RUNBOOK + "More\n"}))
    bench.propose(bundle)
    at_most_one(bench)
    told = tried(bench, bundle)
    assert told is not None
    assert PATH in told


def test_a_lease_that_is_lost_to_a_person_leaves_the_branch_alone(bench: Bench) -> None:
    bench.propose(bench.bundle(wins=14))
    edit: list[str] = []

    def edits(method: str, path: str, _nth: int) -> None:
        if method == "POST" and path.endswith("git-receive-pack") and not edit:
            edit.append(bench.github.commit(BRANCH, {PATH: "by hand\n"}, by="bo"))

    better = bench.bundle(bench.candidate("cash"), wins=22)
    bench.github.faults = edits
    left = bench.propose(better)
    assert (left.pull_request, bench.github.branches[BRANCH]) == (None, edit[0])
    at_most_one(bench)


def test_a_pull_request_that_is_closed_in_between_is_not_opened_again(reviewed: Bench) -> None:
    bundle = reviewed.bundle()
    when(reviewed, "POST", "/labels", lambda: reviewed.github.close(1, "bo"))
    tried(reviewed, bundle)
    again = reviewed.propose(bundle)
    assert any("was closed: it is not opened again" in note for note in again.notes)
    assert [pull.state for pull in reviewed.github.pulls] == ["closed"]


def test_a_pull_request_that_is_merged_before_its_update_is_left(reviewed: Bench) -> None:
    reviewed.propose(reviewed.bundle(wins=14))
    better = reviewed.bundle(reviewed.candidate("cash"), wins=22)
    when(reviewed, "GET", "/pulls/1", lambda: reviewed.github.merge(1, "bo", "squash"))
    assert tried(reviewed, better) is not None
    assert [pull.merged_at is not None for pull in reviewed.github.pulls] == [True]


def test_a_pull_request_that_is_pushed_to_before_its_commits_are_here_is_asked_for_anew(
    reviewed: Bench,
) -> None:
    forge = reviewed.forge_of(reviewed.cloned("other"))  # which has none of the branch's commits
    reviewed.propose(reviewed.bundle(wins=14))
    first, bare = reviewed.github.pull(1).head_sha, reviewed.github.world.bare
    main = bare.sha("main") or ""

    def replaced() -> None:  # as who pushes with force: nothing holds the old head any more
        bare.move(f"refs/heads/{BRANCH}", main)
        reviewed.github.commit(BRANCH, {PATH: "Another\n"})

    when(reviewed, "GET", "/info/refs", replaced)
    found = forge.get(1).head
    assert found == reviewed.github.pull(1).head_sha != first


def test_two_proposals_at_once_end_with_one_pull_request(bench: Bench) -> None:
    bundles = [bench.bundle(), bench.bundle(bench.candidate("cash"), wins=22)]
    program = Path(sys.executable).with_name("runbookopt")

    def run(number: int) -> "subprocess.CompletedProcess[str]":
        repository = bench.cloned(f"other-{number}")
        repository.close()
        path = write_bundle(bundles[number % 2], repository.root)
        return subprocess.run(
            [program, "propose", str(path)],
            cwd=repository.root,
            env={**os.environ, **bench.environ()},
            capture_output=True,
            encoding="utf-8",
            timeout=AT_ONCE,
            check=False,
        )

    with ThreadPoolExecutor(3) as pool:
        ran = list(pool.map(run, range(3)))
    assert [each.returncode for each in ran] == [0, 0, 0], [each.stderr for each in ran]
    assert [pull.state for pull in bench.github.pulls] == ["open"]
    assert bench.github.pull(1).head_sha == bench.github.branches[BRANCH]
    at_most_one(bench)
    assert bench.looks() == ["accepted", "accepted"]


def test_auto_merge_that_another_run_has_switched_off_in_between_is_off_all_the_same(bench: Bench) -> None:
    bench.propose(bench.bundle())
    assert bench.github.pull(1).auto_merge is not None
    heard: list[str] = []

    def hook(_: str, path: str, _nth: int) -> None:
        if path.endswith("/graphql"):
            heard.append(path)
            bench.github.pull(1).auto_merge = None

    bench.github.faults = hook
    bench.forge.hold(1)
    assert (len(heard), bench.github.pull(1).auto_merge) == (1, None)


# ---- limits


def test_a_limit_that_takes_too_long_says_when_to_come_back(bench: Bench) -> None:
    bundle = bench.bundle()
    when(bench, "POST", "/pulls", lambda: bench.github.settings(requests_left=0))
    with pytest.raises(LimitReached, match=r"no more requests until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"):
        bench.propose(bundle)
    bench.github.settings(requests_left=5000)
    repaired(bench, bundle)


@pytest.mark.parametrize("fault", [Fault.SECONDARY_LIMIT, Fault.TOO_MANY])
def test_a_short_limit_is_waited_for_as_long_as_github_says(bench: Bench, fault: Fault) -> None:
    slept: list[float] = []
    patience = Patience(for_limits=100, pauses=(0.0, 0.0), between=(0, 0), sleep=slept.append)
    client = Client(Access(bench.github.api_url, bench.github.token), "octo/runbooks", patience)
    bench.github.settings(retry_after=40)
    failing(bench, fault, at=1)
    client.ask("~")
    assert slept == [40.0]
    failing(bench, fault, at=1)
    client.ask_all("~/pulls")
    failing(bench, fault, at=1)
    with pytest.raises(LimitReached):
        client.ask("~")


def test_the_limit_of_graphql_comes_with_status_200_and_is_known_all_the_same(bench: Bench) -> None:
    def limited(_method: str, path: str, _nth: int) -> Fault | None:
        return Fault.PRIMARY_LIMIT if path == "/api/graphql" else None

    bench.github.faults = limited
    bundle = bench.bundle()
    assert re.search("no more requests until", tried(bench, bundle) or "")
    repaired(bench, bundle)


def test_questions_are_asked_again_and_changes_are_not(bench: Bench) -> None:
    patience = Patience(pauses=(0.0, 0.0), between=(0, 0))
    client = Client(Access(bench.github.api_url, bench.github.token), "octo/runbooks", patience)
    bench.github.faults = lambda _method, _path, nth: Fault.BAD_GATEWAY if nth % 2 else None
    start = len(bench.github.heard)
    bench.github.heard.extend([] if start % 2 == 0 else bench.github.heard[:1])
    client.ask("~")
    assert [heard.status for heard in bench.github.heard][-2:] == [502, 200]
    bench.github.faults = lambda *_: Fault.ERROR
    start = len(bench.github.heard)
    with pytest.raises(RunbookoptError, match="GitHub fails: Server Error"):
        client.change("try", lambda: client.send("POST", "~/labels", {"name": "x"}), lambda: None)
    assert len(bench.github.heard) - start == 3


def test_without_a_connection_it_is_one_clear_error(bench: Bench) -> None:
    bundle = bench.bundle()
    forge = bench.forge
    bench.github.server.close()
    with pytest.raises(RunbookoptError) as caught:
        propose(bench.repository, forge, bundle)
    assert bench.github.token not in f"{caught.value!r} {caught.value.__context__!r}"
