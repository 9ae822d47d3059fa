"""End of a search in words: why it ended, and why nothing is known of a better runbook (pure)."""

import math

from runbookopt.documents.schema_errors import plain
from runbookopt.engine.driver import Driver
from runbookopt.evidence.split import group_of
from runbookopt.jobs.planning.allotment import least
from runbookopt.jobs.planning.plan import raise_usd
from runbookopt.jobs.prepare import Prepared
from runbookopt.proof.comparison import fewest_to_gain
from runbookopt.search.loop import SearchResult


def why_ended(searched: SearchResult, driver: Driver) -> str:
    """Why the search went no further."""
    match searched.cause:
        case "budget":
            return f"its budget of {driver.short_of} is used up"
        case "minutes":
            return "its time is up"
        case "unfit":
            return _unfit(driver) or searched.ended
        case _:
            return searched.ended


def what_it_cost(driver: Driver) -> str:
    """What a run without a result has paid."""
    spent = driver.spent
    parts = [f"{spent.rollouts} rollouts", f"{spent.reflections} reflections"]
    parts += [] if spent.tokens is None else [f"{spent.tokens:,} tokens"]
    parts += [] if spent.usd is None else [f"{spent.usd:.2f} dollars"]
    return f"it cost {', '.join(parts)}"


def _unfit(driver: Driver) -> str | None:
    """What is said of a reflector whose replies cannot be used; None where all could be."""
    counts = driver.reflections
    if counts.refused is None:
        return None
    return (
        f"the reflector's replies cannot be used: {counts.unusable} of {counts.asked}, the last of them:"
        f" {counts.refused.kind}: {plain(counts.refused.message)}; try another model as the reflector"
    )


def nothing_known(ready: Prepared, driver: Driver) -> str:
    """Why today's runbook is not known on validation, and how much more would tell."""
    what = "time" if driver.short_of is None else f"budget of {driver.short_of}"
    tasks, more = len(ready.problem.validation), _more(ready, driver)
    return (
        f"{ready.job.name}: the search's {what} was up before today's runbook was tried on {tasks} validation"
        f" tasks: {more}; what was answered is kept"
    )


def why_unknown(ready: Prepared, searched: SearchResult, driver: Driver) -> str | None:
    """Why nothing is known of a better runbook, where a search could not have found one."""
    if len(searched.pool) > 1:
        return _too_little_fails(ready, searched)
    tried, ended = searched.tried, why_ended(searched, driver)
    refused = f"; {len(tried)} proposals came to none, the last: {plain(tried[-1].outcome)}" if tried else ""
    more = f": {_more(ready, driver)}" if searched.cause in {"budget", "minutes"} else ""
    return f"no draft was tried: {ended}{more}{refused}"


def _more(ready: Prepared, driver: Driver) -> str:
    """What to raise, and to which number, so that one draft is tried and proved, as far as it can be told."""
    problem, given = ready.problem, ready.allotment
    rollouts = least(problem, ready.claims, given.reserved)
    match driver.short_of:
        case "usd":
            return raise_usd(driver.usd_a_rollout * rollouts)
        case "reflections":
            return f"raise budget.reflections above {given.reflections}"
        case "rollouts":  # no stored verdict stood, so that all is rolled out anew
            rollouts += len(problem.free.keys() - {*ready.claims.first})
            return f"raise budget.rollouts to {rollouts} at least"
        case None:
            paid, minutes = driver.spent.rollouts, driver.spent.seconds / 60
            more = f" to {math.ceil(minutes * rollouts / paid)} at least" if paid else ""
            return f"raise budget.minutes{more}, or width"


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
