"""`runbookopt propose`: the second half, from bundles to the ledger, a branch and a pull request."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbookopt.cli.terminal import complain
from runbookopt.errors import RunbookoptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbookopt.forge.git.repository import Repository
    from runbookopt.landing.bundle import Bundle


def propose(
    bundles: Annotated[
        list[str],
        typer.Argument(
            metavar="BUNDLE...", help="Files that `optimize --no-propose` wrote, or their folder."
        ),
    ],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line and bundle.")] = False,
) -> None:
    """Write the looks of bundles into the ledger, and propose those whose proof holds there.

    Nothing in a bundle is believed that git can tell: patch, guard, policy, split and statistics are
    derived anew. Where origin is at GitHub, a token is needed: GITHUB_TOKEN or GH_TOKEN, or RUNBOOKOPT_APP_ID
    and RUNBOOKOPT_APP_PRIVATE_KEY_FILE of a GitHub App; GITHUB_API_URL says where an Enterprise Server is.
    """
    from runbookopt.forge.git.repository import Repository

    with Repository.open(Path.cwd()) as repository:
        read, worst = _read([file for name in bundles for file in _files(Path(name))])
        if not read and not worst:
            print(f"no bundle in {', '.join(bundles)}: no run has looked at held-out tasks", file=sys.stderr)
        raise typer.Exit(max([worst, *(_safely(repository, bundle, json=json) for bundle in read)]))


def _files(path: Path) -> "list[Path]":
    """Give a bundle, or all of a folder, which is not there where no run has looked."""
    return [path] if path.suffix == ".json" else sorted(path.glob("*.json"))


def _read(paths: "Sequence[Path]") -> "tuple[list[Bundle], int]":
    """Read bundles, in the order of their looks so that the newest decides, and the worst status."""
    from runbookopt.landing.bundle import read_bundle

    found: list[Bundle] = []
    worst = 0
    for path in paths:
        try:
            found.append(read_bundle(_bytes(path), str(path)))
        except RunbookoptError as error:
            complain(error)
            worst = max(worst, error.status)
    return sorted(found, key=lambda bundle: bundle.look.at if bundle.look else ""), worst


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunbookoptError(f"{path}: {error.strerror}; expected a file of .runbookopt/bundles/") from error


def _safely(repository: "Repository", bundle: "Bundle", *, json: bool) -> int:
    try:
        _one(repository, bundle, json=json)
    except RunbookoptError as error:
        complain(error)
        return error.status
    return 0


def _one(repository: "Repository", bundle: "Bundle", *, json: bool) -> None:
    from runbookopt.cli import result
    from runbookopt.cli.flags import settings_of
    from runbookopt.forge.github.credentials import NoToken
    from runbookopt.forge.select import chosen
    from runbookopt.landing.propose import propose as land

    settings = settings_of(repository.root, bundle.runbook, {})
    try:
        forge = chosen(settings.forge, repository, os.environ)
    except NoToken as error:
        raise NoToken(f"{bundle.runbook}: nothing is proposed: {error}; then run this again") from None
    proposed = land(repository, forge, bundle, now=datetime.now(UTC))
    if json:
        print(result.proposal_as_json(bundle.runbook, proposed))
    else:
        result.show_proposal(bundle.runbook, proposed)
