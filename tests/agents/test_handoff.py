import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from runbookopt.agents.handoff import MOST_REPLY, Handoff
from runbookopt.agents.protocol import Awaited, OpenAsk
from runbookopt.documents.redaction import Redactor
from runbookopt.documents.usage import Message
from tests.replier import messages_of

CODE, OTHER = "a1" * 16, "b2" * 16
END = f"=== {CODE} end"
MESSAGES = (Message("system", "Mend it."), Message("user", f"What is wrong?\n\n=== {CODE} diagnosis\n{END}"))
GOOD = f"by: Ana\n\n=== {CODE} diagnosis\nAll of it.\n{END}\n"


@pytest.fixture
def handoff(tmp_path: Path) -> Handoff:
    return Handoff(tmp_path, tmp_path / ".runbookopt/handoff", "desk", Redactor({}).clean)


@pytest.fixture(autouse=True)
def _local(tmp_path: Path) -> None:
    (tmp_path / ".runbookopt").mkdir(mode=0o700)


def awaited(handoff: Handoff, *, repeat: str = "0", begin: str | None = None) -> OpenAsk:
    with pytest.raises(Awaited) as raised:
        handoff.ask("reflection", MESSAGES, repeat=repeat, begin=begin)
    return raised.value.ask


def test_an_ask_is_a_file_of_ours_alone_that_holds_the_messages_and_says_where_the_reply_goes(
    handoff: Handoff, tmp_path: Path
) -> None:
    ask = awaited(handoff)
    text = (tmp_path / ask.ask).read_text()
    told = [{"role": each.role, "content": each.content} for each in MESSAGES]
    assert messages_of(text) == told
    assert (ask.reply in text, ask.problem) == (True, None)
    assert text.splitlines()[-1] == END
    modes = {
        stat.S_IMODE(path.stat().st_mode): path.is_dir()
        for path in (tmp_path / ".runbookopt/handoff").rglob("*")
    }
    assert modes == {0o700: True, 0o600: False}


def test_a_reply_is_read_with_who_gave_it(handoff: Handoff, tmp_path: Path) -> None:
    place = tmp_path / awaited(handoff).reply
    place.write_text(GOOD)
    assert handoff.awaited() == ()
    reply = handoff.ask("reflection", MESSAGES)
    assert (reply.text, reply.by) == (GOOD, "Ana")
    place.write_bytes(b"\xef\xbb\xbf" + GOOD.removeprefix("by: Ana\n").replace("\n", "\r\n").encode())
    assert handoff.ask("reflection", MESSAGES).by == "unknown"


@pytest.mark.parametrize(
    ("said", "by"),
    [
        (f"By:  \x1b[2Jme\x07{'!' * 500}\n{GOOD}", "\\x1b[2Jme\\x07"),
        (f"by:\n{GOOD}", "Ana"),
        (f"```\nby: Bo\n{GOOD}```\n", "Bo"),
        (f"by: ghp_{'0' * 36}\n{GOOD}", "[removed: "),
    ],
)
def test_who_gave_it_is_one_short_line_that_shows_and_moves_nothing(
    handoff: Handoff, tmp_path: Path, said: str, by: str
) -> None:
    (tmp_path / awaited(handoff).reply).write_text(said)
    told = handoff.ask("reflection", MESSAGES).by
    assert told.startswith(by)
    assert (len(told) <= 80, told.isprintable()) == (True, True)


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b" \n", "is empty: write the reply into it"),
    "half-written": (GOOD[: GOOD.index(END)].encode(), f"is not finished: the line '{END}' lacks"),
    "cut in its last line": (GOOD.encode()[:-4], f"is not finished: the line '{END}' lacks"),
    "prose": (b"I would rather not.\n", f"is not finished: the line '{END}' lacks"),
    "UTF-16": (GOOD.encode("utf-16"), "is no UTF-8 text: write it again as UTF-8"),
    "zero bytes": (GOOD.encode() + b"\0", "is no text: it holds zero bytes"),
    "of another prompt": (
        GOOD.replace(CODE, OTHER).encode(),
        f"is for another ask: its lines carry {OTHER}, and this one's {CODE}",
    ),
    "two replies": (GOOD.encode() * 2, f"has the line '{END}' 2 times: leave one reply"),
    "too large": (b"x" * MOST_REPLY + GOOD.encode(), "has more than 1,000,000 bytes: write less"),
}


