from collections.abc import Sequence

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from runbookopt.calibration.label_ledger import (
    LEVELS,
    LabelLook,
    LabelsLack,
    LookableLabels,
    next_level,
    next_look,
    together,
)
from runbookopt.calibration.labels import for_testing, label_digest, standing
from runbookopt.calibration.record import (
    Calibration,
    CriterionRecord,
    JudgedItem,
    criterion_key,
    derived,
    looked,
    newest_label,
    read_record,
    record_text,
)
from runbookopt.documents.parse import MalformedFile
from runbookopt.evidence.library import Folder
from runbookopt.evidence.trajectory import Label
from runbookopt.verifier.rubric import read_rubric

AT = "2026-11-20T08:00:00+00:00"
RUBRIC = b"""
criteria:
  - {id: polite, statement: It is polite., judge: "Is it polite?"}
  - {id: short, check: {kind: max_chars, value: 20}}
judge: {model: openai/gpt-5-mini}
"""


def labelled(each: int, start: int = 0, at: str = "2026-11-01") -> list[Label]:
    """So many labels of each class, by the person whom a calibration may test on."""
    return [
        Label(
            f"t{start + number}", "polite", "pass" if number % 2 else "fail", by="mara", at=at, split="test"
        )
        for number in range(2 * each)
    ]


def record_of(labels: Sequence[Label], looks: Sequence[LabelLook] = (), wrong: int = 2) -> CriterionRecord:
    choice = next_look(for_testing(standing(labels)), looks, again=True)
    assert isinstance(choice, LookableLabels)
    tested = [
        JudgedItem(
            item.trajectory,
            item.result or "fail",
            "fail" if number < wrong else item.result or "fail",
            item.labels,
        )
        for number, item in enumerate(choice.items)
    ]
    return looked("sha256:k", AT, tested=tested, level=choice.level, strict=False, looks=looks)


def test_a_second_look_at_the_same_labels_has_a_stricter_bound_and_a_fourth_is_refused() -> None:
    labels = labelled(20)
    looks: tuple[LabelLook, ...] = ()
    levels = []
    for number in range(3):
        record = record_of(labels, looks)
        assert record.looks[-1].level == (next_level(looks) or LEVELS[0])
        looks = record.looks
        levels.append(record.level)
        assert len(looks) == number + 1
    assert levels == [0.01, 0.005, 0.0025]
    assert next_level(looks) is None
    for again in (False, True):
        assert next_look(for_testing(standing(labels)), looks, again=again) == LabelsLack(15, 15, spent=40)


def test_new_labels_alone_are_looked_at_unless_somebody_asks_for_all_of_them() -> None:
    first = record_of(labelled(20))
    few = for_testing(standing([*labelled(20), *labelled(10, start=100)]))
    assert next_look(few, first.looks) == LabelsLack(5, 5, spent=40)
    whole = next_look(few, first.looks, again=True)
    assert isinstance(whole, LookableLabels)
    assert (len(whole.items), whole.level, whole.look) == (60, 0.005, 2)
    enough = next_look(for_testing(standing([*labelled(20), *labelled(15, start=100)])), first.looks)
    assert isinstance(enough, LookableLabels)
    assert (len(enough.items), enough.level, enough.look) == (30, 0.01, 1)


def test_labelling_a_trajectory_again_makes_no_new_label_of_it() -> None:
    first = record_of(labelled(20))
    again = [replace(label, by="omar") for label in labelled(20)]
    items = for_testing(standing([*labelled(20), *again]))
    assert next_look(items, first.looks) == LabelsLack(15, 15, spent=40)


def test_no_look_is_taken_at_labels_on_which_nothing_could_gate() -> None:
    assert next_look(for_testing(standing(labelled(14))), ()) == LabelsLack(1, 1, spent=0)


def test_looks_that_two_versions_of_the_record_hold_count_once() -> None:
    looks = record_of(labelled(20)).looks
    assert together(looks, looks, ()) == looks


