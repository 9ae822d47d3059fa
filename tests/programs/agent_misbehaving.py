"""An agent program that does what its first argument says, mostly what it should not."""
# ruff: noqa: T201 - a program speaks on stdout

import contextlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

FOREVER = 1000


def sleep_on() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(FOREVER)


def child(then: object = sleep_on) -> int:
    pid = os.fork()
    if pid == 0 and callable(then):
        then()
        os._exit(0)
    return pid


def daemon() -> None:
    """Leave the session and the parent, as daemons do."""
    os.setsid()
    with Path("daemon").open("w") as file:
        file.write(str(child()))


def tried(what: str, argument: str) -> str:
    """Try something that isolation forbids; gives `done`, or why not."""
    try:
        match what:
            case "write":
                Path(argument).write_text("I was here")
            case "read":
                return Path(argument).read_text()
            case "network":
                socket.create_connection(("127.0.0.1", int(argument)), timeout=5).close()
            case "socket":
                socket.socket(socket.AF_UNIX).connect(argument)
    except OSError as error:
        return type(error).__name__
    return "done"


match sys.argv[1]:
    case "environment":
        print(json.dumps(dict(os.environ)))
    case "fork":
        pids = [child(), child()]
        os.waitpid(child(daemon), 0)
        print(json.dumps([*pids, int(Path("daemon").read_text())]), flush=True)
        if len(sys.argv) > 2:
            sleep_on()
    case "stubborn":
        child()
        sleep_on()
    case "flood":
        with contextlib.suppress(BrokenPipeError):
            for _ in range(1000):
                os.write(1, b"x" * 1_000_000)
        sleep_on()
    case "hang":
        Path("results/started").touch()
        sleep_on()
    case "many":
        for _ in range(60):
            child()
        sleep_on()
    case "patricide":
        os.waitpid(child(daemon), 0)
        Path(sys.argv[2]).write_text(Path("daemon").read_text())
        os.kill(os.getppid(), signal.SIGKILL)
        sleep_on()
    case "lock":
        Path("results/locked/inner").mkdir(parents=True)
        Path("results/locked/inner/file").touch()
        Path("results/locked/inner").chmod(0)
        Path("results/locked").chmod(0o400)
    case "odd":
        Path("results/sub").mkdir()
        Path("results/sub/answer").write_text("yes")
        Path("results/binary").write_bytes(b"\xff\xfe")
        Path("results/link").symlink_to("/etc/passwd")
        os.mkfifo("results/pipe")
        Path(b"results/\xff".decode(errors="surrogateescape")).touch()
    case "tell":
        asked = json.load(sys.stdin)
        print(json.dumps({"asked": asked, "arguments": sys.argv[2:], "files": sorted(os.listdir())}))  # noqa: PTH208
    case "exit":
        print(sys.argv[2], end="")
        print("Traceback: no such\x1b[2J model", file=sys.stderr)
        sys.exit(3)
    case "unavailable":
        print("as far as it came")
        print(f"429: {os.environ['A_CREDENTIAL_KEY']}: come back later", file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL)
    case "fill":
        print(len(bytearray(2_000_000_000)))
    case "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    case "try":
        print(json.dumps([tried(*attempt.split("=", 1)) for attempt in sys.argv[2:]]))
