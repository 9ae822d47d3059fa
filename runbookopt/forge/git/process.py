"""Git as a process in a clone: environment, settings, objects (the only file that knows GitPython)."""

import base64
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from runbookopt.forge.git.output import Commit, GitFailed, Person, in_one_line, without_credentials

if TYPE_CHECKING:
    import git


class Git:
    """Git in one clone, one `git cat-file` of which is kept running until `close()`."""

    def __init__(self, repo: "git.Repo", root: Path) -> None:
        self.root = root
        self._repo = repo
        self._settings: dict[str, str] | None = None  # while they are asked for once
        self._credentials: tuple[str, Callable[[], str]] | None = None

    @classmethod
    def at(cls, path: Path) -> Self:
        """Git in the clone that `path` lies in. Raises GitFailed: no git, no repository, or a bare one."""
        repo = _open(path.absolute())
        if repo.working_tree_dir is None:
            repo.close()
            raise GitFailed(f"{path} is a bare git repository: run this in a clone of it")
        repo.git.update_environment(**_ENVIRONMENT)
        return cls(repo, Path(repo.working_tree_dir))

    def close(self) -> None:
        """End the helper processes of GitPython."""
        self._repo.close()

    def rest(self) -> None:
        """End the helper processes of GitPython; they start again when they are needed."""
        self._repo.git.clear_cache()

    def authorize(self, url: str, token: Callable[[], str]) -> None:
        """Show a token (asked for each time) to the server of origin at `url`, and to no other.

        It goes in the environment of the git that talks to origin: it is in no argument, file or address.
        """
        self._credentials = (without_credentials(url), token)

    @contextmanager
    def settings_once(self) -> Iterator[None]:
        """Within, settings are read once."""
        outer = self._settings
        if outer is None:
            # No more than these: a token may stand in another.
            keys = rf"^({'|'.join(map(re.escape, _ASKED))})$"
            lines = self.text("config", "-z", "--get-regexp", keys, fails=(1,)).split("\0")
            self._settings = {key: value for key, _, value in (line.partition("\n") for line in lines)}
        try:
            yield
        finally:
            self._settings = outer

    def setting(self, key: str) -> str | None:
        """The value of one setting; None where it has none."""
        if self._settings is None:
            value = self.text("config", "--get", key, fails=(1,))
        else:
            value = self._settings.get(key, "")
        return os.fsencode(value).decode(errors="replace").strip() or None

    def is_shallow(self) -> bool:
        """Whether the clone lacks the beginning of a history."""
        shallow = Path(self._repo.common_dir) / "shallow"
        return shallow.is_file() and shallow.stat().st_size > 0

    def object(self, name: str) -> tuple[str, bytes] | None:
        """The id and the bytes of an object, if there is one of that name, of the one `git cat-file`."""
        import git

        with _without_git_variables():
            try:
                sha, _, _, data = self._repo.git.get_object_data(name)
            except git.GitCommandNotFound as error:
                raise GitFailed(_NO_GIT) from error
            except ValueError:  # there is none, or no name of an object is like that
                return None
            except OSError as error:
                raise GitFailed(f"git cannot read {name}: {error}") from error
        return os.fsdecode(sha), data  # GitPython gives bytes

    def commit(self, sha: str) -> Commit:
        """A commit by its full id."""
        import git

        with _without_git_variables():
            there = git.Commit(self._repo, bytes.fromhex(sha))
            message = there.message
            return Commit(
                id=sha,
                tree=there.tree.hexsha,
                parents=tuple(parent.hexsha for parent in there.parents),
                author=Person(there.author.name or "", there.author.email or ""),
                committer=Person(there.committer.name or "", there.committer.email or ""),
                at=there.committed_datetime.isoformat(),
                message=message if isinstance(message, str) else message.decode(errors="replace"),
            )

    def text(
        self,
        *arguments: str,
        stdin: bytes = b"",
        extra: Mapping[str, str] | None = None,
        fails: Iterable[int] = (),
    ) -> str:
        """The output of a command. Raises GitFailed where its exit status is neither 0 nor one of `fails`."""
        status, out, message = self.run(*arguments, stdin=stdin, extra=extra)
        if status and status not in fails:
            raise GitFailed(f"git {arguments[0]}: {in_one_line(message)}")
        return os.fsdecode(out)

    def run(
        self, *arguments: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, str]:
        """Run a command: its exit status, its output, and its complaint, in which no token stands."""
        import git

        shown, secrets = self._shown(arguments[0])
        shown |= self._trusted(arguments[0])
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
                raise GitFailed(_NO_GIT) from error
        for secret in secrets:
            message = message.replace(secret, "[secret]")
        return status, out, message

    def _shown(self, command: str) -> tuple[dict[str, str], tuple[str, ...]]:
        """The environment in which git shows our token to origin, and what must not be told of it.

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

    def _trusted(self, command: str) -> dict[str, str]:
        """Where git finds a company's certificates that all else is told of, unless git itself was told."""
        bundle = os.environ.get("SSL_CERT_FILE")
        if command not in _TALKING or not bundle or "GIT_SSL_CAINFO" in os.environ:
            return {}
        told = self.text("config", "--get-regexp", r"^http\..*sslcainfo$|^http\.sslcainfo$", fails=(1,))
        return {} if told else {"GIT_SSL_CAINFO": bundle}


def _open(path: Path) -> "git.Repo":
    try:
        import git
    except ImportError as error:  # this is how GitPython says that there is no git
        raise GitFailed(_NO_GIT) from error
    with _without_git_variables():
        try:
            return git.Repo(path, search_parent_directories=True, expand_vars=False)
        except git.NoSuchPathError as error:
            raise GitFailed(f"{path}: no such folder") from error
        except git.InvalidGitRepositoryError as error:
            raise GitFailed(
                f"{path} is not in a git repository: change into yours, or run git init"
            ) from error


@contextmanager
def _without_git_variables() -> Iterator[None]:
    """Take git's variables out of the environment while git runs: GitPython hands on all of os.environ."""
    names = [name for name in os.environ if name.startswith("GIT_") and not _KEPT_VARIABLES.fullmatch(name)]
    taken = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(taken)


_NO_GIT = "git is not installed, or not on the PATH"

_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",  # a nightly job must fail, not wait
    "GIT_OPTIONAL_LOCKS": "0",  # reading must not refresh the user's index
    "GIT_LITERAL_PATHSPECS": "1",  # a file may be called ":(glob)*"
    "GIT_NO_REPLACE_OBJECTS": "1",  # what is judged is what is pushed
}

_ASKED = (
    "remote.origin.url",
    "user.name",
    "user.email",
    "runbookopt.login",
    "core.sshcommand",
    "core.sparsecheckout",
    "push.gpgsign",
)
"""The settings that are asked for, in small letters."""

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
