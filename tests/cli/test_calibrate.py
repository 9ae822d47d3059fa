import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import KEY, RUBRIC

if TYPE_CHECKING:
    from tests.cli.conftest import Modelling
    from tests.conftest import Clone, Files

Make = Callable[["Files"], "Clone"]
RECORD = "runbooks/desk/calibration.json"
LLMBAR = Path(__file__).parents[3] / "shared" / "data" / "judges" / "llmbar_verdicts.csv"
PROMPTS = ("Metrics_Reference", "Vanilla", "Vanilla_NoRules")
THREE = "judge: {model: openai/gpt-4}\ncriteria:\n" + "".join(
    f'  - {{id: {name}, judge: "By {name}: is 2 better?"}}\n' for name in PROMPTS
)


def calibrated(clone: "Clone", *flags: str) -> dict[str, Any]:
    ran = clone.ask("runbookopt", "calibrate", "desk", "--json", *flags)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    found: dict[str, Any] = json.loads(ran.stdout)
    found["criteria"] = {each["criterion"]: each for each in found["criteria"]}
    return found


def four(criterion: dict[str, Any]) -> tuple[int, ...]:
    table = criterion["record"]["figures"]["table"]
    return tuple(table[key] for key in ("tp", "fp", "fn", "tn"))


@pytest.mark.skipif(not LLMBAR.exists(), reason="the shared data is not beside the project")
def test_real_verdicts_against_real_labels_give_the_figures_of_scikit_learn(
    repo: Make, calibrating: ModuleType
) -> None:
    with LLMBAR.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["judge"].startswith("GPT-4")]
    letter = {"2": "p", "1": "f", "": "a"}
    pairs = {
        prompt: [(letter[row["gold"]], letter[row["verdict"]]) for row in rows if row["prompt"] == prompt]
        for prompt in PROMPTS
    }
    found = calibrated(repo(calibrating.files(pairs, THREE)))["criteria"]
    assert {name: four(found[name]) for name in PROMPTS} == {
        "Metrics_Reference": (176, 21, 37, 185),
        "Vanilla": (172, 31, 41, 175),
        "Vanilla_NoRules": (162, 49, 51, 157),
    }
    figures = {name: found[name]["record"]["figures"] for name in PROMPTS}
    told = {n: (round(f["mcc"]["value"], 4), round(f["kappa"]["value"], 4)) for n, f in figures.items()}
    assert told == {
        "Metrics_Reference": (0.7255, 0.7234),
        "Vanilla": (0.6573, 0.6565),
        "Vanilla_NoRules": (0.5226, 0.5226),
    }
    statuses = {name: found[name]["status"] for name in PROMPTS}
    assert statuses == {"Metrics_Reference": "gates", "Vanilla": "gates", "Vanilla_NoRules": "advisory"}


@pytest.mark.parametrize(
    ("counts", "status", "mcc"),
    [
        ((27, 2, 3, 28), "gates", 0.8338),
        ((13, 3, 3, 13), "advisory", 0.625),
        ((20, 10, 10, 20), "rejected", 0.3333),
    ],
)
def test_made_up_counts_give_the_status_that_the_rule_says(
    repo: Make, calibrating: ModuleType, counts: tuple[int, ...], status: str, mcc: float
) -> None:
    clone = repo(calibrating.files({"kind": calibrating.rows(*counts, abstained=2)}))
    found = calibrated(clone)
    kind = found["criteria"]["kind"]
    assert (kind["status"], four(kind)) == (status, counts)
    assert kind["record"]["figures"]["mcc"]["value"] == pytest.approx(mcc, abs=1e-4)
    assert kind["record"]["figures"]["table"]["abstained"] == 2
    assert (found["written"], found["path"]) == (True, RECORD)
    assert json.loads((clone.root / RECORD).read_text())["criteria"]["kind"]["status"] == status


def test_another_judge_makes_a_criterion_stale_and_its_labels_are_spent(
    repo: Make, calibrating: ModuleType
) -> None:
    clone = repo(calibrating.files({"kind": calibrating.rows(27, 2, 3, 28)}))
    assert calibrated(clone)["criteria"]["kind"]["status"] == "gates"
    rubric = calibrating.RUBRIC.replace("gpt-5-mini", "gpt-5-nano")
    again = calibrating.stored({"kind": calibrating.rows(28, 2, 2, 28)}, rubric)
    clone.write({"runbooks/desk/rubric.yaml": rubric, **again})
    found = calibrated(clone)
    assert (found["criteria"]["kind"]["status"], found["written"]) == ("stale", False)
    assert "labels of kind were looked at before" in " ".join(found["notes"])
    new = calibrated(clone, "--spend-labels")["criteria"]["kind"]
    assert (new["status"], new["record"]["level"], new["record"]["looks"]) == ("gates", 0.005, 2)


