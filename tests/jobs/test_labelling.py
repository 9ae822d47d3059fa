"""Labelling without a page: what comes first, what is written, what is taken back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runbookopt.calibration.labels import label_digest, standing
from runbookopt.errors import RunbookoptError
from runbookopt.evidence.library import Folder
from runbookopt.evidence.privacy import Redaction
from runbookopt.evidence.trajectory import Label
from runbookopt.jobs.verifiers.labelling import (
    Desk,
    Sitting,
    agreement,
    answers,
    label_file_name,
    login_of,
)
from runbookopt.jobs.verifiers.labelling_order import Wanted
from runbookopt.jobs.verifiers.labelling_shown import About, Given, step_of
from runbookopt.project.project import read_project

RUBRIC = """judge: {model: openai/judge}
criteria:
  - id: right-desk
    check: {kind: equals, path: $.desk, reference: $.desk}
  - id: polite
    judge: Is the answer polite?
"""
JUDGE = {"kind": "llm", "id": "some-judge"}


def line(number: int, desk: str = "cards", part: str = "train", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    task = {"input": f"ticket {number}", "reference": {"desk": "cards"}, "split": part}
    return {"id": f"t-{number:02}", "task": task, "output": json.dumps({"desk": desk}), **more}


def label(trajectory: str, criterion: str, result: str, by: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"trajectory": trajectory, "criterion": criterion, "result": result, "by": by, **more}


Sit = Callable[..., Sitting]


@pytest.fixture
def sit(tmp_path: Path) -> Sit:
    """Give a maker of sittings: over these trajectories, or the last ones, after these labels."""
    (tmp_path / "runbooks/desk").mkdir(parents=True)
    (tmp_path / "runbooks/desk/RUNBOOK.md").write_text("# Desk\n\nSend tickets to a desk.\n")
    (tmp_path / "runbooks/desk/rubric.yaml").write_text(RUBRIC)
    folder = tmp_path / "trajectories/desk"
    folder.mkdir(parents=True)

    def make(
        lines: list[dict[str, Any]],
        *labels: dict[str, Any],
        by: str = "ana",
        **wanted: Any,  # noqa: ANN401
    ) -> Sitting:
        if lines:
            (folder / "all.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in lines))
        if labels:
            (folder / "old.labels.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in labels))
        desk = Desk(by, folder / label_file_name(by), Redaction(), lambda: "2026-12-01T12:00:00Z")
        return Sitting(read_project(Folder(tmp_path), "desk"), desk, Wanted(**wanted))

    return make


def written(sitting: Sitting) -> list[Label]:
    text = sitting.desk.file.read_text()
    return [msgspec.json.decode(each, type=Label) for each in text.splitlines()]


PASSES = {"right-desk": "pass", "polite": "pass"}


def give(sitting: Sitting, id_: str, note: str = "", mode: str | None = None, **results: str) -> Any:  # noqa: ANN401
    named = {name.replace("_", "-"): result for name, result in results.items()} or PASSES
    return answers(sitting)["save"]({"trajectory": id_, "results": named, "note": note, "failure_mode": mode})


def test_held_out_tasks_are_shown_to_nobody_who_did_not_ask(sit: Sit) -> None:
    lines = [line(1), line(2, part="validation"), line(3, part="held-out"), line(4, error="crashed")]
    order = sit(lines).order
    assert sorted(order.ids) == ["t-01", "t-02"]
    assert (order.held_out, order.broken) == (1, 1)
    asked = sit([], held_out=True)
    assert sorted(asked.order.ids) == ["t-01", "t-02", "t-03"]
    give(asked, "t-03")
    assert {each.split for each in written(asked)} == {"test"}  # no judge is shown it as an example
    assert (
        "held-out",
        "this task proves nothing from now on: write neither runbook nor rubric by it",
    ) in asked.item(About("t-03")).about


def test_what_teaches_most_is_in_the_sample_first(sit: Sit) -> None:
    polite = {"criterion": "polite", "result": "pass", "by": JUDGE}
    curt = {"criterion": "polite", "result": "fail", "by": {"kind": "human"}}
    lines = [line(number) for number in range(40)]
    lines += [line(50, verdicts=[polite, curt]), line(51, desk="loans"), line(52, desk="loans")]
    old = [label(f"t-{number:02}", "right-desk", "pass", "ben") for number in range(30)]
    old += [label("t-52", "right-desk", "fail", "ben", failure_mode="wrong desk")]
    sitting = sit(lines, *old, sample=4)
    assert {"t-50", "t-51"} < set(sitting.order.ids)
    assert sitting.order.kinds == {"contradicted": 1, "unnamed": 1, "second": 2}
    assert sit([], sample=4).order == sitting.order  # the same again


def test_the_order_of_a_sample_gives_no_verdict_away(sit: Sit) -> None:
    sitting = sit([line(number, desk="cards" if number % 2 else "loans") for number in range(40)])
    kinds = "".join(str(int(id_[2:]) % 2) for id_ in sitting.order.ids)
    assert kinds.count("0") == 20
    assert "000" in kinds
    assert "111" in kinds


def test_a_representative_sample_is_drawn_whatever_is_labelled_and_counts_what_was(sit: Sit) -> None:
    lines = [line(number) for number in range(30)]
    drawn = sit(lines, sample=10, frame="representative").order.ids
    discovery = sit([], sample=30)
    for id_ in (drawn[0], drawn[3], next(id_ for id_ in discovery.order.ids if id_ not in drawn)):
        give(discovery, id_, note="seen")
    again = sit([], sample=10, frame="representative")
    assert (again.order.done, len(again.order.ids)) == (2, 8)
    assert again.draw() == 2
    frames = {each.trajectory: each.frame for each in standing(written(again))}
    assert [frames[id_] for id_ in (drawn[0], drawn[3])] == ["representative"] * 2
    assert sorted(frames.values()) == ["discovery", "representative", "representative"]
    more = sit([*lines, line(99)], sample=10, frame="representative")
    assert len({*drawn} - {*more.order.ids, drawn[0], drawn[3]}) <= 1  # a new one moves at most the last


def test_those_that_are_like_a_failure_mode_come_first(sit: Sit) -> None:
    lines = [line(number) for number in range(9)]
    lines[4]["task"]["input"] = "my purple elephant is lost"
    lines[7]["task"]["input"] = "where is the purple elephant"
    old = label("t-04", "right-desk", "fail", "ana", failure_mode="elephants")
    assert sit(lines, old, failure_mode="elephants").order.ids[0] == "t-07"


def test_notes_and_modes_stand_with_what_failed_and_modes_have_one_spelling(sit: Sit) -> None:
    sitting = sit([line(1), line(2)])
    give(sitting, "t-01", " wrong desk ", "Card  Confusion", right_desk="fail", polite="pass")
    give(sitting, "t-02", "", "card confusion", right_desk="fail", polite="fail")
    first, second, *more = written(sitting)
    assert (first.explanation, first.failure_mode, first.codebook) == ("wrong desk", "Card Confusion", 1)
    assert (second.explanation, second.failure_mode) == (None, None)
    assert [each.failure_mode for each in more] == ["Card Confusion"] * 2
    assert [(mode.name, mode.count) for mode in sitting.modes] == [("Card Confusion", 2)]


def test_a_failure_that_no_criterion_is_about_is_of_the_whole(sit: Sit) -> None:
    sitting = sit([line(1)])
    give(sitting, "t-01", "it is in French", "wrong language", **PASSES)
    labels = [(each.criterion, each.result, each.failure_mode, each.explanation) for each in written(sitting)]
    assert labels[-1] == ("overall", "fail", "wrong language", "it is in French")
    assert not sit([]).project.warnings  # the criterion of the whole is known
    given = sit([]).item(About("t-01")).given
    assert given == Given(
        "t-01", {"right-desk": "pass", "polite": "pass"}, "it is in French", "wrong language"
    )


def test_undo_and_change_only_add_lines(sit: Sit) -> None:
    sitting = sit([line(1)])
    sitting.item(About("t-01"))
    sitting.withdraw(About("t-01"))
    assert not sitting.desk.file.exists()  # who only reads leaves nothing behind
    give(sitting, "t-01", "no", "m", right_desk="fail", polite="pass")
    before = sitting.desk.file.read_bytes()
    sitting.withdraw(About("t-01"))
    after = sitting.desk.file.read_bytes()
    assert after.startswith(before)
    old = written(sitting)
    assert [each.supersedes for each in old[2:]] == [label_digest(each) for each in old[:2]]
    assert {(each.result, each.explanation, each.failure_mode) for each in old[2:]} == {
        ("unsure", None, None)
    }
    assert sit([]).order.ids == ("t-01",)  # it is asked again
    sitting.withdraw(About("t-01"))
    assert sitting.desk.file.read_bytes() == after  # there is nothing more to take back
    give(sitting, "t-01")
    assert {each.result for each in standing(written(sitting))} == {"pass"}
    assert sit([]).order.ids == ()


def test_a_label_that_comes_after_a_verdict_says_so_also_when_it_is_changed_later(sit: Sit) -> None:
    verdict = {"criterion": "polite", "result": "fail", "explanation": "curt", "by": JUDGE}
    sitting = sit([line(1, verdicts=[verdict]), line(2)])
    assert not any(b"curt" in repr(each).encode() for each in (sitting.start(), sitting.item(About("t-01"))))
    assert sitting.expected(About("t-01")) == '{"desk":"cards"}'
    give(sitting, "t-01")
    give(sitting, "t-02")
    assert [each.saw_verdict for each in written(sitting)] == [True, False, False, False]
    assert [
        each.explanation for each in sitting.verdicts(About("t-01")) if each.by == "a judge, some-judge"
    ] == ["curt"]
    give(sitting, "t-01")
    give(sit([]), "t-01")  # also where the program was started again meanwhile
    last = {
        each.criterion: each.saw_verdict for each in standing(written(sitting)) if each.trajectory == "t-01"
    }
    assert last == {"right-desk": True, "polite": True}


def test_what_people_disagree_on_is_told_before_anything_else(sit: Sit) -> None:
    old = [label(f"t-{number:02}", "polite", "pass", by) for number in range(4) for by in ("ana", "ben")]
    old += [label("t-04", "polite", "pass", "ana"), label("t-04", "polite", "fail", "ben")]
    told = list(agreement(sit([line(number) for number in range(5)], *old).ratings))
    again = sit([], disputed=True)
    assert again.order.ids == ("t-04",)  # also for who labelled it
    give(again, "t-04", polite="fail")
    assert sit([], disputed=True).order.ids == ()
    assert told == [
        "polite: people agree on 4 of 5 pairs of labels, AC1 0.76",
        "polite: t-04 is disputed (ana pass, ben fail): what does it ask for?",
    ]


def test_secrets_and_by_policy_personal_data_are_written_nowhere(sit: Sit) -> None:
    sitting = sit([line(1)])
    key = "AKIA" + "QYZ7MNB4XK3PLW2R"
    saved = give(sitting, "t-01", f"it printed {key}", right_desk="fail", polite="pass")
    assert key not in sitting.desk.file.read_text()
    assert "aws access key" in saved.removed
    assert key not in repr(sit([]).item(About("t-01")))


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"trajectory": "t-99", "results": PASSES}, "no trajectory 't-99'"),
        (
            {"trajectory": "t-01", "results": {"other": "pass"}},
            "no criterion 'other': expected right-desk, polite",
        ),
        ({"trajectory": "t-01", "results": {}}, "expected pass, fail or unsure"),
        ({"trajectory": "t-01", "results": PASSES, "failure_mode": "a\u202eb"}, "visible characters"),
        ({"trajectory": "t-01", "results": PASSES, "failure_mode": "m" * 81}, "at most 80"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_written(
    sit: Sit, asked: dict[str, Any], complaint: str
) -> None:
    sitting = sit([line(1)])
    with pytest.raises(RunbookoptError, match=complaint):
        answers(sitting)["save"](asked)
    assert not sitting.desk.file.exists()


def test_steps_are_shown_with_all_that_they_say() -> None:
    step = {
        "step_id": 2,
        "source": "agent",
        "message": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
        "tool_calls": [{"function_name": "look_up", "arguments": {"order": 7}}],
        "observation": {
            "results": [{"source_call_id": "c", "content": "in Hull"}, {"content": "x", "odd": 1}]
        },
        "extra": {"cost": 3},
    }
    shown = step_of(step)
    assert shown.title == "2 agent: look_up"
    assert shown.texts == (
        ("says", "one\ntwo"),
        ("calls", '{"arguments":{"order":7},"function_name":"look_up"}'),
        ("gets", "in Hull"),
        ("gets", '{"content":"x","odd":1}'),
        ("more", '{"extra":{"cost":3}}'),
    )
    odd = {
        "source": "user",
        "message": [{"type": "image", "url": "u"}],
        "observation": {"results": [], "n": 1},
    }
    assert step_of(odd).texts == (("says", '[{"type":"image","url":"u"}]'), ("gets", '{"n":1,"results":[]}'))


def test_a_rater_is_called_by_login_or_by_the_name_in_an_address() -> None:
    assert login_of("octocat") == "octocat"
    assert login_of("ana@example.com") == "ana"
    assert login_of("123+octocat@users.noreply.github.com") == "octocat"
    assert label_file_name("../ana b") == "ana-b.labels.jsonl"
