import json
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Clones, Done, Modelled, Modelling

ROLES = ("agent", "reflector", "judge")


@pytest.mark.slow
def test_models_reach_an_accepted_pull_request(faultless: "Done") -> None:
    assert faultless.found["outcome"] == "accepted"
    assert (faultless.found["held_out"]["before"], faultless.found["held_out"]["after"]) == (0.25, 1.0)
    assert faultless.found["pull_request"]["number"] == 1
    proposed = faultless.modelled.clone.at_origin("show", "runbookopt/desk:runbooks/desk/RUNBOOK.md")
    assert "answer `post`" in proposed


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_used_is_what_the_server_counted(faultless: "Done", role: str) -> None:
    used = faultless.found["spent"]["usage"][role]
    assert {"cached": 0, **used} == pytest.approx(faultless.modelled.billed(role))


@pytest.mark.slow
def test_what_a_run_used_is_the_sum_of_its_roles(faultless: "Done") -> None:
    billed, spent = faultless.modelled.server.billed(), faultless.found["spent"]
    assert spent["tokens"] == billed.prompt + billed.completion
    assert spent["usd"] == pytest.approx(sum(faultless.modelled.billed(role)["usd"] for role in ROLES))
    assert spent["rollouts"] == len(faultless.modelled.heard("agent"))
    assert spent["reflections"] <= len(faultless.modelled.heard("reflector"))


@pytest.mark.slow
def test_nothing_is_asked_twice(faultless: "Done") -> None:
    assert faultless.modelled.asked_again() == 0


@pytest.mark.slow
def test_the_pull_request_says_what_models_did_and_used(faultless: "Done") -> None:
    body = faultless.modelled.body()
    for role in ROLES:
        used = faultless.found["spent"]["usage"][role]
        told = f"- Calls of the {role} (`openai/{role}`): {used['calls']:,}; tokens: {used['prompt']:,} in"
        assert told in body
    assert "1 criterion is judged by `openai/judge`: `not-front`" in body
    assert "no attempt failed" in body


@pytest.mark.slow
def test_what_stays_the_same_stands_first_so_that_caches_hit(faultless: "Done") -> None:
    """The agent's runbook, the judge's instructions: far more than half of what they are told is cached."""
    for role in ("agent", "judge"):
        usage = faultless.found["spent"]["usage"][role]
        assert usage["cached"] > usage["prompt"] / 2


# Flags -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_flags_name_the_models_and_say_how_they_are_asked(modelling: "Modelling") -> None:
    """As in the first line of the README, with nothing in runbookopt.yaml."""
    modelled = modelling(settings="{}\n")
    flags = ["--model", "openai/agent", "--reflector", "openai/reflector"]
    for role in ("agent", "reflector"):
        flags += ["--set", f"{role}.api_base={modelled.server.url}", "--set", f"{role}.seed=7"]
    flags += ["--set", "agent.deterministic=true"]
    found = modelled.found(*flags, "--set", 'agent.price={"prompt": 1, "cached": 0.5, "completion": 2}')
    assert found["outcome"] == "accepted"
    assert all("seed" in each.body for role in ("agent", "reflector") for each in modelled.heard(role))
    usage = found["spent"]["usage"]
    assert usage["agent"]["usd"] == pytest.approx(modelled.billed("agent")["usd"])
    assert (usage["reflector"]["usd"], found["spent"]["usd"]) == (None, None), "nobody knows its price"
    words = next(line for line in modelled.body().splitlines() if line.startswith("optimize-runbook "))
    assert "--model openai/agent --set 'agent.price={" in words


@pytest.mark.nightly
def test_a_dry_run_with_models_looks_at_no_held_out_task(modelling: "Modelling", faultless: "Done") -> None:
    modelled = modelling()
    ran = modelled.run("--dry-run")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "+version" in ran.stdout
    assert "next: the same command without --dry-run" in ran.stdout
    held_out = 2 * faultless.found["held_out"]["tasks"]
    assert len(modelled.heard("agent")) == faultless.found["spent"]["rollouts"] - held_out
    assert modelled.clone.at_origin("for-each-ref", "--format=%(refname)") == "refs/heads/main"


# Refused before the first call -----------------------------------------------------------------------------


def refusal(modelled: "Modelled", *flags: str) -> str:
    """Run it, and give the one line of its refusal; no model heard anything."""
    ran = modelled.run("--json", *flags)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1), ran
    assert modelled.server.heard == []
    return ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--model", "--reflector"])
def test_a_judge_of_its_own_work_is_refused(modelling: "Modelling", flag: str) -> None:
    told = refusal(modelling(), flag, "azure/judge-2026-01-05")
    assert "the judge's model openai/judge is also the " in told
    assert "set judge.allow_self_judge: true" in told


@pytest.mark.slow
@pytest.mark.parametrize("role", ["agent", "judge"])
def test_a_budget_in_dollars_is_refused_where_a_price_is_not_known(modelling: "Modelling", role: str) -> None:
    told = refusal(modelling(unpriced=role), "--budget-usd", "1")
    place = "judge.price in rubric.yaml" if role == "judge" else f"{role}.price in runbookopt.yaml"
    assert f"the price of openai/{role} is not known: give {place}" in told


# A budget in dollars ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_budget_in_dollars_ends_the_search_and_is_kept(modelling: "Modelling", faultless: "Done") -> None:
    budget = round(0.8 * faultless.found["spent"]["usd"], 4)
    modelled = modelling()
    said = json.loads(modelled.run("--plan", "--json", "--budget-usd", str(budget)).stdout)
    assert (said["tokens"], said["usd"], modelled.server.heard) == (None, budget, [])
    found = modelled.found("--budget-usd", str(budget))
    assert "note: the search ended: its budget of usd is used up" in found["decision"]["reasons"]
    paid = sum(modelled.billed(role)["usd"] for role in ROLES)
    assert found["spent"]["usd"] == pytest.approx(paid)
    assert 0 < paid <= budget


# Without models --------------------------------------------------------------------------------------------


def test_the_offline_pair_needs_no_litellm(clones: "Clones", planted: ModuleType) -> None:
    """With this variable Python says of every module that it loads it."""
    clone = clones(planted.files())
    ran = clone.run("optimize-runbook", "desk", "--json", environ={"PYTHONPROFILEIMPORTTIME": "1"})
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in ran.stderr.splitlines()}
    assert (ran.returncode, '"outcome":"accepted"' in ran.stdout) == (0, True)
    assert "msgspec" in loaded
    assert loaded & {"litellm", "openai", "httpx", "github"} == set()
