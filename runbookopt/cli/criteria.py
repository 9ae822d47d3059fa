"""`runbookopt criteria suggest`: criteria for failure modes that none notices, held against labels."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runbookopt.cli import custody
from runbookopt.cli.flags import Flags, Json, forge_of, group, runbooks_here, settings_of, takes_settings
from runbookopt.cli.job import interruptible, job_of, told
from runbookopt.cli.root import named
from runbookopt.cli.terminal import complain, print_json, say, warn
from runbookopt.cli.turns import in_turn
from runbookopt.errors import Awaiting, RunbookoptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbookopt.calibration.agreement import Estimate
    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.verifiers.suggest import Candidate, Suggested, Suggestions
    from runbookopt.landing.criteria.propose import ProposedCriteria
    from runbookopt.verifier.rubric import Criterion
    from runbookopt.verifier.rubric_patch import Patch

app = group("criteria", "Criteria of a rubric that come from what people labelled.")

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A runbook, as `runbookopt check` names it.",
        show_default=False,
        autocompletion=runbooks_here,
    ),
]
Propose = Annotated[
    bool, typer.Option("--propose", help="Open a pull request that adds what is offered; people merge it.")
]


@app.callback()
def _group() -> None:
    """Criteria of a rubric that come from what people labelled."""


@app.command()
@takes_settings("reflector.kind", "reflector.model", "budget.usd", "width")
def suggest(
    name: Name,
    *,
    propose: Propose = False,
    flags: Flags,
    json: Json = False,
) -> None:
    """Suggest a criterion for each failure mode that has labels enough and no criterion that decides.

    Candidates are a rule mined from labelled outputs, a check against the reference, and, where the reflector
    is a model or somebody at hand, a question for the rubric's judge. Each is made of the labels that may be
    shown, then held against those kept to test on; the best that may decide is offered as a patch of
    rubric.yaml with its figures, and all else is refused with its figures. That is a look at labels, which
    calibration.json says from then on: commit it. calibrate takes it over once the rubric has the criterion.

    Exit status: 0 done, whatever is offered; 1 something to act on, 2 wrong usage, 4 replies are awaited
    (hand-off), 130 interrupted.
    """
    from runbookopt.forge.git.repository import Repository

    with Repository.open(Path.cwd()) as repository:
        name = named(repository.root, name)
        if propose:
            _propose(repository, name, flags, json=json)
            return
        custody.drop()  # a judge or a reflector may be asked
        try:
            with in_turn(repository.root, name), interruptible(name):
                suggestions, patch = _suggestions(repository, name, flags)
        except Awaiting as error:
            complain(told(name, error))
            raise typer.Exit(error.status) from None
    if json:
        print_json(_as_json(suggestions, patch))
    else:
        for line in _page(suggestions, patch):
            say(line)


def _suggestions(
    repository: "Repository", name: str, flags: Flags
) -> "tuple[Suggestions, Patch | RunbookoptError | None]":
    from runbookopt.evidence.library import Folder
    from runbookopt.jobs.verifiers.suggest import suggest as run
    from runbookopt.project.project import read_project
    from runbookopt.verifier.rubric_patch import patch

    source = Folder(repository.root)
    project = read_project(source, name)
    warn(project.warnings)
    settings = settings_of(repository.root, name, flags)
    job = job_of(name, settings, repository.root, propose=False, look=False, flags=flags)
    suggestions = run(repository, project, job)
    if not suggestions.offered:
        return suggestions, None
    try:
        return suggestions, patch(project.files[1], source.read(project.files[1]), suggestions.offered)
    except (RunbookoptError, FileNotFoundError) as error:
        return suggestions, RunbookoptError(f"{error}: add these to {project.files[1]} by hand")


# Proposing ----------------------------------------------------------------------------------------------


def _propose(repository: "Repository", name: str, flags: Flags, *, json: bool) -> None:
    """Have a process without the token suggest, then propose what it offers: this one asks no model."""
    from msgspec.json import decode

    from runbookopt.landing.criteria.propose import Described, propose_criteria
    from runbookopt.verifier.rubric import Criterion

    given = [f"{key}={value}" for key, value in flags.items()]
    settings = [part for each in given for part in ("--set", each)]
    command = [sys.executable, "-m", "runbookopt", "criteria", "suggest", name, "--json", *settings]
    with interruptible(name):
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False, cwd=repository.root)
    if done.returncode:
        raise typer.Exit(done.returncode)
    card: dict[str, Any] = decode(done.stdout)
    offered = [each for each in card["suggested"] if each["outcome"] == "offered"]
    described = [
        Described(decode(_encoded(each["criterion"]), type=Criterion), each["mode"], each["figures"])
        for each in offered
    ]
    proposed = None
    if described:
        forge = forge_of(repository, settings_of(repository.root, name, {}))
        with repository.asked_once():
            proposed = propose_criteria(repository, forge, name, described)
    if json:
        print_json(card | {"proposed": _proposed_as_json(proposed)})
        return
    for line in (*_said(card), *card["notes"], *_proposal(proposed)):
        say(line)


def _encoded(value: object) -> bytes:
    from msgspec.json import encode

    return encode(value)


def _said(card: dict[str, Any]) -> "Iterator[str]":
    for each in card["suggested"]:
        why = each["figures"] if each["outcome"] == "offered" else each["reason"]
        yield f"{each['mode']}: {each['outcome']}: {why}"


def _proposal(proposed: "ProposedCriteria | None") -> "Iterator[str]":
    if proposed is None:
        yield "nothing is offered, so nothing is proposed"
    elif proposed.pull_request is None:
        yield f"not proposed: {proposed.note}"
    else:
        yield f"pull request {proposed.pull_request.number} on {proposed.branch}, for review:"
        yield f"  runbookopt pulls show {proposed.pull_request.number}"


def _proposed_as_json(proposed: "ProposedCriteria | None") -> dict[str, Any] | None:
    if proposed is None:
        return None
    pull = proposed.pull_request
    number = None if pull is None else {"number": pull.number, "url": pull.url}
    return {"branch": proposed.branch, "pull_request": number, "note": proposed.note or None}


# What is said -------------------------------------------------------------------------------------------


def _as_json(suggestions: "Suggestions", patch: "Patch | RunbookoptError | None") -> dict[str, Any]:
    """The one line of `--json`: all keys present, null where there is nothing."""
    from msgspec import to_builtins

    before, after = suggestions.coverage, suggestions.after
    made = None if patch is None or isinstance(patch, RunbookoptError) else patch
    return {
        "runbook": suggestions.runbook,
        "coverage": {"count": before.count, "volume": before.volume},
        "coverage_after": {"count": after.count, "volume": after.volume},
        "covered": suggestions.covered,
        "suggested": [_one_as_json(each) for each in suggestions.suggested],
        "patch": made.diff if made else None,
        "usage": to_builtins(suggestions.used),
        "notes": [*suggestions.notes, *([str(patch)] if isinstance(patch, RunbookoptError) else [])],
        "proposed": None,
    }


def _one_as_json(suggested: "Suggested") -> dict[str, Any]:
    from msgspec import to_builtins

    from runbookopt.verifier.rubric_patch import yaml_of

    best = suggested.best
    return {
        "mode": suggested.mode.name,
        "key": suggested.mode.key,
        "labels": {
            "failures": suggested.mode.failures,
            "passes": suggested.mode.passes,
            "disputed": suggested.mode.disputed,
        },
        "outcome": "offered" if best else "refused",
        "reason": suggested.refused or None,
        "criterion": _criterion(best.criterion) if best else None,
        "yaml": "\n".join(yaml_of(best.criterion)) if best else None,
        "figures": _figures(best) if best else None,
        "candidates": [
            {
                "kind": each.kind,
                "status": each.status,
                "level": each.level,
                "criterion": _criterion(each.criterion),
                "figures": to_builtins(each.figures),
                "needed": each.needed,
            }
            for each in suggested.candidates
        ],
        "notes": suggested.notes,
    }


def _criterion(criterion: "Criterion") -> dict[str, Any]:
    """A criterion as rubric.yaml has it, without what is not said."""
    from msgspec import to_builtins

    told: dict[str, Any] = {key: value for key, value in to_builtins(criterion).items() if value is not None}
    if "check" in told:
        told["check"] = {key: value for key, value in told["check"].items() if value is not None}
    return told


def _page(suggestions: "Suggestions", patch: "Patch | RunbookoptError | None") -> "Iterator[str]":
    yield f"{suggestions.runbook}: {suggestions.coverage}"
    if not suggestions.suggested and not suggestions.covered:
        name = suggestions.runbook
        yield f"  no failure mode has a name yet: runbookopt label {name}, or runbookopt modes {name}"
    for each in suggestions.suggested:
        yield from _one(each)
    yield from (f"  {note}" for note in suggestions.notes)
    if suggestions.used.calls:
        usd = "dollars unknown" if suggestions.used.usd is None else f"{suggestions.used.usd:.4f} dollars"
        yield f"  spent         {suggestions.used.calls} calls to models, {usd}"
    if patch is None:
        return
    yield ""
    if isinstance(patch, RunbookoptError):
        yield str(patch)
        return
    yield from patch.diff.split("\n")
    yield ""
    yield f"with all of it: {suggestions.after}"
    yield f"next: runbookopt criteria suggest {suggestions.runbook} --propose, or add it by hand"


def _one(suggested: "Suggested") -> "Iterator[str]":
    mode, best = suggested.mode, suggested.best
    disputed = f", {mode.disputed} disputed" if mode.disputed else ""
    yield f"{mode.name}: {'offered' if best else 'refused'}"
    yield f"  labels        {mode.failures} show it, {mode.passes} do not{disputed}"
    for each in suggested.candidates:
        yield f"  {each.kind:<13} {each.status}: {_figures(each)}"
    if suggested.refused:
        yield f"  why           {suggested.refused}"
    yield from (f"  note          {note}" for note in suggested.notes)


def _figures(candidate: "Candidate") -> str:
    """How a candidate agrees with the labels that it was not made of, in one line."""
    figures = candidate.figures
    return (
        f"MCC {_estimate(figures.mcc)}, TPR {_estimate(figures.tpr)}, TNR {_estimate(figures.tnr)}"
        f" on {figures.passes} that pass and {figures.fails} that fail, not used to make it"
        f" (bound at {100 * (1 - candidate.level):g} %)"
    )


def _estimate(estimate: "Estimate") -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "unknown"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"
