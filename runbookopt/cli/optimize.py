"""`optimize-runbook`: the main job, from trajectories to a pull request."""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbookopt.cli.flags import Agent, Flags, Model, Set, Usd, Width, settings_of, written_out
from runbookopt.cli.job import job_of, left_behind
from runbookopt.cli.terminal import Version, complain, warn
from runbookopt.errors import Interrupted, RunbookoptError, WrongUsage

if TYPE_CHECKING:
    from runbookopt.documents.settings import Settings
    from runbookopt.forge.git.repository import Repository
    from runbookopt.forge.protocol import Forge
    from runbookopt.jobs.optimize import Result
    from runbookopt.jobs.prepare import Job
    from runbookopt.landing.propose import Proposed

Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME...", help="Runbooks, by their folders under runbooks/.")
]
Everything = Annotated[bool, typer.Option("--all", help="All runbooks of the repository.")]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Show the diff and its reasons on validation alone; write nothing but the journal."
    ),
]
Plan = Annotated[
    bool,
    typer.Option("--plan", help="Say what it may cost and take, and what gain it can prove; run nothing."),
]
NoPropose = Annotated[
    bool, typer.Option("--no-propose", help="Stop at the bundle, for `runbookopt propose`; needs no origin.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line and runbook.")]
Field = Annotated[str | None, typer.Option(help="The field of the output that holds the answer.")]
Noise = Annotated[float | None, typer.Option(help="Share of the answers that err at random.")]
ReflectorKind = Annotated[str | None, typer.Option(help="Who reads the failures: offline or model.")]
Reflector = Annotated[str | None, typer.Option(help="The reflector's model.")]
Rollouts = Annotated[int | None, typer.Option(help="Rollouts a run may use, the proof's too.")]
Reflections = Annotated[
    int | None, typer.Option(help="Reflections a run may use; by default one for 4 rollouts.")
]
Minutes = Annotated[float | None, typer.Option(help="Minutes that the search may take.")]
Share = Annotated[float | None, typer.Option(help="How much longer the runbook may get, a share.")]
Characters = Annotated[int | None, typer.Option(help="The same in characters; the larger holds.")]
RandomSeed = Annotated[int | None, typer.Option(help="Another seed may find another runbook.")]
Patience = Annotated[int | None, typer.Option(help="Waves without a better frontier until it ends.")]
MaxFailures = Annotated[int | None, typer.Option(help="Failed reflections in a row until it ends.")]
ForgeKind = Annotated[
    str | None, typer.Option(help="Where pull requests live: local or github; origin says it by itself.")
]


def optimize(  # noqa: PLR0913 - every setting has a flag
    names: Names = None,
    *,
    everything: Everything = False,
    plan: Plan = False,
    dry_run: DryRun = False,
    no_propose: NoPropose = False,
    json: Json = False,
    agent_kind: Agent = None,
    model: Model = None,
    agent_field: Field = None,
    agent_noise: Noise = None,
    reflector_kind: ReflectorKind = None,
    reflector: Reflector = None,
    budget_rollouts: Rollouts = None,
    budget_reflections: Reflections = None,
    budget_usd: Usd = None,
    budget_minutes: Minutes = None,
    growth_share: Share = None,
    growth_characters: Characters = None,
    width: Width = None,
    random_seed: RandomSeed = None,
    patience: Patience = None,
    max_failures: MaxFailures = None,
    forge_kind: ForgeKind = None,
    others: Set = None,
    version: Version = False,  # noqa: ARG001 - printed before this is called
) -> None:
    """Search for a better runbook, prove it on held-out tasks, and propose it under its merge policy.

    Your checkout is not touched: the diff goes to the branch runbookopt/NAME of origin, with a pull request.
    Interrupted or killed, the same command goes on where it was, and nothing is paid twice. Every setting has
    a key in runbookopt.yaml and a variable too: RUNBOOKOPT_BUDGET_ROLLOUTS for --budget-rollouts.

    Exit status: 0 done (also when rejected, inconclusive, or nothing better was found), 1 something to act
    on, 2 wrong usage, 3 refused by guard or policy, 130 interrupted; with several runbooks the worst.
    """
    flags: Flags = {
        **written_out(others or ()),
        "agent.kind": agent_kind,
        "agent.model": model,
        "agent.field": agent_field,
        "agent.noise": agent_noise,
        "reflector.kind": reflector_kind,
        "reflector.model": reflector,
        "budget.rollouts": budget_rollouts,
        "budget.reflections": budget_reflections,
        "budget.usd": budget_usd,
        "budget.minutes": budget_minutes,
        "growth.share": growth_share,
        "growth.characters": growth_characters,
        "width": width,
        "random_seed": random_seed,
        "patience": patience,
        "max_failures": max_failures,
        "forge.kind": forge_kind,
    }
    if bool(names) == everything:
        raise WrongUsage("expected the names of runbooks, or --all (`runbookopt check` lists them)")
    from runbookopt.forge.git.repository import Repository

    with Repository.open(Path.cwd()) as repository:
        if not (repository.has_origin() or no_propose or dry_run):
            raise RunbookoptError(
                "there is no origin to propose to: git remote add origin URL and push, or use --no-propose"
            )
        kind = _Planning if plan else _Run
        run = kind(repository, flags, propose=not no_propose and not dry_run, look=not dry_run, json=json)
        raise typer.Exit(max(run.safely(name) for name in _chosen(repository, names)))


