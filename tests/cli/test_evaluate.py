import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from runbookopt.forge.git.repository import Repository
from runbookopt.proof.allowance import Look
from runbookopt.proof.ledger import Ledger
from tests.conftest import PATIENCE, script

if TYPE_CHECKING:
    from tests.conftest import Clone

Make = Callable[..., "Clone"]

KEYS = (
    "outcome reason runbook revision digest version split agent models tasks repeats passed score objectives"
    " criteria errors without_output why_without unanswered failing red_team look spent notes"
    " health awaiting"
)
BETTER = """---
name: desk
version: 1.1.0
---
# Desk

## Rules
- If the message mentions "card", answer `cards`
- If the message mentions "parcel", answer `post`
- Otherwise `front`
"""
OPEN = ("--split", "held-out", "--spend-look", "--yes", "--show-figures")
NONE = "no runbook 'desk': there is none in runbooks/; expected runbooks/desk/RUNBOOK.md"
NOISY = ("--set", "agent.noise=0.2")


def scored(clone: "Clone", *flags: str, **environ: str) -> dict[str, Any]:
    ran = clone.ask("runbookopt", "evaluate", "desk", "--json", *flags, environ=environ)
    assert (ran.returncode, ran.stderr, ran.stdout.count("\n")) == (0, "", 1)
    found: dict[str, Any] = json.loads(ran.stdout)
    assert list(found) == KEYS.split()
    return found


def looks(clone: "Clone") -> tuple[Look, ...]:
    """Give the looks in the ledger at origin."""
    name = f"other-{len(list(clone.root.parent.iterdir()))}"
    with Repository.open(clone.again(name, "tom").root) as other:
        return Ledger.open(other, push=False, fetch=True).looks("desk")


def test_a_runbook_is_scored_on_its_validation_tasks(repo: Make, planted: ModuleType) -> None:
    found = scored(repo(planted.files()))
    assert (found["runbook"], found["revision"], found["version"]) == ("desk", None, "1.0.0")
    assert (found["split"], found["tasks"], found["repeats"]) == ("validation", 24, 1)
    assert (found["score"], found["passed"], found["objectives"]) == (0.25, 6, {"right-desk": 0.25})
    counts = {"passed": 6, "failed": 18, "errors": 0, "share": 0.25}
    assert found["criteria"] == {"right-desk": {**counts, "decides": True, "status": "exempt"}}
    assert (found["errors"], found["without_output"], found["look"]) == (0, 0, None)
    assert (found["spent"]["rollouts"], found["spent"]["cached"], found["spent"]["usd"]) == (24, 0, None)


def test_failing_tasks_are_named_with_their_feedback(repo: Make, planted: ModuleType) -> None:
    failing = scored(repo(planted.files()))["failing"]
    assert len(failing) == 18
    assert failing[0] == {
        "task": failing[0]["task"],
        "trajectory": "t-25",
        "where": "trajectories/desk/all.jsonl:26",
        "score": 0.0,
        "feedback": ["right-desk: expected post, got front"],
    }


