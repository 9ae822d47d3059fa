"""Turns: runs of one runbook in one clone, one after the other, since both would pay for the same answers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runbookopt.cli.terminal import complain


@contextmanager
def in_turn(root: Path, name: str) -> Iterator[None]:
    """Wait until no other process runs this runbook here; what it was answered is in the journal then.

    The runbook's folder itself is locked, or its page where that lies elsewhere, so nothing is left behind
    however a process ends. Where the file system knows no locks, nobody waits.
    """
    import fcntl

    from runbookopt.evidence.library import Folder
    from runbookopt.project.layout import ROOT
    from runbookopt.project.places import layout_of

    places = layout_of(Folder(root)).runbooks.get(name)
    home = places.home if places else f"{ROOT}/{name}"
    page = places.page if places else None
    locked = page if page and not page.startswith(f"{home}/") else home
    try:
        folder = os.open(root / locked, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:  # no such runbook: the run says so
        yield
        return
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            complain(f"{name}: waits for another run of it in this clone, and then goes on from its answers")
            fcntl.flock(folder, fcntl.LOCK_EX)
        except OSError:
            pass
        yield
    finally:
        os.close(folder)
