"""The bare repository behind the double: what a pull request says about commits is read here each time."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

FORGE = {"GIT_COMMITTER_NAME": "GitHub", "GIT_COMMITTER_EMAIL": "noreply@github.com"}
HOOK = """#!/bin/sh
# Says no as GitHub does; the refs and who may push to them are written by the double.
why=$(sed -n "s|^$1 ||p" "$GIT_DIR/protected-refs" 2>/dev/null)
if test -n "$why"; then echo "error: $why for $1." >&2; exit 1; fi
if test -f "$GIT_DIR/refuse-pushes"; then cat "$GIT_DIR/refuse-pushes" >&2; exit 1; fi
"""


SETTINGS = """[http]
\treceivepack = true
[receive]
\thideRefs = refs/pull
\thideRefs = refs/forks
\tautogc = false
[uploadpack]
\thideRefs = refs/forks
\tallowFilter = true
\tallowAnySHA1InWant = true
[gc]
\tauto = 0
"""


class Conflict(Exception):
    """Two commits that do not merge."""


@dataclass(frozen=True)
class Commit:
    """One commit as git tells it."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: tuple[str, str, str]  # name, address, date
    committer: tuple[str, str, str]
    message: str


@dataclass(frozen=True)
class Changed:
    """One file of a comparison; `status` is GitHub's word for it."""

    path: str
    status: str
    additions: int
    deletions: int
    patch: str
    before: str | None
    blob: str


FULL = re.compile(r"[0-9a-f]{40}")
WORDS = {"A": "added", "D": "removed", "M": "modified", "T": "changed", "R": "renamed", "C": "copied"}


