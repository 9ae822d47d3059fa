"""Stored outputs of another agent by command line: counted, reflected on first, scored only once tried."""

import json
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from tests.replier import Replier

if TYPE_CHECKING:
    from tests.conftest import Clone, Files

Make = Callable[["Files"], "Clone"]
HANDED = {"RUNBOOKOPT_REFLECTOR_KIND": "handoff"}
BELIEVED = "defaults: {stored_as_today: [prod-bot]}\n"
STORED = (
    "48 stored outputs: 0 of today's runbook and agent (agent `prod-bot`, runbook of 1 version); 24 on train"
    " tasks are reflected on, not scored (24 on validation tasks are not looked at)"
)


def by_the_runbook(task: Mapping[str, Any]) -> str:
    """What the offline agent answers by today's runbook."""
    return "cards" if "card" in task["input"] else "front"


def lines(
    planted: ModuleType, answer: Callable[[Mapping[str, Any]], str] = by_the_runbook, **said: str
) -> str:
    """Give the tasks, those of train and validation with outputs of another agent."""
    records = planted.trajectories(32)
    for record in records:
        if record["task"]["split"] != "held-out":
            output = json.dumps({"answer": answer(record["task"])})
            record |= {"output": output, "agent": {"name": "prod-bot"}, **said}
    return str(planted.lines(records))


def make(repo: Make, planted: ModuleType, settings: str = "", **files: str) -> "Clone":
    return repo({**planted.files(**files), "runbookopt.yaml": settings or "defaults: {}\n"})


def told(clone: "Clone", *flags: str, **environ: str) -> dict[str, Any]:
    ran = clone.ask("optimize-runbook", "desk", "--json", *flags, environ=environ)
    assert ran.returncode in {0, 4}, ran
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_check_plan_and_show_say_how_many_of_each_kind_there_are_and_why(
    repo: Make, planted: ModuleType
) -> None:
    clone = make(repo, planted, trajectories=lines(planted, runbook_version="1.0.0"))
    assert f"desk: {STORED}" in clone.ask("runbookopt", "check").stdout
    facts = json.loads(clone.ask("runbookopt", "check", "--json").stdout)["runbooks"][0]["stored_outputs"]
    assert (facts["of_today"], facts["train"], facts["agents"]) == (0, 24, ["prod-bot"])
    assert STORED in told(clone, "--plan")["notes"]
    key = json.loads(clone.ask("runbookopt", "show", "desk", "--json").stdout)["agent"]["key"]
    assert f"agent    offline, key {key}" in clone.ask("runbookopt", "show", "desk").stdout
    digest = json.loads(clone.ask("runbookopt", "show", "desk", "--json").stdout)["digest"]
    own = lines(planted, runbook_digest=digest).replace('"name": "prod-bot"', f'"key": "{key}"')
    clone.commit({"trajectories/desk/all.jsonl": own})
    assert told(clone, "--plan")["rollouts"]["free"] == 48, "by the key and the digest that it shows"


def test_outputs_of_another_agent_end_in_a_pull_request_and_are_what_is_reflected_on_first(
    repo: Make, planted: ModuleType
) -> None:
    clone = make(repo, planted, trajectories=lines(planted, runbook_version="1.0.0"))
    replier = Replier(clone.root)
    first = told(clone, **HANDED)
    assert first["outcome"] == "awaiting_replies"
    assert first["spent"]["rollouts"] == 24, "today's runbook on validation, and nothing on train"
    texts = [replier.text(name) for name in replier.asks()]
    assert all("\n  origin: agent prod-bot, runbook version 1.0.0 (by" in text for text in texts)
    assert not any("prod-bot" in text.partition("# Trajectories")[0] for text in texts)
    while first["outcome"] == "awaiting_replies":
        replier.answer_all()
        first = told(clone, **HANDED)
    assert (first["outcome"], first["pull_request"]["number"]) == ("accepted", 1)
    assert f"note: {STORED}" in first["decision"]["reasons"]


