"""`runbookopt calibrate`: each criterion held against labels, and what it may decide by that."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runbookopt.cli import custody
from runbookopt.cli.flags import Flags, Json, runbooks_here, settings_of, takes_settings
from runbookopt.cli.job import job_of, told, under_way
from runbookopt.cli.root import named
from runbookopt.cli.terminal import Line, complain, print_json, say_lines, warn
from runbookopt.cli.turns import in_turn
from runbookopt.errors import Invalid, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbookopt.calibration.agreement import Estimate, Figures
    from runbookopt.calibration.bias import ProbeResult
    from runbookopt.calibration.record import CriterionRecord
    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.prepare import Job
    from runbookopt.jobs.verifiers.bias import Batteries
    from runbookopt.jobs.verifiers.calibrate import Calibrated, CalibrationResult

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A runbook, as `runbookopt check` names it.",
        show_default=False,
        autocompletion=runbooks_here,
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--criterion", metavar="ID", help="Look at this criterion alone, also where it gates."),
]
SpendLabels = Annotated[
    bool,
    typer.Option("--spend-labels", help="Look once more at labels that were looked at, at a stricter bound."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be looked at; look at no label, ask nobody.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Ask for a 95 % lower bound of .8 of both TPR and TNR, too.")
]

Bias = Annotated[
    bool,
    typer.Option("--bias", help="Try the judge for bias: outputs changed where it must not count."),
]

_STYLES = {"gates": "green", "exempt": "green", "advisory": "yellow", "rejected": "red"}
_DISAGREE = 5


@takes_settings("budget.usd", "width")
def calibrate(  # noqa: PLR0913 - each is a flag
    name: Name,
    *,
    criterion: Only = None,
    spend_labels: SpendLabels = False,
    strict: Strict = False,
    dry_run: DryRun = False,
    bias: Bias = False,
    flags: Flags,
    json: Json = False,
) -> None:
    """Hold the criteria of a runbook against people's labels, and write calibration.json.

    A criterion gates where it agrees with at least 15 held-out labels of each class: MCC .6 or more, its
    one-sided 99 % lower bound .4 or more. A label counts for one look; --spend-labels takes a second and a
    third at 99.5 and 99.75 %. Checks are run again on the stored outputs. A judge's verdicts are those stored
    under today's key; what lacks is asked, and kept in the journal. Commit the file: it decides what decides.

    --bias spends no label. It asks the judge about 60 stored outputs, each as it is, with a placebo, longer,
    praised, and with an order to the judge in it. A judge that lets more pass then does not gate.

    Exit status: 0 done, whatever the statuses; 1 something to act on, 2 wrong usage, 130 interrupted.
    """
    if dry_run and spend_labels:
        raise WrongUsage("--dry-run looks at no label, so that --spend-labels has nothing to spend")
    if bias and (dry_run or spend_labels or strict or criterion):
        raise WrongUsage("--bias stands alone: it looks at no label, and asks each judge that there is")
    custody.drop()  # programs of the repository run here
    from runbookopt.forge.git.repository import Repository
    from runbookopt.jobs.verifiers.calibrate import Terms, must_have_labels
    from runbookopt.jobs.verifiers.calibrate import calibrate as run

    terms = Terms(tuple(criterion or ()), again=spend_labels, look=not dry_run, strict=strict)
    with Repository.open(Path.cwd()) as repository:
        root = repository.root
        name = named(root, name)
        settings = settings_of(root, name, flags)
        job = job_of(name, settings, root, propose=False, look=False, flags=flags)
        if bias:
            _try_for_bias(repository, job, json=json)
            return
        try:
            with under_way(name) as tell, in_turn(root, name):
                result = run(repository, job, terms, progress=tell)
        except Invalid as error:
            complain(told(name, error))
            raise typer.Exit(error.status) from None
    warn(result.warnings)
    must_have_labels(result)
    if json:
        print_json(_as_json(result, dry_run=dry_run))
    else:
        say_lines(_page(result, dry_run=dry_run))
    sys.stdout.flush()


def _try_for_bias(repository: "Repository", job: "Job", *, json: bool) -> None:
    from runbookopt.jobs.verifiers.bias import try_for_bias

    try:
        with under_way(job.name) as tell, in_turn(repository.root, job.name):
            found = try_for_bias(repository, job, progress=tell)
    except Invalid as error:
        complain(told(job.name, error))
        raise typer.Exit(error.status) from None
    if json:
        print_json(found)
    else:
        say_lines(_batteries(found))
    sys.stdout.flush()


def _batteries(found: "Batteries") -> "Iterator[Line]":
    yield (found.runbook, "bold"), (f": the judge {found.judge}, tried for bias", "")
    for name, battery in found.batteries.items():
        word = (
            f"failed ({', '.join(battery.failed)}), so it does not gate" if battery.failed else "not failed"
        )
        yield ("  ", ""), (name, "bold"), (f": {word}; {battery.outputs} outputs", "")
        for probe, result in battery.probes.items():
            yield f"    {probe:<11} {_probe(probe, result)}"
    missing = [name for name in found.batteries if name not in found.recorded]
    if missing:
        yield f"  not recorded, since {found.path} has no calibration of today's key: {', '.join(missing)}"
    if found.recorded:
        yield f"  written: {found.path}; commit it"
    usd = "dollars unknown" if found.spent.usd is None else f"{found.spent.usd:.4f} dollars"
    yield f"  spent         {usd}"
    yield ""


def _probe(probe: str, result: "ProbeResult") -> str:
    what = "of verdicts changed" if probe == "placebo" else "more pass"
    flips = f"{result.toward} to pass, {result.away} to fail, of {result.pairs}"
    limits = "" if probe == "own family" else f" ({result.low:.1%} to {result.high:.1%})"
    few = f": only {result.failing} failed, too few" if result.outcome == "unknown" else ""
    lost = f"; {result.lost} without a verdict" if result.lost else ""
    return f"{result.outcome}{few}: {result.shift:.1%} {what}{limits}; {flips}{lost}"


def _as_json(result: "CalibrationResult", *, dry_run: bool) -> dict[str, Any]:
    """The one line of `--json`: all keys present, null where something is unknown."""
    from msgspec.structs import asdict

    said = asdict(result)
    del said["warnings"]
    said["dry_run"] = dry_run
    said["health"] = result.health.as_record()
    covered = result.coverage
    said["coverage"] = {"count": covered.count, "volume": covered.volume, "modes": covered.modes}
    said["criteria"] = [_criterion_as_json(each) for each in result.criteria]
    return said


def _criterion_as_json(each: "Calibrated") -> dict[str, Any]:
    """A criterion without the verdicts on single labels: who sees them tunes on them."""
    from msgspec.structs import asdict

    record, look = each.record, each.look
    keys = ("at", "key", "level", "strict", "figures", "people", "consistency", "rate")
    return asdict(each) | {
        "record": record and {key: getattr(record, key) for key in keys} | {"looks": len(record.looks)},
        "look": look and {"labels": len(look.items), "level": look.level, "look": look.look},
    }


def _page(result: "CalibrationResult", *, dry_run: bool) -> "Iterator[Line]":
    criteria = result.criteria
    counts = {status: sum(each.status == status for each in criteria) for status in _STATUSES}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    yield (result.runbook, "bold"), (": of its criteria ", ""), (told, "bold")
    yield f"  health        {result.health.line}"
    yield from _labels(result)
    for each in criteria:
        yield from _criterion(each, dry_run=dry_run)
    if result.coverage.modes:
        yield f"  coverage      {result.coverage}"
    if result.coverage.uncovered:
        yield f"                what labels may make of these: runbookopt criteria suggest {result.runbook}"
    yield from (f"  {note}" for note in result.notes)
    yield ""


_STATUSES = ("gates", "exempt", "advisory", "rejected", "stale", "uncalibrated")


def _labels(result: "CalibrationResult") -> "Iterator[str]":
    """What labels there are, and what the judge cost."""
    labels = [each.labels for each in result.criteria]
    items, disputed = sum(each.items for each in labels), sum(each.disputed for each in labels)
    unsure, after = sum(each.unsure for each in labels), sum(each.after_verdict for each in labels)
    lost = f"; {disputed} disputed, {unsure} unsure" if disputed or unsure else ""
    seen = f"; {after} given after the verdict was shown, which test nothing" if after else ""
    yield f"  labels        {items}{lost}{seen}"
    if disputed:
        yield "                people disagree: say in the criterion what it means, then label these again"
    if calls := result.spent.usage.judge:
        failed = sum(calls.failures.values())
        usd = "dollars unknown" if result.spent.usd is None else f"{result.spent.usd:.4f} dollars"
        yield f"  judge         {calls.calls} calls, {failed} of them failed; {usd}"


def _criterion(each: "Calibrated", *, dry_run: bool) -> "Iterator[Line]":
    from runbookopt.calibration.planner import plan_in_words

    judge = f", judged by {each.model}" if each.model else ""
    yield (
        ("  ", ""),
        (each.criterion, "bold"),
        (": ", ""),
        (each.status, _STYLES.get(each.status, "")),
        (judge, ""),
    )
    labels = each.labels
    yield (
        f"    labels      {labels.items}: {labels.passes} pass, {labels.fails} fail;"
        f" {labels.examples} of them are examples"
    )
    if each.record is not None and each.status != "exempt":
        yield from _record(each.record, stale=each.status == "stale")
        if each.record.bias is not None and each.record.bias.failed:
            yield f"    bias        swayed by {', '.join(each.record.bias.failed)}: so it may not gate"
    if dry_run and each.look is not None:
        yield (
            f"    would look  at {len(each.look.items)} labels, look {each.look.look} at them,"
            f" with a bound of {_percent(1 - each.look.level)}"
        )
    if each.free is not None:
        yield from _free(each, each.free)
    if each.status not in {"gates", "exempt"}:
        yield f"    next        {plan_in_words(each.planned).partition(': ')[2]}"


def _record(record: "CriterionRecord", *, stale: bool) -> "Iterator[str]":
    figures = record.figures
    was = ", of another key: the criterion, its judge or its program changed since" if stale else ""
    yield (
        f"    held out    {figures.passes} pass and {figures.fails} fail, look {len(record.looks)} on"
        f" {record.at[:10]}, bound {_percent(1 - record.level)}{was}"
    )
    yield f"    MCC         {_told(figures.mcc)}; J {_told(figures.j)}"
    yield f"    TPR         {_told(figures.tpr)}; TNR {_told(figures.tnr)}"
    paradox = "; one class is rare, so that kappa says too little" if figures.paradox else ""
    yield f"    kappa       {_told(figures.kappa)}; AC1 {_told(figures.ac1)}{paradox}"
    yield f"    pass        {_told(figures.prevalence)} of these labels"
    table = figures.table
    if table.abstained or table.errors:
        yield f"    no verdict  {table.abstained} abstained, {table.errors} errors, of {table.asked}"
    if record.people is not None:
        yield f"    people      MCC {_told(record.people)} with each other: more is not to be had"
    if record.consistency is not None:
        yield f"    repeats     {_told(record.consistency)} of outputs judged more than once got one verdict"
    if record.rate is not None:
        yield (
            f"    rate        {_told(record.rate.raw)} of {record.rate.outputs} other outputs pass;"
            f" corrected {_told(record.rate.corrected)}"
        )


def _free(each: "Calibrated", figures: "Figures") -> "Iterator[str]":
    """Figures of what may be looked at freely."""
    table = figures.table
    if each.status == "exempt":
        yield f"    people      agree with it on {table.tp + table.tn} of {table.judged} labels"
    elif table.judged:
        yield (
            f"    examples    agrees on {table.tp + table.tn} of {table.judged}: look at them as you like,"
            " they test nothing"
        )
    if each.disagree:
        what = "wrong reference, or label" if each.status == "exempt" else "disagrees on"
        more = f" and {len(each.disagree) - _DISAGREE} more" if len(each.disagree) > _DISAGREE else ""
        yield f"    {what}: {', '.join(each.disagree[:_DISAGREE])}{more}"


def _told(estimate: "Estimate") -> str:
    if estimate.value is None:
        return "unknown"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
