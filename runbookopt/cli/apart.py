"""Process of its own for the work that runs agents and programs: it is started without the forge's token.

The parent holds the token, and runs nothing but git and requests to the forge. What the child needs of
origin it asks the parent for. Before the parent speaks to origin, and before it goes on, every process that
the child has started is ended: git shows the token in its own environment, which who runs as us may read.
"""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from msgspec import Struct, ValidationError, msgpack
from msgspec.structs import replace

from runbookopt import __version__
from runbookopt.agents.protocol import OpenAsk
from runbookopt.cli.error_log import leave_log
from runbookopt.documents.parse import Problem
from runbookopt.documents.usage import Spent
from runbookopt.errors import (
    Awaiting,
    Interrupted,
    Invalid,
    Refused,
    RunbookoptError,
    Waiting,
    WrongUsage,
)
from runbookopt.jobs.planning.plan import Plan
from runbookopt.jobs.verifiers.audit import Shown
from runbookopt.proof.audits import Answer
from runbookopt.sandbox import secrecy
from runbookopt.verifier.rubric import JudgeSettings

if TYPE_CHECKING:
    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.prepare import Job
    from runbookopt.jobs.readiness.model_calls import Looked
    from runbookopt.jobs.result import Result
    from runbookopt.landing.merge import Derived
    from runbookopt.landing.trial_merge import Case
    from runbookopt.project.policy import Reason

T = TypeVar("T")

Scalar = str | int | float | None

_SERVE = f"import sys; sys.path[1:1] = sys.argv[2:]; from {__name__} import serve; serve(int(sys.argv[1]))"
_LENGTH = 8


class Order(Struct, frozen=True):
    """What the child is to do for one runbook: a search with its proof, or a proof again of `head`.

    It waits for replies by hand-off for at most so many minutes (`wait`). An audit has its
    `pairs` compared by `judge`.
    """

    work: Literal["optimize", "plan", "rerun", "look", "audit"]
    name: str
    flags: dict[str, Scalar] = {}
    look: bool = True
    show_figures: bool = False
    begin_again: bool = False
    head: str = ""
    tip: str = ""
    wait: float = 0.0
    pairs: tuple[Shown, ...] = ()
    judge: JudgeSettings | None = None


class Planned(Struct, frozen=True):
    """A plan, and what of the evidence was not read as it stands."""

    plan: Plan
    warnings: tuple[Problem, ...]


class _Talk(Struct, frozen=True, tag=True):
    """A wish of the child: git's arguments for a talk with origin."""

    arguments: tuple[str, ...]


class _Told(Struct, frozen=True, tag=True):
    """What came of a talk."""

    status: int
    out: bytes
    message: str


class _Done(Struct, frozen=True, tag=True):
    """The child's result, encoded."""

    result: bytes


class _Failed(Struct, frozen=True, tag=True):
    """What the child says of an error that a user can act on.

    `spent` and `look` are of one that is `Invalid` or `Awaiting`, `asks`, `notes` and `read` of the latter.
    """

    message: str
    status: int
    is_invalid: bool = False
    spent: Spent | None = None
    look: int | None = None
    asks: tuple[OpenAsk, ...] = ()
    notes: tuple[str, ...] = ()
    read: int = 0


class Ended(RunbookoptError):
    """The process apart came to no result, or what it left behind forbids to go on."""


_KINDS: dict[int, type[RunbookoptError]] = {0: Waiting, 2: WrongUsage, 3: Refused, 130: Interrupted}
"""Errors by their exit status."""

_TALKS = frozenset({"fetch", "push", "ls-remote"})
_OPTIONS = re.compile(
    r"--(?:quiet|no-tags|no-write-fetch-head|recurse-submodules=no|prune|unshallow|symref|porcelain|no-verify"
    r"|no-follow-tags|atomic|force-with-lease=refs/runbookopt/[\w./-]+:[0-9a-f]*)"
)
_LEDGER = re.compile(r"[0-9a-f]*:refs/runbookopt/[\w./-]+")


def optimized(repository: "Repository", order: Order) -> "Result":
    """Search and prove in a process of its own; raises RunbookoptError with what it said."""
    from runbookopt.jobs.result import Result

    return _had(repository, order, Result)


def planned(repository: "Repository", order: Order) -> "Planned":
    """Plan in a process of its own: also the attempts that are stored are judged by the rubric's programs."""
    return _had(repository, order, Planned)


def looked_around(repository: "Repository") -> "Looked":
    """Look at files, models and isolation in a process of its own."""
    from runbookopt.jobs.readiness.model_calls import Looked

    return _had(repository, Order("look", ""), Looked)


def proved_again(repository: "Repository", order: Order) -> "Reason":
    """Run a proof again in a process of its own; raises as `optimized` does."""
    from runbookopt.project.policy import Reason

    return _had(repository, order, Reason)


