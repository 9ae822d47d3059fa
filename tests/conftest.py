"""What many tests stand on: real git repositories with a real bare origin, away from the user's settings."""

import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from runbookopt.agents.model.client import IMPORTING
from runbookopt.cli import main
from runbookopt.sandbox.secrecy import OF_THE_FORGE

Files = Mapping[str, str | bytes]
Ran = subprocess.CompletedProcess[str]

PROJECT = Path(__file__).parents[1]
PATIENCE = 120  # seconds for a command

PROGRESS = re.compile(r"^[0-9:]{8} .*\n", re.MULTILINE)
"""Lines of a log, which begin with the time: how far a run is, and what came of it."""

# What the tests start again and again is compiled once, also where the environment says to keep nothing.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A test says itself where it runs: what a CI, a terminal or a developer's keys say would change a text.
OF_THE_PLACE = re.compile(
    r"CI|(GITHUB|RUNNER|GITLAB|ACTIONS|RUNBOOKOPT|OPENAI|ANTHROPIC|GEMINI|AZURE|LITELLM)_.*|GH_TOKEN"
    r"|COLUMNS|LINES|(NO|FORCE)_COLOR|CLICOLOR(_FORCE)?|PY_COLORS|TTY_.*"
    r"|GIT_(DIR|WORK_TREE|INDEX_FILE|AUTHOR_.*|COMMITTER_.*)"
)
for name in [name for name in os.environ if OF_THE_PLACE.fullmatch(name)]:
    del os.environ[name]

# A shell that starts us in the background has us ignore Ctrl-C, and all that we start would ignore it too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline and no complaint about slowness: a busy machine is no fault of what is tested.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("daily", PATIENT, max_examples=15)
settings.register_profile("nightly", PATIENT, max_examples=300)


def pytest_runtest_teardown() -> None:
    """Wait for what a command began to import: the next test has warnings and threads of its own."""
    for thread in threading.enumerate():
        if thread.name == IMPORTING:
            thread.join()


class Clone:
    """A clone with a working tree; `origin` is the bare folder that it pushes to."""

    def __init__(self, root: Path, origin: Path) -> None:
        self.root = root
        self.origin = origin

    def git(self, *arguments: str, at: Path | None = None) -> str:
        command = ["git", "-C", str(at or self.root), *arguments]
        return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.rstrip("\n")

    def write(self, files: Files) -> None:
        for path, content in files.items():
            place = self.root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(_bytes(content))

    def commit(self, files: Files, message: str = "Change", *, push: bool = True) -> str:
        self.write(files)
        # what the tool left there stays ignored, unless a test names a file of it, or no file at all
        own = bool(files) and not any(path.startswith(".runbookopt") for path in files)
        self.git("add", "--all", "--force", "--", ".", *([":!.runbookopt"] if own else []))
        self.git("commit", "-q", "--allow-empty", "-m", message)
        if push:
            self.git("push", "-q", "origin", "HEAD")
        return self.git("rev-parse", "HEAD")

    def again(self, name: str, login: str, *options: str) -> "Clone":
        """Give another person's clone of the same origin."""
        root = self.root.parent / name
        self.git("clone", "-q", *options, self.origin.as_uri(), str(root))
        other = Clone(root, self.origin)
        other.is_used_by(login)
        return other

    def is_used_by(self, login: str) -> None:
        settings = f"[runbookopt]\n\tlogin = {login}\n[user]\n\tname = {login.title()}\n"
        with (self.root / ".git/config").open("a") as config:
            config.write(f"{settings}\temail = {login}@example.com\n")

    def comes_from(self, old: str, new: str) -> None:
        """Say where origin is now that both were copied."""
        config = self.root / ".git/config"
        config.write_text(config.read_text().replace(old, new))

    def hook(self, name: str, script: str, *, at: Path | None = None) -> Path:
        """Put a hook, by default at origin."""
        place = (at or self.origin) / "hooks" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"#!/bin/sh\n{script}\n")
        place.chmod(0o755)
        return place

    def run(self, command: str, *arguments: str, environ: Mapping[str, str] = {}, below: str = ".") -> Ran:
        """Run one of our commands here, or in the folder `below`, as a process of its own.

        What it says is without how far it is: `test_terminal` is about that.
        """
        ran = subprocess.run(
            [script(command), *arguments],
            cwd=self.root / below,
            env={**os.environ, **environ},
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        ran.stderr = PROGRESS.sub("", ran.stderr)
        return ran

    def ask(self, command: str, *arguments: str, environ: Mapping[str, str] = {}, below: str = ".") -> Ran:
        """Run one of our commands as `run` does, but in this process: it saves a second of imports.

        For what hangs on no process of its own: signals, streams that close, what is imported.
        """
        commands = {"runbookopt": main.runbookopt, "optimize-runbook": main.optimize_runbook}
        status: object = 0
        out, err = StringIO(), StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.root / below)
            patch.setattr(sys, "argv", [command, *arguments])
            # what a command takes out of its environment is there again afterwards
            taken = {name: os.environ[name] for name in OF_THE_FORGE if name in os.environ}
            for name, value in {**taken, **environ}.items():
                patch.setenv(name, value)
            try:
                commands[command]()
            except SystemExit as end:
                status = end.code
        assert isinstance(status, int)
        said = PROGRESS.sub("", err.getvalue())
        return subprocess.CompletedProcess([command, *arguments], status, out.getvalue(), said)

    def at_origin(self, *arguments: str) -> str:
        return self.git(*arguments, at=self.origin)


