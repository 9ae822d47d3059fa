"""A first evening: evidence of many shapes works, and each wrong set-up ends before the 21st rollout.

Each with one line of what was seen, where, what to do next, and the number.
"""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Modelling
    from tests.conftest import Clone, Files, Ran

    Make = Callable[[Files], Clone]

RUBRIC = "runbooks/desk/rubric.yaml"
EVIDENCE = "trajectories/desk/all.jsonl"
CHECK = "criteria:\n  - id: right-desk\n    check: {kind: equals, path: PATH, reference: REFERENCE}\n"
COMMAND = (
    "defaults:\n  agent: {kind: command, argv: [sh, '{repository}/agent.sh'], output: results/answer.json}\n"
)
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d7a' * 16}\nsize 1048576\n"
PROSE = "# Desk\n\nSend cards to the cards desk.\n\nBe kind.\n"


def check(path: str = "$.answer", reference: str = "$.answer") -> "Files":
    return {RUBRIC: CHECK.replace("PATH", path).replace("REFERENCE", reference)}


class Case(NamedTuple):
    """Files and flags of a set-up that cannot work, and what its line says."""

    files: "Files"
    flags: tuple[str, ...]
    words: tuple[str, ...]


CASES = {
    "wrong field": Case(
        check("$.queue"),
        (),
        (
            "desk: stopped before the search, after 20 outputs of today's runbook: runbooks/desk/rubric",
            "expected something at $.queue, saw nothing at $.queue (all outputs have answer, reason)",
            "set agent.field to queue in runbookopt.yaml (it is answer)",
        ),
    ),
    "misspelt field": Case(
        check("$.answr"),
        (),
        ("change `path` of this check (did you mean 'answer'?), or set agent.field to answr",),
    ),
    "output path": Case(
        {"runbookopt.yaml": COMMAND, "agent.sh": 'cat > /dev/null\necho \'{"answer": "cards"}\'\n'},
        (),
        ("after 20 outputs", "see agent.argv, agent.output (it is results/answer.json)"),
    ),
    "reference path": Case(
        check(reference="$.label"),
        (),
        (
            "60 of 60: right-desk: nothing at $.label of the task's reference, first in trajectories/desk/",
            "(all references have answer)",
            "mend their references, or runbooks/desk/rubric.yaml",
        ),
    ),
    "offline on prose": Case(
        {"runbooks/desk/RUNBOOK.md": PROSE},
        (),
        ("runbooks/desk/RUNBOOK.md: agent.kind is offline", "finds 0 rules here", "--model"),
    ),
    "chat with offline reflector": Case(
        {},
        ("--model", "openai/m", "--reflector-kind", "offline"),
        (
            "agent.model is openai/m and reflector.kind is offline",
            "reflector: {kind: model, model: openai/m}",
        ),
    ),
    "evidence in Git LFS": Case(
        {EVIDENCE: POINTER},
        (),
        (f"{EVIDENCE}: git holds only a pointer", f"git lfs migrate export --include={EVIDENCE}"),
    ),
    "runbook in Git LFS": Case(
        {"runbooks/desk/RUNBOOK.md": POINTER},
        (),
        ("runbooks/desk/RUNBOOK.md: git holds only a pointer", "git lfs migrate export"),
    ),
    "rubric in Git LFS": Case(
        {RUBRIC: POINTER}, (), (f"{RUBRIC}: git holds only a pointer", "git lfs migrate export")
    ),
    "settings in Git LFS": Case(
        {"runbookopt.yaml": POINTER}, (), ("runbookopt.yaml: git holds only a pointer", "migrate export")
    ),
    "too small a budget": Case(
        {},
        ("--budget-rollouts", "191"),
        ("191 rollouts do not cover one draft", "raise budget.rollouts to 192 at least", "for 673"),
    ),
    "missing key": Case(
        {},
        ("--model", "openai/m"),
        ("openai/m: its provider wants a key, and none is set: set OPENAI_API_KEY",),
    ),
    "missing key of an own server": Case(
        {},
        ("--model", "openai/m", "--set", "agent.key_variable=DESK_API_KEY"),
        ("openai/m: agent.key_variable names DESK_API_KEY, which is not set: set it",),
    ),
}


def rollouts(clone: "Clone") -> int:
    """Count those that were paid."""
    place = clone.root / ".runbookopt/journal.sqlite3"
    if not place.exists():
        return 0
    with closing(sqlite3.connect(place)) as journal:
        (count,) = journal.execute("SELECT count(*) FROM answers WHERE kind = 'rollout'").fetchone()
    return int(count)


def stops(ran: "Ran", clone: "Clone", *words: str) -> None:
    assert (ran.returncode, ran.stdout) == (1, ""), ran
    (line,) = ran.stderr.splitlines()
    assert all(word in line for word in words), line
    assert rollouts(clone) <= 20


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_wrong_set_up_ends_before_the_21st_rollout_with_one_line(
    repo: "Make", planted: ModuleType, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    clone = repo({**planted.files(), **case.files})
    stops(clone.ask("optimize-runbook", "desk", *case.flags), clone, *case.words)


CHAT = "defaults:\n  agent: {kind: chat, model: openai/agent, api_base: URL}\n"
REPLIES = {
    "prose": (
        "Send it to the cards desk.",
        ("expected JSON, saw text that is not JSON", "for JSON alone"),
    ),
    "one answer": ('{"answer": "Cards."}', ("expected access, cards, money, post, saw Cards. each time",)),
    "another field": ('{"queue": "cards"}', ("saw nothing at $.answer (all outputs have queue)", "`path`")),
}


@pytest.mark.parametrize(("reply", "words"), REPLIES.values(), ids=REPLIES)
def test_a_model_that_answers_beside_the_rubric_is_told_after_twenty_outputs(
    modelling: "Modelling", planted: ModuleType, reply: str, words: tuple[str, ...]
) -> None:
    pair = SimpleNamespace(answer=lambda _: reply)
    modelled = modelling(pair=pair, settings=CHAT, files={RUBRIC: planted.RUBRIC})
    stops(modelled.run(), modelled.clone, "after 20 outputs of today's runbook", *words)
    assert (len(modelled.heard("agent")), len(modelled.heard("reflector"))) == (20, 0)


BOILERPLATE = (
    "This message came through the contact form of our web site, so do not reply to it. The customer has read"
    " the privacy notice and has agreed to the terms of service. It was opened by the intake system. "
) * 4


def in_boilerplate(input_: str) -> str:
    return f"{BOILERPLATE}{input_}\n--\n{BOILERPLATE}"


def as_json(input_: str) -> dict[str, Any]:
    return {"channel": "form", "message": {"body": input_, "read": False}, "tags": ["new", None, 3]}


@pytest.mark.parametrize(
    ("made", "times"),
    [(in_boilerplate, 1), (as_json, 1), (str, 3)],
    ids=["boilerplate", "JSON", "duplicates"],
)
def test_evidence_of_many_shapes_ends_with_a_pull_request(
    repo: "Make", planted: ModuleType, made: Callable[[str], object], times: int
) -> None:
    records = planted.trajectories()
    for record in records:
        record["task"]["input"] = made(record["task"]["input"])
    delivered = [*records * times, *({**record, "id": f"again-{record['id']}"} for record in records)]
    clone = repo(planted.files(trajectories=planted.lines(delivered)))
    assert "warning" not in clone.ask("runbookopt", "check").stdout
    found = json.loads(clone.ask("optimize-runbook", "desk", "--json").stdout)
    assert (found["outcome"], found["pull_request"]["number"]) == ("accepted", 1)
