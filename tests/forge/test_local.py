import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec
import pytest

from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.output import GitFailed, MergeConflict, PushRefused, PushRejected, RefUpdate
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.forge.protocol import Draft, Forge, PullRequest

if TYPE_CHECKING:
    from tests.conftest import Clone

Make = Callable[..., "Clone"]


class Desk:
    """A person at a clone, with the local forge."""

    def __init__(self, clone: "Clone", repository: Repository) -> None:
        self.clone, self.repository = clone, repository
        self.forge: Forge = LocalForge(repository)

    def draft(self, name: str = "triage", text: str = "new\n", base: str = "origin/main") -> Draft:
        tree = self.repository.write_tree({"RUNBOOK.md": text.encode()}, onto=base)
        head = self.repository.write_commit(tree, [self.repository.resolve(base)], "Improve\n")
        asked = {"reviewers": ("bo",), "auto_merge": False, "bundle": "sha256:00"}
        return Draft(
            branch=f"runbookopt/{name}", base="main", head=head, title=f"Improve {name}", body="Why", **asked
        )

    def opens(self, name: str = "triage", text: str = "new\n") -> PullRequest:
        return self.forge.open(self.draft(name, text), replaces=None)


Sit = Callable[..., Desk]


@pytest.fixture
def sit(repo: Make) -> "Callable[[], Sit]":
    """Let people sit down at clones of one origin: `sit("ana")`."""
    with ExitStack() as stack:
        first = repo({"RUNBOOK.md": "old\n", "README.md": "hello\n"})

        def down(login: str) -> Desk:
            clone = first.again(login, login)
            return Desk(clone, stack.enter_context(Repository.open(clone.root)))

        yield down


def test_a_pull_request_is_read_back_as_it_was_drafted(sit: Sit) -> None:
    ana, bo = sit("ana"), sit("bo")
    opened = ana.opens()
    assert opened == bo.forge.get(1) == bo.forge.pull_requests()[0]
    assert (opened.number, opened.state, opened.author, opened.approvals) == (1, "open", "ana", ())
    assert (opened.title, opened.body, opened.reviewers) == ("Improve triage", "Why", ("bo",))
    assert opened.head == opened.proposed == ana.clone.at_origin("rev-parse", "runbookopt/triage")
    assert opened.url == f"{ana.clone.origin.as_uri()}#refs/runbookopt/pulls/1"


def test_there_may_be_none(sit: Sit) -> None:
    ana = sit("ana")
    assert ana.forge.pull_requests() == ()
    with pytest.raises(RunbookoptError, match="no pull request 7"):
        ana.forge.get(7)


def test_an_update_moves_branch_and_text_and_keeps_the_number(sit: Sit) -> None:
    ana = sit("ana")
    first = ana.opens()
    second = msgspec.structs.replace(ana.draft(text="newer\n"), title="Better")
    updated = ana.forge.update(1, second, replaces=first.head)
    assert (updated.number, updated.title, updated.head) == (1, "Better", second.head)
    with pytest.raises(PushRejected):
        ana.forge.update(1, ana.draft(text="newest\n"), replaces=first.head)


def test_neither_branch_nor_pull_request_when_the_branch_is_taken(sit: Sit) -> None:
    ana = sit("ana")
    ana.clone.git("push", "-q", "origin", "HEAD:runbookopt/triage")
    with pytest.raises(PushRejected):
        ana.opens()
    assert ana.forge.pull_requests() == ()


def test_a_branch_has_one_open_pull_request(sit: Sit) -> None:
    ana = sit("ana")
    opened = ana.opens()
    with pytest.raises(PushRejected, match="has an open pull request"):
        ana.forge.open(ana.draft(text="other\n"), replaces=opened.head)


def test_who_pushed_by_hand_is_a_maker_by_login_and_address(sit: Sit) -> None:
    ana, bo = sit("ana"), sit("bo")
    opened = ana.opens()
    assert opened.makers == ("ana", "ana@example.com")
    bo.forge.approve(1)
    bo.clone.git("checkout", "-q", "-b", "mine", opened.head)
    pushed = bo.clone.commit({"RUNBOOK.md": "by hand\n"}, push=False)
    bo.clone.git("push", "-q", "origin", "HEAD:runbookopt/triage")
    found = ana.forge.get(1)
    assert (found.head, found.proposed) == (pushed, opened.head)
    assert found.makers == ("ana", "ana@example.com", "bo", "bo@example.com")
    assert [(a.by, a.head) for a in found.approvals] == [("bo", opened.head)]


