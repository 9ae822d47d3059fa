import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from runbookopt.documents.digest import digest
from runbookopt.documents.parse import MalformedFile
from runbookopt.errors import Refused, RunbookoptError, Waiting
from runbookopt.forge.git.output import GitFailed, PushRefused
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.landing.bundle import Bundle, encode, seal
from runbookopt.landing.merge import merge_automatic
from runbookopt.landing.propose import Proposed, branch_of, must_be_free, propose
from runbookopt.landing.rederive import Stale
from runbookopt.proof.allowance import burnt
from runbookopt.proof.ledger import Ledger

if TYPE_CHECKING:
    from tests.conftest import Clone

PATH = "runbooks/triage/RUNBOOK.md"
POLICY = "runbooks/triage/policy.yaml"
NOW = datetime(2040, 1, 1, tzinfo=UTC)


class Bench:
    """A clone whose winner is to be proposed; `bundle(...)` is what the first half made."""

    def __init__(self, clone: "Clone", repository: Repository, half: ModuleType) -> None:
        self.clone, self.repository, self.half = clone, repository, half
        self.forge = LocalForge(repository)
        self.bundle = half.FirstHalf(repository)

    def propose(self, bundle: Bundle) -> Proposed:
        return propose(self.repository, self.forge, bundle)

    def candidate(self, phrase: str) -> str:
        text: str = self.half.RUNBOOK
        return text.replace('"card"', f'"card" or "{phrase}"')

    def looks(self) -> list[tuple[str | None, str | None]]:
        ledger = Ledger.open(self.repository, push=True)
        return [(look.answer, look.bundle) for look in ledger.looks("triage")]

    def branches(self) -> str:
        return self.clone.at_origin("for-each-ref", "--format=%(refname)", "refs/heads/runbookopt")


@pytest.fixture
def bench(repo: Callable[..., "Clone"], first_half: ModuleType) -> Iterator[Bench]:
    clone = repo(first_half.files())
    with Repository.open(clone.root) as repository:
        yield Bench(clone, repository, first_half)


def resealed(bundle: Bundle, **changes: object) -> Bundle:
    return seal(replace(bundle, **changes))


def test_a_winner_becomes_one_commit_that_changes_one_file(bench: Bench) -> None:
    bundle = bench.bundle()
    proposed = bench.propose(bundle)
    head = bench.clone.at_origin("rev-parse", "runbookopt/triage")
    assert proposed.pull_request is not None
    assert (proposed.outcome, proposed.branch, proposed.pull_request.head) == (
        "accepted",
        "runbookopt/triage",
        head,
    )
    assert bench.clone.at_origin("rev-list", f"main..{head}") == head
    assert bench.clone.at_origin("diff", "--name-status", "main", head) == f"M\t{PATH}"
    text = bench.clone.at_origin("show", f"{head}:{PATH}") + "\n"
    assert text == bundle.candidate
    assert "version: 1.2.4" in text
    assert f"Runbookopt-Bundle: {bundle.digest}" in bench.clone.at_origin("log", "-1", "--format=%B", head)
    assert proposed.pull_request.auto_merge
    assert bench.looks() == [("accepted", bundle.digest)]


def test_a_bundle_of_the_format_before_is_verified_and_its_look_counts(bench: Bench) -> None:
    bundle = bench.half.FirstHalf(bench.repository, format=1)(wins=5)
    pull = bench.propose(bundle).pull_request
    assert pull is not None
    assert "version: 1.2.3" in bundle.candidate
    assert "version: 1.2.4" in bench.clone.at_origin("show", f"{pull.head}:{PATH}")
    later = bench.propose(bench.bundle(bench.candidate("two"), wins=5))
    assert later.allowance is not None
    assert (later.allowance.look, later.outcome) == (2, "inconclusive")


