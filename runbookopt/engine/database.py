"""Database of one file: tables by version, transactions, advice; the only file that knows SQLite."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from runbookopt.errors import RunbookoptError

if TYPE_CHECKING:
    import sqlite3

Execute = Callable[..., "sqlite3.Cursor"]

_APPLICATION = 0x72626F70  # "rbop": tells our file from any other SQLite database
_BUSY_SECONDS = 0.25  # SQLite waits this long at a time, deaf to Ctrl-C; we ask again until patience ends


class JournalError(RunbookoptError):
    """The journal cannot be read or written; the message says what to do."""


class Database:
    """A file of tables; several processes may write at once.

    `steps` bring a file from each version, 0 without tables, to the next one: SQL with semicolons.
    """

    steps: ClassVar[tuple[str, ...]]

    def __init__(self, connection: "sqlite3.Connection", path: Path, patience: float) -> None:
        self._connection = connection
        self.path = path
        self._patience = patience

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, patience: float = 20.0) -> Iterator[Self]:
        """Open the journal at `path`, making it and its folder where there is none.

        `patience` is how many seconds to wait for a lock that another process holds. Raises
        JournalError; a file that is no journal of this version is left as it is.
        """
        import sqlite3

        with _advising(path, patience):
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=min(_BUSY_SECONDS, patience), isolation_level=None)
        try:
            journal = cls(connection, path, patience)
            journal._prepare()
            yield journal
        finally:
            connection.close()

    def read(self, query: str, *values: object) -> list[Any]:
        """All rows of a query, when no other process holds the lock any more."""
        import sqlite3

        until = time.monotonic() + self._patience
        with _advising(self.path, self._patience):
            while True:
                try:
                    return self._connection.execute(query, values).fetchall()
                except sqlite3.OperationalError as error:
                    if _code(error) not in (5, 6) or time.monotonic() >= until:
                        raise
                time.sleep(0.005)  # SQLite does not wait where it sees that two processes wait for each other

    def writing(self) -> "_Transaction":
        """Write in one transaction: all of it is durable at the end, or nothing of it is there."""
        return _Transaction(self)

    def begin(self) -> Execute:
        """Begin a transaction; one that Ctrl-C has left behind is undone first."""
        with _advising(self.path, self._patience):
            self.undo()
        self.read("BEGIN IMMEDIATE")
        return self._execute

    def write_all(self, statement: str, rows: Sequence[Sequence[object]]) -> int:
        """Write rows in the transaction that is open; gives how many of them were new."""
        with _advising(self.path, self._patience):
            return self._connection.executemany(statement, rows).rowcount

    def hurry(self) -> None:
        """From now on wait for a lock a moment only."""
        self._patience = min(_BUSY_SECONDS, self._patience)

    def undo(self) -> None:
        """Undo the transaction, if SQLite has not done so on its own."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _execute(self, statement: str, values: Sequence[object] = ()) -> "sqlite3.Cursor":
        with _advising(self.path, self._patience):
            return self._connection.execute(statement, values)

    def _prepare(self) -> None:
        version = self._version()
        if version == 0:
            self.read("PRAGMA journal_mode = WAL")
        if version < len(self.steps):
            with self.writing() as execute:
                for step in self.steps[self._version() :]:  # unless another came first
                    for statement in step.split(";"):
                        execute(statement)
                execute(f"PRAGMA application_id = {_APPLICATION}")
                execute(f"PRAGMA user_version = {len(self.steps)}")
        # NORMAL writes each commit to the operating system but does not wait for the disk. What was written
        # outlives the process however it is killed. Only a power cut may take the last commits with it (never
        # the file): those answers are paid again, by a run that has lost what it had built on them.
        self.read("PRAGMA synchronous = NORMAL")

    def _version(self) -> int:
        """Version of the file's tables, 0 where there are none; raises JournalError."""
        # in this order: another process may be making the tables just now, and they come all at once
        tables = self.read("SELECT count(*) FROM sqlite_master")[0][0]
        application = self.read("PRAGMA application_id")[0][0]
        version = self.read("PRAGMA user_version")[0][0]
        if application != _APPLICATION:
            if tables or application:
                raise JournalError(_not_ours(self.path, "it is another program's database"))
            return 0
        if not 1 <= version <= len(self.steps):
            raise JournalError(
                f"{self.path}: a journal of version {version}, and this runbookopt reads version"
                f" {len(self.steps)}; use the runbookopt that wrote it, or move the file away"
                " (its answers are then paid again)"
            )
        return int(version)


class _Transaction:
    """A transaction as a `with` block (no generator: Ctrl-C on its border would leave one half-way)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Execute:
        self._execute = self._database.begin()
        return self._execute

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._execute("COMMIT")
        finally:
            self._database.undo()


@contextmanager
def _advising(path: Path, patience: float) -> Iterator[None]:
    """Turn what SQLite and the file system say into what the user can do about it."""
    import sqlite3

    try:
        yield
    except OSError as error:
        raise JournalError(f"{path}: the journal cannot be made: {error.strerror}") from error
    except sqlite3.DatabaseError as error:
        match _code(error):
            case 5 | 6:  # SQLITE_BUSY, SQLITE_LOCKED
                advice = (
                    f"another process has held the journal locked for {patience:g} s;"
                    " wait until it is done, then run the same command again"
                )
            case 10 | 13:  # SQLITE_IOERR (so a file size limit shows itself), SQLITE_FULL
                advice = (
                    f"the journal cannot be written, the disk is full or a file size limit is reached"
                    f" ({error}); make room and run the same command again: what was answered before is kept"
                )
            case 3 | 8 | 14:  # SQLITE_PERM, SQLITE_READONLY, SQLITE_CANTOPEN
                advice = f"the journal cannot be opened for writing ({error}); let this user write there"
            case 11 | 26:  # SQLITE_CORRUPT, SQLITE_NOTADB
                raise JournalError(_not_ours(path, str(error))) from error
            case _:
                raise
        raise JournalError(f"{path}: {advice}") from error


def _not_ours(path: Path, why: str) -> str:
    return f"{path}: not a journal of runbookopt ({why}); move the file away and run the same command again"


def _code(error: "sqlite3.Error") -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # extended codes keep the primary one in the low byte