def test_a_reviewer_who_approved_with_the_authors_address_is_no_maker(sit: Sit) -> None:
    ana, bo = sit("ana"), sit("bo")
    ana.opens()
    bo.clone.git("config", "user.email", "ana@example.com")
    bo.forge.approve(1)
    bo.clone.git("config", "user.email", "bo@example.com")
    found = bo.forge.approve(1)
    assert found.makers == ("ana", "ana@example.com")
    assert [(a.by, a.email) for a in found.approvals] == [("bo", "ana@example.com"), ("bo", "bo@example.com")]


def test_without_origin_there_are_no_pull_requests_not_even_stale_ones(sit: Sit) -> None:
    ana = sit("ana")
    ana.opens()
    ana.clone.git("remote", "remove", "origin")
    with pytest.raises(GitFailed, match="there is no origin"):
        ana.forge.pull_requests()


def test_an_approval_needs_a_name(sit: Sit, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = sit("ana")
    ana.opens()
    ana.clone.git("config", "--unset", "runbookopt.login")
    assert ana.forge.approve(1).approvals[0].by == "ana@example.com"
    ana.clone.git("config", "--unset", "user.email")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    with pytest.raises(RunbookoptError, match=r"git config runbookopt\.login"):
        ana.forge.approve(1)


def test_what_is_closed_is_not_open_to_anything(sit: Sit) -> None:
    ana = sit("ana")
    head = ana.opens().head
    assert ana.forge.close(1).state == "closed"
    for act in (ana.forge.approve, ana.forge.close):
        with pytest.raises(RunbookoptError, match="pull request 1 is closed"):
            act(1)
    with pytest.raises(RunbookoptError, match="is closed"):
        ana.forge.merge(1, "m", head=head, onto=ana.repository.base())


def test_who_deletes_the_branch_closes_the_pull_request(sit: Sit) -> None:
    ana = sit("ana")
    ana.opens()
    ana.clone.git("push", "-q", "origin", ":runbookopt/triage")
    assert ana.forge.get(1).state == "closed"


def test_a_pull_request_whose_branch_was_deleted_stays_closed_when_the_name_is_used_again(sit: Sit) -> None:
    ana = sit("ana")
    ana.opens()
    ana.clone.git("push", "-q", "origin", ":runbookopt/triage")
    ana.opens(text="other\n")
    ana.opens("billing")
    assert [pull.state for pull in ana.forge.pull_requests()] == ["closed", "open", "open"]
    with pytest.raises(RunbookoptError, match="pull request 1 is closed"):
        ana.forge.approve(1)
    ana.forge.close(2)
    assert [pull.state for pull in ana.forge.pull_requests()] == ["closed", "closed", "open"]


def test_a_head_pushed_by_hand_is_kept_when_its_branch_is_gone(sit: Sit) -> None:
    ana = sit("ana")
    opened = ana.opens()
    by_hand = ana.repository.write_commit("HEAD^{tree}", [opened.head], "By hand")
    ana.repository.origin.push(RefUpdate("refs/heads/runbookopt/triage", opened.head, by_hand))
    ana.forge.close(1)
    ana.clone.git("push", "-q", "origin", ":runbookopt/triage")
    kept = ana.clone.at_origin("rev-list", "refs/runbookopt/pulls/1").split()
    assert {opened.head, by_hand} <= set(kept)


def test_a_merge_is_one_commit_on_the_default_branch(sit: Sit) -> None:
    ana, bo = sit("ana"), sit("bo")
    opened = ana.opens()
    onto = bo.repository.base()
    merged = bo.forge.merge(1, "Improve (#1)\n\nRunbookopt-Run: r\n", head=opened.head, onto=onto)
    assert (
        bo.clone.at_origin("log", "--format=%H %P|%an|%cn|%s", "-1", "main")
        == f"{merged} {onto}|Ana|Bo|Improve (#1)"
    )
    assert bo.clone.at_origin("diff", "--name-only", onto, "main") == "RUNBOOK.md"
    assert bo.clone.at_origin("branch", "--list", "runbookopt/*") == ""
    assert ana.forge.get(1).state == "merged"


def test_a_merge_onto_a_branch_that_moved_keeps_both_changes(sit: Sit) -> None:
    ana = sit("ana")
    opened = ana.opens()
    ana.clone.commit({"README.md": "hello, world\n"})
    ana.forge.merge(1, "m", head=opened.head, onto=ana.repository.base())
    files = [ana.clone.at_origin("show", f"main:{path}") for path in ("RUNBOOK.md", "README.md")]
    assert files == ["new", "hello, world"]


def test_a_merge_that_conflicts_changes_nothing(sit: Sit) -> None:
    ana = sit("ana")
    opened = ana.opens()
    moved = ana.clone.commit({"RUNBOOK.md": "otherwise\n"})
    with pytest.raises(MergeConflict, match=r"conflicts in RUNBOOK\.md"):
        ana.forge.merge(1, "m", head=opened.head, onto=ana.repository.base())
    assert ana.clone.at_origin("rev-parse", "main") == moved
    assert ana.forge.get(1).state == "open"


def test_what_was_not_judged_is_not_merged(sit: Sit) -> None:
    ana = sit("ana")
    opened = ana.opens()
    onto = ana.repository.base()
    moved = ana.clone.commit({"README.md": "hello, world\n"})
    with pytest.raises(PushRejected):
        ana.forge.merge(1, "m", head=opened.head, onto=onto)
    pushed = ana.repository.write_commit("HEAD^{tree}", [opened.head], "By hand")
    ana.repository.origin.push(RefUpdate("refs/heads/runbookopt/triage", opened.head, pushed))
    with pytest.raises(PushRejected):
        ana.forge.merge(1, "m", head=opened.head, onto=moved)
    assert ana.clone.at_origin("rev-parse", "main") == moved


def test_an_origin_that_refuses_the_merge_is_quoted_and_keeps_everything(sit: Sit) -> None:
    ana = sit("ana")
    opened = ana.opens()
    ana.clone.hook("update", "[ $1 != refs/heads/main ] || { echo 'main is frozen'; exit 1; }")
    with pytest.raises(PushRefused, match="main is frozen"):
        ana.forge.merge(1, "m", head=opened.head, onto=ana.repository.base())
    assert ana.forge.get(1).state == "open"


def test_an_origin_that_keeps_its_branches_merges_all_the_same(sit: Sit) -> None:
    ana = sit("ana")
    opened = ana.opens()
    ana.clone.at_origin("config", "receive.denyDeletes", "true")
    ana.forge.merge(1, "m", head=opened.head, onto=ana.repository.base())
    assert ana.forge.get(1).state == "merged"


OPEN = """
import sys
from pathlib import Path
import msgspec
from runbookopt.forge.protocol import Draft
from runbookopt.forge.local import LocalForge
from runbookopt.forge.git.repository import Repository
with Repository.open(Path(sys.argv[1])) as repository:
    print(LocalForge(repository).open(msgspec.json.decode(sys.argv[2], type=Draft), replaces=None).number)
"""


def test_pull_requests_opened_at_once_get_numbers_of_their_own(sit: Sit) -> None:
    desks = [sit(f"p{number}") for number in range(3)]

    def opens(desk: Desk) -> str:
        draft = msgspec.json.encode(desk.draft(desk.clone.root.name)).decode()
        command = [sys.executable, "-W", "error", "-c", OPEN, str(desk.clone.root), draft]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(opens, desks)) == ["1", "2", "3"]
    assert {p.branch for p in desks[0].forge.pull_requests()} == {f"runbookopt/p{n}" for n in range(3)}


