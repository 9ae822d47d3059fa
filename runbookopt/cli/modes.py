"""`runbookopt modes`: failure modes that people named, and names for groups of what has none yet."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runbookopt.cli import custody
from runbookopt.cli.flags import Flags, Json, runbooks_here, settings_of, takes_settings
from runbookopt.cli.job import interruptible, job_of, told
from runbookopt.cli.root import named
from runbookopt.cli.terminal import complain, print_json, say, warn
from runbookopt.errors import Awaiting, RunbookoptError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.verifiers.modes import FailureModes, Group, Namer
    from runbookopt.project.project import Project

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A runbook, as `runbookopt check` names it.",
        show_default=False,
        autocompletion=runbooks_here,
    ),
]
ByWhat = Annotated[
    str, typer.Option("--by", help="How notes are grouped: text (scikit-learn) or model (the reflector).")
]
Named = Annotated[
    list[str] | None,
    typer.Option("--name", metavar="GROUP=MODE", help="Name a group that was shown; may be given again."),
]

_NOTES = 3
_NOTE = 110


@takes_settings("reflector.kind", "reflector.model")
def modes(
    name: Name,
    *,
    by: ByWhat = "text",
    names: Named = None,
    flags: Flags,
    json: Json = False,
) -> None:
    """Count the failure modes that people named, and group what has no name yet.

    Groups are proposals: of notes without a failure mode, and of failures that nobody has labelled. Each has
    an id; --name ID="a name" writes that name into labels: beside each note, and for each failure without a
    label, into trajectories/NAME/LOGIN.labels.jsonl. Held-out tasks are shown to nobody, and not grouped.

    Exit status: 0 done, 1 something to act on, 2 wrong usage, 4 replies are awaited (hand-off).
    """
    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.verifiers.modes import BY

    if by not in BY:
        raise WrongUsage(f"--by: expected {' or '.join(BY)}, got '{by}'")
    given = _given(names or ())
    custody.drop()  # a model may be asked
    with Repository.open(Path.cwd()) as repository:
        name = named(repository.root, name)
        try:
            with interruptible(name):
                project, found = _found(repository, name, by, flags)
        except Awaiting as error:
            complain(told(name, error))
            raise typer.Exit(error.status) from None
        if given and found.not_grouped:
            raise RunbookoptError(found.not_grouped)
        made = _name(repository, project, found, given) if given else {}
    if found.not_grouped:
        complain(found.not_grouped)
    if json:
        print_json(_as_json(found, made))
        return
    for line in _written(project, made) if made else _page(found):
        say(line)


def _given(names: "Sequence[str]") -> "dict[str, str]":
    given = {}
    for each in names:
        id_, equals, mode = each.partition("=")
        if not equals:
            raise WrongUsage(f'--name: expected GROUP=MODE, such as 3fa2c1="wrong tone", got {each!r}')
        given[id_.strip()] = mode
    return given


def _found(repository: "Repository", name: str, by: str, flags: Flags) -> "tuple[Project, FailureModes]":
    from runbookopt.evidence.library import Folder
    from runbookopt.jobs.verifiers.modes import asked, failure_modes
    from runbookopt.project.project import read_project

    project = read_project(Folder(repository.root), name)
    warn(project.warnings)
    if by == "text":
        return project, failure_modes(project, "text")
    root = repository.root
    job = job_of(name, settings_of(root, name, flags), root, propose=False, look=False, flags=flags)
    return project, failure_modes(project, "model", asked(repository, job))


def _name(
    repository: "Repository", project: "Project", found: "FailureModes", given: "Mapping[str, str]"
) -> dict[str, int]:
    from runbookopt.jobs.verifiers.modes import name_groups

    return name_groups(project, found, given, _namer(repository, project))


def _namer(repository: "Repository", project: "Project") -> "Namer":
    """Who names here, and into which file. Raises RunbookoptError where nobody is named."""
    from runbookopt.cli.trajectories import redaction_of
    from runbookopt.jobs.verifiers.labelling import label_file_name, login_of
    from runbookopt.jobs.verifiers.modes import Namer

    login = login_of(repository.identity() or "")
    if not login:
        raise RunbookoptError("say who you are before you name anything: git config runbookopt.login NAME")
    return Namer(
        login=login,
        file=repository.root / project.places.stored / label_file_name(login),
        redaction=redaction_of(repository.root, project.name),
        now=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )


def _written(project: "Project", made: "Mapping[str, int]") -> "Iterator[str]":
    for mode, lines in made.items():
        yield f"{project.name}: {lines} labels say '{mode}' now; commit them"


def _page(found: "FailureModes") -> "Iterator[str]":
    failures = sum(mode.failures for mode in found.modes)
    nameless = f"; {found.unnamed} that people failed have no name" if found.unnamed else ""
    yield f"{found.runbook}: {len(found.modes)} failure modes, in {failures} failures{nameless}"
    for mode in found.modes:
        disputed = f", {mode.disputed} disputed" if mode.disputed else ""
        rate = ""
        if mode.rate is not None and mode.rate.value is not None:
            low, high = (100 * (each or 0.0) for each in (mode.rate.low, mode.rate.high))
            rate = f"; {100 * mode.rate.value:.0f} % of all outputs ({low:.0f} to {high:.0f})"
        yield f"  {mode.name}: {mode.failures}, {100 * mode.volume:.0f} % of the failures{rate}{disputed}"
        if mode.enough:
            yield f"    labels      enough for a criterion: runbookopt criteria suggest {found.runbook}"
        else:
            yield (
                f"    labels      about {mode.failures_needed} more that show it and"
                f" {mode.passes_needed} that do not, before a criterion can decide"
            )
    if found.unseen is not None:
        yield f"  {found.unseen}"
    yield from _proposed(found)


def _proposed(found: "FailureModes") -> "Iterator[str]":
    if found.groups:
        how = "their words" if found.by == "text" else "the reflector"
        yield ""
        yield f"without a name, grouped by {how}; the names are proposals:"
    for group in found.groups:
        yield f"  {group.id}  {len(group.notes):>4}  {group.name}"
        yield from (f"                {line}" for line in _notes(group))
    if found.alone:
        yield f"  {found.alone} are like no other"
    if found.withheld:
        yield f"  not shown: {found.withheld} failures of held-out tasks, which a proof is to be about"
    if found.groups:
        yield f'name one: runbookopt modes {found.runbook} --name {found.groups[0].id}="what goes wrong"'


def _notes(group: "Group") -> "Iterator[str]":
    texts = dict.fromkeys(note.text for note in group.notes)
    for text in list(texts)[:_NOTES]:
        yield text if len(text) <= _NOTE else f"{text[: _NOTE - 3]}..."


def _as_json(found: "FailureModes", made: "Mapping[str, int]") -> dict[str, Any]:
    """The one line of `--json`: all keys present, null where there is nothing."""
    from msgspec import to_builtins

    card: dict[str, Any] = to_builtins(found)
    card["modes"] = [
        {**each, "enough": mode.enough} for each, mode in zip(card["modes"], found.modes, strict=True)
    ]
    card["unseen_sentence"] = None if found.unseen is None else str(found.unseen)
    card["groups"] = [
        {
            "id": group.id,
            "name": group.name,
            "notes": [
                {name: getattr(note, name) for name in ("trajectory", "criterion", "text")}
                | {"labelled": note.rating is not None}
                for note in group.notes
            ],
        }
        for group in found.groups
    ]
    return card | {"named": dict(made)}
