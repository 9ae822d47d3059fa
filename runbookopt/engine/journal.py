"""Journal of runs, asks and answers on disk, durable before they are used."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal
from zlib import crc32

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from runbookopt.documents.digest import canonical, digest
from runbookopt.documents.schema_errors import shown
from runbookopt.documents.usage import Usage
from runbookopt.engine.database import Database, Execute, JournalError
from runbookopt.search.asks import Reflection

Kind = Literal["rollout", "reflection", "judgement"]

_TABLES = """
CREATE TABLE runs (number INTEGER PRIMARY KEY, id TEXT NOT NULL, asked_for TEXT NOT NULL,
    settings TEXT NOT NULL, state TEXT NOT NULL, continues TEXT);
CREATE TABLE asks (run INTEGER NOT NULL, ordinal INTEGER NOT NULL, digest TEXT NOT NULL,
    reflections TEXT NOT NULL, stopped TEXT, PRIMARY KEY (run, ordinal));
CREATE TABLE reflections (key TEXT PRIMARY KEY, ask BLOB NOT NULL);
CREATE TABLE answers (key TEXT PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL, cost INTEGER NOT NULL);
CREATE TABLE failures (run INTEGER NOT NULL, key TEXT NOT NULL, ordinal INTEGER NOT NULL, kind TEXT NOT NULL,
    body BLOB NOT NULL, cost INTEGER NOT NULL, PRIMARY KEY (run, key));
