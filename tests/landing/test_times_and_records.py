"""The time of a look is held against a clock, and records stand in the ledger beside the looks."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from msgspec.structs import replace

from runbookopt.documents.digest import digest
from runbookopt.errors import Refused
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.landing.propose import Proposed, propose
from runbookopt.proof.ledger import Ledger, LedgerBroken
from runbookopt.proof.records import LastPull, keep_shown, last_pull, last_pulls, note_pulls, shown_since

if TYPE_CHECKING:
    from tests.conftest import Clone

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


class Bench(NamedTuple):
    clone: "Clone"
    repository: Repository
    first_half: Any

    def proposed(self, at: str) -> Proposed:
        bundle = self.first_half(at=at)
        return propose(self.repository, LocalForge(self.repository), bundle, now=NOW)


@pytest.fixture
def bench(repo: Callable[..., "Clone"], first_half: ModuleType) -> Iterator[Bench]:
    clone = repo(first_half.files())
    with Repository.open(clone.root) as repository:
        yield Bench(clone, repository, first_half.FirstHalf(repository))


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-12-02T12:00:00+00:00", "which is yet to come; set the clock"),
        ("2026-10-01T12:00:00+00:00", "more than 30 days before it came to the ledger; set the clock"),
    ],
)
def test_a_look_that_tells_another_time_than_it_can_have_is_refused_and_not_written_down(
    bench: Bench, at: str, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        bench.proposed(at)
    assert bench.clone.at_origin("for-each-ref", "refs/runbookopt", "refs/heads/runbookopt") == ""


@pytest.mark.parametrize("at", ["2026-12-01T11:00:00+00:00", "2026-11-02T12:00:00+00:00", "", "soon"])
def test_a_look_of_about_now_or_of_no_time_is_taken(bench: Bench, at: str) -> None:
    assert bench.proposed(at).outcome == "accepted"


def test_the_last_pull_request_is_written_down_and_followed(bench: Bench) -> None:
    pull = bench.proposed("").pull_request
    assert pull is not None
    ledger = Ledger.open(bench.repository, push=True)
    assert (
        last_pull(ledger, "triage") is None
    )  # the local forge keeps its pull requests in git, for all to see
    note_pulls(ledger, "triage", [pull])
    head = bench.clone.at_origin("rev-parse", "refs/runbookopt/ledger")
    note_pulls(ledger, "triage", [pull])
    assert bench.clone.at_origin("rev-parse", "refs/runbookopt/ledger") == head  # nothing is new
    assert last_pull(ledger, "triage") == LastPull.of("triage", pull)
    note_pulls(ledger, "triage", [replace(pull, bundle=digest(b"later"))])
    note_pulls(ledger, "triage", [replace(pull, bundle=digest(b"later still"))])
    updated = last_pull(ledger, "triage")
    assert updated is not None
    assert (updated.first, updated.bundle) == (pull.bundle, digest(b"later still"))
    note_pulls(ledger, "triage", [replace(pull, state="merged")])
    note_pulls(ledger, "other", [replace(pull, state="closed")])  # of which nobody knew
    seen = Ledger.open(bench.repository, push=False, fetch=True)
    assert [(each.runbook, each.state) for each in last_pulls(seen)] == [("triage", "merged")]
    assert bench.clone.at_origin("merge-base", "--is-ancestor", head, "refs/runbookopt/ledger") == ""


def test_shown_figures_count_until_an_accepted_change_is_merged(bench: Bench) -> None:
    bench.proposed("")
    ledger = Ledger.open(bench.repository, push=True)
    (look,) = ledger.looks("triage")
    keep_shown(ledger, look)
    keep_shown(ledger, look)
    one, two = replace(look, key="other", answer="rejected"), replace(look, answer="rejected")
    said = "since the last accepted change, somebody was shown held-out figures of a look that was"
    said += " not accepted"
    assert shown_since(ledger, [one, two], seed=look.seed) == (said,)
    assert shown_since(ledger, [one], seed=look.seed) == ()
    assert shown_since(ledger, [two, replace(look, key="merged")], seed="another since") == ()
    assert shown_since(ledger, [two, replace(look, key="waits")], seed=look.seed) == (said,)


def test_a_record_that_cannot_be_read_is_named(bench: Bench) -> None:
    ledger = Ledger.open(bench.repository, push=True)
    ledger.record("pulls/nonsense.json", b"{}", "Nonsense")
    with pytest.raises(LedgerBroken, match=r"pulls/nonsense\.json of the ledger cannot be read"):
        last_pulls(ledger)
