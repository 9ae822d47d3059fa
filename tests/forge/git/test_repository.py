import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbookopt.documents.parse import MalformedFile
from runbookopt.forge.git.output import (
    GitFailed,
    MergeConflict,
    OriginUnreachable,
    Person,
    PushRefused,
    PushRejected,
    RefUpdate,
)
from runbookopt.forge.git.repository import FileChange, Repository

if TYPE_CHECKING:
    from tests.conftest import Clone

Make = Callable[..., "Clone"]

ODD = {"-x": "one\n", "a\nb.md": "two", "d/é ü.md": "three\r\n", ":(glob)*": "four"}


def test_a_revision_gives_the_exact_bytes_of_files_with_odd_names(repo: Make) -> None:
    with Repository.open(repo(ODD).root) as repository:
        revision = repository.revision(repository.base())
        assert revision.files("") == sorted(ODD)
        assert revision.files("d") == ["d/é ü.md"]
        assert revision.files("absent") == []
        assert {path: revision.read(path) for path in ODD} == {p: t.encode() for p, t in ODD.items()}


def test_what_a_revision_does_not_have_is_not_found(repo: Make) -> None:
    clone = repo({"runbooks/x/RUNBOOK.md": "Do\n"})
    (clone.root / "link.md").symlink_to("runbooks/x/RUNBOOK.md")
    head = clone.commit({})
    with Repository.open(clone.root) as repository:
        for path in ("absent.md", "runbooks/x", "link.md"):
            with pytest.raises(FileNotFoundError, match=path):
                repository.revision(head).read(path)


def test_a_file_in_lfs_is_one_clear_error(repo: Make) -> None:
    clone = repo({"t.jsonl": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"})
    with (
        Repository.open(clone.root) as repository,
        pytest.raises(MalformedFile, match=r"t\.jsonl: .* Git LFS"),
    ):
        repository.revision(repository.base()).read("t.jsonl")


def test_the_files_whose_content_is_not_the_bases_are_named(repo: Make) -> None:
    clone = repo({**ODD, "runbooks/x/RUNBOOK.md": "Do\n", "t/x/a.jsonl": "1\n", "other": ""})
    clone.write({"-x": "ONE\n", "t/x/b.jsonl": "2\n", "t/x/.swp": "", "other": "changed"})
    (clone.root / "runbooks/x/RUNBOOK.md").unlink()
    with Repository.open(clone.root) as repository:
        named = repository.working_tree_differs("HEAD", ["runbooks/x", "t/x", *ODD])
        assert named == ("-x", "runbooks/x/RUNBOOK.md", "t/x/b.jsonl")


def test_line_endings_that_git_converts_are_no_difference(repo: Make) -> None:
    clone = repo({"RUNBOOK.md": "Do\nthis\n"})
    clone.git("config", "core.autocrlf", "true")
    clone.write({"RUNBOOK.md": "Do\r\nthis\r\n"})
    with Repository.open(clone.root) as repository:
        assert repository.working_tree_differs("HEAD", ["RUNBOOK.md"]) == ()


def test_a_link_differs_by_where_it_leads(repo: Make) -> None:
    clone = repo({"a": "same", "b": "same"})
    (clone.root / "link").symlink_to("a")
    clone.commit({})
    with Repository.open(clone.root) as repository:
        assert repository.working_tree_differs("HEAD", ["link", "a"]) == ()
        for path, target in (("link", "b"), ("a", "b")):
            (clone.root / path).unlink()
            (clone.root / path).symlink_to(target)
        assert repository.working_tree_differs("HEAD", ["link", "a"]) == ("a", "link")


def test_the_variables_of_a_hook_do_not_lead_astray(repo: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    clone, other = repo({"a": "mine"}), repo({"a": "other"}, "other")
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.root))
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    with Repository.open(clone.root) as repository:
        assert repository.revision(repository.base()).read("a") == b"mine"
        assert repository.diff("HEAD", repository.write_tree({"a": b"new"}, onto="HEAD"))


def test_what_is_not_a_repository_to_work_in_is_one_clear_error(repo: Make, tmp_path: Path) -> None:
    clone = repo()
    subprocess.run(["git", "init", "-q", str(tmp_path / "new")], check=True)
    (tmp_path / "plain").mkdir()
    for folder, complaint in (
        (tmp_path / "plain", "not in a git repository"),
        (tmp_path / "absent", "no such folder"),
        (tmp_path / "new", "no commits yet"),
        (clone.origin, "bare git repository"),
    ):
        with pytest.raises(GitFailed, match=complaint):
            Repository.open(folder)


def test_a_repository_that_gitpython_cannot_read_is_one_clear_error(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--object-format=sha256", str(tmp_path)], check=True)
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "x"], cwd=tmp_path, check=True)
    with pytest.raises(GitFailed, match="names its objects by SHA-256"):
        Repository.open(tmp_path)


