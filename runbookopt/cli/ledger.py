"""`runbookopt ledger`: looks at held-out tasks, what they spent and what is left; and a ledger put back."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from runbookopt.cli.flags import CONTEXT, Json, authorize
from runbookopt.cli.root import named
from runbookopt.cli.terminal import print_json, say, say_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbookopt.cli.terminal import Line
    from runbookopt.landing.ledger.account import Account, LookTaken


class _LooksFirst(TyperGroup):
    """A group in which `ledger`, with a name or none, means `ledger looks`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click's context
        """Put the command that is meant before what is not one."""
        helps = not args or args[0] not in {*self.commands, *CONTEXT["help_option_names"]}
        return super().parse_args(ctx, ["looks", *args] if helps else args)


app = typer.Typer(
    name="ledger",
    cls=_LooksFirst,
    help="Show the looks at held-out tasks, what they spent and what is left (`ledger [NAME] [--json]`).",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)


@app.command()
def looks(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", show_default="all runbooks", help="A runbook's name.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Show the looks at a runbook's held-out tasks: when, what came of them, and the chance they spent.

    Origin is asked where there is one. Below stand what is left, what the next look may spend, and how many
    tasks searches have read, which no later proof may use. No gain is shown: it would lead the next edit.

    Exit status: 0, or 1 where looks are lost that the default branch rests on.
    """
    from runbookopt.forge.git.repository import Repository
    from runbookopt.landing.ledger.account import accounts

    with Repository.open(Path.cwd()) as repository, repository.asked_once():
        authorize(repository)
        name = name and named(repository.root, name)
        found = accounts(repository, name, datetime.now(UTC).isoformat(timespec="seconds"))
    if json:
        print_json(found)
    else:
        for account in found.runbooks:
            say_lines(_page(account))
        if found.lost:
            say(found.lost)
    raise typer.Exit(1 if found.lost else 0)


@app.command()
def restore(
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="REMOTE|FILE",
            help="A remote's name or address, the folder of another clone, or a file made by git bundle.",
        ),
    ],
    *,
    json: Json = False,
) -> None:
    """Put a ledger back that was deleted or rewritten at origin, or that a fork came without.

    It must be whole, and hold what the default branch rests on. What origin holds besides is kept.
    """
    from runbookopt.forge.git.repository import Repository
    from runbookopt.proof.restoration import restore as put_back

    with Repository.open(Path.cwd()) as repository:
        folder = repository.root if source == "." else Path(source).absolute()
        restored = put_back(repository, str(folder) if folder.exists() else source)
    if json:
        print_json(restored)
        return
    where = "at origin" if restored.pushed else "in this clone, which has no origin"
    say(f"the ledger is back {where}: {restored.looks} looks, {restored.head[:12]}")


def _page(account: "Account") -> "Iterator[Line]":
    count = len(account.looks)
    may = f"look {account.next_look} may spend {account.next_spend:.3g}, at {account.groups} groups"
    yield (account.runbook, "bold"), (f": {count} look{'' if count == 1 else 's'} at held-out tasks", "")
    if account.looks:
        heading = f"  look  {'when':<25}  {'answer':<12}  spent    {'candidate':<12}  {'base':<12}  pushed"
        yield ((heading, "bold"),)
    for look in account.looks:
        yield _row(look)
    yield f"  spent      {account.spent:.3g} of chance by all looks"
    yield f"  left       {account.left:.3g} of {account.allowance:g}; {may}"
    yield f"  read       {account.burnt} tasks by searches and audits, which no later proof may use"
    yield from (f"  {note}" for note in account.notes)
    yield ""


def _row(look: "LookTaken") -> str:
    when, answer = look.at or "unknown", look.answer or "no answer"
    pushed = "yes" if look.pushed else "no"
    return (
        f"  {look.number:>4}  {when:<25}  {answer:<12}  {look.spent:<7.2g}  {look.candidate:<12}"
        f"  {look.base:<12}  {pushed}"
    )
