"""End of a search in words: why it ended, and why nothing is known of a better runbook (pure)."""

import math

from runbookopt.documents.schema_errors import plain
from runbookopt.engine.driver import Driver
from runbookopt.evidence.split import group_of
from runbookopt.jobs.allotment import least
from runbookopt.jobs.plan import raise_usd
from runbookopt.jobs.prepare import Prepared
from runbookopt.proof.comparison import fewest_to_gain
from runbookopt.search.loop import SearchResult


def why_ended(searched: SearchResult, driver: Driver) -> str:
    """Why the search went no further."""
    ends = {"budget": f"its budget of {driver.short_of} is used up", "minutes": "its time is up"}
    return ends.get(searched.ended, searched.ended)


def nothing_known(ready: Prepared, driver: Driver) -> str:
    """Why today's runbook is not known on validation, and how much more would tell."""
    needed = least(ready.problem, ready.claims, ready.allotment.reserved)
    if driver.short_of == "usd":
        what, setting = "budget of usd", raise_usd(driver.usd_a_rollout * needed)
    else:
        paid, minutes = driver.spent.rollouts, driver.spent.seconds / 60
        what = "time"
        more = f" to {math.ceil(minutes * needed / paid)} at least" if paid else ""
        setting = f"raise budget.minutes{more}, or width"
    return (
        f"{ready.job.name}: the search's {what} was up before today's runbook was tried on"
        f" {len(ready.problem.validation)} validation tasks: {setting}; what was answered is kept"
    )


def why_unknown(ready: Prepared, searched: SearchResult, ended: str) -> str | None:
    """Why nothing is known of a better runbook, where a search could not have found one."""
    if len(searched.pool) > 1:
        return _too_little_fails(ready, searched)
    tried = searched.tried
    refused = f"; {len(tried)} proposals came to none, the last: {plain(tried[-1].outcome)}" if tried else ""
    return f"no draft was tried: {ended}{refused}"


def _too_little_fails(ready: Prepared, searched: SearchResult) -> str | None:
    """Why no winner could be worth a look: today's runbook fails in too few groups of validation."""
    tried = searched.pool[0].validation.items()
    groups = {task: group_of(ready.project.evidence.task(task)) for task, _ in tried}
    failing, needed = {groups[task] for task, attempt in tried if attempt.score < 1}, fewest_to_gain()
    if len(failing) >= needed:
        return None
    return (
        f"no gain could show: today's runbook fails in {len(failing)} of {len(set(groups.values()))}"
        f" validation groups, and it takes {needed} at least; add tasks that it fails"
    )
