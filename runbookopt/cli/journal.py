"""`runbookopt journal`: the answers of this clone as a file, and such a file put in for a replay."""

import os
from pathlib import Path
from typing import Annotated

import typer

from runbookopt.cli.flags import CONTEXT, Json
from runbookopt.cli.terminal import print_json, say

app = typer.Typer(
    name="journal",
    help="Keep the answers of agents and reflectors as a file, and replay them elsewhere.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)

_File = Annotated[Path, typer.Argument(metavar="FILE", help="A file of JSONL.")]


@app.command()
def export(file: _File) -> None:
    """Write all answers of this clone's journal into a file, with their asks and with who answered.

    A rollout is told by its key; a reflection stands there with all that was shown. Secrets were taken out
    before anybody was asked, and what an agent put out is there as it is: read the file before you share it.
    """
    from runbookopt.engine.journal_lines import lines_of
    from runbookopt.errors import RunbookoptError
    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.journals import open_journal

    with Repository.open(Path.cwd()) as repository, open_journal(repository) as journal:
        lines = [*lines_of(journal)]
    try:
        file.write_bytes(b"".join(line + b"\n" for line in lines))
    except OSError as error:
        raise RunbookoptError(
            f"{file}: cannot be written ({error.strerror}); name another file, or make room"
        ) from error
    say(f"{file}: {len(lines) - 1} answers")


@app.command("import")
def import_(file: _File, *, json: Json = False) -> None:
    """Put the answers of a file into this clone's journal, so that a run is replayed: nobody is asked again.

    From then on this clone takes them for the word of its own agents and models, whoever wrote them. So that
    is refused in a CI, and where origin is at a server: replay in a scratch clone with a folder as origin.
    """
    from runbookopt.engine.journal_lines import MOST, put, read_lines
    from runbookopt.errors import Refused, RunbookoptError
    from runbookopt.forge.git.repository import Repository
    from runbookopt.forge.github.credentials import is_folder
    from runbookopt.jobs.journals import open_journal

    with Repository.open(Path.cwd()) as repository:
        url = repository.origin.url
        if os.environ.get("CI") or os.environ.get("GITHUB_ACTIONS") or (url and not is_folder(url)):
            raise Refused(
                f"{file}: not imported: whoever writes a journal decides what a run is told, so one is"
                " replayed in a scratch clone alone: outside a CI, with a folder of this machine as origin"
            )
        try:
            with file.open("rb") as opened:
                data = opened.read(MOST + 1)
        except OSError as error:
            raise RunbookoptError(
                f"{file}: cannot be read ({error.strerror}); name a file that `runbookopt journal export`"
                " wrote"
            ) from error
        if len(data) > MOST:
            raise RunbookoptError(f"{file}: has more than {MOST:,} bytes; export a smaller run")
        with open_journal(repository) as journal:
            done = put(journal, read_lines(data, str(file)))
    if json:
        print_json(done)
        return
    say(f"{file}: {done.new} answers are believed in this clone from now on; {done.known} were there already")