def _chosen(repository: "Repository", names: Sequence[str] | None) -> list[str]:
    from runbookopt.evidence.library import Folder
    from runbookopt.project.project import runbook_names

    found = list(dict.fromkeys(names or runbook_names(Folder(repository.root))))
    if not found:
        raise RunbookoptError("there is no runbook under runbooks/: expected runbooks/NAME/RUNBOOK.md")
    return found


class _Run:
    """Optimizes one runbook after the other, and prints what came of each."""

    def __init__(
        self, repository: "Repository", flags: Flags, *, propose: bool, look: bool, json: bool
    ) -> None:
        self._repository = repository
        self._flags = flags
        self._propose = propose
        self._forge: Forge | None = None
        self._look = look
        self._json = json

    def safely(self, name: str) -> int:
        """Optimize one runbook and give its exit status: one that fails does not stop the others."""
        try:
            self._one(name)
        except KeyboardInterrupt:
            raise Interrupted(f"{name}: interrupted; {self._left()}") from None
        except WrongUsage:  # the same for every runbook
            raise
        except RunbookoptError as error:
            complain(error)
            return error.status
        return 0

    def _left(self) -> str:
        """Say what an interrupted run leaves behind."""
        return left_behind()

    def _one(self, name: str) -> None:
        from runbookopt.cli.result import as_json, show

        result = self._optimize(name)
        warn(result.warnings)
        proposed = self._proposed(result)
        if self._json:
            print(as_json(result, proposed, self._next(result, proposed)))
        else:
            show(result, proposed, self._next(result, proposed))
        sys.stdout.flush()

    def _next(self, result: "Result", proposed: "Proposed | None") -> str | None:
        """Say what to type next, where something is left to do."""
        from runbookopt.cli.result import bundle_path

        path = bundle_path(result)
        if proposed is None and path is not None:
            return f"runbookopt propose {os.path.relpath(self._repository.root / path)}"
        if not self._look and result.patch:
            return "the same command without --dry-run, to prove it on the held-out tasks"
        if proposed is not None and proposed.pull_request is not None:
            return f"runbookopt pulls show {proposed.pull_request.number}"
        return None

    def _optimize(self, name: str) -> "Result":
        from runbookopt.cli.terminal import progress
        from runbookopt.jobs.optimize import optimize as run

        job = self._job(name)
        with progress(name) as tell:
            return run(self._repository, job, tell)

    def _job(self, name: str) -> "Job":
        from msgspec.structs import replace

        settings = settings_of(self._repository.root, name, self._flags)
        job = job_of(name, settings, self._repository.root, propose=False, look=self._look)
        self._find_forge(name, settings)
        return replace(job, propose=self._forge is not None)

    def _find_forge(self, name: str, settings: "Settings") -> None:
        """Find where the runbook's pull request goes; without a token the run stops at the bundle.

        Refuses where a person holds the branch or the policy's limits are reached: nothing is to be spent on
        what could not be proposed.
        """
        self._forge = None
        if not self._propose:
            return
        from runbookopt.forge.github.credentials import NoToken
        from runbookopt.forge.select import chosen
        from runbookopt.landing.propose import must_be_free

        try:
            self._forge = chosen(settings.forge, self._repository, os.environ)
        except NoToken as error:
            complain(f"{name}: stops at the bundle, for `runbookopt propose`: {error}")
            return
        must_be_free(self._repository, self._forge, name, now=datetime.now(UTC))

    def _proposed(self, result: "Result") -> "Proposed | None":
        if self._forge is None or result.bundle is None:
            return None
        from runbookopt.landing.propose import propose

        return propose(self._repository, self._forge, result.bundle, now=datetime.now(UTC))


class _Planning(_Run):
    """Says of one runbook after the other what its run would be, and runs nothing."""

    def _one(self, name: str) -> None:
        from runbookopt.cli.plan import plan_as_json, show_plan
        from runbookopt.jobs.forecast import earlier_calls
        from runbookopt.jobs.plan import plan
        from runbookopt.jobs.prepare import prepare

        ready = prepare(self._repository, self._job(name))
        warn(ready.project.warnings)
        said = plan(ready, earlier_calls(self._repository.root, ready))
        if self._json:
            print(plan_as_json(said))
        else:
            show_plan(said)
        sys.stdout.flush()

    def _left(self) -> str:
        return "nothing was run"
