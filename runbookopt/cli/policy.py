"""`runbookopt policy`: whether the forge enforces what policies declare, and why a change goes its way."""

import os
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbookopt.forge.git.repository import Repository
    from runbookopt.forge.protocol import Forge
    from runbookopt.landing.bundle import Bundle
    from runbookopt.landing.explain import Explained
    from runbookopt.landing.requirements import Declared, Enforced, Requirement

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The merge policies: what enforces them, and what they say of a change.",
)


@app.command()
def check(*, json: Json = False) -> None:
    """Hold the policies of the default branch against what the forge enforces there.

    For each gap: what could happen, and the setting that closes it. What the token is not shown is unknown,
    and unknown is not yes. Nothing is changed, here or there.

    Exit status: 0 where everything is known to hold, 1 where something does not or is unknown.
    """
    from runbookopt.errors import RunbookoptError
    from runbookopt.landing.protection_audit import requirements
    from runbookopt.landing.requirements import declared, enforced

    with _forge("") as (repository, forge):
        revision, branch = repository.revision(repository.base()), repository.origin.default_branch()
        policies = declared(revision, repository.root)
        if not policies:
            raise RunbookoptError(f"there is no runbook on {branch}: expected runbooks/NAME/RUNBOOK.md")
        found = enforced(forge, revision, branch, policies)
        asked = requirements(policies, found)
    if json:
        _print_json(_as_json(policies, found, asked))
    else:
        _show(policies, found, asked)
    raise typer.Exit(0 if all(requirement.holds for requirement in asked) else 1)


@app.command()
def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME|BUNDLE|PR", help="A runbook, the file of a bundle, or a pull request's number."
        ),
    ],
    *,
    json: Json = False,
) -> None:
    """Say which way a change goes, with every reason for and against.

    A runbook's name means its open pull request, else what its policy would ask of the next change. All is
    derived anew from git, as a merge would; nothing is written.
    """
    bundle = _bundle(what)
    with _forge(bundle.runbook if bundle else "" if what.isdecimal() else what) as (repository, forge):
        explained = _explained(repository, forge, bundle or what)
    if json:
        from msgspec import to_builtins

        _print_json({**to_builtins(explained), "reasons": [reason.told for reason in explained.reasons]})
    else:
        _tell(explained)


def _explained(repository: "Repository", forge: "Forge", what: "Bundle | str") -> "Explained":
    from runbookopt.landing import explain

    now = datetime.now(UTC)
    if not isinstance(what, str):
        return explain.explain_bundle(repository, forge, what, now)
    if what.isdecimal():
        return explain.explain_pull_request(repository, forge, int(what))
    return explain.explain_runbook(repository, forge, what, now)


def _bundle(what: str) -> "Bundle | None":
    """Read a bundle where this names a file of one."""
    from runbookopt.errors import RunbookoptError
    from runbookopt.landing.bundle import read_bundle

    if not what.endswith(".json"):
        return None
    try:
        data = Path(what).read_bytes()
    except OSError as error:
        raise RunbookoptError(f"{what}: {error.strerror}; expected a file of .runbookopt/bundles/") from error
    return read_bundle(data, what)


def _tell(explained: "Explained") -> None:
    words = {"auto": "may merge by itself", "review": "goes to review", "none": "nothing is to be merged"}
    told = f"{explained.about}: {words[explained.merge]}"
    if explained.merge != "none" and explained.granted is not None:
        told += f", and may {'' if explained.granted else 'not '}be merged now"
    _print(told)
    for reason in explained.reasons:
        first, *more = reason.text.split("\n")
        _print(f"  {_MARKS[reason.holds]:<8} {first}")
        for line in more:
            _print(f"           {line}")


_MARKS = {True: "yes", False: "no", None: "unknown"}


def _show(policies: "Sequence[Declared]", found: "Enforced", asked: "Sequence[Requirement]") -> None:
    for each in policies:
        who = f", {each.policy.approvals} approval(s) of {each.policy.who}" if each.policy.who else ""
        _print(f"{each.runbook}: merge: {each.policy.merge}{who}")
    sources = ", ".join(found.protection.sources) or "nothing that this token is shown"
    _print(f"{found.protection.branch} is protected by {sources}")
    for requirement in asked:
        _print(f"  {requirement.answer:<8} {requirement.name}: {requirement.found}")
        if not requirement.holds:
            _print(f"           could happen: {requirement.danger}")
            _print(f"           to close it: {requirement.setting}")
    gaps, unknown = (sum(requirement.holds is holds for requirement in asked) for holds in (False, None))
    _print(f"{gaps} gap(s), {unknown} unknown, {len(asked) - gaps - unknown} hold")


def _as_json(
    policies: "Sequence[Declared]", found: "Enforced", asked: "Sequence[Requirement]"
) -> dict[str, object]:
    from msgspec import to_builtins

    protection = found.protection
    return {
        "branch": protection.branch,
        "sources": protection.sources,
        "unread": protection.unread,
        "policies": {each.runbook: to_builtins(each.policy) for each in policies},
        "holds": all(requirement.holds for requirement in asked),
        "demands": [{**to_builtins(requirement), "answer": requirement.answer} for requirement in asked],
    }


@contextmanager
def _forge(name: str) -> "Iterator[tuple[Repository, Forge]]":
    from runbookopt.cli.flags import settings_of
    from runbookopt.forge.git.output import GitFailed
    from runbookopt.forge.git.repository import Repository
    from runbookopt.forge.select import chosen

    with Repository.open(Path.cwd()) as repository:
        if not repository.has_origin():
            raise GitFailed("there is no origin, so nothing enforces a policy: git remote add origin URL")
        settings = settings_of(repository.root, name, {})
        yield repository, chosen(settings.forge, repository, os.environ)


def _print(line: str) -> None:
    """Print a line in which others may have written: nothing in it can move a terminal's cursor."""
    from runbookopt.documents.schema_errors import plain

    print(plain(line))


def _print_json(value: object) -> None:
    from msgspec.json import encode

    sys.stdout.write(encode(value).decode() + "\n")