@pytest.mark.parametrize("number", [1, 2])
def test_a_version_other_than_the_next_one_is_refused_in_either_format(bench: Bench, number: int) -> None:
    bundle = bench.half.FirstHalf(bench.repository, format=number)()
    patch = bundle.patch.replace("+version: 1.2.4", "+version: 1.9.9")
    text = bundle.candidate.replace("1.2.4", "1.9.9")
    stops(bench, resealed(bundle, patch=patch), "the patch does not make the candidate of the base")
    if number == 2:
        same = digest(text.encode())
        moved = resealed(
            bundle, patch=patch, candidate=text, chosen=same, digests=replace(bundle.digests, candidate=same)
        )
        stops(bench, moved, "the look is at another")


def test_what_goes_to_review_asks_the_reviewers(bench: Bench) -> None:
    bench.clone.commit({"runbooks/triage/policy.yaml": bench.half.REVIEW})
    pull = bench.propose(bench.bundle()).pull_request
    assert pull is not None
    assert (pull.reviewers, pull.auto_merge) == (("bo", "cy"), False)


def test_the_least_trusted_train_task_counts_whatever_a_bundle_says_it_was_shown(bench: Bench) -> None:
    public = '{"id": "p", "task": {"input": "from outside", "split": "train"}, "trust": "public"}\n'
    bench.clone.commit({"trajectories/triage/public.jsonl": public})
    decision = bench.propose(bench.bundle()).decision
    (trust,) = (reason for reason in decision.reasons if reason.condition == "trust_at_least")
    assert decision.merge == "review"
    assert trust.told.startswith("no: the train tasks, reflected on, are public or better")


def test_a_dirty_checkout_with_a_staged_index_stays_as_it_was(bench: Bench) -> None:
    clone = bench.clone
    clone.git("checkout", "-q", "--detach")
    clone.write({PATH: "half an edit", "staged.txt": "x"})
    clone.git("add", "staged.txt")
    state = [
        lambda: clone.git("status", "--porcelain=v2", "--branch"),
        (clone.root / ".git/index").read_bytes,
        lambda: clone.git("stash", "list") + clone.git("worktree", "list") + clone.git("branch"),
    ]
    before = [look() for look in state]
    bench.propose(bench.bundle())
    assert [look() for look in state] == before


def test_the_same_again_does_nothing_at_all(bench: Bench) -> None:
    first = bench.propose(bench.bundle())
    refs = bench.clone.at_origin("for-each-ref")
    again = bench.propose(bench.bundle(at="2"))
    assert bench.clone.at_origin("for-each-ref") == refs
    assert again.pull_request == first.pull_request
    assert any("proposes this already" in note for note in again.notes)


def test_a_better_winner_updates_branch_and_pull_request(bench: Bench) -> None:
    bench.propose(bench.bundle(wins=14))
    better = bench.bundle(bench.candidate("atm or cash"), wins=22)
    updated = bench.propose(better)
    (pull,) = bench.forge.pull_requests()
    assert updated.pull_request == pull
    assert (pull.number, pull.bundle, pull.head) == (
        1,
        better.digest,
        bench.clone.at_origin("rev-parse", pull.branch),
    )
    assert bench.clone.at_origin("rev-list", "--count", f"main..{pull.head}") == "1"
    assert updated.allowance is not None
    assert updated.allowance.look == 2


def test_an_update_says_what_changed_since_the_pull_request_was_opened(bench: Bench) -> None:
    first = bench.bundle(wins=14)
    bench.propose(first)
    bench.propose(bench.bundle(bench.candidate("cash"), wins=18))
    updated = bench.propose(bench.bundle(bench.candidate("atm or cash"), wins=22))
    assert updated.pull_request is not None
    (told,) = [note for note in updated.notes if "was brought up to date" in note]
    assert told == (
        "pull request 1 was brought up to date; since it was opened: 2 lines of the proposed text are other;"
        " the held-out score is 0.500 to 0.940 on 50 tasks, and was 0.500 to 0.780"
    )
    body = updated.pull_request.body
    assert f"What is other than when it was opened, in bundle `{first.digest}`:" in body
    assert '"card" or "atm or cash"' in body.partition("## Since then")[2].partition("## Decision")[0]


