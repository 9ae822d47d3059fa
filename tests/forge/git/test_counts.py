"""Git processes of one proposal, its approval and its merge, counted by a `git` that takes notes."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from runbookopt.forge.git.repository import Repository
from runbookopt.landing.bundle import write_bundle
from tests.conftest import Clone

TRIPS = frozenset({"fetch", "push", "ls-remote", "clone"})

WRAPPER = """#!/bin/sh
printf '%s\\t' "$@" | tr '\\n' ' ' >> "$COUNTED"
echo >> "$COUNTED"
exec {git} "$@"
"""


def test_a_proposal_its_approval_and_its_merge_take_few_git_processes_and_fewer_trips(
    repo: Callable[..., Clone], first_half: ModuleType, tmp_path: Path
) -> None:
    ana = repo(first_half.files(first_half.REVIEW))
    ana.is_used_by("ana")
    bo = ana.again("bo", "bo")
    with Repository.open(ana.root) as repository:
        bundle = write_bundle(first_half.FirstHalf(repository)(), ana.root / ".runbookopt")
    environ = _noting(tmp_path)
    steps = [
        (ana, ("propose", str(bundle))),
        (bo, ("pulls", "approve", "1")),
        (bo, ("pulls", "merge", "1")),
    ]
    for clone, arguments in steps:
        ran = clone.run("runbookopt", *arguments, environ=environ)
        assert (ran.returncode, ran.stderr) == (0, "")
    commands = [_command(line) for line in Path(environ["COUNTED"]).read_text().splitlines()]
    counts = Counter(commands)
    assert "merged" in ana.at_origin("log", "-1", "--format=%B", "refs/runbookopt/pulls/1")
    assert counts.total() <= 95, counts.most_common()
    assert sum(counts[trip] for trip in TRIPS) <= 14, counts.most_common()


def _noting(folder: Path) -> dict[str, str]:
    """Put a `git` first on PATH that writes its arguments to a file, one line a process, and becomes git."""
    wrapper = folder / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(WRAPPER.format(git=shutil.which("git")))
    wrapper.chmod(0o755)
    return {"PATH": f"{wrapper.parent}:{os.environ['PATH']}", "COUNTED": str(folder / "counted")}


def _command(line: str) -> str:
    """The subcommand, behind git's own options."""
    arguments = line.rstrip("\t").split("\t")
    while len(arguments) > 1 and arguments[0] == "-c":
        arguments = arguments[2:]
    return arguments[0]
