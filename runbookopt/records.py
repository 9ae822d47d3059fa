"""From bytes at the border to typed records, with file, line and key in every complaint."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from runbookopt.errors import RunbookoptError


class Problem(Struct, frozen=True, order=True):
    """One complaint about one file; an error keeps the file from being used, a warning does not."""

    path: str
    line: int | None
    message: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        """Give `path:line: message`, as compilers do."""
        where = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{where}: {self.message}"


class MalformedFile(RunbookoptError):
    """A file that cannot be read as what it should be; `problems` holds all that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.path, p.line or 0, p.message)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def canonical(value: object) -> bytes:
    """Give the canonical JSON of `value`: keys sorted, no white space, UTF-8."""
    return msgspec.json.encode(value, order="deterministic")


def digest(data: bytes) -> str:
    """Give `sha256:` and the SHA-256 of `data` in hexadecimal."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_of(value: object) -> str:
    """Give the digest of the canonical JSON of `value`."""
    return digest(canonical(value))