def test_an_update_says_what_changed_since_the_last_review(bench: Bench) -> None:
    bench.propose(bench.bundle(wins=14))
    second = bench.bundle(bench.candidate("cash"), wins=18)
    bench.propose(second)
    head = bench.forge.get(1).head
    bench.clone.is_used_by("bo")
    bench.forge.approve(1)
    updated = bench.propose(bench.bundle(bench.candidate("atm or cash"), wins=22))
    assert updated.pull_request is not None
    body = updated.pull_request.body
    assert f"when it was last reviewed, at {head[:12]}, in bundle `{second.digest}`:" in body
    assert "- The held-out score is 0.500 to 0.940 on 50 tasks, and was 0.500 to 0.860." in body


def test_a_pull_request_that_is_new_has_nothing_to_say_of_before(bench: Bench) -> None:
    pull = bench.propose(bench.bundle()).pull_request
    assert pull is not None
    assert "Since then" not in pull.body


def test_a_branch_that_a_person_edited_is_left_alone(bench: Bench) -> None:
    bench.propose(bench.bundle())
    bo = bench.clone.again("bo", "bo")
    bo.git("checkout", "-q", "runbookopt/triage")
    edited = bo.commit({PATH: "by hand\n"}, push=False)
    bo.git("push", "-q", "origin", "runbookopt/triage")
    left = bench.propose(bench.bundle(bench.candidate("cash"), wins=22))
    assert bench.clone.at_origin("rev-parse", "runbookopt/triage") == edited
    assert any("left alone" in note for note in left.notes)
    assert (left.branch, left.pull_request, left.decision.merge) == (None, None, "none")
    assert "left alone" in left.decision.reasons[-1].text


def test_a_branch_that_a_person_edited_is_told_before_a_search(bench: Bench) -> None:
    must_be_free(bench.repository, bench.forge, "triage", now=NOW)
    bench.propose(bench.bundle())
    must_be_free(bench.repository, bench.forge, "triage", now=NOW)
    bo = bench.clone.again("bo", "bo")
    bo.git("checkout", "-q", "runbookopt/triage")
    edited = bo.commit({PATH: "by hand\n"}, push=False)
    bo.git("push", "-q", "origin", "runbookopt/triage")
    with pytest.raises(
        RunbookoptError,
        match=rf"edited by a person \({edited[:12]}\): merge or close its pull request and delete the branch",
    ):
        must_be_free(bench.repository, bench.forge, "triage", now=NOW)


def test_a_branch_of_that_name_that_is_not_ours_is_left_alone(bench: Bench) -> None:
    bench.clone.git("push", "-q", "origin", "HEAD:runbookopt/triage")
    left = bench.propose(bench.bundle())
    assert left.pull_request is None
    assert any("left alone" in note for note in left.notes)


def test_a_branch_of_ours_without_a_pull_request_gets_one(bench: Bench) -> None:
    head = bench.propose(bench.bundle()).branch
    bench.clone.at_origin("update-ref", "-d", "refs/runbookopt/pulls/1")
    again = bench.propose(bench.bundle())
    assert head == again.branch
    assert again.pull_request is not None
    assert again.pull_request.number == 1


def test_what_a_person_closed_is_not_opened_again_but_something_else_is(bench: Bench) -> None:
    bench.propose(bench.bundle())
    bench.forge.close(1)
    again = bench.propose(bench.bundle(at="2"))
    assert again.pull_request is None
    assert any("was closed: it is not opened again" in note for note in again.notes)
    other = bench.propose(bench.bundle(bench.candidate("cash"), wins=22))
    assert other.pull_request is not None
    assert (other.pull_request.number, other.pull_request.state) == (2, "open")


