"""The search of an earlier commit beside today's, in the same process: its package under another name."""

import importlib
import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from benchmarks.course import Course, Step
from benchmarks.ours import at_once
from benchmarks.work import Counted, Work
from runbookopt.search.asks import Attempt, Reflection

T = TypeVar("T")

ROOT = Path(__file__).parents[1]
_IMPORTS = re.compile(r"(\bfrom |\bimport |\bfiles\(\")runbookopt\b")
_PLACES = {
    "runbooks": ("documents/runbook", "runbook"),
    "choices": ("search/selection", "search/choice"),
    "prompt": ("search/reflecting/prompt", "search/prompt", "search/prompting"),
    "reply": ("search/reflecting/reply", "search/prompt", "search/prompting"),
}
"""Modules that have moved: today's name, then those of earlier commits, e86100d's last."""


class NoSuchSearch(Exception):
    """A commit whose search cannot be run; its argument says why."""


class Earlier(Struct, frozen=True):
    """The modules of an earlier search."""

    commit: str
    asks: Any
    loop: Any
    problems: Any
    runbooks: Any
    choices: Any
    prompt: Any
    reply: Any


def exported(commit: str, folder: Path) -> Path:
    """Write the package as it was at a commit into a folder, under a name of its own; give its path.

    Raises NoSuchSearch.
    """
    full = _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}").decode().strip()
    package = folder / f"runbookopt_{full[:12]}"
    if not package.exists():
        with tarfile.open(fileobj=io.BytesIO(_git("archive", full, "runbookopt"))) as files:
            files.extractall(folder, filter="data")
        (folder / "runbookopt").rename(package)
        for path in package.rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            path.write_text(_IMPORTS.sub(rf"\1{package.name}", text), encoding="utf-8")
    return package


def loaded(package: Path) -> Earlier:
    """Import the search of an exported package."""
    if str(package.parent) not in sys.path:
        sys.path.append(str(package.parent))
    moved = {name: _first(package, places) for name, places in _PLACES.items()}
    modules = (
        importlib.import_module(f"{package.name}.search.{name}") for name in ("asks", "loop", "problem")
    )
    return Earlier(package.name.rpartition("_")[2], *modules, **moved)


def run(
    earlier: Earlier,
    work: Work,
    random_seed: int,
    budget: int,
    *,
    free: bool,
    before: Callable[[Any, int], None] = at_once,
) -> Course:
    """Let an earlier search run with its own settings, as `ours.run` does with today's."""
    counted, cases = Counted(work), work.cases
    stored = {case: counted.attempt(work.seed.text, cases[case]) for case in cases} if free else {}
    problem = earlier.problems.Problem(
        seed=earlier.runbooks.parse(work.seed.text),
        train={case.id: case.input for case in work.train},
        validation=tuple(case.id for case in work.validation),
        free=_attempts(earlier, stored),
        options=_options(earlier, work, random_seed),
        **({"agent": work.in_words} if "agent" in earlier.problems.Problem.__struct_fields__ else {}),
    )
    asking, reply = earlier.loop.search(problem), None
    scored = {work.seed.text: (0, 0)}
    validation = {case.id for case in work.validation}
    while True:
        try:
            ask = asking.send(reply)
        except StopIteration as done:
            found = done.value
            break
        if counted.rollouts + len(ask.rollouts) > budget:
            reply = earlier.asks.Reply(stopped="budget")
            continue
        before(ask, counted.rollouts)
        reply = _answered(earlier, counted, ask)
        used = counted.rollouts, counted.reflections
        scored |= {one.candidate.text: used for one in ask.rollouts if one.task in validation}
    steps = tuple(_steps(earlier, problem, found, scored))
    details = {"proposed": tuple(counted.proposed)}
    return Course(steps, counted.rollouts, counted.reflections, details)


def _options(earlier: Earlier, work: Work, random_seed: int) -> Any:  # noqa: ANN401 - an earlier search's
    doubt = {"doubt": 1.0} if work.agent.deterministic else {}
    options = earlier.problems.Options(random_seed=random_seed, **doubt)
    if not hasattr(earlier.problems, "of_replies"):
        return options
    return earlier.problems.of_replies(options, getattr(work.reflector, "edits", 1))


def _answered(earlier: Earlier, counted: Counted, ask: Any) -> Any:  # noqa: ANN401 - an earlier ask, and its reply
    cases = counted.work.cases
    rolled = [counted.rollout(one.candidate.text, cases[one.task], one.repeat) for one in ask.rollouts]
    said = [counted.reflect(as_kind(Reflection, one)) for one in ask.reflections]
    return earlier.asks.Reply(
        tuple(as_kind(earlier.asks.Attempt, one) for one in rolled),
        tuple(as_kind(getattr(earlier.asks, type(one).__name__), one) for one in said),
    )


def _attempts(earlier: Earlier, stored: Mapping[str, Attempt]) -> dict[str, Any]:
    return {case: as_kind(earlier.asks.Attempt, attempt) for case, attempt in stored.items()}


def _steps(
    earlier: Earlier,
    problem: Any,  # noqa: ANN401 - an earlier search's
    found: Any,  # noqa: ANN401
    scored: Mapping[str, tuple[int, int]],
) -> Iterator[Step]:
    """Tell what would have been returned from each ask on that completed a member of the pool."""
    yield Step(0, 0, problem.seed.text, 0.0)
    for size, member in enumerate(found.pool, 1):
        chosen = earlier.choices.choose(found.pool[:size], doubt=problem.options.doubt)
        text = found.pool[chosen.number].candidate.text
        yield Step(*scored[member.candidate.text], text, chosen.expected)


def _first(package: Path, places: Sequence[str]) -> Any:  # noqa: ANN401 - a module
    for place in places:
        if (package / f"{place}.py").exists():
            return importlib.import_module(f"{package.name}.{place.replace('/', '.')}")
    raise NoSuchSearch(f"{package}: none of {', '.join(places)}")


def as_kind(kind: type[T], value: object) -> T:
    """Give a record as the like-named one of another package: fields that this has not are left out."""
    return msgspec.convert(msgspec.to_builtins(value), kind)


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout
    except FileNotFoundError:
        raise NoSuchSearch("git is not there, and an earlier commit is asked for") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()
        raise NoSuchSearch(f"git {' '.join(arguments)}: {reason or 'no such commit here'}") from None
