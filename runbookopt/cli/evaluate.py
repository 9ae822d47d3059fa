"""`runbookopt evaluate`: the score of any version of a runbook on one part of its tasks."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from runbookopt.cli import custody
from runbookopt.cli.flags import Flags, Json, ShowFigures, runbooks_here, settings_of, takes_settings
from runbookopt.cli.job import job_of, told, under_way
from runbookopt.cli.root import named
from runbookopt.cli.terminal import Line, complain, print_json, say_lines, warn
from runbookopt.cli.turns import in_turn
from runbookopt.errors import Awaiting, Invalid, RunbookoptError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runbookopt.evidence.trajectory import Part
    from runbookopt.jobs.evaluate import Evaluation
    from runbookopt.jobs.scorecard import Failing, Scorecard

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A runbook, as `runbookopt check` names it.",
        show_default=False,
        autocompletion=runbooks_here,
    ),
]
Revision = Annotated[
    str | None, typer.Option(metavar="REV", help="A commit, branch or tag to read the runbook at.")
]
Split = Annotated[str, typer.Option(help="Which tasks: train, validation or held-out.")]
SpendLook = Annotated[
    bool, typer.Option("--spend-look", help="Open the held-out tasks; the ledger records the look for good.")
]

Yes = Annotated[bool, typer.Option("--yes", help="Spend the look without being asked.")]

_TASKS = 10
_FEEDBACK = 3
_WIDE = 200
_LONG = 600


@takes_settings(
    "agent.kind",
    "agent.model",
    "budget.rollouts",
    "budget.usd",
    "width",
    budget_rollouts="Rollouts it may take.",
)
def evaluate(  # noqa: PLR0913 - each is a flag
    name: Name,
    *,
    revision: Revision = None,
    split: Split = "validation",
    spend_look: SpendLook = False,
    yes: Yes = False,
    show_figures: ShowFigures = False,
    flags: Flags,
    json: Json = False,
) -> None:
    """Score a runbook as it stands, or as it stood at a git revision, with the settings' agent.

    Rubric, policy and tasks are those of the working tree. What is in the journal is not paid again;
    interrupted, the same command goes on where it was. To look at held-out tasks spends of the allowance that
    all proofs of the runbook share, and takes --spend-look, which says how much and asks; without a terminal
    it takes --yes too. What was asked before costs nothing more. The figures take --show-figures.

    Exit status: 0 done, whatever the score; 1 something to act on (also when too many calls came to nothing,
    and not by the agent's fail: then there is no score), 2 wrong usage, 4 replies are awaited (hand-off),
    130 interrupted.
    """
    part = _part(split, spend_look=spend_look)
    custody.drop()  # agents and programs of the repository run here
    from msgspec.structs import replace

    from runbookopt.documents.redaction import Redactor
    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.evaluate import evaluate as run
    from runbookopt.jobs.evaluate import look_price

    with Repository.open(Path.cwd()) as repository:
        root = repository.root
        name = named(root, name)
        settings = settings_of(root, name, flags)
        there = repository.has_origin()
        job = job_of(name, settings, root, propose=there, look=spend_look, flags=flags)
        job = replace(job, show_figures=show_figures)
        if spend_look and not yes:
            _ask(name, look_price(repository, job, revision))
        try:
            with under_way(name) as tell, in_turn(repository.root, name):
                evaluation = run(repository, job, part=part, revision=revision, progress=tell)
        except (Awaiting, Invalid) as error:
            complain(told(name, error))
            if json:
                print_json(_unfinished_as_json(name, part, error))
            raise typer.Exit(error.status) from None
    warn(evaluation.warnings)
    clean = Redactor(os.environ).clean
    if json:
        print_json(_as_json(evaluation, clean))
    else:
        say_lines(_page(evaluation, clean))
    sys.stdout.flush()


def _ask(name: str, price: str | None) -> None:
    """Ask on the terminal whether the look is to be spent. Raises WrongUsage where there is none."""
    if price is None:
        return
    if not sys.stdin.isatty():
        raise WrongUsage(f"{name}: {price}; there is no terminal to ask on, so add --yes to spend it")
    if not typer.confirm(f"{name}: {price}. Spend it?", err=True):
        raise RunbookoptError(f"{name}: no look was spent")


def _part(split: str, *, spend_look: bool) -> "Part":
    """The part that `--split` names; raises WrongUsage."""
    from runbookopt.documents.schema_errors import nearest, plain
    from runbookopt.evidence.trajectory import Part

    parts: dict[str, Part] = {part: part for part in get_args(Part)}
    if split not in parts:
        raise WrongUsage(
            f"--split: expected one of {', '.join(parts)}, got '{plain(split)}'{nearest(split, parts)}"
        )
    if spend_look and parts[split] != "held-out":
        raise WrongUsage("--spend-look goes with --split held-out: other tasks cost no look")
    return parts[split]


def _as_json(evaluation: "Evaluation", clean: "Callable[[str], str]") -> dict[str, Any]:
    """The one line of `--json`: all keys present, null where something is unknown."""
    from msgspec.structs import asdict

    from runbookopt.jobs.scorecard import Scorecard

    untold = dict.fromkeys(Scorecard.__struct_fields__)
    scores = untold if evaluation.scores is None else asdict(evaluation.scores)
    if evaluation.scores is not None and evaluation.scores.failing is not None:
        scores["failing"] = [
            {**asdict(each), "feedback": [_short(text, clean, _LONG) for text in each.feedback]}
            for each in evaluation.scores.failing
        ]
    card: dict[str, Any] = {"outcome": "scored", "reason": None}
    for key, value in asdict(evaluation).items():
        card |= scores if key == "scores" else {key: value}
    card["health"] = evaluation.health.as_record()
    del card["warnings"]
    return card | {"awaiting": None}


def _unfinished_as_json(name: str, part: "Part", error: Awaiting | Invalid) -> dict[str, Any]:
    """The one line of `--json` of an evaluation that came to no score: the keys of `_as_json`."""
    from msgspec.structs import fields

    from runbookopt.cli.handoff import as_json
    from runbookopt.documents.schema_errors import plain
    from runbookopt.jobs.evaluate import Evaluation
    from runbookopt.jobs.scorecard import Scorecard

    of_both = {field.name: None for record in (Evaluation, Scorecard) for field in fields(record)}
    known = {
        "runbook": name,
        "split": part,
        "spent": error.spent,
        "look": error.look and {"look": error.look},
    }
    awaiting = as_json(error) if isinstance(error, Awaiting) else None
    outcome = {"outcome": "invalid" if awaiting is None else "awaiting_replies"}
    reason = plain(str(error)) if awaiting is None else awaiting["next"]
    found = outcome | {"reason": reason} | of_both | known | {"awaiting": awaiting}
    return {key: value for key, value in found.items() if key not in {"scores", "warnings"}}


def _page(evaluation: "Evaluation", clean: "Callable[[str], str]") -> "Iterator[Line]":
    scores = evaluation.scores
    source = "the working tree" if evaluation.revision is None else f"commit {evaluation.revision[:12]}"
    version = f" (version {evaluation.version})" if evaluation.version else ""
    title = f"{version} of {source}: "
    score = "its score is not told" if scores is None else f"{scores.score:.3f}"
    yield (evaluation.runbook, "bold"), (title, ""), (score, "bold")
    yield f"  health        {evaluation.health.line}"
    yield from _rates(scores, evaluation.split) if scores else ()
    if red := evaluation.red_team:
        yield f"  red team      {red.score:.3f} on {red.tasks} tasks by themselves; {red.passed} pass"
    models = "".join(f", {role} {model}" for role, model in evaluation.models.items())
    yield f"  agent         {evaluation.agent}{models}"
    spent = evaluation.spent
    silent = f" ({spent.usage.uncounted} replies have no `usage`)" if spent.usage.uncounted else ""
    tokens = f"tokens unknown{silent}" if spent.tokens is None else f"{spent.tokens} tokens"
    usd = "dollars unknown" if spent.usd is None else f"{spent.usd:.4f} dollars"
    used = f"{tokens}, {usd}, {spent.seconds:.1f} s"
    yield f"  spent         {spent.rollouts} rollouts paid and {spent.cached} known, {used}"
    if look := evaluation.look:
        new = f"which spent {look.spend:.2g} of the allowance: the next may spend {look.next_spend:.2g}"
        yield f"  look          {look.look}, {'taken before: nothing was spent' if look.known else new}"
        yield f"  chance        spent so far on this runbook: {look.spent:.2g}; left: {look.left:.2g}"
    yield from _failing((scores and scores.failing) or (), clean)
    yield from (f"  {note}" for note in evaluation.notes)
    yield ""


def _rates(scores: "Scorecard", part: str) -> "Iterator[str]":
    from runbookopt.documents.schema_errors import plain

    times = f", {scores.repeats} times each" if scores.repeats > 1 else ""
    yield f"  score         {scores.score:.3f} on {scores.tasks} {part} tasks{times}; {scores.passed} pass"
    yield from (f"  objective     {share:.3f} {name}" for name, share in scores.objectives.items())
    for name, rate in scores.criteria.items():
        errors = f", {rate.errors} could not be judged" if rate.errors else ""
        fate = "" if rate.decides else f"; {rate.status}, so it decides nothing"
        counts = f"{rate.passed} passed, {rate.failed} failed{errors}{fate}"
        yield f"  criterion     {rate.share:.3f} {name}: {counts}"
    if scores.errors:
        yield f"  errors        {scores.errors} attempts with a verdict that could not be had, scored as 0"
    if scores.without_output:
        why = ", ".join(f"{count} {plain(reason)}" for reason, count in scores.why_without.items())
        yield f"  no output     {scores.without_output} attempts{f': {why}' if why else ''}"
    if scores.unanswered:
        yield f"  no score      {scores.unanswered} attempts that came to nothing, by nobody's fail"


def _failing(failing: "tuple[Failing, ...]", clean: "Callable[[str], str]") -> "Iterator[str]":
    if failing:
        yield "  failing:"
    for each in failing[:_TASKS]:
        yield f"  - {each.trajectory} ({each.where}): {each.score:.3f}"
        yield from (f"      {_short(text, clean, _WIDE)}" for text in each.feedback[:_FEEDBACK])
        if len(each.feedback) > _FEEDBACK:
            yield f"      and {len(each.feedback) - _FEEDBACK} more"
    if len(failing) > _TASKS:
        yield f"  - and {len(failing) - _TASKS} more tasks (--json has them all)"


def _short(feedback: str, clean: "Callable[[str], str]", most: int) -> str:
    """Feedback, which quotes outputs, without secrets, in characters that print, and not too long."""
    from runbookopt.documents.schema_errors import plain

    text = plain(clean(feedback))
    return text if len(text) <= most else f"{text[: most - 3]}..."
