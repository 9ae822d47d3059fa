"""Readings of searches that did not look, handed over beside the bundles of those that did."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from runbookopt.documents.digest import canonical
from runbookopt.documents.parse import MalformedFile, Problem
from runbookopt.documents.schema_errors import plain
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.split import DRAWN
from runbookopt.forge.git.repository import Repository
from runbookopt.landing.bundle import write_whole
from runbookopt.project.places import runbook_names
from runbookopt.project.project import evidence_of
from runbookopt.proof.ledger import Ledger, Reading

FOLDER = "readings"
"""Beside the folder of the bundles."""

ENDING = ".reading.json"
"""How the names of their files end."""

LARGEST = 100_000
"""Bytes of such a file: a search reads few tasks, and of each it holds one digest."""

MOST_FILES = 1000
"""Such files that are looked at."""

MOST_TASKS = DRAWN["train"] + DRAWN["validation"]
"""Tasks that a search reads."""


def write_reading(reading: Reading, folder: Path) -> Path:
    """Write a reading to a file in `folder`/readings/ and give its path. Raises RunbookoptError."""
    place = folder / FOLDER / f"{reading.key.removeprefix('sha256:')}{ENDING}"
    return write_whole(place, canonical(msgspec.to_builtins(reading)), "what the search reads")


def readings_beside(folders: Iterable[Path]) -> list[Path]:
    """The files of readings among bundles, in these folders, and beside them, each once."""
    places = [place for folder in folders for place in (folder, folder.parent / FOLDER)]
    return sorted({file for place in places for file in place.glob(f"*{ENDING}") if file.is_file()})


def read_reading(path: Path) -> Reading:
    """Read what `write_reading` wrote, or somebody in its place. Raises MalformedFile."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        reading = msgspec.json.decode(data, type=Reading)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedFile([Problem(str(path), None, f"not a reading of a search: {error}")]) from error
    if len(data) > LARGEST or len(reading.tasks) > MOST_TASKS:
        most = f"expected at most {MOST_TASKS} tasks in {LARGEST:,} bytes"
        raise MalformedFile([Problem(str(path), None, f"too large for the reading of one search: {most}")])
    return reading


def append(repository: Repository, ledger: Ledger, reading: Reading) -> int:
    """Write into the ledger what a search has read that it lacks, and give how many tasks that is.

    Only tasks that the default branch has count: more cannot be burnt. Raises RunbookoptError where it has
    no such runbook, and what `Ledger.read` raises.
    """
    there = repository.revision(repository.base())
    if reading.runbook not in runbook_names(there):
        raise RunbookoptError(
            f"'{plain(reading.runbook)[:80]}': what a search of it has read is left out: there is no such"
            " runbook on the default branch"
        )
    known = {task.id for task in evidence_of(there, reading.runbook).tasks}.intersection(reading.tasks)
    new = known - ledger.burnt_at_origin(reading.runbook)
    ledger.read(replace(reading, tasks=tuple(known)))
    return len(new)
