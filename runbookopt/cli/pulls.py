"""`runbookopt pulls`: the pull requests of runbooks, and who may merge them."""

import shlex
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runbookopt.cli.flags import group
from runbookopt.cli.terminal import print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runbookopt.forge.git.repository import Repository
    from runbookopt.forge.protocol import Forge, PullRequest

CONVENTION = (
    "Who somebody is comes from git config runbookopt.login, else user.email: "
    "a convention, not authentication."
)

Number = Annotated[int, typer.Argument(metavar="N", min=1, help="The number of the pull request.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = group(
    "pulls",
    "Pull requests: all of them where origin keeps them itself; at GitHub to be read, and merged there.",
)


@app.command("list")
def list_(*, json: Json = False) -> None:
    """List all pull requests, the oldest first."""
    with _forge() as (_, forge):
        pulls = forge.pull_requests()
    if json:
        print_json(pulls)
        return
    for pull in pulls:
        proved = pull.state == "open" and pull.head == pull.proposed
        marked = ", merges by itself" if pull.auto_merge and proved else ""
        waits = (*pull.reviewers, *(f"team {team}" for team in pull.teams))
        asked = f", waits for {', '.join(waits)}" if waits and pull.state == "open" else ""
        say(f"{pull.number:>4}  {pull.state:<6}  {pull.title}{marked}{asked}")
    if not pulls:
        say("no pull requests")


@app.command()
def show(number: Number, *, json: Json = False) -> None:
    """Show one pull request: what it changes, why, who approved, and what is missing to merge it.

    Who somebody is comes from git config runbookopt.login, else user.email: a convention, not authentication.
    """
    with _forge() as (repository, forge):
        pull = forge.get(number)
        missing = _missing(repository, forge, pull)
        tip = repository.base()
        diff = repository.unified_diff(repository.merge_base(tip, pull.head) or tip, pull.head)
    if json:
        print_json(pull, missing=missing, identity=None if _is_at_github(pull) else CONVENTION)
        return
    say(f"#{pull.number} {pull.title}")
    say(f"{pull.state}: {pull.branch} ({pull.head[:12]}) into {pull.base}, opened by {pull.author}")
    if pull.head != pull.proposed:
        say(f"somebody has pushed to the branch since runbookopt made {pull.proposed[:12]}:")
        say("its text differs from what was proved, and what is reported below is not of it")
    for word in pull.attestations:
        say(f"{word.by} gave their word at {word.at} for audit {word.audit}, of {word.head[:12]}")
    for approval in pull.approvals:
        other = f"{approval.head[:12]}, which is not the head now"
        of = "this commit" if approval.head == pull.head else other
        say(f"{approval.by} approved {of} at {approval.at}")
    _say_missing(missing)
    if not _is_at_github(pull):
        say(CONVENTION)
    for line in ("", *_report(pull), "", *diff.splitlines()):
        say(line)
    if pull.state == "open":
        say(f"to try it: git fetch origin {shlex.quote(pull.branch)} && git checkout --detach FETCH_HEAD")


@app.command()
def approve(number: Number, *, json: Json = False) -> None:
    """Approve the commit that the branch is at now, as git config runbookopt.login, else user.email.

    It counts if the policy lists you as a reviewer and you are not the author and did not push to the branch.
    """
    with _forge() as (repository, forge):
        pull = forge.approve(number)
        missing = _missing(repository, forge, pull)
        against = _against(repository, forge, pull)
    if json:
        print_json(pull, missing=missing, does_not_count=against)
        return
    approval = pull.approvals[-1]
    say(f"{approval.by} approved {approval.head[:12]} of pull request {number}")
    if against:
        say(f"it does not count: {against}")
    _say_missing(line for line in missing or () if against is None or not line.endswith(against))


@app.command()
def close(number: Number, *, json: Json = False) -> None:
    """Close a pull request without merging. The same change is then not proposed again."""
    from runbookopt.landing.merge import close as close_one

    with _forge() as (repository, forge):
        pull = close_one(repository, forge, number)
    if json:
        print_json(pull)
    else:
        say(f"closed pull request {number}; {pull.branch} stays where it is")


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
    from runbookopt.landing.criteria.propose import is_of_criteria, merge_criteria
    from runbookopt.landing.merge import merge as merge_one

    with _forge() as (repository, forge):
        if is_of_criteria(forge.get(number)):
            merged = merge_criteria(repository, forge, number)
        else:
            merged = merge_one(repository, forge, number, datetime.now(UTC))
    if json:
        print_json({"number": number, "merged": merged})
    else:
        say(f"merged pull request {number} as {merged[:12]}")


def _merge_automatic(*, json: bool) -> None:
    from runbookopt.landing.merge import merge_automatic

    with _forge() as (repository, forge):
        attempts = merge_automatic(repository, forge, datetime.now(UTC))
        if json:
            print_json([*attempts])
            return
        attempted = None
        for attempted in attempts:
            about = f"pull request {attempted.number} ({attempted.runbook})"
            if attempted.merged:
                say(f"merged {about} as {attempted.merged[:12]}")
                continue
            say(f"left {about}:")
            for line in (line for reason in attempted.reasons for line in reason.splitlines()):
                say(f"  {line}")
    if attempted is None:
        say("no open pull requests")


def _is_at_github(pull: "PullRequest") -> bool:
    return "#refs/runbookopt/" not in pull.url


def _report(pull: "PullRequest") -> list[str]:
    """The body; of a branch that people edited without the verdict and the decision, which are void."""
    if pull.head == pull.proposed:
        return pull.body.splitlines()
    sections = pull.body.split("\n## ")[1:]
    kept = (section for section in sections if not section.startswith("Decision\n"))
    return [line for section in kept for line in f"## {section}".splitlines()]


def _against(repository: "Repository", forge: "Forge", pull: "PullRequest") -> str | None:
    """Why the last approval does not count, or may not; None where it counts."""
    from runbookopt.landing.approvals import why_not_counted
    from runbookopt.landing.propose import runbook_of
    from runbookopt.project.project import declared_policy

    policy = declared_policy(repository.revision(repository.base()), runbook_of(pull.branch))
    members = {team: forge.members(team) for team in policy.teams}
    return why_not_counted(policy, pull, members, pull.approvals[-1])


def _say_missing(missing: "Iterable[str] | None") -> None:
    for line in (line for reason in missing or () for line in f"missing: {reason}".splitlines()):
        say(line)


def _missing(repository: "Repository", forge: "Forge", pull: "PullRequest") -> list[str] | None:
    """What speaks against merging an open pull request now; None for one that is not open."""
    from runbookopt.errors import RunbookoptError
    from runbookopt.landing.criteria.propose import is_of_criteria, missing
    from runbookopt.landing.merge import judge

    if pull.state != "open":
        return None
    try:
        if is_of_criteria(pull):
            return list(missing(repository, forge, pull.number))
        return list(judge(repository, forge, pull.number, datetime.now(UTC)).missing)
    except RunbookoptError as error:
        return [str(error)]


@contextmanager
def _forge() -> "Iterator[tuple[Repository, Forge]]":
    from runbookopt.cli.flags import forge_of, settings_of
    from runbookopt.forge.git.repository import Repository

    with Repository.open(Path.cwd()) as repository, repository.asked_once():
        yield repository, forge_of(repository, settings_of(repository.root, "", {}))
