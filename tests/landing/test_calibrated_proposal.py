"""What people's labels make of a judge is what decides, derived anew wherever something is decided."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from runbookopt.calibration.record import read_record, record_text
from runbookopt.documents.finding import Finding
from runbookopt.errors import Refused, RunbookoptError
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.jobs.verifiers.audit import prepared
from runbookopt.landing.bundle import Bundle
from runbookopt.landing.explain import explain_runbook
from runbookopt.landing.merge import judge
from runbookopt.landing.propose import Proposed, propose
from runbookopt.landing.rederive import Stale
from runbookopt.landing.verify import verify_commits
from tests import labelled

if TYPE_CHECKING:
    from tests.conftest import Clone

RUBRIC = """judge: {model: openai/gpt-5-mini}
criteria:
  - {id: right-queue, check: {kind: equals, path: $.queue, reference: $.queue}}
  - {id: kind, judge: Is it kind}
"""
JUDGE_ALONE = "judge: {model: openai/gpt-5-mini}\ncriteria:\n  - {id: kind, judge: Is it kind}\n"
PATH, LABELS = "runbooks/triage/rubric.yaml", "trajectories/triage/people.labels.jsonl"
NOW = datetime(2026, 12, 1, tzinfo=UTC)
KIND, UNKIND = {"kind": Finding("pass")}, {"kind": Finding("fail", "It is not.")}
GATES, ADVISES = {"kind": 0}, {"kind": 4}

Made = Callable[..., "Clone"]


@pytest.fixture
def made(repo: Callable[..., "Clone"], first_half: ModuleType) -> Made:
    """Give a maker of repositories whose judge was held against labels."""

    def make(wrong: dict[str, int] = GATES, rubric: str = RUBRIC, policy: str | None = None) -> "Clone":
        files = first_half.files(policy or first_half.AUTO, **labelled.files(rubric, wrong))
        clone: Clone = repo(files)
        return clone

    return make


def bundle_in(clone: "Clone", first_half: ModuleType, judged: dict[str, Finding]) -> Bundle:
    with Repository.open(clone.root) as repository:
        bundle: Bundle = first_half.FirstHalf(repository, judged=judged)()
    return bundle


def landed(clone: "Clone", bundle: Bundle, now: datetime | None = None) -> Proposed:
    with Repository.open(clone.root) as repository:
        return propose(repository, LocalForge(repository), bundle, now=now)


def calibration_of(proposed: Proposed) -> tuple[bool | None, str]:
    (reason,) = (each for each in proposed.decision.reasons if each.condition == "calibrated")
    return reason.holds, reason.text


def test_a_judge_that_agrees_with_people_may_decide_and_its_change_merges_by_itself(
    made: Made, first_half: ModuleType
) -> None:
    clone = made()
    proposed = landed(clone, bundle_in(clone, first_half, KIND))
    assert proposed.decision.merge == "auto", [each.told for each in proposed.decision.reasons]
    assert calibration_of(proposed)[0] is True
    body = proposed.pull_request.body if proposed.pull_request else ""
    assert body.splitlines()[0].endswith("criteria: right-queue exempt, kind gates.")
    assert "- `kind` is gates, and decides: MCC 1.00 on 20 passes and 20 fails of people's." in body
    kept = (clone.root / LABELS).read_text().splitlines(keepends=True)[:-1]
    clone.commit({LABELS: "".join(kept)})  # somebody takes a label back before it is merged
    with Repository.open(clone.root) as repository:
        number = proposed.pull_request.number if proposed.pull_request else 0
        decision = judge(repository, LocalForge(repository), number, NOW).decision
    assert decision.merge == "review"
    told = "on the default branch by now: other criteria decide: kind"
    assert [each.condition for each in decision.reasons if each.text == told] == ["held_out"]


def test_one_that_agrees_too_little_weighs_nothing_in_score_or_proof(
    made: Made, first_half: ModuleType
) -> None:
    clone = made(ADVISES)
    proposed = landed(clone, bundle_in(clone, first_half, UNKIND))  # it fails everything, and in vain
    assert proposed.comparison is not None
    assert (proposed.outcome, proposed.comparison.before) == ("accepted", 0.5)
    assert {*proposed.comparison.objectives} == {"right-queue"}
    body = proposed.pull_request.body if proposed.pull_request else ""
    assert (
        "- `kind` is advisory, and decides nothing: MCC 0.50 on 20 passes and 20 fails of people's." in body
    )
    assert "Of held-out outputs, 0 of 50 passed it before, 0 of 50 after." in body


def test_one_word_makes_it_stale_wherever_anything_is_decided(made: Made, first_half: ModuleType) -> None:
    clone = made()
    earlier = bundle_in(clone, first_half, KIND)
    clone.commit({PATH: RUBRIC.replace("Is it kind", "Is it friendly")})
    stale = "not calibrated: kind is stale (its words, its judge's settings or prompt changed"
    with Repository.open(clone.root) as repository:
        explained = explain_runbook(repository, LocalForge(repository), "triage", NOW)
    assert [each.holds for each in explained.reasons if each.text.startswith(stale)] == [False]
    with pytest.raises(Stale, match=r"rubric\.yaml: changed on origin's default branch since the run"):
        landed(clone, earlier)
    later = landed(clone, bundle_in(clone, first_half, UNKIND))
    assert (later.outcome, later.decision.merge) == ("accepted", "review")
    holds, text = calibration_of(later)
    assert holds is False
    assert text.startswith(stale)


def test_a_change_by_hand_says_which_criteria_it_takes_from_those_that_decide(made: Made) -> None:
    clone = made()
    with Repository.open(clone.root) as repository:
        base = repository.base()
        edits = {PATH: RUBRIC.replace("Is it kind", "Is it friendly").encode()}
        head = repository.write_commit(repository.write_tree(edits, onto=base), [base], "Edit a word")
        found = verify_commits(repository, base, head)
    told = [each for each in found.reasons if each.condition == "calibrated"]
    assert [(each.holds, each.text.partition(" (")[0]) for each in told] == [
        (False, "triage: by this, kind is stale")
    ]


def test_labels_that_are_too_old_calibrate_nothing(made: Made, first_half: ModuleType) -> None:
    clone = made(policy=f"{first_half.AUTO}recalibrate_after: 2w\n")
    proposed = landed(clone, bundle_in(clone, first_half, KIND), NOW)
    assert proposed.decision.merge == "review"
    assert calibration_of(proposed)[1].startswith(
        "not calibrated: kind is stale (its newest label is 29 days old, where 14 are allowed: label anew"
    )
    with Repository.open(clone.root) as repository:
        pull = proposed.pull_request
        assert pull is not None
        decision = judge(repository, LocalForge(repository), pull.number, NOW).decision
    assert any("kind is stale" in each.text for each in decision.reasons)


def test_where_nothing_is_left_that_decides_nothing_is_proved(made: Made, first_half: ModuleType) -> None:
    clone = made(ADVISES, rubric=JUDGE_ALONE)
    with pytest.raises(Refused, match="no criterion of triage may decide") as refused:
        landed(clone, bundle_in(clone, first_half, KIND))
    assert "kind is advisory (MCC 0.50 on 20 passes and 20 fails of people's)" in str(refused.value)
    assert "runbookopt label triage" in str(refused.value)


def test_a_judge_that_decides_nothing_is_no_reason_for_an_audit(made: Made, first_half: ModuleType) -> None:
    clone = made(ADVISES, policy=f"{first_half.AUTO}audit_pairs: 30\n")
    with Repository.open(clone.root) as repository:
        explained = explain_runbook(repository, LocalForge(repository), "triage", NOW)
    assert [each for each in explained.reasons if each.condition == "audit_pairs"] == []
    proposed = landed(clone, bundle_in(clone, first_half, UNKIND))
    told = [each.told for each in proposed.decision.reasons if each.condition == "audit_pairs"]
    assert told == ["yes: no judge decides, so there is no verdict to audit"]
    body = proposed.pull_request.body if proposed.pull_request else ""
    assert "A judge decides" not in body
    assert "by judging the stored outputs again." in body
    with Repository.open(clone.root) as repository, pytest.raises(RunbookoptError, match="no judge decides"):
        prepared(repository, LocalForge(repository), "triage", None, "seed")


def test_a_change_by_hand_may_not_take_looks_from_the_record(made: Made) -> None:
    clone = made(policy="merge: auto\n")  # nobody is named who would have to agree
    record = "runbooks/triage/calibration.json"
    kept = (clone.root / record).read_bytes()
    other = read_record(kept, record)
    anew = replace(other.criteria["kind"].looks[0], at="2026-11-02")
    forged = replace(other, criteria={"kind": replace(other.criteria["kind"], looks=(anew,))})
    more = (other.criteria["kind"].looks[0], anew)
    longer = replace(other, criteria={"kind": replace(other.criteria["kind"], looks=more)})

    def verified(edits: dict[str, bytes | None]) -> list[tuple[bool | None, str]]:
        base = repository.base()
        head = repository.write_commit(repository.write_tree(edits, onto=base), [base], "Edit the record")
        found = verify_commits(repository, base, head)
        reasons = [each for each in found.reasons if "held before are not in it" in each.text]
        assert found.passes is not bool(reasons)
        return [(each.holds, each.text) for each in reasons]

    told = (
        "triage: kind: 1 look at labels that it held before are not in it: take"
        " runbooks/triage/calibration.json from the default branch, and calibrate again"
    )
    with Repository.open(clone.root) as repository:
        assert verified({record: record_text(forged)}) == [(False, told)]
        assert verified({record: None}) == [(False, told)]
        assert verified({record: record_text(longer)}) == []
