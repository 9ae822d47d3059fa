"""`runbookopt propose`: bundles into the ledger, a branch and a pull request."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbookopt.cli import result
from runbookopt.cli.flags import forge_of, settings_of
from runbookopt.cli.terminal import complain, print_json, say_lines
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
    from runbookopt.project.local_state import must_be_own

    with Repository.open(Path.cwd()) as repository:
        must_be_own(repository)
        read, worst = _read(repository, [file for name in bundles for file in _files(Path(name))])
        if not read and not worst:
            print(f"no bundle in {', '.join(bundles)}: no run has looked at held-out tasks", file=sys.stderr)
        raise typer.Exit(max([worst, *(_status(repository, bundle, json=json) for bundle in read)]))


def _files(path: Path) -> "list[Path]":
    """A bundle, or all of a folder, which is not there where no run has looked."""
    return [path] if path.suffix == ".json" else sorted(path.glob("*.json"))


def _read(repository: "Repository", paths: "Sequence[Path]") -> "tuple[list[Bundle], int]":
    """The bundles, in the order of their looks so that the newest decides, and the worst status."""
    bundles: list[Bundle] = []
    worst = 0
    for path in paths:
        try:
            bundles.append(bundle_at(repository, path))
        except RunbookoptError as error:
            complain(error)
            worst = max(worst, error.status)
    return sorted(bundles, key=lambda bundle: bundle.look.at if bundle.look else ""), worst


def bundle_at(repository: "Repository", path: Path) -> "Bundle":
    """The bundle of a file, which no commit brought; raises RunbookoptError."""
    from runbookopt.landing.bundle import read_bundle
    from runbookopt.landing.bundle_limits import MOST_BYTES
    from runbookopt.project.local_state import must_be_no_commits

    must_be_no_commits(repository, path)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)  # one that is too large is refused, and not read to its end
    except OSError as error:
        raise RunbookoptError(f"{path}: {error.strerror}; expected a file of .runbookopt/bundles/") from error
    return read_bundle(data, str(path))


def _status(repository: "Repository", bundle: "Bundle", *, json: bool) -> int:
    from runbookopt.forge.github.credentials import NoToken
    from runbookopt.landing.propose import propose as land
    from runbookopt.project.local_state import must_be_own

    name = bundle.runbook
    try:
        try:
            forge = forge_of(repository, settings_of(repository.root, name, {}))
        except NoToken as error:
            raise NoToken(f"{name}: nothing is proposed: {error}; then run this again") from None
        with repository.asked_once():
            must_be_own(repository, repository.base())
            proposed = land(repository, forge, bundle, now=datetime.now(UTC))
    except RunbookoptError as error:
        complain(error)
        return error.status
    if json:
        print_json(result.proposal_as_json(name, proposed))
    else:
        say_lines(result.proposal_page(name, proposed))
    return 0
