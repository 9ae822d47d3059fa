import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from runbookopt.jobs.claims import TWICE

if TYPE_CHECKING:
    from tests.cli.conftest import Done, Modelling
    from tests.conftest import Clone

Make = Callable[..., "Clone"]

KEYS = {
    "": "runbook run tasks provable rollouts reflections tokens tokens_rollouts usd usd_rollouts usd_proof"
    " seconds known_calls calls_models width notes wave handed_off proofs shrunk",
    "tasks": "train validation held_out",
    "provable": "gain power look allowance groups base known broken",
    "rollouts": "most search proof free claims known",
    "known_calls": "tokens usd seconds",
}


def everything(clone: "Clone") -> tuple[object, ...]:
    """Give all that a run could leave behind: local state, and the refs here and at origin."""
    here = sorted(path.name for path in clone.root.iterdir())
    return (
        here,
        clone.git("status", "--porcelain"),
        clone.git("for-each-ref"),
        clone.at_origin("for-each-ref"),
    )


@pytest.mark.parametrize("command", [["optimize-runbook"], ["runbookopt", "optimize"]])
@pytest.mark.parametrize("flags", [[], ["--dry-run"], ["--no-propose"]])
def test_a_plan_is_one_object_with_all_keys_and_leaves_nothing_behind(
    repo: Make, planted: ModuleType, command: list[str], flags: list[str]
) -> None:
    clone = repo(planted.files())
    before = everything(clone)
    ran = clone.ask(*command, "desk", "--plan", "--json", *flags)
    assert (ran.returncode, ran.stderr, ran.stdout.count("\n")) == (0, "", 1)
    assert everything(clone) == before
    found = json.loads(ran.stdout)
    for place, keys in KEYS.items():
        assert list(found[place] if place else found) == keys.split()
    assert [found[key] for key in ("tokens", "usd", "seconds")] == [None] * 3