@pytest.mark.parametrize("deleted", [False, True])
def test_what_a_person_edited_and_closed_is_not_proposed_again(bench: Bench, deleted: bool) -> None:
    bench.propose(bench.bundle())
    bo = bench.clone.again("bo", "bo")
    bo.git("checkout", "-q", "runbookopt/triage")
    bo.commit({PATH: "by hand\n"}, push=False)
    bo.git("push", "-q", "origin", "runbookopt/triage")
    bench.forge.close(1)
    if deleted:
        bo.git("push", "-q", "origin", ":runbookopt/triage")
    again = bench.propose(bench.bundle(at="2"))
    assert again.pull_request is None
    assert any("was closed: it is not opened again" in note for note in again.notes)


def test_what_is_not_accepted_is_written_down_and_not_proposed(bench: Bench) -> None:
    rejected = bench.bundle(wins=3, losses=5)
    proposed = bench.propose(rejected)
    assert (proposed.outcome, proposed.decision.merge, proposed.pull_request) == ("rejected", "none", None)
    assert bench.looks() == [("rejected", rejected.digest)]
    assert bench.branches() == ""


def test_a_run_that_did_not_look_proposes_nothing(bench: Bench) -> None:
    nothing = {"look": None, "outputs": (), "comparison": None, "outcome": "inconclusive"}
    proposed = bench.propose(resealed(bench.bundle(), **nothing))
    assert (proposed.outcome, proposed.comparison, proposed.pull_request) == ("inconclusive", None, None)
    assert bench.looks() == []


def test_the_outcome_follows_from_the_place_in_the_ledger(bench: Bench) -> None:
    """Five wins and no loss pass at the first look, and no longer at the second."""
    for phrase in ("one", "two"):
        bench.propose(bench.bundle(bench.candidate(phrase), wins=5))
    assert [answer for answer, _ in bench.looks()] == ["accepted", "inconclusive"]


def test_other_outputs_do_not_answer_a_question_again(bench: Bench) -> None:
    unlucky = bench.bundle(wins=3)
    bench.propose(unlucky)
    again = bench.propose(bench.bundle(wins=20, at="2"))
    assert (again.outcome, again.pull_request) == ("inconclusive", None)
    assert bench.looks() == [("inconclusive", unlucky.digest)]
    assert any("the recorded answer stands" in note for note in again.notes)


def test_a_look_that_was_registered_before_keeps_its_place(bench: Bench) -> None:
    first, second = bench.bundle(bench.candidate("one"), wins=5), bench.bundle(bench.candidate("two"), wins=5)
    assert first.look is not None
    Ledger.open(bench.repository, push=True).register(first.look)
    assert bench.propose(second).outcome == "inconclusive"
    assert bench.propose(first).outcome == "accepted"


def stops(bench: Bench, bundle: Bundle, *complaints: str) -> None:
    """Hold that a bundle is refused with all complaints, and that nothing is proposed or written down."""
    with pytest.raises(Refused) as caught:
        bench.propose(bundle)
    assert all(complaint in str(caught.value) for complaint in complaints), caught.value
    assert caught.value.status == 3
    assert bench.branches() == ""


