"""Rate limits of pull requests: a policy's `limits`, held against those that were opened (pure)."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from runbookopt.forge.protocol import PullRequest
from runbookopt.project.policy import Limits, Reason

_DAY = timedelta(hours=24)


def limited(limits: Limits, pulls: Iterable[PullRequest], now: datetime) -> tuple[Reason, ...]:
    """Say of each limit whether it lets one more pull request be opened at `now` (with its time zone).

    `pulls` are those of the runbook's branch; one whose times are not told makes a limit unknown, and
    unknown is not yes.
    """
    of_branch = tuple(pulls)
    count, most = sum(pull.state == "open" for pull in of_branch), limits.open_pull_requests
    are_open = f"{count} of at most {most} pull request(s) of this runbook are open"
    return (
        Reason("limits.open_pull_requests", count < most, are_open),
        _per_day(limits, of_branch, now),
        _cooldown(limits, of_branch, now),
    )


def _per_day(limits: Limits, pulls: Sequence[PullRequest], now: datetime) -> Reason:
    name, most = "limits.per_day", limits.per_day
    times = [_time(pull.opened_at) for pull in pulls]
    recent = sum(at is not None and now - at < _DAY for at in times)
    unknown = times.count(None)
    text = f"{recent} of at most {most} pull request(s) of this runbook were opened within 24 hours"
    if recent < most <= recent + unknown:
        return Reason(name, None, f"{text}, and of {unknown} it is not known")
    return Reason(name, recent < most, text)


def _cooldown(limits: Limits, pulls: Sequence[PullRequest], now: datetime) -> Reason:
    name, pause = "limits.cooldown_hours", timedelta(hours=limits.cooldown_hours)
    ended = [(_time(pull.closed_at), pull.number) for pull in pulls if pull.state != "open"]
    over = {number: at + pause for at, number in ended if at is not None}
    resting = {number: at for number, at in over.items() if pause and at > now}  # a clock may be ahead
    if resting:
        number, until = max(resting.items(), key=lambda each: each[1])
        when = until.strftime("%Y-%m-%d %H:%M %Z")
        text = f"pull request {number} ended less than {limits.cooldown_hours:g} hours ago: wait until {when}"
        return Reason(name, False, text)
    if pause and len(over) < len(ended):
        return Reason(name, None, "it is not known when the last pull request of this runbook ended")
    return Reason(name, True, f"no pull request of this runbook ended within {limits.cooldown_hours:g} hours")


def _time(text: str) -> datetime | None:
    """An ISO 8601 time with its zone; None where it is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else None