def test_what_is_known_is_not_paid_again_and_a_search_knows_it_too(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    first, again = scored(clone), scored(clone)
    assert (again["spent"]["rollouts"], again["spent"]["cached"]) == (0, 24)
    assert {**again, "spent": None} == {**first, "spent": None}
    searched = json.loads(clone.ask("optimize-runbook", "desk", "--dry-run", "--json").stdout)
    assert searched["validation"]["before"] == first["score"]
    assert searched["spent"]["cached"] == 24


def test_any_revision_is_scored_by_the_rubric_of_the_working_tree(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    old = clone.git("rev-parse", "HEAD")
    clone.commit({"runbooks/desk/RUNBOOK.md": BETTER})
    clone.write({"runbooks/desk/rubric.yaml": planted.RUBRIC.replace("right-desk", "right")})
    before, after = scored(clone, "--revision", "HEAD~1"), scored(clone)
    assert (before["revision"], before["version"], after["version"]) == (old, "1.0.0", "1.1.0")
    assert (before["score"], after["score"]) == (0.25, 0.5)
    assert list(before["criteria"]) == ["right"]
    assert "other than in HEAD: runbooks/desk/rubric.yaml" in before["notes"]
    assert clone.git("rev-parse", "HEAD") != old


def test_an_edit_that_is_not_committed_is_scored_without_an_origin(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    clone.git("remote", "remove", "origin")
    clone.write({"runbooks/desk/RUNBOOK.md": BETTER})
    assert scored(clone)["score"] == 0.5
    assert scored(clone, *OPEN)["look"]["look"] == 1
    assert scored(clone, "--split", "train")["tasks"] == 24


def test_held_out_tasks_stay_closed_without_leave_to_spend_a_look(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    ran = clone.ask("runbookopt", "evaluate", "desk", "--split", "held-out", "--json")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "desk: held-out tasks are kept for proofs, so add --spend-look to open them; it would be look 1,"
        " written into the ledger for good: it spends 0.025 of the 0.05 that is left of the allowance that"
        " all looks share, and the next proof could then spend 0.0083 instead of 0.025\n"
    )
    assert not (clone.root / ".runbookopt/journal.sqlite3").exists()
    assert clone.at_origin("for-each-ref", "refs/runbookopt") == ""


def test_a_look_stands_in_the_ledger_at_origin_and_later_proofs_may_spend_less(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(planted.files())
    found = scored(clone, *OPEN)
    assert (found["tasks"], found["score"], found["failing"]) == (60, 0.25, None)
    assert (found["look"]["look"], found["look"]["known"]) == (1, False)
    assert (found["look"]["spend"], found["look"]["left"]) == (pytest.approx(0.025), pytest.approx(0.025))
    assert found["look"]["spent"] == pytest.approx(0.025)
    (look,) = looks(clone)
    assert (look.key, look.candidate, look.seed) == (found["look"]["key"], found["digest"], found["digest"])
    assert (len(look.tasks), look.searched, look.answer) == (60, (), None)
    proved = json.loads(clone.ask("optimize-runbook", "desk", "--json").stdout)
    assert (proved["outcome"], proved["held_out"]["look"]) == ("accepted", 2)
    assert proved["held_out"]["allowance"] == pytest.approx(1 / 120)


def test_what_was_asked_of_held_out_tasks_before_spends_nothing(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    first = scored(clone, *OPEN)
    (clone.root / ".runbookopt/journal.sqlite3").unlink()
    again = scored(clone, *OPEN)
    assert again["look"] == first["look"] | {"known": True}
    assert again["score"] == first["score"]
    assert len(looks(clone)) == 1
    ran = clone.ask("runbookopt", "evaluate", "desk", "--split", "held-out")
    assert ran.returncode == 2
    assert "it costs nothing: the ledger has a look at this version already" in ran.stderr


def test_another_version_is_another_look(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    scored(clone, *OPEN)
    clone.write({"runbooks/desk/RUNBOOK.md": BETTER})
    assert scored(clone, *OPEN)["look"]["look"] == 2
    first, second = looks(clone)
    assert (first.seed, first.candidate != second.candidate) == (second.seed, True)


def test_a_proof_answers_for_both_runbooks_that_it_compared(repo: Make, planted: ModuleType) -> None:
    clone = repo(planted.files())
    proved = json.loads(clone.ask("optimize-runbook", "desk", "--json").stdout)["held_out"]
    clone.git("fetch", "-q")
    other = clone.again("other", "tom")
    today = scored(other, *OPEN)
    winner = scored(other, *OPEN, "--revision", "origin/runbookopt/desk")
    assert (today["score"], winner["score"]) == (proved["before"], proved["after"])
    assert (winner["version"], winner["look"]["look"], winner["look"]["known"]) == ("1.0.1", 1, True)
    assert [one["spent"]["rollouts"] + one["spent"]["cached"] for one in (today, winner)] == [0, 0]
    assert len(looks(clone)) == 1


def test_an_agent_that_errs_by_chance_tries_held_out_tasks_as_often_as_a_proof(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(planted.files())
    assert scored(clone, *NOISY)["repeats"] == 1
    found, again = scored(clone, *OPEN, *NOISY), scored(clone, *OPEN, *NOISY)
    assert (found["repeats"], found["tasks"], found["spent"]["rollouts"]) == (3, 60, 180)
    assert (again["score"], again["spent"]["cached"]) == (found["score"], 180)


def test_people_read_the_score_what_it_cost_and_what_fails(repo: Make, planted: ModuleType) -> None:
    lines = repo(planted.files()).ask("runbookopt", "evaluate", "desk").stdout.splitlines()
    health = lines.pop(1)
    assert health.startswith("  health        sound; 0.0% not judged; 0 without a")
    assert health.endswith("suspect references unknown; criteria: right-desk exempt")
    assert lines[:5] == [
        "desk (version 1.0.0) of the working tree: 0.250",
        "  score         0.250 on 24 validation tasks; 6 pass",
        "  objective     0.250 right-desk",
        "  criterion     0.250 right-desk: 6 passed, 18 failed",
        "  agent         offline",
    ]
    assert lines[5].startswith(
        "  spent         24 rollouts paid and 0 known, tokens unknown, dollars unknown"
    )
    assert lines[6:9] == [
        "  failing:",
        "  - t-25 (trajectories/desk/all.jsonl:26): 0.000",
        "      right-desk: expected post, got front",
    ]
    assert lines[-3:] == [
        "  - and 8 more tasks (--json has them all)",
        "  rubric, policy and tasks are those of the working tree",
        "",
    ]


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (["--split", "heldout"], 2, "--split: expected one of train, validation, held-out, got 'heldout'"),
        (["--spend-look"], 2, "--spend-look goes with --split held-out: other tasks cost no look"),
        (["--set", "width"], 2, "--set: expected KEY=VALUE"),
        (
            ["--set", "budget.rollouts=23"],
            1,
            "desk: this takes 24 rollouts, and the budget is 23: raise budget.rollouts to 24",
        ),
        (["--set", "width=4", "--width", "5"], 2, "--width and --set width say the same: give one of them"),
        (["--width", "0"], 2, "--width: expected a number >= 1"),
        (["--revision", "no\x1bwhere"], 1, "no\\x1bwhere names no commit of"),
        (["--revision", "--all"], 1, "--all names no commit of"),
        (
            ["--budget-rollouts", "23"],
            1,
            "desk: this takes 24 rollouts, and the budget is 23: raise budget.rollouts to 24",
        ),
        ([*OPEN, "--budget-rollouts", "9"], 1, "desk: this takes 60 rollouts, and the budget is 9"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_spent(
    repo: Make, planted: ModuleType, flags: list[str], status: int, said: str
) -> None:
    clone = repo(planted.files())
    ran = clone.ask("runbookopt", "evaluate", "desk", *flags)
    assert (ran.returncode, ran.stdout, ran.stderr.startswith(said)) == (status, "", True), ran.stderr
    assert clone.at_origin("for-each-ref", "refs/runbookopt") == ""


def test_a_revision_without_the_runbook_is_named(repo: Make, planted: ModuleType) -> None:
    clone = repo()
    clone.commit(planted.files())
    ran = clone.ask("runbookopt", "evaluate", "desk", "--revision", "HEAD~1")
    old = clone.git("rev-parse", "HEAD~1")[:12]
    assert (ran.returncode, ran.stderr) == (
        1,
        f"at commit {old}: {NONE}\n",
    )


def test_a_part_without_tasks_is_said(repo: Make, planted: ModuleType) -> None:
    records = [record for record in planted.trajectories() if record["task"]["split"] != "validation"]
    clone = repo(planted.files(trajectories=planted.lines(records)))
    ran = clone.ask("runbookopt", "evaluate", "desk")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("trajectories/desk: no task is in validation: add tasks, or choose another")


JUDGED = """judge: {{model: openai/judge, api_base: "{url}", price: {{prompt: 3, completion: 4}}}}
criteria:
  - id: right-desk
    check: {{kind: equals, path: $.answer, reference: $.answer}}
  - id: says-front
    judge: Does it say "front"?
"""


def chat(clone: "Clone", planted: ModuleType, url: str) -> list[str]:
    clone.commit(planted.files(rubric=JUDGED.format(url=url)))
    settings = {"api_base": url, "price": '{"prompt": 1, "completion": 2}'}
    flags = [f"--set=agent.{key}={value}" for key, value in settings.items()]
    return ["--model", "openai/local", *flags]


def test_a_model_and_a_judge_are_asked_once_and_what_they_used_is_what_the_server_counted(
    repo: Make, planted: ModuleType, openai_server: ModuleType, model_pair: ModuleType
) -> None:
    clone = repo()
    with openai_server.Server(model_pair.Pair().answer) as server:
        flags = chat(clone, planted, server.url)
        found = scored(clone, *flags, OPENAI_API_KEY="test-key-that-nobody-has")
        heard = len(server.heard)
        again = scored(clone, *flags, OPENAI_API_KEY="test-key-that-nobody-has")
    assert (found["agent"], found["models"]) == ("chat", {"agent": "openai/local", "judge": "openai/judge"})
    assert {name: rate["passed"] for name, rate in found["criteria"].items()} == {
        "right-desk": 6,
        "says-front": 18,
    }
    assert (heard, len(server.heard), server.billed().calls) == (48, heard, heard)
    assert found["spent"]["tokens"] == server.billed().prompt + server.billed().completion
    assert found["spent"]["usd"] == pytest.approx(_dollars(server.heard))
    assert (again["score"], again["spent"]["tokens"], again["spent"]["usd"]) == (found["score"], 0, 0.0)


def _dollars(heard: list[Any]) -> float:
    prices = {"local": (1, 2), "judge": (3, 4)}
    each = ((prices[one.body["model"].split("/")[-1]], one) for one in heard)
    return sum(
        (prompt * one.prompt + completion * one.completion) / 1e6 for (prompt, completion), one in each
    )


def test_a_budget_in_dollars_ends_it_before_it_is_overdrawn(
    repo: Make, planted: ModuleType, openai_server: ModuleType, model_pair: ModuleType
) -> None:
    clone = repo()
    with openai_server.Server(model_pair.Pair().answer) as server:
        flags = [*chat(clone, planted, server.url), "--width", "4", "--budget-usd", "0.003"]
        ran = clone.ask("runbookopt", "evaluate", "desk", *flags, environ={"OPENAI_API_KEY": "test-key"})
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("desk: by what the first 4 of 24 rollouts cost, all of them cost more than")
    assert len(server.heard) == 8


def test_a_wrong_key_is_one_clear_line(repo: Make, planted: ModuleType, openai_server: ModuleType) -> None:
    clone = repo()
    with openai_server.Server(faults=openai_server.always("unauthorized")) as server:
        flags = chat(clone, planted, server.url)
        key = "test-key-that-nobody-has"
        ran = clone.ask("runbookopt", "evaluate", "desk", *flags, environ={"OPENAI_API_KEY": key})
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert "set OPENAI_API_KEY" in ran.stderr
    assert key not in ran.stderr


@pytest.mark.nightly
def test_interrupted_it_goes_on_where_it_was(
    repo: Make, planted: ModuleType, openai_server: ModuleType, model_pair: ModuleType
) -> None:
    clone = repo()
    enough, resumed = threading.Event(), threading.Event()

    def until_enough(body: dict[str, Any]) -> str:
        """Answer, but when enough was heard wait until the run is resumed."""
        if len(server.heard) > 12:
            enough.set()
            resumed.wait()
        return str(model_pair.Pair().answer(body))

    with openai_server.Server(until_enough) as server:
        flags = [*chat(clone, planted, server.url), "--width", "2"]
        environ = {
            "RUNBOOKOPT_AGENT_KEY_VARIABLE": "DESK_API_KEY",
            "DESK_API_KEY": "test-key",
            "OPENAI_API_KEY": "x",
        }
        process = subprocess.Popen(
            [script("runbookopt"), "evaluate", "desk", *flags],
            cwd=clone.root,
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not enough.wait(1):
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        printed, complaint = process.communicate(timeout=PATIENCE)
        heard = len(server.heard)
        resumed.set()
        scored(clone, *flags, **environ)
    assert (process.returncode, printed) == (130, "")
    told = "desk: interrupted; all answers so far are in .runbookopt/journal.sqlite3"
    assert complaint.splitlines()[-1].startswith(told)
    assert heard < 24
    assert len(server.heard) <= 48 + 2  # what was in flight is asked again


def test_what_a_trajectory_wrote_neither_moves_the_cursor_nor_shows_a_secret(
    repo: Make, planted: ModuleType, openai_server: ModuleType
) -> None:
    clone = repo()
    hostile = "none\x1b[2J\u202e of sk-" + "live-4f8a8f7d6e5c4b3a2918f7e6 " + "x" * 500
    answer = json.dumps({"answer": hostile})
    with openai_server.Server(lambda _: answer) as server:
        clone.commit(planted.files())
        flags = ["--model", "openai/local", f"--set=agent.api_base={server.url}"]
        ran = clone.ask("runbookopt", "evaluate", "desk", *flags, environ={"OPENAI_API_KEY": "test-key"})
        found = scored(clone, *flags, OPENAI_API_KEY="test-key")
    assert ran.returncode == 0
    for shown in (ran.stdout, json.dumps(found, ensure_ascii=False)):
        assert not {"\x1b", "\u202e"} & set(shown)
        assert "4f8a8f7d6e5c" not in shown
    assert "dollars unknown" in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) < 250