FORGERIES: dict[str, Callable[[Bundle], Bundle]] = {
    "after is another by the outputs": lambda b: resealed(b, comparison=replace(b.comparison, after=1.0)),
    "p is": lambda b: resealed(b, comparison=replace(b.comparison, p=1e-9)),
    "right-queue, after, is": lambda b: resealed(
        b,
        comparison=replace(
            b.comparison,
            objectives={"right-queue": replace(b.comparison.objectives["right-queue"], after=1.0)},
        ),
    ),
    "the outputs are not those of each held-out task": lambda b: resealed(b, outputs=b.outputs[:-1]),
    "not of 1 repeat(s) each": lambda b: resealed(
        b, outputs=(replace(b.outputs[0], after=b.outputs[0].after * 2), *b.outputs[1:])
    ),
    "gain is": lambda b: resealed(
        b, outputs=tuple(replace(o, after=('{"queue": "card"}',)) for o in b.outputs)
    ),
    "the runbook's file is": lambda b: resealed(b, path="runbooks/other/RUNBOOK.md"),
    "the runbook is sha256": lambda b: resealed(b, digests=replace(b.digests, runbook=digest(b""))),
    "the rubric is sha256": lambda b: resealed(b, digests=replace(b.digests, rubric=digest(b""))),
    "the policy is sha256": lambda b: resealed(b, digests=replace(b.digests, policy=None)),
    "the held-out set is": lambda b: resealed(b, digests=replace(b.digests, held_out=digest(b""))),
    "the candidate is": lambda b: resealed(b, candidate=f"{b.candidate}More\n"),
    "the look is at another": lambda b: resealed(b, look=replace(b.look, groups=b.look.groups[1:])),
    "no look": lambda b: resealed(b, look=None),
    "the outcome is accepted by its own comparison": lambda b: resealed(b, outcome="rejected"),
    "no comparison": lambda b: resealed(b, comparison=None),
    "the patch does not apply": lambda b: resealed(b, patch=b.patch.replace("Otherwise", "Else")),
}


def test_a_forged_bundle_is_refused_and_not_written_down(bench: Bench) -> None:
    honest = bench.bundle()
    for complaint, forge in FORGERIES.items():
        stops(bench, forge(honest), complaint)
    assert bench.looks() == []


def test_a_patch_that_makes_another_candidate_is_refused(bench: Bench) -> None:
    one, other = bench.bundle(), bench.bundle(bench.candidate("cash"))
    stops(bench, resealed(one, patch=other.patch), "the patch does not make the candidate")


def test_a_bundle_of_another_base_is_refused(bench: Bench) -> None:
    bundle = bench.bundle()
    moved = bench.clone.commit({"runbooks/triage/rubric.yaml": bench.half.RUBRIC + "    weight: 2\n"})
    stops(bench, resealed(bundle, base=moved), "the rubric is")
    with pytest.raises(GitFailed, match="not in this clone nor at origin"):
        bench.propose(resealed(bundle, base="0" * 39 + "1"))


def test_a_bundle_changed_after_sealing_is_malformed(bench: Bench) -> None:
    with pytest.raises(MalformedFile, match="changed after sealing"):
        bench.propose(replace(bench.bundle(), random_seed=7))


def patched(bench: Bench, bundle: Bundle, change: Callable[["Clone"], None]) -> Bundle:
    """Make the same change in a worktree, and something more, and seal its diff as the patch."""
    person = bench.clone.again("person", "dee")
    subprocess.run(["git", "apply", "-"], cwd=person.root, input=bundle.patch.encode(), check=True)
    change(person)
    person.git("add", "--all")
    patch = person.git("diff", "--cached", "--binary", "HEAD") + "\n"
    return resealed(bundle, patch=patch)


def another_file(person: "Clone") -> None:
    person.write({"runbooks/triage/policy.yaml": "merge: auto\nreviewers: [dee]\n"})


def a_mode(person: "Clone") -> None:
    (person.root / PATH).chmod(0o755)


def a_link(person: "Clone") -> None:
    (person.root / PATH).unlink()
    (person.root / PATH).symlink_to("/etc/passwd")


def a_rename(person: "Clone") -> None:
    person.git("mv", PATH, "runbooks/triage/SKILL.md")


def nothing_left(person: "Clone") -> None:
    (person.root / PATH).unlink()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (another_file, "another file is touched: 'runbooks/triage/policy.yaml'"),
        (a_mode, "the mode of"),
        (a_link, "a symbolic link"),
        (a_rename, "a file is renamed"),
        (nothing_left, "a file is deleted"),
    ],
)
def test_a_patch_that_reaches_further_is_stopped(
    bench: Bench, change: Callable[["Clone"], None], complaint: str
) -> None:
    stops(bench, patched(bench, bench.bundle(), change), complaint)


