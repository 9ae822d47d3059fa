import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from runbookopt.documents.digest import canonical, digest_of
from runbookopt.documents.usage import Usage
from runbookopt.engine.database import JournalError
from runbookopt.engine.journal import Answer, Calls, Journal, RunRecord, trajectory_id
from runbookopt.errors import RunbookoptError
from runbookopt.search.asks import Candidate, Reflection

KEY = digest_of("a rollout")

VERSION_1 = """
CREATE TABLE runs (number INTEGER PRIMARY KEY, id TEXT NOT NULL, asked_for TEXT NOT NULL,
    settings TEXT NOT NULL, state TEXT NOT NULL, continues TEXT);
CREATE TABLE asks (run INTEGER NOT NULL, ordinal INTEGER NOT NULL, digest TEXT NOT NULL,
    reflections TEXT NOT NULL, stopped TEXT, PRIMARY KEY (run, ordinal));
CREATE TABLE reflections (key TEXT PRIMARY KEY, ask BLOB NOT NULL);
CREATE TABLE answers (key TEXT PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL, cost INTEGER NOT NULL);
CREATE TABLE failures (run INTEGER NOT NULL, key TEXT NOT NULL, ordinal INTEGER NOT NULL, kind TEXT NOT NULL,
    body BLOB NOT NULL, cost INTEGER NOT NULL, PRIMARY KEY (run, key));
INSERT INTO runs VALUES (1, 'a', 'a', '{}', 'open', NULL);
INSERT INTO asks VALUES (1, 0, 'ASK', '[]', 'minutes');
INSERT INTO answers VALUES ('KEY', 'rollout', CAST('{"output":"yes","steps":[]}' AS BLOB), 1);
INSERT INTO failures
VALUES (1, 'FAILED', 0, 'rollout', CAST('{"kind":"timeout","message":""}' AS BLOB), 1);
PRAGMA application_id = 1919053680;
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
"""
VERSION_2 = (
    VERSION_1
    + """
ALTER TABLE answers ADD COLUMN usage TEXT;
ALTER TABLE failures ADD COLUMN usage TEXT;
UPDATE answers SET usage = '{"calls":1,"prompt":70}';
PRAGMA user_version = 2;
"""
)


def answer(output: str, key: str = KEY) -> Answer:
    return Answer(key, "rollout", canonical({"output": output, "steps": []}), 1)


