from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from runbookopt.errors import Refused, RunbookoptError
from runbookopt.forge.git.output import RefUpdate
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.forge.protocol import Draft
from runbookopt.landing.merge import Attempted, merge, merge_automatic
from runbookopt.landing.propose import propose
from runbookopt.landing.rederive import Stale
from tests import first_half as half
from tests.conftest import Clone, copied, new_clone

PATH = "runbooks/triage/RUNBOOK.md"
PEOPLE = ("ana", "bo", "dee")


class Person:
    """Somebody at a clone of their own."""

    def __init__(self, clone: Clone, repository: Repository) -> None:
        self.clone, self.repository, self.forge = clone, repository, LocalForge(repository)

    def merge(self) -> str:
        return merge(self.repository, self.forge, 1)

    def merge_automatic(self) -> list[Attempted]:
        return list(merge_automatic(self.repository, self.forge))

    def push_to_the_branch(self, text: str | None = None, path: str = PATH) -> str:
        """Push one more commit to the branch by hand, by default a better word."""
        self.clone.git("fetch", "-q")
        self.clone.git("checkout", "-q", "-B", "mine", "origin/runbookopt/triage")
        old = (self.clone.root / PATH).read_text()
        pushed = self.clone.commit({path: text or old.replace("atm", "atm card")}, push=False)
        self.clone.git("push", "-q", "origin", "mine:runbookopt/triage")
        return pushed

    def is_refused(self, *reasons: str) -> None:
        before = self.clone.at_origin("rev-parse", "main")
        with pytest.raises(Refused) as caught:
            self.merge()
        assert all(reason in str(caught.value) for reason in reasons), caught.value
        assert self.clone.at_origin("rev-parse", "main") == before


Proposes = Callable[..., dict[str, Person]]


@pytest.fixture(scope="module")
def proposed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str | None], Path]:
    """What ana proposed under a policy, made once: a folder with origin and everybody's clone."""

    @cache
    def propose_under(policy: str | None) -> Path:
        folder = tmp_path_factory.mktemp("proposed")
        clone = new_clone(folder, half.files(policy))
        people = [clone.again(login, login) for login in PEOPLE]
        with Repository.open(people[0].root) as repository:
            propose(repository, LocalForge(repository), half.FirstHalf(repository)())
        return folder

    return propose_under


@pytest.fixture
def team(proposed: Callable[[str | None], Path], tmp_path: Path) -> Iterator[Proposes]:
    """Ana, who proposed a change under a policy, and her colleagues, in copies of their clones."""
    opened: list[Repository] = []

    def make(policy: str | None) -> dict[str, Person]:
        place, people = copied(proposed(policy), tmp_path / "team"), {}
        for login in PEOPLE:
            theirs = Clone(place / login, place / "clone-origin.git")
            opened.append(Repository.open(theirs.root))
            people[login] = Person(theirs, opened[-1])
        return people

    yield make
    for repository in opened:
        repository.close()


REVIEW = "merge: review\nreviewers: [ana, bo, cy]\n"
AUTO = "merge: auto\ntrust: {trajectories/triage/*.jsonl: internal}\n"


def test_without_approvals_nothing_that_needs_review_is_merged(team: Proposes) -> None:
    team(REVIEW)["bo"].is_refused("0 of 1 approval(s) of ana, bo, cy")


def test_a_reviewer_approves_and_anybody_merges(team: Proposes) -> None:
    people = team(REVIEW)
    people["bo"].forge.approve(1)
    merged = people["dee"].merge()
    clone = people["dee"].clone
    assert clone.at_origin("rev-parse", "main") == merged
    assert clone.at_origin("diff", "--name-only", "main~1", "main") == PATH
    told = clone.at_origin("log", "-1", "--format=%an: %s / %(trailers:key=Runbookopt-Run)", "main")
    assert told.startswith(
        "Ana: triage: +0.40 on 50 held-out tasks (0.50 to 0.90) (#1) / Runbookopt-Run: run-1"
    )


