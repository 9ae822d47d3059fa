"""Repository of the user: objects, refs and settings, read and written.

Nothing here touches the user's checkout, index or HEAD. Commits are built by plumbing, from the bytes of
blobs and in an index of their own, and not in a worktree: `git worktree add` would run the user's
post-checkout hook and the filters of .gitattributes (line endings, LFS), so what came back might not be the
candidate's bytes, and a crash would leave a worktree behind. For the same reasons the user's client-side
hooks are not run (a pre-push hook tests a checkout that is not what is pushed; the server's hooks are, and
their word is shown), and commits are not signed, whatever commit.gpgsign says: nobody sits there to type a
passphrase.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from runbookopt.documents.parse import whole
from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.origin import Origin, attempts
from runbookopt.forge.git.output import (
    Commit,
    FileChange,
    GitFailed,
    MergeConflict,
    OriginUnreachable,
    Person,
    PushRejected,
    TreeEntry,
    in_one_line,
    parse_changes,
    parse_tree,
)
from runbookopt.forge.git.process import Git

__all__ = ["Commit", "FileChange", "GitFailed", "Person", "Repository", "Revision"]


_LINK = "120000"


class Revision:
    """The files of one commit: a `Source`, as a folder is. Links, and names not in UTF-8, are no files."""

    def __init__(self, repository: "Repository", commit: str) -> None:
        self.commit = commit
        self._repository = repository

    def _blobs(self, under: str) -> dict[str, str]:
        files = (file for file in self._repository.tree(self.commit, under) if file.mode.startswith("100"))
        # Python has half characters for bytes that are not Unicode
        return {file.path: file.blob for file in files if not re.search("[\ud800-\udfff]", file.path)}

    def files(self, under: str) -> list[str]:
        """The files in a folder ("" for all): paths from the root, sorted; none if it is absent."""
        folder = under.strip("/")
        return sorted(path for path in self._blobs(folder) if path != folder)

    def names(self, folder: str) -> list[str]:
        """The names of the files and folders in a folder ("" for the root), sorted; none if it is absent."""
        inside = self._repository.folder(self.commit, folder.strip("/"))
        kept = (name for name, mode in inside.items() if mode == "40000" or mode.startswith("100"))
        return sorted(name for name in kept if not re.search("[\ud800-\udfff]", name))

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder ("" for the root), sorted; none if it is absent."""
        inside = self._repository.folder(self.commit, folder.strip("/"))
        return sorted(
            name
            for name, mode in inside.items()
            if mode == "40000" and not re.search("[\ud800-\udfff]", name)
        )

    def links(self, under: str) -> list[str]:
        """The symbolic links under a folder ("" for all): paths from the root, sorted."""
        files = self._repository.tree(self.commit, under.strip("/"))
        return sorted(
            file.path for file in files if file.mode == _LINK and not re.search("[\ud800-\udfff]", file.path)
        )

    def linked(self, folder: str) -> list[str]:
        """The names of the symbolic links in a folder ("" for the root), sorted; none if it is absent."""
        inside = self._repository.folder(self.commit, folder.strip("/"))
        kept = (name for name, mode in inside.items() if mode == _LINK)
        return sorted(name for name in kept if not re.search("[\ud800-\udfff]", name))

    def link(self, path: str) -> str | None:
        """Where the symbolic link at a path leads, as it says; None where there is none."""
        there = self._repository.tree(self.commit, path)
        found = next((file for file in there if file.path == path and file.mode == _LINK), None)
        return None if found is None else os.fsdecode(self._repository.blob(found.blob))

    def read(self, path: str) -> bytes:
        """The bytes of the blob, without line-ending or other filters. Raises FileNotFoundError."""
        blob = self._blobs(path).get(path)
        if blob is None:
            raise FileNotFoundError(f"{path} is not a file of commit {self.commit[:12]}")
        return whole(self._repository.blob(blob), path)


