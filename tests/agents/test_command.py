import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runbookopt.agents.command import CommandAgent, CommandSettings
from runbookopt.agents.protocol import AgentFailure, Produced
from runbookopt.evidence.trajectory import Left
from runbookopt.sandbox.bubblewrap import NoIsolation, bubblewrap
from runbookopt.sandbox.run import NotStarted

PROGRAMS = Path(__file__).parents[1] / "programs"
RUNBOOK = '# Triage\n\n- "card" means `card`\n'


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the place where the agents' folders are made: what lives in them can be found."""
    place = tmp_path / "folders"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def settings(what: str, *arguments: str, **others: Any) -> CommandSettings:  # noqa: ANN401
    argv = (sys.executable, str(PROGRAMS / "agent_misbehaving.py"), what, *arguments)
    return CommandSettings(**{"argv": argv, "seconds": 60, "processes": 20, **others})


def agent(what: str, *arguments: str, **others: Any) -> CommandAgent:  # noqa: ANN401
    return CommandAgent(settings(what, *arguments, **others), PROGRAMS, os.environ)


def roll(tried: CommandAgent, task: object = "my card", runbook: str = RUNBOOK) -> Produced:
    return asyncio.run(tried.rollout(runbook, task, "0"))


def left_of(produced: Produced) -> Left:
    assert produced.left is not None
    return produced.left


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def living(folders: Path) -> list[str]:
    """Give the processes that were started in one of the agents' folders."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"HOME={folders}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
    return found


def wait_until(true: Any) -> None:  # noqa: ANN401 - a condition
    while not true():
        time.sleep(0.02)


def test_a_program_is_handed_runbook_task_and_the_tasks_files() -> None:
    told = agent(
        "tell", "{runbook}", "{task}", "{results}", "{folder}", "{repository}", "{repeat}", "{{task}}"
    )
    task = {"ticket": "my card", "files": {"logs/a.txt": "one", "b.txt": "two"}}
    produced = roll(told, task)
    answer = json.loads(produced.output or "")
    assert answer["asked"] == {"input": task}
    assert answer["files"] == [".tmp", "RUNBOOK.md", "b.txt", "logs", "results", "task.json"]
    folder = answer["arguments"][3]
    places = [f"{folder}/RUNBOOK.md", f"{folder}/task.json", f"{folder}/results", folder]
    assert answer["arguments"] == [*places, str(PROGRAMS), "0", "{task}"]
    assert left_of(produced).exit_code == 0
    assert 0 < (left_of(produced).seconds or 0) < 60
    assert (left_of(produced).files, left_of(produced).steps) == ((), None)


def test_a_program_sees_the_variables_on_the_list_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGE_TOKEN", "s3cret")
    monkeypatch.setenv("MODEL_KEY", "k3y")
    seen = json.loads(roll(agent("environment", environment=("MODEL_KEY",))).output or "")
    assert seen.keys() - {"LC_CTYPE"} == {"PATH", "HOME", "TMPDIR", "LANG", "MODEL_KEY"}
    assert seen["TMPDIR"] == seen["HOME"] + "/.tmp"


def test_a_credential_that_a_program_says_is_taken_out_of_all_that_it_leaves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODEL_API_KEY", "a-very-plain-word")
    step = {"source": "agent", "message": "", "tool_calls": [{"function_name": "a-very-plain-word"}]}
    script = tmp_path / "agent.sh"
    trajectory = json.dumps({"schema_version": "ATIF-v1.7", "steps": [step]}).replace(
        "a-very-plain-word", "'$MODEL_API_KEY'"
    )
    script.write_text(
        "#!/bin/sh\n"
        f"echo '{trajectory}' > steps.json\n"
        "touch results/$MODEL_API_KEY\n"
        'echo "$MODEL_API_KEY"; [ "$1" = well ] || { echo "$MODEL_API_KEY" >&2; kill -9 $$; }\n'
    )
    script.chmod(0o755)
    for argument, output in (("well", "stdout"), ("badly", "results/none")):
        chosen = CommandSettings(
            argv=("{repository}/agent.sh", argument),
            environment=("MODEL_API_KEY",),
            transcript="*.json",
            output=output,
        )
        produced = roll(CommandAgent(chosen, tmp_path, os.environ))
        said = msgspec.json.encode(produced)
        assert b"a-very-plain-word" not in said
        assert said.count(b"[removed: credential]") == 3


def test_children_and_daemons_end_with_the_program(folders: Path) -> None:
    produced = roll(agent("fork"))
    assert [pid for pid in json.loads(produced.output or "") if alive(pid)] == []
    assert (living(folders), list(folders.iterdir())) == ([], [])


@pytest.mark.slow
def test_what_ignores_being_asked_is_killed_at_its_time_limit(folders: Path) -> None:
    produced = roll(agent("stubborn", seconds=3))
    assert produced.output is None
    assert left_of(produced).reason == "more than 3 seconds"
    assert left_of(produced).exit_code == -signal.SIGKILL
    assert (left_of(produced).seconds or 0) >= 3
    assert (living(folders), list(folders.iterdir())) == ([], [])


def test_a_flood_of_output_is_stopped_at_the_bound(folders: Path) -> None:
    produced = roll(agent("flood", output_bytes=5_000_000))
    assert produced.output is None
    assert left_of(produced).reason == "more than 5,000,000 bytes on stdout"
    assert (living(folders), list(folders.iterdir())) == ([], [])


def test_more_processes_than_allowed_end_the_attempt(folders: Path) -> None:
    produced = roll(agent("many"))
    assert (produced.output, left_of(produced).reason) == (None, "more than 20 processes")
    assert (living(folders), list(folders.iterdir())) == ([], [])


def test_more_memory_than_allowed_is_not_given() -> None:
    produced = roll(agent("fill", memory_megabytes=1_000))
    assert produced.output is None
    assert str(left_of(produced).reason).endswith("MemoryError")


def test_a_program_that_kills_its_supervisor_takes_its_daemons_along(folders: Path, tmp_path: Path) -> None:
    produced = roll(agent("patricide", str(tmp_path / "pid")))
    assert produced.output is None
    assert left_of(produced).reason == "it ended the process that watches over it"
    wait_until(lambda: not alive(int((tmp_path / "pid").read_text())))  # who is killed takes a moment to die
    assert (living(folders), list(folders.iterdir())) == ([], [])


def test_a_folder_that_the_program_locked_is_removed(folders: Path) -> None:
    roll(agent("lock"))
    assert list(folders.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.nightly)])
def test_many_rollouts_leave_no_process_and_no_folder(folders: Path, times: int) -> None:
    kinds = ["fork", "environment", "exit", "lock", "flood"]
    agents = [agent(kind, "", output_bytes=100_000, seconds=120) for kind in kinds[1:]]
    agents.append(agent("fork", "on", seconds=0.2))

    async def some(width: int) -> list[Produced]:
        turn = asyncio.Semaphore(64)

        async def one(number: int) -> Produced:
            async with turn:
                return await agents[number % len(agents)].rollout(RUNBOOK, number, "0")

        return await asyncio.gather(*map(one, range(width)))

    produced = [*asyncio.run(some(10 * times)), *asyncio.run(some(5 * times)), *asyncio.run(some(5 * times))]
    assert len(produced) == 20 * times
    assert sum(one.output is None for one in produced) >= 8 * times
    assert (living(folders), list(folders.iterdir())) == ([], [])


@pytest.mark.slow
def test_a_cancelled_rollout_leaves_nothing(folders: Path) -> None:
    def started(many: int) -> bool:
        return len(list(folders.glob("*/results/started"))) == many

    async def cut() -> None:
        hanging = [asyncio.ensure_future(agent("hang").rollout(RUNBOOK, "a", "0")) for _ in range(8)]
        while not started(8):  # noqa: ASYNC110 - the programs say it with files
            await asyncio.sleep(0.02)
        for one in hanging:
            one.cancel()
        await asyncio.wait(hanging)
        assert all(one.cancelled() for one in hanging)

    asyncio.run(cut())
    assert (living(folders), list(folders.iterdir())) == ([], [])


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_nothing(folders: Path) -> None:
    code = (
        "import asyncio, os, sys, tempfile\n"
        "from pathlib import Path\n"
        "from runbookopt.agents.command import CommandAgent, CommandSettings\n"
        f"tempfile.tempdir = {str(folders)!r}\n"
        f"program = CommandAgent(CommandSettings(argv={settings('hang').argv!r}), Path.cwd(), os.environ)\n"
        "asyncio.run(program.rollout('', 'a', '0'))\n"
    )
    run = subprocess.Popen([sys.executable, "-c", code])
    wait_until(lambda: list(folders.glob("*/results/started")))
    run.kill()
    run.wait()
    wait_until(lambda: not living(folders) and not list(folders.iterdir()))


def test_what_a_failing_program_leaves_is_the_output_all_the_same() -> None:
    produced = roll(agent("exit", "half an answer"))
    assert (produced.output, left_of(produced).exit_code) == ("half an answer", 3)
    nothing = roll(agent("exit", ""))
    assert nothing.output is None
    assert left_of(nothing).reason == "exit code 3: Traceback: no such\\x1b[2J model"
    assert left_of(roll(agent("crash"))).exit_code == -signal.SIGSEGV


def test_a_program_that_could_not_work_says_so_and_has_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_CREDENTIAL_KEY", "made-up-credential-7f3a")
    with pytest.raises(AgentFailure) as caught:
        roll(agent("unavailable", environment=("A_CREDENTIAL_KEY",)))
    assert caught.value.kind == "unavailable"
    assert caught.value.message == "exit code 75: 429: [removed: credential]: come back later"


def test_a_results_folder_is_an_object_of_paths_and_texts() -> None:
    produced = roll(agent("odd", output="results"))
    assert json.loads(produced.output or "") == {"binary": None, "sub/answer": "yes"}
    assert left_of(produced).files == ("binary", "sub/answer")
    assert roll(agent("odd", output="results/sub/answer")).output == "yes"
    absent = roll(agent("odd", output="results/link"))
    assert (absent.output, left_of(absent).reason) == (None, "exit code 0")
    assert roll(agent("environment", output="results")).output is None


@pytest.mark.parametrize(
    "files", [{"/etc/x": ""}, {"../x": ""}, {"results/x": ""}, {"RUNBOOK.md": ""}, {"a//b": ""}]
)
def test_a_task_whose_files_have_no_place_is_no_attempt(files: dict[str, str], folders: Path) -> None:
    with pytest.raises(AgentFailure, match="the task brings a file"):
        roll(agent("tell"), {"files": files})
    assert list(folders.iterdir()) == []


def test_a_key_named_files_may_mean_something_else() -> None:
    asked = {"files": ["a.txt"]}
    assert json.loads(roll(agent("tell"), asked).output or "")["asked"] == {"input": asked}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["no-such-agent"], "agent.argv: no program 'no-such-agent' on the PATH"),
        (["agents/none.py"], "agent.argv: no program at"),
        (["{repository}/agent_misbehaving.py"], "may not be run"),
        (["sh", "{runbok}"], "agent.argv: unknown placeholder {runbok} (did you mean 'runbook'?)"),
    ],
)
def test_a_program_that_cannot_be_run_is_an_error_before_the_first_rollout(
    argv: list[str], message: str
) -> None:
    with pytest.raises(NotStarted) as caught:
        CommandAgent(CommandSettings(argv=tuple(argv)), PROGRAMS, os.environ)
    assert message in str(caught.value)


def test_a_named_variable_that_is_not_set_is_an_error() -> None:
    with pytest.raises(NotStarted, match=r"agent\.environment: NO_KEY_OF_MINE is not set"):
        agent("tell", environment=("NO_KEY_OF_MINE",))


def test_a_program_that_vanishes_stops_the_run(tmp_path: Path, folders: Path) -> None:
    script = tmp_path / "agent.sh"
    script.write_text("no interpreter named")
    script.chmod(0o755)
    broken = CommandAgent(CommandSettings(argv=("agent.sh",), seconds=5), tmp_path, {"PATH": str(tmp_path)})
    with pytest.raises(NotStarted, match="cannot be run: Exec format error"):
        roll(broken)
    assert list(folders.iterdir()) == []


def test_the_key_names_what_changes_an_answer(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text("print(1)")
    (tmp_path / "lib.py").write_text("a = 1")
    argv = (sys.executable, "{repository}/agent.py")

    def key(**others: Any) -> str:  # noqa: ANN401
        return CommandAgent(CommandSettings(**{"argv": argv, **others}), tmp_path, os.environ).key

    first = key()
    assert first == key(deterministic=True)
    changed = {key(argv=(*argv, "-v")), key(seconds=5), key(output="results"), key(sources=("lib.py",))}
    (tmp_path / "lib.py").write_text("a = 2")
    changed.add(key(sources=("*b.py",)))
    (tmp_path / "agent.py").write_text("print(2)")
    changed.add(key())
    assert len(changed | {first}) == 7


@pytest.mark.parametrize(
    "given",
    [
        {"argv": []},
        {"argv": ["a"], "output": "../x"},
        {"argv": ["a"], "output": "results/"},
        {"argv": ["a"], "isolate": "docker"},
        {"argv": ["a"], "seconds": 0},
        {"argv": ["a"], "environment": ["A=b"]},
        {"argv": ["a"], "runbook_file": "../RUNBOOK.md"},
    ],
)
def test_settings_that_mean_nothing_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"kind": "command", **given}, CommandSettings)


def test_without_isolation_nothing_is_promised() -> None:
    assert "nothing is promised" in agent("tell").promises


def test_isolation_that_is_not_installed_names_the_package() -> None:
    with pytest.raises(NoIsolation, match="install the package `bubblewrap`"):
        CommandAgent(settings("tell", isolate="bwrap"), PROGRAMS, {"PATH": "/nowhere"})


def test_isolation_that_is_not_permitted_says_what_to_do(tmp_path: Path) -> None:
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    refusing.chmod(0o755)
    with pytest.raises(NoIsolation, match="setting up uid map: Permission denied"):
        CommandAgent(settings("tell", isolate="bwrap"), PROGRAMS, {"PATH": str(tmp_path)})


@pytest.fixture
def _isolated() -> None:
    try:
        bubblewrap(os.environ["PATH"])
    except NoIsolation as reason:
        pytest.skip(f"NOT TRIED, isolation by bubblewrap: {reason}")


@pytest.fixture
def attempts(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Give what a program tries: four things outside its folder, and two inside."""
    neighbour = tmp_path / "neighbour.sock"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(neighbour))
        listening.listen()
        outside = (f"write={tmp_path}/outside", f"write={Path.home()}/outside")
        reached = (f"network={server.getsockname()[1]}", f"socket={neighbour}")
        yield (*outside, *reached, "write=results/inside", "write=.tmp/inside")