def test_the_approval_of_the_author_or_of_an_unlisted_person_does_not_count(team: Proposes) -> None:
    people = team(REVIEW)
    people["ana"].forge.approve(1)
    people["dee"].forge.approve(1)
    people["bo"].is_refused("the author cannot approve", "does not list this person")


def test_an_approval_before_a_push_does_not_count_nor_one_of_who_pushed(team: Proposes) -> None:
    people = team(REVIEW.replace("]", ", dee]"))
    people["bo"].forge.approve(1)
    people["dee"].push_to_the_branch()
    people["dee"].forge.approve(1)
    people["bo"].is_refused("it was given for", "who committed or pushed to the branch cannot approve")
    people["bo"].forge.approve(1)
    people["bo"].merge()
    body = people["bo"].clone.at_origin("log", "-1", "--format=%B", "main")
    assert "Co-authored-by: Dee <dee@example.com>" in body


def test_what_a_person_pushed_is_guarded_too(team: Proposes) -> None:
    people = team(REVIEW)
    people["dee"].push_to_the_branch("merge: auto\n", "runbooks/triage/policy.yaml")
    people["bo"].forge.approve(1)
    people["bo"].is_refused("another file is touched: 'runbooks/triage/policy.yaml'")


def test_what_the_policy_lets_merge_by_itself_is_merged(team: Proposes) -> None:
    dee = team(AUTO)["dee"]
    (attempted,) = dee.merge_automatic()
    assert (attempted.number, attempted.runbook) == (1, "triage")
    assert attempted.merged == dee.clone.at_origin("rev-parse", "main")
    assert dee.merge_automatic() == []
    with pytest.raises(RunbookoptError, match="pull request 1 is merged"):
        dee.merge()


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (REVIEW, "the policy asks for review"),
        (None, "no policy is declared"),
        ("merge: auto\nauto_merge_if: {gain_at_least: 0.9}\n", "+0.900 is wanted"),
        ("merge: auto\nauto_merge_if: {changed_lines_at_most: 1}\n", "at most 1 is allowed"),
        ("merge: auto\nauto_merge_if: {growth_at_most: 0.001}\n", "growth:"),
    ],
)
def test_what_fails_one_condition_is_left_with_the_reason(
    team: Proposes, policy: str | None, reason: str
) -> None:
    bo = team(policy)["bo"]
    (left,) = bo.merge_automatic()
    assert left.merged is None
    assert any(reason in told for told in left.reasons)
    assert bo.forge.get(1).state == "open"


def test_what_people_approved_is_left_for_people_to_merge(team: Proposes) -> None:
    bo = team(REVIEW)["bo"]
    bo.forge.approve(1)
    (left,) = bo.merge_automatic()
    assert left.merged is None
    assert "runbookopt pulls merge 1" in left.reasons[0]


LINES = "trajectories/triage/2026.jsonl"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda lines: lines.replace("card", "cash", 59),
            "had another reference when they were looked at: t-10",
        ),
        (lambda lines: "".join(lines.splitlines(True)[:-2]), "looked at are gone: t-58, t-59"),
        (lambda _: "", "cannot be read there any more"),
        (lambda lines: lines.replace('"input":', '"group": "all", "input":'), "are in another group"),
    ],
)
def test_tasks_that_moved_under_an_open_pull_request_need_a_person(
    team: Proposes, change: Callable[[str], str], reason: str
) -> None:
    people = team("merge: auto\nreviewers: [bo]\n")
    lines = (people["dee"].clone.root / LINES).read_text()
    people["dee"].clone.commit({LINES: change(lines)})
    (left,) = people["bo"].merge_automatic()
    assert left.merged is None
    assert any(reason in told for told in left.reasons), left.reasons
    people["bo"].forge.approve(1)
    assert people["dee"].merge()


def test_a_refusal_lists_what_is_missing_alone_and_where_nobody_could_approve_what_to_do(
    team: Proposes,
) -> None:
    people = team(None)
    with pytest.raises(Refused) as caught:
        people["bo"].merge()
    what, then = str(caught.value).splitlines()[1:]
    assert what == "- the policy names no reviewers, so no approval counts"
    assert then.startswith(
        "- declare reviewers in runbooks/triage/policy.yaml on the default branch, then run"
    )


