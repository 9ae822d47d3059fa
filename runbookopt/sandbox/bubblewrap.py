"""Bubblewrap: no network for a program, and no writing but to its own folder; the only file that knows it."""

import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path

from runbookopt.documents.schema_errors import plain
from runbookopt.errors import RunbookoptError

HIDDEN = ("/tmp", "/var/tmp", "/run")  # noqa: S108 - hidden because anybody's files are there
"""What an isolated program finds empty: it holds sockets, which a read-only mount leaves open."""

PROBE_SECONDS = 30


class NoIsolation(RunbookoptError):
    """Isolation was asked for, and cannot be had here."""


def bubblewrap(path: str) -> str:
    """Path of bubblewrap after a trial of it; raises NoIsolation with what to do."""
    program = shutil.which("bwrap", path=path)
    if program is None:
        raise NoIsolation(
            "agent.isolate: bubblewrap is not installed here: install the package `bubblewrap` "
            "(Debian, Ubuntu, Fedora, Arch: the same name; Linux alone), or take `isolate` out"
        )
    trial = [*_apart(program), "--", "/bin/sh", "-c", "exit 0"]
    try:
        done = subprocess.run(
            trial, capture_output=True, encoding="utf-8", errors="replace", timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoIsolation(f"agent.isolate: bubblewrap does not run here: {error}") from None
    if done.returncode != 0:
        reason = plain((done.stderr.strip().splitlines() or ["no reason given"])[0])[:200]
        raise NoIsolation(
            f"agent.isolate: bubblewrap is installed, and may not isolate here: {reason}. Allow unprivileged "
            "user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu; "
            "kernel.unprivileged_userns_clone=1 on older Debian; in a container, its security options), "
            "or take `isolate` out"
        )
    return program


def wrapped(bubblewrap: str, folder: Path, needed: Collection[Path]) -> list[str]:
    """Arguments that stand before a program's own.

    `needed` are folders that it has to see although they lie where everything is hidden.
    """
    hidden = {Path(path) for path in HIDDEN}
    seen = [str(path) for path in sorted({path.resolve() for path in needed}) if hidden & {*path.parents}]
    return [
        *_apart(bubblewrap),
        *(part for path in seen for part in ("--ro-bind", path, path)),
        *("--bind", str(folder), str(folder), "--chdir", str(folder)),
        *(part for path in HIDDEN if _real(path) for part in ("--remount-ro", path)),
        "--",
    ]


def _apart(bubblewrap: str) -> list[str]:
    return [
        bubblewrap,
        *("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
        *(part for hidden in HIDDEN if _real(hidden) for part in ("--tmpfs", hidden)),
    ]


def _real(path: str) -> bool:
    place = Path(path)
    return place.is_dir() and not place.is_symlink()
