"""`runbookopt pulls`: the pull requests of the local forge, and who may merge them."""

import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbookopt.forge.git.repository import Repository
    from runbookopt.forge.local import LocalForge
    from runbookopt.forge.protocol import PullRequest
    from runbookopt.landing.merge import Attempted

CONVENTION = (
    "Who somebody is comes from git config runbookopt.login, else user.email: "
    "a convention, not authentication."
)

Number = Annotated[int, typer.Argument(metavar="N", min=1, help="The number of the pull request.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Pull requests kept in origin itself, for those who have no other forge.",
)


@app.command("list")
def list_(*, json: Json = False) -> None:
    """List all pull requests, the oldest first."""
    with _forge() as (_, forge):
        pulls = forge.pull_requests()
    if json:
        _print_json([_as_json(pull) for pull in pulls])
        return
    for pull in pulls:
        proved = pull.state == "open" and pull.head == pull.proposed
        marked = ", merges by itself" if pull.auto_merge and proved else ""
        waits = (*pull.reviewers, *(f"team {team}" for team in pull.teams))
        asked = f", waits for {', '.join(waits)}" if waits and pull.state == "open" else ""
        _print(f"{pull.number:>4}  {pull.state:<6}  {pull.title}{marked}{asked}")
    if not pulls:
        _print("no pull requests")


@app.command()
def show(number: Number, *, json: Json = False) -> None:
    """Show one pull request: what it changes, why, who approved, and what is missing to merge it.

    Who somebody is comes from git config runbookopt.login, else user.email: a convention, not authentication.
    """
    with _forge() as (repository, forge):
        pull = forge.get(number)
        missing = _missing(repository, forge, pull)
        diff = _diff(repository, pull)
    if json:
        _print_json({**_as_json(pull), "missing": missing, "identity": CONVENTION})
        return
    _print(f"#{pull.number} {pull.title}")
    _print(f"{pull.state}: {pull.branch} ({pull.head[:12]}) into {pull.base}, opened by {pull.author}")
    if pull.head != pull.proposed:
        _print(f"somebody has pushed to the branch since runbookopt made {pull.proposed[:12]}:")
        _print("its text differs from what was proved, and what is reported below is not of it")
    for approval in pull.approvals:
        of = (
            "this commit"
            if approval.head == pull.head
            else f"{approval.head[:12]}, which is not the head now"
        )
        _print(f"{approval.by} approved {of} at {approval.at}")
    _print_missing(missing)
    _print(CONVENTION)
    _print("")
    for line in _report(pull):
        _print(line)
    _print("")
    for line in diff.splitlines():
        _print(line)
    if pull.state == "open":
        _print(f"to try it: git fetch origin {shlex.quote(pull.branch)} && git checkout --detach FETCH_HEAD")


@app.command()
def approve(number: Number, *, json: Json = False) -> None:
    """Approve the commit that the branch is at now, as git config runbookopt.login, else user.email.

    It counts if the policy lists you as a reviewer and you are not the author and did not push to the branch.
    """
    with _forge() as (repository, forge):
        pull = forge.approve(number)
        missing = _missing(repository, forge, pull)
    if json:
        _print_json({**_as_json(pull), "missing": missing})
        return
    approval = pull.approvals[-1]
    _print(f"{approval.by} approved {approval.head[:12]} of pull request {number}")
    _print_missing(missing)


@app.command()
def close(number: Number, *, json: Json = False) -> None:
    """Close a pull request without merging. The same change is then not proposed again."""
    with _forge() as (_, forge):
        pull = forge.close(number)
    if json:
        _print_json(_as_json(pull))
    else:
        _print(f"closed pull request {number}; {pull.branch} stays where it is")


@app.command()
def merge(
    number: Annotated[
        int | None, typer.Argument(metavar="[N]", min=1, show_default=False, help="The one to merge.")
    ] = None,
    *,
    auto: Annotated[
        bool, typer.Option("--auto", help="Merge all that the policy lets merge without a person.")
    ] = False,
    json: Json = False,
) -> None:
    """Merge as one commit what the policy allows; guard, proof and decision are derived anew from git.

    Exit status 3 where the policy does not allow N; --auto leaves what it may not merge, and says why.
    """
    from runbookopt.errors import WrongUsage

    if (number is None) != auto:
        raise WrongUsage("expected the number of a pull request, or --auto")
    if number is None:
        _merge_automatic(json=json)
        return
    from runbookopt.landing.merge import merge as merge_one

    with _forge() as (repository, forge):
        merged = merge_one(repository, forge, number)
    if json:
        _print_json({"number": number, "merged": merged})
    else:
        _print(f"merged pull request {number} as {merged[:12]}")


def _merge_automatic(*, json: bool) -> None:
    from runbookopt.landing.merge import merge_automatic

    with _forge() as (repository, forge):
        if json:
            from msgspec.structs import asdict

            _print_json([asdict(attempted) for attempted in merge_automatic(repository, forge)])
            return
        attempts = 0
        for attempted in merge_automatic(repository, forge):
            attempts += 1
            _tell(attempted)
    if not attempts:
        _print("no open pull requests")


def _tell(attempted: "Attempted") -> None:
    if attempted.merged:
        _print(f"merged pull request {attempted.number} ({attempted.runbook}) as {attempted.merged[:12]}")
        return
    _print(f"left pull request {attempted.number} ({attempted.runbook}):")
    for reason in attempted.reasons:
        for line in reason.splitlines():
            _print(f"  {line}")


def _report(pull: "PullRequest") -> list[str]:
    """Give the body; of a branch that people edited without the verdict and the decision, which are void."""
    if pull.head == pull.proposed:
        return pull.body.splitlines()
    sections = pull.body.split("\n## ")[1:]
    kept = (section for section in sections if not section.startswith("Decision\n"))
    return [line for section in kept for line in f"## {section}".splitlines()]


def _diff(repository: "Repository", pull: "PullRequest") -> str:
    """Give what a pull request changes since it left the default branch."""
    tip = repository.base()
    return repository.unified_diff(repository.merge_base(tip, pull.head) or tip, pull.head)


def _print_missing(missing: list[str] | None) -> None:
    for reason in missing or []:
        for line in f"missing: {reason}".splitlines():
            _print(line)


def _missing(repository: "Repository", forge: "LocalForge", pull: "PullRequest") -> list[str] | None:
    """Say what speaks against merging an open pull request now; None for one that is not open."""
    from runbookopt.errors import RunbookoptError
    from runbookopt.landing.merge import judge

    if pull.state != "open":
        return None
    try:
        judged = judge(repository, forge, pull.number)
    except RunbookoptError as error:
        return [str(error)]
    return list(judged.missing)


@contextmanager
def _forge() -> "Iterator[tuple[Repository, LocalForge]]":
    from runbookopt.forge.git.repository import Repository
    from runbookopt.forge.local import LocalForge

    with Repository.open(Path.cwd()) as repository:
        yield repository, LocalForge(repository)


def _as_json(pull: "PullRequest") -> dict[str, Any]:
    from msgspec import to_builtins

    found: dict[str, Any] = to_builtins(pull)
    return found


def _print(line: str) -> None:
    """Print a line in which others may have written: nothing in it can move a terminal's cursor."""
    from runbookopt.documents.schema_errors import plain

    print(plain(line))


def _print_json(value: object) -> None:
    from msgspec.json import encode

    sys.stdout.write(encode(value).decode() + "\n")
