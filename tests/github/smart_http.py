"""Real smart HTTP: the bridge from a request to `git http-backend` as a CGI program.

What git answered to a question stands until a ref moves: asked the same again, it is not started again.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class GitAsked:
    """A request of git's; `path` begins with the repository's folder, e.g. /octo/runbooks.git/info/refs."""

    method: str
    path: str
    query: str
    headers: dict[str, str]  # names in small letters
    body: bytes

    @property
    def writes(self) -> bool:
        return self.path.endswith("/git-receive-pack") or "service=git-receive-pack" in self.query


@dataclass(frozen=True)
class GitAnswered:
    """What git said."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Backend:
    """git's side of a bare repository."""

    def __init__(self, bare: Path) -> None:
        self._bare = bare
        self._told: dict[tuple[object, ...], GitAnswered] = {}

    def ask(self, asked: GitAsked, login: str) -> GitAnswered:
        """Let git answer, as somebody who was let in as `login`."""
        if asked.path.endswith("/git-receive-pack"):
            return _run(self._bare, asked, login)
        refs, told = _refs(self._bare), (asked.headers.get(name, "") for name in _READ)
        question = (asked.method, asked.path, asked.query, asked.body, *told, refs)
        if question in self._told:
            return self._told[question]
        answered = _run(self._bare, asked, login)
        if _refs(self._bare) == refs:
            self._told[question] = answered
        return answered


_READ = ("content-type", "content-encoding", "git-protocol")


def _refs(bare: Path) -> tuple[tuple[str, bytes], ...]:
    """Give the files that say what the refs are, and what is hidden of them."""
    files = (bare / "HEAD", bare / "config", bare / "packed-refs", *sorted((bare / "refs").rglob("*")))
    return tuple((str(file), _content(file)) for file in files)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # a folder, or gone since
        return b""


def _run(bare: Path, asked: GitAsked, login: str) -> GitAnswered:
    service = asked.path.partition(".git/")[2]
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_PROJECT_ROOT": str(bare.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{bare.name}/{service}",
        "QUERY_STRING": asked.query,
        "REQUEST_METHOD": asked.method,
        "REMOTE_USER": login,
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": asked.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(asked.body)),
        "HTTP_CONTENT_ENCODING": asked.headers.get("content-encoding", ""),
        "GIT_PROTOCOL": asked.headers.get("git-protocol", ""),
    }
    command = ["git", "http-backend"]
    done = subprocess.run(command, env=environ, input=asked.body, capture_output=True, check=False)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    headers = [tuple(line.split(": ", 1)) for line in head.decode("latin-1").split("\r\n") if ": " in line]
    status = next((int(value.split()[0]) for name, value in headers if name.lower() == "status"), 200)
    kept = [(name, value) for name, value in headers if name.lower() != "status"]
    return GitAnswered(status if head else 500, kept, body)