def test_what_is_no_event_is_one_clear_error(sit: Sit) -> None:
    ana = sit("ana")
    ana.clone.git("push", "-q", "origin", "HEAD:refs/runbookopt/pulls/1")
    with pytest.raises(GitFailed, match="holds no event"):
        ana.forge.get(1)


def test_a_word_for_an_audit_is_of_one_head_and_is_no_approval(sit: Sit) -> None:
    ana, bo = sit("ana"), sit("bo")
    number = ana.opens().number
    audit = f"sha256:{'1' * 64}"
    pull = bo.forge.attest(number, audit)
    (word,) = pull.attestations
    assert (word.by, word.head, word.audit) == ("bo", pull.head, audit)
    assert (word.email, pull.approvals, pull.state) == ("bo@example.com", (), "open")
    assert "bo" not in pull.makers
    assert ana.forge.approve(number).attestations == (word,)


def test_events_hold_nothing_of_which_earlier_releases_know_nothing_but_where_there_is_an_audit(
    sit: Sit,
) -> None:
    ana, bo = sit("ana"), sit("bo")
    number = ana.opens().number
    bo.forge.approve(number)
    last = ana.clone.at_origin("log", "-1", "--format=%B", f"refs/runbookopt/pulls/{number}")
    assert set(msgspec.json.decode(last.splitlines()[-1])) == {"kind", "by", "email", "head"}
