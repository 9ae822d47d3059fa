"""The remote `origin` as it is now: its branches and refs, read and moved."""

import os
from typing import Protocol

import tenacity

from runbookopt.forge.git.output import (
    GitFailed,
    OriginUnreachable,
    RefUpdate,
    in_one_line,
    push_error,
    without_credentials,
)


class Git(Protocol):
    """Runs git in a clone and gives its exit status, its output, and what it complained of."""

    def __call__(self, *arguments: str) -> tuple[int, bytes, str]:
        """Run `git` with these arguments."""
        ...


class Origin:
    """What a clone can ask of its origin, and tell it. Each question is one call to the server."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._default_branch: str | None = None
        self._url: str | None = None

    @property
    def url(self) -> str | None:
        """Where it is, without credentials, asked until it is there; None where there is no such remote."""
        self._url = self._url or self._asked_url()
        return self._url

    def is_there(self) -> bool:
        """Whether the clone has a remote of that name, asked anew each time."""
        return self._asked_url() is not None

    def _asked_url(self) -> str | None:
        url = os.fsdecode(self._git("config", "--get", "remote.origin.url")[1]).strip()
        return without_credentials(url) or None

    def default_branch(self) -> str:
        """Ask origin for the name of its default branch, once."""
        self._default_branch = self._default_branch or self._asked_default_branch()
        return self._default_branch

    def refs(self, *patterns: str) -> dict[str, str]:
        """Ask origin for its refs that match, and what they name. Raises OriginUnreachable."""
        listing = self._ask("ls-remote", "--refs", "--", "origin", *patterns)
        pairs = (line.partition("\t") for line in listing.splitlines())
        return {ref: sha for sha, _, ref in pairs}

    def fetch(self, *refspecs: str) -> None:
        """Fetch refs of origin; copies whose original is gone are removed. Raises OriginUnreachable.

        Tried again while another process fetches the same refs.
        """
        for attempt in attempts(OriginUnreachable, match=r"(?s).*(cannot lock ref|\.lock')"):
            with attempt:
                self._ask("fetch", *_QUIETLY, "--prune", "--", "origin", *refspecs)

    def unshallow(self) -> None:
        """Fetch the history that a shallow clone was cut off from. Raises OriginUnreachable."""
        self._ask("fetch", *_QUIETLY, "--unshallow", "--", "origin")

    def push(self, *updates: RefUpdate) -> None:
        """Move refs at origin, all or none, each only from what it was believed to be.

        Raises PushRejected (a ref had moved), PushRefused (the server's own no), OriginUnreachable.
        """
        leases = [f"--force-with-lease={update.ref}:{update.old or ''}" for update in updates]
        refspecs = [f"{update.new or ''}:{update.ref}" for update in updates]
        atomic = ["--atomic"] if len(updates) > 1 else []
        options = ("--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no")
        status, out, message = self._git("push", *options, *atomic, *leases, "--", "origin", *refspecs)
        if status:
            self._must_exist()
            raise push_error(os.fsdecode(out), message)

    def _asked_default_branch(self) -> str:
        listing = self._ask("ls-remote", "--symref", "--", "origin", "HEAD", "refs/heads/*")
        pairs = [line.split("\t") for line in listing.splitlines()]
        branches = [ref.removeprefix("refs/heads/") for sha, ref in pairs if ref.startswith("refs/heads/")]
        named = [sha.removeprefix("ref: refs/heads/") for sha, _ in pairs if sha.startswith("ref: ")]
        if not branches:
            raise GitFailed("origin has no branches yet: push your default branch, then run this again")
        # A bare folder made by `git init` names a default branch that nobody may ever have pushed.
        likely = [name for name in (*named, "main", "master") if name in branches]
        if not likely and len(branches) > 1:
            raise GitFailed(
                "origin's HEAD names no branch that exists; say there which is the default one: "
                "git symbolic-ref HEAD refs/heads/NAME"
            )
        return (likely or branches)[0]

    def _ask(self, *arguments: str) -> str:
        status, out, message = self._git(*arguments)
        if status:
            self._must_exist()
            raise OriginUnreachable(f"cannot reach origin: {in_one_line(message)}")
        return os.fsdecode(out)

    def _must_exist(self) -> None:
        if not self.is_there():
            raise GitFailed("this clone has no remote named origin: git remote add origin URL")


def attempts(lost: type[GitFailed], *, match: str = "(?s).*") -> tenacity.Retrying:
    """Give as many attempts as a race with other writers is worth; `lost` is how losing it is told."""
    return tenacity.Retrying(
        retry=tenacity.retry_all(
            tenacity.retry_if_exception_type(lost), tenacity.retry_if_exception_message(match=match)
        ),
        stop=tenacity.stop_after_attempt(20),
        wait=tenacity.wait_random_exponential(multiplier=0.05, max=2),
        reraise=True,
    )


_QUIETLY = ("--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no")