@pytest.mark.parametrize("alike", [True, False])
def test_another_agents_outputs_count_as_todays_only_after_a_trial(
    repo: Make, planted: ModuleType, alike: bool
) -> None:
    answer = by_the_runbook if alike else (lambda task: task["reference"]["answer"])
    clone = make(repo, planted, BELIEVED, trajectories=lines(planted, answer, runbook_version="1.0.0"))
    found = told(clone)
    (trial,) = found["stored_verdicts"]["as_today"]
    assert (trial["agent"], trial["outputs"], trial["tried"]) == ("prod-bot", 48, 20)
    assert (trial["alike"] >= 18, trial["believed"]) == (alike, alike)
    assert found["stored_verdicts"]["used"] == (28 if alike else 0)
    assert found["validation"]["before"] == 0.25, "of what answers now"
    says = "so they count as today's" if alike else "where 18 must, so they do not count"
    (note,) = [each for each in found["decision"]["reasons"] if each.startswith("note: stored_as_today")]
    assert note.endswith(says)
    number = str(found["pull_request"]["number"])
    assert (
        "`stored_as_today` of runbookopt.yaml says is"
        in clone.ask("runbookopt", "pulls", "show", number).stdout
    )
    clone.git("fetch", "-q", "origin")
    head = clone.git("rev-parse", "origin/runbookopt/desk")
    verified = clone.ask("runbookopt", "verify", "--base", "origin/main", "--head", head)
    assert "yes      the proof on 32 held-out tasks says accepted" in verified.stdout, verified


def test_who_cannot_be_tried_on_twenty_tasks_is_not_believed(repo: Make, planted: ModuleType) -> None:
    stored = lines(planted, runbook_version="1.0.0").splitlines(keepends=True)
    few = [line.replace('"prod-bot"', '"other"') if n >= 19 else line for n, line in enumerate(stored)]
    clone = make(repo, planted, BELIEVED, trajectories="".join(few))
    planned = told(clone, "--plan")
    assert planned["rollouts"]["free"] == planned["rollouts"]["claims"] == 0
    assert (
        "count as today's if their trial holds (stored_as_today)" in clone.ask("runbookopt", "check").stdout
    )
    ran = json.loads(clone.ask("runbookopt", "which", json.loads(stored[0])["id"], "--json").stdout)
    assert ran["counts_as"].startswith("a score, if a trial holds: it ran today's runbook")
    assert any(note.startswith("stored_as_today: 19 outputs of agent prod-bot") for note in planned["notes"])


def test_whom_a_working_tree_alone_believes_is_not_believed(repo: Make, planted: ModuleType) -> None:
    clone = make(repo, planted, trajectories=lines(planted, runbook_version="1.0.0"))
    clone.write({"runbookopt.yaml": BELIEVED})
    planned = told(clone, "--plan")
    assert planned["rollouts"]["claims"] == 0
    assert any("whose word counts: nobody" in note for note in planned["notes"])
    ran = clone.ask("optimize-runbook", "desk", "--set", "stored_as_today=[prod-bot]")
    assert (ran.returncode, "it stands in runbookopt.yaml alone" in ran.stderr) == (2, True)
    dry = told(clone, "--plan", "--no-propose")
    assert dry["rollouts"]["claims"] == 0, "what is not committed is nobody's word"


def test_which_tells_version_and_commit_of_a_trajectory_and_what_it_counts_as(
    repo: Make, planted: ModuleType
) -> None:
    clone = make(repo, planted, trajectories=lines(planted, runbook_version="1.0.0"))
    ran = clone.ask("runbookopt", "which", "t-")
    assert (ran.returncode, ran.stderr.startswith("80 trajectories begin with")) == (1, True)
    assert "an attempt of a run" in clone.ask("runbookopt", "which", "r-0123456789ab").stderr
    found = json.loads(clone.ask("runbookopt", "which", "t-10", "--json").stdout)
    assert (found["version"], found["told_by"]) == ("1.0.0", "version")
    assert found["commit"] == clone.git("rev-list", "-1", "HEAD", "--", "runbooks/desk/RUNBOOK.md")
    assert found["counts_as"] == "reflected on, not scored: it does not name today's runbook and agent"
    page = clone.ask("runbookopt", "which", "t-10").stdout
    assert "runbook     desk, 1.0.0, which is today's (by the version that it names)" in page


def test_a_file_that_is_there_and_not_our_own_is_named(repo: Make, planted: ModuleType) -> None:
    step = {"step_id": 1, "source": "user", "message": "The machine ate my card"}
    said = {"step_id": 2, "source": "agent", "message": '{"answer": "cards"}'}
    document = {"schema_version": "ATIF-v1.4", "session_id": "s1", "agent": {"name": "a", "version": "1"}}
    files = {key: text for key, text in planted.files().items() if not key.startswith("trajectories")}
    clone = repo({**files, "trajectories/desk/run1.json": json.dumps({**document, "steps": [step, said]})})
    ran = clone.ask("runbookopt", "check")
    assert "run1.json" in ran.stdout
    assert "1 stored output: 0 of today's runbook and agent (agent `a`" in ran.stdout
