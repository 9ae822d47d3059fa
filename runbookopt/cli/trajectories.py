"""`runbookopt trajectories`: import files of other tools, and list, show and count what is stored."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runbookopt.cli.flags import Json, group, runbooks_here
from runbookopt.cli.root import named, names_here, whole_here
from runbookopt.cli.terminal import complain, print_json, say
from runbookopt.cli.trajectory_page import account, outcome, page, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbookopt.evidence.formats.native import Line
    from runbookopt.evidence.formats.reader import Format
    from runbookopt.evidence.privacy import Redaction
    from runbookopt.evidence.reading import Gathered, Recognized
    from runbookopt.evidence.trajectory import Trajectory
    from runbookopt.project.layout import Places

app = group("trajectories", "Import trajectories of other tools; list, show and count what is stored.")

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]", show_default="all runbooks", help="A runbook's name.", autocompletion=runbooks_here
    ),
]


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files, or folders of them.")],
    *,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="FORMAT", help="Their format.", show_default="seen by content"),
    ] = None,
    runbook: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The runbook.", show_default="the only one", autocompletion=runbooks_here
        ),
    ] = None,
    map_: Annotated[
        str | None,
        typer.Option(
            "--map",
            metavar="FIELD=KEY,...",
            help="Which key is what: input=question,output=a.text",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Import trajectories of other tools into lines of our own, below trajectories/NAME/.

    A record that is there already is not imported again, so the same command can be repeated. What a file
    holds and a trajectory cannot is counted by name. Files may be packed with gzip or Zstandard.

    Fields for --map: input, output, reference, group, id, error, agent, model, started_at.

    Exit status: 0, or 1 where a file or a record could not be read.
    """
    from runbookopt.evidence.importing import files_at, import_files, sorted_out

    top, places = whole_here(), _of(runbook)
    seen = sorted_out(files_at(files), _format(from_, map_))
    seen = [_asked(each) for each in seen]
    unknown = [each for each in seen if each.format is None]
    done = import_files(seen, top / places.stored, redaction_of(top, places.name))
    if json:
        print_json(done, unknown={each.file.path: each.look for each in unknown})
    else:
        for line in account(done):
            say(line)
    for problem in done.live:
        complain(f"{problem}")
    for problem in done.problems:
        complain(f"warning: {problem}")
    for each in unknown:
        expected = "expected trajectories in a known format"
        complain(f"{each.file.path}: not read: {expected}, and this is {each.look}")
    raise typer.Exit(1 if unknown or done.left_out else 0)


@app.command("list")
def list_(name: Name = None, *, json: Json = False) -> None:
    """List the stored trajectories: their ids, what they came from, and what became of each."""
    for runbook, gathered in _gathered(name):
        if json:
            for line in gathered.trajectories:
                print_json(_row(runbook, line))
        else:
            for line in gathered.trajectories:
                trajectory = line.record
                kind = trajectory.format or "runbookopt"
                told = [f"{verdict.criterion}: {verdict.result}" for verdict in trajectory.verdicts]
                say("  ".join([trajectory.id, kind, line.place, outcome(trajectory), *told]))


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="A trajectory's id, or how it begins.")],
    *,
    whole: Annotated[bool, typer.Option("--whole", help="All lines of all texts.")] = False,
    json: Json = False,
) -> None:
    """Show a stored trajectory: task, steps, output and verdicts, as a page to read."""
    runbook, line, gathered = found(id_)
    line = _trusted(runbook, line)
    if json:
        print_json(line.record, runbook=runbook, place=line.place)
        return
    labels = [each.record for each in gathered.labels if each.record.trajectory == line.record.id]
    for text in page(runbook, line, whole=whole):
        say(text)
    for label in labels:
        why = (
            f" ({label.explanation or label.failure_mode})" if label.explanation or label.failure_mode else ""
        )
        say(f"label    {label.criterion}: {label.result}, by {label.by or 'a person'}{why}")


