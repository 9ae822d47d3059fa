"""`runbookopt propose`: bundles into the ledger, a branch and a pull request."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbookopt.cli import result
from runbookopt.cli.flags import ShowFigures, forge_of, settings_of
from runbookopt.cli.terminal import complain, print_json, say_lines
from runbookopt.errors import RunbookoptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbookopt.forge.git.repository import Repository
    from runbookopt.forge.protocol import Forge
    from runbookopt.landing.bundle import Bundle
    from runbookopt.proof.ledger import Reading


def propose(
    bundles: Annotated[
        list[str],
        typer.Argument(
            metavar="BUNDLE...", help="Files that `optimize --no-propose` wrote, or their folder."
        ),
    ],
    *,
    show_figures: ShowFigures = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line and bundle.")] = False,
) -> None:
    """Write the looks of bundles into the ledger, and propose those whose proof holds there.

    Nothing in a bundle is believed that git can tell: patch, guard, policy, split and statistics are
    derived anew. What became of open pull requests is written into the ledger too. Where origin is at GitHub,
    a token is needed: GITHUB_TOKEN or GH_TOKEN, or RUNBOOKOPT_APP_ID and RUNBOOKOPT_APP_PRIVATE_KEY_FILE of
    a GitHub App; GITHUB_API_URL says where an Enterprise Server is.
    """
    from runbookopt.forge.git.repository import Repository
    from runbookopt.project.local_state import must_be_own

    with Repository.open(Path.cwd()) as repository:
        must_be_own(repository)
        read, worst = _read(repository, [file for name in bundles for file in _files(Path(name))])
        readings, unread = _readings(repository, [Path(name) for name in bundles])
        if not read and not worst:
            print(f"no bundle in {', '.join(bundles)}: no run has looked at held-out tasks", file=sys.stderr)
        statuses = [worst, unread]
        for bundle in read:  # each after what was read before its look, which it holds nothing of
            at = bundle.look.at if bundle.look else ""
            statuses += [_append(repository, each) for each in readings if each.at <= at]
            readings = [each for each in readings if each.at > at]
            statuses.append(_status(repository, bundle, show_figures=show_figures, json=json))
        statuses += [_append(repository, each) for each in readings]
        try:
            _refresh(repository)
        except RunbookoptError:
            if not any(statuses):  # else it is likely the same, and was said
                raise
        raise typer.Exit(max(statuses))


def _files(path: Path) -> "list[Path]":
    """A bundle, or all of a folder, which is not there where no run has looked."""
    from runbookopt.landing.ledger.readings import ENDING

    files = [path] if path.suffix == ".json" else sorted(path.glob("*.json"))
    return [file for file in files if not file.name.endswith(ENDING)]


def _readings(repository: "Repository", paths: "Sequence[Path]") -> "tuple[list[Reading], int]":
    """What searches have read, by the files beside bundles and in their folders; and the worst status."""
    from runbookopt.landing.ledger.readings import MOST_FILES, read_reading, readings_beside
    from runbookopt.project.local_state import must_be_no_commits

    readings: list[Reading] = []
    worst = 0
    files = readings_beside(path.parent if path.suffix == ".json" else path for path in paths)
    for path in files[:MOST_FILES]:
        try:
            must_be_no_commits(repository, path)
            readings.append(read_reading(path))
        except RunbookoptError as error:
            complain(error)
            worst = max(worst, error.status)
    return sorted(readings, key=lambda reading: reading.at), worst


def _append(repository: "Repository", reading: "Reading") -> int:
    """Write into the ledger what a search has read, and say so; its exit status."""
    from runbookopt.landing.ledger.readings import append
    from runbookopt.proof.ledger import Ledger

    try:
        _forge(repository, reading.runbook)  # whose token git shows to origin
        with repository.asked_once():
            new = append(repository, Ledger.open(repository, push=True), reading)
    except RunbookoptError as error:
        complain(error)
        return error.status
    if new:
        complain(f"{reading.runbook}: {new} tasks that a search has read are in the ledger now")
    return 0


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


def _refresh(repository: "Repository") -> None:
    """Bring what the ledger says of pull requests up to date; without a token, say that it is not."""
    from runbookopt.forge.github.credentials import NoToken
    from runbookopt.landing.ledger.open_pulls import refresh

    if not repository.has_origin():
        return
    try:
        refresh(repository, lambda name: forge_of(repository, settings_of(repository.root, name, {})))
    except NoToken as error:
        complain(f"whether pull requests are still open is not known: {error}")


def _status(repository: "Repository", bundle: "Bundle", *, show_figures: bool, json: bool) -> int:
    from runbookopt.landing.propose import propose as land
    from runbookopt.project.local_state import must_be_own

    name = bundle.runbook
    try:
        forge = _forge(repository, name)
        with repository.asked_once():
            must_be_own(repository, repository.base())
            proposed = land(repository, forge, bundle, now=datetime.now(UTC), show_figures=show_figures)
    except RunbookoptError as error:
        complain(error)
        return error.status
    if json:
        print_json(result.proposal_as_json(name, proposed, show_figures=show_figures))
    else:
        say_lines(result.proposal_page(name, proposed, show_figures=show_figures))
    return 0


def _forge(repository: "Repository", name: str) -> "Forge":
    """The forge of a runbook. Raises NoToken."""
    from runbookopt.forge.github.credentials import NoToken

    try:
        return forge_of(repository, settings_of(repository.root, name, {}))
    except NoToken as error:
        raise NoToken(f"{name}: nothing is proposed: {error}; then run this again") from None
