"""Real smart HTTP: the bridge from a request to `git http-backend` as a CGI program."""

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


def ask(bare: Path, asked: GitAsked, login: str) -> GitAnswered:
    """Let git answer for the bare repository, as somebody who was let in as `login`."""
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
