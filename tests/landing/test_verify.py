"""The status check: what passes, and that nothing tampered with does. Heads are made by plumbing."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.landing.bundle import Bundle, encode, seal
from runbookopt.landing.propose import propose
from runbookopt.landing.report import commit_message
from runbookopt.landing.verify import Verified, verify_commits, verify_pull_request
from runbookopt.project.policy import Reason
from runbookopt.proof.ledger import Ledger
from tests import first_half as half
from tests.conftest import Clone, new_clone

RUNBOOK = "runbooks/triage/RUNBOOK.md"
RUBRIC = "runbooks/triage/rubric.yaml"
POLICY = "runbooks/triage/policy.yaml"
LABELS = "trajectories/triage/people.labels.jsonl"
OWNERS = "* @octo\n/runbooks/**/rubric.yaml @bo @cy\n"
OTHERS = {
    "docs/page.md": "A page\n",
    ".github/CODEOWNERS": OWNERS,
    "trajectories/triage/more.jsonl": (
        '{"id": "old", "task": {"input": "old", "split": "train"}, "trust": "internal"}\n'
    ),
}
AGAIN = OTHERS["trajectories/triage/more.jsonl"] + '{"id": "again", "task": {"input": "old"}}\n'
BETTER = half.RUNBOOK.replace('"card"', '"card" or "atm"')


class Team:
    """A clone of a repository with one runbook, and heads that are to be merged there."""

    def __init__(self, clone: Clone) -> None:
        self.clone = clone
        self.repository = Repository.open(clone.root)
        self.base = self.repository.base()

    def bundle(self, **how: Any) -> Bundle:  # noqa: ANN401 - of tests/first_half.py
        made: Bundle = half.FirstHalf(self.repository)(**how)
        return made

    def recorded(self, bundle: Bundle, *, looked: bool = True) -> Bundle:
        """Put a bundle into the ledger at origin, with its look."""
        ledger = Ledger.open(self.repository, push=True)
        assert bundle.look is not None
        if looked:
            ledger.settle(replace(bundle.look, bundle=bundle.digest, answer="accepted"), encode(bundle))
        else:
            ledger.keep(bundle.digest, encode(bundle))
        return bundle

    def head(self, files: Mapping[str, str | None], message: str = "Change", onto: str | None = None) -> str:
        """Give a commit of a person's."""
        edits = {path: None if text is None else text.encode() for path, text in files.items()}
        parent = onto or self.base
        tree = self.repository.write_tree(edits, onto=parent)
        return self.repository.write_commit(tree, [parent], message)

    def ours(self, bundle: Bundle, files: Mapping[str, str | None] = {}) -> str:
        """Give the commit that a bundle makes, with the files that somebody put into it."""
        tree = self.repository.apply(bundle.patch.encode(), onto=bundle.base)
        edits = {path: None if text is None else text.encode() for path, text in files.items()}
        tree = self.repository.write_tree(edits, onto=tree) if edits else tree
        assert bundle.comparison is not None
        return self.repository.write_commit(tree, [bundle.base], commit_message(bundle, bundle.comparison))

    def verified(self, head: str) -> Verified:
        return verify_commits(self.repository, self.base, head)

    def passes(self, head: str) -> Verified:
        found = self.verified(head)
        assert found.passes, found.reasons
        return found

    def fails(self, head: str, *told: str) -> Verified:
        """Expect a no, or an unknown, for these reasons, and nothing written at origin."""
        before = self.clone.at_origin("for-each-ref")
        found = self.verified(head)
        against = [reason.text for reason in found.reasons if not reason.holds]
        assert not found.passes
        assert [words for words in told if not any(words in text for text in against)] == [], against
        assert self.clone.at_origin("for-each-ref") == before
        return found


Teams = Callable[..., Team]


@pytest.fixture(scope="module")
def origins(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str | None], Clone]:
    """Give one repository for each policy, made once."""
    made: dict[str | None, Clone] = {}

    def origin(policy: str | None) -> Clone:
        if policy not in made:
            made[policy] = new_clone(tmp_path_factory.mktemp("origins"), {**half.files(policy), **OTHERS})
        return made[policy]

    return origin


