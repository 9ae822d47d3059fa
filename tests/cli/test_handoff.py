"""Hand-off: runs whose reflector, or agent, is whoever answers the files that they write."""

import json
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest

from runbookopt.engine.journal import Journal
from runbookopt.forge.git.repository import Repository
from runbookopt.forge.local import LocalForge
from tests.cli.conftest import HELD_OUT
from tests.cli.test_killed import Runs
from tests.conftest import PROGRESS, Clone, Files, Ran, script
from tests.replier import Replier

HANDED = {"RUNBOOKOPT_REFLECTOR_KIND": "handoff", "RUNBOOKOPT_PATIENCE": "2"}
STEP = " (it says how and where), then run the same command again"
Make = Callable[..., Clone]


def few(planted: ModuleType) -> Files:
    """Give the files of a repository with no more held-out tasks than a proof takes.

    Three times as many train tasks, so that a wave asks three times.
    """
    records = planted.trajectories(HELD_OUT)
    first = len(records)
    more = [
        {"id": f"t-{number}", "task": planted.task(number, "train"), "trust": "internal"}
        for number in range(first, first + 2 * planted.PARTS["train"])
    ]
    files: Files = planted.files(trajectories=planted.lines([*records, *more]))
    return files


def run(clone: Clone, *flags: str, **environ: str) -> Ran:
    return clone.ask("optimize-runbook", "desk", *flags, environ={**HANDED, **environ})


def to_the_end(clone: Clone, replier: Replier) -> dict[str, Any]:
    """Run, answer, run again; give what came of it."""
    for _ in range(30):
        ran = run(clone, "--json")
        told: dict[str, Any] = json.loads(ran.stdout)
        if ran.returncode == 0:
            return told
        assert (ran.returncode, told["outcome"]) == (4, "awaiting_replies"), ran
        assert replier.answer_all() == len(told["awaiting"]["asks"])
    raise AssertionError("it does not come to an end")


def proved(clone: Clone) -> dict[str, Any]:
    """Give what the run handed over, without what another reflector, and another time, may change."""
    (place,) = (clone.root / ".runbookopt/bundles").iterdir()
    bundle: dict[str, Any] = json.loads(place.read_text())
    differing = {"digest", "run", "models", "spent", "settings", "look"}
    look = {key: value for key, value in bundle["look"].items() if key != "at"}
    return {key: value for key, value in bundle.items() if key not in differing} | {"look": look}


def reflections(clone: Clone) -> list[str]:
    """Give who gave the answers of the journal to reflections."""
    with Journal.open(clone.root / ".runbookopt/journal.sqlite3") as journal:
        return [row[0] for row in journal.read("SELECT replier FROM answers WHERE kind = 'reflection'")]


@pytest.fixture(scope="module")
def over_http(
    clones: Callable[[Files], Clone],
    planted: ModuleType,
    openai_server: ModuleType,
    model_pair: ModuleType,
) -> tuple[Clone, int]:
    """Give the same run with the same replies from a server, and how many requests it took."""
    clone = clones(few(planted))
    with openai_server.Server(model_pair.Pair(edits=1).answer) as server:
        flags = ("--reflector", "openai/reflector", "--set", f"reflector.api_base={server.url}")
        ran = clone.ask(
            "optimize-runbook",
            "desk",
            *flags,
            environ={"OPENAI_API_KEY": "made up", "RUNBOOKOPT_PATIENCE": "2"},
        )
        assert ran.returncode == 0, ran
        return clone, len(server.heard)


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    running = Runs("without-models", **HANDED)
    yield running
    running.end()