def failure(key: str = KEY) -> Answer:
    return Answer(key, "rollout", canonical({"kind": "timeout", "message": ""}), 1, failed=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".runbookopt" / "journal.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal.open(path) as journal:
        yield journal


def test_an_answer_that_was_kept_is_there_for_every_later_run(path: Path) -> None:
    with Journal.open(path) as journal:
        journal.run("a", {}).keep(0, [answer("yes")])
    with Journal.open(path) as journal:
        assert journal.run("b", {}).answers([KEY, digest_of("unknown")]) == {KEY: answer("yes")}


def test_of_two_answers_to_one_key_both_writers_use_the_first(path: Path, journal: Journal) -> None:
    with Journal.open(path) as other:
        assert journal.run("a", {}).keep(0, [answer("first")]) == {KEY: answer("first")}
        assert other.run("b", {}).keep(0, [answer("second")]) == {KEY: answer("first")}


def test_an_unfinished_run_is_told_its_failures_again(path: Path, journal: Journal) -> None:
    journal.run("a", {}).keep(0, [failure()])
    with Journal.open(path) as other:
        assert other.run("a", {}).answers([KEY]) == {KEY: failure()}


def test_a_failure_is_told_to_no_other_run_nor_to_a_later_one_of_the_same_id(journal: Journal) -> None:
    run = journal.run("a", {})
    run.keep(0, [failure()])
    run.finish()
    assert journal.run("a", {}).answers([KEY]) == {}
    assert journal.run("b", {}).answers([KEY]) == {}


def test_what_a_run_was_told_stays_whatever_another_run_writes(journal: Journal) -> None:
    failed, answered = journal.run("a", {}), journal.run("b", {})
    failed.keep(0, [failure()])
    assert answered.keep(0, [answer("yes")]) == {KEY: answer("yes")}
    assert failed.answers([KEY]) == {KEY: failure()}
    assert answered.keep(1, [failure()]) == {KEY: answer("yes")}


def test_runs_name_their_settings_and_an_unfinished_one_is_continued(journal: Journal) -> None:
    run = journal.run("a", {"random_seed": 1})
    run.begin(0, digest_of("ask"), {})
    run.settle()
    run = journal.run("a", {"random_seed": 1})
    assert journal.runs() == (RunRecord("a", {"random_seed": 1}, "open", None, 1),)
    run.finish()
    journal.run("a", {"random_seed": 2})
    assert [(run.id, run.state, run.asks) for run in journal.runs()] == [
        ("a", "finished", 1),
        ("a", "open", 0),
    ]


def test_the_asks_of_another_version_make_a_new_run_that_takes_over_what_came_before(
    journal: Journal,
) -> None:
    old = journal.run("a", {"random_seed": 1})
    later = digest_of("later")
    for place, key in enumerate((KEY, later)):
        old.begin(place, digest_of(place), {})
        old.keep(place, [failure(key)])
    run = journal.run("a", {})
    run.begin(0, digest_of(0), {})
    run.begin(1, digest_of("another"), {})
    assert journal.runs()[1] == RunRecord(run.id, {"random_seed": 1}, "open", "a", 2)
    assert journal.runs()[0].state == "left"
    assert run.id == "a.2"
    assert journal.run("a", {}).answers([KEY, later]) == {KEY: failure()}


def test_an_ask_is_written_down_with_its_first_answers(path: Path, journal: Journal) -> None:
    run = journal.run("a", {})
    run.begin(0, digest_of("ask"), {})
    with Journal.open(path) as other:
        assert other.runs()[0].asks == 0
        run.keep(0, [answer("yes")])
        assert other.runs()[0].asks == 1


def test_what_was_used_is_kept_with_answers_and_failures(path: Path, journal: Journal) -> None:
    used = Usage(calls=2, prompt=70, completion=9, usd=0.25, failures={"truncated": 1})
    told = [replace(answer("yes"), usage=used), replace(failure(digest_of("another")), usage=used)]
    journal.run("a", {}).keep(0, told)
    with Journal.open(path) as other:
        assert list(other.run("a", {}).answers([each.key for each in told]).values()) == told


def test_calls_are_summed_by_who_answered_failed_ones_included_and_unknown_use_counts_for_nothing(
    path: Path, journal: Journal
) -> None:
    used = Usage(calls=2, prompt=70, completion=9, usd=0.25)
    told = {
        "answered": (used, False),
        "failed": (used, True),
        "without a price": (replace(used, usd=None), False),
        "billed and not counted": (Usage(calls=1, usd=None), False),
        "not billed": (Usage(failures={"timeout": 1}), True),
        "no model": (None, False),
    }
    given = [
        Answer(digest_of(what), "rollout", b"{}", 1, failed, usage, "sha256:agent", 0.5)
        for what, (usage, failed) in told.items()
    ]
    another = Answer(digest_of("another"), "rollout", b"{}", 1, False, used, "sha256:another", 9.0)
    judged = Answer(digest_of("judged"), "judgement", b"{}", 0, False, used, "sha256:agent", 9.0)
    journal.run("a", {}).keep(0, [*given, another, judged, answer("by nobody")])
    with Journal.open(path) as other:
        assert other.calls("rollout", "sha256:agent") == Calls(6, 3.0, 3, 3 * 79, 2, 0.5)
        assert other.calls("judgement", "sha256:agent") == Calls(1, 9.0, 1, 79, 1, 0.25)
        assert other.calls("reflection", "sha256:agent") == Calls()


def test_a_call_is_counted_once_though_another_answer_was_first_or_a_run_takes_over(journal: Journal) -> None:
    first, second = (replace(answer(said), by="sha256:agent", seconds=1.0) for said in ("first", "second"))
    journal.run("a", {}).keep(0, [first])
    journal.run("b", {}).keep(0, [second])
    old = journal.run("c", {})
    for place in range(2):
        old.begin(place, digest_of(place), {})
        old.keep(place, [replace(failure(digest_of(f"key {place}")), by="sha256:agent", seconds=2.0)])
    run = journal.run("c", {})
    run.begin(0, digest_of(0), {})
    run.begin(1, digest_of("of another version"), {})
    assert list(run.answers([digest_of("key 0")])) == [digest_of("key 0")]
    assert journal.calls("rollout", "sha256:agent") == Calls(3, 5.0)


@pytest.mark.parametrize(("script", "usage"), [(VERSION_1, None), (VERSION_2, Usage(calls=1, prompt=70))])
def test_an_early_journal_is_brought_up_to_date_and_its_answers_are_not_paid_again(
    path: Path, script: str, usage: Usage | None
) -> None:
    import sqlite3  # noqa: PLC0415 - slow libraries are imported where they are used

    words = {"'ASK'": digest_of("ask"), "'KEY'": KEY, "'FAILED'": digest_of("failed")}
    for word, digest in words.items():
        script = script.replace(word, f"'{digest}'")
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    neighbour, failed = f"0123abcd/{KEY}", f"0123abcd/{digest_of('failed')}"
    with Journal.open(path) as journal:
        run = journal.run("a", {})
        assert run.answers([neighbour, failed]) == {
            neighbour: replace(answer("yes", neighbour), usage=usage),
            failed: failure(failed),
        }
        assert run.begin(0, digest_of("ask"), {}) == "minutes"
        assert journal.output(trajectory_id(neighbour)) == "yes"
        assert journal.read("PRAGMA user_version") == [(6,)]
        assert journal.calls("rollout", "sha256:agent") == Calls()


def test_a_run_ends_again_where_a_clock_ended_it(journal: Journal) -> None:
    run = journal.run("a", {})
    assert run.begin(0, digest_of("ask"), {}) is None
    run.stop(0, "minutes")
    assert journal.run("a", {}).begin(0, digest_of("ask"), {}) == "minutes"


def test_what_reflectors_were_shown_can_be_read_for_each_run(journal: Journal) -> None:
    asks = [Reflection(Candidate("text"), (), (), (), (), 100 + number) for number in range(3)]
    shown = {digest_of(ask): canonical(ask) for ask in asks}
    run = journal.run("a", {})
    run.begin(0, digest_of(0), dict(list(shown.items())[1:]))
    run.begin(1, digest_of(1), shown)
    run.settle()
    assert journal.reflection_asks("a") == (asks[1], asks[2], asks[0])
    assert journal.reflection_asks("b") == ()


def test_an_output_is_found_by_the_id_that_reports_cite(journal: Journal) -> None:
    journal.run("a", {}).keep(0, [answer("yes"), answer("no", digest_of("another"))])
    assert journal.output(trajectory_id(KEY)) == "yes"
    assert journal.output("t-0001") is None
    assert journal.output("r-") is None


@pytest.mark.parametrize("content", [b"half a line of text", b"\0" * 5000])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.sqlite3"
    path.write_bytes(content)
    with (
        pytest.raises(JournalError, match=r"journal\.sqlite3: not a journal .*move the file away"),
        Journal.open(path),
    ):
        pass
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("CREATE TABLE notes (text)", "another program's"),
        ("PRAGMA user_version = 7", "a journal of version 7"),
    ],
)
def test_another_database_is_refused_and_left_alone(path: Path, statement: str, message: str) -> None:
    import sqlite3  # noqa: PLC0415 - slow libraries are imported where they are used

    path.parent.mkdir()
    if "PRAGMA" in statement:
        with Journal.open(path):
            pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=message), Journal.open(path):
        pass
    assert path.read_bytes() == before