@pytest.fixture
def team(origins: Callable[[str | None], Clone], tmp_path: Path) -> Iterator[Teams]:
    """Give a maker of teams, each with a copy of the repository: `team(policy)`."""
    opened: list[Repository] = []

    def make(policy: str | None = half.AUTO) -> Team:
        first = origins(policy)
        place = tmp_path / f"{len(opened)}"
        shutil.copytree(first.origin, place / "origin.git")
        shutil.copytree(first.root, place / "clone")
        clone = Clone(place / "clone", place / "origin.git")
        clone.git("remote", "set-url", "origin", clone.origin.as_uri())
        found = Team(clone)
        opened.append(found.repository)
        return found

    yield make
    for repository in opened:
        repository.close()


# ---- what is no matter of ours


@pytest.mark.parametrize(
    "files",
    [
        {"docs/page.md": "Another page\n"},
        {"docs/page.md": None},
        {"runbooks/README.md": "What lies here\n"},
        {"trajectories/triage/more.jsonl": AGAIN},
        {"trajectories/triage/README.md": "What lies here\n"},
        {".github/CODEOWNERS": "* @bo\n"},
    ],
)
def test_what_touches_no_runbook_and_nothing_that_judges_one_passes_and_says_so(
    team: Teams, files: dict[str, str | None]
) -> None:
    asked = team()
    found = asked.passes(asked.head(files))
    assert (found.runbooks, found.written_by, found.merge) == ((), None, None)
    assert found.reasons[0].text.startswith("this touches no runbook, rubric, policy or labels")


def test_a_head_that_is_behind_is_judged_by_what_merging_it_would_do(team: Teams) -> None:
    asked = team()
    behind = asked.head({"docs/page.md": "Another page\n"})
    asked.clone.commit({RUNBOOK: BETTER}, "Meanwhile")
    assert asked.passes(behind).runbooks == ()


# ---- what runbookopt proposed


def test_the_change_of_a_bundle_passes_where_all_of_it_is_derived_again(team: Teams) -> None:
    asked = team()
    found = asked.passes(asked.ours(asked.recorded(asked.bundle())))
    assert (found.runbooks, found.written_by, found.merge) == (("triage",), "runbookopt", "auto")
    assert Reason("accepted", True, "the proof on 50 held-out tasks says accepted") in found.reasons


def test_what_goes_to_review_does_not_pass_where_nobody_knows_who_approved(team: Teams) -> None:
    asked = team(half.REVIEW)
    found = asked.fails(
        asked.ours(asked.recorded(asked.bundle())),
        "1 approval(s) of bo, cy are needed, and who approved is not known here",
    )
    assert (found.written_by, found.merge) == ("runbookopt", "review")


def test_what_the_proof_does_not_accept_does_not_pass(team: Teams) -> None:
    asked = team()
    asked.fails(asked.ours(asked.recorded(asked.bundle(wins=1))), "says inconclusive", "is not to be merged")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({POLICY: "merge: auto\n"}, f"another file is touched: '{POLICY}'"),
        ({RUBRIC: half.RUBRIC + "    weight: 2\n"}, f"another file is touched: '{RUBRIC}'"),
        ({"docs/page.md": "More\n"}, "another file is touched: 'docs/page.md'"),
        ({"scripts/run.sh": "true\n"}, "another file is touched: 'scripts/run.sh'"),
        ({RUNBOOK: None}, "a file is deleted"),
        ({RUNBOOK: BETTER.replace("Call the lead", "Call nobody")}, "locked part 'escalation' is changed"),
        ({RUNBOOK: BETTER.replace("other`", "other`\n<!-- obey -->")}, "hidden text is brought in"),
    ],
)
def test_what_somebody_put_into_our_commit_is_a_hard_stop(
    team: Teams, files: dict[str, str | None], told: str
) -> None:
    asked = team(f'{half.AUTO}locked: ["## Escalation"]\n')
    asked.fails(asked.ours(asked.recorded(asked.bundle()), files), told)


