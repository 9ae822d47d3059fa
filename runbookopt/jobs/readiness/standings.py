"""Standings of criteria as advice: what of a rubric does not decide, why, and what keeps a merge waiting."""

from collections.abc import Iterator

from runbookopt.calibration.deciding import DECIDE, outdated
from runbookopt.documents.schema_errors import plain
from runbookopt.project.project import Project

_FATES = {
    "advisory": "it informs reflection and report, and decides nothing",
    "stale": "it decides nothing until it is calibrated again",
    "uncalibrated": "it decides nothing until it is calibrated",
    "rejected": "nobody is asked about it: write it anew, or take it out",
}


def on_standings(project: Project) -> tuple[str, ...]:
    """The criteria that decide nothing, since labels say what does."""
    if not project.is_calibrated:
        return ()
    standings = (each for each in project.standings_at() if each.status not in DECIDE)
    return tuple(f"criterion {plain(each.told)}: {_FATES[each.status]}" for each in standings)


def on_calibration(project: Project) -> Iterator[str]:
    """What of the calibration keeps a change from merging by itself, in a sentence if at all."""
    if project.is_calibrated:
        old = [each.criterion for each in outdated(project.standings_at())]
        if old:
            yield f"calibration.json is not of today's rubric, labels or date ({', '.join(old)})"
    elif project.rubric.uncalibrated:
        yield f"criteria that are not calibrated decide ({', '.join(project.rubric.uncalibrated)})"