def test_a_journal_that_stays_locked_is_one_clear_error(path: Path, journal: Journal) -> None:
    held = pytest.raises(JournalError, match=r"locked for 0\.2 s")
    with Journal.open(path, patience=0.2) as other, journal.writing(), held:
        other.run("a", {})


def test_a_journal_is_made_by_several_processes_at_once(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from runbookopt.engine.journal import *\n"
        "with Journal.open(Path(sys.argv[1])) as journal:\n"
        "    run = journal.run('a', {})\n"
        "    for n in range(100):\n"
        "        key = f'sha256:{n:064}'\n"
        "        told = run.keep(n, [Answer(key, 'rollout', sys.argv[2].encode(), 1)])\n"
        "        print(told[key].body.decode())\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "journal.sqlite3")]
    children = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "xyz"]
    told = {child.communicate(timeout=60)[0] for child in children}
    assert len(told) == 1
    assert len(told.pop().split()) == 100


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_that_cannot_be_written_is_one_clear_error(exists: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite3"
        if exists:
            with Journal.open(path):
                pass
        Path(folder).chmod(0o555)
        program = (
            "import os, sqlite3, sys; from pathlib import Path; from runbookopt.engine.journal import *\n"
            "if os.geteuid() == 0: os.setuid(65534)\n"  # root may write anywhere
            "with Journal.open(Path(sys.argv[1])) as journal: journal.run('a', {})"
        )
        command = [sys.executable, "-c", program, str(path)]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        Path(folder).chmod(0o755)
    assert "JournalError" in ended.stderr.splitlines()[-1]
    assert "cannot be opened for writing" in ended.stderr


def test_a_path_that_is_a_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RunbookoptError, match="cannot be opened for writing"), Journal.open(tmp_path):
        pass
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunbookoptError, match="cannot be made: File exists"),
        Journal.open(tmp_path / "file" / "journal.sqlite3"),
    ):
        pass


