"""Ssh's own configuration: which server a host's name stands for (`Host` and `HostName` in ~/.ssh/config)."""

import os
import re
import shlex
import subprocess
from urllib.parse import urlsplit

_SCP_LIKE = re.compile(r"(?:([^@/\s]+)@)?([^:/\s]+):(?!//).+")
_NAME = re.compile(r"[\w.][\w.-]*")
_SECONDS = 10.0
"""A `Match exec` of the user's may take its time."""


def host_name(url: str | None, command: str | None = None) -> str | None:
    """The server that ssh would talk to for a remote's address; None where it is none of ssh, or ssh fails.

    `command` is git's core.sshCommand. `ssh -G` resolves the name and connects to nothing.
    """
    parts = urlsplit(url or "")
    found = _SCP_LIKE.fullmatch(url or "")
    if parts.scheme in {"ssh", "git+ssh", "ssh+git"}:
        user, host = parts.username, parts.hostname or ""
    elif found:
        user, host = found[1], found[2]
    else:
        return None
    if not _NAME.fullmatch(host) or not _NAME.fullmatch(user or "git"):  # git refuses what begins with a dash
        return None
    program = _program(command)
    try:
        port = ["-p", str(parts.port)] if found is None and parts.port else []
        arguments = [*program, "-G", *port, f"{user}@{host}" if user else host]
        told = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):  # no ssh, or one that knows no -G
        return None
    lines = told.stdout.decode(errors="replace").splitlines() if not told.returncode else []
    return next((line.split()[1].lower() for line in lines if line.startswith("hostname ")), None)


def _program(command: str | None) -> list[str]:
    """The program as git finds it: two variables, then the setting, then `ssh`."""
    told = os.environ.get("GIT_SSH_COMMAND") or command
    if told is None:
        return [os.environ.get("GIT_SSH") or "ssh"]
    try:
        return shlex.split(told) or ["ssh"]
    except ValueError:
        return ["ssh"]
