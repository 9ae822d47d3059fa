"""`runbookopt evaluate`: how good any version of a runbook is on one part of its tasks."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from runbookopt.cli.flags import Agent, Flags, Model, Set, Usd, Width, settings_of, written_out
from runbookopt.cli.job import job_of, under_way
from runbookopt.cli.terminal import warn
from runbookopt.errors import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.text import Text

    from runbookopt.evidence.trajectory import Part
    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.evaluate import Evaluation
    from runbookopt.jobs.prepare import Job
    from runbookopt.jobs.scorecard import Failing, Scorecard

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A runbook, by its folder under runbooks/.", show_default=False)
]
Revision = Annotated[
    str | None, typer.Option(metavar="REV", help="A commit, branch or tag to read the runbook at.")
]
Split = Annotated[str, typer.Option(help="Which tasks: train, validation or held-out.")]
SpendLook = Annotated[
    bool, typer.Option("--spend-look", help="Open the held-out tasks; the ledger records the look for good.")
]
Rollouts = Annotated[int | None, typer.Option(help="Rollouts it may take.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_TASKS = 10
_FEEDBACK = 3
_WIDE = 200
_LONG = 600


def evaluate(  # noqa: PLR0913 - each is a flag
    name: Name,
    *,
    revision: Revision = None,
    split: Split = "validation",
    spend_look: SpendLook = False,
    agent_kind: Agent = None,
    model: Model = None,
    budget_rollouts: Rollouts = None,
    budget_usd: Usd = None,
    width: Width = None,
    others: Set = None,
    json: Json = False,
) -> None:
    """Score a runbook as it stands, or as it stood at a git revision, with the settings' agent.

    Rubric, policy and tasks are those of the working tree. What is in the journal is not paid again;
    interrupted, the same command goes on where it was. To look at held-out tasks spends of the allowance that
    all proofs of the runbook share, and takes --spend-look; what was asked before costs nothing more.

    Exit status: 0 done, whatever the score; 1 something to act on, 2 wrong usage, 130 interrupted.
    """
    flags: Flags = {
        **written_out(others or ()),
        "agent.kind": agent_kind,
        "agent.model": model,
        "budget.rollouts": budget_rollouts,
        "budget.usd": budget_usd,
        "width": width,
    }
    part = _part(split, spend_look=spend_look)
    from runbookopt.forge.git.repository import Repository

    with Repository.open(Path.cwd()) as repository:
        job = _job(repository, name, flags, look=spend_look)
        found = _evaluated(repository, job, part, revision)
    warn(found.warnings)
    _print(found, json=json)


def _part(split: str, *, spend_look: bool) -> "Part":
    """Give the part that `--split` names; raises WrongUsage."""
    from runbookopt.documents.schema_errors import nearest, plain
    from runbookopt.evidence.trajectory import Part

    known: dict[str, Part] = {part: part for part in get_args(Part)}
    if split not in known:
        raise WrongUsage(
            f"--split: expected one of {', '.join(known)}, got '{plain(split)}'{nearest(split, known)}"
        )
    if spend_look and known[split] != "held-out":
        raise WrongUsage("--spend-look goes with --split held-out: other tasks cost no look")
    return known[split]


def _job(repository: "Repository", name: str, flags: Flags, *, look: bool) -> "Job":
    settings = settings_of(repository.root, name, flags)
    return job_of(name, settings, repository.root, propose=repository.has_origin(), look=look)


def _evaluated(repository: "Repository", job: "Job", part: "Part", revision: str | None) -> "Evaluation":
    from runbookopt.jobs.evaluate import evaluate as run

    with under_way(job.name) as tell:
        return run(repository, job, part=part, revision=revision, progress=tell)


def _print(found: "Evaluation", *, json: bool) -> None:
    from runbookopt.cli.result import print_lines
    from runbookopt.documents.redaction import Redactor

    clean = Redactor(os.environ).clean
    if json:
        print(_as_json(found, clean))
    else:
        print_lines(_page(found, clean))
    sys.stdout.flush()


def _as_json(found: "Evaluation", clean: "Callable[[str], str]") -> str:
    """Give the one line of `--json`: all keys present, null where something is unknown."""
    import msgspec
    from msgspec.structs import asdict

    scores = asdict(found.scores)
    if found.scores.failing is not None:
        scores["failing"] = [
            {**asdict(each), "feedback": [_told(said, clean, _LONG) for said in each.feedback]}
            for each in found.scores.failing
        ]
    card = {
        "runbook": found.runbook,
        "revision": found.revision,
        "digest": found.digest,
        "version": found.version,
        "split": found.split,
        "agent": found.agent,
        "models": found.models,
        **scores,
        "look": found.look,
        "spent": found.spent,
        "notes": found.notes,
    }
    return msgspec.json.encode(card).decode()


def _page(found: "Evaluation", clean: "Callable[[str], str]") -> "Iterator[str | Text]":
    from rich.text import Text

    from runbookopt.documents.schema_errors import plain

    scores = found.scores
    source = "the working tree" if found.revision is None else f"commit {found.revision[:12]}"
    version = f" (version {plain(found.version)})" if found.version else ""
    yield Text.assemble(
        (plain(found.runbook), "bold"), f"{version} of {source}: ", (f"{scores.score:.3f}", "bold")
    )
    tasks = f"{scores.tasks} {found.split} tasks" + (f", {scores.repeats} times each" * (scores.repeats > 1))
    yield f"  score         {scores.score:.3f} on {tasks}; {scores.passed} pass"
    yield from _rates(scores)
    models = "".join(f", {role} {model}" for role, model in found.models.items())
    yield f"  agent         {found.agent}{models}"
    yield f"  spent         {_spent(found)}"
    yield from _look(found)
    yield from _failing(scores.failing or (), clean)
    yield from (f"  {note}" for note in found.notes)
    yield ""


def _rates(scores: "Scorecard") -> "Iterator[str]":
    yield from (f"  objective     {share:.3f} {name}" for name, share in scores.objectives.items())
    for name, rate in scores.criteria.items():
        errors = f", {rate.errors} could not be judged" if rate.errors else ""
        yield f"  criterion     {rate.share:.3f} {name}: {rate.passed} passed, {rate.failed} failed{errors}"
    if scores.errors:
        yield f"  errors        {scores.errors} attempts with a verdict that could not be had, scored as 0"
    if scores.without_output:
        yield f"  no output     {scores.without_output} attempts"


def _spent(found: "Evaluation") -> str:
    spent = found.spent
    tokens = "tokens unknown" if spent.tokens is None else f"{spent.tokens} tokens"
    usd = "dollars unknown" if spent.usd is None else f"{spent.usd:.4f} dollars"
    paid = f"{spent.rollouts} rollouts paid and {spent.cached} known, {tokens}, {usd}"
    return f"{paid}, {spent.seconds:.1f} s"


def _look(found: "Evaluation") -> "Iterator[str]":
    look = found.look
    if look is not None and look.known:
        yield f"  look          {look.look}, taken before: nothing was spent"
    elif look is not None:
        yield (
            f"  look          {look.look}, which spent {look.spend:.2g} of the allowance: the next may spend"
            f" {look.next_spend:.2g}"
        )


def _failing(failing: "tuple[Failing, ...]", clean: "Callable[[str], str]") -> "Iterator[str]":
    if failing:
        yield "  failing:"
    for each in failing[:_TASKS]:
        yield f"  - {each.trajectory} ({each.where}): {each.score:.3f}"
        yield from (f"      {_told(said, clean, _WIDE)}" for said in each.feedback[:_FEEDBACK])
        if len(each.feedback) > _FEEDBACK:
            yield f"      and {len(each.feedback) - _FEEDBACK} more"
    if len(failing) > _TASKS:
        yield f"  - and {len(failing) - _TASKS} more tasks (--json has them all)"


def _told(feedback: str, clean: "Callable[[str], str]", most: int) -> str:
    """Give feedback, which quotes outputs, without secrets, in characters that print, and not too long."""
    from runbookopt.documents.schema_errors import plain

    text = plain(clean(feedback))
    return text if len(text) <= most else f"{text[: most - 3]}..."