"""
_SINCE_VERSION_1 = """
ALTER TABLE answers ADD COLUMN usage TEXT;
ALTER TABLE failures ADD COLUMN usage TEXT
"""
_SINCE_VERSION_2 = """
ALTER TABLE answers ADD COLUMN given_by INTEGER;
ALTER TABLE answers ADD COLUMN seconds REAL;
ALTER TABLE failures ADD COLUMN given_by INTEGER;
ALTER TABLE failures ADD COLUMN seconds REAL
"""
_SINCE_VERSION_3 = """
ALTER TABLE answers ADD COLUMN crc INTEGER;
ALTER TABLE failures ADD COLUMN crc INTEGER
"""
_SINCE_VERSION_4 = """
ALTER TABLE answers ADD COLUMN replier TEXT;
ALTER TABLE failures ADD COLUMN replier TEXT
"""
_SINCE_VERSION_5 = """
ALTER TABLE runs ADD COLUMN result BLOB
"""
_ANY_EARLY_KEY = (
    "SELECT EXISTS (SELECT 1 FROM answers WHERE key BETWEEN 'sha256:' AND 'sha256;' AND kind = 'rollout')"
)
_ANSWER = "key, kind, body, cost, usage, crc, replier"
_DIGEST = len(digest(b""))
_UNANSWERED = "kind = 'rollout' OR json_extract(CAST(body AS TEXT), '$.unanswered')"
"""Failures for which nobody is to blame: of rollouts, all of them."""


class Calls(Struct, frozen=True):
    """Earlier calls to one agent, reflector or judge in sum, failed ones included.

    `timed` calls took `seconds` in all, whatever else was in flight. Of them `counted` say how many `tokens`
    they used, and `priced` how many dollars (`usd`): where a provider billed nothing, or did not say what,
    nothing is learned of what a call uses.
    """

    timed: int = 0
    seconds: float = 0.0
    counted: int = 0
    tokens: int = 0
    priced: int = 0
    usd: float = 0.0


class Answer(Struct, frozen=True):
    """Answer to one call: canonical JSON, and what it costs the budget, in rollouts.

    `failed`: there was no answer, and `body` says why. Only the run that met a failure is told of it.
    `usage` is what calls to models used for it; None where that is not known, or no model was called. `by` is
    the key of who gave it and `seconds` how long that took, of an answer that was given now; the journal
    tells both in sum only (`Journal.calls`). `replier` is who gave it by hand-off, by their own word.
    """

    key: str
    kind: Kind
    body: bytes
    cost: int
    failed: bool = False
    usage: Usage | None = None
    by: str | None = None
    seconds: float | None = None
    replier: str | None = None


class RunRecord(Struct, frozen=True):
    """A run as the journal names it; `asks` is how many it has made.

    `state` is "left" where another version of the search met the run unfinished; the run that took over
    names it in `continues`.
    """

    id: str
    settings: dict[str, Any]
    state: Literal["open", "finished", "left"]
    continues: str | None
    asks: int


def trajectory_id(key: str) -> str:
    """Short id by which reports cite the rollout with this key."""
    return "r-" + _plain(key).removeprefix("sha256:")[:12]


def _plain(key: str) -> str:
    return key.rpartition("/")[2]  # without the part by which it has neighbours


class _Body(Struct, frozen=True):
    output: str | None  # the part of a rollout's answer that reports cite


class Journal(Database):
    """The answers of all runs, by key, and the runs.

    Several processes may write at once: of two answers to one key the first that is written stays, and it
    is the one that both use.
    """

    steps: ClassVar = (
        _TABLES,
        _SINCE_VERSION_1,
        _SINCE_VERSION_2,
        _SINCE_VERSION_3,
        _SINCE_VERSION_4,
        _SINCE_VERSION_5,
    )

    def run(self, run_id: str, settings: Mapping[str, object]) -> "Run":
        """Continue the unfinished run of this id, or begin one."""
        with self.writing() as execute:
            row = execute(
                "SELECT number, id FROM runs WHERE asked_for = ? AND state = 'open' ORDER BY number DESC",
                (run_id,),
            ).fetchone()
            if row is None:
                values = (run_id, run_id, _text(settings))
                made = execute("INSERT INTO runs VALUES (NULL, ?, ?, ?, 'open', NULL, NULL)", values)
                row = (made.lastrowid, run_id)
        return Run(self, *row)

    def result(self, run_id: str) -> bytes | None:
        """What the last run of this id left as its result; None where it is open, or left nothing whole."""
        rows = self.read("SELECT result FROM runs WHERE asked_for = ? ORDER BY number DESC LIMIT 1", run_id)
        kept = rows[0][0] if rows else None
        if kept is None:
            return None
        result = kept[_DIGEST:]
        return result if digest(result).encode() == kept[:_DIGEST] else None

    def runs(self) -> tuple[RunRecord, ...]:
        """All runs, oldest first."""
        rows = self.read(
            "SELECT id, settings, state, continues, (SELECT count(*) FROM asks WHERE run = number) FROM runs"
            " ORDER BY number"
        )
        return tuple(RunRecord(row[0], msgspec.json.decode(row[1]), *row[2:]) for row in rows)

    def reflection_asks(self, run_id: str) -> tuple[Reflection, ...]:
        """Asks that the runs of this id made of reflectors, each once, in the order of asking."""
        rows = self.read(
            "SELECT reflections.ask FROM runs JOIN asks ON asks.run = runs.number"
            " JOIN json_each(asks.reflections) AS shown JOIN reflections ON reflections.key = shown.value"
            " WHERE runs.id = ?1 OR runs.asked_for = ?1 ORDER BY runs.number, asks.ordinal, shown.id",
            run_id,
        )
        return tuple(msgspec.json.decode(ask, type=Reflection) for (ask,) in dict.fromkeys(rows))

    def output(self, trajectory: str) -> str | None:
        """Output of the rollout that reports cite by this id; None where there is none."""
        start = "sha256:" + trajectory.removeprefix("r-")
        query = f"SELECT {_ANSWER} FROM answers WHERE kind = 'rollout' AND instr(key, ?)"  # noqa: S608
        rows = self.read(query, start)
        found = next((row for row in rows if trajectory_id(row[0]) == trajectory), None)
        if found is None:
            return None
        return msgspec.json.decode(self.answer(found, failed=False).body, type=_Body).output

    def answer(self, row: Sequence[Any], *, failed: bool) -> Answer:
        """The answer that a row of `_ANSWER` holds. Raises JournalError where it is not what was written.

        SQLite keeps no checksums: what a disk or a copy has changed in a page looks like any other text.
        """
        key, kind, body, cost, usage, crc, replier = row
        written = _crc(key, kind, body, cost, usage, replier)
        if crc not in {None, written}:  # a journal before version 4 has none
            raise JournalError(
                f"{self.path}: an answer in it is not what was written ({shown(key)}): the file is damaged;"
                " move it away and run the same command again (its answers are then paid again)"
            )
        return Answer(key, kind, body, cost, failed, _usage(usage), replier=replier)

    def given(self, keys: Sequence[str]) -> dict[str, Answer]:
        """The answers to these keys that any run was given, as far as there are any; no failure is one."""
        query = f"SELECT {_ANSWER} FROM answers WHERE key IN (SELECT value FROM json_each(?))"  # noqa: S608
        return {row[0]: self.answer(row, failed=False) for row in self.read(query, _text(keys))}

    def calls(self, kind: Kind, by: str) -> Calls:
        """All calls of a kind to whoever has the key `by`, in sum.

        What a journal before version 3 was told is not among them: it did not say who gave it.
        """
        rows = self.read(
            "SELECT usage, seconds FROM answers WHERE kind = ?1 AND given_by = ?2"
            " UNION ALL SELECT usage, seconds FROM failures WHERE kind = ?1 AND given_by = ?2",
            kind,
            _number(by),
        )
        return _sum((_usage(usage), seconds) for usage, seconds in rows)


class _Begun(Struct, frozen=True):
    ordinal: int
    digest: str
    shown: Mapping[str, bytes]


class Run:
    """One run: the digests of its asks in order, and the failures that it met.

    A run is open from its first `Journal.run` to `finish`, over any number of kills. While it is open it is
    told its own failures again, so that it takes the path of the run that was not cut; no other run, nor a
    later one of the same id, is ever told them. `id` changes when `begin` finds the asks of another version.
    """

    def __init__(self, journal: Journal, number: int, run_id: str) -> None:
        self.id = run_id
        self._journal = journal
        self._number = number
        self._begun: _Begun | None = None
        self._early = journal.read(_ANY_EARLY_KEY)[0][0] > 0

    def begin(self, ordinal: int, digest: str, shown: Mapping[str, bytes]) -> str | None:
        """Begin the ask at this place, with what reflectors will be `shown` (JSON by key).

        It is written down with its first answers, or by `settle`: until then nothing came of it. Gives the
        reason why the run stopped here the first time, or None. Where another ask stands at this place,
        another version of the search made it: the run gets a new id, takes over the asks and failures so far,
        and goes on.
        """
        self.settle()
        earlier, stopped = self._earlier(ordinal)
        if earlier == digest:
            return stopped
        self._begun = _Begun(ordinal, digest, shown)
        if earlier is not None:
            self.settle()
        return None

    def settle(self) -> None:
        """Write down the ask that was begun, where nothing was kept since."""
        if self._begun is not None:
            with self._journal.writing() as execute:
                self._write_begun(execute)
            self._begun = None

    def stop(self, ordinal: int, reason: str) -> None:
        """Write down that a clock ended the run at this ask, so that a resumed run ends there too."""
        with self._journal.writing() as execute:
            self._write_begun(execute)
            values = (reason, self._number, ordinal)
            execute("UPDATE asks SET stopped = ? WHERE run = ? AND ordinal = ?", values)
        self._begun = None

    def answers(self, keys: Sequence[str]) -> dict[str, Answer]:
        """All that the journal has for these keys: the run's own failures, else anybody's answers."""
        if not keys:
            return {}
        # a journal of version 1 has the same keys without what stands before the slash
        names = {_plain(key): key for key in keys if "/" in key} if self._early else {}
        among = "key IN (SELECT value FROM json_each(?))"
        listed = _text([*keys, *names])
        given = self._journal.read(f"SELECT {_ANSWER} FROM answers WHERE {among}", listed)  # noqa: S608
        query = f"SELECT {_ANSWER} FROM failures WHERE {among} AND run = ?"  # noqa: S608
        failed = self._journal.read(query, listed, self._number)
        answers = {row[0]: self._journal.answer(row, failed=False) for row in given}
        answers |= {row[0]: self._journal.answer(row, failed=True) for row in failed}
        for early in names.keys() & answers.keys():
            answers.setdefault(names[early], replace(answers.pop(early), key=names[early]))
        return answers

    def keep(self, ordinal: int, answers: Sequence[Answer]) -> dict[str, Answer]:
        """Make answers durable in one transaction; gives those to use: for each key the first written.

        A failure is kept only where there is no answer yet, and one that is kept goes before a later answer:
        so what this run is told of a key never changes, whatever other runs write.
        """
        given = [row_of(a) for a in answers if not a.failed]
        failed = [(*row_of(a), self._number, ordinal) for a in answers if a.failed]
        with self._journal.writing() as execute:
            self._write_begun(execute)
            new = self._journal.write_all(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", given
            )
            self._journal.write_all(
                "INSERT OR IGNORE INTO failures SELECT ?10, ?1, ?11, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9"
                " WHERE NOT EXISTS (SELECT 1 FROM answers WHERE key = ?1)",
                failed,
            )
        self._begun = None
        if new < len(answers) or self._journal.read(
            "SELECT 1 FROM failures WHERE run = ? LIMIT 1", self._number
        ):
            return self.answers([answer.key for answer in answers])
        return {answer.key: answer for answer in answers}  # all were the first

    def forget(self, since: int) -> None:
        """Take back what came to nothing for nobody's fail, from the ask with this number on.

        The run ends for want of answers. When it goes on, it asks for them again, and takes the path of a
        run that never lacked them: so what followed from the first of them is taken back too.
        """
        lost = f"run = ? AND ordinal >= ? AND ({_UNANSWERED})"
        with self._journal.writing() as execute:
            query = f"SELECT min(ordinal) FROM failures WHERE {lost}"  # noqa: S608 - no word of others
            (first,) = execute(query, (self._number, since)).fetchone()
            if first is not None:
                execute(f"DELETE FROM failures WHERE {lost}", (self._number, since))  # noqa: S608
                execute("DELETE FROM asks WHERE run = ? AND ordinal > ?", (self._number, first))
        self._begun = None

    def hurry(self) -> None:
        """Wait for no other process any longer: this one is about to end."""
        self._journal.hurry()

    def finish(self, result: bytes | None = None) -> None:
        """Close the run: its failures are never told again, and the next run of this id begins anew.

        A `result` is kept for whoever asks for the same run again (`Journal.result`).
        """
        kept = None if result is None else digest(result).encode() + result
        with self._journal.writing() as execute:
            self._write_begun(execute)
            values = (kept, self._number)
            execute("UPDATE runs SET state = 'finished', result = ? WHERE number = ?", values)
        self._begun = None

    def _write_begun(self, execute: Execute) -> None:
        begun = self._begun
        if begun is None:
            return
        if self._earlier(begun.ordinal)[0] not in (None, begun.digest):
            self._leave(execute, begun.ordinal)
        for key, ask in begun.shown.items():
            execute("INSERT OR IGNORE INTO reflections VALUES (?, ?)", (key, ask))
        values = (self._number, begun.ordinal, begun.digest, _text(list(begun.shown)))
        execute("INSERT OR IGNORE INTO asks VALUES (?, ?, ?, ?, NULL)", values)

    def _earlier(self, ordinal: int) -> tuple[str | None, str | None]:
        """Digest of the ask that is written down at this place, and why the run stopped at it."""
        query = "SELECT digest, stopped FROM asks WHERE run = ? AND ordinal = ?"
        return next(iter(self._journal.read(query, self._number, ordinal)), (None, None))

    def _leave(self, execute: Execute, ordinal: int) -> None:
        old = self._number
        execute("UPDATE runs SET state = 'left' WHERE number = ?", (old,))
        made = execute(
            "INSERT INTO runs SELECT NULL, asked_for || '.'"
            " || (SELECT count(*) + 1 FROM runs AS same WHERE same.asked_for = runs.asked_for),"
            " asked_for, settings, 'open', id, NULL FROM runs WHERE number = ?",
            (old,),
        )
        self._number = made.lastrowid or 0
        self.id = execute("SELECT id FROM runs WHERE number = ?", (self._number,)).fetchone()[0]
        taken = (self._number, old, ordinal)
        execute(
            "INSERT INTO asks SELECT ?, ordinal, digest, reflections, stopped FROM asks"
            " WHERE run = ? AND ordinal < ?",
            taken,
        )
        execute(  # the copy of a failure is no call of its own
            "INSERT INTO failures SELECT ?, key, ordinal, kind, body, cost, usage, NULL, NULL, crc, replier"
            " FROM failures WHERE run = ? AND ordinal < ?",
            taken,
        )


def row_of(answer: Answer) -> tuple[object, ...]:
    """Columns of an answer: its own; by whom and how long; what proves it unchanged; who replied."""
    usage = None if answer.usage is None else _text(answer.usage)
    by = None if answer.by is None else _number(answer.by)
    own = (answer.key, answer.kind, answer.body, answer.cost, usage)
    return *own, by, answer.seconds, _crc(*own, answer.replier), answer.replier


def _crc(key: str, kind: str, body: bytes, cost: int, usage: str | None, replier: str | None) -> int:
    """A checksum against damage, not against forgers."""
    stated = [str(key), str(kind), str(cost), usage, *([] if replier is None else [replier])]
    return crc32(canonical(stated), crc32(bytes(body)))


def _usage(text: str | None) -> Usage | None:
    return None if text is None else msgspec.json.decode(text, type=Usage)


@lru_cache(maxsize=64)
def _number(key: str) -> int:
    return int(digest(key.encode())[-12:], 16)  # six bytes, which no other agent has: they stand in each row


def _sum(calls: Iterable[tuple[Usage | None, float]]) -> Calls:
    timed = counted = tokens = priced = 0
    seconds = usd = 0.0
    for used, took in calls:
        timed, seconds = timed + 1, seconds + took
        if used is None or not used.calls:
            continue
        if used.tokens:  # else the provider did not count
            counted, tokens = counted + 1, tokens + used.tokens
        if used.usd is not None:
            priced, usd = priced + 1, usd + used.usd
    return Calls(timed, seconds, counted, tokens, priced, usd)


def _text(value: object) -> str:
    return canonical(value).decode()  # as SQLite's own functions read it