@app.command()
def export(
    id_: Annotated[str | None, typer.Argument(metavar="[ID]", show_default="all of them")] = None,
    *,
    to: Annotated[str, typer.Option(metavar="FORMAT", help="Only atif so far.")] = "atif",
    runbook: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The runbook.", show_default="all runbooks", autocompletion=runbooks_here
        ),
    ] = None,
) -> None:
    """Print stored trajectories as ATIF, with their labels: a document a line.

    Other tools read the steps. What ATIF has no field for stands in its `extra`, so importing the same gives
    back what was exported.
    """
    from runbookopt.errors import WrongUsage
    from runbookopt.evidence.formats.atif import document_of

    if to != "atif":
        raise WrongUsage(f"--to: no format '{to}' is written: expected atif")
    chosen = None if id_ is None else found(id_)[1]
    for _, gathered in _gathered(runbook):
        for line in gathered.trajectories if chosen is None else [chosen]:
            labels = [each.record for each in gathered.labels if each.record.trajectory == line.record.id]
            print_json(document_of(line.record, labels))


@app.command()
def stats(name: Name = None, *, json: Json = False) -> None:
    """Count the stored trajectories by format: outputs, errors, verdicts, labels, and what was lost.

    Exit status: 0, or 1 where a file or a record could not be read.
    """
    counted = {runbook: (_counts(gathered), gathered) for runbook, gathered in _gathered(name)}
    if json:
        print_json({runbook: counts for runbook, (counts, _) in counted.items()})
    else:
        for runbook, (counts, gathered) in counted.items():
            for line in table(runbook, counts, gathered):
                say(line)
    for _, gathered in counted.values():
        for problem in gathered.problems:
            complain(f"warning: {problem}")
    raise typer.Exit(1 if any(gathered.problems for _, gathered in counted.values()) else 0)


def _of(name: str | None) -> "Places":
    """Where the runbook of this name lies, or the only one; raises RunbookoptError."""
    from runbookopt.errors import WrongUsage
    from runbookopt.evidence.library import Folder
    from runbookopt.project.places import places_of

    top = whole_here()
    names = names_here(top)
    if name is None and len(names) != 1:
        listed = ", ".join(names) or "there is none"
        raise WrongUsage(f"name the runbook that these are of with --runbook: {listed}")
    places = places_of(Folder(top), named(top, name) if name else names[0])
    _ = places.file  # one that cannot be used has none
    return places


def _format(name: str | None, mapping: str | None) -> "Format | None":
    from runbookopt.errors import WrongUsage
    from runbookopt.evidence.mapping import mapped, read_mapping
    from runbookopt.evidence.reading import format_named

    if name is not None and mapping is not None:
        raise WrongUsage("--map says how to read records of no known format: leave --from away")
    if mapping is not None:
        return mapped(read_mapping(mapping))
    return None if name is None else format_named(name)


def _asked(seen: "Recognized") -> "Recognized":
    """The file with the keys that a person names where its records are of no known format."""
    from runbookopt.evidence.mapping import keys_of, mapped
    from runbookopt.evidence.reading import Recognized, sample_of

    if seen.format is not None or not sys.stdin.isatty() or not sys.stderr.isatty():
        return seen
    sample = sample_of(seen.file)
    keys = keys_of(sample) if sample else []
    if not keys:
        return seen
    complain(f"{seen.file.path} is of no known format. Its keys: {', '.join(keys)}")
    asked = {
        field: typer.prompt(f"The {field} (Enter for none)", default="", show_default=False, err=True)
        for field in ("input", "output", "reference", "id")
    }
    named = {field: key for field, key in asked.items() if key in keys}
    return Recognized(seen.file, mapped(named)) if "input" in named else seen


