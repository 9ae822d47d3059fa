"""`runbookopt propose`: the second half, from bundles to the ledger, a branch and a pull request."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbookopt.cli.complaint import complain
from runbookopt.errors import RunbookoptError

if TYPE_CHECKING:
    from runbookopt.repository import Repository


def propose(
    bundles: Annotated[
        list[str], typer.Argument(metavar="BUNDLE...", help="Files that `optimize --no-propose` wrote.")
    ],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line and bundle.")] = False,
) -> None:
    """Write the looks of bundles into the ledger, and propose those whose proof holds there.

    Nothing in a bundle is believed that git can tell: patch, guard, policy, split and statistics are
    derived anew.
    """
    from runbookopt.repository import Repository

    with Repository.open(Path.cwd()) as repository:
        raise typer.Exit(max(_safely(repository, Path(name), json=json) for name in bundles))


def _safely(repository: "Repository", path: Path, *, json: bool) -> int:
    try:
        _one(repository, path, json=json)
    except RunbookoptError as error:
        complain(error)
        return error.status
    return 0


def _one(repository: "Repository", path: Path, *, json: bool) -> None:
    from runbookopt.cli import result
    from runbookopt.forge.local import LocalForge
    from runbookopt.landing.bundle import read_bundle
    from runbookopt.landing.proposal import propose as land

    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunbookoptError(f"{path}: {error.strerror}; expected a file of .runbookopt/bundles/") from error
    bundle = read_bundle(data, str(path))
    proposed = land(repository, LocalForge(repository), bundle)
    if json:
        print(result.proposal_as_json(bundle.runbook, proposed))
    else:
        result.show_proposal(bundle.runbook, proposed)
