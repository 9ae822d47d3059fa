"""Runs night after night: what is merged is known, and what cannot go on says so in one line."""

import json
import re
import subprocess
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from runbookopt.engine.journal import Journal
from tests.conftest import script

if TYPE_CHECKING:
    from tests.cli.conftest import Modelled
    from tests.conftest import Clone

Make = Callable[..., "Clone"]

BY_CHANCE = """defaults:
  agent: {kind: chat, model: openai/agent, api_base: URL}
  reflector: {kind: model, model: openai/reflector, api_base: URL}
  budget: {rollouts: 900}
"""
"""An agent of which nobody says that it is deterministic: nothing of it is tried twice."""

NO_LIMITS = "limits: {cooldown_hours: 0, per_day: 9}\n"


def asked_with(modelled: "Modelled", version: str) -> list[Any]:
    """Give the requests to the agent whose runbook has this version."""
    return [each for each in modelled.heard("agent") if f"version: {version}\n" in each.said("system")]


# What is merged ---------------------------------------------------------------------------------------------


def test_the_night_after_a_merge_pays_nothing_again_for_what_was_merged(
    modelling: Callable[..., "Modelled"], planted: ModuleType
) -> None:
    policy = {"runbooks/desk/policy.yaml": f"{planted.POLICY}reviewers: [bo]\n{NO_LIMITS}"}
    modelled = modelling(settings=BY_CHANCE, rubric=planted.RUBRIC, files=policy)
    first = modelled.found()
    assert first["outcome"] == "accepted"
    clone = modelled.clone
    assert clone.again("bo", "bo").ask("runbookopt", "pulls", "approve", "1").returncode == 0
    assert clone.ask("runbookopt", "pulls", "merge", "1").returncode == 0
    clone.git("pull", "-q")
    assert "version: 1.0.1\n" in (clone.root / "runbooks/desk/RUNBOOK.md").read_text()
    paid = len(asked_with(modelled, "1.0.1"))
    second = modelled.found()
    assert second["validation"]["before"] == 1
    assert second["spent"]["cached"] >= 48
    assert len(asked_with(modelled, "1.0.1")) == paid > 0


# Nothing to do ----------------------------------------------------------------------------------------------


def told(clone: "Clone", *flags: str) -> dict[str, Any]:
    ran = clone.ask("optimize-runbook", "desk", "--json", *flags)
    assert (ran.returncode, ran.stderr, ran.stdout.count("\n")) == (0, "", 1), ran
    line: dict[str, Any] = json.loads(ran.stdout)
    return line


def solved(planted: ModuleType) -> str:
    """Give trajectories of which today's runbook solves all that a search sees."""
    kept = [
        each for each in planted.trajectories() if each["task"]["split"] == "held-out" or "card " in str(each)
    ]
    return str(planted.lines(kept))


def runs(clone: "Clone") -> int:
    with Journal.open(clone.root / ".runbookopt/journal.sqlite3") as journal:
        return len(journal.runs())