class Repository:
    """The user's clone. Give it back with `with` or `close()`: it keeps a `git cat-file` running."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self.root = git.root
        self.talk_by(git.run)
        self.origin = Origin(lambda *how: self.talk(*how), git.run, git.setting)  # noqa: PLW0108 - see talk_by
        self._revisions: dict[str, Revision] = {}
        # What follows is of ids alone, and so stays true.
        self._commits: dict[str, Commit] = {}
        self._roots: dict[str, str] = {}
        self._folders: dict[str, dict[str, tuple[str, str]]] = {}
        self._answers: dict[tuple[str, ...] | tuple[bytes, str], str] = {}

    # Opening ------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: Path, *, empty: bool = False) -> Self:
        """Open the repository that `path` lies in; `empty` takes one without commits too.

        Raises GitFailed: no repository, bare, no commits.
        """
        repository = cls(Git.at(path))
        try:
            repository._must_be_readable(empty=empty)
        except RunbookoptError:
            repository.close()
            raise
        return repository

    def authorize(self, url: str, token: Callable[[], str]) -> None:
        """Show a token (asked for each time) to the server of origin at `url`, and to no other."""
        self._git.authorize(url, token)

    def talk_by(self, talk: Callable[..., tuple[int, bytes, str]]) -> None:
        """Have somebody else speak to origin, with arguments of git: exit status, output, complaint."""

        def by(*arguments: str) -> tuple[int, bytes, str]:
            if arguments[0] == "fetch":
                self._answers.clear()  # a history may begin earlier than where a shallow clone ended
            return talk(*arguments)

        self.talk: Callable[..., tuple[int, bytes, str]] = by

    def rest(self) -> None:
        """End git's helper for now: the next question starts one again."""
        self._git.rest()

    def settings_digest(self) -> str:
        """The digest of all settings of git here, wherever they stand: it tells whether one was changed."""
        listed = self._git.text("config", "--list", "--show-origin", "-z")
        return hashlib.sha256(os.fsencode(listed)).hexdigest()

    def close(self) -> None:
        """End the helper processes of git."""
        self._git.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextmanager
    def asked_once(self) -> Iterator[None]:
        """Within one command, git's settings are read once, and origin is asked once: see `Origin`."""
        with self._git.settings_once(), self.origin.asked_once():
            yield

    def git_version(self) -> tuple[int, ...]:
        """The numbers of git's release; none where it does not say them."""
        return tuple(map(int, re.findall(r"\d+", self._git.text("version"))[:3]))

    # Who, and where -----------------------------------------------------------------------------------------

    def identity(self) -> str | None:
        """The login of whoever runs this: `git config runbookopt.login`, else user.email, else None."""
        return self._git.setting("runbookopt.login") or self._git.setting("user.email")

    def person(self) -> Person:
        """Whose name stands on the commits that are made here; runbookopt's own where git knows none."""
        name = os.environ.get("GIT_COMMITTER_NAME") or self._git.setting("user.name")
        email = os.environ.get("GIT_COMMITTER_EMAIL") or self._git.setting("user.email")
        return Person(name or "runbookopt", email or "runbookopt@localhost")

    def setting(self, key: str) -> str | None:
        """What git has for a setting, its name in small letters; None where it has nothing."""
        return self._git.setting(key)

    def has_origin(self) -> bool:
        """Whether there is a remote `origin`."""
        return self.origin.is_there()

    def base(self) -> str:
        """The commit to work from: that of origin's default branch now, fetched; without origin, HEAD's."""
        return self.fetched()[0] if self.has_origin() else self.resolve("HEAD")

    def fetched(self, *refspecs: str) -> tuple[str, dict[str, str]]:
        """The commit of origin's default branch, and all refs of origin, now. Raises OriginUnreachable.

        The default branch and the refs of `refspecs` are here then with all that they stand on. They are
        fetched where no ref of this clone, and nothing that it pushed, stands for that already.
        """
        with self.origin.asked_once():
            for attempt in attempts(_OriginMoved):
                with attempt:
                    branch = self.origin.default_branch()
                    refs = self.origin.refs()
                    self._bring(refs, (f"+refs/heads/{branch}:refs/remotes/origin/{branch}", *refspecs))
        return refs[f"refs/heads/{branch}"], refs

    def _bring(self, refs: Mapping[str, str], refspecs: Sequence[str]) -> None:
        sources, copies = zip(*(spec.removeprefix("+").split(":") for spec in refspecs), strict=True)
        folders = tuple(source[:-1] for source in sources if source.endswith("*"))
        needed = {sha for ref, sha in refs.items() if ref in sources or ref.startswith(folders)}
        complete = self.origin.complete
        if not needed <= complete:
            complete |= set(self.refs(*(copy.removesuffix("*") for copy in copies)).values())
        if not needed <= complete:
            self.origin.fetch(*refspecs)
            if not all(self._git.object(sha) for sha in needed):
                self.origin.forget()
                raise _OriginMoved("origin moves all the time: run this again")
            complete |= needed

    # Reading ------------------------------------------------------------------------------------------------

    def revision(self, commit: str) -> Revision:
        """The files of a commit; one that a shallow clone lacks is fetched. Raises GitFailed."""
        if commit in self._revisions:
            return self._revisions[commit]
        sha = self.find(commit)
        if sha is None and _SHA.fullmatch(commit) and self.has_origin():
            with suppress(OriginUnreachable):
                self.origin.fetch(commit)
            sha = self.find(commit)
        if sha is None:
            raise GitFailed(
                f"commit {commit} is not in this clone nor at origin: git fetch --unshallow may bring it"
            )
        return self._revisions.setdefault(sha, Revision(self, sha))

    def find(self, name: str) -> str | None:
        """The id of the commit that a ref or id of this clone names, if there is one."""
        if name in self._commits:
            return name
        named = self._git.object(f"{name}^{{commit}}")
        return named[0] if named else None

    def resolve(self, name: str) -> str:
        """The id of the commit that a ref or id names. Raises GitFailed."""
        sha = self.find(name)
        if sha is None:
            raise GitFailed(f"{name} names no commit of {self.root}")
        return sha

    def tree(self, commit: str, path: str = "") -> list[TreeEntry]:
        """The files of a commit or tree at or under `path` ("" for all). Raises GitFailed."""
        mode, sha = self._at(commit, path)
        return list(self._files(path, mode, sha)) if sha else []

    def names(self, commit: str) -> tuple[str, ...]:
        """The names of what stands at the root of a commit. Raises GitFailed."""
        return tuple(self._folder(self._root_of(commit)))

    def folder(self, commit: str, path: str = "") -> dict[str, str]:
        """The names of what stands in a folder of a commit, with git's modes; none if it is absent."""
        mode, sha = self._at(commit, path)
        return {name: its for name, (its, _) in self._folder(sha).items()} if mode == "40000" else {}

    def tracked(self) -> list[str]:
        """The paths in the user's index: what the next commit would hold. Raises GitFailed."""
        return self._git.text("ls-files", "-z", "--cached").split("\0")[:-1]

    def _at(self, commit: str, path: str) -> tuple[str, str]:
        """The mode and id of what stands at a path of a commit; empty texts where nothing does."""
        mode, sha = "40000", self._root_of(commit)
        for name in path.split("/") if path else ():
            mode, sha = self._folder(sha).get(name, ("", "")) if mode == "40000" else ("", "")
        return mode, sha

    def _root_of(self, commit: str) -> str:
        if commit in self._roots:
            return self._roots[commit]
        root = self._git.object(f"{commit}^{{tree}}")
        if root is None:
            raise GitFailed(f"{commit} names no commit of {self.root}")
        if _SHA.fullmatch(commit):
            self._roots[commit] = root[0]
        return root[0]

    def _files(self, path: str, mode: str, sha: str) -> Iterator[TreeEntry]:
        if mode != "40000":
            yield TreeEntry(path, mode, sha)
            return
        for name, (its_mode, its_sha) in self._folder(sha).items():
            yield from self._files(f"{path}/{name}" if path else name, its_mode, its_sha)

    def _folder(self, sha: str) -> dict[str, tuple[str, str]]:
        if sha not in self._folders:
            self._folders[sha] = parse_tree(self.blob(sha))
        return self._folders[sha]

    def blob(self, sha: str) -> bytes:
        """The bytes of an object. Raises GitFailed where there is none."""
        named = self._git.object(sha)
        if named is None:
            raise GitFailed(f"{sha} names no object of {self.root}")
        return named[1]

    def diff(self, base: str, head: str) -> list[FileChange]:
        """Every file that differs between two trees or commits; a rename is one change."""
        how = ("-r", "-z", "-M", "--raw", "--no-abbrev")
        return parse_changes(self._of((base, head), "diff-tree", *how, base, head, "--"))

    def patch(self, base: str, path: str, text: str) -> str:
        """The unified diff that makes `text` of one file of a commit, for `apply`; "" if it is that."""
        return self.unified_diff(base, self.write_tree({path: text.encode()}, onto=base), path)

    def unified_diff(self, base: str, head: str, path: str = "") -> str:
        """The unified diff between two trees or commits, of the files at or under `path`."""
        where = ("--", path) if path else ("--",)
        exactly = ("--text", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
        sides = ("--src-prefix=a/", "--dst-prefix=b/")
        return self._of((base, head), "diff-tree", "-r", "-p", *exactly, *sides, base, head, *where)

    def working_tree_differs(self, base: str, paths: Sequence[str]) -> tuple[str, ...]:
        """The files at or under `paths` whose content in the working tree is not the base's, sorted.

        Equal is what git would commit as equal (so line-ending filters do not count). Files that only one
        side has count, ignored ones too; hidden ones that only the working tree has do not.
        """
        stored = {entry.path: entry for path in paths for entry in self.tree(base, path.strip("/"))}
        present = {name for path in paths for name in _on_disk(self.root, path.strip("/"))}
        new = (path for path in present - stored.keys() if not Path(path).name.startswith("."))
        differing = {*new, *(stored.keys() - present)}
        common = sorted(stored.keys() & present)
        for first in range(0, len(common), 200):
            chunk = [path for path in common[first : first + 200] if not (self.root / path).is_symlink()]
            hashes = self._git.text("hash-object", "--", *chunk).split() if chunk else []
            differing |= {path for path, sha in zip(chunk, hashes, strict=True) if stored[path].blob != sha}
        for path in common:
            link, there = self.root / path, stored[path]
            if link.is_symlink():
                target = os.fsencode(link.readlink())
                differing |= {path} if (there.mode, self.blob(there.blob)) != ("120000", target) else set()
        return tuple(sorted(differing))

    def commit(self, name: str) -> Commit:
        """Read one commit. Raises GitFailed."""
        sha = self.resolve(name)
        if sha not in self._commits:
            self._commits[sha] = self._git.commit(sha)
        return self._commits[sha]

    def history(self, tip: str, *, without: str | None = None, chain: bool = False) -> tuple[str, ...]:
        """The ids of the commits up to `tip`, oldest first, less what `without` has.

        With `chain`, first parents only.
        """
        limit = () if without is None else (f"^{without}",)
        options = ("--first-parent",) if chain else ()
        order = ("rev-list", "--reverse", "--topo-order", *options)
        return tuple(self._of((tip, without or tip), *order, tip, *limit, "--").split())

    def commits_saying(self, pattern: str, tip: str, *, without: Sequence[str] = ()) -> tuple[str, ...]:
        """The ids of the commits up to `tip` with a line like `pattern`, newest first, less what others have.

        `pattern` is a basic regular expression, whatever its case.
        """
        limits = [f"^{commit}" for commit in without]
        say = ("rev-list", "--regexp-ignore-case", f"--grep={pattern}", tip, *limits, "--")
        return tuple(self._of((tip, *without), *say).split())

    def renames(self, tip: str, folder: str) -> list[tuple[str, str]]:
        """The files in a folder that a commit up to `tip` renamed, by likeness: their old and new paths."""
        commits = self._of((tip,), "rev-list", tip, "--", folder).encode()
        how = ("--stdin", "--no-commit-id", "-r", "-z", "-M", "--diff-filter=R", "--name-status")
        listed = self._git.text("diff-tree", *how, "--diff-merges=first-parent", "--", folder, stdin=commits)
        fields = [field for field in listed.split("\0") if field]
        return list(zip(fields[1::3], fields[2::3], strict=True))

    def first_commit(self) -> str | None:
        """The id of the commit that HEAD's history begins with; None where this clone is shallow."""
        if self._git.text("rev-parse", "--is-shallow-repository").strip() == "true":
            return None
        return self._git.text("rev-list", "--max-parents=0", "HEAD", "--").split()[-1]

    def files_changed(self, commits: Sequence[str], *, kinds: str = "AMD") -> list[str]:
        """The files that each commit added, modified or deleted (git's letters), commit by commit."""
        options = ("--stdin", "--root", "--no-commit-id", "-r", "-z", "--name-only", f"--diff-filter={kinds}")
        stdin = "".join(f"{commit}\n" for commit in commits).encode()
        names = self._git.text("diff-tree", *options, "--diff-merges=first-parent", stdin=stdin)
        return [name for name in names.split("\0") if name]

    def blame(self, commit: str, path: str) -> tuple[str, ...]:
        """The id of the commit that brought each line of a file, along first parents. Raises GitFailed."""
        how = ("--first-parent", "--incremental", "--no-textconv", "--ignore-revs-file=", "--no-progress")
        lines: dict[int, str] = {}
        # a commit, the line there, the first line here, how many; all else begins with a word for what it is
        for sha, line, count in _PIECE.findall(self._of((commit,), "blame", *how, commit, "--", path)):
            lines |= dict.fromkeys(range(int(line), int(line) + int(count)), sha)
        return tuple(lines[number] for number in sorted(lines))

    def last_change(self, tip: str, paths: Sequence[str]) -> str:
        """The id of the last commit that changed files or folders, along first parents. Raises GitFailed."""
        return self._of((tip,), "rev-list", "-1", "--first-parent", tip, "--", *paths).strip()

    def changes(self, tip: str, path: str, *, chain: bool = False) -> tuple[str, ...]:
        """The ids of the commits up to `tip` that changed a file or folder, oldest first.

        With `chain`, first parents only: a merged branch is the commit that merged it.
        """
        way = ("--first-parent",) if chain else ("--full-history",)
        return tuple(self._of((tip,), "rev-list", "--reverse", "--topo-order", *way, tip, "--", path).split())

    def merge_base(self, one: str, other: str) -> str | None:
        """The last commit that two histories share, if any."""
        return self._git.text("merge-base", one, other, fails=(1,)).strip() or None

    def is_shallow(self) -> bool:
        """Whether this clone lacks the beginning of a history."""
        return self._git.is_shallow()

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` has `old` in its history (or is it)."""
        if self._in_history(old, new):
            return True
        if not self.is_shallow() or not self.has_origin():
            return False
        self.origin.unshallow()
        return self._in_history(old, new)

    # Writing objects ----------------------------------------------------------------------------------------

    def write_tree(self, edits: Mapping[str, bytes | None], *, onto: str | None = None) -> str:
        """Write `onto`'s tree with the exact bytes of some files replaced (None: removed); modes stay."""
        if not edits and onto is None:
            return self._git.text("hash-object", "-w", "-t", "tree", "--stdin").strip()
        modes = {entry.path: entry.mode for path in edits if onto for entry in self.tree(onto, path)}
        lines = []
        for path, data in edits.items():
            blob, mode = "0" * 40, "0"
            if data is not None:
                blob = self._git.text("hash-object", "-w", "--no-filters", "--stdin", stdin=data).strip()
                mode = modes.get(path, "100644")
            lines.append(f"{mode} {blob}\t{path}\0")
        stdin = os.fsencode("".join(lines))
        with self._index(onto) as index:
            self._git.text("update-index", "-z", "--index-info", stdin=stdin, extra=index)
            return self._git.text("write-tree", extra=index).strip()

    def apply(self, patch: bytes, *, onto: str) -> str:
        """Write the tree that a unified diff makes of `onto`'s. Raises GitFailed where it does not apply."""
        if (patch, onto) not in self._answers:
            with self._index(onto) as index:
                exactly = ("--cached", "--whitespace=nowarn", "--no-ignore-whitespace", "-")
                self._git.text("apply", *exactly, stdin=patch, extra=index)
                tree = self._git.text("write-tree", extra=index).strip()
            if not _SHA.fullmatch(onto):
                return tree
            self._answers[patch, onto] = tree
        return self._answers[patch, onto]

    def write_commit(
        self, tree: str, parents: Sequence[str], message: str, author: Person | None = None
    ) -> str:
        """Write a commit that no ref names yet; who runs this is the committer, by default the author."""
        committer = self.person()
        author = author or committer
        people = {
            "GIT_AUTHOR_NAME": author.name,
            "GIT_AUTHOR_EMAIL": author.email,
            "GIT_COMMITTER_NAME": committer.name,
            "GIT_COMMITTER_EMAIL": committer.email,
        }
        onto = [argument for parent in parents for argument in ("-p", parent)]
        return self._git.text(
            "commit-tree", tree, *onto, "-F", "-", stdin=message.encode(), extra=people
        ).strip()

    def merge(self, ours: str, theirs: str) -> str:
        """Write the tree of a three-way merge of two commits. Raises MergeConflict, GitFailed."""
        if self._in_history(ours, theirs):
            return self.commit(theirs).tree
        arguments = ("--write-tree", "--name-only", "--no-messages", "-z", ours, theirs)
        status, out, message = self._git.run("merge-tree", *arguments)
        if status == 1:
            raise MergeConflict([name for name in os.fsdecode(out).split("\0")[1:] if name])
        if status:
            raise GitFailed(f"git could not merge (2.38 or newer is needed): {in_one_line(message)}")
        return os.fsdecode(out).strip("\0\n")

    # Refs of this clone -------------------------------------------------------------------------------------

    def refs(self, *prefixes: str) -> dict[str, str]:
        """The refs under some prefixes, and what they name."""
        listing = self._git.text("for-each-ref", "--format=%(refname) %(objectname)", "--", *prefixes)
        pairs = (line.partition(" ") for line in listing.split("\n") if line)
        return {ref: sha for ref, _, sha in pairs}

    def update_ref(self, ref: str, new: str, old: str | None) -> None:
        """Move a ref of this clone from `old` (None: absent) to `new`. Raises PushRejected: has moved."""
        status, _, message = self._git.run("update-ref", ref, new, old or "0" * 40)
        if status:
            raise PushRejected(in_one_line(message))

    # Git itself ---------------------------------------------------------------------------------------------

    def fetched_from(self, source: str, *refs: str) -> str | None:
        """The commit that the first of `refs` names that another repository has, fetched; None without any.

        `source` is a remote's name or address, a folder, or a file that `git bundle` made. Raises GitFailed.
        """
        listing = self._git.text("ls-remote", "--", source, *refs)
        there = {ref: sha for sha, _, ref in (line.partition("\t") for line in listing.split("\n")) if ref}
        found = next((ref for ref in refs if ref in there), None)
        if found is None:
            return None
        self._git.text("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", source, found)
        return there[found]

    def _must_be_readable(self, *, empty: bool) -> None:
        status, out, message = self._git.run(
            "rev-parse", "--show-object-format", "--verify", "--quiet", "HEAD^{commit}"
        )
        if "dubious ownership" in message:
            raise GitFailed(in_one_line(message) + f": git config --global --add safe.directory {self.root}")
        if status and not empty:
            raise GitFailed(f"{self.root} has no commits yet: commit your runbooks, then run this again")
        if out.startswith(b"sha256"):
            raise GitFailed(
                f"{self.root} names its objects by SHA-256, which GitPython cannot read; SHA-1 is needed"
            )

    def _in_history(self, old: str, new: str) -> bool:
        if old == new:
            return True
        status, _, message = self._git.run("merge-base", "--is-ancestor", old, new)
        if status > 1:
            raise GitFailed(in_one_line(message))
        return status == 0

    @contextmanager
    def _index(self, onto: str | None) -> Iterator[dict[str, str]]:
        with tempfile.TemporaryDirectory(prefix="runbookopt-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._git.text("read-tree", onto or "--empty", extra=index)
            yield index

    def _of(self, ids: tuple[str, ...], *arguments: str) -> str:
        """What git says of commits or trees, remembered where they are given by their full ids."""
        if not all(_SHA.fullmatch(each) for each in ids):
            return self._git.text(*arguments)
        if arguments not in self._answers:
            self._answers[arguments] = self._git.text(*arguments)
        return self._answers[arguments]


class _OriginMoved(GitFailed):
    """What origin was seen to have is gone before it was fetched."""


_SHA = re.compile("[0-9a-f]{40}")
_PIECE = re.compile(r"^([0-9a-f]{40}) \d+ (\d+) (\d+)$", re.MULTILINE)


def _on_disk(root: Path, path: str) -> Iterator[str]:
    """The files at or under `path`, links to folders as files, as git sees them."""
    start = root / path
    if start.is_symlink() or start.is_file():
        yield path
        return
    for folder, folders, files in os.walk(start):
        folders[:] = [name for name in folders if name != ".git"]
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield from (Path(folder, name).relative_to(root).as_posix() for name in (*files, *links))