@pytest.mark.slow
def test_a_run_by_files_ends_as_one_with_the_same_replies_over_http(
    repo: Make, planted: ModuleType, over_http: tuple[Clone, int]
) -> None:
    there, requests = over_http
    clone = repo(few(planted))
    replier = Replier(clone.root)
    found = to_the_end(clone, replier)
    assert proved(clone) == proved(there)
    assert len(replier.replied) == requests
    assert clone.at_origin("show", "runbookopt/desk:runbooks/desk/RUNBOOK.md") == there.at_origin(
        "show", "runbookopt/desk:runbooks/desk/RUNBOOK.md"
    )
    spent = found["spent"]
    assert (found["outcome"], spent["tokens"], spent["usd"], spent["usage"]) == ("accepted", None, None, {})
    assert set(reflections(clone)) == {"Ana"}
    said = f"note: answered by hand-off for the reflector, as they say: Ana ({requests})"
    assert said in found["decision"]["reasons"]
    with Repository.open(clone.root) as repository:
        assert "`reflector: handoff (Ana)`" in LocalForge(repository).get(1).body
    assert replier.asks() == []
    assert not any((replier.folder / "replies").iterdir())


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.nightly)])
def test_a_run_killed_between_any_two_replies_ends_as_the_uncut_one_and_nothing_is_asked_twice(
    runs: Runs, repo: Make, planted: ModuleType, over_http: tuple[Clone, int], kills: int
) -> None:
    there, requests = over_http
    chance, killed, clone_number = random.Random(kills), 0, 0
    while killed < kills:
        clone_number += 1
        clone = repo(few(planted), f"cut-{clone_number}")
        replier, status = Replier(clone.root), 4
        while status == 4:
            left = [name for name in replier.asks() if not replier.place(name).exists()]
            if left:
                replier.answer(chance.choice(left))
            while killed < kills:
                status = runs.run(clone, 1, kill_after=chance.uniform(0.0, 0.8))
                if status != -signal.SIGKILL:
                    break
                killed += 1
                if chance.random() < 0.5:
                    break
            else:
                status = runs.run(clone, 1)
            status = 4 if status == -signal.SIGKILL else status
        assert status == 0, (clone.root.parent / f"{clone.root.name}-printed").read_text()
        assert proved(clone) == proved(there)
        assert len(replier.replied) == len(set(replier.replied)) == requests


def test_it_ends_with_status_4_and_one_line_of_what_to_do(repo: Make, planted: ModuleType) -> None:
    clone = repo(few(planted))
    replier = Replier(clone.root)
    ran = run(clone)
    count = len(replier.asks())
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (4, "", 1)
    assert ran.stderr.startswith(
        f"desk: {count} replies are awaited: answer the {count} asks in .runbookopt/handoff/desk/asks (each"
        " says how and where), then run the same command again"
    )
    assert run(clone, "--no-propose", CI="true").stderr.strip().endswith("to model, with a key")
    for each in replier.asks()[1:]:
        replier.answer(each)
    ran = run(clone, "--json")
    (ask,) = replier.asks()
    told = json.loads(ran.stdout)
    assert ran.stderr.startswith(
        f"desk: {count - 1} replies were read, and one more reply is awaited: answer the"
    )
    assert (ran.returncode, told["awaiting"]["problems"], told["spent"]["reflections"]) == (4, [], count - 1)
    assert told["awaiting"]["asks"] == [
        {
            "ask": f".runbookopt/handoff/desk/asks/{ask}",
            "reply": f".runbookopt/handoff/desk/replies/{ask}",
            "problem": None,
        }
    ]
    place = replier.place(ask)
    place.write_bytes(b"\xff\xfe")
    place.with_name("mine.txt").write_text("mine")
    replies = ".runbookopt/handoff/desk/replies"
    assert run(clone).stderr.splitlines() == [
        f"desk: {replies}/mine.txt: for no ask that is open, so it is not read; remove it",
        f"desk: {replies}/{ask} is no UTF-8 text: write it again as UTF-8",
        f"desk: one reply is awaited: answer the ask .runbookopt/handoff/desk/asks/{ask}{STEP}",
    ]


