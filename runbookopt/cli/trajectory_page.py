"""Stored trajectories in words: one as a page, what an import did, and what a folder holds."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbookopt.evidence.formats.native import Line
    from runbookopt.evidence.importing import Imported
    from runbookopt.evidence.reading import Gathered, Lost
    from runbookopt.evidence.trajectory import Trajectory

_SHOWN = 12
"""Lines of a text that `show` prints, unless all are asked for."""


def page(runbook: str, line: "Line[Trajectory]", *, whole: bool) -> "Iterator[str]":
    """One trajectory as a page to read; long texts are cut unless the `whole` is asked for."""
    from runbookopt.documents.digest import as_text

    trajectory = line.record
    yield f"id       {trajectory.id}"
    yield f"runbook  {runbook}{f' {trajectory.runbook_version}' if trajectory.runbook_version else ''}"
    yield f"from     {line.place}{f', {trajectory.format}' if trajectory.format else ''}, {trajectory.trust}"
    agent = trajectory.agent
    if agent is not None and (agent.name or agent.model):
        yield f"agent    {', '.join(filter(None, (agent.name, agent.model)))}"
    if trajectory.started_at:
        yield f"began    {trajectory.started_at}"
    yield from _texts("task", as_text(trajectory.task.input), whole=whole)
    if trajectory.task.reference is not None:
        yield from _texts("expected", as_text(trajectory.task.reference), whole=whole)
    for step in trajectory.steps:
        yield from _step(step, whole=whole)
    if trajectory.output is not None:
        yield from _texts("output", trajectory.output, whole=whole)
    if trajectory.error is not None:
        yield from _texts("error", trajectory.error, whole=whole)
    for verdict in trajectory.verdicts:
        score = "" if verdict.score is None else f" {verdict.score:g}"
        by = f", by {verdict.by.id or verdict.by.kind}" if verdict.by else ""
        why = f": {verdict.explanation}" if verdict.explanation else ""
        yield from _texts("verdict", f"{verdict.criterion}: {verdict.result}{score}{by}{why}", whole=whole)


def _step(step: dict[str, Any], *, whole: bool) -> "Iterator[str]":
    from runbookopt.documents.digest import as_text
    from runbookopt.evidence.formats.messages import text_of
    from runbookopt.evidence.formats.reader import list_at, text_at

    yield f"step {step.get('step_id', '?')}, {step.get('source', 'unknown')}"
    if thought := text_at(step, "reasoning_content"):
        yield from _texts("  thinks", thought, whole=whole)
    if text := text_of(step.get("message")):
        yield from _texts("  says", text, whole=whole)
    for call in list_at(step, "tool_calls"):
        if isinstance(call, dict):
            called = f"{call.get('function_name')} {as_text(call.get('arguments'))}"
            yield from _texts("  calls", called, whole=whole)
    for result in list_at(step, "observation", "results"):
        if isinstance(result, dict) and (text := text_of(result.get("content"))):
            yield from _texts("  gets", text, whole=whole)


def _texts(what: str, text: str, *, whole: bool) -> "Iterator[str]":
    """A text with its name before the first line; cut unless the whole is asked for."""
    lines = text.strip().splitlines() or [""]
    kept = lines if whole or len(lines) <= _SHOWN else lines[: _SHOWN - 1]
    width = 10_000_000 if whole else 400
    for number, line in enumerate(kept):
        cut = line if len(line) <= width else f"{line[:width]} [and {len(line) - width:,} characters more]"
        yield f"{what if not number else '':<8} {cut}".rstrip()
    if len(kept) < len(lines):
        yield f"{'':<8} [and {len(lines) - len(kept)} lines more: --whole shows them]"


def outcome(trajectory: "Trajectory") -> str:
    """What became of an attempt."""
    if trajectory.error is not None:
        return "errored"
    return "no output" if trajectory.output is None else f"{len(trajectory.output):,} characters"


def account(done: "Imported") -> "Iterator[str]":
    """What an import did."""
    from runbookopt.evidence.privacy import told

    formats = ", ".join(f"{count} {name}" for name, count in done.formats.items())
    yield f"imported   {done.new} trajectories{f' ({formats})' if formats else ''}, {done.labels} labels"
    if done.errored:
        yield f"errored    {done.errored} of them broke down: no answer of theirs counts as wrong"
    if done.unchanged:
        yield f"unchanged  {done.unchanged} were there already"
    if done.changed:
        more = ", ..." if len(done.changed) > 3 else ""  # noqa: PLR2004 - enough to look at
        ids = ", ".join(done.changed[:3])
        yield f"changed    {len(done.changed)} are there with other content, which stays: {ids}{more}"
    if done.left_out:
        yield f"left out   {done.left_out} records"
    if done.removed:
        yield f"removed    {told(done.removed)}: placeholders stand in their places"
    yield from _lost(done.losses)
    yield from (f"written    {path}" for path in done.files)
    if done.files:
        yield "next       commit and push them: a run reads what origin's default branch has"


def _lost(losses: "Sequence[Lost]") -> "Iterator[str]":
    for number, lost in enumerate(losses):
        yield f"{'not kept' if not number else '':<11}{lost.count:>6} x {lost.what} ({lost.format})"


def table(runbook: str, counts: dict[str, Any], gathered: "Gathered") -> "Iterator[str]":
    """What is stored of a runbook, by format, and what of its files is not kept."""
    from runbookopt.evidence.privacy import told

    yield f"{runbook}: {counts['tasks']} tasks, {counts['labels']} labels"
    for name, row in sorted(counts["formats"].items()):
        counted = ", ".join(f"{count} {what}" for what, count in row.items())
        yield f"  {name:<16} {counted}"
    if gathered.removed:
        yield f"  removed before anybody is shown them: {told(gathered.removed)}"
    yield from (f"  {line}" for line in _lost(gathered.losses))