def test_every_violation_of_a_candidate_is_named_and_its_look_is_spent(bench: Bench) -> None:
    text = bench.candidate("atm").replace("name: triage", "name: other").replace("{{customer}}", "them")
    bundle = bench.bundle(text.replace("# Triage", "# Tri\u200bage"))
    stops(bench, bundle, "the front matter is changed", "{{customer}}", "U+200B")
    assert bench.looks() == [("accepted", bundle.digest)]


def new_tasks(count: int) -> str:
    tasks = (
        {"input": f"new {number}", "reference": {"queue": "card"}, "split": "held-out"}
        for number in range(count)
    )
    return "".join(json.dumps({"id": f"n-{n}", "task": task}) + "\n" for n, task in enumerate(tasks))


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (PATH, "# Triage\n\n## Rules\n- Otherwise `other`\n"),
        ("runbooks/triage/rubric.yaml", "criteria:\n  - {id: short, check: {kind: max_chars, value: 9}}\n"),
        ("runbooks/triage/policy.yaml", "merge: review\nreviewers: [dee]\n"),
        ("trajectories/triage/2026.jsonl", '{"id": "n", "task": {"input": "the only one"}}\n'),
        ("trajectories/triage/new.jsonl", new_tasks(13)),
    ],
)
def test_what_moved_on_the_default_branch_makes_a_bundle_stale(bench: Bench, path: str, content: str) -> None:
    bundle = bench.bundle()
    bench.clone.commit({path: content})
    with pytest.raises(Stale, match="run optimize-runbook triage again"):
        bench.propose(bundle)
    assert bench.branches() == ""
    assert bench.looks() == [("accepted", bundle.digest)]


def test_what_else_moved_there_does_not_matter(bench: Bench) -> None:
    bundle = bench.bundle()
    bench.clone.commit({"README.md": "hello\n", "trajectories/triage/new.jsonl": new_tasks(12)})
    assert bench.propose(bundle).pull_request is not None


def test_tasks_that_a_search_has_used_are_no_new_groups(bench: Bench) -> None:
    """Once searched and held out today, they are burnt: a fresh run does not see them, nor may the tip."""
    searched = [{"input": f"old {n}", "reference": {"queue": "card"}, "split": "train"} for n in range(30)]
    lines = "".join(json.dumps({"id": f"o-{n}", "task": task}) + "\n" for n, task in enumerate(searched))
    bench.clone.commit({"trajectories/triage/old.jsonl": lines})
    bench.propose(bench.bundle(bench.candidate("one"), wins=3))
    bench.clone.commit({"trajectories/triage/old.jsonl": lines.replace('"train"', '"held-out"')})
    used = burnt(Ledger.open(bench.repository, push=True).looks("triage"))
    fresh = bench.bundle(burnt=used)
    bench.clone.commit({"README.md": "moved\n"})
    assert bench.propose(fresh).pull_request is not None


def restating(bundle: Bundle, record: Bundle) -> Bundle:
    """Give a bundle of a later run that was answered by the record of an earlier one."""
    held_out = replace(bundle.digests, held_out=record.digests.held_out)
    said = {name: getattr(record, name) for name in ("look", "outputs", "comparison", "outcome")}
    return resealed(bundle, digests=held_out, **said)


def test_a_later_run_may_rest_on_the_record_of_an_earlier_one(bench: Bench) -> None:
    """Policy and evidence have moved on since, and the question is the same."""
    record = bench.bundle()
    Ledger.open(bench.repository, push=True).settle(
        replace(record.look, bundle=record.digest, answer="accepted"), encode(record)
    )
    files = {"runbooks/triage/policy.yaml": bench.half.REVIEW, "trajectories/triage/new.jsonl": new_tasks(12)}
    bench.clone.commit(files)
    proposed = bench.propose(restating(bench.bundle(wins=2), record))
    assert (proposed.outcome, proposed.decision.merge) == ("accepted", "review")
    assert proposed.comparison is not None
    assert proposed.comparison.after == record.comparison.after
    assert bench.looks() == [("accepted", record.digest)]
    (left,) = merge_automatic(bench.repository, bench.forge)
    assert left.reasons[0].startswith("the policy asks for review")