def test_with_nothing_new_nothing_is_searched_again_and_the_result_stands(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(planted.files(trajectories=solved(planted)))
    first, again = told(clone), told(clone)
    assert (first["outcome"], runs(clone)) == ("no_candidate", 1)
    assert {**again, "spent": None, "decision": None} == {**first, "spent": None, "decision": None}
    assert (again["spent"]["rollouts"], again["spent"]["usd"]) == (0, 0)
    (why,) = [each for each in again["decision"]["reasons"] if each not in first["decision"]["reasons"]]
    assert why.startswith(f"note: nothing is new since run {first['run']} ended")
    assert "nothing was searched again" in clone.ask("optimize-runbook", "desk").stdout


def test_what_a_search_has_read_is_handed_over_again_with_its_result(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files(trajectories=solved(planted)))
    told(clone, "--no-propose")
    (reading,) = clone.root.glob(".runbookopt/readings/*.json")
    reading.unlink()
    told(clone, "--no-propose")
    assert (reading.exists(), runs(clone)) == (True, 1)


@pytest.mark.parametrize("what", ["task", "setting", "policy", "bundle"])
def test_what_is_new_is_searched(repo: Make, planted: ModuleType, what: str) -> None:
    clone = repo(planted.files(trajectories=planted.lines(planted.trajectories(24))))
    flags = ["--no-propose"]
    first = told(clone, *flags)
    assert (first["outcome"], told(clone, *flags)["bundle"], runs(clone)) == ("accepted", first["bundle"], 1)
    if what == "task":
        clone.commit(
            {"trajectories/desk/new.jsonl": planted.lines([{"id": "n", "task": planted.task(9, "train")}])}
        )
    elif what == "policy":
        clone.commit({"runbooks/desk/policy.yaml": planted.POLICY.replace("9", "8")})
    elif what == "setting":
        flags += ["--patience", "2"]
    else:
        (clone.root / first["bundle"]).unlink()
    told(clone, *flags)
    assert runs(clone) == 2


def test_a_bundle_that_stands_is_proposed_once_somebody_asks_for_it(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files(trajectories=planted.lines(planted.trajectories(24))))
    assert told(clone, "--no-propose")["pull_request"] is None
    assert told(clone)["pull_request"]["number"] == 1


def test_held_out_tasks_that_looks_have_used_up_are_waited_for(repo: Make, planted: ModuleType) -> None:
    policy = f"{planted.POLICY}proof: {{allowance: 0.0000002}}\n"
    clone = repo(planted.files(policy=policy, trajectories=planted.lines(planted.trajectories(24))))
    opened = ("evaluate", "desk", "--split", "held-out", "--spend-look", "--yes")
    assert clone.ask("runbookopt", *opened).returncode == 0
    waits = told(clone)
    assert waits["outcome"] == "waiting"
    assert waits["decision"]["reasons"][0].startswith("note: nothing is new to prove a winner on")


def test_all_runbooks_again_search_only_what_is_not_done(repo: Make, planted: ModuleType) -> None:
    files = planted.files(trajectories=planted.lines(planted.trajectories(24)))
    more = {path.replace("/desk/", "/till/"): text for path, text in files.items()}
    more["runbooks/till/RUNBOOK.md"] = planted.RUNBOOK.replace("desk", "till")
    clone = repo({**files, **more})
    told(clone, "--no-propose")
    ran = clone.ask("optimize-runbook", "--all", "--json", "--no-propose")
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert (ran.returncode, runs(clone)) == (0, 2)
    assert [line["spent"]["rollouts"] > 0 for line in lines] == [False, True]


# Five nights ------------------------------------------------------------------------------------------------


def arriving(planted: ModuleType, *words: str) -> dict[str, str]:
    """Give the trajectories of train and validation that speak of these words, as files of a night each."""
    searched = [each for each in planted.trajectories() if each["task"]["split"] != "held-out"]
    of = {word: [each for each in searched if f"{word} " in each["task"]["input"]] for word in words}
    return {f"trajectories/desk/{word}.jsonl": planted.lines(lines) for word, lines in of.items()}


@pytest.mark.nightly
def test_five_nights_with_arriving_evidence_end_well_with_one_look_and_one_pull_request(
    repo: Make, planted: ModuleType
) -> None:
    held_out = [each for each in planted.trajectories() if each["task"]["split"] == "held-out"]
    clone = repo(planted.files(trajectories=planted.lines(held_out)) | arriving(planted, "card"))
    nights: list[dict[str, Any]] = []
    log = ""
    for evidence in ((), (), ("parcel", "password"), ("invoice",), ()):
        came = {"README.md": f"{len(nights)}\n"} | arriving(planted, *evidence)
        clone.commit(came, "What people and agents did today")
        command = [script("optimize-runbook"), "--all", "--json"]
        ran = subprocess.run(command, cwd=clone.root, capture_output=True, encoding="utf-8", check=False)
        assert (ran.returncode, ran.stdout.count("\n")) == (0, 1), ran
        nights.append(json.loads(ran.stdout))
        log += ran.stderr
    outcomes = [night["outcome"] for night in nights]
    assert outcomes == ["no_candidate", "no_candidate", "accepted", "waiting", "waiting"]
    assert {tuple(night) for night in nights} == {tuple(nights[0])}
    paid = [night["spent"]["rollouts"] if night["spent"] else 0 for night in nights]
    assert [count > 0 for count in paid] == [True, False, True, False, False]
    looks = clone.at_origin("ls-tree", "-r", "--name-only", "refs/runbookopt/ledger", "looks/")
    assert looks.count("\n") == 0
    assert clone.at_origin("for-each-ref", "--format=%(refname)", "refs/runbookopt/pulls") == PULL
    said = [re.sub(r"^[0-9:]{8} ", "", line) for line in log.splitlines()]
    ends = [line for line in said if not re.match("desk: (reading|searching|proving)", line)]
    assert [line[: len(start)] for line, start in zip(ends, ENDS, strict=True)] == ENDS
    assert sum(line.startswith("desk: proving") for line in said) == 1


PULL = "refs/runbookopt/pulls/1"
ENDS = [
    "desk: no draft was tried: every task is solved",
    "desk: no draft was tried: every task is solved: nothing is new",
    "desk: a better runbook, proved on held-out tasks; file:",
    "desk: waiting: pull request 1 (file:",
    "desk: waiting: pull request 1 (file:",
]
"""How each night is told in its log."""
