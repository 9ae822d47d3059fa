"""Whose an audit is at GitHub: the word of a review that a reviewer wrote, and that nobody edited."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from runbookopt.documents.finding import Finding
from runbookopt.forge.protocol import PullRequest
from runbookopt.jobs.verifiers.audit import Signed, begun, prepared, recorded
from runbookopt.landing.merge import judge
from runbookopt.landing.verify import verify_pull_request
from tests.forge.bench import Bench

RUBRIC = """judge: {model: openai/gpt-5-mini, allow_self_judge: true}
criteria:
  - {id: right-queue, check: {kind: equals, path: $.queue, reference: $.queue}}
  - {id: kind, judge: Is it kind}
"""


@pytest.fixture
def bench(tmp_path: Path, first_half: ModuleType) -> Iterator[Bench]:
    policy = f"merge: auto\nreviewers: [bo, cy]\naudit_pairs: 30\n{first_half.TRUST}"
    policy += "auto_merge_if: {calibrated: false}\n"
    with Bench(tmp_path, first_half, policy, **{"runbooks/triage/rubric.yaml": RUBRIC}) as made:
        made.bundle = first_half.FirstHalf(made.repository, judged={"kind": Finding("pass")})
        made.protected()
        yield made


def line_of(bench: Bench) -> str:
    """Audit as somebody who always knows, and give the line that GitHub is to be told."""
    ready = prepared(bench.repository, bench.forge, "triage", None, "seed")
    begun(bench.repository, ready, "2026-12-01T10:00:00Z")
    won = {pair.task: "left" if '"card"' in (pair.left or "") else "right" for pair in ready.sheet.pairs}
    ended = recorded(bench.repository, bench.forge, ready, won, Signed("whoever", "now"))  # type: ignore[arg-type]
    assert (ended.confirms, ended.counts) == (True, False)
    assert ended.next is not None
    assert "write a review of pull request 1" in ended.next
    return ended.next.rpartition("never edit it: ")[2]


def holds(bench: Bench) -> bool | None:
    reasons = judge(bench.repository, bench.forge, 1).decision.reasons
    return next(reason.holds for reason in reasons if reason.condition == "audit_pairs")


def merges_by_itself(bench: Bench) -> bool:
    found = bench.propose(bench.bundle()).pull_request
    return isinstance(found, PullRequest) and found.auto_merge


def test_auto_merge_is_switched_on_by_the_proposal_after_a_reviewers_word(bench: Bench) -> None:
    assert not merges_by_itself(bench)
    assert bench.github.pull(1).reviewers == ["bo", "cy"]
    assert not verify_pull_request(bench.repository, bench.forge, 1).passes
    line = line_of(bench)
    assert not merges_by_itself(bench)
    bench.github.review(1, "bo", f"I compared them.\n\n{line}\n")
    (word,) = bench.forge.get(1).attestations
    assert (word.by, word.head) == ("bo", bench.github.pull(1).head_sha)
    assert holds(bench) is True
    assert verify_pull_request(bench.repository, bench.forge, 1).passes
    assert merges_by_itself(bench)


def test_neither_a_stranger_nor_who_edits_another_ones_review_speaks_for_a_reviewer(bench: Bench) -> None:
    bench.propose(bench.bundle())
    line = line_of(bench)
    bench.github.approve(1, "bo", "Fine.")
    bench.github.edit_review(1, 0, f"Fine.\n{line}")
    bench.github.review(1, "bo", f"{line}\nRunbookopt-Audit: sha256:{'0' * 64}")
    bench.github.request_changes(1, "cy", line)
    assert bench.forge.get(1).attestations == ()
    bench.github.add_user("dee")
    for login in ("dee", bench.github.pull(1).author):
        bench.github.review(1, login, line)
    assert [word.by for word in bench.forge.get(1).attestations] == ["dee", "runbookopt[bot]"]
    assert holds(bench) is False