def compared_by_judge(repository: "Repository", order: Order) -> "dict[str, Answer]":
    """Have a model compare pairs of outputs in a process of its own; raises as `optimized` does."""
    return _had(repository, order, dict[str, Answer])


def _had(repository: "Repository", order: Order, kind: type[T]) -> T:
    before, settings = secrecy.below(), repository.settings_digest()
    secrecy.adopt()
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = _started(repository.root, theirs, order)
        try:
            said = _served(repository, ours, settings)
        except KeyboardInterrupt:  # the child writes down what it has
            process.send_signal(signal.SIGINT)
            raise
        finally:
            ours.close()
            repository.rest()
            _must_be_gone(process, before)
    _must_be_unchanged(repository, settings)
    if isinstance(said, _Done):
        return msgpack.decode(said.result, type=kind)
    raise _error(said, process.returncode)


def _started(root: Path, theirs: socket.socket, order: Order) -> "subprocess.Popen[bytes]":
    """Start the child, with its order, and without a variable that lets it speak to the forge."""
    folders = [folder for folder in sys.path if Path(folder).is_absolute()]
    command = [sys.executable, "-P", "-c", _SERVE, str(theirs.fileno()), *folders]
    environ = secrecy.for_programs(os.environ)
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=2,
        cwd=root,
        env=environ,
        pass_fds=(theirs.fileno(),),
        start_new_session=True,  # it hears of Ctrl-C once, from us
    )
    if process.stdin is not None:
        process.stdin.write(msgpack.encode(order))
        process.stdin.close()
    return process


def _served(repository: "Repository", ours: socket.socket, settings: str) -> _Done | _Failed | None:
    """Talk to origin for the child until it says what came of its work; None where it says nothing more."""
    while True:
        data = _heard(ours)
        if data is None:
            return None
        try:
            said: _Talk | _Done | _Failed = msgpack.decode(data, type=_Talk | _Done | _Failed)
        except (ValidationError, ValueError):
            return None
        if not isinstance(said, _Talk):
            return said
        if not _is_fair(said.arguments):
            raise Ended("the process that searches asked for what it may not ask of origin: nothing was done")
        _must_be_unchanged(repository, settings)
        _say(ours, _Told(*repository.talk(*said.arguments)))


def _is_fair(arguments: Sequence[str]) -> bool:
    """Whether git is asked to read origin, or to write our ledger, with options that start nothing."""
    command, *rest = arguments or ("",)
    options, refs = (rest[: rest.index("--")], rest[rest.index("--") + 1 :]) if "--" in rest else (rest, [])
    fair = command in _TALKS and refs[:1] == ["origin"] and all(map(_OPTIONS.fullmatch, options))
    return fair and (command != "push" or all(map(_LEDGER.fullmatch, refs[1:])))


def _must_be_unchanged(repository: "Repository", settings: str) -> None:
    """Refuse to run git, which is shown a token, by settings that a program may have written."""
    if repository.settings_digest() != settings:
        raise Refused(
            "git's settings changed while programs of the repository ran, and they decide what git starts and"
            " where it sends a token: see `git config --list --show-origin`, then run this again"
        )