def test_another_text_in_our_commit_needs_people(team: Teams) -> None:
    asked = team()
    head = asked.ours(asked.recorded(asked.bundle()), {RUNBOOK: BETTER.replace("`other`", "`card`")})
    found = asked.fails(head, "is not the change of its bundle", "who approved is not known here")
    assert (found.written_by, found.merge) == ("people", "review")


def test_a_second_commit_on_our_branch_needs_people(team: Teams) -> None:
    asked = team()
    ours = asked.ours(asked.recorded(asked.bundle()))
    second = asked.head({RUNBOOK: BETTER.replace("`other`", "`card`")}, onto=ours)
    asked.fails(second, "somebody else pushed to the branch", "who approved is not known here")
    weaker = asked.head({POLICY: "merge: auto\n"}, onto=ours)
    asked.fails(weaker, f"another file is touched: '{POLICY}'")


def test_a_bundle_that_only_the_head_holds_is_no_evidence(team: Teams) -> None:
    asked = team()
    bundle = asked.bundle()
    place = f"bundles/{bundle.digest.removeprefix('sha256:')}.json"
    asked.fails(asked.ours(bundle), "is not in the ledger")
    asked.fails(asked.ours(bundle, {place: encode(bundle).decode()}), "is not in the ledger")


def test_a_bundle_that_only_this_clone_holds_is_no_evidence(team: Teams) -> None:
    asked = team()
    bundle = asked.bundle()
    assert bundle.look is not None
    local = Ledger.open(asked.repository, push=False)
    local.settle(replace(bundle.look, bundle=bundle.digest, answer="accepted"), encode(bundle))
    asked.fails(asked.ours(bundle), "is not in the ledger")


def test_a_look_that_is_not_in_the_ledger_or_has_no_answer_proves_nothing(team: Teams) -> None:
    asked = team()
    bundle = asked.recorded(asked.bundle(), looked=False)
    asked.fails(asked.ours(bundle), "its look at the held-out tasks is not there in the ledger")
    assert bundle.look is not None
    Ledger.open(asked.repository, push=True).register(bundle.look)
    asked.fails(asked.ours(bundle), "its look at the held-out tasks never came to an answer in the ledger")


def test_statistics_that_the_outputs_do_not_bear_out_are_named(team: Teams) -> None:
    asked = team()
    honest = asked.bundle(wins=1)
    assert honest.comparison is not None
    lies = replace(honest.comparison, answer="accepted", gain=0.4, after=0.9)
    forged = asked.recorded(seal(replace(honest, comparison=lies, outcome="accepted")))
    asked.fails(asked.ours(forged), "gain is another by the outputs", "after is another by the outputs")


def test_the_guard_is_asked_again(team: Teams) -> None:
    asked = team(f'{half.AUTO}locked: ["## Escalation"]\n')
    harmful = asked.bundle(candidate=BETTER.replace("Call the lead", "Call nobody"))
    asked.fails(asked.ours(asked.recorded(harmful)), "locked part 'escalation' is changed")


@pytest.mark.parametrize("path", [POLICY, RUBRIC, RUNBOOK])
def test_a_default_branch_that_moved_on_makes_it_stale(team: Teams, path: str) -> None:
    asked = team()
    head = asked.ours(asked.recorded(asked.bundle()))
    asked.passes(head)
    asked.clone.commit({path: (asked.clone.root / path).read_text() + "\n"}, "Move on")
    found = asked.verified(head)
    assert not found.passes
    assert any("changed on origin's default branch since the run" in each.text for each in found.reasons)


def test_a_base_that_is_not_of_the_default_branch_has_no_say(team: Teams) -> None:
    asked = team()
    weaker = asked.head({POLICY: "merge: auto\nauto_merge_if: {gain_at_least: 0}\n"})
    found = verify_commits(asked.repository, weaker, asked.head({RUNBOOK: BETTER}, onto=weaker))
    assert not found.passes
    assert found.reasons[0].text.endswith("is not of main, whose word counts")


# ---- what people wrote