class Bare:
    """A bare repository with GitHub's own rules for who may move what."""

    def __init__(self, path: Path, branch: str) -> None:
        self.path = path
        self._told: dict[tuple[str, ...], str | subprocess.CalledProcessError] = {}
        self._commits: set[str] = set()
        subprocess.run(["git", "init", "-q", "--bare", f"--initial-branch={branch}", str(path)], check=True)
        with (path / "config").open("a") as config:
            config.write(SETTINGS)
        hook = path / "hooks/update"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(HOOK)
        hook.chmod(0o755)

    def git(self, *arguments: str, given: str | None = None, environ: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.path), *arguments],
            check=True,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            input=given,
            env={**os.environ, **(environ or {})},
        )
        return done.stdout

    def fixed(self, *arguments: str) -> str:
        """Ask git what depends on commits' ids alone: the answer is remembered, a failure raised again."""
        if arguments not in self._told:
            try:
                self._told[arguments] = self.git(*arguments)
            except subprocess.CalledProcessError as error:
                self._told[arguments] = error
        told = self._told[arguments]
        if isinstance(told, str):
            return told
        raise told

    def sha(self, revision: str) -> str | None:
        """Give the commit of a branch, a full ref or an id, or None."""
        if FULL.fullmatch(revision):
            return revision if self._is_commit(revision) else None
        return self._ref(revision if revision.startswith("refs/") else f"refs/heads/{revision}")

    def _ref(self, name: str) -> str | None:
        """Read a ref's file, as git does: the double is asked too often to start git for each."""
        try:
            return (self.path / name).read_text().strip()
        except OSError:
            return self._packed().get(name)

    def _packed(self) -> dict[str, str]:
        try:
            lines = (self.path / "packed-refs").read_text().splitlines()
        except OSError:
            return {}
        pairs = [line.split() for line in lines if line[:1] not in "#^"]
        return {name: sha for sha, name in pairs}

    def _is_commit(self, sha: str) -> bool:
        if sha not in self._commits:
            try:
                self.git("cat-file", "-e", f"{sha}^{{commit}}")
            except subprocess.CalledProcessError:
                return False
            self._commits.add(sha)
        return True

    def refs(self, prefix: str = "refs/") -> dict[str, str]:
        told = self.git("for-each-ref", "--format=%(refname) %(objectname)")
        pairs = [line.split() for line in told.splitlines()]
        return {name: sha for name, sha in pairs if name.startswith(prefix)}

    def protect(self, branches: dict[str, str]) -> None:
        """Decline pushes to these branches, with the words given."""
        lines = "".join(f"refs/heads/{branch} {why}\n" for branch, why in branches.items())
        (self.path / "protected-refs").write_text(lines)

    def holds(self, ancestor: str, descendant: str) -> bool:
        try:
            self.fixed("merge-base", "--is-ancestor", ancestor, descendant)
        except subprocess.CalledProcessError:
            return False
        return True

    def commit(self, sha: str) -> Commit:
        form = "%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B"
        parts = self.fixed("show", "-s", f"--format={form}", sha).split("\0")
        author, committer = (parts[3], parts[4], parts[5]), (parts[6], parts[7], parts[8])
        return Commit(parts[0], parts[1], tuple(parts[2].split()), author, committer, parts[9].rstrip("\n"))

    def commits(self, base: str, head: str) -> list[Commit]:
        told = self.fixed("rev-list", "--reverse", f"{base}..{head}").split()
        return [self.commit(sha) for sha in told]

    def merge_base(self, one: str, other: str) -> str:
        return self.fixed("merge-base", one, other).strip()

    def files(self, base: str, head: str) -> list[Changed]:
        """Give what `head` changed since it left `base`."""
        start = self.merge_base(base, head)
        raw = self.fixed("diff", "--raw", "-z", "--no-abbrev", "-M", start, head).split("\0")[:-1]
        found = []
        while raw:
            facts = raw.pop(0).split()
            before = raw.pop(0)
            path = raw.pop(0) if facts[4][0] in "RC" else before
            found.append(self._changed(start, head, facts, (before, path)))
        return found

    def _changed(self, start: str, head: str, facts: list[str], paths: tuple[str, str]) -> Changed:
        before, path = paths
        word = facts[4][0]
        span = ["-M", start, head, "--", *{before, path}]
        patch = self.fixed("diff", *span).partition("\n@@")[2]
        lines = f"@@{patch}".splitlines() if patch else []
        added = sum(line.startswith("+") for line in lines)
        gone = sum(line.startswith("-") for line in lines)
        blob = facts[2] if word == "D" else facts[3]
        text = "\n".join(lines)
        return Changed(path, WORDS[word], added, gone, text, before if before != path else None, blob)

    def text(self, revision: str, path: str) -> bytes | None:
        run = ["git", "-C", str(self.path), "show", f"{revision}:{path}"]
        done = subprocess.run(run, capture_output=True, check=False)
        return done.stdout if done.returncode == 0 else None

    def blob(self, revision: str, path: str) -> str:
        return self.git("rev-parse", f"{revision}:{path}").strip()

    def merged_tree(self, base: str, head: str) -> str:
        """Give the tree of both put together, or raise Conflict."""
        try:
            return self.fixed("merge-tree", "--write-tree", base, head).splitlines()[0]
        except subprocess.CalledProcessError as error:
            raise Conflict(error.stdout) from error

    def conflicts(self, base: str, head: str) -> bool:
        try:
            self.merged_tree(base, head)
        except Conflict:
            return True
        return False

    def write(self, tree: str, parents: list[str], message: str, author: tuple[str, str]) -> str:
        named = {"GIT_AUTHOR_NAME": author[0], "GIT_AUTHOR_EMAIL": author[1], **FORGE}
        options = [word for parent in parents for word in ("-p", parent)]
        return self.git("commit-tree", tree, *options, given=message, environ=named).strip()

    def rebased(self, base: str, head: str) -> str:
        tip = base
        for each in self.commits(base, head):
            tree = self.merged_tree(tip, each.sha)
            tip = self.write(tree, [tip], each.message, each.author[:2])
        return tip

    def move(self, ref: str, new: str, old: str | None = None) -> None:
        self.git("update-ref", ref, new, *([old] if old else []))

    def delete(self, *refs: str) -> None:
        self.git("update-ref", "--stdin", given="".join(f"delete {ref}\n" for ref in refs))
