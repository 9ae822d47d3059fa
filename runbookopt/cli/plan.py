"""What a run may cost at most and what it can prove, for people and for programs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from runbookopt.plan import Plan, Provable


def plan_as_json(plan: "Plan") -> str:
    """Give the one line of `--plan --json`: all keys present, null where something is unknown."""
    import msgspec

    return msgspec.json.encode(plan).decode()


def show_plan(plan: "Plan") -> None:
    """Print a plan."""
    from runbookopt.cli.result import print_lines

    print_lines(_page(plan))


def _page(plan: "Plan") -> "Iterator[str | Text]":
    from rich.text import Text

    from runbookopt.explanation import plain

    tasks, rollouts = plan.tasks, plan.rollouts
    yield Text.assemble((plain(plan.runbook), "bold"), ": the plan; nothing was run")
    yield f"  tasks        {tasks.train} train, {tasks.validation} validation, {tasks.held_out} held-out"
    yield f"  can prove    {_gain(plan.provable)}"
    yield f"  assuming     {_assumed(plan.provable)}"
    yield (
        f"  rollouts     at most {rollouts.most}: {rollouts.search} to search, {rollouts.proof} to prove;"
        f" {rollouts.free} more are known for free"
    )
    yield f"  reflections  at most {plan.reflections}"
    yield f"  cost         {_known(plan.tokens, 'tokens')}, {_known(plan.usd, 'dollars')}"
    yield f"  time         {_known(plan.seconds, 'seconds')}, with {plan.width} calls at once"
    yield from (f"  {note}" for note in plan.notes)
    yield ""


def _gain(provable: "Provable") -> str:
    look = f"look {provable.look} at {provable.groups} groups, allowance {provable.allowance:.2g}"
    if provable.gain is None:
        return f"no gain ({look})"
    return f"a gain of {100 * provable.gain:.1f} points, {100 * provable.power:.0f} % of the time ({look})"


def _assumed(provable: "Provable") -> str:
    known = f"{provable.known} stored verdicts" if provable.known else "a guess"
    return (
        f"today's runbook scores {provable.base:.3f} ({known}), and a winner breaks"
        f" {100 * provable.broken:.0f} % of what passes"
    )


def _known(amount: float | None, unit: str) -> str:
    return f"{unit} unknown" if amount is None else f"{amount:g} {unit}"