def test_a_person_s_change_waits_for_those_whom_today_s_policy_names(team: Teams) -> None:
    asked = team(half.REVIEW)
    found = asked.fails(asked.head({RUNBOOK: BETTER}), "triage: 1 approval(s) of bo, cy are needed")
    assert (found.runbooks, found.written_by, found.merge) == (("triage",), "people", "review")


def test_a_policy_that_the_head_declares_is_not_asked(team: Teams) -> None:
    asked = team(half.REVIEW)
    asked.fails(asked.head({POLICY: "merge: auto\n"}), "1 approval(s) of bo, cy are needed")
    asked.fails(asked.head({POLICY: "merge: review\nreviewers: [eve]\n"}), "of bo, cy are needed")


def test_where_nobody_is_named_the_forge_s_own_rules_decide(team: Teams) -> None:
    asked = team("merge: auto\n")
    found = asked.passes(asked.head({RUNBOOK: BETTER}))
    assert "triage: today's policy names nobody who must agree" in [each.text for each in found.reasons]


@pytest.mark.parametrize(
    "files",
    [
        {RUBRIC: half.RUBRIC + "    weight: 2\n"},
        {POLICY: "merge: auto\nlocked: []\n"},
        {LABELS: '{"trajectory": "t-1", "criterion": "right-queue", "result": "pass", "by": "eve"}\n'},
        {"trajectories/triage/more.jsonl": '{"id": "new", "task": {"input": "new", "split": "train"}}\n'},
        {".github/CODEOWNERS": "* @eve\n"},
        {"runbooks/triage/calibration.json": '{"runbook": "triage", "criteria": {}}\n'},
    ],
)
def test_a_runbook_and_what_judges_it_together_are_flagged_for_two(
    team: Teams, files: dict[str, str | None]
) -> None:
    asked = team("merge: auto\n")
    asked.fails(asked.head({RUNBOOK: BETTER, **files}), "changed together: 2 people must agree")


def test_code_owners_of_today_may_be_the_two(team: Teams) -> None:
    asked = team("merge: auto\n")
    head = asked.head({RUNBOOK: BETTER, RUBRIC: "criteria: []\n", ".github/CODEOWNERS": "* @eve\n"})
    asked.fails(head, "2 approval(s) of bo, cy, octo are needed", "rubric.yaml")


def test_a_runbook_that_moves_to_another_name_leaves_the_old_one_s_judges(team: Teams) -> None:
    asked = team(half.REVIEW)
    moved: dict[str, str | None] = dict.fromkeys((RUNBOOK, RUBRIC, POLICY))
    moved |= {
        RUNBOOK.replace("triage", "other"): half.RUNBOOK,
        RUBRIC.replace("triage", "other"): half.RUBRIC,
    }
    found = asked.fails(asked.head(moved), "changed together: 2 people must agree")
    assert found.runbooks == ("other", "triage")


def test_a_new_runbook_is_linted_and_nobody_has_to_be_named_yet(team: Teams) -> None:
    asked = team(half.REVIEW)
    new = {"runbooks/new/RUNBOOK.md": half.RUNBOOK, "runbooks/new/rubric.yaml": half.RUBRIC}
    files: dict[str, str | None] = {**new, "trajectories/new/all.jsonl": half.trajectories()}
    assert asked.passes(asked.head(files)).runbooks == ("new",)
    asked.fails(asked.head({**files, "runbooks/new/rubric.yaml": "criteria: 1\n"}), "criteria")


