"""Run of somebody's program, within limits and in a folder of its own: the parent's side of `supervisor`.

Nothing here keeps a program from what the account that runs it may do; `bubblewrap.py` does.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from runbookopt.documents.schema_errors import nearest, plain
from runbookopt.errors import RunbookoptError
from runbookopt.sandbox import supervisor

if TYPE_CHECKING:
    import asyncio

STDERR_BYTES, STDERR_CHARACTERS = 4000, 300  # kept and told of the end of a program's standard error
GONE_SECONDS = 15.0  # that a supervisor may take to end; it kills for at most two thirds of that
TEMPORARY = ".tmp"  # the subfolder that a program is told to use for its temporary files


class NotStarted(RunbookoptError):
    """A program that cannot be run as it was asked for: nothing came about."""


class Limits(Struct, frozen=True):
    """Limits of one program; `output_bytes` holds for stdout and stderr, each."""

    seconds: float
    output_bytes: int
    processes: int
    memory_megabytes: int | None = None


class Program(Struct, frozen=True):
    """Program to run: `argv` starts with the path of an executable, `environ` is all that it sees."""

    argv: tuple[str, ...]
    environ: dict[str, str]
    stdin: Path
    limits: Limits


class Ended(Struct, frozen=True):
    """End of a program: its exit code is minus a signal's number where a signal ended it; None is unknown.

    `stderr` is the end of what it wrote there, in one line; `limit` names the limit that ended it, in words.
    """

    exit_code: int | None
    seconds: float | None
    stdout: bytes
    stderr: str
    limit: str | None


class _Report(Struct, frozen=True):
    exit_code: int | None = None
    seconds: float | None = None
    limit: str | None = None
    fault: str | None = None


@contextlib.contextmanager
def fresh_folder() -> Iterator[Path]:
    """Lend a new folder that nobody else can enter; gone afterwards, whoever removes it."""
    folder = Path(tempfile.mkdtemp(prefix="runbookopt-")).resolve()
    try:
        (folder / TEMPORARY).mkdir()
        yield folder
    finally:
        if folder.exists():
            supervisor.remove(str(folder))


def clean_environ(environ: Mapping[str, str], folder: Path, named: Collection[str] = ()) -> dict[str, str]:
    """All that a program sees: PATH, its folder as HOME, a locale, and the variables that are named."""
    given = {name: environ[name] for name in sorted(named) if name in environ}
    own = {"PATH": environ.get("PATH", os.defpath), "HOME": str(folder), "TMPDIR": str(folder / TEMPORARY)}
    return {"LANG": "C.UTF-8", **own, **given}


def filled(template: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """Put `values` in the places of `{name}`; `{{name}}` stays as `{name}`. Raises NotStarted."""

    def value(match: re.Match[str]) -> str:
        literal, name = match.groups()
        if literal:
            return f"{{{literal}}}"
        if name not in values:
            known = ", ".join(f"{{{each}}}" for each in values)
            raise NotStarted(f"argv: unknown placeholder {{{name}}}{nearest(name, values)}; known: {known}")
        return values[name]

    return tuple(re.sub(r"\{\{([a-z_]+)\}\}|\{([a-z_]+)\}", value, part) for part in template)


def located(program: str, root: Path, path: str) -> str:
    """Path of an executable: a name is looked for on `path`, a relative path stands below `root`.

    Raises NotStarted, which says what is missing.
    """
    if "/" in program:
        place = root / program
        if not place.is_file():
            raise NotStarted(
                f"argv: no program at {plain(str(place))}: a path counts from the repository's root"
            )
        if not os.access(place, os.X_OK):
            raise NotStarted(
                f"argv: {plain(str(place))} may not be run: chmod +x it, or name its interpreter first"
            )
        return str(place)
    located = shutil.which(program, path=path)
    if located is None:
        raise NotStarted(f"argv: no program {plain(program)!r} on the PATH: install it, or give its path")
    return str(Path(located).absolute())


@contextlib.asynccontextmanager
async def ended(folder: Path, program: Program) -> AsyncIterator[Ended]:
    """Run a program in `folder` to its end; afterwards it, all that it started, and the folder are gone.

    Cancelled, it leaves nothing either. Raises NotStarted.
    """
    import asyncio

    with contextlib.ExitStack() as held:
        async with _TURNS.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            await asyncio.sleep(0)  # others wait for the turn, and the loop gets to its work in between
            process, ours, pipes = _started(folder, program.stdin, held)
        try:
            yield await _outcome(ours, pipes, program)
        finally:
            ours.close()  # now it kills what lives, removes the folder, and ends
            await _gone(process, folder)


_TURNS: "WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]" = WeakKeyDictionary()
"""Of starting programs, in each event loop: while one is started, nothing else in the loop runs."""


def _started(
    folder: Path, stdin: Path, held: contextlib.ExitStack
) -> tuple["subprocess.Popen[bytes]", socket.socket, list[int]]:
    """Start a supervisor; gives our end of its socket, and the ends that we read of its program's pipes."""
    ours, theirs = socket.socketpair()
    held.callback(ours.close)
    # A plain process: asyncio's own would be killed without its clean-up where a loop is closed under it.
    command = [sys.executable, "-I", "-S", supervisor.__file__, str(theirs.fileno()), str(folder)]
    needed = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    with contextlib.ExitStack() as handed:
        handed.callback(theirs.close)
        task = handed.enter_context(stdin.open("rb"))
        read, written = [0, 0], [0, 0]  # stdout, stderr
        for each in range(2):
            read[each], written[each] = os.pipe()
            held.callback(os.close, read[each])
            handed.callback(os.close, written[each])
        process = subprocess.Popen(
            command,
            stdin=task,
            stdout=written[0],
            stderr=written[1],
            cwd=folder,
            env=needed,  # whoever runs as us may read a process's environment
            pass_fds=(theirs.fileno(),),
            start_new_session=True,  # Ctrl-C is the parent's
        )
    return process, ours, read


