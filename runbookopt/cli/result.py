"""What came of a run, for people and for programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.text import Text

    from runbookopt.jobs.optimize import Result
    from runbookopt.landing.propose import Proposed
    from runbookopt.proof.comparison import Comparison, ObjectiveChange

_HELD_OUT = ("tasks", "before", "after", "gain", "low", "high", "p")
_LINES = 60
_DIFF = {"+": "green", "-": "red", "@": "cyan"}
_REASONS = 6


def as_json(result: "Result", proposed: "Proposed | None", next_step: str | None = None) -> str:
    """Give the one line of `--json`: all keys present, null where there is nothing."""
    import msgspec

    comparison = _comparison(result, proposed)
    may = proposed.allowance if proposed else result.allowance
    landing = _landing(proposed) if proposed else {}
    decision = landing.get("decision", {"merge": "none", "reasons": []})
    told = [*result.notes, *([f"next: {next_step}"] if next_step else [])]
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
        "bundle": bundle_path(result),
        "decision": {**decision, "reasons": [*decision["reasons"], *map(_note, told)]},
        "branch": landing.get("branch"),
        "pull_request": landing.get("pull_request"),
    }
    return msgspec.json.encode(found).decode()


def _landing(proposed: "Proposed") -> dict[str, Any]:
    pull, decision = proposed.pull_request, proposed.decision
    reasons = [reason.told for reason in decision.reasons]
    return {
        "outcome": proposed.outcome,
        "decision": {"merge": decision.merge, "reasons": [*reasons, *map(_note, proposed.notes)]},
        "branch": proposed.branch,
        "pull_request": {"number": pull.number, "url": pull.url} if pull else None,
    }


def _note(text: str) -> str:
    """Mark what is no condition of the policy, but why something was done or not."""
    return f"note: {text}"


def proposal_as_json(runbook: str, proposed: "Proposed") -> str:
    """Give the one line of `propose --json`."""
    import msgspec

    return msgspec.json.encode({"runbook": runbook, **_landing(proposed)}).decode()


def show_proposal(runbook: str, proposed: "Proposed") -> None:
    """Print what became of a bundle."""
    headline = f"{runbook}: {_headline(proposed.outcome, proposed.comparison)}"
    print_lines((headline, *_decision(proposed), *_indented(proposed.notes)))


def show(result: "Result", proposed: "Proposed | None", next_step: str | None = None) -> None:
    """Print what came of a run: scores, the diff and its reasons, the decision, and where it is proposed."""
    print_lines(_page(result, proposed, next_step))


def print_lines(pieces: "Iterable[str | Text]") -> None:
    """Print pieces line by line; nothing that others wrote reaches the terminal as it is."""
    from rich.console import Console
    from rich.text import Text

    from runbookopt.documents.schema_errors import plain

    console = Console(highlight=False, soft_wrap=True)
    for piece in pieces:
        text = piece if isinstance(piece, Text) else Text(plain(piece))
        console.print(text, markup=False)


def _indented(lines: "Iterable[str]") -> "Iterator[str]":
    return (f"  {line}" for line in lines)


def _page(result: "Result", proposed: "Proposed | None", next_step: str | None) -> "Iterator[str | Text]":
    from rich.text import Text

    from runbookopt.documents.schema_errors import plain

    outcome = proposed.outcome if proposed else result.outcome
    words = _headline(outcome, _comparison(result, proposed))
    yield Text.assemble((plain(result.runbook), "bold"), ": ", (words, _COLOURS[outcome]))
    yield from _search(result)
    yield from _scores(result, proposed)
    yield from _diff(result)
    yield from _decision(proposed) if proposed else ()
    yield from _indented((*result.notes, *(proposed.notes if proposed else ())))
    if path := bundle_path(result):
        yield f"  bundle: {path}"
    if next_step:
        yield f"  next: {next_step}"
    yield ""


_OUTCOMES = {
    "accepted": "a better runbook, proved on held-out tasks",
    "rejected": "the winner is no better on held-out tasks",
    "inconclusive": "a winner that the held-out tasks do not prove",
    "no_candidate": "no better runbook was found",
}
_COLOURS = {"accepted": "green", "rejected": "red", "inconclusive": "yellow", "no_candidate": "yellow"}


def _headline(outcome: str, comparison: "Comparison | None") -> str:
    if outcome == "inconclusive" and comparison is None:
        return "a winner on validation, not proved on held-out tasks"
    if outcome == "rejected" and comparison is not None and comparison.gain > 0:
        return "the winner gains too little on held-out tasks, or does harm there"
    return _OUTCOMES[outcome]


def _search(result: "Result") -> "Iterator[str]":
    spent, validation = result.spent, result.validation
    offline = ", with the offline pair" if result.bundle and result.bundle.offline else ""
    yield (
        f"  search      {result.candidates} candidates, {spent.reflections} reflections,"
        f" {spent.rollouts} rollouts paid and {spent.cached} known, {spent.seconds:.1f} s{offline}"
    )
    yield f"  validation  {validation.before:.3f} -> {validation.after:.3f} on {validation.tasks} tasks"


def _comparison(result: "Result", proposed: "Proposed | None") -> "Comparison | None":
    return proposed.comparison if proposed else result.bundle.comparison if result.bundle else None


def _scores(result: "Result", proposed: "Proposed | None") -> "Iterator[str | Text]":
    """Give the table of the proof, as wide as its numbers need, and the reasons of its answer."""
    from rich.text import Text

    comparison = _comparison(result, proposed)
    may = proposed.allowance if proposed else result.allowance
    if comparison is None or may is None:
        return
    rows: dict[str, Comparison | ObjectiveChange] = {"score": comparison}
    rows |= comparison.objectives if len(comparison.objectives) > 1 else {}
    heading = f"held-out ({comparison.tasks} tasks, look {may.look})"
    wide = max(map(len, (heading, *rows)))
    yield Text(f"  {heading:<{wide}}  before   after    gain  at least  at most", style="bold")
    for name, row in rows.items():
        yield (
            f"  {name:<{wide}}  {row.before:6.3f}  {row.after:6.3f}  {row.after - row.before:+6.3f}"
            f"  {row.low:+8.3f}  {row.high:+7.3f}"
        )
    for reason in comparison.reasons:
        yield f"  - {reason}"


def _diff(result: "Result") -> "Iterator[str | Text]":
    from rich.text import Text

    from runbookopt.documents.schema_errors import plain

    if not result.patch:
        return
    yield "  why:"
    for change in result.changes[:_REASONS]:
        cited = ", ".join(change.trajectories[:3]) or "no trajectory"
        yield f"  - {change.component}: {change.diagnosis} ({cited})"
    if len(result.changes) > _REASONS:
        yield f"  - and {len(result.changes) - _REASONS} more reasons"
    lines = [plain(line) for line in result.patch.splitlines()]
    for line in lines[:_LINES]:
        yield Text(line, style=_DIFF.get(line[:1], ""))
    if len(lines) > _LINES:
        yield f"  ... and {len(lines) - _LINES} more lines"


def _decision(proposed: "Proposed") -> "Iterator[str | Text]":
    from rich.text import Text

    words = {"auto": "may merge by itself", "review": "goes to review", "none": "nothing is proposed"}
    yield Text.assemble("  decision: ", (words[proposed.decision.merge], "bold"))
    marks = {True: "yes", False: "no ", None: "?  "}
    reasons = proposed.decision.reasons
    if proposed.decision.merge == "none":  # then it is idle to ask who would have to say yes
        reasons = tuple(reason for reason in reasons if reason.condition == "accepted")
    for reason in reasons:
        yield f"    {marks[reason.holds]}  {reason.text}"
    pull = proposed.pull_request
    if pull is not None:
        asked = (*pull.reviewers, *(f"team {team}" for team in pull.teams))
        waits = f", waits for {', '.join(asked)}" if asked else ""
        yield f"  pull request {pull.number}: {pull.title}{waits}"
        yield f"  {pull.url}, branch {pull.branch}"


def bundle_path(result: "Result") -> str | None:
    """Give where the bundle of a run is, from the root of the repository; None where there is none."""
    from runbookopt.jobs.prepare import LOCAL
    from runbookopt.landing.bundle import file_name

    return str(Path(LOCAL) / "bundles" / file_name(result.bundle)) if result.bundle else None
