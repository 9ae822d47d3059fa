from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Done

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
    assert faultless.found["spent"]["usage"][role] == pytest.approx(faultless.modelled.billed(role))


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
