"""The only file that knows GitPython: what is read from, and written to, a git repository and its `origin`.

Nothing here touches the user's checkout, index or HEAD. Commits are built by plumbing, from the bytes of
blobs and in an index of their own, and not in a worktree: `git worktree add` would run the user's
post-checkout hook and the filters of .gitattributes (line endings, LFS), so what came back might not be the
candidate's bytes, and a crash would leave a worktree behind. For the same reasons the user's client-side
hooks are not run (a pre-push hook tests a checkout that is not what is pushed; the server's hooks are, and
their word is shown), and commits are not signed, whatever commit.gpgsign says: nobody sits there to type a
passphrase.
"""

import base64
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from runbookopt.errors import RunbookoptError
from runbookopt.forge.git.origin import Origin
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
    without_credentials,
)

if TYPE_CHECKING:
    import git

__all__ = ["Commit", "FileChange", "GitFailed", "Person", "Repository", "Revision"]


class Revision:
    """The files of one commit: a `Source`, as a folder is. Links, and names not in UTF-8, are no files."""

    def __init__(self, repository: "Repository", commit: str) -> None:
        self.commit = commit
        self._repository = repository

    @cached_property
    def _blobs(self) -> dict[str, str]:
        files = (entry for entry in self._repository.tree(self.commit) if entry.mode.startswith("100"))
        return {file.path: file.blob for file in files if _is_text(file.path)}

    def files(self, under: str) -> list[str]:
        """Give the paths of the files under a folder, relative to the root, sorted; none if it is absent."""
        folder = under.strip("/")
        return sorted(path for path in self._blobs if not folder or path.startswith(f"{folder}/"))

    def read(self, path: str) -> bytes:
        """Give the bytes of the blob, without line-ending or other filters. Raises FileNotFoundError."""
        if path not in self._blobs:
            raise FileNotFoundError(f"{path} is not a file of commit {self.commit[:12]}")
        data = self._repository.blob(self._blobs[path])
        if data.startswith(b"version https://git-lfs.github.com/spec/v1\n"):
            raise GitFailed(
                f"{path}: git holds only a pointer to it, the file itself is in Git LFS; "
                f"keep it in git: git lfs migrate export --include={path}"
            )
        return data


def _is_text(path: str) -> bool:
    """Tell whether a name is Unicode; Python has half characters for bytes that are not."""
    return not any("\ud800" <= character <= "\udfff" for character in path)