def test_the_plan_is_of_the_run_that_its_flags_describe(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    flags = ["--budget-rollouts", "300", "--budget-reflections", "9", "--dry-run", "--json"]
    said, done = (
        json.loads(clone.ask("optimize-runbook", "desk", *flags, *more).stdout)
        for more in (
            ["--plan", "--width", "3"],
            [],
        )
    )
    assert (said["run"], said["width"], said["reflections"]) == (done["run"], 3, 9)
    assert said["rollouts"] == {"most": 180, "search": 180, "proof": 0, "free": 0, "claims": 0, "known": 0}
    assert done["spent"]["rollouts"] <= 180
    assert done["spent"]["reflections"] <= 9


def test_people_read_what_it_costs_and_what_it_can_prove(repo: Make, planted: ModuleType) -> None:
    shown = repo(planted.files()).ask("optimize-runbook", "--all", "--plan").stdout
    assert shown.splitlines() == [
        "desk: the plan; nothing was run",
        "  tasks        24 train, 24 validation, 60 held-out",
        "  can prove    a gain of 15.4 points, 80 % of the time (look 1 at 60 groups, allowance 0.025)",
        "  assuming     today's runbook scores 0.500 (a guess), and a winner breaks 5 % of what passes",
        "  rollouts     at most 673: 553 to search, 120 to prove; 0 more are known for free",
        "  reflections  at most 168",
        "  cost         no model is called",
        "  time         seconds unknown, with 8 calls at once",
        "",
    ]


def test_after_a_run_people_read_how_long_another_is_likely_to_take(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    clone.ask("optimize-runbook", "desk", "--dry-run")
    *_, cost, time = clone.ask("optimize-runbook", "desk", "--plan").stdout.split("\n")[:8]
    assert cost == "  cost         no model is called"
    took = r"about [.\d]+ seconds for all of it, with 8 calls at once, as \d+ earlier calls took"
    assert re.fullmatch(f"  time         {took}", time)


def test_a_journal_of_the_version_before_is_planned_with_and_knows_nothing(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(planted.files())
    clone.ask("optimize-runbook", "desk", "--dry-run")
    with closing(sqlite3.connect(clone.root / ".runbookopt/journal.sqlite3")) as journal:
        for table in ("answers", "failures"):
            for column in ("given_by", "seconds", "crc", "replier"):
                journal.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        journal.execute("ALTER TABLE runs DROP COLUMN result")
        journal.execute("PRAGMA user_version = 2")
        journal.commit()
    ran = clone.ask("optimize-runbook", "desk", "--plan", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    said = json.loads(ran.stdout)
    assert (said["seconds"], said["known_calls"]["seconds"]) == (None, 0)
    again = clone.ask("optimize-runbook", "desk", "--dry-run", "--json")
    assert json.loads(again.stdout)["spent"]["rollouts"] == 0, "its answers are not paid again"


def test_all_runbooks_are_planned_though_one_cannot_be(repo: Make, planted: ModuleType) -> None:
    broken = {path.replace("desk", "attic"): text for path, text in planted.files(rubric="- x\n").items()}
    ran = repo({**planted.files(), **broken}).ask("optimize-runbook", "--all", "--plan", "--json")
    assert ran.returncode == 1
    assert [json.loads(line)["runbook"] for line in ran.stdout.splitlines()] == ["desk"]
    assert ran.stderr.startswith("runbooks/attic/rubric.yaml")


def test_what_can_prove_nothing_is_the_same_error_as_in_a_run(repo: Make, planted: ModuleType) -> None:
    records = [
        record for record in planted.trajectories() if record["id"] not in {f"t-{n}" for n in range(60, 108)}
    ]
    clone = repo(planted.files(trajectories=planted.lines(records)))
    planned, ran = (clone.ask("optimize-runbook", "desk", *flags) for flags in (["--plan"], []))
    assert (planned.returncode, planned.stdout, planned.stderr) == (1, "", ran.stderr)
    assert "12 held-out groups: a proof needs at least 20" in planned.stderr
    dry = clone.ask("optimize-runbook", "desk", "--plan", "--dry-run").stdout
    assert re.search(r"can prove +no gain \(look 1 at 12 groups", dry)


@pytest.mark.parametrize("gone", [True, False])
def test_a_plan_needs_no_origin(repo: Make, planted: ModuleType, gone: bool) -> None:
    clone = repo(planted.files())
    if gone:
        clone.git("remote", "remove", "origin")
    else:
        clone.git("remote", "set-url", "origin", (clone.root / "not-there").as_uri())
    shown = clone.ask("optimize-runbook", "desk", "--plan").stdout
    assert "can prove    a gain of 15.4 points" in shown
    why = "there is no origin" if gone else "cannot reach origin"
    assert f"planned by what this clone knows: {why}" in shown
    told = clone.ask("optimize-runbook", "desk", "--plan", "--no-propose").stdout
    assert ("what this clone knows" in told) == (not gone), "without one, that is what was asked for"


def test_more_tasks_and_more_trials_of_a_task_are_planned_at_one_price(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(planted.files())
    ran = clone.ask("optimize-runbook", "desk", "--plan", "--agent-noise", "0.2")
    assert (
        "  same price   180 tasks x 1: 14.9 points, 90 tasks x 2: 15.3 points, 60 tasks x 3 (as planned):"
        " 15.9 points, 36 tasks x 5: 23.4 points; most power: 180 tasks x 1\n"
    ) in ran.stdout
    found = json.loads(
        clone.ask("optimize-runbook", "desk", "--plan", "--agent-noise", "0.2", "--json").stdout
    )
    assert {each["repeats"] * each["tasks"] for each in found["proofs"]} == {180}
    assert [each["gain"] for each in found["proofs"]][2] == found["provable"]["gain"]


def test_what_evaluate_was_told_is_not_planned_to_be_paid_again(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    for part in ("validation", "train"):
        assert clone.ask("runbookopt", "evaluate", "desk", "--split", part).returncode == 0
    shown = clone.ask("optimize-runbook", "desk", "--plan").stdout
    assert "today's runbook scores 0.250 (by 48 verdicts)" in shown
    assert "0 more are known for free; 48 of the search are in the journal already" in shown
    assert json.loads(clone.ask("optimize-runbook", "desk", "--json").stdout)["spent"]["cached"] == 48


# With models -----------------------------------------------------------------------------------------------


def planned(done: "Done", *flags: str) -> dict[str, Any]:
    """Give the plan of a run after the one that was done."""
    said: dict[str, Any] = json.loads(done.modelled.run("--plan", "--json", *flags).stdout)
    return said


@pytest.mark.slow
def test_calls_are_planned_to_cost_what_the_server_billed_for_earlier_ones_in_the_mean(
    faultless: "Done",
) -> None:
    said, spent = planned(faultless), faultless.found["spent"]
    heard = {role: len(faultless.modelled.heard(role)) for role in ("agent", "judge")}
    answered = heard | {"reflector": spent["reflections"]}  # some of these were asked once more
    assert said["rollouts"]["known"] == 48 - TWICE
    most = dict.fromkeys(heard, said["rollouts"]["most"] - said["rollouts"]["known"]) | {
        "reflector": said["reflections"]
    }
    billed = {role: faultless.modelled.billed(role) for role in most}
    each = {role: 1 / answered[role] for role in most}
    tokens = {role: each[role] * (billed[role]["prompt"] + billed[role]["completion"]) for role in most}
    assert said["tokens"] == pytest.approx(sum(most[role] * tokens[role] for role in most), abs=1)
    assert said["usd"] == pytest.approx(sum(most[role] * each[role] * billed[role]["usd"] for role in most))
    proof = sum(said["rollouts"]["proof"] * each[role] * billed[role]["usd"] for role in heard)
    assert said["usd_proof"] == pytest.approx(proof)
    assert set(said["known_calls"].values()) == {sum(answered.values())}
    assert spent["tokens"] < said["tokens"]
    assert spent["usd"] < said["usd"]
    assert said["seconds"] > 0


@pytest.mark.slow
def test_after_evaluate_the_plan_knows_what_rollouts_cost(modelling: "Modelling") -> None:
    modelled = modelling()
    key = {"OPENAI_API_KEY": "k"}
    assert modelled.clone.ask("runbookopt", "evaluate", "desk", environ=key).returncode == 0
    shown = modelled.run("--plan").stdout
    tokens = r"about [\d,]+ tokens for rollouts, and unknown for reflections"
    dollars = r"about [\d.]+ dollars \([\d.]+ to prove\) for rollouts, and unknown for reflections"
    assert re.search(f"  cost         {tokens}, {dollars}\n", shown), shown
    assert re.search(r"scores 0\.\d+ \(by \d+ verdicts\)", shown)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["agent", "reflector"])
def test_what_another_model_costs_is_not_known(faultless: "Done", role: str) -> None:
    flag = {"agent": "--model", "reflector": "--reflector"}[role]
    said = planned(faultless, flag, "openai/another")
    assert [said[key] for key in ("tokens", "usd", "seconds")] == [None] * 3
    assert said["known_calls"] == {"tokens": 0, "usd": 0, "seconds": 0}
    bounded = planned(faultless, flag, "openai/another", "--budget-usd", "3")
    assert (bounded["tokens"], bounded["usd"]) == (None, 3)


@pytest.mark.slow
def test_dollars_are_at_most_the_budget(faultless: "Done") -> None:
    free = planned(faultless)
    for usd in (free["usd"] / 2, free["usd"] * 2):
        said = planned(faultless, "--budget-usd", str(usd))
        assert said["usd"] == pytest.approx(min(usd, free["usd"]))
        assert (said["known_calls"]["usd"] > 0) == (usd > free["usd"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "cost"),
    [
        ((), r"about [\d,]+ tokens, about [\d.]+ dollars \([\d.]+ to prove\) at most, as N came to"),
        (
            ("--budget-usd", "0.2"),
            r"about [\d,]+ tokens at most, as N came to; at most 0\.2 dollars, by .* \([\d.]+ to prove\)",
        ),
        (
            ("--budget-usd", "2", "--model", "openai/another"),
            r"tokens unknown, at most 2 dollars, by budget\.usd",
        ),
        (("--model", "openai/another"), "tokens unknown, dollars unknown"),
    ],
)
def test_people_read_what_models_cost_and_on_what_that_rests(
    faultless: "Done", flags: tuple[str, ...], cost: str
) -> None:
    (line,) = re.findall("  cost         (.*)", faultless.modelled.run("--plan", *flags).stdout)
    assert re.fullmatch(cost.replace("N", r"[\d,]+ earlier calls"), line)
