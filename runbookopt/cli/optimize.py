"""`optimize-runbook`: the main job, from trajectories to a pull request."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from runbookopt.cli import custody
from runbookopt.cli.flags import (
    SETTINGS,
    Flags,
    ShowFigures,
    Version,
    forge_of,
    runbooks_here,
    settings_of,
    takes_settings,
)
from runbookopt.cli.job import interruptible, told
from runbookopt.cli.purse import Purse
from runbookopt.cli.root import Root, named, names_here
from runbookopt.cli.terminal import Line, complain, note, print_json, say_lines, warn
from runbookopt.cli.turns import in_turn
from runbookopt.errors import Awaiting, Invalid, RunbookoptError, Waiting, WrongUsage

if TYPE_CHECKING:
    from runbookopt.cli.apart import Order, Planned
    from runbookopt.documents.settings import Settings
    from runbookopt.forge.git.repository import Repository
    from runbookopt.forge.protocol import Forge
    from runbookopt.jobs.result import Result
    from runbookopt.landing.propose import Proposed
    from runbookopt.proof.records import LastPull

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME...", help="Runbooks, as `runbookopt check` names them.", autocompletion=runbooks_here
    ),
]
Everything = Annotated[bool, typer.Option("--all", help="All runbooks of the repository.")]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Show the diff and its reasons on validation alone; write nothing but the journal, and what was"
        " read, which no later proof may use.",
    ),
]
Plan = Annotated[
    bool,
    typer.Option("--plan", help="Say what it may cost and take, and what gain it can prove; run nothing."),
]
NoPropose = Annotated[
    bool, typer.Option("--no-propose", help="Stop at the bundle, for `runbookopt propose`; needs no origin.")
]
Again = Annotated[
    bool, typer.Option("--again", help="Search and look also while a pull request of the runbook is open.")
]
BeginAgain = Annotated[
    bool,
    typer.Option(
        "--begin-again",
        help="Where looks are lost that the default branch rests on: count all of the allowance as spent.",
    ),
]
AllUsd = Annotated[
    float | None,
    typer.Option("--all-usd", min=0.01, help="Dollars that all runbooks of this command may use together."),
]
Wait = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="MINUTES",
        help="Where replies are awaited by hand-off, wait so long for those of a wave before it ends.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line and runbook.")]

_WORST = (0, 4, 3, 1)
"""Exit statuses of single runbooks, the worst last; what ends all of them is told at once."""


class _Request(NamedTuple):
    """What was asked for, of each of the runbooks alike."""

    repository: "Repository"
    flags: Flags
    propose: bool
    look: bool
    again: bool
    show_figures: bool
    json: bool
    begin_again: bool
    purse: Purse
    wait: float


@takes_settings(*SETTINGS)
def optimize(  # noqa: PLR0913 - each is a flag
    names: Names = None,
    *,
    everything: Everything = False,
    plan: Plan = False,
    dry_run: DryRun = False,
    no_propose: NoPropose = False,
    again: Again = False,
    show_figures: ShowFigures = False,
    begin_again: BeginAgain = False,
    all_usd: AllUsd = None,
    wait: Wait = 0.0,
    json: Json = False,
    flags: Flags,
    root: Root = None,  # noqa: ARG001 - entered before this is called
    version: Version = False,  # noqa: ARG001 - printed before this is called
) -> None:
    """Search for a better runbook, prove it on held-out tasks, and propose it under its merge policy.

    Your checkout is not touched: the diff goes to the branch runbookopt/NAME of origin, with a pull request.
    While a pull request of the runbook is open, a run waits: it ends before its search. Interrupted or
    killed, the same command goes on where it was, and nothing is paid twice; while nothing is new, the result
    of a finished run stands. Every setting has a key in runbookopt.yaml and a variable too:
    RUNBOOKOPT_BUDGET_ROLLOUTS for --budget-rollouts.

    Exit status: 0 done (also when rejected, inconclusive, waiting, or nothing better was found), 1 something
    to act on (also when invalid: too many calls came to nothing, and not by the agent's fail), 2 wrong usage,
    3 refused by guard or policy, 4 replies are awaited by hand-off (answer the asks, then run it again), 130
    interrupted; with several runbooks the worst, in the order 0, 4, 3, 1.
    """
    if begin_again and dry_run:
        raise WrongUsage("--begin-again is of proofs, and a dry run makes none: leave one of them out")
    if bool(names) == everything:
        raise WrongUsage("expected the names of runbooks, or --all (`runbookopt check` lists them)")
    from runbookopt.forge.git.repository import Repository

    with Repository.open(Path.cwd()) as repository:
        if not (repository.has_origin() or no_propose or dry_run or plan):
            raise RunbookoptError(
                "there is no origin to propose to: git remote add origin URL and push, or use --no-propose"
            )
        request = _Request(
            repository,
            flags,
            propose=not no_propose and not dry_run,
            look=not dry_run,
            again=again or dry_run,  # which neither looks nor proposes
            show_figures=show_figures,
            json=json,
            begin_again=begin_again and not plan,
            purse=Purse(all_usd),
            wait=wait,
        )
        one, left = (_plan, "nothing was run") if plan else (_optimize, None)
        statuses = [_status(one, request, name, left) for name in _chosen(repository, names)]
        raise typer.Exit(max(statuses, key=_WORST.index))


def _chosen(repository: "Repository", names: Sequence[str] | None) -> list[str]:
    top = repository.root
    chosen = list(dict.fromkeys([named(top, name) for name in names] if names else names_here(top)))
    if not chosen:
        raise RunbookoptError(
            "there is no runbook here: expected runbooks/NAME/RUNBOOK.md, or a rubric for a page elsewhere"
            " (`runbookopt check` lists those that it sees)"
        )
    return chosen


def _status(one: Callable[[_Request, str], None], request: _Request, name: str, left: str | None) -> int:
    """The exit status of one runbook: one that fails does not stop the others."""
    with interruptible(name, left):
        try:
            one(request, name)
        except WrongUsage:  # the same for every runbook
            raise
        except Waiting as why:
            if left is not None:  # a plan is of a run that goes ahead
                complain(f"{name}: {why}")
                return RunbookoptError.status
            _waiting(request, name, str(why))
        except RunbookoptError as error:
            complain(told(name, error))
            if request.json and isinstance(error, Awaiting | Invalid):
                from runbookopt.cli.result import unfinished_as_json

                print_json(unfinished_as_json(name, error))
                sys.stdout.flush()
            return error.status
    return 0


def _optimize(request: _Request, name: str) -> None:
    from runbookopt.project.local_state import must_be_own

    with in_turn(request.repository.root, name):
        must_be_own(request.repository)
        _run(request, name)


def _run(request: _Request, name: str) -> None:
    from runbookopt.cli import result as results
    from runbookopt.documents.digest import digest_of
    from runbookopt.landing.propose import must_be_free, propose
    from runbookopt.project.local_state import LOCAL

    # lies there while a run proposes: one that was killed then goes on, and does not wait for its own
    mark = request.repository.root / LOCAL / f"proposing-{digest_of(name).removeprefix('sha256:')[:16]}"
    if not request.again and not mark.exists() and (waits := _waits(request, name)):
        _waiting(request, name, results.why_waiting(waits), waits)
        return
    forge, token = _forge(request, name)
    if forge is not None:  # nothing is to be spent on what could not be proposed
        must_be_free(request.repository, forge, name, now=datetime.now(UTC))
    result = _searched(request, name, forge, token=token)
    warn(result.warnings)
    proposed = None
    if forge is not None and result.bundle is not None:
        mark.touch(mode=0o600)
        with request.repository.asked_once():
            proposed = propose(request.repository, forge, result.bundle, now=datetime.now(UTC))
    step = _next_step(request, result, proposed)
    ended = results.Ended(result, proposed, step, show_figures=request.show_figures)
    _told(request, results.as_json(ended), results.page(ended))
    mark.unlink(missing_ok=True)


def _waiting(request: _Request, name: str, why: str, pull: "LastPull | None" = None) -> None:
    """Say that a run waits: nothing is wrong with it, so that its exit status is 0."""
    from runbookopt.cli import result as results

    _told(request, results.waiting_as_json(name, why, pull), results.waiting_page(name, why))


def _told(request: _Request, found: Mapping[str, object], page: Iterable[Line]) -> None:
    """Print one or the other, for programs or for people; of what is for programs a log gets a line."""
    if request.json:
        print_json(found)
        first, pull = next(iter(page)), found["pull_request"]
        words = first if isinstance(first, str) else "".join(text for text, _ in first)
        where = f"; {pull['url']}" if isinstance(pull, dict) and found["outcome"] != "waiting" else ""
        note(f"{words}{where}")
    else:
        say_lines(page)
    sys.stdout.flush()


def _waits(request: _Request, name: str) -> "LastPull | None":
    """The open pull request that a run waits for; a run that proposes nothing has no token to ask a forge."""
    from runbookopt.forge.github.credentials import NoToken
    from runbookopt.landing.ledger.open_pulls import open_pull

    forge = None
    if request.propose:
        with suppress(NoToken):
            forge = forge_of(request.repository, settings_of(request.repository.root, name, request.flags))
    return open_pull(request.repository, name, forge)


def _searched(request: _Request, name: str, forge: "Forge | None", *, token: bool) -> "Result":
    """Search and prove: in a process of its own where this one holds a token."""
    from runbookopt.cli import apart

    settings = settings_of(request.repository.root, name, request.flags)
    lent = request.purse.lend(name, settings.budget.usd)
    order = _order("optimize", request, name, lent)
    with request.purse.charged(lent) as charge:
        try:
            if token:
                result = apart.optimized(request.repository, order)
            else:
                result = apart.optimize_here(request.repository, order, propose=forge is not None)
        except Awaiting as awaiting:
            usd, models = _billed(settings, awaiting.spent)
            charge.told(usd, models=models)
            raise
        usd, models = _billed(settings, result.spent)
        charge.told(usd, models=models)
    return result


def _billed(settings: "Settings", spent: object) -> tuple[float | None, bool]:
    """Dollars that our keys were billed, None where nobody knows, and whether anybody was asked for them.

    What those use who answer by hand-off is nobody's bill here.
    """
    from runbookopt.documents.usage import Spent

    if not isinstance(spent, Spent):
        return None, True
    kinds = {settings.agent.kind, settings.reflector.kind}
    if "handoff" not in kinds:
        return spent.usd, kinds != {"offline"} or spent.usage.judge is not None
    used = [usage for usage in (spent.usage.agent, spent.usage.reflector, spent.usage.judge) if usage]
    known = [usage.usd for usage in used if usage.usd is not None]
    asked = "command" in kinds or bool(used)
    return sum(known) if len(known) == len(used) and "command" not in kinds else None, asked


def _plan(request: _Request, name: str) -> None:
    from runbookopt.cli.plan import page
    from runbookopt.forge.git.output import OriginUnreachable

    try:
        planned = _planned(request, name)
    except OriginUnreachable as error:
        planned = _planned(request, name, alone=str(error))
    warn(planned.warnings)
    if request.json:
        print_json(planned.plan)
    else:
        say_lines(page(planned.plan))
    sys.stdout.flush()


def _planned(request: _Request, name: str, alone: str | None = None) -> "Planned":
    """The plan; by what this clone knows where there is no origin, or where it is to be left `alone`."""
    from runbookopt.cli import apart
    from runbookopt.landing.propose import must_be_free

    repository = request.repository
    if request.propose and not repository.has_origin():
        alone = "there is no origin, and a run needs one to propose to, or --no-propose"
    forge, token = _forge(request._replace(propose=request.propose and alone is None), name)
    if forge is not None:
        try:
            must_be_free(repository, forge, name, now=datetime.now(UTC))
        except Waiting as why:
            complain(f"{name}: a run would wait today: {why}")
    settings = settings_of(repository.root, name, request.flags)
    order = _order("plan", request, name, request.purse.lend(name, settings.budget.usd))
    if token:
        return apart.planned(repository, order)
    job = apart.job_for(repository, order, propose=forge is not None)
    return apart.plan_here(repository, job if alone is None else job.by_itself(alone))


def _order(work: Literal["optimize", "plan"], request: _Request, name: str, usd: float | None) -> "Order":
    """What is to be done for a runbook within these dollars, whichever process does it."""
    from runbookopt.cli.apart import Order

    return Order(
        work,
        name,
        {**request.flags, "budget.usd": usd},
        look=request.look,
        show_figures=request.show_figures,
        begin_again=request.begin_again,
        wait=request.wait,
    )


def _forge(request: _Request, name: str) -> "tuple[Forge | None, bool]":
    """Where the runbook's pull request goes, and whether a token is held for it.

    None where there is none, or nothing is to be proposed: the run stops at the bundle. Where no token is
    needed, none is kept: this process will run programs of the repository.
    """
    from runbookopt.forge.github.credentials import NoToken
    from runbookopt.forge.local import LocalForge

    settings = settings_of(request.repository.root, name, request.flags)
    if not request.propose:
        custody.drop()
        return None, False
    try:
        forge = forge_of(request.repository, settings)
    except NoToken as error:
        complain(f"{name}: stops at the bundle, for `runbookopt propose`: {error}")
        return None, False
    if isinstance(forge, LocalForge):
        custody.drop()
        return forge, False
    return forge, True


def _next_step(request: _Request, result: "Result", proposed: "Proposed | None") -> str | None:
    """What to type next, where something is left to do."""
    from runbookopt.cli.result import bundle_path

    path = bundle_path(result)
    if proposed is None and path is not None:
        return f"runbookopt propose {os.path.relpath(request.repository.root / path)}"
    if not request.look and result.has_winner:
        return "the same command without --dry-run, to prove it on the held-out tasks"
    if proposed is not None and proposed.pull_request is not None:
        return f"runbookopt pulls show {proposed.pull_request.number}"
    return None