def test_another_policy_brings_an_open_pull_request_up_to_date(bench: Bench) -> None:
    record = bench.bundle()
    assert bench.propose(record).decision.merge == "auto"
    bench.clone.commit({"runbooks/triage/policy.yaml": bench.half.REVIEW})
    with pytest.raises(Stale, match=r"policy\.yaml"):
        bench.propose(record)
    again = bench.propose(restating(bench.bundle(wins=2), record)).pull_request
    assert again is not None
    assert (again.number, again.reviewers, again.auto_merge) == (1, ("bo", "cy"), False)


def test_a_record_is_judged_by_the_policy_of_the_base_at_hand(bench: Bench) -> None:
    """A margin that was raised since the look holds for what it recorded, and so does a lower one."""
    record = bench.bundle()
    assert bench.propose(record).outcome == "accepted"
    for margin, outcome in (("0.39", "inconclusive"), ("0.45", "rejected"), ("0.01", "accepted")):
        policy = f"{bench.half.REVIEW}proof: {{margin: {margin}}}\n"
        bench.clone.commit({"runbooks/triage/policy.yaml": policy})
        proposed = bench.propose(restating(bench.bundle(wins=2), record))
        assert (proposed.outcome, proposed.decision.merge == "none") == (outcome, outcome != "accepted")


def test_a_record_of_another_runbook_answers_nothing(bench: Bench) -> None:
    record = bench.bundle()
    bench.propose(record)
    bench.clone.commit({PATH: bench.half.RUNBOOK.replace("Call the lead", "Ask the lead")})
    same_text = restating(bench.bundle(record.candidate.replace("1.2.4", "1.2.3")), record)
    with pytest.raises(Refused, match="is of another seed"):
        bench.propose(same_text)


def test_a_base_that_was_not_pushed_is_stale(bench: Bench) -> None:
    bundle = bench.bundle()
    local = bench.clone.commit({"README.md": "mine\n"}, push=False)
    with pytest.raises(Stale, match="is not in origin's default branch"):
        bench.propose(resealed(bundle, base=local))


def test_an_origin_that_refuses_the_branch_is_quoted_and_asked_again_later(bench: Bench) -> None:
    hook = bench.clone.hook("update", "case $1 in refs/heads/*) echo 'no robots'; exit 1;; esac")
    bundle = bench.bundle()
    with pytest.raises(PushRefused, match="no robots"):
        bench.propose(bundle)
    assert bench.forge.pull_requests() == ()
    hook.unlink()
    assert bench.propose(bundle).pull_request is not None


def test_without_origin_there_is_nothing_to_propose_to(bench: Bench) -> None:
    bundle = bench.bundle()
    bench.clone.git("remote", "remove", "origin")
    with pytest.raises(GitFailed, match="there is no origin"):
        bench.propose(bundle)


def test_a_shallow_clone_of_what_came_later_can_propose(bench: Bench) -> None:
    bundle = bench.bundle()
    bench.clone.commit({"README.md": "later\n"})
    shallow = bench.clone.again("shallow", "ci", "--depth=1")
    with Repository.open(shallow.root) as repository:
        assert propose(repository, LocalForge(repository), bundle).pull_request is not None


def test_the_ledger_keeps_the_bundle_that_a_commit_cites(bench: Bench) -> None:
    bundle = bench.bundle()
    bench.propose(bundle)
    with Repository.open(bench.clone.again("bo", "bo").root) as repository:
        assert Ledger.open(repository, push=True).bundle(bundle.digest) == encode(bundle)


@pytest.mark.parametrize(
    "name",
    [
        "triage",
        "a/b",
        "my runbook",
        "50% off",
        "ü",
        "-x",
        ".a/.b",
        "a..b",
        "x.lock",
        "x.lock/y",
        "a@{b",
        "c.",
        "[d]",
    ],
)
def test_every_name_gives_a_branch_that_git_takes(name: str) -> None:
    subprocess.run(["git", "check-ref-format", "--branch", branch_of(name)], check=True, capture_output=True)


