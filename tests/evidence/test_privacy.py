"""Secrets in stored files of every format reach nobody, and stay what they were to each other."""

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbookopt.documents.personal_data import marked_personal
from runbookopt.documents.placeholders import Placeholders, without_marks
from runbookopt.documents.redaction import Redactor, marked, secrets_in
from runbookopt.evidence.covered import covered
from runbookopt.evidence.importing import files_at, import_files, sorted_out
from runbookopt.evidence.library import Folder, read_evidence
from runbookopt.evidence.live_keys import live_keys
from runbookopt.evidence.privacy import Redaction
from runbookopt.evidence.reading import gather
from runbookopt.evidence.trajectory import AgentRecord, TaskRecord, Trajectory
from runbookopt.evidence.trust import Given
from tests.evidence.formats.shapes import MORE
from tests.evidence.formats.test_readers import SHAPES
from tests.evidence.secrets_of_20_kinds import ALL, CORES, SECRETS, kinds_in, planted

OWN = {
    "id": "t1",
    "task": {"input": {"mail": "Where is it?", "secret key": ["of ours"]}, "reference": "at home"},
    "output": "It is here.",
    "verdicts": [{"criterion": "right", "result": "fail", "explanation": "not there"}],
    "error": "no such file",
}
FILES: dict[str, Any] = SHAPES | MORE | {"runbookopt": OWN}
WITHOUT_TEXT = {"scores", "harbor", "run card", "report"}
"""Those of which no text of several words is kept."""


