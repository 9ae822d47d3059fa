"""What came of a run, for people and for programs."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from runbookopt.landing.proposal import Proposed
    from runbookopt.optimization import Result
    from runbookopt.proof.comparison import Comparison, ObjectiveChange

_HELD_OUT = ("tasks", "before", "after", "gain", "low", "high", "p")
_LINES = 60
_DIFF = {"+": "green", "-": "red", "@": "cyan"}
_REASONS = 6


def as_json(result: "Result", proposed: "Proposed | None") -> str:
    """Give the one line of `--json`: all keys present, null where there is nothing."""
    import msgspec

    comparison = _comparison(result, proposed)
    may = proposed.allowance if proposed else result.allowance
    landing = _landing(proposed) if proposed else {}
    found = {
        "runbook": result.runbook,
        "run": result.run,
        "outcome": landing.get("outcome", result.outcome),
        "held_out": {
            **{key: getattr(comparison, key, None) for key in _HELD_OUT},
            "look": may.look if may else None,
            "allowance": may.spend if may else None,
            "tasks_needed": getattr(comparison, "tasks_needed", None),
        },
        "validation": {
            "tasks": result.validation.tasks,
            "before": result.validation.before,
            "after": result.validation.after,
        },
        "objectives": comparison.objectives if comparison else {},
        "candidates": result.candidates,
        "spent": result.spent,
        "bundle": _bundle_path(result),
        "decision": landing.get("decision", {"merge": "none", "reasons": result.notes}),
        "branch": landing.get("branch"),
        "pull_request": landing.get("pull_request"),
    }
    return msgspec.json.encode(found).decode()


def _landing(proposed: "Proposed") -> dict[str, object]:
    pull, reasons = proposed.pull_request, [reason.text for reason in proposed.decision.reasons]
    reasons += proposed.notes  # why something was not done
    return {
        "outcome": proposed.outcome,
        "decision": {"merge": proposed.decision.merge, "reasons": reasons},
        "branch": proposed.branch,
        "pull_request": {"number": pull.number, "url": pull.url} if pull else None,
    }


def proposal_as_json(runbook: str, proposed: "Proposed") -> str:
    """Give the one line of `propose --json`."""
    import msgspec

    return msgspec.json.encode({"runbook": runbook, **_landing(proposed)}).decode()


def show_proposal(runbook: str, proposed: "Proposed") -> None:
    """Print what became of a bundle."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{runbook}: {_OUTCOMES[proposed.outcome]}", markup=False)
    for piece in (*_decision(proposed), *(f"  {note}" for note in proposed.notes)):
        console.print(piece, markup=False)


def show(result: "Result", proposed: "Proposed | None") -> None:
    """Print what came of a run: scores, the diff and its reasons, the decision, and where it is proposed."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for piece in _page(result, proposed):
        console.print(piece, markup=False)


def _page(result: "Result", proposed: "Proposed | None") -> "Iterator[RenderableType]":
    from rich.text import Text

    outcome = proposed.outcome if proposed else result.outcome
    yield Text.assemble((result.runbook, "bold"), ": ", (_OUTCOMES[outcome], _COLOURS[outcome]))
    yield _search(result)
    yield from _scores(result, proposed)
    yield from _diff(result)
    if proposed:
        yield from _decision(proposed)
    for note in (*result.notes, *(proposed.notes if proposed else ())):
        yield f"  {note}"
    if path := _bundle_path(result):
        yield f"  bundle: {path}"
    yield ""


_OUTCOMES = {
    "accepted": "a better runbook, proved on held-out tasks",
    "rejected": "the winner is no better on held-out tasks, or does harm there",
    "inconclusive": "a winner that is not proved",
    "no_candidate": "no better runbook was found",
}
_COLOURS = {"accepted": "green", "rejected": "red", "inconclusive": "yellow", "no_candidate": "yellow"}


def _search(result: "Result") -> str:
    spent, validation = result.spent, result.validation
    return (
        f"  search      {result.candidates} candidates, {spent.reflections} reflections,"
        f" {spent.rollouts} rollouts paid and {spent.cached} known, {spent.seconds:.1f} s\n"
        f"  validation  {validation.before:.3f} -> {validation.after:.3f} on {validation.tasks} tasks"
    )


def _comparison(result: "Result", proposed: "Proposed | None") -> "Comparison | None":
    return proposed.comparison if proposed else result.bundle.comparison if result.bundle else None


def _scores(result: "Result", proposed: "Proposed | None") -> "Iterator[RenderableType]":
    from rich import box
    from rich.table import Table

    comparison = _comparison(result, proposed)
    may = proposed.allowance if proposed else result.allowance
    if comparison is None or may is None:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=True)
    table.add_column(f"held-out ({comparison.tasks} tasks)")
    for heading in ("before", "after", "gain", "at least", "at most"):
        table.add_column(heading, justify="right")
    rows: dict[str, Comparison | ObjectiveChange] = {"score": comparison}
    rows |= comparison.objectives if len(comparison.objectives) > 1 else {}
    for name, row in rows.items():
        gain = row.after - row.before
        table.add_row(
            name,
            f"{row.before:.3f}",
            f"{row.after:.3f}",
            f"{gain:+.3f}",
            f"{row.low:+.3f}",
            f"{row.high:+.3f}",
        )
    yield table
    yield f"  p = {comparison.p:.2g}; look {may.look} at these tasks may spend {may.spend:.2g}"
    for reason in comparison.reasons:
        yield f"  - {reason}"


def _diff(result: "Result") -> "Iterator[RenderableType]":
    from rich.text import Text

    from runbookopt.explanation import plain

    if not result.patch:
        return
    yield "  why:"
    for change in result.changes[:_REASONS]:
        cited = ", ".join(change.trajectories[:3]) or "no trajectory"
        yield f"  - {plain(change.component)}: {plain(change.diagnosis)} ({plain(cited)})"
    if len(result.changes) > _REASONS:
        yield f"  - and {len(result.changes) - _REASONS} more reasons"
    lines = [plain(line) for line in result.patch.splitlines()]
    for line in lines[:_LINES]:
        yield Text(line, style=_DIFF.get(line[:1], ""))
    if len(lines) > _LINES:
        yield f"  ... and {len(lines) - _LINES} more lines"


def _decision(proposed: "Proposed") -> "Iterator[RenderableType]":
    from rich.text import Text

    from runbookopt.explanation import plain

    words = {"auto": "may merge by itself", "review": "goes to review", "none": "nothing is proposed"}
    yield Text.assemble("  decision: ", (words[proposed.decision.merge], "bold"))
    marks = {True: "yes", False: "no ", None: "?  "}
    for reason in proposed.decision.reasons:
        yield f"    {marks[reason.holds]}  {plain(reason.text)}"
    pull = proposed.pull_request
    if pull is not None:
        waits = f", waits for {', '.join(pull.reviewers)}" if pull.reviewers else ""
        yield f"  pull request {pull.number}: {plain(pull.title)}{waits}"
        yield f"  {plain(pull.url)}, branch {plain(pull.branch)}"


def _bundle_path(result: "Result") -> str | None:
    from runbookopt.landing.bundle import file_name
    from runbookopt.preparation import LOCAL

    return str(Path(LOCAL) / "bundles" / file_name(result.bundle)) if result.bundle else None
