"""Origin of a journal: the repository and branch that it was made for, as it says itself.

This keeps a journal from where it does not belong. It is no seal: who can write the file can write this too.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from runbookopt.errors import Refused

if TYPE_CHECKING:
    from runbookopt.engine.database import Database


class Maker(Struct, frozen=True):
    """Where a journal is made: each is None where it is not known.

    `ci` is repository and ref of a job in Actions; `origin` is the digest of origin's address, and `first`
    gives the first commit of the history.
    """

    ci: str | None
    origin: str | None
    first: Callable[[], str | None]


_TABLE = "CREATE TABLE IF NOT EXISTS made_for (ci TEXT, origin TEXT, first TEXT)"


def must_be_made_here(journal: "Database", path: Path, here: Maker) -> None:
    """Hold a journal against where it is opened; a new one is from now on of here.

    One that a developer made may go with them to another branch, and its origin may move: it is another's
    where neither origin nor the first commit is the same. In a CI both repository and branch have to be.
    Raises Refused with what to do, JournalError.
    """
    there = journal.read("SELECT count(*) FROM sqlite_master WHERE name = 'made_for'")[0][0]
    rows = journal.read("SELECT ci, origin, first FROM made_for") if there else []
    if not rows:
        answers = journal.read("SELECT count(*) FROM answers")[0][0]
        if answers and here.ci is not None:
            raise Refused(_refusal(path, "does not say for which repository and branch it was made", here))
        with journal.writing() as execute:
            execute(_TABLE)
            execute("INSERT INTO made_for VALUES (?, ?, ?)", (here.ci, here.origin, here.first()))
        return
    ci, origin, first = rows[0]
    same = ci == here.ci if here.ci is not None else origin == here.origin or first == here.first()
    if not same:
        raise Refused(_refusal(path, f"was made for {ci or 'another repository'}", here))


def _refusal(path: Path, why: str, here: Maker) -> str:
    where = f", and this is {here.ci}: delete the cache that it came from" if here.ci else ": move it away"
    return f"{path} {why}{where}, then run this again; its answers are then paid for once more"