def test_a_record_follows_from_its_labels_and_verdicts_and_is_read_as_it_was_written() -> None:
    calibration = Calibration("support", {"polite": record_of(labelled(20))})
    assert read_record(record_text(calibration), "calibration.json") == calibration
    later = labelled(5, start=200, at="2026-11-25")
    assert derived(calibration, [*labelled(20), *later]) == {}
    newest = newest_label(calibration.criteria["polite"], labelled(20))
    assert newest is not None
    assert newest.date().isoformat() == "2026-11-01"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda r: replace(r, status="advisory"), "its last look is another one"),
        (lambda r: replace(r, level=0.05), "its last look is another one"),
        (lambda r: replace(r, looks=()), "it names no look"),
        (
            lambda r: replace(r, figures=replace(r.figures, tpr=replace(r.figures.tpr, low=1.0))),
            "its figures are not those of its verdicts",
        ),
        (lambda r: replace(r, tested=r.tested[:-9]), "9 labels that were there are left out"),
        (lambda r: replace(r, tested=r.tested + r.tested[:1]), "1 trajectories are tested twice"),
        (
            lambda r: replace(
                r,
                tested=(replace(r.tested[0], result="pass", verdict="pass"), *r.tested[1:]),
            ),
            "1 labels say something else, or may not be tested on",
        ),
        (
            lambda r: replace(r, tested=(replace(r.tested[0], labels=("sha256:x",)), *r.tested[1:])),
            "1 labels that it names are not there",
        ),
    ],
    ids=range(8),
)
def test_what_does_not_follow_is_said(change, why: str) -> None:  # noqa: ANN001
    calibration = Calibration("support", {"polite": change(record_of(labelled(20)))})
    assert why in derived(calibration, labelled(20))["polite"]


def test_older_labels_that_a_merge_brings_matter_where_they_could_turn_it() -> None:
    calibration = Calibration("support", {"polite": record_of(labelled(20))})
    assert derived(calibration, [*labelled(20), *labelled(1, start=100)]) == {}
    why = derived(calibration, [*labelled(20), *labelled(5, start=100)])["polite"]
    assert why == ("10 labels that were there are left out",)


def test_a_look_that_was_not_paid_for_is_said() -> None:
    first = record_of(labelled(20))
    second = record_of(labelled(20), first.looks)
    cheap = replace(second, level=0.01, looks=(*first.looks, replace(second.looks[-1], level=0.01)))
    (why,) = derived(Calibration("support", {"polite": cheap}), labelled(20))["polite"]
    assert why == "its labels were looked at 1 times before, which its bound does not pay for"


def test_a_label_that_was_taken_back_later_is_said_and_another_person_takes_nothing_back() -> None:
    calibration = Calibration("support", {"polite": record_of(labelled(20))})
    first = labelled(20)[0]
    other = replace(first, result="pass", by="omar", at="2026-11-24")
    assert derived(calibration, [*labelled(20), other]) == {}
    back = replace(first, result="unsure", at="2026-11-24", supersedes=label_digest(first))
    why = derived(calibration, [*labelled(20), back])["polite"]
    assert why == ("1 labels were taken back or corrected since",)


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        (b"It is polite.", b"It is very polite.", True),
        (b"Is it polite?", b"Is it polite ?", True),
        (b"gpt-5-mini", b"gpt-5", True),
        (b"mini}", b"mini, votes: 3}", True),
        (b"mini}", b"mini, temperature: 0.5}", True),
        (b'Is it polite?"}', b'Is it polite?", pass_if: not_met}', True),
        (b'Is it polite?"}', b'Is it polite?", weight: 2, gate: true, objective: tone}', False),
        (b"value: 20", b"value: 21", False),
    ],
)
def test_one_word_changes_the_key_of_its_criterion_alone(
    old: bytes,
    new: bytes,
    changes: bool,
    tmp_path,  # noqa: ANN001
) -> None:
    one, other = read_rubric(RUBRIC, "r"), read_rubric(RUBRIC.replace(old, new), "r")
    source = Folder(tmp_path)
    keys = [criterion_key(rubric, rubric.criteria[0], source) for rubric in (one, other)]
    assert (keys[0] != keys[1]) == changes
    of_check = [criterion_key(rubric, rubric.criteria[1], source) for rubric in (one, other)]
    assert (of_check[0] != of_check[1]) == (b"value" in old)


def test_a_program_that_judges_is_part_of_its_key(tmp_path) -> None:  # noqa: ANN001
    (tmp_path / "checks").mkdir()
    program = tmp_path / "checks" / "tone.py"
    program.write_text("print(1)\n")
    rubric = read_rubric(
        b"criteria: [{id: tone, check: {kind: command, argv: [python3, '{repository}/checks/tone.py']}}]", "r"
    )
    assert rubric.criteria[0].check is not UNSET
    before = criterion_key(rubric, rubric.criteria[0], Folder(tmp_path))
    program.write_text("print(2)\n")
    assert criterion_key(rubric, rubric.criteria[0], Folder(tmp_path)) != before


def test_a_file_that_is_no_record_is_named_with_what_is_wrong() -> None:
    with pytest.raises(MalformedFile, match=r"calibration.json:1: .*format"):
        read_record(
            b'{"format": "runbookopt-calibration/9", "runbook": "a", "criteria": {}}', "calibration.json"
        )
