"""Criteria that are programs: a command that answers in JSON, and a Python function of the repository.

`isolated_checks` runs them, each in a process that is not ours; whatever goes wrong there is an error.
"""

import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from runbookopt.documents.digest import canonical
from runbookopt.documents.finding import Finding
from runbookopt.documents.schema_errors import plain
from runbookopt.evidence.trajectory import Left
from runbookopt.sandbox import run as sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

Seconds = Annotated[float, Meta(gt=0, le=3600)]

OUTPUT_BYTES = 1_000_000
PROCESSES = 64
TOLD = 300  # characters of an explanation that a program gave
SEEN = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
"""The variables that a Python check sees: no credentials are among them."""


class Command(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="command", kw_only=True):
    """A program: {"output", "reference", "left"} on stdin, {"result", "explanation"} on stdout.

    A path in `argv` counts from the repository's root; {repository} and {folder} are replaced.
    """

    argv: Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)]
    seconds: Seconds = 30.0


class Python(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="python", kw_only=True):
    """A function of a module below the repository's root, called with output, reference and left.

    It gives true or false, a pair of that and an explanation, or {"result", "explanation"}.
    """

    function: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$",
            description="module:function, such as checks.refunds:within_limit",
        ),
    ]
    seconds: Seconds = 30.0


ProgramCheck = Command | Python


class _Verdict(Struct, frozen=True):
    result: Literal["pass", "fail"]
    explanation: str = ""


def repository_root() -> Path:
    """Root of the repository that we run in, or the current folder where there is none."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)


def run(check: Command, *, output: str | None, reference: object, left: Left | None) -> Finding:
    """Run a command check, in a folder of its own and within limits; it sees no credentials."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    question = canonical({"output": output, "reference": reference, "left": _plainly(left)})
    with ThreadPoolExecutor(1) as apart:  # a loop of its own, since one may be running here
        try:
            how = apart.submit(lambda: asyncio.run(_run(check, question))).result()
        except (sandbox.NotStarted, OSError) as fault:
            return Finding("error", f"the check did not run: {fault}")
    if how.limit is not None:
        return Finding("error", f"the check was stopped: {how.limit}")
    if how.exit_code != 0:
        reason = how.stderr or "no reason given"
        return Finding("error", f"the check ended with exit code {how.exit_code}: {reason}")
    try:
        return _finding(msgspec.json.decode(how.stdout, type=_Verdict))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        form = '{"result": "pass" or "fail", "explanation": "..."}'
        got = plain(how.stdout[:TOLD].decode(errors="replace").strip())[:TOLD] or "nothing"
        return Finding("error", f"expected {form} from the check, got {got}")


def call(check: Python, *, output: str | None, reference: object, left: Left | None) -> Finding:
    """Call a Python check: only where it may do to this process what it likes."""
    module, _, name = check.function.partition(":")
    function: Callable[..., object] = getattr(_module(module, Path.cwd()), name)
    answer = function(output, reference, _plainly(left))
    match answer:
        case bool():
            return _finding(_Verdict("pass" if answer else "fail"))
        case (bool(passed), str(explanation)):
            return _finding(_Verdict("pass" if passed else "fail", explanation))
        case dict():
            return _finding(msgspec.convert(answer, _Verdict))
        case _:
            got = type(answer).__name__
            return Finding("error", f"expected true or false, or a pair with an explanation, got {got}")


async def _run(check: Command, question: bytes) -> sandbox.Ended:
    root = repository_root()
    with sandbox.fresh_folder() as folder:
        stdin = folder / "question.json"
        stdin.write_bytes(question)
        environ = sandbox.clean_environ(os.environ, folder)
        argv = sandbox.filled(check.argv, {"repository": str(root), "folder": str(folder)})
        argv = (sandbox.located(argv[0], root, environ["PATH"]), *argv[1:])
        limits = sandbox.Limits(check.seconds, OUTPUT_BYTES, PROCESSES)
        async with sandbox.ended(folder, sandbox.Program(argv, environ, stdin, limits)) as how:
            return how


@cache
def _module(name: str, root: Path) -> "ModuleType":
    from importlib.util import module_from_spec, spec_from_file_location  # noqa: PLC0415 - rarely needed

    place = root.joinpath(*name.split("."))
    package = place / "__init__.py"
    place = package if package.is_file() else place.with_suffix(".py")
    spec = spec_from_file_location(f"_checks_of_the_repository.{name}", place)
    if spec is None or spec.loader is None:
        raise ImportError(f"no module {name} at {place}")
    module = module_from_spec(spec)
    # what lies compiled beside a program need not be made of it, and nothing is left behind there
    sys.pycache_prefix, sys.dont_write_bytecode = os.devnull, True
    if str(root) not in sys.path:
        sys.path.append(str(root))  # last: it may not stand in for a library
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _plainly(left: Left | None) -> dict[str, Any] | None:
    """Every field as JSON has it, unknown ones as null."""
    if left is None:
        return None
    plainly: dict[str, Any] = msgspec.to_builtins(msgspec.structs.asdict(left))
    return plainly | {"steps": None if left.steps is None else list(left.steps)}


def _finding(verdict: _Verdict) -> Finding:
    if verdict.result == "pass":
        return Finding("pass")
    return Finding("fail", plain(" ".join(verdict.explanation.split()))[:TOLD] or "the check says no")
