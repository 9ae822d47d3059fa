"""A runbook whose criteria labels calibrate, made by hand: the labels, and their calibration.json."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from runbookopt.calibration.labels import label_digest
from runbookopt.calibration.record import Calibration, JudgedItem, criterion_key, looked, record_text
from runbookopt.evidence.library import Folder
from runbookopt.evidence.trajectory import Label
from runbookopt.verifier.rubric import read_rubric

AT = "2026-11-01T12:00:00Z"
"""When all labels were given, and the calibration was made of them."""


def labels(criterion: str, count: int = 40, mode: str | None = None) -> tuple[Label, ...]:
    """Labels of one person on t-0, t-1 and so on, half of them a fail, of a failure mode."""
    passed = [
        Label(f"t-{number}", criterion, "pass", by="ana", at=AT, split="test") for number in range(count)
    ]
    failed = [replace(each, result="fail", failure_mode=mode) for each in passed]
    return tuple((failed if number % 2 else passed)[number] for number in range(count))


def lines(given: Sequence[Label]) -> str:
    """Labels as a file holds them."""
    return "".join(f"{json.dumps(msgspec.to_builtins(each))}\n" for each in given)


def calibrated(
    rubric: str, given: Mapping[str, Sequence[Label]], wrong: Mapping[str, int], name: str = "triage"
) -> Calibration:
    """The calibration of criteria by labels, of which every so manieth is judged otherwise; 0 is none."""
    read = read_rubric(rubric.encode(), "rubric.yaml")
    records = {}
    for criterion, said in given.items():
        (declared,) = (each for each in read.criteria if each.id == criterion)
        tested = tuple(
            JudgedItem(
                each.trajectory,
                "pass" if each.result == "pass" else "fail",
                _verdict(each.result, miss=bool(wrong[criterion]) and place // 2 % wrong[criterion] == 0),
                (label_digest(each),),
            )
            for place, each in enumerate(said)
        )
        key = criterion_key(read, declared, Folder(Path()))
        record = looked(key, AT, tested=tested, level=0.01, strict=False, looks=())
        model = read.judge.model if read.judge and declared in read.judged else None
        records[criterion] = replace(record, model=model)
    return Calibration(name, records)


def _verdict(result: str, *, miss: bool) -> Literal["pass", "fail"]:
    return "pass" if (result == "pass") is not miss else "fail"


def files(rubric: str, wrong: Mapping[str, int], name: str = "triage", **of: Any) -> dict[str, str]:  # noqa: ANN401 - of `labels`
    """Rubric, labels and calibration.json of a runbook, as `calibrated` has them."""
    given = {criterion: labels(criterion, **of) for criterion in wrong}
    made = calibrated(rubric, given, wrong, name)
    return {
        f"runbooks/{name}/rubric.yaml": rubric,
        f"runbooks/{name}/calibration.json": record_text(made).decode(),
        f"trajectories/{name}/people.labels.jsonl": "".join(map(lines, given.values())),
    }
