"""The labels of the samples, which the tool's makers wrote (docs/verifiers.md): what they bring about."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Clone

LABELS = Path(__file__).parents[2] / "docs/sample-labels"
LEARNT = {
    "support-triage": {"no rule behind it", "any card is a lost card", "the word account decides"},
    "refund-reply": {"no rule behind it", "any order is a late parcel"},
}
MORE = {"support-triage": 3 / 5, "refund-reply": 2 / 4}


def labelled(name: str, clone: Clone) -> Clone:
    clone.commit({f"trajectories/{name}/people.labels.jsonl": (LABELS / f"{name}.labels.jsonl").read_bytes()})
    return clone


@pytest.mark.parametrize("name", LEARNT)
def test_sample_labels_are_of_two_people_who_disagree_on_some(name: str) -> None:
    records = [json.loads(line) for line in (LABELS / f"{name}.labels.jsonl").read_text().splitlines()]
    assert len({record["by"] for record in records}) == 2
    said: dict[str, dict[str, set[str]]] = {}
    for record in records:
        by_rater = said.setdefault(record["trajectory"], {}).setdefault(record["by"], set())
        by_rater |= {record["failure_mode"]} if "failure_mode" in record else set()
    assert len(said) >= 60  # each of them speaks of every mode
    named = Counter(mode for by_rater in said.values() for mode in set().union(*by_rater.values()))
    assert len(named) >= 4
    disputed = [
        trajectory for trajectory, by_rater in said.items() if len({*map(frozenset, by_rater.values())}) > 1
    ]
    assert len(disputed) >= 4


@pytest.mark.nightly
@pytest.mark.parametrize("name", LEARNT)
def test_criteria_suggested_from_sample_labels_calibrate_and_coverage_rises(
    name: str, samples: Callable[[str], Clone]
) -> None:
    clone = labelled(name, samples(f"labelled-{name}"))
    ran = clone.run("runbookopt", "criteria", "suggest", name, "--propose", "--json")
    card = json.loads(ran.stdout)
    outcomes = {each["mode"]: each["outcome"] for each in card["suggested"]}
    assert {mode for mode, outcome in outcomes.items() if outcome == "offered"} == LEARNT[name]
    refused = [each for each in card["suggested"] if each["outcome"] == "refused"]
    assert all(each["reason"] for each in refused)
    assert (card["coverage"]["count"], card["coverage_after"]["count"]) == (0, MORE[name])
    clone.git("fetch", "-q", "origin", card["proposed"]["branch"])
    clone.git("merge", "-q", "FETCH_HEAD")
    calibrated = json.loads(clone.run("runbookopt", "calibrate", name, "--json").stdout)
    gating = {each["criterion"] for each in calibrated["criteria"] if each["status"] == "gates"}
    assert len(gating) == len(LEARNT[name])
    assert calibrated["coverage"]["count"] == MORE[name]