def test_without_git_on_the_path_there_is_one_clear_error(
    repo: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Repository.open(repo().root) as repository:
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(GitFailed, match="git is not installed"):
            repository.resolve("HEAD")


def test_a_subfolder_and_a_detached_head_are_fine(repo: Make) -> None:
    clone = repo({"d/a": "1"})
    head = clone.git("rev-parse", "HEAD")
    clone.git("checkout", "-q", "--detach")
    with Repository.open(clone.root / "d") as repository:
        assert (repository.root, repository.base()) == (clone.root, head)


def test_the_base_is_what_origin_has_now(repo: Make) -> None:
    clone = repo()
    pushed = clone.again("bo", "bo").commit({"a": "2"})
    clone.commit({"b": "mine"}, push=False)
    with Repository.open(clone.root) as repository:
        assert repository.base() == pushed


def default_branch(clone: "Clone") -> str:
    with Repository.open(clone.root) as repository:
        return repository.origin.default_branch()


def test_the_default_branch_is_asked_of_origin(repo: Make) -> None:
    clone = repo()
    clone.git("push", "-q", "origin", "HEAD:trunk", "HEAD:zeta")
    clone.at_origin("symbolic-ref", "HEAD", "refs/heads/trunk")
    assert default_branch(clone) == "trunk"
    clone.at_origin("symbolic-ref", "HEAD", "refs/heads/never-pushed")
    assert default_branch(clone) == "main"
    clone.at_origin("update-ref", "-d", "refs/heads/main")
    with pytest.raises(GitFailed, match="HEAD names no branch"):
        default_branch(clone)


def test_an_origin_that_is_absent_empty_or_silent_is_one_clear_error(repo: Make, tmp_path: Path) -> None:
    clone = repo()
    with Repository.open(clone.root) as repository:
        clone.git("remote", "remove", "origin")
        assert repository.base() == clone.git("rev-parse", "HEAD")
        with pytest.raises(GitFailed, match="no remote named origin"):
            repository.origin.default_branch()
        clone.git("remote", "add", "origin", str(tmp_path / "absent.git"))
        with pytest.raises(OriginUnreachable, match=r"cannot reach origin: '.*absent\.git' does not appear"):
            repository.base()
        subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "absent.git")], check=True)
        with pytest.raises(GitFailed, match="origin has no branches"):
            repository.base()


def test_no_error_shows_the_credentials_of_an_url(repo: Make) -> None:
    clone = repo()
    clone.git("remote", "set-url", "origin", "http://bo:hunter2@127.0.0.1:9/x.git")
    with Repository.open(clone.root) as repository, pytest.raises(OriginUnreachable) as caught:
        repository.base()
    assert "127.0.0.1" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_commit_is_built_of_exact_bytes_and_touches_nothing_else(repo: Make) -> None:
    clone = repo({"run.sh": "old\n", ".gitattributes": "* text eol=crlf\n"})
    (clone.root / "run.sh").chmod(0o755)
    base = clone.commit({})
    clone.write({"run.sh": "dirty", "staged": "staged"})
    clone.git("add", "staged")
    index = (clone.root / ".git/index").read_bytes()
    before = [clone.git("status", "--porcelain=v2"), clone.git("symbolic-ref", "HEAD"), index]
    with Repository.open(clone.root) as repository:
        tree = repository.write_tree({"run.sh": b"new\r\nmixed\n\xff", "x/-y\n": b""}, onto=base)
        commit = repository.write_commit(tree, [base], "Change\n\nWhy.\n\nRunbookopt-Run: r1\n")
        assert repository.revision(commit).read("run.sh") == b"new\r\nmixed\n\xff"
        assert [change.new_mode for change in repository.diff(base, commit)] == ["100755", "100644"]
        assert repository.commit(commit).message == "Change\n\nWhy.\n\nRunbookopt-Run: r1\n"
    index = (clone.root / ".git/index").read_bytes()
    assert before == [clone.git("status", "--porcelain=v2"), clone.git("symbolic-ref", "HEAD"), index]


