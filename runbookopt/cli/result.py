"""Result of a run, for people and for programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runbookopt.cli.terminal import Line
    from runbookopt.errors import Awaiting, Invalid
    from runbookopt.jobs.result import Result
    from runbookopt.landing.propose import Proposed
    from runbookopt.landing.reporting.newest_quarter import Newest
    from runbookopt.proof.allowance import Allowance
    from runbookopt.proof.comparison import Comparison, ObjectiveChange
    from runbookopt.proof.records import LastPull

_FIGURES = ("before", "after", "gain", "low", "high", "p")
_VALIDATION = ("tasks", "before", "after")
_LINES = 60
_DIFF = {"+": "green", "-": "red", "@": "cyan"}
_REASONS = 6
_SUSPECTS = 10
_WIDE = 120


class Ended(NamedTuple):
    """A run that has ended: what came of it, what became of that, what to type next.

    Of a winner that was not accepted no held-out figure is told, unless somebody asked to see them.
    """

    result: "Result"
    proposed: "Proposed | None"
    next_step: str | None
    show_figures: bool


def unfinished_as_json(runbook: str, error: "Invalid | Awaiting") -> dict[str, Any]:
    """One line of `--json` of a run that is invalid, or awaits replies."""
    from runbookopt.cli.handoff import as_json as awaited_as_json
    from runbookopt.documents.schema_errors import plain
    from runbookopt.errors import Awaiting

    awaiting = awaited_as_json(error) if isinstance(error, Awaiting) else None
    outcome = "invalid" if awaiting is None else "awaiting_replies"
    why = f"invalid: {plain(str(error))}" if awaiting is None else awaiting["next"]
    found = _without_result(runbook, outcome, why)
    held_out = found["held_out"] | {"look": error.look}
    return found | {"held_out": held_out, "spent": error.spent, "awaiting": awaiting}


def as_json(ended: Ended) -> dict[str, Any]:
    """One line of `--json`: all keys present, null where there is nothing or nothing is told."""
    result, proposed = ended.result, ended.proposed
    last = proposed or result
    landing = _landing(proposed) if proposed else {}
    decision = landing.get("decision", {"merge": "none", "reasons": []})
    step = [f"next: {ended.next_step}"] if ended.next_step else []
    notes = [*_untold(last.comparison), *result.notes, *_replied(result), *step]
    return {
        "runbook": result.runbook,
        "run": result.run,
        "outcome": last.outcome,
        "held_out": _held_out(last.comparison, last.allowance, last.newest, show=ended.show_figures),
        "validation": {key: getattr(result.validation, key) for key in _VALIDATION},
        "objectives": _objectives(last.comparison, show=ended.show_figures),
        "stored_verdicts": result.stored,
        "suspect_references": result.suspects,
        "candidates": result.candidates,
        "health": result.health and result.health.as_record(),
        "spent": result.spent,
        "bundle": bundle_path(result),
        "decision": {**decision, "reasons": [*dict.fromkeys((*decision["reasons"], *_notes(notes)))]},
        "branch": landing.get("branch"),
        "pull_request": landing.get("pull_request"),
        "awaiting": None,
    }


def waiting_as_json(runbook: str, why: str, pull: "LastPull | None" = None) -> dict[str, Any]:
    """One line of `--json` of a run that waits, for an open pull request say."""
    from runbookopt.documents.schema_errors import plain

    found = _without_result(runbook, "waiting", plain(why))
    if pull is None:
        return found
    return found | {"branch": pull.branch, "pull_request": {"number": pull.number, "url": pull.url}}


def _without_result(runbook: str, outcome: str, why: str) -> dict[str, Any]:
    """One line of `--json` of a run that came to no result: the keys of `as_json`."""
    return {
        "runbook": runbook,
        "run": None,
        "outcome": outcome,
        "held_out": _held_out(None, None, show=False),
        "validation": dict.fromkeys(_VALIDATION),
        "objectives": {},
        "stored_verdicts": None,
        "suspect_references": [],
        "candidates": None,
        "health": None,
        "spent": None,
        "bundle": None,
        "decision": {"merge": "none", "reasons": [*_notes([why])]},
        "branch": None,
        "pull_request": None,
        "awaiting": None,
    }


def waiting_page(runbook: str, why: str) -> "Iterator[Line]":
    """What a run says that waits, for people."""
    yield (runbook, "bold"), (": ", ""), ("waiting", "yellow"), (f": {why}", "")


def why_waiting(pull: "LastPull") -> str:
    """Why a run waits for a pull request, and what ends that."""
    return (
        f"pull request {pull.number} ({pull.url}) is open, so nothing was searched and no look was taken;"
        " merge or close it, or add --again"
    )


def _held_out(
    comparison: "Comparison | None", may: "Allowance | None", newest: "Newest | None" = None, *, show: bool
) -> dict[str, Any]:
    """What is told of a look at the held-out tasks."""
    from runbookopt.proof.disclosure import is_told, more_tasks

    told = comparison if comparison and (show or is_told(comparison)) else None
    return {
        "tasks": comparison.tasks if comparison else None,
        **{key: getattr(told, key, None) for key in _FIGURES},
        "look": may.look if may else None,
        "allowance": may.spend if may else None,
        "tasks_needed": told.tasks_needed if told else None,
        "more_tasks": more_tasks(comparison) if comparison else None,
        "spent": may.spent if may else None,
        "left": may.left if may else None,
        "newest_quarter": newest if told else None,
    }


def _objectives(comparison: "Comparison | None", *, show: bool) -> "dict[str, ObjectiveChange] | None":
    """The objectives of a look; None where their figures are not told."""
    from runbookopt.proof.disclosure import is_told

    if comparison is None:
        return {}
    return comparison.objectives if show or is_told(comparison) else None


def _untold(comparison: "Comparison | None") -> "tuple[str, ...]":
    """What is told of a look that was not accepted, in place of its figures."""
    from runbookopt.proof.disclosure import is_told, told

    return () if comparison is None or is_told(comparison) else told(comparison)


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


def proposal_as_json(runbook: str, proposed: "Proposed", *, show_figures: bool) -> dict[str, Any]:
    """One line of `propose --json`."""
    held_out = _held_out(proposed.comparison, proposed.allowance, proposed.newest, show=show_figures)
    objectives = _objectives(proposed.comparison, show=show_figures)
    return {"runbook": runbook, **_landing(proposed), "held_out": held_out, "objectives": objectives}


def proposal_page(runbook: str, proposed: "Proposed", *, show_figures: bool) -> "Iterator[Line]":
    """What became of a bundle, for people."""
    yield f"{runbook}: {_headline(proposed.outcome, proposed.comparison)}"
    yield from _scores(proposed.comparison, proposed.allowance, show=show_figures)
    yield from _decision(proposed)
    yield from (f"  {note}" for note in proposed.notes)


def page(ended: Ended) -> "Iterator[Line]":
    """What came of a run: scores, the diff and its reasons, the decision, and where it is proposed."""
    from runbookopt.landing.bundle import offline_part

    result, proposed = ended.result, ended.proposed
    last = proposed or result
    words = _headline(last.outcome, last.comparison)
    if last.comparison is None:
        words = result.unknown or (
            words if result.has_winner or not result.patch else "no clear winner on validation"
        )
    if result.stands:
        words += ": nothing is new since the last run, so nothing was searched again"
    yield (result.runbook, "bold"), (": ", ""), (words, _COLOURS[last.outcome])
    spent, validation = result.spent, result.validation
    if result.health is not None:
        yield f"  health      {result.health.line}"
    part = offline_part(result.bundle) if result.bundle else None
    offline = f", with the {part}" if part else ""
    yield (
        f"  search      {result.candidates} candidates, {spent.reflections} reflections,"
        f" {spent.rollouts} rollouts paid and {spent.cached} known, {spent.seconds:.1f} s{offline}"
    )
    after = f" -> {validation.after:.3f}" if result.patch else ""
    luck = ", less what is luck" if result.patch else ""
    yield f"  validation  {validation.before:.3f}{after} on {validation.tasks} tasks{luck}"
    yield from _scores(last.comparison, last.allowance, show=ended.show_figures)
    if (newest := last.newest) and (ended.show_figures or last.outcome == "accepted"):
        yield (
            f"  - on the newest quarter, {newest.tasks} tasks from {newest.since} on:"
            f" {newest.before:.3f} -> {newest.after:.3f}, {newest.gain:+.3f}"
        )
    yield from _evidence(result)
    yield from _diff(result)
    yield from _decision(proposed) if proposed else ()
    notes = dict.fromkeys((*result.notes, *_replied(result), *(proposed.notes if proposed else ())))
    yield from (f"  {note}" for note in notes)
    if path := bundle_path(result):
        yield f"  bundle: {path}"
    if ended.next_step:
        yield f"  next: {ended.next_step}"
    yield ""


def _replied(result: "Result") -> "Iterator[str]":
    """Who answered by hand-off, as they call themselves."""
    for role, names in result.repliers.items():
        told = ", ".join(f"{name} ({count})" for name, count in names.items())
        yield f"answered by hand-off for the {role}, as they say: {told}"


_OUTCOMES = {
    "accepted": "a better runbook, proved on held-out tasks",
    "rejected": "the winner is no better on held-out tasks, or does harm there",
    "inconclusive": "a winner that the held-out tasks do not prove",
    "no_candidate": "no better runbook was found",
}
_COLOURS = {"accepted": "green", "rejected": "red", "inconclusive": "yellow", "no_candidate": "yellow"}


def _headline(outcome: str, comparison: "Comparison | None") -> str:
    from runbookopt.proof.comparison import MOST_ERRORS

    if outcome == "inconclusive" and comparison is None:
        return "a winner on validation, not proved on held-out tasks"
    if outcome == "inconclusive" and comparison is not None and comparison.errors > MOST_ERRORS:
        return "INVALID: the measurement is broken, which is no word on the winner"
    return _OUTCOMES[outcome]


def _scores(comparison: "Comparison | None", may: "Allowance | None", *, show: bool) -> "Iterator[Line]":
    """What is told of the proof, and what all looks have spent."""
    if comparison is None or may is None:
        return
    from runbookopt.proof.disclosure import is_told, told

    if show or is_told(comparison):
        yield from _table(comparison, may)
    else:
        yield f"  held-out    {comparison.tasks} tasks, look {may.look}: {comparison.answer}"
        yield from (f"  - {sentence}" for sentence in told(comparison))
        yield "  - its figures are told with --show-figures alone, after which the next change goes to review"
    yield (
        f"  chance      this look spent {may.spend:.2g}; spent so far on this runbook: {may.spent:.2g};"
        f" left: {may.left:.2g}"
    )


def _evidence(result: "Result") -> "Iterator[Line]":
    """Which stored verdicts were used, and where a reference may be wrong."""
    from runbookopt.landing.bundle import age

    if result.stored.used:
        yield f"  stored      {result.stored.used} verdicts stood for rollouts, {age(result.stored)}"
    if result.suspects:
        yield (
            f"  suspect     {len(result.suspects)} references may be wrong: all texts that were tried agree"
            " on another answer"
        )
    for each in result.suspects[:_SUSPECTS]:
        named = ", ".join(each.trajectories[:3])
        yield f"  - {named} ({each.part}): {each.texts} texts answer {each.answer[:_WIDE]}"
    if len(result.suspects) > _SUSPECTS:
        yield f"  - and {len(result.suspects) - _SUSPECTS} more, in --json and in the bundle"


def _table(comparison: "Comparison", may: "Allowance") -> "Iterator[Line]":
    """The figures of the proof, as wide as its numbers need, and the reasons of its answer."""
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
    if result.replaced:
        yield f"  - and {result.replaced} more edits on the way to it, of which no line stands in the diff"
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