def _must_be_gone(process: "subprocess.Popen[bytes]", before: set[int]) -> None:
    """End the child where it has not ended, and whatever it has left. Raises Ended where that fails."""
    try:
        process.wait(timeout=secrecy.PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if not secrecy.end_all_below(but=before):
        raise Ended("a program of the repository would not end, so nothing was done in the forge's name")


def _error(said: _Failed | None, status: int | None) -> RunbookoptError:
    if said is not None and (said.is_invalid or said.status == Awaiting.status):
        unfinished = Invalid(said.message) if said.is_invalid else Awaiting(said.message)
        unfinished.spent, unfinished.look = said.spent, said.look
        if isinstance(unfinished, Awaiting):
            unfinished.asks, unfinished.notes, unfinished.read = said.asks, said.notes, said.read
        return unfinished
    if said is not None:
        return _KINDS.get(said.status, Ended)(said.message)
    return Ended(f"the process that searches ended without a result (exit status {status}); run this again")


# The child ----------------------------------------------------------------------------------------------


def serve(number: int) -> None:
    """Do what the parent orders: the whole life of the child."""
    secrecy.hide()
    secrecy.adopt()
    secrecy.end_with_parent()
    parent = socket.socket(fileno=number)
    parent.set_inheritable(False)
    order = msgpack.decode(sys.stdin.buffer.read(), type=Order)
    from runbookopt.forge.git.repository import Repository

    try:
        with Repository.open(Path.cwd()) as repository:
            repository.talk_by(_by(repository, parent))
            result = _WORKS[order.work](repository, order)
            repository.rest()
        secrecy.end_all_below()
        _say(parent, _Done(msgpack.encode(result)))
    except (Awaiting, Invalid) as error:
        spent = error.spent if isinstance(error.spent, Spent) else None
        failed = _Failed(str(error), error.status, isinstance(error, Invalid), spent, error.look)
        if isinstance(error, Awaiting):
            failed = replace(failed, asks=error.asks, notes=error.notes, read=error.read)
        _say(parent, failed)
    except RunbookoptError as error:
        _say(parent, _Failed(str(error), error.status))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - as main.py does: a bug is told, and leaves a log
        log = leave_log(error)
        said = f"a bug in runbookopt {__version__}: {type(error).__name__}: {error}"
        _say(parent, _Failed(f"{said}\nplease report it{f', and attach {log}' if log else ''}", 1))


def job_for(repository: "Repository", order: Order, *, propose: bool = True) -> "Job":
    """The job of an order, with agent, reflector and judge of the settings; raises RunbookoptError."""
    from runbookopt.cli.flags import settings_of
    from runbookopt.cli.job import job_of

    root = repository.root
    settings = settings_of(root, order.name, order.flags)
    job = job_of(order.name, settings, root, propose=propose, look=order.look, flags=order.flags)
    return replace(job, show_figures=order.show_figures, begin_again=order.begin_again)


def optimize_here(repository: "Repository", order: Order, *, propose: bool = True) -> "Result":
    """Search and prove in this process, waiting for replies as long as the order says."""
    from runbookopt.cli.handoff import waited
    from runbookopt.cli.terminal import progress
    from runbookopt.jobs.optimize import optimize

    job = job_for(repository, order, propose=propose)
    with progress(order.name) as tell:
        return waited(order.name, lambda: optimize(repository, job, tell), job.handoff, order.wait)


def plan_here(repository: "Repository", job: "Job") -> Planned:
    """Plan a job in this process."""
    from runbookopt.jobs.planning.forecast import earlier_calls
    from runbookopt.jobs.planning.plan import plan
    from runbookopt.jobs.prepare import prepare

    ready = prepare(repository, job)
    return Planned(plan(ready, earlier_calls(repository, ready)), ready.project.warnings)


def prove_again_here(case: "Case", derived: "Derived") -> "Reason":
    """Run a proof again in this process, by the default branch's settings."""
    from runbookopt.cli.flags import settings_of
    from runbookopt.cli.job import job_of
    from runbookopt.cli.terminal import progress
    from runbookopt.jobs.rerun_proof import rerun_proof

    name, tip = derived.checked.bundle.runbook, case.repository.revision(case.tip)
    settings = settings_of(tip, name, {})
    job = job_of(name, settings, case.repository.root, propose=False, look=False, flags={})
    with progress(name) as tell:
        return rerun_proof(case, derived, job, tell)


def _prove_again(repository: "Repository", order: Order) -> "Reason":
    from runbookopt.landing.trial_merge import Case
    from runbookopt.landing.verify import derived_of

    case = Case(repository, order.tip, order.head)
    return prove_again_here(case, derived_of(case))


def look_around_here(repository: "Repository") -> "Looked":
    """Look around in this process."""
    from runbookopt.jobs.readiness.model_calls import look_around

    return look_around(repository.root, os.environ)


def compare_here(order: Order) -> "dict[str, Answer]":
    """Have a model compare pairs of outputs in this process."""
    from runbookopt.documents.redaction import Redactor
    from runbookopt.jobs.verifiers.audit_judge import asked_model, compared

    if order.judge is None:
        raise WrongUsage("no model is named that could compare them")
    return compared(asked_model(order.judge, os.environ), order.pairs, Redactor(os.environ).clean)


_WORKS: dict[str, Callable[["Repository", Order], object]] = {
    "optimize": optimize_here,
    "plan": lambda repository, order: plan_here(repository, job_for(repository, order)),
    "rerun": _prove_again,
    "look": lambda repository, _: look_around_here(repository),
    "audit": lambda _, order: compare_here(order),
}


def _by(repository: "Repository", parent: socket.socket) -> Callable[..., tuple[int, bytes, str]]:
    """How to talk to origin: by the parent, and with nothing alive below us that could look at it."""

    def talk(*arguments: str) -> tuple[int, bytes, str]:
        repository.rest()
        if not secrecy.end_all_below():
            raise Ended("a program of the repository would not end, so origin is not spoken to")
        _say(parent, _Talk(arguments))
        answer = _heard(parent)
        if answer is None:
            raise Ended("the process that speaks to origin has ended")
        told = msgpack.decode(answer, type=_Told)
        return told.status, told.out, told.message

    return talk


def _say(to: socket.socket, message: Struct) -> None:
    data = msgpack.encode(message)
    to.sendall(len(data).to_bytes(_LENGTH, "big") + data)


def _heard(talk: socket.socket) -> bytes | None:
    """The next message; None where nobody is there any more."""
    length = _read(talk, _LENGTH)
    return None if length is None else _read(talk, int.from_bytes(length, "big"))


def _read(talk: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        try:
            more = talk.recv(min(size - len(data), 1 << 20))
        except OSError:
            return None
        if not more:
            return None
        data += more
    return bytes(data)
