"""Secrecy of a process: what other processes of the same account may not read of it, and how it forgets.

Whoever runs as us may read /proc/PID/environ, and the memory as far as ptrace reaches; on Linux a process
can refuse both (prctl(2), PR_SET_DUMPABLE). Where that cannot be had, nothing is promised.
"""

import ctypes
import os
import re
import signal
import sys
import time
from collections.abc import Collection, Mapping, MutableMapping

from runbookopt.sandbox import supervisor

OF_THE_FORGE = (
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "GH_ENTERPRISE_TOKEN",
    "GITHUB_ENTERPRISE_TOKEN",
    "RUNBOOKOPT_APP_ID",
    "RUNBOOKOPT_APP_PRIVATE_KEY_FILE",
    "ACTIONS_RUNTIME_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
)
"""Variables that let their holder speak to a forge: no program of a repository is shown them."""

_OF_GIT = re.compile(r"GIT_CONFIG_(?:COUNT|KEY_\d+|VALUE_\d+)|GIT_CONFIG_PARAMETERS")
"""Settings of git in variables: a header with a token may stand there."""

_PR_SET_PDEATHSIG, _PR_GET_DUMPABLE, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 3, 4, 36
PATIENCE = 15.0  # seconds of killing


def hide() -> bool:
    """Let no other process of this account read our environment or memory; whether that is so now."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    return bool(libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)


def forget(environ: MutableMapping[str, str], names: Collection[str]) -> dict[str, str]:
    """Take variables out of our environment, also out of what the system shows of it; gives what they were.

    The bytes that a process is started with stay where they are when a variable is unset, so they are
    overwritten.
    """
    taken = {name: environ[name] for name in names if name in environ}
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    for name in taken:
        place = getenv(name.encode())
        if place:
            ctypes.memset(place, ord("-"), len(ctypes.string_at(place)))
        del environ[name]
    return taken


def for_programs(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment without what lets its holder speak to a forge."""
    return {
        name: value
        for name, value in environ.items()
        if name not in OF_THE_FORGE and not _OF_GIT.fullmatch(name)
    }


def adopt() -> None:
    """From now on be the parent of whatever process below us loses its own (Linux alone)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent() -> None:
    """From now on end when the parent does, however it ends (Linux alone)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def below() -> set[int]:
    """The processes below this one; none where the system does not show them as Linux does."""
    return supervisor.descendants()


def end_all_below(but: Collection[int] = ()) -> bool:
    """Kill every process below this one but those; whether none is left."""
    until, pause = time.monotonic() + PATIENCE, 0.001
    while left := supervisor.descendants() - set(but):
        if time.monotonic() >= until:
            return False
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)  # an orphan that we adopted stays until we ask
            except (ProcessLookupError, PermissionError, ChildProcessError):
                continue
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    return True
