"""Command agent: any program, handed a candidate and a task in a fresh folder of its own."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from runbookopt.agents.protocol import AgentFailure, Produced
from runbookopt.documents.digest import canonical, digest, digest_of
from runbookopt.documents.redaction import Redactor
from runbookopt.documents.schema_errors import plain, shown
from runbookopt.documents.settings import COMMAND_KEYS, CommandSettings
from runbookopt.evidence.formats.transcript import read_steps
from runbookopt.evidence.trajectory import Left
from runbookopt.sandbox import bubblewrap
from runbookopt.sandbox import run as sandbox

RESULTS, TASK, STDOUT = "results", "task.json", "stdout"
MOST_FILES = 1_000  # in the results folder, and of a task
MOST_SEEN = 20_000  # files among which a transcript is looked for
TRANSCRIPT_BYTES = 50_000_000
UNAVAILABLE = 75  # EX_TEMPFAIL of sysexits.h: what the program needs cannot be had now


class CommandAgent:
    """Runs a program once for each rollout, and gives what it left.

    `root` is the repository's; `environ` the variables that there are. Raises RunbookoptError, before any
    rollout, where the program, a named variable or the isolation is not there.
    """

    def __init__(self, settings: CommandSettings, root: Path, environ: Mapping[str, str]) -> None:
        self._settings, self._root, self._environ = settings, root.resolve(), environ
        self._limits = sandbox.Limits(
            settings.seconds, settings.output_bytes, settings.processes, settings.memory_megabytes
        )
        missing = [name for name in settings.environment if name not in environ]
        if missing:
            raise sandbox.NotStarted(f"agent.environment: {missing[0]} is not set: set it, or take it out")
        path = sandbox.clean_environ(environ, self._root)["PATH"]
        try:
            self._program = Path(sandbox.located(self._argv(self._root, "0")[0], self._root, path))
        except sandbox.NotStarted as fault:
            raise sandbox.NotStarted(f"agent.{fault}") from None
        self._clean = Redactor(environ).clean
        self._bubblewrap = bubblewrap.bubblewrap(path) if settings.isolate else None
        folders = (self._program.parent, self._program.resolve().parent, *map(Path, path.split(":")))
        self._needed = (self._root, *folders)
        self.name = f"command {plain(self._program.name)}"
        self.deterministic = settings.deterministic
        about = {key: getattr(settings, key) for key in COMMAND_KEYS - {"deterministic"}}
        self.key = digest_of({"kind": "command", "version": 1, **about, "digests": self._digests()})

    @property
    def promises(self) -> str:
        """Promises that hold of the program while it runs, in a sentence for the report."""
        if self._bubblewrap is not None:
            return (
                "The agent program ran under bubblewrap: without network, and able to write nothing but the "
                "folder of its rollout."
            )
        return (
            "The agent program ran with the rights of the account that started it: nothing is promised about "
            "what it read, wrote or reached over the network (agent.isolate: bwrap changes that)."
        )

    async def rollout(self, runbook: str, task_input: Any, repeat: str) -> Produced:  # noqa: ANN401 - any JSON
        """Run the program on the task; what it fails to deliver is an answer, not a failure.

        Raises AgentFailure where the program says by its exit code that it could not work at all.
        """
        try:
            with sandbox.fresh_folder() as folder:
                self._hand_over(folder, runbook, task_input)
                async with sandbox.ended(folder, self._prepared(folder, repeat)) as how:
                    if how.exit_code == UNAVAILABLE and how.limit is None:
                        raise AgentFailure("unavailable", self._clean(_reason(None, how)))
                    return self._left(folder, how)
        except OSError as error:
            raise AgentFailure("system", plain(f"{type(error).__name__}: {error}")) from None

    def _hand_over(self, folder: Path, runbook: str, task_input: object) -> None:
        for path, text in _files(task_input):
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text.encode(errors="replace"))
        (folder / RESULTS).mkdir()
        ours = (self._settings.runbook_file, runbook.encode(errors="replace"))
        for name, data in (ours, (TASK, canonical({"input": task_input}))):
            if (folder / name).exists():
                raise AgentFailure("task", f"the task brings a file of its own with the name {name}")
            (folder / name).write_bytes(data)

    def _prepared(self, folder: Path, repeat: str) -> sandbox.Program:
        argv = (str(self._program), *self._argv(folder, repeat)[1:])
        if self._bubblewrap is not None:
            argv = (*bubblewrap.wrapped(self._bubblewrap, folder, self._needed), *argv)
        environ = sandbox.clean_environ(self._environ, folder, self._settings.environment)
        return sandbox.Program(argv, environ, folder / TASK, self._limits)

    def _argv(self, folder: Path, repeat: str) -> tuple[str, ...]:
        values = {
            "runbook": str(folder / self._settings.runbook_file),
            "task": str(folder / TASK),
            "folder": str(folder),
            "results": str(folder / RESULTS),
            "repository": str(self._root),
            "repeat": repeat,
        }
        return sandbox.filled(self._settings.argv, values)

    def _left(self, folder: Path, how: sandbox.Ended) -> Produced:
        files = _regular(folder / RESULTS, MOST_FILES + 1)
        limit = how.limit
        if len(files) > MOST_FILES:
            limit, files = limit or f"more than {MOST_FILES:,} files in {RESULTS}", files[:MOST_FILES]
        output = None if limit else self._output(folder, files, how)
        left = Left(
            exit_code=how.exit_code,
            seconds=how.seconds,
            files=files,
            steps=self._steps(folder, how.stdout),
            reason=_reason(limit, how) if output is None else None,
        )
        return _cleaned(Produced(output, left), self._clean)

    def _output(self, folder: Path, files: tuple[str, ...], how: sandbox.Ended) -> str | None:
        place, bound = self._settings.output, self._settings.output_bytes
        if place == STDOUT:
            return _text(how.stdout) if how.stdout.strip() or how.exit_code == 0 else None
        if place != RESULTS:
            data = _read(folder / place, bound) if place.removeprefix(f"{RESULTS}/") in files else None
            return None if data is None else _text(data)
        contents: dict[str, str | None] = {}
        for name in files:
            data = _read(folder / RESULTS / name, bound)
            if data is None:
                return None
            bound -= len(data)
            contents[name] = None
            with contextlib.suppress(UnicodeDecodeError):
                contents[name] = data.decode()
        return canonical(contents).decode() if contents else None

    def _steps(self, folder: Path, stdout: bytes) -> tuple[dict[str, Any], ...] | None:
        if self._settings.transcript is None:
            return None
        if self._settings.transcript == STDOUT:
            return read_steps(stdout)
        steps: list[dict[str, Any]] = []
        pattern, ours = sandbox.path_pattern(self._settings.transcript), {TASK, self._settings.runbook_file}
        names = [name for name in _regular(folder, MOST_SEEN) if pattern.fullmatch(name) and name not in ours]
        for name in names:
            data = _read(folder / name, TRANSCRIPT_BYTES)
            more = None if data is None else read_steps(data)
            if more is None:
                return None
            steps += more
        return tuple(steps) if names else None

    def _digests(self) -> dict[str, str]:
        """Digests of the files in the repository that the program is made of, as far as is known."""
        here = "{repository}/"
        paths = {self._root / part[len(here) :] for part in self._settings.argv[1:] if part.startswith(here)}
        paths |= {path for glob in self._settings.sources for path in self._root.glob(glob)}
        if self._program.is_relative_to(self._root):
            paths.add(self._program)
        return {
            path.relative_to(self._root).as_posix(): digest(path.read_bytes())
            for path in sorted(paths)
            if path.is_file()
        }


def _files(task_input: object) -> Iterator[tuple[PurePosixPath, str]]:
    """Files that a task brings: the mapping of relative paths to texts at `files` of its input."""
    files = task_input.get("files") if isinstance(task_input, dict) else None
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        return  # a key of the task's own, which means something else
    for name, text in files.items():
        path = PurePosixPath(name)
        strange = path.is_absolute() or {"", ".", ".."} & set(name.split("/")) or "\0" in name
        if strange or path.parts[0] in {RESULTS, sandbox.TEMPORARY} or len(files) > MOST_FILES:
            raise AgentFailure("task", f"the task brings a file at {shown(name)}, where none may be")
        yield path, text


def _regular(folder: Path, most: int) -> tuple[str, ...]:
    """Paths of the first `most` regular files below `folder`, sorted; links are not followed."""

    def regular() -> Iterator[str]:
        for above, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                place = Path(above, name)
                with contextlib.suppress(OSError, UnicodeEncodeError):  # closed by the program; no text
                    if str(place).encode() and stat.S_ISREG(place.lstat().st_mode):
                        yield place.relative_to(folder).as_posix()

    return tuple(sorted(islice(regular(), most)))


def _read(place: Path, bound: int) -> bytes | None:
    """Content of a file; None where it is more than `bound` bytes, or nothing that can be read."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(bound + 1)
    return data if len(data) <= bound else None


def _cleaned(produced: Produced, clean: Callable[[str], str]) -> Produced:
    """A program knows the secrets of its environment, and may say them: here they are taken out."""

    def cleaned(value: Any) -> Any:  # noqa: ANN401 - JSON has any shape
        match value:
            case str():
                return clean(value)
            case dict():
                return {clean(key): cleaned(inner) for key, inner in value.items()}
            case list() | tuple():
                return [cleaned(inner) for inner in value]
            case _:
                return value

    return msgspec.convert(cleaned(msgspec.to_builtins(produced)), Produced)


def _text(data: bytes) -> str:
    """Text as a shell takes it from a command: without the line ends at its end."""
    return data.decode(errors="replace").rstrip("\r\n")


def _reason(limit: str | None, how: sandbox.Ended) -> str:
    if limit is not None:
        return limit
    code = "" if how.exit_code is None else f"exit code {how.exit_code}"
    return ": ".join(part for part in (code, how.stderr) if part)
