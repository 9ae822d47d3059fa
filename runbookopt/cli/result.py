"""Result of a run, for people and for programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runbookopt.cli.terminal import Line
    from runbookopt.jobs.optimize import Result
    from runbookopt.landing.propose import Proposed
    from runbookopt.proof.allowance import Allowance
    from runbookopt.proof.comparison import Comparison, ObjectiveChange

_HELD_OUT = ("tasks", "before", "after", "gain", "low", "high", "p")
_LINES = 60
_DIFF = {"+": "green", "-": "red", "@": "cyan"}
_REASONS = 6


def as_json(result: "Result", proposed: "Proposed | None", next_step: str | None) -> dict[str, Any]:
    """One line of `--json`: all keys present, null where there is nothing."""
    last = proposed or result
    comparison, may = last.comparison, last.allowance
    landing = _landing(proposed) if proposed else {}
    decision = landing.get("decision", {"merge": "none", "reasons": []})
    notes = [*result.notes, *([f"next: {next_step}"] if next_step else [])]
    return {
        "runbook": result.runbook,
        "run": result.run,
        "outcome": last.outcome,
        "held_out": {
            **{key: getattr(comparison, key, None) for key in _HELD_OUT},
            "look": may.look if may else None,
            "allowance": may.spend if may else None,
            "tasks_needed": getattr(comparison, "tasks_needed", None),
        },
        "validation": {key: getattr(result.validation, key) for key in ("tasks", "before", "after")},
        "objectives": comparison.objectives if comparison else {},
        "candidates": result.candidates,
        "spent": result.spent,
        "bundle": bundle_path(result),
        "decision": {**decision, "reasons": [*decision["reasons"], *_notes(notes)]},
        "branch": landing.get("branch"),
        "pull_request": landing.get("pull_request"),
    }


def _landing(proposed: "Proposed") -> dict[str, Any]:
    pull, decision = proposed.pull_request, proposed.decision
    reasons = [*(reason.told for reason in decision.reasons), *_notes(proposed.notes)]
    return {
        "outcome": proposed.outcome,
        "decision": {"merge": decision.merge, "reasons": reasons},
        "branch": proposed.branch,
        "pull_request": {"number": pull.number, "url": pull.url} if pull else None,
    }


def _notes(texts: "Iterable[str]") -> "Iterator[str]":
    """What is no condition of the policy, but why something was done or not, marked as that."""
    return (f"note: {text}" for text in texts)


def proposal_as_json(runbook: str, proposed: "Proposed") -> dict[str, Any]:
    """One line of `propose --json`."""
    return {"runbook": runbook, **_landing(proposed)}


def proposal_page(runbook: str, proposed: "Proposed") -> "Iterator[Line]":
    """What became of a bundle, for people."""
    yield f"{runbook}: {_headline(proposed.outcome, proposed.comparison)}"
    yield from _decision(proposed)
    yield from (f"  {note}" for note in proposed.notes)


def page(result: "Result", proposed: "Proposed | None", next_step: str | None) -> "Iterator[Line]":
    """What came of a run: scores, the diff and its reasons, the decision, and where it is proposed."""
    last = proposed or result
    words = _headline(last.outcome, last.comparison)
    yield (result.runbook, "bold"), (": ", ""), (words, _COLOURS[last.outcome])
    spent, validation = result.spent, result.validation
    offline = ", with the offline pair" if result.bundle and result.bundle.offline else ""
    yield (
        f"  search      {result.candidates} candidates, {spent.reflections} reflections,"
        f" {spent.rollouts} rollouts paid and {spent.cached} known, {spent.seconds:.1f} s{offline}"
    )
    yield f"  validation  {validation.before:.3f} -> {validation.after:.3f} on {validation.tasks} tasks"
    yield from _scores(last.comparison, last.allowance)
    yield from _diff(result)
    yield from _decision(proposed) if proposed else ()
    yield from (f"  {note}" for note in (*result.notes, *(proposed.notes if proposed else ())))
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


def _scores(comparison: "Comparison | None", may: "Allowance | None") -> "Iterator[Line]":
    """The table of the proof, as wide as its numbers need, and the reasons of its answer."""
    if comparison is None or may is None:
        return
    rows: dict[str, Comparison | ObjectiveChange] = {"score": comparison}
    rows |= comparison.objectives if len(comparison.objectives) > 1 else {}
    heading = f"held-out ({comparison.tasks} tasks, look {may.look})"
    wide = max(map(len, (heading, *rows)))
    yield ((f"  {heading:<{wide}}  before   after    gain  at least  at most", "bold"),)
    for name, row in rows.items():
        yield (
            f"  {name:<{wide}}  {row.before:6.3f}  {row.after:6.3f}  {row.after - row.before:+6.3f}"
            f"  {row.low:+8.3f}  {row.high:+7.3f}"
        )
    for reason in comparison.reasons:
        yield f"  - {reason}"


def _diff(result: "Result") -> "Iterator[Line]":
    if not result.patch:
        return
    yield "  why:"
    for change in result.changes[:_REASONS]:
        cited = ", ".join(change.trajectories[:3]) or "no trajectory"
        yield f"  - {change.component}: {change.diagnosis} ({cited})"
    if len(result.changes) > _REASONS:
        yield f"  - and {len(result.changes) - _REASONS} more reasons"
    lines = result.patch.splitlines()
    yield from (((line, _DIFF.get(line[:1], "")),) for line in lines[:_LINES])
    if len(lines) > _LINES:
        yield f"  ... and {len(lines) - _LINES} more lines"


def _decision(proposed: "Proposed") -> "Iterator[Line]":
    words = {"auto": "may merge by itself", "review": "goes to review", "none": "nothing is proposed"}
    yield ("  decision: ", ""), (words[proposed.decision.merge], "bold")
    marks = {True: "yes", False: "no ", None: "?  "}
    reasons = proposed.decision.reasons
    if proposed.decision.merge == "none":  # then it is idle to ask who would have to say yes
        reasons = tuple(reason for reason in reasons if reason.condition == "accepted")
    for reason in reasons:
        yield f"    {marks[reason.holds]}  {reason.text}"
    pull = proposed.pull_request
    if pull is not None:
        people = (*pull.reviewers, *(f"team {team}" for team in pull.teams))
        waits = f", waits for {', '.join(people)}" if people else ""
        yield f"  pull request {pull.number}: {pull.title}{waits}"
        yield f"  {pull.url}, branch {pull.branch}"


def bundle_path(result: "Result") -> str | None:
    """Where the bundle of a run is, from the root of the repository; None where there is none."""
    from runbookopt.landing.bundle import file_name
    from runbookopt.project.local_state import LOCAL

    return str(Path(LOCAL) / "bundles" / file_name(result.bundle)) if result.bundle else None