def test_a_label_that_is_taken_back_makes_its_criterion_stale(repo: Make, calibrating: ModuleType) -> None:
    clone = repo(calibrating.files({"kind": calibrating.rows(27, 2, 3, 28)}))
    calibrated(clone)
    path = "trajectories/desk/0.labels.jsonl"
    first = json.loads((clone.root / path).read_text().splitlines()[0])
    back = calibrating.lines([first | {"result": "fail", "at": "2026-11-02"}])
    clone.write({"trajectories/desk/1.labels.jsonl": back})
    found = calibrated(clone)
    assert found["criteria"]["kind"]["status"] == "stale"
    assert "1 labels were taken back or corrected since" in " ".join(found["notes"])
    assert found["criteria"]["kind"]["planned"]["more_fails"] == 15
    again = calibrated(clone, "--spend-labels")["criteria"]["kind"]
    assert (again["status"], four(again)) == ("gates", (26, 3, 3, 28))


def test_an_attempt_that_broke_down_was_judged_by_nobody(repo: Make, calibrating: ModuleType) -> None:
    files = calibrating.files({"kind": calibrating.rows(27, 2, 3, 28)})
    path = "trajectories/desk/0.jsonl"
    records = [json.loads(line) for line in files[path].splitlines()]
    records[0]["error"] = "a lost sandbox"
    del records[1]["output"]
    found = calibrated(repo({**files, path: calibrating.lines(records)}), "--strict")["criteria"]["kind"]
    assert (four(found), found["record"]["figures"]["table"]["errors"]) == ((25, 2, 3, 28), 2)
    assert found["status"] == "advisory"  # 25 of 28 may be as few as 74 of 100


def test_a_criterion_that_gates_is_looked_at_again_by_its_name_alone(
    repo: Make, calibrating: ModuleType
) -> None:
    clone = repo(calibrating.files({"kind": calibrating.rows(27, 2, 3, 28)}))
    calibrated(clone)
    new = calibrating.stored({"kind": calibrating.rows(15, 0, 0, 15)}, start=1000, at="2100-01-01")
    clone.write(new)
    assert calibrated(clone)["written"] is False
    found = calibrated(clone, "--criterion", "kind")["criteria"]["kind"]
    assert (four(found), found["record"]["looks"]) == ((15, 0, 0, 15), 2)


def test_a_look_that_the_working_tree_has_lost_is_spent_all_the_same(
    repo: Make, calibrating: ModuleType
) -> None:
    clone = repo(calibrating.files({"kind": calibrating.rows(13, 3, 3, 13)}))
    calibrated(clone)
    clone.commit({RECORD: (clone.root / RECORD).read_text()}, "Calibrated")
    (clone.root / RECORD).unlink()
    assert calibrated(clone)["criteria"]["kind"]["lacks"] == {"passes": 15, "fails": 15, "spent": 32}


def test_nothing_is_looked_at_twice_by_the_same_command_and_new_labels_are_enough(
    repo: Make, calibrating: ModuleType
) -> None:
    clone = repo(calibrating.files({"kind": calibrating.rows(13, 3, 3, 13)}))
    first = calibrated(clone)["criteria"]["kind"]
    before = (clone.root / RECORD).read_bytes()
    second = calibrated(clone)
    assert (second["written"], second["criteria"]["kind"]["record"]) == (False, first["record"])
    assert (clone.root / RECORD).read_bytes() == before
    clone.write(calibrating.stored({"kind": calibrating.rows(28, 2, 2, 28)}, start=1000))
    third = calibrated(clone)["criteria"]["kind"]
    assert (third["status"], third["record"]["level"], four(third)) == ("gates", 0.01, (28, 2, 2, 28))


def test_too_few_labels_are_not_looked_at_and_the_page_says_how_many_more(
    repo: Make, calibrating: ModuleType
) -> None:
    clone = repo(calibrating.files({"kind": calibrating.rows(30, 0, 0, 5)}))
    ran = clone.ask("runbookopt", "calibrate", "desk")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "kind: uncalibrated, judged by openai/gpt-5-mini" in ran.stdout
    assert "0 passes and 10 fails more before it can gate: about 100 labels" in ran.stdout
    assert not (clone.root / RECORD).exists()


