"""How often a new pull request may be opened: a policy's `limits`, held against those that were (pure)."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from runbookopt.project.policy import Limits, Reason

if TYPE_CHECKING:
    from runbookopt.forge.protocol import PullRequest

_DAY = timedelta(hours=24)


def limited(limits: Limits, pulls: "Iterable[PullRequest]", now: datetime) -> tuple[Reason, ...]:
    """Say of each limit whether it lets one more pull request be opened at `now` (with its time zone).

    `pulls` are those of the runbook's branch; one whose times are not told makes a limit unknown, and
    unknown is not yes.
    """
    of_the_branch = tuple(pulls)
    return (
        _open(limits, of_the_branch),
        _per_day(limits, of_the_branch, now),
        _cooldown(limits, of_the_branch, now),
    )


def _open(limits: Limits, pulls: "tuple[PullRequest, ...]") -> Reason:
    found, most = sum(pull.state == "open" for pull in pulls), limits.open_pull_requests
    told = f"{found} of at most {most} pull request(s) of this runbook are open"
    return Reason("limits.open_pull_requests", found < most, told)


def _per_day(limits: Limits, pulls: "tuple[PullRequest, ...]", now: datetime) -> Reason:
    name, most = "limits.per_day", limits.per_day
    times = [_time(pull.opened_at) for pull in pulls]
    recent = sum(at is not None and now - at < _DAY for at in times)
    unknown = sum(at is None for at in times)
    told = f"{recent} of at most {most} pull request(s) of this runbook were opened within 24 hours"
    if recent < most <= recent + unknown:
        return Reason(name, None, f"{told}, and of {unknown} it is not known")
    return Reason(name, recent < most, told)


def _cooldown(limits: Limits, pulls: "tuple[PullRequest, ...]", now: datetime) -> Reason:
    name, pause = "limits.cooldown_hours", timedelta(hours=limits.cooldown_hours)
    ended = [(pull, _time(pull.closed_at)) for pull in pulls if pull.state != "open"]
    over = dict(_over(ended, pause))
    resting = {number: at for number, at in over.items() if at > now}
    if resting:
        number, until = max(resting.items(), key=lambda each: each[1])
        when = until.strftime("%Y-%m-%d %H:%M %Z")
        told = f"pull request {number} ended less than {limits.cooldown_hours:g} hours ago: wait until {when}"
        return Reason(name, False, told)
    if pause and len(over) < len(ended):
        return Reason(name, None, "it is not known when the last pull request of this runbook ended")
    told = f"no pull request of this runbook ended within {limits.cooldown_hours:g} hours"
    return Reason(name, True, told)


def _over(
    ended: "Iterable[tuple[PullRequest, datetime | None]]", pause: timedelta
) -> Iterator[tuple[int, datetime]]:
    """Give when the pause after each is over, of those whose end is known."""
    return ((pull.number, at + pause) for pull, at in ended if at is not None)


def _time(told: str) -> datetime | None:
    """Read an ISO 8601 time with its zone; None where it is none."""
    try:
        found = datetime.fromisoformat(told)
    except ValueError:
        return None
    return found if found.tzinfo else None