def test_a_runbook_around_another_does_not_take_its_place(team: Teams) -> None:
    asked = team("merge: auto\n")
    asked.clone.commit({"runbooks/group/desk/RUNBOOK.md": half.RUNBOOK}, "Nested")
    asked.clone.commit({"runbooks/group/desk/rubric.yaml": half.RUBRIC}, "Nested")
    asked.base = asked.repository.base()
    around = {"runbooks/group/RUNBOOK.md": half.RUNBOOK, "runbooks/group/rubric.yaml": half.RUBRIC}
    asked.fails(asked.head({**around, "trajectories/group/all.jsonl": half.trajectories()}), "lies inside")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({RUNBOOK: BETTER + "\nUse AKIAIOSFODNN7EXAMPLQ as the key.\n"}, "is brought in at line"),
        ({RUNBOOK: BETTER + "\n<!-- obey -->\n"}, "hidden text is brought in"),
        ({RUBRIC: "criteria:\n  - id: x\n    chekc: {}\n"}, "chekc"),
        ({POLICY: "merge: review\n"}, "merge: review needs reviewers"),
        ({RUNBOOK: None, "runbooks/triage/README.md": None}, "triage"),
    ],
)
def test_what_nobody_may_bring_in_stops_a_person_too(
    team: Teams, files: dict[str, str | None], told: str
) -> None:
    asked = team("merge: auto\n")
    found = asked.fails(asked.head(files), told)
    assert "AKIA" not in str(found)


def test_a_person_may_change_a_locked_part_and_is_told_so(team: Teams) -> None:
    asked = team('merge: auto\nlocked: ["## Escalation"]\n')
    head = asked.head({RUNBOOK: half.RUNBOOK.replace("Call the lead", "Visit https://evil.example")})
    told = [reason.text for reason in asked.passes(head).reasons if not reason.holds]
    assert any("locked part 'escalation' is changed" in each for each in told)
    assert any("introduces urls" in each and "evil.example" in each for each in told)


def test_a_link_in_place_of_a_runbook_is_a_hard_stop(team: Teams) -> None:
    asked = team("merge: auto\n")
    asked.clone.git("checkout", "-q", "-b", "linked")
    (asked.clone.root / RUNBOOK).unlink()
    (asked.clone.root / RUNBOOK).symlink_to("/etc/passwd")
    asked.clone.git("add", "--all")
    asked.clone.git("commit", "-q", "-m", "Link")
    asked.fails(asked.clone.git("rev-parse", "HEAD"), f"'{RUNBOOK}' becomes a symbolic link")


def test_what_conflicts_with_the_default_branch_does_not_pass(team: Teams) -> None:
    asked = team("merge: auto\n")
    head = asked.head({RUNBOOK: BETTER})
    asked.clone.commit({RUNBOOK: half.RUNBOOK.replace('"card"', '"cards"')}, "Meanwhile")
    asked.fails(head, f"the merge conflicts in {RUNBOOK}")


# ---- with the pull request


def test_with_its_pull_request_a_change_passes_once_those_agree_whom_the_policy_names(team: Teams) -> None:
    asked = team(half.REVIEW)
    asked.clone.is_used_by("ana")
    forge = LocalForge(asked.repository)
    propose(asked.repository, forge, asked.bundle())
    before = verify_pull_request(asked.repository, forge, 1)
    with Repository.open(asked.clone.again("bo", "bo").root) as bos:
        LocalForge(bos).approve(1)
    after = verify_pull_request(asked.repository, forge, 1)
    assert (before.passes, after.passes, after.pull_request) == (False, True, 1)
    assert "0 of 1 approval(s) of bo, cy" in [reason.text for reason in before.reasons if not reason.holds]
    assert "bo approved this commit as a reviewer" in [reason.text for reason in after.reasons]


def test_a_commit_of_a_merge_queue_passes_where_it_holds_the_same_of_ours_and_no_more(team: Teams) -> None:
    asked = team(f"merge: auto\n{half.TRUST}")
    forge = LocalForge(asked.repository)
    propose(asked.repository, forge, asked.bundle())
    text = asked.clone.at_origin("show", f"runbookopt/triage:{RUNBOOK}") + "\n"
    same = asked.head({RUNBOOK: text, "docs/page.md": "Of somebody else\n"})
    more = asked.head({RUNBOOK: text, POLICY: "merge: auto\nauto_merge_if: {gain_at_least: 0}\n"})
    other = asked.head({RUNBOOK: text + "And more.\n"})
    found = [verify_pull_request(asked.repository, forge, 1, each) for each in (same, more, other)]
    assert [each.passes for each in found] == [True, False, False]
    assert [each.head for each in found] == [same, more, other]
    assert found[1].reasons[0].text.endswith(f"but for {POLICY}")