def redaction_of(root: Path, name: str) -> "Redaction":
    """What takes secrets out of records, and personal data where the runbook's policy says so.

    Its key is this clone's: what is imported here has the same placeholders each time.
    """
    from runbookopt.cli.placeholder_key import placeholder_key
    from runbookopt.evidence.library import Folder
    from runbookopt.evidence.privacy import Redaction
    from runbookopt.project.project import declared_policy

    personal = declared_policy(Folder(root), name).given.personal
    return Redaction(personal=personal, key=placeholder_key(root))


def _gathered(name: str | None) -> "Iterator[tuple[str, Gathered]]":
    from runbookopt.evidence.library import Folder
    from runbookopt.evidence.privacy import Redaction
    from runbookopt.evidence.reading import gather
    from runbookopt.project.places import layout_of
    from runbookopt.project.project import declared_policy

    source = Folder(whole_here())
    runbooks = layout_of(source).runbooks
    for places in map(runbooks.__getitem__, names_here(source.root)) if name is None else [_of(name)]:
        redaction = Redaction(personal=declared_policy(source, places.name, places).given.personal)
        yield places.name, gather(source, places.stored, *places.evidence[1:], redaction=redaction)


def _row(runbook: str, line: "Line[Trajectory]") -> dict[str, Any]:
    from msgspec import to_builtins

    trajectory = line.record
    return {
        "runbook": runbook,
        "id": trajectory.id,
        "place": line.place,
        "format": trajectory.format,
        "error": trajectory.error,
        "output": trajectory.output is not None,
        "steps": len(trajectory.steps),
        "verdicts": to_builtins(trajectory.verdicts),
    }


def found(id_: str) -> "tuple[str, Line[Trajectory], Gathered]":
    """The trajectory with this id, or the only one that begins so; raises RunbookoptError."""
    from runbookopt.documents.schema_errors import nearest, plain
    from runbookopt.errors import RunbookoptError

    lines = [(name, line, gathered) for name, gathered in _gathered(None) for line in gathered.trajectories]
    alike = [each for each in lines if each[1].record.id.startswith(id_)]
    exact = [each for each in alike if each[1].record.id == id_]
    if exact or len(alike) == 1:
        return (exact or alike)[0]
    ids = sorted({line.record.id for _, line, _ in alike})
    if ids:
        raise RunbookoptError(f"{len(ids)} trajectories begin with '{plain(id_)}': {', '.join(ids[:5])}")
    known = {line.record.id for _, line, _ in lines}
    near = nearest(id_, known)
    raise RunbookoptError(f"no trajectory '{plain(id_)}'{near}: see `runbookopt trajectories list`")


def _trusted(runbook: str, line: "Line[Trajectory]") -> "Line[Trajectory]":
    """The trajectory with the trust that counts: what policy.yaml gives its file, or less."""
    from msgspec.structs import replace

    from runbookopt.evidence.library import Folder
    from runbookopt.evidence.trust import lowered
    from runbookopt.project.project import declared_policy

    of_file = declared_policy(Folder(whole_here()), runbook).given.to(line.path)
    return replace(line, record=replace(line.record, trust=lowered(of_file, line.record.trust)))


def _counts(gathered: "Gathered") -> dict[str, Any]:
    from runbookopt.evidence.library import task_id

    formats: dict[str, dict[str, int]] = {}
    for line in gathered.trajectories:
        trajectory = line.record
        none = dict.fromkeys(("trajectories", "outputs", "errored", "verdicts"), 0)
        row = formats.setdefault(trajectory.format or "runbookopt", none)
        row["trajectories"] += 1
        row["outputs"] += trajectory.output is not None and trajectory.error is None
        row["errored"] += trajectory.error is not None
        row["verdicts"] += len(trajectory.verdicts)
    return {
        "formats": formats,
        "tasks": len({task_id(line.record.task.input) for line in gathered.trajectories}),
        "labels": len(gathered.labels),
        "losses": gathered.losses,
        "removed": gathered.removed,
        "problems": gathered.problems,
    }
