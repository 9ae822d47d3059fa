"""Who may say that a change was audited: a repository with a judge, a proposal, and people with clones."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from runbookopt.documents.finding import Finding
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.jobs.verifiers.audit import (
    Ended,
    Given,
    Ready,
    Shown,
    Signed,
    begun,
    kept_answers,
    prepared,
    recorded,
    sitting,
)
from runbookopt.landing.merge import judge, merge, merge_automatic
from runbookopt.landing.propose import propose
from runbookopt.project.policy import Reason
from runbookopt.project.project import read_project
from runbookopt.proof.audits import Answer, Audit, keep_audit, kept_audit
from runbookopt.proof.ledger import Ledger
from tests import first_half as half
from tests.conftest import Clone, copied, new_clone

RUBRIC = """judge: {model: openai/gpt-5-mini, allow_self_judge: true}
criteria:
  - {id: right-queue, check: {kind: equals, path: $.queue, reference: $.queue}}
  - {id: kind, judge: Is it kind}
"""
POLICY = (
    f"merge: auto\nreviewers: [bo, cy, ana]\naudit_pairs: 30\n"
    f"auto_merge_if: {{calibrated: false}}\n{half.TRUST}"
)
PEOPLE = ("ana", "bo", "cy", "dee")


class Person:
    """Somebody at a clone of their own."""

    def __init__(self, clone: Clone, repository: Repository) -> None:
        self.clone, self.repository, self.forge = clone, repository, LocalForge(repository)

    def ready(self) -> Ready:
        return prepared(self.repository, self.forge, "triage", None, "a seed")

    def audits(self, answer: Callable[[Shown], Answer], judge: str | None = None) -> Ended:
        ready = self.ready()
        begun(self.repository, ready, "2026-12-01T10:00:00Z")
        answers = {pair.task: answer(pair) for pair in ready.sheet.pairs}
        signed = Signed("whoever", "2026-12-01T10:20:00Z", judge)
        return recorded(self.repository, self.forge, ready, answers, signed)

    def writes(self, **changes: object) -> Audit:
        """Write an audit by hand, as anybody can who may push."""
        sheet = self.ready().sheet
        honest = Audit("triage", sheet.look, sheet.bundle, sheet.head, sheet.seed, {}, "bo", "now")
        answers = {pair.task: right(pair) for pair in sheet.pairs}
        audit = replace(honest, **{"answers": answers, **changes})
        keep_audit(Ledger.open(self.repository, push=True), audit)
        return audit

    @property
    def reason(self) -> Reason:
        reasons = judge(self.repository, self.forge, 1).decision.reasons
        return next(reason for reason in reasons if reason.condition == "audit_pairs")

    def merges(self) -> str | None:
        (attempted,) = merge_automatic(self.repository, self.forge)
        return attempted.merged


def right(pair: Shown) -> Answer:
    """The answer of somebody who knows what is right."""
    assert pair.expected is not None
    return "left" if '"card"' in (pair.left or "") else "right"


def wrong(pair: Shown) -> Answer:
    return "right" if right(pair) == "left" else "left"


@pytest.fixture(scope="module")
def proposed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proposed")
    clone = new_clone(folder, half.files(POLICY, **{"runbooks/triage/rubric.yaml": RUBRIC}))
    people = [clone.again(login, login) for login in PEOPLE]
    with Repository.open(people[0].root) as repository:
        made = half.FirstHalf(repository, judged={"kind": Finding("pass")})
        propose(repository, LocalForge(repository), made())
    return folder


@pytest.fixture
def team(proposed: Path, tmp_path: Path) -> Iterator[dict[str, Person]]:
    place = copied(proposed, tmp_path / "team")
    clones = {login: Clone(place / login, place / "clone-origin.git") for login in PEOPLE}
    people = {login: Person(clone, Repository.open(clone.root)) for login, clone in clones.items()}
    yield people
    for person in people.values():
        person.repository.close()


def test_an_automatic_merge_waits_for_a_reviewers_audit_and_comes_after_it(team: dict[str, Person]) -> None:
    bo, dee = team["bo"], team["dee"]
    assert (dee.reason.holds, dee.merges()) == (False, None)
    assert "no reviewer has audited the 20 held-out pairs whose verdict changed" in dee.reason.text
    ended = bo.audits(right)
    assert (ended.counts, ended.confirms, ended.found.wins, ended.found.losses) == (True, True, 20, 0)
    assert dee.reason.holds is True
    assert "bo found the winner's output better in 20 of 20 pairs, today's in 0" in dee.reason.text
    assert dee.merges() == dee.clone.at_origin("rev-parse", "main")


def test_the_report_says_that_it_waits_and_after_the_audit_that_it_does_not(team: dict[str, Person]) -> None:
    ana = team["ana"]
    (before,) = ana.forge.pull_requests()
    assert not before.auto_merge
    assert "runbookopt audit" in before.body
    assert "| `audit_pairs` | **no** |" in before.body
    team["bo"].audits(right)
    made = half.FirstHalf(ana.repository, judged={"kind": Finding("pass")})
    again = propose(ana.repository, ana.forge, made())
    assert again.decision.merge == "auto"
    (after,) = ana.forge.pull_requests()
    assert (after.auto_merge, after.head) == (True, before.head)
    assert "| `audit_pairs` | yes |" in after.body
    assert propose(ana.repository, ana.forge, made()).notes[-1] == "pull request 1 proposes this already"


def test_an_audit_that_does_not_confirm_holds_it_whatever_others_find(team: dict[str, Person]) -> None:
    ended = team["bo"].audits(lambda _: "equal")
    assert (ended.counts, ended.confirms, ended.found.ties) == (True, False, 20)
    team["cy"].audits(right)
    assert team["dee"].reason.holds is False
    assert team["dee"].merges() is None
    team["cy"].forge.approve(1)
    assert merge(team["dee"].repository, team["dee"].forge, 1)  # people may still want it


def test_neither_a_stranger_nor_who_proposed_it_nor_a_model_is_a_reviewer(team: dict[str, Person]) -> None:
    for login, why in (
        ("dee", "the policy does not list this person"),
        ("ana", "the author cannot audit"),
    ):
        ended = team[login].audits(right)
        assert (ended.confirms, ended.counts) == (True, False)
        assert why in (ended.next or "")
        assert f"{login}'s audit does not count: {why}" in team["bo"].reason.text
    assert team["bo"].audits(right, judge="openai/gpt-5").counts is False
    assert team["dee"].reason.holds is False
    assert team["dee"].merges() is None


def test_an_entry_that_somebody_wrote_in_a_reviewers_name_is_nobodys(team: dict[str, Person]) -> None:
    team["ana"].writes(by="bo")
    assert team["dee"].reason.holds is False


def test_a_reviewers_word_for_an_entry_of_something_else_does_not_count(team: dict[str, Person]) -> None:
    other = f"sha256:{'0' * 64}"
    for changes, why in (
        ({"judge": "openai/gpt-5"}, "a model answered in it"),
        ({"look": other}, "it is of another look"),
        ({"bundle": other}, "it is of another look"),
        ({"head": "0" * 40}, "it was made at 000000000000, another head"),
        ({"answers": {}}, "it does not answer each of the 20 pairs"),
    ):
        team["bo"].forge.attest(1, team["ana"].writes(**changes).digest)
        assert team["dee"].reason.holds is False
        assert why in team["dee"].reason.text


def test_a_word_for_what_the_ledger_lacks_does_not_count_nor_one_before_a_push(
    team: dict[str, Person],
) -> None:
    bo = team["bo"]
    for digest in ("sha256:" + "1" * 64, "../bundles/x"):
        bo.forge.attest(1, digest)
    assert "the ledger does not hold it" in team["dee"].reason.text
    bo.audits(right)
    clone = team["cy"].clone
    clone.git("fetch", "-q")
    clone.git("checkout", "-q", "-B", "mine", "origin/runbookopt/triage")
    path = "runbooks/triage/RUNBOOK.md"
    clone.commit({path: (clone.root / path).read_text().replace("atm", "atm card")}, push=False)
    clone.git("push", "-q", "origin", "mine:runbookopt/triage")
    assert team["dee"].reason.holds is False
    with pytest.raises(RunbookoptError, match="nothing is audited"):
        bo.ready()


def test_what_was_shown_is_read_before_it_is_shown_and_reaches_no_search(team: dict[str, Person]) -> None:
    bo = team["bo"]
    ready = bo.ready()
    shown = {pair.task for pair in ready.sheet.pairs}
    ledger = Ledger.open(bo.repository, push=True)
    assert shown.isdisjoint(ledger.burnt("triage"))
    begun(bo.repository, ready, "2026-12-01T10:00:00Z")
    burnt = Ledger.open(team["dee"].repository, push=True).burnt("triage")
    assert shown <= burnt
    later = read_project(bo.repository.revision(bo.repository.base()), "triage", burnt=burnt).split
    assert shown.isdisjoint({*later.train, *later.validation, *later.held_out})
    assert len(later.held_out) == 50 - len(shown)
    assert team["dee"].reason.condition == "audit_pairs"  # the proof itself stands


def test_an_audit_is_gone_on_with_and_an_answer_may_be_changed(team: dict[str, Person]) -> None:
    bo = team["bo"]
    kept = kept_answers(bo.repository, "triage")
    ready = prepared(bo.repository, bo.forge, "triage", 1, kept.seed)
    first = sitting(ready, kept)
    one, two = first.sheet.pairs[:2]
    assert first.answer(Given(one.task, "left")) == 19
    first.answer(Given(two.task, "skip"))
    first.answer(Given(one.task, "right"))
    with pytest.raises(RunbookoptError, match="18 pairs are not answered yet"):
        recorded(bo.repository, bo.forge, ready, first.answers, Signed("bo", "now"))
    kept = kept_answers(bo.repository, "triage")
    again = sitting(prepared(bo.repository, bo.forge, "triage", 1, kept.seed), kept)
    assert dict(again.answers) == {one.task: "right", two.task: "skip"}
    assert [pair.task for pair in again.sheet.pairs] == [pair.task for pair in first.sheet.pairs]
    with pytest.raises(RunbookoptError, match="none of the pairs"):
        again.answer(Given("another", "left"))


def test_nothing_of_a_record_is_believed_but_what_its_digest_holds(team: dict[str, Person]) -> None:
    audit = team["ana"].writes()
    ledger = Ledger.open(team["ana"].repository, push=True)
    assert kept_audit(ledger, audit.digest) == audit
    other = f"sha256:{'2' * 64}"
    ledger.record(f"audits/{'2' * 64}.json", b'{"runbook": "x"}', "Not one")
    assert kept_audit(ledger, other) is None


def test_nothing_is_audited_without_a_proposal(team: dict[str, Person]) -> None:
    team["ana"].forge.close(1)
    with pytest.raises(RunbookoptError, match="triage has no open pull request: an audit is of a change"):
        team["bo"].ready()
