"""`verify --rerun-proof`: what a bundle says that an agent put out is tried, and unknown is not yes."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from runbookopt.agents.roles import roles_of
from runbookopt.documents.settings import load_settings
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from runbookopt.landing.propose import propose
from tests import first_half as half
from tests.conftest import Clone
from tests.test_architecture import loaded_by

RUNBOOK = "runbooks/triage/RUNBOOK.md"
SETTINGS = "defaults: {agent: {field: queue}}\n"
TRUE = half.RUNBOOK.replace('"card"', '"card" or "ticket"')
"""Every message is of a ticket, and goes to `card`: better indeed."""
FORGED = half.RUNBOOK.replace('"card"', '"card" or "atm"')
"""No message is of an atm: no agent ever put out what its bundle says."""
AGENTS = {
    "runbookopt.agents.roles",
    "runbookopt.agents.model.client",
    "runbookopt.jobs.rerun_proof",
    "runbookopt.agents.offline_agent",
}

Make = Callable[..., Clone]


def verified(clone: Clone, *arguments: str, status: int) -> dict[str, Any]:
    """Verify, and expect that nothing is written at origin."""
    before = clone.at_origin("for-each-ref")
    ran = clone.ask("runbookopt", "verify", *(arguments or ("--pull-request", "1")), "--json")
    assert (ran.returncode, ran.stderr) == (status, ""), (ran.stdout, ran.stderr)
    assert clone.at_origin("for-each-ref") == before
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def again(clone: Clone, *arguments: str, status: int) -> str:
    """Verify with the flag, and give what is said of the proof that was run again."""
    asked = arguments or ("--pull-request", "1")
    reason: str = verified(clone, *asked, "--rerun-proof", status=status)["reasons"][-1]
    return reason


@pytest.fixture
def proposed(repo: Make) -> Make:
    """Give a maker of repositories in which a candidate is proposed that passes without the flag."""

    def make(candidate: str, settings: str = SETTINGS, agent: str | None = None) -> Clone:
        clone = repo({**half.files(), "runbookopt.yaml": settings})
        clone.is_used_by("ana")
        chosen = load_settings(settings.encode(), "runbookopt.yaml", "triage", environ={}, flags={})
        key = agent or roles_of(chosen, clone.root, {"OPENAI_API_KEY": "x"}).agent.key
        with Repository.open(clone.root) as repository:
            bundle = half.FirstHalf(repository, agent=key)(candidate)
            propose(repository, LocalForge(repository), bundle)
        verified(clone, status=0)
        return clone

    return make


def test_a_true_proof_is_confirmed_by_fresh_attempts_and_spends_no_look(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(planted.files(policy="merge: review\nreviewers: [bo]\n"))
    clone.is_used_by("ana")
    assert clone.ask("optimize-runbook", "desk").returncode == 0
    assert clone.again("bo", "bo").ask("runbookopt", "pulls", "approve", "1").returncode == 0
    told = again(clone, status=0)
    assert told.startswith(
        "yes: run again on 60 held-out tasks by agent offline, the proof says accepted: the"
    )
    assert "120 rollouts paid and 0 known" in told  # the look's own answers are in this very journal
    assert "0 rollouts paid and 120 known" in again(clone, status=0)


def test_outputs_that_no_agent_ever_gave_are_refused(proposed: Make) -> None:
    told = again(proposed(FORGED), status=3)
    assert told.startswith("no: run again on 50 held-out tasks by agent offline, the proof says rejected (")
    assert "t-" not in told  # which tasks fail is not listed


def test_settings_of_the_working_tree_have_no_say(proposed: Make) -> None:
    clone = proposed(TRUE)
    clone.write({"runbookopt.yaml": "defaults: {budget: {rollouts: 1}}\n"})
    assert again(clone, status=0).startswith("yes: run again on 50 held-out tasks by agent offline")


def test_another_agent_than_the_proof_s_cannot_confirm_it(proposed: Make) -> None:
    told = again(proposed(TRUE, agent=half.digest(b"another")), status=3)
    assert told.startswith("unknown: the proof was not run again: it was made with another agent (offline)")


def test_more_than_the_budget_covers_is_not_begun(proposed: Make) -> None:
    told = again(proposed(TRUE, SETTINGS + "runbooks: {triage: {budget: {rollouts: 99}}}\n"), status=3)
    assert told.startswith("unknown: the proof was not run again: triage: this takes 100 rollouts, and the")


def test_what_is_not_to_be_merged_costs_nothing(proposed: Make) -> None:
    clone = proposed(TRUE)
    clone.git("checkout", "-q", "-b", "queue")
    other = clone.commit({RUNBOOK: TRUE + "\nAnd more.\n"}, push=False)
    told = again(clone, "--pull-request", "1", "--head", other, status=3)
    assert told == "unknown: the proof was not run again: this is not to be merged in any case"
    assert not (clone.root / ".runbookopt/journal.sqlite3").exists()


def test_what_people_wrote_or_edited_has_no_proof_to_run_again(proposed: Make) -> None:
    clone = proposed(TRUE)
    clone.git("checkout", "-q", "-b", "mine")
    mine = clone.commit({RUNBOOK: TRUE}, push=False)
    told = again(clone, "--base", "origin/main", "--head", mine, status=3)
    assert told == "yes: people wrote this: there is no proof to run again"
    clone.git("fetch", "-q")
    clone.git("checkout", "-q", "origin/runbookopt/triage")
    edited = clone.commit({RUNBOOK: TRUE}, push=False)
    told = again(clone, "--base", "origin/main", "--head", edited, status=3)
    assert told.endswith("nothing is proved of their text: there is no proof to run again")


def test_no_agent_is_imported_where_no_proof_is_run_again(proposed: Make) -> None:
    clone = proposed(TRUE)
    clone.git("checkout", "-q", "-b", "mine")
    mine = clone.commit({RUNBOOK: TRUE}, push=False)
    ours, theirs = ["--pull-request", "1"], ["--base", "origin/main", "--head", mine]
    assert loaded_by(["runbookopt", "verify", *ours], clone.root) & AGENTS == set()
    assert loaded_by(["runbookopt", "verify", *theirs, "--rerun-proof"], clone.root) & AGENTS == set()
    assert loaded_by(["runbookopt", "verify", *ours, "--rerun-proof"], clone.root) >= AGENTS


def test_a_wrong_key_is_one_clear_line(proposed: Make, openai_server: ModuleType) -> None:
    with openai_server.Server(faults=openai_server.always("unauthorized")) as server:
        agent = f"{{kind: chat, model: openai/local, api_base: '{server.url}', deterministic: true}}"
        clone = proposed(TRUE, f"defaults: {{agent: {agent}}}\n")
        key = "test-key-that-nobody-has"
        asked = ("--pull-request", "1", "--rerun-proof")
        ran = clone.ask("runbookopt", "verify", *asked, environ={"OPENAI_API_KEY": key})
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert "set OPENAI_API_KEY" in ran.stderr
    assert key not in ran.stderr
