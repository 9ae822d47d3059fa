"""`runbookopt label`: people say what went wrong in stored trajectories, on a local page or here."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from runbookopt.cli.flags import Json, runbooks_here
from runbookopt.cli.root import named, whole_here
from runbookopt.cli.terminal import complain, print_json, say, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbookopt.jobs.verifiers.labelling import Desk, Sitting
    from runbookopt.project.project import Project

Name = Annotated[str, typer.Argument(metavar="NAME", help="A runbook.", autocompletion=runbooks_here)]


def label(  # noqa: PLR0913 - each is a flag
    name: Name,
    *,
    failure_mode: Annotated[
        str | None, typer.Option(metavar="MODE", help="Those that are most like this failure mode.")
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="At most so many trajectories.")] = 40,
    frame: Annotated[
        str, typer.Option(help="discovery: what teaches most; representative: drawn as all are, for rates.")
    ] = "discovery",
    held_out: Annotated[
        bool,
        typer.Option("--held-out", help="Also those of held-out tasks, which prove nothing from then on."),
    ] = False,
    disputed: Annotated[
        bool, typer.Option("--disputed", help="Only those on which people disagree, yours among them.")
    ] = False,
    terminal: Annotated[bool, typer.Option("--terminal", help="Ask here, not on a page.")] = False,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all labels: .csv, or .json for annotations."),
    ] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="Add the labels of such a file.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say how many labels each criterion lacks before it can decide.")
    ] = False,
    json: Json = False,
) -> None:
    """Label stored trajectories: a note in your words, pass or fail by criterion, and a failure mode.

    It prints the address of a page of this computer, which holds a token: nobody without it is answered. Each
    answer is a line of trajectories/NAME/LOGIN.labels.jsonl at once: the same command goes on after any end.
    LOGIN is git config runbookopt.login, else the name in user.email. --plan and --json go together.

    With --held-out the ledger at origin says, before the first one is shown, which held-out tasks are: they
    count as read from then on, and no later proof rests on them. It is said how many are left.

    Exit status: 0, or 1 where a file to import has lines that are no labels.
    """
    from runbookopt.errors import WrongUsage
    from runbookopt.evidence.library import Folder
    from runbookopt.evidence.trajectory import Frame
    from runbookopt.jobs.verifiers.labelling import Sitting
    from runbookopt.jobs.verifiers.labelling_order import Wanted
    from runbookopt.project.project import read_project

    if sum(map(bool, (terminal, export, import_, plan))) > 1:
        raise WrongUsage("give one of --terminal, --export, --import and --plan")
    if json and not plan:
        raise WrongUsage("--json goes with --plan")
    if frame not in get_args(Frame):
        raise WrongUsage(f"--frame: expected {' or '.join(get_args(Frame))}, got '{frame}'")
    if sum((failure_mode is not None, frame != "discovery", disputed)) > 1:
        raise WrongUsage("give one of --failure-mode, --disputed and --frame representative")
    top = whole_here()
    project = read_project(Folder(top), named(top, name))
    warn(project.warnings)
    if export is not None:
        _export(project, export)
    elif import_ is not None:
        _import(project, top, import_)
    elif plan:
        _plan(project, top, json=json)
    else:
        wanted = Wanted(sample, frame, failure_mode, held_out, disputed)  # type: ignore[arg-type]  # looked at above
        _sit(Sitting(project, _desk(project, top), wanted), top, terminal=terminal)


def _sit(sitting: "Sitting", top: Path, *, terminal: bool) -> None:
    from runbookopt.cli.label_terminal import ask
    from runbookopt.jobs.verifiers.labelling import answers
    from runbookopt.pages.server import page_named, serving

    for line in _told(sitting, sitting.draw()):
        say(line)
    if not sitting.order.ids:
        return
    if sitting.wanted.held_out:
        _read_from_now_on(sitting, top)
    if terminal:
        ask(sitting)
        say(_saved(sitting))
        return

    def end(_: object) -> object:
        served.end()
        return {}

    with serving(page_named("label.html"), {**answers(sitting), "end": end}) as served:
        say(f"\nOpen this in a browser here: {served.address}")
        say("Finish there with q, or here with Ctrl-C: each answer is kept as soon as it is given.")
        served.wait()
    say(_saved(sitting))


def _saved(sitting: "Sitting") -> str:
    if not sitting.saved:
        return "nothing was labelled"
    path = f"{sitting.project.places.stored}/{sitting.desk.file.name}"
    return f"{len(sitting.saved)} labelled: see {path}, and commit it"


def _read_from_now_on(sitting: "Sitting", top: Path) -> None:
    """Have the ledger say which held-out tasks are shown, before they are, and tell what that costs."""
    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.verifiers.labelling_held_out import read_from_now_on

    with Repository.open(top) as repository:
        read = read_from_now_on(repository, sitting.project, sitting.order, sitting.desk.now())
    if read is not None:
        say(
            f"  {read.tasks} held-out tasks are among them, and count as read from now on by the ledger:"
            f" no later proof rests on them, and {read.left} are left"
        )
        say("  write neither runbook nor rubric by what you read there")


def _desk(project: "Project", top: Path) -> "Desk":
    """Who labels here, and into which file. Raises RunbookoptError where nobody is named."""
    from datetime import UTC, datetime

    from runbookopt.cli.trajectories import redaction_of
    from runbookopt.errors import RunbookoptError
    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.verifiers.labelling import Desk, label_file_name, login_of

    with Repository.open(top) as repository:
        rater = login_of(repository.identity() or "")
    if not rater:
        raise RunbookoptError("say who you are before you label: git config runbookopt.login NAME")
    return Desk(
        rater=rater,
        file=top / project.places.stored / label_file_name(rater),
        redaction=redaction_of(top, project.name),
        now=lambda: f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )


def _told(sitting: "Sitting", adopted: int) -> "Iterator[str]":
    """What is there to label, what is not offered, and how far people agree so far."""
    from runbookopt.jobs.verifiers.labelling import agreement
    from runbookopt.jobs.verifiers.labelling_order import KINDS

    order, name = sitting.order, sitting.project.name
    done = f", {order.done} of the sample are labelled" if order.done else ""
    yield f"{name}: {len(order.ids)} trajectories to label, by {sitting.desk.rater}{done}"
    if sitting.wanted.frame == "discovery":
        yield from (f"  {count:>4} {KINDS[kind]}" for kind, count in order.kinds.items())
    if adopted:
        yield f"  {adopted} were labelled before they were drawn, and count as drawn now"
    if order.held_out:
        yield f"  not offered: {order.held_out} of held-out tasks, which a proof is to be about (--held-out)"
    if order.broken:
        yield f"  not offered: {order.broken} without an output"
    yield from (f"  {line}" for line in agreement(sitting.ratings))


def _export(project: "Project", path: Path) -> None:
    from msgspec.json import encode
    from msgspec.json import format as indented

    from runbookopt.errors import RunbookoptError, WrongUsage
    from runbookopt.evidence.labels.annotations import annotations_of
    from runbookopt.evidence.labels.table import table_of

    labels = project.evidence.labels
    match path.suffix.casefold():
        case ".csv":
            data = table_of(labels).encode()
        case ".json":
            data = indented(encode(annotations_of(labels)), indent=1) + b"\n"
        case _:
            raise WrongUsage(f"--export: expected a name that ends in .csv or .json, got {path.name!r}")
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise RunbookoptError(f"{path}: is there already: name another file, or remove it") from None
    except OSError as error:
        raise RunbookoptError(f"{path}: cannot be written: {error.strerror}") from error
    say(f"{path}: {len(labels)} labels")


def _import(project: "Project", top: Path, path: Path) -> None:
    from runbookopt.cli.trajectories import redaction_of
    from runbookopt.errors import RunbookoptError
    from runbookopt.jobs.verifiers.labels_imported import import_labels

    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunbookoptError(f"{path}: cannot be read: {error.strerror}") from error
    done = import_labels(
        project, top / project.places.stored, data, str(path), redaction_of(top, project.name)
    )
    say(f"imported   {done.new} labels")
    if done.unchanged:
        say(f"unchanged  {done.unchanged} were there already")
    if done.removed:
        say(f"removed    {done.removed}")
    for problem in done.problems:
        complain(f"{problem}")
    raise typer.Exit(1 if done.left_out else 0)


def _plan(project: "Project", top: Path, *, json: bool) -> None:
    from datetime import UTC, datetime

    from runbookopt.calibration.labels import standing
    from runbookopt.calibration.planner import plan_in_words, plan_of
    from runbookopt.evidence.library import Folder
    from runbookopt.jobs.verifiers.calibrate import record_in, record_path

    record = record_in(Folder(top), record_path(project.places))
    standings = project.standings_at(datetime.now(UTC))
    planned = plan_of(standings, standing(project.evidence.labels), record)
    if json:
        print_json({"runbook": project.name, "criteria": planned})
        return
    for each in planned:
        say(plan_in_words(each))