def test_without_isolation_all_of_it_can_be_done(attempts: tuple[str, ...]) -> None:
    produced = roll(agent("try", *attempts))
    assert json.loads(produced.output or "") == ["done"] * 6


@pytest.mark.usefixtures("_isolated")
def test_in_isolation_nothing_but_its_folder_can_be_written_and_no_network_reached(
    attempts: tuple[str, ...], tmp_path: Path, folders: Path
) -> None:
    isolated = agent("try", f"write={PROGRAMS}/outside", *attempts, isolate="bwrap")
    produced = roll(isolated)
    *forbidden, inside, temporary = json.loads(produced.output or "")
    assert (len(forbidden), "done" in forbidden) == (5, False)
    assert (inside, temporary) == ("done", "done")
    assert left_of(produced).files == ("inside",)
    assert not (tmp_path / "outside").exists()
    assert "without network" in isolated.promises
    assert (living(folders), list(folders.iterdir())) == ([], [])


@pytest.mark.slow
@pytest.mark.usefixtures("_isolated")
@pytest.mark.parametrize("what", ["fork", "stubborn", "flood", "many", "lock", "patricide"])
def test_isolation_contains_the_same_programs(what: str, folders: Path) -> None:
    arguments = ("/dev/null",) if what == "patricide" else ()
    seconds = 1.0 if what in {"stubborn", "patricide"} else 60.0
    produced = roll(agent(what, *arguments, isolate="bwrap", seconds=seconds, output_bytes=1_000_000))
    assert (left_of(produced).seconds or 0) < 20
    assert (living(folders), list(folders.iterdir())) == ([], [])