def test_a_dry_run_looks_at_nothing(repo: Make, calibrating: ModuleType) -> None:
    clone = repo(calibrating.files({"kind": calibrating.rows(27, 2, 3, 28)}))
    ran = clone.ask("runbookopt", "calibrate", "desk", "--dry-run")
    assert "would look  at 60 labels, look 1 at them, with a bound of 99 %" in ran.stdout
    assert "MCC" not in ran.stdout
    assert not (clone.root / RECORD).exists()


def test_a_check_is_run_again_and_an_exempt_one_shows_wrong_references(
    repo: Make, calibrating: ModuleType
) -> None:
    rubric = (
        "criteria:\n"
        "  - {id: short, check: {kind: max_chars, value: 9}}\n"
        "  - {id: right, check: {kind: equals, value: Answer 3}}\n"
        "  - {id: exact, check: {kind: equals, reference: $.answer}}\n"
    )
    pairs = [("p" if number < 100 else "f", "") for number in range(150)]
    files = calibrating.files({"short": pairs, "exact": [("p", "")] * 150}, rubric)
    path = "trajectories/desk/0.jsonl"
    records = [json.loads(line) for line in files[path].splitlines()]
    for record in records:
        record["task"]["reference"] = {"answer": "other" if record["id"] == "t7" else record["output"]}
    clone = repo({**files, path: calibrating.lines(records)})
    found = calibrated(clone)["criteria"]
    assert (found["short"]["status"], four(found["short"])) == ("gates", (100, 0, 0, 50))
    assert (found["right"]["status"], found["right"]["record"]) == ("uncalibrated", None)
    assert (found["exact"]["status"], found["exact"]["disagree"]) == ("exempt", ["t7"])
    assert "wrong reference, or label: t7" in clone.ask("runbookopt", "calibrate", "desk").stdout


def test_verdicts_on_held_out_labels_are_not_shown(repo: Make, calibrating: ModuleType) -> None:
    clone = repo(calibrating.files({"kind": calibrating.rows(27, 2, 3, 28)}))
    ran = clone.ask("runbookopt", "calibrate", "desk", "--json")
    assert '"t1"' not in ran.stdout
    assert '"t1"' in (clone.root / RECORD).read_text()


def test_what_cannot_be_done_is_said(repo: Make, calibrating: ModuleType) -> None:
    clone = repo(calibrating.files({"kind": []}))
    clone.write({"trajectories/desk/one.jsonl": '{"id": "t1", "task": {"input": "a"}, "output": "b"}\n'})
    ran = clone.ask("runbookopt", "calibrate", "desk")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "nobody has labelled an output of it" in ran.stderr
    ran = clone.ask("runbookopt", "calibrate", "desk", "--criterion", "kinder")
    assert ran.returncode == 2
    assert "--criterion: expected one of kind, got 'kinder'" in ran.stderr
    ran = clone.ask("runbookopt", "calibrate", "desk", "--dry-run", "--spend-labels")
    assert ran.returncode == 2
    clone.write({RECORD: '{"format": "runbookopt-calibration/1"}\n'})
    ran = clone.ask("runbookopt", "calibrate", "desk")
    assert ran.returncode == 1
    assert f"{RECORD}:1: " in ran.stderr


