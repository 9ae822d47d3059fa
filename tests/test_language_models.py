"""The benchmarks with language models: what was said is kept, and every figure comes of it again."""

import itertools
import json
import math
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.course import Course
from benchmarks.language.agent import Form, Missing, Slot
from benchmarks.language.record import QUOTED, Record, name_of
from benchmarks.language.reflectors import Handoff
from benchmarks.language.runs import Models, Table, run_ours
from benchmarks.language.served import Served
from benchmarks.language.vocabulary import SPACE, Vocabulary
from benchmarks.language.works.bookings import bookings
from benchmarks.language.works.expenses import convention, expenses
from benchmarks.language.works.letters import letters
from runbookopt.search.problem import Options, of_replies

WORKS = (bookings, expenses, letters)


class Overlap:
    """A model of no size: it likes the answer beside the words that it has in common with the task."""

    key = "overlap"

    def scores(self, prefix: str, texts: Sequence[str], answers: Sequence[str]) -> list[list[float]]:
        lines = [line for line in prefix.splitlines() if line.strip()]
        beside = [(set(one.split()), other) for one, other in itertools.pairwise(lines)]
        return [
            [
                max((len(words & set(text.split())) for words, other in beside if answer in other), default=0)
                for answer in answers
            ]
            for text in texts
        ]


class Notes:
    """Answers both engines' prompts with one more line, each time another."""

    by = "a test"

    def __init__(self) -> None:
        self.asked = 0

    def ask(self, prompts: Sequence[str]) -> list[str]:
        replies = []
        for prompt in prompts:
            self.asked += 1
            code = prompt.rpartition("=== ")[2].partition(" ")[0] if "=== " in prompt else ""
            line = "Message: four pallets of tiles\nvehicle: truck"
            sections = {"diagnosis": "tiles", "cites": "F1", "part": "vehicle", "old": "bike", "new": "bike"}
            replies.append(
                "\n".join(f"=== {code} {name}\n{text}" for name, text in sections.items())
                + f"\n=== {code} end"
                if code
                else f"```\n{line} {self.asked}\n```"
            )
        return replies


def table(folder: Path, models: Models) -> Table:
    spoken = bookings(0)
    return Table(spoken, Record(spoken.name, folder=folder), models)


def ours(table: Table, random_seed: int) -> Course:
    return run_ours(table, of_replies(Options(random_seed=random_seed, doubt=1.0), 4), 120, free=True)


def gepas(table: Table, random_seed: int) -> Course:
    peer = pytest.importorskip("benchmarks.language.peer", reason="gepa is there for the benchmarks alone")
    course: Course = peer.run_peer(table, {"reflection_minibatch_size": 3}, 120, random_seed)
    return course


@pytest.mark.parametrize("run", [ours, gepas])
def test_a_recorded_run_is_the_same_without_models_and_nothing_is_made_up(
    run: Callable[[Table, int], Course], tmp_path: Path
) -> None:
    notes = Notes()
    asking = table(tmp_path, Models(Overlap(), notes))
    made = run(asking, 0)
    silent = Table(asking.spoken, Record(asking.spoken.name, folder=tmp_path), Models(), "overlap")
    assert run(silent, 0) == made
    assert notes.asked == made.details["replies"] > 0 < made.details["said"][-1][1]
    with pytest.raises(Missing):
        run(silent, 1)


def test_the_hand_off_asks_by_content_and_takes_away_what_was_answered(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path)
    for prompt in ("one", "two"):
        (tmp_path / "replies" / f"{name_of(prompt)}.md").write_text(prompt.upper())
    assert handoff.ask(["one", "two"]) == ["ONE", "TWO"]
    assert list((tmp_path / "asks").iterdir()) == []


class LlamaCpp(BaseHTTPRequestHandler):
    """Answers as llama.cpp's server does: the allowed tokens alone have a share."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        shares = {7: 0.75, 8: 0.25} if asked.get("prompt") == "runbook: task" else {7: 0.5, 8: 0.5}
        top = [{"id": each, "prob": shares[each]} for each, _ in asked.get("logit_bias", [])]
        told = {"tokens": [7 if asked.get("content") == " yes" else 8, 9]}
        body = json.dumps(told | {"completion_probabilities": [{"top_probs": top}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def test_a_served_model_is_asked_for_the_first_tokens_of_the_answers() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), LlamaCpp) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        model = Served(f"http://127.0.0.1:{server.server_port}", "small")
        scores = model.scores("runbook: ", ["task", "other"], [" yes", " no"])
        assert [[math.exp(each) for each in row] for row in scores] == [
            pytest.approx([0.75, 0.25]),
            pytest.approx([0.5, 0.5]),
        ]
        with pytest.raises(ValueError, match="same token"):
            model.scores("", ["task"], [" no", " none"])
        server.shutdown()


TEXTS = st.text(alphabet="ab c", max_size=60)


@given(reply=TEXTS, others=st.lists(TEXTS, max_size=3))
def test_a_reply_comes_back_as_it_was_and_its_file_holds_no_long_quotation(
    reply: str, others: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("record")
    texts = {str(number): other for number, other in enumerate(others)}
    Record("work", texts, folder).reply("prompt", reply, "a test")
    assert Record("work", texts, folder).replies[name_of("prompt")] == reply
    (line,) = (folder / "work.replies.jsonl").read_text().splitlines()
    kept = [piece for piece in json.loads(line)["text"] if isinstance(piece, str)]
    assert not any(
        piece[place : place + QUOTED] in other
        for piece in kept
        for place in range(len(piece) - QUOTED + 1)
        for other in others
    )


@pytest.mark.parametrize("make", WORKS)
def test_a_work_is_a_function_of_its_seed_and_its_parts_share_no_task(make: type) -> None:
    one, again, other = make(0), make(0), make(1)
    assert one.parts == again.parts != other.parts
    parts = (one.parts.train, one.parts.validation, one.parts.held_out)
    assert [len(part) for part in parts] == [60, 50, 200]
    assert len({case.input for part in parts for case in part}) == 310


def test_conventions_have_exceptions() -> None:
    assert convention("gift", "alone", "small")["decision"] == "refuse"
    assert convention("tool", "crew", "large") == {"decision": "ask", "told": "safety"}


def test_a_slot_reads_its_own_section_and_the_preamble_alone() -> None:
    runbook = "# Desk\n\nBe kind.\n\n## One\n\nfirst\n\n## Two\n\nsecond\n"
    slot = Slot("two", ("a", "b"), "Two")
    assert slot.read(runbook) == "# Desk\n\nBe kind.\n\n## Two\n\nsecond\n\n"
    assert Form("Task", (slot,)).asked("x", slot) == "Task: x\ntwo:"


@given(st.text(alphabet="ab ", max_size=12))
def test_a_text_is_merged_as_by_looking_at_all_pairs_each_time(text: str) -> None:
    pieces = ["<0x61>", SPACE, "a", "b", "ab", "ba", "aa", f"{SPACE}a", f"{SPACE}ab", "aba", "bb"]
    scores = [0.0, -9, -8, -7, -3, -2, -5, -1, -4, -6, -2.5]
    vocabulary = Vocabulary(pieces, scores)
    parts = list(text.replace(" ", SPACE))
    while known := [
        (-scores[pieces.index(one + two)], place)
        for place, (one, two) in enumerate(itertools.pairwise(parts))
        if one + two in pieces
    ]:
        _, place = min(known)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    assert vocabulary.encoded(text) == [pieces.index(part) for part in parts]