class Repository:
    """The user's clone. Give it back with `with` or `close()`: it keeps a `git cat-file` running."""

    def __init__(self, repo: "git.Repo", root: Path) -> None:
        self._repo = repo
        self.root = root
        self.origin = Origin(self._run)
        self._credentials: tuple[str, Callable[[], str]] | None = None
        self._revisions: dict[str, Revision] = {}
        self._told: dict[tuple[str | bytes, ...], str] = {}  # of ids alone, and so the same for ever

    # Opening ------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: Path, *, empty: bool = False) -> Self:
        """Open the repository that `path` lies in; `empty` takes one without commits too.

        Raises GitFailed: no repository, bare, no commits.
        """
        repo = _open(path.absolute())
        if repo.working_tree_dir is None:
            repo.close()
            raise GitFailed(f"{path} is a bare git repository: run this in a clone of it")
        repo.git.update_environment(**_ENVIRONMENT)
        repository = cls(repo, Path(repo.working_tree_dir))
        try:
            repository._must_be_readable(empty=empty)
        except RunbookoptError:
            repository.close()
            raise
        return repository

    def authorize(self, url: str, token: Callable[[], str]) -> None:
        """Show a token (asked for each time) to the server of origin at `url`, and to no other.

        It goes in the environment of the git that talks to origin: it is in no argument, file or address.
        """
        self._credentials = (without_credentials(url), token)

    def close(self) -> None:
        """End the helper processes of GitPython."""
        self._repo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Who, and where -----------------------------------------------------------------------------------------

    def identity(self) -> str | None:
        """Give the login of whoever runs this: `git config runbookopt.login`, else user.email, else None."""
        return self._config("runbookopt.login") or self._config("user.email")

    def person(self) -> Person:
        """Give whose name stands on the commits that are made here; runbookopt's own where git knows none."""
        name = os.environ.get("GIT_COMMITTER_NAME") or self._config("user.name")
        email = os.environ.get("GIT_COMMITTER_EMAIL") or self._config("user.email")
        return Person(name or "runbookopt", email or "runbookopt@localhost")

    def has_origin(self) -> bool:
        """Whether there is a remote `origin`."""
        return self.origin.is_there()

    def base(self, *also: str) -> str:
        """Give the commit to work from: origin's default branch, fetched now; without origin, HEAD.

        `also` are refspecs to fetch at the same time.
        """
        if not self.has_origin():
            return self.resolve("HEAD")
        branch = self.origin.default_branch()
        tracking = f"refs/remotes/origin/{branch}"
        self.origin.fetch(f"+refs/heads/{branch}:{tracking}", *also)
        return self.resolve(tracking)

    # Reading ------------------------------------------------------------------------------------------------

    def revision(self, commit: str) -> Revision:
        """Give the files of a commit; one that a shallow clone lacks is fetched. Raises GitFailed."""
        if commit in self._revisions:
            return self._revisions[commit]
        found = self.find(commit)
        if found is None and _SHA.fullmatch(commit) and self.has_origin():
            with suppress(OriginUnreachable):
                self.origin.fetch(commit)
            found = self.find(commit)
        if found is None:
            raise GitFailed(
                f"commit {commit} is not in this clone nor at origin: git fetch --unshallow may bring it"
            )
        return self._revisions.setdefault(found, Revision(self, found))

    def find(self, name: str) -> str | None:
        """Give the id of the commit that a ref or id of this clone names, if there is one."""
        if (name,) in self._told:
            return self._told[name,]
        peeled = f"{name}^{{commit}}"
        told = self._text("rev-parse", "--verify", "--quiet", "--end-of-options", peeled, fails=(1, 128))
        found = told.strip() or None
        if found is not None and _SHA.fullmatch(name):
            self._told[name,] = found
        return found

    def resolve(self, name: str) -> str:
        """Give the id of the commit that a ref or id names. Raises GitFailed."""
        found = self.find(name)
        if found is None:
            raise GitFailed(f"{name} names no commit of {self.root}")
        return found

    def tree(self, commit: str, path: str = "") -> list[TreeEntry]:
        """List the files at or under `path` ("" for all), as git holds them."""
        where = ("--", path) if path else ()
        return parse_tree(self._of("ls-tree", "-r", "-z", "--full-tree", ids=(commit,), more=where))

    def blob(self, sha: str) -> bytes:
        """Give the bytes of an object."""
        with _without_git_variables():
            return self._repo.git.get_object_data(sha)[3]

    def diff(self, base: str, head: str) -> list[FileChange]:
        """List every file that differs between two trees or commits; a rename is one change."""
        how = ("-r", "-z", "-M", "--raw", "--no-abbrev")
        return parse_changes(self._of("diff-tree", *how, ids=(base, head), more=("--",)))

    def patch(self, base: str, path: str, text: str) -> str:
        """Give the unified diff that makes `text` of one file of a commit, for `apply`; "" if it is that."""
        return self.unified_diff(base, self.write_tree({path: text.encode()}, onto=base), path)

    def unified_diff(self, base: str, head: str, path: str = "") -> str:
        """Give the unified diff between two trees or commits, of the files at or under `path`."""
        where = ("--", path) if path else ("--",)
        exactly = ("--text", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
        sides = ("--src-prefix=a/", "--dst-prefix=b/")
        return self._of("diff-tree", "-r", "-p", *exactly, *sides, ids=(base, head), more=where)

    def working_tree_differs(self, base: str, paths: Sequence[str]) -> tuple[str, ...]:
        """Name the files at or under `paths` whose content in the working tree is not the base's, sorted.

        Equal is what git would commit as equal (so line-ending filters do not count). Files that only one
        side has count, ignored ones too; hidden ones that only the working tree has do not.
        """
        stored = {entry.path: entry for path in paths for entry in self.tree(base, path.strip("/"))}
        present = {found for path in paths for found in _on_disk(self.root, path.strip("/"))}
        new = (path for path in present - stored.keys() if not Path(path).name.startswith("."))
        differing = {*new, *(stored.keys() - present)}
        common = sorted(stored.keys() & present)
        for first in range(0, len(common), 200):
            chunk = [path for path in common[first : first + 200] if not (self.root / path).is_symlink()]
            hashes = self._text("hash-object", "--", *chunk).split() if chunk else []
            differing |= {path for path, sha in zip(chunk, hashes, strict=True) if stored[path].blob != sha}
        links = (path for path in common if (self.root / path).is_symlink())
        differing |= {path for path in links if not self._same_link(path, stored[path])}
        return tuple(sorted(differing))

    def commit(self, name: str) -> Commit:
        """Read one commit. Raises GitFailed."""
        sha = name if _SHA.fullmatch(name) else self.resolve(name)
        with _without_git_variables():
            try:
                found = self._repo.commit(sha)
            except ValueError as error:
                raise GitFailed(f"{name} names no commit of {self.root}") from error
            message = found.message
            return Commit(
                id=found.hexsha,
                tree=found.tree.hexsha,
                parents=tuple(parent.hexsha for parent in found.parents),
                author=Person(found.author.name or "", found.author.email or ""),
                committer=Person(found.committer.name or "", found.committer.email or ""),
                at=found.committed_datetime.isoformat(),
                message=message if isinstance(message, str) else message.decode(errors="replace"),
            )

    def history(self, tip: str, *, without: str | None = None, chain: bool = False) -> tuple[str, ...]:
        """Give the ids of the commits up to `tip`, oldest first, less what `without` has.

        With `chain`, first parents only.
        """
        limit = () if without is None else (f"^{without}",)
        options = ("--first-parent",) if chain else ()
        return tuple(self._text("rev-list", "--reverse", "--topo-order", *options, tip, *limit, "--").split())

    def files_changed(self, commits: Sequence[str], *, kinds: str = "AMD") -> list[str]:
        """Name the files that each commit added, modified or deleted (git's letters), commit by commit."""
        options = ("--stdin", "--root", "--no-commit-id", "-r", "-z", "--name-only", f"--diff-filter={kinds}")
        stdin = "".join(f"{commit}\n" for commit in commits).encode()
        names = self._text("diff-tree", *options, "--diff-merges=first-parent", stdin=stdin)
        return [name for name in names.split("\0") if name]

    def merge_base(self, one: str, other: str) -> str | None:
        """Give the last commit that two histories share, if any."""
        return self._text("merge-base", one, other, fails=(1,)).strip() or None

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` has `old` in its history (or is it)."""
        if self._in_history(old, new):
            return True
        if self._text("rev-parse", "--is-shallow-repository").strip() == "false" or not self.has_origin():
            return False
        self.origin.unshallow()
        return self._in_history(old, new)

    # Writing objects ----------------------------------------------------------------------------------------

    def write_tree(self, edits: Mapping[str, bytes | None], *, onto: str | None = None) -> str:
        """Write `onto`'s tree with the exact bytes of some files replaced (None: removed); modes stay."""
        modes = {entry.path: entry.mode for path in edits if onto for entry in self.tree(onto, path)}
        lines = []
        for path, data in edits.items():
            blob = "0" * 40 if data is None else self._write_blob(data)
            mode = "0" if data is None else modes.get(path, "100644")
            lines.append(f"{mode} {blob}\t{path}\0")
        stdin = os.fsencode("".join(lines))
        with self._index(onto) as index:
            self._text("update-index", "-z", "--index-info", stdin=stdin, extra=index)
            return self._text("write-tree", extra=index).strip()

    def apply(self, patch: bytes, *, onto: str) -> str:
        """Write the tree that a unified diff makes of `onto`'s. Raises GitFailed where it does not apply."""
        if (patch, onto) not in self._told:
            with self._index(onto) as index:
                exactly = ("--cached", "--whitespace=nowarn", "--no-ignore-whitespace", "-")
                self._text("apply", *exactly, stdin=patch, extra=index)
                tree = self._text("write-tree", extra=index).strip()
            if not _SHA.fullmatch(onto):
                return tree
            self._told[patch, onto] = tree
        return self._told[patch, onto]

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
        return self._text("commit-tree", tree, *onto, "-F", "-", stdin=message.encode(), extra=people).strip()

    def merge(self, ours: str, theirs: str) -> str:
        """Write the tree of a three-way merge of two commits. Raises MergeConflict, GitFailed."""
        if self._in_history(ours, theirs):
            return self.commit(theirs).tree
        arguments = ("--write-tree", "--name-only", "--no-messages", "-z", ours, theirs)
        status, out, message = self._run("merge-tree", *arguments)
        if status == 1:
            raise MergeConflict([name for name in os.fsdecode(out).split("\0")[1:] if name])
        if status:
            raise GitFailed(f"git could not merge (2.38 or newer is needed): {in_one_line(message)}")
        return os.fsdecode(out).strip("\0\n")

    # Refs of this clone -------------------------------------------------------------------------------------

    def refs(self, prefix: str) -> dict[str, str]:
        """Give the refs under a prefix, and what they name."""
        listing = self._text("for-each-ref", "--format=%(refname) %(objectname)", "--", prefix)
        pairs = (line.partition(" ") for line in listing.splitlines())
        return {ref: sha for ref, _, sha in pairs}

    def update_ref(self, ref: str, new: str, old: str | None) -> None:
        """Move a ref of this clone from `old` (None: absent) to `new`. Raises PushRejected: has moved."""
        status, _, message = self._run("update-ref", ref, new, old or "0" * 40)
        if status:
            raise PushRejected(in_one_line(message))

    # Git itself ---------------------------------------------------------------------------------------------

    def _must_be_readable(self, *, empty: bool) -> None:
        status, out, message = self._run(
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

    def _config(self, key: str) -> str | None:
        found = os.fsencode(self._text("config", "--get", key, fails=(1,)))
        return found.decode(errors="replace").strip() or None

    def _in_history(self, old: str, new: str) -> bool:
        if old == new:
            return True
        status, _, message = self._run("merge-base", "--is-ancestor", old, new)
        if status > 1:
            raise GitFailed(in_one_line(message))
        return status == 0

    def _same_link(self, path: str, stored: TreeEntry) -> bool:
        target = os.fsencode((self.root / path).readlink())
        return stored.mode == "120000" and target == self.blob(stored.blob)

    def _write_blob(self, data: bytes) -> str:
        return self._text("hash-object", "-w", "--no-filters", "--stdin", stdin=data).strip()

    @contextmanager
    def _index(self, onto: str | None) -> Iterator[dict[str, str]]:
        with tempfile.TemporaryDirectory(prefix="runbookopt-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self._text("read-tree", onto or "--empty", extra=index)
            yield index

    def _of(self, *arguments: str, ids: tuple[str, ...], more: tuple[str, ...] = ()) -> str:
        """Ask git about commits or trees; what it says of full ids is remembered."""
        asked = (*arguments, *ids, *more)
        if not all(_SHA.fullmatch(each) for each in ids):
            return self._text(*asked)
        if asked not in self._told:
            self._told[asked] = self._text(*asked)
        return self._told[asked]

    def _text(
        self,
        *arguments: str,
        stdin: bytes = b"",
        extra: Mapping[str, str] | None = None,
        fails: Iterable[int] = (),
    ) -> str:
        status, out, message = self._run(*arguments, stdin=stdin, extra=extra)
        if status and status not in fails:
            raise GitFailed(f"git {arguments[0]}: {in_one_line(message)}")
        return os.fsdecode(out)

    def _run(
        self, *arguments: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, str]:
        import git

        shown, secrets = self._shown(arguments[0])
        command = [self._repo.git.GIT_PYTHON_GIT_EXECUTABLE, *_OPTIONS, *arguments]
        with _without_git_variables(), tempfile.TemporaryFile() as handed:
            handed.write(stdin)
            handed.seek(0)
            try:
                status, out, message = self._repo.git.execute(
                    command,
                    istream=cast("BinaryIO", handed),
                    env={**shown, **(extra or {})},
                    with_extended_output=True,
                    with_exceptions=False,
                    stdout_as_string=False,
                    strip_newline_in_stdout=False,
                )
            except git.GitCommandNotFound as error:
                raise GitFailed("git is not installed, or not on the PATH") from error
        for secret in secrets:
            message = message.replace(secret, "[secret]")
        return status, out, message

    def _shown(self, command: str) -> tuple[dict[str, str], tuple[str, ...]]:
        """Give the environment in which git shows our token to origin, and what must not be told of it.

        After the settings that are there by now: an empty header takes theirs away, or GitHub would refuse
        two (actions/checkout leaves one in .git/config).
        """
        if self._credentials is None or command not in _TALKING:
            return {}, ()
        url, token = self._credentials[0], self._credentials[1]()
        secret = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        count = os.environ.get("GIT_CONFIG_COUNT", "")
        before = int(count) if count.isdecimal() else 0
        shown = {**_QUIET, "GIT_CONFIG_COUNT": str(before + 2)}
        for number, value in enumerate(("", f"Authorization: Basic {secret}"), start=before):
            shown[f"GIT_CONFIG_KEY_{number}"] = f"http.{url}.extraHeader"
            shown[f"GIT_CONFIG_VALUE_{number}"] = value
        return shown, (token, secret)


_SHA = re.compile("[0-9a-f]{40}")

_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",  # a nightly job must fail, not wait
    "GIT_OPTIONAL_LOCKS": "0",  # reading must not refresh the user's index
    "GIT_LITERAL_PATHSPECS": "1",  # a file may be called ":(glob)*"
    "GIT_NO_REPLACE_OBJECTS": "1",  # what is judged is what is pushed
}

_TALKING = frozenset({"fetch", "push", "ls-remote"})

_QUIET = {
    "GIT_TRACE_REDACT": "1",  # a trace of the traffic shows no header of ours
    "GIT_TRACE2_CONFIG_PARAMS": "",
    "GIT_TRACE2_ENV_VARS": "",
}

_OPTIONS = tuple(
    argument
    for setting in (
        f"core.hooksPath={os.devnull}",
        "core.splitIndex=false",  # else a shared index lands in the user's .git
        "core.fsmonitor=false",
        "core.safecrlf=false",
        "index.sparse=false",
        "i18n.commitEncoding=UTF-8",
        "gc.auto=0",
        "maintenance.auto=false",
    )
    for argument in ("-c", setting)
)

_KEPT_VARIABLES = re.compile(
    r"GIT_(SSH|SSH_COMMAND|SSH_VARIANT|ASKPASS|SSL_\w+|EXEC_PATH|ALLOW_PROTOCOL|HTTP_\w+|PROXY_\w+|TRACE\w*"
    r"|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_\d+|VALUE_\d+)|PYTHON_\w+)"
)
"""How to reach a server, and where settings are; the rest (GIT_DIR, GIT_INDEX_FILE) is a hook's or a CI's."""


@contextmanager
def _without_git_variables() -> Iterator[None]:
    """Take git's variables out of the environment while git runs: GitPython hands on all of os.environ."""
    taken = {k: v for k, v in os.environ.items() if k.startswith("GIT_") and not _KEPT_VARIABLES.fullmatch(k)}
    for key in taken:
        del os.environ[key]
    try:
        yield
    finally:
        os.environ.update(taken)


def _open(path: Path) -> "git.Repo":
    try:
        import git
    except ImportError as error:  # this is how GitPython says that there is no git
        raise GitFailed("git is not installed, or not on the PATH") from error
    with _without_git_variables():
        try:
            return git.Repo(path, search_parent_directories=True, expand_vars=False)
        except git.NoSuchPathError as error:
            raise GitFailed(f"{path}: no such folder") from error
        except git.InvalidGitRepositoryError as error:
            raise GitFailed(
                f"{path} is not in a git repository: change into yours, or run git init"
            ) from error


def _on_disk(root: Path, path: str) -> Iterator[str]:
    """Give the files at or under `path`, links to folders as files, as git sees them."""
    start = root / path
    if start.is_symlink() or start.is_file():
        yield path
        return
    for folder, folders, files in os.walk(start):
        folders[:] = [name for name in folders if name != ".git"]
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield from (Path(folder, name).relative_to(root).as_posix() for name in (*files, *links))
