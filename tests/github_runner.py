"""A runner of GitHub Actions as far as our workflows need one: expressions from a table, steps that run bash.

What it does not know (an expression, an action) is an error, so a changed workflow cannot pass unseen.
"""

import atexit
import base64
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from runbookopt.documents.parse import read_plain_yaml

PROJECT = Path(__file__).parents[1]
READY: dict[str, Path] = {}
"""What a first machine installed, by what it was told to: it takes seconds, and others get a link to it."""

Access = Callable[[Mapping[str, str]], str]
"""Gives a token with permissions, as GitHub does; raises AssertionError where it refuses one."""


class Runner:
    """One machine: a checkout, its temporary folder, and what the workflow knows of the world.

    `remote` is where actions/checkout fetches from: without it the checkout is there already. `app` gives the
    tokens of create-github-app-token.
    """

    def __init__(
        self, checkout: Path, folder: Path, known: Mapping[str, str], environ: Mapping[str, str] = {}
    ) -> None:
        self.checkout = checkout
        self.environ = dict(environ)
        self.temp = folder / "temp"
        self.temp.mkdir(parents=True)
        self.artifacts = folder.parent / "artifacts"
        self.caches = folder.parent / "caches"
        self.summary = folder / "summary.md"
        self.output = folder / "output"
        self.known = {**known, "runner.temp": str(self.temp)}
        self.log = ""
        self.ran: list[str] = []
        self.wheels: Path | None = None
        self.remote: str | None = None
        self.app: Access | None = None

    def job(self, workflow: str, name: str) -> bool:
        """Run the steps of a job as Actions does, also after one that failed.

        A step is skipped where its `if:` does not hold, or one before it failed and it does not say
        `always()`. Raises the first step's AssertionError at the end. Gives whether the job ran at all.
        """
        place = self.checkout if self.remote is None else PROJECT
        return self.does(read(place, f".github/workflows/{workflow}.yml")["jobs"][name])

    def does(self, job: Mapping[str, Any], *, after_failure: bool = False) -> bool:
        """Run a job that was read, after others of which one may have failed; see `job`."""
        for step in job["steps"]:
            if "id" in step:
                self.known |= {f"steps.{step['id']}.outcome": "skipped", f"steps.{step['id']}.outputs.": ""}
        if not self.holds(job.get("if", "success()"), failed=after_failure):
            return False
        environment = {key: self.evaluated(each) for key, each in job.get("env", {}).items()}
        failed: AssertionError | None = None
        for step in job["steps"]:
            if self.holds(str(step.get("if", "success()")), failed=failed is not None):
                error = self._tried(step, environment)
                failed = failed or (None if step.get("continue-on-error") else error)
        if failed is not None:
            raise failed
        return True

    def _tried(self, step: Mapping[str, Any], environment: Mapping[str, str]) -> AssertionError | None:
        failed: AssertionError | None = None
        try:
            self.step(step, environment)
        except AssertionError as error:
            failed = error
        if "id" in step:
            self.known[f"steps.{step['id']}.outcome"] = "failure" if failed else "success"
        return failed

    def holds(self, condition: str, *, failed: bool = False) -> bool:
        """Say whether an `if:` holds; raises KeyError for what is not known."""
        return bool(self._value(condition, failed=failed)) and (not failed or "()" in condition)

    def _value(self, expression: str, *, failed: bool = False) -> object:
        status = {"always()": True, "success()": not failed, "failure()": failed}
        words = re.findall(r"'[^']*'|contains(?=\()|[\w.-]+(?:\(\))?|==|!=|&&|\|\||[(),]", expression)
        assert "".join(words) == re.sub(r"\s(?=(?:[^']*'[^']*')*[^']*$)", "", expression), expression
        in_python = {"&&": " and ", "||": " or "}
        in_python |= {word: word for word in ("==", "!=", "(", ")", ",", "contains")}
        said = "".join(
            in_python.get(word)
            or (word if word[0] == "'" else repr(status[word] if word in status else self._known(word)))
            for word in words
        )
        known = {"__builtins__": {}, "contains": lambda text, part: part.casefold() in text.casefold()}
        return eval(said, known)  # noqa: S307 - of words that we know

    def _known(self, name: str) -> str:
        """Give what a name of the contexts stands for; an output that no step has set is empty."""
        output = re.fullmatch(r"(steps\.[\w-]+\.outputs\.)\w+", name)
        return self.known[output[1] if output and name not in self.known else name]

    def step(self, step: Mapping[str, Any], environment: Mapping[str, str] = {}) -> None:
        """Run one step of a workflow, or of an action; raises AssertionError."""
        more = {key: self.evaluated(each) for key, each in step.get("env", {}).items()}
        if "run" in step:
            self._run(step, {**environment, **more})
        elif step["uses"].startswith("$/"):
            self._composite(step)
        else:
            given = {key: self.evaluated(each) for key, each in step.get("with", {}).items()}
            self._of_github(step["uses"].partition("@")[0].removeprefix("actions/"), given, step.get("id"))

    def evaluated(self, text: object) -> str:
        """Replace each expression by what it says; raises KeyError for what is not known."""
        if isinstance(text, bool):
            return str(text).lower()
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: str(self._value(found[1])), str(text))

    def _run(self, step: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        named = sorted((name, said) for name, said in environment.items() if name in step["run"])
        told, place = f"{step['run']} {named}", self.temp / "runbookopt"
        if told in READY:
            place.symlink_to(READY[told])
        else:
            self._run_it(step, environment)
        if "-m venv" in step["run"]:
            READY.setdefault(told, place)
        self.ran.append(step["name"])

    def _run_it(self, step: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        assert "${{" not in step["run"], "an expression in a script is an injection"
        options = ["--noprofile", "--norc", "-eo", "pipefail"] if step.get("shell") == "bash" else ["-e"]
        done = subprocess.run(
            ["bash", *options, "-c", step["run"]],
            cwd=self.checkout,
            env={**self._environment(), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        self.log += done.stdout
        if "id" in step and self.output.exists():
            told = (line.partition("=") for line in self.output.read_text().splitlines())
            self.known |= {f"steps.{step['id']}.outputs.{name}": value for name, _, value in told}
        assert done.returncode == 0, (step["name"], done.stdout, self._said())

    def _composite(self, step: Mapping[str, Any]) -> None:
        action = read(self.checkout, f"{step['uses'].removeprefix('$/')}/action.yml")
        given = {name: each.get("default", "") for name, each in action["inputs"].items()}
        given |= step.get("with", {})
        self.known |= {f"inputs.{name}": self.evaluated(each) for name, each in given.items()}
        for inner in action["runs"]["steps"]:
            self.step(inner)

    def _of_github(self, action: str, given: Mapping[str, str], id_: str | None) -> None:
        does: dict[str, Callable[[Mapping[str, str]], None]] = {
            "upload-artifact": self._upload,
            "download-artifact": self._download,
            "checkout": self._check_out,
            "cache/save": self._save,
            "cache/restore": self._restore,
            "setup-python": lambda _: None,
        }
        if action == "create-github-app-token":
            assert self.app is not None
            wanted = {key.removeprefix("permission-"): each for key, each in given.items()}
            asked = {key.replace("-", "_"): wanted[key] for key in wanted.keys() - given.keys()}
            self.known[f"steps.{id_}.outputs.token"] = self.app(asked)
        else:
            does[action](given)

    def _upload(self, given: Mapping[str, str]) -> None:
        place = Path(given["path"]).parent
        assert place.is_relative_to(self.temp), "nothing of the checkout is handed over"
        shutil.copytree(place, self.artifacts / given["name"], dirs_exist_ok=given.get("overwrite") == "true")

    def _download(self, given: Mapping[str, str]) -> None:
        place = Path(given["path"])
        assert place.is_relative_to(self.temp), "nothing is put into the checkout"
        shutil.copytree(self.artifacts / given["name"], place)

    def _save(self, given: Mapping[str, str]) -> None:
        """Keep files under a key; that there are none is no failure."""
        place = self.caches / given["key"].replace("/", "_")
        for file in self.checkout.glob(given["path"]):
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)

    def _restore(self, given: Mapping[str, str]) -> None:
        """Bring back the newest files of a key that begins like that."""
        keys = [given["key"], *given.get("restore-keys", "").split()]
        found = [place for key in keys for place in self.caches.glob(f"{key.replace('/', '_')}*")]
        if found:
            shutil.copytree(found[0], (self.checkout / given["path"]).parent, dirs_exist_ok=True)

    def _check_out(self, given: Mapping[str, str]) -> None:
        """Fetch as actions/checkout does: by a header that only its own git is shown."""
        if self.remote is None:
            return
        assert given["persist-credentials"] == "false", "no token is left in the checkout"
        assert given["fetch-depth"] == "0"
        secret = base64.b64encode(f"x-access-token:{self.known['github.token']}".encode()).decode()
        shown = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {secret}",
        }
        branch = given.get("ref") or self.known["github.ref_name"]
        part = [f"--filter={given['filter']}"] if given.get("filter") else []
        every = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
        for words in (
            ["init", "--quiet", str(self.checkout)],
            ["remote", "add", "origin", self.remote],
            ["fetch", "--quiet", "--prune", "--no-recurse-submodules", *part, "origin", *every],
            ["checkout", "--quiet", "--force", "-B", branch, f"refs/remotes/origin/{branch}"],
        ):
            where = ["-C", str(self.checkout)] if words[0] != "init" else []
            subprocess.run(["git", *where, *words], env={**os.environ, **shown}, check=True)

    def _environment(self) -> dict[str, str]:
        """Give the variables of a step; pip finds nothing but what it is pointed at.

        Without a folder of `wheels`, what is installed here stands in for what pip would install, and a
        virtual environment is a copy of one that was made before.
        """
        here = [str(Path(sys.executable).parent), os.environ["PATH"]]
        ours = next(path for path in sys.path if path.endswith("site-packages"))
        found = {"PYTHONPATH": ours} if self.wheels is None else {"PIP_FIND_LINKS": str(self.wheels)}
        return {
            **os.environ,
            "PATH": os.pathsep.join(here if self.wheels is not None else [str(copying_python()), *here]),
            **found,
            "PIP_NO_INDEX": "1",
            "GITHUB_ACTIONS": "true",
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_REPOSITORY": self.known.get("github.repository", ""),
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            **self.environ,
        }

    def stands_in(self, *programs: str) -> Path:
        """Put programs in place of some, and give the file in which they write down what they are told."""
        folder, told = self.temp / "stand-ins", self.temp / "told"
        folder.mkdir()
        for name in programs:
            (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >> "{told}"\n')
            (folder / name).chmod(0o755)
        self.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        return told

    def _said(self) -> str:
        return "\n".join(path.read_text() for path in self.temp.glob("*.txt"))


@dataclass(frozen=True)
class Ended:
    """A job, its machine, and how it ended: success, failure or skipped."""

    machine: Runner
    result: str
    error: str


@dataclass
class Actions:
    """The machines of a repository: each job gets a fresh one, and a token that may what the job asks for."""

    folder: Path
    remote: str
    known: Mapping[str, str]
    token: Access
    app: Access
    wheels: Path
    environ: Mapping[str, str]

    def run(self, origin: Path, workflow: str, **told: str) -> dict[str, Ended]:
        """Run the jobs of a workflow as the default branch has it, each after those that it needs.

        `told` is more of what is known, `__` for a dot of its name.
        """
        path = f".github/workflows/{workflow}.yml"
        shown = ["git", "-C", str(origin), "show", f"main:{path}"]
        data = read_plain_yaml(subprocess.run(shown, check=True, capture_output=True).stdout, path)
        assert isinstance(data, dict)
        place = self.folder / f"run-{len(list(self.folder.iterdir()))}"
        known = {**self.known, **{name.replace("__", "."): value for name, value in told.items()}}
        ended: dict[str, Ended] = {}
        for name, job in data["jobs"].items():
            ended[name] = self._job(place, name, job, known, ended)
            outputs = {
                key: ended[name].machine.evaluated(each) for key, each in job.get("outputs", {}).items()
            }
            known |= {f"needs.{name}.result": ended[name].result}
            known |= {f"needs.{name}.outputs.{key}": value for key, value in outputs.items()}
        return ended

    def _job(
        self,
        place: Path,
        name: str,
        job: Mapping[str, Any],
        known: Mapping[str, str],
        ended: Mapping[str, Ended],
    ) -> Ended:
        needed = job.get("needs", [])
        before = [ended[each] for each in ([needed] if isinstance(needed, str) else needed)]
        known = {**known, "github.token": self.token(job["permissions"])}
        machine = Runner(place / name / "checkout", place / name, known, self.environ)
        machine.artifacts, machine.caches = place / "artifacts", self.folder / "caches"
        machine.remote, machine.app, machine.wheels = self.remote, self.app, self.wheels
        machine.checkout.mkdir()
        try:
            failed = any(each.result != "success" for each in before)
            ran = machine.does(job, after_failure=failed)
        except AssertionError as error:
            return Ended(machine, "failure", str(error))
        return Ended(machine, "success" if ran else "skipped", "")


def read(folder: Path, path: str) -> dict[str, Any]:
    """Read a workflow or an action, whose key `on` YAML 1.1 takes for true."""
    data = read_plain_yaml((folder / path).read_bytes(), path)
    assert isinstance(data, dict)
    return {("on" if key is True else key): each for key, each in data.items()}


def steps(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every step of a repository's workflows and actions, with its file."""
    for file in sorted((folder / ".github").rglob("*.yml")):
        path = file.relative_to(folder).as_posix()
        data = read(folder, path)
        for job in data.get("jobs", {"": data.get("runs")}).values():
            yield from ((path, step) for step in job["steps"])


def built(folder: Path) -> Path:
    """Build this checkout's wheel by its own back end, which fetches nothing."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*command, "--wheel-dir", str(folder), str(PROJECT)], check=True)
    (place,) = folder.glob("runbookopt-*.whl")
    return place


@cache
def copying_python() -> Path:
    """Give a folder with a `python` that makes a virtual environment once, and then copies it."""
    folder = Path(tempfile.mkdtemp(prefix="copying-python-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run([sys.executable, "-P", "-m", "venv", str(folder / "made")], check=True)
    python = folder / "python"
    copy = f'[ "$1 $2 $3" = "-P -m venv" ] && exec cp -a "{folder}/made" "$4"'
    python.write_text(f'#!/bin/sh\n{copy}\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return folder


def wheel(folder: Path) -> Path:
    """Zip this checkout's package as a wheel: what a build makes, without its back end (which is fetched)."""
    place = folder / "runbookopt-0.1.0-py3-none-any.whl"
    info = "runbookopt-0.1.0.dist-info"
    with ZipFile(place, "w") as archive:
        for file in sorted((PROJECT / "runbookopt").rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, file.relative_to(PROJECT))
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: runbookopt\nVersion: 0.1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        scripts = "runbookopt = runbookopt.cli.main:runbookopt"
        archive.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{scripts}\n")
        archive.writestr(f"{info}/RECORD", "")
    return place