# Damage ----------------------------------------------------------------------------------------------------


def damaged(path: Path, old: bytes, new: bytes) -> None:
    """Change a file as a disk would: in place, where the bytes stand, in all copies of the page."""
    assert len(old) == len(new)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


@pytest.mark.parametrize("failed", [False, True])
def test_an_answer_that_is_not_what_was_written_is_noticed_when_it_is_read(path: Path, failed: bool) -> None:
    body = canonical({"kind": "timeout", "message": "a sentence of its own", "output": "x", "steps": []})
    with Journal.open(path) as journal:
        run = journal.run("a", {})
        run.begin(0, digest_of("ask"), {})
        run.keep(0, [Answer(KEY, "rollout", body, 1, failed=failed), answer("yes", digest_of("another"))])
        journal.read("PRAGMA wal_checkpoint(TRUNCATE)")
    damaged(path, b"a sentence of its own", b"a sentence of its 0wn")
    with Journal.open(path) as journal:
        run = journal.run("a", {})
        assert run.answers([digest_of("another")])
        with pytest.raises(JournalError, match=r"is not what was written .* the file is damaged; move it"):
            run.answers([KEY])
        if not failed:
            with pytest.raises(JournalError, match="is damaged"):
                journal.output(trajectory_id(KEY))


def test_a_page_that_was_wiped_is_noticed(path: Path) -> None:
    with Journal.open(path) as journal:
        run = journal.run("a", {})
        run.begin(0, digest_of("ask"), {})
        run.keep(0, [answer("yes" * 2000, digest_of(str(number))) for number in range(50)])
        journal.read("PRAGMA wal_checkpoint(TRUNCATE)")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(4096) + data[len(data) // 2 + 4096 :])
    with Journal.open(path) as journal, pytest.raises(JournalError):
        journal.run("a", {}).answers([digest_of(str(number)) for number in range(50)])