def folder(tmp_path: Path, *records: object) -> Path:
    place = tmp_path / "trajectories/desk"
    place.mkdir(parents=True, exist_ok=True)
    (place / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return tmp_path


def task(number: int, input_: object, **more: object) -> dict[str, object]:
    return {"id": f"t{number}", "task": {"input": input_, **more}}


@pytest.mark.parametrize("name", FILES)
def test_twenty_secrets_in_a_file_are_in_nothing_that_is_read_of_it(name: str, tmp_path: Path) -> None:
    place = tmp_path / "trajectories/desk"
    place.mkdir(parents=True)
    (place / "a.json").write_text(json.dumps(planted(FILES[name]), indent=1))
    gathered = gather(Folder(tmp_path), "trajectories/desk")
    told = msgspec.json.encode([line.record for line in (*gathered.trajectories, *gathered.labels)]).decode()
    assert kinds_in(told + str(gathered.problems) + str(gathered.losses) + str(gathered.live)) == []
    if name not in WITHOUT_TEXT:
        assert "[removed: " in told
        assert sum(gathered.removed.values()) >= len(CORES) - 1
        assert len(gathered.live) >= 10
        assert {each.path for each in gathered.live} == {"trajectories/desk/a.json"}


@pytest.mark.parametrize("kind", SECRETS)
def test_each_is_removed_wherever_it_stands(kind: str, tmp_path: Path) -> None:
    for around in ("{}", "key: {} .", '"{}"', "a\n{}\nb", "({})"):
        root = folder(tmp_path, task(1, around.format(SECRETS[kind])))
        (found,) = read_evidence(Folder(root), "desk").trajectories
        assert kinds_in(json.dumps(found.task.input)) == []


@pytest.mark.parametrize("field", ["runbook_version", "runbook_digest", "started_at"])
def test_a_version_a_digest_and_a_time_hide_nothing(field: str, tmp_path: Path) -> None:
    mail = "bob@b.example"
    told = {**task(1, "Where is it?"), field: f"1.0.0 {ALL} {mail}"}
    (found,) = read_evidence(Folder(folder(tmp_path, told)), "desk", Given(personal=True)).trajectories
    assert kinds_in(getattr(found, field)) == []
    assert mail not in getattr(found, field)
    as_it_is = {
        "runbook_version": "10.0.0.1",
        "runbook_digest": f"sha256:{'4' * 64}",
        "started_at": "2026-11-01",
    }
    (found,) = read_evidence(
        Folder(folder(tmp_path, task(1, ALL) | as_it_is)), "desk", Given(personal=True)
    ).trajectories
    assert {key: getattr(found, key) for key in as_it_is} == as_it_is


def test_an_import_writes_none_and_says_how_many(tmp_path: Path) -> None:
    source = tmp_path / "given.json"
    source.write_text(json.dumps(planted(SHAPES["chat"])))
    for key in (b"a", b"b"):  # another clone's key makes no other record of it
        done = import_files(sorted_out(files_at([source]), None), tmp_path / "desk", Redaction(key=key))
        assert done.changed == ()
    assert (done.new, done.removed) == (0, {})
    written = "".join(path.read_text() for path in (tmp_path / "desk").iterdir())
    assert kinds_in(written) == []
    assert "[removed: github token " in written


def test_who_takes_a_key_out_of_a_file_moves_no_task(tmp_path: Path) -> None:
    before = read_evidence(Folder(folder(tmp_path, task(1, f"please use {ALL}"))), "desk")
    after = read_evidence(Folder(folder(tmp_path, task(1, before.tasks[0].input))), "desk")
    assert after.tasks[0].id == before.tasks[0].id
    assert (after.live, after.removed) == ((), {})


def test_one_key_stays_one_and_two_stay_two(tmp_path: Path) -> None:
    one, other = SECRETS["aws"], SECRETS["aws"][:-1] + "7"
    root = folder(
        tmp_path, task(1, f"use {one}", reference=one), task(2, f"use {other}"), task(3, f"now {one}")
    )
    first, second, third = read_evidence(Folder(root), "desk").trajectories
    assert (
        first.task.reference == first.task.input.removeprefix("use ") == third.task.input.removeprefix("now ")
    )
    assert first.task.input != second.task.input


def test_what_can_be_guessed_is_told_by_no_digest() -> None:
    def shown(placeholders: Placeholders, text: str) -> str:
        return marked_personal(marked(text, placeholders.secret), placeholders.guessable)

    text = "http://ana:tulip@a.example, bob@b.example and eve@b.example, bob@b.example again"
    told = "http[removed: basic auth credentials 1]a.example, "
    mails = [f"[removed: e-mail address {number}]" for number in (1, 2)]
    assert shown(Placeholders(), text) == f"{told}{mails[0]} and {mails[1]}, {mails[0]} again"
    keyed, again, other = (shown(Placeholders(key), text) for key in (b"one", b"one", b"two"))
    assert keyed == again != other
    assert without_marks(keyed) == without_marks(other)


@given(st.text(), st.sampled_from(sorted(SECRETS)), st.text())
def test_what_was_removed_once_is_left_as_it_is(before: str, kind: str, after: str) -> None:
    for placeholders in (Placeholders(), Placeholders(b"k")):
        once = marked(f"{before} {SECRETS[kind]} {after}", placeholders.secret)
        assert marked(once, Placeholders().secret) == once
        assert Redactor({}).clean(once) == once


def test_personal_data_is_removed_where_the_policy_says_so_and_no_task_moves(tmp_path: Path) -> None:
    told = (
        "mail ana@mail.example or call +44 20 7946 0958;"
        " card 4111 1111 1111 1111, DE89 3704 0044 0532 0130 00 EUR"
    )
    root = folder(tmp_path, task(1, told, reference="ana@mail.example"), task(2, told.replace("ana", "bob")))
    kept, removed = (read_evidence(Folder(root), "desk", Given(personal=each)) for each in (False, True))
    assert [each.id for each in kept.tasks] == [each.id for each in removed.tasks]
    first = removed.trajectory("t1").task
    assert first.input == (
        "mail [removed: e-mail address 1] or call [removed: telephone number 1];"
        " card [removed: payment card 1], [removed: bank account 1] EUR"
    )
    assert first.reference == "[removed: e-mail address 1]"
    assert removed.task_of(removed.trajectory("t2")).id == kept.task_of(kept.trajectory("t2")).id
    assert removed.removed == {
        "bank account": 2,
        "e-mail address": 3,
        "payment card": 2,
        "telephone number": 2,
    }
    assert kept.removed == {}


@pytest.mark.parametrize(
    "text",
    [
        "order 4111 1111 1111 1112 of 2026-11-30",
        "invoice AP2026110045 of 10.0.0.1, 127.0.0.1 and version 1.2.3.4.5",
        "DE00 3704 0044 0532 0130 00 @here a@b 555-12-345 and 1234567890123",
        "commit 0f3b7a1c9d2e4f5a6b7c8d9e0f1a2b3c4d5e6f70, sha256:" + "0f" * 32,
    ],
)
def test_numbers_that_are_nobodys_stay(text: str) -> None:
    assert Redaction(personal=True).text(text) == text


def test_a_key_of_a_manual_is_removed_and_no_alarm(tmp_path: Path) -> None:
    manual = "AKIA" + "IOSFODNN7EXAMPLE"
    evidence = read_evidence(Folder(folder(tmp_path, task(1, f"with {manual}"))), "desk")
    assert evidence.removed == {"aws access key": 1}
    assert evidence.live == ()


def test_what_names_a_record_stays_but_for_a_secret_in_its_id() -> None:
    digest = "sha256:" + "0f3b" * 16
    record = Trajectory(
        f"run {SECRETS['aws']}",
        TaskRecord("a"),
        runbook_digest=digest,
        agent=AgentRecord("clerk", key=digest),
        started_at="2026-11-01T09:00:00Z",
    )
    shown, removed = Redaction(personal=True).trajectory(record)
    assert shown.id.startswith("run [removed: aws access key ")
    assert (shown.runbook_digest, shown.agent) == (digest, record.agent)
    assert removed is not None


PUBLISHED = {
    "aws",
    "github",
    "github fine",
    "gitlab",
    "slack",
    "stripe",
    "google",
    "npm",
    "pypi",
    "hugging face",
}
PUBLISHED |= {"openai", "anthropic", "token", "url", "pem"}


def test_a_published_shape_is_found_whatever_stands_around_it() -> None:
    for kind in PUBLISHED:
        assert [*secrets_in(f"a\nb {SECRETS[kind]} c")], kind
        ((_, _, line), *_) = secrets_in(f"a\nb {SECRETS[kind]} c")
        assert line == 2
    assert [*secrets_in("a task-list, https://a.example and hf_short")] == []


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_a_live_key_is_told_also_where_no_reader_keeps_it(
    packed: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    lines = [json.dumps(task(1, "a")), "{not json: " + SECRETS["aws"], json.dumps({"notes": ALL})]
    place = folder(tmp_path) / "trajectories/desk"
    (place / "a.jsonl").write_bytes(packed("\n".join(lines).encode()))
    with zipfile.ZipFile(place / "log.eval", "w") as archive:
        archive.writestr("of/nobody.txt", f"\n\n{SECRETS['github']}")
    found = [*live_keys(Folder(tmp_path), covered(Folder(tmp_path), "trajectories/desk"), ())]
    assert {(each.path[18:], each.line) for each in found if "AWS" in each.message} == {("a.jsonl", 2)}
    assert {each.line for each in found if "GitLab" in each.message} == {3}
    assert [(each.line, each.message[:30]) for each in found if each.path.endswith("log.eval")] == [
        (3, "of/nobody.txt: a GitHub token ")
    ]
    assert kinds_in(str(found)) == []
    assert [*live_keys(Folder(tmp_path), covered(Folder(tmp_path), "trajectories/desk"), found)] == []