def test_what_people_edited_is_merged_without_a_claim(team: Proposes) -> None:
    people = team(REVIEW)
    people["dee"].push_to_the_branch()
    people["bo"].forge.approve(1)
    people["dee"].merge()
    message = people["dee"].clone.at_origin("log", "-1", "--format=%B", "main")
    assert message.splitlines()[0] == "triage: proposed by runbookopt and edited by people (#1)"
    assert "differs from what was proved" in message
    assert "Gain" not in message
    assert "+0.40" not in message


def test_what_a_person_pushed_does_not_merge_by_itself(team: Proposes) -> None:
    people = team(AUTO)
    people["dee"].push_to_the_branch()
    (left,) = people["bo"].merge_automatic()
    assert left.merged is None
    assert any("somebody else pushed" in reason for reason in left.reasons)


def test_a_commit_that_only_looks_like_ours_does_not_merge_by_itself(team: Proposes) -> None:
    """Somebody who may push can also write events; the tree of the commit is what counts."""
    bo = team(AUTO)["bo"]
    pull = bo.forge.get(1)
    text = bo.repository.revision(pull.head).read(PATH).replace(b"`card`", b"`fraud`")
    tree = bo.repository.write_tree({PATH: text}, onto=pull.head)
    commit = bo.repository.commit(pull.head)
    forged = bo.repository.write_commit(tree, commit.parents, commit.message)
    draft = {name: getattr(pull, name) for name in ("branch", "base", "title", "body", "reviewers", "bundle")}
    bo.forge.update(1, Draft(**draft, head=forged, auto_merge=True), replaces=pull.head)
    (left,) = bo.merge_automatic()
    assert left.merged is None
    assert any("is not the change of its bundle" in reason for reason in left.reasons)


def test_a_bundle_that_is_not_in_the_ledger_merges_nothing(team: Proposes) -> None:
    bo = team(AUTO)["bo"]
    bo.clone.at_origin("update-ref", "-d", "refs/runbookopt/ledger")
    with pytest.raises(RunbookoptError, match="is not in the ledger"):
        bo.merge()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (PATH, "# Triage\n\n## Rules\n- Otherwise `other`\n"),
        ("runbooks/triage/rubric.yaml", "criteria:\n  - {id: short, check: {kind: max_chars, value: 9}}\n"),
        ("runbooks/triage/policy.yaml", "merge: auto\napprovals: 1\n"),
    ],
)
def test_what_moved_on_the_default_branch_since_stops_the_merge(
    team: Proposes, path: str, content: str
) -> None:
    people = team(AUTO)
    people["dee"].clone.commit({path: content})
    with pytest.raises(Stale, match=f"{path}: changed on origin's default branch"):
        people["bo"].merge()
    (left,) = people["bo"].merge_automatic()
    assert "run optimize-runbook triage again" in left.reasons[0]


def test_new_trajectories_and_other_files_do_not(team: Proposes) -> None:
    people = team(AUTO)
    new = '{"id": "n", "task": {"input": "a new one", "split": "held-out"}}\n'
    people["dee"].clone.commit({"trajectories/triage/new.jsonl": new, "README.md": "hello\n"})
    (attempted,) = people["bo"].merge_automatic()
    assert attempted.merged is not None
    assert people["bo"].clone.at_origin("show", "main:README.md") == "hello"


def test_the_default_branch_may_move_between_the_judgement_and_the_push(team: Proposes) -> None:
    people = team(AUTO)
    moved = people["dee"].clone.commit({"README.md": "hello\n"}, push=False)
    people["dee"].repository.origin.push(RefUpdate("refs/heads/aside", None, moved))
    once = f"unset GIT_QUARANTINE_PATH; git update-ref refs/heads/main {moved}; rm $0"
    people["bo"].clone.hook("pre-receive", once)
    merged = people["bo"].merge()
    assert people["bo"].clone.at_origin("rev-parse", "main~1") == moved
    assert people["bo"].clone.at_origin("rev-parse", "main") == merged
