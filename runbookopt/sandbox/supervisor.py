"""Supervisor of one program, of which it lets nothing live on: a process with the standard library alone.

`run.py` starts it with one end of a socket and the program's folder. It reads what to run (one JSON
line), answers how that ended (another), and removes the folder when the other end is closed. Whenever that
happens, because the rollout was cancelled or our own process was killed, all that the program started is
killed first. On Linux it adopts orphans, so that a process that left its group is found as well.
"""

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

GRACE = 1.0  # seconds between asking a program to end and killing it, at its time limit alone
PATIENCE = 10.0  # seconds of killing, for a program that forks faster than it is found
COUNTED_EVERY = 0.05  # seconds at least, between two counts of the processes
COUNTING_SHARE = 0.01  # of a processor at most, for counting them
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def main() -> None:
    """Serve one program: its whole life."""
    talk, folder = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    talk.set_inheritable(False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its work is done
    try:
        line = talk.makefile("rb").readline()
        if line:
            report = _run(talk, json.loads(line))
            with contextlib.suppress(OSError):  # nobody is there to hear it
                talk.sendall(json.dumps(report).encode() + b"\n")
                while talk.recv(4096):
                    pass
    finally:
        remove(folder)


def remove(folder: str) -> None:
    """Remove a folder, also where the program took the rights to its own subfolders away."""
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
        for path, names, _files in os.walk(folder):
            for name in names:
                inner = Path(path, name)
                if not inner.is_symlink():
                    with contextlib.suppress(OSError):
                        inner.chmod(0o700)


def _run(talk: socket.socket, run: Mapping[str, Any]) -> dict[str, Any]:
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    woken, wakes = os.pipe()
    for end in (woken, wakes):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wakes)
    start = time.monotonic()
    program, fault = _start(run)
    status, limit = (None, None) if fault else _watch(talk, woken, program, run)
    if limit == "time":
        status = _asked_to_end(program)
    seconds = time.monotonic() - start
    killed = _kill(program)
    status = killed if status is None else status
    code = None if status is None else os.waitstatus_to_exitcode(status)
    return {"exit_code": code, "seconds": round(seconds, 3), "limit": limit, "fault": fault}


def _start(run: Mapping[str, Any]) -> tuple[int, str | None]:
    """Start the program; gives its process, and why it is none."""
    faults, write_fault = os.pipe()
    program = os.fork()
    if program == 0:
        _become(run, write_fault)
    os.close(write_fault)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for handed in (0, 1, 2):  # the program's own: who listens there hears of its end, not of ours
        os.dup2(nowhere, handed)
    with os.fdopen(faults, "rb") as pipe:
        return program, pipe.read().decode() or None


def _become(run: Mapping[str, Any], write_fault: int) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # whoever kills the supervisor ends the program
        for number in _RESTORED:
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if run["memory_megabytes"] is not None:
            resource.setrlimit(resource.RLIMIT_AS, (run["memory_megabytes"] * 1_000_000,) * 2)
        os.execve(run["argv"][0], run["argv"], run["environ"])  # noqa: S606 - no shell is what we want
    except (OSError, ValueError) as error:
        os.write(write_fault, str(getattr(error, "strerror", None) or error).encode())
    finally:
        os._exit(127)


def _watch(
    talk: socket.socket, woken: int, program: int, run: Mapping[str, Any]
) -> tuple[int | None, str | None]:
    """Wait until the program ends or has to; gives its status, where it has one, and the limit it met."""
    poll = select.poll()
    poll.register(talk, select.POLLIN)
    poll.register(woken, select.POLLIN)
    deadline = time.monotonic() + run["seconds"]
    counted = time.monotonic() + COUNTED_EVERY
    while True:
        ended, status = os.waitpid(program, os.WNOHANG)
        if ended:
            return status, None
        now = time.monotonic()
        if now >= deadline:
            return None, "time"
        if now >= counted:
            before = time.process_time()
            many = len(descendants())
            counted = now + max(COUNTED_EVERY, (time.process_time() - before) / COUNTING_SHARE)
            if many > run["processes"]:
                return None, "processes"
        ready = {fd for fd, _ in poll.poll(1000 * max(0.0, min(deadline, counted) - now))}
        if talk.fileno() in ready:  # told to stop, or nobody is there any more
            return None, "stopped"
        with contextlib.suppress(BlockingIOError):
            os.read(woken, 4096)


def _asked_to_end(program: int) -> int | None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program, signal.SIGTERM)
    until = time.monotonic() + GRACE
    while time.monotonic() < until:
        ended, status = os.waitpid(program, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.01)
    return None


def _kill(program: int) -> int | None:
    """Kill until nothing is left; gives the program's status where it had not been waited for."""
    status, until, pause = None, time.monotonic() + PATIENCE, 0.001
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program, signal.SIGKILL)
    while time.monotonic() < until:
        try:
            ended, code = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:  # no child, and so no orphan either
            break
        if ended:
            status = code if ended == program else status
            continue
        for pid in descendants():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    return status


def descendants() -> set[int]:
    """Processes below this one; none where the system does not show them as Linux does."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if sys.platform == "linux" else ():  # noqa: PTH208 - many times a second
        if name.isdigit():
            with (
                contextlib.suppress(OSError, ValueError, IndexError),
                open(f"/proc/{name}/stat", "rb") as stat,  # noqa: PTH123 - many times a second
            ):
                parent = int(stat.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    below: set[int] = set()
    front = [os.getpid()]
    while front:
        front = [child for pid in front for child in children.get(pid, ()) if child not in below]
        below.update(front)
    return below


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - Linux alone

        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main()
