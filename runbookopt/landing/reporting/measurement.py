"""Measurement behind a report: its health, and what labels make of the criteria that decide (pure)."""

from collections.abc import Iterator, Sequence

from runbookopt.calibration.deciding import DECIDE, Standing
from runbookopt.calibration.health import Health, failed_calls, noise_of
from runbookopt.documents.untrusted import code, prose
from runbookopt.landing.bundle import Beside, Bundle
from runbookopt.proof.comparison import Comparison, Pair

_LONGEST = 600
"""Characters of what is said of one criterion."""


def health_of(
    bundle: Bundle, comparison: Comparison | None, pairs: Sequence[Pair], standings: Sequence[Standing]
) -> Health:
    """The health of what a bundle's run measured, by its pairs and what labels make of the criteria."""
    return Health(
        errors=comparison.errors if comparison else None,
        missing=without_score(bundle),
        failed_calls=failed_calls(bundle.spent.usage),
        noise=noise_of(pairs, alike=bundle.agent.deterministic),
        suspects=len(bundle.suspects),
        standings=tuple(standings),
    )


def without_score(bundle: Bundle) -> int:
    """Attempts of the proof that have no score."""
    beside = (each for seen in bundle.outputs for each in (*seen.beside_before, *seen.beside_after))
    return sum(each.no_answer is not None for each in beside)


def what_decides(
    bundle: Bundle, standings: Sequence[Standing], *, calibrated: bool, rows: int
) -> Iterator[str]:
    """The criteria, what labels make of each, and what those that decide nothing say of the proof's outputs.

    Until labels say what decides (`calibrated`), all of them do.
    """
    for each in standings[:rows]:
        name, why = code(each.criterion, 80), f": {prose(each.why, _LONGEST)}" if each.why else ""
        if each.status in DECIDE or not calibrated:
            yield f"- {name} is {each.status}, and decides{why}."
        else:
            yield f"- {name} is {each.status}, and decides nothing{why}.{_passing(bundle, each.criterion)}"
    if len(standings) > rows:
        yield f"- and {len(standings) - rows} more criteria"


def _passing(bundle: Bundle, criterion: str) -> str:
    """How many held-out outputs passed a criterion, as far as the first half says."""
    before = [each for seen in bundle.outputs for each in seen.beside_before]
    after = [each for seen in bundle.outputs for each in seen.beside_after]
    told = [_count(side, criterion) for side in (before, after)]
    return f" Of held-out outputs, {told[0]} passed it before, {told[1]} after." if all(told) else ""


def _count(side: Sequence[Beside], criterion: str) -> str:
    results = [each.judged[criterion].result for each in side if criterion in each.judged]
    return f"{results.count('pass')} of {len(results)}" if results else ""