@pytest.mark.slow
def test_a_judge_is_asked_about_labelled_outputs_alone_once_and_by_all_its_votes(
    modelling: "Modelling", calibrating: ModuleType
) -> None:
    """32 labels of which the judge gets 4 wrong, and 8 outputs more that nobody has to judge."""
    outputs = [
        {"id": f"o{n}", "output": "post" if n % 2 else "front", "task": {"input": f"Case {n}"}}
        for n in range(40)
    ]
    labels = [
        {
            "trajectory": f"o{n}",
            "criterion": "not-front",
            "result": "pass" if n % 2 == (n >= 4) else "fail",
            "split": "test",
        }
        for n in range(32)
    ]
    files = {
        "trajectories/desk/old.jsonl": calibrating.lines(outputs),
        "trajectories/desk/old.labels.jsonl": calibrating.lines(labels),
    }
    modelled = modelling(files=files, rubric=RUBRIC.replace("  price", "  votes: 3\n  price"))
    environ = {"OPENAI_API_KEY": KEY}
    ran = modelled.clone.ask("runbookopt", "calibrate", "desk", "--json", environ=environ)
    assert (ran.returncode, ran.stderr) == (0, "")
    found = json.loads(ran.stdout)
    record = {each["criterion"]: each for each in found["criteria"]}["not-front"]["record"]
    table = record["figures"]["table"]
    assert (table["tp"], table["fp"], table["fn"], table["tn"]) == (14, 2, 2, 14)
    assert record["consistency"]["value"] == 1
    assert len(modelled.heard("judge")) == 3 * 32
    assert found["spent"]["usage"]["judge"]["calls"] == 3 * 32
    (modelled.clone.root / RECORD).unlink()
    again = modelled.clone.ask("runbookopt", "calibrate", "desk", environ=environ)
    assert "repeats     1.00 (0.89 to 1.00)" in again.stdout
    assert len(modelled.heard("judge")) == 3 * 32


def test_what_the_page_begins_with_is_the_health_of_the_measurement(
    repo: Make, calibrating: ModuleType
) -> None:
    files = calibrating.files({"kind": calibrating.rows(27, 2, 3, 28)})
    clone = repo(files)
    unlooked = clone.ask("runbookopt", "calibrate", "desk", "--dry-run").stdout.splitlines()
    assert unlooked[1].startswith("  health        no verdict was held against a label; 0 without a score;")
    page = clone.ask("runbookopt", "calibrate", "desk").stdout.splitlines()
    assert page[1] == (
        "  health        sound; 0.0% not judged; 0 without a score; failed calls 0; noise unknown, each was"
        " tried once; suspect references 0; criteria: kind gates"
    )
    assert calibrated(clone)["health"]["valid"] is True


def test_labels_that_are_too_old_are_no_reason_to_leave_a_criterion_alone(
    repo: Make, calibrating: ModuleType
) -> None:
    clone = repo(calibrating.files({"kind": calibrating.rows(27, 2, 3, 28)}))
    assert calibrated(clone)["criteria"]["kind"]["status"] == "gates"
    clone.write({"runbooks/desk/policy.yaml": "reviewers: [bo]\nrecalibrate_after: 1d\n"})
    found = calibrated(clone)["criteria"]["kind"]
    assert (found["status"], found["lacks"]["spent"]) == ("stale", 60)
    assert "where 1 are allowed" in found["why"]
    plan = clone.ask("runbookopt", "label", "desk", "--plan").stdout
    assert plan.startswith("kind: 0 passes and 0 fails held out and not looked at yet; it needs 15 passes")


def test_no_command_takes_a_criterion_for_gating_whose_label_was_taken_back(
    repo: Make, calibrating: ModuleType
) -> None:
    clone = repo(calibrating.files({"kind": calibrating.rows(27, 2, 3, 28)}))
    calibrated(clone)
    path = "trajectories/desk/0.labels.jsonl"
    first = json.loads((clone.root / path).read_text().splitlines()[0])
    back = calibrating.lines([first | {"result": "fail", "failure_mode": "kind", "at": "2026-11-02"}])
    clone.write({"trajectories/desk/1.labels.jsonl": back})
    (planned,) = json.loads(clone.ask("runbookopt", "label", "desk", "--plan", "--json").stdout)["criteria"]
    assert planned["status"] == "stale"
    said = json.loads(clone.ask("runbookopt", "criteria", "suggest", "desk", "--json").stdout)
    assert said["covered"] == []


def test_a_record_of_the_working_tree_that_forgot_a_look_decides_nothing(
    repo: Make, calibrating: ModuleType
) -> None:
    clone = repo(calibrating.files({"kind": calibrating.rows(27, 2, 3, 28)}))
    calibrated(clone)
    first = (clone.root / RECORD).read_text()
    clone.write(calibrating.stored({"kind": calibrating.rows(15, 0, 0, 15)}, start=1000, at="2100-01-01"))
    calibrated(clone, "--criterion", "kind")
    clone.commit({RECORD: (clone.root / RECORD).read_text()}, "Calibrated twice")
    clone.write({RECORD: first})
    why = "calibration.json is not believed: 1 look at labels that it held before are not in it"
    assert why in clone.ask("runbookopt", "check").stdout
    found = calibrated(clone, "--dry-run")["criteria"]["kind"]
    assert found["status"] == "stale"
    assert why in found["why"]