def test_a_reply_that_has_not_the_form_is_asked_for_once_more_with_what_is_wrong(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(few(planted))
    replier = Replier(clone.root)
    run(clone)
    first = replier.asks()[0]
    code = replier.text(first).rstrip().rpartition("\n")[2].split()[1]
    replier.place(first).write_text(f"=== {code} diagnosis\nSo it is.\n=== {code} end\n")
    ran = run(clone)
    assert (ran.returncode, first in replier.asks()) == (4, False)
    again = [name for name in replier.asks() if "This reply cannot be used" in replier.text(name)]
    assert len(again) == 1
    assert "expected the sections diagnosis, cites, part" in replier.text(again[0])
    assert run(clone).returncode == 4
    assert again[0] in replier.asks(), "the first reply is remembered, though its ask is closed"
    assert to_the_end(clone, replier)["outcome"] == "accepted"


def test_waiting_goes_on_at_once_when_the_replies_are_there(repo: Make, planted: ModuleType) -> None:
    clone = repo(few(planted))
    replier, over = Replier(clone.root), threading.Event()

    def answer() -> None:
        while not over.is_set():
            with suppress(FileNotFoundError):  # an ask that is answered goes while others are looked for
                replier.answer_all(by="Bo")
            time.sleep(0.02)

    answering = threading.Thread(target=answer)
    answering.start()
    try:
        ran = run(clone, "--json", "--wait", "5")
    finally:
        over.set()
        answering.join()
    assert (ran.returncode, json.loads(ran.stdout)["outcome"]) == (0, "accepted"), ran
    assert "or wait: it goes on by itself" in ran.stderr
    other = repo(few(planted), "other")
    ran = run(other, "--wait", "0.0001")
    assert (ran.returncode, ran.stderr.endswith("then run the same command again\n")) == (4, True), ran


def test_ctrl_c_ends_waiting_as_it_ends_any_run(repo: Make, planted: ModuleType) -> None:
    clone = repo(few(planted))
    command = [script("optimize-runbook"), "desk", "--reflector-kind", "handoff", "--wait", "60"]
    with subprocess.Popen(command, cwd=clone.root, stderr=subprocess.PIPE, text=True) as waiting:
        try:
            assert waiting.stderr is not None
            said = iter(waiting.stderr.readline, "")
            assert "replies are awaited" in next(line for line in said if not PROGRESS.fullmatch(line))
            waiting.send_signal(signal.SIGINT)
            assert "interrupted" in waiting.communicate(timeout=60)[1]
        finally:
            waiting.kill()  # else a failure here is told of the tests after it too
    assert waiting.returncode == 130


LINKING = """  - id: links
    check: {kind: command, argv: [sh, "{repository}/checks/link.sh", "{repository}"]}
"""
LINK = """ln -sf /etc/passwd "$1/.runbookopt/link"
echo '{"result": "pass", "explanation": ""}'
"""


def test_with_several_runbooks_the_worst_status_counts(repo: Make, planted: ModuleType) -> None:
    """In the order 0, 4, 3, 1; those after `linking` are refused, for it leaves a link in local state."""

    def named(name: str, **more: str) -> dict[str, str]:
        return {path.replace("desk", name): text for path, text in planted.files(**more).items()}

    solved = planted.trajectories()
    for each in solved:
        each["task"] |= {"reference": {"answer": "cards"}, "input": f"card {each['id']}"}
    short = [each for number, each in enumerate(planted.trajectories()) if number % 24 < 3 or number >= 48]
    clone = repo(
        dict(few(planted))
        | named("broken", rubric="- x\n")
        | named("linking", rubric=planted.RUBRIC + LINKING, trajectories=planted.lines(short))
        | named("solved", trajectories=planted.lines(solved))
        | {"checks/link.sh": LINK}
    )

    def status(*names: str) -> int:
        (clone.root / ".runbookopt/link").unlink(missing_ok=True)
        return clone.ask("optimize-runbook", *names, "--json", environ=HANDED).returncode

    assert [status(name) for name in ("solved", "desk", "linking", "broken")] == [0, 4, 4, 1]
    assert status("desk", "solved") == 4
    assert status("linking", "solved") == 3
    assert status("broken", "linking", "desk") == 1


def test_a_plan_says_what_is_handed_off(repo: Make, planted: ModuleType) -> None:
    clone = repo(few(planted))
    said = json.loads(run(clone, "--plan", "--json").stdout)
    assert (said["handed_off"], said["tokens"], said["usd"], said["seconds"]) == (
        ["reflector"],
        None,
        None,
        None,
    )
    line = next(line for line in run(clone, "--plan").stdout.splitlines() if line.startswith("  hand-off"))
    assert f"each of the at most {said['reflections']} reflections, up to {said['wave']} at a time" in line
    assert not (clone.root / ".runbookopt/handoff").exists()


def test_no_ask_holds_a_secret(repo: Make, planted: ModuleType) -> None:
    key, own = f"AKIA{'Q7' * 8}", "Made-Up.91c0de77aa"
    tasks = planted.trajectories()
    for task in tasks:
        task["task"]["input"] += f" with {key} and {own}"
    clone = repo(planted.files(trajectories=planted.lines(tasks)))
    replier = Replier(clone.root)
    run(clone, ANY_API_KEY=own)
    texts = [replier.text(name) for name in replier.asks()]
    assert texts
    assert not any(secret in text for secret in (key, own) for text in texts)
    assert all("[removed: " in text for text in texts)
    for name in replier.asks():
        said = replier.reply(name)
        replier.place(name).write_text(said.replace("diagnosis\n", f"diagnosis\nAs {key} says, {own}.\n"))
    run(clone, ANY_API_KEY=own)
    with Journal.open(clone.root / ".runbookopt/journal.sqlite3") as journal:
        bodies = [row[0] for row in journal.read("SELECT body FROM answers WHERE kind = 'reflection'")]
    assert bodies
    assert not any(secret.encode() in body for secret in (key, own) for body in bodies)


def test_an_agent_by_hand_is_asked_for_each_attempt(repo: Make, planted: ModuleType) -> None:
    tasks = planted.lines([task for task in planted.trajectories(0) if task["task"]["split"] == "validation"])
    clone = repo(planted.files(trajectories=tasks))
    command = ("runbookopt", "evaluate", "desk", "--json", "--agent-kind", "handoff")
    ran = clone.ask(*command)
    told = json.loads(ran.stdout)
    assert (ran.returncode, told["outcome"], told["score"]) == (4, "awaiting_replies", None)
    assert len(told["awaiting"]["asks"]) == 24
    assert Replier(clone.root).answer_all(by=None) == 24
    ran = clone.ask(*command)
    told = json.loads(ran.stdout)
    assert (ran.returncode, told["outcome"], told["score"]) == (0, "scored", 0.25)
    assert (told["spent"]["tokens"], told["spent"]["usd"]) == (None, None)
    assert told["models"] == {"agent": "handoff"}


@pytest.mark.nightly
def test_a_run_wholly_by_hand_is_proved_by_one_look_that_waits_for_its_replies(
    repo: Make, planted: ModuleType
) -> None:
    clone = repo(few(planted))
    flags = ("--json", "--agent-kind", "handoff", "--budget-rollouts", "900")
    replier, looks = Replier(clone.root), set[int | None]()
    while (ran := run(clone, *flags)).returncode == 4:
        looks.add(json.loads(ran.stdout)["held_out"]["look"])
        assert replier.answer_all() > 0
    found = json.loads(ran.stdout)
    assert (ran.returncode, found["outcome"], found["held_out"]["look"]) == (0, "accepted", 1), ran
    assert looks == {None, 1}, "the look is registered before its attempts are asked for"
    assert len(replier.replied) == len(set(replier.replied))
    assert not list((replier.folder / "asks").iterdir())


def test_no_judge_is_asked_by_hand_off(repo: Make, planted: ModuleType) -> None:
    rubric = f"judge: {{model: handoff}}\n{planted.RUBRIC}  - id: kind\n    judge: Is it kind?\n"
    ran = run(repo(planted.files(rubric=rubric)))
    assert (ran.returncode, "no judge is asked by hand-off" in ran.stderr) == (1, True), ran