def test_the_users_hooks_do_not_run_and_nothing_is_signed(repo: Make, tmp_path: Path) -> None:
    clone = repo()
    clone.git("config", "commit.gpgsign", "true")
    for name in ("pre-push", "reference-transaction", "post-index-change"):
        clone.hook(name, f"touch {tmp_path / 'ran'}; exit 1", at=clone.root / ".git")
    with Repository.open(clone.root) as repository:
        tree = repository.write_tree({"a": b""}, onto="HEAD")
        commit = repository.write_commit(tree, [repository.base()], "Change")
        repository.origin.push(RefUpdate("refs/heads/new", None, commit))
    assert not (tmp_path / "ran").exists()
    assert clone.at_origin("rev-parse", "new") == commit


def test_commits_are_made_where_git_knows_nobody(repo: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = repo()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    with Repository.open(clone.root) as repository:
        assert repository.identity() is None
        made = repository.commit(repository.write_commit("HEAD^{tree}", [], "Root"))
        assert made.author == made.committer == Person("runbookopt", "runbookopt@localhost")


def test_somebody_is_known_by_login_before_email(repo: Make) -> None:
    clone = repo()
    with Repository.open(clone.root) as repository:
        assert repository.identity() == "ana@example.com"
        clone.git("config", "runbookopt.login", "ana")
        assert repository.identity() == "ana"


def test_refs_at_origin_move_all_or_none_and_only_from_what_they_were(repo: Make) -> None:
    clone = repo()
    with Repository.open(clone.root) as repository:
        base = repository.base()
        new = repository.write_commit("HEAD^{tree}", [base], "New")
        repository.origin.push(RefUpdate("refs/heads/a", None, base), RefUpdate("refs/x/1", None, new))
        with pytest.raises(PushRejected):
            repository.origin.push(RefUpdate("refs/heads/a", base, new), RefUpdate("refs/x/1", None, base))
        with pytest.raises(PushRejected):
            repository.origin.push(RefUpdate("refs/heads/a", new, None))
        assert clone.at_origin("rev-parse", "refs/heads/a", "refs/x/1").split() == [base, new]
        repository.origin.push(RefUpdate("refs/heads/a", base, None))
    assert clone.at_origin("for-each-ref", "refs/heads/a") == ""


def test_a_server_that_refuses_is_quoted(repo: Make) -> None:
    clone = repo()
    clone.hook("pre-receive", "echo 'Freeze until Monday'; exit 1")
    with (
        Repository.open(clone.root) as repository,
        pytest.raises(PushRefused, match="Freeze until Monday"),
    ):
        repository.origin.push(RefUpdate("refs/heads/a", None, repository.base()))


def test_a_branch_that_leaves_no_room_is_no_race(repo: Make) -> None:
    clone = repo()
    clone.git("push", "-q", "origin", "HEAD:runbookopt")
    with Repository.open(clone.root) as repository:
        base = repository.base()
        branch, event = RefUpdate("refs/heads/runbookopt/x", None, base), RefUpdate("refs/x/1", None, base)
        for updates in ([branch], [branch, event]):
            with pytest.raises(PushRefused, match="'refs/heads/runbookopt' exists; cannot create"):
                repository.origin.push(*updates)


def test_a_diff_tells_renames_modes_and_links(repo: Make) -> None:
    clone = repo({"a\tb": "text that is long enough to be known again\n", "run": "x", "gone": "y"})
    base = clone.git("rev-parse", "HEAD")
    clone.git("mv", "--", "a\tb", "-c")
    (clone.root / "run").unlink()
    (clone.root / "run").symlink_to("/etc/passwd")
    (clone.root / "gone").unlink()
    head = clone.commit({"new": ""})
    with Repository.open(clone.root) as repository:
        assert repository.diff(base, base) == []
        assert sorted(repository.diff(base, head), key=lambda change: change.status) == [
            FileChange("A", None, "new", None, "100644"),
            FileChange("D", "gone", None, "100644", None),
            FileChange("R", "a\tb", "-c", "100644", "100644"),
            FileChange("T", "run", "run", "100644", "120000"),
        ]


def test_a_patch_is_applied_to_the_byte(repo: Make) -> None:
    old, new = b"one\r\ntwo  \r\nend", b"one\r\n two\t\r\nend\r\n"
    clone = repo({"-r.md": old})
    clone.git("config", "core.autocrlf", "true")
    clone.git("config", "apply.whitespace", "fix")
    with Repository.open(clone.root) as repository:
        base = repository.base()
        wanted = repository.write_tree({"-r.md": new}, onto=base)
        patch = subprocess.run(["git", "diff", base, wanted], cwd=clone.root, check=True, capture_output=True)
        assert repository.apply(patch.stdout, onto=base) == wanted
        with pytest.raises(GitFailed, match="git apply"):
            repository.apply(patch.stdout, onto=wanted)


@pytest.mark.parametrize("new", ["", "one", "one\r\ntwo  \r\nend\n", "one\r\n\u2028two\x0c\r\nend", "ü\r"])
def test_a_patch_makes_the_text_that_it_was_made_of(repo: Make, new: str) -> None:
    clone = repo({"a b/ü.md": b"one\r\ntwo  \r\nend"})
    with Repository.open(clone.root) as repository:
        base = repository.base()
        tree = repository.apply(repository.patch(base, "a b/ü.md", new).encode(), onto=base)
        assert tree == repository.write_tree({"a b/ü.md": new.encode()}, onto=base)


def test_a_merge_takes_both_sides_or_names_the_conflict(repo: Make) -> None:
    clone = repo({"a": "1\n", "b": "1\n"})
    with Repository.open(clone.root) as repository:
        base = repository.base()

        def side(files: dict[str, bytes]) -> str:
            return repository.write_commit(repository.write_tree(files, onto=base), [base], "Side")

        both = repository.merge(side({"a": b"2\n"}), side({"b": b"2\n"}))
        assert both == repository.write_tree({"a": b"2\n", "b": b"2\n"}, onto=base)
        with pytest.raises(MergeConflict, match=r"conflicts in a$"):
            repository.merge(side({"a": b"2\n"}), side({"a": b"3\n"}))


def test_a_shallow_clone_fetches_what_it_lacks(repo: Make) -> None:
    clone = repo({"a": "first"})
    first = clone.git("rev-parse", "HEAD")
    last = clone.commit({"a": "last"})
    shallow = clone.again("shallow", "bo", "--depth=1")
    with Repository.open(shallow.root) as repository:
        assert repository.base() == last
        assert repository.revision(first).read("a") == b"first"
        assert repository.is_ancestor(first, last)
        assert not repository.is_ancestor(last, first)
        with pytest.raises(GitFailed, match="not in this clone nor at origin"):
            repository.revision("0" * 39 + "1")


def test_several_processes_may_fetch_at_once(repo: Make) -> None:
    clone = repo()
    clone.again("bo", "bo").commit({"a": "2"})

    def base(_: int) -> str:
        code = "from pathlib import Path; from runbookopt.forge.git.repository import Repository\n"
        code += "with Repository.open(Path.cwd()) as r: print(r.base())"
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=clone.root, check=True, capture_output=True, text=True).stdout

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(base, range(4)))) == 1


def test_no_part_of_a_password_is_repeated_even_if_it_holds_an_at_sign(repo: Make) -> None:
    clone = repo({"a.txt": "a"})
    clone.git("remote", "set-url", "origin", "https://robot:p@ss-word@host.example/team/x.git")
    with Repository.open(clone.root) as repository:
        assert repository.origin.url == "https://host.example/team/x.git"