def script(command: str) -> str:
    """Give the path of a console script of this installation."""
    return str(Path(sys.executable).with_name(command))


def new_clone(folder: Path, files: Files, name: str = "clone") -> Clone:
    """A repository with these files, committed and pushed to a bare origin: a copy of a ready-made one."""
    ready = _ready_made(tuple(sorted((path, _bytes(content)) for path, content in files.items())))
    for made, place in ((ready.origin, f"{name}-origin.git"), (ready.root, name)):
        shutil.copytree(made, folder / place, symlinks=True)
    clone = Clone(folder / name, folder / f"{name}-origin.git")
    clone.comes_from(ready.origin.as_uri(), clone.origin.as_uri())
    return clone


def copied(folder: Path, place: Path) -> Path:
    """A copy of a folder of clones and their origins, which know each other at the new place."""
    shutil.copytree(folder, place, symlinks=True)
    for config in place.glob("*/.git/config"):
        Clone(config.parents[1], place).comes_from(folder.as_uri(), place.as_uri())
    return place


@cache
def _ready_made(files: tuple[tuple[str, bytes], ...]) -> Clone:
    """Built by git once in a process; a copy costs a tenth."""
    folder = Path(tempfile.mkdtemp(prefix="ready-made-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    clone = Clone(folder / "clone", folder / "origin.git")
    subprocess.run(["git", "init", "-q", "--bare", str(clone.origin)], check=True)
    command = ["git", "clone", "-q", clone.origin.as_uri(), str(clone.root)]
    subprocess.run(command, check=True, capture_output=True)
    clone.commit(dict(files), "First")
    return clone


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


@pytest.fixture(scope="session", autouse=True)
def _own_git_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("home")
    settings = home / ".gitconfig"
    settings.write_text("[init]\n\tdefaultBranch = main\n[user]\n\tname = Ana\n\temail = ana@example.com\n")
    (home / "template").mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("GIT_TEMPLATE_DIR", str(home / "template"))  # no sample hooks to copy and delete
        environment.setenv("HOME", str(home))
        environment.setenv("XDG_CONFIG_HOME", str(home))
        environment.setenv("GIT_CONFIG_GLOBAL", str(settings))
        environment.setenv("GIT_CONFIG_NOSYSTEM", "1")
        yield


@pytest.fixture
def repo(tmp_path: Path) -> Callable[..., Clone]:
    """Give a maker of repositories: `repo({path: content})`, committed and pushed to a bare origin."""

    def make(files: Files = {"README.md": "Hello\n"}, name: str = "clone") -> Clone:  # noqa: B006 - never changed
        return new_clone(tmp_path, files, name)

    return make


@pytest.fixture(scope="session")
def clones(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Files], Clone]:
    """Give a maker of repositories that last as long as the session: `clones({path: content})`."""
    return lambda files: new_clone(tmp_path_factory.mktemp("clones"), files)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Clone]:
    """Give a maker of clones, by name, of a repository that holds our samples and how they are run."""
    folders = [PROJECT / "runbooks", PROJECT / "trajectories"]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    paths.append(PROJECT / "runbookopt.yaml")
    files = {path.relative_to(PROJECT).as_posix(): path.read_bytes() for path in paths}
    return lambda name: new_clone(tmp_path_factory.mktemp(name), files)


@pytest.fixture(scope="session")
def planted() -> ModuleType:
    """Give tests/planted.py: a repository with one runbook that is easily made better."""
    return _beside("planted")


@pytest.fixture(scope="session")
def calibrating() -> ModuleType:
    """Give tests/calibrating.py: a repository whose stored outputs are labelled and judged."""
    return _beside("calibrating")


@pytest.fixture(scope="session")
def first_half() -> ModuleType:
    """Give tests/first_half.py: what the half with models would hand over."""
    return _beside("first_half")


@pytest.fixture(scope="session")
def model_pair() -> ModuleType:
    """Give tests/model_pair.py: what stands behind a scripted server in place of models."""
    return _beside("model_pair")


@pytest.fixture(scope="session")
def openai_server() -> ModuleType:
    """Give tests/openai_server.py: a scripted server on loopback that speaks as OpenAI's does."""
    return _beside("openai_server")


@pytest.fixture(scope="session")
def new_repository() -> Callable[..., Clone]:
    """Give a maker of repositories for more than one test: `new_repository(folder, {path: content})`."""
    return new_clone


@pytest.fixture(scope="session")
def github_runner() -> ModuleType:
    """Give tests/github_runner.py: a machine that runs the steps of our workflows."""
    return _beside("github_runner")


def _beside(name: str) -> ModuleType:
    found = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module