@pytest.mark.parametrize(("data", "problem"), BAD.values(), ids=BAD.keys())
def test_a_file_that_is_no_reply_is_told_and_not_believed(
    handoff: Handoff, tmp_path: Path, data: bytes, problem: str
) -> None:
    place = tmp_path / awaited(handoff).reply
    place.write_bytes(data)
    assert awaited(handoff).problem == problem
    assert [each.problem for each in handoff.awaited()] == [problem]
    place.write_text(GOOD)
    assert handoff.ask("reflection", MESSAGES).text == GOOD


@pytest.mark.parametrize(
    "put",
    [os.mkdir, os.mkfifo, lambda place: place.symlink_to("/etc/passwd")],
    ids=["folder", "pipe", "link"],
)
def test_what_is_no_file_is_told_and_not_followed(
    handoff: Handoff, tmp_path: Path, put: Callable[[Path], None]
) -> None:
    put(tmp_path / awaited(handoff).reply)
    problem = awaited(handoff).problem
    assert problem is not None
    assert problem.startswith(("is no file: remove it", "cannot be read ("))


def test_a_reply_lacks_the_line_that_the_form_begins_with(handoff: Handoff, tmp_path: Path) -> None:
    begin = f"=== {CODE} output"
    (tmp_path / awaited(handoff, begin=begin).reply).write_text(GOOD)
    problem = awaited(handoff, begin=begin).problem
    assert problem == f"lacks the line '{begin}', with which the form of the ask begins"


def test_another_attempt_is_another_ask(handoff: Handoff) -> None:
    assert awaited(handoff).ask != awaited(handoff, repeat="1").ask


def test_asks_that_are_closed_are_gone_and_their_replies_are_found_again(
    handoff: Handoff, tmp_path: Path
) -> None:
    first, second = awaited(handoff), awaited(handoff, repeat="1")
    (tmp_path / first.reply).write_text(GOOD)
    assert handoff.close(but=[second]) == ()
    assert [(tmp_path / each.ask).exists() for each in (first, second)] == [False, True]
    assert not (tmp_path / first.reply).exists()
    assert handoff.ask("reflection", MESSAGES).text == GOOD


def test_a_second_reply_and_those_to_no_ask_are_told_and_left(handoff: Handoff, tmp_path: Path) -> None:
    first, second = awaited(handoff), awaited(handoff, repeat="1")
    (tmp_path / first.reply).write_text(GOOD)
    handoff.close(but=[second])
    strays = {
        tmp_path / first.reply: "this ask was answered before, and the first reply counts; remove the file",
        tmp_path / f"{second.reply}.part": "not read, since a reply has the name that its ask gives",
        (tmp_path / first.reply).with_name("notes.md"): "for no ask that is open, so it is not read",
    }
    for place in strays:
        place.write_text(GOOD.replace("All", "None"))
    told = handoff.close(but=[second])
    assert len(told) == 3
    for place, why in strays.items():
        assert any(f"{place.relative_to(tmp_path)}: {why}" in line for line in told)
        assert place.exists()
    assert handoff.ask("reflection", MESSAGES).text == GOOD


def test_a_name_of_any_runbook_is_one_folder(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path, tmp_path / ".runbookopt/handoff", "a/../b c", Redactor({}).clean)
    assert Path(awaited(handoff).ask).parts[:3] == (".runbookopt", "handoff", "a%2F..%2Fb%20c")


def test_where_nothing_can_be_written_the_next_step_is_said(handoff: Handoff, tmp_path: Path) -> None:
    from runbookopt.errors import RunbookoptError  # noqa: PLC0415 - one test's

    (tmp_path / ".runbookopt/handoff").write_text("")
    with pytest.raises(RunbookoptError, match="cannot be written"):
        handoff.ask("reflection", MESSAGES)