async def _outcome(ours: socket.socket, pipes: Sequence[int], program: Program) -> Ended:
    import asyncio

    loop = asyncio.get_running_loop()
    ours.setblocking(False)

    def stop() -> None:
        with contextlib.suppress(OSError):
            ours.send(b"stop\n")

    limits = program.limits
    stdout = _Heard(loop, pipes[0], limits.output_bytes, stop, limits.output_bytes)
    stderr = _Heard(loop, pipes[1], limits.output_bytes, stop, STDERR_BYTES)
    try:
        order = {"argv": program.argv, "environ": program.environ, **asdict(limits)}
        await loop.sock_sendall(ours, msgspec.json.encode(order) + b"\n")
        report = await _report(loop, ours)
        await asyncio.wait((stdout.closed, stderr.closed), timeout=1.0)
    finally:
        stdout.leave()
        stderr.leave()
    if report.fault is not None:
        raise NotStarted(f"argv: {plain(program.argv[0])} cannot be run: {plain(report.fault)}")
    limit = {
        "time": f"more than {limits.seconds:g} seconds",
        "processes": f"more than {limits.processes} processes",
    }.get(report.limit or "", report.limit)
    if stdout.full or stderr.full:
        limit = f"more than {limits.output_bytes:,} bytes on {'stdout' if stdout.full else 'stderr'}"
    line = plain(" ".join(stderr.data.decode(errors="replace").split()))[-STDERR_CHARACTERS:]
    return Ended(report.exit_code, report.seconds, bytes(stdout.data), line, limit)


async def _report(loop: "asyncio.AbstractEventLoop", ours: socket.socket) -> _Report:
    line = b""
    while not line.endswith(b"\n"):
        try:
            more = await loop.sock_recv(ours, 65536)
        except OSError:
            more = b""
        if not more:
            return _Report(limit="it ended the process that watches over it")
        line += more
    return msgspec.json.decode(line, type=_Report)


class _Heard:
    """Output of a pipe: of its first `limit` bytes the last `kept`; beyond them `stop` is called."""

    def __init__(
        self, loop: "asyncio.AbstractEventLoop", fd: int, limit: int, stop: Callable[[], None], kept: int
    ) -> None:
        self.data = bytearray()
        self.full = False
        self._loop = loop
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._fd, self._left, self._stop, self._kept = fd, limit, stop, kept
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._more)

    def leave(self) -> None:
        """Hear no more."""
        self._loop.remove_reader(self._fd)
        if not self.closed.done():
            self.closed.set_result(None)

    def _more(self) -> None:
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        self.full = len(data) > self._left
        self.data += data[: self._left]
        self._left -= len(data)
        del self.data[: -self._kept]
        if self.full:
            self._stop()
        if self.full or not data:
            self.leave()


async def _gone(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Wait until the supervisor has ended, whatever else happens; where it was killed, do its work."""
    import asyncio

    pause, waited, cancelled = 0.001, 0.0, None
    while process.poll() is None and waited < GONE_SECONDS:
        try:
            await asyncio.sleep(pause)
        except asyncio.CancelledError as again:
            cancelled = again
        waited, pause = waited + pause, min(2 * pause, 0.05)
    if process.returncode != 0:
        process.kill()
        process.wait()
        _sweep(folder)
    if cancelled is not None:
        raise cancelled


def _sweep(folder: Path) -> None:
    """Kill what works in `folder`, or was started with it as its home: nobody watches over it any more."""
    home = f"\0HOME={folder}\0".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if home in b"\0" + (process / "environ").read_bytes() or (process / "cwd").resolve() == folder:
                os.kill(int(process.name), signal.SIGKILL)


@cache
def path_pattern(glob: str) -> re.Pattern[str]:
    """Pattern of paths: `*` and `?` stay within one folder, `**/` is any number of folders."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    return re.compile("".join(parts.get(piece, re.escape(piece)) for piece in pieces), re.DOTALL)
