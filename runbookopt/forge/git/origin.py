"""Origin of a clone as it is now: its branches and refs, read and moved."""

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runbookopt.forge.git.output import (
    GitFailed,
    OriginUnreachable,
    RefUpdate,
    in_one_line,
    push_error,
    without_credentials,
)
from runbookopt.forge.git.ssh import host_name


class Origin:
    """State of the remote `origin`, and changes to it.

    `talk` runs a command of git that speaks to origin, `git` one that does not: exit status, output,
    complaint. `config` reads one of the clone's settings. The state is asked for anew with each question, but
    within `asked_once`: there the first answer stands, with what was pushed since, until a push fails. Every
    push says what it believes of the refs that it moves, so it does nothing where that is old by then.
    `complete` are commits that are here with all they stand on.
    """

    def __init__(
        self,
        talk: Callable[..., tuple[int, bytes, str]],
        git: Callable[..., tuple[int, bytes, str]],
        config: Callable[[str], str | None],
    ) -> None:
        self.complete: set[str] = set()
        self._talk, self._git, self._config = talk, git, config
        self._default_branch: str | None = None
        self._url: str | None = None
        self._once = False
        self._head: str | None = None  # the branch that HEAD names
        self._refs: dict[str, str] | None = None

    @contextmanager
    def asked_once(self) -> Iterator[None]:
        """Within, origin is asked for its state once, and again where a push fails."""
        outer, self._once = self._once, True
        if not outer:
            self._refs = None
        try:
            yield
        finally:
            self._once = outer

    def forget(self) -> None:
        """Ask again, also within `asked_once`."""
        self._refs = None

    @property
    def url(self) -> str | None:
        """Where git fetches from, `insteadOf` applied, without credentials; None without such a remote.

        Asked until it is there.
        """
        self._url = self._url or self._address()
        return self._url

    @property
    def push_url(self) -> str | None:
        """Where git pushes to, `pushInsteadOf` and `pushurl` applied; else as `url`."""
        return self._address("--push")

    def server(self, url: str | None = None) -> str | None:
        """The server behind an ssh address, by default origin's, as ssh's configuration has it; else None."""
        return host_name(url or self.url, self._config("core.sshcommand"))

    def is_there(self) -> bool:
        """Whether the clone has a remote of that name."""
        return self._config("remote.origin.url") is not None

    def default_branch(self) -> str:
        """The name of its default branch, asked once. Raises GitFailed."""
        if self._default_branch is None:
            refs = self.refs()
            branches = [ref.removeprefix("refs/heads/") for ref in refs if ref.startswith("refs/heads/")]
            if not branches:
                raise GitFailed("origin has no branches yet: push your default branch, then run this again")
            # A bare folder made by `git init` names a default branch that nobody may ever have pushed.
            likely = [name for name in (self._head, "main", "master") if name in branches]
            if not likely and len(branches) > 1:
                raise GitFailed(
                    "origin's HEAD names no branch that exists; say there which is the default one: "
                    "git symbolic-ref HEAD refs/heads/NAME"
                )
            self._default_branch = (likely or branches)[0]
        return self._default_branch

    def refs(self, *names: str) -> dict[str, str]:
        """Those of its refs that have these names, by default its branches and all of ours, and their ids.

        Raises OriginUnreachable.
        """
        if self._refs is None or not self._once:
            patterns = ("HEAD", "refs/heads/*", "refs/runbookopt/*")
            listing = self._ask("ls-remote", "--symref", "--", "origin", *patterns)
            pairs = [line.split("\t") for line in listing.split("\n") if line]
            heads = [sha.removeprefix("ref: refs/heads/") for sha, ref in pairs if ref == "HEAD"]
            self._head = heads[0] if heads else None
            ours = ("refs/heads/", "refs/runbookopt/")
            self._refs = {ref: sha for sha, ref in pairs if ref.startswith(ours) and len(sha) == _SHA_LENGTH}
        return {ref: self._refs[ref] for ref in names or self._refs if ref in self._refs}

    def fetch(self, *refspecs: str) -> None:
        """Fetch refs of origin; copies whose original is gone are removed. Raises OriginUnreachable.

        Tried again while another process fetches the same refs.
        """
        for attempt in attempts(OriginUnreachable, match=r"cannot lock ref|\.lock'"):
            with attempt:
                self._ask("fetch", *_QUIETLY, "--prune", "--", "origin", *refspecs)

    def unshallow(self) -> None:
        """Fetch the history that a shallow clone was cut off from. Raises OriginUnreachable."""
        self._ask("fetch", *_QUIETLY, "--unshallow", "--", "origin")

    def try_push(self, commit: str, ref: str) -> None:
        """Ask whether a push would be taken, in a dry run that moves nothing. Raises as `push` does."""
        options = ("--dry-run", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no")
        status, out, message = self._talk("push", *options, "--", "origin", f"+{commit}:{ref}")
        if status:
            raise push_error(os.fsdecode(out), message)

    def push(self, *updates: RefUpdate) -> None:
        """Move refs at origin, all or none, each only from what it was believed to be.

        Raises PushRejected (a ref had moved), PushRefused (the server's own no), OriginUnreachable.
        """
        leases = [f"--force-with-lease={update.ref}:{update.old or ''}" for update in updates]
        refspecs = [f"{update.new or ''}:{update.ref}" for update in updates]
        atomic = ["--atomic"] if len(updates) > 1 else []
        options = ("--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no")
        status, out, message = self._talk("push", *options, *atomic, *leases, "--", "origin", *refspecs)
        if status:
            self.forget()
            self._must_exist()
            raise push_error(os.fsdecode(out), message)
        for update in updates:
            if self._refs is not None:
                self._refs.pop(update.ref, None)
                self._refs |= {update.ref: update.new} if update.new else {}
            self.complete |= {update.new} if update.new else set()

    def _address(self, *which: str) -> str | None:
        if not self.is_there():  # git would give the name itself
            return None
        status, out, _ = self._git("remote", "get-url", *which, "origin")
        return without_credentials(os.fsdecode(out).rstrip("\n")) or None if not status else None

    def _ask(self, *arguments: str) -> str:
        status, out, message = self._talk(*arguments)
        if status:
            self._must_exist()
            raise OriginUnreachable(f"cannot reach origin: {in_one_line(message)}")
        return os.fsdecode(out)

    def _must_exist(self) -> None:
        if not self.is_there():
            raise GitFailed("this clone has no remote named origin: git remote add origin URL")


class Attempt:
    """One of several attempts at a race: to lose it, in a `lost` error, is an error the last time only."""

    def __init__(self, lost: type[GitFailed], match: str, *, last: bool) -> None:
        self.is_lost = False
        self._lost, self._match, self._last = lost, match, last

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.is_lost = isinstance(error, self._lost) and bool(re.search(self._match, str(error)))
        return self.is_lost and not self._last


def attempts(lost: type[GitFailed], *, match: str = "") -> Iterator[Attempt]:
    """As many attempts as a race with other writers is worth, for a `with` each, until one is not lost.

    The pauses in between are those of "full jitter", of 2 seconds at most:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    chance = random.Random()
    for number in range(_ATTEMPTS):
        attempt = Attempt(lost, match, last=number == _ATTEMPTS - 1)
        yield attempt
        if not attempt.is_lost:
            return
        time.sleep(chance.uniform(0, min(2, 0.05 * 2**number)))


_ATTEMPTS = 20
_QUIETLY = ("--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no")
_SHA_LENGTH = 40  # of 41 lines and more, one names a branch that HEAD, or another symbolic ref, stands for