def test_no_two_names_share_a_branch() -> None:
    names = ["a b", "a%20b", "a-b", "a.", "a%2E"]
    assert len({branch_of(name) for name in names}) == len(names)


def test_what_is_proposed_can_be_printed(bench: Bench) -> None:
    proposed = bench.propose(bench.bundle())
    assert msgspec.json.decode(msgspec.json.encode(proposed))["outcome"] == "accepted"


LIMITED = "limits: {open_pull_requests: 1, per_day: 1, cooldown_hours: 24}\n"


def since(bench: Bench, hours: float) -> datetime:
    """Give the time so many hours after the last pull request was opened or ended."""
    last = bench.forge.pull_requests()[-1]
    return datetime.fromisoformat(last.closed_at or last.opened_at) + timedelta(hours=hours)


def test_a_new_pull_request_waits_for_the_limits_and_an_update_does_not(bench: Bench) -> None:
    bench.clone.commit({"runbooks/triage/policy.yaml": bench.half.REVIEW + LIMITED})
    propose(bench.repository, bench.forge, bench.bundle(wins=14), now=NOW)
    better = bench.bundle(bench.candidate("cash"), wins=22)
    soon = since(bench, 1)
    updated = propose(bench.repository, bench.forge, better, now=soon)
    assert updated.pull_request is not None
    assert updated.pull_request.number == 1
    bench.forge.close(1)
    other = bench.bundle(bench.candidate("atm or cash"), wins=23)
    held = propose(bench.repository, bench.forge, other, now=since(bench, 1))
    assert (held.pull_request, held.decision.merge) == (None, "none")
    assert "ended less than 24 hours ago" in held.notes[-1]
    later = propose(bench.repository, bench.forge, other, now=since(bench, 25))
    assert later.pull_request is not None
    assert later.pull_request.number == 2


def ask(bench: Bench, now: datetime) -> None:
    must_be_free(bench.repository, bench.forge, "triage", now=now)


@pytest.mark.parametrize("limits", ["", LIMITED])
def test_the_limits_are_told_before_a_search_and_hold_where_the_policy_is_silent(
    bench: Bench, limits: str
) -> None:
    bench.clone.commit({POLICY: bench.half.AUTO + limits})
    ask(bench, NOW)
    bench.propose(bench.bundle())
    ask(bench, since(bench, 1))  # an open one is brought up to date
    bench.forge.close(1)
    told = "^no room for a pull request, so nothing was searched .*: 1 of at most 1 .* or use --no-propose$"
    with pytest.raises(Waiting, match=told):
        ask(bench, since(bench, 1))
    ask(bench, since(bench, 25))


def test_limits_before_a_search_are_those_of_the_default_branch(bench: Bench) -> None:
    paused = bench.half.AUTO + "limits: {open_pull_requests: 0}\n"
    bench.clone.write({POLICY: paused})
    ask(bench, NOW)
    bench.clone.commit({POLICY: paused})
    with pytest.raises(Waiting, match=r"0 of at most 0 pull request\(s\) of this runbook are open"):
        ask(bench, NOW)


def test_a_policy_that_cannot_be_read_is_left_to_the_reader_of_all_files(bench: Bench) -> None:
    bench.clone.commit({POLICY: "merge: sometimes\n"})
    ask(bench, NOW)


def test_the_commit_of_a_run_that_was_cut_is_taken_up_again(bench: Bench) -> None:
    bundle = bench.bundle()
    bench.propose(bundle)
    before = bench.branches(), bench.clone.at_origin("rev-parse", "runbookopt/triage")
    bench.clone.at_origin("update-ref", "-d", "refs/runbookopt/pulls/1")
    bench.propose(bundle)
    assert (bench.branches(), bench.clone.at_origin("rev-parse", "runbookopt/triage")) == before
