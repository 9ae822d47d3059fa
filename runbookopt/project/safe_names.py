"""Names of runbooks: what keeps one from being an argument, a path and a branch alike (pure)."""

from runbookopt.documents.schema_errors import plain

LONGEST = 200
"""Bytes of one part of a runbook's name: git keeps a branch as a file, and adds to its name."""


def unsafe(name: str) -> str | None:
    """The reason why a name cannot be an argument, a path and a branch alike; None where it can."""
    for part in name.split("/"):
        if not part.isprintable():
            return f"'{plain(part)}' holds control characters or others that cannot be seen"
        if part.startswith(("-", " ")):
            return f"'{part}' begins with '{part[0]}'"
        if part.endswith((".", " ", ".lock")):
            return f"'{part}' ends with '{'.lock' if part.endswith('.lock') else part[-1]}'"
        if not part or ".." in part or "\\" in part:
            return f"'{part}' is empty or holds '..' or a backslash"
        if len(part.encode()) > LONGEST:
            return f"'{part[:20]}...' is longer than {LONGEST} bytes"
    return None
