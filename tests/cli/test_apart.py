"""What a run at GitHub does in a process without the token comes through as it would in one process."""

import json
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import HELD_OUT, KEY, RUBRIC, SETTINGS
from tests.conftest import Clone
from tests.github.double import Github
from tests.replier import Replier

if TYPE_CHECKING:
    from pathlib import Path

REF = "refs/runbookopt/ledger"


def environ(github: Github) -> dict[str, str]:
    return {"GITHUB_API_URL": github.api_url, "GITHUB_TOKEN": github.token, "OPENAI_API_KEY": KEY}


@pytest.mark.nightly  # by day an invalid proof is tried in one process, and two processes with other outcomes
@pytest.mark.slow
def test_an_invalid_proof_leaves_its_look_at_github_and_the_same_command_goes_on(
    planted: ModuleType, model_pair: ModuleType, openai_server: ModuleType, tmp_path: "Path"
) -> None:
    proofs: list[str] = []

    def met(body: dict[str, object]) -> str | None:
        text = json.dumps(body)
        if body["model"] == "agent" and any(f"number {at} please" in text for at in range(48, 200)):
            proofs.append(text)
        return "out_of_credit" if len(proofs) > 3 else None

    with openai_server.Server(model_pair.Pair().answer) as server:
        told = planted.files(
            rubric=RUBRIC.replace("URL", server.url),
            trajectories=planted.lines(planted.trajectories(HELD_OUT)),
        )
        told["runbookopt.yaml"] = SETTINGS.replace("URL", server.url)
        server.outage = met
        with Github(tmp_path / "github", told) as github:
            clone = Clone(github.clone(tmp_path / "clone"), github.origin)
            command = ("optimize-runbook", "desk", "--json")
            ran = clone.ask(*command, environ=environ(github))
            assert ran.returncode == 1, ran
            assert ran.stderr.startswith("desk: invalid, so nothing is decided: ")
            assert "look 1 stays registered and is not settled" in ran.stderr
            found = json.loads(ran.stdout)
            assert (found["outcome"], found["held_out"]["look"]) == ("invalid", 1)
            assert found["spent"]["rollouts"] > 0
            (place,) = clone.at_origin("ls-tree", "-r", "--name-only", REF, "looks/").splitlines()
            assert json.loads(clone.at_origin("show", f"{REF}:{place}"))["bundle"] is None
            server.outage = None
            later = clone.ask(*command, environ=environ(github))
            assert (later.returncode, later.stderr) == (0, ""), later
            found = json.loads(later.stdout)
            assert (found["outcome"], found["held_out"]["look"]) == ("accepted", 1)
            assert clone.at_origin("ls-tree", "-r", "--name-only", REF, "looks/").split() == [place]


@pytest.mark.slow
def test_a_run_at_github_waits_goes_on_and_begins_again_with_flags_that_reach_the_other_process(
    planted: ModuleType, tmp_path: "Path"
) -> None:
    often = "limits: {cooldown_hours: 0, per_day: 9, open_pull_requests: 9}\n"
    with Github(tmp_path / "github", planted.files(policy=planted.POLICY + often)) as github:
        clone = Clone(github.clone(tmp_path / "clone"), github.origin)
        command = ("optimize-runbook", "desk", "--json")
        assert clone.ask(*command, environ=environ(github)).returncode == 0
        before = clone.at_origin("rev-parse", REF)
        waits = clone.ask(*command, environ=environ(github))
        found = json.loads(waits.stdout)
        assert (found["outcome"], found["pull_request"]["number"]) == ("waiting", 1)
        assert clone.at_origin("rev-parse", REF) == before
        again = clone.ask(*command, "--again", "--show-figures", environ=environ(github))
        assert (again.returncode, again.stderr) == (0, ""), again
        found = json.loads(again.stdout)
        assert found["outcome"] == "accepted"
        bundle = json.loads((clone.root / found["bundle"]).read_text())
        assert bundle["figures_shown"] is True
        clone.at_origin("update-ref", "refs/heads/main", "refs/heads/runbookopt/desk")
        for gone in ("refs/heads/runbookopt/desk", REF):
            clone.at_origin("update-ref", "-d", gone)
        other = Clone(github.clone(tmp_path / "other"), github.origin)
        other.is_used_by("bo")
        other.commit({"runbooks/desk/RUNBOOK.md": planted.RUNBOOK}, push=False)
        other.git("push", "-q", github.origin.as_uri(), "HEAD:main")
        lost = other.ask(*command, "--again", environ=environ(github))
        assert (lost.returncode, "runbookopt ledger restore" in lost.stderr) == (1, True), lost
        begun = other.ask(*command, "--again", "--begin-again", environ=environ(github))
        assert begun.returncode == 1
        assert "the ledger began again: all of the allowance counts as spent" in begun.stderr
        (place,) = other.at_origin("ls-tree", "-r", "--name-only", REF, "looks/").splitlines()
        assert json.loads(other.at_origin("show", f"{REF}:{place}"))["answer"] == "begins_again"


@pytest.mark.slow
def test_replies_that_a_process_without_the_token_awaits_end_the_command_as_anywhere_else(
    planted: ModuleType, tmp_path: "Path"
) -> None:
    with Github(tmp_path / "github", planted.files()) as github:
        clone = Clone(github.clone(tmp_path / "clone"), github.origin)
        command = ("optimize-runbook", "desk", "--json", "--reflector-kind", "handoff", "--patience", "1")
        replier = Replier(clone.root)
        ran = clone.ask(*command, environ=environ(github))
        found = json.loads(ran.stdout)
        assert (ran.returncode, found["outcome"], ran.stderr.count("\n")) == (4, "awaiting_replies", 1), ran
        assert found["spent"]["rollouts"] > 0
        assert replier.answer_all() == len(found["awaiting"]["asks"])
        while ran.returncode == 4:
            ran = clone.ask(*command, environ=environ(github))
            replier.answer_all()
        found = json.loads(ran.stdout)
        assert (ran.returncode, found["outcome"], found["pull_request"]["number"]) == (0, "accepted", 1), ran
